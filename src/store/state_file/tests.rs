//! The file against what may happen to its targets and its place; [`damage`] against what may happen to its bytes.

mod damage;

use std::time::Duration;

use super::database::Change;
use super::pieces::{key, kind};
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
    store_of(sources, 0, Evidence::Reported)
}

fn store_of(sources: &[(&str, &[String])], generation: u16, evidence: Evidence) -> Store {
    let store = Store::new();
    store.install(installed(sources, generation, evidence));
    store
}

fn installed(sources: &[(&str, &[String])], generation: u16, evidence: Evidence) -> Vec<Installed> {
    let installed = sources.iter().zip(0..).map(|((name, ids), number)| {
        let mut roster = Roster::new(number, generation);
        for id in *ids {
            assert!(roster.push(id, TargetLabels::default()));
        }
        let policy = Policy::at_once(Duration::from_secs(60));
        let (name, kind) = ((*name).into(), Kind::User);
        let spec = SourceSpec {
            name,
            provider: "openim",
            kind,
            evidence,
            platforms: false,
            policy,
            detection_delay: Duration::ZERO,
        };
        Installed { spec, roster: Arc::new(roster) }
    });
    installed.collect()
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

/// The pieces that the next save will write or drop, beside the sum.
fn changed(file: &StateFile, store: &Store) -> Vec<i64> {
    let (last, _) = file.last.as_ref().expect("something was saved");
    let live = store.live();
    let changed = pieces::changes(Some(&**last), &live).map(|change| match change {
        Change::Write(key, _) | Change::Drop(key) => key,
    });
    changed.collect()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("state");
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
    assert!(opened.file.save(&store, at(20)).expect("there is room") > 300 * 29);
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
fn a_save_writes_only_pieces_that_changed_and_nothing_when_none_did() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..3000)), ("b", &ids(0..10))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    assert_eq!(file.save(&store, at(1)), Ok(0));
    for index in [0, 127, 128, 2999] {
        answer(&store, 0, index, at(10), true);
    }
    answer(&store, 1, 3, at(10), true);
    let rows = |source, piece| key(kind::ROWS, source, piece);
    assert_eq!(changed(&file, &store), [rows(0, 0), rows(0, 1), rows(0, 23), rows(1, 0)]);
    assert!(file.save(&store, at(11)).expect("there is room") > 0);
    assert_eq!(file.save(&store, at(12)), Ok(0));
    store.failed(
        at(11),
        &mut (0..3000).map(|index| RowId { source: 0, generation: 0, index }),
        crate::domain::Fault::Timeout,
    );
    assert_eq!(file.save(&store, at(12)), Ok(0), "what is not kept is not written");
    store.log_read(1, 0, 5);
    assert_eq!(changed(&file, &store), [key(kind::SOURCE, 1, 0)]);
    // A page of rows, the page of the sum, perhaps one that leads to them; each into the log and into the file.
    answer(&store, 0, 1, at(12), false);
    let written = file.save(&store, at(13)).expect("there is room");
    assert!(written < 2 * 4 * 4200, "{written}");
}

#[test]
fn a_source_whose_targets_are_replaced_writes_its_own_pieces_and_goes_on() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..600)), ("b", &ids(0..200))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    for index in 0..200 {
        answer(&store, 1, index, at(10), true);
    }
    file.save(&store, at(10)).expect("there is room");
    // The first 128 stay, others follow, and the end goes; the other source's rows have to be answered again.
    let fewer: Vec<String> = ids(0..128).into_iter().chain(ids(900..1000)).collect();
    store.install(installed(&[("a", &fewer), ("b", &ids(0..200))], 1, Evidence::Reported));
    let changed = changed(&file, &store);
    let (ids_of, dropped) = (|source, piece| key(kind::IDS, source, piece), key(kind::IDS, 0, 4));
    assert!(
        !changed.contains(&ids_of(0, 0)) && changed.contains(&ids_of(0, 1)) && changed.contains(&dropped)
    );
    assert!(!changed.contains(&ids_of(1, 0)) && !changed.contains(&key(kind::SOURCE, 1, 0)));
    for (source, index) in [(0, 0), (0, 130), (1, 199)] {
        let row = RowId { source, generation: 1, index };
        store.answered(at(20), &[(row, Ok(Seen::online()))]);
    }
    file.save(&store, at(20)).expect("there is room");
    drop(file);
    let later = self::store(&[("a", &fewer), ("b", &ids(0..200))]);
    let opened = StateFile::open(&path, &later, restarted(100)).expect("the file is good");
    assert_eq!((opened.restored, opened.set_aside), (3, None));
    assert_eq!(view(&later, 0, "user-902", restarted(100)).last_seen_s, Some(1_700_000_020));
    assert_eq!(view(&later, 1, "user-199", restarted(100)).last_seen_s, Some(1_700_000_020));
}

#[test]
fn memos_go_on_with_the_rows() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..10))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    assert!(
        store.keep_memo("spent", b"12") && store.keep_memo("other", &vec![7; crate::store::MEMO_BYTES_MAX])
    );
    file.save(&store, at(1)).expect("there is room");
    assert!(
        store.keep_memo("spent", b"13") && store.keep_memo("other", b"") && store.keep_memo("third", b"3")
    );
    assert_eq!(changed(&file, &store), [key(kind::MEMO, 0, 0), key(kind::MEMO, 0, 1)]);
    file.save(&store, at(2)).expect("there is room");
    assert!(store.keep_memo("spent", b"lost with the process"));
    drop(file);
    for round in 0..2 {
        let later = self::store(&[("a", &ids(0..5 + round))]);
        let opened = StateFile::open(&path, &later, restarted(9)).expect("the file is good");
        assert_eq!(opened.set_aside, None);
        let memos = ["spent", "other", "third"].map(|name| later.memo(name));
        assert_eq!(memos, [Some(b"13".to_vec()), None, Some(b"3".to_vec())]);
    }
}

#[test]
fn pages_show_what_was_saved_and_nothing_else() {
    let (_folder, path) = folder();
    let store = store(&[("a", &ids(0..10))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    answer(&store, 0, 3, at(10), true);
    assert_eq!(view(&store, 0, "user-3", at(10)).last_seen_s, None);
    file.save(&store, at(10)).expect("there is room");
    assert_eq!(view(&store, 0, "user-3", at(10)).presence, Presence::Online);
}

#[test]
fn first_seen_times_go_on_and_end_with_their_stay() {
    let (_folder, path) = folder();
    let conn = |key| Seen { conns: vec![crate::domain::ConnKey(key)], ..Seen::online() };
    let first_seen = || store_of(&[("a", &ids(0..10))], 0, Evidence::FirstSeen);
    let tell = |store: &Store, index, now, seen: Seen| {
        store.answered(now, &[(RowId { source: 0, generation: 0, index }, Ok(seen))]);
    };
    let store = first_seen();
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    for index in 0..3 {
        tell(&store, index, at(10), conn(1));
    }
    file.save(&store, at(10)).expect("there is room");
    tell(&store, 1, at(20), Seen::offline());
    file.save(&store, at(10)).expect("there is room");
    drop(file);
    let later = first_seen();
    let mut file = StateFile::open(&path, &later, restarted(50)).expect("the file is good").file;
    tell(&later, 0, restarted(51), conn(1));
    tell(&later, 1, restarted(51), conn(1));
    tell(&later, 2, restarted(51), conn(2));
    file.save(&later, at(60)).expect("there is room");
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
    file.save(&store, at(10)).expect("there is room");
    answer(&store, 0, 3, at(107), true);
    assert_eq!(shown(107), Some(1_700_000_106), "the disk answers again");
}

#[test]
fn a_failed_save_holds_no_page_back_and_the_next_one_makes_up_for_it() {
    let (folder, path) = folder();
    let store = store(&[("a", &ids(0..300))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    answer(&store, 0, 3, at(10), true);
    file.save(&store, at(10)).expect("there is room");
    // The file is to be opened anew, and its place is gone.
    file.database = None;
    let elsewhere = folder.path().with_extension("moved");
    fs::rename(folder.path(), &elsewhere).expect("a folder can be renamed");
    answer(&store, 0, 299, at(10), true);
    let failed = file.save(&store, at(11)).expect_err("there is no such folder");
    assert!(failed.contains("cannot be opened"), "{failed}");
    assert_eq!(view(&store, 0, "user-299", at(10)).presence, Presence::Online);
    fs::rename(&elsewhere, folder.path()).expect("a folder can be renamed");
    assert_eq!(changed(&file, &store), [key(kind::ROWS, 0, 2)], "what is in the file is known still");
    file.save(&store, at(12)).expect("the place is good again");
    drop(file);
    let later = self::store(&[("a", &ids(0..300))]);
    assert_eq!(StateFile::open(&path, &later, restarted(100)).expect("the file is good").restored, 2);
}

#[test]
fn a_full_disk_is_said_and_nothing_that_was_saved_is_lost() {
    let (_folder, path) = folder();
    lived(&path);
    let store = store_of(&[("a", &ids(0..300))], 0, Evidence::FirstSeen);
    let mut file = StateFile::open(&path, &store, restarted(100)).expect("the file is good").file;
    file.database.as_ref().expect("it is open").fill();
    for index in 0..300 {
        let row = RowId { source: 0, generation: 0, index };
        let conns = (0..60).map(crate::domain::ConnKey).collect();
        store.answered(restarted(110), &[(row, Ok(Seen { conns, ..Seen::online() }))]);
    }
    let failed = file.save(&store, restarted(110)).expect_err("there is no room");
    assert!(failed.contains("cannot be read or written: database or disk is full"), "{failed}");
    assert_eq!(view(&store, 0, "user-299", restarted(110)).presence, Presence::Online);
    drop(file);
    let later = self::store(&[("a", &ids(0..300))]);
    let mut opened = StateFile::open(&path, &later, restarted(200)).expect("the file is good");
    assert_eq!((opened.restored, opened.set_aside), (300, None));
    assert_eq!(view(&later, 0, "user-2", restarted(200)).last_seen_s, Some(1_700_000_010));
    answer(&later, 0, 2, restarted(201), true);
    opened.file.save(&later, restarted(201)).expect("there is room again");
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
    assert_eq!(names(&folder), ["state"]);
}

#[test]
fn only_the_owner_can_read_the_file_and_nothing_is_left_beside_it_when_it_is_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = folder();
    let store = store(&[("a", &ids(0..3))]);
    let file = StateFile::open(&path, &store, at(0)).expect("the place is good");
    for name in names(&folder) {
        let mode = fs::metadata(folder.path().join(&name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(names(&folder), ["state", "state-wal"]);
    drop(file);
    assert_eq!(names(&folder), ["state"]);
}

#[test]
fn the_file_is_bounded_by_its_targets_and_gives_room_back() {
    let (folder, path) = folder();
    let store = store(&[("a", &ids(0..2000))]);
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    for round in 1..50 {
        let row = |index| (RowId { source: 0, generation: 0, index }, Ok(Seen::online()));
        store.answered(at(round), &(0..2000).map(row).collect::<Vec<_>>());
        file.save(&store, at(round)).expect("there is room");
        let length = |name| fs::metadata(folder.path().join(name)).expect("it is there").len();
        assert!(length("state") < 2000 * 70 && length("state-wal") == 0, "after round {round}");
    }
    drop(file);
    let later = self::store(&[("a", &ids(0..2000))]);
    assert_eq!(StateFile::open(&path, &later, restarted(300)).expect("the file is good").restored, 2000);
    assert_eq!(view(&later, 0, "user-1999", restarted(300)).last_seen_s, Some(1_700_000_049));
    let fewer = self::store(&[("a", &ids(0..10))]);
    assert_eq!(StateFile::open(&path, &fewer, restarted(300)).expect("the file is good").restored, 10);
    assert!(fs::metadata(&path).expect("it is there").len() < 10 * 4096);
}

#[test]
fn a_file_tells_the_ids_that_it_has_of_a_source_and_then_restores_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    assert_eq!(
        Earlier::open(&path, at(0)).unwrap().ids(&[("openim", "a".into())], at(0)).unwrap().1,
        [ids(0..0)]
    );
    let before = store(&[("a", &ids(0..300)), ("b", &ids(5..7))]);
    answer(&before, 0, 299, at(1), true);
    drop(StateFile::open(&path, &before, at(2)).unwrap());
    let earlier = Earlier::open(&path, at(3)).unwrap();
    let wanted = [("openim", "b"), ("openim", "c"), ("alibaba_mqtt", "a"), ("openim", "a")];
    let wanted = wanted.map(|(provider, name)| (provider, name.to_owned()));
    let (earlier, known) = earlier.ids(&wanted, at(3)).unwrap();
    assert_eq!(known, [ids(5..7), ids(0..0), ids(0..0), ids(0..300)]);
    let after = store(&[("a", &ids(299..300))]);
    assert_eq!(earlier.restore(&after, restarted(3)).unwrap().restored, 1);
    assert_eq!(view(&after, 0, "user-299", restarted(3)).last_seen_s, Some(1_700_000_001));
}

#[test]
fn a_file_of_no_use_is_set_aside_when_its_ids_are_asked_for_and_says_so_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let before = store(&[("a", &ids(0..300))]);
    let opened = StateFile::open(&path, &before, at(2)).unwrap();
    opened
        .file
        .database
        .as_ref()
        .unwrap()
        .run("DELETE FROM pieces WHERE key = (SELECT max(key) FROM pieces)");
    drop(opened);
    let (earlier, known) =
        Earlier::open(&path, at(3)).unwrap().ids(&[("openim", "a".into())], at(3)).unwrap();
    assert_eq!(known, [ids(0..0)]);
    let opened = earlier.restore(&before, at(3)).unwrap();
    let (why, to) = opened.set_aside.expect("it was damaged");
    assert!(why.contains("damaged") && to.is_file() && path.is_file(), "{why}");
}
