//! Sessions by login records, through the whole exporter on virtual time: what the page counts in the end is what the
//! simulated world holds, however the provider shows its records and whatever fails meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use presence_exporter::daemon::Exporter;
use presence_exporter::domain::{Moment, Platform};
use presence_exporter::exposition::Format;
use presence_exporter::http::Control;
use presence_exporter::ports::{
    BoxFuture, Clock, Entropy, Env, Network, Outbound, Ports, Request, Response, Transport, TransportError,
};
use presence_exporter::providers::ProviderKind;
use presence_exporter::providers::configure::configure;
use presence_exporter::providers::huawei_workspace::{KIND, NAME};
use presence_exporter::providers::sim::{
    Population, SimApi, SimOptions, SimRequest, SimSession, Subject, World,
};
use proptest::prelude::*;
use tokio::sync::watch;

use crate::virtual_time::VirtualClock;

/// 2026-03-01T02:03:04Z
const NOW_MS: i64 = 1_772_330_584_000;
const PROJECT: &str = "00000000000000000000000000051b01";
const MINUTE_MS: i64 = 60_000;

/// Sessions begin until then, in seconds from the start.
const BUSY_S: i64 = 2 * 3600;
/// And all records have been read by then: the last day is read again every hour, in two dozen passes a minute apart.
const PLAY: Duration = Duration::from_secs(9 * 1800);

const REASONS: [(&str, &str); 4] = [
    ("VM_CONNECT_TIMEOUT", "timeout"),
    ("USER_AUTHENTICATION_FAILED", "authentication"),
    ("AGENT_NOT_READY", "desktop_unavailable"),
    ("51b0-0017", "other"),
];

/// The simulated API as a way out, with no socket; `lost` says when requests are lost.
struct InProcess {
    clock: Arc<VirtualClock>,
    world: World,
    api: Mutex<Box<dyn SimApi>>,
    lost: Box<dyn Fn(i64, u64) -> bool + Send + Sync>,
    sent: Mutex<u64>,
}

struct Way(Arc<InProcess>);

impl Transport for Way {
    fn send(
        &self,
        request: Request,
        _: Duration,
        _: usize,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let here = &self.0;
            here.clock.sleep_until(here.clock.now().tick + Duration::from_millis(20)).await;
            let now_ms = here.clock.now().unix_ms;
            let number = {
                let mut sent = here.sent.lock().unwrap();
                *sent += 1;
                *sent
            };
            if (here.lost)((now_ms - NOW_MS) / MINUTE_MS, number) {
                return Err(TransportError::Timeout);
            }
            let mut headers = request.headers().clone();
            let host = request.uri().authority().map_or("", |authority| authority.as_str());
            headers.insert(http::header::HOST, host.parse().unwrap());
            let request = SimRequest {
                method: request.method(),
                path: request.uri().path(),
                query: request.uri().query().unwrap_or(""),
                headers: &headers,
                body: request.body(),
            };
            let reply = here.api.lock().unwrap().answer(&here.world, now_ms, &request);
            let mut response = http::Response::builder().status(reply.status);
            for (name, value) in reply.headers {
                response = response.header(name, value);
            }
            Ok(response.body(Bytes::from(reply.body)).unwrap())
        })
    }
}

struct OneWay(Arc<InProcess>);

impl Network for OneWay {
    fn open(&self, _: &Outbound) -> Result<Arc<dyn Transport>, String> {
        Ok(Arc::new(Way(self.0.clone())))
    }
}

struct Nothing;

impl Env for Nothing {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, _: &Path, _: u64) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

impl Entropy for Nothing {
    fn bits(&self) -> u64 {
        0x5EED
    }
}

/// Desktops that come and go, and fail to, from six hours before the start on.
fn busy(count: u64, seed: u64) -> Vec<Subject> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let session = |id, start_s: i64, setup_ms, end_s: i64| SimSession {
        id,
        start_ms: NOW_MS + start_s * 1000 + 350,
        setup_ms,
        end_ms: NOW_MS + end_s * 1000 + 700,
        platform: Platform::Windows,
        network_rtt_ms: 20,
        e2e_rtt_ms: 40,
        failure: None,
    };
    let of = |n: u64| {
        let (mut sessions, mut at_s, mut id) = (Vec::new(), -dice.i64(0..6 * 3600), n * 1000);
        while at_s < BUSY_S {
            if dice.u8(..4) == 0 {
                let reason = REASONS[dice.usize(..REASONS.len())].0;
                sessions.push(SimSession { failure: Some(reason), ..session(id, at_s, 1500, at_s + 2) });
                (id, at_s) = (id + 1, at_s + 3);
            }
            let end_s = at_s + dice.i64(20..3000);
            sessions.push(session(id, at_s, dice.i64(300..9000), end_s));
            (id, at_s) = (id + 1, end_s + dice.i64(2..600));
        }
        Subject { id: format!("PC{n}"), user: format!("user{n}"), sessions }
    };
    (0..count).map(of).collect()
}

/// What was counted, or should be: set-ups, round-trip times and durations as (count, sum in seconds), and failures.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    setup: (i64, i64),
    rtt: i64,
    lasted: (i64, i64),
    failures: BTreeMap<String, i64>,
}

/// What the world holds of these subjects from the start on, in the whole seconds of records.
fn of_world(subjects: &[Subject], has_rtt: bool) -> Counted {
    let mut counted = Counted::default();
    let second = |ms: i64| ms.div_euclid(1000);
    let from = second(NOW_MS);
    for session in subjects.iter().flat_map(|subject| &subject.sessions) {
        let (start, end) = (second(session.start_ms), second(session.end_ms));
        match session.failure {
            Some(why) if start >= from => {
                let (_, reason) = REASONS.iter().find(|(text, _)| *text == why).unwrap();
                *counted.failures.entry((*reason).to_owned()).or_default() += 1;
            }
            Some(_) => {}
            None => {
                if start >= from {
                    counted.setup.0 += 1;
                    counted.setup.1 += second(session.start_ms + session.setup_ms) - start;
                }
                if end >= from {
                    counted.lasted.0 += 1;
                    counted.lasted.1 += end - start;
                    counted.rtt += i64::from(has_rtt);
                }
            }
        }
    }
    counted
}

/// What the page says of a source.
fn of_page(page: &str, source: &str) -> Counted {
    let mut counted = Counted::default();
    let label = format!("source=\"{source}\"");
    for line in page.lines().filter(|line| line.starts_with("presence_session_") && line.contains(&label)) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "counts, and sums of whole seconds")]
        let value = value.parse::<f64>().unwrap().round() as i64;
        let name = series.split('{').next().unwrap();
        match name.trim_start_matches("presence_session_") {
            "setup_seconds_count" => counted.setup.0 = value,
            "setup_seconds_sum" => counted.setup.1 = value,
            "rtt_seconds_count" => counted.rtt = value,
            "duration_seconds_count" => counted.lasted.0 = value,
            "duration_seconds_sum" => counted.lasted.1 = value,
            "failures_total" if value > 0 => {
                let reason = series.split("reason=\"").nth(1).unwrap().split('"').next().unwrap();
                counted.failures.insert(reason.to_owned(), value);
            }
            _ => {}
        }
    }
    counted
}

/// Plays the world through and returns what the page says in the end.
fn play(
    switches: &[(&str, &str)],
    subjects: &[Subject],
    keys: &str,
    targets: &[String],
    lost: impl Fn(i64, u64) -> bool + Send + Sync + 'static,
) -> String {
    let options =
        switches.iter().fold(SimOptions::default(), |options, (name, value)| options.with(name, value));
    let api = KIND.simulate(options);
    let mut account = String::new();
    for (key, value) in api.account_keys("http://127.0.0.1:1") {
        writeln!(account, "    {key}: {value}").unwrap();
    }
    let mut ids = String::new();
    for id in targets {
        writeln!(ids, "      - {id}").unwrap();
    }
    let yaml = format!(
        "accounts:\n  main:\n    cloud: huawei\n    endpoint: \"http://127.0.0.1:1\"\n    requests_per_second: 20\n{account}\
         sources:\n  desks:\n    account: main\n    provider: {NAME}\n    interval: 60s\n{keys}    targets:\n{ids}"
    );
    let clock = VirtualClock::new(NOW_MS);
    let world = World { populations: vec![Population::new(NAME, PROJECT, subjects.to_vec())] };
    let inside = Arc::new(InProcess {
        clock: clock.clone(),
        world,
        api: Mutex::new(api),
        lost: Box::new(lost),
        sent: Mutex::default(),
    });
    let ports = Ports {
        network: Arc::new(OneWay(inside)),
        clock: clock.clone(),
        entropy: Arc::new(Nothing),
        env: Arc::new(Nothing),
    };
    let configuration = configure(&yaml, &ports.env, Path::new(""), 0).unwrap_or_else(|problems| {
        panic!("{}\n{yaml}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let exporter = Exporter::assemble(configuration, ports).unwrap();
    let desk = exporter.desk();
    let (stop, stopped) = watch::channel(false);
    let start: Moment = clock.now();
    let timer = async {
        clock.sleep_until(start.tick + PLAY).await;
        stop.send_replace(true);
    };
    let both = futures_util::future::join(exporter.poll(stopped), timer);
    clock.run(PLAY + Duration::from_secs(60), both).expect("polling stops in time");
    let mut page = desk.page(Format::Text, &[]).unwrap_or_else(|_| panic!("no source is named"));
    let mut out = Vec::new();
    while page.next_piece(&mut out) {}
    let page = String::from_utf8(out).unwrap();
    assert!(page.contains("presence_source_up{source=\"desks\""), "{page}");
    page
}

fn names(subjects: &[Subject]) -> Vec<String> {
    subjects.iter().map(|subject| subject.id.clone()).collect()
}

fn never(_: i64, _: u64) -> bool {
    false
}

#[test]
fn every_session_counts_once_under_every_switch_that_shows_its_record() {
    let all: &[&[(&str, &str)]] = &[
        &[],
        &[("open_sessions", "after_end")],
        &[("visibility_delay_s", "240"), ("order", "oldest")],
        &[("visibility_delay_s", "2400"), ("open_sessions", "after_end"), ("transaction_id", "absent")],
        &[("transaction_id", "absent"), ("desktop_id", "absent"), ("end_time", "null")],
        &[("rtt", "absent"), ("end_time", "empty")],
        &[("limit_cap", "100"), ("insert_between_pages", "yes"), ("user_domain", "local.com")],
    ];
    let subjects = busy(20, 7);
    // A project holds more than what is configured.
    let (mine, _) = subjects.split_at(14);
    std::thread::scope(|scope| {
        for switches in all {
            let subjects = &subjects;
            scope.spawn(move || {
                let page = play(switches, subjects, "", &names(mine), never);
                let expected = of_world(mine, !switches.contains(&("rtt", "absent")));
                assert!(expected.setup.0 > 40 && expected.failures.len() == 4, "{expected:?} is no test");
                assert!(expected.lasted.0 > expected.setup.0, "some end that began before: {expected:?}");
                assert_eq!(of_page(&page, "desks"), expected, "{switches:?}");
            });
        }
    });
}

#[test]
fn users_sessions_count_with_and_without_a_domain_and_on_records_alone() {
    let subjects = busy(12, 11);
    let users: Vec<String> = subjects.iter().take(6).map(|subject| subject.user.clone()).collect();
    let expected = of_world(&subjects[..6], true);
    for (switches, keys) in [
        (&[("user_domain", "local.com")][..], "    subject: user\n"),
        (&[], "    subject: user\n    records_only: true\n"),
    ] {
        let page = play(switches, &subjects, keys, &users, never);
        assert_eq!(of_page(&page, "desks"), expected, "{keys}");
    }
}

#[test]
fn what_fails_meanwhile_delays_counts_and_loses_none() {
    let subjects = busy(10, 13);
    let expected = of_world(&subjects, true);
    let capped: &[(&str, &str)] = &[("limit_cap", "100"), ("insert_between_pages", "yes")];
    // At first nothing can be read; then an outage longer than what a pass reads at once.
    let page = play(capped, &subjects, "", &names(&subjects), |minute, _| {
        minute < 25 || (40..130).contains(&minute)
    });
    assert_eq!(of_page(&page, "desks"), expected);
    // Every third request is lost, in the midst of passes too.
    let page = play(capped, &subjects, "", &names(&subjects), |_, number| number % 3 == 0);
    assert_eq!(of_page(&page, "desks"), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_worlds_and_outages_are_counted_to_the_last_session(
        seed in any::<u64>(),
        outages in prop::collection::vec((0_i64..150, 1_i64..30), 0..4),
        delay in 0_u32..900,
    ) {
        let subjects = busy(6, seed);
        let delay = delay.to_string();
        let switches = [("visibility_delay_s", delay.as_str())];
        let lost = move |minute: i64, _| outages.iter().any(|(from, long)| (*from..from + long).contains(&minute));
        let page = play(&switches, &subjects, "", &names(&subjects), lost);
        prop_assert_eq!(of_page(&page, "desks"), of_world(&subjects, true));
    }
}
