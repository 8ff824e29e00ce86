//! The administrator's token: made once, kept in the account, shared by all its sources.
//!
//! Making one has side effects on the server: it counts as a login, and some releases cut older tokens of the same
//! administrator off. So it is made only when there is none, shortly before it ends, or when the server refuses it; by one
//! question at a time, the others wait for the outcome; and a server that keeps refusing new ones is asked ever more
//! rarely.
//!
//! Deliberately absent: keeping tokens over restarts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::sync::Mutex;

use super::wire::{Envelope, TokenAsk, TokenData, failure_of};
use super::{ADMIN_TOKEN, USER_TOKEN, errors, post};
use crate::config::Secret;
use crate::domain::{Fault, Tick};
use crate::providers::credentials::Written;
use crate::providers::http::Reply;
use crate::providers::loose::{Loose, Object};
use crate::providers::{Action, Charge, Failure, Net, Per};

/// How long before its end a token is renewed, unless a tenth of its life is less.
const MARGIN: Duration = Duration::from_secs(300);

/// How long a renewal that failed is put off while the old token still holds.
const PUT_OFF: Duration = Duration::from_secs(60);

/// The pause before another login after a new token was refused at once; it doubles with each.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(900);

/// An account: where its server is, who asks, and the token in use. It has no Debug.
pub(super) struct Account {
    /// The server's address without trailing slash.
    pub endpoint: String,
    /// The administrator.
    pub admin_user_id: String,
    login: Login,
    cache: Mutex<Cache>,
    /// Logins that ended, well or badly.
    logins: AtomicU64,
    /// New tokens that were refused since one was last accepted.
    refusals: AtomicU32,
}

/// How there comes to be a token.
pub(super) enum Login {
    /// It is given.
    Ready(Written<Secret>),
    /// It is made of the server's secret.
    Secret(Written<Secret>, Api),
}

/// Which token endpoint the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// Find out.
    Auto,
    /// `get_admin_token`, v3.8.1 and later.
    AdminToken,
    /// `user_token`, up to v3.8.0.
    UserToken,
}

/// A token in use. Its value is marked as sensitive.
#[derive(Clone)]
pub(super) struct Token {
    /// The header's value.
    pub value: HeaderValue,
    number: u64,
}

#[derive(Default)]
struct Cache {
    held: Option<Held>,
    found: Option<Door>,
    failed: Option<Failure>,
    not_before: Tick,
}

struct Held {
    token: Token,
    renew_at: Tick,
    ends_at: Tick,
}

/// A token endpoint with the platform that it wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Admin,
    User(u8),
}

/// 10 is an administrator's platform; v3.0.0 knows 1 to 9 only.
const DOORS: [Door; 3] = [Door::Admin, Door::User(10), Door::User(1)];

enum Knock {
    Open(HeaderValue, Option<Duration>, Tick),
    /// This server has another door.
    Elsewhere(Failure),
}

impl Account {
    /// An account that has not logged in yet.
    pub(super) fn new(endpoint: String, admin_user_id: String, login: Login) -> Self {
        Self {
            endpoint,
            admin_user_id,
            login,
            cache: Mutex::default(),
            logins: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
        }
    }

    /// What only someone with this account's secret knows.
    pub(super) fn secret(&self) -> Result<Secret, Failure> {
        self.written().key()
    }

    /// Reads the secret's file again; whether it changed since the last call.
    pub(super) fn refreshed(&self) -> bool {
        self.written().refreshed()
    }

    fn written(&self) -> &Written<Secret> {
        match &self.login {
            Login::Ready(secret) | Login::Secret(secret, _) => secret,
        }
    }

    /// What tokens cost. Their life is the server's own, 90 days unless it is configured otherwise.
    pub(super) fn token_costs(&self) -> Vec<Charge> {
        let token = |action, least, most| Charge { action, per: Per::Token { least, most, life: None } };
        match self.login {
            Login::Ready(_) => Vec::new(),
            Login::Secret(_, Api::AdminToken) => vec![token(&ADMIN_TOKEN, 1, 1)],
            Login::Secret(_, Api::UserToken) => vec![token(&USER_TOKEN, 1, 2)],
            Login::Secret(_, Api::Auto) => vec![token(&ADMIN_TOKEN, 1, 1), token(&USER_TOKEN, 0, 2)],
        }
    }

    /// A token that should hold.
    pub(super) async fn token(&self, net: &Net) -> Result<Token, Failure> {
        let api = match &self.login {
            Login::Ready(token) => return ready(token),
            Login::Secret(_, api) => *api,
        };
        let logins = self.logins.load(Ordering::Acquire);
        let mut cache = self.cache.lock().await;
        let now = net.now().tick;
        match &cache.held {
            Some(held) if now < held.renew_at => return Ok(held.token.clone()),
            Some(held) if now < held.ends_at => {
                let old = held.token.clone();
                return Ok(self.log_in(api, logins, &mut cache, net).await.unwrap_or_else(|_| {
                    if let Some(held) = &mut cache.held {
                        held.renew_at = now + PUT_OFF;
                    }
                    old
                }));
            }
            _ => {}
        }
        self.log_in(api, logins, &mut cache, net).await
    }

    /// Another token, after the server refused `stale` with `refusal`. The refusal stands when there can be no other.
    pub(super) async fn renewed(&self, stale: &Token, refusal: Failure, net: &Net) -> Result<Token, Failure> {
        let api = match &self.login {
            Login::Ready(token) => return if token.reread() { ready(token) } else { Err(refusal) },
            Login::Secret(_, api) => *api,
        };
        let logins = self.logins.load(Ordering::Acquire);
        let mut cache = self.cache.lock().await;
        match &cache.held {
            Some(held) if held.token.number != stale.number => return Ok(held.token.clone()),
            _ => {}
        }
        let changed = self.written().reread();
        let refusals = self.refusals.load(Ordering::Acquire);
        let now = net.now().tick;
        if refusals > 0 && now < cache.not_before && !changed {
            return Err(refusal.wait(Some(cache.not_before.since(now))));
        }
        cache.held = None;
        let token = self.log_in(api, logins, &mut cache, net).await?;
        let pause = PAUSE.saturating_mul(1 << refusals.min(8)).min(PAUSE_MAX);
        cache.not_before = net.now().tick + pause;
        self.refusals.fetch_add(1, Ordering::AcqRel);
        Ok(token)
    }

    /// Notes that the server took the token.
    pub(super) fn accepted(&self) {
        self.refusals.store(0, Ordering::Release);
    }

    /// One login. Whoever waited for it while it failed shares its failure and does not try again.
    async fn log_in(
        &self,
        api: Api,
        logins_before: u64,
        cache: &mut Cache,
        net: &Net,
    ) -> Result<Token, Failure> {
        if self.logins.load(Ordering::Acquire) != logins_before
            && let Some(failure) = &cache.failed
        {
            return Err(failure.clone());
        }
        // A login is rare, so it never goes out with an old secret.
        self.written().reread();
        let secret = self.secret()?;
        let outcome = self.knock_all(&secret, api, &mut cache.found, net).await;
        let number = self.logins.fetch_add(1, Ordering::AcqRel) + 1;
        cache.failed = outcome.as_ref().err().cloned();
        let (value, lifetime, made_at) = outcome?;
        let lifetime = lifetime.unwrap_or(Duration::MAX);
        let ends_at = made_at + lifetime;
        let token = Token { value, number };
        let margin = MARGIN.min(lifetime / 10);
        cache.held = Some(Held { token: token.clone(), renew_at: ends_at.back(margin), ends_at });
        Ok(token)
    }

    async fn knock_all(
        &self,
        secret: &Secret,
        api: Api,
        found: &mut Option<Door>,
        net: &Net,
    ) -> Result<(HeaderValue, Option<Duration>, Tick), Failure> {
        let mut doors = match (&*found, api) {
            (Some(door), _) => std::slice::from_ref(door),
            (None, Api::Auto) => &DOORS[..],
            (None, Api::AdminToken) => &DOORS[..1],
            (None, Api::UserToken) => &DOORS[1..],
        }
        .to_vec()
        .into_iter();
        // Forgotten until it opens again: the server may have become another release.
        *found = None;
        loop {
            let door = doors.next().expect("the last door is never left for another");
            match self.knock(door, secret, net).await? {
                Knock::Open(value, lifetime, made_at) => {
                    *found = Some(door);
                    return Ok((value, lifetime, made_at));
                }
                Knock::Elsewhere(failure) if doors.len() == 0 => return Err(failure),
                Knock::Elsewhere(_) => {}
            }
        }
    }

    async fn knock(&self, door: Door, secret: &Secret, net: &Net) -> Result<Knock, Failure> {
        let (action, path, platform_id): (&'static Action, _, _) = match door {
            Door::Admin => (&ADMIN_TOKEN, "/auth/get_admin_token", None),
            Door::User(platform) => (&USER_TOKEN, "/auth/user_token", Some(platform)),
        };
        let ask = TokenAsk { secret: secret.expose(), platform_id, user_id: &self.admin_user_id };
        let body = Bytes::from(serde_json::to_vec(&ask).expect("texts and a number are always JSON"));
        let build = |stamp: &_| post(net, &self.endpoint, path, None, &body, stamp);
        net.call(action, build, |reply| read_token(door, reply)).await
    }
}

fn ready(token: &Written<Secret>) -> Result<Token, Failure> {
    Ok(Token { value: header(token.key()?.expose())?, number: 0 })
}

fn read_token(door: Door, reply: &Reply) -> Result<Knock, Failure> {
    if door == Door::Admin && reply.status == StatusCode::NOT_FOUND {
        let message = "the server has no such token endpoint (HTTP status 404)";
        return Ok(Knock::Elsewhere(Failure::new(Fault::Rejected, message)));
    }
    let (envelope, code) = Envelope::<'_, Object<TokenData<'_>>>::read(reply)?;
    if code != 0 {
        let failure = failure_of(code, reply, errors::login_fault);
        let detail = envelope.detail.text().unwrap_or("");
        let elsewhere = code == errors::ARGS
            && match door {
                // A path that the release does not let through unasked is told as a missing header.
                Door::Admin => detail.is_empty() || detail.contains("header must have token"),
                Door::User(_) => detail.contains("platform"),
            };
        return if elsewhere { Ok(Knock::Elsewhere(failure)) } else { Err(failure) };
    }
    let data = envelope.data.0.as_ref();
    let token = data.and_then(|data| data.token.text()).filter(|token| !token.is_empty());
    let (Some(data), Some(token)) = (data, token) else {
        return Err(Failure::new(Fault::BadAnswer, "a login without a token"));
    };
    let lifetime = match data.lifetime_s {
        Loose::Whole(seconds) => u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs),
        _ => None,
    };
    Ok(Knock::Open(header(token)?, lifetime, reply.sent.tick))
}

fn header(token: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(token).map_err(|_| {
        Failure::new(Fault::Unauthorized, "the token holds characters that no HTTP header can hold")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
