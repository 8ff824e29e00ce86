//! What to ask next: a cursor over each source's batches, a heap for what left the line (retries, halves of a refused
//! batch), and a queue of details. Pure: time comes in, questions come out; work is proportional to questions, not to
//! targets.
//!
//! Who is online comes before since when: details wait while other questions are due, but never for ever.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::time::Duration;

pub use super::ask::{Ask, Rows};
use super::cadence::{self, turns::Turns};
use super::plan::Rhythm;
use super::rounds::{End, Rounds};
use super::shedding::Shed;
use crate::domain::{Change, Moves, Tick};

/// How much of an interval a source may be behind its beat and still catch up; beyond that the beat is moved.
const SLACK: u32 = 10;

/// Details waiting at most, per account; beyond it the next round asks for them again.
const DETAILS_MAX: usize = 10_000;

/// Questions about newcomers that are asked before their turn, after one change. More would keep those waiting who are known
/// already, and whose answers grow old.
const WELCOME_MAX: usize = 10;

/// While other questions are due all the time, every so-manieth question is a detail.
const DETAIL_TURN: u32 = 5;

/// One question to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The pool's place in the account's list.
    pub pool: usize,
    /// What about.
    pub ask: Ask,
    /// How often this very question was asked before.
    pub attempt: u32,
    /// The number of the round that it belongs to; none outside of rounds.
    pub round: Option<u32>,
}

impl Job {
    /// The same question about other targets of its source; `None` when nobody is left whom it concerns.
    fn moved(self, moves: &Moves) -> Option<Self> {
        let ask = self.ask.moved(moves);
        (!ask.is_about_nobody()).then_some(Self { ask, ..self })
    }
}

/// One source's beat.
#[derive(Debug)]
struct Beat {
    rhythm: Rhythm,
    steps: usize,
    targets: u32,
    interval: Duration,
    cursor: usize,
    due: Tick,
    /// A sequence waits for its running step.
    waiting: bool,
    /// When the round under way began.
    began: Tick,
    rounds: Rounds,
    /// Who is asked about when, where that is not the same for all.
    turns: Option<Turns>,
}

/// The questions of one account, by due time.
#[derive(Debug, Default)]
pub struct Line {
    beats: Vec<Beat>,
    left: BinaryHeap<Reverse<Left>>,
    details: VecDeque<(usize, u32)>,
    awaited: HashSet<(usize, u32)>,
    /// Questions asked since the last detail.
    turn: u32,
    order: u64,
    /// What was put back since [`Line::take_put_back`] was last called.
    put_back: Vec<(Job, Tick)>,
}

/// Where a source's round stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The number of the batch or step that comes next.
    pub cursor: usize,
    /// When it is due.
    pub due: Tick,
    /// The step before it is under way, and the next one waits for its end.
    pub waiting: bool,
    /// When the round under way began.
    pub began: Tick,
}

#[derive(Debug, PartialEq, Eq)]
struct Left {
    due: Tick,
    order: u64,
    job: Job,
}

impl Ord for Left {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl PartialOrd for Left {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Beat {
    /// Whether it has a question to ask, now or later. Without targets it waits for some.
    fn asks(&self) -> bool {
        !self.waiting && self.targets > 0
    }
}

impl Line {
    /// Adds a source whose first question is due at `start`. `steps` is the number of steps of its round.
    pub fn add(&mut self, rhythm: Rhythm, steps: usize, targets: u32, interval: Duration, start: Tick) {
        let (due, began, rounds) = (start, start, Rounds::default());
        let beat = Beat {
            rhythm,
            steps,
            targets,
            interval,
            cursor: 0,
            due,
            waiting: false,
            began,
            rounds,
            turns: None,
        };
        self.beats.push(beat);
    }

    /// Asks about a source's targets by these turns instead of in whole rounds.
    pub fn take_turns(&mut self, source: usize, turns: Turns) {
        self.beats[source].turns = Some(turns);
    }

    /// Notes what an answer says of a target: whoever changes has turns more often, where a source has turns.
    pub fn answered(&mut self, source: usize, rows: impl Iterator<Item = (u32, bool)>, now: Tick) {
        let Some(turns) = &self.beats[source].turns else { return };
        let mut cadence = cadence::lock(turns.kept());
        rows.for_each(|(row, online)| cadence.answered(row, online, now));
    }

    /// When the next question is due; `None` while every source waits for an answer.
    pub fn due(&self) -> Option<Tick> {
        let beats = self.beats.iter().filter(|beat| beat.asks()).map(|beat| beat.due);
        let details = self.details.front().map(|_| Tick::ZERO);
        beats.chain(self.left.peek().map(|Reverse(left)| left.due)).chain(details).min()
    }

    /// Takes the question that has been due longest, if any is due at `now`; a detail when there is none, or when details
    /// have waited for their turn.
    pub fn next(&mut self, now: Tick) -> Option<Job> {
        for beat in self.beats.iter_mut().filter(|beat| beat.targets > 0) {
            if let Some(turns) = &mut beat.turns {
                beat.due = turns.prepare(beat.due, now);
            }
        }
        let details_turn = self.turn + 1 >= DETAIL_TURN && !self.details.is_empty();
        let other = if details_turn { None } else { self.longest_due(now) };
        if let Some(job) = other {
            self.turn += 1;
            Some(job)
        } else {
            self.turn = 0;
            self.next_detail()
        }
    }

    /// Puts a question back, to be asked at `due`.
    pub fn again(&mut self, job: Job, due: Tick) {
        self.order += 1;
        job.round.into_iter().for_each(|round| self.beats[job.pool].rounds.put_back(round));
        self.put_back.push((job.clone(), due));
        self.left.push(Reverse(Left { due, order: self.order, job }));
    }

    /// Asks for the detail of a target as soon as may be; once, however often it is asked for.
    pub fn detail(&mut self, source: usize, index: u32) {
        if self.details.len() < DETAILS_MAX && self.awaited.insert((source, index)) {
            self.details.push_back((source, index));
        }
    }

    /// Goes on with another cut of a source's targets, those without whom it is left out, at the same place of its round.
    pub fn recut(&mut self, source: usize, rhythm: Rhythm, shed: &Shed) {
        let beat = &mut self.beats[source];
        if let Some(turns) = &beat.turns {
            cadence::lock(turns.kept()).leave_out(shed.clone(), rhythm.batches());
        }
        if let (Rhythm::Spread { starts: old }, Rhythm::Spread { starts }) = (&beat.rhythm, &rhythm) {
            let next = old.get(beat.cursor).copied().unwrap_or(0);
            beat.cursor = starts.partition_point(|&start| start <= next).saturating_sub(1);
            beat.rounds.abandon();
        }
        beat.rhythm = rhythm;
    }

    /// Tells how a question ended, after all that follows from it was put back. If that makes its round complete: how long
    /// the round took.
    pub fn ended(&mut self, job: &Job, end: End, now: Tick) -> Option<Duration> {
        self.beats[job.pool].rounds.ended(job.round?, end, now)
    }

    /// Tells that the running step of a sequence is over, well or not, so that the next one may be asked.
    pub fn step_done(&mut self, source: usize, now: Tick) {
        let beat = &mut self.beats[source];
        beat.waiting = false;
        if beat.cursor < beat.steps {
            beat.due = now;
        } else {
            beat.cursor = 0;
            beat.due = (beat.began + beat.interval).max(now.back(beat.interval / SLACK));
            beat.began = beat.due;
        }
    }

    /// Goes on with other targets of a source: its beat keeps its place, what was put back and the details that wait move
    /// along, and those of targets that are gone fall away. Newcomers are asked about at once when they are few, and in
    /// their turn else.
    pub fn replace(&mut self, source: usize, change: &Change, rhythm: Rhythm, now: Tick) {
        let (moves, targets) = (&*change.moves, change.new.len());
        let beat = &mut self.beats[source];
        if let Some(turns) = &mut beat.turns {
            turns.move_along(moves);
            cadence::lock(turns.kept()).replace(change, rhythm.batches());
        }
        if let Rhythm::Spread { starts } = &beat.rhythm {
            let next = moves.place(starts.get(beat.cursor).copied().unwrap_or(0));
            beat.cursor = match &rhythm {
                Rhythm::Spread { starts } if next < targets => {
                    starts.partition_point(|&start| start <= next).saturating_sub(1)
                }
                _ => 0,
            };
        }
        if beat.targets == 0 && beat.due < now {
            (beat.due, beat.began) = (now, now);
        }
        (beat.rhythm, beat.targets) = (rhythm, targets);
        beat.rounds.abandon();
        let moved = |job: Job| if job.pool == source { job.moved(moves) } else { Some(job) };
        let left = std::mem::take(&mut self.left).into_vec();
        self.left = left
            .into_iter()
            .filter_map(|Reverse(left)| Some(Reverse(Left { job: moved(left.job)?, ..left })))
            .collect();
        let moved = |(number, index)| {
            let index = if number == source { moves.index(index)? } else { index };
            Some((number, index))
        };
        self.details = std::mem::take(&mut self.details).into_iter().filter_map(moved).collect();
        self.awaited = self.details.iter().copied().collect();
        self.welcome(source, moves.kept(), now);
    }

    /// Asks about the targets from `first` on before their turn, unless they are many.
    fn welcome(&mut self, source: usize, first: u32, now: Tick) {
        let Beat { rhythm: Rhythm::Spread { starts }, targets, turns, .. } = &self.beats[source] else {
            return;
        };
        let ends = starts.iter().skip(1).copied().chain([*targets]);
        let batches = starts.iter().copied().zip(ends).filter(|&(_, to)| to > first);
        let ask = |(from, to): (u32, u32)| match turns {
            Some(_) => Ask::Picked(Rows::new((from.max(first)..to).collect())),
            None => Ask::Batch { from: from.max(first), to },
        };
        let asks: Vec<Ask> = batches.map(ask).collect();
        if asks.len() <= WELCOME_MAX {
            if let Some(turns) = turns {
                cadence::lock(turns.kept()).welcomed(first, now);
            }
            for ask in asks {
                self.again(Job { pool: source, ask, attempt: 0, round: None }, now);
            }
        }
    }

    /// What was put back since this was last called, with its due time: for those who tell people what comes next.
    pub fn take_put_back(&mut self) -> Vec<(Job, Tick)> {
        std::mem::take(&mut self.put_back)
    }

    /// Where a source's round stands.
    pub fn standing(&self, source: usize) -> Standing {
        let Beat { cursor, due, waiting, began, .. } = self.beats[source];
        Standing { cursor, due, waiting, began }
    }

    /// How many questions make one round of this source.
    pub fn questions(&self, source: usize) -> usize {
        let beat = &self.beats[source];
        match &beat.rhythm {
            Rhythm::Spread { starts } => starts.len().max(1),
            Rhythm::Sequence => beat.steps.max(1),
        }
    }

    fn longest_due(&mut self, now: Tick) -> Option<Job> {
        let beat = (0..self.beats.len())
            .filter(|&n| self.beats[n].asks())
            .min_by_key(|&n| self.beats[n].due)
            .filter(|&n| self.beats[n].due <= now);
        let left = self.left.peek().map(|Reverse(left)| left.due).filter(|&due| due <= now);
        match (beat, left) {
            (Some(n), Some(due)) if self.beats[n].due < due => self.step(n, now),
            (Some(n), None) => self.step(n, now),
            (_, Some(_)) => self.left.pop().map(|Reverse(left)| left.job),
            (None, None) => None,
        }
    }

    fn next_detail(&mut self) -> Option<Job> {
        let (source, index) = self.details.pop_front()?;
        self.awaited.remove(&(source, index));
        Some(Job { pool: source, ask: Ask::Detail(index), attempt: 0, round: None })
    }

    fn step(&mut self, source: usize, now: Tick) -> Option<Job> {
        let questions = self.questions(source);
        let beat = &mut self.beats[source];
        if let Some(turns) = &mut beat.turns {
            let (picked, due) = turns.take(beat.due)?;
            beat.due = due;
            let round = Some(beat.rounds.asked(picked.first, picked.last, now));
            return Some(Job { pool: source, ask: Ask::Picked(picked.rows), attempt: 0, round });
        }
        let round = Some(beat.rounds.asked(beat.cursor == 0, beat.cursor + 1 == questions, now));
        let ask = match &beat.rhythm {
            Rhythm::Spread { starts } => {
                let from = starts.get(beat.cursor).copied().unwrap_or(0);
                let to = starts.get(beat.cursor + 1).copied().unwrap_or(beat.targets);
                let batches = u32::try_from(starts.len().max(1)).unwrap_or(u32::MAX);
                beat.cursor = (beat.cursor + 1) % starts.len().max(1);
                beat.due = (beat.due + beat.interval / batches).max(now.back(beat.interval / SLACK));
                Ask::Batch { from, to }
            }
            Rhythm::Sequence => {
                beat.waiting = true;
                beat.cursor += 1;
                Ask::Step(beat.cursor - 1)
            }
        };
        Some(Job { pool: source, ask, attempt: 0, round })
    }
}

#[cfg(test)]
mod tests;
