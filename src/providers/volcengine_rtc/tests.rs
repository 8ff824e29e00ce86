//! The provider against its simulated API, in process.

mod answers;
mod refusals;
mod settings;
mod simulated;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;

use super::client::Client;
use super::keys::Credentials;
use super::sim::Sim;
use super::*;
use crate::config::Secret;
use crate::domain::{Platform, Roster, Target};
use crate::ports::TransportError;
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{Population, SimReply, SimRequest, SimSession, Subject, Trouble, World};
use crate::providers::{Answer, Failure, Provider, Question, Receipt};

const NOW_MS: i64 = 1_772_330_584_000; // 2026-03-01T02:03:04Z
const CANARY: &str = "canary-secret-0123456789";

fn session(id: u64, start_ms: i64, end_ms: i64, platform: Platform) -> SimSession {
    SimSession {
        id,
        start_ms,
        setup_ms: 0,
        end_ms,
        platform,
        network_rtt_ms: 20,
        e2e_rtt_ms: 30,
        failure: None,
    }
}

fn subject(id: &str, sessions: Vec<SimSession>) -> Subject {
    Subject { id: id.into(), user: String::new(), sessions }
}

fn world() -> World {
    let open = |id, platform| session(id, 0, i64::MAX, platform);
    let subjects = vec![
        subject("10001", vec![open(1, Platform::Android), open(2, Platform::Web)]),
        subject("10002", vec![session(3, 0, NOW_MS, Platform::Ios)]),
        subject("9007199254740993", vec![open(4, Platform::Ios)]),
        subject("9223372036854775807", vec![open(5, Platform::Windows)]),
    ];
    World { populations: vec![Population::new(NAME, "123456", subjects)] }
}

fn options() -> SimOptions {
    SimOptions { secret: CANARY.into(), ..SimOptions::default() }
}

fn credentials() -> Credentials {
    let options = options();
    Credentials {
        access_key_id: Secret::new(options.key_id),
        secret: Secret::new(options.secret),
        session_token: None,
    }
}

fn client_with(credentials: Credentials, app_id: u32) -> Client {
    Client::new("http://127.0.0.1:18080", app_id, Arc::new(Account::fixed(credentials))).expect("an address")
}

fn client() -> Client {
    client_with(credentials(), 123_456)
}

fn loopback_of(options: SimOptions) -> Arc<Loopback> {
    Loopback::new(Box::new(Sim::new(options)), world(), NOW_MS)
}

fn loopback() -> Arc<Loopback> {
    loopback_of(options())
}

fn ask(loopback: &Arc<Loopback>, client: &Client, roster: &Roster) -> (Result<Answer, Failure>, Receipt) {
    let targets: Vec<Target<'_>> = roster.iter().collect();
    loopback.ask(client, Question::Batch(&targets))
}

fn failure(loopback: &Arc<Loopback>, client: &Client) -> Failure {
    let failure = ask(loopback, client, &roster(&["10001"])).0.expect_err("this must fail");
    assert!(!failure.message.contains("canary"), "{}", failure.message);
    assert_eq!(loopback.faults(), [failure.fault], "the gate is told once");
    failure
}

/// Replaces the reply's body and status.
fn meddled(status: u16, body: &'static str) -> Failure {
    let loopback = loopback();
    loopback.meddle(move |_, reply| Ok(SimReply { status, body: body.into(), ..reply }));
    failure(&loopback, &client())
}
