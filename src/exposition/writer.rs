//! Text.

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::Format;
use crate::domain::Moment;
use crate::store::Snapshot;

/// The size of a piece: about this, more only by what a single line needs.
pub const PIECE_BYTES: usize = 64 * 1024;

/// One page, written piece by piece.
pub struct Page {
    snapshot: Arc<Snapshot>,
    now: Moment,
    own: Vec<MetricFamily>,
    format: Format,
}

impl Page {
    /// A page of all sources as of `now`, followed by our own families.
    pub fn new(snapshot: Arc<Snapshot>, now: Moment, own: Vec<MetricFamily>, format: Format) -> Self {
        Self { snapshot, now, own, format }
    }

    /// Restricts the page to the sources named; may be called several times, each adds one. Unknown names add nothing.
    #[must_use]
    pub fn only_source(self, name: &str) -> Self {
        let _ = (&self.snapshot, self.now, &self.own, self.format, name);
        todo!()
    }

    /// Appends the next piece to `out`; returns whether there is more after it.
    pub fn next_piece(&mut self, out: &mut Vec<u8>) -> bool {
        let _ = out;
        todo!()
    }
}
