//! What a question's end means to each of the sources that were asked about together: the store knows sources, everything
//! before it knows pools.
//!
//! A target of a pool finds its rows by its id, so that nothing has to be kept beside the rosters and any of them may change.
//! It decides nothing about presence.

use std::sync::Arc;
use std::time::Duration;

use super::SourceTask;
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
    /// How long its answers count, if the operator says so.
    pub max_age: Option<Duration>,
    /// How often its targets are discovered, if they are.
    pub discover: Option<Duration>,
    /// Where its sessions are counted, if its round has login records.
    pub sessions: Option<Arc<SessionMeter>>,
}

impl Member {
    /// Its part in a question about all targets.
    pub fn view(&self) -> View<'_> {
        View { roster: &self.roster, lens: self.lens }
    }
}

impl SourceTask {
    /// The pool's name in the log: that of its source, or of all of them.
    pub fn name_of(members: &[Member]) -> Arc<str> {
        match members {
            [alone] => Arc::clone(&alone.name),
            several => several.iter().map(|member| &*member.name).collect::<Vec<_>>().join(", ").into(),
        }
    }

    /// How the targets of its sources stand in its own roster.
    pub(super) fn joining(&self) -> Joining {
        Joining::of(&self.steps, self.members.len())
    }

    /// The rows of a target of the pool.
    fn rows_of(&self, index: u32) -> impl Iterator<Item = RowId> + '_ {
        let (only, id) = self.joining().unkey(self.roster.id(index));
        let members =
            self.members.iter().enumerate().filter(move |(place, _)| only.is_none_or(|only| only == *place));
        members.filter_map(move |(_, member)| member.roster.find(id).map(|index| member.roster.row(index)))
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
            let key = self.joining().key(place, member.roster.id(row.index));
            let found = self.roster.find(&key);
            found.map(|index| *row = self.roster.row(index)).is_some()
        });
    }

    /// Books rows of an answer.
    pub(super) fn came(
        &self,
        store: &Store,
        as_of: Moment,
        came: Moment,
        rows: &[(RowId, Result<Seen, Fault>)],
    ) {
        if self.joining() == Joining::Alone {
            return store.came(as_of, came, rows);
        }
        let current = rows.iter().filter(|(row, _)| row.generation == self.roster.generation());
        let told = current.flat_map(|(row, said)| self.rows_of(row.index).map(|row| (row, said.clone())));
        store.came(as_of, came, &told.collect::<Vec<_>>());
    }

    /// Books that a question about these targets of the pool failed.
    pub(super) fn failed(&self, store: &Store, at: Moment, rows: impl Iterator<Item = u32>, fault: Fault) {
        store.failed(at, &mut rows.flat_map(|row| self.rows_of(row)), fault);
    }

    /// Books that a question about all targets failed, or that none will be asked.
    pub(super) fn all_failed(&self, store: &Store, at: Moment, fault: Fault) {
        for Member { roster, .. } in &self.members {
            store.failed(at, &mut (0..roster.len()).map(|row| roster.row(row)), fault);
        }
    }

    /// Books that a question was answered at `at`.
    pub(super) fn heard(&self, store: &Store, at: Moment) {
        self.each(|source, generation| store.heard(source, generation, at));
    }

    /// Books that a whole round passed without any answer.
    pub(super) fn silent(&self, store: &Store) {
        self.each(|source, generation| store.silent(source, generation));
    }

    /// Books how long a round took.
    pub(super) fn rounded(&self, store: &Store, took: Duration) {
        self.each(|source, generation| store.rounded(source, generation, took));
    }

    /// Books that a complete log pass began then.
    pub(super) fn log_read(&self, store: &Store, began_ms: i64) {
        self.each(|source, generation| store.log_read(source, generation, began_ms));
    }

    /// Since when records are to be read, so that none of the sources misses any.
    pub(super) fn log_since_ms(&self, store: &Store) -> Option<i64> {
        // None is less than any time: whoever has read nothing wants everything.
        self.members.iter().map(|member| member.log_since_ms(store)).min().flatten()
    }

    /// Books which targets of the pool are left out from now on.
    pub(super) fn shed(&self, store: &Store, shed: &Shed) {
        for (place, Member { roster, .. }) in self.members.iter().enumerate() {
            let index = |row: u32| self.roster.find(&self.joining().key(place, roster.id(row)));
            let is_shed = |row: u32| shed.count > 0 && index(row).is_some_and(|index| shed.contains(index));
            store.shed(roster.source(), roster.generation(), &is_shed);
        }
    }

    fn each(&self, tell: impl Fn(u16, u16)) {
        self.members.iter().for_each(|member| tell(member.roster.source(), member.roster.generation()));
    }
}

impl Member {
    /// When its last complete log pass began.
    pub(super) fn log_since_ms(&self, store: &Store) -> Option<i64> {
        store.log_since_ms(self.roster.source(), self.roster.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::presence::Presence;
    use crate::domain::{Evidence, Kind, Policy, Priority, SourceSpec, TargetLabels};
    use crate::providers::{Provider, REGISTRY, Step};
    use crate::scheduler::pools::{Part, join};
    use crate::store::Installed;

    struct Unasked;

    impl Provider for Unasked {
        fn round(&self) -> Vec<Step> {
            Vec::new()
        }
        fn costs(&self) -> crate::providers::Costs {
            crate::providers::Costs::of([])
        }
        fn ask<'a>(
            &'a self,
            _: crate::providers::Question<'a>,
            _: &'a crate::providers::Net,
        ) -> crate::ports::BoxFuture<'a, Result<Answer, crate::providers::Failure>> {
            Box::pin(async { Ok(Answer::default()) })
        }
    }

    fn roster(number: u16, ids: &[&str]) -> Arc<Roster> {
        let mut roster = Roster::new(number, 0);
        for id in ids {
            assert!(roster.push(id, TargetLabels::default()));
        }
        Arc::new(roster)
    }

    /// A pool of sources with these targets that are asked about all at once, and the store of those sources.
    fn pool(sources: &[&[&str]]) -> (SourceTask, Store) {
        let rosters: Vec<Arc<Roster>> = (0..).zip(sources).map(|(number, ids)| roster(number, ids)).collect();
        let parts: Vec<Part<'_>> =
            rosters.iter().map(|roster| Part { roster, priority: Priority::Normal }).collect();
        let spec = |roster: &Arc<Roster>| SourceSpec {
            name: Arc::from(format!("source{}", roster.source())),
            provider: "test",
            kind: Kind::User,
            evidence: Evidence::None,
            platforms: false,
            policy: Policy::at_once(Duration::from_secs(60)),
            detection_delay: Duration::ZERO,
        };
        let store = Store::new();
        store.install(
            rosters.iter().map(|roster| Installed { spec: spec(roster), roster: roster.clone() }).collect(),
        );
        let member = |roster: &Arc<Roster>| Member {
            name: Arc::from("one"),
            roster: roster.clone(),
            lens: 0,
            max_age: None,
            discover: None,
            sessions: None,
        };
        let task = SourceTask {
            name: Arc::from("all"),
            kind: REGISTRY[0],
            provider: Arc::new(Unasked),
            steps: Vec::new(),
            roster: join(&parts, Joining::of(&[], parts.len())),
            members: rosters.iter().map(member).collect(),
            requests: 1,
            interval: Duration::from_secs(60),
            cadence: None,
            priority: Priority::Normal,
            timeout: Duration::from_secs(10),
        };
        (task, store)
    }

    fn presence(store: &Store, source: u16, index: u32) -> Presence {
        let state = store.state(RowId { source, generation: 0, index }).expect("the row is there");
        state.view(Moment::default(), &Policy::at_once(Duration::from_secs(60))).presence
    }

    #[test]
    fn records_are_read_from_where_the_source_that_is_furthest_behind_stopped() {
        let (task, store) = pool(&[&["a"], &["b"], &["c"]]);
        assert_eq!(task.log_since_ms(&store), None);
        store.log_read(0, 0, 5_000);
        store.log_read(1, 0, 3_000);
        assert_eq!(task.log_since_ms(&store), None, "one of them has read nothing yet");
        store.log_read(2, 0, 9_000);
        assert_eq!(task.log_since_ms(&store), Some(3_000));
        task.log_read(&store, 9_500);
        assert_eq!(task.log_since_ms(&store), Some(9_500));
    }

    #[test]
    fn a_row_of_one_source_is_told_to_that_one_though_another_has_the_same_id() {
        let (task, store) = pool(&[&["a", "b"], &["b", "c"]]);
        let mut answer = Answer {
            rows: vec![
                (task.members[1].roster.row(0), Ok(Seen::online())),
                (task.members[0].roster.row(1), Ok(Seen::offline())),
                (RowId { source: 7, generation: 0, index: 0 }, Ok(Seen::online())),
            ],
            ..Answer::default()
        };
        task.pooled(&mut answer);
        assert_eq!(answer.rows.len(), 2, "nobody knows of a source 7 here");
        task.came(&store, Moment::default(), Moment::default(), &answer.rows);
        assert_eq!((presence(&store, 1, 0), presence(&store, 0, 1)), (Presence::Online, Presence::Offline));
        let never = Presence::Unknown(crate::domain::UnknownReason::NeverPolled);
        assert_eq!((presence(&store, 0, 0), presence(&store, 1, 1)), (never, never));
    }
}
