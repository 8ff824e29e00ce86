//! Sources of one account that ask the same, on virtual time against the simulated APIs: they are asked together, and each
//! is told all that concerns it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use presence_exporter::domain::presence::Presence;
use presence_exporter::domain::{Fault, UnknownReason};
use presence_exporter::http::Control as _;
use presence_exporter::ports::{Clock as _, Env};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::configure;
use presence_exporter::scheduler::plan::{Assumptions, Inputs};
use presence_exporter::scheduler::pools::pools;
use presence_exporter::simulator::setup;

use crate::discover::LISTING_PROVIDERS;
use crate::lists::{Files, Play, everybody, lines};
use crate::simulation::play::Nothing;

const SECOND: Duration = Duration::from_secs(1);
/// Enough for several batches of each provider that has batches.
pub const SIZE: usize = 300;

/// The configuration with a second source beside each one, which has `files: [NAME_b.txt]`.
pub fn with_twins(yaml: &str) -> String {
    REGISTRY.iter().fold(yaml.to_owned(), |yaml, kind| with_twin(&yaml, kind.name(), "_b", ""))
}

/// The same for one source, with further keys for the second one.
pub fn with_twin(yaml: &str, source: &str, suffix: &str, keys: &str) -> String {
    let head = format!("\n  {source}:\n");
    let at = yaml.find(&head).expect("the source is there") + 1;
    let rest = &yaml[at + head.len() - 1..];
    let end =
        rest.split_inclusive('\n').take_while(|line| line.starts_with("    ")).map(str::len).sum::<usize>();
    let twin = rest[..end].replace(&format!("[{source}.txt]"), &format!("[{source}{suffix}.txt]"));
    let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
    let is_given = |line: &&str| keys.lines().any(|given| key(given) == key(line));
    let twin: String = twin.split_inclusive('\n').filter(|line| !is_given(line)).collect();
    format!("{}  {source}{suffix}:\n{keys}{twin}{}", &yaml[..at], &yaml[at..])
}

/// Files of two sources a provider: the first part of its ids up to `to`, and the last part from `from` on.
pub fn halves(from: usize, to: usize) -> Files {
    let files = Files::default();
    for (provider, ids) in everybody(SIZE) {
        files.write(&format!("{provider}.txt"), lines(&ids[..to]));
        files.write(&format!("{provider}_b.txt"), lines(&ids[from..]));
    }
    files
}

/// Calls by action that were sent in the time from `from_s` to `to_s` after the beginning.
pub fn calls(play: &Play, began_ms: i64, from_s: i64, to_s: i64) -> BTreeMap<&'static str, usize> {
    let mut calls = BTreeMap::new();
    let span = began_ms + from_s * 1000..began_ms + to_s * 1000;
    for call in play.wire.log().calls.iter().filter(|call| span.contains(&call.sent.unix_ms)) {
        *calls.entry(call.action).or_default() += 1;
    }
    calls
}

pub fn is_known(presence: Presence) -> bool {
    !matches!(presence, Presence::Unknown(_))
}

#[test]
fn sources_that_ask_the_same_cost_what_one_source_of_all_their_targets_costs() {
    let counted = |mut play: Play| {
        let mut counts = BTreeMap::new();
        play.run(async |play| {
            let began = play.clock.now().unix_ms;
            play.wait(SECOND * 120).await;
            counts = calls(play, began, 30, 120);
        });
        counts
    };
    let lone = counted(Play::new(SIZE, halves(0, SIZE), |yaml| yaml));
    let twins = counted(Play::new(SIZE, halves(100, 200), |yaml| with_twins(&yaml)));
    assert!(lone.len() >= 6, "{lone:?}");
    for (action, count) in &lone {
        let shared = twins.get(action).copied().unwrap_or_default();
        // Answers that come at another moment may call for another detail.
        assert!(shared.abs_diff(*count) <= 2 + count / 20, "{action}: {shared} instead of {count}");
    }
}

#[test]
fn each_source_is_told_what_concerns_it_and_both_are_told_the_same_of_whom_they_share() {
    let mut play = Play::new(SIZE, halves(100, 200), |yaml| with_twins(&yaml));
    play.run(async |play| {
        for _ in 0..20 {
            play.wait(SECOND * 7).await;
            play.assert_true();
        }
        let page = play.page();
        for kind in REGISTRY {
            let (first, second) = (play.shown(kind.name()), play.shown(&format!("{}_b", kind.name())));
            assert_eq!((first.len(), second.len()), (200, 200));
            let known =
                |shown: &BTreeMap<_, (Presence, _)>| shown.values().filter(|(is, _)| is_known(*is)).count();
            // A user of a shared desktop that no record explains is not known.
            assert!(known(&first) >= 195 && known(&second) >= 195, "{}", kind.name());
            let shared: Vec<&String> = first.keys().filter(|id| second.contains_key(*id)).collect();
            assert_eq!(shared.len(), 100);
            for id in shared {
                assert_eq!(first[id], second[id], "{}: {id}", kind.name());
            }
            for source in [kind.name().to_owned(), format!("{}_b", kind.name())] {
                for family in ["presence_source_up", "presence_source_cycle_duration_seconds"] {
                    let series = format!("{family}{{source=\"{source}\"");
                    assert!(page.lines().any(|line| line.starts_with(&series)), "no {series}");
                }
            }
        }
        let transitions = |source: &str| {
            let series = format!("presence_observed_transitions_total{{source=\"{source}\"");
            page.lines().filter(|line| line.starts_with(&series) && !line.ends_with(" 0")).count()
        };
        assert!(transitions("openim") > 0 && transitions("openim_b") > 0);
    });
}

#[test]
fn one_pass_of_workspace_answers_for_desktops_by_name_by_id_and_for_users() {
    const NAME: &str = "huawei_workspace";
    const COUNT: &str = "presence_session_setup_seconds_count{";
    let files = halves(0, 0);
    files.write(&format!("{NAME}_c.txt"), lines(&[]));
    let mut play = Play::new(SIZE, files, |yaml| {
        let yaml = with_twin(&yaml, NAME, "_b", "    subject: user\n");
        with_twin(&yaml, NAME, "_c", "    match: id\n")
    });
    let population = play.world.of_provider(NAME).next().expect("it is simulated");
    let desktops: Vec<String> = population.subjects.iter().map(|subject| subject.id.clone()).collect();
    let mut of_user: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (subject, desktop) in population.subjects.iter().zip(&desktops) {
        of_user.entry(subject.user.clone()).or_default().push(desktop);
    }
    // Several users at one desktop, or groups of them, are judged by records.
    of_user.retain(|user, _| !user.starts_with('@') && !user.contains(','));
    let users: Vec<String> = of_user.keys().cloned().collect();
    assert!(users.len() > SIZE / 2, "{}", users.len());
    play.files.write(&format!("{NAME}.txt"), lines(&desktops));
    play.files.write(&format!("{NAME}_b.txt"), lines(&users));
    // No desktop has such an id.
    play.files.write(&format!("{NAME}_c.txt"), lines(&desktops[..3]));
    play.run(async |play| {
        let began = play.clock.now().unix_ms;
        play.wait(SECOND * 600).await;
        let calls = calls(play, began, 60, 600);
        assert!(calls["ListDesktopsConnectStatus"].abs_diff(54) <= 1, "{calls:?}");
        let (by_name, by_user) = (play.shown(NAME), play.shown(&format!("{NAME}_b")));
        assert!(by_name.values().all(|(is, at)| is_known(*is) && at.is_some()));
        for (user, desktops) in &of_user {
            let on = desktops.iter().any(|desktop| by_name[*desktop].0 == Presence::Online);
            let expected = if on { Presence::Online } else { Presence::Offline };
            assert_eq!(by_user[user].0, expected, "{user} of {desktops:?}");
        }
        let refused = Presence::Unknown(UnknownReason::Fault(Fault::RefusedId));
        assert!(play.shown(&format!("{NAME}_c")).values().all(|(is, _)| *is == refused));
        let page = play.page();
        let count = |source: &str| -> f64 {
            let of = |line: &&str| line.starts_with(COUNT) && line.contains(&format!("source=\"{source}\""));
            let line = page.lines().find(of).expect("it is there from the start");
            line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a count")
        };
        assert!(count(NAME) > 0.0);
        assert!((count(NAME) - count(&format!("{NAME}_b"))).abs() < 0.1, "each counts its own sessions");
        assert!(count(&format!("{NAME}_c")).abs() < 0.1);
        play.assert_true();
    });
}

#[test]
fn a_list_that_changes_concerns_its_own_source_and_whom_both_want_is_asked_about_until_nobody_does() {
    let mut play = Play::new(SIZE, halves(100, 200), |yaml| with_twins(&yaml));
    let everybody = everybody(SIZE);
    play.run(async |play| {
        play.wait(SECOND * 30).await;
        for (provider, ids) in &everybody {
            // 50 whom both had go from the first, and 20 come whom the other one has.
            let first = ids[..100].iter().chain(&ids[150..220]);
            play.files.write(&format!("{provider}.txt"), lines(first));
        }
        play.wait(SECOND * 20).await;
        for (provider, ids) in &everybody {
            let (first, second) = (play.shown(provider), play.shown(&format!("{provider}_b")));
            assert_eq!((first.len(), second.len()), (170, 200), "{provider}");
            assert!(!first.contains_key(&ids[120]) && first.contains_key(&ids[210]));
            let late = play.clock.now().unix_seconds() - 14;
            let fresh =
                |shown: &BTreeMap<_, (_, Option<i64>)>| shown.values().all(|(_, at)| *at >= Some(late));
            assert!(fresh(&first) && fresh(&second), "{provider}: {first:?}");
        }
        play.assert_true();
        // From now on nobody wants these.
        for (provider, ids) in &everybody {
            play.files.write(&format!("{provider}_b.txt"), lines(&ids[160..]));
        }
        play.wait(SECOND * 20).await;
        for (provider, ids) in &everybody {
            let second = play.shown(&format!("{provider}_b"));
            assert!(second.len() == 140 && !second.contains_key(&ids[120]), "{provider}");
            let about = play.desk.explain(&format!("{provider}_b"), &ids[161]).expect("it is there");
            assert_eq!(about.target, ids[161]);
            let together = format!("for {provider}_b, {provider} together");
            assert!(about.next.why.contains(&together), "{}", about.next.why);
        }
        play.assert_true();
        let began = play.clock.now().unix_ms;
        play.wait(SECOND * 100).await;
        let asked = calls(play, began, 0, 100);
        // 250 targets are left of the 300: ten rounds of 25 batches of ten.
        assert!(asked["BatchQuerySessionByClientIds"].abs_diff(250) <= 2, "{asked:?}");
    });
}

#[test]
fn whatever_lists_follow_one_another_each_source_has_its_own_and_nobody_is_taken_for_another() {
    const SOME: usize = 60;
    let everybody = everybody(SOME);
    let files = Files::default();
    let mut rng = Rng::with_seed(3);
    let mut write = |files: &Files| {
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (provider, ids) in &everybody {
            for source in [(*provider).to_owned(), format!("{provider}_b")] {
                let share = [0.9, 0.5, 0.97, 1.0, 0.2, 0.0][rng.usize(..6)];
                let mut some: Vec<&String> = ids.iter().filter(|_| rng.f64() < share).collect();
                rng.shuffle(&mut some);
                files.write(&format!("{source}.txt"), lines(some.iter().copied()));
                wanted.insert(source, some.into_iter().cloned().collect());
            }
        }
        (wanted, Duration::from_millis(rng.u64(5_020..9_000)))
    };
    write(&files);
    let mut play = Play::new(SOME, files, |yaml| with_twins(&yaml));
    play.run(async |play| {
        play.wait(SECOND * 25).await;
        for round in 0..80 {
            let (wanted, pause) = write(&play.files);
            play.wait(pause).await;
            play.assert_true();
            let late = play.clock.now().unix_seconds() - 30;
            for (source, wanted) in &wanted {
                let shown = play.shown(source);
                let ids: BTreeSet<String> = shown.keys().cloned().collect();
                assert_eq!(ids, *wanted, "{source} in round {round}");
                let stale = shown.values().filter(|(_, at)| at.is_some_and(|at| at < late)).count();
                assert_eq!(stale, 0, "{source} in round {round}");
            }
        }
    });
}

#[test]
fn a_failure_is_told_to_every_source_and_a_refused_id_to_those_that_have_it() {
    let files = halves(100, 200);
    let ids = &everybody(SIZE)["alibaba_mqtt"];
    let with_bad = |ids: &[String]| lines(ids) + "no-group-and-no-device\n";
    files.write("alibaba_mqtt.txt", with_bad(&ids[..200]));
    let mut play = Play::new(SIZE, files, |yaml| {
        with_twins(&yaml).replace("    refresh: 5s\n", "    refresh: 5s\n    max_age: 15s\n")
    });
    play.run(async |play| {
        play.wait(SECOND * 40).await;
        let unknown = |source: &str, reason: UnknownReason| {
            play.shown(source).values().filter(|(is, _)| *is == Presence::Unknown(reason)).count()
        };
        let refused = UnknownReason::Fault(Fault::RefusedId);
        assert_eq!((unknown("alibaba_mqtt", refused), unknown("alibaba_mqtt_b", refused)), (1, 0));
        play.files.write("alibaba_mqtt_b.txt", with_bad(&ids[100..]));
        play.wait(SECOND * 700).await;
        assert_eq!((unknown("alibaba_mqtt", refused), unknown("alibaba_mqtt_b", refused)), (1, 1));
        assert!(play.shown("alibaba_mqtt").values().filter(|(is, _)| is_known(*is)).count() == 200);
        play.strike("all:server-error");
        play.wait(SECOND * 60).await;
        let failed = UnknownReason::Fault(Fault::ServerError);
        for kind in REGISTRY {
            for source in [kind.name().to_owned(), format!("{}_b", kind.name())] {
                assert!(unknown(&source, failed) >= 199, "{source}: {:?}", play.shown(&source));
                assert_eq!(play.value(&format!("presence_source_up{{source=\"{source}\"")), Some(0.0));
            }
        }
    });
}

#[test]
fn where_the_budget_does_not_suffice_the_highest_priority_that_any_source_gives_counts() {
    let files = halves(100, 200);
    let ids = &everybody(SIZE)["alibaba_mqtt"];
    // Whom both want stands last, where of one priority one is left out first.
    files.write("alibaba_mqtt_b.txt", lines(ids[200..].iter().chain(&ids[100..200])));
    let mut play = Play::new(SIZE, files, |yaml| {
        let yaml = with_twin(&yaml, "alibaba_mqtt", "_b", "");
        let yaml = yaml.replace("\n  alibaba_mqtt:\n", "\n  alibaba_mqtt:\n    priority: high\n");
        // 30 batches in 10 s are wanted, and somewhat more than 20 of them are allowed; the other product asks little.
        yaml.replace(
            "  simulated_alibaba:\n",
            "  simulated_alibaba:\n    shed: true\n    requests_per_second: 3.1\n",
        )
    });
    play.run(async |play| {
        play.wait(SECOND * 60).await;
        let (high, normal) = (play.shown("alibaba_mqtt"), play.shown("alibaba_mqtt_b"));
        assert!(high.values().all(|(is, _)| is_known(*is)), "{high:?}");
        let left_out = Presence::Unknown(UnknownReason::Budget);
        assert!(ids[100..200].iter().all(|id| is_known(normal[id].0)), "the other source asks for them");
        let count = normal.values().filter(|(is, _)| *is == left_out).count();
        assert!((10..100).contains(&count), "{count} are left out");
        let about = play.desk.explain("alibaba_mqtt_b", &ids[299]).expect("it is there");
        assert_eq!((about.state.as_str(), about.next.kind.as_str()), ("unknown", "left_out"));
    });
}

#[test]
fn sources_that_are_asked_together_discover_each_their_own() {
    const SOME: usize = 60;
    let everybody = everybody(SOME);
    let of = |provider: &str| {
        let ids = everybody[provider].iter().take(5).map(|id| setup::quoted(&regex::escape(id)));
        ids.collect::<Vec<_>>().join(", ")
    };
    let files = Files::default();
    files.write("volcengine_rtc.txt", "");
    files.write("volcengine_rtc_b.txt", "");
    let mut play = Play::new(SOME, files, |yaml| {
        let yaml = with_twins(&yaml);
        LISTING_PROVIDERS.iter().fold(yaml, |yaml, (provider, ..)| {
            let some = format!("discover: {{interval: 1m, include: [{}]}}", of(provider));
            let others = format!("discover: {{interval: 90s, exclude: [{}]}}", of(provider));
            yaml.replace(&format!("files: [{provider}.txt]"), &some)
                .replace(&format!("files: [{provider}_b.txt]"), &others)
        })
    });
    play.run(async |play| {
        let began = play.clock.now().unix_ms;
        play.wait(SECOND * 60).await;
        // One source asks for both: OpenIM's users are on one page.
        assert_eq!(calls(play, began, 0, 60).get("get_all_users_uid"), Some(&1));
        for (provider, ..) in LISTING_PROVIDERS {
            let (some, others) = (play.shown(provider), play.shown(&format!("{provider}_b")));
            let ids = &everybody[provider];
            assert!(
                some.len() == 5 && ids[..5].iter().all(|id| some.contains_key(id)),
                "{provider}: {some:?}"
            );
            assert!(
                others.len() == SOME - 5 && ids[5..].iter().all(|id| others.contains_key(id)),
                "{provider}"
            );
            let asked = |shown: &BTreeMap<_, (_, Option<i64>)>| shown.values().all(|(_, at)| at.is_some());
            assert!(asked(&some) && asked(&others), "{provider}: somebody is not asked about");
        }
        // The one that wants it every minute asks, though the other one stands first.
        play.wait(SECOND * 15).await;
        assert_eq!(calls(play, began, 0, 75).get("get_all_users_uid"), Some(&2));
        play.assert_true();
    });
}

#[test]
fn sources_are_asked_together_only_if_they_ask_the_very_same_in_the_same_rhythm() {
    let source = |keys: &BTreeMap<&str, &str>| {
        let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        format!("{{{}, targets: [x@@@1]}}", keys.join(", "))
    };
    let number = |change: &str| {
        let own = [("account", "a"), ("provider", "alibaba_mqtt"), ("instance", "i")];
        let first = BTreeMap::from(own);
        let mut second = first.clone();
        second.extend(change.split_once(": "));
        let account = "{cloud: alibaba, region: cn-hangzhou, access_key_id: k, access_key_secret: s}";
        let yaml = format!(
            "accounts:\n  a: {account}\n  b: {account}\nsources:\n  one: {}\n  two: {}\n",
            source(&first),
            source(&second)
        );
        let env: Arc<dyn Env> = Arc::new(Nothing);
        let read = configure(&yaml, &env, Path::new(""), 0);
        pools(&read.unwrap_or_else(|problems| panic!("{problems:?}\n{yaml}")).sources).len()
    };
    for same in ["", "leave_delay: 5s", "max_age: 10m", "priority: low", "exact: false", "interval: 30s"] {
        assert_eq!(number(same), 1, "{same}");
    }
    for other in [
        "account: b",
        "instance: j",
        "region: cn-shanghai",
        "exact: true",
        "interval: 31s",
        "timeout: 9s",
        "connect_time: true",
    ] {
        assert_eq!(number(other), 2, "{other}");
    }
}

#[test]
fn the_plan_counts_what_is_asked_together_once_beside_the_first_source() {
    let source = "account: a, provider: alibaba_mqtt, instance: i";
    let yaml = format!(
        "accounts:\n  a: {{cloud: alibaba, region: cn-hangzhou, access_key_id: k, access_key_secret: s}}\nsources:\n  \
         one: {{{source}, targets: [x@@@1, x@@@2]}}\n  two: {{{source}, leave_delay: 20s, targets: [x@@@2, x@@@3, x@@@4]}}\n"
    );
    let env: Arc<dyn Env> = Arc::new(Nothing);
    let configuration =
        configure(&yaml, &env, Path::new(""), 0).unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = Inputs::of(&configuration).plan(&Assumptions::default());
    let [one, two] = plan.sources.as_slice() else { panic!("two sources") };
    assert_eq!((one.targets, one.questions, one.asked_with.as_deref()), (2, 1, None));
    assert_eq!((two.targets, two.questions, two.asked_with.as_deref()), (3, 0, Some("one")));
    assert_eq!((one.calls, two.actions.len()), (plan.calls, 0));
    let settling = two.detection_delay_seconds.total - one.detection_delay_seconds.total;
    assert!((settling - 20.0).abs() < 1e-9, "its own delays are its own: {settling}");
}
