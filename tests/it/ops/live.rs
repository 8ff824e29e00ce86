//! A real Prometheus with the config that we ship scrapes a page, and every query that we ship gets an answer.
//!
//! The page here is `page.prom`, written by hand from the list of metrics: two healthy sources, one target of each
//! state. [`every_query_answers`] takes any exporter's address, the demo's as well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::{Expression, expressions, read, tools};

/// Scrapes before the queries are asked: a rate needs two, and the page's counters have to have moved.
const SCRAPES: &str = "5";

/// Lets each Prometheus that there is scrape `exporter` (host:port), evaluate the alerts on what it got, and asks it
/// every query of the dashboards.
///
/// # Panics
/// If an alert can't be evaluated or a dashboard's query has no answer that is a number.
pub fn every_query_answers(exporter: &str) {
    thread::scope(|scope| {
        for prometheus in tools::every("prometheus") {
            scope.spawn(move || every_query_answers_in(&prometheus, exporter));
        }
    });
}

fn every_query_answers_in(prometheus: &Path, exporter: &str) {
    let server = Scraping::start(prometheus, exporter, &read("deploy/prometheus/alerts.yml"));
    let enough = format!("count_over_time(up{{job=\"presence-exporter\"}}[1m]) >= {SCRAPES}");
    tools::wait_for("scrapes", || match server.numbers(&enough) {
        numbers if numbers.is_empty() => Err(format!("not yet {SCRAPES}")),
        numbers => Ok(numbers),
    });
    let version = prometheus.display();
    for Expression { place, promql } in expressions() {
        let answer = server.numbers(&expanded(&promql));
        // An alert's answer is empty when all is well; it only has to be evaluated without an error.
        let has_number = answer.iter().any(|number| number.is_finite());
        assert!(has_number || place.contains("alerts.yml"), "{version}: {place}: {promql}: {answer:?}");
    }
    let evaluated =
        "sum(prometheus_rule_evaluation_failures_total) and min(prometheus_rule_group_iterations_total) > 0";
    let failures = tools::wait_for("the alerts to be evaluated", || match server.numbers(evaluated) {
        numbers if numbers.is_empty() => Err("not yet".to_owned()),
        numbers => Ok(numbers),
    });
    assert_eq!(failures, [0.0], "{version}: evaluations of alerts that failed");
}

/// A Prometheus that scrapes an exporter by our config. It is killed when the test is done with it.
pub struct Scraping {
    server: tools::Server,
    /// Its files; after the server, so that it is still there while the server ends.
    _home: tempfile::TempDir,
}

impl Scraping {
    /// Starts this Prometheus with our config, its addresses and intervals apart, and these alerts.
    pub fn start(prometheus: &Path, exporter: &str, alerts: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path();
        let address = tools::free_address();
        let mut config = read("deploy/prometheus/prometheus.yml");
        for (ours, theirs) in [
            ("localhost:10076", exporter),
            ("localhost:9090", &address),
            ("localhost:9093", "127.0.0.1:9"),
            ("_interval: 15s", "_interval: 500ms"),
        ] {
            assert!(config.contains(ours), "prometheus.yml has no {ours}");
            config = config.replace(ours, theirs);
        }
        fs::write(home.join("prometheus.yml"), config).expect("the folder is ours");
        fs::write(home.join("alerts.yml"), alerts).expect("the folder is ours");
        let mut command = Command::new(prometheus);
        command
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let server = tools::Server::start(command, address, "/-/ready", home.join("log"));
        Self { server, _home: folder }
    }

    /// The numbers that a query returns now.
    pub fn numbers(&self, promql: &str) -> Vec<f64> {
        let query: String = form_urlencoded::byte_serialize(promql.as_bytes()).collect();
        let answer = self.request(&format!("/api/v1/query?query={query}"));
        let answer: Value = serde_json::from_str(&answer).expect("Prometheus answers in JSON");
        let samples = answer["data"]["result"].as_array().expect("a vector");
        samples.iter().filter_map(|sample| sample["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The answer of its API.
    pub fn request(&self, path: &str) -> String {
        self.server.request("GET", path, "")
    }
}

/// The query as Grafana sends it when All is chosen.
fn expanded(promql: &str) -> String {
    let mut promql = promql.replace("$__rate_interval", "1m");
    for variable in ["job", "instance", "source", "target"] {
        promql = promql.replace(&format!("\"${variable}\""), "\".+\"");
    }
    assert!(!promql.contains('$'), "an unknown variable: {promql}");
    promql
}

/// Serves `page.prom`: `{now}` is the time, `{n}` the number of the scrape. Ends with the test's process.
fn serve_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it's bound").to_string();
    let page = read("tests/it/ops/page.prom");
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).expect("a request");
            let page = page.replace("{now}", &unix_now().to_string()).replace("{n}", &(n + 1).to_string());
            let length = page.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{page}").expect("Prometheus reads");
        }
    });
    address
}

#[expect(clippy::disallowed_methods, reason = "a real Prometheus compares with the real time")]
fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it's after 1970").as_secs()
}

#[test]
fn every_query_of_the_dashboards_and_alerts_answers_in_a_real_prometheus() {
    every_query_answers(&serve_page());
}

#[test]
fn promtool_finds_no_fault_in_the_page_that_the_queries_are_tried_on() {
    let page = read("tests/it/ops/page.prom").replace("{now}", "1800000000").replace("{n}", "7");
    for promtool in tools::every("promtool") {
        let mut child = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("promtool starts");
        child.stdin.take().expect("it's piped").write_all(page.as_bytes()).expect("promtool reads");
        let output = child.wait_with_output().expect("promtool ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
