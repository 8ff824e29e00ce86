//! Who is told what, by pools and stores that are put together by hand.

use super::*;
use crate::domain::presence::Presence;
use crate::domain::{Evidence, Kind, Policy, Priority, SourceSpec, TargetLabels};
use crate::providers::{Action, Provider, REGISTRY, Step, TOGETHER};
use crate::scheduler::pools::{Part, Parts};
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

/// A store of sources with these targets.
fn stored(rosters: &[Arc<Roster>]) -> Store {
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
    store
}

/// A pool of these sources, with these steps and this roster of its own.
fn task(rosters: &[Arc<Roster>], steps: Vec<Step>, roster: Arc<Roster>) -> PoolTask {
    let member = |roster: &Arc<Roster>| Member {
        name: Arc::from("one"),
        roster: roster.clone(),
        lens: 0,
        interval: Duration::from_secs(60),
        max_age: None,
        listing: None,
        sessions: None,
    };
    PoolTask {
        name: Arc::from("all"),
        kind: REGISTRY[0],
        provider: Arc::new(Unasked),
        steps,
        roster,
        members: rosters.iter().map(member).collect(),
        faster: Vec::new(),
        slower: Vec::new(),
        requests: 1,
        interval: Duration::from_secs(60),
        cadence: None,
        priority: Priority::Normal,
        timeout: Duration::from_secs(10),
    }
}

/// A pool of sources with these targets that are asked about all at once, and the store of those sources.
fn pool(sources: &[&[&str]]) -> (PoolTask, Store) {
    let rosters: Vec<Arc<Roster>> = (0..).zip(sources).map(|(number, ids)| roster(number, ids)).collect();
    let own = rosters
        .iter()
        .map(|roster| Part { roster, priority: Priority::Normal, slowest: Duration::from_secs(60) })
        .collect();
    let parts = Parts { own, faster: Vec::new(), slower: Vec::new() };
    (task(&rosters, Vec::new(), parts.join(parts.joining(&[]))), stored(&rosters))
}

/// Sources that are asked in batches: a fast one, a slow one, and a slow one of which everybody is left to the fast one.
fn related() -> ([PoolTask; 3], Store) {
    static ACTION: Action = Action {
        name: "Ask",
        ids_per_call: 10,
        limits: &[],
        lag: Duration::ZERO,
        billed: false,
        source: "a test",
    };
    let steps =
        || vec![Step::Batches { action: &ACTION, ids: 10, weigh: str::len, weight: 99, apart: TOGETHER }];
    let rosters = [roster(0, &["a", "b"]), roster(1, &["c", "b"]), roster(2, &["b"])];
    let lone = |number: usize, asked: &[&str]| {
        task(&rosters[number..=number], steps(), roster(u16::try_from(number).expect("three"), asked))
    };
    let mut pools = [lone(0, &["a", "b"]), lone(1, &["c"]), lone(2, &[])];
    pools[0].slower = vec![1, 2];
    (pools[1].faster, pools[1].slower) = (vec![0], vec![2]);
    pools[2].faster = vec![0, 1];
    (pools, stored(&rosters))
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
    Door { store: &store, pools: std::slice::from_ref(&task) }.log_read(0, 9_500);
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
    let door = Door { store: &store, pools: std::slice::from_ref(&task) };
    door.came(0, Moment::default(), Moment::default(), &answer.rows);
    assert_eq!((presence(&store, 1, 0), presence(&store, 0, 1)), (Presence::Online, Presence::Offline));
    let never = Presence::Unknown(crate::domain::UnknownReason::NeverPolled);
    assert_eq!((presence(&store, 0, 0), presence(&store, 1, 1)), (never, never));
}

#[test]
fn who_is_left_to_a_faster_pool_is_told_what_that_one_hears_and_everybody_else_is_not() {
    let ([fast, slow, idle], store) = related();
    let pools = [fast, slow, idle];
    let door = Door { store: &store, pools: &pools };
    let now = Moment::default();
    let row = |pool: usize, index: u32| pools[pool].roster.row(index);
    door.came(0, now, now, &[(row(0, 0), Ok(Seen::offline())), (row(0, 1), Ok(Seen::online()))]);
    let never = Presence::Unknown(crate::domain::UnknownReason::NeverPolled);
    assert_eq!([presence(&store, 0, 0), presence(&store, 0, 1)], [Presence::Offline, Presence::Online]);
    assert_eq!([presence(&store, 1, 0), presence(&store, 1, 1)], [never, Presence::Online]);
    assert_eq!(presence(&store, 2, 0), Presence::Online);
    door.came(1, now, now, &[(row(1, 0), Ok(Seen::online()))]);
    assert_eq!(presence(&store, 1, 0), Presence::Online);
    assert_eq!(presence(&store, 0, 0), Presence::Offline, "the other pool's first row is somebody else");
}

#[test]
fn a_source_is_up_by_its_own_pool_and_by_a_faster_one_only_if_it_has_nobody_else() {
    let (pools, store) = related();
    let door = Door { store: &store, pools: &pools };
    let awaited = || store.awaited().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(awaited(), ["source0", "source1", "source2"]);
    door.heard(0, Moment::default());
    assert_eq!(awaited(), ["source1"]);
    door.heard(1, Moment::default());
    let up = || store.snapshot().sources.iter().map(|source| source.up).collect::<Vec<_>>();
    assert_eq!(up(), [true, true, true]);
    door.silent(0);
    assert_eq!(up(), [false, true, false]);
    door.heard(1, Moment::default());
    assert_eq!(up(), [false, true, false], "nobody of the last one is asked about there");
    door.silent(1);
    door.heard(0, Moment::default());
    assert_eq!(up(), [true, false, true]);
}

#[test]
fn a_refused_account_is_told_to_everybody_once_by_whoever_asks_about_them() {
    let (pools, store) = related();
    let door = Door { store: &store, pools: &pools };
    let reason = |source, index| match presence(&store, source, index) {
        Presence::Unknown(reason) => reason.as_str(),
        presence => panic!("{presence:?}"),
    };
    door.all_failed(1, Moment::default(), Fault::Forbidden);
    assert_eq!((reason(1, 0), reason(1, 1), reason(2, 0)), ("forbidden", "never_polled", "never_polled"));
    door.all_failed(0, Moment::default(), Fault::ServerError);
    assert_eq!((reason(1, 0), reason(1, 1), reason(2, 0)), ("forbidden", "server_error", "server_error"));
}

#[test]
fn who_is_left_out_by_the_pool_that_asks_is_told_so() {
    let (pools, store) = related();
    let door = Door { store: &store, pools: &pools };
    let is_shed = |source, index| match presence(&store, source, index) {
        Presence::Unknown(reason) => reason.as_str() == "budget",
        presence => panic!("{presence:?}"),
    };
    let tell = |shed: [Shed; 3]| (0..3).for_each(|pool| door.shed(pool, |pool| &shed[pool]));
    let rows = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)];
    let told = || rows.map(|(source, index)| is_shed(source, index));
    tell([Shed::of(2, |index| index == 1), Shed::default(), Shed::default()]);
    assert_eq!(told(), [false, true, false, true, true]);
    tell([Shed::default(), Shed::of(1, |_| true), Shed::default()]);
    assert_eq!(told(), [false, false, true, false, false]);
}
