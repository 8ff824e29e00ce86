//! For the simulator: the gateway that stands before every product. It checks a request as received, byte by byte, in
//! the order that the vendor's error lists suggest, and refuses in the vendor's words.
//!
//! It shares [`hash`] with the signer and nothing else: what it decodes, encodes, sorts and joins, it does by itself.
//! It keeps nonces, bounded. It speaks V3 only, and answers in JSON only.
//!
//! Switches, for both products:
//!
//! | switch | meaning |
//! | --- | --- |
//! | `credentials` | keys are handed out, and no other is taken; see `sts_sim.rs` |
//! | `key_inactive` = `true` | the key is disabled |
//! | `token_expires_ms` | Unix milliseconds from which the token is expired |
//! | `forbidden` | an action that the key may not call, or `*` |
//! | `requests_per_second` | calls in one second of the clock beyond which it answers with flow control |
//! | `clock_tolerance_s` | seconds that a date may be off; 900 if absent |
//! | `clock_ahead_s` | seconds by which the gateway's clock is ahead of everybody else's, or behind if negative |

mod authorization;
mod nonces;
mod query;
mod refusal;

pub use query::Params;
pub use refusal::Refusal;

use authorization::{Authorization, check_authorization};
use http::Method;
use nonces::Nonces;
use query::canonical;
use serde_json::{Value, json};

use crate::providers::credentials::minted::{self, Minted};
use crate::providers::hash;
use crate::providers::sim::{SimOptions, SimReply, SimRequest};

/// The algorithm that it knows.
const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// What the ids of temporary keys begin with.
pub const KEY_START: &str = "STS.";

/// How far a date may be off: "15 min" (the text on V3).
const CLOCK_TOLERANCE_S: i64 = 15 * 60;

/// The longest nonce that is looked at; the SDKs send 32 digits or a UUID.
const NONCE_BYTES: usize = 128;

/// What a gateway knows of the product behind it.
pub struct Product {
    /// The product's code in links, such as `Smartag`.
    pub code: &'static str,
    /// The first label of its host names; with `-vpc` too.
    pub host: &'static str,
    /// Its only version.
    pub version: &'static str,
    /// Its actions.
    pub actions: &'static [&'static str],
}

/// A request that passed.
pub struct Admitted {
    /// What is asked.
    pub action: &'static str,
    /// With what.
    pub params: Params,
}

/// The gateway before one product.
pub struct Gateway {
    product: &'static Product,
    options: SimOptions,
    nonces: Nonces,
    replies: u64,
    second: (i64, u64),
}

impl Gateway {
    /// A gateway that knows the one key of these options.
    pub fn new(product: &'static Product, options: SimOptions) -> Self {
        Self { product, options, nonces: Nonces::default(), replies: 0, second: (0, 0) }
    }

    /// Whether a request is meant for this product: it names its version, or one of its actions.
    pub fn claims(&self, request: &SimRequest<'_>) -> bool {
        request.header("x-acs-version") == Some(self.product.version)
            || request.header("x-acs-action").is_some_and(|name| self.product.actions.contains(&name))
    }

    /// Lets a request pass, or says why not, as a reply.
    pub fn admit(&mut self, now_ms: i64, request: &SimRequest<'_>) -> Result<Admitted, SimReply> {
        match self.check(now_ms, request) {
            Ok(admitted) => Ok(admitted),
            Err(refusal) => Err(self.refuse(request, &refusal)),
        }
    }

    /// Answers as the product behind it does: `fields` says what a good reply to an action holds.
    pub fn answer(
        &mut self,
        now_ms: i64,
        request: &SimRequest<'_>,
        fields: impl FnOnce(&'static str, &Params) -> Result<Value, Refusal>,
    ) -> SimReply {
        let Admitted { action, params } = match self.admit(now_ms, request) {
            Ok(admitted) => admitted,
            Err(refused) => return refused,
        };
        match fields(action, &params) {
            Ok(fields) => self.accept(action, fields),
            Err(refusal) => self.refuse(request, &refusal),
        }
    }

    /// The reply that refuses.
    pub fn refuse(&mut self, request: &SimRequest<'_>, refusal: &Refusal) -> SimReply {
        let id = self.request_id();
        let (code, product) = (&refusal.code, self.product.code);
        let mut body = json!({
            "RequestId": id,
            "HostId": request.header("host").unwrap_or_default(),
            "Code": code,
            "Message": refusal.message,
            "Recommend": format!("https://api.aliyun.com/troubleshoot?q={code}&product={product}&requestId={id}"),
        });
        if code.starts_with("Forbidden.RAM") {
            body["AccessDeniedDetail"] = json!({
                "AuthAction": format!("{}:{}", self.product.host, self.action_of(request)),
                "PolicyType": "AccountLevelIdentityBasedPolicy",
                "NoPermissionType": "ImplicitDeny",
            });
        }
        let mut reply = reply(self.action_of(request), refusal.status, &id, &body);
        if let Some(ms) = refusal.retry_after_ms {
            reply.headers.push(("x-acs-retry-after", ms.to_string()));
        }
        reply
    }

    /// A good reply of these fields, with its `RequestId`.
    pub fn accept(&mut self, action: &'static str, mut fields: Value) -> SimReply {
        let id = self.request_id();
        fields["RequestId"] = Value::String(id.clone());
        reply(action, 200, &id, &fields)
    }

    /// A good reply that lacks its `RequestId`.
    pub fn accept_without_id(&mut self, action: &'static str, fields: &Value) -> SimReply {
        let id = self.request_id();
        reply(action, 200, &id, fields)
    }

    /// The action that a request names, if it is one of the product's.
    pub fn action_of(&self, request: &SimRequest<'_>) -> &'static str {
        let named = request.header("x-acs-action").unwrap_or_default();
        self.product.actions.iter().copied().find(|action| *action == named).unwrap_or_default()
    }

    /// The account's keys that make the exporter sign as this gateway expects.
    pub fn account_keys(&self) -> Vec<(&'static str, String)> {
        let quoted = |text: &str| Value::from(text).to_string();
        let mut keys = vec![
            ("region", quoted("cn-shanghai")),
            ("access_key_id", quoted(&self.options.key_id)),
            ("access_key_secret", quoted(&self.options.secret)),
        ];
        keys.extend(self.options.token.as_deref().map(|token| ("security_token", quoted(token))));
        keys
    }

    fn check(&mut self, now_ms: i64, request: &SimRequest<'_>) -> Result<Admitted, Refusal> {
        let now_ms = now_ms + self.seconds("clock_ahead_s").unwrap_or(0) * 1000;
        let action = self.check_address(request)?;
        let authorization = check_authorization(request)?;
        self.nonces.forget_expired(now_ms);
        let nonce = self.check_date_and_nonce(now_ms, request, &authorization)?;
        self.check_key(now_ms, request, &authorization)?;
        self.check_signature(request, &authorization)?;
        self.nonces.remember(nonce, now_ms + 2 * self.tolerance_ms());
        if self.options.switch("forbidden").is_some_and(|named| named == "*" || named == action) {
            return Err(Refusal::forbidden());
        }
        self.check_flow(now_ms)?;
        check_accept(request)?;
        let params = Params::of(request).ok_or_else(|| Refusal::invalid("Parameter"))?;
        Ok(Admitted { action, params })
    }

    /// Host, method, path, action, version.
    fn check_address(&self, request: &SimRequest<'_>) -> Result<&'static str, Refusal> {
        if !request.header("host").is_some_and(|host| self.serves(host)) {
            let words = "Cannot find product according to your specified domain.";
            return Err(Refusal::new(404, "InvalidProduct.NotFound", words));
        }
        if !matches!(*request.method, Method::GET | Method::POST) {
            return Err(Refusal::new(400, "UnsupportedHTTPMethod", "This http method is not supported."));
        }
        let action = self.action_of(request);
        if action.is_empty() || request.path != "/" {
            let words = "Specified api is not found, please check your url and method.";
            return Err(Refusal::new(404, "InvalidAction.NotFound", words));
        }
        if request.header("x-acs-version") != Some(self.product.version) {
            return Err(Refusal::invalid("Version"));
        }
        Ok(action)
    }

    /// Of the vendor's own domain only this product's hosts; elsewhere any, since a simulator is reached by any name.
    fn serves(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let Some(rest) = name.strip_suffix(".aliyuncs.com") else { return !host.is_empty() };
        let first = rest.split('.').next().unwrap_or_default();
        first.strip_suffix("-vpc").unwrap_or(first) == self.product.host
    }

    fn check_date_and_nonce(
        &self,
        now_ms: i64,
        request: &SimRequest<'_>,
        authorization: &Authorization<'_>,
    ) -> Result<u128, Refusal> {
        let Some(date) = request.header("x-acs-date") else {
            let words = "The input parameter \"Timestamp\" that is mandatory for processing this request is not supplied.";
            return Err(Refusal::new(400, "MissingTimestamp", words));
        };
        let Some(date_ms) = date_ms(date) else {
            let words = "Specified time stamp or date value is not well formatted.";
            return Err(Refusal::new(400, "InvalidTimeStamp.Format", words));
        };
        if now_ms.abs_diff(date_ms) > self.tolerance_ms().unsigned_abs() {
            let words = "Specified time stamp or date value is expired.";
            return Err(Refusal::new(400, "InvalidTimeStamp.Expired", words));
        }
        let nonce = request.header("x-acs-signature-nonce").unwrap_or_default();
        if nonce.is_empty() {
            return Err(Refusal::missing("SignatureNonce"));
        }
        if nonce.len() > NONCE_BYTES {
            return Err(Refusal::invalid("SignatureNonce"));
        }
        let nonce = Nonces::key(authorization.key_id, nonce);
        if self.nonces.has(nonce) {
            let words = "Specified signature nonce was used already.";
            return Err(Refusal::new(400, "SignatureNonceUsed", words));
        }
        Ok(nonce)
    }

    fn check_key(
        &self,
        now_ms: i64,
        request: &SimRequest<'_>,
        authorization: &Authorization<'_>,
    ) -> Result<(), Refusal> {
        let key_id = authorization.key_id;
        if let Some(minted) = self.minted(request, key_id) {
            if now_ms < minted.ends_ms {
                return Ok(());
            }
            let words = "Specified SecurityToken is expired.";
            return Err(Refusal::new(400, "InvalidSecurityToken.Expired", words));
        }
        // Where keys are handed out, the account's own one may only get them.
        let handed_out = self.options.switch("credentials").is_some() && self.product.host != "sts";
        if key_id != self.options.key_id || handed_out {
            return Err(Refusal::unknown_key());
        }
        if self.options.switch("key_inactive") == Some("true") {
            return Err(Refusal::new(
                400,
                "InvalidAccessKeyId.Inactive",
                "Specified access key is disabled.",
            ));
        }
        let token_error = |code: &'static str, words: &'static str| Err(Refusal::new(400, code, words));
        let mismatch = || {
            token_error(
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
            )
        };
        match (request.header("x-acs-security-token"), self.options.token.as_deref()) {
            (None, None) if !key_id.starts_with("STS.") => Ok(()),
            (None, _) => token_error("MissingSecurityToken", "SecurityToken is mandatory for this action."),
            (Some(sent), _) if sent.is_empty() || !sent.bytes().all(|b| b.is_ascii_graphic()) => {
                token_error("InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
            }
            (Some(_), None) => mismatch(),
            (Some(sent), Some(known)) if !hash::same(sent.as_bytes(), known.as_bytes()) => mismatch(),
            (Some(_), Some(_)) => {
                let expires = self.options.switch("token_expires_ms").and_then(|ms| ms.parse::<i64>().ok());
                if expires.is_some_and(|at| now_ms >= at) {
                    let words = "Specified SecurityToken is expired.";
                    return token_error("InvalidSecurityToken.Expired", words);
                }
                if request.header("x-acs-accesskey-id").is_some_and(|id| id != key_id) {
                    return mismatch();
                }
                Ok(())
            }
        }
    }

    /// The temporary key of this id, if the request's token says that there is one.
    fn minted(&self, request: &SimRequest<'_>, key_id: &str) -> Option<Minted> {
        let token = request.header("x-acs-security-token")?;
        minted::find(&self.options.secret, KEY_START, token).filter(|minted| minted.key_id == key_id)
    }

    /// Recomputes everything over what was received.
    fn check_signature(
        &self,
        request: &SimRequest<'_>,
        authorization: &Authorization<'_>,
    ) -> Result<(), Refusal> {
        let payload = hash::sha256_hex(request.body);
        let canonical = canonical(request, authorization.signed_headers, &payload);
        let to_sign = format!("{ALGORITHM}\n{}", hash::sha256_hex(&canonical));
        let minted = self.minted(request, authorization.key_id);
        let secret = minted.as_ref().map_or(&self.options.secret, |minted| &minted.secret);
        let expected = hash::hmac_sha256_hex(secret.as_bytes(), to_sign.as_bytes());
        let stated = request.header("x-acs-content-sha256").unwrap_or_default();
        let same_payload = hash::same(stated.as_bytes(), payload.as_bytes());
        if same_payload && hash::same(authorization.signature.as_bytes(), expected.as_bytes()) {
            return Ok(());
        }
        let canonical = String::from_utf8_lossy(&canonical);
        let words = format!(
            "Specified signature does not match our calculation. server StringToSign is [{to_sign}] \
             server CanonicalRequest is [{canonical}]"
        );
        Err(Refusal::new(400, "SignatureDoesNotMatch", words))
    }

    fn check_flow(&mut self, now_ms: i64) -> Result<(), Refusal> {
        let second = now_ms.div_euclid(1000);
        let calls = if self.second.0 == second { self.second.1 + 1 } else { 1 };
        self.second = (second, calls);
        let limit = self.options.switch("requests_per_second").and_then(|n| n.parse::<u64>().ok());
        if limit.is_some_and(|limit| calls > limit) { Err(Refusal::throttled()) } else { Ok(()) }
    }

    fn tolerance_ms(&self) -> i64 {
        self.seconds("clock_tolerance_s").map_or(CLOCK_TOLERANCE_S, |s| s.max(0)) * 1000
    }

    fn seconds(&self, switch: &str) -> Option<i64> {
        self.options.switch(switch).and_then(|s| s.parse::<i32>().ok()).map(i64::from)
    }

    /// An id in the form of an upper-case UUID, new for each reply.
    fn request_id(&mut self) -> String {
        self.replies += 1;
        let digits = hash::sha256_hex(format!("{}:{}", self.product.code, self.replies).as_bytes());
        let digits = digits.to_ascii_uppercase();
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]].join("-")
    }
}

fn reply(action: &'static str, status: u16, id: &str, body: &Value) -> SimReply {
    SimReply {
        action,
        status,
        headers: vec![
            ("content-type", "application/json;charset=utf-8".into()),
            ("x-acs-request-id", id.to_owned()),
        ],
        body: body.to_string().into_bytes(),
    }
}

fn check_accept(request: &SimRequest<'_>) -> Result<(), Refusal> {
    let accept = request.header("accept").unwrap_or("*/*");
    if accept.contains("json") || accept.contains("*/*") {
        return Ok(());
    }
    Err(Refusal::new(400, "InvalidParameter.Accept", "Specified parameter format is not valid."))
}

/// `yyyy-MM-ddTHH:mm:ssZ`, in Unix milliseconds.
fn date_ms(text: &str) -> Option<i64> {
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        19 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    let formed = text.len() == 20 && text.bytes().enumerate().all(shape);
    formed.then(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)).flatten()
}

#[cfg(test)]
mod tests;
