//! How targets are put into batches: as few calls as their number and their encoded length allow.
//!
//! Pure arithmetic, in one place for whoever asks and whoever computes what asking costs.

use crate::domain::Roster;
use crate::providers::Step;

/// What one call may hold.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Ids at most, at least 1.
    pub ids: usize,
    /// What one id weighs.
    pub weigh: fn(&str) -> usize,
    /// The sum of weights at most; an id that is heavier goes alone.
    pub weight: usize,
}

impl Capacity {
    /// The capacity of a round's batches; none where all targets are asked about together.
    pub fn of(steps: &[Step]) -> Option<Self> {
        steps.iter().find_map(|step| match *step {
            Step::Batches { ids, weigh, weight, .. } => Some(Self { ids: ids.max(1), weigh, weight }),
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
pub struct Filling {
    capacity: Capacity,
    count: usize,
    sum: usize,
}

impl Filling {
    /// No batch yet.
    pub fn new(capacity: Capacity) -> Self {
        Self { capacity, count: 0, sum: 0 }
    }

    /// Adds an id, and tells whether it is the first of another batch, since the one before has no room for it.
    pub fn begins_another(&mut self, id: &str) -> bool {
        if self.count > 0 && self.takes(id) {
            return false;
        }
        (self.count, self.sum) = (1, (self.capacity.weigh)(id));
        true
    }

    /// Adds an id if there is room for it, and tells whether there was.
    pub fn takes(&mut self, id: &str) -> bool {
        let sum = self.sum.saturating_add((self.capacity.weigh)(id));
        let has_room = self.count < self.capacity.ids && sum <= self.capacity.weight;
        if has_room {
            (self.count, self.sum) = (self.count + 1, sum);
        }
        has_room
    }
}
