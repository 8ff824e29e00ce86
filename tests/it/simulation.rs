//! The whole exporter, polled on virtual time against all five simulated APIs in process: thousands of short histories, each
//! made from its seed, with faults of every kind. The judge knows the simulated world and what went over the wire.
//!
//! A history that fails names its seed and one command that plays it again.

mod history;
mod judge;
pub mod play;
mod stopped;
pub mod wire;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use play::{Played, play};

/// How many histories are played unless `PRESENCE_HISTORIES` says so.
const HISTORIES: u64 = 2_000;

/// Threads that play histories.
const THREADS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "the one who replays a history must be able to name it")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn in_thousands_of_histories_nobody_is_ever_shown_as_what_they_were_not() {
    let histories = number("PRESENCE_HISTORIES").unwrap_or(HISTORIES);
    let first = number("PRESENCE_FIRST_SEED").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let played: Mutex<Played> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + histories || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    match play(seed) {
                        Ok(one) => played.lock().unwrap().add(&one),
                        Err(why) => failed.lock().unwrap().push((seed, why)),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some((seed, why)) = failed.iter().min_by_key(|(seed, _)| *seed) {
        panic!(
            "{why}\nplay it again: PRESENCE_SEED={seed} cargo test --test it simulation::replay -- --nocapture\n"
        );
    }
    let played = played.into_inner().unwrap();
    println!("{played:?}");
    assert!(played.went_wrong > 0 || histories < 10, "a simulation in which nothing goes wrong: {played:?}");
}

#[test]
fn replay() {
    let seed = number("PRESENCE_SEED").unwrap_or(0);
    match play(seed) {
        Ok(played) => println!("seed {seed}: {played:?}"),
        Err(why) => panic!("seed {seed}: {why}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [1, 2, 3] {
        assert_eq!(play(seed).unwrap(), play(seed).unwrap(), "{seed}");
    }
}
