//! What asking costs, as data: each provider declares which of its calls a question makes, and the plan counts with it.
//!
//! A provider that makes a call which is not declared here is caught by a test that compares the plan with the simulator's
//! own count. Nothing is counted here.

use std::time::Duration;

use super::Action;

/// One kind of call that a source makes, and what makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The call.
    pub action: &'static Action,
    /// What makes it.
    pub per: Per,
}

/// What makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Each batch: one call.
    Batch,
    /// Each time a list is read from its beginning to its end: one call a page.
    Pages(Pages),
    /// Each time that targets are discovered, in a source that does that: one call a page.
    Discovery(Pages),
    /// Each target that is online when it is first heard of, or comes online: one call; and the same again every so many
    /// rounds for as long as it stays, if there is such a number.
    Online {
        /// Rounds between two details of a target that stays online.
        again: Option<u32>,
    },
    /// Each target that an answer leaves out, until it was asked for alone: at first, and when it leaves.
    LeftOut,
    /// Each time that so many targets at once seem to have left: the batch is asked once more.
    Doubt {
        /// Departures in one batch at least.
        departures: u32,
    },
    /// A token, shared by all sources of the account.
    Token {
        /// Calls for the first one at least; 0 where another call may bring it.
        least: u32,
        /// Calls for one at most.
        most: u32,
        /// After how long the next one is made; `None`: the provider does not say.
        life: Option<Duration>,
    },
    /// What a pass over records reads beside its newest window.
    Past(Past),
}

/// A list that is paged through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// What its rows are.
    pub of: Rows,
    /// Rows of a page as asked for.
    pub rows: u32,
    /// Rows of a page where a server caps it.
    pub capped: u32,
}

/// Which part of what an account has an id stands in, such as an instance or a group; the same for all ids where nothing
/// depends on it.
pub type Part = fn(&str) -> &str;

/// All ids are of one part.
pub const TOGETHER: Part = |_| "";

/// What a list's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All that the account has, the targets and others.
    Everything,
    /// Records of the newest window: logins of that time.
    NewRecords,
    /// The parts that the account has: one call tells all of them.
    PartsAtOnce,
    /// The parts that the account has.
    Parts,
    /// All that a part holds, and the same for each part.
    EachPart,
}

/// How the past is read, a part in each pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Stretches that are unread at the start, one call each, newest first.
    pub unread: u32,
    /// How many of them one pass reads.
    pub unread_per_pass: u32,
    /// Stretches that are read a second time, once an [`Past::again_every`] and one in a pass.
    pub again: u32,
    /// How often they are.
    pub again_every: Duration,
    /// How long a stretch is.
    pub stretch: Duration,
    /// Hours of sessions still open that one pass asks again.
    pub checks_per_pass: u32,
    /// Other searches in one pass at most.
    pub searches_per_pass: u32,
    /// Passes at the start that read nothing of it.
    pub idle_passes: u32,
}

/// Another way of asking that costs less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cheaper {
    /// What to write into the source, such as `exact: false`.
    pub setting: &'static str,
    /// The call that is made then, its batches as large as the action allows.
    pub action: &'static Action,
}

/// What a source costs.
#[derive(Debug, Clone)]
pub struct Costs {
    /// Every call that it makes.
    pub charges: Vec<Charge>,
    /// Another way of asking that costs less, if there is one.
    pub cheaper: Option<Cheaper>,
    /// The parts whose lists are read one by one.
    pub part: Part,
}

impl Costs {
    /// These calls, and no other way.
    pub fn of(charges: impl Into<Vec<Charge>>) -> Self {
        Self { charges: charges.into(), cheaper: None, part: TOGETHER }
    }

    /// These parts.
    #[must_use]
    pub fn in_parts(self, part: Part) -> Self {
        Self { part, ..self }
    }

    /// These calls too.
    #[must_use]
    pub fn and(mut self, charges: Vec<Charge>) -> Self {
        self.charges.extend(charges);
        self
    }

    /// The call by which targets are discovered; none where they cannot be.
    pub fn discovery(&self) -> Option<&'static Action> {
        let of = |charge: &Charge| matches!(charge.per, Per::Discovery(_)).then_some(charge.action);
        self.charges.iter().find_map(of)
    }
}
