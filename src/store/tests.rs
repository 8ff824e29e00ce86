use std::time::Duration;

use super::*;
use crate::domain::presence::Presence;
use crate::domain::{ConnKey, Kind, Policy, TargetLabels, Tick, UnknownReason};

const MAX_AGE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 }.plus(Duration::from_secs(seconds))
}

fn installed(name: &str, source: u16, generation: u16, targets: u32, evidence: Evidence) -> Installed {
    let mut roster = Roster::new(source, generation);
    for n in 0..targets {
        assert!(roster.push(&format!("{name}-{n}"), TargetLabels::default()));
    }
    let policy = Policy::at_once(MAX_AGE);
    let spec = SourceSpec {
        name: name.into(),
        provider: "openim",
        kind: Kind::User,
        evidence,
        platforms: evidence == Evidence::FirstSeen,
        policy,
        detection_delay: MAX_AGE,
    };
    Installed { spec, roster: Arc::new(roster) }
}

fn store(targets: u32) -> Store {
    let store = Store::new();
    store.install(vec![installed("a", 0, 1, targets, Evidence::Reported)]);
    store
}

fn row(index: u32) -> RowId {
    RowId { source: 0, generation: 1, index }
}

fn presence(store: &Store, index: u32, now: Moment) -> Presence {
    let snapshot = store.snapshot();
    let source = &snapshot.sources[0];
    source.state(index).expect("there is such a row").view(now, &source.spec.policy).presence
}

#[test]
fn every_target_is_unknown_before_the_first_answer() {
    let store = store(2500);
    let snapshot = store.snapshot();
    assert_eq!(snapshot.sources[0].states().count(), 2500);
    assert_eq!(snapshot.sources[0].counts(at(0)), Counts { unknown: 2500, ..Counts::default() });
    assert_eq!(presence(&store, 2499, at(0)), Presence::Unknown(UnknownReason::NeverPolled));
}

#[test]
fn an_answer_changes_its_rows_and_a_fault_in_it_only_its_own() {
    let store = store(3000);
    let rows = [
        (row(0), Ok(Seen::online())),
        (row(1024), Ok(Seen::offline())),
        (row(2999), Err(Fault::RefusedId)),
        (row(3000), Ok(Seen::online())),
        (RowId { source: 9, ..row(0) }, Ok(Seen::online())),
    ];
    store.answered(at(1), &rows);
    let counts = store.snapshot().sources[0].counts(at(1));
    assert_eq!(counts, Counts { online: 1, offline: 1, unknown: 2998 });
    assert_eq!(presence(&store, 1024, at(1)), Presence::Offline);
    assert_eq!(presence(&store, 2999, at(1)), Presence::Unknown(UnknownReason::Fault(Fault::RefusedId)));
}

#[test]
fn a_failed_question_turns_nobody_offline_and_names_the_reason_later() {
    let store = store(10_000);
    let rows: Vec<_> = (0..10_000).map(|n| (row(n), Ok(Seen::online()))).collect();
    store.answered(at(0), &rows);
    store.failed(at(30), &mut (0..10_000).map(row), Fault::Timeout);
    assert_eq!(store.snapshot().sources[0].counts(at(60)).online, 10_000);
    assert_eq!(store.snapshot().sources[0].counts(at(61)).unknown, 10_000);
    for index in [0, 4095, 4096, 9999] {
        assert_eq!(presence(&store, index, at(61)), Presence::Unknown(UnknownReason::Fault(Fault::Timeout)));
    }
}

#[test]
fn answers_of_another_configuration_fall_away() {
    let store = store(1);
    store.install(vec![installed("b", 0, 2, 1, Evidence::Reported)]);
    store.answered(at(1), &[(row(0), Ok(Seen::online()))]);
    store.failed(at(1), &mut std::iter::once(row(0)), Fault::Timeout);
    store.heard(0, 1, at(1));
    assert_eq!(presence(&store, 0, at(1)), Presence::Unknown(UnknownReason::NeverPolled));
    assert_eq!(store.awaited(), ["b".into()]);
    store.heard(0, 2, at(1));
    store.silent(0, 1);
    assert!(store.awaited().is_empty() && store.snapshot().sources[0].up);
}

#[test]
fn a_source_is_up_from_an_answer_to_a_silent_round_and_keeps_its_last_success() {
    let store = store(1);
    assert!(!store.snapshot().sources[0].up);
    assert_eq!(store.awaited(), ["a".into()]);
    store.heard(0, 1, at(5));
    store.heard(0, 1, at(3));
    let source = &store.snapshot().sources[0];
    assert_eq!((source.up, source.last_success), (true, Some(at(5))));
    store.silent(0, 1);
    let source = &store.snapshot().sources[0];
    assert_eq!((source.up, source.last_success), (false, Some(at(5))));
    assert!(store.awaited().is_empty());
}

#[test]
fn a_snapshot_is_not_changed_by_what_comes_later_and_only_the_touched_chunk_is_copied() {
    let store = store(3000);
    let before = store.snapshot();
    store.answered(at(1), &[(row(1500), Ok(Seen::online()))]);
    let after = store.snapshot();
    assert_eq!(before.sources[0].counts(at(1)).online, 0);
    assert_eq!(after.sources[0].counts(at(1)).online, 1);
    let shared = |n: usize| Arc::ptr_eq(&before.sources[0].chunks[n], &after.sources[0].chunks[n]);
    assert_eq!((0..3).map(shared).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn a_row_is_written_in_place_while_nobody_reads() {
    let store = store(10);
    drop(store.snapshot());
    let place = Arc::as_ptr(&store.lock().sources[0].chunks[0]);
    store.answered(at(1), &[(row(3), Ok(Seen::online()))]);
    assert!(std::ptr::eq(place, Arc::as_ptr(&store.lock().sources[0].chunks[0])));
}

#[test]
fn at_most_four_snapshots_live_and_later_readers_share_the_newest() {
    let store = store(1);
    let mut held: Vec<_> = (0..MAX_SNAPSHOTS).map(|_| store.snapshot()).collect();
    for (n, one) in held.iter().enumerate() {
        assert!(held[..n].iter().all(|other| !Arc::ptr_eq(one, other)));
    }
    store.answered(at(1), &[(row(0), Ok(Seen::online()))]);
    let fifth = store.snapshot();
    assert!(Arc::ptr_eq(&fifth, &held[3]));
    assert_eq!(fifth.sources[0].counts(at(1)).online, 0);
    held.remove(0);
    let sixth = store.snapshot();
    assert_eq!(sixth.sources[0].counts(at(1)).online, 1);
}

#[test]
fn rows_are_handed_out_by_chunks_until_the_end() {
    let store = store(1025);
    let source = &store.snapshot().sources[0];
    assert_eq!([0, 1000, 1024, 1025, u32::MAX].map(|n| source.rows_from(n).len()), [1024, 24, 1, 0, 0]);
}

#[test]
fn first_seen_sources_get_their_start_from_us_and_others_never_do() {
    let conn = |key| Seen { conns: vec![ConnKey(key)], ..Seen::online() };
    for (evidence, expected) in
        [(Evidence::FirstSeen, Some(1_700_000_010)), (Evidence::Reported, None), (Evidence::None, None)]
    {
        let store = Store::new();
        store.install(vec![installed("a", 0, 1, 1, evidence)]);
        store.answered(at(10), &[(row(0), Ok(conn(1)))]);
        store.answered(at(40), &[(row(0), Ok(conn(1)))]);
        let snapshot = store.snapshot();
        let view = snapshot.sources[0].state(0).expect("a row").view(at(40), &Policy::at_once(MAX_AGE));
        assert_eq!(view.started_s, expected, "{evidence:?}");
    }
}

#[test]
fn a_late_answer_touches_neither_the_row_nor_its_first_seen_times() {
    let conn = |key| Seen { conns: vec![ConnKey(key)], ..Seen::online() };
    let store = Store::new();
    store.install(vec![installed("a", 0, 1, 1, Evidence::FirstSeen)]);
    store.answered(at(20), &[(row(0), Ok(Seen::offline()))]);
    store.answered(at(10), &[(row(0), Ok(conn(1)))]);
    store.answered(at(30), &[(row(0), Ok(conn(1)))]);
    let snapshot = store.snapshot();
    let view = snapshot.sources[0].state(0).expect("a row").view(at(30), &Policy::at_once(MAX_AGE));
    assert_eq!(view.started_s, Some(1_700_000_030));
}
