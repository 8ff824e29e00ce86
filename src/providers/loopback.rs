//! For tests in providers: a gate that hands each request straight to a simulated API, with no socket and no waiting.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::http::{Gate, Net, Permit};
use super::sim::{SimApi, SimReply, SimRequest, World};
use super::{Action, Answer, Failure, Provider, Question};
use crate::domain::{Fault, Moment, Roster, TargetLabels, Tick};
use crate::ports::{BoxFuture, Clock, Entropy, Request, Response, TransportError};

/// What may be done to a reply on its way: replace it, or lose it.
type Meddle = Box<dyn FnMut(u32, SimReply) -> Result<SimReply, TransportError> + Send>;

/// A simulated API, its world and the time, behind the ports.
pub struct Loopback {
    api: Mutex<Box<dyn SimApi>>,
    world: World,
    now: Mutex<Moment>,
    meddle: Mutex<Option<Meddle>>,
    sent: Mutex<Vec<&'static str>>,
    failed: Mutex<Vec<Fault>>,
    nonce: Mutex<u64>,
}

impl Loopback {
    /// A loopback at this Unix time.
    pub fn new(api: Box<dyn SimApi>, world: World, unix_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            api: Mutex::new(api),
            world,
            now: Mutex::new(Moment { tick: Tick::from_micros(1_000_000), unix_ms }),
            meddle: Mutex::new(None),
            sent: Mutex::default(),
            failed: Mutex::default(),
            nonce: Mutex::new(1),
        })
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(by);
    }

    /// Meddles with every reply from now on; the closure is told the request's number, from 0.
    pub fn meddle(
        &self,
        with: impl FnMut(u32, SimReply) -> Result<SimReply, TransportError> + Send + 'static,
    ) {
        *self.meddle.lock().unwrap() = Some(Box::new(with));
    }

    /// The actions that the API was asked for so far, as it named them.
    pub fn sent(&self) -> Vec<&'static str> {
        self.sent.lock().unwrap().clone()
    }

    /// The faults that requests were judged to be.
    pub fn faults(&self) -> Vec<Fault> {
        self.failed.lock().unwrap().clone()
    }

    /// Asks one question through a new way out.
    pub fn ask(
        self: &Arc<Self>,
        provider: &dyn Provider,
        question: Question<'_>,
    ) -> (Result<Answer, Failure>, super::Receipt) {
        let net = Net::new(self.clone(), self.clone(), self.clone(), Duration::from_secs(10));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let answer = runtime.block_on(provider.ask(question, &net));
        (answer, net.receipt())
    }
}

/// A roster of these ids.
pub fn roster(ids: &[&str]) -> Roster {
    let mut roster = Roster::new(0, 0);
    for id in ids {
        assert!(roster.push(id, TargetLabels::default()), "{id} stands twice");
    }
    roster
}

impl Gate for Loopback {
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit> {
        Box::pin(async move { Permit { action } })
    }

    fn send(
        &self,
        _: Permit,
        request: Request,
        _: Duration,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
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
            let now_ms = self.now.lock().unwrap().unix_ms;
            let mut reply = self.api.lock().unwrap().answer(&self.world, now_ms, &received);
            let number = u32::try_from(self.sent.lock().unwrap().len()).unwrap();
            self.sent.lock().unwrap().push(reply.action);
            if let Some(meddle) = self.meddle.lock().unwrap().as_mut() {
                reply = meddle(number, reply)?;
            }
            let mut response = http::Response::builder().status(reply.status);
            for (name, value) in &reply.headers {
                response = response.header(*name, value);
            }
            Ok(response.body(Bytes::from(reply.body)).unwrap())
        })
    }

    fn failed(&self, _: &'static Action, fault: Fault) {
        self.failed.lock().unwrap().push(fault);
    }
}

impl Clock for Loopback {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap()
    }

    fn sleep_until(&self, _: Tick) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Entropy for Loopback {
    fn bits(&self) -> u64 {
        let mut nonce = self.nonce.lock().unwrap();
        *nonce += 1;
        *nonce
    }
}
