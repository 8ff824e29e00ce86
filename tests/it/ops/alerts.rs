//! `deploy/prometheus`: the alerts, read by promtool, and the habits that promtool doesn't know.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use super::{Expression, project, read, tools};

const ALERTS: &str = "deploy/prometheus/alerts.yml";

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    r#for: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn rules() -> Vec<Rule> {
    let file: RuleFile = serde_saphyr::from_str(&read(ALERTS)).expect("alerts.yml is YAML");
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The names of all alerts.
pub fn names() -> BTreeSet<String> {
    rules().into_iter().map(|rule| rule.alert).collect()
}

/// The expressions of all alerts.
pub fn expressions() -> Vec<Expression> {
    let expression =
        |rule: Rule| Expression { place: format!("{ALERTS}: {}", rule.alert), promql: rule.expr };
    rules().into_iter().map(expression).collect()
}

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<TestCase>,
}

#[derive(Deserialize)]
struct TestCase {
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

#[test]
fn promtool_accepts_the_config_and_the_rules() {
    for promtool in tools::every("promtool") {
        for (check, file) in [("config", "prometheus.yml"), ("rules", "alerts.yml")] {
            tools::succeed(
                Command::new(&promtool).args(["check", check]).arg(project("deploy/prometheus").join(file)),
            );
        }
    }
}

#[test]
fn alerts_fire_and_stay_silent_as_their_unit_tests_say() {
    for promtool in tools::every("promtool") {
        let tests = project("deploy/prometheus/alerts_test.yml");
        tools::succeed(Command::new(&promtool).args(["test", "rules"]).arg(tests));
    }
}

#[test]
fn each_alert_is_tested_firing_and_silent() {
    let file: TestFile =
        serde_saphyr::from_str(&read("deploy/prometheus/alerts_test.yml")).expect("alerts_test.yml is YAML");
    let (firing, silent): (Vec<_>, Vec<_>) = file
        .tests
        .into_iter()
        .flat_map(|case| case.alert_rule_test)
        .partition(|test| !test.exp_alerts.is_empty());
    for (what, tests) in [("firing", firing), ("silent", silent)] {
        let tested: BTreeSet<String> = tests.into_iter().map(|test| test.alertname).collect();
        assert_eq!(tested, names(), "alerts tested {what}, and all alerts");
    }
}

#[test]
fn each_alert_waits_tells_how_bad_it_is_and_where_to_read_on() {
    for rule in rules() {
        let name = &rule.alert;
        let says = |key: &str| rule.annotations.get(key).map(String::as_str).unwrap_or_default();
        assert!(name.starts_with("Presence"), "{name}: alerts of one exporter share their first word");
        assert!(rule.r#for.is_some(), "{name}: has no `for`, so a blip fires it");
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning" | "info")), "{name}: severity {severity:?}");
        let summary = says("summary");
        assert!(
            summary.starts_with(char::is_uppercase) && summary.ends_with('.'),
            "{name}: no sentence: {summary}"
        );
        assert!(
            !summary.contains("{{"),
            "{name}: a summary is the same for all alerts of its name: {summary}"
        );
        assert!(
            says("description").contains("{{"),
            "{name}: the description doesn't say which one it is about"
        );
        assert_eq!(says("runbook"), format!("README.md#{}", name.to_lowercase()), "{name}: runbook");
    }
}
