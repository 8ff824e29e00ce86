//! Changes of the sources' targets while an account is polled: taken one at a time between two questions, and what was asked
//! before is answered all the same.
//!
//! The work that takes time by the number of targets is done by whoever makes a [`ListChange`], on a thread of their own.
//! It decides nothing about which targets there are.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::booking::Done;
use super::plan::{self, Rhythm};
use super::pools::{Part, Parts};
use super::{AccountTask, Member, PoolTask};
use crate::domain::{Change, Moves, Priority, Roster};
use crate::providers::Step;
use crate::store::{Replacement, Store};

/// Changes that wait to be taken up at most; who has more waits.
const WAITING_MAX: usize = 16;

/// A change of one source's targets, worked out.
pub struct ListChange {
    /// The place of the source's pool in the account's list.
    pub pool: usize,
    /// The source's place in the pool.
    pub member: usize,
    /// Who stays, who goes, who comes.
    pub own: Arc<Change>,
    /// The store's rows of it.
    pub replacement: Replacement,
    /// What it is for its pool, and for faster and slower ones; nothing where others want the same targets.
    pub pools: Vec<PoolChange>,
}

/// A change of whom a pool is asked about.
pub struct PoolChange {
    /// The pool's place in the account's list.
    pub pool: usize,
    /// Who stays, who goes, who comes.
    pub change: Arc<Change>,
    /// The round of the new targets.
    pub rhythm: Rhythm,
    /// HTTP requests that it takes at least.
    pub requests: u64,
}

/// The pools that ask the same, each in its own rhythm, as they were last handed over; for whoever works changes out.
pub struct Family {
    /// The fastest first.
    pools: Vec<Kin>,
}

/// One pool of a family.
struct Kin {
    /// Its place in the account's list.
    place: usize,
    /// What its round consists of.
    steps: Vec<Step>,
    /// Whom it is asked about.
    roster: Arc<Roster>,
    /// The targets of each of its sources, with that one's priority.
    members: Vec<(Arc<Roster>, Priority)>,
    /// The longest time between two questions about a target of it.
    slowest: Duration,
}

impl Family {
    /// The pools that ask the same as the one at this place of an account's list. `priority`: that of a source, by its
    /// number.
    pub fn of(place: usize, sources: &[PoolTask], priority: &dyn Fn(u16) -> Priority) -> Self {
        let kin = |&place: &usize| {
            let source = &sources[place];
            let member = |member: &Member| (Arc::clone(&member.roster), priority(member.roster.source()));
            Kin {
                place,
                steps: source.steps.clone(),
                roster: Arc::clone(&source.roster),
                members: source.members.iter().map(member).collect(),
                slowest: source.tempo().slowest(),
            }
        };
        let PoolTask { faster, slower, .. } = &sources[place];
        Self { pools: faster.iter().chain([&place]).chain(slower).map(kin).collect() }
    }

    /// The places of its pools in the account's list.
    pub fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.pools.iter().map(|kin| kin.place)
    }

    /// Works a change of one of its sources out, that has this place in the pool at that place of the account's list. Takes
    /// time by the number of targets. `None` when the store's source has other targets than the change begins with; then
    /// nothing has changed.
    pub fn change(
        &mut self,
        (pool, member): (usize, usize),
        change: Change,
        store: &Store,
    ) -> Option<ListChange> {
        let own = Arc::new(change);
        let replacement = store.prepare(Arc::clone(&own))?;
        let is_alone = self.pools.len() == 1 && self.pools[0].members.len() == 1;
        let mut pools = Vec::new();
        let kin = self.pools.iter_mut().find(|kin| kin.place == pool)?;
        kin.members[member].0 = Arc::clone(&own.new);
        for number in 0..self.pools.len() {
            let change = if is_alone { Some(Arc::clone(&own)) } else { self.rejoined(number) };
            let Some(change) = change else { continue };
            let kin = &mut self.pools[number];
            kin.roster = Arc::clone(&change.new);
            let rhythm = plan::rhythm(&kin.steps, &change.new);
            let requests = requests(&rhythm, &kin.steps, &change.new);
            pools.push(PoolChange { pool: kin.place, change, rhythm, requests });
        }
        Some(ListChange { pool, member, own, replacement, pools })
    }

    /// What follows for a pool from the present lists of all.
    fn rejoined(&self, number: usize) -> Option<Arc<Change>> {
        let kin = &self.pools[number];
        let parts = Parts {
            own: kin.parts().collect(),
            faster: self.pools[..number].iter().flat_map(Kin::parts).collect(),
            slower: self.pools[number + 1..].iter().flat_map(Kin::parts).collect(),
        };
        Change::between(&kin.roster, &parts.join(parts.joining(&kin.steps))).map(Arc::new)
    }
}

impl Kin {
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let slowest = self.slowest;
        self.members.iter().map(move |(roster, priority)| Part { roster, priority: *priority, slowest })
    }
}

/// HTTP requests that a round takes at least: batches, and a listing's pages by its targets.
pub fn requests(rhythm: &Rhythm, steps: &[Step], roster: &Roster) -> u64 {
    let pages = |ids_per_call: u32| match ids_per_call {
        0 => 1,
        ids => u64::from(roster.len().div_ceil(ids)).max(1),
    };
    let of_step = |step: &Step| match (step, rhythm) {
        (Step::Batches { .. }, Rhythm::Spread { starts }) => starts.len() as u64,
        (Step::Batches { .. }, Rhythm::Sequence) => 0,
        (Step::Listing { action }, _) => pages(action.ids_per_call),
        (Step::Log { .. }, _) => 1,
    };
    steps.iter().map(of_step).sum()
}

/// The changes of one account: those to come, and those that questions under way do not know of.
pub(super) struct Changes {
    coming: Option<(mpsc::Sender<ListChange>, mpsc::Receiver<ListChange>)>,
    sources: Vec<Past>,
}

/// One source's changes that questions under way have to be led through.
#[derive(Default)]
struct Past {
    /// Where each list's rows went, by its generation, the oldest first.
    moves: VecDeque<(u16, Arc<Moves>)>,
    /// Questions under way by the generation that they were asked about.
    under_way: BTreeMap<u16, usize>,
}

impl Changes {
    pub(super) fn new(sources: usize) -> Self {
        Self { coming: None, sources: (0..sources).map(|_| Past::default()).collect() }
    }

    /// Where changes are put.
    pub(super) fn sender(&mut self) -> mpsc::Sender<ListChange> {
        let (sender, _) = self.coming.get_or_insert_with(|| mpsc::channel(WAITING_MAX));
        sender.clone()
    }

    /// The next change; never, where nobody makes any.
    pub(super) async fn next(&mut self) -> ListChange {
        let Some((_, coming)) = &mut self.coming else { return pending().await };
        match coming.recv().await {
            Some(change) => change,
            // Not while a sender is kept beside it.
            None => pending().await,
        }
    }

    /// Notes that a question about these targets is under way.
    pub(super) fn asked(&mut self, source: usize, roster: &Roster) {
        *self.sources[source].under_way.entry(roster.generation()).or_default() += 1;
    }

    /// Notes that a source has other targets from now on.
    pub(super) fn replaced(&mut self, source: usize, change: &Change) {
        let past = &mut self.sources[source];
        past.moves.push_back((change.old.generation(), Arc::clone(&change.moves)));
        past.forget();
    }

    /// Notes that a question is over, and leads what it says to the targets that there are now.
    pub(super) fn move_along(&mut self, done: &mut Done, sources: &[PoolTask]) {
        let past = &mut self.sources[done.job.pool];
        let generation = done.roster.generation();
        if let Some(first) = past.moves.iter().position(|(before, _)| *before == generation) {
            let moves = past.moves.iter().skip(first).map(|(_, moves)| &**moves);
            done.move_along(moves, &sources[done.job.pool].roster);
        }
        if let Some(count) = past.under_way.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                past.under_way.remove(&generation);
            }
        }
        past.forget();
    }
}

impl Past {
    /// Forgets the moves that no question under way has to be led through.
    fn forget(&mut self) {
        while let Some((oldest, _)) = self.moves.front()
            && !self.under_way.contains_key(oldest)
        {
            self.moves.pop_front();
        }
    }
}

impl AccountTask {
    /// More targets take longer to ask about, so that answers have to count longer, where the operator does not say how
    /// long they do.
    pub(super) fn lengthen_max_ages(&self, store: &Store) {
        if self.shed {
            // Whoever is asked about is asked as often as before.
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "requests a round are far below 2^52")]
        let wanted = |source: &PoolTask| source.requests as f64 / source.interval.as_secs_f64();
        let wanted: f64 = self.pools.iter().map(wanted).sum();
        let stretch = plan::stretch(wanted, self.quota.sustained_per_second());
        for source in &self.pools {
            let slowest = source.cadence.map_or(source.interval, |cadence| cadence.slowest);
            for member in source.members.iter().filter(|member| member.max_age.is_none()) {
                let Member { roster, interval, .. } = member;
                let round = interval.mul_f64(stretch).max(slowest);
                let max_age = plan::default_max_age(round, source.timeout);
                store.lengthen_max_age(roster.source(), roster.generation(), max_age);
            }
        }
    }
}
