//! For the simulator: whoever hands out keys of Alibaba Cloud. STS behind the simulated gateway, the metadata of an ECS
//! instance, and a local service, all at the address of the products that they stand before.
//!
//! The keys are such that every simulated product can verify them (`credentials::minted`). With the switch `credentials` the products
//! take no other key: the account's own may only assume the role.
//!
//! | switch | meaning |
//! | --- | --- |
//! | `credentials` | `role`, `oidc`, `ecs` or `uri`: what the account is told, and what is handed out |
//! | `key_life_s` | seconds that a key lives; else what was asked for, or an hour |
//! | `oidc_token` | the token that the role's trust takes; others are refused |
//! | `oidc_token_file` | the file that the account is told to read it from |
//! | `metadata` = `plain` | the instance gives no metadata token, and asks for none |

use std::collections::VecDeque;

use http::Method;
use serde_json::{Value, json};

use super::credentials::fetch::{ASSUME_ROLE, ASSUME_ROLE_WITH_OIDC, CREDENTIALS_URI, METADATA, STS_VERSION};
use super::gateway::{Gateway, KEY_START, Params, Product, Refusal};
use crate::providers::credentials::minted::{Minted, mint};
use crate::providers::hash::{same, sha256_hex};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Trouble, World};

/// The role that may be assumed.
const ROLE: &str = "acs:ram::1234567890123456:role/sim-presence";
/// The provider that it trusts.
const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/sim-cluster";
/// The instance's role.
const ECS_ROLE: &str = "sim-instance";
/// Where the local service hands keys out; the question's text is as secret as a key.
const URI: &str = "/sim-credentials";
const URI_SECRET: &str = "SIMURI.4711";
/// What metadata tokens begin with.
const METADATA_TOKEN: &str = "SIMMETA.";
/// Metadata tokens that are remembered.
const TOKENS_MAX: usize = 64;
/// How long a key lives if nobody says otherwise: "`DurationSeconds` … default 3600".
const LIFE_S: i64 = 3600;

const STS: Product = Product {
    code: "Sts",
    host: "sts",
    version: STS_VERSION,
    actions: &["AssumeRole", "AssumeRoleWithOIDC"],
};

/// A simulated product with whoever hands out keys for it.
pub struct Issuing<A> {
    api: A,
    options: SimOptions,
    gateway: Gateway,
    serial: u64,
    /// Metadata tokens with their ends.
    tokens: VecDeque<(String, i64)>,
}

/// What a request asks whoever hands out keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Role,
    Oidc,
    MetadataToken,
    RoleName,
    InstanceKey,
    Uri,
}

impl Asked {
    fn of(request: &SimRequest<'_>) -> Option<Self> {
        const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
        if request.header("x-acs-version") == Some(STS_VERSION) {
            return Some(Self::Role);
        }
        match request.path {
            "/latest/api/token" => Some(Self::MetadataToken),
            ROLES => Some(Self::RoleName),
            URI => Some(Self::Uri),
            path if path.starts_with(ROLES) => Some(Self::InstanceKey),
            "/" if request.query.contains("Action=AssumeRoleWithOIDC") => Some(Self::Oidc),
            _ => None,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Role => ASSUME_ROLE.name,
            Self::Oidc => ASSUME_ROLE_WITH_OIDC.name,
            Self::MetadataToken | Self::RoleName | Self::InstanceKey => METADATA.name,
            Self::Uri => CREDENTIALS_URI.name,
        }
    }
}

impl<A: SimApi> Issuing<A> {
    /// This product, and keys for it.
    pub fn new(api: A, options: SimOptions) -> Self {
        let gateway = Gateway::new(&STS, options.clone());
        Self { api, options, gateway, serial: 0, tokens: VecDeque::new() }
    }

    fn life_ms(&self, asked_s: i64) -> i64 {
        let told = self.options.switch("key_life_s").and_then(|text| text.parse::<u32>().ok());
        told.map_or(asked_s, i64::from) * 1000
    }

    fn mint(&mut self, ends_ms: i64) -> Minted {
        self.serial += 1;
        mint(&self.options.secret, KEY_START, ends_ms, self.serial)
    }

    fn assume_role(&mut self, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let issued = self.gateway.admit(now_ms, request).and_then(|admitted| {
            self.of_role(now_ms, &admitted.params, admitted.action)
                .map_err(|refusal| self.gateway.refuse(request, &refusal))
        });
        match issued {
            Ok(fields) => self.gateway.accept(ASSUME_ROLE.name, fields),
            Err(refused) => refused,
        }
    }

    fn assume_role_with_oidc(&mut self, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let issued = check_oidc(request).and_then(|params| {
            let told = params.filled("OIDCToken").ok_or_else(|| Refusal::missing("OIDCToken"))?;
            let known = self.options.switch("oidc_token").unwrap_or_default();
            if params.filled("OIDCProviderArn") != Some(PROVIDER) {
                let words = "The specified OIDC provider does not exist.";
                return Err(Refusal::new(404, "EntityNotExist.OIDCProvider", words));
            }
            if !same(told.as_bytes(), known.as_bytes()) {
                let words = "This OIDC token is invalid.";
                return Err(Refusal::new(400, "AuthenticationFail.OIDCToken.Invalid", words));
            }
            self.of_role(now_ms, &params, ASSUME_ROLE_WITH_OIDC.name)
        });
        match issued {
            Ok(fields) => self.gateway.accept(ASSUME_ROLE_WITH_OIDC.name, fields),
            Err(refusal) => {
                let refused = self.gateway.refuse(request, &refusal);
                SimReply { action: ASSUME_ROLE_WITH_OIDC.name, ..refused }
            }
        }
    }

    fn of_role(&mut self, now_ms: i64, params: &Params, action: &str) -> Result<Value, Refusal> {
        let session = params.filled("RoleSessionName").ok_or_else(|| Refusal::missing("RoleSessionName"))?;
        let seconds = params.get("DurationSeconds").map_or(Some(LIFE_S), |text| text.parse().ok());
        let seconds = seconds.filter(|seconds| (900..=43_200).contains(seconds));
        let seconds = seconds.ok_or_else(|| Refusal::invalid("Parameter.DurationSeconds"))?;
        if params.filled("RoleArn").ok_or_else(|| Refusal::missing("RoleArn"))? != ROLE {
            return Err(Refusal::new(404, "EntityNotExist.Role", "The specified role does not exist."));
        }
        if self.way() != Some(if action == ASSUME_ROLE.name { "role" } else { "oidc" }) {
            let words = "You are not authorized to do this action. You should be authorized by RAM.";
            return Err(Refusal::new(403, "NoPermission", words));
        }
        let assumed = format!("{ROLE}/{session}").replace(":role/", ":assumed-role/");
        let key = self.mint(now_ms + self.life_ms(seconds));
        Ok(json!({
            "AssumedRoleUser": {"Arn": assumed, "AssumedRoleId": format!("33000000:{session}")},
            "Credentials": fields(&key),
        }))
    }

    fn way(&self) -> Option<&str> {
        self.options.switch("credentials")
    }

    /// Tokens are given for a `PUT` with a life of 1 to 21600 seconds, and asked for by every `GET`.
    fn metadata(&mut self, asked: Asked, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let plain = self.options.switch("metadata") == Some("plain");
        if self.way() != Some("ecs") {
            return page(METADATA.name, 404, "no instance");
        }
        if asked == Asked::MetadataToken {
            let life_s = request.header("x-aliyun-ecs-metadata-token-ttl-seconds");
            let life_s = life_s.and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
            if plain || *request.method != Method::PUT {
                return page(METADATA.name, 404, "no such page");
            }
            if !(1..=21_600).contains(&life_s) {
                return page(METADATA.name, 400, "a token lives for 1 to 21600 seconds");
            }
            self.serial += 1;
            let token = format!("{METADATA_TOKEN}{}", sha256_hex(self.serial.to_string().as_bytes()));
            self.tokens.push_back((token.clone(), now_ms + life_s * 1000));
            if self.tokens.len() > TOKENS_MAX {
                self.tokens.pop_front();
            }
            return page(METADATA.name, 200, &token);
        }
        let sent = request.header("x-aliyun-ecs-metadata-token").unwrap_or_default();
        if !plain && !self.tokens.iter().any(|(token, ends_ms)| token == sent && now_ms < *ends_ms) {
            return page(METADATA.name, 403, "a token is needed");
        }
        if asked == Asked::RoleName {
            return page(METADATA.name, 200, ECS_ROLE);
        }
        if !request.path.ends_with(&format!("/{ECS_ROLE}")) {
            return page(METADATA.name, 404, "no such role");
        }
        let key = self.instance_key(now_ms);
        handed_out(METADATA.name, &key)
    }

    /// The same key for half of its life, then the next one.
    fn instance_key(&self, now_ms: i64) -> Minted {
        let life_ms = self.life_ms(LIFE_S).max(2);
        let turn = now_ms.div_euclid(life_ms / 2);
        let serial = turn.unsigned_abs();
        mint(&self.options.secret, KEY_START, turn * (life_ms / 2) + life_ms, serial)
    }

    fn hand_out(&mut self, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        if self.way() != Some("uri") || request.query != format!("for={URI_SECRET}") {
            return page(CREDENTIALS_URI.name, 403, "not for you");
        }
        let key = self.mint(now_ms + self.life_ms(LIFE_S));
        handed_out(CREDENTIALS_URI.name, &key)
    }
}

/// This call is not signed, and has its common parameters in the query.
fn check_oidc(request: &SimRequest<'_>) -> Result<Params, Refusal> {
    let params = Params::of(request).ok_or_else(|| Refusal::invalid("Parameter"))?;
    if *request.method != Method::POST && *request.method != Method::GET {
        return Err(Refusal::new(400, "UnsupportedHTTPMethod", "This http method is not supported."));
    }
    if params.filled("Version") != Some(STS_VERSION) {
        return Err(Refusal::invalid("Version"));
    }
    if request.query.contains("OIDCToken") {
        // The real service takes it there too; nobody who cares for logs sends it so.
        return Err(Refusal::invalid("OIDCToken"));
    }
    params.filled("Timestamp").ok_or_else(|| Refusal::missing("Timestamp"))?;
    Ok(params)
}

fn fields(key: &Minted) -> Value {
    let ends = jiff::Timestamp::from_millisecond(key.ends_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    json!({
        "AccessKeyId": key.key_id,
        "AccessKeySecret": key.secret,
        "SecurityToken": key.token,
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}

fn handed_out(action: &'static str, key: &Minted) -> SimReply {
    let mut body = fields(key);
    body["Code"] = "Success".into();
    let headers = vec![("content-type", "application/json".into())];
    SimReply { action, status: 200, headers, body: body.to_string().into_bytes() }
}

fn page(action: &'static str, status: u16, text: &str) -> SimReply {
    let headers = vec![("content-type", "text/plain".into())];
    SimReply { action, status, headers, body: text.as_bytes().to_vec() }
}

impl<A: SimApi> SimApi for Issuing<A> {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        Asked::of(request).is_some() || self.api.claims(request)
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        match Asked::of(request) {
            None => self.api.answer(world, now_ms, request),
            Some(Asked::Role) => self.assume_role(now_ms, request),
            Some(Asked::Oidc) => self.assume_role_with_oidc(now_ms, request),
            Some(Asked::Uri) => self.hand_out(now_ms, request),
            Some(asked) => self.metadata(asked, now_ms, request),
        }
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let Some(asked) = Asked::of(request) else { return self.api.trouble(trouble, request) };
        let reply = match (asked, Refusal::of(trouble)) {
            (Asked::Role | Asked::Oidc, Some(refusal)) => self.gateway.refuse(request, &refusal),
            (Asked::Role | Asked::Oidc, None) if trouble == Trouble::WrongType => {
                self.gateway.accept(asked.action(), json!({"Credentials": "none"}))
            }
            (Asked::Role | Asked::Oidc, None) => self.gateway.accept(asked.action(), json!({})),
            (_, Some(refusal)) => page(asked.action(), refusal.status(), "not now"),
            (_, None) => page(asked.action(), 200, "{}"),
        };
        SimReply { action: asked.action(), ..reply }
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        let quoted = |text: &str| Value::from(text).to_string();
        let Some(way) = self.way() else { return self.api.account_keys(base) };
        let mut keys = self.api.account_keys(base);
        if way != "role" {
            keys.retain(|(name, _)| *name == "region");
        }
        keys.push(("credentials", way.to_owned()));
        match way {
            "role" => keys.extend([("role_arn", quoted(ROLE)), ("sts_endpoint", quoted(base))]),
            "oidc" => {
                let file = self.options.switch("oidc_token_file").unwrap_or_default();
                keys.extend([
                    ("role_arn", quoted(ROLE)),
                    ("oidc_provider_arn", quoted(PROVIDER)),
                    ("oidc_token_file", quoted(file)),
                    ("sts_endpoint", quoted(base)),
                ]);
            }
            "ecs" => keys.push(("metadata_endpoint", quoted(base))),
            _ => keys.push(("credentials_uri", quoted(&format!("{base}{URI}?for={URI_SECRET}")))),
        }
        keys
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        self.api.source_keys(population)
    }
}
