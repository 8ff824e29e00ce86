//! `plan` as people and CI run it.

use std::fs;

use serde_json::Value;

use crate::cli::program::{Ended, compare_with_golden, run};
use crate::ops::project;

/// Runs `plan` on the example, in which secrets are named and none is there.
fn plan(arguments: &[&str]) -> Ended {
    let example = project("config.example.yaml").display().to_string();
    let mut all = vec!["plan", "--config.file", example.as_str()];
    all.extend(arguments);
    run(&all)
}

/// Runs `plan` on this configuration.
fn plan_of(yaml: &str, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("config.yaml");
    fs::write(&file, yaml).expect("the folder can be written to");
    let file = file.display().to_string();
    let mut all = vec!["plan", "--config.file", file.as_str()];
    all.extend(arguments);
    run(&all)
}

#[test]
fn the_example_is_planned_without_a_secret_and_the_readme_shows_how() {
    let ended = plan(&[]);
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    compare_with_golden("tests/golden/plan.txt", &ended.stdout);
    let readme = fs::read_to_string(project("README.md")).expect("it is there");
    for line in ended.stdout.lines() {
        assert!(readme.contains(line), "README.md does not show what `plan` prints:\n{}", ended.stdout);
    }
}

#[test]
fn json_says_the_same_as_the_table() {
    let ended = plan(&["--output", "json"]);
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!(json["sources"].as_array().map(Vec::len), Some(6));
    assert_eq!(json["sources"][0]["actions"][0]["calls"]["floor"]["hour"], 120);
    assert_eq!(json["accounts"][0]["quotas"][0]["of"], "quota");
    assert_eq!(json["problems"], Value::Array(Vec::new()));
}

#[test]
fn a_maximum_that_is_passed_ends_with_code_2_and_says_what_to_change() {
    for (flag, value, words) in [
        ("--max-requests-per-day", "20000", "interval: "),
        ("--max-billed-per-month", "20000", "sensors: interval: "),
        ("--max-detection-delay", "1m", "vpn-users: interval: "),
        ("--max-series", "10", "series, more than 10"),
    ] {
        let ended = plan(&[flag, value]);
        assert_eq!((ended.code(), ended.stderr.as_str()), (2, ""), "{flag}");
        assert!(ended.stdout.contains("Does not fit:") && ended.stdout.contains(words), "{}", ended.stdout);
    }
    for (flag, value) in
        [("--max-requests-per-day", "100000"), ("--max-detection-delay", "2m"), ("--max-series", "5000")]
    {
        assert_eq!(plan(&[flag, value]).code(), 0, "{flag}");
    }
}

#[test]
fn mistakes_other_than_missing_secrets_are_told() {
    let example = fs::read_to_string(project("config.example.yaml")).expect("it is there");
    let wrong = plan_of(&example.replace("interval: 1m", "interval: soon"), &[]);
    assert_eq!((wrong.code(), wrong.stdout.as_str()), (64, ""));
    assert!(wrong.stderr.contains("is not a duration"), "{}", wrong.stderr);
    let no_ca =
        example.replacen("    region: cn-shanghai ", "    ca_file: none.pem\n    region: cn-shanghai ", 1);
    let wrong = plan_of(&no_ca, &[]);
    assert_eq!(wrong.code(), 64);
    assert!(wrong.stderr.contains("ca_file: the file named here cannot be read"), "{}", wrong.stderr);
    let proxy = example.replacen(
        "    region: cn-shanghai ",
        "    proxy: {env: NO_SUCH}\n    region: cn-shanghai ",
        1,
    );
    assert_eq!(plan_of(&proxy, &[]).code(), 0, "a proxy's address is a secret too");
    for flag in ["--assume.online-share=2", "--assume.arrivals-per-hour=-1", "--max-detection-delay=soon"] {
        assert_eq!(plan(&[flag]).code(), 64, "{flag}");
    }
}

#[test]
fn what_a_quota_cannot_carry_ends_with_code_2_and_check_and_run_refuse_it() {
    let example = fs::read_to_string(project("config.example.yaml")).expect("it is there");
    let over = example.replacen("    # requests_per_hour: 20000 ", "    requests_per_hour: 100 ", 1);
    let planned = plan_of(&over, &[]);
    assert_eq!((planned.code(), planned.stderr.as_str()), (2, ""));
    assert!(planned.stdout.contains("sensors: interval: "), "{}", planned.stdout);
    let shed = over.replacen("    # shed: false ", "    shed: true ", 1);
    assert_eq!(plan_of(&shed, &[]).code(), 0);
}
