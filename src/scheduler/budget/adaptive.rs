//! How fast an account may go after its provider throttled it: half as fast, and twice as fast again within each
//! [`DOUBLING`], up to the quota. A closed formula of the time since: nothing ticks.

use std::time::Duration;

use crate::domain::Tick;

/// Throttles within this time after a halving are answers to requests of before, and change nothing.
pub const ONCE: Duration = Duration::from_secs(5);

/// How long a lowered rate takes to double. A provider whose limit is lower than the quota is then tried about once in
/// this time, whatever the limit is.
pub const DOUBLING: Duration = Duration::from_secs(60);

/// The lowest rate is this part of the quota, eight doublings below it...
const LOWEST: f64 = 1.0 / 256.0;

/// ... but no lower than one request a second, or than this part of a quota for which that is not low: who may ask but
/// little would be blind for minutes.
const LOWEST_OF_FEW: f64 = 1.0 / 16.0;

/// An account's present rate.
#[derive(Debug, Clone)]
pub struct Adaptive {
    full: f64,
    /// The rate after the last halving, and when that was.
    lowered: Option<(f64, Tick)>,
}

impl Adaptive {
    /// Full speed, in requests a second.
    pub fn new(full: f64) -> Self {
        Self { full, lowered: None }
    }

    /// Whether this is the full speed.
    #[expect(clippy::float_cmp, reason = "the same number of the same configuration")]
    pub fn is_of(&self, full: f64) -> bool {
        self.full == full
    }

    /// Requests a second that may be sent now.
    pub fn rate(&self, now: Tick) -> f64 {
        self.lowered.map_or(self.full, |(rate, since)| {
            let doublings = now.since(since).as_secs_f64() / DOUBLING.as_secs_f64();
            (rate * doublings.exp2()).min(self.full)
        })
    }

    /// How many times further apart requests are now than at full speed.
    pub fn stretch(&self, now: Tick) -> f64 {
        self.full / self.rate(now)
    }

    /// A request was throttled. Whether that lowered the rate.
    pub fn throttled(&mut self, now: Tick) -> bool {
        if self.lowered.is_some_and(|(_, since)| now.since(since) < ONCE) {
            return false;
        }
        let lowest = (self.full * LOWEST).max((self.full * LOWEST_OF_FEW).min(1.0));
        self.lowered = Some(((self.rate(now) / 2.0).max(lowest), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from_micros((seconds + 1) * 1_000_000)
    }

    fn is(rate: f64, expected: f64) {
        assert!((rate - expected).abs() < 1e-9, "{rate} instead of {expected}");
    }

    #[test]
    fn a_throttle_halves_the_rate_and_a_minute_doubles_it_up_to_the_quota() {
        let mut adaptive = Adaptive::new(20.0);
        is(adaptive.rate(at(0)), 20.0);
        assert!(adaptive.throttled(at(0)));
        is(adaptive.rate(at(0)), 10.0);
        is(adaptive.stretch(at(0)), 2.0);
        assert!(adaptive.rate(at(30)) > 14.0 && adaptive.rate(at(30)) < 14.2);
        is(adaptive.rate(at(60)), 20.0);
        is(adaptive.rate(at(100_000)), 20.0);
    }

    #[test]
    fn throttles_that_come_together_halve_it_once() {
        let mut adaptive = Adaptive::new(20.0);
        assert!(adaptive.throttled(at(0)));
        assert!((1..5).all(|second| !adaptive.throttled(at(second))));
        assert!(adaptive.throttled(at(5)));
        assert!(adaptive.rate(at(5)) < 5.4);
    }

    #[test]
    fn a_provider_that_throttles_for_ever_is_still_asked_now_and_then() {
        let mut adaptive = Adaptive::new(256.0);
        (0..100).for_each(|n| {
            adaptive.throttled(at(n * 5));
        });
        is(adaptive.rate(at(495)), 1.0);
        for (full, lowest) in [(1_000.0, 1_000.0 / 256.0), (20.0, 1.0), (1.0, 0.0625)] {
            let mut adaptive = Adaptive::new(full);
            (0..100).for_each(|n| {
                adaptive.throttled(at(n * 5));
            });
            is(adaptive.rate(at(495)), lowest);
        }
    }
}
