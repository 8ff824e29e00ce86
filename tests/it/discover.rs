//! Discovery on virtual time against the simulated APIs, which list in small pages: who is listed is watched, who is no
//! longer listed ends, and a listing that is not whole and good changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use presence_exporter::domain::UnknownReason;
use presence_exporter::domain::presence::Presence;
use presence_exporter::ports::Clock as _;
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::{Population, SimOptions, World};
use presence_exporter::simulator::truth::seen_between;
use presence_exporter::simulator::{Core, Options, fault_text, places};

use crate::lists::{Files, Play};

const SECOND: Duration = Duration::from_secs(1);
/// Between two listings.
const EVERY: Duration = Duration::from_secs(60);
/// What a listing takes at most, pages and waiting for their turns included, and the change that follows.
const LISTING: Duration = Duration::from_secs(30);

/// Who can list, and the switch that keeps its pages small.
pub const LISTING_PROVIDERS: &[(&str, &str)] = &[
    ("alibaba_smartag", "page_cap"),
    ("alibaba_mqtt", "clients_cap"),
    ("openim", "users_cap"),
    ("huawei_workspace", "desktops_cap"),
];

/// A play in which these sources have `how` in the place of their file; others have nobody.
fn play(targets: usize, how: &str) -> Play {
    keeping(None, targets, how)
}

/// The same with a state file, so many milliseconds after the world's beginning.
fn keeping(state: Option<(&Path, i64)>, targets: usize, how: &str) -> Play {
    let files = Files::default();
    for kind in REGISTRY {
        files.write(&format!("{}.txt", kind.name()), "# nobody\n");
    }
    files.write("nobody.txt", "# nobody\n");
    let play = Play::keeping(state, targets, files, |yaml| {
        LISTING_PROVIDERS.iter().fold(yaml, |yaml, (provider, _)| {
            let ids =
                how.replace("FIRST", &id(targets, provider, 0)).replace("SECOND", &id(targets, provider, 1));
            yaml.replace(&format!("files: [{provider}.txt]"), &ids)
        })
    });
    serve(&play, targets, "");
    play
}

/// The id of a provider's target.
fn id(targets: usize, provider: &str, index: usize) -> String {
    crate::lists::everybody(targets)[provider][index].clone()
}

/// From now on the first `count` of each population exist, and this goes wrong.
fn serve(play: &Play, count: usize, fault: &str) {
    let some = |whole: &Population| {
        Population::new(
            whole.provider,
            &whole.scope,
            whole.subjects[..count.min(whole.subjects.len())].to_vec(),
        )
    };
    let world = World { populations: play.world.populations.iter().map(some).collect() };
    let mut options = Options::default();
    for (provider, cap) in LISTING_PROVIDERS {
        options.api.insert((*provider).to_owned(), SimOptions::default().with(cap, "7"));
    }
    if !fault.is_empty() {
        options.faults = vec![fault_text::parse(fault, &places()).expect("a good fault")];
    }
    *play.wire.core() = Core::new(&options, REGISTRY, Arc::new(world), play.clock.now());
}

fn good(play: &Play, provider: &str) -> Option<f64> {
    play.value(&format!("presence_source_targets_refresh_successful{{source=\"{provider}\""))
}

fn last(play: &Play, provider: &str) -> Option<f64> {
    play.value(&format!("presence_source_targets_last_refresh_timestamp_seconds{{source=\"{provider}\""))
}

fn ids(play: &Play, provider: &str) -> BTreeSet<String> {
    play.shown(provider).into_keys().collect()
}

fn first(play: &Play, provider: &str, count: usize) -> BTreeSet<String> {
    let population = play.world.populations.iter().find(|one| one.provider == provider).expect("it is there");
    population.subjects[..count].iter().map(|subject| subject.id.clone()).collect()
}

#[test]
fn who_is_listed_is_watched_and_the_series_of_who_no_longer_is_end_within_one_listing() {
    let mut play = play(40, "discover: {interval: 1m}");
    play.run(async |play| {
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!((good(play, provider), last(play, provider)), (Some(0.0), None), "not asked yet");
        }
        play.wait(LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(ids(play, provider), first(play, provider, 40), "{provider}");
            assert_eq!(good(play, provider), Some(1.0));
        }
        play.wait(SECOND * 20).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert!(
                play.shown(provider).values().all(|(_, at)| at.is_some()),
                "{provider}: somebody is not asked about"
            );
        }
        play.assert_true();
        serve(play, 25, "");
        play.wait(EVERY + LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(ids(play, provider), first(play, provider, 25), "{provider}");
            let gone = format!("source=\"{provider}\",kind=");
            let series = play
                .page()
                .lines()
                .filter(|line| line.starts_with("presence_target_info{") && line.contains(&gone))
                .count();
            assert_eq!(series, 25, "{provider}");
        }
        serve(play, 40, "");
        play.wait(EVERY + LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(ids(play, provider), first(play, provider, 40), "{provider}");
        }
    });
}

#[test]
fn a_listing_of_which_pages_are_missing_changes_nothing_and_says_so() {
    let mut play = play(40, "discover: {interval: 1m}");
    play.run(async |play| {
        play.wait(LISTING).await;
        let before: Vec<_> = LISTING_PROVIDERS.iter().map(|(provider, _)| last(play, provider)).collect();
        // Four pages and more, each asked for three times at most: one listing in two hundred is whole.
        serve(play, 25, "all:server-error~90%");
        play.wait(EVERY * 3).await;
        for ((provider, _), before) in LISTING_PROVIDERS.iter().zip(before) {
            assert_eq!(ids(play, provider), first(play, provider, 40), "{provider}");
            assert_eq!(good(play, provider), Some(0.0), "{provider}");
            assert_eq!(last(play, provider), before, "{provider}: the time of the last good listing stays");
        }
        serve(play, 25, "");
        play.wait(EVERY * 3).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!((ids(play, provider), good(play, provider)), (first(play, provider, 25), Some(1.0)));
        }
    });
}

#[test]
fn inline_targets_files_and_discovered_ones_stand_together_and_filters_choose() {
    let how = "targets: [{id: \"FIRST\", name: Bea, labels: {site: here}}]\n    \
               files: [more.txt]\n    refresh: 5s\n    \
               discover: {interval: 1m, include: [\".*\"], exclude: [\"SECOND\"]}";
    let files_of_more = |play: &Play, text: &str| play.files.write("more.txt", text);
    let files = Files::default();
    files.write("more.txt", "somebody-else\n");
    for kind in REGISTRY {
        files.write(&format!("{}.txt", kind.name()), "# nobody\n");
    }
    let mut play = Play::new(10, files, |yaml| {
        LISTING_PROVIDERS.iter().fold(yaml, |yaml, (provider, _)| {
            let how = how.replace("FIRST", &id(10, provider, 0)).replace("SECOND", &id(10, provider, 1));
            yaml.replace(&format!("files: [{provider}.txt]\n    refresh: 5s"), &how)
        })
    });
    play.run(async |play| {
        play.wait(LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            let mut wanted = first(play, provider, 10);
            wanted.remove(&id(10, provider, 1));
            wanted.insert("somebody-else".to_owned());
            assert_eq!(ids(play, provider), wanted, "{provider}");
            let said = play
                .page()
                .lines()
                .filter(|line| line.contains("name=\"Bea\"") && line.contains("site=\"here\""))
                .count();
            assert_eq!(said, LISTING_PROVIDERS.len(), "what the configuration says of a target stands");
            files_of_more(play, "# nobody\n");
            play.wait(SECOND * 6).await;
            wanted.remove("somebody-else");
            assert_eq!(ids(play, provider), wanted, "{provider}: a file takes effect between listings");
            files_of_more(play, "somebody-else\n");
            play.wait(SECOND * 6).await;
        }
    });
}

#[test]
fn a_filter_that_takes_nobody_and_a_list_that_is_too_long_keep_the_last_good_list_and_say_so() {
    let mut play = play(30, "discover: {interval: 1m, max_targets: 20, exclude: [\"FIRST\"]}");
    play.run(async |play| {
        play.wait(LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!((ids(play, provider).len(), good(play, provider)), (0, Some(0.0)), "29 are too many");
        }
        serve(play, 21, "");
        play.wait(EVERY + LISTING).await;
        let taken: Vec<_> = LISTING_PROVIDERS.iter().map(|(provider, _)| ids(play, provider)).collect();
        for ((provider, _), taken) in LISTING_PROVIDERS.iter().zip(&taken) {
            assert_eq!((taken.len(), good(play, provider)), (20, Some(1.0)), "{provider}");
        }
        // The only one that is left is excluded.
        serve(play, 1, "");
        play.wait(EVERY + LISTING).await;
        for ((provider, _), taken) in LISTING_PROVIDERS.iter().zip(&taken) {
            assert_eq!((&ids(play, provider), good(play, provider)), (taken, Some(0.0)), "{provider}");
        }
        serve(play, 0, "");
        play.wait(EVERY + LISTING).await;
        for ((provider, _), taken) in LISTING_PROVIDERS.iter().zip(&taken) {
            assert_eq!((&ids(play, provider), good(play, provider)), (taken, Some(0.0)), "{provider}");
        }
    });
}

#[test]
fn a_smartag_source_without_an_instance_finds_the_users_of_all_of_them() {
    let files = Files::default();
    for kind in REGISTRY {
        files.write(&format!("{}.txt", kind.name()), "# nobody\n");
    }
    let mut play = Play::new(30, files, |yaml| {
        let source = yaml.split_once("\n  alibaba_smartag:\n").expect("it is there").1;
        let line = source.lines().find(|line| line.starts_with("    instance: ")).expect("it has one");
        let yaml = yaml.replace(&format!("{line}\n"), "");
        yaml.replace("files: [alibaba_smartag.txt]", "discover: {interval: 1m, exclude: [\".*/chen.*\"]}")
    });
    let world = Arc::clone(&play.world);
    let known = world.of_provider("alibaba_smartag").next().expect("it is simulated");
    let instances = ["sag-one", "sag-two", "sag-none"];
    let of = |count: usize| {
        let subjects = |count| known.subjects[..count].to_vec();
        let sizes = [count, 12, 0];
        let population = |(scope, size)| Population::new("alibaba_smartag", scope, subjects(size));
        let populations = instances.into_iter().zip(sizes).map(population);
        World { populations: populations.collect() }
    };
    let mut options = Options::default();
    options.api.insert("alibaba_smartag".to_owned(), SimOptions::default().with("page_cap", "7"));
    let serve = |play: &Play, world| {
        *play.wire.core() = Core::new(&options, REGISTRY, Arc::new(world), play.clock.now());
    };
    let wanted = |count: usize| -> BTreeSet<String> {
        let names = |size: usize| known.subjects[..size].iter().map(|subject| subject.id.clone());
        let ids = names(count).map(|name| format!("sag-one/{name}"));
        ids.chain(names(12).map(|name| format!("sag-two/{name}")))
            .filter(|id| !id.contains("/chen"))
            .collect()
    };
    let (before, after) = (of(30), of(20));
    serve(&play, before);
    play.run(async |play| {
        play.wait(LISTING + SECOND * 20).await;
        let shown = play.shown("alibaba_smartag");
        assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), wanted(30));
        for (id, (presence, at)) in &shown {
            let (_, name) = id.split_once('/').expect("it names its instance");
            let subject = known.find(name).expect("it is in the world");
            let at = at.unwrap_or_else(|| panic!("{id} is not asked about")) * 1000;
            let (was_online, was_offline) = seen_between(subject, at, at + 1_000);
            let good = if *presence == Presence::Online { was_online } else { was_offline };
            assert!(good, "{id} is shown as {presence:?}");
        }
        serve(play, after);
        play.wait(EVERY + LISTING).await;
        assert_eq!(ids(play, "alibaba_smartag"), wanted(20));
    });
}

/// What must go on over a restart, by series; they name the source's targets.
fn kept(play: &Play) -> BTreeMap<String, f64> {
    const KEPT: [&str; 4] = [
        "presence_last_seen_timestamp_seconds{",
        "presence_observed_timestamp_seconds{",
        "presence_observed_transitions_total{",
        "presence_reconnects_total{",
    ];
    let page = play.page();
    let lines = page.lines().filter(|line| KEPT.iter().any(|name| line.starts_with(name)));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(series, value)| (series.to_owned(), value.parse().expect("a number"))).collect()
}

/// Since when the users of `OpenIM` are connected: what no answer tells, and only a first sight can.
fn starts(play: &Play) -> BTreeMap<String, f64> {
    let page = play.page();
    let series = "presence_connection_start_timestamp_seconds{source=\"openim\"";
    let pairs = page.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(series, value)| (series.to_owned(), value.parse().expect("a number"))).collect()
}

fn are_restored(play: &Play, provider: &str) -> bool {
    let restored = Presence::Unknown(UnknownReason::Restored);
    play.shown(provider).into_values().all(|(presence, _)| presence == restored)
}

#[test]
fn a_restart_keeps_who_was_found_until_the_first_listing_says_otherwise() {
    const HOW: &str = "discover: {interval: 1m}";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut before = (BTreeMap::new(), BTreeMap::new());
    let mut first_play = keeping(Some((&path, 0)), 40, HOW);
    first_play.run(async |play| {
        play.wait(SECOND * 50).await;
        before = (kept(play), starts(play));
    });
    assert!(before.0.len() >= 40 * 3 * LISTING_PROVIDERS.len() && before.1.len() > 5, "{}", before.0.len());
    // Ten seconds later, while nobody lists anything.
    let mut second_play = keeping(Some((&path, 60_000)), 40, HOW);
    let mut after = BTreeMap::new();
    serve(&second_play, 25, "all:server-error");
    second_play.run(async |play| {
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(ids(play, provider), first(play, provider, 40), "{provider}");
            assert!(are_restored(play, provider), "{provider}");
            assert_eq!((good(play, provider), last(play, provider)), (Some(0.0), None), "not listed yet");
        }
        // The process before saved once more when it stopped.
        let now = kept(play);
        let lost = |(series, value): (&String, &f64)| now.get(series).is_none_or(|now| now < value);
        assert_eq!(before.0.iter().find(|one| lost(*one)), None);
        play.wait(EVERY * 3).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(
                ids(play, provider),
                first(play, provider, 40),
                "{provider}: the last good list goes on"
            );
            assert_eq!(good(play, provider), Some(0.0), "{provider}");
        }
        serve(play, 40, "");
        play.wait(EVERY + LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!((ids(play, provider).len(), good(play, provider)), (40, Some(1.0)), "{provider}");
        }
        let now = kept(play);
        let lost = |(series, value): (&String, &f64)| now.get(series).is_none_or(|now| now < value);
        assert_eq!(before.0.iter().find(|one| lost(*one)), None);
        after = starts(play);
        serve(play, 25, "");
        play.wait(EVERY + LISTING).await;
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(ids(play, provider), first(play, provider, 25), "{provider}");
        }
    });
    let went_on = before.1.iter().filter(|(series, start)| after.get(*series) == Some(start)).count();
    assert!(went_on > 3, "first-seen times go on: {:?} {after:?}", before.1);
}

#[test]
fn filters_and_limits_of_the_restarted_choose_among_who_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let after = |after_s: i64, how: &str| keeping(Some((&path, after_s * 1000)), 30, how);
    after(0, "discover: {interval: 1m}").run(async |play| play.wait(SECOND * 50).await);
    // A file is kept as it is by who only looks at it.
    let copy = std::fs::read(&path).unwrap();
    let filtered = after(60, "discover: {interval: 1m, exclude: [\"FIRST\"]}");
    for (provider, _) in LISTING_PROVIDERS {
        let mut wanted = first(&filtered, provider, 30);
        wanted.remove(&id(30, provider, 0));
        assert_eq!(ids(&filtered, provider), wanted, "{provider}");
    }
    drop(filtered);
    for (how, count) in [
        ("discover: {interval: 1m, max_targets: 29}", 0),
        ("discover: {interval: 1m, max_targets: 30}", 30),
        ("targets: [\"SECOND\"]\n    discover: {interval: 1m, include: [\"FIRST\"]}", 2),
        ("targets: [\"SECOND\"]", 1),
    ] {
        std::fs::write(&path, &copy).unwrap();
        // Where nobody finds anything, there is nothing to look at again.
        let play = after(60, &format!("{how}\n    files: [nobody.txt]"));
        for (provider, _) in LISTING_PROVIDERS {
            assert_eq!(ids(&play, provider).len(), count, "{provider}: {how}");
        }
    }
}
