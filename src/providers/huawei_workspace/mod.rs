//! Huawei Cloud Workspace: who works on which cloud desktop, since when, and over how good a connection.
//!
//! Two interfaces answer together. `ListDesktopsConnectStatus` lists every desktop with its status and its users: it says
//! who is on and who is not. `ListLoginRecordsNew` lists logins, attempted and done: it says since when, and gives the
//! round-trip times. With `records_only` the second is asked alone, for accounts that may use no other.
//!
//! | evidence | desktops | users |
//! | --- | --- | --- |
//! | online | CONNECTED | sole user of a CONNECTED desktop; of a shared one, the user of its newest open record |
//! | offline | another documented status, in a complete listing | named only by desktops where it is not at work |
//! | refused id | named in no row of a complete listing | the same, unless groups are assigned |
//! | no row | – | on a shared connected desktop that no record explains |
//! | start, RTT | the newest open record of that desktop | of all the user's connected desktops, else none |
//!
//! With `records_only`: online by an open record that the pass has just read; offline by an ended record after which
//! nothing is unread, and only once an open record was seen, since an installation may show records after their end only.
//!
//! Limits: 1,000 rows a page and an offset up to 100,000; no rate is documented for Workspace (the gateway's own is
//! 200/s an API, and far lower ones are reported), so the default is one request a second and project. A key is locked for
//! five minutes after more than five failed authentications in a row: a refusal asks for that wait.
//!
//! Traps: request times have minutes only, answers have seconds. Pages may be capped at 100 rows whatever is asked for,
//! and lists move between pages. How an open session looks is documented nowhere. A record may be written late: as long as
//! that lasts, a reconnect that fell between two listings, or before this process began, still shows the start of the
//! session before. Failed logins are records as well. RTT fields are missing in every published example.
//!
//! Sessions by the same records go to the exporter's histograms, for the targets' records only: a project holds others.
//!
//! Discovery takes the desktops of a listing of its own, or the users that they are assigned to by name; it does not read
//! the statistics interfaces, nor who is in a group.

mod account;
mod asking;
mod client;
mod cost;
mod errors;
mod keys;
mod keys_sim;
mod map;
mod pages;
mod records;
mod replies;
mod sessions;
pub mod sign;
mod sim;
#[cfg(test)]
mod tests;
mod token;
mod windows;
mod wire;

use std::sync::Mutex;
use std::time::Duration;

use self::account::Account;
use self::client::{Memory, Workspace};
use self::map::Subject;
use super::{Action, Cloud, Configured, ProviderKind, Session};
use crate::config::{AccountSettings, Key, Need, Reader, Shape};
use crate::domain::{Evidence, Kind};

/// The provider's name in configurations and labels.
pub const NAME: &str = "huawei_workspace";

/// Huawei Cloud: an access key or an IAM password, in one region and project.
pub static CLOUD: Cloud = Cloud {
    name: "huawei",
    keys: account::ACCOUNT_KEYS,
    // Workspace publishes no limit, the gateway's default is 200/s an API; users report as few as ten calls a minute on
    // other services.
    requests_per_second: 1.0,
    open: account::open,
};

/// Lists every desktop with its status.
pub static LIST_DESKTOPS: Action = Action {
    name: "ListDesktopsConnectStatus",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "Workspace API, ListDesktopsConnectStatus: no rate is given; limit and offset up to 1000 and 100000",
};

/// Lists login records.
pub static LIST_RECORDS: Action = Action {
    name: "ListLoginRecordsNew",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "Workspace API, ListLoginRecordsNew: no rate is given; limit 0-1000",
};

/// Asks IAM for a token.
pub static CREATE_TOKEN: Action = Action {
    name: "KeystoneCreateUserTokenByPassword",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "IAM API, KeystoneCreateUserTokenByPassword: a token lives for 24 hours",
};

static ACTIONS: &[&Action] =
    &[&LIST_DESKTOPS, &LIST_RECORDS, &CREATE_TOKEN, &keys::METADATA, &keys::ID_TOKEN, &keys::SECURITY_TOKEN];

const SOURCE_KEYS: &[Key] = &[
    Key {
        name: "subject",
        shape: Shape::Choice(&["desktop", "user"]),
        need: Need::Default("desktop"),
        doc: "What the targets are: desktops, or the users that desktops are assigned to, as Workspace lists them.",
    },
    Key {
        name: "match",
        shape: Shape::Choice(&["name", "id"]),
        need: Need::Default("name"),
        doc: "Whether desktops are given by desktop_name or by desktop_id. Users are given by name.",
    },
    Key {
        name: "records_only",
        shape: Shape::Flag,
        need: Need::Default("false"),
        doc: "Ask login records alone, for accounts that may not list desktops. Offline then needs an ended record.",
    },
    Key {
        name: "lookback",
        shape: Shape::Duration { min_s: 3600, max_s: 604_800 },
        need: Need::Default("24h"),
        doc: "How far back login records are read at the start, to learn of sessions that began before.",
    },
];

/// The entry of the registry.
pub static KIND: HuaweiWorkspace = HuaweiWorkspace;

/// Huawei Cloud Workspace as a provider.
pub struct HuaweiWorkspace;

impl ProviderKind for HuaweiWorkspace {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cloud(&self) -> &'static Cloud {
        &CLOUD
    }

    fn keys(&self) -> &'static [Key] {
        SOURCE_KEYS
    }

    fn view_keys(&self) -> &'static [&'static str] {
        &["subject", "match"]
    }

    fn actions(&self) -> &'static [&'static Action] {
        ACTIONS
    }

    fn configure(&self, source: &Reader<'_>, _: &AccountSettings, session: &Session) -> Option<Configured> {
        let account = session.clone().downcast::<Account>().ok()?;
        let users = source.text("subject")? == "user";
        let by_id = source.text("match")? == "id";
        let lookback = source.duration("lookback")?;
        if users && by_id {
            let hint = "leave `match` out, and give users by the names that Workspace lists";
            source.complain("match", "users are matched by name only", Some(hint.into()));
            return None;
        }
        let (kind, subject) = match (users, by_id) {
            (true, _) => (Kind::User, Subject::User),
            (false, true) => (Kind::Desktop, Subject::DesktopId),
            (false, false) => (Kind::Desktop, Subject::DesktopName),
        };
        let provider = Box::new(Workspace {
            account,
            records_only: source.flag("records_only"),
            lookback_ms: i64::try_from(lookback.as_millis()).ok()?,
            memory: Mutex::new(Memory::default()),
        });
        Some(Configured { kind, evidence: Evidence::Reported, provider, lens: subject.lens() })
    }

    fn simulate(&self, options: super::sim::SimOptions) -> Box<dyn super::sim::SimApi> {
        if options.switch("credentials").is_some() {
            return Box::new(keys_sim::Issuing::new(options));
        }
        Box::new(sim::Simulated::new(options))
    }
}
