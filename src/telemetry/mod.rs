//! What the exporter counts about itself: requests to providers, its own HTTP answers, its build and process.
//!
//! A row of [`OWN_FAMILIES`] is a family; every series that can be known is there at 0 from the start. What it
//! deliberately does not do: it knows nothing of targets, whose series are written from the store, and it prints nothing;
//! [`Telemetry::gather`] hands values to the page. Log lines are made in [`logging`]; sessions by login records are counted
//! in [`sessions`].

pub mod budgets;
pub mod logging;
pub mod sessions;

pub use budgets::BudgetMeter;
pub use logging::{LogFormat, LogLevel, init_logging};
pub use sessions::{SESSION_FAMILIES, SessionMeter};

use std::fmt;
use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

use crate::domain::Fault;

/// Upper bounds of the request durations, in seconds. Cloud APIs answer within 0.03 to 0.5 s, a page of a long listing
/// takes a few; the last bounds stand at common timeouts.
const DURATION_BUCKETS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Codes of our own HTTP answers that are at 0 from the start: done, our fault, too many at once.
const HTTP_CODES: [u16; 3] = [200, 500, 503];

/// A family about the exporter itself.
#[derive(Debug)]
pub struct OwnFamily {
    /// The full name.
    pub name: &'static str,
    /// What it says, in one line.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

impl OwnFamily {
    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

const ACTION: &[&str] = &["account", "provider", "action"];

static BUILD_INFO: OwnFamily = OwnFamily {
    name: "presence_exporter_build_info",
    help: "What this exporter was built from, always 1.",
    labels: &["version", "revision", "rustc"],
};

static API_REQUESTS: OwnFamily = OwnFamily {
    name: "presence_exporter_api_requests_total",
    help: "HTTP requests sent to providers: tokens, pages and repeats included.",
    labels: ACTION,
};

static API_FAILURES: OwnFamily = OwnFamily {
    name: "presence_exporter_api_failures_total",
    help: "HTTP requests sent to providers that failed, by the reason that the provider's own code gives.",
    labels: &["account", "provider", "action", "reason"],
};

static API_SECONDS: OwnFamily = OwnFamily {
    name: "presence_exporter_api_request_duration_seconds",
    help: "Time from sending a request to a provider to its complete answer or failure.",
    labels: ACTION,
};

static CLOCK_OFFSET: OwnFamily = OwnFamily {
    name: "presence_exporter_api_clock_offset_seconds",
    help: "How far this machine's clock is ahead of the provider's, from the header Date of its answers; negative when it is behind.",
    labels: &["account", "provider"],
};

static HTTP_REQUESTS: OwnFamily = OwnFamily {
    name: "presence_exporter_http_requests_total",
    help: "HTTP requests that this exporter answered, by status code.",
    labels: &["code"],
};

static HTTP_IN_FLIGHT: OwnFamily = OwnFamily {
    name: "presence_exporter_http_requests_in_flight",
    help: "HTTP requests that this exporter is answering now.",
    labels: &[],
};

static SCRAPE_BODY: OwnFamily = OwnFamily {
    name: "presence_exporter_scrape_body_bytes",
    help: "Size of the last complete page of metrics before compression.",
    labels: &[],
};

static STATE_SAVES: OwnFamily = OwnFamily {
    name: "presence_exporter_state_saves_total",
    help: "Times that the state file was brought up to date; 0 where no state is kept.",
    labels: &[],
};

static STATE_FAILURES: OwnFamily = OwnFamily {
    name: "presence_exporter_state_save_failures_total",
    help: "Times that the state file could not be brought up to date; what pages show then may not outlive a restart.",
    labels: &[],
};

static STATE_SAVED: OwnFamily = OwnFamily {
    name: "presence_exporter_state_last_save_timestamp_seconds",
    help: "When the state file was last brought up to date, as Unix time; 0 before the first time.",
    labels: &[],
};

/// Every family that is registered here. Beside them stand the `process_` families of crate `prometheus`.
pub static OWN_FAMILIES: [&OwnFamily; 16] = [
    &BUILD_INFO,
    &API_REQUESTS,
    &API_FAILURES,
    &API_SECONDS,
    &CLOCK_OFFSET,
    &budgets::REQUESTS,
    &budgets::USED,
    &budgets::RATE,
    &budgets::WAITED,
    &budgets::PARKED,
    &HTTP_REQUESTS,
    &HTTP_IN_FLIGHT,
    &SCRAPE_BODY,
    &STATE_SAVES,
    &STATE_FAILURES,
    &STATE_SAVED,
];

/// The exporter's own metrics. Shared by all that counts; cheap to call for each request.
pub struct Telemetry {
    registry: Registry,
    requests: IntCounterVec,
    failures: IntCounterVec,
    seconds: HistogramVec,
    clock_offset: GaugeVec,
    http: IntCounterVec,
    in_flight: IntGauge,
    body: Gauge,
    saves: IntCounter,
    save_failures: IntCounter,
    saved: Gauge,
    sessions: sessions::Sessions,
    budgets: budgets::Budgets,
    /// By account; the few actions of one are searched in order, so that counting hashes one name and allocates nothing.
    accounts: RwLock<HashMap<Box<str>, Vec<Handles>>>,
}

/// The series of one action of one account.
struct Handles {
    provider: Box<str>,
    action: &'static str,
    requests: IntCounter,
    failures: [IntCounter; Fault::ALL.len()],
    seconds: Histogram,
}

/// A request to our own HTTP server that is being answered; counted until it is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Telemetry {
    /// Metrics of this build: its version, the revision of its source, and the compiler's version.
    pub fn new(version: &str, revision: &str, rustc: &str) -> Self {
        let registry = Registry::new();
        let info = registered(&registry, GaugeVec::new(BUILD_INFO.opts(), BUILD_INFO.labels));
        info.with_label_values(&[version, revision, rustc]).set(1.0);
        let histogram = HistogramOpts::from(API_SECONDS.opts()).buckets(DURATION_BUCKETS.to_vec());
        let http = registered(&registry, IntCounterVec::new(HTTP_REQUESTS.opts(), HTTP_REQUESTS.labels));
        for code in HTTP_CODES {
            http.with_label_values(&[itoa::Buffer::new().format(code)]);
        }
        // On systems without /proc the crate has no process metrics, which is no reason not to start.
        let _ = registry.register(Box::new(ProcessCollector::for_self()));
        Self {
            requests: registered(&registry, IntCounterVec::new(API_REQUESTS.opts(), API_REQUESTS.labels)),
            failures: registered(&registry, IntCounterVec::new(API_FAILURES.opts(), API_FAILURES.labels)),
            seconds: registered(&registry, HistogramVec::new(histogram, API_SECONDS.labels)),
            clock_offset: registered(&registry, GaugeVec::new(CLOCK_OFFSET.opts(), CLOCK_OFFSET.labels)),
            http,
            in_flight: registered(&registry, IntGauge::with_opts(HTTP_IN_FLIGHT.opts())),
            body: registered(&registry, Gauge::with_opts(SCRAPE_BODY.opts())),
            saves: registered(&registry, IntCounter::with_opts(STATE_SAVES.opts())),
            save_failures: registered(&registry, IntCounter::with_opts(STATE_FAILURES.opts())),
            saved: registered(&registry, Gauge::with_opts(STATE_SAVED.opts())),
            sessions: sessions::Sessions::new(&registry),
            budgets: budgets::Budgets::new(&registry),
            accounts: RwLock::default(),
            registry,
        }
    }

    /// Puts every series of these actions of an account at 0; those that are there already keep their counts.
    pub fn register(&self, account: &str, provider: &str, actions: &[&'static str]) {
        for action in actions {
            self.with(account, provider, action, |_| ());
        }
    }

    /// The series of a source that has login records, at 0 until something is counted.
    pub fn sessions(&self, source: &str, provider: &str, kind: &str) -> SessionMeter {
        self.sessions.meter(source, provider, kind)
    }

    /// The series of an account's budget.
    pub fn budget(&self, account: &str) -> BudgetMeter {
        self.budgets.meter(account)
    }

    /// Counts one HTTP request to a provider that took `seconds`, answered or not.
    pub fn request(&self, account: &str, provider: &str, action: &'static str, seconds: f64) {
        self.with(account, provider, action, |handles| {
            handles.requests.inc();
            handles.seconds.observe(seconds);
        });
    }

    /// Counts one failed HTTP request to a provider, beside [`Telemetry::request`], which counts all.
    pub fn failure(&self, account: &str, provider: &str, action: &'static str, fault: Fault) {
        self.with(account, provider, action, |handles| handles.failures[fault as usize].inc());
    }

    /// Sets how far our clock is ahead of a provider's. There is no such series before the first answer.
    pub fn clock_offset(&self, account: &str, provider: &str, seconds: f64) {
        self.clock_offset.with_label_values(&[account, provider]).set(seconds);
    }

    /// Counts a request to our own HTTP server as being answered until the guard is dropped.
    #[must_use = "the request counts as answered once the guard is dropped"]
    pub fn http_begun(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts an answer of our own HTTP server.
    pub fn http_answered(&self, code: u16) {
        self.http.with_label_values(&[itoa::Buffer::new().format(code)]).inc();
    }

    /// Notes the size of a complete page of metrics before compression.
    #[expect(clippy::cast_precision_loss, reason = "a page stays far below 2^53 bytes")]
    pub fn scrape_body(&self, bytes: u64) {
        self.body.set(bytes as f64);
    }

    /// Counts a save of the state file that was completed at `unix_ms`.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay far below 2^53")]
    pub fn saved(&self, unix_ms: i64) {
        self.saves.inc();
        self.saved.set(unix_ms as f64 / 1000.0);
    }

    /// Counts a save of the state file that failed.
    pub fn save_failed(&self) {
        self.save_failures.inc();
    }

    /// All families with their values now.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Does something with an action's series, which are made when they are first needed.
    fn with(&self, account: &str, provider: &str, action: &'static str, count: impl FnOnce(&Handles)) {
        let is_it = |handles: &&Handles| handles.action == action && *handles.provider == *provider;
        {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(handles) = accounts.get(account).and_then(|actions| actions.iter().find(is_it)) {
                return count(handles);
            }
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let actions = accounts.entry(account.into()).or_default();
        // Two threads may have come here for the same action.
        if let Some(handles) = actions.iter().find(is_it) {
            return count(handles);
        }
        let handles = self.handles(account, provider, action);
        count(&handles);
        actions.push(handles);
    }

    fn handles(&self, account: &str, provider: &str, action: &'static str) -> Handles {
        let labels = [account, provider, action];
        Handles {
            provider: provider.into(),
            action,
            requests: self.requests.with_label_values(&labels),
            failures: Fault::ALL
                .map(|fault| self.failures.with_label_values(&[account, provider, action, fault.as_str()])),
            seconds: self.seconds.with_label_values(&labels),
        }
    }
}

/// A metric that is in the registry.
fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("the table of families holds valid names");
    registry.register(Box::new(metric.clone())).expect("the table of families names nothing twice");
    metric
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
