//! A Huawei Cloud account as the configuration gives it: region, project, and a key or a password. It builds the requests
//! of Workspace and knows how each way of authentication looks; it does not know what is asked.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::sign::{self, Unsigned};
use super::token::{PasswordLogin, Token, is_project_id};
use crate::config::{AccountSettings, Key, Need, Reader, Secret, Shape};
use crate::domain::Fault;
use crate::ports::Request;
use crate::providers::Session;
use crate::providers::http::{Failure, Stamp};

/// The keys of an account of this cloud.
pub const ACCOUNT_KEYS: &[Key] = &[
    Key {
        name: "region",
        shape: Shape::Text,
        need: Need::Required,
        doc: "The region that Workspace runs in, such as cn-north-4; it makes the addresses of Workspace and IAM.",
    },
    Key {
        name: "project_id",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The project's id. Needed with an access key; with a password it defaults to the region's main project.",
    },
    Key {
        name: "access_key_id",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "Access key id (AK). Either a key or an IAM password is needed.",
    },
    Key {
        name: "access_key_secret",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "Secret access key (SK) of access_key_id.",
    },
    Key {
        name: "security_token",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The security token of a temporary access key.",
    },
    Key {
        name: "iam_user",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "Name of an IAM user that logs in with a password instead of an access key.",
    },
    Key { name: "iam_password", shape: Shape::Secret, need: Need::Optional, doc: "Password of iam_user." },
    Key {
        name: "iam_domain",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "Name of the account that iam_user belongs to.",
    },
    Key {
        name: "iam_endpoint",
        shape: Shape::Url,
        need: Need::Optional,
        doc: "Where tokens are asked for. Default: https://iam.{region}.myhuaweicloud.com.",
    },
];

/// An account, shared by its sources.
pub struct Account {
    /// Workspace's address, as sent and signed.
    pub endpoint: String,
    /// How it proves who it is.
    pub auth: Auth,
}

/// The two ways of authentication.
pub enum Auth {
    /// An access key signs each request.
    Key(AccessKey),
    /// A password gets a token, which each request carries.
    Password(PasswordLogin),
}

/// An access key with the project that it asks about.
pub struct AccessKey {
    /// The access key id.
    pub id: Secret,
    /// The secret.
    pub secret: Secret,
    /// The security token, if the key is a temporary one.
    pub token: Option<Secret>,
    /// The project's id.
    pub project_id: String,
}

/// What goes into a request beside what is asked.
pub enum Proof<'a> {
    /// Sign with this key.
    Key(&'a AccessKey),
    /// Carry this token.
    Token(&'a Token),
}

/// Reads an account's own keys.
pub fn open(reader: &Reader<'_>, settings: &AccountSettings) -> Option<Session> {
    let region = reader.text("region")?;
    let endpoint =
        address(settings.endpoint.as_deref(), || format!("https://workspace.{region}.myhuaweicloud.com"));
    let endpoint = endpoint.or_else(|| {
        let hint = "scheme, host and port only, such as https://workspace.cn-north-4.myhuaweicloud.com";
        reader.complain(
            if settings.endpoint.is_some() { "endpoint" } else { "region" },
            "this makes no address",
            Some(hint.into()),
        );
        None
    });
    let project_id = reader.text("project_id");
    let project_is_bad = project_id.as_deref().is_some_and(|id| !is_project_id(id));
    if project_is_bad {
        reader.complain("project_id", "this is no project id", Some(PROJECT_ID_HINT.into()));
    }
    let key = read_key(reader, project_id.clone());
    let password = read_password(reader, project_id, region);
    let by_key = KEY_KEYS.iter().any(|key| reader.has(key));
    let by_password = PASSWORD_KEYS.iter().any(|key| reader.has(key));
    let auth = match (by_key, by_password) {
        (true, true) => {
            let hint = "keep access_key_id and access_key_secret, or iam_user, iam_password and iam_domain";
            reader.complain(
                "iam_user",
                "an access key and an IAM password are both given",
                Some(hint.into()),
            );
            None
        }
        (false, false) => {
            let hint = "give access_key_id and access_key_secret, or iam_user, iam_password and iam_domain";
            reader.complain(
                "access_key_id",
                "neither an access key nor an IAM password is given",
                Some(hint.into()),
            );
            None
        }
        (true, false) => key.map(Auth::Key),
        (false, true) => password.map(Auth::Password),
    };
    let (endpoint, auth) = (endpoint?, auth?);
    (!project_is_bad).then(|| Arc::new(Account { endpoint, auth }) as Session)
}

/// What may stand there, in words: what [`is_project_id`] takes.
const PROJECT_ID_HINT: &str =
    "1 to 64 letters, digits, - and _; Huawei's are 32 hexadecimal digits, in the console's My Credentials";

const KEY_KEYS: [&str; 3] = ["access_key_id", "access_key_secret", "security_token"];
const PASSWORD_KEYS: [&str; 4] = ["iam_user", "iam_password", "iam_domain", "iam_endpoint"];

fn read_key(reader: &Reader<'_>, project_id: Option<String>) -> Option<AccessKey> {
    if !KEY_KEYS.iter().any(|key| reader.has(key)) {
        return None;
    }
    missing(reader, &["access_key_id", "access_key_secret", "project_id"], "an access key");
    // All are read before any is missed: each one's problem is to be told.
    let (id, secret) = (reader.secret("access_key_id"), reader.secret("access_key_secret"));
    let token = reader.secret("security_token");
    let (id, secret) = (id?, secret?);
    if id.expose().is_empty() || !id.expose().bytes().all(|b| b.is_ascii_graphic() && b != b',') {
        reader.complain("access_key_id", "an access key id is of letters and digits", None);
        return None;
    }
    if reader.has("security_token") && !token.as_ref().is_some_and(|token| is_header_value(token.expose())) {
        reader.complain("security_token", "this cannot be sent as a header", None);
        return None;
    }
    Some(AccessKey { id, secret, token, project_id: project_id? })
}

fn read_password(reader: &Reader<'_>, project_id: Option<String>, region: String) -> Option<PasswordLogin> {
    if !PASSWORD_KEYS.iter().any(|key| reader.has(key)) {
        return None;
    }
    missing(reader, &["iam_user", "iam_password", "iam_domain"], "an IAM password");
    let configured = reader.text("iam_endpoint");
    let iam_endpoint = address(configured.as_deref(), || format!("https://iam.{region}.myhuaweicloud.com"));
    if iam_endpoint.is_none() {
        reader.complain("iam_endpoint", "this makes no address", None);
    }
    let password = reader.secret("iam_password");
    Some(PasswordLogin {
        user: reader.text("iam_user")?,
        password: password?,
        domain: reader.text("iam_domain")?,
        iam_endpoint: iam_endpoint?,
        project_id,
        region,
        cache: tokio::sync::Mutex::default(),
    })
}

fn missing(reader: &Reader<'_>, keys: &[&str], way: &str) {
    for key in keys.iter().filter(|key| !reader.has(key)) {
        reader.complain(key, format!("{way} needs it"), None);
    }
}

/// A checked address. HTTP clients leave a scheme's own port out of the Host header, which is signed: so it is left out
/// here.
fn address(configured: Option<&str>, default: impl FnOnce() -> String) -> Option<String> {
    let text = configured.map_or_else(default, str::to_owned);
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let authority = uri.authority()?;
    let plain = match (scheme, authority.port_u16()) {
        ("https", Some(443)) | ("http", Some(80)) => authority.host(),
        _ => authority.as_str(),
    };
    let path = uri.path().trim_end_matches('/');
    (!authority.as_str().contains('@')).then(|| format!("{scheme}://{plain}{path}"))
}

fn is_header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

impl Account {
    /// A GET of Workspace: `tail` follows the project in the path.
    pub fn request(
        &self,
        proof: &Proof<'_>,
        tail: &str,
        query: &[(&str, &str)],
        stamp: &Stamp,
    ) -> Result<Request, Failure> {
        let bad = || Failure::new(Fault::Rejected, "the request cannot be built from this configuration");
        let project_id = match proof {
            Proof::Key(key) => &key.project_id,
            Proof::Token(token) => &token.project_id,
        };
        let address = format!("{}/v2/{project_id}/{tail}", self.endpoint);
        let uri = format!("{address}?{}", sign::canonical_query(query));
        // The contract calls Content-Type mandatory even on a GET.
        let mut builder = http::Request::get(uri).header(CONTENT_TYPE, "application/json");
        match proof {
            Proof::Token(token) => builder = builder.header("x-auth-token", token.header.clone()),
            Proof::Key(key) => {
                let uri: Uri = address.parse().map_err(|_| bad())?;
                let host = uri.authority().map_or("", |authority| authority.as_str());
                let date = sdk_date(stamp.at.unix_ms);
                let mut signed = vec![
                    ("content-type", "application/json"),
                    ("host", host),
                    ("x-project-id", project_id.as_str()),
                    ("x-sdk-date", date.as_str()),
                ];
                signed.extend(key.token.as_ref().map(|token| ("x-security-token", token.expose())));
                let authorization = sign::sign(&Unsigned {
                    method: "GET",
                    path: uri.path(),
                    query,
                    headers: &signed,
                    body: b"",
                    access_key: key.id.expose(),
                    secret_key: key.secret.expose(),
                })
                .authorization;
                builder = builder.header("x-project-id", project_id).header("x-sdk-date", &date);
                if let Some(token) = &key.token {
                    builder = builder.header("x-security-token", sensitive(token.expose())?);
                }
                builder = builder.header(AUTHORIZATION, sensitive(&authorization)?);
            }
        }
        builder.body(Bytes::new()).map_err(|_| bad())
    }
}

/// A header value that no Debug output shows.
fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Failure::new(Fault::Rejected, "the key or token cannot be sent as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The value of X-Sdk-Date: UTC, `YYYYMMDD'T'HHMMSS'Z'`.
fn sdk_date(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leaves_out_only_the_schemes_own_port() {
        let checked = |text: &str| address(Some(text), String::new);
        assert_eq!(checked("https://a.example:443").as_deref(), Some("https://a.example"));
        assert_eq!(checked("http://a.example:80").as_deref(), Some("http://a.example"));
        assert_eq!(checked("http://a.example:443").as_deref(), Some("http://a.example:443"));
        assert_eq!(checked("http://127.0.0.1:18081/").as_deref(), Some("http://127.0.0.1:18081"));
        assert_eq!(checked("http://user@a.example"), None);
        assert_eq!(checked("nonsense"), None);
        assert_eq!(address(None, || "https://iam.x".into()).as_deref(), Some("https://iam.x"));
    }

    #[test]
    fn the_date_is_that_of_the_captured_requests() {
        assert_eq!(sdk_date(1_772_330_584_999), "20260301T020304Z");
    }
}
