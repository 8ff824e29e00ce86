//! What goes over `OpenIM`'s wire: request bodies, and of the replies the used fields only.
//!
//! Deliberately absent: the `token` beside each terminal, which is that user's live login. It is skipped unread.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::domain::Fault;
use crate::providers::Failure;
use crate::providers::http::{Reply, status_failure};
use crate::providers::loose::{List, Loose, Object};

/// Asks `get_users_online_status`.
#[derive(Serialize)]
pub(super) struct DetailAsk<'a> {
    #[serde(rename = "userIDs")]
    pub user_ids: &'a [&'a str],
}

/// Asks `get_users_status`.
#[derive(Serialize)]
pub(super) struct StatusAsk<'a> {
    #[serde(rename = "userID")]
    pub user_id: &'a str,
    #[serde(rename = "userIDs")]
    pub user_ids: &'a [&'a str],
}

/// Asks `get_all_users_uid`.
#[derive(Serialize)]
pub(super) struct UsersAsk {
    pub pagination: Pagination,
}

/// A page, counted from 1, and its size.
#[derive(Serialize)]
pub(super) struct Pagination {
    #[serde(rename = "pageNumber")]
    pub page_number: u32,
    #[serde(rename = "showNumber")]
    pub show_number: u32,
}

/// Asks a token endpoint; only the older one wants a platform. It has no Debug.
#[derive(Serialize)]
pub(super) struct TokenAsk<'a> {
    pub secret: &'a str,
    #[serde(rename = "platformID", skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<u8>,
    #[serde(rename = "userID")]
    pub user_id: &'a str,
}

/// Every reply's envelope. On errors `data` is absent.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, T: Deserialize<'de> + Default"))]
pub(super) struct Envelope<'a, T> {
    #[serde(rename = "errCode", borrow, default)]
    code: Loose<'a>,
    /// Free text that may repeat secrets: compared on the token endpoints, never kept.
    #[serde(rename = "errDlt", borrow, default)]
    pub detail: Loose<'a>,
    #[serde(default)]
    pub data: T,
}

impl<'a, T: Deserialize<'a> + Default> Envelope<'a, T> {
    /// The envelope and its error code, 0 for a success; a failure when the body is no envelope.
    pub(super) fn read(reply: &'a Reply) -> Result<(Self, i64), Failure> {
        let bad_status = !reply.status.is_success();
        match reply.json::<Self>() {
            Ok(envelope) => match envelope.code {
                Loose::Whole(code) if code != 0 || !bad_status => Ok((envelope, code)),
                _ if bad_status => Err(status_failure(reply)),
                _ => Err(Failure::new(Fault::BadAnswer, "an answer without errCode")),
            },
            Err(failure) => Err(if bad_status { status_failure(reply) } else { failure }),
        }
    }
}

/// The failure of an error code, with the wait that a limiter may ask for.
pub(super) fn failure_of(code: i64, reply: &Reply, fault: fn(i64, StatusCode) -> Fault) -> Failure {
    Failure::with_code(fault(code, reply.status), &format!("error {code}")).wait(reply.retry_after())
}

/// `data` of `get_users_online_status`.
pub(super) type DetailData<'a> = List<Object<DetailRow<'a>>>;

/// One user, in either generation's shape.
#[derive(Deserialize)]
pub(super) struct DetailRow<'a> {
    #[serde(rename = "userID", borrow, default)]
    pub user_id: Loose<'a>,
    #[serde(borrow, default)]
    pub status: Loose<'a>,
    #[serde(rename = "detailPlatformStatus", borrow, default)]
    pub terminals: List<Object<Terminal<'a>>>,
}

/// One connection: since v3.8.1 with a number, before with a word for the platform.
#[derive(Deserialize)]
pub(super) struct Terminal<'a> {
    #[serde(rename = "platformID", borrow, default)]
    pub platform_id: Loose<'a>,
    #[serde(borrow, default)]
    pub platform: Loose<'a>,
    #[serde(rename = "connID", borrow, default)]
    pub conn_id: Loose<'a>,
}

/// `data` of `get_users_status`.
#[derive(Deserialize)]
pub(super) struct StatusData<'a> {
    #[serde(rename = "statusList", borrow, default)]
    pub list: List<Object<StatusRow<'a>>>,
}

/// One user. The platforms beside it are not connections, so they are left on the wire.
#[derive(Deserialize)]
pub(super) struct StatusRow<'a> {
    #[serde(rename = "userID", borrow, default)]
    pub user_id: Loose<'a>,
    #[serde(borrow, default)]
    pub status: Loose<'a>,
}

/// `data` of `get_all_users_uid`.
#[derive(Deserialize)]
pub(super) struct UsersData<'a> {
    /// How many users there are; 0 up to v3.4, which never sets it.
    #[serde(borrow, default)]
    pub total: Loose<'a>,
    /// `null` on a page past the end.
    #[serde(rename = "userIDs", borrow, default)]
    pub user_ids: List<Loose<'a>>,
}

/// `data` of the token endpoints. It has no Debug.
#[derive(Deserialize)]
pub(super) struct TokenData<'a> {
    #[serde(borrow, default)]
    pub token: Loose<'a>,
    /// A duration here, though a field of this name is a time in another reply.
    #[serde(rename = "expireTimeSeconds", borrow, default)]
    pub lifetime_s: Loose<'a>,
}
