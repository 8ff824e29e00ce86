//! What both products of Alibaba Cloud share: the account, the V3 signature, the error codes, one RPC call, and for the
//! simulator the gateway that stands before every product.
//!
//! ## The contract
//!
//! | item | value | source |
//! | --- | --- | --- |
//! | style | RPC: `POST /` with an empty body, flat parameters in the query, arrays as `Name.1`, `Name.2` | the vendor's SDKs |
//! | signature | ACS3-HMAC-SHA256 over method, query, every `x-acs-*` header and the host, port included | "V3 version of request body and signature mechanism" |
//! | action and version | headers `x-acs-action`, `x-acs-version` | the same |
//! | clock | UTC to the second; 15 minutes of tolerance | the same |
//! | nonce | new for every attempt | the same |
//! | temporary keys | headers `x-acs-security-token` and `x-acs-accesskey-id`, both signed | the vendor's SDKs |
//! | format | JSON, always asked for: the documents contradict each other about the default | the products' pages |
//!
//! ## Limits
//!
//! MQTT's page "Limits on API calls" gives 300 calls a second for one *source address* over all its operations, and
//! beyond it the address is blocked, not slowed down; others behind the same NAT share it. So an account's default is
//! [`REQUESTS_PER_SECOND`], and at the public endpoint no more than [`credentials::MAX_REQUESTS_PER_SECOND`] is taken.
//!
//! ## Traps
//!
//! HTTP statuses mislead (`errors.rs`); `SignatureDoesNotMatch` echoes the canonical request, token included; query
//! parameters sort by name, not by joined text; a host with a port is signed with its port; an HTTP library that repeats
//! a request on its own causes `SignatureNonceUsed`.
//!
//! Not here: the older RPC signature.

use std::sync::Arc;

use super::sim::{SimApi, SimOptions};
use super::{Cloud, Session};
use crate::config::{AccountSettings, Key, Need, Reader, Shape};

pub mod credentials;
pub mod errors;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gateway;
pub mod rpc;
pub mod sign;
pub mod sts_sim;

pub use credentials::{Account, Credentials};
pub use rpc::{Address, Api};

/// Requests a second of an account that gives no number: a fifteenth of what the source address may have, since others
/// behind the same NAT share it and the penalty is a block.
pub const REQUESTS_PER_SECOND: f64 = 20.0;

/// Accounts of Alibaba Cloud.
pub static CLOUD: Cloud =
    Cloud { name: "alibaba", keys: credentials::KEYS, requests_per_second: REQUESTS_PER_SECOND, open };

fn open(reader: &Reader<'_>, settings: &AccountSettings) -> Option<Session> {
    let account: Session = Arc::new(credentials::open(reader, settings)?);
    Some(account)
}

/// A simulated product, with whoever hands out keys for it if a switch asks for that.
pub fn simulate<A: SimApi + 'static>(api: A, options: SimOptions) -> Box<dyn SimApi> {
    if options.switch("credentials").is_none() {
        return Box::new(api);
    }
    Box::new(sts_sim::Issuing::new(api, options))
}

/// The key `region` of a source.
pub const REGION_KEY: Key = Key {
    name: "region",
    shape: Shape::Text,
    need: Need::Optional,
    doc: "The instance's region, if it is not the account's.",
};

/// What a source of either product starts from.
pub struct Connected {
    /// The product's API, as the account asks it.
    pub api: Api,
    /// The instance's region: the source's own, else the account's.
    pub region: String,
    /// The instance's id, if the source names one.
    pub instance: Option<String>,
}

/// Reads the keys that sources of both products have, `instance` and `region`, and finds the product's address: the
/// account's endpoint, or the public one of the region. Complains and returns `None` when something is wrong with them.
pub fn connect(
    source: &Reader<'_>,
    settings: &AccountSettings,
    session: &Session,
    product: &str,
    version: &'static str,
) -> Option<Connected> {
    let account = Arc::clone(session).downcast::<Account>().ok()?;
    // Both are read before either is missed: each one's problem is to be told.
    let instance = source.has("instance").then(|| source.text("instance"));
    let region =
        if source.has("region") { credentials::read_region(source) } else { Some(account.region.clone()) };
    let (instance, region) = (instance.map_or(Some(None), |given| given.map(Some))?, region?);
    let address = match &settings.endpoint {
        None => Address::public(product, &region),
        Some(text) => match Address::configured(text) {
            Ok(address) => address,
            Err(words) => {
                source.complain("account", format!("the account's endpoint {words}"), None);
                return None;
            }
        },
    };
    Some(Connected { api: Api::new(account, address, version), region, instance })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::testing::MemoryEnv;
    use crate::domain::{Evidence, Kind};
    use crate::providers::configure::{Configuration, configure};

    const ACCOUNT: &str = "region: cn-shanghai, access_key_id: AK1, access_key_secret: {env: KEY}";

    /// A configuration with these keys of the account and of the source.
    fn read(account: &str, provider: &str, source: &str) -> Result<Configuration, String> {
        let text = format!(
            "accounts:\n  a: {{cloud: alibaba, {account}}}\n\
             sources:\n  s: {{account: a, provider: {provider}, targets: [one, two], {source}}}\n"
        );
        let env = MemoryEnv::default().with_var("KEY", "canary-secret").with_var("EMPTY", "");
        configure(&text, &env.shared(), Path::new("/etc"), 0).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.join("\n")
        })
    }

    fn evidence(provider: &str, source: &str) -> (Kind, Evidence) {
        let read = read(ACCOUNT, provider, source).unwrap_or_else(|problems| panic!("{problems}"));
        (read.sources[0].target_kind, read.sources[0].evidence)
    }

    #[test]
    fn one_key_serves_both_products() {
        assert_eq!(evidence("alibaba_smartag", "instance: sag-1"), (Kind::User, Evidence::Reported));
        assert_eq!(
            evidence("alibaba_smartag", "instance: sag-1, exact: true, region: cn-hongkong"),
            (Kind::User, Evidence::Reported)
        );
        assert_eq!(evidence("alibaba_mqtt", "instance: post-cn-1"), (Kind::Device, Evidence::None));
        assert_eq!(
            evidence("alibaba_mqtt", "instance: post-cn-1, connect_time: true, trace_region: cn-beijing"),
            (Kind::Device, Evidence::Reported)
        );
    }

    #[test]
    fn the_default_pace_is_far_below_what_the_address_is_blocked_for() {
        let read = read(ACCOUNT, "alibaba_mqtt", "instance: post-cn-1").unwrap_or_else(|p| panic!("{p}"));
        assert!((read.accounts[0].settings.quota.per_second - REQUESTS_PER_SECOND).abs() < 1e-9);
    }

    #[test]
    fn every_mistake_is_told_and_no_secret_with_it() {
        let smartag = "instance: sag-1";
        let temporary = "region: cn-shanghai, access_key_id: STS.1, access_key_secret: canary";
        let fast = |more: &str| format!("{ACCOUNT}, requests_per_second: 101{more}");
        let with = |more: &str| format!("{ACCOUNT}, {more}");
        let cases = [
            (
                "access_key_id: AK1, access_key_secret: canary".to_owned(),
                "alibaba_smartag",
                smartag,
                "region",
            ),
            (with("endpoint: 'https://h/path'"), "alibaba_smartag", smartag, "may not have a path"),
            (with("security_token: {env: EMPTY}"), "alibaba_smartag", smartag, "security_token"),
            (temporary.to_owned(), "alibaba_smartag", smartag, "temporary key"),
            (fast(""), "alibaba_smartag", smartag, "requests_per_second"),
            (ACCOUNT.replace("cn-shanghai", "Shanghai"), "alibaba_smartag", smartag, "no region's name"),
            (ACCOUNT.replace("AK1", "'A K1'"), "alibaba_smartag", smartag, "access_key_id"),
            (ACCOUNT.to_owned(), "alibaba_smartag", "exact: false", "needs an instance"),
            (ACCOUNT.to_owned(), "alibaba_smartag", "instance: [], discover: {}", "sources.s.instance"),
            (ACCOUNT.to_owned(), "alibaba_smartag", "discover: {}", "an id here is INSTANCE/USER"),
            (ACCOUNT.to_owned(), "alibaba_mqtt", "discover: {}", "`instance` is missing"),
            (ACCOUNT.to_owned(), "alibaba_smartag", "instance: sag-1, region: a.b", "no region's name"),
            (ACCOUNT.to_owned(), "alibaba_mqtt", "instance: i, exact: maybe", "exact"),
            (ACCOUNT.to_owned(), "alibaba_mqtt", "instance: i, trace_region: cn-beijing", "connect_time"),
            (ACCOUNT.to_owned(), "alibaba_mqtt", "instance: i, connect_tme: true", "connect_time"),
        ];
        for (account, provider, source, says) in cases {
            let problems =
                read(&account, provider, source).err().unwrap_or_else(|| panic!("{says}: was taken"));
            assert!(problems.contains(says), "{says}: {problems}");
            assert!(!problems.contains("canary"), "{problems}");
        }
        assert!(read(&fast(", endpoint: 'http://127.0.0.1:1'"), "alibaba_smartag", smartag).is_ok());
    }

    #[test]
    fn the_simulators_keys_make_a_good_configuration() {
        use crate::providers::sim::{Population, SimOptions};
        for name in ["alibaba_smartag", "alibaba_mqtt"] {
            let kind = crate::providers::find(name).expect("it is in the registry");
            let token = Some("CAIS+/==".to_owned());
            let options = SimOptions { key_id: "STS.1".into(), token, ..SimOptions::default() };
            let api = kind.simulate(options);
            let flow = |keys: Vec<(&str, String)>| {
                keys.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ")
            };
            let account = flow(api.account_keys("http://127.0.0.1:1"));
            let source = flow(api.source_keys(&Population::new(kind.name(), "scope-1", Vec::new())));
            let read = read(&account, name, &source);
            assert!(read.is_ok(), "{:?}", read.err());
        }
    }
}
