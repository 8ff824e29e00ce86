//! A history from a seed: a small world, a configuration, and what goes wrong when. The same seed gives the same history.

use std::time::Duration;

use fastrand::Rng;
use presence_exporter::domain::presence::Policy;
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::{SimOptions, Trouble};
use presence_exporter::simulator::faults::{Kind, When};
use presence_exporter::simulator::{Incident, Options, Scenario, Setup, places};

use crate::cadence::IN_BATCHES;
use crate::plan::hour::divided;

/// How long a history is.
pub const LENGTH: Duration = Duration::from_secs(3600);

/// When a history begins, in Unix milliseconds: a whole second, as the clock's tick is, so that a second of one is a second
/// of the other.
pub const BEGIN_MS: i64 = 1_700_000_000_000;

/// One of so many histories is one in which answers overtake each other.
const OVERTAKING: u64 = 4;

/// One of so many histories is one in which sources are asked together.
const DIVIDED: u64 = 5;

/// One of so many histories is one in which targets have paces of their own.
const PACED: u64 = 6;

/// What is turned at the servers at an instant.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// The servers' clocks are set wrong by so many milliseconds, or right.
    Clock(i64),
    /// The servers take so many requests a second, or all.
    Limit(Option<u32>),
}

/// All that is decided by the seed.
#[derive(Debug)]
pub struct History {
    pub seed: u64,
    pub options: Options,
    pub interval: Duration,
    pub timeout: Duration,
    pub policy: Policy,
    pub rate: u32,
    pub concurrency: usize,
    /// Each way of each request takes from so long to so long, in milliseconds.
    pub latency_ms: (u64, u64),
    /// Counted from the beginning.
    pub turns: Vec<(Duration, Turn)>,
    /// Whether two sources with common targets stand in the place of each, and how often these are asked about.
    pub divided: Option<[Duration; 2]>,
    /// How often lively and quiet targets are asked about, where that differs.
    pub cadence: Option<(Duration, Duration)>,
}

impl History {
    /// The history of this seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
        let seconds = |rng: &mut Rng, from: u64, to: u64| Duration::from_secs(rng.u64(from..=to));
        let interval = seconds(&mut rng, 20, 60);
        // Now and then so long that the next round's answer may come before this one's.
        let overtaking = seed % OVERTAKING == 1;
        let interval = if overtaking { interval / 2 } else { interval };
        let timeout = if overtaking { seconds(&mut rng, 40, 60) } else { seconds(&mut rng, 2, 10) };
        let mut delay = |none: u8| match rng.u8(..100) {
            n if n < none => Duration::ZERO,
            _ => Duration::from_secs(rng.u64(1..=150)),
        };
        let (arrive, leave) = (delay(60), delay(40));
        let max_age = interval + timeout + seconds(&mut rng, 0, 150);
        // Each seventh history is one in which all is well.
        let incidents = if seed % 7 == 3 { 0 } else { rng.usize(1..=6) };
        let mut faults: Vec<Incident> = (0..incidents).map(|_| incident(&mut rng, timeout)).collect();
        if overtaking && incidents > 0 {
            faults.push(held_up(&mut rng, interval));
        }
        let turns = if incidents == 0 { Vec::new() } else { turns(&mut rng) };
        let scenario = Scenario {
            seed,
            horizon: LENGTH * 2,
            default_targets: 0,
            targets: REGISTRY.iter().map(|kind| (kind.name().to_owned(), rng.usize(3..=8))).collect(),
            populations: 1,
        };
        let slow = *rng.choice([5_u64, 50, 300, 1_400].as_slice()).expect("four of them");
        let latency_ms = (rng.u64(1..=5), slow);
        let rate = *rng.choice([1, 2, 5, 10, 50].as_slice()).expect("five of them");
        let concurrency = if overtaking { rng.usize(3..=6) } else { rng.usize(1..=6) };
        let cadence = (seed % PACED == 4).then(|| {
            let slowest = seconds(&mut rng, interval.as_secs(), max_age.saturating_sub(timeout).as_secs());
            (seconds(&mut rng, 5, interval.as_secs().max(5)).min(interval), slowest)
        });
        let divided = (seed % DIVIDED == 2).then(|| {
            let fastest = cadence.map_or(5, |(fastest, _)| fastest.as_secs());
            let sooner = seconds(&mut rng, fastest, interval.as_secs());
            *rng.choice(&[[interval; 2], [sooner, interval], [interval, sooner]]).expect("three of them")
        });
        Self {
            seed,
            options: Options {
                scenario,
                faults,
                api: switches(&mut rng),
                record_limit: 1,
                ..Options::default()
            },
            interval,
            timeout,
            policy: Policy { max_age, arrive, leave },
            rate,
            concurrency,
            latency_ms,
            turns,
            divided,
            cadence,
        }
    }

    /// The longest time between two questions about a target, where nothing is wrong.
    pub fn longest_turn(&self) -> Duration {
        self.cadence.map_or(self.interval, |(fastest, slowest)| slowest + fastest)
    }

    /// The configuration's text, made from the simulator's own.
    pub fn edited(&self, yaml: &str) -> String {
        let text = |of: Duration| format!("\"{}\"", humantime::format_duration(of));
        let Policy { max_age, arrive, leave } = self.policy;
        let defaults = format!(
            "defaults:\n  max_age: {}\n  arrive_delay: {}\n  leave_delay: {}\n",
            text(max_age),
            text(arrive),
            text(leave)
        );
        let account = format!("    concurrency: {}\n    endpoint: ", self.concurrency);
        let yaml = yaml.replacen("defaults:\n", &defaults, 1).replace("    endpoint: ", &account);
        let yaml = match self.cadence {
            None => yaml,
            Some((fastest, slowest)) => {
                let cadence = format!(
                    "    cadence: {{fastest: {}, slowest: {}, lively_for: 60s, quiet_after: 5m}}\n",
                    text(fastest),
                    text(slowest)
                );
                IN_BATCHES.iter().fold(yaml, |yaml, source| {
                    let head = format!("\n  {source}:\n");
                    yaml.replace(&head, &format!("{head}{cadence}"))
                })
            }
        };
        let Some(intervals) = self.divided else { return yaml };
        let [first, second] = intervals.map(|interval| format!("    interval: {}\n", text(interval)));
        divided(&yaml, [&first, &second])
    }

    /// What the simulator writes into it by itself.
    pub fn setup(&self) -> Setup {
        Setup {
            interval: self.interval,
            timeout: self.timeout,
            requests_per_second: Some(f64::from(self.rate)),
        }
    }
}

/// Ways of the simulated servers that are all allowed by their documents.
fn switches(rng: &mut Rng) -> std::collections::BTreeMap<String, SimOptions> {
    let ways: [(&str, &str, &[&str]); 7] = [
        ("alibaba_smartag", "offline_rows", &["listed", "absent"]),
        ("alibaba_smartag", "numbers", &["false", "true"]),
        ("alibaba_mqtt", "order", &["same", "reversed"]),
        ("volcengine_rtc", "product_error_status", &["400", "200"]),
        ("huawei_workspace", "open_sessions", &["visible", "after_end"]),
        // Lists of one page and of several: a history has three to eight desktops, and each some dozens of records.
        ("huawei_workspace", "desktops_cap", &["1000", "3"]),
        ("huawei_workspace", "limit_cap", &["100", "20"]),
    ];
    let mut options = std::collections::BTreeMap::<String, SimOptions>::new();
    for (provider, name, values) in ways {
        let value = rng.choice(values).expect("two of them");
        let known = options.remove(provider).unwrap_or_default();
        options.insert(provider.into(), known.with(name, value));
    }
    options
}

/// Answers that come when the next round's have come: some of them are held up for longer than an interval, all the time.
fn held_up(rng: &mut Rng, interval: Duration) -> Incident {
    let kind = Kind::Slow(interval.mul_f64(1.1 + 0.5 * rng.f64()));
    Incident { place: "all".into(), action: None, kind, when: When::Always, probability: 0.2 }
}

fn incident(rng: &mut Rng, timeout: Duration) -> Incident {
    let longest = u64::try_from(timeout.as_millis()).expect("a minute") * 6 / 5;
    let kind = match rng.u8(..18) {
        0 => Kind::Worded(Trouble::Throttled { retry_after_s: None }),
        1 => Kind::Worded(Trouble::Throttled { retry_after_s: Some(rng.u32(1..=90)) }),
        2 => Kind::Worded(Trouble::ServerError),
        3 => Kind::Worded(Trouble::ErrorUnder200),
        4 => Kind::Worded(Trouble::Forbidden),
        5 => Kind::Worded(Trouble::Unauthorized),
        6 => Kind::Worded(Trouble::WrongType),
        7 => Kind::Worded(Trouble::MissingField),
        8 => Kind::Reset,
        9 => Kind::ResetInBody,
        10 => Kind::Slow(Duration::from_millis(rng.u64(100..longest))),
        11 => Kind::Drip(Duration::from_millis(rng.u64(100..longest))),
        12 => Kind::Truncated,
        13 => Kind::Html,
        14 => Kind::Giant(9 << 20),
        15 => Kind::Giant(1 << 10),
        16 => Kind::NotJson,
        _ => Kind::Hang,
    };
    let mut places = places();
    places.push("all");
    let from = rng.u64(..LENGTH.as_secs());
    let lasts = [10, 60, 300, 900][rng.usize(..4)];
    let when = match rng.u8(..10) {
        0 => When::Always,
        1 => {
            let first = rng.u64(1..100);
            When::Requests { from: first, to: Some(first + rng.u64(..20)) }
        }
        _ => When::Time {
            from: Duration::from_secs(from),
            to: Some(Duration::from_secs(from + rng.u64(1..=lasts))),
        },
    };
    let probability = if rng.bool() && when != When::Always { 1.0 } else { 0.02 + 0.3 * rng.f64() };
    let place = (*rng.choice(&places).expect("some of them")).to_owned();
    Incident { place, action: None, kind, when, probability }
}

fn turns(rng: &mut Rng) -> Vec<(Duration, Turn)> {
    let mut turns = Vec::new();
    for _ in 0..rng.usize(0..=2) {
        let from = rng.u64(..LENGTH.as_secs());
        let to = from + rng.u64(1..600);
        let [on, off] = if rng.bool() {
            let far = [2_000, 60_000, 1_200_000][rng.usize(..3)];
            [Turn::Clock(if rng.bool() { far } else { -far }), Turn::Clock(0)]
        } else {
            [Turn::Limit(Some(rng.u32(0..3))), Turn::Limit(None)]
        };
        turns.push((Duration::from_secs(from), on));
        turns.push((Duration::from_secs(to), off));
    }
    turns.sort_by_key(|(at, _)| *at);
    turns
}
