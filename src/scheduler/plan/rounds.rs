//! Rounds: how targets are cut into batches, how far apart these are asked, and how long a round really takes.

use std::time::Duration;

use crate::domain::Roster;
use crate::providers::Step;
use crate::scheduler::budget::SHARE;
use crate::scheduler::packing::Capacity;

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

impl Rhythm {
    /// Batches of a round; none where questions answer for all.
    pub fn batches(&self) -> usize {
        match self {
            Self::Spread { starts } => starts.len(),
            Self::Sequence => 0,
        }
    }
}

/// Cuts a source's targets into a round.
pub fn rhythm(steps: &[Step], roster: &Roster) -> Rhythm {
    match Capacity::of(steps) {
        Some(capacity) => Rhythm::Spread { starts: capacity.cut(roster, |_| true) },
        None => Rhythm::Sequence,
    }
}

/// How far apart a source's batches are asked: exactly what the line adds to a batch's due time.
pub fn spacing(interval: Duration, batches: u64) -> Duration {
    let micros = (interval / u32::try_from(batches.max(1)).unwrap_or(u32::MAX)).as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// By how much every round of an account takes longer than its interval, where the budget does not suffice for `wanted`
/// requests a second; 1 where it does.
pub fn stretch(wanted: f64, requests_per_second: f64) -> f64 {
    (wanted / (requests_per_second * SHARE)).max(1.0)
}

/// How long an answer counts when the operator does not say: two lost rounds are borne, the third makes unknown.
pub fn default_max_age(planned_round: Duration, timeout: Duration) -> Duration {
    planned_round * 3 + timeout
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TargetLabels;
    use crate::providers::{Action, TOGETHER};

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
        let step = Step::Batches { action: &ACTION, ids: 10, weigh: str::len, weight: 30, apart: TOGETHER };
        let roster =
            roster((0..25).map(|n| format!("{n:02}")).chain((0..4).map(|n| format!("long-{n:010}"))));
        let Rhythm::Spread { starts } = rhythm(&[step], &roster) else { panic!("batches are spread") };
        assert_eq!(starts, [0, 10, 20, 26, 28]);
    }

    #[test]
    fn an_id_heavier_than_the_limit_goes_alone_and_is_not_lost() {
        let step = Step::Batches { action: &ACTION, ids: 10, weigh: str::len, weight: 3, apart: TOGETHER };
        let Rhythm::Spread { starts } = rhythm(&[step], &roster(["a", "heavy", "b"].map(String::from)))
        else {
            panic!("batches are spread")
        };
        assert_eq!(starts, [0, 1, 2]);
    }

    #[test]
    fn a_budget_that_does_not_suffice_stretches_every_round_alike() {
        assert!((stretch(98.0, 10.0) - 10.0).abs() < 1e-9);
        assert!((stretch(1.0, 10.0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn batches_are_as_far_apart_as_the_line_asks_them() {
        assert_eq!(spacing(Duration::from_secs(30), 7), Duration::from_micros(4_285_714));
        assert_eq!(spacing(Duration::from_secs(30), 0), Duration::from_secs(30));
    }
}
