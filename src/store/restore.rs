//! What an earlier process knew, put into the rows before anybody is asked about. Where it was kept is not known here.

use std::sync::Arc;
use std::time::Duration;

use super::state_file::{Found, FoundSource};
use super::{Source, Store, state_mut};
use crate::domain::Moment;

impl Store {
    /// Puts what an earlier process knew into the sources, which were not asked yet.
    pub(super) fn restore(&self, now: Moment, found: Found) {
        let mut inner = self.lock();
        inner.memos = Arc::new(found.memos);
        for (source, found) in inner.sources.iter_mut().zip(found.sources) {
            source.restore(now, found);
        }
    }
}

impl Source {
    fn restore(&mut self, now: Moment, found: FoundSource) {
        for (index, restored) in (0..).zip(found.rows) {
            if let (Some(restored), Some(state)) = (restored, state_mut(&mut self.chunks, index)) {
                *state = restored;
            }
        }
        let now_s = u32::try_from(now.unix_seconds()).unwrap_or(0);
        for (index, kept) in &found.stays {
            let observed_s = state_mut(&mut self.chunks, *index)
                .and_then(|state| state.saved(&self.spec.policy))
                .map_or(0, |saved| saved.observed_s);
            let unasked = Duration::from_secs(now_s.saturating_sub(observed_s).into());
            let after_gap = unasked > self.spec.policy.max_age;
            self.first_seen.restore(*index, kept, now.tick, after_gap);
        }
        self.log_since_ms = found.log_since_ms;
    }
}
