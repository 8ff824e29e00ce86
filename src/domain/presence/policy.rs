//! What decides a source's states beside the answers: how long one counts, and how long a change has to stand.

use std::time::Duration;

/// The longest delay of [`Policy`]; a state keeps the age of a pending change in 32 bits of microseconds.
pub const SETTLE_MAX: Duration = Duration::from_secs(3600);

/// What decides a source's states beside the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long an answer counts. Past it the target is unknown.
    pub max_age: Duration,
    /// How long answers must say online before an offline target is concluded to be; at most [`SETTLE_MAX`].
    pub arrive: Duration,
    /// How long answers must say offline before an online target is concluded to be; at most [`SETTLE_MAX`].
    pub leave: Duration,
}

impl Policy {
    /// A policy under which changes settle at once.
    pub const fn at_once(max_age: Duration) -> Self {
        Self { max_age, arrive: Duration::ZERO, leave: Duration::ZERO }
    }

    pub(super) fn delay(&self, online: bool) -> Duration {
        let delay = if online { self.arrive } else { self.leave };
        delay.min(SETTLE_MAX)
    }
}
