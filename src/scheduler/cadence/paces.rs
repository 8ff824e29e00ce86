//! When each target of a source with a cadence was asked about and changed last, and how urgent that makes its turn.

use std::time::Duration;

use super::Pace;
use crate::config::cadence::Cadence as Settings;
use crate::domain::{Moves, Tick};

/// Times of targets are kept in tenths of a second, which takes four bytes for thirteen years.
const STEP: Duration = Duration::from_millis(100);

/// An answer about the target came.
const KNOWN: u8 = 1;
/// The last answer said online.
const ONLINE: u8 = 2;
/// An answer differed from the one before; else `since` is when the target was first there.
const CHANGED: u8 = 4;
/// Its priority is high.
const HIGH: u8 = 8;
/// The round in which it was last picked: this one, if the bit is the round's.
const ROUND: u8 = 16;
/// It is asked about at the interval, however quiet it is.
const STEADY: u8 = 32;

/// How urgent a target's turn is in a tick: the lower the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// `slowest` would pass otherwise; since then.
    Bound(u32),
    /// Its interval is over; since then.
    Regular(u32),
    /// Before its interval is over, since its priority is high; who changed last goes first.
    High(std::cmp::Reverse<u32>),
    /// Before its interval is over, since it changed then.
    Changed(std::cmp::Reverse<u32>),
}

impl Urgency {
    /// Whether it is a turn that a source without a cadence would not give.
    pub fn is_early(self) -> bool {
        matches!(self, Self::High(_) | Self::Changed(_))
    }
}

/// All targets of a source.
#[derive(Debug)]
pub struct Paces {
    settings: Settings,
    interval: Duration,
    /// When times begin.
    began: Tick,
    /// By target: when it was last picked, or when its last turn was due if that was in the same tick.
    asked: Vec<u32>,
    /// By target: when it changed last, or was first there.
    since: Vec<u32>,
    bits: Vec<u8>,
    /// The bit of the present round, and how many were not yet picked in it.
    round: (u8, u32),
}

/// A tick in steps, and how long which turns take.
#[derive(Debug, Clone, Copy)]
pub struct Instant {
    now: u32,
    next: u32,
    tick: u32,
    interval: u32,
    /// After how long a quiet target is asked about: `slowest`, less what may pass until the request is handed out.
    bound: u32,
    lively_for: u32,
    quiet_after: u32,
}

impl Instant {
    /// How many ticks there are until everybody's turn was due once, the present one included.
    pub fn ticks_ahead(&self) -> usize {
        (self.bound / self.tick.max(1)) as usize + 1
    }
}

impl Paces {
    /// No targets yet.
    pub fn new(settings: Settings, interval: Duration, began: Tick) -> Self {
        let (asked, since, bits) = (Vec::new(), Vec::new(), Vec::new());
        Self { settings, interval, began, asked, since, bits, round: (ROUND, 0) }
    }

    /// The tick that begins now, in a source whose plain questions are so far apart.
    pub fn at(&self, now: Tick, apart: Duration) -> Instant {
        let Settings { fastest, slowest, lively_for, quiet_after } = self.settings;
        let (now, tick, interval) = (self.time(now), steps(fastest), steps(self.interval));
        Instant {
            now,
            next: now.saturating_add(tick),
            tick,
            interval,
            bound: steps(slowest.saturating_sub(fastest.max(apart))).max(interval),
            lively_for: steps(lively_for),
            quiet_after: steps(quiet_after),
        }
    }

    /// How urgent a target's turn is in this tick; `None` when it has none.
    pub fn urgency(&self, row: u32, at: &Instant) -> Option<Urgency> {
        let (asked, since) = self.times(row);
        let comes = |after: u32| asked.saturating_add(after) < at.next;
        if !comes(at.tick) {
            None
        } else if comes(at.bound) {
            Some(Urgency::Bound(asked))
        } else if comes(at.interval) && self.is_quiet(row, at) {
            (self.due(row, at) < at.next).then_some(Urgency::Bound(asked))
        } else if comes(at.interval) {
            Some(Urgency::Regular(asked))
        } else if self.has(row, HIGH) {
            Some(Urgency::High(std::cmp::Reverse(since)))
        } else {
            self.is_lively(row, at).then_some(Urgency::Changed(std::cmp::Reverse(since)))
        }
    }

    /// When a target's turn is due that is not to come before its time.
    pub fn due(&self, row: u32, at: &Instant) -> u32 {
        let asked = self.times(row).0;
        asked.saturating_add(if self.is_quiet(row, at) {
            self.quiet_turn(row, asked, at)
        } else {
            at.interval
        })
    }

    /// In how many ticks from now a target's turn is due that is not to come before its time.
    pub fn ticks_until(&self, row: u32, at: &Instant) -> usize {
        (self.due(row, at).saturating_sub(at.now) / at.tick.max(1)) as usize
    }

    /// How long after it was asked about a quiet target is due: in its place of a slow round over all targets, so that those
    /// who became quiet together are not all due together. Never longer than the bound. Whoever was asked about shortly
    /// before that place comes half-way to the next one.
    fn quiet_turn(&self, row: u32, asked: u32, at: &Instant) -> u32 {
        let (bound, all) = (u64::from(at.bound.max(1)), self.asked.len().max(1) as u64);
        let place = u64::from(row) * bound / all;
        let to_place = bound - (u64::from(asked) + bound - place) % bound;
        let after = if to_place * 2 >= bound { to_place } else { u64::midpoint(to_place, bound) };
        u32::try_from(after).unwrap_or(u32::MAX).max(at.interval)
    }

    /// How lively a target is, and when its next turn may come, or has to.
    pub fn pace(&self, row: u32, at: &Instant) -> (Pace, Tick) {
        let (asked, since) = self.times(row);
        let ago = STEP * at.now.saturating_sub(since);
        let (pace, due) = if self.has(row, HIGH) {
            (Pace::High, asked.saturating_add(at.tick))
        } else if self.is_lively(row, at) {
            (Pace::Changed(ago), asked.saturating_add(at.tick))
        } else if self.is_quiet(row, at) {
            (Pace::Quiet(ago), self.due(row, at))
        } else if self.is_unchanged(row, at) {
            (Pace::Steady(ago), self.due(row, at))
        } else {
            (Pace::Regular, self.due(row, at))
        };
        (pace, self.began + STEP * due.saturating_sub(self.begins()))
    }

    /// Notes that a target is asked about in this tick; a turn that falls due in it keeps its beat.
    pub fn picked(&mut self, row: u32, at: &Instant) {
        let (due, place) = (self.due(row, at), row as usize);
        let due = if due < at.next { due } else { self.times(row).0.saturating_add(at.tick) };
        self.asked[place] = if (at.now..at.next).contains(&due) { due } else { at.now };
        if self.bits[place] & ROUND != self.round.0 {
            self.bits[place] ^= ROUND;
            self.round.1 = self.round.1.saturating_sub(1);
        }
    }

    /// Notes that the targets from `first` on are asked about now, before their turns.
    pub fn welcomed(&mut self, first: u32, now: Tick) {
        let now = self.time(now);
        self.asked.iter_mut().skip(first as usize).for_each(|asked| *asked = now);
    }

    /// Notes what an answer says of a target.
    pub fn answered(&mut self, row: u32, online: bool, now: Tick) {
        let (now, place) = (self.time(now), row as usize);
        let (Some(bits), Some(since)) = (self.bits.get_mut(place), self.since.get_mut(place)) else { return };
        if *bits & KNOWN != 0 && (*bits & ONLINE != 0) != online {
            *since = now;
            *bits |= CHANGED;
        }
        *bits = (*bits & !ONLINE) | KNOWN | if online { ONLINE } else { 0 };
    }

    /// Goes on with those who stay.
    pub fn replace(&mut self, moves: &Moves) {
        let stays = |row: &usize| moves.index(u32::try_from(*row).unwrap_or(u32::MAX)).is_some();
        let kept: Vec<usize> = (0..self.asked.len()).filter(stays).collect();
        self.asked = kept.iter().map(|&row| self.asked[row]).collect();
        self.since = kept.iter().map(|&row| self.since[row]).collect();
        self.bits = kept.iter().map(|&row| self.bits[row]).collect();
    }

    /// Goes on with so many targets, of which some have a high priority and some are never quiet. The turns of those who are
    /// new are spread over the interval.
    pub fn grow(
        &mut self,
        targets: u32,
        is_high: impl Fn(u32) -> bool,
        is_steady: impl Fn(u32) -> bool,
        now: Tick,
    ) {
        let (known, time) = (u32::try_from(self.asked.len()).unwrap_or(u32::MAX), self.time(now));
        self.asked.resize(targets as usize, time);
        self.since.resize(targets as usize, time);
        self.bits.resize(targets as usize, 0);
        for (row, bits) in (0..).zip(&mut self.bits) {
            let high = if is_high(row) { HIGH } else { 0 };
            let steady = if is_steady(row) { STEADY } else { 0 };
            *bits = (*bits & !(HIGH | STEADY)) | high | steady;
        }
        let new: Vec<u32> = (known..targets).collect();
        self.spread(&new, now);
    }

    /// Lets the turns of these fall due one after the other within the next interval, as plain rounds ask.
    pub fn spread(&mut self, rows: &[u32], now: Tick) {
        let (now, interval, all) = (self.time(now), self.begins(), rows.len() as u64);
        for (place, &row) in (0..).zip(rows) {
            let part = u32::try_from(u64::from(interval) * place / all.max(1)).unwrap_or(u32::MAX);
            self.asked[row as usize] = (now - interval).saturating_add(part);
        }
    }

    /// Begins a round in which so many are to be picked.
    pub fn begin_round(&mut self, targets: u32) {
        self.bits.iter_mut().for_each(|bits| *bits &= !ROUND);
        self.round = (ROUND, targets);
    }

    /// Whether everybody was picked in this round; then the next one, of so many, begins.
    pub fn ends_round(&mut self, targets: u32) -> bool {
        let ends = self.round.1 == 0;
        if ends {
            // Whoever was picked has the bit of the round that is over.
            self.round = (self.round.0 ^ ROUND, targets);
        }
        ends
    }

    fn is_lively(&self, row: u32, at: &Instant) -> bool {
        let changed = self.has(row, CHANGED) && at.now.saturating_sub(self.times(row).1) < at.lively_for;
        changed || self.has(row, HIGH)
    }

    fn is_quiet(&self, row: u32, at: &Instant) -> bool {
        self.is_unchanged(row, at) && !self.has(row, STEADY)
    }

    /// Whether a target has not changed for so long that it is quiet if it may be.
    fn is_unchanged(&self, row: u32, at: &Instant) -> bool {
        at.now.saturating_sub(self.times(row).1) >= at.quiet_after && !self.is_lively(row, at)
    }

    fn has(&self, row: u32, bit: u8) -> bool {
        self.bits.get(row as usize).is_some_and(|bits| bits & bit != 0)
    }

    /// When a target was last picked, and since when it is as it is.
    fn times(&self, row: u32) -> (u32, u32) {
        let of = |times: &[u32]| times.get(row as usize).copied().unwrap_or_default();
        (of(&self.asked), of(&self.since))
    }

    /// A tick in steps; never less than an interval, so that turns may be said to have been before the beginning.
    fn time(&self, at: Tick) -> u32 {
        self.begins().saturating_add(steps(at.since(self.began)))
    }

    fn begins(&self) -> u32 {
        steps(self.interval)
    }
}

fn steps(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX)
}
