//! The real program, and real Prometheus tools of every version there is, with what we ship for them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::cli::program::{Running, get, page, program, providers};
use crate::ops::live::{self, Scraping};
use crate::ops::{read, tools};

/// A demo that is ready: every source had an answer, but for those whose faults allow none. Its address.
fn demo(arguments: &[&str], ready: u16) -> (Running, String) {
    let mut command =
        program(&["demo", "--interval=1s", "--web.listen-address=127.0.0.1:0", "--log.level=info"]);
    command.args(arguments);
    let mut demo = Running::start(command);
    let address = demo.address();
    demo.wait_for("the demo to be ready", |_| {
        let answer = get(&address, "/-/ready", &[])?;
        let page = page(&address);
        let asked = !page.contains("reason=\"never_polled\"");
        (answer.status == ready && asked).then_some(())
    });
    (demo, address)
}

#[test]
fn promtool_finds_no_fault_in_the_page() {
    let (_demo, address) = demo(&["--fault=openim:throttle"], 503);
    let page = page(&address);
    for promtool in tools::every("promtool") {
        let mut child = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool starts");
        child.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("promtool reads");
        let output = child.wait_with_output().expect("promtool ends");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(
            output.status.success() && said.iter().all(String::is_empty),
            "{}: {said:?}",
            promtool.display()
        );
    }
}

#[test]
fn every_query_that_we_ship_is_answered_by_a_prometheus_that_scrapes_the_demo() {
    // Some of everything: targets of each state, a failing action, and sources that are well.
    let (_demo, address) = demo(&["--fault=openim:throttle"], 503);
    live::every_query_answers(&address);
}

/// What has no reason to move between two scrapes of a world that stands still.
fn steady(page: &str) -> BTreeSet<&str> {
    let moves = |line: &&str| {
        [
            "process_",
            "presence_exporter_",
            "presence_connection_duration",
            "presence_observed",
            "presence_source_last",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    page.lines().filter(|line| !moves(line)).collect()
}

/// The names and labels of a page's series.
fn series(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .collect()
}

#[test]
fn a_compressed_page_is_the_plain_one() {
    let (mut demo, address) = demo(&["--targets=5"], 200);
    // The world moves: pages of the same moment are taken until there are two.
    demo.wait_for("two pages of one moment", |_| {
        let plain = page(&address);
        let answer = get(&address, "/metrics", &["Accept-Encoding: gzip"])?;
        assert!(answer.head.to_lowercase().contains("content-encoding: gzip"), "{}", answer.head);
        let mut unpacked = String::new();
        GzDecoder::new(&*answer.body).read_to_string(&mut unpacked).expect("the page is sound");
        assert!(answer.body.len() * 4 < unpacked.len(), "{} of {}", answer.body.len(), unpacked.len());
        (steady(&plain) == steady(&unpacked) && series(&plain) == series(&unpacked)).then_some(())
    });
}

#[test]
fn prometheus_takes_the_openmetrics_page_and_sees_every_target() {
    let (_demo, address) = demo(&[], 200);
    thread::scope(|scope| {
        for prometheus in tools::every("prometheus") {
            let address = &address;
            scope.spawn(move || {
                let version = prometheus.display().to_string();
                let server = Scraping::start(&prometheus, address, &read("deploy/prometheus/alerts.yml"));
                let up = "up{job=\"presence-exporter\"} == 1";
                tools::wait_for("a scrape", || some(server.numbers(up), "not up"));
                for source in providers() {
                    let all = format!("sum by (source) (presence_source_targets{{source=\"{source}\"}})");
                    assert_eq!(server.numbers(&all), [12.0], "{version}: {source}");
                }
                // Only in OpenMetrics is a counter's family named without `_total`: that page was negotiated.
                let family = "presence_exporter_api_requests";
                let found =
                    tools::wait_for("the metadata", || some(metadata(&server, family), "no such family"));
                assert_eq!(found, ["counter"], "{version}");
            });
        }
    });
}

/// The types that Prometheus knows for a family of the exporter's.
fn metadata(server: &Scraping, family: &str) -> Vec<String> {
    let answer = server.request(&format!("/api/v1/targets/metadata?metric={family}"));
    let answer: Value = serde_json::from_str(&answer).expect("Prometheus answers in JSON");
    let types = answer["data"].as_array().into_iter().flatten();
    types.filter_map(|entry| Some(entry["type"].as_str()?.to_owned())).collect()
}

fn some<T>(found: Vec<T>, otherwise: &str) -> Result<Vec<T>, String> {
    if found.is_empty() { Err(otherwise.to_owned()) } else { Ok(found) }
}

/// The alerts that we ship, but for their patience.
fn impatient_alerts() -> String {
    let rules = read("deploy/prometheus/alerts.yml");
    let patience = |line: &str| line.trim_start().starts_with("for: ");
    assert!(rules.lines().any(patience), "the alerts wait");
    rules
        .lines()
        .map(|line| if patience(line) { "        for: 1s\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

#[test]
fn an_offline_device_is_alerted_about_and_an_unknown_one_is_not() {
    // Desktops were never known: half of them are offline, but nobody said so.
    let (_demo, address) = demo(&["--targets=4", "--fault=huawei:throttle"], 503);
    thread::scope(|scope| {
        for prometheus in tools::every("prometheus") {
            let address = &address;
            scope.spawn(move || {
                let version = prometheus.display().to_string();
                let server = Scraping::start(&prometheus, address, &impatient_alerts());
                // The second of each population is never online, the first always.
                let firing = "ALERTS{alertname=\"PresenceDeviceOffline\",alertstate=\"firing\"";
                let dev_2 = format!("{firing},target=\"GID_fleet@@@dev-0002\"}}");
                tools::wait_for("the device that is offline", || some(server.numbers(&dev_2), "not firing"));
                // Its source is alerted about by the same rules, so they were all evaluated.
                let down = "ALERTS{alertname=\"PresenceSourceDown\",alertstate=\"firing\",source=\"huawei_workspace\"}";
                tools::wait_for("the source that is down", || some(server.numbers(down), "not firing"));
                for never in [
                    "count_over_time(ALERTS{alertname=\"PresenceDeviceOffline\",target=\"GID_fleet@@@dev-0001\"}[1h])",
                    "count_over_time(ALERTS{alertname=\"PresenceDeviceOffline\",source=\"huawei_workspace\"}[1h])",
                    "count_over_time(ALERTS{alertname=\"PresenceDeviceOffline\",kind=\"user\"}[1h])",
                ] {
                    assert_eq!(server.numbers(never), [0.0; 0], "{version}: {never}");
                }
                assert_eq!(server.numbers("sum(prometheus_rule_evaluation_failures_total)"), [0.0], "{version}");
            });
        }
    });
}
