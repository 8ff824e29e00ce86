//! An account's budget: so many HTTP requests a second and never more, in no window of any length.
//!
//! A deadline (GCRA): each request takes the next slot, slots are a fixed distance apart, and a slot that was missed by
//! more than [`LAG`] is lost rather than made up. Pure: the caller brings the time and does the waiting.
//!
//! Why no window exceeds the budget: requests leave at most [`LAG`] after their slot, so those of a window of `w` seconds
//! have slots in `w + LAG`, of which there are at most `(w + LAG) × 0.98 Q + 1`. For one second that is below `Q + 1`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::Tick;

/// How late a request may leave after its slot. Timers here are a millisecond coarse; more is a stall.
pub const LAG: Duration = Duration::from_millis(5);

/// The share of the budget that is used: what is left covers [`LAG`] and the network's jitter.
pub const SHARE: f64 = 0.98;

/// One account's budget.
#[derive(Debug)]
pub struct Budget {
    distance: Duration,
    next: Mutex<Tick>,
}

impl Budget {
    /// A budget of this many requests a second, which must be positive and finite.
    pub fn new(requests_per_second: f64) -> Self {
        let distance = Duration::from_secs_f64(1.0 / (requests_per_second * SHARE));
        Self { distance, next: Mutex::new(Tick::ZERO) }
    }

    /// When a request could leave that is booked now. Books nothing.
    pub fn free_at(&self) -> Tick {
        *self.lock()
    }

    /// Takes the next slot and says when it is. Who comes later than [`LAG`] after it must book again.
    pub fn book(&self, now: Tick) -> Tick {
        let mut next = self.lock();
        let slot = if now.since(*next) <= LAG { *next } else { now };
        *next = slot + self.distance;
        slot
    }

    /// The distance of two slots.
    pub fn distance(&self) -> Duration {
        self.distance
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tick> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request that was booked for `slot` may leave at `now`.
pub fn in_time(slot: Tick, now: Tick) -> bool {
    now.since(slot) <= LAG
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most requests in any window of this length.
    fn fullest(sent: &[u64], window_us: u64) -> usize {
        (0..sent.len())
            .map(|from| sent[from..].iter().take_while(|&&at| at - sent[from] < window_us).count())
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_window_exceeds_the_budget_however_the_caller_stalls(
            rate in 1_u32..1000,
            stalls in prop::collection::vec(0_u64..400_000, 1..400),
        ) {
            let budget = Budget::new(f64::from(rate));
            let mut now = Tick::from_micros(1);
            let mut sent = Vec::new();
            for stall in stalls {
                // Most waits are exact, some are late by anything: a timer, a stalled machine.
                let late = if stall % 3 == 0 { stall } else { stall % 4000 };
                let slot = budget.book(now);
                let wake = Tick::from_micros(slot.max(now).as_micros() + late);
                now = wake;
                if in_time(slot, now) {
                    sent.push(now.as_micros());
                }
            }
            sent.sort_unstable();
            for seconds in [1_u64, 2, 5, 60] {
                let allowed = usize::try_from(u64::from(rate) * seconds).unwrap();
                prop_assert!(fullest(&sent, seconds * 1_000_000) <= allowed);
            }
        }
    }

    #[test]
    fn a_caller_in_time_uses_nearly_all_of_the_budget() {
        let budget = Budget::new(100.0);
        let (mut now, mut sent) = (Tick::from_micros(1), 0);
        while now.since(Tick::ZERO) < Duration::from_secs(60) {
            // Each wait ends a little late; the lag is not added up.
            let slot = budget.book(now);
            now = slot.max(now) + Duration::from_micros(900);
            sent += u32::from(in_time(slot, now));
        }
        assert!(sent >= 5_820, "{sent} of 6000");
    }
}
