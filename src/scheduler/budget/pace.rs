//! One window of one budget, as a deadline (GCRA): each request takes the next slot, slots are a fixed distance apart, and
//! a slot that was missed by more than the window's slack is lost rather than made up.
//!
//! Why no window exceeds its limit: a request leaves at its slot or at most the slack after it, so those of any half-open
//! stretch of length `w` have slots in a stretch of `w + slack`, of which there are at most `(w + slack) / distance`,
//! rounded up. The distance is chosen so that this is at most the limit. So one number a window suffices, the window is
//! spent evenly, and nobody is blind for the rest of a day because of its first hour.

use std::time::Duration;

use crate::domain::{Tick, Window};

/// How late a request may leave after its slot of a second. Timers here are a millisecond coarse; more is a stall.
pub const LAG: Duration = Duration::from_millis(5);

/// The share of a second's budget that is used: what is left covers [`LAG`] and the network's jitter.
pub const SHARE: f64 = 0.98;

/// The share of a longer window that may be made up when it was not used: a first round, or the pages of a listing, go
/// fast. What is made up is what the even pace is lower than the limit.
const SLACK: f64 = 0.02;

/// The share of a longer window's limit that is used, beside what [`SLACK`] costs: requests reach the provider earlier or
/// later than they leave.
const SHARE_LONGER: f64 = 0.995;

/// The place in one window.
#[derive(Debug, Clone)]
pub struct Pace {
    window: Window,
    limit: f64,
    slack: i64,
    distance: i64,
    /// The next slot, in microseconds of the clock; before its beginning when a former process left something unused.
    next: i64,
}

impl Pace {
    /// A window that may hold `limit` requests, positive and finite; its first slot is `now`, and nothing is made up from
    /// before.
    pub fn new(window: Window, limit: f64, now: Tick) -> Self {
        let length = window.length();
        let (slack, calls) = match window {
            Window::Second => (LAG, limit * SHARE),
            // A window of few requests has none to make up: slack would only widen their distance.
            _ if limit * SLACK < 1.0 => (LAG, limit * SHARE_LONGER),
            _ => (length.mul_f64(SLACK), limit * SHARE_LONGER),
        };
        let distance = match window {
            Window::Second => length.as_secs_f64() / calls,
            _ => (length + slack).as_secs_f64() / calls.max(1.0),
        };
        // Rounded up to whole microseconds, or a long window would hold more.
        let distance = Duration::try_from_secs_f64(distance + 0.000_001).unwrap_or(Duration::MAX);
        Self { window, limit, slack: micros(slack), distance: micros(distance), next: at(now) }
    }

    /// Whether this is the same window with the same limit.
    pub fn is_like(&self, other: &Self) -> bool {
        self.window == other.window && self.limit.to_bits() == other.limit.to_bits()
    }

    /// Which window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// What it may hold.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// When the next slot is.
    pub fn free_at(&self) -> Tick {
        Tick::from_micros(u64::try_from(self.next).unwrap_or(0))
    }

    /// Takes the next slot for a request that leaves `now`, which is not before [`Pace::free_at`]; the one after it is
    /// `stretch` times as far away as usual (1 or more).
    pub fn take(&mut self, now: Tick, stretch: f64) {
        let slot = self.next.max(at(now).saturating_sub(self.slack));
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "months in microseconds"
        )]
        let distance = (self.distance as f64 * stretch.max(1.0)).ceil() as i64;
        self.next = slot.saturating_add(distance);
    }

    /// How far the next slot is ahead of `now`, in microseconds: negative when something was left unused.
    pub fn ahead(&self, now: Tick) -> i64 {
        self.next.saturating_sub(at(now))
    }

    /// Takes over what a former process knew at `saved`, in microseconds of this clock and perhaps before its beginning:
    /// how far its next slot was ahead then. From then to `now` it may have sent this many requests more that nobody
    /// knows of. Nothing is believed that this window would not have allowed.
    pub fn restore(&mut self, ahead: i64, saved: i64, unknown: f64, now: Tick) {
        let latest = at(now).saturating_add(self.distance);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a cast of a float saturates"
        )]
        let spent = (self.distance as f64 * unknown.max(0.0)).ceil() as i64;
        let next = saved.saturating_add(ahead.max(-self.slack)).saturating_add(spent);
        self.next = next.min(latest);
    }
}

/// A tick in microseconds.
pub fn at(tick: Tick) -> i64 {
    i64::try_from(tick.as_micros()).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
