//! The simulated servers as a function: an instant and a request in, an outcome out. Sockets (`server`) and a
//! simulation in virtual time call the same function.
//!
//! It keeps what servers keep (the APIs' own state, a rate limit, a schedule of faults, a record) and does nothing by
//! itself: no clock, no socket, no waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::Options;
use super::faults::{Asked, Incident, Kind, Schedule};
use super::record::{Entry, Record};
use crate::domain::{Moment, Tick};
use crate::ports::{Response, TransportError};
use crate::providers::ProviderKind;
use crate::providers::sim::{Population, SimApi, SimReply, SimRequest, Trouble, World};

/// The stretch of time over which the rate limit counts.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The fault that a record names when the rate limit struck.
pub const OVER_LIMIT: &str = "rate-limit";

/// A reply, and what happens to it on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the server has to say, `Date` included.
    pub reply: SimReply,
    /// How long it takes before it says anything.
    pub delay: Duration,
    /// How its words arrive.
    pub delivery: Delivery,
}

/// How a reply arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As it should.
    Whole,
    /// In drops, the last one after this long.
    Drip(Duration),
    /// So many bytes of the body, then the end, though more were promised.
    Truncated(usize),
    /// So many bytes of the body, then a reset.
    ResetAfter(usize),
    /// Nothing but a reset.
    Reset,
    /// The head, and then so many bytes of something else than the reply's body, in chunks.
    Giant(u64),
    /// Nothing, for as long as the client has patience.
    Hang,
}

impl Outcome {
    fn whole(reply: SimReply) -> Self {
        Self { reply, delay: Duration::ZERO, delivery: Delivery::Whole }
    }

    /// What a client with this patience and this limit on bodies gets, and after how long: for simulations without
    /// sockets.
    pub fn as_seen(
        self,
        timeout: Duration,
        body_limit: usize,
    ) -> (Duration, Result<Response, TransportError>) {
        let broke = |delay| (delay, Err(TransportError::Unreachable("the connection was reset".into())));
        let (after, size) = match self.delivery {
            Delivery::Hang => (Duration::MAX, 0),
            Delivery::Drip(over) => (self.delay.saturating_add(over), self.reply.body.len() as u64),
            Delivery::Giant(bytes) => (self.delay, bytes),
            _ => (self.delay, self.reply.body.len() as u64),
        };
        if after >= timeout {
            return (timeout, Err(TransportError::Timeout));
        }
        match self.delivery {
            Delivery::Reset | Delivery::ResetAfter(_) | Delivery::Truncated(_) => broke(after),
            _ if size > body_limit as u64 => (after, Err(TransportError::TooLarge)),
            Delivery::Giant(_) => {
                let body = GIANT_BYTE.repeat(usize::try_from(size).unwrap_or(body_limit));
                (after, Ok(response(&SimReply { body, ..self.reply })))
            }
            _ => (after, Ok(response(&self.reply))),
        }
    }
}

/// What giants consist of.
pub(super) const GIANT_BYTE: &[u8] = b" ";

/// A reply as an HTTP response. One that cannot be said in HTTP is a mistake of a `sim.rs`, and says so as status 500.
pub(super) fn response(reply: &SimReply) -> Response {
    let mut builder = http::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(*name, value);
    }
    builder.body(Bytes::copy_from_slice(&reply.body)).unwrap_or_else(|error| {
        let mut failed = Response::new(Bytes::from(format!("the simulated reply is no HTTP: {error}")));
        *failed.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}

/// The simulated servers: one for each cloud, in the order of the registry.
pub struct Core {
    world: Arc<World>,
    servers: Vec<Server>,
    faults: Schedule,
    record: Arc<Record>,
    clock_offset_ms: i64,
    rate_limit: Option<u32>,
    seed: u64,
}

/// What answers on one listener: the products of one cloud.
struct Server {
    cloud: &'static str,
    apis: Vec<(&'static str, Box<dyn SimApi>)>,
    admitted: VecDeque<Tick>,
}

impl Core {
    /// Servers for these providers over this world. The schedule of faults begins now.
    pub fn new(
        options: &Options,
        kinds: &[&'static dyn ProviderKind],
        world: Arc<World>,
        now: Moment,
    ) -> Self {
        let mut servers: Vec<Server> = Vec::new();
        for kind in kinds {
            let cloud = kind.cloud().name;
            let api = kind.simulate(options.api.get(kind.name()).cloned().unwrap_or_default());
            let number = servers.iter().position(|server| server.cloud == cloud).unwrap_or_else(|| {
                servers.push(Server { cloud, apis: Vec::new(), admitted: VecDeque::new() });
                servers.len() - 1
            });
            servers[number].apis.push((kind.name(), api));
        }
        Self {
            world,
            servers,
            faults: Schedule::new(options.faults.clone(), now.tick, options.scenario.seed),
            record: Arc::new(Record::new(options.record_limit)),
            clock_offset_ms: options.clock_offset_ms,
            rate_limit: options.rate_limit,
            seed: options.scenario.seed,
        }
    }

    /// The clouds that are served, in the order of the servers' numbers.
    pub fn clouds(&self) -> Vec<&'static str> {
        self.servers.iter().map(|server| server.cloud).collect()
    }

    /// What is true in this simulation.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Every request so far.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The servers' own time, in Unix milliseconds: theirs may be wrong.
    pub fn server_ms(&self, now: Moment) -> i64 {
        now.unix_ms.saturating_add(self.clock_offset_ms)
    }

    /// Replaces the schedule of faults by one that begins now.
    pub fn set_faults(&mut self, incidents: Vec<Incident>, now: Moment) {
        self.faults = Schedule::new(incidents, now.tick, self.seed);
    }

    /// Sets or lifts the limit on requests in any one second of each server.
    pub fn set_rate_limit(&mut self, limit: Option<u32>) {
        self.rate_limit = limit;
    }

    /// Sets the servers' clocks wrong by so many milliseconds, or right again.
    pub fn set_clock_offset_ms(&mut self, offset: i64) {
        self.clock_offset_ms = offset;
    }

    /// Deals with one complete request to server number `server` (one of [`Core::clouds`]; a larger number is taken for
    /// the last), and records it.
    pub fn handle(
        &mut self,
        now: Moment,
        server: usize,
        connection: u64,
        request: &SimRequest<'_>,
    ) -> Outcome {
        let now_ms = self.server_ms(now);
        let Self { world, servers, faults, record, rate_limit, .. } = self;
        let number = server.min(servers.len().saturating_sub(1));
        let Some(server) = servers.get_mut(number) else {
            return Outcome::whole(page(404, "text/plain", "nothing is simulated here\n"));
        };
        let cloud = server.cloud;
        let over = rate_limit.is_some_and(|limit| !server.admit(now.tick, limit));
        let (provider, api) = server.api(request);
        let (mut outcome, fault) = if over {
            let trouble = Trouble::Throttled { retry_after_s: None };
            (Outcome::whole(api.trouble(trouble, request)), Some(OVER_LIMIT))
        } else {
            let kind = struck(faults, now.tick, cloud, provider, api, request);
            (carry_out(kind, api, world, now_ms, request), kind.map(Kind::name))
        };
        date(&mut outcome.reply, now_ms);
        let silent = matches!(outcome.delivery, Delivery::Reset | Delivery::Hang);
        let status = (!silent).then_some(outcome.reply.status);
        let action = outcome.reply.action;
        record.push(Entry { at: now, cloud, provider, action, status, fault, connection });
        outcome
    }

    /// The keys of this cloud's account, those of its products together, each once.
    pub(super) fn account_keys(&self, cloud: &str, base: &str) -> Vec<(&'static str, String)> {
        let apis = self.servers.iter().filter(|server| server.cloud == cloud).flat_map(|server| &server.apis);
        let mut keys: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in apis.flat_map(|(_, api)| api.account_keys(base)) {
            if !keys.iter().any(|(known, _)| *known == name) {
                keys.push((name, value));
            }
        }
        keys
    }

    /// The cloud and the keys of the source that asks for this population.
    pub(super) fn source_keys(
        &self,
        population: &Population,
    ) -> Option<(&'static str, Vec<(&'static str, String)>)> {
        self.servers.iter().find_map(|server| {
            let (_, api) = server.apis.iter().find(|(provider, _)| *provider == population.provider)?;
            Some((server.cloud, api.source_keys(population)))
        })
    }
}

impl Server {
    /// The product that answers such a request; the first one when none claims it.
    fn api(&mut self, request: &SimRequest<'_>) -> (&'static str, &mut dyn SimApi) {
        let index = self.apis.iter().position(|(_, api)| api.claims(request)).unwrap_or(0);
        let (provider, api) = &mut self.apis[index];
        (provider, api.as_mut())
    }

    /// Whether one more request keeps to the limit. Refused ones do not count, so that a client that overdoes it gets
    /// as much as one that does not.
    fn admit(&mut self, now: Tick, limit: u32) -> bool {
        while self.admitted.front().is_some_and(|first| now.since(*first) >= RATE_WINDOW) {
            self.admitted.pop_front();
        }
        let admitted = self.admitted.len() < limit as usize;
        if admitted {
            self.admitted.push_back(now);
        }
        admitted
    }
}

/// What is to go wrong with this request. Its action is asked of the API's own error, which changes nothing there.
fn struck(
    faults: &mut Schedule,
    now: Tick,
    cloud: &str,
    provider: &str,
    api: &mut dyn SimApi,
    request: &SimRequest<'_>,
) -> Option<Kind> {
    if faults.is_empty() {
        return None;
    }
    let action = api.trouble(Trouble::ServerError, request).action;
    faults.decide(now, &Asked { cloud, provider, action })
}

/// What becomes of a request. Where the answer is lost or spoilt on its way, the server has dealt with the request all
/// the same: its nonce is used, its token given out.
fn carry_out(
    kind: Option<Kind>,
    api: &mut dyn SimApi,
    world: &World,
    now_ms: i64,
    request: &SimRequest<'_>,
) -> Outcome {
    if let Some(Kind::Worded(trouble)) = kind {
        return Outcome::whole(api.trouble(trouble, request));
    }
    let mut outcome = Outcome::whole(api.answer(world, now_ms, request));
    let instead = |reply: SimReply| SimReply { action: outcome.reply.action, ..reply };
    match kind {
        None | Some(Kind::Worded(_)) => {}
        Some(Kind::Slow(delay)) => outcome.delay = delay,
        Some(Kind::Drip(over)) => outcome.delivery = Delivery::Drip(over),
        Some(Kind::Truncated) => outcome.delivery = Delivery::Truncated(outcome.reply.body.len() / 2),
        Some(Kind::ResetInBody) => outcome.delivery = Delivery::ResetAfter(outcome.reply.body.len() / 2),
        Some(Kind::Reset) => outcome.delivery = Delivery::Reset,
        Some(Kind::Hang) => outcome.delivery = Delivery::Hang,
        Some(Kind::Giant(bytes)) => outcome.delivery = Delivery::Giant(bytes),
        Some(Kind::Html) => outcome.reply = instead(page(502, "text/html", BAD_GATEWAY)),
        Some(Kind::NotJson) => {
            outcome.reply = instead(page(200, "application/json", "upstream said: ok\n"));
        }
    }
    outcome
}

const BAD_GATEWAY: &str = "<html>\n<head><title>502 Bad Gateway</title></head>\n\
    <body><h1>502 Bad Gateway</h1><hr>a gateway in front of the simulated API</body>\n</html>\n";

fn page(status: u16, content_type: &str, body: &str) -> SimReply {
    SimReply {
        action: "",
        status,
        headers: vec![("content-type", content_type.into())],
        body: body.as_bytes().to_vec(),
    }
}

/// Adds the servers' own date, unless the API gave one.
fn date(reply: &mut SimReply, now_ms: i64) {
    if reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date")) {
        return;
    }
    // A time that no calendar holds goes without a date, as it would on a server that lost its mind so far.
    let text = Timestamp::from_millisecond(now_ms)
        .and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time));
    if let Ok(text) = text {
        reply.headers.push(("date", text));
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
