//! Who is asked about when, in a source with a cadence: lively targets more often, quiet ones less, within the requests of
//! plain intervals. Pure: time comes in, choices come out.
//!
//! Time goes by ticks of `fastest`. At each of them [`Cadence::pick`] looks at every target, which costs some nanoseconds a
//! target, and takes, in this order: whose `slowest` would pass otherwise; whose interval is over; lively ones whose
//! interval is not, of high priority first and then those that changed last, and of these no more than leave room for
//! everybody who falls due later. A request that is not full is filled with those whose turn comes next. Requests are taken from a credit that grows as fast as plain rounds ask and never holds more than
//! one tick's worth, so that no stretch of ticks asks more requests than it would without a cadence: what lively ones get
//! is what quiet ones leave. Whom another source wants to be asked about more often than `slowest` is never quiet.
//!
//! A target takes 9 bytes. What is lively or quiet is not kept over a restart: everybody begins at the interval.
//! `paces` says how urgent a target's turn is, `credit` how many requests there are, `turns` hands out what is picked
//! within a tick, `notes` keeps what came of it.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::PoolTask;
use super::line::{Line, Rows};
use super::packing::{Capacity, Filling};
use super::shedding::Shed;
use crate::config::cadence::Cadence as Settings;
use crate::domain::{Change, Priority, Roster, Tick};
use credit::Credit;
use paces::{Instant, Paces, Urgency};

mod credit;
pub mod notes;
mod paces;
pub mod turns;

/// One source's targets and what its requests allow.
#[derive(Debug)]
pub struct Cadence {
    settings: Settings,
    plain: Plain,
    roster: Arc<Roster>,
    shed: Shed,
    paces: Paces,
    credit: Credit,
    /// When it was last picked; when it began, before that.
    last: Tick,
    /// Whether anybody was picked in the present round.
    begun: bool,
}

/// How a source is asked without a cadence.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// How often every target is asked about.
    pub interval: Duration,
    /// The priority of targets that have none of their own.
    pub priority: Priority,
    /// What one request may hold.
    pub capacity: Capacity,
}

/// What polling decides by and people may ask about at the same time. Its lock is held for one look at all targets at most.
pub type Kept = Arc<Mutex<Cadence>>;

/// One request's targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Their numbers, in order.
    pub rows: Rows,
    /// Whether it is the first of its round: everybody was picked since the one before began.
    pub first: bool,
    /// Whether everybody was picked with it.
    pub last: bool,
}

/// How lively a target is, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Its priority is high.
    High,
    /// It changed so long ago.
    Changed(Duration),
    /// Neither lively nor quiet.
    Regular,
    /// It has not changed for so long.
    Quiet(Duration),
    /// It has not changed for so long, and is asked about at the interval all the same, since another source wants that.
    Steady(Duration),
}

/// What there is to say of one target's turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How lively it is.
    pub pace: Pace,
    /// When it is due: at the latest by its interval, or by `slowest` when it is quiet; a lively one by `fastest`, if
    /// requests are saved then.
    pub due: Tick,
    /// How often which targets are asked about.
    pub settings: Settings,
}

/// Gives the sources that have a cadence their turns in the line; what people may ask about them, by source.
pub(super) fn begin(sources: &[PoolTask], line: &mut Line, now: Tick) -> Vec<Option<Kept>> {
    let of = |(number, source): (usize, &PoolTask)| {
        let PoolTask { interval, priority, steps, .. } = source;
        let plain = Plain { interval: *interval, priority: *priority, capacity: Capacity::of(steps)? };
        let cadence = Cadence::new(source.cadence?, plain, &source.roster, line.questions(number), now);
        let kept = Arc::new(Mutex::new(cadence));
        line.take_turns(number, turns::Turns::new(Arc::clone(&kept)));
        Some(kept)
    };
    sources.iter().enumerate().map(of).collect()
}

/// The lock of what is kept.
pub fn lock(kept: &Kept) -> MutexGuard<'_, Cadence> {
    // Every change is whole at each step of it: what is left behind by a panic is a choice not made.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Targets of one request, and whether it holds any that go before their time.
type Batch = (Vec<u32>, bool);

impl Cadence {
    /// The cadence of a source with these targets, whose plain round has so many questions.
    pub fn new(settings: Settings, plain: Plain, roster: &Arc<Roster>, questions: usize, now: Tick) -> Self {
        let mut cadence = Self {
            settings,
            plain,
            roster: Arc::clone(roster),
            shed: Shed::default(),
            paces: Paces::new(settings, plain.interval, now),
            credit: Credit::new(number(questions), plain.interval, settings.fastest),
            last: now,
            begun: false,
        };
        cadence.grow(questions);
        cadence
    }

    /// How long a tick is.
    pub fn tick(&self) -> Duration {
        self.settings.fastest
    }

    /// How often the source asks about whoever is neither lively nor quiet.
    pub fn interval(&self) -> Duration {
        self.plain.interval
    }

    /// The requests of the tick that begins now: those with lively targets that go before their time first, so that these
    /// come at the same time in each tick.
    pub fn pick(&mut self, now: Tick) -> Vec<Picked> {
        self.credit.earn(now.since(self.last));
        self.last = now;
        let (room, at) = (self.credit.room(), self.at(now));
        if room == 0 {
            return Vec::new();
        }
        let urgent = |row| Some((self.paces.urgency(row, &at)?, row));
        let mut urgent: Vec<(Urgency, u32)> = self.askable().filter_map(urgent).collect();
        let most = room.saturating_mul(self.plain.capacity.ids);
        if urgent.len() > most {
            urgent.select_nth_unstable(most);
            urgent.truncate(most);
        }
        urgent.sort_unstable();
        let early = urgent.partition_point(|(urgency, _)| !urgency.is_early());
        if early < urgent.len() {
            urgent.truncate(early.saturating_add(self.spare(&at)));
        }
        let (mut batches, all) = self.pack(&urgent, room);
        if let (true, Some((rows, _))) = (all, batches.last_mut()) {
            let mut taken: Vec<u32> = urgent.iter().map(|&(_, row)| row).collect();
            taken.sort_unstable();
            self.fill(rows, &taken, &at);
        }
        self.credit.spend(batches.len());
        // The sort is stable: the others stay in their order.
        batches.sort_by_key(|(_, early)| !early);
        batches.into_iter().map(|(rows, _)| self.picked(rows, &at)).collect()
    }

    /// Notes what an answer says of a target.
    pub fn answered(&mut self, row: u32, online: bool, now: Tick) {
        self.paces.answered(row, online, now);
    }

    /// Goes on with other targets, a plain round of which has so many questions. Newcomers are spread over the next interval.
    pub fn replace(&mut self, change: &Change, questions: usize) {
        // Whoever was left out may be let in, and was not asked about for long.
        let out = (0..self.roster.len()).filter(|&row| self.shed.contains(row));
        let out: Vec<u32> = out.filter_map(|row| change.moves.index(row)).collect();
        self.paces.replace(&change.moves);
        (self.roster, self.shed) = (Arc::clone(&change.new), Shed::default());
        self.grow(questions);
        self.paces.spread(&out, self.last);
    }

    /// Leaves these targets out from now on, and no others: a plain round of the rest has so many questions. Who is let in
    /// again is spread over the next interval.
    pub fn leave_out(&mut self, shed: Shed, questions: usize) {
        let old = std::mem::replace(&mut self.shed, shed);
        let back: Vec<u32> = self.askable().filter(|&row| old.contains(row)).collect();
        self.paces.spread(&back, self.last);
        self.begin_round(questions);
    }

    /// Notes that the targets from `first` on are asked about now, before their turns.
    pub fn welcomed(&mut self, first: u32, now: Tick) {
        self.paces.welcomed(first, now);
    }

    /// What there is to say of a target's turns.
    pub fn turn(&self, row: u32, now: Tick) -> Turn {
        let (pace, due) = self.paces.pace(row, &self.at(now));
        Turn { pace, due, settings: self.settings }
    }

    /// How many targets may go before their time now, so that nobody has to wait for it whose time comes in this tick or a
    /// later one: by what requests there will be by then, each with as many targets as those of a plain round.
    fn spare(&self, at: &Instant) -> usize {
        let mut due = vec![0_u64; at.ticks_ahead()];
        for row in self.askable() {
            let tick = self.paces.ticks_until(row, at).min(due.len() - 1);
            due[tick] += 1;
        }
        let (targets, questions) = (u64::from(self.targets()), u64::from(self.credit.questions.max(1)));
        let (mut fallen, mut spare) = (0, u64::MAX);
        for (tick, count) in (0..).zip(due) {
            fallen += count;
            let able = self.credit.room_after(tick).saturating_mul(targets) / questions;
            spare = spare.min(able.saturating_sub(fallen));
        }
        usize::try_from(spare).unwrap_or(usize::MAX)
    }

    /// Cuts targets into requests, of which there may be so many; with whether there was room for all.
    fn pack(&self, urgent: &[(Urgency, u32)], room: usize) -> (Vec<Batch>, bool) {
        // The request being filled of each part of the ids that no request may mix.
        let mut open: BTreeMap<&str, (Filling<'_>, usize)> = BTreeMap::new();
        let mut batches: Vec<Batch> = Vec::new();
        for &(urgency, row) in urgent {
            let id = self.roster.id(row);
            let part = (self.plain.capacity.apart)(id);
            let (filling, number) =
                open.entry(part).or_insert_with(|| (Filling::new(self.plain.capacity), 0));
            if filling.begins_another(id) {
                if batches.len() == room {
                    return (batches, false);
                }
                *number = batches.len();
                batches.push((Vec::new(), false));
            }
            let (rows, early) = &mut batches[*number];
            rows.push(row);
            *early |= urgency.is_early();
        }
        (batches, true)
    }

    /// Fills a request with those whose turns come next and who are not taken in this tick: they cost nothing now, and nothing of their own then.
    fn fill(&self, rows: &mut Vec<u32>, taken: &[u32], at: &Instant) {
        let free = self.plain.capacity.ids.saturating_sub(rows.len());
        // The last one to come stands on top.
        let mut next: BinaryHeap<(u32, u32)> = BinaryHeap::new();
        let others = self.askable().filter(|row| free > 0 && taken.binary_search(row).is_err());
        for (due, row) in others.map(|row| (self.paces.due(row, at), row)) {
            if next.len() < free {
                next.push((due, row));
            } else if next.peek().is_some_and(|&last| (due, row) < last) {
                next.pop();
                next.push((due, row));
            }
        }
        let mut filling = Filling::new(self.plain.capacity);
        for &row in &*rows {
            filling.begins_another(self.roster.id(row));
        }
        let fits = |row: &u32| filling.takes(self.roster.id(*row));
        rows.extend(next.into_sorted_vec().into_iter().map(|(_, row)| row).filter(fits));
    }

    /// Notes that these are asked about.
    fn picked(&mut self, mut rows: Vec<u32>, at: &Instant) -> Picked {
        for &row in &rows {
            self.paces.picked(row, at);
        }
        let (first, last) = (!self.begun, self.paces.ends_round(self.targets()));
        self.begun = !last;
        rows.sort_unstable();
        Picked { rows: Rows::new(rows.into()), first, last }
    }

    /// Goes on with the targets of the roster: those beyond the known ones are new.
    fn grow(&mut self, questions: usize) {
        let (roster, own) = (&self.roster, self.plain.priority);
        let is_high = |row| roster.priority(row).unwrap_or(own) == Priority::High;
        self.paces.grow(roster.len(), is_high, |row| roster.is_steady(row), self.last);
        self.begin_round(questions);
    }

    fn begin_round(&mut self, questions: usize) {
        self.credit.questions = number(questions);
        self.paces.begin_round(self.targets());
        self.begun = false;
    }

    /// Everybody who is not left out.
    fn askable(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.roster.len()).filter(|&row| !self.shed.contains(row))
    }

    fn targets(&self) -> u32 {
        self.roster.len().saturating_sub(self.shed.count)
    }

    fn at(&self, now: Tick) -> Instant {
        self.paces.at(now, self.plain.interval / self.credit.questions.max(1))
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
