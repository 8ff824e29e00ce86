//! `deploy/alertmanager`: the routes, and what mutes what, as a running Alertmanager sees it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{alerts, project, tools};

const CONFIG: &str = "deploy/alertmanager/alertmanager.yml";

#[test]
fn amtool_accepts_the_config() {
    for amtool in tools::every("amtool") {
        tools::succeed(Command::new(&amtool).arg("check-config").arg(project(CONFIG)));
    }
}

#[test]
fn alerts_reach_the_receiver_of_their_severity() {
    for amtool in tools::every("amtool") {
        for (severity, receiver) in
            [("critical", "pager"), ("warning", "tickets"), ("info", "notes"), ("unheard-of", "tickets")]
        {
            let config = format!("--config.file={}", project(CONFIG).display());
            let verify = format!("--verify.receivers={receiver}");
            let label = format!("severity={severity}");
            tools::succeed(
                Command::new(&amtool).args(["config", "routes", "test", &config, &verify, &label]),
            );
        }
    }
}

/// An alert with its labels, as `name label=value …`.
fn alert(text: &str) -> Value {
    let (name, labels) = text.split_once(' ').unwrap_or((text, ""));
    let mut alert = json!({ "labels": { "alertname": name, "job": "presence-exporter" } });
    for (label, value) in labels.split(' ').filter_map(|pair| pair.split_once('=')) {
        alert["labels"][label] = value.into();
    }
    alert
}

/// Posts the alerts to each Alertmanager, and has it mute those of `follow` and no others.
fn assert_mutes(firing: &[&str], follow: &[&str]) {
    let follow: BTreeSet<&str> = follow.iter().copied().collect();
    for alertmanager in tools::every("prometheus-alertmanager") {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = start(&alertmanager, home.path());
        let posted: Vec<Value> = firing.iter().map(|text| alert(text)).collect();
        server.request("POST", "/api/v2/alerts", &Value::from(posted).to_string());
        // Alertmanager learns of the causes in the background. Once all that follows is muted it knows them all,
        // and then nothing else may be muted.
        let muted = tools::wait_for("alerts to be muted", || match muted(&server, firing) {
            muted if muted.is_superset(&follow) => Ok(muted),
            muted => Err(format!("of {follow:?} only {muted:?}")),
        });
        assert_eq!(muted, follow, "{}", alertmanager.display());
    }
}

fn start(alertmanager: &Path, home: &Path) -> tools::Server {
    let address = tools::free_address();
    let mut command = Command::new(alertmanager);
    command
        .arg(format!("--config.file={}", project(CONFIG).display()))
        .arg(format!("--storage.path={}", home.display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=");
    tools::Server::start(command, address, "/-/ready", home.join("log"))
}

/// Those of `firing` that Alertmanager shows as muted now.
fn muted<'a>(server: &tools::Server, firing: &[&'a str]) -> BTreeSet<&'a str> {
    let shown: Value =
        serde_json::from_str(&server.request("GET", "/api/v2/alerts", "")).expect("a list of alerts");
    let is_muted = |text: &str| {
        let labels = &alert(text)["labels"];
        let found = shown.as_array().into_iter().flatten().find(|alert| &alert["labels"] == labels);
        found.and_then(|alert| alert["status"]["inhibitedBy"].as_array()).is_some_and(|by| !by.is_empty())
    };
    firing.iter().copied().filter(|text| is_muted(text)).collect()
}

#[test]
fn a_blind_source_mutes_its_own_devices_and_nobody_elses() {
    let causes = [
        "PresenceSourceDown instance=a source=desks",
        "PresenceSourceDown instance=a source=doors",
        "PresenceDataOld instance=a source=sensors",
    ];
    let follow = [
        "PresenceDeviceOffline instance=a source=desks target=1",
        "PresenceTargetsUnknown instance=a source=desks",
        "PresenceDataOld instance=a source=doors",
        "PresenceDeviceOffline instance=a source=sensors target=2",
        "PresenceTargetsUnknown instance=a source=sensors",
    ];
    let heard = [
        "PresenceDeviceOffline instance=a source=others target=3",
        "PresenceDeviceOffline instance=b source=desks target=1",
        "PresenceDeviceOffline instance=b source=sensors target=2",
        "PresenceAccountUnauthorized instance=a account=work",
        "PresenceThrottled instance=a account=work",
    ];
    let firing: Vec<&str> = [&causes[..], &follow, &heard].concat();
    assert_mutes(&firing, &follow);
}

#[test]
fn an_exporter_that_is_down_mutes_all_else_of_its_instance() {
    let others = alerts::names().into_iter().filter(|name| name != "PresenceExporterDown");
    let follow: Vec<String> = others.map(|name| format!("{name} instance=a source=s")).collect();
    let follow: Vec<&str> = follow.iter().map(String::as_str).collect();
    let heard = ["PresenceDeviceOffline instance=b source=s", "PresenceThrottled instance=b account=work"];
    let firing = [&["PresenceExporterDown instance=a"], &follow[..], &heard].concat();
    assert_mutes(&firing, &follow);
}

#[test]
fn a_job_that_is_gone_mutes_all_its_instances() {
    let firing =
        ["PresenceExporterDown", "PresenceDeviceOffline instance=a source=s", "PresenceThrottled instance=b"];
    assert_mutes(&firing, &firing[1..]);
}
