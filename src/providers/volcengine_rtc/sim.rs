//! Volcengine's side of the wire: checks the signature of whatever headers the client says it signed, then answers
//! `QueryOnlineStatus` from the world.
//!
//! The order of checks and the 900 s of clock difference follow the vendor's error pages. Switches:
//! `product_error_status` (`400`, or `200` as the product also does it), `calls_per_second` (100; `0` for no limit),
//! `denied` (`true`: the key may not ask this) and `token_expires_ms` (Unix milliseconds from which the temporary key is
//! expired: its token is then as bad as a wrong one).
//!
//! With `credentials` = `role` only a role's keys are taken, which `AssumeRole` hands out here too (`sim/role.rs`).
//!
//! Deliberately absent: the presigned form of requests, and every other action.

mod received;
mod role;

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{IDS_PER_CALL, NAME, SERVICE};
use crate::domain::Platform;
use crate::providers::hash::{hmac_sha256, same, sha256_hex};
use crate::providers::sim::{
    Population, SimApi, SimOptions, SimReply, SimRequest, SimSession, Trouble, World,
};

use received::{basic_seconds, recoded_path, recoded_query};

const ACTION: &str = "QueryOnlineStatus";
const VERSION: &str = "2020-12-01";

/// How far `X-Date` may be off, either way: "X-Expires, default 900" (page 6469/1126803).
const WINDOW_S: i64 = 900;

/// The simulated API.
pub struct Sim {
    options: SimOptions,
    product_error_status: u16,
    calls_per_second: usize,
    /// When the temporary key ends, in Unix milliseconds.
    token_expires_ms: i64,
    /// When the last calls came, in milliseconds; never more than `calls_per_second`.
    calls: VecDeque<i64>,
    serial: u64,
}

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    code: &'static str,
    number: Option<u32>,
    status: u16,
}

impl Refusal {
    /// The provider's code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

const fn gateway(code: &'static str, number: u32, status: u16) -> Refusal {
    Refusal { code, number: Some(number), status }
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "AppId")]
    app_id: Option<i32>,
    #[serde(rename = "UserIds")]
    user_ids: Option<Vec<i64>>,
}

impl Sim {
    /// An API that knows this key.
    pub fn new(options: SimOptions) -> Self {
        let number = |name: &str| options.switch(name).and_then(|text| text.parse().ok());
        Self {
            product_error_status: number("product_error_status").unwrap_or(400),
            calls_per_second: number("calls_per_second").map_or(100, usize::from),
            token_expires_ms: options
                .switch("token_expires_ms")
                .and_then(|text| text.parse().ok())
                .unwrap_or(i64::MAX),
            calls: VecDeque::new(),
            serial: 0,
            options,
        }
    }

    /// Everything up to the signature: who asks, when, and whether the bytes are theirs.
    pub fn authenticate(&self, now_ms: i64, request: &SimRequest<'_>) -> Result<(), Refusal> {
        let authorization =
            request.header("authorization").ok_or(gateway("MissingAuthenticationToken", 100_003, 401))?;
        let parts = Authorization::parse(authorization).ok_or(Refusal {
            code: "InvalidAuthorization",
            number: None,
            status: 400,
        })?;
        let scope = Scope::parse(parts.credential).ok_or(Refusal {
            code: "InvalidCredential",
            number: None,
            status: 400,
        })?;
        if parts.signature.is_empty() {
            return Err(gateway("MissingSignature", 100_005, 401));
        }
        let x_date = request.header("x-date").ok_or(gateway("MissingRequestInfo", 100_004, 400))?;
        let at_s = basic_seconds(x_date).filter(|_| x_date.starts_with(scope.day));
        if at_s.is_none_or(|at_s| (now_ms.div_euclid(1000) - at_s).abs() > WINDOW_S) {
            return Err(gateway("InvalidTimestamp", 100_006, 400));
        }
        if scope.service != role::service(request) {
            return Err(gateway("ServiceNotFound", 100_007, 404));
        }
        let minted = role::minted(&self.options, now_ms, request, scope.key_id)?;
        if minted.is_none()
            && (scope.key_id != self.options.key_id || role::only_handed_out(&self.options, request))
        {
            return Err(gateway("InvalidAccessKey", 100_009, 401));
        }
        let names: Vec<&str> = parts.signed_headers.split(';').collect();
        let secret = minted.as_ref().map_or(&self.options.secret, |minted| &minted.secret);
        let token = minted.as_ref().map(|minted| &minted.token).or(self.options.token.as_ref());
        if let Some(token) = token {
            let sent = request.header("x-security-token");
            if now_ms >= self.token_expires_ms
                || !names.contains(&"x-security-token")
                || !sent.is_some_and(|sent| same(sent.as_bytes(), token.as_bytes()))
            {
                return Err(Refusal { code: "InvalidSecretToken", number: None, status: 401 });
            }
        }
        if signature(secret, request, &scope, x_date, &names)
            .is_none_or(|signature| !same(hex::encode(signature).as_bytes(), parts.signature.as_bytes()))
        {
            return Err(gateway("SignatureDoesNotMatch", 100_010, 401));
        }
        Ok(())
    }

    fn decide(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> Result<Value, Refusal> {
        match (parameter(request, "Action").as_deref(), parameter(request, "Version").as_deref()) {
            (Some(ACTION), Some(VERSION)) => {}
            (Some(role::ACTION), Some(role::VERSION)) => {
                self.authenticate(now_ms, request)?;
                self.serial += 1;
                return role::assume(&self.options, now_ms, self.serial, request);
            }
            (None | Some(""), _) | (_, None | Some("")) => {
                return Err(gateway("MissingParameter", 100_002, 400));
            }
            _ => return Err(gateway("InvalidActionOrVersion", 100_008, 404)),
        }
        self.authenticate(now_ms, request)?;
        if self.options.switch("denied") == Some("true") {
            return Err(gateway("AccessDenied", 100_013, 403));
        }
        self.pace(now_ms)?;
        if request.method != http::Method::POST {
            return Err(Refusal { code: "MethodNotAllowed", number: None, status: 405 });
        }
        let product = |code| Refusal { code, number: None, status: self.product_error_status };
        let body: Body =
            serde_json::from_slice(request.body).map_err(|_| product("InvalidParameter.Unmarshal"))?;
        let (Some(app_id), Some(ids)) = (body.app_id, body.user_ids) else {
            return Err(product("InvalidParameter"));
        };
        if ids.is_empty() || ids.len() > IDS_PER_CALL {
            return Err(product("InvalidParameter"));
        }
        let population =
            world.population(NAME, &app_id.to_string()).ok_or(product("InvalidParameter.NotExistAppId"))?;
        let mut online = serde_json::Map::new();
        for id in ids {
            let connections = connections(population, id, now_ms);
            if !connections.is_empty() {
                online.insert(id.to_string(), Value::Array(connections));
            }
        }
        Ok(json!({ "AppId": app_id, "QueryOnlineResults": online }))
    }

    /// No second may hold more calls than the limit.
    fn pace(&mut self, now_ms: i64) -> Result<(), Refusal> {
        if self.calls_per_second == 0 {
            return Ok(());
        }
        while self.calls.front().is_some_and(|first| *first <= now_ms - 1000) {
            self.calls.pop_front();
        }
        if self.calls.len() >= self.calls_per_second {
            return Err(gateway("FlowLimitExceeded", 100_018, 429));
        }
        self.calls.push_back(now_ms);
        Ok(())
    }

    fn reply(&mut self, request: &SimRequest<'_>, outcome: Result<Value, Refusal>) -> SimReply {
        self.serial += 1;
        let request_id = format!("20260101000000{:018X}", self.serial);
        let region = request
            .header("authorization")
            .and_then(|text| Scope::parse(Authorization::parse(text)?.credential))
            .map_or("", |scope| scope.region);
        let mut metadata = json!({
            "RequestId": request_id,
            "Action": parameter(request, "Action").unwrap_or_default(),
            "Version": parameter(request, "Version").unwrap_or_default(),
            "Service": role::service(request),
            "Region": region,
        });
        let (status, body) = match outcome {
            Ok(result) => (200, json!({ "ResponseMetadata": metadata, "Result": result })),
            Err(refusal) => {
                metadata["Error"] =
                    json!({ "Code": refusal.code, "Message": "The simulated provider refuses this." });
                if let Some(number) = refusal.number {
                    metadata["Error"]["CodeN"] = number.into();
                }
                (refusal.status, json!({ "ResponseMetadata": metadata }))
            }
        };
        SimReply {
            action: match parameter(request, "Action").as_deref() {
                Some(ACTION) => ACTION,
                Some(role::ACTION) => role::ACTION,
                _ => "",
            },
            status,
            headers: vec![("Content-Type", "application/json".into()), ("X-Tt-Logid", request_id)],
            body: body.to_string().into_bytes(),
        }
    }
}

fn signature(
    secret: &str,
    request: &SimRequest<'_>,
    scope: &Scope<'_>,
    x_date: &str,
    names: &[&str],
) -> Option<[u8; 32]> {
    let body_hash = sha256_hex(request.body);
    if request.header("x-content-sha256").is_some_and(|sent| sent != body_hash) {
        return None;
    }
    let mut canonical = format!("{}\n{}\n", request.method, recoded_path(request.path));
    canonical += &recoded_query(request.query);
    canonical.push('\n');
    for name in names {
        let value = request.header(name)?.trim();
        let value = match (*name, value.rsplit_once(':')) {
            ("host", Some((host, "80" | "443"))) => host,
            _ => value,
        };
        canonical.extend([name, ":", value, "\n"]);
    }
    canonical.extend(["\n", &names.join(";"), "\n", &body_hash]);
    let text = format!(
        "HMAC-SHA256\n{x_date}\n{}/{}/{}/request\n{}",
        scope.day,
        scope.region,
        scope.service,
        sha256_hex(canonical.as_bytes())
    );
    let day = hmac_sha256(secret.as_bytes(), scope.day.as_bytes());
    let region = hmac_sha256(&day, scope.region.as_bytes());
    let service = hmac_sha256(&region, scope.service.as_bytes());
    Some(hmac_sha256(&hmac_sha256(&service, b"request"), text.as_bytes()))
}

impl SimApi for Sim {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        request.path == "/"
            && (matches!(parameter(request, "Action").as_deref(), Some(ACTION | role::ACTION))
                || request.header("authorization").is_some_and(|text| text.starts_with("HMAC-SHA256 ")))
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let outcome = self.decide(world, now_ms, request);
        self.reply(request, outcome)
    }

    /// The vendor documents no way of saying how long to wait; a wait is told as a gateway would, by `Retry-After`.
    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let outcome = match trouble {
            Trouble::Throttled { .. } => Err(gateway("FlowLimitExceeded", 100_018, 429)),
            Trouble::ServerError => Err(gateway("InternalError", 100_014, 500)),
            Trouble::ErrorUnder200 => Err(gateway("AccountFlowLimitExceeded", 100_027, 200)),
            Trouble::Forbidden => Err(gateway("AccessDenied", 100_013, 403)),
            Trouble::Unauthorized => Err(gateway("InvalidAccessKey", 100_009, 401)),
            Trouble::WrongType => Ok(json!({ "AppId": "many", "QueryOnlineResults": [] })),
            Trouble::MissingField => Ok(json!({})),
        };
        let mut reply = self.reply(request, outcome);
        if let Trouble::Throttled { retry_after_s: Some(seconds) } = trouble {
            reply.headers.push(("Retry-After", seconds.to_string()));
        }
        reply
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        let mut keys = vec![
            ("access_key_id", quoted(&self.options.key_id)),
            ("access_key_secret", quoted(&self.options.secret)),
        ];
        keys.extend(self.options.token.as_ref().map(|token| ("session_token", quoted(token))));
        keys.extend(role::account_keys(&self.options, base));
        keys
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        vec![("app_id", population.scope.clone())]
    }
}

struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("HMAC-SHA256 ")?.split(',').map(str::trim);
        let parsed = Self {
            credential: parts.next()?.strip_prefix("Credential=")?,
            signed_headers: parts.next()?.strip_prefix("SignedHeaders=")?,
            signature: parts.next()?.strip_prefix("Signature=")?,
        };
        parts.next().is_none().then_some(parsed)
    }
}

struct Scope<'a> {
    key_id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Scope<'a> {
    fn parse(credential: &'a str) -> Option<Self> {
        let parts: Vec<&str> = credential.split('/').collect();
        let &[key_id, day, region, service, "request"] = parts.as_slice() else { return None };
        Some(Self { key_id, day, region, service })
    }
}

fn parameter(request: &SimRequest<'_>, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn connections(population: &Population, id: i64, now_ms: i64) -> Vec<Value> {
    let Some(subject) = population.find(&id.to_string()) else { return Vec::new() };
    subject.open(now_ms).map(|session| connection(id, session)).collect()
}

fn connection(user_id: i64, session: &SimSession) -> Value {
    let platform = match session.platform {
        Platform::Android => "Android",
        Platform::Ios => "iOS",
        Platform::Web => "Web",
        other => other.as_str(),
    };
    json!({
        "ConnId": format!("conn-{:016x}", session.id),
        "UserId": user_id,
        "DeviceId": session.id >> 1,
        "ClientVersion": 1,
        "Platform": platform,
    })
}

/// A text as a YAML scalar: JSON's quoting is YAML's too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
