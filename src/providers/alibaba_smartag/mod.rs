//! Users of a Smart Access Gateway app instance (product `Smartag`, version `2018-03-13`).
//!
//! | call | answers for | limit |
//! | --- | --- | --- |
//! | `DescribeUserOnlineClientStatistics` | the number of clients of each name | 50 names a call |
//! | `DescribeUserOnlineClients` | one name's clients, each with `OnlineTime` | one name |
//! | `DescribeSmartAccessGatewayClientUsers` (`discover`) | the accounts of one instance | 50 a page |
//! | `DescribeSmartAccessGateways` (`discover` without `instance`) | the app instances of the region | 50 a page |
//!
//! A source that discovers may leave `instance` out. Then its targets are `INSTANCE/USER`, all instances are listed, and
//! each call asks for users of one instance.
//!
//! ## Evidence
//!
//! | state | by the statistics | by the name's clients (`exact`, and every detail) |
//! | --- | --- | --- |
//! | online | `OnlineCount` of 1 or more | at least one client |
//! | offline | `OnlineCount` of 0 | a complete answer (with `RequestId`) without a client |
//! | neither | the name is missing: not documented, so the detail is asked | anything else |
//!
//! Once a detail has shown a missing name to be offline, its staying away counts as offline. The start of a stay is the
//! earliest plausible `OnlineTime` (Unix *seconds*, text or number). Details are asked when a count changed, at first,
//! and every tenth round. There is no round-trip time.
//!
//! ## Discovery
//!
//! What is found are accounts, by `UserName`. Their `State` (0 enabled, 1 disabled) is not presence and not read: who is
//! disabled stays on the list, so that a stay that goes on is seen to its end. Nor is the `Status` of an instance: which of
//! its values (Ordered, Delivered, Received, Returning, Active, init, Offline) an app instance may have while somebody is
//! connected is not documented, so every one is listed, and one that cannot be listed fails the whole. A list counts only
//! if it has as many different rows as its `TotalCount`.
//!
//! ## Limits
//!
//! No rate limit is published for Smartag; the account's own is far below the gateway's flow control. A call's query is
//! kept below 6 KiB: 50 names outside ASCII could make 15 KiB, which no documented limit promises to pass.
//!
//! ## Traps
//!
//! `RegionId` is required here and not added by the signature; lists are wrapped, and the shape of an empty one is open
//! (`wire.rs`); an internal error comes as 403, an unknown instance as `SAG.InstanceNoFound` (spelt so). The reply for a
//! name that does not exist is not documented: it looks offline.

use std::time::Duration;

use self::instance::Instances;
use super::alibaba::{self, Connected};
use super::sim::{SimApi, SimOptions};
use super::{Action, Cloud, Configured, ProviderKind, Session};
use crate::config::{AccountSettings, Key, Need, Reader, Shape};
use crate::domain::{Evidence, Kind};

mod client;
mod instance;
mod listing;
mod map;
mod sim;
mod wire;

/// The name in configurations and labels.
pub const NAME: &str = "alibaba_smartag";

/// The product's version, in every request.
const VERSION: &str = "2018-03-13";

/// The first label of the product's host names.
const PRODUCT: &str = "smartag";

/// Counts of a batch of names.
pub static STATISTICS: Action = Action {
    name: "DescribeUserOnlineClientStatistics",
    ids_per_call: 50,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "DescribeUserOnlineClientStatistics, parameter UserNames.N: up to 50",
};

/// The clients of one name.
pub static CLIENTS: Action = Action {
    name: "DescribeUserOnlineClients",
    ids_per_call: 1,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "DescribeUserOnlineClients, parameter UserName: one; no limit is published",
};

/// The accounts of an instance.
pub static USERS: Action = Action {
    name: "DescribeSmartAccessGatewayClientUsers",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "DescribeSmartAccessGatewayClientUsers, PageSize: no maximum is published, nor a limit",
};

/// The instances of a region.
pub static GATEWAYS: Action = Action {
    name: "DescribeSmartAccessGateways",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "DescribeSmartAccessGateways, PageSize: 1 to 50; no limit is published",
};

/// Every call, those of getting keys included.
static ACTIONS: [&Action; 8] = {
    let [role, oidc, metadata, uri] = alibaba::credentials::fetch::ACTIONS;
    [&STATISTICS, &CLIENTS, &USERS, &GATEWAYS, role, oidc, metadata, uri]
};

/// A source's keys beside the common ones.
const KEYS: &[Key] = &[
    Key {
        name: "instance",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "The app instance's id (SmartAGId), such as sag-wfjgn0001. With discover it may be left out: then all instances \
              are listed, and targets are INSTANCE/USER.",
    },
    alibaba::REGION_KEY,
    Key {
        name: "exact",
        shape: Shape::Flag,
        need: Need::Default("false"),
        doc: "Ask with DescribeUserOnlineClients alone, one call a user: for keys that may call nothing else.",
    },
];

/// The entry in the registry.
pub static KIND: Smartag = Smartag;

/// Smart Access Gateway.
pub struct Smartag;

impl ProviderKind for Smartag {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cloud(&self) -> &'static Cloud {
        &alibaba::CLOUD
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn actions(&self) -> &'static [&'static Action] {
        &ACTIONS
    }

    fn configure(
        &self,
        source: &Reader<'_>,
        account: &AccountSettings,
        session: &Session,
    ) -> Option<Configured> {
        let Connected { api, region, instance } =
            alibaba::connect(source, account, session, PRODUCT, VERSION)?;
        let instances = match instance {
            Some(instance) => Instances::One(instance),
            None if source.has("discover") => Instances::Named,
            None => {
                let hint = "give the app instance's id (SmartAGId), such as sag-wfjgn0001, or `discover` to list all \
                            instances";
                source.complain(
                    "instance",
                    "a source without `discover` needs an instance",
                    Some(hint.into()),
                );
                return None;
            }
        };
        let provider = client::Client::new(api, region, instances, source.flag("exact"));
        Some(Configured {
            kind: Kind::User,
            evidence: Evidence::Reported,
            provider: Box::new(provider),
            lens: 0,
        })
    }

    fn simulate(&self, options: SimOptions) -> Box<dyn SimApi> {
        alibaba::simulate(sim::Sim::new(options.clone()), options)
    }
}
