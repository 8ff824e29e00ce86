//! The keys that every account and every source has, whatever its provider, and what is read from them.
//!
//! It knows no provider: which clouds and providers there are, and the keys of each, stand in `providers`.

use std::time::Duration;

use http::Uri;
use secrecy::SecretString;

use super::cadence::{Cadence, outlasts, read_cadence};
use super::keys::{Key, Need, Shape};
use super::quotas;
use super::reader::Reader;
use super::secret::Secret;
pub use super::targets::TARGET_KEYS;
use super::targets::{DEFAULT_REFRESH, LIMIT_REFRESH_S};
use crate::domain::{Priority, Quota};
use crate::ports::Outbound;

/// Requests a second that an account may be given at most: above it a mistyped number floods a provider.
pub const LIMIT_REQUESTS_PER_SECOND: u32 = 1000;

/// Requests that an account may be given in a minute or longer at most: what [`LIMIT_REQUESTS_PER_SECOND`] comes to in a
/// month, with room.
pub const LIMIT_REQUESTS_LONGER: u64 = 3_000_000_000;

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

/// Changes settle at once unless the operator says otherwise: a delay is a choice between early and sure.
pub const DEFAULT_SETTLE: &str = "0s";

/// The longest settle delay, in seconds: longer absences are what `for` in an alert is for.
pub const LIMIT_SETTLE_S: u64 = crate::domain::presence::SETTLE_MAX.as_secs();

/// The longest time that an answer may count, in seconds: a week. Older presence is no presence.
pub const LIMIT_MAX_AGE_S: u64 = 604_800;

/// What is common to accounts: who pays, how fast, which way out.
#[derive(Clone)]
pub struct AccountSettings {
    /// The operator's name for it; the label `account`.
    pub name: String,
    /// HTTP requests at most, tokens and pages included, in each window.
    pub quota: Quota,
    /// Whether a configuration that the quota cannot carry is taken: what does not fit is then unknown{budget}.
    pub shed: bool,
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
    /// How long answers must say online before an offline target is concluded to be.
    pub arrive_delay: Duration,
    /// How long answers must say offline before an online target is concluded to be.
    pub leave_delay: Duration,
    /// Who is left out first where the account's quota does not suffice.
    pub priority: Priority,
    /// How long an answer counts; `None`: three intervals (or planned rounds, if longer) and a timeout.
    pub max_age: Option<Duration>,
    /// How often single targets are asked about, if not all at the interval.
    pub cadence: Option<Cadence>,
}

/// Reads the keys of [`ACCOUNT_KEYS`] from an account's reader. `requests_per_second` is what the cloud allows, with a
/// margin, and holds when the account gives no number. `None` when something is wrong, which is noted then.
pub fn read_account(reader: &Reader<'_>, name: &str, requests_per_second: f64) -> Option<AccountSettings> {
    let outbound = read_outbound(reader);
    let rate = optional(reader, "requests_per_second", Reader::rate);
    let longer = quotas::read_longer(reader);
    let shed = reader.flag("shed");
    let concurrency = reader.count("concurrency").and_then(|number| usize::try_from(number).ok());
    let endpoint = optional(reader, "endpoint", Reader::text);
    Some(AccountSettings {
        name: name.to_owned(),
        quota: Quota { per_second: rate.ok()?.unwrap_or(requests_per_second), longer: longer? },
        shed,
        concurrency: concurrency?,
        endpoint: endpoint.ok()?,
        outbound: outbound.ok()?,
    })
}

/// Reads the keys of [`SOURCE_KEYS`] and [`DEFAULTS_KEYS`] from a source's reader, but for `targets`. `None` when something
/// is wrong, which is noted then.
pub fn read_source(reader: &Reader<'_>, name: &str) -> Option<SourceSettings> {
    let (account, provider) = (reader.text("account"), reader.text("provider"));
    let (interval, timeout) = (reader.duration("interval"), reader.duration("timeout"));
    let max_age = optional(reader, "max_age", Reader::duration).ok()?;
    let priority = reader.text("priority").and_then(|word| Priority::from_word(&word));
    let (arrive_delay, leave_delay) = (reader.duration("arrive_delay"), reader.duration("leave_delay"));
    let (interval, timeout) = (interval?, timeout?);
    let cadence = optional(reader, "cadence", |reader, _| read_cadence(reader, interval)).ok()?;
    if !outlasts(reader, max_age, (interval, cadence.as_ref()), timeout) {
        return None;
    }
    Some(SourceSettings {
        name: name.to_owned(),
        account: account?,
        provider: provider?,
        interval,
        timeout,
        arrive_delay: arrive_delay?,
        leave_delay: leave_delay?,
        priority: priority?,
        max_age,
        cadence,
    })
}

/// Something is wrong, and it was noted already.
pub(super) struct Noted;

/// The proxy and the certificates of an account.
fn read_outbound(reader: &Reader<'_>) -> Result<Outbound, Noted> {
    let proxy = optional(reader, "proxy", read_proxy);
    let ca_pem = optional(reader, "ca_file", |reader, key| read_pem(reader, key, CERTIFICATE));
    let cert = optional(reader, "client_cert_file", |reader, key| read_pem(reader, key, CERTIFICATE));
    let key = optional(reader, "client_key_file", |reader, key| read_pem(reader, key, PRIVATE_KEY));
    for (given, other) in [("client_cert_file", "client_key_file"), ("client_key_file", "client_cert_file")] {
        if reader.has(given) && !reader.has(other) {
            let message = format!("`{given}` without `{other}`: a client certificate needs both");
            reader.complain(given, message, Some(format!("give `{other}` too")));
            return Err(Noted);
        }
    }
    let identity_pem = cert?.zip(key?).map(|(cert, key)| SecretString::from(format!("{cert}\n{key}")));
    let proxy = proxy?.map(|proxy| SecretString::from(proxy.expose().to_owned()));
    Ok(Outbound { proxy, ca_pem: ca_pem?, identity_pem })
}

/// What `read` makes of a key, if the key is there.
pub(super) fn optional<'a, T>(
    reader: &Reader<'a>,
    key: &str,
    read: impl FnOnce(&Reader<'a>, &str) -> Option<T>,
) -> Result<Option<T>, Noted> {
    if !reader.has(key) {
        return Ok(None);
    }
    read(reader, key).map(Some).ok_or(Noted)
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
        name: "requests_per_minute",
        shape: Shape::Count { min: 1, max: LIMIT_REQUESTS_LONGER },
        need: Need::Optional,
        doc: "HTTP requests at most in any 60 seconds.",
    },
    Key {
        name: "requests_per_hour",
        shape: Shape::Count { min: 1, max: LIMIT_REQUESTS_LONGER },
        need: Need::Optional,
        doc: "HTTP requests at most in any hour.",
    },
    Key {
        name: "requests_per_day",
        shape: Shape::Count { min: 1, max: LIMIT_REQUESTS_LONGER },
        need: Need::Optional,
        doc: "HTTP requests at most in any 24 hours.",
    },
    Key {
        name: "requests_per_month",
        shape: Shape::Count { min: 1, max: LIMIT_REQUESTS_LONGER },
        need: Need::Optional,
        doc: "HTTP requests at most in any 30 days.",
    },
    Key {
        name: "shed",
        shape: Shape::Flag,
        need: Need::Default("false"),
        doc: "Take a configuration that the quota cannot carry: what does not fit is unknown{budget}.",
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
        name: "arrive_delay",
        shape: Shape::Duration { min_s: 0, max_s: LIMIT_SETTLE_S },
        need: Need::Default(DEFAULT_SETTLE),
        doc: "How long answers must say online before an offline target counts as online.",
    },
    Key {
        name: "leave_delay",
        shape: Shape::Duration { min_s: 0, max_s: LIMIT_SETTLE_S },
        need: Need::Default(DEFAULT_SETTLE),
        doc: "How long answers must say offline before an online target counts as offline.",
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
        name: "priority",
        shape: Shape::Choice(Priority::WORDS),
        need: Need::Default("normal"),
        doc: "high, normal or low: who is left out first where the quota does not suffice and the account says shed.",
    },
    Key {
        name: "cadence",
        shape: Shape::Map,
        need: Need::Optional,
        doc: "Lively targets are asked about more often and quiet ones less, within the requests of plain intervals.",
    },
    Key {
        name: "targets",
        shape: Shape::List,
        need: Need::Optional,
        doc: "What to watch: ids, or mappings with id, name and labels.",
    },
    Key {
        name: "files",
        shape: Shape::List,
        need: Need::Optional,
        doc: "Files of further targets, one id a line or JSON lines; a relative path starts at the configuration file's folder.",
    },
    Key {
        name: "discover",
        shape: Shape::Map,
        need: Need::Optional,
        doc: "Further targets are those that the provider lists; `{}` takes all of them.",
    },
    Key {
        name: "refresh",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_REFRESH_S },
        need: Need::Default(DEFAULT_REFRESH),
        doc: "How often the files are looked at; a change takes effect within one such time, without a restart.",
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

#[cfg(test)]
mod tests;
