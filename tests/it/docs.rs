//! Whatever the documents claim is compared with the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use presence_exporter::config::cadence::CADENCE_KEYS;
use presence_exporter::config::common::{ACCOUNT_KEYS, DEFAULTS_KEYS, FILE_KEYS, SOURCE_KEYS, TARGET_KEYS};
use presence_exporter::config::discover::DISCOVER_KEYS;
use presence_exporter::config::{Key, Need};
use presence_exporter::domain::UnknownReason;
use presence_exporter::exposition::families::{FAMILIES, OWN_FAMILIES, SESSION_FAMILIES};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::configure;
use presence_exporter::telemetry::Telemetry;

use crate::env::TestEnv;
use crate::ops::promql::metric_names;

fn read(path: &str) -> String {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every key that the example mentions, commented out or not: a word followed by a colon.
fn keys_of_the_example() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for line in read("config.example.yaml").lines() {
        let line = line.trim_start().trim_start_matches("- ");
        let line = line.strip_prefix("# ").unwrap_or(line).trim_start().trim_start_matches("- ");
        if let Some((key, _)) = line.split_once(':')
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.insert(key.to_owned());
        }
    }
    keys
}

fn tables() -> Vec<(String, &'static [Key])> {
    let mut tables = vec![
        ("the file".to_owned(), FILE_KEYS),
        ("an account".to_owned(), ACCOUNT_KEYS),
        ("defaults".to_owned(), DEFAULTS_KEYS),
        ("a source".to_owned(), SOURCE_KEYS),
        ("a target".to_owned(), TARGET_KEYS),
        ("discover".to_owned(), DISCOVER_KEYS),
        ("cadence".to_owned(), CADENCE_KEYS),
    ];
    for kind in REGISTRY {
        tables.push((format!("cloud {}", kind.cloud().name), kind.cloud().keys));
        tables.push((format!("provider {}", kind.name()), kind.keys()));
    }
    tables
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    let shown = keys_of_the_example();
    let mut known: BTreeSet<String> = ["team", "file", "env"].map(String::from).into();
    for (place, table) in tables() {
        for key in table {
            assert!(shown.contains(key.name), "config.example.yaml does not show `{}` of {place}", key.name);
            known.insert(key.name.to_owned());
        }
    }
    let names: BTreeSet<String> =
        ["aliyun", "volcengine", "openim", "huawei", "sensors", "desktops"].map(String::from).into();
    let strange: Vec<&String> = shown.difference(&known).filter(|key| !names.contains(*key)).collect();
    assert!(strange.is_empty(), "config.example.yaml shows what is no key: {strange:?}");
}

#[test]
fn the_example_is_a_good_configuration_as_it_stands() {
    let env = TestEnv::that_answers_everything().shared();
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let configuration = configure(&read("config.example.yaml"), &env, &base, 0).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let asked: BTreeSet<&str> = configuration.sources.iter().map(|source| source.kind.name()).collect();
    let known: BTreeSet<&str> = REGISTRY.iter().map(|kind| kind.name()).collect();
    assert_eq!(asked, known, "the example has a source for each provider");
}

#[test]
fn every_key_says_what_it_means() {
    for (place, table) in tables() {
        for key in table {
            assert!(key.doc.ends_with('.') && key.doc.len() > 10, "{place}: `{}` has no good doc", key.name);
            if let Need::Default(text) = key.need {
                assert!(!text.is_empty(), "{place}: `{}` has an empty default", key.name);
            }
        }
    }
}

/// The first column of each row of the README's table of metrics.
fn metrics_of_the_readme() -> BTreeSet<String> {
    let readme = read("README.md");
    let section = readme.split("\n## Metrics").nth(1).expect("README.md has a section Metrics");
    let section = section.split("\nThe reasons of").next().expect("split yields at least one part");
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line[3..].split(['`', '{']).next().expect("split yields at least one part").to_owned())
        .collect()
}

#[test]
fn the_readme_lists_every_family_and_no_other() {
    let code: BTreeSet<String> = FAMILIES
        .iter()
        .map(|family| family.name)
        .chain(OWN_FAMILIES.iter().chain(&SESSION_FAMILIES).map(|family| family.name))
        .chain(["process_*"])
        .map(String::from)
        .collect();
    assert_eq!(metrics_of_the_readme(), code, "README.md on the left, the code on the right");
}

#[test]
fn the_readme_names_every_reason_for_unknown() {
    let readme = read("README.md");
    for reason in UnknownReason::all() {
        assert!(
            readme.contains(&format!("`{}`", reason.as_str())),
            "README.md does not explain {}",
            reason.as_str()
        );
    }
}

#[test]
fn dashboards_and_alerts_use_only_metrics_that_exist() {
    let mut known: BTreeSet<String> = FAMILIES.iter().map(|family| family.name.to_owned()).collect();
    for family in OWN_FAMILIES.iter().chain(&SESSION_FAMILIES) {
        known.insert(family.name.to_owned());
        for ending in ["_bucket", "_sum", "_count"] {
            known.insert(format!("{}{ending}", family.name));
        }
    }
    let gathered = Telemetry::new("0", "test", "test").gather();
    known.extend(gathered.iter().map(|family| family.name().to_owned()));
    assert!(known.contains("process_start_time_seconds"));
    let expressions = crate::ops::expressions();
    assert!(expressions.len() > 20, "alerts and dashboards were not found");
    for expression in expressions {
        for name in metric_names(&expression.promql) {
            let ours = name.starts_with("presence_") || name.starts_with("process_");
            assert!(
                !ours || known.contains(&name),
                "{} names {name}, which does not exist",
                expression.place
            );
        }
    }
}

#[test]
fn the_readme_gives_the_very_commands_that_are_run() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release -- demo"));
    assert!(readme.contains("tests/run"));
    assert!(read(".ci/run").contains("tests/run"));
}
