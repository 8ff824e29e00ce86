//! What the plan advises is true: written into the configuration, it fits.

use presence_exporter::scheduler::plan::advice::Advice;
use presence_exporter::scheduler::plan::{Assumptions, Inputs, Plan, quota};

use super::hour::configuration;
use crate::ops::read;
use crate::simulation::play::Nothing;

/// A configuration with these keys in its account, and these in its two sources.
fn yaml(account: &str, first: &str, second: &str) -> String {
    let targets = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!("\"GID_x@@@{n}\"")).collect();
        ids.join(", ")
    };
    format!(
        "accounts:\n  main:\n    cloud: alibaba\n    region: cn-shanghai\n    access_key_id: k\n    \
         access_key_secret: s\n{account}sources:\n  sensors:\n    account: main\n    provider: alibaba_mqtt\n    \
         instance: i\n{first}    targets: [{}]\n  users:\n    account: main\n    provider: alibaba_smartag\n    \
         instance: i\n{second}    targets: [{}]\n",
        targets(300),
        targets(120),
    )
}

fn plan(yaml: &str) -> Plan {
    Inputs::of(&configuration(yaml, Nothing)).plan(&Assumptions::default())
}

/// The configuration with the advice written into it, as a person would: a key's line is replaced, or added.
fn applied(yaml: &str, advice: &[Advice]) -> String {
    let mut lines: Vec<String> = yaml.lines().map(str::to_owned).collect();
    for Advice { name, change } in advice {
        let key = change.split(':').next().unwrap();
        let head = lines.iter().position(|line| *line == format!("  {name}:")).expect("the source is there");
        let end = (head + 1..lines.len()).find(|&n| !lines[n].starts_with("    ")).unwrap_or(lines.len());
        if let Some(old) = (head + 1..end).find(|&n| lines[n].trim_start().starts_with(&format!("{key}:"))) {
            lines.remove(old);
        }
        lines.insert(head + 1, format!("    {change}"));
    }
    lines.join("\n") + "\n"
}

#[test]
fn what_is_advised_makes_the_configuration_fit() {
    for (account, first, second, words) in [
        ("    requests_per_second: 5\n", "    exact: true\n    interval: 10s\n", "", "exact: false"),
        ("    requests_per_second: 1\n", "", "    interval: 1s\n", "interval: "),
        ("    requests_per_hour: 700\n", "    exact: true\n", "    exact: true\n", "interval: "),
        ("    requests_per_month: 20000\n", "", "", "interval: "),
        (
            "    requests_per_second: 0.1\n    requests_per_day: 4000\n",
            "    interval: 2m\n",
            "",
            "interval: ",
        ),
    ] {
        let before = yaml(account, first, second);
        let over = plan(&before);
        assert!(!over.accounts[0].fits, "{account}{first}{second}");
        assert_eq!(quota::problems(&configuration(&before, Nothing)).len(), 1);
        let advice = &over.accounts[0].advice;
        assert!(!advice.is_empty() && advice.iter().all(|one| one.change.starts_with(words)), "{advice:?}");
        let after = applied(&before, advice);
        assert!(plan(&after).accounts[0].fits, "{advice:?} in\n{after}");
        assert!(quota::problems(&configuration(&after, Nothing)).is_empty());
    }
}

#[test]
fn the_readme_shows_what_is_said_of_a_quota_that_does_not_suffice() {
    let over = plan(&yaml("    requests_per_second: 5\n", "    exact: true\n    interval: 10s\n", ""));
    let account = &over.accounts[0];
    let said = format!("  account main: {}\n    {}\n", account.overrun(), account.advice[0]);
    assert!(read("README.md").contains(&said), "{said}");
}

#[test]
fn intervals_are_no_longer_than_they_must_be() {
    let before = yaml("    requests_per_second: 1\n", "", "");
    let advice = plan(&before).accounts[0].advice.clone();
    let shorter: Vec<Advice> = advice
        .iter()
        .map(|one| {
            let interval = one.change.strip_prefix("interval: ").unwrap();
            let interval = humantime::parse_duration(interval).unwrap().mul_f64(0.9);
            Advice { change: format!("interval: {}s", interval.as_secs()), ..one.clone() }
        })
        .collect();
    assert!(!plan(&applied(&before, &shorter)).accounts[0].fits, "{advice:?}");
}

#[test]
fn a_quota_that_no_interval_fits_is_called_so() {
    let over = plan(&yaml("    requests_per_month: 3\n", "", ""));
    assert!(over.accounts[0].advice[0].change.contains("no interval suffices"));
}

#[test]
fn a_problem_stands_at_the_quota_and_shedding_is_the_operators_choice() {
    let over = yaml("    requests_per_hour: 100\n", "", "");
    let problems = quota::problems(&configuration(&over, Nothing));
    let line = (1_u32..).zip(over.lines()).find(|(_, line)| line.contains("requests_per_hour")).unwrap().0;
    assert_eq!((problems[0].place.line, problems[0].path.as_str()), (line, "accounts.main"));
    let shed = over.replace("    requests_per_hour: 100\n", "    requests_per_hour: 100\n    shed: true\n");
    assert!(quota::problems(&configuration(&shed, Nothing)).is_empty());
    assert!(!plan(&shed).accounts[0].fits);
}

#[test]
fn a_change_is_seen_as_early_as_is_asked_for_once_the_advice_is_taken() {
    for seconds in [60, 45, 20, 10] {
        let before = yaml("", "    interval: 1m\n", "    leave_delay: 2s\n");
        let configuration = configuration(&before, Nothing);
        let inputs = Inputs::of(&configuration);
        let max = std::time::Duration::from_secs(seconds);
        let advice: Vec<Advice> = (0..2).flat_map(|source| inputs.sooner(source, max)).collect();
        let after = plan(&applied(&before, &advice));
        for source in &after.sources {
            let total = source.detection_delay_seconds.total;
            assert!(total <= max.as_secs_f64(), "{}: {total} s with {advice:?}", source.name);
        }
        assert!(after.accounts[0].fits);
    }
    let before = yaml("", "", "");
    let configuration = configuration(&before, Nothing);
    let advice = Inputs::of(&configuration).sooner(0, std::time::Duration::from_secs(2));
    assert!(advice[0].change.contains("no interval and no timeout"), "{advice:?}");
}

#[test]
fn a_cadence_is_planned_by_its_slowest_turn_and_advice_about_it_is_true() {
    let cadence = "    interval: 20s\n    cadence: {fastest: 5s, slowest: 5m}\n";
    let before = yaml("", cadence, "");
    let planned = plan(&before).sources.swap_remove(0);
    assert_eq!(planned.turns_seconds, Some([5.0, 300.0]));
    assert!((planned.max_age_seconds - 910.0).abs() < 1e-9, "{}", planned.max_age_seconds);
    assert!((planned.detection_delay_seconds.round - 300.0).abs() < 1e-9);
    // 30 batches every 20 s at most, and every 5 min and a tick at least once all are quiet.
    let (floor, ceiling) = (planned.calls.floor, planned.calls.ceiling);
    assert!((floor.second - 30.0 / 305.0).abs() < 1e-9 && ceiling.second >= 1.5, "{floor:?} {ceiling:?}");
    assert_eq!((floor.hour, floor.day), (5_400, 5_400 + 30 * (82_800 / 305)));
    for seconds in [200, 60, 10] {
        let configuration = configuration(&before, Nothing);
        let max = std::time::Duration::from_secs(seconds);
        let advice = Inputs::of(&configuration).sooner(0, max);
        assert!(advice.iter().any(|one| one.change.starts_with("cadence: ")), "{advice:?}");
        let after = plan(&applied(&before, &advice));
        let total = after.sources[0].detection_delay_seconds.total;
        assert!(total <= max.as_secs_f64(), "{total} s with {advice:?}");
    }
    let before = yaml("    requests_per_hour: 300\n", cadence, "");
    let over = plan(&before);
    assert!(!over.accounts[0].fits);
    let after = applied(&before, &over.accounts[0].advice);
    assert!(plan(&after).accounts[0].fits, "{:?} in\n{after}", over.accounts[0].advice);
    assert!(quota::problems(&configuration(&after, Nothing)).is_empty());
}
