//! How late a change is seen, at worst, and what that consists of.

use std::time::Duration;

use serde::Serialize;

use super::Subject;
use crate::providers::Step;
use crate::scheduler::pause::{ATTEMPTS, RETRY_FIRST};

/// How often a page is asked at most: once, and repeated as the providers' shared code does.
const PAGE_ATTEMPTS: u32 = 1 + crate::providers::http::PAGE_REPEATS;

/// The worst time from a target's leaving to its being shown as offline, in seconds, as long as one of the attempts at each
/// question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Delay {
    /// Until its turn comes: a whole round, or a quiet target's longest turn.
    pub round: f64,
    /// Until the request may leave, behind others of the account.
    pub queue: f64,
    /// Pages and records that are read with it.
    pub reading: f64,
    /// Every attempt but the last runs into its timeout, and the last one nearly.
    pub timeouts: f64,
    /// Pauses between attempts.
    pub pauses: f64,
    /// The source's `leave_delay`.
    pub settling: f64,
    /// How far behind the provider's own view is, as it documents.
    pub lag: f64,
    /// All of it.
    pub total: f64,
}

impl Delay {
    /// All of it.
    pub fn whole(&self) -> Duration {
        Duration::from_secs_f64(self.total)
    }
}

/// The delay of a source with `settling` as its `leave_delay`, whose targets have a turn every `round`, and of whose
/// requests none takes longer than `timeout`. `waits`: how
/// long it waits behind other questions, and how long its own takes to be read.
pub fn delay(
    subject: &Subject<'_>,
    settling: Duration,
    round: Duration,
    timeout: Duration,
    (queue, reading): (Duration, Duration),
) -> Delay {
    let (attempts, pauses) = attempts(subject);
    let lag = subject.main_action().map_or(Duration::ZERO, |action| action.lag);
    let (queue, timeouts) = (queue * attempts, timeout * attempts);
    let total = round + queue + reading + timeouts + pauses + settling + lag;
    Delay {
        round: round.as_secs_f64(),
        queue: queue.as_secs_f64(),
        reading: reading.as_secs_f64(),
        timeouts: timeouts.as_secs_f64(),
        pauses: pauses.as_secs_f64(),
        settling: settling.as_secs_f64(),
        lag: lag.as_secs_f64(),
        total: total.as_secs_f64(),
    }
}

/// How often a question is asked at most before its next turn, and the longest pauses between.
fn attempts(subject: &Subject<'_>) -> (u32, Duration) {
    if !subject.steps.iter().any(|step| matches!(step, Step::Batches { .. })) {
        return (PAGE_ATTEMPTS, Duration::ZERO);
    }
    let interval = subject.asking.interval;
    let mut pauses = Duration::ZERO;
    for attempt in 0..ATTEMPTS - 1 {
        let pause = RETRY_FIRST * (1 << attempt);
        // Pauses are between half of this and all of it, and must be shorter than the interval.
        if pause / 2 >= interval {
            return (attempt + 1, pauses);
        }
        pauses += pause.min(interval);
    }
    (ATTEMPTS, pauses)
}
