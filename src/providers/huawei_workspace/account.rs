//! A Huawei Cloud account as the configuration gives it: region, project, and a key or a password. It builds the requests
//! of Workspace and knows how each way of authentication looks; it does not know what is asked.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::keys::{AccessKey, Federated, Keys};
use super::sign::{self, Unsigned};
use super::token::{PasswordLogin, Token, is_project_id};
use crate::config::{AccountSettings, Key, Need, Reader, Secret, Shape};
use crate::domain::Fault;
use crate::ports::Request;
use crate::providers::Session;
use crate::providers::credentials::ways::{Way, fits};
use crate::providers::credentials::{Keeper, Secrets, Written};
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
        name: "credentials",
        shape: Shape::Choice(&["key", "password", "ecs", "id_token"]),
        need: Need::Optional,
        doc: "Where authentication comes from: key, password, ecs or id_token. Default: key or password, as given.",
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
    Key {
        name: "metadata_endpoint",
        shape: Shape::Url,
        need: Need::Default("http://169.254.169.254"),
        doc: "Where the instance's metadata are asked for, with credentials: ecs.",
    },
    Key {
        name: "idp_id",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The identity provider in IAM that the id token comes from. Needed with id_token.",
    },
    Key {
        name: "id_token_file",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The file that holds a fresh id token; read at each renewal. Needed with id_token.",
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
    Key(Keyed),
    /// A password gets a token, which each request carries.
    Password(PasswordLogin),
}

/// An access key, wherever it comes from, with the project that it asks about.
pub struct Keyed {
    /// The key in use.
    pub keeper: Keeper<Keys>,
    /// The project's id.
    pub project_id: String,
}

/// What goes into a request beside what is asked.
pub enum Proof<'a> {
    /// Sign with this key, for this project.
    Key(&'a AccessKey, &'a str),
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
    let auth = match reader.text("credentials") {
        Some(word) => chosen(reader, settings, &word, project_id, &region),
        None if reader.has("credentials") => None,
        None => given(reader, project_id, &region),
    };
    let (endpoint, auth) = (endpoint?, auth?);
    (!project_is_bad).then(|| Arc::new(Account { endpoint, auth }) as Session)
}

/// What goes with what, where `credentials` says it.
const WAYS: &[Way] = &[
    Way {
        word: "key",
        needs: &["access_key_id", "access_key_secret", "project_id"],
        takes: &["security_token"],
    },
    Way {
        word: "password",
        needs: &["iam_user", "iam_password", "iam_domain"],
        takes: &["iam_endpoint", "project_id"],
    },
    Way { word: "ecs", needs: &["project_id"], takes: &["metadata_endpoint"] },
    Way { word: "id_token", needs: &["idp_id", "id_token_file", "project_id"], takes: &["iam_endpoint"] },
];

/// The way that `credentials` names.
fn chosen(
    reader: &Reader<'_>,
    settings: &AccountSettings,
    word: &str,
    project_id: Option<String>,
    region: &str,
) -> Option<Auth> {
    if !fits(reader, WAYS, word) {
        return None;
    }
    let keyed = |keys, project_id| Auth::Key(Keyed { keeper: Keeper::new(keys), project_id });
    match word {
        "key" => read_key(reader, project_id).map(Auth::Key),
        "password" => read_password(reader, project_id, region).map(Auth::Password),
        "ecs" => {
            if settings.outbound.proxy.is_some() {
                let hint = "take out `proxy`, or give the account a key of its own";
                reader.complain("proxy", "metadata cannot be asked through a proxy", Some(hint.into()));
                return None;
            }
            Some(keyed(Keys::Ecs { endpoint: reader.text("metadata_endpoint")? }, project_id?))
        }
        _ => {
            let file = reader.context().base.join(reader.text("id_token_file")?);
            let federated = Federated::new(
                read_iam_endpoint(reader, region)?,
                reader.text("idp_id")?,
                file,
                reader.context().env.clone(),
            );
            if let Err((key, words)) = federated.check() {
                reader.complain(key, words, None);
                return None;
            }
            Some(keyed(Keys::Federated(federated), project_id?))
        }
    }
}

/// The way that the given keys show.
fn given(reader: &Reader<'_>, project_id: Option<String>, region: &str) -> Option<Auth> {
    let key = read_key(reader, project_id.clone());
    let password = read_password(reader, project_id, region);
    let by_key = KEY_KEYS.iter().any(|key| reader.has(key));
    let by_password = PASSWORD_KEYS.iter().any(|key| reader.has(key));
    for key in ["metadata_endpoint", "idp_id", "id_token_file"].iter().filter(|key| reader.has(key)) {
        let hint = "say which way is meant: credentials: ecs, or credentials: id_token";
        reader.complain(key, format!("`{key}` means nothing without `credentials`"), Some(hint.into()));
    }
    match (by_key, by_password) {
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
    }
}

/// What may stand there, in words: what [`is_project_id`] takes.
const PROJECT_ID_HINT: &str =
    "1 to 64 letters, digits, - and _; Huawei's are 32 hexadecimal digits, in the console's My Credentials";

const KEY_KEYS: [&str; 3] = ["access_key_id", "access_key_secret", "security_token"];
const PASSWORD_KEYS: [&str; 4] = ["iam_user", "iam_password", "iam_domain", "iam_endpoint"];

fn read_key(reader: &Reader<'_>, project_id: Option<String>) -> Option<Keyed> {
    if !KEY_KEYS.iter().any(|key| reader.has(key)) {
        return None;
    }
    missing(reader, &["access_key_id", "access_key_secret", "project_id"], "an access key");
    let secrets = Secrets::read(reader, &KEY_KEYS)?;
    let (id, secret) = (secrets.get(0)?.clone(), secrets.get(1)?.clone());
    if let Err((key, words)) = AccessKey::new(id, secret, secrets.get(2).cloned()) {
        reader.complain(key, words, None);
        return None;
    }
    let keys = Keys::Written(Written::new(secrets, AccessKey::of));
    Some(Keyed { keeper: Keeper::new(keys), project_id: project_id? })
}

fn read_iam_endpoint(reader: &Reader<'_>, region: &str) -> Option<String> {
    let configured = reader.text("iam_endpoint");
    let endpoint = address(configured.as_deref(), || format!("https://iam.{region}.myhuaweicloud.com"));
    if endpoint.is_none() {
        reader.complain("iam_endpoint", "this makes no address", None);
    }
    endpoint
}

fn read_password(reader: &Reader<'_>, project_id: Option<String>, region: &str) -> Option<PasswordLogin> {
    if !PASSWORD_KEYS.iter().any(|key| reader.has(key)) {
        return None;
    }
    missing(reader, &["iam_user", "iam_password", "iam_domain"], "an IAM password");
    let iam_endpoint = read_iam_endpoint(reader, region);
    let password = Written::one(reader, "iam_password");
    Some(PasswordLogin {
        user: reader.text("iam_user")?,
        password: password?,
        domain: reader.text("iam_domain")?,
        iam_endpoint: iam_endpoint?,
        project_id,
        region: region.to_owned(),
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

impl Account {
    /// Whether its credentials changed since the last call.
    pub fn refreshed(&self) -> bool {
        match &self.auth {
            Auth::Key(keyed) => keyed.keeper.refreshed(),
            Auth::Password(login) => login.password.refreshed(),
        }
    }

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
            Proof::Key(_, project_id) => *project_id,
            Proof::Token(token) => &token.project_id,
        };
        let address = format!("{}/v2/{project_id}/{tail}", self.endpoint);
        let uri = format!("{address}?{}", sign::canonical_query(query));
        // The contract calls Content-Type mandatory even on a GET.
        let mut builder = http::Request::get(uri).header(CONTENT_TYPE, "application/json");
        match proof {
            Proof::Token(token) => builder = builder.header("x-auth-token", token.header.clone()),
            Proof::Key(key, _) => {
                let uri: Uri = address.parse().map_err(|_| bad())?;
                let host = uri.authority().map_or("", |authority| authority.as_str());
                let date = sdk_date(stamp.at.unix_ms);
                let mut signed = vec![
                    ("content-type", "application/json"),
                    ("host", host),
                    ("x-project-id", project_id),
                    ("x-sdk-date", date.as_str()),
                ];
                signed.extend(key.token.as_ref().map(|token| ("x-security-token", Secret::expose(token))));
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
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
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
