//! What the product itself sends for a question, through the same door as the daemon: a configuration, a source's provider
//! and a way out that keeps every request.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use presence_exporter::domain::{Fault, Moment, Target, Tick};
use presence_exporter::ports::{BoxFuture, Clock, Entropy, Request, Response, TransportError};
use presence_exporter::providers::configure::{Configuration, configure};
use presence_exporter::providers::http::{Gate, Net, Permit};
use presence_exporter::providers::{Action, Answer, Failure, Question};

use super::captured::Captured;
use crate::env::TestEnv;

/// Answers a request.
type Replier = Box<dyn Fn(&Captured) -> Result<Response, TransportError> + Send + Sync>;

/// A way out that keeps what is sent, at a fixed time and with a fixed nonce.
pub struct Outlet {
    now: Mutex<Moment>,
    nonce: u128,
    halves: Mutex<u32>,
    sent: Mutex<Vec<Captured>>,
    replier: Replier,
}

impl Outlet {
    /// A way out at this Unix time.
    pub fn new(
        unix_ms: i64,
        nonce: u128,
        replier: impl Fn(&Captured) -> Result<Response, TransportError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(Moment { tick: Tick::from_micros(1_000_000), unix_ms }),
            nonce,
            halves: Mutex::default(),
            sent: Mutex::default(),
            replier: Box::new(replier),
        })
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(by);
    }

    /// What was sent so far.
    pub fn sent(&self) -> Vec<Captured> {
        self.sent.lock().unwrap().clone()
    }

    /// Asks the configuration's only source about all its targets: as a batch, or for a listing.
    pub fn ask(self: &Arc<Self>, configuration: &Configuration, as_batch: bool) -> Result<Answer, Failure> {
        let source = &configuration.sources[0];
        let targets: Vec<Target<'_>> = source.roster.iter().collect();
        let views = [source.view()];
        let question = if as_batch { Question::Batch(&targets) } else { Question::Listing(&views) };
        let net = Net::new(self.clone(), self.clone(), self.clone(), Duration::from_secs(10));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(source.provider.ask(question, &net))
    }
}

/// A configuration of one account and one source, given as the inner parts of two flow mappings.
pub fn configured(account: &str, source: &str, targets: &[&str]) -> Configuration {
    let targets = serde_json::to_string(targets).unwrap();
    let text = format!(
        "accounts:\n  a: {{{account}}}\nsources:\n  s: {{account: a, targets: {targets}, {source}}}\n"
    );
    configure(&text, &TestEnv::that_answers_everything().shared(), Path::new("/etc"), 0).unwrap_or_else(
        |problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", problems.join("\n"))
        },
    )
}

/// The first request that a question makes; it gets no answer.
pub fn first_request(configuration: &Configuration, unix_ms: i64, nonce: u128, as_batch: bool) -> Captured {
    let outlet = Outlet::new(unix_ms, nonce, |_| Err(TransportError::Timeout));
    outlet.ask(configuration, as_batch).expect_err("nothing was answered");
    outlet.sent().into_iter().next().expect("a request was sent")
}

/// A text in double quotes, as YAML and JSON write it.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

impl Gate for Outlet {
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
            let uri = request.uri();
            let host = uri.authority().expect("a request has an address").as_str().to_owned();
            let mut headers = vec![("host".to_owned(), host)];
            for (name, value) in request.headers() {
                headers.push((name.to_string(), value.to_str().expect("a header is text").to_owned()));
            }
            let captured = Captured {
                method: request.method().to_string(),
                target: uri.path_and_query().expect("a request has a path").to_string(),
                headers,
                body: request.body().to_vec(),
            };
            self.sent.lock().unwrap().push(captured.clone());
            (self.replier)(&captured)
        })
    }

    fn failed(&self, _: &'static Action, _: Fault) {}
}

impl Clock for Outlet {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap()
    }

    fn sleep_until(&self, _: Tick) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The halves of the nonce in turn, the upper one first.
impl Entropy for Outlet {
    fn bits(&self) -> u64 {
        let mut halves = self.halves.lock().unwrap();
        *halves += 1;
        let half = if *halves % 2 == 1 { self.nonce >> 64 } else { self.nonce & u128::from(u64::MAX) };
        u64::try_from(half).expect("half of the bits")
    }
}
