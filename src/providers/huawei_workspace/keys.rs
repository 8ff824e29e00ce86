//! Access keys, and where they come from: written in the configuration, handed out by the ECS instance's metadata for its
//! agency, or by IAM for an id token of an identity provider (federation).
//!
//! Temporary keys have a token beside them and an end. Nothing of an answer that holds one is ever printed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::account::sensitive;
use super::errors;
use crate::config::Secret;
use crate::domain::Fault;
use crate::ports::{BoxFuture, Env, Request};
use crate::providers::credentials::{Fetched, Secrets, Source, Written, charge, life, time_ms};
use crate::providers::http::{Failure, Net, Reply, Stamp};
use crate::providers::{Action, Charge};

/// How long a metadata token lives, in seconds: what the vendor's clients ask for.
const METADATA_TOKEN_S: &str = "21600";

/// How long a key from federation lives, in seconds: what the vendor's clients ask for; 15 minutes to 24 hours are allowed.
const FEDERATED_S: u32 = 21_600;

/// The longest id token that is read from a file, in bytes; a JWT has one or two thousand.
const ID_TOKEN_BYTES: u64 = 40_000;

/// Asks the ECS instance's metadata.
pub static METADATA: Action = Action {
    name: "ecs-metadata",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "ECS, obtaining metadata: meta-data/latest/api/token and openstack/latest/securitykey; no rate is given",
};

/// Gets a token of IAM for an id token.
pub static ID_TOKEN: Action = Action {
    name: "CreateUnscopedTokenWithIdToken",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "IAM API, OS-AUTH/id-token/tokens; no rate is given",
};

/// Gets a temporary key for a token of IAM.
pub static SECURITY_TOKEN: Action = Action {
    name: "CreateTemporaryAccessKeyByToken",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "IAM API, OS-CREDENTIAL/securitytokens: duration_seconds from 900 to 86400; no rate is given",
};

/// An access key. It has no Debug.
#[derive(Clone)]
pub struct AccessKey {
    /// The access key id.
    pub id: Secret,
    /// The secret.
    pub secret: Secret,
    /// The security token, if the key is a temporary one.
    pub token: Option<Secret>,
}

impl AccessKey {
    /// Checks that what goes into headers can stand there; the error names the key of the configuration.
    pub fn new(
        id: Secret,
        secret: Secret,
        token: Option<Secret>,
    ) -> Result<Self, (&'static str, &'static str)> {
        if id.expose().is_empty() || !id.expose().bytes().all(|b| b.is_ascii_graphic() && b != b',') {
            return Err(("access_key_id", "an access key id is of letters and digits"));
        }
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token.expose()).is_err()) {
            return Err(("security_token", "this cannot be sent as a header"));
        }
        Ok(Self { id, secret, token })
    }

    /// The key of an id, a secret and perhaps a token, as written.
    pub fn of(secrets: &Secrets) -> Result<Self, &'static str> {
        let (id, secret) = secrets.get(0).zip(secrets.get(1)).ok_or("there is no key")?;
        Self::new(id.clone(), secret.clone(), secrets.get(2).cloned()).map_err(|(_, words)| words)
    }
}

/// Where an account's key comes from.
pub enum Keys {
    /// It is given once and for all.
    #[cfg(test)]
    Fixed(AccessKey),
    /// It is written in the configuration.
    Written(Written<AccessKey>),
    /// The instance's metadata hand it out, at this address.
    Ecs {
        /// Without trailing slash.
        endpoint: String,
    },
    /// IAM hands it out for an id token.
    Federated(Federated),
}

/// An identity provider, and the file that holds its token.
pub struct Federated {
    iam: String,
    idp_id: String,
    file: PathBuf,
    env: Arc<dyn Env>,
    sent: Mutex<Option<Secret>>,
}

impl Federated {
    /// IAM's address without trailing slash, the provider's id there, and the file of its token.
    pub fn new(iam: String, idp_id: String, file: PathBuf, env: Arc<dyn Env>) -> Self {
        Self { iam, idp_id, file, env, sent: Mutex::default() }
    }

    /// Whether a token could be sent now; the error names the key of the configuration.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if HeaderValue::from_str(&self.idp_id).is_err() {
            return Err(("idp_id", "this cannot be sent as a header"));
        }
        self.token().map(|_| ()).map_err(|_| ("id_token_file", "the file named here holds no id token"))
    }

    fn token(&self) -> Result<Secret, Failure> {
        let text = self.env.read(&self.file, ID_TOKEN_BYTES);
        let text = text.as_deref().map(str::trim).unwrap_or_default();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::new(Fault::Unauthorized, "the file of the id token holds none"));
        }
        Ok(Secret::new(text))
    }

    fn changed(&self) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sent.zip(self.token().ok()).is_some_and(|(sent, token)| sent.expose() != token.expose())
    }

    async fn fetch(&self, net: &Net) -> Result<Fetched<AccessKey>, Failure> {
        let id_token = self.token()?;
        let body = json!({"auth": {"id_token": {"id": id_token.expose()}}}).to_string();
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(id_token);
        let build = |_: &Stamp| {
            let uri = format!("{}/v3.0/OS-AUTH/id-token/tokens", self.iam);
            post(uri, Some(&self.idp_id), &body)
        };
        let token = net.call(&ID_TOKEN, build, read_subject_token).await?;
        let body = json!({"auth": {"identity": {
            "methods": ["token"],
            "token": {"id": token.expose(), "duration_seconds": FEDERATED_S},
        }}})
        .to_string();
        let build = |_: &Stamp| {
            let uri = format!("{}/v3.0/OS-CREDENTIAL/securitytokens", self.iam);
            post(uri, None, &body)
        };
        net.call(&SECURITY_TOKEN, build, read_key).await
    }
}

impl Source for Keys {
    type Key = AccessKey;

    fn reread(&self) -> bool {
        match self {
            #[cfg(test)]
            Self::Fixed(_) => false,
            Self::Written(key) => key.reread(),
            Self::Ecs { .. } => false,
            Self::Federated(federated) => federated.changed(),
        }
    }

    fn fetch<'a>(&'a self, net: &'a Net) -> BoxFuture<'a, Result<Fetched<AccessKey>, Failure>> {
        Box::pin(async move {
            match self {
                #[cfg(test)]
                Self::Fixed(key) => Ok(Fetched { key: key.clone(), from: net.now().tick, life: None }),
                Self::Written(key) => key.fetch(net).await,
                Self::Ecs { endpoint } => ask_metadata(endpoint, net).await,
                Self::Federated(federated) => federated.fetch(net).await,
            }
        })
    }

    fn charges(&self) -> Vec<Charge> {
        match self {
            #[cfg(test)]
            Self::Fixed(_) => Vec::new(),
            Self::Written(_) => Vec::new(),
            // The token and the key.
            Self::Ecs { .. } => vec![charge(&METADATA, 2, None)],
            Self::Federated(_) => {
                let life = Some(Duration::from_secs(FEDERATED_S.into()));
                vec![charge(&ID_TOKEN, 1, life), charge(&SECURITY_TOKEN, 1, life)]
            }
        }
    }
}

async fn ask_metadata(endpoint: &str, net: &Net) -> Result<Fetched<AccessKey>, Failure> {
    let build = |_: &Stamp| {
        http::Request::put(format!("{endpoint}/meta-data/latest/api/token"))
            .header("x-metadata-token-ttl-seconds", METADATA_TOKEN_S)
            .body(Bytes::new())
            .map_err(|_| unbuildable())
    };
    let token = net.call(&METADATA, build, read_metadata_token).await?;
    let build = |_: &Stamp| {
        let mut request = http::Request::get(format!("{endpoint}/openstack/latest/securitykey"));
        if let Some(token) = &token {
            request = request.header("x-metadata-token", sensitive(token.expose())?);
        }
        request.body(Bytes::new()).map_err(|_| unbuildable())
    };
    net.call(&METADATA, build, read_key).await
}

fn post(uri: String, idp_id: Option<&str>, body: &str) -> Result<Request, Failure> {
    let mut request = http::Request::post(uri).header(CONTENT_TYPE, "application/json;charset=utf-8");
    if let Some(id) = idp_id {
        request = request.header("x-idp-id", id);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).map_err(|_| unbuildable())
}

fn unbuildable() -> Failure {
    Failure::new(Fault::Rejected, "the request for a key cannot be built from this configuration")
}

/// A metadata token; none where the instance says that it needs none (404, 405, 503).
fn read_metadata_token(reply: &Reply) -> Result<Option<Secret>, Failure> {
    if matches!(reply.status.as_u16(), 404 | 405 | 503) {
        return Ok(None);
    }
    if !reply.status.is_success() {
        return Err(errors::refusal(reply, false).failure);
    }
    let text = std::str::from_utf8(&reply.body).unwrap_or_default().trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::new(Fault::BadAnswer, "the metadata's answer is no token"));
    }
    Ok(Some(Secret::new(text)))
}

fn read_subject_token(reply: &Reply) -> Result<Secret, Failure> {
    if !reply.status.is_success() {
        return Err(errors::refusal(reply, false).failure);
    }
    let token = reply.header("x-subject-token").filter(|token| !token.is_empty());
    token
        .map(Secret::new)
        .ok_or_else(|| Failure::new(Fault::BadAnswer, "IAM's answer has no X-Subject-Token"))
}

#[derive(Deserialize)]
struct KeyAnswer {
    credential: Temporary,
}

/// A key with its end. Not to be printed.
#[derive(Deserialize)]
struct Temporary {
    access: String,
    secret: String,
    securitytoken: String,
    expires_at: String,
}

fn read_key(reply: &Reply) -> Result<Fetched<AccessKey>, Failure> {
    if !reply.status.is_success() {
        return Err(errors::refusal(reply, false).failure);
    }
    let KeyAnswer { credential } = reply.json()?;
    let life = life(reply, time_ms(&credential.expires_at)?)?;
    let token = Some(Secret::new(credential.securitytoken));
    let key = AccessKey::new(Secret::new(credential.access), Secret::new(credential.secret), token);
    let key = key.map_err(|_| Failure::new(Fault::BadAnswer, "what was handed out can be no key"))?;
    Ok(Fetched { key, from: reply.sent.tick, life: Some(life) })
}
