//! The real ports: sockets, clocks, chance, variables and files. The only place that knows the HTTP client's crate.
//!
//! A transport carries one request to one place and brings back one complete answer, or says in a few words why there
//! is none. It deliberately does not follow redirects, does not ask twice, takes no proxy out of the environment,
//! keeps no cookies, and knows nothing of providers: what an answer means is judged elsewhere.

mod clock;
mod environment;
mod tls;
mod transport;
mod words;

#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use clock::SystemClock;
pub use environment::{OsEntropy, ProcessEnv};
pub use transport::{HttpNetwork, HttpTransport};

use crate::ports::Ports;

/// The ports of a running process. Their clock begins now, and is the only one that the process should have: ticks of
/// two clocks cannot be compared.
pub fn ports() -> Ports {
    Ports {
        network: Arc::new(HttpNetwork),
        clock: Arc::new(SystemClock::start()),
        entropy: Arc::new(OsEntropy),
        env: Arc::new(ProcessEnv),
    }
}
