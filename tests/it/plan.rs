//! The plan against what happens: an hour of polling on virtual time, counted by the simulator, call by call.

mod advice;
mod command;
pub mod hour;

use std::collections::BTreeMap;
use std::time::Duration;

use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::{Population, World as SimWorld};
use presence_exporter::scheduler::plan::{Assumptions, Inputs, Subject, World};
use presence_exporter::simulator::Scenario;

use crate::cadence::IN_BATCHES;
use crate::credentials::{WAYS, Way};
use crate::stage::still_world;
use hour::{BEGIN_MS, Counts, Hour, TokenFile, configuration};

/// How many subjects each provider has: more than one batch for each that has batches.
const SIZE: usize = 240;

/// The numbers of the least and of the most that may happen.
type Worlds<'a> = dyn Fn(&Inputs<'_>) -> (Vec<World>, Vec<World>) + 'a;

/// What the plan says of each provider's actions, at the floor and at the ceiling, in the first hour.
fn planned(yaml: &str, worlds: &Worlds<'_>) -> BTreeMap<String, (u64, u64)> {
    let configuration = configuration(yaml, TokenFile);
    let inputs = Inputs::of(&configuration);
    let (least, most) = worlds(&inputs);
    let plan = inputs.plan_between(&least, &most, Assumptions::default());
    let mut counts = BTreeMap::new();
    for action in plan.accounts.iter().flat_map(|account| &account.actions) {
        let count: &mut (u64, u64) = counts.entry(action.action.to_owned()).or_default();
        *count = (count.0 + action.calls.floor.hour, count.1 + action.calls.ceiling.hour);
    }
    counts
}

/// The very numbers of a world in which nothing happens.
fn numbers(inputs: &Inputs<'_>, world: &SimWorld, left_out: bool) -> Vec<World> {
    let of = |subject: &Subject<'_>| {
        let population = world.of_provider(subject.provider).next().expect("each provider has one");
        // A target may be written as INSTANCE/ID.
        let is = |target: &str, id: &str| target == id || target.ends_with(&format!("/{id}"));
        let stands = |id: &str| subject.roster.iter().any(|target| is(target.id, id));
        let asked: Vec<bool> = population
            .subjects
            .iter()
            .filter(|one| subject.asking.sequence || stands(&one.id))
            .map(|one| one.is_online(BEGIN_MS))
            .collect();
        let online = asked.iter().filter(|is_online| **is_online).count() as u64;
        World {
            online,
            left_out: if left_out { asked.len() as u64 - online } else { 0 },
            listed: population.subjects.len() as u64,
            parts: groups(population),
            open_hours: vec![2, 3],
            ..World::default()
        }
    };
    inputs.subjects.iter().map(of).collect()
}

/// How many subjects each group of a population has, and the whole of one whose ids name no groups.
fn groups(population: &Population) -> Vec<u64> {
    let mut groups: BTreeMap<&str, u64> = BTreeMap::new();
    for subject in &population.subjects {
        let group = subject.id.split_once("@@@").map_or("", |(group, _)| group);
        *groups.entry(group).or_default() += 1;
    }
    groups.into_values().collect()
}

/// Plays an hour of a world in which nothing happens, and compares.
fn assert_planned_is_counted(what: &str, change: impl Fn(Hour) -> Hour) {
    assert_hour_is_as_planned(what, SIZE, change(Hour::of(still_world(REGISTRY, SIZE, BEGIN_MS))));
}

/// The same for an hour of so many subjects of each provider.
fn assert_hour_is_as_planned(what: &str, size: usize, hour: Hour) {
    let world = still_world(REGISTRY, size, BEGIN_MS);
    let left_out = hour.has_switch("offline_rows", "absent");
    let (yaml, counted) = hour.play();
    let planned = planned(&yaml, &|inputs| {
        let worlds = numbers(inputs, &world, left_out);
        (worlds.clone(), worlds)
    });
    let planned: Counts = planned
        .into_iter()
        .filter(|(_, (floor, _))| *floor > 0)
        .map(|(action, (floor, ceiling))| {
            assert_eq!(floor, ceiling, "{what}: {action}: one world, one number");
            (action, floor)
        })
        .collect();
    assert_eq!(planned, counted, "{what}: the plan on the left, the simulator's count on the right");
}

#[test]
fn an_hour_of_every_provider_costs_what_the_plan_says_to_the_call() {
    assert_planned_is_counted("as configured", |hour| hour);
}

#[test]
fn every_other_way_of_asking_costs_what_the_plan_says_to_the_call() {
    assert_planned_is_counted("one by one", |hour| {
        hour.source_key("alibaba_smartag", "exact: true")
            .source_key("alibaba_mqtt", "exact: true")
            .source_key("openim", "mode: status_only")
            .source_key("huawei_workspace", "records_only: true")
            .interval(Duration::from_secs(60))
    });
    assert_planned_is_counted("with details", |hour| {
        hour.source_key("alibaba_mqtt", "connect_time: true")
            .switch("alibaba_smartag", "offline_rows", "absent")
            .switch("huawei_workspace", "auth", "password")
            .source_key("huawei_workspace", "lookback: 7h")
    });
    assert_planned_is_counted("sources that are asked together", |hour| {
        hour.divided(["", ""])
            .source_key("huawei_workspace", "discover: {}")
            .switch("huawei_workspace", "desktops_cap", "1000")
            .source_key("alibaba_mqtt", "connect_time: true")
    });
    for further in [["", "    interval: 45s\n"], ["    interval: 80s\n", "    timeout: 12s\n"]] {
        assert_planned_is_counted("sources in several rhythms that ask the same", |hour| {
            hour.divided(further)
                .source_key("huawei_workspace", "discover: {}")
                .switch("huawei_workspace", "desktops_cap", "1000")
                .source_key("alibaba_mqtt", "connect_time: true")
        });
    }
    // Enough for several pages of every group.
    let size = 400;
    let hour = Hour::of(still_world(REGISTRY, size, BEGIN_MS))
        .interval(Duration::from_secs(60))
        .source_key("huawei_workspace", "discover: {}")
        .switch("huawei_workspace", "desktops_cap", "1000")
        .source_key("openim", "discover: {}")
        .source_key("alibaba_mqtt", "discover: {interval: 7m}")
        .source_key("alibaba_smartag", "discover: {}");
    assert_hour_is_as_planned("with discovery", size, hour);
    for further in [["", ""], ["    interval: 2m\n", ""]] {
        assert_planned_is_counted("with lists that two sources want", |hour| {
            hour.divided(further)
                .interval(Duration::from_secs(60))
                .source_key("huawei_workspace", "discover: {}")
                .switch("huawei_workspace", "desktops_cap", "1000")
                .source_key("openim", "discover: {}")
                .source_key("alibaba_mqtt", "discover: {interval: 7m}")
                .source_key("alibaba_smartag", "discover: {}")
        });
    }
    let world = still_world(REGISTRY, SIZE, BEGIN_MS);
    let scope = &world.of_provider("alibaba_smartag").next().expect("each provider has one").scope;
    let hour = Hour::of(still_world(REGISTRY, SIZE, BEGIN_MS)).edit(|yaml| without_instance(yaml, scope));
    assert_hour_is_as_planned("with discovery of instances", SIZE, hour);
    assert_planned_is_counted("older servers and odd intervals", |hour| {
        hour.source_key("alibaba_mqtt", "exact: true")
            .source_key("alibaba_mqtt", "connect_time: true")
            .switch("openim", "server", "v3.8.0")
            .replace("    secret: ", "    api: user_token\n    secret: ")
            .source_key("huawei_workspace", "subject: user")
            .interval(Duration::from_secs(41))
    });
}

/// The same configuration with a source of Smartag that discovers instances, and names its own in each target.
fn without_instance(yaml: &str, instance: &str) -> String {
    let mut is_inside = false;
    let lines = yaml.lines().map(|line| {
        if line.starts_with("  ") && !line.starts_with("   ") {
            is_inside = line == "  alibaba_smartag:";
        }
        match line {
            _ if !is_inside => format!("{line}\n"),
            _ if line.starts_with("    instance: ") => "    discover: {}\n".to_owned(),
            _ => {
                let line = line.replacen("- id: \"", &format!("- id: \"{instance}/"), 1);
                format!("{}\n", line.replacen("- \"", &format!("- \"{instance}/"), 1))
            }
        }
    });
    lines.collect()
}

/// Hours in which every way of handing out keys is taken once, several in one hour where they are of different clouds.
fn hours_with_keys(hour: &dyn Fn() -> Hour) -> Vec<(Vec<&'static str>, Hour)> {
    let mut rounds: Vec<Vec<&'static Way>> = Vec::new();
    for way in WAYS {
        match rounds.iter_mut().find(|round| round.iter().all(|known| known.providers != way.providers)) {
            Some(round) => round.push(way),
            None => rounds.push(vec![way]),
        }
    }
    let with = |round: Vec<&Way>| {
        let actions = round.iter().map(|way| way.action).collect();
        (actions, round.into_iter().fold(hour(), Hour::keys))
    };
    rounds.into_iter().map(with).collect()
}

#[test]
fn keys_that_are_handed_out_cost_what_the_plan_says_to_the_call() {
    // What keys cost does not depend on how many are asked for.
    let hours = || hours_with_keys(&|| Hour::of(still_world(REGISTRY, 12, BEGIN_MS)));
    assert!(hours().len() >= 4, "Alibaba Cloud has four ways");
    for (actions, hour) in hours() {
        assert_hour_is_as_planned(&format!("{actions:?}"), 12, hour);
    }
    // Shorter lives: the first key and three more within the hour.
    let (actions, hour) = hours().swap_remove(0);
    let short = hour.replace("    role_arn: ", "    role_duration: 20m\n    role_arn: ");
    assert_hour_is_as_planned(&format!("{actions:?} for 20 minutes"), 12, short);
}

#[test]
fn calls_for_keys_are_counted_from_zero_on_where_an_account_makes_them_and_nowhere_else() {
    let still = || Hour::of(still_world(REGISTRY, 3, BEGIN_MS));
    let counted = |page: &str, action: &str| {
        let label = format!("action=\"{action}\"");
        let lines: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("presence_exporter_api_requests_total{") && line.contains(&label))
            .collect();
        assert!(lines.iter().all(|line| line.ends_with("} 0")), "{lines:?}");
        lines.len()
    };
    for (actions, hour) in hours_with_keys(&still) {
        let page = hour.first_page();
        for action in actions {
            assert!(counted(&page, action) >= 1, "{action}\n{page}");
        }
    }
    let page = still().first_page();
    for way in WAYS {
        assert_eq!(counted(&page, way.action), 0, "{}", way.action);
    }
}

#[test]
fn whatever_happens_an_hour_costs_no_less_than_the_floor_and_no_more_than_the_ceiling() {
    for seed in 0..9 {
        let has_cadence = seed >= 6;
        let default_targets = if has_cadence { 150 } else { 40 };
        let scenario = Scenario { seed, default_targets, ..Scenario::default() };
        let world = scenario.world(REGISTRY, BEGIN_MS);
        let most = busy(&world);
        let hour =
            Hour::of(scenario.world(REGISTRY, BEGIN_MS)).source_key("alibaba_mqtt", "connect_time: true");
        let hour =
            if seed % 2 == 0 { hour.switch("alibaba_smartag", "offline_rows", "absent") } else { hour };
        let hour = if seed % 3 == 0 { hour.switch("huawei_workspace", "limit_cap", "100") } else { hour };
        let listing = ["alibaba_smartag", "alibaba_mqtt", "openim", "huawei_workspace"]
            .into_iter()
            .filter(|_| seed % 2 == 1);
        let hour = listing.fold(hour, |hour, provider| hour.source_key(provider, "discover: {}"));
        let hour = if has_cadence { at_cadence(hour) } else { hour };
        let (yaml, counted) = hour.play();
        let planned = planned(&yaml, &|inputs| (inputs.least(), inputs.most(&most)));
        assert!(counted.len() >= 7, "{counted:?}");
        for (action, count) in &counted {
            let (floor, ceiling) = planned.get(action).copied().unwrap_or_default();
            assert!(floor <= *count, "seed {seed}: {action}: {count} calls, at least {floor} were planned");
            assert!(
                *count <= ceiling,
                "seed {seed}: {action}: {count} calls, at most {ceiling} were planned"
            );
        }
    }
}

#[test]
fn where_calls_fail_an_hour_costs_no_more_than_the_ceiling_that_assumes_so() {
    for (fault, failing_share) in [("all:server-error~2%", 0.04), ("all:reset~10%", 0.15)] {
        let world = || still_world(REGISTRY, SIZE, BEGIN_MS);
        let assumptions = Assumptions { failing_share, ..busy(&world()) };
        let (yaml, counted) = Hour::of(world()).fault(fault).play();
        let planned = planned(&yaml, &|inputs| (inputs.least(), inputs.most(&assumptions)));
        assert!(counted.len() >= 6, "{counted:?}");
        for (action, count) in counted.iter().filter(|(action, _)| !action.is_empty()) {
            let (floor, ceiling) = planned.get(action).copied().unwrap_or_default();
            assert!(
                floor <= *count && *count <= ceiling,
                "{fault}: {action}: {count} calls, {floor} to {ceiling}"
            );
            // A ceiling far above what happens would warn of nothing; that of lists assumes servers that cap pages.
            let is_tight = ceiling <= count * 3 + 100 || action.starts_with("List");
            assert!(is_tight, "{fault}: {action}: {count} calls, {floor} to {ceiling}");
        }
    }
}

/// The same hour with lively and quiet targets in every source that may have them.
fn at_cadence(hour: Hour) -> Hour {
    let cadence = "cadence: {fastest: 10s, slowest: 2m, lively_for: 3m, quiet_after: 4m}";
    IN_BATCHES.iter().fold(hour, |hour, source| hour.source_key(source, cadence))
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small world"))
}

/// Assumptions that hold of this world, and not by much.
fn busy(world: &SimWorld) -> Assumptions {
    let end_ms = BEGIN_MS + 3_600_000;
    let (mut online, mut changes) = (0.0_f64, 0.0_f64);
    for population in &world.populations {
        let count = float(population.subjects.len());
        let sessions = || population.subjects.iter().flat_map(|subject| &subject.sessions);
        let within = |at: &i64| (BEGIN_MS..end_ms).contains(at);
        let moves = sessions().flat_map(|session| [session.start_ms, session.end_ms]).filter(within).count();
        let ever = population.subjects.iter().filter(|subject| {
            subject.sessions.iter().any(|session| session.start_ms < end_ms && session.end_ms > BEGIN_MS)
        });
        online = online.max(float(ever.count()) / count);
        changes = changes.max(float(moves) / count);
    }
    Assumptions {
        online_share: online,
        arrivals_per_hour: changes,
        failing_share: 0.0,
        refused_per_source: 0,
        ..Assumptions::default()
    }
}

#[test]
fn everybody_was_asked_once_by_the_time_that_the_plan_gives_for_the_first_picture() {
    for change in [at_cadence, |hour| hour] {
        let hour = change(Hour::of(still_world(REGISTRY, SIZE, BEGIN_MS)));
        let configuration = configuration(&hour.yaml(), TokenFile);
        let inputs = Inputs::of(&configuration);
        let plan = inputs.plan(&Assumptions::default());
        let given: BTreeMap<String, f64> =
            plan.sources.iter().map(|source| (source.name.clone(), source.first_picture_seconds)).collect();
        for (source, seconds) in hour.first_pictures() {
            let given = given[&source];
            assert!(seconds <= given + 1.0, "{source}: complete after {seconds} s, {given} s were planned");
            assert!(given <= seconds + 12.0, "{source}: complete after {seconds} s, {given} s were planned");
        }
    }
}

#[test]
fn whoever_leaves_is_shown_as_offline_within_the_delay_of_the_plan() {
    for change in [at_cadence, |hour| hour] {
        let hour = change(Hour::of(hour::leaving_world(60)));
        let configuration = configuration(&hour.yaml(), TokenFile);
        let inputs = Inputs::of(&configuration);
        let sources = configuration.sources.iter().enumerate();
        let given: BTreeMap<String, f64> =
            sources.map(|(n, source)| (source.settings.name.clone(), inputs.delay(n).total)).collect();
        for (source, slowest) in hour.slowest_departures() {
            let given = given[&source];
            assert!(slowest <= given, "{source}: seen after {slowest} s, {given} s were planned");
            assert!(slowest >= 20.0, "{source}: a departure is hardly ever seen within {slowest} s");
        }
    }
}
