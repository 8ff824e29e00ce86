//! `OpenIM`'s side of the wire: tokens, both generations of rows, and gateways that fail silently.
//!
//! Switches: `server` (a release's tag, `v3.0.0` to `v3.8.3-patch.16`, the default, or `main`), `admins` (comma-separated;
//! by default the key id), `token_seconds` (a token's life, 7776000), `gateways` (1), `gateways_down` (numbers from 0,
//! comma-separated, or `all`), `auth_down` (`true`) and `limiter` (`true`: every request is one too many).
//! `users_cap`: rows of a page of users at most, whatever is asked for, as something between might do it; no release does.
//! `ready_token_expires_ms`: the account is given a ready token, good until then (Unix milliseconds), and no secret.
//! `token_host_ahead_s`: the host that makes tokens has a clock that is so many seconds ahead of the one that checks them,
//! until `token_host_right_ms` (Unix milliseconds of the latter; never).
//!
//! Deliberately absent: version 2, and the endpoints that the exporter does not ask.

use std::collections::VecDeque;

use serde_json::{Value, json};

use self::jwt::Claims;
use self::release::Release;
use self::rows::first_json;
use crate::providers::hash::same;
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Trouble, World};

mod jwt;
mod release;
mod rows;

/// Tokens that the server's memory holds; older ones fall out.
const TOKENS: usize = 1000;

/// "Keeps 30": the administrator's tokens that v3.8.1 lets stand.
const ADMIN_TOKENS: usize = 30;

/// How long an older token holds after a newer one was made, on the unreleased line.
const GRACE_S: i64 = 300;

/// The simulated API.
pub struct Sim {
    release: Release,
    admins: Vec<String>,
    secret: String,
    token_seconds: i64,
    /// By how many seconds the clock of the host that makes tokens is ahead, and when it is set right.
    host_ahead: (i64, i64),
    gateways: u64,
    down: Vec<u64>,
    auth_down: bool,
    limiter: bool,
    users_cap: usize,
    tokens: VecDeque<Kept>,
    options: SimOptions,
}

/// A token in the server's memory. `ends_s`: until when it is let stand, if not to its own end.
struct Kept {
    token: String,
    user_id: String,
    kicked: bool,
    ends_s: Option<i64>,
}

/// What a request comes to.
pub(super) enum Outcome {
    Data(Value),
    Refused {
        status: u16,
        code: i64,
        message: String,
        detail: String,
    },
    /// A success that forgets its data.
    Nothing,
    NoPage,
}

impl Outcome {
    fn refused(code: i64, message: &str, detail: String) -> Self {
        Self::Refused { status: 200, code, message: message.into(), detail }
    }
}

impl Sim {
    /// A server that knows this administrator and secret.
    pub fn new(options: SimOptions) -> Self {
        let number = |name: &str| options.switch(name).and_then(|text| text.parse::<u32>().ok());
        let gateways = number("gateways").map_or(1, |n| u64::from(n.max(1)));
        let down = match options.switch("gateways_down") {
            Some("all") => (0..gateways).collect(),
            list => list.unwrap_or("").split(',').filter_map(|n| n.trim().parse().ok()).collect(),
        };
        let admins = options.switch("admins").unwrap_or(&options.key_id).split(',').map(String::from);
        let server = options.switch("server").unwrap_or("v3.8.3-patch.16");
        let ahead_s = number("token_host_ahead_s").map_or(0, i64::from);
        let mut sim = Self {
            release: Release::parse(server).expect("the switch names a release"),
            admins: admins.collect(),
            secret: options.secret.clone(),
            token_seconds: number("token_seconds").map_or(7_776_000, i64::from),
            host_ahead: (ahead_s, instant_ms(&options, "token_host_right_ms").unwrap_or(i64::MAX)),
            gateways,
            down,
            auth_down: options.switch("auth_down") == Some("true"),
            limiter: options.switch("limiter") == Some("true"),
            users_cap: number("users_cap").map_or(usize::MAX, |cap| cap as usize),
            tokens: VecDeque::new(),
            options,
        };
        if let Some(token) = sim.ready_token() {
            sim.keep(token, &sim.options.key_id.clone());
        }
        sim
    }

    /// The token that the account is given instead of the secret.
    fn ready_token(&self) -> Option<String> {
        let exp = instant_ms(&self.options, "ready_token_expires_ms")?.div_euclid(1000);
        let user_id = self.options.key_id.clone();
        Some(Claims { user_id, platform_id: 10, exp, nbf: None, iat: None }.sign(&self.secret))
    }

    /// Takes a token that was made before.
    pub fn remember(&mut self, token: &str, user_id: &str) {
        self.keep(token.into(), user_id);
    }

    /// Logs everybody out.
    #[cfg(test)]
    pub(super) fn kick_all(&mut self) {
        self.tokens.iter_mut().for_each(|kept| kept.kicked = true);
    }

    /// Gives the server another secret.
    #[cfg(test)]
    pub(super) fn change_secret(&mut self, secret: &str) {
        self.secret = secret.into();
    }

    /// Takes gateways down, and the others up.
    #[cfg(test)]
    pub(super) fn take_down(&mut self, gateways: &[u64]) {
        self.down = gateways.to_vec();
    }

    /// Two tokens of one second are the same text, and the younger makes it good again.
    fn keep(&mut self, token: String, user_id: &str) {
        self.tokens.retain(|kept| kept.token != token);
        if self.tokens.len() >= TOKENS {
            self.tokens.pop_front();
        }
        self.tokens.push_back(Kept { token, user_id: user_id.into(), kicked: false, ends_s: None });
    }

    fn decide(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> Outcome {
        let unix_s = now_ms.div_euclid(1000);
        let release = self.release;
        if self.limiter {
            let message = "Too Many Requests".into();
            return Outcome::Refused { status: 429, code: 429, message, detail: String::new() };
        }
        if request.method != http::Method::POST {
            return Outcome::NoPage;
        }
        if request.header("operationid").is_none_or(str::is_empty) {
            return release.missing_header("operationID");
        }
        match request.path {
            "/auth/get_admin_token" if release.has_admin_token() => {
                return self.log_in(self.token_host_s(unix_s), request.body, false);
            }
            "/auth/user_token" if !release.has_admin_token() => {
                return self.log_in(self.token_host_s(unix_s), request.body, true);
            }
            _ => {}
        }
        let known = match request.path {
            "/user/get_users_online_status" | "/user/get_all_users_uid" => true,
            "/user/get_users_status" => release.has_users_status(),
            _ => false,
        };
        if !known && !release.guards_every_path() && request.path != "/auth/user_token" {
            return Outcome::NoPage;
        }
        let caller = match self.check_token(unix_s, request) {
            Ok(caller) => caller,
            Err(outcome) => return outcome,
        };
        match request.path {
            "/user/get_users_online_status" => self.detail(world, now_ms, request.body, &caller),
            "/user/get_users_status" if known => self.short(world, now_ms, request.body),
            "/user/get_all_users_uid" => self.users(world, request.body, &caller),
            _ => Outcome::NoPage,
        }
    }

    fn check_token(&self, now_s: i64, request: &SimRequest<'_>) -> Result<String, Outcome> {
        let release = self.release;
        let token = request
            .header("token")
            .filter(|token| !token.is_empty())
            .ok_or_else(|| release.missing_header("token"))?;
        if self.auth_down {
            return Err(release.auth_down());
        }
        let refused = |code| release.token_fault(code, token);
        let claims = jwt::check(token, &self.secret, now_s).map_err(refused)?;
        if release.looks_up_admins() || !self.admins.contains(&claims.user_id) {
            let kept = self.tokens.iter().find(|kept| same(kept.token.as_bytes(), token.as_bytes()));
            match kept {
                None => return Err(refused(1507)),
                Some(Kept { kicked: true, .. }) => return Err(refused(1506)),
                Some(Kept { ends_s: Some(ends_s), .. }) if *ends_s <= now_s => return Err(refused(1507)),
                Some(_) => {}
            }
        }
        Ok(claims.user_id)
    }

    /// What the clock shows at the host that makes tokens.
    fn token_host_s(&self, now_s: i64) -> i64 {
        let (ahead_s, until_ms) = self.host_ahead;
        if now_s < until_ms.div_euclid(1000) { now_s + ahead_s } else { now_s }
    }

    fn log_in(&mut self, now_s: i64, body: &[u8], with_platform: bool) -> Outcome {
        let Ok(body) = first_json(body) else {
            return Outcome::refused(1001, "ArgsError", "unexpected EOF".into());
        };
        let user_id = body["userID"].as_str().unwrap_or("").to_owned();
        let platform_id = if with_platform { body["platformID"].as_u64().unwrap_or(0) } else { 10 };
        if user_id.is_empty() {
            return Outcome::refused(1001, "ArgsError", "userID is empty".into());
        }
        if platform_id == 0 || platform_id > self.release.last_platform().max(10 * u64::from(!with_platform))
        {
            return Outcome::refused(1001, "ArgsError", "platform is invalidate: 1001 ArgsError".into());
        }
        if !body["secret"].as_str().is_some_and(|sent| same(sent.as_bytes(), self.secret.as_bytes())) {
            return Outcome::refused(1002, "NoPermissionError", "secret invalid".into());
        }
        if !self.admins.contains(&user_id) {
            let detail = format!("userID is error., userID={user_id}, adminUserID={:?}", self.admins);
            return Outcome::refused(1001, "ArgsError", detail);
        }
        let (nbf, iat) = if self.release.has_nbf() { (Some(now_s - 300), now_s) } else { (None, now_s - 5) };
        let claims = Claims {
            user_id: user_id.clone(),
            platform_id,
            exp: now_s + self.token_seconds,
            nbf,
            iat: Some(iat),
        };
        let token = claims.sign(&self.secret);
        self.cut_off_older(&user_id, now_s);
        self.keep(token.clone(), &user_id);
        Outcome::Data(json!({ "token": token, "expireTimeSeconds": self.token_seconds }))
    }

    /// What a new token does to the older ones of its administrator. v3.8.1 kicks any of them beyond thirty, we the oldest.
    fn cut_off_older(&mut self, user_id: &str, now_s: i64) {
        let own = self.tokens.iter_mut().filter(|kept| kept.user_id == user_id && !kept.kicked);
        if self.release.keeps_one_token() {
            own.for_each(|kept| kept.ends_s = Some(kept.ends_s.unwrap_or(now_s + GRACE_S)));
        } else if Some(self.release) == Release::parse("v3.8.1") {
            own.rev().skip(ADMIN_TOKENS - 1).for_each(|kept| kept.kicked = true);
        }
    }
}

impl SimApi for Sim {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        request.path.starts_with("/user/") || request.path.starts_with("/auth/")
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let outcome = self.decide(world, now_ms, request);
        reply(request, outcome)
    }

    /// The server has no way of saying how long to wait; a wait is told as a gateway in front of it would, by `Retry-After`.
    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let outcome = match trouble {
            Trouble::Throttled { .. } => Outcome::Refused {
                status: 429,
                code: 429,
                message: "Too Many Requests".into(),
                detail: String::new(),
            },
            Trouble::ServerError => Outcome::refused(500, "ServerInternalError", String::new()),
            Trouble::ErrorUnder200 => self.release.auth_down(),
            Trouble::Forbidden => self.release.not_admin(),
            Trouble::Unauthorized => {
                self.release.token_fault(1505, request.header("token").unwrap_or_default())
            }
            Trouble::WrongType => Outcome::Data("data".into()),
            Trouble::MissingField => Outcome::Nothing,
        };
        let mut reply = reply(request, outcome);
        if let Trouble::Throttled { retry_after_s: Some(seconds) } = trouble {
            reply.headers.push(("Retry-After", seconds.to_string()));
        }
        reply
    }

    fn account_keys(&self, _: &str) -> Vec<(&'static str, String)> {
        let login = match self.ready_token() {
            Some(token) => ("token", quoted(&token)),
            None => ("secret", quoted(&self.options.secret)),
        };
        vec![("admin_user_id", quoted(&self.options.key_id)), login]
    }

    fn source_keys(&self, _: &Population) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

fn reply(request: &SimRequest<'_>, outcome: Outcome) -> SimReply {
    let action = match request.path {
        "/user/get_users_online_status" => "get_users_online_status",
        "/user/get_users_status" => "get_users_status",
        "/user/get_all_users_uid" => "get_all_users_uid",
        "/auth/get_admin_token" => "get_admin_token",
        "/auth/user_token" => "user_token",
        _ => "",
    };
    let (status, body) = match outcome {
        Outcome::Data(data) => {
            (200, json!({ "errCode": 0, "errMsg": "", "errDlt": "", "data": data }).to_string())
        }
        Outcome::Refused { status, code, message, detail } => {
            (status, json!({ "errCode": code, "errMsg": message, "errDlt": detail }).to_string())
        }
        Outcome::Nothing => (200, json!({ "errCode": 0, "errMsg": "", "errDlt": "" }).to_string()),
        Outcome::NoPage => (404, "404 page not found".into()),
    };
    let content_type = match status {
        404 => "text/plain",
        429 => "text/plain; charset=utf-8",
        _ => "application/json",
    };
    SimReply { action, status, headers: vec![("Content-Type", content_type.into())], body: body.into_bytes() }
}

/// The value of a switch that is an instant in Unix milliseconds.
fn instant_ms(options: &SimOptions, name: &str) -> Option<i64> {
    options.switch(name)?.parse().ok()
}

/// A text as a YAML scalar: JSON's quoting is YAML's too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
