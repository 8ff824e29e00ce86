//! One client for each account, and one request at a time through it.
//!
//! No redirects: a redirected signature is wrong, and may reach somebody else. No repeated requests: each one costs
//! quota, and the scheduler decides. The one exception costs nothing: when a kept connection turns out to be closed
//! before a single byte of the request was taken, the client opens another one.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use secrecy::ExposeSecret;

use super::tls;
use super::words::{Told, tell};
use crate::ports::{BoxFuture, Network, Outbound, Request, Response, Transport, TransportError};

/// How long an unused connection is kept. Longer than the usual minute between two polls; closing and opening costs a
/// TLS handshake, fifty times the work of a request on a kept connection.
const IDLE: Duration = Duration::from_secs(90);

/// Unused connections kept for one host. More are in flight only in bursts, and need not outlive them.
const IDLE_CONNECTIONS: usize = 32;

/// When a silent connection is probed, so that one that a gateway forgot is found before a request is lost on it.
const PROBE_AFTER: Duration = Duration::from_secs(30);

/// How long a probe of an HTTP/2 connection may stay unanswered. All requests to a host share one such connection: a dead
/// one would time out every request until the system notices, which takes a quarter of an hour.
const PROBE_ANSWER: Duration = Duration::from_secs(10);

/// What the exporter calls itself.
const USER_AGENT: &str = concat!("presence-exporter/", env!("CARGO_PKG_VERSION"));

/// Opens transports over real sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpNetwork;

impl Network for HttpNetwork {
    fn open(&self, outbound: &Outbound) -> Result<Arc<dyn Transport>, String> {
        Ok(Arc::new(HttpTransport::new(outbound)?))
    }
}

/// A pool of connections with one account's settings.
#[derive(Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// A transport with these settings; the error says in words what is wrong with them, and quotes none.
    pub fn new(outbound: &Outbound) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(outbound)?)
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_keepalive(PROBE_AFTER)
            .http2_keep_alive_interval(PROBE_AFTER)
            .http2_keep_alive_timeout(PROBE_ANSWER);
        if let Some(proxy) = &outbound.proxy {
            builder = builder.proxy(proxy_of(proxy.expose_secret())?);
        }
        let client = builder.build().map_err(|_| "the HTTP client cannot be set up".to_owned())?;
        Ok(Self { client })
    }

    async fn exchange(&self, request: Request, body_limit: usize) -> Result<Response, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(|error| failure(&error))?;
        let mut answer = self.client.execute(request).await.map_err(|error| failure(&error))?;
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        *response.body_mut() = read_body(answer, body_limit).await?;
        Ok(response)
    }
}

impl Transport for HttpTransport {
    fn send(
        &self,
        request: Request,
        timeout: Duration,
        body_limit: usize,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        // One timer around everything: name, connection, handshake, waiting, and the body to its last byte.
        Box::pin(async move {
            tokio::time::timeout(timeout, self.exchange(request, body_limit))
                .await
                .unwrap_or(Err(TransportError::Timeout))
        })
    }
}

/// Reads the body piece by piece. What counts is what comes out of gzip: a small body may hide a large one.
async fn read_body(mut answer: reqwest::Response, limit: usize) -> Result<Bytes, TransportError> {
    if answer.content_length().is_some_and(|length| length > limit as u64) {
        return Err(TransportError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| failure(&error))? {
        if piece.len() > limit - body.len() {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// A proxy for everything. User and password in its address become its `Proxy-Authorization`.
fn proxy_of(address: &str) -> Result<reqwest::Proxy, String> {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err("the proxy's address must begin with http:// or https://".to_owned());
    }
    reqwest::Proxy::all(address).map_err(|_| "the proxy's address is not a URL with a host".to_owned())
}

fn failure(error: &reqwest::Error) -> TransportError {
    match tell(error) {
        Told::Timeout => TransportError::Timeout,
        Told::Broken(words) => TransportError::Unreachable(words),
    }
}

#[cfg(test)]
mod tests;
