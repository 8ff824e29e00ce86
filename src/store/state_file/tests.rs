//! The file against what may happen to it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::presence::Presence;
use crate::domain::{Evidence, Kind, RowId, Seen, SourceSpec, TargetLabels, Tick, UnknownReason};
use crate::domain::{Policy, Roster, View};
use crate::store::Installed;

fn at(seconds: u64) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 }.plus(Duration::from_secs(seconds))
}

/// A later process's clock: its ticks begin anew.
fn restarted(seconds: i64) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 + seconds * 1000 }
}

fn store(sources: &[(&str, &[String])]) -> Store {
    let store = Store::new();
    let installed = sources.iter().zip(0..).map(|((name, ids), number)| {
        let mut roster = Roster::new(number, 0);
        for id in *ids {
            assert!(roster.push(id, TargetLabels::default()));
        }
        let policy = Policy::at_once(Duration::from_secs(60));
        let name = (*name).into();
        let spec = SourceSpec {
            name,
            provider: "openim",
            kind: Kind::User,
            evidence: Evidence::Reported,
            platforms: false,
            policy,
        };
        Installed { spec, roster: Arc::new(roster) }
    });
    store.install(installed.collect());
    store
}

fn ids(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("user-{n}")).collect()
}

fn answer(store: &Store, source: u16, index: u32, now: Moment, online: bool) {
    let row = RowId { source, generation: 0, index };
    store.answered(now, &[(row, Ok(Seen { online, ..Seen::default() }))]);
}

fn view(store: &Store, source: usize, id: &str, now: Moment) -> View {
    let snapshot = store.snapshot();
    let source = &snapshot.sources[source];
    let index = source.roster.find(id).expect("the target is configured");
    source.state(index).expect("each target has a row").view(now, &source.spec.policy)
}

/// The bytes that a save of so many rows of one source takes.
fn rows(count: u64) -> u64 {
    12 + 5 + 33 * count
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("state.redb");
    (folder, path)
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// A file that knows 300 targets of a source, each of whom was online, and of whom the last went offline.
fn lived(path: &Path) {
    let store = store(&[("a", &ids(0..300))]);
    let mut opened = StateFile::open(path, &store, at(0)).expect("the place is good");
    for n in 0..300 {
        answer(&store, 0, n, at(10), true);
    }
    answer(&store, 0, 299, at(20), false);
    store.log_read(0, 0, 77);
    assert_eq!(opened.file.save(&store), Ok(rows(300) + 25));
}

#[test]
fn everything_goes_on_and_is_unknown_until_it_is_confirmed() {
    let (_folder, path) = folder();
    lived(&path);
    let store = store(&[("a", &ids(0..300))]);
    let opened = StateFile::open(&path, &store, restarted(100)).expect("the file is good");
    assert_eq!((opened.restored, opened.set_aside), (300, None));
    let gone = view(&store, 0, "user-299", restarted(100));
    assert_eq!(gone.presence, Presence::Unknown(UnknownReason::Restored));
    assert_eq!((gone.last_seen_s, gone.last_change_s), (Some(1_700_000_010), Some(1_700_000_020)));
    assert_eq!((gone.transitions.to_offline, gone.observed_s), (1, Some(1_700_000_020)));
    assert_eq!(store.log_since_ms(0, 0), Some(77));
}

#[test]
fn targets_are_known_by_source_and_id_wherever_they_stand_and_others_are_dropped() {
    let (_folder, path) = folder();
    lived(&path);
    let fewer: Vec<String> = ids(290..310).into_iter().rev().collect();
    let moved = store(&[("new", &ids(0..2)), ("a", &fewer)]);
    let opened = StateFile::open(&path, &moved, restarted(100)).expect("the file is good");
    assert_eq!(opened.restored, 10);
    assert_eq!(view(&moved, 1, "user-299", restarted(100)).transitions.to_offline, 1);
    assert_eq!(view(&moved, 1, "user-301", restarted(100)).last_seen_s, None);
    assert_eq!(view(&moved, 0, "user-1", restarted(100)).last_seen_s, None, "another source's");
    drop(opened);
    let before = store(&[("a", &ids(0..300))]);
    let opened = StateFile::open(&path, &before, restarted(200)).expect("the file is good");
    assert_eq!(opened.restored, 10, "what was not configured meanwhile is gone");
}

#[test]
fn a_save_writes_only_rows_that_changed_and_nothing_when_none_did() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..3000)), ("b", &ids(0..10))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    assert_eq!(file.save(&store), Ok(0));
    for index in [0, 127, 128, 2999] {
        answer(&store, 0, index, at(10), true);
    }
    answer(&store, 1, 3, at(10), true);
    assert_eq!(file.save(&store), Ok(rows(4) + rows(1)));
    assert_eq!(file.save(&store), Ok(0));
    store.failed(
        at(11),
        &mut (0..3000).map(|index| RowId { source: 0, generation: 0, index }),
        crate::domain::Fault::Timeout,
    );
    assert_eq!(file.save(&store), Ok(0), "what is not kept is not written");
    answer(&store, 0, 1, at(12), false);
    assert_eq!(file.save(&store), Ok(rows(1)));
}

#[test]
fn pages_show_what_was_saved_and_nothing_else() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..10))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    answer(&store, 0, 3, at(10), true);
    assert_eq!(view(&store, 0, "user-3", at(10)).last_seen_s, None);
    file.save(&store).expect("there is room");
    assert_eq!(view(&store, 0, "user-3", at(10)).presence, Presence::Online);
}

#[test]
fn first_seen_times_go_on_and_end_with_their_stay() {
    let (_folder, path) = folder();
    let conn = |key| Seen { conns: vec![crate::domain::ConnKey(key)], ..Seen::online() };
    let first_seen = || {
        let store = store(&[("a", &ids(0..10))]);
        let mut inner = store.lock();
        let mut spec = (*inner.sources[0].spec).clone();
        spec.evidence = Evidence::FirstSeen;
        inner.sources[0].spec = Arc::new(spec);
        drop(inner);
        store
    };
    let tell = |store: &Store, index, now, seen: Seen| {
        store.answered(now, &[(RowId { source: 0, generation: 0, index }, Ok(seen))]);
    };
    let store = first_seen();
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    for index in 0..3 {
        tell(&store, index, at(10), conn(1));
    }
    file.save(&store).expect("there is room");
    tell(&store, 1, at(20), Seen::offline());
    file.save(&store).expect("there is room");
    drop(file);
    let later = first_seen();
    let mut file = StateFile::open(&path, &later, restarted(50)).expect("the file is good").file;
    tell(&later, 0, restarted(51), conn(1));
    tell(&later, 1, restarted(51), conn(1));
    tell(&later, 2, restarted(51), conn(2));
    file.save(&later).expect("there is room");
    let starts = ["user-0", "user-1", "user-2"].map(|id| view(&later, 0, id, restarted(51)).started_s);
    assert_eq!(starts, [Some(1_700_000_010), Some(1_700_000_051), Some(1_700_000_051)]);
    assert_eq!(view(&later, 0, "user-2", restarted(51)).reconnects, 1, "another connection took its place");
}

#[test]
fn a_disk_that_hangs_holds_no_page_back_for_long() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..10))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    let shown = |now| view(&store, 0, "user-3", at(now)).last_seen_s;
    for (now, expected) in [(100, None), (105, None), (106, Some(1_700_000_106))] {
        answer(&store, 0, 3, at(now), true);
        store.heard(0, 0, at(now));
        assert_eq!(shown(now), expected, "{now} s");
    }
    file.save(&store).expect("there is room");
    answer(&store, 0, 3, at(107), true);
    assert_eq!(shown(107), Some(1_700_000_106), "the disk answers again");
}

#[test]
fn a_failed_save_holds_no_page_back_and_the_next_one_writes_everything() {
    let (folder, path) = folder();
    let store = store(&[("a", &ids(0..300))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    answer(&store, 0, 3, at(10), true);
    assert_eq!(file.save(&store), Ok(rows(1)));
    // The file is to be opened anew, and its place is gone.
    file.log = None;
    let elsewhere = folder.path().with_extension("moved");
    fs::rename(folder.path(), &elsewhere).expect("a folder can be renamed");
    answer(&store, 0, 299, at(10), true);
    assert!(file.save(&store).expect_err("there is no such folder").contains("cannot be opened"));
    assert_eq!(view(&store, 0, "user-299", at(10)).presence, Presence::Online);
    fs::rename(&elsewhere, folder.path()).expect("a folder can be renamed");
    file.save(&store).expect("the place is good again");
    drop(file);
    let later = self::store(&[("a", &ids(0..300))]);
    assert_eq!(StateFile::open(&path, &later, restarted(100)).expect("the file is good").restored, 2);
}

#[test]
fn a_file_of_a_newer_version_is_set_aside_and_left_whole() {
    let (folder, path) = folder();
    lived(&path);
    let before = fs::read(&path).expect("it is there");
    fs::write(&path, log::tests::of_version(&before, log::VERSION + 1)).expect("there is room");
    let later = store(&[("a", &ids(0..300))]);
    let opened = StateFile::open(&path, &later, at(50)).expect("the place is good");
    let (why, aside) = opened.set_aside.expect("the file is of no use");
    assert!(why.contains("version 2"), "{why}");
    assert_eq!((opened.restored, aside.file_name()), (0, Some("state.redb.newer-1700000050".as_ref())));
    assert_eq!(names(&folder), ["state.redb", "state.redb.newer-1700000050"]);
    let kept = fs::read(&aside).expect("it is there");
    assert_eq!(log::tests::of_version(&kept, log::VERSION), before);
}

#[test]
fn a_file_that_is_none_of_ours_is_set_aside() {
    for text in [b"x".to_vec(), vec![b'x'; 100_000]] {
        let (folder, path) = folder();
        fs::write(&path, text).expect("there is room");
        let store = store(&[("a", &ids(0..3))]);
        let opened = StateFile::open(&path, &store, at(50)).expect("the place is good");
        assert!(opened.set_aside.is_some());
        assert_eq!(names(&folder), ["state.redb", "state.redb.damaged-1700000050"]);
    }
}

#[test]
fn a_place_that_is_no_good_is_an_error_and_nothing_is_touched() {
    let (folder, path) = folder();
    let store = store(&[("a", &ids(0..3))]);
    let missing =
        StateFile::open(&folder.path().join("no/state"), &store, at(0)).expect_err("no such folder");
    assert!(missing.contains("no/state: cannot be opened for writing"), "{missing}");
    let open = StateFile::open(&path, &store, at(0)).expect("the place is good");
    let twice = StateFile::open(&path, &store, at(0)).expect_err("it is in use");
    assert!(twice.ends_with("is in use by another process"), "{twice}");
    drop(open);
    assert!(StateFile::open(&path, &store, at(0)).is_ok());
    assert_eq!(names(&folder), ["state.redb"]);
}

#[test]
fn a_process_killed_at_any_byte_of_a_save_leaves_the_save_before_it() {
    let (_folder, path) = folder();
    lived(&path);
    let saved = fs::read(&path).expect("it is there").len();
    let store = store(&[("a", &ids(0..300))]);
    let mut file = StateFile::open(&path, &store, restarted(100)).expect("the file is good").file;
    for index in 0..3 {
        answer(&store, 0, index, restarted(110), true);
    }
    file.save(&store).expect("there is room");
    drop(file);
    let bytes = fs::read(&path).expect("it is there");
    assert_eq!(bytes.len(), saved + 12 + 5 + 33 * 3, "the save was appended");
    for cut in saved..=bytes.len() {
        fs::write(&path, &bytes[..cut]).expect("there is room");
        let store = self::store(&[("a", &ids(0..300))]);
        let opened = StateFile::open(&path, &store, restarted(200)).expect("the place is good");
        assert_eq!((opened.restored, &opened.set_aside), (300, &None), "cut at {cut}");
        assert_eq!(opened.torn, cut != saved && cut != bytes.len(), "cut at {cut}");
        let expected = if cut == bytes.len() { 1_700_000_110 } else { 1_700_000_010 };
        assert_eq!(view(&store, 0, "user-2", restarted(200)).last_seen_s, Some(expected), "cut at {cut}");
    }
}

#[test]
fn the_file_stays_within_a_multiple_of_what_its_targets_need() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..2000))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    for round in 1..200 {
        let row = |index| (RowId { source: 0, generation: 0, index }, Ok(Seen::online()));
        store.answered(at(round), &(0..2000).map(row).collect::<Vec<_>>());
        file.save(&store).expect("there is room");
        let length = fs::metadata(&path).expect("it is there").len();
        assert!(length < GROWTH_MIN + rows(2000), "{length} bytes after round {round}");
    }
    drop(file);
    let later = self::store(&[("a", &ids(0..2000))]);
    assert_eq!(StateFile::open(&path, &later, restarted(300)).expect("the file is good").restored, 2000);
    assert_eq!(view(&later, 0, "user-1999", restarted(300)).last_seen_s, Some(1_700_000_199));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What is told after damage is what some save said, and the end of a file is the only part that may be missed.
    #[test]
    fn a_damaged_file_never_stops_anybody_and_never_tells_what_was_not_so(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..64), 1..6),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let (_folder, path) = folder();
        lived(&path);
        let before = fs::read(&path).expect("it is there");
        let mut bytes = before.clone();
        for (place, value, length) in damage {
            let place = place.index(bytes.len());
            let end = (place + length).min(bytes.len());
            bytes[place..end].fill(value);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).expect("there is room");
        let store = store(&[("a", &ids(0..300))]);
        let mut opened = StateFile::open(&path, &store, restarted(100)).expect("the place is good");
        let known = view(&store, 0, "user-5", restarted(100)).last_seen_s;
        let whole = known == Some(1_700_000_010) && bytes == before;
        let told = opened.set_aside.is_some() || opened.torn;
        let ends_early = before.starts_with(&bytes) && known.is_none();
        prop_assert!(whole || (told && opened.restored == 0) || ends_early, "{known:?} {opened:?}");
        answer(&store, 0, 5, restarted(101), true);
        prop_assert_eq!(opened.file.save(&store), Ok(rows(1)));
    }
}
