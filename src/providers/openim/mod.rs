//! `OpenIM` 3: which users of a server hold a connection, by `get_users_online_status` or, more shortly, `get_users_status`.
//!
//! | | evidence |
//! | --- | --- |
//! | online | a row with status 1 (v3.8.1 and later) or `online` (before) |
//! | offline | a row with status 0 or `offline`; an id that was never registered gets one too |
//! | unknown | no row, or one of another shape |
//! | connections | the rows of `detailPlatformStatus`; behind several gateways only those on the first of them |
//! | start | none is given: first seen, per `connID` |
//! | RTT | none is given |
//!
//! Limits: version 2 had 200 ids a call and `get_users_status` 500; we take 200. No rate is documented.
//!
//! Traps: nearly every error comes under HTTP status 200, so the code decides. A message gateway that does not answer
//! makes its users offline in a reply that says success, so that half of ten or more people leaving at once is asked
//! about again before it is believed. Each row of the detailed answer holds that user's live token: it is skipped unread, and
//! with `mode: status_only` it is not on the wire at all. Error texts may repeat our own token and are never kept.
//!
//! `status_only` names neither connections nor when they began. It sees all gateways, but a gateway that crashed leaves its
//! users online for up to 30 minutes.
//!
//! Discovery reads every id of the server by `get_all_users_uid`, which tells ids and nothing else of anybody. Nothing
//! sorts that list, so that pages overlap and miss somebody while people register: it is whole when it has as many
//! different ids as the server counts, or, up to v3.4, where it counts none, when no id came twice up to a page that is not
//! full. Administrators and notification accounts stand on it too; the one who asks is left out.
//!
//! Deliberately absent: version 2 (told by its error 400), names of users (`get_users` tells far more about people than a
//! list needs), webhooks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;

use crate::config::{AccountSettings, Key, Need, Reader, Shape};
use crate::domain::{Evidence, Fault, Kind, RowId, Seen};
use crate::ports::Request;

use self::token::{Account, Api, Login, Token};
use super::credentials::Written;
use super::http::Stamp;
use super::sim::{SimApi, SimOptions};
use super::{Action, Cloud, Configured, Failure, Net, ProviderKind, Session};

mod client;
mod errors;
mod guard;
mod listing;
mod map;
pub mod sim;
mod token;
mod wire;

/// The provider.
pub static KIND: OpenIm = OpenIm;

/// The provider's type; [`KIND`] is its only value.
pub struct OpenIm;

/// The name in configurations and labels.
pub(crate) const NAME: &str = "openim";

/// Version 2 refused more; version 3 has no limit on the detailed call, and a reply of this size is far from the 4 MiB
/// that a gateway's part of it may have.
const IDS_PER_CALL: usize = 200;

/// The longest id that is asked about. `OpenIM` documents none; this keeps a body small enough for any proxy.
const ID_BYTES: usize = 1024;

/// The ids of one call together, in bytes.
const IDS_BYTES: usize = 64 * 1024;

/// How long a connection that broke without a word counts as one: the gateway's `pongWait`, "30 * time.Second" in every
/// release 3, is how long it waits for the next frame.
const DEAD_LINK: Duration = Duration::from_secs(30);

/// Users with their connections.
static DETAIL: Action = Action {
    name: "get_users_online_status",
    ids_per_call: 200,
    limits: &[],
    lag: DEAD_LINK,
    billed: false,
    source: "no limit in open-im-server v3 (internal/api/user.go); v2.3.3: at most 200 ids; \
             msggateway: pongWait, 30 s",
};

/// Users without their connections.
static STATUS: Action = Action {
    name: "get_users_status",
    ids_per_call: 200,
    limits: &[],
    lag: DEAD_LINK,
    billed: false,
    source: "open-im-server: at most 500 ids up to v3.8.0, 1000 up to v3.8.2, no limit later; \
             msggateway: pongWait, 30 s",
};

/// Every user's id.
static USERS: Action = Action {
    name: "get_all_users_uid",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "no limit in open-im-server v3 (internal/api/user.go), of rows in a page neither",
};

/// A token, v3.8.1 and later.
static ADMIN_TOKEN: Action = Action {
    name: "get_admin_token",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "no limit in open-im-server",
};

/// A token, up to v3.8.0.
static USER_TOKEN: Action = Action {
    name: "user_token",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "no limit in open-im-server",
};

/// Every call.
static ACTIONS: &[&Action] = &[&DETAIL, &STATUS, &USERS, &ADMIN_TOKEN, &USER_TOKEN];

/// The cloud: a server of the operator's own.
pub(crate) static CLOUD: Cloud = Cloud {
    name: "openim",
    keys: ACCOUNT_KEYS,
    // Nothing is documented. Each call asks every gateway in turn; ten a second are two thousand users a second.
    requests_per_second: 10.0,
    open,
};

const ACCOUNT_KEYS: &[Key] = &[
    Key {
        name: "admin_user_id",
        shape: Shape::Text,
        need: Need::Required,
        doc: "The administrator who asks. Give the exporter one of its own: some releases log older sessions out.",
    },
    Key {
        name: "secret",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The server's secret, of which tokens are made. Either this or token.",
    },
    Key {
        name: "token",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "A ready administrator's token, used until it ends; no login is made. Either this or secret.",
    },
    Key {
        name: "api",
        shape: Shape::Choice(&["auto", "get_admin_token", "user_token"]),
        need: Need::Default("auto"),
        doc: "Where tokens are made: get_admin_token (3.8.1 and later), user_token (before), or auto to find out.",
    },
];

const SOURCE_KEYS: &[Key] = &[Key {
    name: "mode",
    shape: Shape::Choice(&["detail", "status_only"]),
    need: Need::Default("detail"),
    doc: "detail: with connections and platforms, and users' tokens on the wire. status_only: online or offline only.",
}];

/// What an answer says of one target.
type Said = Result<Seen, Fault>;

/// What is said of the targets of a question.
type Rows = Vec<(RowId, Said)>;

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Detail,
    StatusOnly,
}

impl Mode {
    fn path(self) -> &'static str {
        match self {
            Self::Detail => "/user/get_users_online_status",
            Self::StatusOnly => "/user/get_users_status",
        }
    }

    /// The short answer names no connection whose first sight could be remembered.
    fn evidence(self) -> Evidence {
        match self {
            Self::Detail => Evidence::FirstSeen,
            Self::StatusOnly => Evidence::None,
        }
    }
}

fn open(account: &Reader<'_>, settings: &AccountSettings) -> Option<Session> {
    let endpoint = settings.endpoint.clone();
    if endpoint.is_none() && !account.has("endpoint") {
        let hint = "give the address of the server's API, such as https://im.example:10002";
        account.complain("endpoint", "an OpenIM account needs an endpoint", Some(hint.into()));
    }
    let login = login(account);
    let admin_user_id = account.text("admin_user_id");
    Some(Arc::new(Account::new(endpoint?, admin_user_id?, login?)))
}

fn login(account: &Reader<'_>) -> Option<Login> {
    match (account.has("secret"), account.has("token")) {
        (true, false) => {
            let api = match account.text("api")?.as_str() {
                "get_admin_token" => Api::AdminToken,
                "user_token" => Api::UserToken,
                _ => Api::Auto,
            };
            Written::one(account, "secret").map(|secret| Login::Secret(secret, api))
        }
        (false, true) => Written::one(account, "token").map(Login::Ready),
        (true, true) => {
            account.complain("token", "secret and token exclude each other", Some("give one of them".into()));
            None
        }
        (false, false) => {
            let hint = "give secret, or a ready token";
            account.complain("secret", "an OpenIM account needs a secret or a token", Some(hint.into()));
            None
        }
    }
}

/// Every request looks like this: JSON, traced by an id of its own, with a token except where one is asked for. The server
/// writes that id to its log, and so it is the request's id for people too.
fn post(
    net: &Net,
    endpoint: &str,
    path: &str,
    token: Option<&Token>,
    body: &Bytes,
    stamp: &Stamp,
) -> Result<Request, Failure> {
    let id = stamp.nonce_hex();
    net.note_request_id(&id);
    let mut request = http::Request::post(format!("{endpoint}{path}"))
        .header(CONTENT_TYPE, "application/json")
        .header("operationid", id);
    if let Some(token) = token {
        request = request.header("token", token.value.clone());
    }
    request
        .body(body.clone())
        .map_err(|_| Failure::new(Fault::Rejected, "the account's endpoint is no address that can be asked"))
}

impl ProviderKind for OpenIm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cloud(&self) -> &'static Cloud {
        &CLOUD
    }

    fn keys(&self) -> &'static [Key] {
        SOURCE_KEYS
    }

    fn actions(&self) -> &'static [&'static Action] {
        ACTIONS
    }

    fn configure(&self, source: &Reader<'_>, _: &AccountSettings, session: &Session) -> Option<Configured> {
        let account = session.clone().downcast::<Account>().ok()?;
        let mode = match source.text("mode")?.as_str() {
            "status_only" => Mode::StatusOnly,
            _ => Mode::Detail,
        };
        let provider = Box::new(client::Client::new(account, mode));
        Some(Configured { kind: Kind::User, evidence: mode.evidence(), provider, lens: 0 })
    }

    fn simulate(&self, options: SimOptions) -> Box<dyn SimApi> {
        Box::new(sim::Sim::new(options))
    }
}

#[cfg(test)]
mod tests;
