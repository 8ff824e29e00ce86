//! For tests of both products: an account that a simulated API knows, and subjects of its world.

use std::sync::Arc;

use super::{Account, Address, Api, Credentials};
use crate::config::Secret;
use crate::domain::Platform;
use crate::providers::sim::{SimOptions, SimReply, SimSession, Subject};

/// 2026-01-15T08:40:00Z.
pub const NOW_MS: i64 = 1_768_466_400_000;
/// What no message may hold.
pub const SECRET: &str = "canary-secret/01+Qw=";
pub const TOKEN: &str = "canaryCAIS+/==&x=1%2B~";
/// An id with every letter that encoders differ about.
pub const ODD_ID: &str = "张三 o'neil+a*b~c/d=e&f@h.com:😀%7E(!)@@@1";

/// Options with a key that belongs to [`SECRET`].
pub fn options() -> SimOptions {
    SimOptions { key_id: "AK1".into(), secret: SECRET.into(), ..SimOptions::default() }
}

/// An API that signs with the key and token of these options and this secret.
pub fn api(options: &SimOptions, secret: &str, version: &'static str) -> Api {
    let token = options.token.clone().map(Secret::new);
    let credentials = Credentials::new(Secret::new(options.key_id.clone()), Secret::new(secret), token)
        .unwrap_or_else(|(key, words)| panic!("{key} {words}"));
    let account = Arc::new(Account::fixed("cn-shanghai", credentials));
    Api::new(account, Address::configured("http://127.0.0.1:18080").expect("an address"), version)
}

/// A subject with a session for each start, in seconds from [`NOW_MS`]; all last for an hour from there.
pub fn subject(id: &str, starts_s: &[i64]) -> Subject {
    let session = |(n, start_s): (usize, &i64)| SimSession {
        id: n as u64 + 1,
        start_ms: NOW_MS + start_s * 1000,
        setup_ms: 0,
        end_ms: NOW_MS + 3_600_000,
        platform: Platform::Other,
        network_rtt_ms: 10,
        e2e_rtt_ms: 20,
        failure: None,
    };
    let sessions = starts_s.iter().enumerate().map(session).collect();
    Subject { id: id.into(), user: String::new(), sessions }
}

/// A reply of this status and body.
pub fn reply(status: u16, body: &str) -> SimReply {
    SimReply { action: "", status, headers: vec![], body: body.as_bytes().to_vec() }
}
