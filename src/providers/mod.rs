//! The seam to providers: what each of them must supply, and the list of all.
//!
//! A provider is a folder with the same file names as every other: `mod.rs` (settings, actions as data, what a round
//! asks), `client.rs` (plain async over the injected gate), `wire.rs` (reply types with the used fields only), `map.rs`
//! (a pure mapping to observations, by the provider's evidence), `sim.rs` (the other side of the wire), and `sign.rs` (a pure
//! function to [`signed::Signed`]) or `token.rs` where authentication is its own. A new one needs its folder and its entry in [`REGISTRY`].
//!
//! Providers do not sleep, spawn, retry (beyond one page or one token), know metrics or hold presence.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{AccountSettings, Key, Reader};
use crate::domain::{
    Change, Evidence, Fault, Kind, Limit, Roster, RowId, Seen, Session as LoggedSession, Target,
};
use crate::ports::BoxFuture;

pub mod alibaba;
pub mod alibaba_mqtt;
pub mod alibaba_smartag;
pub mod configure;
mod conn_key;
pub mod cost;
pub mod credentials;
pub mod hash;
pub mod http;
pub mod huawei_workspace;
#[cfg(test)]
pub mod loopback;
mod loose;
pub mod marks;
pub mod openim;
mod reading;
pub mod signed;
pub mod sim;
pub mod volcengine_rtc;

pub use cost::{Charge, Cheaper, Costs, Part, Past, Per, TOGETHER};
pub use http::{Failure, Gate, Net, Permit, Receipt};

/// Every provider. The order is that of the documentation.
pub static REGISTRY: &[&dyn ProviderKind] = &[
    &alibaba_smartag::KIND,
    &alibaba_mqtt::KIND,
    &volcengine_rtc::KIND,
    &openim::KIND,
    &huawei_workspace::KIND,
];

/// The provider of this name.
pub fn find(name: &str) -> Option<&'static dyn ProviderKind> {
    REGISTRY.iter().copied().find(|kind| kind.name() == name)
}

/// The cloud of this name.
pub fn cloud(name: &str) -> Option<&'static Cloud> {
    REGISTRY.iter().map(|kind| kind.cloud()).find(|cloud| cloud.name == name)
}

/// One call of a provider's API, as data. Plan, budget and metrics read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Action {
    /// The provider's own name for it; the label `action`.
    pub name: &'static str,
    /// How many ids one call may ask for; 0 when it is not asked by id.
    pub ids_per_call: u32,
    /// The limits that the provider documents; empty: none is documented.
    pub limits: &'static [Limit],
    /// How far behind the truth its answers may be, as the provider documents it; zero: nothing is documented.
    pub lag: Duration,
    /// Whether each call is billed.
    pub billed: bool,
    /// Where the numbers come from: the document and its words.
    pub source: &'static str,
}

/// What an account belongs to: who signs, and where to. Products of one cloud share it.
pub struct Cloud {
    /// The value of the account's key `cloud`.
    pub name: &'static str,
    /// The account's keys beside the common ones.
    pub keys: &'static [Key],
    /// The default of `requests_per_second`, below every documented limit.
    pub requests_per_second: f64,
    /// Reads the account's own keys; `None` when something is wrong with them (and noted).
    pub open: fn(&Reader<'_>, &AccountSettings) -> Option<Session>,
}

/// An account's credentials and cached tokens, of a type that only its cloud knows.
pub type Session = Arc<dyn Any + Send + Sync>;

/// What is fixed about a provider.
pub trait ProviderKind: Send + Sync {
    /// The name in configurations and the label `provider`.
    fn name(&self) -> &'static str;
    /// The cloud whose accounts may ask it.
    fn cloud(&self) -> &'static Cloud;
    /// A source's keys beside the common ones.
    fn keys(&self) -> &'static [Key];
    /// Every API action that it may call, token calls included.
    fn actions(&self) -> &'static [&'static Action];
    /// The keys among [`ProviderKind::keys`] that only say how answers are read. Sources of an account that differ in
    /// nothing else ask the same, and are asked together.
    fn view_keys(&self) -> &'static [&'static str] {
        &[]
    }
    /// Reads a source's own keys; `None` when something is wrong with them (and noted). The session is the cloud's own.
    fn configure(
        &self,
        source: &Reader<'_>,
        account: &AccountSettings,
        session: &Session,
    ) -> Option<Configured>;
    /// The other side of the wire.
    fn simulate(&self, options: sim::SimOptions) -> Box<dyn sim::SimApi>;
}

/// A source's checked settings, ready to ask.
pub struct Configured {
    /// What its targets are.
    pub kind: Kind,
    /// Where its start times come from.
    pub evidence: Evidence,
    /// Asks.
    pub provider: Box<dyn Provider>,
    /// How the source reads answers that it may share with others, as [`View::lens`].
    pub lens: u8,
}

/// One source's way of asking.
pub trait Provider: Send + Sync {
    /// What one round over all targets consists of, in order. A failing step does not keep the next from being asked.
    fn round(&self) -> Vec<Step>;
    /// Every call that a source's questions make, and what makes it. The plan counts with it.
    fn costs(&self) -> Costs;
    /// Whether an id can be asked for at all; the error says what is wrong with it.
    fn accepts(&self, id: &str) -> Result<(), String> {
        let _ = id;
        Ok(())
    }
    /// Whether its answers tell what each connection runs on.
    fn tells_platforms(&self) -> bool {
        false
    }
    /// Goes on with other targets of the source: whatever is remembered by their rows moves along. Answers to questions
    /// about the old rows may still come.
    fn replaced(&self, change: &Change) {
        let _ = change;
    }
    /// Reads the account's secret files again, and says whether its credentials are others than at the last call; of an
    /// account's sources one is told so. Cheap, and without the network: for whoever waits for a refused account.
    fn refreshed(&self) -> bool {
        false
    }
    /// Asks one question. Every HTTP request goes through `net` and pays there.
    fn ask<'a>(&'a self, question: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>>;
}

/// A part of a round.
#[derive(Clone, Copy)]
pub enum Step {
    /// All targets, so many ids a question, further cut so that `weigh` of its ids adds up to at most `weight`.
    Batches {
        /// The call that answers.
        action: &'static Action,
        /// Ids a question at most.
        ids: usize,
        /// The weight of one id, for limits on encoded length.
        weigh: fn(&str) -> usize,
        /// The sum of weights that a question may have.
        weight: usize,
        /// What all ids of a question have in common, such as the instance that is asked; [`TOGETHER`] where it is nothing.
        apart: Part,
    },
    /// One question that answers for all.
    Listing {
        /// The call that is paged through.
        action: &'static Action,
    },
    /// Records since the last complete pass.
    Log {
        /// The call that is paged through.
        action: &'static Action,
        /// How long after a session's beginning its record may still be read, again or for the first time.
        reread: Duration,
    },
}

/// One source's part in a question about all of its targets. Several sources may have a part in the same question.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Its targets, to find rows by id.
    pub roster: &'a Roster,
    /// How it reads answers: a number that means something to its provider only, from [`Configured::lens`].
    pub lens: u8,
}

/// What the scheduler hands out.
#[derive(Clone, Copy)]
pub enum Question<'a> {
    /// The state of these targets of the roster.
    Batch(&'a [Target<'a>]),
    /// The state of all targets of these sources.
    Listing(&'a [View<'a>]),
    /// All that there is to ask about, as a source with this lens sees it; for those whose [`Costs`] name a discovery.
    Discover(u8),
    /// The detail of one, asked for by an earlier answer.
    Detail(Target<'a>),
    /// Records since this Unix time in milliseconds (that of the last complete pass), or from the beginning.
    Log {
        /// The sources whose targets the records are read for.
        views: &'a [View<'a>],
        /// When the last complete pass began.
        since_ms: Option<i64>,
    },
}

/// A complete answer. A target without a row got none.
#[derive(Debug, Default)]
pub struct Answer {
    /// What is said of each target.
    pub rows: Vec<(RowId, Result<Seen, Fault>)>,
    /// Targets whose detail is worth a question.
    pub details: Vec<RowId>,
    /// Sessions of targets, as records tell them, each with the number of the view that it belongs to; the same session
    /// may come in any number of answers.
    pub sessions: Vec<(usize, LoggedSession)>,
    /// What there is to ask about; of a discovery only, and then all of it.
    pub found: Vec<Found>,
}

/// Something that a provider lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The id that it is asked for by.
    pub id: String,
    /// What people call it, where that is something else.
    pub name: Option<String>,
}
