//! What a cadence changes of a plan: the ceiling stays that of plain rounds, and the floor is that of quiet targets.

use std::time::Duration;

use crate::config::Cadence;
use crate::domain::{Priority, Roster};
use crate::providers::Step;
use crate::scheduler::packing::Capacity;

/// A cadence, as far as calls depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// How often which targets are asked about.
    pub settings: Cadence,
    /// Everybody.
    pub all: Load,
    /// Those who are never quiet: of high priority, or wanted sooner than `slowest` by another source.
    pub brisk: Load,
    /// Targets of one request at most.
    pub ids: u64,
}

/// Some of the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// How many they are.
    pub targets: u64,
    /// Requests that asking about each of them once takes at least, however they are put together.
    pub least: u64,
}

impl Turns {
    /// The turns of these targets, who have this priority unless they say otherwise; none where all are asked about at once.
    pub fn of(settings: Cadence, steps: &[Step], roster: &Roster, priority: Priority) -> Option<Self> {
        let capacity = Capacity::of(steps)?;
        let is_brisk =
            |row: u32| roster.is_steady(row) || roster.priority(row).unwrap_or(priority) == Priority::High;
        let all = Load::of(capacity, roster, &|_| true);
        let brisk = Load::of(capacity, roster, &is_brisk);
        Some(Self { settings, all, brisk, ids: capacity.ids as u64 })
    }

    /// Requests within `window` of the start that are sure: everybody keeps the interval until all are quiet who may be, and
    /// these are asked about once in `slowest` and a tick from then on.
    pub fn sure(&self, interval: Duration, window: Duration) -> u64 {
        if window.is_zero() || self.all.least == 0 {
            return 0;
        }
        let round = self.whole_ticks(interval);
        let regular = window.min(self.settings.quiet_after);
        let quiet = window.saturating_sub(regular);
        let (rounds, slow_rounds) = (whole(quiet, round), whole(quiet, self.slow(interval)));
        let rest = self.all.targets - self.brisk.targets;
        let mixed = (rounds * self.brisk.targets + slow_rounds * rest) / self.ids.max(1);
        let quiet = (rounds * self.brisk.least).max(slow_rounds * self.all.least).max(mixed);
        (whole(regular, round) * self.all.least + quiet).max(1)
    }

    /// Requests a second that are sure in the long run.
    #[expect(clippy::cast_precision_loss, reason = "targets are far below 2^52")]
    pub fn sure_per_second(&self, interval: Duration) -> f64 {
        let of = |number: u64, time: Duration| number as f64 / time.as_secs_f64();
        let (round, slow) = (self.whole_ticks(interval), self.slow(interval));
        let rest = self.all.targets - self.brisk.targets;
        let mixed = (of(self.brisk.targets, round) + of(rest, slow)) / self.ids.max(1) as f64;
        of(self.brisk.least, round).max(of(self.all.least, slow)).max(mixed)
    }

    /// How long it takes at most until everybody was asked about once, when all are quiet.
    pub fn slow(&self, interval: Duration) -> Duration {
        let apart = interval / u32::try_from(self.all.least.max(1)).unwrap_or(u32::MAX);
        (self.settings.slowest + self.settings.fastest.max(apart)).max(interval)
    }

    /// A stretch of time up to the end of the tick in which it ends: what a tick may ask, it may ask at its beginning.
    pub fn whole_ticks(&self, time: Duration) -> Duration {
        let tick = self.settings.fastest.as_micros().max(1);
        Duration::from_micros(u64::try_from(time.as_micros().div_ceil(tick) * tick).unwrap_or(u64::MAX))
    }

    /// The most details in `window` of so many targets online, one after every `again` answers about each: lively ones have
    /// more answers, but all together no more than requests can hold.
    pub fn details(&self, online: u64, again: u64, requests: u64, window: Duration) -> u64 {
        let turns = whole(window, self.settings.fastest) + 1;
        (online * (turns / again.max(1))).min(requests * self.ids / again.max(1))
    }

    /// The same with a slowest turn of so long.
    #[must_use]
    pub fn slowest(self, slowest: Duration) -> Self {
        Self { settings: Cadence { slowest, ..self.settings }, ..self }
    }
}

impl Load {
    fn of(capacity: Capacity, roster: &Roster, is_meant: &dyn Fn(u32) -> bool) -> Self {
        let meant = || roster.iter().filter(|target| is_meant(target.row.index));
        let (ids, weight) = (capacity.ids as u64, capacity.weight.max(1) as u64);
        let weighs: u64 = meant().map(|target| (capacity.weigh)(target.id) as u64).sum();
        let targets = meant().count() as u64;
        // An id that is heavier than a request's limit goes alone, and weighs no more than that.
        Self { targets, least: targets.div_ceil(ids).max(weighs.div_ceil(weight)).min(targets) }
    }
}

/// How often `part` goes into `all`.
fn whole(all: Duration, part: Duration) -> u64 {
    u64::try_from(all.as_micros() / part.as_micros().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_as_many_as_lively_targets_have_answers_for_and_requests_can_hold() {
        let seconds = Duration::from_secs;
        let [fastest, slowest, lively_for, quiet_after] = [10, 300, 600, 3600].map(seconds);
        let settings = Cadence { fastest, slowest, lively_for, quiet_after };
        let all = Load { targets: 200, least: 4 };
        let turns = Turns { settings, all, brisk: Load::default(), ids: 50 };
        // Three online have an answer at each tick of the hour, and every tenth brings a detail.
        assert_eq!(turns.details(3, 10, 480, seconds(3600)), 3 * 36);
        // All of two hundred cannot: 480 requests hold 24,000 answers.
        assert_eq!(turns.details(200, 10, 480, seconds(3600)), 2_400);
    }

    #[test]
    fn those_who_are_never_quiet_are_asked_about_at_the_interval_for_sure() {
        let seconds = Duration::from_secs;
        let [fastest, slowest, lively_for, quiet_after] = [10, 280, 600, 600].map(seconds);
        let settings = Cadence { fastest, slowest, lively_for, quiet_after };
        let turns = |brisk: Load| Turns { settings, all: Load { targets: 300, least: 3 }, brisk, ids: 100 };
        let (nobody, all) = (Load::default(), Load { targets: 300, least: 3 });
        // Ten minutes of rounds every minute, then twenty minutes of slow rounds every five.
        assert_eq!(turns(nobody).sure(seconds(60), seconds(1800)), 10 * 3 + 4 * 3);
        assert_eq!(turns(all).sure(seconds(60), seconds(1800)), 30 * 3);
        // A third of them at the interval; the others fill these requests up, as far as that goes.
        let some = Load { targets: 110, least: 2 };
        assert_eq!(turns(some).sure(seconds(60), seconds(1800)), 10 * 3 + 20 * 2);
        let per_minute = |brisk: Load| turns(brisk).sure_per_second(seconds(60)) * 60.0;
        assert!((per_minute(nobody) - 3.0 / 5.0).abs() < 1e-9 && (per_minute(all) - 3.0).abs() < 1e-9);
        assert!((per_minute(some) - 2.0).abs() < 1e-9);
    }
}
