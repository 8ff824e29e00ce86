//! An hour of polling all providers on virtual time, with nothing in the way, and the simulator's count of it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use presence_exporter::daemon::Exporter;
use presence_exporter::domain::presence::Presence;
use presence_exporter::exposition::Format;
use presence_exporter::http::Control as _;
use presence_exporter::ports::{Clock as _, Env, Ports};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::{Configuration, configure};
use presence_exporter::providers::sim::World;
use presence_exporter::simulator::{Core, Options, Setup, fault_text, places, setup};
use presence_exporter::store::Store;
use tokio::sync::watch;

use crate::credentials::{ID_TOKEN, Way as KeyWay};
use crate::simulation::play::Seeded;
use crate::simulation::wire::{Way, Wire};
use crate::stage::still_world;
use crate::virtual_time::VirtualClock;

/// When an hour begins, in Unix milliseconds.
pub const BEGIN_MS: i64 = 1_700_000_000_000;

const HOUR: Duration = Duration::from_secs(3600);

/// An environment of one file, with the token of whoever the clouds trust.
pub struct TokenFile;

impl TokenFile {
    const PATH: &str = "/token";
}

impl Env for TokenFile {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, path: &Path, _: u64) -> io::Result<String> {
        let known = path == Path::new(Self::PATH);
        known.then(|| ID_TOKEN.to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Calls by action.
pub type Counts = BTreeMap<String, u64>;

/// A world and how it is asked about.
pub struct Hour {
    options: Options,
    world: Arc<World>,
    interval: Duration,
    edits: Vec<(String, String)>,
    /// Whether each source's targets are divided among two that overlap, and the further keys of these.
    divided: Option<[String; 2]>,
}

/// Reads a configuration.
pub fn configuration(yaml: &str, env: impl Env + 'static) -> Configuration {
    let env: Arc<dyn Env> = Arc::new(env);
    configure(yaml, &env, Path::new(""), 0).unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}\n{yaml}", lines.join("\n"))
    })
}

/// The configuration with two sources in the place of each: one has the first two thirds of the targets, the other one the
/// last two thirds. Each has some further keys, in whole lines.
pub fn divided(yaml: &str, further: [&str; 2]) -> String {
    let (head, sources) = yaml.split_once("\nsources:\n").expect("there are sources");
    let mut blocks: Vec<String> = Vec::new();
    for line in sources.lines() {
        if line.starts_with("  ") && !line.starts_with("   ") {
            blocks.push(String::new());
        }
        let block = blocks.last_mut().expect("a source begins with its name");
        block.push_str(line);
        block.push('\n');
    }
    let parts = |block: &String| {
        let (source, targets) = block.split_once("    targets:\n").expect("there are targets");
        let (name, keys) = source.split_once(":\n").expect("a source has a name");
        let mut items: Vec<String> = Vec::new();
        for line in targets.split_inclusive('\n') {
            if line.starts_with("      - ") {
                items.push(String::new());
            }
            items.last_mut().expect("a target begins with a dash").push_str(line);
        }
        let (from, to) = (items.len() / 3, items.len() * 2 / 3);
        let (first, last) = (items[..to].concat(), items[from..].concat());
        let [own, more] = further;
        format!("{name}:\n{own}{keys}    targets:\n{first}{name}_more:\n{more}{keys}    targets:\n{last}")
    };
    format!("{head}\nsources:\n{}", blocks.iter().map(parts).collect::<String>())
}

/// A world of which everybody leaves once in its first half hour, one after the other.
pub fn leaving_world(size: usize) -> World {
    let mut world = still_world(REGISTRY, size, BEGIN_MS);
    for population in &mut world.populations {
        for (index, subject) in population.subjects.iter_mut().enumerate() {
            let leaves_ms = BEGIN_MS + 300_000 + 17_311 * i64::try_from(index).expect("a small number");
            for session in &mut subject.sessions {
                session.end_ms = session.end_ms.min(leaves_ms);
            }
        }
    }
    world
}

impl Hour {
    /// An hour of this world, asked every half minute.
    pub fn of(world: World) -> Self {
        let options = Options { record_limit: 1, ..Options::default() };
        Self {
            options,
            world: Arc::new(world),
            interval: Duration::from_secs(30),
            edits: Vec::new(),
            divided: None,
        }
    }

    /// With another interval.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// With a switch set at a simulated API.
    pub fn switch(mut self, provider: &str, name: &str, value: &str) -> Self {
        let known = self.options.api.remove(provider).unwrap_or_default();
        self.options.api.insert(provider.into(), known.with(name, value));
        self
    }

    /// With keys that are handed out in this way.
    pub fn keys(self, way: &KeyWay) -> Self {
        // A key of a role lives for as long as is asked; what others hand out outlives the hour.
        let lives = matches!(way.word, "ecs" | "uri").then_some(("key_life_s", "43200"));
        let file = [("oidc_token_file", TokenFile::PATH), ("id_token_file", TokenFile::PATH)];
        let told = [("credentials", way.word), ("oidc_token", ID_TOKEN), ("id_token", ID_TOKEN)];
        way.providers.iter().fold(self, |hour, provider| {
            let switches = told.into_iter().chain(file).chain(lives);
            switches.fold(hour, |hour, (name, value)| hour.switch(provider, name, value))
        })
    }

    /// Whether any API has this switch set so.
    pub fn has_switch(&self, name: &str, value: &str) -> bool {
        self.options.api.values().any(|options| options.switch(name) == Some(value))
    }

    /// With a key in a source.
    pub fn source_key(self, source: &str, line: &str) -> Self {
        let head = format!("\n  {source}:\n");
        let with = format!("{head}    {line}\n");
        self.replace(&head, &with)
    }

    /// With other words in the configuration.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        self.edits.push((from.to_owned(), to.to_owned()));
        self
    }

    /// With two sources in the place of each, which have a part of their targets in common, and these further keys.
    pub fn divided(self, further: [&str; 2]) -> Self {
        Self { divided: Some(further.map(str::to_owned)), ..self }
    }

    /// With this going wrong.
    pub fn fault(mut self, text: &str) -> Self {
        self.options.faults.push(fault_text::parse(text, &places()).expect("a good fault"));
        self
    }

    /// With another configuration, made of its own.
    pub fn edit(mut self, edit: impl Fn(&str) -> String) -> Self {
        let yaml = self.yaml();
        self.edits = vec![(yaml.clone(), edit(&yaml))];
        self
    }

    /// The configuration.
    pub fn yaml(&self) -> String {
        let clock = VirtualClock::new(BEGIN_MS);
        let core = Core::new(&self.options, REGISTRY, self.world.clone(), clock.now());
        let endpoints = Wire::endpoints(core.clouds().len());
        let asked = Setup {
            interval: self.interval,
            timeout: Duration::from_secs(10),
            requests_per_second: Some(50.0),
        };
        let mut yaml = setup::config_yaml(&core, &endpoints, &asked);
        for (from, to) in &self.edits {
            assert!(yaml.contains(from), "no {from:?} in\n{yaml}");
            yaml = yaml.replacen(from, to, 1);
        }
        let Some([own, more]) = &self.divided else { return yaml };
        divided(&yaml, [own, more])
    }

    /// Plays the hour: the configuration, and the calls that left in it.
    pub fn play(self) -> (String, Counts) {
        let yaml = self.yaml();
        let mut counts = Counts::new();
        let well = self.options.faults.is_empty();
        let wire = self.watch(&mut |_, _| {});
        let log = wire.log();
        for call in log.calls.iter().filter(|call| call.sent.unix_ms < BEGIN_MS + 3_600_000) {
            assert!(call.good || !well, "{call:?}");
            *counts.entry(call.action.to_owned()).or_default() += 1;
        }
        drop(log);
        (yaml, counts)
    }

    /// The page before anything was asked.
    pub fn first_page(&self) -> String {
        let ports = Ports {
            network: Arc::new(presence_exporter::net::HttpNetwork),
            clock: VirtualClock::new(BEGIN_MS),
            entropy: Arc::new(Seeded(Mutex::new(Rng::with_seed(2)))),
            env: Arc::new(TokenFile),
        };
        let exporter =
            Exporter::assemble(configuration(&self.yaml(), TokenFile), ports).expect("there is a way out");
        let mut page = Vec::new();
        let mut pieces = exporter.desk().page(Format::Text, &[]).map_err(|_| "no source was named").unwrap();
        while pieces.next_piece(&mut page) {}
        String::from_utf8(page).expect("it is text")
    }

    /// After how many seconds every target of each source was known.
    pub fn first_pictures(self) -> BTreeMap<String, f64> {
        let mut complete = BTreeMap::new();
        self.watch(&mut |store, at| {
            let now = store.1;
            for source in &store.0.snapshot().sources {
                let counts = source.counts(now);
                if counts.unknown == 0 {
                    complete.entry(source.spec.name.to_string()).or_insert(at);
                }
            }
        });
        assert_eq!(complete.len(), REGISTRY.len());
        complete
    }

    /// The longest time, for each source, from a departure until it was shown.
    pub fn slowest_departures(self) -> BTreeMap<String, f64> {
        let world = self.world.clone();
        let mut seen: BTreeMap<(String, String), f64> = BTreeMap::new();
        self.watch(&mut |store, at| {
            for source in &store.0.snapshot().sources {
                let population = world.of_provider(source.spec.provider).next().expect("it is simulated");
                for (target, state) in source.roster.iter().zip(source.states()) {
                    let left = population
                        .find(target.id)
                        .and_then(|one| one.sessions.iter().map(|s| s.end_ms).max());
                    let Some(left_ms) = left.filter(|left| *left > BEGIN_MS && *left < BEGIN_MS + 1_800_000)
                    else {
                        continue;
                    };
                    #[expect(clippy::cast_precision_loss, reason = "an hour in milliseconds")]
                    let left = (left_ms - BEGIN_MS) as f64 / 1000.0;
                    let gone = state.view(store.1, &source.spec.policy).presence == Presence::Offline;
                    if gone && at >= left {
                        let key = (source.spec.name.to_string(), target.id.to_owned());
                        seen.entry(key).or_insert(at - left);
                    }
                }
            }
        });
        let mut slowest = BTreeMap::new();
        for ((source, _), delay) in seen {
            let most: &mut f64 = slowest.entry(source).or_default();
            *most = most.max(delay);
        }
        assert_eq!(slowest.len(), REGISTRY.len());
        slowest
    }

    /// Polls for an hour and a little, looking every second for the first 40 minutes; seconds since the beginning come in.
    fn watch(self, look: &mut dyn FnMut((&Store, presence_exporter::domain::Moment), f64)) -> Arc<Wire> {
        let yaml = self.yaml();
        let clock = VirtualClock::new(BEGIN_MS);
        let core = Core::new(&self.options, REGISTRY, self.world.clone(), clock.now());
        let wire = Wire::new(clock.clone(), core, (0, 0), 1);
        let ports = Ports {
            network: Arc::new(Way(wire.clone())),
            clock: clock.clone(),
            entropy: Arc::new(Seeded(Mutex::new(Rng::with_seed(2)))),
            env: Arc::new(TokenFile),
        };
        let exporter =
            Exporter::assemble(configuration(&yaml, TokenFile), ports).expect("there is a way out");
        let store = exporter.store();
        let (_stop, stopped) = watch::channel(false);
        let began = clock.now();
        let looking = async {
            for second in 1_u32..=2400 {
                let after = Duration::from_secs(second.into());
                clock.sleep_until(began.tick + after).await;
                look((&store, clock.now()), f64::from(second));
            }
            clock.sleep_until(began.tick + HOUR + Duration::from_secs(5)).await;
        };
        clock.run(HOUR * 2, async {
            tokio::select! {
                () = exporter.poll(stopped) => panic!("polling has ended"),
                () = looking => {}
            }
        });
        wire
    }
}
