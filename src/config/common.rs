//! The keys that every account and every source has, whatever its provider, and what is read from them.
//!
//! It knows no provider: which clouds and providers there are, and the keys of each, stand in `providers`.

use std::time::Duration;

use http::Uri;
use secrecy::SecretString;

use super::keys::{Key, Need, Shape};
use super::reader::Reader;
use super::secret::Secret;
use crate::ports::Outbound;

/// Requests a second that an account may be given at most: above it a mistyped number floods a provider.
pub const LIMIT_REQUESTS_PER_SECOND: u32 = 1000;

/// Requests of one account under way at once at most: beyond it a provider is asked faster than any of them allows.
pub const LIMIT_CONCURRENCY: u64 = 256;

/// Requests under way at once if the account does not say: enough for 10 requests a second that take 0.4 s each.
pub const DEFAULT_CONCURRENCY: &str = "4";

/// The interval if neither source nor defaults give one: half a minute, as fresh as most providers' own view.
pub const DEFAULT_INTERVAL: &str = "30s";

/// The longest interval, in seconds: a day. Who wants less often wants no exporter.
pub const LIMIT_INTERVAL_S: u64 = 86_400;

/// The timeout if neither source nor defaults give one: far above the providers' answer times, far below the interval.
pub const DEFAULT_TIMEOUT: &str = "10s";

/// The longest timeout, in seconds: five minutes. No gateway keeps a request longer.
pub const LIMIT_TIMEOUT_S: u64 = 300;

/// The longest time that an answer may count, in seconds: a week. Older presence is no presence.
pub const LIMIT_MAX_AGE_S: u64 = 604_800;

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

/// Reads the keys of [`ACCOUNT_KEYS`] from an account's reader. `requests_per_second` is what the cloud allows, with a
/// margin, and holds when the account gives no number. `None` when something is wrong, which is noted then.
pub fn read_account(reader: &Reader<'_>, name: &str, requests_per_second: f64) -> Option<AccountSettings> {
    let outbound = read_outbound(reader);
    let rate = if reader.has("requests_per_second") {
        reader.rate("requests_per_second")
    } else {
        Some(requests_per_second)
    };
    let concurrency = reader.count("concurrency").and_then(|number| usize::try_from(number).ok());
    let endpoint = reader.text("endpoint");
    if reader.has("endpoint") && endpoint.is_none() {
        return None;
    }
    Some(AccountSettings {
        name: name.to_owned(),
        requests_per_second: rate?,
        concurrency: concurrency?,
        endpoint,
        outbound: outbound?,
    })
}

/// Reads the keys of [`SOURCE_KEYS`] and [`DEFAULTS_KEYS`] from a source's reader, but for `targets`. `None` when something
/// is wrong, which is noted then.
pub fn read_source(reader: &Reader<'_>, name: &str) -> Option<SourceSettings> {
    let (account, provider) = (reader.text("account"), reader.text("provider"));
    let (interval, timeout) = (reader.duration("interval"), reader.duration("timeout"));
    let max_age = reader.duration("max_age");
    if reader.has("max_age") && max_age.is_none() {
        return None;
    }
    let (interval, timeout) = (interval?, timeout?);
    if max_age.is_some_and(|max_age| max_age < interval + timeout) {
        let least = humantime::format_duration(interval + timeout);
        let message =
            "max_age is shorter than interval and timeout together: targets would be unknown between answers";
        reader.complain("max_age", message, Some(format!("give at least {least}, or take out the key")));
        return None;
    }
    Some(SourceSettings {
        name: name.to_owned(),
        account: account?,
        provider: provider?,
        interval,
        timeout,
        max_age,
    })
}

/// The proxy and the certificates of an account.
fn read_outbound(reader: &Reader<'_>) -> Option<Outbound> {
    let proxy = optional(reader, "proxy", read_proxy);
    let ca_pem = optional(reader, "ca_file", |reader, key| read_pem(reader, key, CERTIFICATE));
    let cert = optional(reader, "client_cert_file", |reader, key| read_pem(reader, key, CERTIFICATE));
    let key = optional(reader, "client_key_file", |reader, key| read_pem(reader, key, PRIVATE_KEY));
    for (given, other) in [("client_cert_file", "client_key_file"), ("client_key_file", "client_cert_file")] {
        if reader.has(given) && !reader.has(other) {
            let message = format!("`{given}` without `{other}`: a client certificate needs both");
            reader.complain(given, message, Some(format!("give `{other}` too")));
            return None;
        }
    }
    let identity_pem = cert?.zip(key?).map(|(cert, key)| SecretString::from(format!("{cert}\n{key}")));
    let proxy = proxy?.map(|proxy| SecretString::from(proxy.expose().to_owned()));
    Some(Outbound { proxy, ca_pem: ca_pem?, identity_pem })
}

/// `Some(None)` when the key is absent, `None` when its value is bad.
fn optional<T>(
    reader: &Reader<'_>,
    key: &str,
    read: impl FnOnce(&Reader<'_>, &str) -> Option<T>,
) -> Option<Option<T>> {
    if reader.has(key) { read(reader, key).map(Some) } else { Some(None) }
}

/// A proxy's address; it may hold a password, so nothing of it is ever quoted.
fn read_proxy(reader: &Reader<'_>, key: &str) -> Option<Secret> {
    let proxy = reader.secret(key)?;
    let uri = proxy.expose().parse::<Uri>().ok();
    let good = uri.is_some_and(|uri| {
        let port = uri.authority().and_then(http::uri::Authority::port_u16);
        uri.scheme_str() == Some("http")
            && uri.host().is_some_and(|host| !host.is_empty())
            && port.is_some_and(|port| port > 0)
            && uri.path_and_query().is_none_or(|path| path.as_str() == "/")
    });
    if !good {
        let hint = "write http://host:port or http://user:password@host:port, signs such as @ in them as %40";
        reader.complain(key, "this is not the address of an HTTP proxy", Some(hint.to_owned()));
        return None;
    }
    Some(proxy)
}

const CERTIFICATE: (&str, &str) = ("-----BEGIN CERTIFICATE-----", "certificate");
const PRIVATE_KEY: (&str, &str) = ("PRIVATE KEY-----", "private key");

/// A PEM file that has what it should; whether it is sound is seen when connections are opened.
fn read_pem(reader: &Reader<'_>, key: &str, (mark, what): (&str, &str)) -> Option<String> {
    let pem = reader.file(key)?;
    if !pem.contains(mark) {
        let hint = "PEM is text with lines such as -----BEGIN CERTIFICATE-----";
        reader.complain(key, format!("the file named here holds no {what} in PEM"), Some(hint.to_owned()));
        return None;
    }
    Some(pem)
}

/// Keys of every account. `cloud` decides the other tables, so it is read first, by [`choose`](super::choose).
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
        shape: Shape::Rate { max: LIMIT_REQUESTS_PER_SECOND },
        need: Need::Optional,
        doc: "HTTP requests a second at most, tokens and pages included. Default: the cloud's documented limit with a margin.",
    },
    Key {
        name: "concurrency",
        shape: Shape::Count { min: 1, max: LIMIT_CONCURRENCY },
        need: Need::Default(DEFAULT_CONCURRENCY),
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
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_INTERVAL_S },
        need: Need::Default(DEFAULT_INTERVAL),
        doc: "How often every target is asked about.",
    },
    Key {
        name: "timeout",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_TIMEOUT_S },
        need: Need::Default(DEFAULT_TIMEOUT),
        doc: "How long one HTTP request may take.",
    },
    Key {
        name: "max_age",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_MAX_AGE_S },
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
        doc: "Further labels of presence_target_info, 16 at most; names of letters, digits and _.",
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
