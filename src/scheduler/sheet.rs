//! One source's part of the board: what is kept of its questions and of single targets, and what it says of one target.
//!
//! It knows the round (which batch a target stands in, when that comes next) and keeps notes within bounds; it judges
//! nothing and words nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::PoolTask;
use super::board::{Coming, FAILURES_KEPT, NOTES_MAX, Note, Paused, Place};
use super::cadence::notes::PickedNotes;
use super::cadence::{self, Kept, Turn};
use super::line::{Ask, Job, Standing};
use super::plan::{Rhythm, rhythm};
use super::pools::Joining;
use super::shedding::Shed;
use crate::domain::{Change, Fault, Moment, Priority, Roster, Tick};
use crate::providers::Step;

/// Partial answers kept of one batch: as many as halving it for one refused id yields, and some more.
const PARTS_MAX: usize = 24;

/// A question that nobody is left for.
const NOBODY: Ask = Ask::Batch { from: 0, to: 0 };

#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) name: Arc<str>,
    pub(super) interval: Duration,
    rhythm: Rhythm,
    pub(super) shed: Shed,
    priority: Priority,
    /// Whom it is asked about.
    pub(super) roster: Arc<Roster>,
    /// The places of the pools that ask about some of its sources' targets more often.
    pub(super) faster: Vec<usize>,
    joining: Joining,
    /// The targets of each source that is asked about with it.
    pub(super) members: Vec<Arc<Roster>>,
    /// The names of those sources.
    pub(super) together: Arc<[String]>,
    steps: Arc<[&'static str]>,
    /// The step that says who is online.
    presence_step: usize,
    pub(super) standing: Standing,
    /// Until when its questions are forbidden; past once they are tried again.
    pub(super) forbidden: Option<Paused>,
    /// Seconds that this machine's clock is ahead of its provider's.
    pub(super) clock_ahead: Option<f64>,
    pub(super) under_way: Vec<(Ask, Moment)>,
    pub(super) put_back: BTreeMap<Ask, (Tick, u32)>,
    answers: Recent<Vec<Note>>,
    failures: Recent<VecDeque<Note>>,
    row_answers: Recent<Vec<Note>>,
    pub(super) row_failures: Recent<VecDeque<Note>>,
    /// What turns are decided by, and what came of them; in a source with a cadence.
    turns: Option<(Kept, PickedNotes)>,
}

/// The entries that were changed last, [`NOTES_MAX`] of them.
#[derive(Debug, Default)]
pub(super) struct Recent<V> {
    entries: BTreeMap<u32, (u64, V)>,
    by_age: BTreeMap<u64, u32>,
    changes: u64,
}

impl Sheet {
    pub(super) fn new(source: &PoolTask, cadence: Option<Kept>, now: Tick) -> Self {
        let word = |step: &Step| match step {
            Step::Batches { .. } => "batches",
            Step::Listing { .. } => "listing",
            Step::Log { .. } => "log",
        };
        let listing = |step: &Step| !matches!(step, Step::Log { .. });
        Self {
            name: source.name.clone(),
            interval: source.interval,
            rhythm: rhythm(&source.steps, &source.roster),
            shed: Shed::default(),
            priority: source.priority,
            roster: source.roster.clone(),
            faster: source.faster.clone(),
            joining: source.joining(),
            members: source.members.iter().map(|member| member.roster.clone()).collect(),
            together: source.members.iter().map(|member| member.name.to_string()).collect(),
            steps: source.steps.iter().map(word).collect(),
            presence_step: source.steps.iter().position(listing).unwrap_or(0),
            standing: Standing { cursor: 0, due: now, waiting: false, began: now },
            forbidden: None,
            clock_ahead: None,
            under_way: Vec::new(),
            put_back: BTreeMap::new(),
            answers: Recent::default(),
            failures: Recent::default(),
            row_answers: Recent::default(),
            row_failures: Recent::default(),
            turns: cadence.map(|cadence| (cadence, PickedNotes::new(source.roster.len()))),
        }
    }

    /// Goes on with other targets: notes move along with those whom they are about.
    pub(super) fn replace(&mut self, change: &Change, rhythm: Rhythm, standing: Standing) {
        let moves = &*change.moves;
        (self.rhythm, self.roster, self.standing) = (rhythm, Arc::clone(&change.new), standing);
        for (ask, _) in &mut self.under_way {
            *ask = ask.moved(moves);
        }
        let put_back = std::mem::take(&mut self.put_back).into_iter();
        self.put_back = put_back.map(|(ask, again)| (ask.moved(moves), again)).collect();
        self.put_back.remove(&NOBODY);
        if let Some((_, notes)) = &mut self.turns {
            notes.replace(moves, change.new.len());
        }
        self.renumber(|note| note.moved(moves));
        let kept = |row: u32| moves.index(row);
        for (row, notes) in self.row_answers.take().filter_map(|(row, notes)| Some((kept(row)?, notes))) {
            let notes = notes.into_iter().filter_map(|note| note.moved(moves));
            *self.row_answers.touch(row) = notes.collect();
        }
        for (row, notes) in self.row_failures.take().filter_map(|(row, notes)| Some((kept(row)?, notes))) {
            let notes = notes.into_iter().filter_map(|note| note.moved(moves));
            *self.row_failures.touch(row) = notes.collect();
        }
    }

    /// The number of a source's target in the pool.
    pub(super) fn index(&self, member: usize, id: &str) -> Option<u32> {
        self.roster.find(&self.joining.key(member, id))
    }

    /// Keeps what was asked in batches under their present numbers.
    fn renumber(&mut self, moved: impl Fn(Note) -> Option<Note>) {
        if let Rhythm::Spread { .. } = self.rhythm {
            let notes = self.answers.take().flat_map(|(_, notes)| notes);
            let notes: Vec<Note> = notes.filter_map(&moved).collect();
            for note in notes {
                take_place(self.answers.touch(self.question(&note.ask)), note);
            }
            let notes = self.failures.take().flat_map(|(_, notes)| notes);
            let notes: Vec<Note> = notes.filter_map(&moved).collect();
            for note in notes {
                push(self.failures.touch(self.question(&note.ask)), note);
            }
        }
    }

    /// Goes on with other batches of the same targets.
    pub(super) fn recut(&mut self, rhythm: Rhythm) {
        self.rhythm = rhythm;
        self.renumber(Some);
    }

    /// The number of the question of the round that a target stands in, and its range.
    fn batch(&self, row: u32) -> Option<(u32, u32, u32, u32)> {
        let Rhythm::Spread { starts } = &self.rhythm else { return None };
        let number = starts.partition_point(|start| *start <= row).saturating_sub(1);
        let from = starts.get(number).copied().unwrap_or(0);
        let to = starts.get(number + 1).copied().unwrap_or(self.roster.len());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some((count(number), count(starts.len().max(1)), from, to))
    }

    pub(super) fn place(&self, row: u32) -> Place {
        self.batch(row).map_or_else(
            || Place::Steps(self.steps.clone()),
            |(number, of, from, to)| Place::Batch { number, of, from, to },
        )
    }

    /// The priority by which a target is left out or not.
    pub(super) fn priority(&self, row: u32) -> Priority {
        let own = matches!(self.rhythm, Rhythm::Spread { .. }).then(|| self.roster.priority(row));
        own.flatten().unwrap_or(self.priority)
    }

    /// How many targets are left out, of how many.
    pub(super) fn left_out(&self) -> (u32, u32) {
        (self.shed.count, self.roster.len())
    }

    /// Notes that a question left the line. A regular one leaves a retry of the same targets where it is.
    pub(super) fn taken(&mut self, job: &Job, now: Tick) {
        let again = self.put_back.get(&job.ask);
        if again.is_some_and(|&(due, attempt)| attempt == job.attempt && due <= now) {
            self.put_back.remove(&job.ask);
        }
    }

    pub(super) fn book(&mut self, note: Note, rows: &[u32]) {
        if let Ask::Discover(_) = note.ask {
            return; // It says who there is, and nothing of anybody.
        }
        let row_alone = match (&note.ask, &note.failure, rows) {
            (Ask::Solo(row) | Ask::Detail(row), ..) => Some(*row),
            // The last half: the refused id stands alone in it.
            (Ask::Batch { .. } | Ask::Picked(_), Some((Fault::RefusedId, _)), &[row]) => Some(row),
            _ => None,
        };
        if let (Some((_, notes)), None, Ask::Picked(_)) = (&mut self.turns, row_alone, &note.ask) {
            match note.failure {
                Some(_) => notes.failed(note, self.rhythm.batches()),
                None => notes.answered(note, rows),
            }
            return;
        }
        let question = self.question(&note.ask);
        match (row_alone, note.failure.is_some()) {
            (Some(row), true) => push(self.row_failures.touch(row), note),
            (Some(row), false) => take_place(self.row_answers.touch(row), note),
            (None, true) => push(self.failures.touch(question), note),
            (None, false) => take_place(self.answers.touch(question), note),
        }
    }

    /// The number of a question in its round.
    fn question(&self, ask: &Ask) -> u32 {
        match *ask {
            Ask::Batch { from, .. } => self.batch(from).map_or(0, |(number, ..)| number),
            Ask::Step(step) => u32::try_from(step).unwrap_or(u32::MAX),
            Ask::Picked(_) | Ask::Solo(_) | Ask::Detail(_) | Ask::Discover(_) => 0,
        }
    }

    /// The notes that concern a target: answers and failures.
    pub(super) fn notes(&self, row: u32) -> (Vec<Note>, Vec<Note>) {
        let mut answers = self.row_answers.get(row).cloned().unwrap_or_default();
        let mut failures: Vec<Note> = self.row_failures.get(row).into_iter().flatten().cloned().collect();
        // Batches go on without a refused id; what came of them then does not concern it.
        let left_out_since =
            self.is_refused(row).then(|| failures.iter().map(|note| note.ended.tick).max()).flatten();
        let concerns = |note: &&Note| {
            let covers = match note.ask {
                Ask::Batch { from, to } => (from..to).contains(&row),
                _ => true,
            };
            covers && left_out_since.is_none_or(|since| note.ended.tick <= since)
        };
        if let Some((_, notes)) = &self.turns {
            let (answer, failed) = notes.of(row);
            answers.extend(answer.into_iter().filter(concerns).cloned());
            failures.extend(failed.filter(concerns).cloned());
            return (answers, failures);
        }
        let questions = match self.batch(row) {
            Some((number, ..)) => number..number + 1,
            None => 0..u32::try_from(self.steps.len()).unwrap_or(u32::MAX),
        };
        for question in questions {
            answers.extend(self.answers.get(question).into_iter().flatten().filter(concerns).cloned());
            failures.extend(self.failures.get(question).into_iter().flatten().filter(concerns).cloned());
        }
        (answers, failures)
    }

    fn is_refused(&self, row: u32) -> bool {
        let solo = Ask::Solo(row);
        self.put_back.contains_key(&solo) || self.under_way.iter().any(|(ask, _)| *ask == solo)
    }

    /// A target's turns, in a source with a cadence.
    pub(super) fn turn(&self, row: u32, now: Tick) -> Option<Turn> {
        let (cadence, _) = self.turns.as_ref()?;
        Some(cadence::lock(cadence).turn(row, now))
    }

    pub(super) fn coming(&self, row: u32, now: Tick) -> Coming {
        if self.shed.contains(row) {
            return Coming::LeftOut;
        }
        let concerns = |ask: &Ask| match *ask {
            Ask::Batch { from, to } => (from..to).contains(&row) && !self.is_refused(row),
            Ask::Picked(ref rows) => rows.binary_search(&row).is_ok() && !self.is_refused(row),
            Ask::Solo(alone) => alone == row,
            Ask::Step(step) => step == self.presence_step,
            Ask::Detail(_) | Ask::Discover(_) => false,
        };
        if let Some((_, since)) = self.under_way.iter().find(|(ask, _)| concerns(ask)) {
            return Coming::UnderWay(*since);
        }
        let solo = self.put_back.get(&Ask::Solo(row));
        if let Some(&(due, attempt)) = solo {
            return if attempt > 0 { Coming::Retry(due, attempt) } else { Coming::Refused(due) };
        }
        let again = |asks: &mut dyn Iterator<Item = (&Ask, &(Tick, u32))>| {
            asks.filter(|(ask, _)| concerns(ask)).map(|(_, again)| *again).min()
        };
        let (retry, regular) = if let Some(turn) = self.turn(row, now) {
            (again(&mut self.put_back.iter()), turn.due)
        } else if let Some((number, of, from, _)) = self.batch(row) {
            let parts = Ask::Batch { from, to: 0 }..=Ask::Batch { from: row, to: u32::MAX };
            let ahead = (number + of - u32::try_from(self.standing.cursor).unwrap_or(0) % of) % of;
            (again(&mut self.put_back.range(parts)), self.standing.due + self.interval / of * ahead)
        } else {
            return Coming::Regular(self.step_due());
        };
        match retry {
            Some((due, attempt)) if due <= regular => Coming::Retry(due, attempt),
            _ => Coming::Regular(regular),
        }
    }

    /// When the step that says who is online comes next: in this round, or at the next one's beginning.
    fn step_due(&self) -> Tick {
        let Standing { cursor, due, began, .. } = self.standing;
        if cursor <= self.presence_step { due } else { began + self.interval }
    }
}

impl<V: Default> Recent<V> {
    fn get(&self, key: u32) -> Option<&V> {
        self.entries.get(&key).map(|(_, value)| value)
    }

    /// All entries, the one first that was changed longest ago; none is left.
    fn take(&mut self) -> impl Iterator<Item = (u32, V)> + use<V> {
        let by_age = std::mem::take(&mut self.by_age);
        let mut entries = std::mem::take(&mut self.entries);
        by_age.into_values().filter_map(move |key| Some((key, entries.remove(&key)?.1)))
    }

    /// An entry to be changed; the one that was changed longest ago makes room.
    pub(super) fn touch(&mut self, key: u32) -> &mut V {
        self.changes += 1;
        if let Some((changed, _)) = self.entries.get(&key) {
            self.by_age.remove(changed);
        } else if self.entries.len() >= NOTES_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.by_age.insert(self.changes, key);
        let entry = self.entries.entry(key).or_default();
        entry.0 = self.changes;
        &mut entry.1
    }
}

/// Keeps a failure; the oldest makes room.
pub(super) fn push(notes: &mut VecDeque<Note>, note: Note) {
    if notes.len() >= FAILURES_KEPT {
        notes.pop_front();
    }
    notes.reserve_exact(1);
    notes.push_back(note);
}

/// An answer takes the place of those about the same targets or some of them.
fn take_place(notes: &mut Vec<Note>, note: Note) {
    notes.retain(|old| match (&old.ask, &note.ask) {
        (Ask::Batch { from, to }, Ask::Batch { from: new_from, to: new_to }) => {
            from < new_from || to > new_to
        }
        (old, new) => old != new,
    });
    if notes.len() >= PARTS_MAX {
        notes.remove(0);
    }
    // One at a time: there is hardly ever a second one.
    notes.reserve_exact(1);
    notes.push(note);
}

#[cfg(test)]
mod tests;
