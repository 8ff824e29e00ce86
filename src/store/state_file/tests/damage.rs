//! The file against what may happen to its bytes: it is restored whole, as some save left it, or set aside.

use proptest::prelude::*;

use super::*;
use crate::domain::{ConnKey, Saved};
use crate::store::first_seen::KeptStay;

/// Everything that a store knows and a file keeps.
#[derive(Debug, PartialEq, Default)]
struct Kept {
    rows: Vec<Option<Saved>>,
    stays: Vec<(u32, KeptStay)>,
    log_since_ms: Vec<Option<i64>>,
    memos: Vec<(String, Vec<u8>)>,
}

fn kept(store: &Store) -> Kept {
    let live = store.live();
    let mut kept = Kept::default();
    for source in &live.sources {
        kept.rows.extend(source.states().map(|state| state.saved(&source.spec.policy)));
        let stays = source.stays.iter().flat_map(|stays| stays.iter());
        let mut stays: Vec<_> = stays.map(|(index, stay)| (*index, stay.kept())).collect();
        stays.sort_by_key(|(index, _)| *index);
        kept.stays.extend(stays);
        kept.log_since_ms.push(source.log_since_ms);
    }
    kept.memos = live.memos.by_slot().map(|(_, name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    kept
}

fn sources() -> Store {
    store_of(&[("a", &ids(0..1300)), ("b", &ids(0..200))], 0, Evidence::FirstSeen)
}

fn tell(store: &Store, source: u16, indices: std::ops::Range<u32>, now: Moment, keys: &[u64]) {
    for index in indices {
        let conns = keys.iter().copied().map(ConnKey).collect();
        let seen = Seen { online: !keys.is_empty(), conns, ..Seen::default() };
        store.answered(now, &[(RowId { source, generation: 0, index }, Ok(seen))]);
    }
}

/// A file at three instants, and what it keeps: after one save; when the next one stands in the log; when it stands in the
/// file.
struct Saves {
    first: Vec<u8>,
    log: Vec<u8>,
    second: Vec<u8>,
    kept: [Kept; 2],
}

fn saves() -> Saves {
    let (folder, path) = folder();
    let store = sources();
    let mut file = StateFile::open(&path, &store, at(0)).expect("the place is good").file;
    tell(&store, 0, 0..1300, at(10), &[1]);
    tell(&store, 1, 0..150, at(11), &[5, 6]);
    store.log_read(0, 0, 77);
    assert!(store.keep_memo("spent", b"12") && store.keep_memo("long", &vec![3; 20_000]));
    file.save(&store, at(12)).expect("there is room");
    let first = kept(&store);
    let first_bytes = fs::read(&path).expect("it is there");
    tell(&store, 0, 100..700, at(20), &[]);
    tell(&store, 1, 150..200, at(21), &[5, 6, 7]);
    store.log_read(0, 0, 99);
    assert!(store.keep_memo("spent", b"13") && store.keep_memo("long", b""));
    // As a save does it, stopped before the log goes into the file.
    let live = store.live();
    let database = file.database.as_mut().expect("it is open");
    let last = &file.last.as_ref().expect("it was saved").0;
    database.commit(false, pieces::changes(Some(&**last), &live)).expect("there is room");
    let log = fs::read(folder.path().join("state-wal")).expect("it is there");
    assert_eq!(fs::read(&path).expect("it is there"), first_bytes);
    assert!(database.settle().expect("there is room") > 2 * log.len() as u64 - 10_000);
    assert_eq!(fs::read(folder.path().join("state-wal")).expect("it is there"), [0_u8; 0]);
    let second = fs::read(&path).expect("it is there");
    Saves { first: first_bytes, log, second, kept: [first, kept(&store)] }
}

/// What opening these bytes comes to: the number of the save that was restored, `None` when the file was set aside. It goes
/// on in any case.
fn open(saves: &Saves, file: &[u8], log: &[u8]) -> Option<usize> {
    let (folder, path) = folder();
    fs::write(&path, file).expect("there is room");
    if !log.is_empty() {
        fs::write(folder.path().join("state-wal"), log).expect("there is room");
    }
    let store = sources();
    let mut opened = StateFile::open(&path, &store, restarted(100)).expect("the place is good");
    let told = kept(&store);
    let found = saves.kept.iter().position(|kept| *kept == told);
    if opened.set_aside.is_some() || file.is_empty() {
        assert_eq!(told, kept(&sources()), "a file that is of no use says nothing: {:?}", opened.set_aside);
    } else {
        assert!(found.is_some(), "what was restored is what no save wrote");
    }
    // It can be saved to and read again.
    tell(&store, 0, 0..1, restarted(101), &[9]);
    assert!(opened.file.save(&store, restarted(101)).is_ok(), "there is room");
    let told = kept(&store);
    drop(opened);
    let again = sources();
    let reopened = StateFile::open(&path, &again, restarted(102)).expect("the place is good");
    assert_eq!(reopened.set_aside, None);
    assert_eq!(kept(&again), told);
    found
}

#[test]
fn a_process_killed_at_any_byte_of_a_save_leaves_that_save_or_the_one_before_it() {
    let saves = saves();
    let frame = 24 + 4096;
    let last_whole = 32 + (saves.log.len() - 32) / frame * frame;
    let cuts = (0..saves.log.len()).step_by(701).chain([32, last_whole - 1, last_whole]);
    for cut in cuts {
        let whole = usize::from(cut >= last_whole);
        assert_eq!(
            open(&saves, &saves.first, &saves.log[..cut]),
            Some(whole),
            "cut at {cut} of {last_whole}"
        );
    }
}

#[test]
fn a_save_that_was_never_completed_is_told() {
    let saves = saves();
    for (log, torn) in [(0, false), (saves.log.len() - 4120, true), (saves.log.len(), false)] {
        let (folder, path) = folder();
        fs::write(&path, &saves.first).expect("there is room");
        fs::write(folder.path().join("state-wal"), &saves.log[..log]).expect("there is room");
        let opened = StateFile::open(&path, &sources(), restarted(100)).expect("the place is good");
        assert_eq!((opened.torn, opened.set_aside), (torn, None), "{log} bytes of the log");
    }
}

#[test]
fn a_process_killed_while_the_log_goes_into_the_file_leaves_the_save() {
    let saves = saves();
    for page in (0..saves.second.len() / 4096).step_by(7) {
        let cut = page * 4096 + 1000;
        let behind = saves.first.get(cut..).unwrap_or_default();
        let file = [&saves.second[..cut.min(saves.second.len())], behind].concat();
        assert_eq!(open(&saves, &file, &saves.log), Some(1), "stopped in page {page}");
    }
}

#[test]
fn a_file_cut_short_is_set_aside() {
    let saves = saves();
    assert_eq!(open(&saves, &saves.second, &[]), Some(1));
    let cuts = (0..saves.second.len()).step_by(2039).chain([1, 99, 100, 512, saves.second.len() - 1]);
    for cut in cuts {
        assert_eq!(open(&saves, &saves.second[..cut], &[]), None, "cut at {cut}");
    }
}

#[test]
fn a_piece_that_is_lost_old_or_in_anothers_place_makes_a_file_of_no_use() {
    let saves = saves();
    let (_folder, old) = folder();
    fs::write(&old, &saves.first).expect("there is room");
    let old = format!("ATTACH '{}' AS old; ", old.display());
    let (rows, stays) = (key(kind::ROWS, 0, 2), key(kind::STAYS, 1, 0));
    let swap = format!(
        "UPDATE pieces SET key = -1 WHERE key = {rows}; UPDATE pieces SET key = {rows} WHERE key = {rows} + 1"
    );
    for sql in [
        format!("DELETE FROM pieces WHERE key = {stays}"),
        format!("{old} REPLACE INTO main.pieces SELECT * FROM old.pieces WHERE key = {rows}"),
        format!("{swap}; UPDATE pieces SET key = {rows} + 1 WHERE key = -1"),
    ] {
        let (_folder, path) = folder();
        fs::write(&path, &saves.second).expect("there is room");
        Database::open(&path).expect("the file is good").0.run(&sql);
        assert_eq!(open(&saves, &fs::read(&path).expect("it is there"), &[]), None, "{sql}");
    }
}

#[test]
fn damage_to_what_says_which_pages_are_free_is_found_before_a_save_writes_over_something() {
    let saves = saves();
    let mut file = saves.second.clone();
    // The second page says whose each page is.
    file[4096..8192].fill(0);
    assert_eq!(open(&saves, &file, &[]), None);
}

#[test]
fn a_file_of_a_newer_version_is_set_aside_and_left_whole() {
    let (folder, path) = folder();
    lived(&path);
    let (database, _) = Database::open(&path).expect("the file is good");
    database.say("user_version", database::VERSION + 1);
    drop(database);
    let before = fs::read(&path).expect("it is there");
    let later = store(&[("a", &ids(0..300))]);
    let opened = StateFile::open(&path, &later, at(50)).expect("the place is good");
    let (why, aside) = opened.set_aside.expect("the file is of no use");
    assert!(why.contains("version 2"), "{why}");
    assert_eq!((opened.restored, aside.file_name()), (0, Some("state.newer-1700000050".as_ref())));
    drop(opened.file);
    assert_eq!(names(&folder), ["state", "state.newer-1700000050"]);
    assert_eq!(fs::read(&aside).expect("it is there"), before);
}

#[test]
fn a_file_that_is_none_of_ours_is_set_aside_with_what_stands_beside_it() {
    let (folder, path) = folder();
    let (database, _) = Database::open(&path).expect("the place is good");
    database.say("application_id", 7);
    drop(database);
    let foreign = fs::read(&path).expect("it is there");
    drop(folder);
    for bytes in [b"x".to_vec(), vec![b'x'; 100_000], vec![0; 8192], foreign] {
        let (folder, path) = self::folder();
        fs::write(&path, bytes).expect("there is room");
        let store = store(&[("a", &ids(0..3))]);
        let opened = StateFile::open(&path, &store, at(50)).expect("the place is good");
        assert!(opened.set_aside.is_some());
        drop(opened.file);
        assert_eq!(names(&folder), ["state", "state.damaged-1700000050"]);
    }
}

#[test]
fn a_file_that_is_damaged_under_a_running_program_is_set_aside_and_begun_anew() {
    let (folder, path) = folder();
    lived(&path);
    let store = store(&[("a", &ids(0..300))]);
    let mut file = StateFile::open(&path, &store, restarted(100)).expect("the file is good").file;
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[4096..].fill(0x5a);
    fs::write(&path, &bytes).expect("there is room");
    // As after a save that failed: what SQLite remembers of the file hides the damage until it is opened anew.
    file.database = None;
    answer(&store, 0, 3, restarted(110), true);
    let said = file.save(&store, restarted(111)).expect_err("the file is damaged");
    assert!(said.contains("is damaged") && said.contains("damaged-1700000111"), "{said}");
    file.save(&store, restarted(121)).expect("the place is good");
    drop(file);
    assert_eq!(names(&folder), ["state", "state.damaged-1700000111"]);
    let later = self::store(&[("a", &ids(0..300))]);
    assert_eq!(StateFile::open(&path, &later, restarted(200)).expect("the file is good").restored, 300);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Some bytes of the file, of its log, or of both are others than were written, at any instant of a save; perhaps the
    /// end of the log is missing as well.
    #[test]
    fn damage_never_stops_anybody_and_never_tells_what_was_not_so(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..64), 0..6),
        in_log in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..64), 0..4),
        done in prop::option::of(any::<prop::sample::Index>()),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        thread_local!(static SAVES: Saves = saves());
        SAVES.with(|saves| {
            let done = done.map_or(0, |done| done.index(saves.second.len()));
            let behind = saves.first.get(done..).unwrap_or_default();
            let mut file = [&saves.second[..done], behind].concat();
            let mut log = saves.log.clone();
            for (bytes, damage) in [(&mut file, damage), (&mut log, in_log)] {
                for (place, value, length) in damage {
                    let place = place.index(bytes.len());
                    let end = (place + length).min(bytes.len());
                    bytes[place..end].fill(value);
                }
            }
            if let Some(cut) = cut {
                log.truncate(cut.index(log.len()));
            }
            open(saves, &file, &log);
        });
    }
}
