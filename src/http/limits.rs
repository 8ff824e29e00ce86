//! How much of the server one reader, or all together, may take.

use std::time::Duration;

use tokio::time::Sleep;

/// Pages of metrics under way at once, unless `--web.max-requests` says otherwise. The figure that other exporters have;
/// a page under way costs up to half a megabyte, most of it the compressor's.
pub const MAX_REQUESTS: usize = 40;

/// What is allowed. The defaults suit a few scrapers, people with browsers, and nobody's patience beyond that.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. More wait in the system's queue until one closes: a scraper that waits a little is better
    /// served than one that is refused, and waiting costs us nothing. Small enough for the usual 1024 open files.
    pub connections: usize,
    /// Pages of metrics under way at once; beyond it the answer is 503. Zero: no limit.
    pub max_requests: usize,
    /// The size of a request's head. Scrapers send under 1 KiB; a filter by many sources needs some more.
    pub head_bytes: usize,
    /// How long a head may take from its first byte (on a new connection: from the start) to its end. A head is one
    /// packet; who needs longer is broken or means harm.
    pub head: Duration,
    /// How long a connection may wait for its next request. A scrape a minute should find its connection still there.
    pub idle: Duration,
    /// How long a reader may take nothing of an answer. It holds a snapshot of all rows meanwhile.
    pub stall: Duration,
    /// How long a reader who must be waited for may take for a whole answer. Scrapers give up earlier by themselves; this
    /// is for one who takes a byte now and then.
    pub answer: Duration,
    /// How long answers under way may take after the exporter was told to stop. Scrapers wait 10 s by default.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            max_requests: MAX_REQUESTS,
            head_bytes: 16 * 1024,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            answer: Duration::from_secs(300),
            drain: Duration::from_secs(10),
        }
    }
}

/// A limit's end. Its time is that of real sockets, beside hyper's own timers; nothing that is published depends on it.
#[expect(
    clippy::disallowed_methods,
    reason = "limits of sockets are no part of what a virtual clock replays"
)]
pub(super) fn deadline(after: Duration) -> Sleep {
    tokio::time::sleep(after)
}
