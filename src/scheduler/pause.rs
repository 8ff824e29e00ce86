//! When an account must not ask: the provider throttles it, or refuses it as a whole. And when a failed question is asked
//! again. Pure: time and chance come in.

use std::time::Duration;

use crate::domain::{Fault, Tick};

/// The longest wait that a provider may impose; a larger `Retry-After` is cut to it.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// The first pause after a throttle that names no wait; doubled for each that follows.
const THROTTLE_FIRST: Duration = Duration::from_secs(1);

/// The first pause after a refused key, token or clock; doubled for each that follows up to [`WAIT_MAX`]. Huawei locks a
/// key for five minutes after more than five refusals in a row, so refused accounts are asked slowly from the first on.
const REFUSED_FIRST: Duration = Duration::from_secs(60);

/// How often a failed question is asked again before its next regular turn.
pub const ATTEMPTS: u32 = 3;

/// The first delay of a repeated question; doubled for each further attempt.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// An account's pause.
#[derive(Debug, Default)]
pub struct Pause {
    until: Tick,
    throttles: u32,
    refusals: u32,
}

impl Pause {
    /// When new questions may be asked again.
    pub fn until(&self) -> Tick {
        self.until
    }

    /// Whether the account was refused as a whole and no good answer came since: then one question at a time is enough.
    pub fn is_parked(&self) -> bool {
        self.refusals > 0
    }

    /// A good answer came.
    pub fn answered(&mut self) {
        (self.throttles, self.refusals) = (0, 0);
    }

    /// A question failed. Only throttles and account-wide refusals pause.
    pub fn failed(&mut self, now: Tick, fault: Fault, wait: Option<Duration>, chance: u64) {
        let (count, first) = match fault {
            Fault::Throttled => (&mut self.throttles, THROTTLE_FIRST),
            fault if fault.is_account_wide() => (&mut self.refusals, REFUSED_FIRST),
            _ => return,
        };
        let asked = wait.map(|wait| wait.min(WAIT_MAX));
        if now >= self.until {
            // Questions that were under way together count once.
            *count += 1;
            let pause = asked.unwrap_or_else(|| jitter(doubled(first, *count - 1), chance));
            self.until = now + pause;
        } else if let Some(asked) = asked {
            self.until = self.until.max(now + asked);
        }
    }
}

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

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(WAIT_MAX)
}

/// Between half and all of a delay, so that what failed together does not come back together.
fn jitter(delay: Duration, chance: u64) -> Duration {
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
    fn a_wait_that_the_provider_names_is_kept_to_and_cut() {
        let mut pause = Pause::default();
        pause.failed(NOW, Fault::Throttled, Some(Duration::from_secs(7)), 0);
        assert_eq!(pause.until(), NOW + Duration::from_secs(7));
        pause.failed(NOW, Fault::Throttled, Some(LATE), 0);
        assert_eq!(pause.until(), NOW + WAIT_MAX);
    }

    #[test]
    fn a_refused_account_is_asked_ever_more_slowly_until_an_answer_comes() {
        let mut pause = Pause::default();
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..5 {
            pause.failed(now, Fault::Unauthorized, None, u64::MAX);
            waits.push(pause.until().since(now).as_secs());
            now = pause.until();
        }
        assert_eq!(waits, [60, 120, 240, 300, 300]);
        assert!(pause.is_parked());
        pause.answered();
        assert!(!pause.is_parked());
    }

    #[test]
    fn questions_that_failed_together_lengthen_the_pause_once() {
        let mut pause = Pause::default();
        for _ in 0..4 {
            pause.failed(NOW, Fault::Throttled, None, u64::MAX);
        }
        assert_eq!(pause.until(), NOW + THROTTLE_FIRST);
    }

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
