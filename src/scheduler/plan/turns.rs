//! What a cadence changes of a plan: the ceiling stays that of plain rounds, and the floor is that of quiet targets.

use std::time::Duration;

use crate::config::Cadence;
use crate::domain::Roster;
use crate::providers::Step;
use crate::scheduler::packing::Capacity;

/// A cadence, as far as calls depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// How often which targets are asked about.
    pub settings: Cadence,
    /// Requests that asking about everybody once takes at least, however they are put together.
    pub least: u64,
    /// Targets of one request at most.
    pub ids: u64,
}

impl Turns {
    /// The turns of these targets; none where all are asked about at once.
    pub fn of(settings: Cadence, steps: &[Step], roster: &Roster) -> Option<Self> {
        let capacity = Capacity::of(steps)?;
        let (ids, weight) = (capacity.ids as u64, capacity.weight.max(1) as u64);
        let weighs: u64 = roster.iter().map(|target| (capacity.weigh)(target.id) as u64).sum();
        let least = u64::from(roster.len()).div_ceil(ids).max(weighs.div_ceil(weight));
        // An id that is heavier than a request's limit goes alone, and weighs no more than that.
        Some(Self { settings, least: least.min(roster.len().into()), ids })
    }

    /// Requests within `window` of the start that are sure: everybody keeps the interval until all are quiet, and is asked
    /// about once in `slowest` and a tick from then on.
    pub fn sure(&self, interval: Duration, window: Duration) -> u64 {
        if window.is_zero() || self.least == 0 {
            return 0;
        }
        let regular = window.min(self.settings.quiet_after);
        let rounds = whole(regular, self.whole_ticks(interval))
            + whole(window.saturating_sub(regular), self.slow(interval));
        (rounds * self.least).max(1)
    }

    /// How long it takes at most until everybody was asked about once, when all are quiet.
    pub fn slow(&self, interval: Duration) -> Duration {
        let apart = interval / u32::try_from(self.least.max(1)).unwrap_or(u32::MAX);
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
        let turns = Turns { settings, least: 4, ids: 50 };
        // Three online have an answer at each tick of the hour, and every tenth brings a detail.
        assert_eq!(turns.details(3, 10, 480, seconds(3600)), 3 * 36);
        // All of two hundred cannot: 480 requests hold 24,000 answers.
        assert_eq!(turns.details(200, 10, 480, seconds(3600)), 2_400);
    }
}
