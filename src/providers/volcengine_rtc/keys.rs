//! An account: its access key, and where that comes from: written in the configuration, or handed out by STS for a role.
//!
//! The contract of `AssumeRole` is that of the requests that the vendor's clients send. Deliberately absent: keys of OIDC
//! roles and of an instance's metadata.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use super::client::{basic_date, refusal, sensitive, unfit};
use super::sign::{Unsigned, sign};
use super::wire::Envelope;
use crate::config::{AccountSettings, Key, Need, Reader, Secret, Shape};
use crate::domain::Fault;
use crate::ports::{BoxFuture, Request};
use crate::providers::credentials::ways::{Way, fits};
use crate::providers::credentials::{Fetched, Keeper, Secrets, Source, Written, charge, life, time_ms};
use crate::providers::hash::sha256_hex;
use crate::providers::http::{Reply, Stamp, status_failure};
use crate::providers::{Action, Charge, Failure, Net, Session};

/// The version of STS.
pub(super) const STS_VERSION: &str = "2018-01-01";

/// The region that calls of STS are signed for, whatever the account's: the vendor's clients do so.
const STS_REGION: &str = "cn-beijing";

/// The service that calls of STS are signed for.
pub(super) const STS_SERVICE: &str = "sts";

/// Assumes a role.
pub(super) static ASSUME_ROLE: Action = Action {
    name: "AssumeRole",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "STS API, AssumeRole, version 2018-01-01; no rate is given",
};

/// The account's keys beside the common ones.
pub(super) const ACCOUNT_KEYS: &[Key] = &[
    Key {
        name: "credentials",
        shape: Shape::Choice(&["key", "role"]),
        need: Need::Default("key"),
        doc: "Where the key comes from: key (as written here), or role, by STS AssumeRole with that key.",
    },
    Key {
        name: "access_key_id",
        shape: Shape::Secret,
        need: Need::Required,
        doc: "The access key's id (AKLT…, or AKTP… for a temporary one).",
    },
    Key {
        name: "access_key_secret",
        shape: Shape::Secret,
        need: Need::Required,
        doc: "The access key's secret, as shown by the console; it is not decoded.",
    },
    Key {
        name: "session_token",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The session token of a temporary access key.",
    },
    Key {
        name: "role_trn",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The role to assume, such as trn:iam::2100000000:role/presence. Needed with role.",
    },
    Key {
        name: "role_session_name",
        shape: Shape::Text,
        need: Need::Default("presence-exporter"),
        doc: "The session's name in the audit log, letters, digits and .@-_ signs.",
    },
    Key {
        name: "role_duration",
        shape: Shape::Duration { min_s: 900, max_s: 43_200 },
        need: Need::Default("1h"),
        doc: "How long a key of the role lives, 15m up to the role's own maximum.",
    },
    Key {
        name: "sts_endpoint",
        shape: Shape::Url,
        need: Need::Default("https://sts.volcengineapi.com"),
        doc: "Where roles are assumed.",
    },
    Key {
        name: "region",
        shape: Shape::Text,
        need: Need::Default("cn-north-1"),
        doc: "The region that requests are signed for.",
    },
];

/// What goes with what.
const WAYS: &[Way] = &[
    Way { word: "key", needs: &[], takes: &[] },
    Way {
        word: "role",
        needs: &["role_trn"],
        takes: &["role_session_name", "role_duration", "sts_endpoint"],
    },
];

/// An account. It has no Debug.
pub(super) struct Account {
    /// The key in use.
    pub keeper: Keeper<Keys>,
    /// The region that is signed.
    pub region: String,
    /// The secret as it was at the start: what connections' keys are made with, so that a new one changes none of them.
    pub salt: Secret,
}

/// A key. It has no Debug.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Its id.
    pub access_key_id: Secret,
    /// Its secret.
    pub secret: Secret,
    /// The token of a temporary one.
    pub session_token: Option<Secret>,
}

/// Where an account's key comes from.
pub(super) struct Keys {
    key: Written<Credentials>,
    role: Option<Role>,
}

struct Role {
    trn: String,
    session: String,
    seconds: u64,
    sts: Uri,
}

impl Account {
    /// An account that signs with this key for ever.
    #[cfg(test)]
    pub(super) fn fixed(key: Credentials) -> Self {
        let salt = key.secret.clone();
        let secrets = [Some(key.access_key_id), Some(key.secret), key.session_token];
        let key = Written::new(Secrets::fixed(secrets), Credentials::of);
        Self { keeper: Keeper::new(Keys { key, role: None }), region: "cn-north-1".into(), salt }
    }
}

impl Credentials {
    fn of(secrets: &Secrets) -> Result<Self, &'static str> {
        let (id, secret) = secrets.get(0).zip(secrets.get(1)).ok_or("there is no key")?;
        Ok(Self { access_key_id: id.clone(), secret: secret.clone(), session_token: secrets.get(2).cloned() })
    }
}

/// Reads an account's own keys.
pub(super) fn open(account: &Reader<'_>, _: &AccountSettings) -> Option<Session> {
    let word = account.text("credentials")?;
    let fits = fits(account, WAYS, &word);
    let secrets = Secrets::read(account, &["access_key_id", "access_key_secret", "session_token"])?;
    let (_, salt) = (secrets.get(0)?, secrets.get(1)?.clone());
    let role = if word == "role" { Some(read_role(account)?) } else { None };
    let keys = Keys { key: Written::new(secrets, Credentials::of), role };
    let region = account.text("region")?;
    fits.then(|| Arc::new(Account { keeper: Keeper::new(keys), region, salt }) as Session)
}

fn read_role(account: &Reader<'_>) -> Option<Role> {
    let (trn, session) = (account.text("role_trn")?, account.text("role_session_name")?);
    let seconds = account.duration("role_duration")?.as_secs();
    let mut good = true;
    if !trn.starts_with("trn:iam::") || !trn.bytes().all(|b| b.is_ascii_graphic()) {
        let hint = "such as trn:iam::ACCOUNT:role/NAME";
        account.complain("role_trn", "this is no role's TRN", Some(hint.into()));
        good = false;
    }
    if session.len() > 64 || !session.bytes().all(|b| b.is_ascii_alphanumeric() || b".@-_".contains(&b)) {
        let hint = "up to 64 letters, digits and .@-_ signs";
        account.complain("role_session_name", "this is no session's name", Some(hint.into()));
        good = false;
    }
    let sts = account.text("sts_endpoint")?.parse::<Uri>().ok().filter(|uri| uri.path() == "/");
    if sts.is_none() {
        account.complain("sts_endpoint", "this address may not have a path", None);
    }
    let sts = sts?;
    good.then_some(Role { trn, session, seconds, sts })
}

impl Source for Keys {
    type Key = Credentials;

    fn reread(&self) -> bool {
        self.key.reread()
    }

    fn fetch<'a>(&'a self, net: &'a Net) -> BoxFuture<'a, Result<Fetched<Credentials>, Failure>> {
        Box::pin(async move {
            let Some(role) = &self.role else { return self.key.fetch(net).await };
            let key = self.key.key()?;
            net.call(&ASSUME_ROLE, |stamp| role.request(&key, stamp), |reply| read_role_key(net, reply)).await
        })
    }

    fn charges(&self) -> Vec<Charge> {
        let assumed = |role: &Role| charge(&ASSUME_ROLE, 1, Some(Duration::from_secs(role.seconds)));
        self.role.iter().map(assumed).collect()
    }
}

impl Role {
    /// `GET` with everything in the query, no Content-Type and no body: what the vendor's clients send.
    fn request(&self, key: &Credentials, stamp: &Stamp) -> Result<Request, Failure> {
        let (x_date, payload) = (basic_date(stamp.at.unix_seconds())?, sha256_hex(b""));
        let host = self.sts.authority().map_or("", |authority| authority.as_str());
        let seconds = self.seconds.to_string();
        let query = [
            ("Action", ASSUME_ROLE.name),
            ("DurationSeconds", &seconds),
            ("RoleSessionName", &self.session),
            ("RoleTrn", &self.trn),
            ("Version", STS_VERSION),
        ];
        let token = key.session_token.as_ref().map(Secret::expose);
        let mut headers = vec![("host", host), ("x-content-sha256", &payload), ("x-date", &x_date)];
        headers.extend(token.map(|token| ("x-security-token", token)));
        let signed = sign(&Unsigned {
            access_key_id: key.access_key_id.expose(),
            secret: key.secret.expose(),
            region: STS_REGION,
            service: STS_SERVICE,
            x_date: &x_date,
            method: "GET",
            path: "/",
            query: &query,
            headers: &headers,
            payload_sha256: &payload,
        });
        let scheme = self.sts.scheme_str().unwrap_or("https");
        let mut request = http::Request::get(format!("{scheme}://{host}/?{}", signed.canonical_query))
            .header("x-date", &x_date)
            .header("x-content-sha256", &payload)
            .header(AUTHORIZATION, sensitive(&signed.authorization)?);
        if let Some(token) = token {
            request = request.header("x-security-token", sensitive(token)?);
        }
        request.body(Bytes::new()).map_err(|_| unfit("the request"))
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, rename = "Result")]
    result: ResultPart<'a>,
}

#[derive(Deserialize)]
struct ResultPart<'a> {
    #[serde(borrow, rename = "Credentials")]
    credentials: Temporary<'a>,
}

/// A key with its end. Not to be printed.
#[derive(Deserialize)]
struct Temporary<'a> {
    #[serde(borrow, rename = "AccessKeyId")]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "SecretAccessKey")]
    secret: Cow<'a, str>,
    #[serde(borrow, rename = "SessionToken")]
    token: Cow<'a, str>,
    #[serde(borrow, rename = "ExpiredTime")]
    ends: Cow<'a, str>,
}

fn read_role_key(net: &Net, reply: &Reply) -> Result<Fetched<Credentials>, Failure> {
    if let Some(id) = reply.header("x-tt-logid") {
        net.note_request_id(id);
    }
    let said: Envelope<'_> = match reply.json() {
        Ok(said) => said,
        Err(_) if !reply.status.is_success() => return Err(status_failure(reply)),
        Err(failure) => return Err(failure),
    };
    if let Some(failure) = refusal(&said, reply) {
        return Err(failure);
    }
    if !reply.status.is_success() {
        return Err(status_failure(reply));
    }
    let Answer { result: ResultPart { credentials } } = reply.json()?;
    let life = life(reply, time_ms(&credentials.ends)?)?;
    if credentials.id.is_empty() || credentials.secret.is_empty() {
        return Err(Failure::new(Fault::BadAnswer, "what was handed out can be no key"));
    }
    let key = Credentials {
        access_key_id: Secret::new(&*credentials.id),
        secret: Secret::new(&*credentials.secret),
        session_token: Some(Secret::new(&*credentials.token)),
    };
    Ok(Fetched { key, from: reply.sent.tick, life: Some(life) })
}
