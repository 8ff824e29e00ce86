//! The keys that every account and every source has, whatever its provider.

use std::time::Duration;

use super::keys::{Key, Need, Shape};
use crate::ports::Outbound;

/// What is common to accounts: who pays, how fast, which way out.
#[derive(Clone)]
pub struct AccountSettings {
    /// The operator's name for it; the label `account`.
    pub name: String,
    /// HTTP requests a second at most, tokens and pages included.
    pub requests_per_second: f64,
    /// Requests under way at once at most.
    pub concurrency: usize,
    /// Where requests go instead of the provider's public address; without trailing slash.
    pub endpoint: Option<String>,
    /// Proxy, certificate authorities, client certificate.
    pub outbound: Outbound,
}

/// What is common to sources: how often is asked, how long an answer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// The operator's name for it; the label `source`.
    pub name: String,
    /// The account that asks.
    pub account: String,
    /// The provider's name.
    pub provider: String,
    /// How often every target is asked about.
    pub interval: Duration,
    /// How long one HTTP request may take, from its sending to its last byte.
    pub timeout: Duration,
    /// How long an answer counts; `None`: three intervals (or planned rounds, if longer) and a timeout.
    pub max_age: Option<Duration>,
}

/// Keys of every account. `cloud` stands in the table of its own reader, since it decides the other tables.
pub const ACCOUNT_KEYS: &[Key] = &[
    Key {
        name: "cloud",
        shape: Shape::Text,
        need: Need::Required,
        doc: "Which cloud this account belongs to: alibaba, volcengine, openim or huawei.",
    },
    Key {
        name: "endpoint",
        shape: Shape::Url,
        need: Need::Optional,
        doc: "Where requests go instead of the provider's public address: a private endpoint, a gateway, a simulator.",
    },
    Key {
        name: "requests_per_second",
        shape: Shape::Rate { max: 1000 },
        need: Need::Optional,
        doc: "HTTP requests a second at most, tokens and pages included. Default: the cloud's documented limit with a margin.",
    },
    Key {
        name: "concurrency",
        shape: Shape::Count { min: 1, max: 256 },
        need: Need::Default("4"),
        doc: "Requests under way at once at most.",
    },
    Key {
        name: "proxy",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "HTTP proxy for this account, http://[user:password@]host:port. The environment's proxies are not used.",
    },
    Key {
        name: "ca_file",
        shape: Shape::File,
        need: Need::Optional,
        doc: "PEM file of certificate authorities trusted beside the system's.",
    },
    Key {
        name: "client_cert_file",
        shape: Shape::File,
        need: Need::Optional,
        doc: "PEM file of a client certificate; needs client_key_file.",
    },
    Key {
        name: "client_key_file",
        shape: Shape::File,
        need: Need::Optional,
        doc: "PEM file of the client certificate's key.",
    },
];

/// Keys that sources share and `defaults` may give for all of them.
pub const DEFAULTS_KEYS: &[Key] = &[
    Key {
        name: "interval",
        shape: Shape::Duration { min_s: 1, max_s: 86_400 },
        need: Need::Default("30s"),
        doc: "How often every target is asked about.",
    },
    Key {
        name: "timeout",
        shape: Shape::Duration { min_s: 1, max_s: 300 },
        need: Need::Default("10s"),
        doc: "How long one HTTP request may take.",
    },
    Key {
        name: "max_age",
        shape: Shape::Duration { min_s: 1, max_s: 604_800 },
        need: Need::Optional,
        doc: "How long an answer counts; past it a target is unknown. Default: three intervals and a timeout.",
    },
];

/// Keys of every source beside [`DEFAULTS_KEYS`] and its provider's own.
pub const SOURCE_KEYS: &[Key] = &[
    Key {
        name: "account",
        shape: Shape::Text,
        need: Need::Required,
        doc: "The account that asks, a key of `accounts`.",
    },
    Key {
        name: "provider",
        shape: Shape::Text,
        need: Need::Required,
        doc: "What is asked: alibaba_smartag, alibaba_mqtt, volcengine_rtc, openim or huawei_workspace.",
    },
    Key {
        name: "targets",
        shape: Shape::List,
        need: Need::Required,
        doc: "What to watch: ids, or mappings with id, name and labels.",
    },
];

/// Keys of a target that is written as a mapping.
pub const TARGET_KEYS: &[Key] = &[
    Key {
        name: "id",
        shape: Shape::Text,
        need: Need::Required,
        doc: "The id that the provider knows it by.",
    },
    Key {
        name: "name",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "A display name; the label `name` of presence_target_info.",
    },
    Key {
        name: "labels",
        shape: Shape::Map,
        need: Need::Optional,
        doc: "Further labels of presence_target_info; names of letters, digits and _.",
    },
];

/// Keys of the file's top level.
pub const FILE_KEYS: &[Key] = &[
    Key {
        name: "accounts",
        shape: Shape::Map,
        need: Need::Required,
        doc: "Who asks: credentials, endpoints, budgets, by name.",
    },
    Key {
        name: "defaults",
        shape: Shape::Map,
        need: Need::Optional,
        doc: "Values for every source that does not give its own.",
    },
    Key { name: "sources", shape: Shape::Map, need: Need::Required, doc: "What is asked, by name." },
];
