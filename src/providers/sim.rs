//! The other side of the wire, as a function: a world, an instant and a request in, a reply out. Sockets, schedules of
//! faults and request records are the simulator's; here stands what a provider's `sim.rs` speaks with it.
//!
//! A provider's simulated API parses the received bytes. It shares [`super::hash`] with the signer and nothing else, so
//! that one mistake cannot cancel itself out.

use std::collections::{BTreeMap, HashMap};

use http::{HeaderMap, Method};

use crate::domain::Platform;

/// A request as received.
#[derive(Debug, Clone, Copy)]
pub struct SimRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as sent, before the question mark.
    pub path: &'a str,
    /// The query as sent, after the question mark.
    pub query: &'a str,
    /// The headers as sent.
    pub headers: &'a HeaderMap,
    /// The body as sent.
    pub body: &'a [u8],
}

impl SimRequest<'_> {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A reply to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimReply {
    /// The action that was asked for, as the provider names it; empty when that could not be told.
    pub action: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// One simulated API. It may keep what a server keeps: nonces, tokens, counters of failed authentications.
pub trait SimApi: Send {
    /// Whether this API answers such a request, where several share one host.
    fn claims(&self, request: &SimRequest<'_>) -> bool;
    /// Checks the request as the provider would, and answers from the world.
    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply;
    /// The provider's own way of saying that something is wrong.
    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply;
    /// The account's keys (beside `cloud` and `endpoint`) that make the exporter talk to this API, as YAML scalars or
    /// flow mappings. `base` is the address it is served at, for keys that name further endpoints.
    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)>;
    /// The source's keys (beside `account`, `provider` and `targets`) that ask for this population.
    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)>;
}

/// Troubles that a provider words itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Too many requests, in the provider's own words, with its own way of saying how long to wait, if it has one.
    Throttled {
        /// Seconds to wait, if the provider is to say so.
        retry_after_s: Option<u32>,
    },
    /// The provider's own internal error.
    ServerError,
    /// An error inside HTTP status 200, where the provider does that; else its internal error.
    ErrorUnder200,
    /// The identity may not ask this.
    Forbidden,
    /// The key, secret or token is refused.
    Unauthorized,
    /// A good status with the right JSON in which a field has another type than the contract says.
    WrongType,
    /// A good status with the right JSON in which a needed field is missing.
    MissingField,
}

/// How a simulated API is set up.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// The access key id (or the user or admin name) that it knows.
    pub key_id: String,
    /// The secret that belongs to it.
    pub secret: String,
    /// The session token, when the key is a temporary one.
    pub token: Option<String>,
    /// Switches by name; a provider's `sim.rs` documents its own.
    pub switches: BTreeMap<String, String>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            key_id: "SIMKEYID0001".into(),
            secret: "simulated-secret-of-no-value".into(),
            token: None,
            switches: BTreeMap::new(),
        }
    }
}

impl SimOptions {
    /// The value of a switch.
    pub fn switch(&self, name: &str) -> Option<&str> {
        self.switches.get(name).map(String::as_str)
    }

    /// The same with a switch set.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.switches.insert(name.into(), value.into());
        self
    }
}

/// Everything that is true in a simulation: for each provider some populations.
#[derive(Debug, Default)]
pub struct World {
    /// The populations, in no particular order.
    pub populations: Vec<Population>,
}

impl World {
    /// The population of this provider and scope.
    pub fn population(&self, provider: &str, scope: &str) -> Option<&Population> {
        self.populations.iter().find(|p| p.provider == provider && p.scope == scope)
    }

    /// Any population of this provider.
    pub fn of_provider<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = &'a Population> {
        self.populations.iter().filter(move |p| p.provider == provider)
    }
}

/// The users, devices or desktops that one instance, app or project holds.
#[derive(Debug)]
pub struct Population {
    /// The provider's name.
    pub provider: &'static str,
    /// The instance, app or project, as the provider identifies it.
    pub scope: String,
    /// Who is in it.
    pub subjects: Vec<Subject>,
    index: HashMap<String, usize>,
}

impl Population {
    /// A population of these subjects.
    pub fn new(provider: &'static str, scope: impl Into<String>, subjects: Vec<Subject>) -> Self {
        let index = subjects.iter().enumerate().map(|(n, s)| (s.id.clone(), n)).collect();
        Self { provider, scope: scope.into(), subjects, index }
    }

    /// The subject with this id.
    pub fn find(&self, id: &str) -> Option<&Subject> {
        self.index.get(id).map(|&n| &self.subjects[n])
    }
}

/// One user, device or desktop with everything that ever happens to it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The id that it is asked by.
    pub id: String,
    /// For a desktop: the user that it is assigned to. Else empty.
    pub user: String,
    /// Its sessions, by start; they may overlap. Failed attempts among them.
    pub sessions: Vec<SimSession>,
}

impl Subject {
    /// The sessions that stand at `now_ms`: set up, not ended, not failed.
    pub fn open(&self, now_ms: i64) -> impl Iterator<Item = &SimSession> {
        self.sessions.iter().filter(move |session| session.is_open(now_ms))
    }

    /// Whether it is online.
    pub fn is_online(&self, now_ms: i64) -> bool {
        self.open(now_ms).next().is_some()
    }
}

/// One session (or failed attempt) of a subject. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub struct SimSession {
    /// Unique in the world; connection ids are made of it.
    pub id: u64,
    /// When the connection was begun.
    pub start_ms: i64,
    /// How long its setting up took.
    pub setup_ms: i64,
    /// When it ended or will end.
    pub end_ms: i64,
    /// What the client runs on.
    pub platform: Platform,
    /// Network round-trip time at its start.
    pub network_rtt_ms: u32,
    /// End-to-end round-trip time at its start.
    pub e2e_rtt_ms: u32,
    /// Why it never was set up, if so.
    pub failure: Option<&'static str>,
}

impl SimSession {
    /// Whether it stands at `now_ms`.
    pub fn is_open(&self, now_ms: i64) -> bool {
        self.failure.is_none() && self.start_ms + self.setup_ms <= now_ms && now_ms < self.end_ms
    }

    /// The network round-trip time at `now_ms`: wanders slowly around the first value, the same for the same instant.
    pub fn network_rtt_at(&self, now_ms: i64) -> u32 {
        wander(self.network_rtt_ms, self.id, now_ms)
    }

    /// The end-to-end round-trip time at `now_ms`.
    pub fn e2e_rtt_at(&self, now_ms: i64) -> u32 {
        wander(self.e2e_rtt_ms, self.id.rotate_left(7), now_ms)
    }
}

/// A value that drifts by up to a quarter, one step a minute.
fn wander(base: u32, salt: u64, now_ms: i64) -> u32 {
    let step = now_ms.div_euclid(60_000).unsigned_abs();
    let mixed = (salt ^ step.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let swing = i64::try_from(mixed >> 48).expect("16 bits") - 0x8000;
    let moved = i64::from(base) + i64::from(base) * swing / 0x2_0000;
    u32::try_from(moved.max(1)).unwrap_or(base)
}
