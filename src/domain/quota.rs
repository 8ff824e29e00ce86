//! How many requests may leave in which window: a provider's documented limits, and what an operator allows.

use std::time::Duration;

/// The length of a sliding window in which requests are counted; the label `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Window {
    Second,
    Minute,
    Hour,
    Day,
    /// Thirty days, the shortest bill that providers write but for February's.
    Month,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
        })
    }
}

/// Who shares a provider's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything that asks this action under the same account.
    Action,
    /// Everything that asks the provider from the same network address, whatever the account.
    Address,
}

/// A limit that a provider documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Calls that are allowed in a window.
    pub calls: u32,
    /// The window.
    pub per: Window,
    /// Who shares it.
    pub scope: Scope,
}

impl Limit {
    /// So many calls a second of one action under one account.
    pub const fn per_second(calls: u32) -> Self {
        Self { calls, per: Window::Second, scope: Scope::Action }
    }
}

/// What an account may spend, in every sliding window.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// Requests a second at most; positive and finite.
    pub per_second: f64,
    /// Requests at most in longer windows, shortest first, each window once.
    pub longer: Vec<(Window, u64)>,
}

impl Quota {
    /// So many requests a second, and no other limit.
    pub fn per_second(per_second: f64) -> Self {
        Self { per_second, longer: Vec::new() }
    }

    /// The rate, in requests a second, that can be kept up for ever.
    #[expect(clippy::cast_precision_loss, reason = "quotas are far below 2^52")]
    pub fn sustained_per_second(&self) -> f64 {
        let rates = self.longer.iter().map(|(window, calls)| *calls as f64 / window.length().as_secs_f64());
        rates.fold(self.per_second, f64::min)
    }
}
