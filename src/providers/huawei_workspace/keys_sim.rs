//! For the simulator: whoever hands out temporary keys of Huawei Cloud, at the address of the API that they stand before:
//! the metadata of an ECS instance, and IAM for an id token.
//!
//! The keys are such that the simulated gateway can verify them.
//!
//! | switch | meaning |
//! | --- | --- |
//! | `credentials` | `ecs` or `id_token`: what the account is told, and what is handed out; no other key is taken |
//! | `key_life_s` | seconds that a key lives; else what was asked for, or an hour |
//! | `id_token` | the id token that IAM takes |
//! | `id_token_file` | the file that the account is told to read it from |
//! | `metadata` = `plain` | the instance gives no metadata token (404), and asks for none |

use serde_json::{Value, json};

use super::keys::{ID_TOKEN, METADATA, SECURITY_TOKEN};
use super::sim::{KEY_START, PROJECT_ID, REGION, Simulated};
use crate::providers::credentials::minted::mint;
use crate::providers::hash::{same, sha256_hex};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Trouble, World};

/// The identity provider that IAM knows.
const IDP: &str = "sim-idp";
/// How long a key of the metadata lives unless a switch says otherwise, in seconds.
const LIFE_S: u32 = 3600;

/// The simulated API with whoever hands out keys for it.
pub struct Issuing {
    api: Simulated,
    options: SimOptions,
    serial: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    MetadataToken,
    InstanceKey,
    IdToken,
    TokensKey,
}

impl Asked {
    fn of(request: &SimRequest<'_>) -> Option<Self> {
        match request.path {
            "/meta-data/latest/api/token" => Some(Self::MetadataToken),
            "/openstack/latest/securitykey" => Some(Self::InstanceKey),
            "/v3.0/OS-AUTH/id-token/tokens" => Some(Self::IdToken),
            "/v3.0/OS-CREDENTIAL/securitytokens" => Some(Self::TokensKey),
            _ => None,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::MetadataToken | Self::InstanceKey => METADATA.name,
            Self::IdToken => ID_TOKEN.name,
            Self::TokensKey => SECURITY_TOKEN.name,
        }
    }
}

impl Issuing {
    /// The API of these options, and keys for it.
    pub fn new(options: SimOptions) -> Self {
        Self { api: Simulated::new(options.clone()), options, serial: 0 }
    }

    fn is_way(&self, way: &str) -> bool {
        self.options.switch("credentials") == Some(way)
    }

    /// What is given for the account's secret; metadata's and IAM's tokens here live for ever.
    fn token(&self, start: &str) -> String {
        format!("{start}{}", sha256_hex(format!("{start} {}", self.options.secret).as_bytes()))
    }

    fn key(&mut self, now_ms: i64, asked_s: u32) -> Value {
        self.serial += 1;
        let told = self.options.switch("key_life_s").and_then(|text| text.parse::<u32>().ok());
        let ends_ms = now_ms + i64::from(told.unwrap_or(asked_s)) * 1000;
        let key = mint(&self.options.secret, KEY_START, ends_ms, self.serial);
        let ends = jiff::Timestamp::from_millisecond(ends_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        json!({"credential": {
            "access": key.key_id,
            "secret": key.secret,
            "securitytoken": key.token,
            // With a fraction, since the vendor's own client reads no other form.
            "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string(),
        }})
    }

    fn issue(&mut self, asked: Asked, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let plain = self.options.switch("metadata") == Some("plain");
        let body: Value = serde_json::from_slice(request.body).unwrap_or_default();
        let known = |sent: Option<&str>, token: &str| {
            sent.is_some_and(|sent| same(sent.as_bytes(), token.as_bytes()))
        };
        let expected = if self.is_way("ecs") { http::Method::PUT } else { http::Method::POST };
        let method = if asked == Asked::InstanceKey { http::Method::GET } else { expected };
        let way = if matches!(asked, Asked::MetadataToken | Asked::InstanceKey) { "ecs" } else { "id_token" };
        if !self.is_way(way) || *request.method != method {
            return iam(asked, 404, "Not Found");
        }
        match asked {
            Asked::MetadataToken if plain => iam(asked, 404, "Not Found"),
            Asked::MetadataToken => match request.header("x-metadata-token-ttl-seconds") {
                Some("21600") => text(asked, &self.token("SIMMETA.")),
                _ => iam(asked, 400, "Bad Request"),
            },
            Asked::InstanceKey => {
                if !plain && !known(request.header("x-metadata-token"), &self.token("SIMMETA.")) {
                    return iam(asked, 401, "Unauthorized");
                }
                let key = self.key(now_ms, LIFE_S);
                reply(asked, 200, &key)
            }
            Asked::IdToken => {
                let token = self.options.switch("id_token").unwrap_or_default();
                let good = known(body["auth"]["id_token"]["id"].as_str(), token);
                if !good || request.header("x-idp-id") != Some(IDP) {
                    return iam(asked, 401, "The id token is invalid.");
                }
                let mut reply = reply(asked, 201, &json!({"token": {"methods": ["mapped"]}}));
                reply.headers.push(("x-subject-token", self.token("MIISIM")));
                reply
            }
            Asked::TokensKey => {
                let identity = &body["auth"]["identity"];
                if !known(identity["token"]["id"].as_str(), &self.token("MIISIM")) {
                    return iam(asked, 401, "The token is invalid.");
                }
                let seconds = identity["token"]["duration_seconds"].as_u64();
                let seconds = seconds.filter(|seconds| (900..=86_400).contains(seconds));
                let Some(seconds) = seconds.and_then(|seconds| u32::try_from(seconds).ok()) else {
                    return iam(asked, 400, "The request body is invalid");
                };
                let key = self.key(now_ms, seconds);
                reply(asked, 201, &key)
            }
        }
    }
}

fn reply(asked: Asked, status: u16, body: &Value) -> SimReply {
    let headers = vec![("content-type", "application/json".to_owned())];
    SimReply { action: asked.action(), status, headers, body: body.to_string().into_bytes() }
}

fn text(asked: Asked, body: &str) -> SimReply {
    let headers = vec![("content-type", "text/plain".to_owned())];
    SimReply { action: asked.action(), status: 200, headers, body: body.as_bytes().to_vec() }
}

fn iam(asked: Asked, status: u16, message: &str) -> SimReply {
    reply(asked, status, &json!({"error": {"code": status, "message": message, "title": "Error"}}))
}

impl SimApi for Issuing {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        Asked::of(request).is_some() || self.api.claims(request)
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        match Asked::of(request) {
            Some(asked) => self.issue(asked, now_ms, request),
            None => self.api.answer(world, now_ms, request),
        }
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let Some(asked) = Asked::of(request) else { return self.api.trouble(trouble, request) };
        match trouble {
            Trouble::Throttled { .. } => iam(asked, 429, "Too Many Requests"),
            // 503 would mean an instance that knows no tokens.
            Trouble::ServerError | Trouble::ErrorUnder200 => iam(asked, 500, "Internal Server Error"),
            Trouble::Forbidden => iam(asked, 403, "Forbidden"),
            Trouble::Unauthorized => iam(asked, 401, "Unauthorized"),
            Trouble::WrongType => reply(asked, 200, &json!({"credential": 17})),
            Trouble::MissingField => reply(asked, 200, &json!({"credential": {}})),
        }
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        let quoted = |text: &str| Value::from(text).to_string();
        let project = self.options.switch("project_id").unwrap_or(PROJECT_ID);
        let mut keys = vec![("region", REGION.to_owned()), ("project_id", quoted(project))];
        if self.is_way("ecs") {
            keys.extend([("credentials", "ecs".to_owned()), ("metadata_endpoint", quoted(base))]);
        } else {
            let file = self.options.switch("id_token_file").unwrap_or_default();
            keys.extend([
                ("credentials", "id_token".to_owned()),
                ("idp_id", IDP.to_owned()),
                ("id_token_file", quoted(file)),
                ("iam_endpoint", quoted(base)),
            ]);
        }
        keys
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        self.api.source_keys(population)
    }
}
