//! Sources that ask the same, each in its own rhythm, on virtual time against the simulated APIs: whom several of them want
//! is asked about by the fastest one only, and each is told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use presence_exporter::domain::presence::Presence;
use presence_exporter::domain::{Fault, UnknownReason};
use presence_exporter::http::Control as _;
use presence_exporter::ports::{Clock as _, Env};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::{Configuration, configure};
use presence_exporter::scheduler::plan::{Assumptions, Inputs};

use crate::cadence::IN_BATCHES;
use crate::lists::{Files, Play, everybody, lines};
use crate::pools::{SIZE, calls, halves, is_known, with_twin};
use crate::simulation::play::Nothing;

const SECOND: Duration = Duration::from_secs(1);

/// The configuration with a second source beside each one, which is asked about every so often; the first ones every 10 s.
pub fn with_slow_twins(yaml: &str, keys: &str) -> String {
    REGISTRY.iter().fold(yaml.to_owned(), |yaml, kind| with_twin(&yaml, kind.name(), "_b", keys))
}

fn twins() -> impl Iterator<Item = (&'static str, String)> {
    REGISTRY.iter().map(|kind| (kind.name(), format!("{}_b", kind.name())))
}

#[test]
fn whom_a_faster_source_has_as_well_costs_nothing_more() {
    let counted = |from: usize| {
        let slow = |yaml: String| with_slow_twins(&yaml, "    interval: 30s\n");
        let mut play = Play::new(SIZE, halves(from, 200), slow);
        let mut counts = BTreeMap::new();
        play.run(async |play| {
            let began = play.clock.now().unix_ms;
            play.wait(SECOND * 150).await;
            counts = calls(play, began, 60, 150);
        });
        counts
    };
    let (apart, overlapping) = (counted(200), counted(100));
    assert!(apart.len() >= 6, "{apart:?}");
    // 20 batches of ten every 10 s, and ten every 30 s; a listing every 10 s.
    assert!(apart["BatchQuerySessionByClientIds"].abs_diff(9 * 20 + 3 * 10) <= 2, "{apart:?}");
    assert!(apart["ListDesktopsConnectStatus"].abs_diff(9) <= 1, "{apart:?}");
    for (action, count) in &apart {
        let shared = overlapping.get(action).copied().unwrap_or_default();
        // Answers that come at another moment may call for another detail.
        assert!(shared.abs_diff(*count) <= 2 + count / 20, "{action}: {shared} instead of {count}");
    }
}

#[test]
fn each_source_is_told_what_concerns_it_and_nobody_waits_longer_than_its_own_rhythm() {
    let mut play = Play::new(SIZE, halves(100, 200), |yaml| with_slow_twins(&yaml, "    interval: 30s\n"));
    let everybody = everybody(SIZE);
    play.run(async |play| {
        play.wait(SECOND * 45).await;
        let mut oldest: BTreeMap<&str, i64> = BTreeMap::new();
        for _ in 0..20 {
            play.wait(SECOND * 7).await;
            play.assert_true();
            let now = play.clock.now().unix_seconds();
            for (fast, slow) in twins() {
                let (first, second) = (play.shown(fast), play.shown(&slow));
                let ids = &everybody[fast];
                for id in &ids[100..200] {
                    assert_eq!(first[id], second[id], "{fast}: {id}");
                }
                let old = |id: &String| now - second[id].1.expect("everybody was asked about");
                assert!(ids[100..200].iter().all(|id| old(id) <= 14), "{fast}: whom both want");
                let others = ids[200..].iter().map(old).max().expect("there are others");
                let oldest = oldest.entry(fast).or_default();
                *oldest = others.max(*oldest);
            }
        }
        let page = play.page();
        for (fast, slow) in twins() {
            // The others have the slow source's rhythm, unless one listing is for all.
            let expected = if IN_BATCHES.contains(&fast) { 25..=35 } else { 0..=14 };
            assert!(expected.contains(&oldest[fast]), "{fast}: {}", oldest[fast]);
            for source in [fast, &slow] {
                let value = |family: &str| {
                    let series = format!("{family}{{source=\"{source}\"");
                    let line = page.lines().find(|line| line.starts_with(&series));
                    line.unwrap_or_else(|| panic!("no {series}"))
                        .rsplit(' ')
                        .next()
                        .and_then(|value| value.parse().ok())
                };
                assert_eq!(value("presence_source_up"), Some(1.0), "{source}");
                let took: Option<f64> = value("presence_source_cycle_duration_seconds");
                let longest = if source == slow && IN_BATCHES.contains(&fast) { 31.0 } else { 11.0 };
                assert!(took.is_some_and(|took| took < longest), "{source}: {took:?}");
            }
        }
        let why = |source: &str, id: &String| play.desk.explain(source, id).expect("it is there").next;
        for (fast, slow) in twins().filter(|(fast, _)| IN_BATCHES.contains(fast)) {
            let (left, own) = (why(&slow, &everybody[fast][150]), why(&slow, &everybody[fast][250]));
            let words = format!("done for {fast}, where it stands too and is asked about more often");
            assert!(left.why.contains(&words), "{}", left.why);
            assert!(!own.why.contains("done for"), "{}", own.why);
            assert_eq!((left.interval_seconds, own.interval_seconds), (10.0, 30.0));
        }
    });
}

#[test]
fn a_source_of_which_everybody_is_left_to_a_faster_one_lives_by_that_ones_answers() {
    // Whom the second one has, the first one has as well.
    let mut play = Play::new(SIZE, halves(200, 300), |yaml| {
        with_slow_twins(&yaml, "    interval: 30s\n")
            .replace("    refresh: 5s\n", "    refresh: 5s\n    max_age: 45s\n")
    });
    play.run(async |play| {
        play.wait(SECOND * 20).await;
        assert!(play.desk.awaited().is_empty(), "{:?}", play.desk.awaited());
        let began = play.clock.now().unix_ms;
        play.wait(SECOND * 100).await;
        let asked = calls(play, began, 0, 100);
        assert!(asked["BatchQuerySessionByClientIds"].abs_diff(300) <= 2, "{asked:?}");
        let up = |source: &str| play.value(&format!("presence_source_up{{source=\"{source}\""));
        let cycle = |source: &str| {
            play.value(&format!("presence_source_cycle_duration_seconds{{source=\"{source}\""))
        };
        for (fast, slow) in twins() {
            assert_eq!((up(fast), up(&slow)), (Some(1.0), Some(1.0)), "{slow}");
            assert!(cycle(&slow).is_some_and(|took| took < 11.0), "{slow}");
            assert!(play.shown(&slow).values().filter(|(is, _)| is_known(*is)).count() >= 97, "{slow}");
        }
        play.strike("all:server-error");
        play.wait(SECOND * 70).await;
        let failed = Presence::Unknown(UnknownReason::Fault(Fault::ServerError));
        for (_, slow) in twins() {
            assert_eq!(up(&slow), Some(0.0), "{slow}");
            let shown = play.shown(&slow);
            assert!(shown.values().filter(|(is, _)| *is == failed).count() >= 99, "{slow}: {shown:?}");
        }
        play.recover();
        play.wait(SECOND * 70).await;
        assert!(twins().all(|(_, slow)| up(&slow) == Some(1.0)));
        play.assert_true();
    });
}

#[test]
fn whatever_lists_follow_one_another_in_three_rhythms_each_source_has_its_own_and_nobody_is_forgotten() {
    const SOME: usize = 60;
    const RHYTHMS: [(&str, i64); 3] = [("", 10), ("_b", 25), ("_c", 18)];
    let everybody = everybody(SOME);
    let files = Files::default();
    let mut rng = Rng::with_seed(11);
    let mut write = |files: &Files| {
        let mut wanted: BTreeMap<(&str, String), (BTreeSet<String>, i64)> = BTreeMap::new();
        for (provider, ids) in &everybody {
            for (suffix, interval) in RHYTHMS {
                let source = format!("{provider}{suffix}");
                let share = [0.9, 0.5, 0.97, 1.0, 0.2, 0.0][rng.usize(..6)];
                let mut some: Vec<&String> = ids.iter().filter(|_| rng.f64() < share).collect();
                rng.shuffle(&mut some);
                files.write(&format!("{source}.txt"), lines(some.iter().copied()));
                wanted.insert((provider, source), (some.into_iter().cloned().collect(), interval));
            }
        }
        (wanted, Duration::from_millis(rng.u64(5_020..9_000)))
    };
    write(&files);
    let mut play = Play::new(SOME, files, |yaml| {
        let yaml = with_slow_twins(&yaml, "    interval: 25s\n");
        REGISTRY.iter().fold(yaml, |yaml, kind| with_twin(&yaml, kind.name(), "_c", "    interval: 18s\n"))
    });
    play.run(async |play| {
        play.wait(SECOND * 30).await;
        let mut known_since: BTreeMap<(String, String), i64> = BTreeMap::new();
        for round in 0..120 {
            let (wanted, pause) = write(&play.files);
            play.wait(pause).await;
            play.assert_true();
            let now = play.clock.now().unix_seconds();
            let mut since = BTreeMap::new();
            for ((_, source), (wanted, interval)) in &wanted {
                let shown = play.shown(source);
                let ids: BTreeSet<String> = shown.keys().cloned().collect();
                assert_eq!(ids, *wanted, "{source} in round {round}");
                for (id, (_, at)) in &shown {
                    let key = (source.clone(), id.clone());
                    let begun = known_since.get(&key).copied().unwrap_or(now);
                    since.insert(key, begun);
                    // Whoever is left by a faster source comes last in the slow one's round, which may just have begun.
                    let late = now - at.unwrap_or(begun).max(begun);
                    assert!(
                        late <= 2 * interval + 12,
                        "{source}: {id} is asked about {late} s ago in round {round}"
                    );
                }
                let by_id = play.desk.explain(source, ids.iter().next().map_or("", String::as_str));
                assert_eq!(by_id.is_ok(), !ids.is_empty(), "{source} in round {round}");
            }
            known_since = since;
        }
    });
}

#[test]
fn who_is_left_out_by_the_faster_source_is_told_so_in_the_slower_one_as_well() {
    let files = halves(100, 200);
    let ids = &everybody(SIZE)["alibaba_mqtt"];
    let shed = |priorities: [&'static str; 2]| {
        move |yaml: String| {
            let keys = format!("    interval: 30s\n    priority: {}\n", priorities[1]);
            let yaml = with_twin(&yaml, "alibaba_mqtt", "_b", &keys);
            let first = format!("\n  alibaba_mqtt:\n    priority: {}\n", priorities[0]);
            let yaml = yaml.replace("\n  alibaba_mqtt:\n", &first);
            // Twenty batches in 10 s and ten in 30 s are wanted: 2.3 a second, and the other product's.
            let quota = "  simulated_alibaba:\n    shed: true\n    requests_per_second: 2.2\n";
            yaml.replace("  simulated_alibaba:\n", quota)
        }
    };
    let left_out = |play: &Play, source: &str, ids: &[String]| {
        let shown = play.shown(source);
        let budget = Presence::Unknown(UnknownReason::Budget);
        ids.iter().filter(|id| shown[*id].0 == budget).count()
    };
    let mut play = Play::new(SIZE, files, shed(["low", "low"]));
    play.run(async |play| {
        play.wait(SECOND * 100).await;
        let (fast, slow) = ("alibaba_mqtt", "alibaba_mqtt_b");
        let (common, own) = (&ids[100..200], &ids[200..]);
        let count = left_out(play, fast, common);
        assert!((5..=100).contains(&count), "{count} of whom both want");
        assert_eq!(left_out(play, slow, common), count);
        assert_eq!(left_out(play, slow, own), 0, "of one priority what stands last is left out");
        let about = play.desk.explain(slow, &common[99]).expect("it is there");
        assert_eq!((about.state.as_str(), about.next.kind.as_str()), ("unknown", "left_out"));
        assert!(about.next.why.contains("targets of alibaba_mqtt are left out"), "{}", about.next.why);
        // Who comes to the slow list alone changes nothing for whoever asks, and is told all the same.
        play.files.write("alibaba_mqtt_b.txt", lines(own));
        play.wait(SECOND * 20).await;
        play.files.write("alibaba_mqtt_b.txt", lines(&ids[100..]));
        play.wait(SECOND * 20).await;
        assert_eq!(left_out(play, slow, common), count);
        // Nobody wants them any more but the slow one; the budget suffices for that.
        play.files.write("alibaba_mqtt.txt", lines(&ids[..30]));
        play.wait(SECOND * 60).await;
        assert_eq!(left_out(play, slow, &ids[100..]), 0);
        assert!(play.shown(slow).values().all(|(is, _)| is_known(*is)));
        play.files.write("alibaba_mqtt.txt", lines(&ids[..200]));
        play.wait(SECOND * 100).await;
        assert_eq!((left_out(play, slow, common), left_out(play, fast, common)), (count, count));
    });
    // What the slow source says of whom both want counts, from the moment on that both do.
    let files = halves(100, 200);
    files.write("alibaba_mqtt_b.txt", lines(&ids[200..]));
    let mut play = Play::new(SIZE, files, shed(["low", "high"]));
    play.run(async |play| {
        play.wait(SECOND * 100).await;
        assert!(left_out(play, "alibaba_mqtt", &ids[100..200]) > 0);
        play.files.write("alibaba_mqtt_b.txt", lines(&ids[100..]));
        play.wait(SECOND * 100).await;
        assert_eq!(left_out(play, "alibaba_mqtt", &ids[100..200]), 0);
        assert_eq!(left_out(play, "alibaba_mqtt_b", &ids[100..]), 0);
        assert!(left_out(play, "alibaba_mqtt", &ids[..100]) > 0);
    });
}

#[test]
fn who_is_found_by_a_slow_source_is_left_to_the_fast_one_that_has_them_already() {
    const SOME: usize = 60;
    let everybody = everybody(SOME);
    let files = Files::default();
    for (provider, ids) in &everybody {
        files.write(&format!("{provider}.txt"), lines(&ids[..20]));
        files.write(&format!("{provider}_b.txt"), lines(&ids[..5]));
    }
    let mut play = Play::new(SOME, files, |yaml| {
        let yaml = with_slow_twins(&yaml, "    interval: 30s\n");
        yaml.replace("[openim_b.txt]", "[openim_b.txt]\n    discover: {interval: 1m}")
    });
    play.run(async |play| {
        play.wait(SECOND * 40).await;
        let shown = play.shown("openim_b");
        assert_eq!(shown.len(), SOME);
        assert!(shown.values().all(|(is, _)| is_known(*is)), "{shown:?}");
        let why = |id: &String| play.desk.explain("openim_b", id).expect("it is there").next.why;
        assert!(why(&everybody["openim"][10]).contains("done for openim,"));
        assert!(!why(&everybody["openim"][30]).contains("done for"));
    });
}

#[test]
fn the_plan_says_who_is_left_to_whom_and_judges_each_by_whoever_asks() {
    let whole = source("slow", "interval: 5m", 0..25) + &source("fast", "interval: 30s", 10..40);
    let plan = Inputs::of(&read(&whole)).plan(&Assumptions::default());
    let [slow, fast] = plan.sources.as_slice() else { panic!("two sources") };
    assert_eq!(
        (slow.questions, slow.left_to_faster, slow.faster.as_slice()),
        (1, 15, &["fast".to_owned()][..])
    );
    assert_eq!((fast.questions, fast.left_to_faster, fast.faster.len()), (3, 0, 0));
    assert_eq!(plan.calls.floor.hour, 3600 / 300 + 3 * 3600 / 30);
    assert!(slow.round_seconds > 299.0 && slow.detection_delay_seconds.total > 300.0);
    // Everybody is left to the fast one: seen as soon, and counting for as long as its own rhythm says.
    let covered = source("slow", "interval: 5m", 10..20) + &source("fast", "interval: 30s", 10..40);
    let plan = Inputs::of(&read(&covered)).plan(&Assumptions::default());
    let [slow, fast] = plan.sources.as_slice() else { panic!("two sources") };
    assert_eq!((slow.questions, slow.left_to_faster, slow.calls.ceiling.month), (0, 10, 0));
    assert_eq!(slow.detection_delay_seconds, fast.detection_delay_seconds);
    assert_eq!((slow.interval_seconds, slow.round_seconds), (300.0, 30.0));
    assert!((slow.max_age_seconds - (3.0 * 300.0 + 10.0)).abs() < 1e-9);
}

#[test]
fn advice_for_sources_in_several_rhythms_makes_the_plan_fit() {
    let yaml = |fast: &str, slow: &str| {
        let interval = |interval: &str| format!("interval: {interval}");
        source("slow", &interval(slow), 0..2_000) + &source("fast", &interval(fast), 1_000..3_000)
    };
    let plan = Inputs::of(&read(&yaml("5s", "12s"))).plan(&Assumptions::default());
    let account = &plan.accounts[0];
    assert!(!account.fits);
    let interval = |name: &str| {
        let advice = account.advice.iter().find(|advice| advice.name == name).expect("each has some");
        advice.change.strip_prefix("interval: ").expect("an interval").to_owned()
    };
    let (fast, slow) = (interval("fast"), interval("slow"));
    let plan = Inputs::of(&read(&yaml(&fast, &slow))).plan(&Assumptions::default());
    assert!(plan.accounts[0].fits, "{fast} and {slow}: {:?}", plan.accounts[0].quotas);
}

#[test]
fn a_list_is_planned_by_those_who_want_it_whoever_asks_about_them() {
    let pages = |fast: usize| {
        let source = |name: &str, keys: &str, users: Range<usize>| {
            let targets: Vec<String> = users.map(|n| format!("u{n}")).collect();
            let targets = targets.join(", ");
            format!("  {name}: {{account: a, provider: openim, {keys}, targets: [{targets}]}}\n")
        };
        let account = "{cloud: openim, endpoint: 'http://openim.test', admin_user_id: i, secret: s}";
        let sources = source("slow", "interval: 5m, discover: {interval: 10m}", 0..6_000)
            + &source("fast", "interval: 1m", 0..fast);
        let configuration = read_whole(&format!("accounts:\n  a: {account}\nsources:\n{sources}"));
        let plan =
            Inputs::of(&configuration).plan(&Assumptions { failing_share: 0.0, ..Assumptions::default() });
        let asked = plan.sources[0].actions.iter().find(|action| action.action == "get_all_users_uid");
        asked.expect("the slow one asks for the list").calls.ceiling.hour
    };
    let (apart, left) = (pages(1), pages(6_000));
    assert!(apart > 6, "several pages, six times an hour: {apart}");
    assert_eq!(apart, left);
}

#[test]
fn a_source_whose_list_may_change_is_planned_as_if_it_had_to_ask_itself() {
    let delay = |keys: &str| {
        let source = |name: &str, keys: &str| {
            format!("  {name}: {{account: a, provider: openim, {keys}, targets: [u1, u2]}}\n")
        };
        let account = "{cloud: openim, endpoint: 'http://openim.test', admin_user_id: i, secret: s}";
        let sources = source("slow", "interval: 5m") + &source("fast", keys);
        let configuration = read_whole(&format!("accounts:\n  a: {account}\nsources:\n{sources}"));
        Inputs::of(&configuration).delay(0).round
    };
    assert!((delay("interval: 1m") - 60.0).abs() < 1e-9);
    let may_lose_them = "interval: 1m, discover: {interval: 10m}";
    assert!((delay(may_lose_them) - 300.0).abs() < 1e-9, "then the slow one asks about them");
}

#[test]
fn the_plan_counts_who_is_left_out_by_whoever_asks() {
    let account = "{cloud: alibaba, region: cn-hangzhou, access_key_id: k, access_key_secret: s, shed: true, \
                   requests_per_second: 2}";
    let sources =
        source("slow", "interval: 60s, priority: high", 150..170) + &source("fast", "interval: 10s", 0..300);
    let yaml = format!("accounts:\n  a: {account}\nsources:\n{sources}");
    let plan = Inputs::of(&read_whole(&yaml)).plan(&Assumptions::default());
    let [slow, fast] = plan.sources.as_slice() else { panic!("two sources") };
    assert_eq!((slow.left_out, slow.left_to_faster), (0, 20), "their priority counts");
    assert!((100..200).contains(&fast.left_out), "{}", fast.left_out);
    let plan = Inputs::of(&read_whole(&yaml.replace("priority: high", "priority: low")))
        .plan(&Assumptions::default());
    assert_eq!(plan.sources[0].left_out, 0, "the fast one's priority counts");
    let sources = source("slow", "interval: 60s", 280..310) + &source("fast", "interval: 10s", 0..300);
    let yaml = format!("accounts:\n  a: {account}\nsources:\n{sources}");
    let plan = Inputs::of(&read_whole(&yaml)).plan(&Assumptions::default());
    assert_eq!((plan.sources[0].left_out, plan.sources[0].left_to_faster), (20, 20));
}

#[test]
fn sources_of_one_listing_count_by_their_own_intervals_and_nobody_is_told_to_ask_more_often() {
    let yaml = |fast: &str, slow: &str| {
        let source = |name: &str, keys: &str| {
            let targets: Vec<String> = (0..4_000).map(|n| format!("d{n}")).collect();
            let targets = targets.join(", ");
            format!("  {name}: {{account: a, provider: huawei_workspace, {keys}, targets: [{targets}]}}\n")
        };
        let account = "{cloud: huawei, region: cn-north-4, project_id: 0123456789abcdef0123456789abcdef, \
                       access_key_id: k, access_key_secret: s, requests_per_second: 0.5}";
        let sources = source("slow", &format!("interval: {slow}"))
            + &source("fast", &format!("interval: {fast}, subject: user"));
        format!("accounts:\n  a: {account}\nsources:\n{sources}")
    };
    let plan = |yaml: &str| Inputs::of(&read_whole(yaml)).plan(&Assumptions::default());
    let good = plan(&yaml("1m", "10m"));
    let [slow, fast] = good.sources.as_slice() else { panic!("two sources") };
    assert_eq!((slow.interval_seconds, slow.round_seconds, fast.round_seconds), (600.0, 60.0, 60.0));
    assert!((slow.max_age_seconds - (3.0 * 600.0 + 10.0)).abs() < 1e-9, "{}", slow.max_age_seconds);
    assert!((fast.max_age_seconds - (3.0 * 60.0 + 10.0)).abs() < 1e-9, "{}", fast.max_age_seconds);
    let over = plan(&yaml("5s", "10m"));
    let advice: Vec<&str> = over.accounts[0].advice.iter().map(|advice| advice.name.as_str()).collect();
    assert_eq!(advice, ["fast"], "{:?}", over.accounts[0].advice);
    let interval = over.accounts[0].advice[0].change.strip_prefix("interval: ").expect("an interval");
    assert!(plan(&yaml(interval, "10m")).accounts[0].fits, "{interval}");
    let both = plan(&yaml("1s", "2s"));
    let interval = both.accounts[0].advice[0].change.strip_prefix("interval: ").expect("an interval");
    assert_eq!(both.accounts[0].advice.len(), 2, "{:?}", both.accounts[0].advice);
    assert!(plan(&yaml(interval, interval)).accounts[0].fits, "{interval}");
}

#[test]
fn a_cadence_that_is_nowhere_slower_answers_for_plain_rounds_too() {
    let files = halves(100, 200);
    let mut play = Play::new(SIZE, files, |yaml| {
        IN_BATCHES.iter().fold(yaml, |yaml, source| {
            let yaml = with_twin(&yaml, source, "_b", "    interval: 40s\n");
            let lively = "    cadence: {fastest: 5s, slowest: 40s, lively_for: 1m, quiet_after: 2m}\n";
            yaml.replace(&format!("\n  {source}:\n"), &format!("\n  {source}:\n{lively}"))
        })
    });
    let everybody = everybody(SIZE);
    play.run(async |play| {
        for round in 0..30 {
            play.wait(SECOND * 21).await;
            play.assert_true();
            let now = play.clock.now().unix_seconds();
            for source in IN_BATCHES {
                let (lively, slow) = (play.shown(source), play.shown(&format!("{source}_b")));
                for id in &everybody[source][100..200] {
                    assert_eq!(lively[id], slow[id], "{source}: {id}");
                }
                let late = |(_, at): &&(Presence, Option<i64>)| at.is_none_or(|at| at < now - 52);
                assert_eq!(
                    slow.values().filter(|_| round > 2).filter(late).count(),
                    0,
                    "{source} in round {round}"
                );
            }
        }
    });
}

#[test]
fn whom_a_plain_source_has_as_well_is_never_quiet_and_asked_about_once() {
    let files = halves(100, 200);
    let mut play = Play::new(SIZE, files, |yaml| {
        IN_BATCHES.iter().fold(yaml, |yaml, source| {
            let yaml = with_twin(&yaml, source, "_b", "    interval: 20s\n");
            let lively =
                "    interval: 20s\n    cadence: {fastest: 10s, slowest: 3m, lively_for: 30s, quiet_after: 1m}\n";
            yaml.replace(&format!("\n  {source}:\n"), &format!("\n  {source}:\n{lively}"))
        })
    });
    let everybody = everybody(SIZE);
    play.run(async |play| {
        play.wait(SECOND * 300).await;
        let began = play.clock.now().unix_ms;
        let (mut oldest, mut quiet): (BTreeMap<&str, i64>, BTreeMap<&str, i64>) = Default::default();
        for _ in 0..60 {
            play.wait(SECOND * 7).await;
            play.assert_true();
            let now = play.clock.now().unix_seconds();
            for source in IN_BATCHES {
                let (lively, plain) = (play.shown(source), play.shown(&format!("{source}_b")));
                let ids = &everybody[source];
                let old = |id: &String| now - lively[id].1.expect("everybody was asked about");
                let most = |ids: &[String]| ids.iter().map(old).max().expect("there are some");
                assert!(ids[100..200].iter().all(|id| lively[id] == plain[id]), "{source}");
                let known = oldest.entry(source).or_default();
                *known = most(&ids[100..200]).max(*known);
                let known = quiet.entry(source).or_default();
                *known = most(&ids[..100]).max(*known);
            }
        }
        // A round, a tick and the way.
        assert!(oldest.values().all(|oldest| *oldest <= 34), "{oldest:?}");
        assert!(quiet["alibaba_mqtt"] > 60, "whom nobody else wants may be quiet: {quiet:?}");
        // Three hundred targets in batches of ten every 20 s at most.
        let asked = calls(play, began, 0, 420)["BatchQuerySessionByClientIds"];
        assert!(asked <= 30 * 21 + 2, "{asked}");
        let cadences: BTreeSet<String> = everybody["alibaba_mqtt"][100..200]
            .iter()
            .filter_map(|id| play.desk.explain("alibaba_mqtt_b", id).expect("it is there").cadence)
            .collect();
        let steady = "it is not quiet, since another source wants to hear of it sooner than every 3m";
        assert!(cadences.iter().any(|words| words.contains(steady)), "{cadences:?}");
        assert!(!cadences.iter().any(|words| words.contains("it is quiet")), "{cadences:?}");
    });
}

#[test]
fn a_plain_source_that_asks_more_often_than_a_cadence_s_interval_asks_for_it() {
    let lively = "interval: 1m, cadence: {fastest: 10s, slowest: 5m}";
    let plan = |plain: &str| {
        let sources = source("lively", lively, 1..3) + &source("plain", plain, 1..3);
        Inputs::of(&read(&sources)).plan(&Assumptions::default())
    };
    let left = |plain: &str| {
        let plan = plan(plain);
        (plan.sources[0].left_to_faster, plan.sources[1].left_to_faster)
    };
    assert_eq!(
        (left("interval: 50s"), left("interval: 1m"), left("interval: 70s")),
        ((2, 0), (0, 2), (0, 2))
    );
    // Asked about every minute and in the tick after that, however quiet they are.
    let plain = &plan("interval: 1m").sources[1];
    assert!((plain.detection_delay_seconds.round - 70.0).abs() < 1e-9, "{:?}", plain.detection_delay_seconds);
    assert!((plain.max_age_seconds - 190.0).abs() < 1e-9, "{}", plain.max_age_seconds);
    let slow = &plan("interval: 10m").sources[1];
    assert!((slow.detection_delay_seconds.round - 300.0).abs() < 1e-9, "{:?}", slow.detection_delay_seconds);
}

#[test]
fn what_makes_a_source_seen_sooner_is_told_to_whoever_asks_for_it() {
    let max = SECOND * 80;
    let plain = source("plain", "interval: 1m", 1..3);
    let with = |keys: &str| read(&(source("lively", keys, 1..3) + &plain));
    let configuration = with("interval: 1m, cadence: {fastest: 10s, slowest: 5m}");
    let inputs = Inputs::of(&configuration);
    assert!(inputs.delay(1).whole() > max, "{:?}", inputs.delay(1));
    let advice = inputs.sooner(1, max);
    assert!(!advice.is_empty() && advice.iter().all(|advice| advice.name == "lively"), "{advice:?}");
    let timeouts = advice.iter().filter(|advice| advice.change.starts_with("timeout")).count();
    assert_eq!(timeouts, 0, "a shorter interval suffices: {advice:?}");
    let keys: Vec<&str> = advice.iter().map(|advice| advice.change.as_str()).collect();
    let followed = with(&keys.join(", "));
    assert!(Inputs::of(&followed).delay(1).whole() <= max, "{advice:?}");
}

/// A source of MQTT with these keys and devices.
fn source(name: &str, keys: &str, devices: Range<usize>) -> String {
    let targets: Vec<String> = devices.map(|n| format!("x@@@{n}")).collect();
    let targets = targets.join(", ");
    format!("  {name}: {{account: a, provider: alibaba_mqtt, instance: i, {keys}, targets: [{targets}]}}\n")
}

/// A configuration with these sources of the account `a`.
fn read(sources: &str) -> Configuration {
    let account = "{cloud: alibaba, region: cn-hangzhou, access_key_id: k, access_key_secret: s}";
    read_whole(&format!("accounts:\n  a: {account}\nsources:\n{sources}"))
}

fn read_whole(yaml: &str) -> Configuration {
    let env: Arc<dyn Env> = Arc::new(Nothing);
    configure(yaml, &env, Path::new(""), 0).unwrap_or_else(|problems| panic!("{problems:?}\n{yaml}"))
}
