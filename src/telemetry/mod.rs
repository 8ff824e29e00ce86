//! Our own counters.

mod logging;

use prometheus::proto::MetricFamily;

use crate::domain::Fault;

pub use logging::{LogFormat, LogLevel, init_logging};

/// Our own metrics.
pub struct Telemetry;

/// A request to our own HTTP server that is being answered; counted until dropped.
#[derive(Debug)]
pub struct InFlight;

impl Telemetry {
    /// Metrics of this build.
    pub fn new(version: &str, revision: &str, rustc: &str) -> Self {
        let _ = (version, revision, rustc);
        todo!()
    }

    /// Puts every series of these actions of an account at 0.
    pub fn register(&self, account: &str, provider: &str, actions: &[&'static str]) {
        let _ = (account, provider, actions);
        todo!()
    }

    /// Counts one HTTP request to a provider that took `seconds`.
    pub fn request(&self, account: &str, provider: &str, action: &'static str, seconds: f64) {
        let _ = (account, provider, action, seconds);
        todo!()
    }

    /// Counts one failed request to a provider.
    pub fn failure(&self, account: &str, provider: &str, action: &'static str, fault: Fault) {
        let _ = (account, provider, action, fault);
        todo!()
    }

    /// Counts a request to our own HTTP server as being answered until the returned guard is dropped.
    pub fn http_begun(&self) -> InFlight {
        todo!()
    }

    /// Counts an answer of our own HTTP server.
    pub fn http_answered(&self, code: u16) {
        let _ = code;
        todo!()
    }

    /// Notes the size of a page of metrics before compression.
    pub fn scrape_body(&self, bytes: u64) {
        let _ = bytes;
        todo!()
    }

    /// All our own families, ready for the page.
    pub fn gather(&self) -> Vec<MetricFamily> {
        todo!()
    }
}
