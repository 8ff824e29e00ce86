//! What is asked: one source, or several that are asked together, as far as cost and freshness depend on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Asking, Assumptions, World, calls};
use crate::config::SourceSettings;
use crate::domain::{Kind, Priority, Roster};
use crate::providers::configure::Source;
use crate::providers::{Action, Cheaper, Per, Step};
use crate::scheduler::discovery::Listing;
use crate::scheduler::pools::{Joining, Pool};

/// Hours in which sessions that are still open began, at most: a week, beyond which nothing is looked back.
const OPEN_HOURS_MAX: u64 = 168;

/// One source, or several that are asked together, as far as cost and freshness depend on it.
pub struct Subject<'a> {
    /// The sources; at least one.
    pub members: Vec<Member<'a>>,
    /// The provider's name.
    pub provider: &'static str,
    /// The account's place in the list.
    pub account: usize,
    /// What it asks, as [`Source::asks`].
    pub asks: &'a str,
    /// The targets of each source for which it asks for lists.
    pub finders: Vec<&'a Arc<Roster>>,
    /// Whom it is asked about: the source's targets, or those of a pool.
    pub roster: Arc<Roster>,
    /// Whether the lists of its sources may change.
    pub changes: bool,
    /// How its sources' targets stand in that.
    pub joining: Joining,
    /// The places of the subjects that ask the same in a faster rhythm, and about whom both want.
    pub faster: Vec<usize>,
    /// What its round consists of.
    pub steps: Vec<Step>,
    /// How it asks.
    pub asking: Asking,
    /// Another way of asking that costs less.
    pub cheaper: Option<Cheaper>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Who is left out first.
    pub priority: Priority,
}

/// One source, as far as it differs from those that are asked with it.
pub struct Member<'a> {
    /// Its place in the configuration.
    pub number: usize,
    /// The operator's name for it.
    pub name: &'a str,
    /// What its targets are.
    pub kind: Kind,
    /// Its targets.
    pub roster: &'a Arc<Roster>,
    /// How often it wants every target to be asked about; the subject may do so more often.
    pub interval: Duration,
    /// How long answers must say offline before it counts.
    pub leave_delay: Duration,
    /// How long an answer counts, if the operator says so.
    pub max_age: Option<Duration>,
}

impl<'a> Subject<'a> {
    /// What matters of a pool of configured sources.
    pub fn of(pool: Pool, sources: &'a [Source], listings: &BTreeMap<usize, Listing>) -> Self {
        let first = &sources[pool.sources[0]];
        let steps = first.provider.round();
        let mut costs = first.provider.costs();
        let listings: Vec<&Listing> = pool.sources.iter().filter_map(|number| listings.get(number)).collect();
        let discover: Vec<Duration> = listings.iter().map(|listing| listing.interval).collect();
        let told = listings.iter().flat_map(|listing| &*listing.told);
        let finders = told.map(|number| &sources[usize::from(*number)].roster).collect();
        if discover.is_empty() {
            costs.charges.retain(|charge| !matches!(charge.per, Per::Discovery(_)));
        }
        let asking = Asking::new(&steps, &pool.roster, pool.tempo.interval, costs.charges)
            .discovering(discover, costs.part)
            .at_cadence(pool.tempo.cadence, &steps, &pool.roster, pool.priority);
        let member = |number: usize| {
            let Source { settings, target_kind, roster, .. } = &sources[number];
            let SourceSettings { name, interval, leave_delay, max_age, .. } = settings;
            let (interval, leave_delay, max_age) = (*interval, *leave_delay, *max_age);
            Member { number, name, kind: *target_kind, roster, interval, leave_delay, max_age }
        };
        Self {
            members: pool.sources.iter().copied().map(member).collect(),
            provider: first.kind.name(),
            account: pool.account,
            asks: &first.asks,
            finders,
            roster: pool.roster,
            changes: pool.sources.iter().any(|number| sources[*number].lists.is_some()),
            joining: pool.joining,
            faster: pool.faster,
            steps,
            asking,
            cheaper: costs.cheaper,
            timeout: pool.tempo.timeout,
            priority: pool.priority,
        }
    }

    /// The number in its roster of a target of the source with this place there, or of one of a slower source.
    pub(super) fn index(&self, member: usize, id: &str) -> Option<u32> {
        self.roster.find(&self.joining.key(member, id))
    }

    /// The names of its sources.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.members.iter().map(|member| member.name)
    }

    /// What is sure: nobody is online or ever changes, nothing fails, and lists hold the desktops that are watched.
    pub fn least(&self) -> World {
        let desktops = self.members.iter().filter(|member| member.kind == Kind::Desktop);
        // Two sources may watch the same ones.
        let listed = desktops.map(|member| u64::from(member.roster.len())).max().unwrap_or(0);
        World { listed, quiet: true, ..World::default() }
    }

    /// What may be, by these assumptions.
    pub fn most(&self, assumptions: &Assumptions) -> World {
        let targets = calls::float(self.roster.len().into());
        let listed = self.finders.iter().map(|roster| roster.len()).chain([self.roster.len()]).max();
        let listed = calls::float(listed.unwrap_or(0).into()) * assumptions.rows_per_target.max(1.0);
        let listed = calls::whole(listed);
        // There are as many more parts, each as long as those that are watched; one at least.
        let watched = self.asking.parts(self.finders.iter().map(|roster| &***roster));
        let parts = calls::whole(calls::float(watched.len() as u64) * assumptions.rows_per_target.max(1.0));
        let sizes = watched.iter().copied().chain(watched.is_empty().then_some(0)).cycle();
        let moves = calls::float(listed) * assumptions.arrivals_per_hour;
        World {
            online: calls::whole(targets * assumptions.online_share),
            arrivals_per_hour: targets * assumptions.arrivals_per_hour,
            departures_per_hour: targets * assumptions.arrivals_per_hour,
            left_out: self.roster.len().into(),
            listed,
            parts: sizes.take(usize::try_from(parts).unwrap_or(0).max(1)).collect(),
            logins: calls::whole(moves),
            long_lists: true,
            open_hours: vec![0; usize::try_from(listed.min(OPEN_HOURS_MAX)).unwrap_or(0)],
            searches_per_hour: f64::from(u32::MAX),
            failing: assumptions.failing_share,
            refused: assumptions.refused_per_source.min(self.roster.len().into()),
            doors_shut: true,
            quiet: false,
        }
    }

    /// The calls that answer for all, by which lag is judged.
    pub fn main_action(&self) -> Option<&'static Action> {
        self.steps.iter().find_map(|step| match step {
            Step::Batches { action, .. } | Step::Listing { action } => Some(*action),
            Step::Log { .. } => None,
        })
    }
}
