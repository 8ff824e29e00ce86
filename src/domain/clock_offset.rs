//! How far this machine's clock is ahead of a provider's, from the header Date of its answers. Pure.
//!
//! Date has whole seconds: an answer says only that between its request's leaving and its own coming the provider's clock
//! stood somewhere in that second. Each answer so gives a lower and an upper bound; what all of them allow together is far
//! narrower than a second after a few answers at different fractions of it. Clocks drift, so bounds widen with time; an
//! answer that they do not allow, since a clock was set, replaces them.

use super::Moment;

/// A second of the provider's, in milliseconds.
const SECOND_MS: f64 = 1000.0;

/// How far two clocks may drift apart, as a ratio: oscillators of cheap machines are good to 100 ppm each.
const DRIFT: f64 = 0.000_2;

/// The bounds that the answers so far allow.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClockOffset {
    bounds: Option<Bounds>,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    low_ms: f64,
    high_ms: f64,
    at: Moment,
}

impl ClockOffset {
    /// Takes in an answer whose request left at `sent`, that was here at `came`, and says that it was made in the second
    /// that begins at `date_s`, in Unix time.
    pub fn saw(&mut self, date_s: i64, sent: Moment, came: Moment) {
        let date_ms = ms(date_s.saturating_mul(1000));
        let (low_ms, high_ms) = (ms(sent.unix_ms) - date_ms - SECOND_MS, ms(came.unix_ms) - date_ms);
        let new = Bounds { low_ms, high_ms, at: came };
        let both = self.bounds.map(|old| {
            let drift = came.tick.since(old.at.tick).as_secs_f64() * 1000.0 * DRIFT;
            Bounds {
                low_ms: low_ms.max(old.low_ms - drift),
                high_ms: high_ms.min(old.high_ms + drift),
                at: came,
            }
        });
        self.bounds = Some(both.filter(|both| both.low_ms <= both.high_ms).unwrap_or(new));
    }

    /// Seconds that this machine's clock is ahead of the provider's: the middle of what is possible. None before the first
    /// answer.
    pub fn ahead_seconds(&self) -> Option<f64> {
        self.bounds.map(|bounds| f64::midpoint(bounds.low_ms, bounds.high_ms) / 1000.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
fn ms(unix_ms: i64) -> f64 {
    unix_ms as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::Tick;

    const NOW: Moment = Moment { tick: Tick::from_micros(1_000_000), unix_ms: 1_700_000_000_000 };

    fn after(ms: u64) -> Moment {
        NOW.plus(Duration::from_millis(ms))
    }

    /// An answer that took `there` and `back`, of a provider whose clock is `behind_ms` behind ours.
    fn answer(offset: &mut ClockOffset, at_ms: u64, there: u64, back: u64, behind_ms: i64) {
        let made = after(at_ms + there).unix_ms - behind_ms;
        offset.saw(made.div_euclid(1000), after(at_ms), after(at_ms + there + back));
    }

    #[test]
    fn the_first_answer_tells_it_to_a_second_and_more_tell_it_better() {
        let mut offset = ClockOffset::default();
        assert_eq!(offset.ahead_seconds(), None);
        answer(&mut offset, 0, 20, 20, 17 * 60_000);
        let first = offset.ahead_seconds().expect("an answer came");
        assert!((first - 1020.0).abs() <= 0.55, "{first}");
        (1..50).for_each(|n| answer(&mut offset, n * 10_130, 20, 20, 17 * 60_000));
        let better = offset.ahead_seconds().expect("answers came");
        assert!((better - 1020.0).abs() <= 0.06, "{better}");
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_with_the_next_answer() {
        let mut offset = ClockOffset::default();
        (0..50).for_each(|n| answer(&mut offset, n * 10_130, 20, 20, 0));
        answer(&mut offset, 600_000, 20, 20, -90_000);
        let seen = offset.ahead_seconds().expect("answers came");
        assert!((seen + 90.0).abs() <= 0.55, "{seen}");
    }

    proptest! {
        #[test]
        fn the_estimate_is_never_further_off_than_one_answer_allows(
            behind_ms in -10_000_000_i64..10_000_000,
            answers in prop::collection::vec((0_u64..30_000, 0_u64..900, 0_u64..900), 1..40),
        ) {
            let mut offset = ClockOffset::default();
            let mut at = 0;
            for (pause, there, back) in answers {
                at += pause;
                answer(&mut offset, at, there, back, behind_ms);
                at += there + back;
                let ahead = offset.ahead_seconds().expect("an answer came") * 1000.0;
                let error = (ahead - ms(behind_ms)).abs();
                prop_assert!(error <= f64::midpoint(1000.0, ms(i64::try_from(there + back).unwrap())) + 1.0, "{error} ms");
            }
        }
    }
}
