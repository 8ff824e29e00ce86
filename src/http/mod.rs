//! What the exporter serves: `/metrics`, health, readiness and a front page, over plain HTTP/1.
//!
//! Every route answers from what is already known. No request to a provider ever leaves because somebody asked here, and
//! nothing here waits for the polling side. The page of metrics is made piece by piece while its reader takes it, so that
//! its size costs no memory.
//!
//! Because whoever can reach the port can ask, everything has a limit: see [`Limits`]. Deliberately absent: request
//! bodies (never read), HTTP/2 (no scraper uses it without TLS), cookies, and any route that changes something.
//!
//! In reading order: [`Server`] accepts connections and owns their tasks; `guard` cuts those that are too slow in either
//! direction; `routes` turns one request into one answer; `body` writes it; `landing` is the front page's HTML.

mod body;
mod guard;
mod landing;
mod limits;
mod listen;
mod routes;
mod server;

#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

pub use limits::{Limits, MAX_REQUESTS};
pub use listen::ListenAddress;
pub use routes::{TARGETS, TelemetryPath};
pub use server::Server;

use crate::domain::{Explanation, NotFound};
use crate::exposition::{Format, Page};

/// What the server asks of the running exporter. Every method answers at once.
pub trait Control: Send + Sync {
    /// A page of metrics as of now; of these sources only, when any is named. A name may stand there twice.
    fn page(&self, format: Format, only: &[String]) -> Result<Box<dyn Pieces>, UnknownSource>;
    /// The sources that have not had a first answer yet.
    fn awaited(&self) -> Vec<Arc<str>>;
    /// What the front page shows.
    fn overview(&self) -> Overview;
    /// Why a target is shown as it is, by its source's name and its id.
    fn explain(&self, source: &str, target: &str) -> Result<Box<Explanation>, NotFound>;
    /// Counts an answer with this status code.
    fn answered(&self, code: u16);
    /// Notes that a page has been written to its end; its size before compression, in bytes.
    fn page_written(&self, bytes: u64);
}

/// A page that is made piece by piece.
pub trait Pieces: Send {
    /// Appends the next piece, of about 64 KiB, to `out`; returns whether there is more after it.
    fn next_piece(&mut self, out: &mut Vec<u8>) -> bool;
}

impl Pieces for Page {
    fn next_piece(&mut self, out: &mut Vec<u8>) -> bool {
        Self::next_piece(self, out)
    }
}

/// A page was asked for a source that is not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSource {
    /// The name asked for.
    pub name: String,
}

/// What the front page shows.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// The exporter's version.
    pub version: String,
    /// The sources in the configuration's order.
    pub sources: Vec<SourceLine>,
}

/// One source on the front page.
#[derive(Debug, Clone)]
pub struct SourceLine {
    /// Its name.
    pub name: Arc<str>,
    /// The provider's name.
    pub provider: &'static str,
    /// What its targets are, as in the label `kind`.
    pub kind: &'static str,
    /// Targets online.
    pub online: u64,
    /// Targets offline.
    pub offline: u64,
    /// Targets of which neither is known.
    pub unknown: u64,
    /// Whether the last round succeeded; none before the first one ended.
    pub up: Option<bool>,
    /// How long ago the last successful round was; none if there was none.
    pub last_success: Option<Duration>,
}
