//! The scheduler on virtual time: budgets, beats, pauses, refused ids, an orderly stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use presence_exporter::config::{AccountSettings, Cadence, Key, Reader};
use presence_exporter::domain::presence::Presence;
use presence_exporter::domain::{
    Evidence, Explanation, Fault, Kind, Moment, Policy, Priority, Roster, Seen, SourceSpec, TargetLabels,
    UnknownReason,
};
use presence_exporter::ports::{
    BoxFuture, Clock, Entropy, Env, Network, Outbound, Ports, Request, Response, Transport, TransportError,
};
use presence_exporter::providers::sim::{SimApi, SimOptions};
use presence_exporter::providers::{
    Action, Answer, Charge, Cloud, Configured, Costs, Failure, Net, Per, Provider, ProviderKind, Question,
    Session, Step, TOGETHER,
};
use presence_exporter::scheduler::account::STOP_GRACE;
use presence_exporter::scheduler::explain::{Subject, explain};
use presence_exporter::scheduler::{AccountTask, Board, Member, Polling, PoolTask, Shared, changes, plan};
use presence_exporter::store::{Installed, SourceSnapshot, Store};
use presence_exporter::telemetry::Telemetry;
use proptest::prelude::*;
use tokio::sync::watch;

use crate::virtual_time::VirtualClock;

const SECOND: Duration = Duration::from_secs(1);

static ASK: Action = Action {
    name: "Ask",
    ids_per_call: 10,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "this test",
};

static ACTIONS: &[&Action] = &[&ASK];

static CLOUD: Cloud = Cloud { name: "test", keys: &[], requests_per_second: 10.0, open: |_, _| None };

struct TestKind;

impl ProviderKind for TestKind {
    fn name(&self) -> &'static str {
        "test"
    }
    fn cloud(&self) -> &'static Cloud {
        &CLOUD
    }
    fn keys(&self) -> &'static [Key] {
        &[]
    }
    fn actions(&self) -> &'static [&'static Action] {
        ACTIONS
    }
    fn configure(&self, _: &Reader<'_>, _: &AccountSettings, _: &Session) -> Option<Configured> {
        None
    }
    fn simulate(&self, _: SimOptions) -> Box<dyn SimApi> {
        unreachable!("this provider is asked through a transport of its own")
    }
}

/// Asks by putting the ids into the path, and takes the status for the answer: 200 online, 204 offline, 206 offline but for
/// the target whose number is in the wait, else a fault.
struct TestProvider {
    ids: usize,
    /// The look at its credentials that finds others, counted from 1, and looks so far.
    fresh: (u32, AtomicU32),
}

impl Provider for TestProvider {
    fn round(&self) -> Vec<Step> {
        vec![Step::Batches {
            action: &ASK,
            ids: self.ids,
            weigh: str::len,
            weight: usize::MAX,
            apart: TOGETHER,
        }]
    }

    fn refreshed(&self) -> bool {
        self.fresh.1.fetch_add(1, Ordering::Relaxed) + 1 == self.fresh.0
    }

    fn costs(&self) -> Costs {
        Costs::of([Charge { action: &ASK, per: Per::Batch }])
    }

    fn ask<'a>(&'a self, question: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let Question::Batch(targets) = question else { unreachable!("only batches are in the round") };
            let ids: Vec<&str> = targets.iter().map(|target| target.id).collect();
            let path = format!("http://test/{}", ids.join(","));
            let (seen, but) = net
                .call(
                    &ASK,
                    |_| Ok(http::Request::post(&path).body(Bytes::new()).unwrap()),
                    |reply| {
                        reply.header("x-id").into_iter().for_each(|id| net.note_request_id(id));
                        match reply.status.as_u16() {
                            200 => Ok((Seen::online(), None)),
                            204 => Ok((Seen::offline(), None)),
                            206 => Ok((Seen::offline(), reply.retry_after().map(|number| number.as_secs()))),
                            401 => Err(Failure::new(Fault::Unauthorized, "no")),
                            403 => Err(Failure::new(Fault::Forbidden, "not you")),
                            404 => Err(Failure::new(Fault::RefusedId, "one of them")),
                            429 => Err(Failure::new(Fault::Throttled, "slowly").wait(reply.retry_after())),
                            _ => Err(Failure::new(Fault::ServerError, "oops")),
                        }
                    },
                )
                .await?;
            let is_other = |id: &str| but.is_some_and(|number| id.ends_with(&format!("-{number}")));
            let seen = |id: &str| if is_other(id) { Seen::online() } else { seen.clone() };
            let rows = targets.iter().map(|target| (target.row, Ok(seen(target.id)))).collect();
            Ok(Answer { rows, ..Answer::default() })
        })
    }
}

/// What the other side does with the request number `n` for these ids at this instant.
type Script = dyn Fn(usize, &str, Moment) -> Result<(u16, Option<u32>), TransportError> + Send + Sync;

struct Wire {
    clock: Arc<VirtualClock>,
    latency: Duration,
    held_up: Option<(usize, Duration)>,
    script: Box<Script>,
    sent: Mutex<Vec<(Moment, String)>>,
    under_way: Mutex<(usize, usize)>,
}

impl Transport for Wire {
    fn send(
        &self,
        request: Request,
        _: Duration,
        _: usize,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let ids = request.uri().path().trim_start_matches('/').to_owned();
            let number = {
                let mut sent = self.sent.lock().unwrap();
                sent.push((now, ids.clone()));
                sent.len() - 1
            };
            {
                let mut under_way = self.under_way.lock().unwrap();
                under_way.0 += 1;
                under_way.1 = under_way.1.max(under_way.0);
            }
            let held_up = self.held_up.filter(|(held, _)| *held == number);
            let latency = held_up.map_or(self.latency, |(_, latency)| latency);
            self.clock.sleep_until(now.tick + latency).await;
            self.under_way.lock().unwrap().0 -= 1;
            let (status, wait) = (self.script)(number, &ids, now)?;
            let mut response = http::Response::builder().status(status).header("x-id", format!("r{number}"));
            if let Some(wait) = wait {
                response = response.header("retry-after", wait);
            }
            Ok(response.body(Bytes::new()).unwrap())
        })
    }
}

struct Nowhere;

impl Network for Nowhere {
    fn open(&self, _: &Outbound) -> Result<Arc<dyn Transport>, String> {
        Err("these tests bring their own transports".into())
    }
}

impl Env for Nowhere {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, _: &std::path::Path, _: u64) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// Chance from a counter: the same in each run.
struct Counter(Mutex<u64>);

impl Entropy for Counter {
    fn bits(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state
    }
}

/// A polling on virtual time, and what it left behind.
pub struct Bench {
    clock: Arc<VirtualClock>,
    store: Arc<Store>,
    wire: Arc<Wire>,
    polling: Option<Polling>,
    board: Arc<Board>,
    policy: Policy,
}

/// How a bench is set up.
pub struct Setup {
    pub rate: f64,
    /// Whether targets are left out where the rate does not suffice.
    pub shed: bool,
    /// Each source's priority; normal for those that follow.
    pub priorities: Vec<Priority>,
    pub concurrency: usize,
    pub latency: Duration,
    /// The number of a request whose answer takes longer, and how long.
    pub held_up: Option<(usize, Duration)>,
    pub ids: usize,
    /// Targets and interval of each source.
    pub sources: Vec<(u32, Duration)>,
    /// How often single targets are asked about, if not all at the interval.
    pub cadence: Option<Cadence>,
    /// How long answers count, and how soon changes do.
    pub policy: Policy,
    /// The look at its credentials with which the first source finds others; 0: none does.
    pub fresh_look: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rate: 10.0,
            shed: false,
            priorities: Vec::new(),
            concurrency: 4,
            latency: Duration::from_millis(20),
            held_up: None,
            ids: 10,
            sources: vec![(100, SECOND * 10)],
            cadence: None,
            policy: Policy::at_once(SECOND * 60),
            fresh_look: 0,
        }
    }
}

/// So many targets of the source with this number.
fn roster(number: u16, targets: u32) -> Roster {
    let mut roster = Roster::new(number, 0);
    for target in 0..targets {
        roster.push(&format!("t{number}-{target}"), TargetLabels::default());
    }
    roster
}

/// The only source of a pool.
fn member(roster: &Arc<Roster>, policy: Policy, interval: Duration) -> Member {
    Member {
        name: Arc::from(format!("source{}", roster.source())),
        roster: Arc::clone(roster),
        lens: 0,
        interval,
        max_age: Some(policy.max_age),
        listing: None,
        sessions: None,
    }
}

/// Puts a bench together; `script` is the other side.
pub fn bench(
    setup: &Setup,
    script: impl Fn(usize, &str, Moment) -> Result<(u16, Option<u32>), TransportError> + Send + Sync + 'static,
) -> Bench {
    let clock = VirtualClock::new(1_700_000_000_000);
    let store = Arc::new(Store::new());
    let telemetry = Arc::new(Telemetry::new("0", "test", "test"));
    telemetry.register("account", "test", &["Ask"]);
    let wire = Arc::new(Wire {
        clock: clock.clone(),
        latency: setup.latency,
        held_up: setup.held_up,
        script: Box::new(script),
        sent: Mutex::default(),
        under_way: Mutex::default(),
    });
    let policy = setup.policy;
    let mut installed = Vec::new();
    let mut pools = Vec::new();
    for (number, (targets, interval)) in (0_u16..).zip(&setup.sources) {
        let roster = Arc::new(roster(number, *targets));
        let name: Arc<str> = Arc::from(format!("source{number}"));
        let spec = SourceSpec {
            name: name.clone(),
            provider: "test",
            kind: Kind::User,
            evidence: Evidence::None,
            platforms: false,
            policy,
            detection_delay: Duration::ZERO,
        };
        installed.push(Installed { spec, roster: roster.clone() });
        let fresh = (setup.fresh_look, AtomicU32::new(0));
        let provider = Arc::new(TestProvider { ids: setup.ids, fresh });
        let steps = provider.round();
        let (interval, timeout) = (*interval, SECOND * 5);
        let priority = setup.priorities.get(usize::from(number)).copied().unwrap_or_default();
        pools.push(PoolTask {
            name,
            members: vec![member(&roster, policy, interval)],
            faster: Vec::new(),
            slower: Vec::new(),
            kind: &TestKind,
            provider,
            requests: changes::requests(&plan::rhythm(&steps, &roster), &steps, &roster),
            steps,
            roster,
            interval,
            cadence: setup.cadence,
            priority,
            timeout,
        });
    }
    store.install(installed);
    let task = AccountTask {
        name: Arc::from("account"),
        quota: presence_exporter::domain::Quota::per_second(setup.rate),
        shed: setup.shed,
        concurrency: setup.concurrency,
        transport: wire.clone(),
        pools,
    };
    let ports = Ports {
        network: Arc::new(Nowhere),
        clock: clock.clone(),
        entropy: Arc::new(Counter(Mutex::new(7))),
        env: Arc::new(Nowhere),
    };
    let polling =
        Polling::new(task, Shared { ports, store: store.clone(), telemetry, ledger: Arc::default() });
    let board = polling.board();
    Bench { clock, store, wire, polling: Some(polling), board, policy }
}

impl Bench {
    /// Polls for so long.
    pub fn run(&mut self, time: Duration) -> &mut Self {
        let (stop, stopped) = watch::channel(false);
        let (clock, polling) = (self.clock.clone(), self.polling.take().expect("a bench runs once"));
        let end = clock.now().tick + time;
        self.clock
            .run(time + STOP_GRACE * 2, async {
                let timer = async {
                    clock.sleep_until(end).await;
                    stop.send(true).unwrap();
                };
                futures_util::future::join(polling.run(stopped), timer).await;
            })
            .expect("polling stops within its grace");
        self
    }

    /// Why a target is shown as it is now, by its source's number.
    pub fn explain(&self, source: usize, id: &str) -> Explanation {
        let snapshot = self.store.snapshot();
        let SourceSnapshot { spec, .. } = &snapshot.sources[source];
        let about = self.board.about_target((source, 0), id, self.clock.now());
        let (roster, index, about) = about.expect("the target is there");
        let state = self.store.state(roster.row(index)).expect("each target has a row");
        explain(&Subject { spec, roster: &roster, index, state: &state, about: &about }, self.clock.now())
    }

    /// What was sent, and when.
    pub fn sent(&self) -> Vec<(Moment, String)> {
        self.wire.sent.lock().unwrap().clone()
    }

    /// How many targets are in each state, by name.
    pub fn states(&self) -> BTreeMap<&'static str, usize> {
        let now = self.clock.now();
        let mut counts = BTreeMap::new();
        for source in &self.store.snapshot().sources {
            for state in source.states() {
                let name = match state.view(now, &self.policy).presence {
                    Presence::Online => "online",
                    Presence::Offline => "offline",
                    Presence::Unknown(reason) => reason.as_str(),
                };
                *counts.entry(name).or_default() += 1;
            }
        }
        counts
    }

    /// The most that was sent in any stretch of time of this length.
    pub fn fullest_window(&self, window: Duration) -> usize {
        let sent = self.sent();
        (0..sent.len())
            .map(|from| {
                let start = sent[from].0.tick;
                sent[from..].iter().take_while(|(at, _)| at.tick.since(start) < window).count()
            })
            .max()
            .unwrap_or(0)
    }
}

#[test]
fn an_answer_that_is_overtaken_by_a_newer_one_changes_nothing() {
    // Asked at 10 s, when all were online for a moment, and answered at 35 s; before and after it they are offline. The
    // first answer is quick, since an account is asked one question at a time until its key is known to be good.
    let setup =
        Setup { sources: vec![(5, SECOND * 10)], held_up: Some((1, SECOND * 25)), ..Setup::default() };
    let mut bench = bench(&setup, |number, _, _| Ok((if number == 1 { 200 } else { 204 }, None)));
    bench.run(SECOND * 38);
    assert_eq!(bench.sent().len(), 4, "the round goes on while an answer is waited for");
    assert_eq!(bench.states(), BTreeMap::from([("offline", 5)]));
    for state in bench.store.snapshot().sources[0].states() {
        let view = state.view(bench.clock.now(), &bench.policy);
        assert_eq!((view.last_seen_s, view.observed_transitions.to_online), (None, 0), "{view:?}");
    }
}

#[test]
fn every_target_is_asked_about_once_an_interval_and_spread_over_it() {
    let mut bench = bench(&Setup::default(), |_, _, _| Ok((200, None)));
    bench.run(SECOND * 59);
    assert_eq!(bench.states(), BTreeMap::from([("online", 100)]));
    let sent = bench.sent();
    let asked: Vec<f64> = sent
        .iter()
        .filter(|(_, ids)| ids.starts_with("t0-0,"))
        .map(|(at, _)| at.tick.since(sent[0].0.tick).as_secs_f64())
        .collect();
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert!(asked.windows(2).all(|pair| (pair[1] - pair[0] - 10.0).abs() < 0.2), "{asked:?}");
    assert!(bench.fullest_window(SECOND) <= 2, "ten batches in ten seconds are one a second");
}

#[test]
fn a_round_lasts_from_its_first_question_to_its_last_answer_and_a_failed_one_has_no_duration() {
    let took = |bench: &Bench| bench.store.snapshot().sources[0].cycle.map(|took| took.as_millis());
    let mut even = bench(&Setup::default(), |_, _, _| Ok((200, None)));
    assert_eq!(took(&even), None);
    even.run(SECOND * 25);
    assert_eq!(took(&even), Some(9_020), "ten batches a second apart, and 20 ms for the last answer");
    let mut early = bench(&Setup::default(), |_, _, _| Ok((200, None)));
    early.run(SECOND * 8);
    assert_eq!(took(&early), None, "the first round is not over");
    let mut failing =
        bench(&Setup::default(), |_, ids, _| Ok((if ids.starts_with("t0-50,") { 500 } else { 200 }, None)));
    failing.run(SECOND * 100);
    assert_eq!(took(&failing), None, "one batch never got an answer");
    let mut halved = bench(&Setup::default(), |_, ids, _| {
        Ok((if ids.split(',').any(|id| id == "t0-95") { 404 } else { 200 }, None))
    });
    halved.run(SECOND * 15);
    let halves = took(&halved).expect("the refused id is found, and the round is complete");
    assert!(halves > 9_020 && halves < 10_000, "{halves}");
    let mut late = bench(&Setup::default(), |number, _, _| Ok((if number == 9 { 500 } else { 200 }, None)));
    late.run(SECOND * 14);
    let late = took(&late).expect("a retry completes the round");
    assert!(late > 9_020 && late < 14_000, "{late}");
    let mut squeezed = bench(&Setup { rate: 0.5, ..Setup::default() }, |_, _, _| Ok((200, None)));
    squeezed.run(SECOND * 70);
    let squeezed = took(&squeezed).expect("a slow round is a round");
    assert!(squeezed > 18_000 && squeezed < 19_500, "nine times two seconds and a little: {squeezed}");
}

/// How many seconds pass between two questions about an id.
pub fn gaps(bench: &Bench, id: &str) -> Vec<f64> {
    let sent = bench.sent();
    let asked: Vec<Moment> =
        sent.iter().filter(|(_, ids)| ids.split(',').any(|one| one == id)).map(|(at, _)| *at).collect();
    asked.windows(2).map(|pair| pair[1].tick.since(pair[0].tick).as_secs_f64()).collect()
}

#[test]
fn who_does_not_fit_is_left_out_by_priority_and_told_so_and_the_rest_keeps_its_interval() {
    let setup = Setup {
        rate: 2.2,
        shed: true,
        priorities: vec![Priority::Low, Priority::High, Priority::Normal],
        sources: vec![(100, SECOND * 10), (105, SECOND * 10), (40, SECOND * 10)],
        ..Setup::default()
    };
    let mut bench = bench(&setup, |_, ids, _| {
        // Halving and a retry do not let anybody in either.
        Ok((if ids.split(',').any(|id| id == "t1-33") { 404 } else { 200 }, None))
    });
    bench.run(SECOND * 120);
    // 2.04 requests a second are planned for: 11 batches of high, 4 of normal, 5 of low.
    let refused = UnknownReason::Fault(Fault::RefusedId).as_str();
    assert_eq!(bench.states(), BTreeMap::from([("online", 105 - 1 + 40 + 50), ("budget", 50), (refused, 1)]));
    for (_, ids) in bench.sent() {
        for id in ids.split(',').filter_map(|id| id.strip_prefix("t0-")) {
            assert!(id.parse::<u32>().unwrap() < 50, "{id} is asked about, and is to be left out");
        }
    }
    for id in ["t0-0", "t0-49", "t1-0", "t1-104", "t2-39"] {
        let gaps = gaps(&bench, id);
        // Halving takes its part of the first round.
        assert!(gaps[0] < 15.0, "{id}: {gaps:?}");
        assert!(gaps.len() >= 10 && gaps[1..].iter().all(|gap| (gap - 10.0).abs() < 1.5), "{id}: {gaps:?}");
    }
    let explained = bench.explain(0, "t0-99");
    assert_eq!((explained.reason.as_deref(), explained.next.kind.as_str()), (Some("budget"), "left_out"));
    assert_eq!((explained.priority.as_str(), &explained.next.at), ("low", &None));
    assert!(
        explained.next.why.contains("50 of the source's 100 targets are left out"),
        "{}",
        explained.next.why
    );
    assert_eq!(bench.explain(0, "t0-49").next.kind, "regular");
}

#[test]
fn nobody_is_left_out_unless_the_account_says_so_or_while_the_budget_suffices() {
    for (rate, shed) in [(0.5, false), (1.05, true)] {
        let mut bench = bench(&Setup { rate, shed, ..Setup::default() }, |_, _, _| Ok((200, None)));
        bench.run(SECOND * 60);
        assert_eq!(bench.states(), BTreeMap::from([("online", 100)]), "{rate}");
    }
}

#[test]
fn a_rate_that_falls_leaves_targets_out_and_one_that_is_back_asks_them_again() {
    let states = |time| {
        let setup = Setup { shed: true, rate: 1.5, ..Setup::default() };
        let mut bench = bench(&setup, |number, _, _| Ok((if number == 0 { 429 } else { 200 }, None)));
        bench.run(time);
        bench.states()
    };
    // The throttle halves 1.5 a second; 0.7 of them are planned for, which is six batches in ten seconds.
    assert_eq!(states(SECOND * 10).get("budget"), Some(&40));
    assert_eq!(states(SECOND * 120), BTreeMap::from([("online", 100)]));
}

#[test]
fn a_failing_api_never_turns_anybody_offline() {
    let mut bench = bench(&Setup::default(), |number, _, _| match number {
        0..=19 => Ok((200, None)),
        number => match number % 3 {
            0 => Err(TransportError::Timeout),
            1 => Err(TransportError::Unreachable("gone".into())),
            _ => Ok((500, None)),
        },
    });
    bench.run(SECOND * 300);
    let states = bench.states();
    assert_eq!(states.get("offline"), None, "{states:?}");
    assert_eq!(states.get("online"), None, "answers of 300 s ago are too old: {states:?}");
    assert_eq!(states.values().sum::<usize>(), 100);
}

#[test]
fn a_wait_that_the_provider_asks_for_is_kept_to() {
    let mut bench =
        bench(&Setup::default(), |number, _, _| Ok(if number == 3 { (429, Some(17)) } else { (200, None) }));
    bench.run(SECOND * 60);
    let sent = bench.sent();
    let silence = sent[4].0.tick.since(sent[3].0.tick);
    assert!(silence >= SECOND * 17 && silence < SECOND * 18, "{silence:?}");
    assert_eq!(bench.states(), BTreeMap::from([("online", 100)]));
}

#[test]
fn a_refused_key_is_not_hammered_and_every_target_is_told_why() {
    let mut bench = bench(&Setup::default(), |_, _, _| Ok((401, None)));
    bench.run(SECOND * 300);
    assert!(bench.sent().len() <= 4, "{} requests with a refused key", bench.sent().len());
    assert_eq!(bench.states(), BTreeMap::from([("unauthorized", 100)]));
}

#[test]
fn a_key_that_is_mended_is_tried_at_the_next_look_and_not_before() {
    let setup = Setup { fresh_look: 4, ..Setup::default() };
    let mut bench = bench(&setup, |number, _, _| Ok((if number == 0 { 401 } else { 200 }, None)));
    bench.run(SECOND * 40);
    let sent = bench.sent();
    let second = sent[1].0.tick.since(sent[0].0.tick);
    assert!(second >= SECOND * 19 && second < SECOND * 21, "the fourth look is after 20 s: {second:?}");
    assert_eq!(bench.states(), BTreeMap::from([("online", 100)]));
}

#[test]
fn nobody_is_asked_two_questions_before_it_is_known_that_the_key_is_right() {
    let setup = Setup { rate: 100.0, concurrency: 16, latency: SECOND * 2, ..Setup::default() };
    let mut refused = bench(&setup, |_, _, _| Ok((401, None)));
    refused.run(SECOND * 300);
    assert!(refused.sent().len() <= 4, "{} requests with a refused key", refused.sent().len());
    assert_eq!(refused.wire.under_way.lock().unwrap().1, 1);
    let mut let_in = bench(&setup, |_, _, _| Ok((200, None)));
    let_in.run(SECOND * 10);
    assert!(let_in.wire.under_way.lock().unwrap().1 > 1);
}

#[test]
fn what_is_forbidden_is_left_alone_and_the_account_s_other_sources_go_on() {
    let setup = Setup { sources: vec![(100, SECOND * 10), (100, SECOND * 10)], ..Setup::default() };
    let script = |until_s: u64| {
        move |_: usize, ids: &str, at: Moment| {
            let early = at.tick.as_micros() < until_s * 1_000_000;
            Ok((if ids.starts_with("t0") && early { 403 } else { 200 }, None))
        }
    };
    let mut parked = bench(&setup, script(u64::MAX / 1_000_000));
    parked.run(SECOND * 300);
    let asked = parked.sent().iter().filter(|(_, ids)| ids.starts_with("t0")).count();
    assert!((2..=5).contains(&asked), "{asked} forbidden requests in five minutes");
    assert_eq!(parked.states(), BTreeMap::from([("forbidden", 100), ("online", 100)]));
    let next = parked.explain(0, "t0-7").next;
    assert_eq!(next.paused_for.as_deref(), Some("forbidden"), "{next:?}");
    assert_eq!(parked.explain(1, "t1-7").next.paused_for, None);
    let mut allowed = bench(&setup, script(200));
    allowed.run(SECOND * 600);
    assert_eq!(allowed.states(), BTreeMap::from([("online", 200)]));
}

#[test]
fn a_throttled_budget_is_halved_and_used_nearly_whole_again_when_it_has_recovered() {
    for latency in [10, 200] {
        let setup = Setup {
            rate: 20.0,
            concurrency: 16,
            latency: Duration::from_millis(latency),
            sources: vec![(10_000, SECOND * 5), (2_000, SECOND * 5)],
            ..Setup::default()
        };
        let mut bench = bench(&setup, |number, _, _| Ok((if number == 2_000 { 429 } else { 200 }, None)));
        bench.run(SECOND * 300);
        let sent = bench.sent();
        let throttled = sent[2_000].0.tick;
        let between = |from: u32, to: u32| {
            let inside =
                |at: &Moment| at.tick >= throttled + SECOND * from && at.tick < throttled + SECOND * to;
            sent.iter().filter(|(at, _)| inside(at)).count()
        };
        let (lowered, recovered) = (between(3, 13), between(65, 165));
        assert!((80..=135).contains(&lowered), "{lowered} of 200 requests soon after a throttle");
        assert!(recovered >= 1_940, "{recovered} of 2000 requests at a latency of {latency} ms");
        assert!(bench.fullest_window(SECOND) <= 20);
    }
}

#[test]
fn one_refused_id_is_found_and_alone_becomes_unknown() {
    let setup = Setup { sources: vec![(10_000, SECOND * 60)], ids: 100, ..Setup::default() };
    let mut bench = bench(&setup, |_, ids, _| {
        Ok((if ids.split(',').any(|id| id == "t0-4711") { 404 } else { 200 }, None))
    });
    bench.run(SECOND * 300);
    let refused = UnknownReason::Fault(Fault::RefusedId).as_str();
    assert_eq!(bench.states(), BTreeMap::from([("online", 9_999), (refused, 1)]));
    let with_it = bench.sent().iter().filter(|(_, ids)| ids.split(',').any(|id| id == "t0-4711")).count();
    assert!(with_it <= 10, "halving a hundred takes at most eight questions, not {with_it}");
}

#[test]
fn a_budget_that_does_not_suffice_is_used_nearly_whole_at_any_latency() {
    for latency in [10, 200] {
        let setup = Setup {
            rate: 20.0,
            concurrency: 16,
            latency: Duration::from_millis(latency),
            sources: vec![(10_000, SECOND * 5), (2_000, SECOND * 5)],
            ..Setup::default()
        };
        let mut bench = bench(&setup, |_, _, _| Ok((200, None)));
        bench.run(SECOND * 100);
        let used = bench.sent().len();
        assert!(used >= 1940, "{used} of 2000 requests at a latency of {latency} ms");
        assert!(bench.fullest_window(SECOND) <= 20);
    }
}

#[test]
fn no_more_questions_are_under_way_than_the_account_allows() {
    let setup = Setup {
        rate: 1000.0,
        concurrency: 3,
        latency: SECOND,
        sources: vec![(1_000, SECOND)],
        ..Setup::default()
    };
    let mut bench = bench(&setup, |_, _, _| Ok((200, None)));
    bench.run(SECOND * 20);
    assert_eq!(bench.wire.under_way.lock().unwrap().1, 3);
}

#[test]
fn a_stop_waits_for_what_is_under_way_but_not_for_ever() {
    let setup = Setup { latency: SECOND * 2, ..Setup::default() };
    let mut quick = bench(&setup, |_, _, _| Ok((200, None)));
    quick.run(Duration::from_millis(1));
    assert_eq!(quick.states().get("online"), Some(&10), "the question under way was let finish");
    let setup = Setup { latency: SECOND * 3600, ..Setup::default() };
    let mut stuck = bench(&setup, |_, _, _| Ok((200, None)));
    let start = stuck.clock.now().tick;
    stuck.run(Duration::from_millis(1));
    assert!(stuck.clock.now().tick.since(start) < STOP_GRACE + SECOND);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_window_exceeds_the_budget_under_any_trouble(
        rate in 1_u32..50,
        concurrency in 1_usize..20,
        latency_ms in 0_u64..2_000,
        sources in prop::collection::vec((1_u32..800, 1_u64..30), 1..4),
        troubles in prop::collection::vec(0_u8..10, 1..50),
    ) {
        let setup = Setup {
            rate: f64::from(rate),
            concurrency,
            latency: Duration::from_millis(latency_ms),
            ids: 10,
            sources: sources.iter().map(|(targets, seconds)| (*targets, SECOND * u32::try_from(*seconds).unwrap())).collect(),
            ..Setup::default()
        };
        let mut bench = bench(&setup, move |number, _, _| match troubles[number % troubles.len()] {
            0 => Ok((429, Some(2))),
            1 => Ok((429, None)),
            2 => Ok((500, None)),
            3 => Err(TransportError::Timeout),
            4 => Ok((404, None)),
            5 => Ok((204, None)),
            _ => Ok((200, None)),
        });
        bench.run(SECOND * 60);
        for seconds in [1, 5, 60] {
            let most = bench.fullest_window(SECOND * seconds);
            prop_assert!(most <= usize::try_from(rate * seconds).unwrap(), "{most} in {seconds} s at {rate}/s");
        }
        let configured: u32 = setup.sources.iter().map(|(targets, _)| targets).sum();
        prop_assert_eq!(bench.states().values().sum::<usize>(), configured as usize);
    }
}
