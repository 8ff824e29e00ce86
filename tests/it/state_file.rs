//! The real program with a state file, killed again and again: nothing that a page showed goes back or is lost, and nobody
//! is offline for it.
//!
//! To kill it more often: `PRESENCE_KILLS=200 cargo test --test it state_file:: -- --nocapture`; a round takes one to three
//! seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use presence_exporter::domain::Platform;
use presence_exporter::net::SystemClock;
use presence_exporter::ports::Clock as _;
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::{Population, SimSession, Subject, World};
use presence_exporter::simulator::{Options, Scenario, Setup, Simulator};

/// How often the program is killed, unless `PRESENCE_KILLS` says otherwise.
const ROUNDS: u64 = 12;

#[allow(clippy::disallowed_methods, reason = "whoever runs the test says how long")]
fn rounds() -> u64 {
    std::env::var("PRESENCE_KILLS").map_or(ROUNDS, |kills| kills.parse().unwrap())
}

/// Who is asked about: providers whose answers come by batches, with connections that are named and without.
const PROVIDERS: [&str; 3] = ["alibaba_mqtt", "openim", "volcengine_rtc"];

/// Targets of each provider. Those with even numbers are always online, the others come and go every few seconds.
const TARGETS: usize = 100;

/// What must never go back, by the beginning of its lines.
const NEVER_BACK: [&str; 6] = [
    "presence_last_seen_timestamp_seconds{",
    "presence_last_change_timestamp_seconds{",
    "presence_observed_timestamp_seconds{",
    "presence_transitions_total{",
    "presence_observed_transitions_total{",
    "presence_reconnects_total{",
];

fn world(now_ms: i64, rounds: u64) -> World {
    let kinds: Vec<_> = REGISTRY.iter().copied().filter(|kind| PROVIDERS.contains(&kind.name())).collect();
    let scenario = Scenario { default_targets: TARGETS, ..Scenario::default() };
    let end_ms = now_ms + 1000 * (60 + 10 * i64::try_from(rounds).unwrap());
    let mut next_id = 0x7_0000_0000;
    let mut session = |start_ms, end_ms| {
        next_id += 1;
        let (setup_ms, platform, network_rtt_ms, e2e_rtt_ms) = (0, Platform::Android, 40, 70);
        SimSession {
            id: next_id,
            start_ms,
            setup_ms,
            end_ms,
            platform,
            network_rtt_ms,
            e2e_rtt_ms,
            failure: None,
        }
    };
    let mut subject = |(index, known): (usize, Subject)| {
        let sessions = if index % 2 == 0 {
            vec![session(now_ms - 60_000, end_ms)]
        } else {
            let every = 2_600 + 40 * i64::try_from(index).unwrap();
            let starts = (0..).map(|n| now_ms - 10_000 + n * every).take_while(|start| *start < end_ms);
            starts.map(|start| session(start, start + every / 2)).collect()
        };
        Subject { sessions, ..known }
    };
    let populations = scenario.world(&kinds, now_ms).populations.into_iter().map(|known| {
        let subjects = known.subjects.into_iter().enumerate().map(&mut subject);
        Population::new(known.provider, known.scope, subjects.collect())
    });
    World { populations: populations.collect() }
}

/// The program, ended when it is dropped.
struct Program(Child);

impl Program {
    fn start(folder: &Path, address: SocketAddr) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_presence-exporter"));
        command.arg("run").arg("--config.file").arg(folder.join("config.yaml"));
        command.arg("--state.path").arg(folder.join("state"));
        command.arg("--web.listen-address").arg(address.to_string());
        Self(command.stderr(log).stdout(Stdio::null()).spawn().unwrap())
    }

    /// As `kill -9` does it.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn page(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    Some(answer)
}

/// What pages have shown so far.
#[derive(Default)]
struct Shown {
    highest: BTreeMap<String, f64>,
    always_online: Vec<String>,
    pages: usize,
    confirmed: usize,
    restored: usize,
}

impl Shown {
    fn look(&mut self, page: &str, round: u64) {
        self.pages += 1;
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("presence_online{") {
                let always = self.always_online.iter().any(|id| rest.contains(&**id));
                assert!(!(always && rest.ends_with(" 0")), "round {round}: a false offline: {line}");
                self.confirmed += usize::from(always);
            }
            self.restored += usize::from(line.contains("reason=\"restored\""));
            if NEVER_BACK.iter().any(|name| line.starts_with(name)) {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value: f64 = value.parse().unwrap();
                match self.highest.get_mut(series) {
                    Some(highest) => {
                        assert!(value >= *highest, "round {round}: {series} was {highest} and is {value}");
                        *highest = value;
                    }
                    None => drop(self.highest.insert(series.to_owned(), value)),
                }
            }
        }
        let there: BTreeSet<&str> =
            page.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect();
        for (series, highest) in &self.highest {
            assert!(there.contains(&**series), "round {round}: {series} was {highest} and is lost");
        }
    }
}

#[test]
fn a_program_that_is_killed_at_random_moments_loses_nothing_that_it_showed() {
    let clock = Arc::new(SystemClock::start());
    let rounds = rounds();
    let world = world(clock.now().unix_ms, rounds);
    let kinds: Vec<_> = REGISTRY.iter().copied().filter(|kind| PROVIDERS.contains(&kind.name())).collect();
    let steady = world.populations.iter().flat_map(|p| p.subjects.iter().step_by(2));
    let always_online = steady.map(|subject| format!("target=\"{}\"", subject.id)).collect();
    let simulator = Simulator::bind_world(&Options::default(), &kinds, world, clock.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        requests_per_second: Some(100.0),
    };
    std::fs::write(folder.path().join("config.yaml"), simulator.config_yaml(&setup)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let simulator = Arc::new(simulator);
    let serving = simulator.clone();
    let handle = thread::spawn(move || runtime.block_on(serving.serve(std::future::pending::<()>())));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut shown = Shown { always_online, ..Shown::default() };
    let began = clock.now();
    for round in 0..rounds {
        let lives = Duration::from_millis(fastrand::u64(300..2_600));
        let program = Program::start(folder.path(), address);
        let dies = clock.now().tick + lives;
        while clock.now().tick < dies {
            if let Some(page) = page(address) {
                shown.look(&page, round);
            }
            thread::sleep(Duration::from_millis(15));
        }
        program.kill();
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!handle.is_finished(), "the simulator serves");
    assert!(!log.contains("set aside") && !log.contains("is not saved"), "{log}");
    // Otherwise nothing was put to the test.
    let moved =
        shown.highest.iter().filter(|(series, value)| series.contains("_transitions_") && **value > 0.0);
    assert!(moved.count() > TARGETS / 2 && shown.restored > TARGETS && shown.confirmed > TARGETS, "{log}");
    let took = clock.now().tick.since(began.tick);
    println!("{rounds} times killed in {took:.0?}, {} pages, {} series", shown.pages, shown.highest.len());
}

#[test]
fn a_file_in_use_or_in_no_good_place_is_an_error_that_says_so() {
    let clock = Arc::new(SystemClock::start());
    let simulator =
        Simulator::bind_world(&Options::default(), REGISTRY, world(clock.now().unix_ms, 1), clock).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), simulator.config_yaml(&Setup::default())).unwrap();
    let first =
        Program::start(folder.path(), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    while !std::fs::read_to_string(folder.path().join("log")).unwrap().contains("state restored") {
        thread::sleep(Duration::from_millis(20));
    }
    let said = |state: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_presence-exporter"))
            .args(["--web.listen-address", "127.0.0.1:0", "--config.file"])
            .arg(folder.path().join("config.yaml"))
            .arg("--state.path")
            .arg(state)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let in_use = said(&folder.path().join("state"));
    assert!(in_use.contains("state: is in use by another process"), "{in_use}");
    first.kill();
    let nowhere = said(&folder.path().join("missing/state"));
    assert!(nowhere.contains("missing/state: cannot be opened for writing"), "{nowhere}");
}
