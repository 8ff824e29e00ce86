//! An account: who signs, and in which region it asks if a source names none.
//!
//! The key `credentials` says where the key that signs comes from; `open` reads that, [`ways`] gets keys,
//! [`fetch`] asks whoever hands them out, [`profile`] reads the vendor's own files and variables.
//!
//! | `credentials` | the key that signs |
//! | --- | --- |
//! | `key` | as written: `access_key_id`, `access_key_secret`, perhaps `security_token` |
//! | `role` | STS `AssumeRole`, signed with the key as written |
//! | `oidc` | STS `AssumeRoleWithOIDC`, with a token from a file (RRSA of a Kubernetes cluster) |
//! | `ecs` | the role of the ECS instance, by its metadata, with a metadata token (hardened mode) |
//! | `uri` | a local service that hands out keys |
//! | `profile` | the vendor's file of profiles |
//! | `chain` | the first of the vendor's variables and files that is there, else the instance's role |
//!
//! STS is asked with the same signature as the products; the vendor's older clients sign these calls with the older one.
//!
//! Deliberately absent: RSA key pairs, `CloudSSO`, `OAuth`, commands that print keys, roles over roles, session policies.

use crate::config::{AccountSettings, Key, Need, Reader, Secret, Shape};
use crate::providers::credentials::{Keeper, Secrets};

pub mod fetch;
mod open;
pub mod profile;
pub mod ways;

pub use ways::Ways;

/// The most requests a second that an account may be given at the public endpoint. "Limits on API calls" of MQTT: 100
/// calls a second of the batch call for an account, and at 300 from one source address that address is blocked.
pub const MAX_REQUESTS_PER_SECOND: f64 = 100.0;

/// The longest key id, secret or token that is taken: what HTTP servers commonly accept for all headers together.
const CREDENTIAL_BYTES: usize = 8192;

/// What a temporary key's id begins with.
const TEMPORARY: &str = "STS.";

/// The account's keys beside the common ones.
pub const KEYS: &[Key] = &[
    Key {
        name: "region",
        shape: Shape::Text,
        need: Need::Required,
        doc: "Region of the instances, such as cn-shanghai. It picks the host; a source may name another.",
    },
    Key {
        name: "credentials",
        shape: Shape::Choice(&["key", "role", "oidc", "ecs", "uri", "profile", "chain"]),
        need: Need::Default("key"),
        doc: "Where the key comes from: key (as written here), role, oidc, ecs, uri, profile or chain.",
    },
    Key {
        name: "access_key_id",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The AccessKey's id, of a RAM user that may only read. Needed with key and role.",
    },
    Key {
        name: "access_key_secret",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The AccessKey's secret. Needed with key and role.",
    },
    Key {
        name: "security_token",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The token of a temporary (STS) key, whose id begins with STS.; from a file that somebody renews.",
    },
    Key {
        name: "role_arn",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The role to assume, such as acs:ram::123456789012****:role/presence. Needed with role and oidc.",
    },
    Key {
        name: "role_session_name",
        shape: Shape::Text,
        need: Need::Default("presence-exporter"),
        doc: "The session's name in the audit log, 2 to 64 letters, digits and .@-_ signs.",
    },
    Key {
        name: "role_duration",
        shape: Shape::Duration { min_s: 900, max_s: 43_200 },
        need: Need::Default("1h"),
        doc: "How long a key of the role lives, 15m up to the role's own maximum.",
    },
    Key {
        name: "role_external_id",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The external id that the role's trust policy asks for, if it does.",
    },
    Key {
        name: "oidc_provider_arn",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The OIDC provider that the role trusts. Needed with oidc.",
    },
    Key {
        name: "oidc_token_file",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The file that the cluster keeps a fresh OIDC token in; read at each renewal. Needed with oidc.",
    },
    Key {
        name: "ecs_role",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The name of the instance's role. Default: the one that the metadata name.",
    },
    Key {
        name: "metadata_without_token",
        shape: Shape::Flag,
        need: Need::Default("false"),
        doc: "Ask metadata without a token where the instance gives none (normal mode).",
    },
    Key {
        name: "metadata_endpoint",
        shape: Shape::Url,
        need: Need::Default("http://100.100.100.200"),
        doc: "Where the instance's metadata are asked for.",
    },
    Key {
        name: "credentials_uri",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The address that hands out keys, kept secret since it may hold a token. Needed with uri.",
    },
    Key {
        name: "credentials_file",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The file of profiles, JSON or ini. Default: where the vendor's tools keep it.",
    },
    Key {
        name: "profile",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The profile in that file. Default: the one that it calls current, or `default`.",
    },
    Key {
        name: "sts_endpoint",
        shape: Shape::Url,
        need: Need::Optional,
        doc: "Where roles are assumed. Default: https://sts.{region}.aliyuncs.com.",
    },
];

/// Key id, secret and perhaps token. No Debug: all of it is secret.
#[derive(Clone)]
pub struct Credentials {
    key_id: Secret,
    secret: Secret,
    token: Option<Secret>,
}

/// What a source of this account starts from; the cloud's session.
pub struct Account {
    /// The region of sources that name none.
    pub region: String,
    /// Who signs.
    pub keeper: Keeper<Ways>,
}

impl Account {
    /// An account that signs with this key for ever.
    pub fn fixed(region: impl Into<String>, key: Credentials) -> Self {
        Self { region: region.into(), keeper: Keeper::new(Ways::fixed(key)) }
    }
}

/// What is wrong with credentials: the key to complain at, and the words.
pub type Wrong = (&'static str, &'static str);

impl Credentials {
    /// Checks that what goes into headers can stand there.
    pub fn new(key_id: Secret, secret: Secret, token: Option<Secret>) -> Result<Self, Wrong> {
        if !is_header_word(key_id.expose()) || key_id.expose().contains(',') {
            return Err(("access_key_id", "is no AccessKey id: it has to be one word of ASCII letters"));
        }
        if secret.expose().is_empty() || secret.expose().len() > CREDENTIAL_BYTES {
            return Err(("access_key_secret", "is empty or too long"));
        }
        if token.as_ref().is_some_and(|token| !is_header_word(token.expose())) {
            return Err(("security_token", "is no token: it has to be one word of ASCII characters"));
        }
        if token.is_none() && key_id.expose().starts_with(TEMPORARY) {
            return Err(("security_token", "is missing: this is a temporary key (its id begins with STS.)"));
        }
        Ok(Self { key_id, secret, token })
    }

    /// The key of an id, a secret and perhaps a token, as written.
    pub(super) fn of(secrets: &Secrets) -> Result<Self, &'static str> {
        let (id, secret) = secrets.get(0).zip(secrets.get(1)).ok_or("there is no key")?;
        Self::new(id.clone(), secret.clone(), secrets.get(2).cloned()).map_err(|(_, words)| words)
    }

    /// The key's id, for `Authorization`.
    pub fn key_id(&self) -> &str {
        self.key_id.expose()
    }

    /// The secret, for signing only.
    pub fn secret(&self) -> &str {
        self.secret.expose()
    }

    /// The token of a temporary key, for its header.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Secret::expose)
    }
}

/// Reads an account's own keys.
pub fn open(reader: &Reader<'_>, settings: &AccountSettings) -> Option<Account> {
    let region = read_region(reader);
    let paced = settings.endpoint.is_some() || settings.quota.per_second <= MAX_REQUESTS_PER_SECOND;
    if !paced {
        reader.complain(
            "requests_per_second",
            format!("is above {MAX_REQUESTS_PER_SECOND}, close to where the provider blocks the address"),
            Some("the provider blocks a source address at 300 requests a second".into()),
        );
    }
    let ways = open::ways(reader, settings, region.as_deref());
    let (region, ways) = (region?, ways?);
    paced.then(|| Account { region, keeper: Keeper::new(ways) })
}

/// The text of the key `region`, if it is a region's name; complains if it isn't.
pub fn read_region(reader: &Reader<'_>) -> Option<String> {
    let region = reader.text("region")?;
    if is_region(&region) {
        return Some(region);
    }
    reader.complain("region", "is no region's name", Some("such as cn-shanghai or ap-southeast-1".into()));
    None
}

/// Whether a text can be a region's name; it becomes a label of a host name.
pub fn is_region(text: &str) -> bool {
    const HOST_LABEL: usize = 63; // RFC 1035, section 2.3.4
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= HOST_LABEL
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) fn is_header_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= CREDENTIAL_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
