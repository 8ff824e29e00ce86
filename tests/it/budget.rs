//! Budgets, refused keys and clocks, with the whole exporter and the simulator's own record as the judge: hours on virtual
//! time, and one minute over real sockets.

mod lasting;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use presence_exporter::daemon::{Desk, Exporter};
use presence_exporter::domain::presence::Presence;
use presence_exporter::exposition::Format;
use presence_exporter::http::Control as _;
use presence_exporter::ports::{Clock as _, Ports};
use presence_exporter::providers::configure::configure;
use presence_exporter::providers::sim::{SimOptions, Trouble};
use presence_exporter::providers::{ProviderKind, REGISTRY, find};
use presence_exporter::scheduler::account::STOP_GRACE;
use presence_exporter::simulator::faults::{Kind, When};
use presence_exporter::simulator::record::Record;
use presence_exporter::simulator::{Core, Incident, Options, Setup, setup};
use presence_exporter::store::Store;
use tokio::sync::watch;

use crate::simulation::play::{Nothing, Seeded};
use crate::simulation::wire::{Call, Way, Wire};
use crate::stage::{Script, still_world};
use crate::virtual_time::VirtualClock;

const BEGIN_MS: i64 = 1_700_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What is played on virtual time.
struct Play {
    kinds: Vec<&'static dyn ProviderKind>,
    targets: usize,
    options: Options,
    /// Each way of each request takes so long: the same for all, so that requests arrive as they were sent.
    latency_ms: u64,
    setup: Setup,
    length: Duration,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            kinds: REGISTRY.to_vec(),
            targets: 300,
            options: Options { record_limit: 1_000_000, ..Options::default() },
            latency_ms: 10,
            setup: Setup { interval: SECOND, timeout: SECOND * 5, requests_per_second: Some(7.0) },
            length: MINUTE * 5,
        }
    }
}

/// What came of it.
struct Played {
    clock: Arc<VirtualClock>,
    wire: Arc<Wire>,
    store: Arc<Store>,
    desk: Arc<Desk>,
}

impl Play {
    fn play(self, edit: impl Fn(String) -> String) -> Played {
        let clock = VirtualClock::new(BEGIN_MS);
        let world = still_world(&self.kinds, self.targets, BEGIN_MS);
        let core = Core::new(&self.options, &self.kinds, Arc::new(world), clock.now());
        let endpoints = Wire::endpoints(core.clouds().len());
        let yaml = edit(setup::config_yaml(&core, &endpoints, &self.setup));
        let wire = Wire::new(clock.clone(), core, (self.latency_ms, self.latency_ms), 1);
        let ports = Ports {
            network: Arc::new(Way(wire.clone())),
            clock: clock.clone(),
            entropy: Arc::new(Seeded(Mutex::new(Rng::with_seed(2)))),
            env: Arc::new(Nothing),
        };
        let configuration = configure(&yaml, &ports.env, Path::new(""), 0).unwrap_or_else(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", lines.join("\n"))
        });
        let exporter = Exporter::assemble(configuration, ports).expect("there is a way out");
        let (store, desk) = (exporter.store(), exporter.desk());
        let (stop, stopped) = watch::channel(false);
        let end = clock.now().tick + self.length;
        let timer = async {
            clock.sleep_until(end).await;
            stop.send(true).unwrap();
        };
        clock
            .run(self.length + STOP_GRACE * 2, futures_util::future::join(exporter.poll(stopped), timer))
            .expect("polling stops within its grace");
        Played { clock, wire, store, desk }
    }
}

impl Played {
    fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(self.wire.core().record())
    }

    fn clouds(&self) -> Vec<&'static str> {
        self.wire.core().clouds()
    }

    /// How many targets are unknown for this reason, and how many there are.
    fn unknown_for(&self, reason: &str) -> (usize, usize) {
        let (now, mut unknown, mut all) = (self.clock.now(), 0, 0);
        for source in &self.store.snapshot().sources {
            for state in source.states() {
                let presence = state.view(now, &source.spec.policy).presence;
                unknown += usize::from(matches!(presence, Presence::Unknown(why) if why.as_str() == reason));
                all += 1;
            }
        }
        (unknown, all)
    }

    /// The value of the one series that begins so.
    fn value(&self, series: &str) -> f64 {
        let mut page = Vec::new();
        let mut pieces = self.desk.page(Format::Text, &[]).map_err(|_| "no source was named").unwrap();
        while pieces.next_piece(&mut page) {}
        let page = String::from_utf8(page).unwrap();
        let line =
            page.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}\n{page}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a line ends with its value")
    }
}

/// No stretch of any of these lengths holds more than its windows allow: (seconds, requests) each. `slack` is by how much
/// requests may have come closer together on their way than they left.
fn assert_keeps(record: &Record, cloud: &str, windows: &[(u32, usize)], slack: Duration) {
    assert_eq!(record.dropped(), 0, "a judge who forgets is none");
    for seconds in [1_u32, 2, 3, 7, 15, 30, 60, 61, 90, 600, 3_600, 4_000] {
        let allowed = windows.iter().map(|(length, calls)| calls * seconds.div_ceil(*length) as usize).min();
        let length = (SECOND * seconds).saturating_sub(slack);
        let most = record.fullest_window(cloud, length);
        assert!(most <= allowed.expect("some windows"), "{most} requests in {length:?} to {cloud}");
    }
}

fn between(from_s: u64, to_s: u64, kind: Kind, probability: f64) -> Incident {
    let when =
        When::Time { from: SECOND * u32::try_from(from_s).unwrap(), to: Some(Duration::from_secs(to_s)) };
    Incident { place: "all".into(), action: None, kind, when, probability }
}

#[test]
fn no_window_of_any_length_exceeds_its_budget_in_hours_of_trouble() {
    let faults = vec![
        between(0, 7_200, Kind::Worded(Trouble::ServerError), 0.05),
        between(0, 7_200, Kind::Reset, 0.03),
        between(200, 230, Kind::Worded(Trouble::Throttled { retry_after_s: None }), 0.5),
        between(400, 410, Kind::Worded(Trouble::Throttled { retry_after_s: Some(40) }), 1.0),
        between(800, 1_000, Kind::Worded(Trouble::Unauthorized), 1.0),
        between(1_500, 1_700, Kind::Worded(Trouble::Forbidden), 0.2),
        between(2_000, 2_600, Kind::Hang, 0.3),
    ];
    let options = Options { faults, ..Play::default().options };
    let played = Play { options, length: MINUTE * 65, targets: 60, ..Play::default() }.play(|yaml| {
        let yaml = yaml.replace(
            "    endpoint: ",
            "    requests_per_minute: 60\n    requests_per_hour: 2700\n    concurrency: 8\n    endpoint: ",
        );
        // Two ids that are refused with their batches, so that those are asked in halves.
        with_target(&with_target(&yaml, "alibaba_mqtt", "no-group", 7), "alibaba_smartag", "no such name!", 9)
    });
    for cloud in played.clouds() {
        let windows = [(1, 7), (60, 60), (3_600, 2_700)];
        played.record(|record| assert_keeps(record, cloud, &windows, Duration::ZERO));
        let hour = played.record(|record| record.fullest_window(cloud, MINUTE * 60));
        assert!(hour >= 1_000, "{hour} requests to {cloud} in its best hour are no use of 2700");
        let account = format!("{{account=\"simulated_{cloud}\"");
        let limit = played.value(&format!("presence_exporter_budget_requests{account},window=\"hour\"}}"));
        assert!((limit - 2_700.0).abs() < 0.1);
        let used = played.value(&format!("presence_exporter_budget_used_ratio{account},window=\"hour\"}}"));
        assert!((0.2..=1.0).contains(&used), "{used} of the hour");
    }
}

/// The configuration with one more target, before the one of this number.
fn with_target(yaml: &str, source: &str, id: &str, number: usize) -> String {
    let (before, after) = yaml.split_once(&format!("\n  {source}:\n")).expect("the source is there");
    let mut seen = 0;
    let mut lines = Vec::new();
    for line in after.lines() {
        if line.starts_with("      - ") {
            if seen == number {
                lines.push(format!("      - {}", setup::quoted(id)));
            }
            seen += 1;
        }
        lines.push(line.to_owned());
    }
    format!("{before}\n  {source}:\n{}\n", lines.join("\n"))
}

#[test]
fn a_wrong_key_costs_at_most_four_requests_in_any_five_minutes() {
    let SimOptions { secret, key_id, .. } = SimOptions::default();
    for (right, auth, latency_ms) in
        [(&secret, "key", 5), (&secret, "password", 2_000), (&key_id, "key", 2_000)]
    {
        let mut options = Play::default().options;
        let huawei = SimOptions::default().with("auth", auth);
        options.api.insert("huawei_workspace".into(), huawei);
        let setup = Setup { interval: SECOND, timeout: SECOND * 10, requests_per_second: Some(50.0) };
        let played =
            Play { options, latency_ms, setup, length: MINUTE * 60, ..Play::default() }.play(|yaml| {
                yaml.replace(right, "WRONG0000001")
                    .replace("    endpoint: ", "    concurrency: 32\n    endpoint: ")
            });
        for cloud in played.clouds() {
            let (most, all) = played.record(|record| {
                (record.fullest_window(cloud, MINUTE * 5), record.fullest_window(cloud, MINUTE * 60))
            });
            assert!(
                (1..=4).contains(&most),
                "{most} requests to {cloud} in five minutes ({auth}, {latency_ms} ms)"
            );
            assert!(all >= 8, "{cloud} is tried now and then: {all} times in an hour");
            let account = format!("{{account=\"simulated_{cloud}\"}}");
            assert!(played.value(&format!("presence_exporter_account_parked{account}")) > 0.5);
        }
        let (unknown, all) = played.unknown_for("unauthorized");
        assert_eq!(unknown, all, "{auth}");
    }
}

#[test]
fn one_poisoned_id_in_ten_thousand_makes_one_target_unknown() {
    // The other two that are asked in batches refuse no id: whatever may be asked is answered.
    for (provider, id) in [("alibaba_smartag", "no such name!"), ("alibaba_mqtt", "no-group-and-no-device")] {
        let setup = Setup { interval: MINUTE, timeout: SECOND * 5, requests_per_second: Some(90.0) };
        let kinds = vec![find(provider).expect("it is registered")];
        let played = Play { kinds, targets: 9_999, setup, ..Play::default() }
            .play(|yaml| with_target(&yaml, provider, id, 4_711));
        assert_eq!(played.unknown_for("refused_id"), (1, 10_000), "{provider}");
        let snapshot = played.store.snapshot();
        let counts = snapshot.sources[0].counts(played.clock.now());
        assert_eq!((counts.unknown, counts.online, counts.offline), (1, 4_000, 5_999), "{provider}");
    }
}

#[test]
fn at_a_full_budget_polls_reach_97_percent_of_the_ideal_however_slow_the_way_is() {
    const RATE: u32 = 6;
    // So many batches as the whole budget asks in ten seconds.
    let batches = RATE as usize * 10;
    for (provider, action, ids) in [
        ("volcengine_rtc", "QueryOnlineStatus", 100),
        ("openim", "get_users_online_status", 200),
        ("alibaba_mqtt", "BatchQuerySessionByClientIds", 10),
        ("alibaba_smartag", "DescribeUserOnlineClientStatistics", 50),
    ] {
        // There and back take twice as long.
        for latency_ms in [5, 100] {
            let setup =
                Setup { interval: SECOND * 10, timeout: SECOND * 5, requests_per_second: Some(RATE.into()) };
            let kinds = vec![find(provider).expect("it is registered")];
            let played = Play {
                kinds,
                targets: batches * ids,
                latency_ms,
                setup,
                length: MINUTE * 4,
                ..Play::default()
            }
            .play(|yaml| yaml);
            let log = played.wire.log();
            // Smart Access Gateway is asked for everybody's clients at first, and at every tenth answer.
            let answered = |call: &&Call| call.good && call.sent.unix_ms >= BEGIN_MS + 60_000;
            let calls = log.calls.iter().filter(answered).count();
            let polls = log.calls.iter().filter(answered).filter(|call| call.action == action).count();
            let ideal = f64::from(RATE) * 180.0;
            let part = |count: usize| f64::from(u32::try_from(count).unwrap()) / ideal;
            println!(
                "{provider} at {} ms: {:.4} of the budget, {:.4} in polls",
                latency_ms * 2,
                part(calls),
                part(polls)
            );
            assert!(part(calls) >= 0.97, "{provider} at {latency_ms} ms each way: {}", part(calls));
            assert!(part(polls) >= 0.97 || provider == "alibaba_smartag", "{provider}: {}", part(polls));
        }
    }
}

#[test]
fn each_provider_s_clock_is_compared_with_ours() {
    for offset_ms in [90_000, -20_000] {
        let options = Options { clock_offset_ms: offset_ms, ..Play::default().options };
        let played = Play { options, targets: 20, ..Play::default() }.play(|yaml| yaml);
        for kind in REGISTRY {
            let (account, provider) = (kind.cloud().name, kind.name());
            let series = format!(
                "presence_exporter_api_clock_offset_seconds{{account=\"simulated_{account}\",provider=\"{provider}\"}}"
            );
            #[expect(clippy::cast_precision_loss, reason = "a minute and a half")]
            let ahead = -(offset_ms as f64) / 1000.0;
            let told = played.value(&series);
            // Questions leave at the same part of each second, so that it is known to a second and no better.
            assert!((told - ahead).abs() < 0.55, "{provider}: {told} s instead of {ahead} s");
        }
    }
}

/// How long the machine lets threads wait beyond what they asked for, at worst, while this is looked at.
struct Stalls {
    worst_us: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stalls {
    #[expect(clippy::disallowed_methods, reason = "the machine itself is measured, not what runs on it")]
    fn watch() -> Self {
        let (worst_us, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, stopped) = (worst_us.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let nap = Duration::from_millis(2);
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::sleep(nap);
                let late = began.elapsed().saturating_sub(nap);
                worst.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst_us, stop, thread: Some(thread) }
    }

    fn worst(mut self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }
}

#[test]
fn over_real_sockets_no_window_of_a_minute_exceeds_its_budget() {
    let stalls = Stalls::watch();
    let stage = Script {
        world: Box::new(|now_ms| still_world(REGISTRY, 300, now_ms)),
        setup: Setup { interval: SECOND, timeout: SECOND * 3, requests_per_second: Some(20.0) },
        ..Script::default()
    }
    .edit(|yaml| {
        let limited = |line: &str| line.starts_with("    cloud: ") && !line.contains("alibaba");
        let minute = |line: &str| if limited(line) { "\n    requests_per_minute: 240" } else { "" };
        yaml.lines().fold(String::new(), |all, line| all + line + minute(line) + "\n")
    })
    .play();
    let wait = |seconds| thread::sleep(Duration::from_secs(seconds));
    wait(12);
    for kind in [
        Kind::Worded(Trouble::Throttled { retry_after_s: Some(1) }),
        Kind::Worded(Trouble::ServerError),
        Kind::Reset,
    ] {
        stage.strike(kind);
        wait(2);
        stage.simulator.set_faults(Vec::new());
        wait(14);
    }
    stage.assert_nobody_is_shown_wrong();
    let record = stage.simulator.record();
    // Requests that wait for a thread on either side arrive closer together than they left.
    let slack = Duration::from_millis(50) + stalls.worst() * 3;
    assert!(record.total() > 1_000, "{:?}", record.counts());
    for (cloud, windows) in [
        ("alibaba", &[(1, 20)][..]),
        ("openim", &[(1, 20), (60, 240)]),
        ("volcengine", &[(1, 20), (60, 240)]),
        ("huawei", &[(1, 20), (60, 240)]),
    ] {
        assert!(record.fullest_window(cloud, MINUTE) > 60, "{cloud}: {:?}", record.counts());
        assert_keeps(record, cloud, windows, slack);
    }
}
