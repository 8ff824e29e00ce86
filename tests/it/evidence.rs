//! What each provider's answer is taken as evidence of, and for how long: answer × age → state, the cases as data in
//! `tests/evidence/<provider>.json`.
//!
//! Each answer goes the whole way, from the wire to the row: the exporter asks once on virtual time, then nobody asks any
//! more, and the row is looked at as it ages.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use presence_exporter::daemon::Exporter;
use presence_exporter::domain::presence::Presence;
use presence_exporter::domain::{Moment, UnknownReason};
use presence_exporter::ports::{
    BoxFuture, Clock, Entropy, Env, Network, Outbound, Ports, Request, Response, Transport, TransportError,
};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::configure;
use serde_json::Value;
use tokio::sync::watch;

use crate::virtual_time::VirtualClock;

/// 2026-03-01T02:03:04Z
const NOW_MS: i64 = 1_772_330_584_000;

/// How long an answer counts in every case.
const MAX_AGE: Duration = Duration::from_secs(300);

/// How long the exporter may ask: the first round, its follow-ups and their retries, and not the second round.
const ASKING: Duration = Duration::from_secs(50);

/// What each provider's account and source need beside the common keys, and the target that the cases call TARGET.
const SETTINGS: [(&str, &str, &str, &str, &str); 5] = [
    (
        "alibaba_smartag",
        "alibaba",
        "region: cn-shanghai, access_key_id: k, access_key_secret: s",
        "instance: sag-1",
        "alice",
    ),
    (
        "alibaba_mqtt",
        "alibaba",
        "region: cn-shanghai, access_key_id: k, access_key_secret: s",
        "instance: post-cn-1",
        "GID_a@@@1",
    ),
    ("volcengine_rtc", "volcengine", "access_key_id: k, access_key_secret: s", "app_id: 123456", "10001"),
    ("openim", "openim", "admin_user_id: admin, token: t", "", "u_1001"),
    (
        "huawei_workspace",
        "huawei",
        "region: cn-north-4, project_id: 0e69423d4400f4a82f67c0059a1e4cc8, access_key_id: k, access_key_secret: s",
        "lookback: 24h",
        "JY011",
    ),
];

/// Gives the first answer of the case that fits the request, and notes when that left.
#[derive(Clone)]
struct Canned {
    case: Value,
    clock: Arc<VirtualClock>,
    sent: Arc<Mutex<Vec<Moment>>>,
}

impl Transport for Canned {
    fn send(
        &self,
        request: Request,
        _: Duration,
        _: usize,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        let action = request.headers().get("x-acs-action").and_then(|value| value.to_str().ok());
        let asked = format!("{} {}", request.uri(), action.unwrap_or_default());
        self.sent.lock().unwrap().push(self.clock.now());
        let answers = self.case["answers"].as_array().expect("a case has answers");
        let answer = answers.iter().find(|answer| asked.contains(answer["to"].as_str().unwrap()));
        let answer = answer.unwrap_or_else(|| panic!("nothing answers {asked} in {}", self.case["case"]));
        let body = answer["text"].as_str().map_or_else(|| answer["body"].to_string(), str::to_owned);
        let status = answer["status"].as_u64().unwrap_or(200);
        let response = http::Response::builder().status(u16::try_from(status).unwrap());
        Box::pin(async move { Ok(response.body(Bytes::from(body)).unwrap()) })
    }
}

impl Network for Canned {
    fn open(&self, _: &Outbound) -> Result<Arc<dyn Transport>, String> {
        Ok(Arc::new(self.clone()))
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

/// What the row says when asking has ended, when the answer is just as old as may be, and a microsecond later.
struct Aging {
    fresh: Presence,
    at_max_age: Presence,
    past_max_age: Presence,
}

fn play(provider: &str, case: &Value) -> Aging {
    let (_, cloud, account, source, target) =
        SETTINGS.iter().find(|(name, ..)| *name == provider).expect("every provider has settings here");
    let keys = [*source, case["keys"].as_str().unwrap_or_default()];
    let keys: Vec<&str> = keys.into_iter().filter(|keys| !keys.is_empty()).collect();
    let yaml = format!(
        "accounts: {{main: {{cloud: {cloud}, endpoint: \"http://127.0.0.1:1\", {account}}}}}\n\
         sources: {{it: {{account: main, provider: {provider}, interval: 1m, max_age: {}s, {}targets: [\"{target}\"]}}}}\n",
        MAX_AGE.as_secs(),
        keys.iter().fold(String::new(), |all, keys| all + keys + ", "),
    );
    let case: Value = serde_json::from_str(&case.to_string().replace("TARGET", target)).unwrap();
    let clock = VirtualClock::new(NOW_MS);
    let env: Arc<dyn Env> = Arc::new(Nothing);
    let configuration = configure(&yaml, &env, Path::new(""), 0).unwrap_or_else(|problems| {
        panic!("{}\n{yaml}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let sent = Arc::<Mutex<Vec<Moment>>>::default();
    let row = configuration.sources[0].roster.row(0);
    let ports = Ports {
        network: Arc::new(Canned { case, clock: clock.clone(), sent: sent.clone() }),
        clock: clock.clone(),
        entropy: Arc::new(Nothing),
        env,
    };
    let exporter = Exporter::assemble(configuration, ports).unwrap();
    let store = exporter.store();
    let (stop, stopped) = watch::channel(false);
    let timer = async {
        clock.sleep_until(clock.now().tick + ASKING).await;
        stop.send_replace(true);
    };
    let both = futures_util::future::join(exporter.poll(stopped), timer);
    clock.run(ASKING * 2, both).expect("polling stops in time");
    let (state, snapshot) = (store.state(row).unwrap(), store.snapshot());
    let policy = snapshot.sources[0].spec.policy;
    let view = |now| state.view(now, &policy).presence;
    // An answer is as old as its question's first request, which is one of those that were sent.
    let sent = sent.lock().unwrap().clone();
    let counts_until = sent.iter().map(|sent| sent.plus(MAX_AGE)).filter(|&at| view(at) == view(clock.now()));
    let last = counts_until.max_by_key(|at| at.tick).expect("something was asked");
    Aging {
        fresh: view(clock.now()),
        at_max_age: view(last),
        past_max_age: view(last.plus(Duration::from_micros(1))),
    }
}

fn presence(words: &str) -> Presence {
    match words.split_once(':') {
        None if words == "online" => Presence::Online,
        None if words == "offline" => Presence::Offline,
        Some(("unknown", reason)) => Presence::Unknown(
            UnknownReason::all().find(|known| known.as_str() == reason).expect("a reason of the closed list"),
        ),
        _ => panic!("{words:?} is neither online, offline nor unknown:reason"),
    }
}

fn check(provider: &str) -> Vec<String> {
    let path = format!("tests/evidence/{provider}.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let wanted = presence(case["says"].as_str().unwrap());
        let aged = match wanted {
            Presence::Unknown(_) => wanted,
            _ => Presence::Unknown(UnknownReason::Expired),
        };
        let is = play(provider, case);
        if (is.fresh, is.at_max_age, is.past_max_age) != (wanted, wanted, aged) {
            wrong.push(format!(
                "{}: {:?}, {:?}, {:?}",
                case["case"], is.fresh, is.at_max_age, is.past_max_age
            ));
        }
    }
    for kind in ["online", "offline", "unknown:"] {
        let shown = cases.iter().any(|case| case["says"].as_str().unwrap().starts_with(kind));
        assert!(shown, "{path} has no answer that says {kind}");
    }
    wrong
}

#[test]
fn every_provider_has_a_table_of_evidence() {
    let wrong: Vec<String> = REGISTRY.iter().flat_map(|kind| check(kind.name())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
