//! A simulator and an exporter that polls it, each on a thread of its own, with real sockets between them and a clock that
//! can be moved forward. Tests set a stage, wait for what must become true, and compare with the simulator's own truth.
//!
//! It never sleeps for a fixed time: [`Stage::wait`] looks again and again, and at each look nobody may be shown as what
//! they were not. Whoever drops a stage stops everything on it.

mod clock;
mod door;
mod meddle;
mod still;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use presence_exporter::daemon::{Desk, Exporter};
use presence_exporter::domain::presence::{Presence, View};
use presence_exporter::domain::{Moment, UnknownReason};
use presence_exporter::exposition::Format;
use presence_exporter::http::{Control as _, Limits, Server, TelemetryPath};
use presence_exporter::net;
use presence_exporter::ports::{Clock, Ports};
use presence_exporter::providers::configure::configure;
use presence_exporter::providers::sim::{Population, SimOptions, World};
use presence_exporter::providers::{ProviderKind, REGISTRY};
use presence_exporter::simulator::faults::Kind;
use presence_exporter::simulator::truth::seen_between;
use presence_exporter::simulator::{Incident, Options, Setup, Simulator, setup};
use presence_exporter::store::{Snapshot, SourceSnapshot, Store};
use tokio::sync::watch;

pub use clock::LeapClock;
use door::Doors;
pub use meddle::meddled;
pub use still::still_world;

/// How often [`Stage::wait`] looks, and how many times: 60 s in all. What is waited for takes a second or two on an idle
/// machine.
const LOOKS: (Duration, u32) = (Duration::from_millis(25), 2_400);

/// How long after its first request left an answer may have been made up by the server: pages, retries of pages, and a
/// machine that is busy with other tests.
const LATE_MS: i64 = 5_000;

/// How long answers count on a stage unless told: so long that only [`Stage::leap`] gets there. With [`PAST_PAUSES`] it is
/// less than the quarter of an hour that providers let a clock be off, since a request may be under way during both leaps.
pub const MAX_AGE: Duration = Duration::from_secs(300);

/// Past every pause that the scheduler makes: five minutes at most.
pub const PAST_PAUSES: Duration = Duration::from_secs(301);

/// How a stage is set.
pub struct Script {
    /// The simulator's options.
    pub options: Options,
    /// Who is simulated.
    pub kinds: Vec<&'static dyn ProviderKind>,
    /// What is true, given the stage's present in Unix milliseconds.
    pub world: Box<dyn FnOnce(i64) -> World>,
    /// Interval, timeout and pace in the configuration.
    pub setup: Setup,
    /// How long answers count.
    pub max_age: Duration,
    /// Changes the configuration's text.
    pub edit: Box<dyn FnOnce(String) -> String>,
    /// Whether the stage's own exporter polls; else somebody else may, with [`Stage::yaml`].
    pub polls: bool,
    /// Whether pages are served.
    pub web: bool,
    /// Whether requests go through doors, which are shut at first; see [`Stage::doors`].
    pub doors: bool,
}

impl Default for Script {
    /// Ten subjects of each provider who stay as they are, asked every second.
    fn default() -> Self {
        Self {
            options: Options::default(),
            kinds: REGISTRY.to_vec(),
            world: Box::new(|now_ms| still_world(REGISTRY, 10, now_ms)),
            setup: Setup {
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(3),
                requests_per_second: Some(50.0),
            },
            max_age: MAX_AGE,
            edit: Box::new(|yaml| yaml),
            polls: true,
            web: false,
            doors: false,
        }
    }
}

impl Script {
    /// The same with other keys or switches of one provider's simulated API.
    pub fn api(mut self, provider: &str, options: SimOptions) -> Self {
        self.options.api.insert(provider.into(), options);
        self
    }

    /// The same with a switch set at one provider's simulated API.
    pub fn switch(mut self, provider: &str, name: &str, value: &str) -> Self {
        let api = self.options.api.remove(provider).unwrap_or_default();
        self.options.api.insert(provider.into(), api.with(name, value));
        self
    }

    /// The same with one more change to the configuration.
    pub fn edit(mut self, edit: impl FnOnce(String) -> String + 'static) -> Self {
        let before = self.edit;
        self.edit = Box::new(move |yaml| edit(before(yaml)));
        self
    }

    /// The same with one more target in a source.
    pub fn target(self, source: &str, id: &str) -> Self {
        let head = format!("\n  {source}:\n");
        let line = format!("    targets:\n      - {}\n", setup::quoted(id));
        self.edit(move |yaml| {
            let (before, after) = yaml.split_once(&head).expect("the source is there");
            format!("{before}{head}{}", after.replacen("    targets:\n", &line, 1))
        })
    }

    /// The same with a key added to a source, as `key: value`.
    pub fn source_key(self, source: &str, line: &str) -> Self {
        let (head, line) = (format!("\n  {source}:\n"), format!("    {line}\n"));
        self.edit(move |yaml| {
            assert!(yaml.contains(&head), "no source {head:?} in\n{yaml}");
            yaml.replacen(&head, &format!("{head}{line}"), 1)
        })
    }

    /// Sets the stage; everything runs when this returns.
    pub fn play(self) -> Stage {
        Stage::new(self)
    }
}

/// A running simulator and a running exporter.
pub struct Stage {
    /// The other side of the wire.
    pub simulator: Arc<Simulator>,
    /// What the exporter knows.
    pub store: Arc<Store>,
    /// Everybody's clock.
    pub clock: Arc<LeapClock>,
    /// The configuration that the exporter was given.
    pub yaml: String,
    desk: Arc<Desk>,
    web: Option<SocketAddr>,
    doors: Option<Doors>,
    stop: watch::Sender<bool>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// What a source's targets are, counted.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Counts {
    /// Shown online.
    pub online: usize,
    /// Shown offline.
    pub offline: usize,
    /// Shown unknown, by reason.
    pub unknown: std::collections::BTreeMap<&'static str, usize>,
}

impl Stage {
    fn new(script: Script) -> Self {
        let clock = Arc::new(LeapClock::start());
        let world = (script.world)(clock.now().unix_ms);
        let simulator = Simulator::bind_world(&script.options, &script.kinds, world, clock.clone());
        let simulator = Arc::new(simulator.expect("loopback has free ports"));
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        let mut yaml = simulator.config_yaml(&script.setup);
        let max_age =
            format!("defaults:\n  max_age: {:?}\n", humantime::format_duration(script.max_age).to_string());
        yaml = yaml.replacen("defaults:\n", &max_age, 1);
        let doors = script.doors.then(|| Doors::shut(simulator.addresses().iter().map(|(_, to)| *to)));
        if let Some(doors) = &doors {
            for (to, door) in doors.addresses() {
                yaml = yaml.replace(&format!("http://{to}\""), &format!("http://{door}\""));
            }
        }
        yaml = (script.edit)(yaml);
        {
            let (simulator, stopped) = (simulator.clone(), stopped.clone());
            threads.push(spawn("simulator", move || async move {
                simulator.serve(until(stopped)).await.expect("the simulator's sockets can be used");
            }));
        }
        let ports = Ports { clock: clock.clone(), ..net::ports() };
        let configuration = configure(&yaml, &ports.env, Path::new(""), 0).unwrap_or_else(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}\n{yaml}", lines.join("\n"))
        });
        let exporter = Exporter::assemble(configuration, ports).expect("nothing special leads out");
        let (store, desk) = (exporter.store(), exporter.desk());
        if script.polls {
            let stopped = stopped.clone();
            threads.push(spawn("exporter", move || exporter.poll(stopped)));
        }
        let control = desk.clone();
        let web = script.web.then(|| {
            let address = "127.0.0.1:0".parse().expect("an address");
            let server = Server::bind(&[address], TelemetryPath::default(), Limits::default());
            let server = server.expect("loopback has free ports");
            let address = server.addresses()[0];
            threads.push(spawn("web", move || async move {
                server.serve(control, until(stopped)).await.expect("the server's sockets can be used");
            }));
            address
        });
        Self { simulator, store, clock, yaml, desk, web, doors, stop, threads }
    }

    /// The present on this stage.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Moves everybody's clock forward. More than a quarter of an hour at once makes requests that are under way look
    /// as if they came with a wrong clock.
    pub fn leap(&self, by: Duration) {
        self.clock.leap(by);
    }

    /// From now on this goes wrong everywhere.
    pub fn strike(&self, kind: Kind) {
        self.simulator.set_faults(vec![Incident::always("all", kind)]);
    }

    /// From now on nothing goes wrong on purpose; and nobody pauses any more.
    pub fn lift(&self) {
        self.simulator.set_faults(Vec::new());
        self.wait_for_failures();
        self.leap(PAST_PAUSES);
    }

    /// The doors that requests go through.
    pub fn doors(&self) -> &Doors {
        self.doors.as_ref().expect("the script asks for doors")
    }

    /// The names of the sources, each with the population that it asks for.
    pub fn sources(&self) -> Vec<(String, &Population)> {
        let populations = &self.simulator.world().populations;
        let number =
            |at: usize| populations[..=at].iter().filter(|p| p.provider == populations[at].provider).count();
        (0..populations.len())
            .map(|at| (setup::source_name(populations[at].provider, number(at)), &populations[at]))
            .collect()
    }

    /// What is shown of every target of a source now, by id.
    pub fn views(&self, source: &str) -> Vec<(String, View)> {
        views(find(&self.store.snapshot(), source), self.now())
    }

    /// A source's targets, counted by what is shown.
    pub fn counts(&self, source: &str) -> Counts {
        let mut counts = Counts::default();
        for (_, view) in self.views(source) {
            match view.presence {
                Presence::Online => counts.online += 1,
                Presence::Offline => counts.offline += 1,
                Presence::Unknown(reason) => *counts.unknown.entry(reason.as_str()).or_default() += 1,
            }
        }
        counts
    }

    /// Looks until the condition holds; its error says what was seen instead.
    ///
    /// # Panics
    /// If that takes too long, or if anybody is shown as what they were not.
    pub fn wait<T>(&self, what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
        let (pause, looks) = LOOKS;
        let mut seen = String::new();
        for _ in 0..looks {
            self.assert_nobody_is_shown_wrong();
            match condition() {
                Ok(value) => return value,
                Err(why) => seen = why,
            }
            if let Some(thread) = self.threads.iter().find(|thread| thread.is_finished()) {
                panic!("while waiting for {what}: {:?} has ended", thread.thread().name());
            }
            thread::sleep(pause);
        }
        panic!("waited too long for {what}; seen: {seen}\nrequests: {:?}", self.simulator.record().counts());
    }

    /// Waits until every target of these sources is shown as it truly is, by an answer to a question that was asked after
    /// this instant.
    pub fn wait_for_truth_of(&self, sources: &[&str], since: Moment) {
        self.wait("the truth", || sources.iter().try_for_each(|source| self.shows_truth(source, since)));
    }

    /// Waits until every target is shown as it truly is, by a new answer.
    pub fn wait_for_truth(&self) {
        let (since, sources) = (self.now(), self.sources());
        let names: Vec<&str> = sources.iter().map(|(name, _)| name.as_str()).collect();
        self.wait_for_truth_of(&names, since);
    }

    /// Waits until all targets of a source are unknown for this reason.
    pub fn wait_for_unknown(&self, source: &str, reason: &'static str) {
        self.wait(&format!("{source} to be unknown for {reason}"), || {
            let counts = self.counts(source);
            let unknown = counts.unknown.get(reason).copied().unwrap_or_default();
            let all = unknown > 0 && (counts.online, counts.offline, counts.unknown.len()) == (0, 0, 1);
            if all { Ok(()) } else { Err(format!("{source}: {counts:?}")) }
        });
    }

    fn shows_truth(&self, source: &str, since: Moment) -> Result<(), String> {
        for (id, view) in self.views(source) {
            let fresh = view.observed_s.is_some_and(|at| i64::from(at) >= since.unix_seconds());
            if !fresh || matches!(view.presence, Presence::Unknown(_)) {
                return Err(format!("{source}: {id}: {view:?}; all: {:?}", self.counts(source)));
            }
        }
        Ok(())
    }

    /// # Panics
    /// If a target is shown online or offline that was not so when that was observed.
    pub fn assert_nobody_is_shown_wrong(&self) {
        let snapshot = self.store.snapshot();
        let now = self.now();
        let ahead_ms = self.simulator.truth_at(now).at_ms - now.unix_ms;
        for (name, population) in self.sources() {
            for (id, view) in views(find(&snapshot, &name), now) {
                let Some(observed_s) = view.observed_s else { continue };
                let from_ms = i64::from(observed_s) * 1000 + ahead_ms;
                let to_ms = (from_ms + 1000 + LATE_MS).min(now.unix_ms + ahead_ms);
                let (was_online, was_offline) = match population.find(&id) {
                    Some(subject) => seen_between(subject, from_ms, to_ms.max(from_ms)),
                    None => (false, true),
                };
                let true_to_life = match view.presence {
                    Presence::Online => was_online,
                    Presence::Offline => was_offline,
                    Presence::Unknown(_) => true,
                };
                assert!(true_to_life, "{name}: {id} is shown as {:?}, which is not true", view.presence);
            }
        }
    }

    /// The page of metrics as it is now, without a socket between.
    pub fn page(&self) -> String {
        let Ok(mut page) = self.desk.page(Format::Text, &[]) else { unreachable!("no source is named") };
        let mut text = Vec::new();
        while page.next_piece(&mut text) {}
        String::from_utf8(text).expect("a page is text")
    }

    /// Waits until the exporter has booked the failure of every request that was struck until now. Who leaps before that
    /// makes pauses begin after the leap.
    pub fn wait_for_failures(&self) {
        let struck = self.simulator.record().entries().iter().filter(|entry| entry.fault.is_some()).count();
        self.wait("failures to be booked", || {
            let page = self.page();
            let lines = page.lines().filter(|line| line.starts_with("presence_exporter_api_failures_total{"));
            let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
            let failures: usize = numbers.sum();
            if failures >= struck { Ok(()) } else { Err(format!("{failures} of {struck}")) }
        });
    }

    /// Fetches a page and returns its status and body.
    pub fn fetch(&self, path: &str) -> (u16, String) {
        let address = self.web.expect("the script asks for pages");
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time above zero");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers in text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body.to_owned())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // Whoever waits for questions under way need not wait in earnest.
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            self.leap(Duration::from_secs(10));
            thread::sleep(Duration::from_millis(2));
        }
        let mut panicked = false;
        for thread in self.threads.drain(..) {
            panicked |= thread.join().is_err();
        }
        assert!(!panicked || thread::panicking(), "a thread of the stage panicked");
    }
}

/// The word for a reason, as the label has it.
pub fn reason(of: presence_exporter::domain::Fault) -> &'static str {
    UnknownReason::Fault(of).as_str()
}

fn find<'a>(snapshot: &'a Snapshot, source: &str) -> &'a SourceSnapshot {
    let found = snapshot.sources.iter().find(|known| *known.spec.name == *source);
    found.unwrap_or_else(|| panic!("no source {source}"))
}

fn views(source: &SourceSnapshot, now: Moment) -> Vec<(String, View)> {
    let views = source.states().map(|state| state.view(now, &source.spec.policy));
    source.roster.iter().map(|target| target.id.to_owned()).zip(views).collect()
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody is left to say stop.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Runs a future on a thread and a runtime of its own.
fn spawn<F: Future<Output = ()>>(
    name: &str,
    make: impl FnOnce() -> F + Send + 'static,
) -> thread::JoinHandle<()> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("there are descriptors for a runtime").block_on(make());
    };
    thread::Builder::new().name(name.into()).spawn(run).expect("there is room for a thread")
}
