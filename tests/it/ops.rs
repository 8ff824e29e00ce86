//! What operates the exporter (`deploy/`, `dashboards/`), read by the real tools.
//!
//! Prometheus, promtool, Alertmanager and amtool come from `tests/tools`, in one or two versions; each test runs
//! with every version that is there. A tool that is missing is a failure, never a skip.
//!
//! Not here: whether the metrics named in alerts and dashboards are the exporter's. [`expressions`] and
//! [`promql::metric_names`] are what the tests of the docs compare with the table of families.

mod alertmanager;
mod alerts;
mod dashboards;
mod deploy_files;
pub mod live;
pub mod promql;
pub mod tools;

use std::fs;
use std::path::PathBuf;

/// The path of a file of the project, by its path from the root.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the project.
pub fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A `PromQL` expression and where it stands, for messages.
pub struct Expression {
    pub place: String,
    pub promql: String,
}

/// Every expression that alerts and dashboards evaluate, the queries behind dashboard variables included.
pub fn expressions() -> Vec<Expression> {
    let mut all = alerts::expressions();
    for (path, dashboard) in dashboards::all() {
        all.extend(dashboards::expressions(&path, &dashboard));
    }
    all
}
