//! What follows from a question's end: rows into the store, retries, halves, details and pauses into line and pause, one
//! log line where a source's health changes. No waiting, no sending.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::PoolTask;
use super::breaker::{Breaker, Failed};
use super::discovery;
use super::line::{Ask, Job, Line, Rows};
use super::members::Door;
use super::pause;
use super::rounds::End;
use super::sessions::SessionLedger;
use super::shedding::Shed;
use crate::domain::{Fault, Moment, Moves, Roster, RowId, Session, Tick};
use crate::providers::{Answer, Failure, Receipt, Step};
use crate::store::Store;
use crate::telemetry::SessionMeter;

/// How many rounds pass before a refused target is tried again, alone.
pub const REFUSED_ROUNDS: u32 = 20;

/// A refused target is tried again no sooner than this.
pub const REFUSED_MIN: Duration = Duration::from_secs(600);

/// A question that is over.
pub struct Done {
    /// What was asked.
    pub job: Job,
    /// The source's targets then.
    pub roster: Arc<Roster>,
    /// The targets of a batch, solo or detail.
    pub rows: Vec<u32>,
    /// When asking began, before any permit.
    pub began: Moment,
    /// When the answer or failure was there.
    pub ended: Moment,
    /// What came of it.
    pub result: Result<Answer, Failure>,
    /// What was sent for it.
    pub receipt: Receipt,
}

impl Done {
    /// As if the source's present targets had been asked about; `moves` lead there from those who were. What concerns
    /// targets that are gone falls away.
    pub fn move_along<'a>(&mut self, moves: impl Iterator<Item = &'a Moves>, roster: &Arc<Roster>) {
        for moves in moves {
            self.job.ask = self.job.ask.moved(moves);
            self.rows = self.rows.iter().filter_map(|&row| moves.index(row)).collect();
            if let Ok(answer) = &mut self.result {
                answer.rows.retain_mut(|(row, _)| move_row(row, moves, roster));
                answer.details.retain_mut(|row| move_row(row, moves, roster));
            }
        }
        self.roster = Arc::clone(roster);
    }
}

/// Whether the row's target is still there.
fn move_row(row: &mut RowId, moves: &Moves, roster: &Roster) -> bool {
    moves
        .index(row.index)
        .map(|index| *row = RowId { index, generation: roster.generation(), ..*row })
        .is_some()
}

/// What is remembered between questions of one account.
pub struct Book {
    account: Arc<str>,
    sources: Vec<Page>,
}

#[derive(Default)]
struct Page {
    /// What of the log was counted for each source; none without a log.
    ledgers: Vec<SessionLedger>,
    /// Targets that are left out of batches, since the provider refuses them.
    refused: BTreeSet<u32>,
    /// Targets that are left out of everything, since the budget does not suffice for them.
    shed: Shed,
    /// Questions that failed since the last answer.
    failures: usize,
    /// The fault that was last logged; none while well.
    logged: Option<Fault>,
    /// Whether any answer came yet.
    heard: bool,
}

impl Book {
    /// An empty book for these sources.
    pub fn new(account: Arc<str>, sources: &[PoolTask]) -> Self {
        let page = |source: &PoolTask| {
            let reread = source.steps.iter().find_map(|step| match *step {
                Step::Log { reread, .. } => Some(reread),
                Step::Batches { .. } | Step::Listing { .. } => None,
            });
            let ledgers =
                reread.map(|reread| source.members.iter().map(|_| SessionLedger::new(reread)).collect());
            Page { ledgers: ledgers.unwrap_or_default(), ..Page::default() }
        };
        Self { account, sources: sources.iter().map(page).collect() }
    }

    /// Goes on where a former process stopped, by what the store says of each source's last complete log pass: what happened
    /// before was counted there. To be called before the first question.
    pub fn resume(&mut self, sources: &[PoolTask], store: &Store) {
        for (page, source) in self.sources.iter_mut().zip(sources) {
            for (ledger, member) in page.ledgers.iter_mut().zip(&source.members) {
                member.log_since_ms(store).into_iter().for_each(|since_ms| ledger.begin(since_ms));
            }
        }
    }

    /// Goes on with other targets of a source. Who is left out is to be decided anew.
    pub fn replace(&mut self, source: usize, moves: &Moves) {
        let page = &mut self.sources[source];
        page.refused = page.refused.iter().filter_map(|&row| moves.index(row)).collect();
        page.shed = Shed::default();
    }

    /// The targets that a question names, without those that the provider refuses and those that are left out.
    pub fn rows(&self, job: &Job) -> Vec<u32> {
        let Page { refused, shed, .. } = &self.sources[job.pool];
        match job.ask {
            Ask::Batch { from, to } => {
                (from..to).filter(|row| !refused.contains(row) && !shed.contains(*row)).collect()
            }
            Ask::Picked(ref rows) => {
                let is_asked = |row: &u32| !refused.contains(row) && !shed.contains(*row);
                rows.iter().copied().filter(is_asked).collect()
            }
            Ask::Solo(row) | Ask::Detail(row) if shed.contains(row) => Vec::new(),
            Ask::Solo(row) | Ask::Detail(row) => vec![row],
            Ask::Step(_) | Ask::Discover(_) => Vec::new(),
        }
    }

    /// Leaves these targets of a source out from now on, and no others; tells whether that changes anything.
    pub fn leave_out(&mut self, source: usize, shed: Shed) -> bool {
        let old = std::mem::replace(&mut self.sources[source].shed, shed);
        old != self.sources[source].shed
    }

    /// The targets of a source that are left out.
    pub fn shed(&self, source: usize) -> &Shed {
        &self.sources[source].shed
    }

    /// Whether nobody of a source is asked about.
    pub fn is_left_out(&self, source: &PoolTask, number: usize) -> bool {
        let count = self.sources[number].shed.count;
        count > 0 && count == source.roster.len()
    }

    /// Puts a question back that was taken and not asked, where nothing else would ask it again.
    pub fn skipped(&self, job: &Job, source: &PoolTask, line: &mut Line, now: Tick) {
        match job.ask {
            Ask::Solo(_) => line.again(job.clone(), now + refused_pause(source)),
            Ask::Step(_) => line.step_done(job.pool, now),
            Ask::Batch { .. } | Ask::Picked(_) | Ask::Detail(_) | Ask::Discover(_) => {}
        }
    }

    /// Books a question's end, and tells what that is for its round.
    pub fn settle(
        &mut self,
        done: &Done,
        sources: &[PoolTask],
        store: &Store,
        line: &mut Line,
        breaker: &mut Breaker,
        chance: u64,
    ) -> End {
        let door = Door { store, pools: sources };
        let page = &mut self.sources[done.job.pool];
        if is_log(&sources[done.job.pool], &done.job.ask) {
            // The first watermark, whether that pass was complete or not: a log that cannot be read at first loses nothing.
            page.ledgers.iter_mut().for_each(|ledger| ledger.begin(done.began.unix_ms));
        }
        let discovery = matches!(done.job.ask, Ask::Discover(_));
        let end = match &done.result {
            Ok(answer) => {
                breaker.answered(&done.job);
                if !discovery {
                    self.answered(done, answer, door, line);
                }
                End::Answered
            }
            Err(failure) => {
                let Failure { fault, wait, .. } = *failure;
                let failed = Failed { fault, wait, calls: done.receipt.calls };
                breaker.failed(done.ended.tick, &done.job, &failed, chance);
                // That a list is not known says nothing of those who are on it.
                let end =
                    if discovery { End::GivenUp } else { self.failed(done, failure, door, line, chance) };
                if failure.fault.is_account_wide() {
                    account_refused(done.ended, failure.fault, door);
                }
                end
            }
        };
        if let Ask::Step(_) = done.job.ask {
            line.step_done(done.job.pool, done.ended.tick);
        }
        if discovery {
            discovery::again(done, &sources[done.job.pool], line, chance);
        }
        end
    }

    fn answered(&mut self, done: &Done, answer: &Answer, door: Door<'_>, line: &mut Line) {
        let number = done.job.pool;
        let source = &door.pools[number];
        let as_of = done.receipt.as_of.unwrap_or(done.began);
        door.came(number, as_of, done.ended, &answer.rows);
        let seen = answer.rows.iter().filter_map(|(row, seen)| Some((row.index, seen.as_ref().ok()?.online)));
        line.answered(number, seen, done.ended.tick);
        door.heard(number, as_of);
        for row in &answer.details {
            line.detail(number, row.index);
        }
        if is_log(source, &done.job.ask) {
            door.log_read(number, as_of.unix_ms);
            let ledgers = &mut self.sources[number].ledgers;
            for (view, session) in &answer.sessions {
                if let (Some(ledger), Some(meter)) = (ledgers.get_mut(*view), &source.members[*view].sessions)
                {
                    count(ledger, meter, session);
                }
            }
            for ledger in ledgers {
                ledger.passed(as_of.unix_ms);
            }
        }
        if done.job.ask.is_batch() || matches!(done.job.ask, Ask::Solo(_)) {
            door.failed(number, as_of, left_out(done, answer), Fault::BadAnswer);
        }
        let refused = answer.rows.iter().filter(|(_, seen)| *seen == Err(Fault::RefusedId));
        if let (Ask::Solo(row), 0) = (&done.job.ask, refused.count()) {
            self.sources[number].refused.remove(row);
        }
        self.well(number, source);
    }

    fn failed(
        &mut self,
        done: &Done,
        failure: &Failure,
        door: Door<'_>,
        line: &mut Line,
        chance: u64,
    ) -> End {
        let (number, at) = (done.job.pool, done.ended);
        let source = &door.pools[number];
        if failure.fault == Fault::RefusedId
            && let Some(end) = self.refused(done, door, line)
        {
            return end;
        }
        match done.job.ask {
            Ask::Step(_) if speaks_of_presence(source, &done.job.ask) => {
                door.all_failed(number, at, failure.fault);
            }
            Ask::Step(_) => {}
            // The others will not be asked about either.
            Ask::Batch { .. } | Ask::Picked(_) | Ask::Solo(_) if failure.fault == Fault::Forbidden => {
                door.all_failed(number, at, failure.fault);
                door.silent(number);
            }
            _ => door.failed(number, at, done.rows.iter().copied(), failure.fault),
        }
        let attempt = done.job.attempt;
        let again = pause::retry(at.tick, failure.fault, failure.wait, attempt, source.interval, chance);
        let mut end = End::GivenUp;
        if let (Some(due), false) = (again, matches!(done.job.ask, Ask::Step(_))) {
            line.again(Job { attempt: attempt + 1, ..done.job.clone() }, due);
            end = End::PutBack;
        } else if let Ask::Solo(_) = done.job.ask {
            // Nothing else asks about a target that batches leave out: whatever went wrong, its trial comes again.
            line.again(Job { attempt: 0, ..done.job.clone() }, at.tick + refused_pause(source));
        }
        let page = &mut self.sources[number];
        page.failures += 1;
        if page.failures >= line.questions(number) {
            door.silent(number);
        }
        self.ill(number, source, failure, &done.receipt);
        end
    }

    /// A batch that is refused for one of its ids is asked again in halves, until that id stands alone.
    fn refused(&mut self, done: &Done, door: Door<'_>, line: &mut Line) -> Option<End> {
        let number = done.job.pool;
        let source = &door.pools[number];
        let now = done.ended.tick;
        match (&done.job.ask, done.rows.as_slice()) {
            (Ask::Batch { .. } | Ask::Picked(_) | Ask::Solo(_), &[row]) => {
                if self.sources[number].refused.insert(row) {
                    let (source, id) = (&source.name, source.roster.id(row));
                    warn!(%source, id, "the provider refuses this id; correct or remove the target");
                }
                door.failed(number, done.ended, std::iter::once(row), Fault::RefusedId);
                let due = now + refused_pause(source);
                line.again(Job { pool: number, ask: Ask::Solo(row), attempt: 0, round: None }, due);
                Some(End::Answered)
            }
            (ask, rows) if rows.len() > 1 => {
                let middle = rows.len() / 2;
                let halves = match *ask {
                    Ask::Batch { from, to } => {
                        let middle = rows[middle];
                        [Ask::Batch { from, to: middle }, Ask::Batch { from: middle, to }]
                    }
                    Ask::Picked(_) => {
                        [&rows[..middle], &rows[middle..]].map(|half| Ask::Picked(Rows::new(half.into())))
                    }
                    _ => return None,
                };
                for ask in halves {
                    line.again(Job { pool: number, ask, attempt: 0, round: done.job.round }, now);
                }
                Some(End::PutBack)
            }
            _ => None,
        }
    }

    fn well(&mut self, number: usize, source: &PoolTask) {
        let page = &mut self.sources[number];
        page.failures = 0;
        let (account, source) = (&self.account, &source.name);
        if page.logged.take().is_some() {
            info!(%account, %source, "the source answers again");
        } else if !page.heard {
            info!(%account, %source, "the source answers");
        }
        page.heard = true;
    }

    fn ill(&mut self, number: usize, source: &PoolTask, failure: &Failure, receipt: &Receipt) {
        let page = &mut self.sources[number];
        if page.logged == Some(failure.fault) {
            return;
        }
        page.logged = Some(failure.fault);
        let (account, source, fault) = (&self.account, &source.name, failure.fault);
        let action = receipt.action.unwrap_or("none");
        // A question that got no answer may have none; then the field is left out.
        let request_id = receipt.request_id.as_deref();
        warn!(%account, %source, %fault, action, request_id, reason = failure.message, "a question failed");
    }
}

/// Counts what a record tells for the first time.
fn count(ledger: &mut SessionLedger, meter: &SessionMeter, session: &Session) {
    let new = ledger.take(session);
    new.setup.into_iter().for_each(|took| meter.set_up(took));
    new.rtt.into_iter().for_each(|rtt| meter.round_trip(rtt));
    new.duration.into_iter().for_each(|duration| meter.lasted(duration));
    new.failure.into_iter().for_each(|reason| meter.failed(reason));
}

/// How long a refused target is left alone.
fn refused_pause(source: &PoolTask) -> Duration {
    (source.interval * REFUSED_ROUNDS).max(REFUSED_MIN)
}

/// Every target of a refused account is told why nothing more will come.
fn account_refused(at: Moment, fault: Fault, door: Door<'_>) {
    for pool in 0..door.pools.len() {
        door.all_failed(pool, at, fault);
        door.silent(pool);
    }
}

/// Targets of a batch that the answer says nothing of, and whose detail will not be asked either.
pub(super) fn left_out<'a>(done: &'a Done, answer: &'a Answer) -> impl Iterator<Item = u32> + 'a {
    let mut told: Vec<u32> =
        answer.rows.iter().map(|(row, _)| row).chain(&answer.details).map(|row: &RowId| row.index).collect();
    told.sort_unstable();
    done.rows.iter().copied().filter(move |row| told.binary_search(row).is_err())
}

fn is_log(source: &PoolTask, ask: &Ask) -> bool {
    matches!(ask, Ask::Step(step) if matches!(source.steps[*step], Step::Log { .. }))
}

/// A log speaks of presence only where the round has nothing else, and a discovery never.
pub(super) fn speaks_of_presence(source: &PoolTask, ask: &Ask) -> bool {
    if let Ask::Discover(_) = ask {
        return false;
    }
    !is_log(source, ask) || source.steps.iter().all(|step| matches!(step, Step::Log { .. }))
}

#[cfg(test)]
mod tests;
