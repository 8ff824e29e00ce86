//! What is done about a key at an instant: one pure decision, and how long each kind of failure is waited out.
//!
//! It fetches nothing and knows no provider.

use std::time::Duration;

use crate::domain::{Fault, Tick};
use crate::providers::Failure;

/// How long before its end a key is renewed, unless a fifth of its life is less: the vendors' own clients take 15 minutes
/// (Alibaba Cloud), 40 minutes (Huawei Cloud) and one to five (Volcengine).
pub const MARGIN: Duration = Duration::from_secs(15 * 60);

/// How long a renewal that failed is put off while the key in hand holds, and how long a key that has just come is not
/// asked for anew even if it is refused.
pub const PUT_OFF: Duration = Duration::from_secs(60);

/// The first wait after a failure that may pass, when there is no key at all; doubled for each that follows.
const PASSING_FIRST: Duration = Duration::from_secs(2);

/// The longest such wait.
const PASSING_MAX: Duration = Duration::from_secs(60);

/// The first wait after a refusal, when there is no key at all; doubled for each that follows. Whoever is refused asks
/// slowly: somebody has to mend something first.
const REFUSED_FIRST: Duration = Duration::from_secs(60);

/// The longest such wait.
const REFUSED_MAX: Duration = Duration::from_secs(300);

/// After how long a key of this life is renewed.
pub fn kept(life: Duration) -> Duration {
    life.saturating_sub(MARGIN.min(life / 5))
}

/// What is done about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It holds.
    Use,
    /// It holds, and it is time to get the next one; whoever finds that being done goes on with this one.
    RefreshAndUse,
    /// There is none that holds: nobody goes on before there is.
    Refresh,
    /// There is none that holds, and it is too early to ask for one again.
    Wait(Duration),
}

/// How long a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// From when on the next one is asked for.
    pub renew_at: Tick,
    /// From when on it must not be used; `None`: it holds until somebody changes it.
    pub ends_at: Option<Tick>,
}

impl Term {
    /// The term of a key that was asked for at `from` and lives for `life` from then on.
    pub fn new(from: Tick, life: Option<Duration>) -> Self {
        match life {
            None => Self { renew_at: Tick::from_micros(u64::MAX), ends_at: None },
            Some(life) => Self { renew_at: from + kept(life), ends_at: Some(from + life) },
        }
    }

    fn holds(self, now: Tick) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }
}

/// The last attempt to get a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// How many in a row failed, this one included; 0: it went well.
    pub failures: u32,
    /// Until when the next one is put off while the key in hand holds.
    pub put_off: Tick,
    /// Until when the next one waits when there is none.
    pub wait: Tick,
}

impl Attempt {
    /// An attempt that brought a key of this life. It may be due again at once, since an instance's metadata hand out the
    /// same key until they have a new one: a tenth of its life is waited out, a second at least.
    pub fn good(at: Tick, life: Option<Duration>) -> Self {
        let pause = (life.unwrap_or(PUT_OFF) / 10).clamp(Duration::from_secs(1), PUT_OFF);
        Self { failures: 0, put_off: at + pause, wait: at }
    }

    /// An attempt that failed, after another perhaps.
    pub fn failed(at: Tick, before: Option<Self>, failure: &Failure) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let (first, most) = if failure.fault.is_transient() {
            (PASSING_FIRST, PASSING_MAX)
        } else {
            (REFUSED_FIRST, REFUSED_MAX)
        };
        let own = first.saturating_mul(1 << (failures - 1).min(16)).min(most);
        let wait = own.max(failure.wait.unwrap_or_default().min(REFUSED_MAX));
        Self { failures, put_off: at + wait.max(PUT_OFF), wait: at + wait }
    }
}

/// What is to be done at `now` about a key of this term (none: there is no key), after this last attempt to get one.
pub fn decide(now: Tick, term: Option<Term>, last: Option<Attempt>) -> Decision {
    match (term.filter(|term| term.holds(now)), last) {
        (Some(term), _) if now < term.renew_at => Decision::Use,
        (Some(_), Some(last)) if now < last.put_off => Decision::Use,
        (Some(_), _) => Decision::RefreshAndUse,
        (None, Some(last)) if last.failures > 0 && now < last.wait => Decision::Wait(last.wait.since(now)),
        (None, _) => Decision::Refresh,
    }
}

/// A failure to get a key, as the question's own. A refusal of whatever kind means that the account's credentials have to
/// be mended: no id of the question's is refused, and no batch is to be cut for it.
pub fn as_credentials(mut failure: Failure) -> Failure {
    if matches!(failure.fault, Fault::RefusedId | Fault::Rejected) {
        failure.fault = Fault::Unauthorized;
    }
    failure.message = format!("no credentials: {}", failure.message);
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const START: Tick = Tick::from_micros(5_000_000);

    fn at(seconds: u64) -> Tick {
        START + Duration::from_secs(seconds)
    }

    fn refused() -> Failure {
        Failure::new(Fault::Unauthorized, "no")
    }

    #[test]
    fn a_key_is_used_renewed_in_time_and_never_used_past_its_end() {
        let term = Some(Term::new(START, Some(HOUR)));
        let good = Some(Attempt::good(START, Some(HOUR)));
        assert_eq!(decide(at(0), None, None), Decision::Refresh);
        assert_eq!(decide(at(3600 - 721), term, good), Decision::Use);
        // A fifth of an hour is 12 minutes, which is less than 15.
        assert_eq!(decide(at(3600 - 720), term, good), Decision::RefreshAndUse);
        assert_eq!(decide(at(3599), term, good), Decision::RefreshAndUse);
        assert_eq!(decide(at(3600), term, good), Decision::Refresh);
    }

    #[test]
    fn of_a_long_life_the_margin_is_a_quarter_of_an_hour() {
        let term = Some(Term::new(START, Some(12 * HOUR)));
        assert_eq!(decide(at(12 * 3600 - 901), term, None), Decision::Use);
        assert_eq!(decide(at(12 * 3600 - 900), term, None), Decision::RefreshAndUse);
    }

    #[test]
    fn a_key_without_an_end_is_used_for_ever() {
        let term = Some(Term::new(START, None));
        assert_eq!(decide(Tick::from_micros(u64::MAX - 1), term, None), Decision::Use);
    }

    #[test]
    fn a_failed_renewal_is_put_off_while_the_key_holds_and_not_a_moment_longer() {
        let term = Some(Term::new(START, Some(HOUR)));
        let failed = Some(Attempt::failed(at(3000), None, &refused()));
        assert_eq!(decide(at(3059), term, failed), Decision::Use);
        assert_eq!(decide(at(3060), term, failed), Decision::RefreshAndUse);
        let late = Some(Attempt::failed(at(3590), None, &refused()));
        assert_eq!(decide(at(3599), term, late), Decision::Use);
        assert_eq!(decide(at(3600), term, late), Decision::Wait(Duration::from_secs(50)));
        assert_eq!(decide(at(3650), term, late), Decision::Refresh);
    }

    #[test]
    fn a_key_that_comes_due_at_once_is_not_asked_for_without_pause() {
        let life = Some(Duration::from_secs(100));
        let good = Some(Attempt::good(START, life));
        let due = Some(Term { renew_at: START, ..Term::new(START, life) });
        assert_eq!(decide(at(9), due, good), Decision::Use);
        assert_eq!(decide(at(10), due, good), Decision::RefreshAndUse);
        assert_eq!(decide(at(100), due, good), Decision::Refresh);
    }

    #[test]
    fn refusals_are_asked_about_ever_more_slowly_and_what_passes_soon_again() {
        let waits = |failure: &Failure| {
            let mut last = None;
            let mut waits = Vec::new();
            for _ in 0..7 {
                let attempt = Attempt::failed(START, last, failure);
                waits.push(attempt.wait.since(START).as_secs());
                last = Some(attempt);
            }
            waits
        };
        assert_eq!(waits(&refused()), [60, 120, 240, 300, 300, 300, 300]);
        assert_eq!(waits(&Failure::new(Fault::Timeout, "t")), [2, 4, 8, 16, 32, 60, 60]);
        let asked = Failure::new(Fault::Throttled, "t").wait(Some(Duration::from_secs(90)));
        assert_eq!(waits(&asked)[0], 90);
        let for_ever = Failure::new(Fault::Throttled, "t").wait(Some(Duration::from_secs(1 << 30)));
        assert_eq!(waits(&for_ever)[0], 300);
    }

    #[test]
    fn no_refusal_of_a_key_is_taken_for_one_of_an_id() {
        for fault in Fault::ALL {
            let judged = as_credentials(Failure::new(fault, "w")).fault;
            let expected = match fault {
                Fault::RefusedId | Fault::Rejected => Fault::Unauthorized,
                other => other,
            };
            assert_eq!(judged, expected);
        }
    }
}
