//! Clients of an `ApsaraMQ` for MQTT instance (product `OnsMqtt`, version `2020-04-20`).
//!
//! | call | answers for | limit | billed |
//! | --- | --- | --- | --- |
//! | `BatchQuerySessionByClientIds` | 10 clients, from a cache that may lag | 100 calls/s | yes |
//! | `QuerySessionByClientId` (`exact`) | one client, at this moment | 500 calls/s | yes |
//! | `QueryMqttTraceDevice` (`connect_time`) | one client's connections and their ends | 500 calls/s | yes |
//! | `ListGroupId` (`discover`) | the groups of the instance, without pages | 10 calls/s | yes |
//! | `ListDeviceCredentialClientId` (`discover`) | the clients of a group with a credential of their own, 100 a page | none published | yes |
//!
//! ## Evidence
//!
//! | state | by |
//! | --- | --- |
//! | online | `OnlineStatus` true |
//! | offline | `OnlineStatus` false |
//! | neither | anything else; a client that a batch's reply does not name has no row |
//!
//! The API counts no connections and names no address, whatever the prose of its page promises. A start is told by the
//! trace alone, and only if `connect_time` is on: on an arrival (first sight after a start counts as one) its newest page
//! is read once, and the newest accepted connection that has not ended is the start. Its times have no zone; China's is
//! assumed. It is asked for the last 24 hours: how far back it may be asked is not published.
//!
//! ## Discovery
//!
//! No call lists whoever connects. `ListDeviceCredentialClientId` lists the devices for which a credential of their own is
//! registered ("one device one secret"); those that use a signature or a token stand in no list and are not found. Each
//! group is read to its `Total`, by `PageNo` and `NextToken` together, since older documents know the one and newer ones
//! the other; a group that does not come to its own count is read again, and then the listing has failed.
//!
//! ## Limits
//!
//! "Limits on API calls": the calls a second above, for an account; and 300 a second for a source *address* over all
//! operations, beyond which the address is blocked. Every successful call is billed as a message and counts against the
//! instance's own rate.
//!
//! ## Traps
//!
//! A bad id may fail its whole batch with `ParameterCheckFailed` or `InvalidParameter.…`, which don't surely mean an id:
//! such a batch is refused as `refused_id`, so that it is cut to find the one. `SystemOverFlow` is flow control, under 403 or 500; an internal
//! error comes as 417; an instance of another account is `InstancePermissionCheckFailed`. The reply for an unknown client
//! is not documented: it looks offline.

use std::time::Duration;

use super::alibaba::{self, Connected};
use super::sim::{SimApi, SimOptions};
use super::{Action, Cloud, Configured, ProviderKind, Session};
use crate::config::{AccountSettings, Key, Need, Reader, Shape};
use crate::domain::{Evidence, Kind, Limit, Scope, Window};

mod client;
mod listing;
mod map;
mod sim;
mod wire;

/// The name in configurations and labels.
pub const NAME: &str = "alibaba_mqtt";

/// The product's version, in every request.
const VERSION: &str = "2020-04-20";

/// The first label of the product's host names.
const PRODUCT: &str = "onsmqtt";

/// What one network address may ask, whatever it asks and whoever it is: beyond it the address is blocked, not throttled.
/// "Limits on API calls": 300 calls/s for a source IP address.
const ADDRESS: Limit = Limit { calls: 300, per: Window::Second, scope: Scope::Address };

/// The sessions of a batch of clients.
pub static SESSIONS: Action = Action {
    name: "BatchQuerySessionByClientIds",
    ids_per_call: 10,
    limits: &[Limit::per_second(100), ADDRESS],
    lag: Duration::ZERO,
    billed: true,
    source: "BatchQuerySessionByClientIds, ClientIdList: 1 to 10; Limits on API calls: 100 calls/s",
};

/// The session of one client.
pub static SESSION: Action = Action {
    name: "QuerySessionByClientId",
    ids_per_call: 1,
    limits: &[Limit::per_second(500), ADDRESS],
    lag: Duration::ZERO,
    billed: true,
    source: "QuerySessionByClientId: one ClientId; Limits on API calls: 500 calls/s",
};

/// The connections of one client and their ends.
pub static TRACE: Action = Action {
    name: "QueryMqttTraceDevice",
    ids_per_call: 1,
    limits: &[Limit::per_second(500), ADDRESS],
    lag: Duration::ZERO,
    billed: true,
    source: "QueryMqttTraceDevice: one ClientId; Limits on API calls: 500 calls/s",
};

/// The groups of an instance.
pub static GROUPS: Action = Action {
    name: "ListGroupId",
    ids_per_call: 0,
    limits: &[Limit::per_second(10), ADDRESS],
    lag: Duration::ZERO,
    billed: true,
    source: "ListGroupId: no pages; Limits on API calls: 10 calls/s",
};

/// The clients of a group that have a credential of their own.
pub static CLIENT_IDS: Action = Action {
    name: "ListDeviceCredentialClientId",
    ids_per_call: 0,
    limits: &[ADDRESS],
    lag: Duration::ZERO,
    billed: true,
    source: "ListDeviceCredentialClientId, PageSize: 1 to 100; no rate is published",
};

/// Every call, those of getting keys included.
static ACTIONS: [&Action; 9] = {
    let [role, oidc, metadata, uri] = alibaba::credentials::fetch::ACTIONS;
    [&SESSIONS, &SESSION, &TRACE, &GROUPS, &CLIENT_IDS, role, oidc, metadata, uri]
};

/// A source's keys beside the common ones.
const KEYS: &[Key] = &[
    Key {
        name: "instance",
        shape: Shape::Text,
        need: Need::Required,
        doc: "The instance's id, such as post-cn-0pp12gl0001.",
    },
    alibaba::REGION_KEY,
    Key {
        name: "exact",
        shape: Shape::Flag,
        need: Need::Default("false"),
        doc: "Ask with QuerySessionByClientId, one billed call a client: the state of this moment instead of a cache's.",
    },
    Key {
        name: "connect_time",
        shape: Shape::Flag,
        need: Need::Default("false"),
        doc: "Ask QueryMqttTraceDevice once for each arriving client, to learn when it connected; one billed call each.",
    },
    Key {
        name: "trace_region",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "MqttRegionId for QueryMqttTraceDevice, if it is not the region.",
    },
];

/// The entry in the registry.
pub static KIND: Mqtt = Mqtt;

/// `ApsaraMQ` for MQTT.
pub struct Mqtt;

impl ProviderKind for Mqtt {
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
        let connected = alibaba::connect(source, account, session, PRODUCT, VERSION);
        let trace_region = source.text("trace_region");
        let connect_time = source.flag("connect_time");
        if trace_region.is_some() && !connect_time {
            source.complain("trace_region", "has no effect without connect_time: true", None);
            return None;
        }
        let Connected { api, region, instance } = connected?;
        let trace_region = connect_time.then(|| trace_region.unwrap_or(region));
        let provider = client::Client::new(api, instance?, source.flag("exact"), trace_region);
        let evidence = if connect_time { Evidence::Reported } else { Evidence::None };
        Some(Configured { kind: Kind::Device, evidence, provider: Box::new(provider), lens: 0 })
    }

    fn simulate(&self, options: SimOptions) -> Box<dyn SimApi> {
        alibaba::simulate(sim::Sim::new(options.clone()), options)
    }
}
