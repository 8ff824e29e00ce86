//! For tests: providers that need no key, whose simulated side says just what the simulator's own tests look for;
//! and a clock that is turned by hand.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Notify;

use crate::config::{AccountSettings, Key, Reader};
use crate::domain::{Moment, Tick};
use crate::ports::{BoxFuture, Clock};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Trouble, World};
use crate::providers::{Action, Cloud, Configured, ProviderKind, Session};

/// A provider of this name in a cloud of this name. Leaked: tests are short.
pub(super) fn kind(name: &'static str, cloud: &'static str) -> &'static dyn ProviderKind {
    let cloud = Box::leak(Box::new(Cloud { name: cloud, keys: &[], requests_per_second: 10.0, open }));
    Box::leak(Box::new(FakeKind { name, cloud }))
}

fn open(_: &Reader<'_>, _: &AccountSettings) -> Option<Session> {
    None
}

struct FakeKind {
    name: &'static str,
    cloud: &'static Cloud,
}

impl ProviderKind for FakeKind {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cloud(&self) -> &'static Cloud {
        self.cloud
    }
    fn keys(&self) -> &'static [Key] {
        &[]
    }
    fn actions(&self) -> &'static [&'static Action] {
        &[]
    }
    fn configure(&self, _: &Reader<'_>, _: &AccountSettings, _: &Session) -> Option<Configured> {
        None
    }
    fn simulate(&self, options: SimOptions) -> Box<dyn SimApi> {
        Box::new(FakeApi { name: self.name, key: options.key_id })
    }
}

/// Claims paths that begin with its name, echoes what it received, and says who is online.
struct FakeApi {
    name: &'static str,
    key: String,
}

fn action(path: &str) -> &'static str {
    if path.ends_with("/List") { "List" } else { "Other" }
}

impl SimApi for FakeApi {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        request.path[1..].starts_with(self.name)
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let online: Vec<&str> = world
            .of_provider(self.name)
            .flat_map(|p| p.subjects.iter().filter(|s| s.is_online(now_ms)).map(|s| s.id.as_str()))
            .collect();
        let body = serde_json::json!({
            "provider": self.name,
            "now_ms": now_ms,
            "method": request.method.as_str(),
            "path": request.path,
            "query": request.query,
            "body": String::from_utf8_lossy(request.body),
            "probe": request.header("x-probe"),
            "online": online,
        });
        SimReply {
            action: action(request.path),
            status: 200,
            headers: vec![("content-type", "application/json".into())],
            body: body.to_string().into_bytes(),
        }
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let (status, word) = match trouble {
            Trouble::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            Trouble::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Trouble::ErrorUnder200 => (StatusCode::OK, "error_under_200"),
            Trouble::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Trouble::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Trouble::WrongType => (StatusCode::OK, "wrong_type"),
            Trouble::MissingField => (StatusCode::OK, "missing_field"),
        };
        let mut headers = vec![("content-type", "application/json".into())];
        if let Trouble::Throttled { retry_after_s: Some(seconds) } = trouble {
            headers.push(("retry-after", seconds.to_string()));
        }
        SimReply {
            action: action(request.path),
            status: status.as_u16(),
            headers,
            body: format!("{{\"error\":\"{word}\"}}").into_bytes(),
        }
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![("key_id", format!("\"{}\"", self.key)), ("token_endpoint", format!("\"{base}/token\""))]
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        vec![("scope", format!("\"{}\"", population.scope))]
    }
}

/// A clock that stands still until it is moved.
#[derive(Default)]
pub(super) struct HandClock {
    now: Mutex<Moment>,
    moved: Notify,
}

impl HandClock {
    pub(super) fn at(unix_ms: i64) -> Arc<Self> {
        let now = Moment { tick: Tick::from_micros(5_000_000), unix_ms };
        Arc::new(Self { now: Mutex::new(now), moved: Notify::new() })
    }

    pub(super) fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(by);
        self.moved.notify_waiters();
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap()
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let mut moved = pin!(self.moved.notified());
                moved.as_mut().enable();
                if self.now().tick >= tick {
                    return;
                }
                moved.await;
            }
        })
    }
}
