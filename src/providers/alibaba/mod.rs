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
//! Not here: the older RPC signature, roles and metadata credentials, discovery of instances.

use std::sync::Arc;

use super::{Cloud, Session};
use crate::config::{AccountSettings, Reader};

pub mod credentials;
pub mod errors;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gateway;
pub mod rpc;
pub mod sign;
#[cfg(test)]
pub(crate) mod vectors;

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

/// The account behind a session, and the address of one of its products: the account's endpoint, or the public one of
/// the region. Complains and returns `None` when the endpoint cannot be signed for.
pub fn connect(
    source: &Reader<'_>,
    settings: &AccountSettings,
    session: &Session,
    product: &str,
    region: Option<&str>,
) -> Option<(Arc<Account>, Address)> {
    let account = Arc::clone(session).downcast::<Account>().ok()?;
    let address = match &settings.endpoint {
        None => Address::public(product, region.unwrap_or(&account.region)),
        Some(text) => match Address::configured(text) {
            Ok(address) => address,
            Err(words) => {
                source.complain("account", format!("the account's endpoint {words}"), None);
                return None;
            }
        },
    };
    Some((account, address))
}
