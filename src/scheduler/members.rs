//! What a question's end means to each of the sources that it concerns: the store knows sources, everything before it knows
//! pools.
//!
//! A target of a pool finds its rows by its id, in the pool's own sources and in those of the slower pools that leave it to
//! this one, so that nothing has to be kept beside the rosters and any of them may change. It decides nothing about presence.

use std::sync::Arc;
use std::time::Duration;

use super::PoolTask;
use super::discovery::Listing;
use super::pools::Joining;
use super::shedding::Shed;
use crate::domain::{Fault, Moment, Roster, RowId, Seen};
use crate::providers::{Answer, View};
use crate::store::Store;
use crate::telemetry::SessionMeter;

/// One source of a pool.
#[derive(Clone)]
pub struct Member {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// Its targets.
    pub roster: Arc<Roster>,
    /// How it reads answers.
    pub lens: u8,
    /// How often it wants every target to be asked about; the pool may do so more often.
    pub interval: Duration,
    /// How long its answers count, if the operator says so.
    pub max_age: Option<Duration>,
    /// The list of targets that it asks for, for itself and others; none where another source does so for it.
    pub listing: Option<Listing>,
    /// Where its sessions are counted, if its round has login records.
    pub sessions: Option<Arc<SessionMeter>>,
}

impl Member {
    /// Its part in a question about all targets.
    pub fn view(&self) -> View<'_> {
        View { roster: &self.roster, lens: self.lens }
    }
}

impl PoolTask {
    /// The pool's name in the log: that of its source, or of all of them.
    pub fn name_of(members: &[Member]) -> Arc<str> {
        match members {
            [alone] => Arc::clone(&alone.name),
            several => several.iter().map(|member| &*member.name).collect::<Vec<_>>().join(", ").into(),
        }
    }

    /// How the targets of its sources stand in its own roster.
    pub(super) fn joining(&self) -> Joining {
        Joining::of(&self.steps, self.members.len(), !self.faster.is_empty() || !self.slower.is_empty())
    }

    /// The number in the pool of a target of the source with this place there; none if others ask about it.
    pub(super) fn index(&self, member: usize, id: &str) -> Option<u32> {
        self.roster.find(&self.joining().key(member, id))
    }

    /// Leads what an answer about all targets says of each source's rows to the rows of the pool. To be told to the pool
    /// that was asked about.
    pub(super) fn pooled(&self, answer: &mut Answer) {
        if self.joining() != Joining::Apart {
            return;
        }
        answer.rows.retain_mut(|(row, _)| {
            let of = |(_, member): &(usize, &Member)| member.roster.source() == row.source;
            let Some((place, member)) = self.members.iter().enumerate().find(of) else { return false };
            let found = self.index(place, member.roster.id(row.index));
            found.map(|index| *row = self.roster.row(index)).is_some()
        });
    }

    /// Since when records are to be read, so that none of the sources misses any.
    pub(super) fn log_since_ms(&self, store: &Store) -> Option<i64> {
        // None is less than any time: whoever has read nothing wants everything.
        self.members.iter().map(|member| member.log_since_ms(store)).min().flatten()
    }
}

/// The store's door: whoever books something about a pool tells it here, and each source hears what concerns it.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    /// What knows sources.
    pub store: &'a Store,
    /// The account's pools.
    pub pools: &'a [PoolTask],
}

impl<'a> Door<'a> {
    /// The rows of a target of a pool.
    fn rows_of(self, pool: usize, index: u32) -> impl Iterator<Item = RowId> + 'a {
        let pool = &self.pools[pool];
        let (only, id) = pool.joining().unkey(pool.roster.id(index));
        let own = pool.members.iter().enumerate();
        let own = own.filter(move |(place, _)| only.is_none_or(|only| only == *place)).map(|(_, own)| own);
        let concerned = own.chain(self.slower(pool).flat_map(|slower| &slower.members));
        concerned.filter_map(move |member| member.roster.find(id).map(|index| member.roster.row(index)))
    }

    /// The pools that leave it to this one to ask about whom they have in common.
    fn slower(self, pool: &'a PoolTask) -> impl Iterator<Item = &'a PoolTask> {
        pool.slower.iter().map(move |&place| &self.pools[place])
    }

    /// Books rows of an answer.
    pub fn came(self, pool: usize, as_of: Moment, came: Moment, rows: &[(RowId, Result<Seen, Fault>)]) {
        let asked = &self.pools[pool];
        if asked.joining() == Joining::Alone {
            return self.store.came(as_of, came, rows);
        }
        let current = rows.iter().filter(|(row, _)| row.generation == asked.roster.generation());
        let told =
            current.flat_map(|(row, said)| self.rows_of(pool, row.index).map(|row| (row, said.clone())));
        self.store.came(as_of, came, &told.collect::<Vec<_>>());
    }

    /// Books that a question about these targets of the pool failed.
    pub fn failed(self, pool: usize, at: Moment, rows: impl Iterator<Item = u32>, fault: Fault) {
        self.store.failed(at, &mut rows.flat_map(|row| self.rows_of(pool, row)), fault);
    }

    /// Books that a question about all targets failed, or that none will be asked.
    pub fn all_failed(self, pool: usize, at: Moment, fault: Fault) {
        self.failed(pool, at, 0..self.pools[pool].roster.len(), fault);
    }

    /// Books that a question was answered at `at`.
    pub fn heard(self, pool: usize, at: Moment) {
        self.each(pool, |source, generation| self.store.heard(source, generation, at));
    }

    /// Books that a whole round passed without any answer.
    pub fn silent(self, pool: usize) {
        self.each(pool, |source, generation| self.store.silent(source, generation));
    }

    /// Books how long a round took.
    pub fn rounded(self, pool: usize, took: Duration) {
        self.each(pool, |source, generation| self.store.rounded(source, generation, took));
    }

    /// Books that a complete log pass began then.
    pub fn log_read(self, pool: usize, began_ms: i64) {
        self.each(pool, |source, generation| self.store.log_read(source, generation, began_ms));
    }

    /// Books which targets of a pool's sources are left out from now on: those whom the pool leaves out that asks about them,
    /// this one or a faster one. `of`: whom each pool leaves out.
    pub fn shed<'b>(self, pool: usize, of: impl Fn(usize) -> &'b Shed) {
        let own = &self.pools[pool];
        let nobody = own.faster.iter().chain([&pool]).all(|pool| of(*pool).count == 0);
        for (member, Member { roster, .. }) in own.members.iter().enumerate() {
            let is_shed = |row: u32| {
                let id = roster.id(row);
                let faster = |&pool: &usize| Some((pool, self.pools[pool].roster.find(id)?));
                let asks = own.index(member, id).map(|index| (pool, index));
                let asks = asks.or_else(|| own.faster.iter().find_map(faster));
                asks.is_some_and(|(pool, index)| of(pool).contains(index))
            };
            self.store.shed(roster.source(), roster.generation(), &|row| !nobody && is_shed(row));
        }
    }

    /// The pool's sources, and those of slower pools that have nobody to ask about but whom they leave to this one.
    fn each(self, pool: usize, tell: impl Fn(u16, u16)) {
        let pool = &self.pools[pool];
        let stands =
            |member: &&Member| member.roster.iter().any(|target| pool.roster.find(target.id).is_some());
        let idle = self.slower(pool).filter(|slower| slower.roster.is_empty());
        let told = pool.members.iter().chain(idle.flat_map(|slower| &slower.members).filter(stands));
        told.for_each(|member| tell(member.roster.source(), member.roster.generation()));
    }
}

impl Member {
    /// When its last complete log pass began.
    pub(super) fn log_since_ms(&self, store: &Store) -> Option<i64> {
        store.log_since_ms(self.roster.source(), self.roster.generation())
    }
}

#[cfg(test)]
mod tests;
