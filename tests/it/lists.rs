//! Lists of targets that change while the exporter polls, on virtual time against all five simulated APIs: who is added
//! or taken out shows within one refresh, and who stays loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use presence_exporter::daemon::{Desk, Exporter, Recalled};
use presence_exporter::domain::presence::Presence;
use presence_exporter::domain::{Moment, UnknownReason};
use presence_exporter::exposition::Format;
use presence_exporter::http::Control;
use presence_exporter::ports::{Clock, Entropy, Env, Ports};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::configure;
use presence_exporter::providers::sim::World;
use presence_exporter::simulator::truth::seen_between;
use presence_exporter::simulator::{Core, Options, Scenario, Setup, fault_text, places, setup};
use presence_exporter::store::Store;
use tokio::sync::watch;

use crate::simulation::wire::{Way, Wire};
use crate::virtual_time::VirtualClock;

/// 2026-03-01T02:03:04Z
const NOW_MS: i64 = 1_772_330_584_000;
const SECOND: Duration = Duration::from_secs(1);
/// How often files are looked at in these tests.
const REFRESH: Duration = Duration::from_secs(5);
/// What the wire needs at most, there and back, and reading.
const LATENCY_MS: (u64, u64) = (10, 400);

/// Files that change.
#[derive(Default)]
pub struct Files(Mutex<BTreeMap<PathBuf, String>>);

impl Files {
    pub fn write(&self, name: &str, text: impl Into<String>) {
        self.0.lock().unwrap().insert(PathBuf::from(name), text.into());
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap().remove(Path::new(name));
    }
}

impl Env for Files {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, path: &Path, _: u64) -> io::Result<String> {
        self.0.lock().unwrap().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

struct Seeded(Mutex<Rng>);

impl Entropy for Seeded {
    fn bits(&self) -> u64 {
        self.0.lock().unwrap().u64(..)
    }
}

/// An exporter of five sources whose targets stand in files named after them.
pub struct Play {
    pub clock: Arc<VirtualClock>,
    pub files: Arc<Files>,
    pub world: Arc<World>,
    pub store: Arc<Store>,
    pub desk: Arc<Desk>,
    pub wire: Arc<Wire>,
    exporter: Option<Exporter>,
}

impl Play {
    /// `edit` changes the configuration, whose sources have `files: [NAME.txt]` for their targets.
    pub fn new(targets: usize, files: Files, edit: impl Fn(String) -> String) -> Self {
        Self::keeping(None, targets, files, edit)
    }

    /// The same with a state file, so many milliseconds after the world's beginning.
    pub fn keeping(
        state: Option<(&Path, i64)>,
        targets: usize,
        files: Files,
        edit: impl Fn(String) -> String,
    ) -> Self {
        let clock = VirtualClock::new(NOW_MS + state.map_or(0, |(_, after_ms)| after_ms));
        let scenario = Scenario { default_targets: targets, ..Scenario::default() };
        let world = Arc::new(scenario.world(REGISTRY, NOW_MS));
        let options = Options { scenario, ..Options::default() };
        let core = Core::new(&options, REGISTRY, world.clone(), clock.now());
        let endpoints = Wire::endpoints(core.clouds().len());
        let setup = Setup { interval: SECOND * 10, ..Setup::default() };
        let yaml = edit(with_files(&setup::config_yaml(&core, &endpoints, &setup)));
        let wire = Wire::new(clock.clone(), core, LATENCY_MS, 1);
        let files = Arc::new(files);
        let ports = Ports {
            network: Arc::new(Way(wire.clone())),
            clock: clock.clone(),
            entropy: Arc::new(Seeded(Mutex::new(Rng::with_seed(2)))),
            env: files.clone(),
        };
        let mut configuration = configure(&yaml, &ports.env, Path::new(""), 0).unwrap_or_else(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}\n{yaml}", lines.join("\n"))
        });
        let recall = |(path, _)| Recalled::open(path, &mut configuration, clock.now()).expect("a good place");
        let recalled = state.map(recall);
        let mut exporter = Exporter::assemble(configuration, ports).expect("there is a way out");
        if let Some(recalled) = recalled {
            exporter.keep_state(recalled).expect("a good place");
        }
        let (store, desk) = (exporter.store(), exporter.desk());
        Self { clock, files, world, store, desk, wire, exporter: Some(exporter) }
    }

    /// Runs exporter and script side by side until the script ends.
    pub fn run(&mut self, script: impl AsyncFnOnce(&Self)) {
        let mut exporter = self.exporter.take().expect("a play runs once");
        let (stop, stopped) = watch::channel(false);
        let watching = exporter.watching().expect("there are lists").run(stopped.clone());
        let saving = exporter.saving().map(|saving| saving.run(stopped.clone()));
        let saving = async { futures_util::future::OptionFuture::from(saving).await };
        let whole = async {
            script(self).await;
            stop.send(true).unwrap();
        };
        let all = futures_util::future::join4(exporter.poll(stopped), watching, saving, whole);
        self.clock.run(SECOND * 86_400, all).expect("the script ends");
    }

    pub async fn wait(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now().tick + time).await;
    }

    /// From now on this goes wrong.
    pub fn strike(&self, fault: &str) {
        let faults = vec![fault_text::parse(fault, &places()).expect("a good fault")];
        let options = Options { faults, ..Options::default() };
        *self.wire.core() = Core::new(&options, REGISTRY, self.world.clone(), self.clock.now());
    }

    /// From now on nothing goes wrong.
    pub fn recover(&self) {
        *self.wire.core() = Core::new(&Options::default(), REGISTRY, self.world.clone(), self.clock.now());
    }

    /// What is shown of a source's targets, by id.
    pub fn shown(&self, source: &str) -> BTreeMap<String, (Presence, Option<i64>)> {
        let now = self.clock.now();
        let snapshot = self.store.snapshot();
        let source = snapshot.sources.iter().find(|known| *known.spec.name == *source).expect("it is there");
        let views = source.states().map(|state| state.view(now, &source.spec.policy));
        let views = views.map(|view| (view.presence, view.observed_s.map(i64::from)));
        source.roster.iter().map(|target| target.id.to_owned()).zip(views).collect()
    }

    pub fn page(&self) -> String {
        let Ok(mut page) = self.desk.page(Format::Text, &[]) else { unreachable!("no source is named") };
        let mut text = Vec::new();
        while page.next_piece(&mut text) {}
        String::from_utf8(text).expect("a page is text")
    }

    /// The value of a series that begins with this.
    pub fn value(&self, series: &str) -> Option<f64> {
        let page = self.page();
        page.lines().find(|line| line.starts_with(series))?.rsplit(' ').next()?.parse().ok()
    }

    /// # Panics
    /// If anybody is shown as what they were not when that was observed.
    pub fn assert_true(&self) {
        let now = self.clock.now();
        let snapshot = self.store.snapshot();
        for source in &snapshot.sources {
            let population = self.world.of_provider(source.spec.provider).next().expect("it is simulated");
            for (id, (presence, observed_s)) in self.shown(&source.spec.name) {
                let (Some(subject), Some(observed_s)) = (population.find(&id), observed_s) else { continue };
                let to_ms = (observed_s * 1000 + 6_000).min(now.unix_ms);
                let (was_online, was_offline) = seen_between(subject, observed_s * 1000, to_ms);
                let good = match presence {
                    Presence::Online => was_online,
                    Presence::Offline => was_offline,
                    Presence::Unknown(_) => true,
                };
                assert!(good, "{}: {id} is shown as {presence:?}", source.spec.name);
            }
        }
    }
}

/// The configuration with `files` in the place of each `targets`.
fn with_files(yaml: &str) -> String {
    let (mut text, mut source, mut inside) = (String::new(), String::new(), false);
    for line in yaml.lines() {
        inside &= line.starts_with("      ");
        if inside {
            continue;
        }
        if let Some(name) = line.strip_prefix("  ").filter(|name| !name.starts_with(' ')) {
            name.trim_end_matches(':').clone_into(&mut source);
        }
        if line.starts_with("    targets:") {
            inside = true;
            writeln!(text, "    files: [{source}.txt]\n    refresh: 5s").expect("a String takes everything");
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Everybody's ids, by provider.
pub fn everybody(targets: usize) -> BTreeMap<&'static str, Vec<String>> {
    let scenario = Scenario { default_targets: targets, ..Scenario::default() };
    let world = scenario.world(REGISTRY, NOW_MS);
    let ids = |population: &presence_exporter::providers::sim::Population| {
        population.subjects.iter().map(|subject| subject.id.clone()).collect()
    };
    world.populations.iter().map(|population| (population.provider, ids(population))).collect()
}

/// A file of these ids.
pub fn lines<'a>(ids: impl IntoIterator<Item = &'a String>) -> String {
    ids.into_iter().fold(String::from("# a list\n"), |text, id| text + id + "\n")
}

fn observed(moment: Moment) -> i64 {
    moment.unix_seconds()
}

#[test]
fn whatever_lists_follow_one_another_changes_show_within_a_refresh_and_nobody_who_stays_loses_anything() {
    let everybody = everybody(60);
    let files = Files::default();
    for (provider, ids) in &everybody {
        files.write(&format!("{provider}.txt"), lines(&ids[..40]));
    }
    let mut play = Play::new(60, files, |yaml| yaml);
    play.run(async |play| {
        let mut rng = Rng::with_seed(7);
        play.wait(SECOND * 25).await;
        for round in 0..60 {
            let mut wanted = BTreeMap::new();
            let before: BTreeMap<_, _> =
                everybody.keys().map(|provider| (*provider, play.shown(provider))).collect();
            for (provider, ids) in &everybody {
                // Mostly a few come and go; at times everybody, or nobody.
                let share = [0.9, 0.5, 0.97, 1.0, 0.9, 0.0][rng.usize(..6)];
                let mut ids: Vec<&String> = ids.iter().filter(|_| rng.f64() < share).collect();
                rng.shuffle(&mut ids);
                play.files.write(&format!("{provider}.txt"), lines(ids.iter().copied()));
                wanted.insert(*provider, ids.into_iter().cloned().collect::<BTreeSet<_>>());
            }
            let changed = play.clock.now();
            // Not in step with refreshes and rounds.
            play.wait(REFRESH + Duration::from_millis(rng.u64(20..1500))).await;
            play.assert_true();
            for (provider, wanted) in &wanted {
                let shown = play.shown(provider);
                let ids: BTreeSet<String> = shown.keys().cloned().collect();
                assert_eq!(ids, *wanted, "{provider} in round {round}");
                for (id, (presence, at)) in &shown {
                    let Some((was, was_at)) = before[provider].get(id) else { continue };
                    assert!(at >= was_at, "{provider}: {id} forgot an answer in round {round}");
                    let known = |presence: &Presence| !matches!(presence, Presence::Unknown(_));
                    assert!(
                        known(presence) || !known(was),
                        "{provider}: {id} is {presence:?}, round {round}"
                    );
                }
            }
            // Answers keep coming however often the lists change: nobody's is older than a round and its way.
            for (provider, before) in &before {
                let stale =
                    before.values().filter(|(_, at)| at.is_some_and(|at| at + 30 < observed(changed)));
                assert_eq!(stale.count(), 0, "{provider} in round {round}");
            }
        }
        let page = play.page();
        let series = page.lines().filter(|line| line.starts_with("presence_target_info{")).count();
        let shown: usize = everybody.keys().map(|provider| play.shown(provider).len()).sum();
        assert_eq!(series, shown);
    });
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing_and_says_so() {
    let everybody = everybody(10);
    let files = Files::default();
    for (provider, ids) in &everybody {
        files.write(&format!("{provider}.txt"), lines(ids));
    }
    let mut play = Play::new(10, files, |yaml| yaml);
    play.run(async |play| {
        const GOOD: &str = "presence_source_targets_refresh_successful{source=\"openim\"";
        const LAST: &str = "presence_source_targets_last_refresh_timestamp_seconds{source=\"openim\"";
        assert_eq!(play.value(GOOD), Some(1.0), "from the first page on");
        play.wait(SECOND * 20).await;
        let (before, last) = (play.shown("openim"), play.value(LAST));
        assert_eq!(before.len(), 10);
        for bad in ["", "good\n{\"id\": \"x\"", "a\na\n"] {
            if bad.is_empty() {
                play.files.remove("openim.txt");
            } else {
                play.files.write("openim.txt", bad);
            }
            play.wait(REFRESH * 2).await;
            assert_eq!(play.value(GOOD), Some(0.0), "{bad:?}");
            assert!(play.shown("openim").keys().eq(before.keys()), "{bad:?}");
            assert_eq!(
                play.value("presence_source_targets_refresh_successful{source=\"alibaba_mqtt\""),
                Some(1.0)
            );
        }
        assert!(play.value(LAST) < last.map(|last| last + 11.0), "the time of the last good look stays");
        play.files.write("openim.txt", lines(&everybody["openim"][..3]));
        play.wait(REFRESH * 2).await;
        assert_eq!((play.value(GOOD), play.shown("openim").len()), (Some(1.0), 3));
    });
}

#[test]
fn a_source_without_targets_asks_nothing_and_keeps_nobody_waiting() {
    let everybody = everybody(10);
    let files = Files::default();
    for provider in everybody.keys() {
        files.write(&format!("{provider}.txt"), "# nobody yet\n");
    }
    let mut play = Play::new(10, files, |yaml| yaml);
    play.run(async |play| {
        play.wait(SECOND * 60).await;
        assert_eq!(play.wire.log().calls.len(), 0, "nobody is asked about");
        assert!(play.desk.awaited().is_empty(), "and so nobody is waited for");
        assert!(!play.page().contains("presence_source_up{"));
        for (provider, ids) in &everybody {
            play.files.write(&format!("{provider}.txt"), lines(ids));
        }
        // Huawei is asked in several calls, one after the other.
        play.wait(REFRESH + SECOND * 3).await;
        for provider in everybody.keys() {
            let shown = play.shown(provider);
            let never = Presence::Unknown(UnknownReason::NeverPolled);
            assert!(shown.len() == 10 && shown.values().any(|(is, _)| *is != never), "{provider}: {shown:?}");
        }
        // A few newcomers do not wait for their turn in the round, nor for the interval.
        play.wait(SECOND * 10).await;
        for provider in everybody.keys() {
            let shown = play.shown(provider);
            assert!(shown.values().all(|(_, at)| at.is_some()), "{provider}: {shown:?}");
        }
        play.assert_true();
    });
}
