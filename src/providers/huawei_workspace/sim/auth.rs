//! Who may ask: signatures checked from the received bytes, tokens issued and checked, the lock of a key.
//!
//! It builds its own canonical request; nothing of the signer's is used but the hashes.

use std::collections::VecDeque;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{DOMAIN, KEY_START, REGION, parse_query, second_text};
use crate::providers::credentials::minted::{self, Minted};
use crate::providers::hash::{hmac_sha256_hex, same, sha256_hex};
use crate::providers::sim::{SimOptions, SimRequest};

/// Failed authentications in a row that are let pass: "more than five" lock the key.
const FAILURES_LET_PASS: u32 = 5;
/// How long it is locked: "five minutes".
const LOCK_MS: i64 = 300_000;
/// How far X-Sdk-Date may be off: "15 minutes".
const CLOCK_MS: i64 = 900_000;
/// Tokens that are remembered; IAM's live for a day, and nobody here needs more.
const TOKENS_MAX: usize = 64;

/// An error reply in one of the envelopes.
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    code: Option<&'static str>,
    message: String,
}

impl Refused {
    /// The gateway's or Workspace's envelope.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Some(code), message: message.into() }
    }

    /// IAM's envelope.
    pub fn iam(status: u16, message: &str) -> Self {
        Self { status, code: None, message: message.into() }
    }

    /// APIGW.0301 with this end of its message.
    pub fn unauthorized(tail: &str) -> Self {
        Self::new(401, "APIGW.0301", format!("Incorrect IAM authentication information: {tail}"))
    }

    /// APIGW.0308, perhaps with its time.
    pub fn throttled(limit: u32, wait_s: Option<u32>) -> Self {
        let mut message =
            String::from("The throttling threshold has been reached: policy user over ratelimit");
        if let Some(wait_s) = wait_s {
            let _ = write!(message, ",limit:{limit},time:{wait_s} second");
        }
        Self::new(429, "APIGW.0308", message)
    }

    /// The body.
    pub fn body(&self, request_id: &str) -> Value {
        match self.code {
            Some(code) => json!({"error_code": code, "error_msg": self.message, "request_id": request_id}),
            None => json!({"error": {"code": self.status, "message": self.message, "title": "Error"}}),
        }
    }
}

/// A token as IAM hands it out.
pub struct Issued {
    /// The value of X-Subject-Token.
    pub token: String,
    /// The body beside it.
    pub body: Value,
}

struct LiveToken {
    text: String,
    expires_ms: i64,
    project_id: Option<String>,
}

/// What the gateway and IAM know of the account.
pub struct Guard {
    key_id: String,
    secret: String,
    security_token: Option<String>,
    /// Whether keys are handed out, and no other is taken.
    handed_out: bool,
    project_id: String,
    token_life_ms: i64,
    /// When the temporary key ends.
    key_ends_ms: i64,
    /// When the IAM user is disabled.
    user_ends_ms: i64,
    failures: u32,
    locked_until_ms: i64,
    tokens: VecDeque<LiveToken>,
    issued: u64,
}

impl Guard {
    /// A guard for this key (which is the IAM user and password as well) and project.
    pub fn new(options: &SimOptions, project_id: &str) -> Self {
        let life_s = options.switch("token_life_s").and_then(|text| text.parse().ok()).unwrap_or(86_400);
        let until = |name: &str| options.switch(name).and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
        Self {
            key_id: options.key_id.clone(),
            secret: options.secret.clone(),
            security_token: options.token.clone(),
            handed_out: options.switch("credentials").is_some(),
            project_id: project_id.to_owned(),
            token_life_ms: i64::from(life_s) * 1000,
            key_ends_ms: until("token_expires_ms"),
            user_ends_ms: until("user_disabled_ms"),
            failures: 0,
            locked_until_ms: i64::MIN,
            tokens: VecDeque::new(),
            issued: 0,
        }
    }

    /// Issues a token for a name and a password.
    pub fn issue(&mut self, now_ms: i64, request: &SimRequest<'_>) -> Result<Issued, Refused> {
        let invalid = || Refused::iam(400, "The request body is invalid");
        let body: Value = serde_json::from_slice(request.body).map_err(|_| invalid())?;
        let identity = &body["auth"]["identity"];
        let user = &identity["password"]["user"];
        let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if !is_json || identity["methods"] != json!(["password"]) || !user["password"].is_string() {
            return Err(invalid());
        }
        if now_ms >= self.user_ends_ms
            || user["name"] != self.key_id.as_str()
            || user["password"] != self.secret.as_str()
            || user["domain"]["name"] != DOMAIN
        {
            return Err(Refused::iam(401, "The username or password is wrong."));
        }
        let project = &body["auth"]["scope"]["project"];
        let project_id = match (project["id"].as_str(), project["name"].as_str()) {
            (None, None) => None,
            (Some(id), _) if id == self.project_id => Some(self.project_id.clone()),
            (None, Some(name)) if name == REGION => Some(self.project_id.clone()),
            _ => return Err(Refused::iam(404, "Could not find project.")),
        };
        self.issued += 1;
        let text = format!("MIISIM{}", sha256_hex(format!("{}:{}", self.secret, self.issued).as_bytes()));
        let expires_ms = now_ms + self.token_life_ms;
        let mut token = json!({
            "expires_at": micros_text(expires_ms), "issued_at": micros_text(now_ms), "methods": ["password"],
            "catalog": [], "roles": [], "user": {"id": "51b0", "name": self.key_id, "domain": {"name": DOMAIN}},
        });
        if let Some(id) = &project_id {
            token["project"] = json!({"id": id, "name": REGION, "domain": {"name": DOMAIN}});
        }
        self.tokens.push_back(LiveToken { text: text.clone(), expires_ms, project_id });
        if self.tokens.len() > TOKENS_MAX {
            self.tokens.pop_front();
        }
        Ok(Issued { token: text, body: json!({"token": token}) })
    }

    /// Checks token or signature, in the gateway's order.
    pub fn check(
        &mut self,
        now_ms: i64,
        request: &SimRequest<'_>,
        project: Option<&str>,
    ) -> Result<(), Refused> {
        match (request.header("x-auth-token"), request.header("authorization")) {
            (None, None) => Err(Refused::unauthorized("x-auth-token not found")),
            (Some(token), _) => self.check_token(now_ms, token, project),
            (None, Some(authorization)) => self.check_key(now_ms, request, authorization),
        }
    }

    fn check_token(&self, now_ms: i64, token: &str, project: Option<&str>) -> Result<(), Refused> {
        let live = self.tokens.iter().find(|live| live.text == token && now_ms < self.user_ends_ms);
        let live = live.ok_or_else(|| Refused::unauthorized("decrypt token fail"))?;
        if live.expires_ms <= now_ms {
            return Err(Refused::new(401, "APIGW.0307", "The token must be updated."));
        }
        if project.is_some_and(|project| live.project_id.as_deref() != Some(project)) {
            return Err(Refused::new(403, "APIGW.0302", "The IAM user is not authorized to access the API."));
        }
        Ok(())
    }

    fn check_key(
        &mut self,
        now_ms: i64,
        request: &SimRequest<'_>,
        authorization: &str,
    ) -> Result<(), Refused> {
        let parts =
            parse_authorization(authorization).ok_or_else(|| Refused::unauthorized("Unauthorized"))?;
        let sent = request.header("x-security-token").unwrap_or_default();
        let minted = minted::find(&self.secret, KEY_START, sent).filter(|key| key.key_id == parts.access);
        if minted.is_none() && (parts.access != self.key_id || self.handed_out) {
            let tail = format!("Get secretKey failed,ak:{},err:ak not exist", parts.access);
            return Err(Refused::unauthorized(&tail));
        }
        if now_ms < self.locked_until_ms {
            return Err(Refused::unauthorized("AK access failed to reach the limit,forbidden."));
        }
        let verified = self.verify(now_ms, request, &parts, minted.as_ref());
        if verified.is_ok() {
            self.failures = 0;
            return Ok(());
        }
        self.failures += 1;
        if self.failures > FAILURES_LET_PASS {
            self.failures = 0;
            self.locked_until_ms = now_ms + LOCK_MS;
        }
        verified
    }

    fn verify(
        &self,
        now_ms: i64,
        request: &SimRequest<'_>,
        parts: &Authorization<'_>,
        minted: Option<&Minted>,
    ) -> Result<(), Refused> {
        let secret = minted.map_or(&self.secret, |minted| &minted.secret);
        let known = minted.map_or(self.security_token.as_deref(), |minted| Some(&minted.token));
        let expired = || Refused::unauthorized("calc ak sk signature fail:signature expired");
        let date = request.header("x-sdk-date").ok_or_else(expired)?;
        let sent = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|_| expired())?;
        if (sent.timestamp().as_millisecond() - now_ms).abs() > CLOCK_MS {
            return Err(expired());
        }
        // A temporary key that has ended is told like a date that is off.
        if minted.is_some_and(|minted| now_ms >= minted.ends_ms) {
            return Err(expired());
        }
        let signs = |name: &str| parts.signed.contains(&name);
        if known != request.header("x-security-token") || (known.is_some() && !signs("x-security-token")) {
            return Err(Refused::unauthorized("Unauthorized"));
        }
        if self.security_token.is_some() && now_ms >= self.key_ends_ms {
            return Err(expired());
        }
        let canonical = canonical_request(request, &parts.signed);
        let wrong = |canonical: &str| {
            let shown = canonical.replace('\n', "|");
            Refused::unauthorized(&format!("verify aksk signature fail,canonicalRequest:{shown}"))
        };
        let canonical =
            canonical.filter(|_| signs("host") && signs("x-sdk-date")).ok_or_else(|| wrong(""))?;
        let string = format!("SDK-HMAC-SHA256\n{date}\n{}", sha256_hex(canonical.as_bytes()));
        let signature = hmac_sha256_hex(secret.as_bytes(), string.as_bytes());
        if same(signature.as_bytes(), parts.signature.as_bytes()) { Ok(()) } else { Err(wrong(&canonical)) }
    }
}

struct Authorization<'a> {
    access: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

/// `SDK-HMAC-SHA256 Access=…, SignedHeaders=a;b, Signature=…`
fn parse_authorization(text: &str) -> Option<Authorization<'_>> {
    let rest = text.strip_prefix("SDK-HMAC-SHA256 Access=")?;
    let (access, rest) = rest.split_once(", SignedHeaders=")?;
    let (signed, signature) = rest.split_once(", Signature=")?;
    Some(Authorization { access, signed: signed.split(';').collect(), signature })
}

/// The canonical request of the received bytes; `None` when a signed header is missing or something cannot be decoded.
fn canonical_request(request: &SimRequest<'_>, signed: &[&str]) -> Option<String> {
    let mut text = format!("{}\n", request.method);
    for segment in request.path.trim_end_matches('/').split('/') {
        put_encoded(&mut text, &super::decode(segment)?);
        text.push('/');
    }
    text.push('\n');
    let mut pairs = parse_query(request.query)?;
    pairs.sort();
    for (n, (name, value)) in pairs.iter().enumerate() {
        text.push_str(if n == 0 { "" } else { "&" });
        put_encoded(&mut text, name);
        text.push('=');
        put_encoded(&mut text, value);
    }
    text.push('\n');
    for name in signed {
        let value = std::str::from_utf8(request.headers.get(*name)?.as_bytes()).ok()?;
        let _ = writeln!(text, "{name}:{}", value.trim());
    }
    let _ = write!(text, "\n{}\n{}", signed.join(";"), sha256_hex(request.body));
    Some(text)
}

/// Everything but `A-Za-z0-9-_.~` as `%XX`.
fn put_encoded(text: &mut String, plain: &str) {
    for byte in plain.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
}

/// IAM's times have six decimals.
fn micros_text(unix_ms: i64) -> String {
    let seconds = second_text(unix_ms);
    format!("{}.{:03}000Z", seconds.trim_end_matches('Z'), unix_ms.rem_euclid(1000))
}
