//! `simulate`: its files, its end.

use std::fs;

use serde_json::Value;

use super::program::{Running, get, program, run, simulation};

#[test]
fn a_simulation_records_every_request_that_it_was_asked() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let record = home.path().join("record.jsonl");
    let record_flag = format!("--record={}", record.display());
    let (simulator, config) = simulation(home.path(), &["--targets=2", &record_flag]);
    let config = config.display().to_string();
    assert_eq!(run(&["query", "openim", "--config.file", &config]).code(), 0);
    assert_eq!(run(&["query", "volcengine_rtc", "--config.file", &config]).code(), 0);
    simulator.signal("TERM");
    let ended = simulator.ended();
    assert_eq!(ended.code(), 0);
    assert!(ended.stdout.ends_with(&format!("record: {}\n", record.display())), "{}", ended.stdout);
    let lines = fs::read_to_string(&record).expect("the record was written");
    let said: Vec<(String, u64)> = lines
        .lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).expect("each line is JSON");
            (
                entry["action"].as_str().expect("a text").to_owned(),
                entry["status"].as_u64().expect("a number"),
            )
        })
        .collect();
    let expected = ["get_admin_token", "get_users_online_status", "QueryOnlineStatus"];
    assert_eq!(said, expected.map(|action| (action.to_owned(), 200)));
    assert!(!lines.contains("no-value"), "a record holds no secret");
}

#[test]
fn a_simulation_ends_by_itself_and_says_where_it_listens() {
    let ended = run(&["simulate", "--for=1s", "--targets=2"]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (0, 0), "{}", ended.stderr);
    for cloud in ["alibaba", "volcengine", "openim", "huawei"] {
        assert!(ended.stdout.contains(&format!("{cloud}: http://127.0.0.1:")), "{}", ended.stdout);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_at_once() {
    let ended = run(&["simulate", "--config.out=/nowhere/config.yaml"]);
    assert_eq!(ended.code(), 1);
    assert_eq!(
        ended.stderr,
        "/nowhere/config.yaml: cannot be written: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_rate_limit_refuses_what_is_above_it() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (mut simulator, _) = simulation(home.path(), &["--targets=2", "--rate-limit=1"]);
    let address = simulator.told("volcengine: http://");
    let refused = simulator.wait_for("a refusal", |_| {
        let answer = get(&address, "/?Action=QueryOnlineStatus&Version=2020-12-01", &["Content-Length: 0"])?;
        (answer.status == 429 || answer.text().contains("FlowLimit")).then_some(answer)
    });
    assert!(refused.status >= 400, "{}", refused.head);
}

#[test]
fn two_simulations_cannot_have_the_same_ports() {
    let mut first = Running::start(program(&["simulate", "--targets=2"]));
    let port = first.told("alibaba: http://127.0.0.1:");
    let second = run(&["simulate", "--targets=2", "--port", &port]);
    assert_eq!(second.code(), 1);
    assert!(second.stderr.starts_with("the simulator cannot listen: "), "{}", second.stderr);
}
