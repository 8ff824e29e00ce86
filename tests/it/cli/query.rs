//! `query` against a simulator in this process, whose truth is at hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_util::FutureExt as _;
use presence_exporter::net;
use presence_exporter::ports::Clock;
use presence_exporter::simulator::truth::seen_between;
use presence_exporter::simulator::{Options, Scenario, Setup, Simulator, fault_text, places};
use serde_json::Value;
use tokio::sync::oneshot;

use super::program::{providers, run};

/// A simulator that serves on a thread of its own until it is dropped.
struct Providers {
    simulator: Arc<Simulator>,
    clock: Arc<dyn Clock>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Providers {
    /// With so many targets each and these faults; their configuration goes to a file in `home`.
    fn serve(home: &Path, targets: usize, faults: &[&str]) -> (Self, PathBuf) {
        let clock = net::ports().clock;
        let faults = faults.iter().map(|fault| fault_text::parse(fault, &places()).expect("a good fault"));
        let options = Options {
            scenario: Scenario { default_targets: targets, ..Scenario::default() },
            faults: faults.collect(),
            ..Options::default()
        };
        let simulator = Arc::new(Simulator::bind(&options, clock.clone()).expect("loopback has free ports"));
        let config = home.join("config.yaml");
        let setup = Setup { requests_per_second: Some(50.0), ..Setup::default() };
        fs::write(&config, simulator.config_yaml(&setup)).expect("the folder is ours");
        let (stop, stopped) = oneshot::channel();
        let server = simulator.clone();
        let serving = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = runtime.expect("a runtime starts").block_on(server.serve(stopped.map(drop)));
            served.expect("the simulator serves");
        });
        (Self { simulator, clock, stop: Some(stop), serving: Some(serving) }, config)
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().unix_ms
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

/// Runs `query` with these further arguments.
fn query(config: &Path, arguments: &[&str]) -> super::program::Ended {
    let config = config.display().to_string();
    run(&[&["query", "--config.file", &config], arguments].concat())
}

fn rows(stdout: &str) -> Vec<Value> {
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn every_provider_is_asked_and_every_state_is_the_true_one() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (providers, config) = Providers::serve(home.path(), 25, &[]);
    for population in &providers.simulator.world().populations {
        let from = providers.now_ms();
        let ended = query(&config, &[population.provider, "--output=json"]);
        let to = providers.now_ms();
        assert_eq!(ended.code(), 0, "{}: {}", population.provider, ended.stderr);
        let rows = rows(&ended.stdout);
        assert_eq!(rows.len(), 25, "{}", population.provider);
        let mut online = 0;
        for (subject, row) in population.subjects.iter().zip(rows) {
            let (was_online, was_offline) = seen_between(subject, from, to);
            let agrees = match row["state"].as_str().expect("a text") {
                "online" => was_online,
                "offline" => was_offline,
                _ => false,
            };
            assert!(agrees && row["target"] == *subject.id, "{}: {row}", population.provider);
            assert_eq!(row["evidence"]["provider"], population.provider);
            assert!(
                row["evidence"]["action"].is_string() && row["evidence"]["asked_at"].is_string(),
                "{row}"
            );
            // Whatever the provider calls a request by; OpenIM, the id that it was sent with it.
            assert!(row["evidence"]["request_id"].is_string(), "{row}");
            online += usize::from(was_online);
        }
        assert!((1..25).contains(&online), "{}: a world of all or none shows nothing", population.provider);
    }
}

#[test]
fn a_table_lines_up_and_names_what_was_asked() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_providers, config) = Providers::serve(home.path(), 2, &[]);
    let ended = query(&config, &["huawei_workspace"]);
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [head, online, offline] = lines[..] else { panic!("{}", ended.stdout) };
    let column = |line: &str, name: &str| -> String {
        let at = head.find(name).expect("the column is there");
        line[at..].split_whitespace().next().unwrap_or_default().to_owned()
    };
    for (line, state, connections) in [(online, "online", "1"), (offline, "offline", "0")] {
        assert_eq!((column(line, "STATE"), column(line, "CONNECTIONS")), (state.into(), connections.into()));
        assert_eq!(column(line, "ACTION"), "ListDesktopsConnectStatus");
        assert_eq!(column(line, "REASON"), "-");
    }
    assert!(column(online, "SINCE").ends_with('Z') && column(offline, "SINCE") == "-", "{}", ended.stdout);
}

#[test]
fn a_target_that_stays_unknown_is_2_with_the_reason() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_providers, config) = Providers::serve(home.path(), 2, &["openim:throttle", "huawei:forbidden"]);
    for (source, reason) in [("openim", "throttled"), ("huawei_workspace", "forbidden")] {
        let ended = query(&config, &[source, "--output=json"]);
        assert_eq!(ended.code(), 2, "{}", ended.stderr);
        for row in rows(&ended.stdout) {
            assert_eq!((&row["state"], &row["reason"]), (&"unknown".into(), &reason.into()));
            assert!(row["evidence"]["failure"].is_string(), "{row}");
        }
        let table = query(&config, &[source]);
        assert_eq!(table.code(), 2);
        assert!(table.stdout.contains(&format!("unknown  {reason}")), "{}", table.stdout);
        assert!(table.stderr.starts_with("failed: "), "{}", table.stderr);
    }
    assert_eq!(query(&config, &["volcengine_rtc"]).code(), 0, "the others are well");
}

#[test]
fn an_unknown_source_is_64_and_the_known_ones_are_listed() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_providers, config) = Providers::serve(home.path(), 2, &[]);
    let ended = query(&config, &["nobody"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (64, ""));
    let known: Vec<&str> = providers().collect();
    let expected = format!("there is no source \"nobody\"; known sources: {}\n", known.join(", "));
    assert_eq!(ended.stderr, expected);
}

#[test]
fn targets_are_asked_by_name_be_they_configured_or_not() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (providers, config) = Providers::serve(home.path(), 2, &[]);
    let two = &providers.simulator.world().populations;
    let two = two.iter().find(|population| population.provider == "volcengine_rtc").expect("it is there");
    let second = two.subjects[1].id.as_str();
    let ended = query(&config, &["volcengine_rtc", second, "424242", "--output=json"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let states: Vec<(String, String)> = rows(&ended.stdout)
        .iter()
        .map(|row| {
            (row["target"].as_str().expect("a text").into(), row["state"].as_str().expect("a text").into())
        })
        .collect();
    assert_eq!(
        states,
        [(second.to_owned(), "offline".to_owned()), ("424242".to_owned(), "offline".to_owned())]
    );

    let refused = query(&config, &["alibaba_mqtt", "no-group"]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(refused.stdout.contains("no-group  unknown  refused_id"), "{}", refused.stdout);

    let bad = query(&config, &["volcengine_rtc", second, "room 7"]);
    assert_eq!((bad.code(), bad.stdout.as_str()), (64, ""));
    assert!(bad.stderr.starts_with("\"room 7\" cannot be asked for: a user id here is"), "{}", bad.stderr);
}

#[test]
fn a_provider_that_is_not_there_is_unreachable_and_nobody_offline() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (providers, config) = Providers::serve(home.path(), 2, &[]);
    drop(providers);
    let ended = query(&config, &["openim", "--output=json"]);
    assert_eq!(ended.code(), 2, "{}", ended.stderr);
    for row in rows(&ended.stdout) {
        assert_eq!((&row["state"], &row["reason"]), (&"unknown".into(), &"unreachable".into()));
    }
}
