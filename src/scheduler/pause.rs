//! How long to wait: when a failed question is asked again, and how delays grow and scatter. Pure: time and chance come in.

use std::time::Duration;

use crate::domain::{Fault, Tick};

/// The longest wait that a provider may impose; a larger `Retry-After` is cut to it.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// How often a failed question is asked again before its next regular turn.
pub const ATTEMPTS: u32 = 3;

/// The first delay of a repeated question; doubled for each further attempt.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);

/// When a failed question is asked again, if that makes sense before its next regular turn.
pub fn retry(
    now: Tick,
    fault: Fault,
    wait: Option<Duration>,
    attempt: u32,
    interval: Duration,
    chance: u64,
) -> Option<Tick> {
    if !fault.is_transient() || attempt + 1 >= ATTEMPTS {
        return None;
    }
    let delay = jitter(doubled(RETRY_FIRST, attempt), chance).max(wait.unwrap_or_default().min(WAIT_MAX));
    (delay < interval).then(|| now + delay)
}

/// A delay that doubles so many times, up to [`WAIT_MAX`].
pub fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(WAIT_MAX)
}

/// Between half and all of a delay, so that what failed together does not come back together.
pub fn jitter(delay: Duration, chance: u64) -> Duration {
    let half = delay / 2;
    let part = u32::try_from(chance >> 48).expect("16 bits");
    half + half * part / 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick::from_micros(1_000_000);
    const LATE: Duration = Duration::from_secs(3600);

    #[test]
    fn only_what_may_pass_is_asked_again_and_not_for_ever() {
        let again = |fault, attempt| retry(NOW, fault, None, attempt, LATE, 0).is_some();
        assert!(again(Fault::Timeout, 0) && again(Fault::ServerError, 1));
        assert!(!again(Fault::Timeout, ATTEMPTS - 1));
        assert!(!again(Fault::Forbidden, 0) && !again(Fault::Unauthorized, 0) && !again(Fault::Rejected, 0));
    }

    #[test]
    fn a_retry_that_would_come_after_the_next_turn_is_left_to_it() {
        let wait = Some(Duration::from_secs(40));
        assert_eq!(retry(NOW, Fault::Throttled, wait, 0, Duration::from_secs(30), 0), None);
    }
}
