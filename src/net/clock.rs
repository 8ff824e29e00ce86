//! The real clock: monotonic ticks from the process's start, and Unix time that never moves back.
//!
//! It does not correct the system's clock: when that is set back, Unix time stands still until it has caught up.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::{Moment, Tick};
use crate::ports::{BoxFuture, Clock};

/// How far ahead a sleep may reach. Tokio cannot keep timers of more than about two years, and nobody here waits longer
/// than a day; a sleep beyond it is cut into pieces.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    unix: Held,
}

impl SystemClock {
    /// A clock whose ticks count from now.
    pub fn start() -> Self {
        Self { start: monotonic(), unix: Held(AtomicI64::new(i64::MIN)) }
    }

    fn tick(&self) -> Tick {
        Tick::ZERO + monotonic().saturating_duration_since(self.start)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { tick: self.tick(), unix_ms: self.unix.at_least(system_unix_ms()) }
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = tick.since(self.tick());
                if left.is_zero() {
                    return;
                }
                // The timer has a resolution of a millisecond and wakes no earlier than asked.
                let wake = monotonic() + left.min(LONGEST_SLEEP);
                tokio::time::sleep_until(wake.into()).await;
            }
        })
    }
}

/// The highest value seen so far.
#[derive(Debug)]
struct Held(AtomicI64);

impl Held {
    fn at_least(&self, value: i64) -> i64 {
        self.0.fetch_max(value, Ordering::Relaxed).max(value)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock port itself")]
fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock port itself")]
fn system_unix_ms() -> i64 {
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_stands_still_while_the_system_s_clock_is_behind_itself() {
        let held = Held(AtomicI64::new(i64::MIN));
        let said: Vec<i64> = [1_000, 1_500, 200, 1_499, 1_501].map(|ms| held.at_least(ms)).to_vec();
        assert_eq!(said, [1_000, 1_500, 1_500, 1_500, 1_501]);
    }

    #[test]
    fn both_clocks_move_forward_and_start_where_they_should() {
        let clock = SystemClock::start();
        let first = clock.now();
        assert!(first.tick < Tick::ZERO + Duration::from_secs(5), "{first:?}");
        // 2024-01-01: a machine whose clock is older than this code cannot sign anything anyway.
        assert!(first.unix_ms > 1_704_067_200_000, "{first:?}");
        let second = clock.now();
        assert!(second.tick >= first.tick && second.unix_ms >= first.unix_ms);
    }

    #[tokio::test]
    async fn a_sleep_ends_at_its_tick_and_not_before_and_a_past_tick_does_not_wait() {
        let clock = SystemClock::start();
        let due = clock.now().tick + Duration::from_millis(20);
        clock.sleep_until(due).await;
        assert!(clock.now().tick >= due);
        let past = clock.sleep_until(Tick::ZERO);
        assert!(futures_util::FutureExt::now_or_never(past).is_some());
        // So far ahead that adding it to an instant would overflow: it waits, and does not panic.
        let never = clock.sleep_until(Tick::from_micros(u64::MAX));
        assert!(futures_util::FutureExt::now_or_never(never).is_none());
    }
}
