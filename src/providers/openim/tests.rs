//! The provider against its simulated API, in process.

mod answers;
mod discovery;
mod gateways;
mod refusals;
mod settings;
mod tokens;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::client::Client;
use super::sim::Sim;
use super::*;
use crate::config::Secret;
use crate::domain::{Platform, Roster, Target};
use crate::ports::{BoxFuture, Response, TransportError};
use crate::providers::http::{Gate, Net, Permit};
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{Population, SimReply, SimRequest, SimSession, Subject, Trouble, World};
use crate::providers::{Answer, Provider, Question, Receipt, Step};

const NOW_MS: i64 = 1_767_225_600_000;
const CANARY: &str = "canary-secret";
const RELEASES: [&str; 9] =
    ["v3.0.0", "v3.5.0", "v3.6.0", "v3.7.0", "v3.8.0", "v3.8.1", "v3.8.3", "v3.8.3-patch.16", "main"];

/// A simulated API that a test may reach into while it is being asked.
#[derive(Clone)]
struct Shared(Arc<Mutex<Sim>>);

impl Shared {
    fn new(options: SimOptions) -> Self {
        Self(Arc::new(Mutex::new(Sim::new(options))))
    }

    fn with<T>(&self, with: impl FnOnce(&mut Sim) -> T) -> T {
        with(&mut self.0.lock().unwrap())
    }
}

impl SimApi for Shared {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        self.with(|sim| sim.claims(request))
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        self.with(|sim| sim.answer(world, now_ms, request))
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        self.with(|sim| sim.trouble(trouble, request))
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        self.with(|sim| sim.account_keys(base))
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        self.with(|sim| sim.source_keys(population))
    }
}

fn session(id: u64, platform: Platform) -> SimSession {
    SimSession {
        id,
        start_ms: NOW_MS - 60_000,
        setup_ms: 0,
        end_ms: i64::MAX,
        platform,
        network_rtt_ms: 20,
        e2e_rtt_ms: 30,
        failure: None,
    }
}

fn world_of(subjects: impl IntoIterator<Item = (String, Vec<SimSession>)>) -> World {
    let subjects =
        subjects.into_iter().map(|(id, sessions)| Subject { id, user: String::new(), sessions }).collect();
    World { populations: vec![Population::new(NAME, "", subjects)] }
}

const ODD_ID: &str = "在线 +/%&=*~'()!\"\\é";

fn world() -> World {
    let crowd = (0..20).map(|n| (format!("c{n}"), vec![session(100 + n, Platform::Web)]));
    world_of(crowd.chain([
        ("two".into(), vec![session(1, Platform::Android), session(2, Platform::Windows)]),
        ("gone".into(), vec![]),
        (ODD_ID.into(), vec![session(3, Platform::Harmony)]),
    ]))
}

fn options(server: &str) -> SimOptions {
    SimOptions { key_id: "imAdmin".into(), secret: CANARY.into(), ..SimOptions::default() }
        .with("server", server)
}

fn account(login: Login) -> Arc<Account> {
    Arc::new(Account::new("http://im.example:10002".into(), "imAdmin".into(), login))
}

fn with_secret(secret: &str, api: Api) -> Login {
    Login::Secret(Written::fixed(Secret::new(secret)), api)
}

fn client_with(login: Login) -> Client {
    Client::new(account(login), Mode::Detail)
}

fn client() -> Client {
    client_with(with_secret(CANARY, Api::Auto))
}

fn setup_with(options: SimOptions) -> (Shared, Arc<Loopback>) {
    let shared = Shared::new(options);
    let loopback = Loopback::new(Box::new(shared.clone()), world(), NOW_MS);
    (shared, loopback)
}

fn setup(server: &str) -> (Shared, Arc<Loopback>) {
    setup_with(options(server))
}

fn ask(loopback: &Arc<Loopback>, client: &Client, roster: &Roster) -> (Result<Answer, Failure>, Receipt) {
    let targets: Vec<Target<'_>> = roster.iter().collect();
    loopback.ask(client, Question::Batch(&targets))
}

/// Online and connections of each row, in order.
fn said(answer: &Answer) -> Vec<Result<(bool, Option<u32>), Fault>> {
    answer
        .rows
        .iter()
        .map(|(_, said)| said.as_ref().map(|s| (s.online, s.connections)).map_err(|f| *f))
        .collect()
}

fn good(loopback: &Arc<Loopback>, client: &Client) {
    let (answer, _) = ask(loopback, client, &roster(&["two", "gone", "nobody"]));
    let answer = answer.expect("an answer");
    assert_eq!(said(&answer), [Ok((true, Some(2))), Ok((false, Some(0))), Ok((false, Some(0)))]);
}

fn failure(loopback: &Arc<Loopback>, client: &Client) -> Failure {
    let failure = ask(loopback, client, &roster(&["two"])).0.expect_err("this must fail");
    let shown = format!("{failure:?}");
    assert!(!shown.contains("canary") && !shown.contains("eyJ"), "{shown}");
    failure
}
