//! Volcengine: which users of an app hold a long connection, by `QueryOnlineStatus`.
//!
//! Host and signing service are called `rtc`, but the call belongs to the vendor's IM product: app and user ids are
//! numbers, other than the texts of RTC rooms.
//!
//! | | evidence |
//! | --- | --- |
//! | online | the map's key, "the id of an online user", with at least one connection |
//! | offline | an answer without `Error` in which the id is absent or has no connection |
//! | connections | the entries of the user's list |
//! | start | none is given: first seen, per `ConnId` |
//! | RTT | none is given |
//!
//! Limits: 100 ids a call and 100 calls a second, the latter counted for an account with all its apps.
//!
//! Traps: an error may come under HTTP status 200; an unknown user is told as offline; ids go to 2^63-1, beyond the
//! precision of a floating-point number; the region that is signed (`cn-north-1`) is not the one that is echoed.
//!
//! With `credentials: role` the key that signs is one of a role's, by STS `AssumeRole` (`keys.rs`).
//!
//! Deliberately absent: discovery of ids (no call lists an app's users).

use std::time::Duration;

use crate::config::{AccountSettings, Key, Need, Reader, Shape};
use crate::domain::{Evidence, Fault, Kind, Limit, RowId, Seen};

use self::keys::Account;
use super::sim::{SimApi, SimOptions};
use super::{Action, Cloud, Configured, ProviderKind, Session};

mod client;
mod errors;
mod keys;
mod map;
pub mod sign;
pub mod sim;
mod wire;

/// The provider.
pub static KIND: VolcengineRtc = VolcengineRtc;

/// The provider's type; [`KIND`] is its only value.
pub struct VolcengineRtc;

/// The name in configurations and labels.
pub(crate) const NAME: &str = "volcengine_rtc";

/// "The most that can be asked for at once is 100 members" (`QueryOnlineStatus`, `UserIds`).
const IDS_PER_CALL: usize = 100;

/// Where requests go unless the account names an endpoint.
const ENDPOINT: &str = "https://rtc.volcengineapi.com";

/// The service that is signed.
const SERVICE: &str = "rtc";

/// The query of every call.
const QUERY: [(&str, &str); 2] = [("Action", "QueryOnlineStatus"), ("Version", "2020-12-01")];

/// The one call.
static ACTION: Action = Action {
    name: "QueryOnlineStatus",
    ids_per_call: 100,
    limits: &[Limit::per_second(100)],
    lag: Duration::ZERO,
    billed: false,
    source: "QueryOnlineStatus: \"QPS at most 100\", UserIds \"at most 100 members\"; page 6348/412251: counted for \
             an account, shared by its apps",
};

/// Every call.
static ACTIONS: &[&Action] = &[&ACTION, &keys::ASSUME_ROLE];

/// The cloud: who signs, and where to.
pub(crate) static CLOUD: Cloud = Cloud {
    name: "volcengine",
    keys: keys::ACCOUNT_KEYS,
    // A fifth of the documented 100 a second, which other programs of the account share.
    requests_per_second: 20.0,
    open: keys::open,
};

const SOURCE_KEYS: &[Key] = &[Key {
    name: "app_id",
    shape: Shape::Count { min: 1, max: 2_147_483_647 },
    need: Need::Required,
    doc: "The AppId of the IM app, a number; not the hexadecimal AppId of an RTC app.",
}];

/// What is said of the targets of a question.
type Rows = Vec<(RowId, Result<Seen, Fault>)>;

impl ProviderKind for VolcengineRtc {
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

    fn configure(
        &self,
        source: &Reader<'_>,
        account: &AccountSettings,
        session: &Session,
    ) -> Option<Configured> {
        let caller = session.clone().downcast::<Account>().ok()?;
        let app_id = u32::try_from(source.count("app_id")?).ok()?;
        let endpoint = account.endpoint.as_deref().unwrap_or(ENDPOINT);
        let Some(client) = client::Client::new(endpoint, app_id, caller) else {
            source.complain("account", "the endpoint of its account is no address that can be asked", None);
            return None;
        };
        Some(Configured {
            kind: Kind::User,
            evidence: Evidence::FirstSeen,
            provider: Box::new(client),
            lens: 0,
        })
    }

    fn simulate(&self, options: SimOptions) -> Box<dyn SimApi> {
        Box::new(sim::Sim::new(options))
    }
}

#[cfg(test)]
mod tests;
