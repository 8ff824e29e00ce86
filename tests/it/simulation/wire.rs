//! The network of a history: each request reaches the simulator's core after a while on virtual time, and its outcome comes
//! back after another. Everything that went over it is kept for the judge.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use presence_exporter::domain::Moment;
use presence_exporter::ports::{
    BoxFuture, Clock, Network, Outbound, Request, Response, Transport, TransportError,
};
use presence_exporter::providers::sim::SimRequest;
use presence_exporter::simulator::Core;

use crate::virtual_time::VirtualClock;

/// The port of the first server; the next one's is one higher.
const FIRST_PORT: u16 = 10_001;

/// One request on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The server's number.
    pub server: usize,
    pub sent: Moment,
    /// When the server dealt with it, by its own clock in Unix milliseconds too.
    pub handled: Option<(Moment, i64)>,
    /// When the client had its outcome.
    pub ended: Option<Moment>,
    pub provider: &'static str,
    pub action: &'static str,
    /// What was done to it on purpose.
    pub fault: Option<&'static str>,
    pub status: Option<u16>,
    /// Whether a complete and untouched good answer came of it: only such is evidence.
    pub good: bool,
    /// How long the provider asked to wait.
    pub wait: Option<Duration>,
}

/// All that went over the wire.
#[derive(Debug, Default)]
pub struct Log {
    /// In the order of sending.
    pub calls: Vec<Call>,
    /// Numbers of calls, in the order of their ends.
    pub ends: Vec<usize>,
    under_way: Vec<usize>,
    /// The most requests that were under way at once, for each server.
    pub most_under_way: Vec<usize>,
}

pub struct Wire {
    clock: Arc<VirtualClock>,
    core: Mutex<Core>,
    latency_ms: (u64, u64),
    rng: Mutex<Rng>,
    log: Mutex<Log>,
}

impl Wire {
    pub fn new(clock: Arc<VirtualClock>, core: Core, latency_ms: (u64, u64), seed: u64) -> Arc<Self> {
        let servers = core.clouds().len();
        let log = Log { under_way: vec![0; servers], most_under_way: vec![0; servers], ..Log::default() };
        let rng = Mutex::new(Rng::with_seed(seed));
        Arc::new(Self { clock, core: Mutex::new(core), latency_ms, rng, log: Mutex::new(log) })
    }

    /// Where each cloud is.
    pub fn endpoints(clouds: usize) -> Vec<String> {
        (0..clouds).map(|number| format!("http://127.0.0.1:{}", usize::from(FIRST_PORT) + number)).collect()
    }

    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap()
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn latency(&self) -> Duration {
        let (from, to) = self.latency_ms;
        let micros = self.rng.lock().unwrap().u64(from * 1000..=to.max(from) * 1000);
        Duration::from_micros(micros)
    }

    fn leave(&self, server: usize) -> usize {
        let mut log = self.log();
        log.under_way[server] += 1;
        log.most_under_way[server] = log.most_under_way[server].max(log.under_way[server]);
        log.calls.push(Call {
            server,
            sent: self.clock.now(),
            handled: None,
            ended: None,
            provider: "",
            action: "",
            fault: None,
            status: None,
            good: false,
            wait: None,
        });
        log.calls.len() - 1
    }

    fn handle(
        &self,
        number: usize,
        request: Request,
        timeout: Duration,
        body_limit: usize,
    ) -> (Duration, Result<Response, TransportError>) {
        let (mut parts, body) = request.into_parts();
        if let Some(host) = parts.uri.authority() {
            let host = http::HeaderValue::from_str(host.as_str()).unwrap();
            parts.headers.entry(http::header::HOST).or_insert(host);
        }
        let received = SimRequest {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
            headers: &parts.headers,
            body: &body,
        };
        let now = self.clock.now();
        let mut core = self.core();
        let mut log = self.log();
        let call = &mut log.calls[number];
        let outcome = core.handle(now, call.server, 1, &received);
        let entry = *core.record().entries().last().expect("it keeps the newest");
        call.handled = Some((now, core.server_ms(now)));
        (call.provider, call.action, call.fault) = (entry.provider, entry.action, entry.fault);
        let (delay, result) = outcome.as_seen(timeout, body_limit);
        if let Ok(response) = &result {
            call.status = Some(response.status().as_u16());
            let untouched = matches!(call.fault, None | Some("slow" | "drip"));
            call.good = untouched && response.status().is_success() && !is_envelope_error(response.body());
            call.wait = wait(response);
        }
        (delay, result)
    }

    fn end(&self, number: usize, came: bool) {
        let mut log = self.log();
        let call = &mut log.calls[number];
        call.ended = Some(self.clock.now());
        call.good &= came;
        if !came {
            (call.status, call.wait) = (None, None);
        }
        let server = call.server;
        log.under_way[server] -= 1;
        log.ends.push(number);
    }
}

/// `OpenIM` and Volcengine tell of errors under a good status.
fn is_envelope_error(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("\"errCode\":").map(|(_, rest)| rest.trim_start());
    code.is_some_and(|code| !code.starts_with('0')) || text.contains("\"Error\":{")
}

fn wait(response: &Response) -> Option<Duration> {
    let number = |name| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    let seconds = number("retry-after").map(Duration::from_secs);
    seconds.or_else(|| number("x-acs-retry-after").map(Duration::from_millis))
}

impl Transport for Wire {
    fn send(
        &self,
        request: Request,
        timeout: Duration,
        body_limit: usize,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let port = request.uri().port_u16().expect("every endpoint has its port");
            let number = self.leave(usize::from(port - FIRST_PORT));
            let deadline = self.clock.now().tick + timeout;
            self.clock.sleep_until((self.clock.now().tick + self.latency()).min(deadline)).await;
            let left = deadline.since(self.clock.now().tick);
            let back = self.latency();
            let (delay, mut result) = self.handle(number, request, left, body_limit);
            let arrives = self.clock.now().tick + delay.saturating_add(back).min(left);
            if arrives >= deadline {
                result = Err(TransportError::Timeout);
            }
            self.clock.sleep_until(arrives).await;
            self.end(number, result.is_ok());
            result
        })
    }
}

/// Everybody goes the same way out; the port tells the server.
pub struct Way(pub Arc<Wire>);

impl Network for Way {
    fn open(&self, _: &Outbound) -> Result<Arc<dyn Transport>, String> {
        Ok(self.0.clone())
    }
}
