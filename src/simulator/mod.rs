//! The providers' side of the wire: all simulated APIs over a made-up world, served on loopback, with faults on schedule,
//! a record of every request, the truth to compare with, and a configuration that points at it.
//!
//! In reading order: [`scenario`] makes a world from a seed, [`truth`] says what is true in it at an instant; [`faults`]
//! and [`fault_text`] say what goes wrong, [`record`] keeps what came; [`core`] is the servers as a function of time and
//! request; `server` puts sockets around it; [`setup`] writes the exporter's configuration for it.
//!
//! What a request must look like and what an answer says is each provider's own `sim.rs`. Nothing here knows the
//! exporter: it is watched from outside, through the wire and its pages.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use crate::domain::Moment;
use crate::ports::Clock;
use crate::providers::sim::{SimOptions, World};
use crate::providers::{ProviderKind, REGISTRY};

pub mod core;
#[cfg(test)]
mod fake;
pub mod fault_text;
pub mod faults;
pub mod record;
pub mod scenario;
mod server;
pub mod setup;
mod timeline;
pub mod truth;

pub use self::core::{Core, Delivery, Outcome};
pub use faults::Incident;
pub use record::Record;
pub use scenario::Scenario;
pub use setup::Setup;
pub use truth::Truth;

/// How a simulation is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The world, where none is given.
    pub scenario: Scenario,
    /// What goes wrong, from the start on.
    pub faults: Vec<Incident>,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The first cloud's port, the next one's is one higher and so on; `None`: free ports.
    pub base_port: Option<u16>,
    /// Requests that each server takes in any one second; more are throttled. `None`: no limit.
    pub rate_limit: Option<u32>,
    /// Keys and switches of the simulated APIs, by provider; else the defaults.
    pub api: BTreeMap<String, SimOptions>,
    /// How far the servers' clocks are ahead, in milliseconds; negative: behind. Their world moves with their clocks.
    pub clock_offset_ms: i64,
    /// How many requests the record keeps.
    pub record_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scenario: Scenario::default(),
            faults: Vec::new(),
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            base_port: None,
            rate_limit: None,
            api: BTreeMap::new(),
            clock_offset_ms: 0,
            record_limit: record::DEFAULT_LIMIT,
        }
    }
}

/// The names that a fault may be scheduled for: clouds, then providers.
pub fn places() -> Vec<&'static str> {
    let mut places: Vec<&'static str> = Vec::new();
    for name in REGISTRY.iter().map(|kind| kind.cloud().name).chain(REGISTRY.iter().map(|kind| kind.name())) {
        if !places.contains(&name) {
            places.push(name);
        }
    }
    places
}

/// Simulated servers on their sockets. Requests are answered while [`Simulator::serve`] runs.
pub struct Simulator {
    shell: Arc<server::Shell>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    world: Arc<World>,
    record: Arc<Record>,
}

impl Simulator {
    /// Makes the scenario's world for every provider in the registry, around the present, and opens the ports.
    pub fn bind(options: &Options, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let now = clock.now();
        let world = options.scenario.world(REGISTRY, now.unix_ms);
        Self::bind_world(options, REGISTRY, world, clock)
    }

    /// Opens the ports for these providers over this world.
    pub fn bind_world(
        options: &Options,
        kinds: &[&'static dyn ProviderKind],
        world: World,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let core = Core::new(options, kinds, Arc::new(world), clock.now());
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for (number, cloud) in (0_u16..).zip(core.clouds()) {
            let port = options.base_port.map_or(Some(0), |base| base.checked_add(number));
            let port = port.ok_or_else(|| io::Error::other(format!("no port is left for {cloud}")))?;
            let address = SocketAddr::new(options.listen, port);
            let listener = TcpListener::bind(address)
                .map_err(|error| io::Error::new(error.kind(), format!("{address} for {cloud}: {error}")))?;
            listener.set_nonblocking(true)?;
            addresses.push(listener.local_addr()?);
            listeners.push(listener);
        }
        let (world, record) = (core.world().clone(), core.record().clone());
        let shell = server::Shell { core: Mutex::new(core), clock, connections: AtomicU64::new(0) };
        Ok(Self { shell: Arc::new(shell), listeners, addresses, world, record })
    }

    /// Answers requests until `stop` is done; then every connection is closed. Runs on any tokio runtime with I/O. The
    /// ports stay taken until the simulator is dropped, and new connections wait for the next `serve`.
    pub async fn serve(&self, stop: impl Future<Output = ()>) -> io::Result<()> {
        server::serve(&self.shell, &self.listeners, stop).await
    }

    /// Where each cloud is served.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        self.shell.core().clouds().into_iter().zip(self.addresses.iter().copied()).collect()
    }

    /// The exporter's configuration for this simulation.
    pub fn config_yaml(&self, setup: &Setup) -> String {
        let endpoints: Vec<String> =
            self.addresses.iter().map(|address| format!("http://{address}")).collect();
        setup::config_yaml(&self.shell.core(), &endpoints, setup)
    }

    /// What is true now, by the servers' clocks.
    pub fn truth(&self) -> Truth<'_> {
        self.truth_at(self.shell.clock.now())
    }

    /// What is true at an instant, by the servers' clocks.
    pub fn truth_at(&self, now: Moment) -> Truth<'_> {
        let server_ms = self.shell.core().server_ms(now);
        Truth::at(&self.world, server_ms)
    }

    /// Everything that is true in the simulation.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Every request so far.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Replaces the schedule of faults by one that begins now.
    pub fn set_faults(&self, incidents: Vec<Incident>) {
        let now = self.shell.clock.now();
        self.shell.core().set_faults(incidents, now);
    }

    /// Sets or lifts the limit on requests in any one second of each server.
    pub fn set_rate_limit(&self, limit: Option<u32>) {
        self.shell.core().set_rate_limit(limit);
    }

    /// Sets the servers' clocks wrong by so many milliseconds, or right again.
    pub fn set_clock_offset_ms(&self, offset: i64) {
        self.shell.core().set_clock_offset_ms(offset);
    }
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod provider_tests;
#[cfg(test)]
#[path = "socket_tests.rs"]
mod socket_tests;
