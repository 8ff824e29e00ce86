//! Decides what is asked when, asks it within budget, and books the answers. One [`Polling`] an account; all of them run
//! on one thread.
//!
//! In reading order: [`pools`] says which sources are asked together; [`packing`] puts targets into batches; [`shedding`]
//! says whom not to ask where the budget does not suffice; [`plan`] cuts sources into questions and says what they cost;
//! [`mod@line`] says which is next, and [`cadence`] which targets are asked about more and less often than others;
//! [`rounds`] how long rounds take; [`budget`] says when a request may leave; [`gate`] pays, measures and sends;
//! [`account`] drives it all; [`booking`] says what follows from an answer or a failure; [`members`] tells it to each
//! source; [`sessions`] counts what histories tell, once; [`changes`] takes up other lists of targets, and [`discovery`]
//! asks for them; [`breaker`] says when to leave a provider alone, and [`pause`] how delays grow; [`board`] keeps what
//! people may ask about, and [`explain`] puts it into words. Only [`account`] and [`gate`] wait; the rest are decisions.
//!
//! No request ever leaves on behalf of a scrape, and a slow account never delays another.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Cadence;
use crate::domain::{Priority, Quota, Roster};
use crate::ports::{Ports, Transport};
use crate::providers::{Provider, ProviderKind, Step};
use crate::store::Store;
use crate::telemetry::Telemetry;

pub mod account;
mod ask;
pub mod board;
pub mod booking;
pub mod breaker;
pub mod budget;
pub mod cadence;
pub mod changes;
pub mod discovery;
pub mod explain;
pub mod gate;
pub mod line;
pub mod members;
pub mod packing;
pub mod pause;
pub mod plan;
pub mod pools;
pub mod rounds;
pub mod sessions;
pub mod shedding;
mod sheet;

pub use account::Polling;
pub use board::Board;
pub use budget::Ledger;
pub use members::Member;

/// What every account's polling shares.
#[derive(Clone)]
pub struct Shared {
    /// Time, chance, network.
    pub ports: Ports,
    /// Where answers go.
    pub store: Arc<Store>,
    /// What is counted.
    pub telemetry: Arc<Telemetry>,
    /// What may be spent.
    pub ledger: Arc<Ledger>,
}

/// One account to poll.
pub struct AccountTask {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// Its budget.
    pub quota: Quota,
    /// Whether targets are left out where the budget does not suffice; else all rounds are late alike.
    pub shed: bool,
    /// Questions under way at most.
    pub concurrency: usize,
    /// Its way out.
    pub transport: Arc<dyn Transport>,
    /// What is asked under it, each source in one of them.
    pub pools: Vec<PoolTask>,
}

/// One source to ask about, or several that are asked together as if they were one: see [`pools`].
#[derive(Clone)]
pub struct PoolTask {
    /// What the log calls it, by [`PoolTask::name_of`].
    pub name: Arc<str>,
    /// What is fixed about its provider.
    pub kind: &'static dyn ProviderKind,
    /// Asks.
    pub provider: Arc<dyn Provider>,
    /// What its round consists of.
    pub steps: Vec<Step>,
    /// Its targets: the source's own, or those of a pool.
    pub roster: Arc<Roster>,
    /// The sources of it; at least one.
    pub members: Vec<Member>,
    /// The places in the account's list of those that ask the same in a faster rhythm, and about whom both want.
    pub faster: Vec<usize>,
    /// The places of those that leave it to this one to ask about whom both want.
    pub slower: Vec<usize>,
    /// HTTP requests that its round takes at least.
    pub requests: u64,
    /// How often every target is asked about.
    pub interval: Duration,
    /// How often single targets are asked about, if not all at the interval.
    pub cadence: Option<Cadence>,
    /// Who is left out first.
    pub priority: Priority,
    /// How long one request may take.
    pub timeout: Duration,
}

impl PoolTask {
    /// When it asks.
    fn tempo(&self) -> pools::Tempo {
        let Self { interval, timeout, cadence, .. } = *self;
        pools::Tempo { interval, timeout, cadence }
    }

    /// What it wants of the account's budget.
    fn want(&self) -> shedding::Want<'_> {
        let Self { roster, steps, interval, priority, .. } = self;
        shedding::Want { roster, steps, interval: *interval, priority: *priority }
    }
}
