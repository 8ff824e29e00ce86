//! Two clocks in one value: a monotonic tick for delays and ages, Unix time for facts.

use std::ops::Add;
use std::time::Duration;

/// Monotonic time since the clock's own beginning, in microseconds. Delays and ages are judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// The clock's beginning.
    pub const ZERO: Self = Self(0);

    /// A tick from microseconds since the clock's beginning.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the clock's beginning.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This tick moved back by `by`, not before the beginning.
    #[must_use]
    pub fn back(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(micros(delay)))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One instant on both clocks.
///
/// `unix_ms` never moves back within one process: the clock port holds it when the system's clock is set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Monotonic time; what delays and ages are judged by.
    pub tick: Tick,
    /// Milliseconds since 1970-01-01T00:00:00Z; what facts are kept in.
    pub unix_ms: i64,
}

impl Moment {
    /// The same instant moved on by `by` on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self { tick: self.tick + by, unix_ms: self.unix_ms.saturating_add(ms) }
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_seconds(self) -> i64 {
        self.unix_ms.div_euclid(1000)
    }
}
