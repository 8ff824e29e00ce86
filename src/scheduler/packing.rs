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
        let mut starts = Vec::new();
        let (mut count, mut sum) = (0_usize, 0_usize);
        for (number, target) in (0_u32..).zip(roster.iter()).filter(|(number, _)| keep(*number)) {
            let own = (self.weigh)(target.id);
            if starts.is_empty() || count == self.ids || sum.saturating_add(own) > self.weight {
                starts.push(number);
                (count, sum) = (0, 0);
            }
            count += 1;
            sum = sum.saturating_add(own);
        }
        starts
    }
}
