//! How targets are put into batches: as few calls as their number and their encoded length allow.
//!
//! Pure arithmetic, in one place for whoever asks and whoever computes what asking costs.

use crate::domain::Roster;
use crate::providers::{Part, Step};

/// What one call may hold.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Ids at most, at least 1.
    pub ids: usize,
    /// What one id weighs.
    pub weigh: fn(&str) -> usize,
    /// The sum of weights at most; an id that is heavier goes alone.
    pub weight: usize,
    /// What the ids of one call have in common.
    pub apart: Part,
}

impl Capacity {
    /// The capacity of a round's batches; none where all targets are asked about together.
    pub fn of(steps: &[Step]) -> Option<Self> {
        steps.iter().find_map(|step| match *step {
            Step::Batches { ids, weigh, weight, apart, .. } => {
                Some(Self { ids: ids.max(1), weigh, weight, apart })
            }
            Step::Listing { .. } | Step::Log { .. } => None,
        })
    }

    /// Cuts a roster into batches, of the targets to `keep` only: the first target of each batch, in order. Leaving targets
    /// out never makes more batches.
    pub fn cut(&self, roster: &Roster, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let (mut starts, mut filling) = (Vec::new(), Filling::new(*self));
        for (number, target) in (0_u32..).zip(roster.iter()).filter(|(number, _)| keep(*number)) {
            if filling.begins_another(target.id) {
                starts.push(number);
            }
        }
        starts
    }
}

/// A batch being filled.
#[derive(Debug)]
pub struct Filling<'a> {
    capacity: Capacity,
    count: usize,
    sum: usize,
    /// What its ids have in common.
    part: &'a str,
}

impl<'a> Filling<'a> {
    /// No batch yet.
    pub fn new(capacity: Capacity) -> Self {
        Self { capacity, count: 0, sum: 0, part: "" }
    }

    /// Adds an id, and tells whether it is the first of another batch, since the one before has no room for it.
    pub fn begins_another(&mut self, id: &'a str) -> bool {
        if self.count > 0 && self.takes(id) {
            return false;
        }
        (self.count, self.sum, self.part) = (1, (self.capacity.weigh)(id), (self.capacity.apart)(id));
        true
    }

    /// Adds an id if there is room for it, and tells whether there was.
    pub fn takes(&mut self, id: &str) -> bool {
        let sum = self.sum.saturating_add((self.capacity.weigh)(id));
        let is_alike = self.part == (self.capacity.apart)(id);
        let has_room = self.count < self.capacity.ids && sum <= self.capacity.weight && is_alike;
        if has_room {
            (self.count, self.sum) = (self.count + 1, sum);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TargetLabels;

    fn roster(ids: &[String]) -> Roster {
        let mut roster = Roster::new(0, 0);
        for id in ids {
            roster.push(id, TargetLabels::default());
        }
        roster
    }

    fn capacity() -> Capacity {
        Capacity { ids: 3, weigh: str::len, weight: 20, apart: |id| &id[..1] }
    }

    #[test]
    fn one_call_asks_for_ids_of_one_part() {
        let ids = ["a/1", "a/2", "b/1", "a/3", "a/4", "a/5", "a/6"].map(str::to_owned);
        assert_eq!(capacity().cut(&roster(&ids), |_| true), [0, 2, 3, 6]);
        assert_eq!(capacity().cut(&roster(&ids), |number| number != 2), [0, 4]);
    }

    proptest! {
        #[test]
        fn leaving_targets_out_never_makes_more_batches(
            ids in prop::collection::vec("[ab]/[a-z]{1,12}", 0..40),
            kept in prop::collection::vec(any::<bool>(), 40),
        ) {
            let roster = roster(&ids);
            let all = capacity().cut(&roster, |_| true).len();
            prop_assert!(capacity().cut(&roster, |number| kept[number as usize]).len() <= all);
        }
    }
}
