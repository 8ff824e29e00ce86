//! What people may want to know of one account's polling: the last answers and failures of its questions, what is under
//! way, what was put back, for what it pauses. The polling writes it once a question; who explains a target reads it.
//!
//! Receipts are kept once for each question, not for each of its targets: a target finds its batch by its number. Answers
//! and failures stand apart, so that answers push no failure out. What is kept of single targets (details, refused ids, bad
//! rows) and of questions is bounded by [`NOTES_MAX`]; beyond it, the oldest is forgotten. A question costs at most 350
//! bytes, and 1,200 once it has failed three times: 3.5 to 12 bytes a target with batches of a hundred. Where a source has a
//! cadence, the targets of a question are kept with it, 4 bytes each.
//!
//! It decides nothing, and nothing waits under its lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::PoolTask;
use super::booking::{Done, left_out, speaks_of_presence};
use super::breaker::Breaker;
use super::cadence::{Kept, Turn};
use super::line::{Ask, Job, Standing};
use super::plan::Rhythm;
use super::shedding::Shed;
use super::sheet::{Sheet, push};
use crate::domain::{Change, Fault, Moment, Moves, Priority, Roster, Tick};
use crate::providers::Receipt;

/// Failures kept of one question, and of one target's own questions.
pub const FAILURES_KEPT: usize = 3;

/// Questions, and targets with questions of their own, of which something is kept; for each source, answers and failures
/// apart. Enough for a million targets in batches of a hundred; it bounds what an account that asks one by one costs.
pub const NOTES_MAX: usize = 10_000;

/// The board of one account.
#[derive(Debug)]
pub struct Board {
    account: Arc<str>,
    inner: Mutex<Inner>,
}

/// One question that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What was asked.
    pub ask: Ask,
    /// When asking began, before any permit.
    pub began: Moment,
    /// When the answer or failure was there.
    pub ended: Moment,
    /// What was sent.
    pub receipt: Receipt,
    /// Why there is no answer, with the provider's own code or our words; none when there is one.
    pub failure: Option<(Fault, Arc<str>)>,
    /// The source that it was asked for, when that is another one of the same account.
    pub elsewhere: Option<Arc<str>>,
}

/// What concerns one target.
#[derive(Debug, Clone)]
pub struct About {
    /// The account's name.
    pub account: Arc<str>,
    /// The source's interval.
    pub interval: Duration,
    /// Who is left out before it, where the budget does not suffice.
    pub priority: Priority,
    /// How many targets are left out, of how many that are asked about with it.
    pub left_out: (u32, u32),
    /// The names of the sources that are asked about together, its own among them.
    pub together: Arc<[String]>,
    /// Whether its own is not among them, but leaves it to them, since they are asked about more often.
    pub left_to_faster: bool,
    /// Its place in the round.
    pub place: Place,
    /// Its turns, in a source with a cadence.
    pub turn: Option<Turn>,
    /// The last answers, newest first.
    pub answers: Vec<Note>,
    /// The last failures, newest first.
    pub failures: Vec<Note>,
    /// What comes next.
    pub coming: Coming,
    /// Until when it is not asked about, and for what.
    pub paused: Option<Paused>,
    /// Seconds that this machine's clock is ahead of the provider's, if any answer told its time.
    pub clock_ahead: Option<f64>,
}

/// What a change of one source's targets is for a pool.
pub struct Other {
    /// The pool's place in the account's list.
    pub pool: usize,
    /// Who stays, who goes, who comes.
    pub change: Arc<Change>,
    /// The round of the new targets.
    pub rhythm: Rhythm,
    /// Where that round stands.
    pub standing: Standing,
}

/// Where in its source's round a target is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In one of several batches.
    Batch {
        /// The batch's number, from 0.
        number: u32,
        /// How many there are.
        of: u32,
        /// Its first target.
        from: u32,
        /// One past its last target.
        to: u32,
    },
    /// In these questions about all targets.
    Steps(Arc<[&'static str]>),
}

/// What comes next for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// A question about it is under way since then.
    UnderWay(Moment),
    /// A failed question is asked again then, for this time.
    Retry(Tick, u32),
    /// The provider refuses its id; it is asked about alone then.
    Refused(Tick),
    /// Its turn in the round comes then.
    Regular(Tick),
    /// Nothing: the budget does not suffice for it.
    LeftOut,
}

/// A pause of the account, or of this kind of question when that is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    /// When questions may be asked again.
    pub until: Tick,
    /// For what.
    pub fault: Fault,
}

#[derive(Debug)]
struct Inner {
    paused: Option<Paused>,
    /// The last failure for which the account as a whole was refused, with the source that was asked about.
    refusal: Option<(usize, Note)>,
    sheets: Vec<Sheet>,
}

impl Board {
    /// An empty board for an account with these sources, and what their turns are decided by.
    pub fn new(account: Arc<str>, sources: &[PoolTask], cadences: Vec<Option<Kept>>, now: Tick) -> Self {
        let sheet = |(source, cadence)| Sheet::new(source, cadence, now);
        let sheets = sources.iter().zip(cadences).map(sheet).collect();
        Self { account, inner: Mutex::new(Inner { paused: None, refusal: None, sheets }) }
    }

    /// Notes that a question is being asked.
    pub fn asked(&self, job: &Job, now: Moment, standing: Standing) {
        let mut inner = self.lock();
        let sheet = &mut inner.sheets[job.pool];
        sheet.standing = standing;
        sheet.taken(job, now.tick);
        sheet.under_way.push((job.ask.clone(), now));
    }

    /// Notes that a question was taken from the line and is not asked, since nobody is left to be asked about in it.
    /// `put_back`: what comes instead.
    pub fn skipped(&self, job: &Job, put_back: Vec<(Job, Tick)>, now: Moment, standing: Standing) {
        let sheet = &mut self.lock().sheets[job.pool];
        sheet.standing = standing;
        sheet.taken(job, now.tick);
        for (job, due) in put_back {
            sheet.put_back.insert(job.ask, (due, job.attempt));
        }
    }

    /// Notes which targets of a source are left out from now on, and the round of the others.
    pub fn leave_out(&self, source: usize, shed: Shed, rhythm: Rhythm, standing: Standing) {
        let sheet = &mut self.lock().sheets[source];
        (sheet.shed, sheet.standing) = (shed, standing);
        sheet.recut(rhythm);
    }

    /// Notes a question's end, and what was put back for it.
    pub fn settled(
        &self,
        done: &Done,
        sources: &[PoolTask],
        put_back: Vec<(Job, Tick)>,
        standing: Standing,
        breaker: &Breaker,
    ) {
        // Put together before the lock is taken.
        let note = Note::of(done);
        let rows = row_faults(done, &sources[done.job.pool]);
        let detail = matches!(done.job.ask, Ask::Detail(_));
        let presence = !detail && speaks_of_presence(&sources[done.job.pool], &done.job.ask);
        let mut inner = self.lock();
        let number = done.job.pool;
        if let Some((fault, _)) = &note.failure {
            let fault = *fault;
            if breaker.until() > done.ended.tick && (fault == Fault::Throttled || fault.is_account_wide()) {
                inner.paused = Some(Paused { until: breaker.until(), fault });
            }
            if fault.is_account_wide() {
                inner.refusal = Some((number, note.clone()));
            }
        }
        let sheet = &mut inner.sheets[number];
        sheet.standing = standing;
        if presence {
            let forbidden = |until| Paused { until, fault: Fault::Forbidden };
            sheet.forbidden = breaker.forbidden(&done.job).map(forbidden);
        }
        if let Some(at) = sheet.under_way.iter().position(|(ask, _)| *ask == done.job.ask) {
            sheet.under_way.swap_remove(at);
        }
        for (job, due) in put_back {
            sheet.put_back.insert(job.ask, (due, job.attempt));
        }
        for (row, fault, words) in rows {
            let failure = Some((fault, words));
            push(sheet.row_failures.touch(row), Note { failure, ..note.clone() });
        }
        sheet.book(note, &done.rows);
    }

    /// Notes that the account's credentials are others, so that it is tried now, whatever it was refused for.
    pub fn refreshed(&self) {
        let mut inner = self.lock();
        inner.paused = None;
        inner.sheets.iter_mut().for_each(|sheet| sheet.forbidden = None);
    }

    /// Notes how far this machine's clock is ahead of that of a source's provider, in seconds.
    pub fn clock_ahead(&self, source: usize, seconds: Option<f64>) {
        self.lock().sheets[source].clock_ahead = seconds;
    }

    /// Goes on with other targets of a source, which stands at `place`, and with what follows from that for pools.
    pub fn replace(&self, (pool, member): (usize, usize), own: Arc<Roster>, others: Vec<Other>) {
        let mut inner = self.lock();
        inner.sheets[pool].members[member] = own;
        for Other { pool, change, rhythm, standing } in others {
            inner.sheets[pool].replace(&change, rhythm, standing);
        }
    }

    /// Notes what was put back without a question's end.
    pub fn put_back(&self, jobs: Vec<(Job, Tick)>) {
        let mut inner = self.lock();
        for (job, due) in jobs {
            inner.sheets[job.pool].put_back.insert(job.ask, (due, job.attempt));
        }
    }

    /// The targets that a source is asked about now, by the places of its pool and of itself in that.
    pub fn roster(&self, (source, member): (usize, usize)) -> Arc<Roster> {
        self.lock().sheets[source].members[member].clone()
    }

    /// What concerns the target with this id at `now`, with its number in the source's roster of now; `None` when there is no
    /// such target. `place` is that of the source's pool in the account's list, and of the source in that.
    pub fn about_target(
        &self,
        (source, member): (usize, usize),
        id: &str,
        now: Moment,
    ) -> Option<(Arc<Roster>, u32, About)> {
        let inner = self.lock();
        let sheet = &inner.sheets[source];
        let roster = Arc::clone(&sheet.members[member]);
        let own = roster.find(id)?;
        let faster = sheet.faster.iter().copied();
        let elsewhere = || faster.clone().find_map(|pool| Some((pool, inner.sheets[pool].roster.find(id)?)));
        let (pool, row) = sheet.index(member, id).map(|row| (source, row)).or_else(elsewhere)?;
        let about = About { left_to_faster: pool != source, ..self.about(&inner, pool, row, now) };
        Some((roster, own, about))
    }

    fn about(&self, inner: &Inner, source: usize, row: u32, now: Moment) -> About {
        let sheet = &inner.sheets[source];
        let (answers, mut failures) = sheet.notes(row);
        if let Some((other, note)) = &inner.refusal
            && *other != source
        {
            failures.push(Note { elsewhere: Some(inner.sheets[*other].name.clone()), ..note.clone() });
        }
        let newest_first = |mut notes: Vec<Note>| {
            notes.sort_by_key(|note| std::cmp::Reverse(note.ended.tick));
            notes
        };
        About {
            account: self.account.clone(),
            interval: sheet.interval,
            place: sheet.place(row),
            turn: sheet.turn(row, now.tick),
            priority: sheet.priority(row),
            left_out: sheet.left_out(),
            together: sheet.together.clone(),
            left_to_faster: false,
            answers: newest_first(answers),
            failures: newest_first(failures),
            coming: sheet.coming(row, now.tick),
            paused: inner
                .paused
                .into_iter()
                .chain(sheet.forbidden)
                .filter(|paused| paused.until > now.tick)
                .max_by_key(|paused| paused.until),
            clock_ahead: sheet.clock_ahead,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn of(done: &Done) -> Self {
        let failure = done.result.as_ref().err();
        Self {
            ask: done.job.ask.clone(),
            began: done.began,
            ended: done.ended,
            receipt: done.receipt.clone(),
            failure: failure.map(|failure| (failure.fault, Arc::from(failure.message.as_str()))),
            elsewhere: None,
        }
    }

    /// The same about other targets of its source; `None` when nobody is left whom it concerns.
    pub(super) fn moved(self, moves: &Moves) -> Option<Self> {
        let ask = self.ask.moved(moves);
        (!ask.is_about_nobody()).then_some(Self { ask, ..self })
    }

    /// When the first request left; when asking began, if none left.
    pub fn asked(&self) -> Moment {
        self.receipt.as_of.unwrap_or(self.began)
    }
}

/// Targets to which a good answer says nothing good, with the fault and our words for it.
fn row_faults(done: &Done, source: &PoolTask) -> Vec<(u32, Fault, Arc<str>)> {
    let Ok(answer) = &done.result else { return Vec::new() };
    let (bad, silent) = (Arc::from("the answer's row of this target"), Arc::from("the answer leaves it out"));
    let bad = |(row, fault): (u32, Fault)| (row, fault, Arc::clone(&bad));
    let rows = answer.rows.iter().filter_map(|(row, seen)| Some((row.index, seen.as_ref().err().copied()?)));
    let mine = |row: &u32| *row < source.roster.len();
    let mut faults: Vec<_> = rows.filter(|(row, _)| mine(row)).take(NOTES_MAX).map(bad).collect();
    if done.job.ask.is_batch() || matches!(done.job.ask, Ask::Solo(_)) {
        let silent = |row| (row, Fault::BadAnswer, Arc::clone(&silent));
        faults.extend(left_out(done, answer).take(NOTES_MAX).map(silent));
    }
    faults
}
