//! One call of an RPC product: builds and signs the request, sends it, judges the reply.
//!
//! It knows no product. It repeats nothing but a call whose key was refused while there is another by now: date and nonce
//! are those of one attempt.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};

use super::credentials::{Account, Credentials};
use super::errors;
use super::sign::{Unsigned, sign};
use crate::domain::Fault;
use crate::providers::credentials::Source as _;
use crate::providers::hash::sha256_hex;
use crate::providers::http::{Failure, Net, Reply, Stamp};
use crate::providers::{Action, Charge, http as wire};

/// One product's API at one address, asked as one account.
pub struct Api {
    account: Arc<Account>,
    /// The product's version, such as `2018-03-13`.
    version: &'static str,
    address: Address,
}

/// Where requests go: scheme and host, without path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: String,
    /// Host and, if it is not the scheme's default, port: exactly what goes out as `Host`, since it is signed.
    host: String,
}

impl Address {
    /// The public address of a product in a region: `https://<product>.<region>.aliyuncs.com`.
    pub fn public(product: &str, region: &str) -> Self {
        Self { scheme: "https".into(), host: format!("{product}.{region}.aliyuncs.com") }
    }

    /// An address that was configured. The error says what is wrong with it.
    pub fn configured(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no address")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("needs http:// or https:// and a host");
        };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err("needs http:// or https://"),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("may not have a path: the signature is made for /");
        }
        if authority.as_str().contains('@') {
            return Err("may not hold a user or password");
        }
        // HTTP clients write host names in lower case and leave default ports out; the signature has to do the same.
        let name = authority.host().to_ascii_lowercase();
        let host = match authority.port_u16() {
            Some(port) if port != default_port => format!("{name}:{port}"),
            _ => name,
        };
        Ok(Self { scheme: scheme.into(), host })
    }

    /// Scheme and host, without a slash at the end.
    pub fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }
}

/// What one asking is to the question.
#[derive(Debug, Clone, Copy)]
enum Once {
    /// All of it.
    Call,
    /// A page of several.
    Page,
}

impl Api {
    /// An API of this version at this address.
    pub fn new(account: Arc<Account>, address: Address, version: &'static str) -> Self {
        Self { account, version, address }
    }

    /// Asks once, and once more with another key if the key is refused and there is another. `read` is only called with a
    /// reply under a good status.
    pub async fn call<T>(
        &self,
        net: &Net,
        action: &'static Action,
        params: &[(&str, &str)],
        read: impl Fn(&Reply) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        self.ask(net, Once::Call, action, params, read).await
    }

    /// The same for one page of several, which is repeated rather than lost.
    pub async fn call_page<T>(
        &self,
        net: &Net,
        action: &'static Action,
        params: &[(&str, &str)],
        read: impl Fn(&Reply) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        self.ask(net, Once::Page, action, params, read).await
    }

    async fn ask<T>(
        &self,
        net: &Net,
        once: Once,
        action: &'static Action,
        params: &[(&str, &str)],
        read: impl Fn(&Reply) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        let keeper = &self.account.keeper;
        let lease = keeper.lease(net).await?;
        match self.once(net, (once, &lease.key), action, params, &read).await {
            Err(refusal) if refusal.fault == Fault::Unauthorized => {
                let lease = keeper.renewed(&lease, refusal, net).await?;
                self.once(net, (once, &lease.key), action, params, &read).await
            }
            judged => judged,
        }
    }

    /// Whether the account's credentials changed since the last call.
    pub fn refreshed(&self) -> bool {
        self.account.keeper.refreshed()
    }

    /// The calls that getting the account's keys takes.
    pub fn key_charges(&self) -> Vec<Charge> {
        self.account.keeper.source().charges()
    }

    async fn once<T>(
        &self,
        net: &Net,
        (once, key): (Once, &Credentials),
        action: &'static Action,
        params: &[(&str, &str)],
        read: impl Fn(&Reply) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        let build = |stamp: &Stamp| request(key, &self.address, self.version, action, params, stamp);
        let read = |reply: &Reply| judge(net, reply).and_then(|()| read(reply));
        match once {
            Once::Call => net.call(action, build, read).await,
            Once::Page => net.call_page(action, build, read).await,
        }
    }
}

/// Notes the request's id, and tells an answer from a refusal.
pub fn judge(net: &Net, reply: &Reply) -> Result<(), Failure> {
    if let Some(id) = errors::request_id(reply) {
        net.note_request_id(&id);
    }
    errors::judge(reply)
}

/// `POST /?<parameters>` with an empty body, signed with this key, as the vendor's own SDKs do.
pub fn request(
    key: &Credentials,
    address: &Address,
    version: &str,
    action: &'static Action,
    params: &[(&str, &str)],
    stamp: &Stamp,
) -> Result<crate::ports::Request, Failure> {
    let (date, nonce) = (date(stamp)?, stamp.nonce_hex());
    let payload = sha256_hex(b"");
    let mut headers = vec![
        ("host", address.host.as_str()),
        ("x-acs-action", action.name),
        ("x-acs-content-sha256", &payload),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", &nonce),
        ("x-acs-version", version),
    ];
    if let Some(token) = key.token() {
        headers.push(("x-acs-accesskey-id", key.key_id()));
        headers.push(("x-acs-security-token", token));
    }
    let unsigned = Unsigned { method: "POST", params, headers: &headers, body: b"" };
    let signed = sign(key.key_id(), key.secret(), &unsigned);
    let uri = format!("{}/?{}", address.base(), signed.canonical_query);
    let mut request = Request::post(uri)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::AUTHORIZATION, sensitive(&signed.authorization)?);
    for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
        request = request.header(name, sensitive(value)?);
    }
    request.body(Bytes::new()).map_err(|_| unbuildable())
}

/// A text as JSON; see [`wire::read_json`].
pub fn json<'a, T: serde::Deserialize<'a>>(reply: &'a Reply) -> Result<T, Failure> {
    wire::read_json(&reply.body)
}

/// UTC to the second, `yyyy-MM-ddTHH:mm:ssZ`.
pub(super) fn date(stamp: &Stamp) -> Result<String, Failure> {
    let time = jiff::Timestamp::from_second(stamp.at.unix_seconds())
        .map_err(|_| Failure::new(Fault::ClockSkew, "this machine's clock is outside the calendar"))?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Every header of ours is marked: key id, token and signature are among them, and none is worth a line in a log.
pub(super) fn sensitive(value: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value).map_err(|_| unbuildable())?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn unbuildable() -> Failure {
    Failure::new(
        Fault::Rejected,
        "the request cannot be written: a setting or an id is too long or ill-formed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<String, &'static str> {
        Address::configured(text).map(|address| address.host)
    }

    #[test]
    fn the_signed_host_is_the_one_that_goes_out() {
        assert_eq!(host("http://127.0.0.1:18080").as_deref(), Ok("127.0.0.1:18080"));
        assert_eq!(
            host("https://smartag-vpc.cn-shanghai.aliyuncs.com").as_deref(),
            Ok("smartag-vpc.cn-shanghai.aliyuncs.com")
        );
        assert_eq!(host("https://Host.Example:443").as_deref(), Ok("host.example"));
        assert_eq!(host("http://host.example:80").as_deref(), Ok("host.example"));
        assert_eq!(host("http://host.example:443").as_deref(), Ok("host.example:443"));
        assert_eq!(host("http://[::1]:8080").as_deref(), Ok("[::1]:8080"));
    }

    #[test]
    fn an_address_that_cannot_be_signed_for_is_refused() {
        for bad in ["https://h/path", "https://u:p@h", "ftp://h", "h", "", "https://h/?a=b"] {
            assert!(Address::configured(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Address::public("smartag", "cn-shanghai"),
            Address::configured("https://smartag.cn-shanghai.aliyuncs.com").unwrap()
        );
    }
}
