//! What a configuration costs and how fresh it can be: a pure function of sources and budgets. The scheduler runs it.
//!
//! Counts what is sure: batches, listings and logs. Details and further pages depend on who is online and come on top.

use std::time::Duration;

use super::budget::SHARE;
use crate::domain::Roster;
use crate::providers::Step;

/// How a source's round goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// Batches, spread evenly over the interval. Each starts at the target with this number.
    Spread {
        /// The first target of each batch, in order; the first is 0.
        starts: Vec<u32>,
    },
    /// Questions about all targets, one after the other at the interval's beginning.
    Sequence,
}

/// Cuts a source's targets into a round.
pub fn rhythm(steps: &[Step], roster: &Roster) -> Rhythm {
    let batches = steps.iter().find_map(|step| match *step {
        Step::Batches { ids, weigh, weight, .. } => Some((ids.max(1), weigh, weight)),
        Step::Listing { .. } | Step::Log { .. } => None,
    });
    let Some((ids, weigh, weight)) = batches else { return Rhythm::Sequence };
    let mut starts = Vec::new();
    let (mut count, mut sum) = (0_usize, 0_usize);
    for (number, target) in (0_u32..).zip(roster.iter()) {
        let own = weigh(target.id);
        if starts.is_empty() || count == ids || sum.saturating_add(own) > weight {
            starts.push(number);
            (count, sum) = (0, 0);
        }
        count += 1;
        sum = sum.saturating_add(own);
    }
    Rhythm::Spread { starts }
}

/// HTTP requests that a round takes at least.
pub fn requests(steps: &[Step], roster: &Roster) -> u64 {
    let pages = |ids_per_call: u32| match ids_per_call {
        0 => 1,
        ids => u64::from(roster.len().div_ceil(ids)).max(1),
    };
    steps
        .iter()
        .map(|step| match step {
            Step::Batches { .. } => match rhythm(steps, roster) {
                Rhythm::Spread { starts } => starts.len() as u64,
                Rhythm::Sequence => 0,
            },
            Step::Listing { action } => pages(action.ids_per_call),
            Step::Log { .. } => 1,
        })
        .sum()
}

/// How long a round of each source really takes when these share one account: its interval, stretched for all alike where
/// the budget does not suffice. Pairs of requests a round and interval in, planned rounds out.
pub fn planned_rounds(sources: &[(u64, Duration)], requests_per_second: f64) -> Vec<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "requests a round are far below 2^52")]
    let wanted: f64 =
        sources.iter().map(|(requests, interval)| *requests as f64 / interval.as_secs_f64()).sum();
    let stretch = (wanted / (requests_per_second * SHARE)).max(1.0);
    sources.iter().map(|(_, interval)| interval.mul_f64(stretch)).collect()
}

/// How long an answer counts when the operator does not say: two lost rounds are borne, the third makes unknown.
pub fn default_max_age(planned_round: Duration, timeout: Duration) -> Duration {
    planned_round * 3 + timeout
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TargetLabels;
    use crate::providers::Action;

    static ACTION: Action = Action {
        name: "Ask",
        ids_per_call: 10,
        limits: &[],
        lag: Duration::ZERO,
        billed: false,
        source: "a test",
    };

    fn roster(ids: impl IntoIterator<Item = String>) -> Roster {
        let mut roster = Roster::new(0, 0);
        for id in ids {
            roster.push(&id, TargetLabels::default());
        }
        roster
    }

    #[test]
    fn batches_are_cut_by_count_and_by_weight() {
        let step = Step::Batches { action: &ACTION, ids: 10, weigh: str::len, weight: 30 };
        let roster =
            roster((0..25).map(|n| format!("{n:02}")).chain((0..4).map(|n| format!("long-{n:010}"))));
        let Rhythm::Spread { starts } = rhythm(&[step], &roster) else { panic!("batches are spread") };
        assert_eq!(starts, [0, 10, 20, 26, 28]);
        assert_eq!(requests(&[step], &roster), 5);
    }

    #[test]
    fn an_id_heavier_than_the_limit_goes_alone_and_is_not_lost() {
        let step = Step::Batches { action: &ACTION, ids: 10, weigh: str::len, weight: 3 };
        let Rhythm::Spread { starts } = rhythm(&[step], &roster(["a", "heavy", "b"].map(String::from)))
        else {
            panic!("batches are spread")
        };
        assert_eq!(starts, [0, 1, 2]);
    }

    #[test]
    fn a_budget_that_does_not_suffice_stretches_every_round_alike() {
        let second = Duration::from_secs(1);
        let rounds = planned_rounds(&[(98, second * 10), (98, second)], 98.0 / SHARE / 10.0 * 1.1);
        assert!(rounds[0] > second * 99 && rounds[0] < second * 101, "{rounds:?}");
        assert_eq!(planned_rounds(&[(1, second)], 10.0), [second]);
    }
}
