//! What the outside must supply: the network, time, chance, the environment. Tests supply their own.
//!
//! The real ones stand in [`crate::net`]; nothing else may reach for a socket, a clock or a random number.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;

use crate::domain::{Moment, Tick};

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A complete HTTP request.
pub type Request = http::Request<Bytes>;
/// A complete HTTP response.
pub type Response = http::Response<Bytes>;

/// Everything that a running exporter takes from outside.
#[derive(Clone)]
pub struct Ports {
    /// Opens connections to providers.
    pub network: Arc<dyn Network>,
    /// Tells the time and waits.
    pub clock: Arc<dyn Clock>,
    /// Supplies chance: nonces, jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Reads variables and files.
    pub env: Arc<dyn Env>,
}

/// Opens one transport for each account.
pub trait Network: Send + Sync {
    /// A transport with these settings; the error says in words what is wrong with them.
    fn open(&self, outbound: &Outbound) -> Result<Arc<dyn Transport>, String>;
}

/// How one account's requests leave this machine.
#[derive(Clone, Default)]
pub struct Outbound {
    /// Proxy address, perhaps with user and password. None: no proxy, whatever the environment says.
    pub proxy: Option<SecretString>,
    /// PEM of certificate authorities trusted beside the system's.
    pub ca_pem: Option<String>,
    /// PEM of a client certificate with its key.
    pub identity_pem: Option<SecretString>,
}

/// Sends one request and returns its complete answer. No redirects, no retries, no body beyond `body_limit`.
pub trait Transport: Send + Sync {
    /// Sends `request`; gives up after `timeout`.
    fn send(
        &self,
        request: Request,
        timeout: Duration,
        body_limit: usize,
    ) -> BoxFuture<'_, Result<Response, TransportError>>;
}

/// Why there is no complete answer. The text never holds a URL's query, a header or a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// No complete answer in time.
    Timeout,
    /// No connection, or it broke before the answer was complete.
    Unreachable(String),
    /// The answer's body is larger than the limit.
    TooLarge,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no complete answer in time"),
            Self::Unreachable(why) => write!(f, "no connection, or it broke: {why}"),
            Self::TooLarge => f.write_str("the answer is larger than the limit"),
        }
    }
}

/// Tells the time and waits for it.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Moment;
    /// Returns when `tick` has come; at once if it has passed.
    fn sleep_until(&self, tick: Tick) -> BoxFuture<'_, ()>;
}

/// Supplies chance.
pub trait Entropy: Send + Sync {
    /// Sixty-four unpredictable bits.
    fn bits(&self) -> u64;
}

/// Reads the environment. Only configuration, credentials and lists of targets use it.
pub trait Env: Send + Sync {
    /// The value of a variable, if it is set and is text.
    fn var(&self, name: &str) -> Option<String>;
    /// The text of a file of at most `limit` bytes.
    fn read(&self, path: &Path, limit: u64) -> io::Result<String>;
    /// The value of a variable that holds a secret. Who only counts may give a stand-in.
    fn secret_var(&self, name: &str) -> Option<String> {
        self.var(name)
    }
    /// The text of a file that holds a secret.
    fn secret_file(&self, path: &Path, limit: u64) -> io::Result<String> {
        self.read(path, limit)
    }
    /// What a file looks like from outside; `None` where nothing can be told without reading it.
    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let _ = path;
        Ok(None)
    }
}

/// What a file looks like from outside: another file, or another content, looks different, unless it was written within
/// the resolution of the file system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was last modified, in Unix milliseconds.
    pub modified_ms: i64,
    /// The rest of that time, in nanoseconds.
    pub nanos: u32,
    /// How long it is, in bytes.
    pub length: u64,
    /// Which file it is, where the system numbers them.
    pub number: u64,
}
