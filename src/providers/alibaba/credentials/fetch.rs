//! Asks whoever hands out keys: STS for a role's, the ECS instance's metadata, a local service.
//!
//! Each is one question of a few requests, which pay the account's budget. What is wrong with an answer is told in our
//! words and the provider's code; nothing of an answer is ever printed, since all of it is secret.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;

use super::{Credentials, is_header_word};
use crate::config::Secret;
use crate::domain::Fault;
use crate::ports::{Env, Request};
use crate::providers::alibaba::rpc::{self, Address};
use crate::providers::credentials::{Fetched, charge, life, time_ms};
use crate::providers::http::{Failure, Net, Reply, Stamp, status_failure};
use crate::providers::{Action, Charge};

/// The version of STS.
pub const STS_VERSION: &str = "2015-04-01";

/// The longest OIDC token: "4 to 20,000 characters" (`AssumeRoleWithOIDC`, `OIDCToken`).
const OIDC_TOKEN_BYTES: u64 = 20_000;

/// How long a metadata token lives, in seconds: what the vendor's clients ask for, and the most that is allowed.
const METADATA_TOKEN_S: &str = "21600";

/// Assumes a role with a key.
pub static ASSUME_ROLE: Action = Action {
    name: "AssumeRole",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "STS API, AssumeRole: DurationSeconds from 900, 3600 if absent; a key is renewed in its last quarter hour",
};

/// Assumes a role with an OIDC token.
pub static ASSUME_ROLE_WITH_OIDC: Action = Action {
    name: "AssumeRoleWithOIDC",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "STS API, AssumeRoleWithOIDC: not signed; OIDCToken of 4 to 20000 characters",
};

/// Asks the ECS instance's metadata.
pub static METADATA: Action = Action {
    name: "ecs-metadata",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "ECS instance metadata: token, role name, security-credentials",
};

/// Asks a local service that hands out keys.
pub static CREDENTIALS_URI: Action = Action {
    name: "credentials-uri",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "the vendor's SDKs, URI credentials: one GET",
};

/// Every call that an account may make to get a key.
pub static ACTIONS: [&Action; 4] = [&ASSUME_ROLE, &ASSUME_ROLE_WITH_OIDC, &METADATA, &CREDENTIALS_URI];

/// Where keys are asked for.
pub struct Places {
    /// STS.
    pub sts: Address,
    /// The instance's metadata, without trailing slash.
    pub metadata: String,
}

impl Places {
    /// For keys that are asked for nowhere.
    pub(super) fn nowhere() -> Self {
        Self { sts: Address::public("sts", "nowhere"), metadata: String::new() }
    }
}

/// How there comes to be a key.
#[derive(Clone)]
pub enum Recipe {
    /// It is there.
    Key(Credentials),
    /// It assumes a role.
    Role(Credentials, Role),
    /// A token assumes a role.
    Oidc(Oidc),
    /// The instance has a role.
    Ecs(Ecs),
    /// A service at this address hands it out.
    Uri(Secret),
}

impl Recipe {
    /// Whether something that is sent is another by now than what was sent.
    pub fn changed(&self) -> bool {
        matches!(self, Self::Oidc(oidc) if oidc.changed())
    }

    /// The calls that it takes.
    pub fn charges(&self) -> Vec<Charge> {
        let assumed = |action, role: &Role| charge(action, 1, Some(Duration::from_secs(role.seconds)));
        match self {
            Self::Key(_) => Vec::new(),
            Self::Role(_, role) => vec![assumed(&ASSUME_ROLE, role)],
            Self::Oidc(oidc) => vec![assumed(&ASSUME_ROLE_WITH_OIDC, &oidc.role)],
            // The token, the role's name unless it is known, the key.
            Self::Ecs(ecs) => vec![charge(&METADATA, 2 + u32::from(ecs.role.is_none()), None)],
            Self::Uri(_) => vec![charge(&CREDENTIALS_URI, 1, None)],
        }
    }
}

/// A role to assume.
#[derive(Clone)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The session's name.
    pub session: String,
    /// How long a key lives, in seconds.
    pub seconds: u64,
    /// What the role's trust policy may ask for.
    pub external_id: Option<Secret>,
}

impl Role {
    /// Whether a text can be a session's name: "2 to 64 characters: letters, digits, and .@-_" (`RoleSessionName`).
    pub fn is_session(text: &str) -> bool {
        (2..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".@-_".contains(&b))
    }
}

/// A role that trusts an OIDC provider, and the file that holds the provider's token.
#[derive(Clone)]
pub struct Oidc {
    role: Role,
    provider_arn: String,
    file: PathBuf,
    env: Arc<dyn Env>,
    sent: Arc<Mutex<Option<Secret>>>,
}

impl Oidc {
    /// A role and the file of its token.
    pub fn new(role: Role, provider_arn: String, file: PathBuf, env: Arc<dyn Env>) -> Self {
        Self { role, provider_arn, file, env, sent: Arc::default() }
    }

    /// The token that the file holds now.
    pub fn token(&self) -> Result<Secret, Failure> {
        let text = self
            .env
            .read(&self.file, OIDC_TOKEN_BYTES)
            .map_err(|_| Failure::new(Fault::Unauthorized, "the file of the OIDC token cannot be read"))?;
        let text = text.trim();
        if text.len() < 4 || !is_header_word(text) {
            return Err(Failure::new(Fault::Unauthorized, "the file of the OIDC token holds none"));
        }
        Ok(Secret::new(text))
    }

    /// Whether the file holds another token than was sent.
    fn changed(&self) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let token = self.token().ok();
        sent.zip(token).is_some_and(|(sent, token)| sent.expose() != token.expose())
    }

    fn note_sent(&self, token: Secret) {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }
}

/// The role of the ECS instance.
#[derive(Clone)]
pub struct Ecs {
    /// Its name; none: the metadata tell.
    pub role: Option<String>,
    /// Whether metadata may be asked without a token.
    pub without_token: bool,
}

impl Ecs {
    /// Whether a text can be a role's name: it becomes a segment of a path.
    pub fn is_role(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    }
}

/// Gets a key.
pub async fn fetch(recipe: &Recipe, places: &Places, net: &Net) -> Result<Fetched<Credentials>, Failure> {
    match recipe {
        Recipe::Key(key) => Ok(Fetched { key: key.clone(), from: net.now().tick, life: None }),
        Recipe::Role(key, role) => assume_role(key, role, &places.sts, net).await,
        Recipe::Oidc(oidc) => assume_role_with_oidc(oidc, &places.sts, net).await,
        Recipe::Ecs(ecs) => ask_metadata(ecs, &places.metadata, net).await,
        Recipe::Uri(uri) => {
            let build = |_: &Stamp| get(uri.expose(), None);
            net.call(&CREDENTIALS_URI, build, read_handed_out).await
        }
    }
}

async fn assume_role(
    key: &Credentials,
    role: &Role,
    sts: &Address,
    net: &Net,
) -> Result<Fetched<Credentials>, Failure> {
    let seconds = role.seconds.to_string();
    let mut params = vec![
        ("DurationSeconds", seconds.as_str()),
        ("RoleArn", &role.arn),
        ("RoleSessionName", &role.session),
    ];
    params.extend(role.external_id.as_ref().map(|id| ("ExternalId", id.expose())));
    let build = |stamp: &Stamp| rpc::request(key, sts, STS_VERSION, &ASSUME_ROLE, &params, stamp);
    net.call(&ASSUME_ROLE, build, |reply| read_sts(net, reply)).await
}

/// Not signed: the token is the proof. It goes in the body, since addresses end up in logs of proxies.
async fn assume_role_with_oidc(
    oidc: &Oidc,
    sts: &Address,
    net: &Net,
) -> Result<Fetched<Credentials>, Failure> {
    let token = oidc.token()?;
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("DurationSeconds", &oidc.role.seconds.to_string())
        .append_pair("OIDCProviderArn", &oidc.provider_arn)
        .append_pair("OIDCToken", token.expose())
        .append_pair("RoleArn", &oidc.role.arn)
        .append_pair("RoleSessionName", &oidc.role.session)
        .finish();
    let body = Bytes::from(body);
    oidc.note_sent(token);
    let build = |stamp: &Stamp| {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", ASSUME_ROLE_WITH_OIDC.name)
            .append_pair("Format", "JSON")
            .append_pair("Timestamp", &rpc::date(stamp)?)
            .append_pair("Version", STS_VERSION)
            .finish();
        http::Request::post(format!("{}/?{query}", sts.base()))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.clone())
            .map_err(|_| rpc::unbuildable())
    };
    net.call(&ASSUME_ROLE_WITH_OIDC, build, |reply| read_sts(net, reply)).await
}

async fn ask_metadata(ecs: &Ecs, base: &str, net: &Net) -> Result<Fetched<Credentials>, Failure> {
    let build = |_: &Stamp| {
        http::Request::put(format!("{base}/latest/api/token"))
            .header("x-aliyun-ecs-metadata-token-ttl-seconds", METADATA_TOKEN_S)
            .body(Bytes::new())
            .map_err(|_| rpc::unbuildable())
    };
    let token = match net.call(&METADATA, build, |reply| read_word(reply).map(Secret::new)).await {
        Ok(token) => Some(token),
        Err(_) if ecs.without_token => None,
        Err(failure) => return Err(failure),
    };
    let roles = format!("{base}/latest/meta-data/ram/security-credentials/");
    let role = match &ecs.role {
        Some(role) => role.clone(),
        None => net.call(&METADATA, |_: &Stamp| get(&roles, token.as_ref()), read_role).await?,
    };
    let keys = format!("{roles}{role}");
    net.call(&METADATA, |_: &Stamp| get(&keys, token.as_ref()), read_handed_out).await
}

fn get(uri: &str, token: Option<&Secret>) -> Result<Request, Failure> {
    let mut request = http::Request::get(uri);
    if let Some(token) = token {
        request = request.header("x-aliyun-ecs-metadata-token", rpc::sensitive(token.expose())?);
    }
    request.body(Bytes::new()).map_err(|_| rpc::unbuildable())
}

/// An answer that is one word, such as a token.
fn read_word(reply: &Reply) -> Result<String, Failure> {
    if !reply.status.is_success() {
        return Err(status_failure(reply));
    }
    let text = std::str::from_utf8(&reply.body).unwrap_or_default().trim();
    if !is_header_word(text) {
        return Err(Failure::new(Fault::BadAnswer, "the metadata's answer is not one word"));
    }
    Ok(text.to_owned())
}

fn read_role(reply: &Reply) -> Result<String, Failure> {
    let role = read_word(reply)?;
    if !Ecs::is_role(&role) {
        return Err(Failure::new(Fault::BadAnswer, "the metadata name no role"));
    }
    Ok(role)
}

/// A key with its end. Not to be printed.
#[derive(Deserialize)]
struct Temporary<'a> {
    #[serde(borrow, rename = "AccessKeyId")]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "AccessKeySecret")]
    secret: Cow<'a, str>,
    #[serde(borrow, rename = "SecurityToken")]
    token: Cow<'a, str>,
    #[serde(borrow, rename = "Expiration")]
    expiration: Cow<'a, str>,
}

#[derive(Deserialize)]
struct StsAnswer<'a> {
    #[serde(borrow, rename = "Credentials")]
    credentials: Temporary<'a>,
}

fn read_sts(net: &Net, reply: &Reply) -> Result<Fetched<Credentials>, Failure> {
    rpc::judge(net, reply)?;
    let answer: StsAnswer<'_> = reply.json()?;
    answer.credentials.read(reply)
}

/// What metadata and services say beside the key: `Success`, or why there is none. STS says nothing.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, rename = "Code")]
    code: Option<Cow<'a, str>>,
}

fn read_handed_out(reply: &Reply) -> Result<Fetched<Credentials>, Failure> {
    if !reply.status.is_success() {
        return Err(status_failure(reply));
    }
    // A refusal has no key in it, so its code is looked for first.
    let said: Said<'_> = reply.json()?;
    if let Some(code) = said.code.filter(|code| code != "Success") {
        return Err(Failure::with_code(Fault::Unauthorized, &code));
    }
    let key: Temporary<'_> = reply.json()?;
    key.read(reply)
}

impl Temporary<'_> {
    fn read(&self, reply: &Reply) -> Result<Fetched<Credentials>, Failure> {
        let life = life(reply, time_ms(&self.expiration)?)?;
        let secret = |text: &str| Secret::new(text);
        let key = Credentials::new(secret(&self.id), secret(&self.secret), Some(secret(&self.token)));
        let key = key.map_err(|_| Failure::new(Fault::BadAnswer, "what was handed out can be no key"))?;
        Ok(Fetched { key, from: reply.sent.tick, life: Some(life) })
    }
}
