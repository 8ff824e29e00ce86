//! When an account must not ask: the provider throttles it, refuses it as a whole, or refuses one kind of question. Pure:
//! time and chance come in.
//!
//! A refused account is parked: it is tried with one question at a time, ever more slowly, and never so that more than
//! [`REFUSALS_MAX`] refused requests fall into five minutes. So is one that nobody has answered yet, since its key may be
//! wrong. A forbidden question parks that kind of question of that source alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::line::{Ask, Job};
use super::pause::{WAIT_MAX, doubled, jitter};
use crate::domain::{Fault, Tick};

/// The first pause after a throttle that names no wait; doubled for each that follows.
const THROTTLE_FIRST: Duration = Duration::from_secs(1);

/// The first pause after a refused key, token or clock, and after a forbidden question; doubled for each that follows up
/// to [`WAIT_MAX`].
const REFUSED_FIRST: Duration = Duration::from_secs(60);

/// Refused requests in any [`REFUSALS_WINDOW`] at most, as far as it is known when they are sent. Huawei locks a key for
/// five minutes after more than five in a row (API Gateway, "AK/SK authentication failed ... locked").
pub const REFUSALS_MAX: u32 = 4;

/// The stretch of time in which refused requests are counted.
pub const REFUSALS_WINDOW: Duration = Duration::from_secs(300);

/// A refused question counts as this many requests at most: one that is refused, and one with a token made anew.
const REFUSED_CALLS: u32 = 2;

/// What an account must not do.
#[derive(Debug, Default)]
pub struct Breaker {
    until: Tick,
    throttles: u32,
    refusals: u32,
    parked_for: Option<Fault>,
    /// When requests were refused lately, and how many.
    refused: VecDeque<(Tick, u32)>,
    /// Whether the provider has said anything yet that it says only to those whom it knows.
    heard: bool,
    forbidden: BTreeMap<(usize, What), Forbidden>,
}

/// A kind of question of one source: what a permission is given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Batches,
    Step(usize),
    Details,
    Discovery,
}

#[derive(Debug, Clone, Copy)]
struct Forbidden {
    until: Tick,
    times: u32,
    /// It is being tried again just now.
    trying: bool,
}

/// What is to be known of a question's failure.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Why.
    pub fault: Fault,
    /// How long the provider asked to wait.
    pub wait: Option<Duration>,
    /// Requests that were sent for it.
    pub calls: u32,
}

impl Breaker {
    /// When new questions may be asked again.
    pub fn until(&self) -> Tick {
        self.until
    }

    /// What the account as a whole is refused for; none after a good answer.
    pub fn parked_for(&self) -> Option<Fault> {
        self.parked_for
    }

    /// Whether one question at a time is enough.
    pub fn is_tried(&self) -> bool {
        self.parked_for.is_some() || !self.heard
    }

    /// Until when this kind of question is not to be asked, if it is forbidden. While it is tried, others wait for that.
    pub fn forbids(&self, job: &Job, now: Tick) -> Option<Tick> {
        let park = self.forbidden.get(&key(job))?;
        (park.trying || park.until > now).then_some(park.until.max(now))
    }

    /// Until when this kind of question was forbidden, whether that is over or not.
    pub fn forbidden(&self, job: &Job) -> Option<Tick> {
        self.forbidden.get(&key(job)).map(|park| park.until)
    }

    /// A question is being asked.
    pub fn asked(&mut self, job: &Job) {
        if let Some(park) = self.forbidden.get_mut(&key(job)) {
            park.trying = true;
        }
    }

    /// A good answer came.
    pub fn answered(&mut self, job: &Job) {
        (self.throttles, self.refusals, self.parked_for, self.heard) = (0, 0, None, true);
        self.refused.clear();
        self.forbidden.remove(&key(job));
    }

    /// The account has other credentials now: it is tried at once, and what the old ones cost is forgotten.
    pub fn refreshed(&mut self) {
        (self.until, self.refusals, self.heard) = (Tick::ZERO, 0, false);
        self.refused.clear();
        self.forbidden.clear();
    }

    /// A question failed. Only throttles and refusals pause.
    pub fn failed(&mut self, now: Tick, job: &Job, failed: &Failed, chance: u64) {
        let &Failed { fault, wait, calls } = failed;
        self.forbid(now, job, fault, chance);
        self.heard |= !fault.is_account_wide() && !matches!(fault, Fault::Timeout | Fault::Unreachable);
        let (count, first) = match fault {
            Fault::Throttled => (&mut self.throttles, THROTTLE_FIRST),
            fault if fault.is_account_wide() => {
                self.parked_for = Some(fault);
                self.refused.push_back((now, calls.clamp(1, REFUSED_CALLS)));
                (&mut self.refusals, REFUSED_FIRST)
            }
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
        if fault.is_account_wide() {
            self.until = self.until.max(self.room_at(now));
        }
    }

    /// When one more refused question would not be too many.
    fn room_at(&mut self, now: Tick) -> Tick {
        while self.refused.front().is_some_and(|(at, _)| now.since(*at) >= REFUSALS_WINDOW) {
            self.refused.pop_front();
        }
        let mut sum: u32 = self.refused.iter().map(|(_, calls)| calls).sum();
        let mut room_at = now;
        for (at, gone) in &self.refused {
            if sum + REFUSED_CALLS <= REFUSALS_MAX {
                break;
            }
            sum -= gone;
            room_at = *at + REFUSALS_WINDOW;
        }
        room_at
    }

    fn forbid(&mut self, now: Tick, job: &Job, fault: Fault, chance: u64) {
        let key = key(job);
        let old = self.forbidden.get(&key).copied();
        match (fault, old) {
            (Fault::Forbidden, old) => {
                // Questions that were under way together count once.
                let times = old.map_or(1, |old| old.times + u32::from(old.trying));
                let until = now + jitter(doubled(REFUSED_FIRST, times - 1), chance);
                let until = old.map_or(until, |old| until.max(old.until));
                self.forbidden.insert(key, Forbidden { until, times, trying: false });
            }
            // A refused id is what only those are told who may ask.
            (Fault::RefusedId, Some(_)) => {
                self.forbidden.remove(&key);
            }
            (_, Some(old)) if old.trying => {
                let until = now + jitter(REFUSED_FIRST, chance);
                self.forbidden.insert(key, Forbidden { until, trying: false, ..old });
            }
            _ => {}
        }
    }
}

fn key(job: &Job) -> (usize, What) {
    let what = match job.ask {
        Ask::Batch { .. } | Ask::Picked(_) | Ask::Solo(_) => What::Batches,
        Ask::Step(step) => What::Step(step),
        Ask::Detail(_) => What::Details,
        Ask::Discover(_) => What::Discovery,
    };
    (job.pool, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Tick = Tick::from_micros(1_000_000);
    const LATE: Duration = Duration::from_secs(3600);

    const fn batch(source: usize) -> Job {
        Job { pool: source, ask: Ask::Batch { from: 0, to: 10 }, attempt: 0, round: None }
    }

    const fn failed(fault: Fault, wait: Option<Duration>) -> Failed {
        Failed { fault, wait, calls: 1 }
    }

    #[test]
    fn a_wait_that_the_provider_names_is_kept_to_and_cut() {
        let mut breaker = Breaker::default();
        breaker.failed(NOW, &batch(0), &failed(Fault::Throttled, Some(Duration::from_secs(7))), 0);
        assert_eq!(breaker.until(), NOW + Duration::from_secs(7));
        breaker.failed(NOW, &batch(0), &failed(Fault::Throttled, Some(LATE)), 0);
        assert_eq!(breaker.until(), NOW + WAIT_MAX);
        assert_eq!(breaker.parked_for(), None);
    }

    #[test]
    fn a_refused_account_is_asked_ever_more_slowly_until_an_answer_comes() {
        let mut breaker = Breaker::default();
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..5 {
            breaker.failed(now, &batch(0), &failed(Fault::Unauthorized, None), u64::MAX);
            waits.push(breaker.until().since(now).as_secs());
            now = breaker.until();
        }
        assert_eq!(waits, [60, 120, 240, 300, 300]);
        assert_eq!(breaker.parked_for(), Some(Fault::Unauthorized));
        breaker.answered(&batch(0));
        assert_eq!((breaker.parked_for(), breaker.is_tried()), (None, false));
    }

    #[test]
    fn questions_that_failed_together_lengthen_the_pause_once() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(NOW, &batch(0), &failed(Fault::Throttled, None), u64::MAX);
        }
        assert_eq!(breaker.until(), NOW + THROTTLE_FIRST);
    }

    #[test]
    fn an_account_is_tried_with_one_question_until_it_is_known_to_be_let_in() {
        let mut breaker = Breaker::default();
        assert!(breaker.is_tried());
        for fault in [Fault::Timeout, Fault::Unreachable] {
            breaker.failed(NOW, &batch(0), &failed(fault, None), 0);
            assert!(breaker.is_tried(), "{fault} says nothing of the key");
        }
        breaker.failed(NOW, &batch(0), &failed(Fault::Rejected, None), 0);
        assert!(!breaker.is_tried());
        breaker.failed(NOW, &batch(0), &failed(Fault::ClockSkew, None), 0);
        assert!(breaker.is_tried());
    }

    #[test]
    fn other_credentials_are_tried_at_once_and_one_at_a_time() {
        let mut breaker = Breaker::default();
        (0..4).for_each(|_| breaker.failed(NOW, &batch(0), &failed(Fault::Unauthorized, None), 0));
        assert_eq!(breaker.until(), NOW + REFUSALS_WINDOW);
        breaker.refreshed();
        assert!(breaker.until() <= NOW && breaker.is_tried() && breaker.parked_for().is_some());
        breaker.failed(NOW, &batch(0), &failed(Fault::Unauthorized, None), u64::MAX);
        assert_eq!(breaker.until(), NOW + REFUSED_FIRST, "the new ones are judged for themselves");
    }

    #[test]
    fn what_is_forbidden_is_left_alone_and_nothing_else() {
        let mut breaker = Breaker::default();
        breaker.failed(NOW, &batch(0), &failed(Fault::Forbidden, None), u64::MAX);
        assert_eq!((breaker.until(), breaker.parked_for()), (Tick::ZERO, None));
        let later = NOW + REFUSED_FIRST;
        assert_eq!(breaker.forbids(&batch(0), NOW), Some(later));
        assert_eq!(breaker.forbids(&batch(1), NOW), None);
        assert_eq!(breaker.forbids(&Job { ask: Ask::Detail(1), ..batch(0) }, NOW), None);
        // When its time has come it is tried once, and others wait for what comes of it.
        assert_eq!(breaker.forbids(&batch(0), later), None);
        breaker.asked(&batch(0));
        assert!(breaker.forbids(&batch(0), later).is_some());
        breaker.failed(later, &batch(0), &failed(Fault::Forbidden, None), u64::MAX);
        assert_eq!(breaker.forbids(&batch(0), later), Some(later + REFUSED_FIRST * 2));
        breaker.answered(&batch(0));
        assert_eq!(breaker.forbids(&batch(0), later), None);
    }

    proptest! {
        #[test]
        fn no_five_minutes_hold_more_refusals_than_a_locked_key_takes(
            trials in prop::collection::vec((any::<u64>(), 1_u32..4, 0_u64..30, prop::option::of(0_u64..200)), 1..60),
        ) {
            let mut breaker = Breaker::default();
            let mut now = NOW;
            let mut sent: Vec<Tick> = Vec::new();
            for (chance, calls, later_s, wait_s) in trials {
                now = breaker.until().max(now) + Duration::from_secs(later_s);
                let calls = calls.min(REFUSED_CALLS);
                sent.extend((0..calls).map(|_| now));
                let wait = wait_s.map(Duration::from_secs);
                breaker.failed(now, &batch(0), &Failed { fault: Fault::Unauthorized, wait, calls }, chance);
                let recent = sent.iter().filter(|at| now.since(**at) < REFUSALS_WINDOW).count();
                prop_assert!(recent <= REFUSALS_MAX as usize, "{recent} refused within five minutes");
            }
        }
    }
}
