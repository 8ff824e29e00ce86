//! What a state file costs at so many targets: `cargo bench --bench state_file -- 1000000`.
//!
//! Prints bytes written, time and memory for the first save, for rounds of answers that are booked and saved in pieces
//! as a second of polling brings them, and for the start after that.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on ends, and measures time"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use presence_exporter::domain::{
    Evidence, Kind, Moment, Policy, Roster, RowId, Seen, SourceSpec, TargetLabels, Tick,
};
use presence_exporter::store::{Installed, StateFile, Store};

/// Seconds in which each target is asked about once.
const INTERVAL: u32 = 60;

/// Rounds that are measured.
const ROUNDS: u32 = 5;

fn store(targets: u32) -> Store {
    let mut roster = Roster::new(0, 0);
    for n in 0..targets {
        roster.push(&format!("user-{n:08}"), TargetLabels::default());
    }
    let policy = Policy::at_once(Duration::from_secs(300));
    let (name, kind) = ("measured".into(), Kind::User);
    let spec =
        SourceSpec { name, provider: "openim", kind, evidence: Evidence::Reported, platforms: false, policy };
    let store = Store::new();
    store.install(vec![Installed { spec, roster: Arc::new(roster) }]);
    store
}

/// Resident memory now and at most, in MB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn main() {
    let targets = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(100_000_u32);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let start = Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 };
    let live = store(targets);
    println!("{targets} targets: {:?} MB before the file is opened", memory());
    let began = Instant::now();
    let mut file = StateFile::open(&path, &live, start).unwrap().file;
    println!("opened anew in {:?}, file {} bytes", began.elapsed(), std::fs::metadata(&path).unwrap().len());
    for round in 0..ROUNDS {
        let (mut bytes, mut slowest, mut booked) = (0, Duration::ZERO, Duration::ZERO);
        for second in 0..INTERVAL {
            let now = start.plus(Duration::from_secs((round * INTERVAL + second).into()));
            let part = targets / INTERVAL;
            let rows: Vec<_> = (second * part..(second + 1) * part)
                .map(|index| (RowId { source: 0, generation: 0, index }, Ok(Seen::online())))
                .collect();
            let began = Instant::now();
            live.answered(now, &rows);
            booked += began.elapsed();
            let began = Instant::now();
            bytes += file.save(&live).unwrap();
            slowest = slowest.max(began.elapsed());
        }
        let length = std::fs::metadata(&path).unwrap().len();
        println!(
            "round {round}: {bytes} bytes written, slowest save {slowest:?}, booking {booked:?}, file {length} bytes, \
             memory (now, most) {:?} MB",
            memory()
        );
    }
    drop((file, live));
    let again = store(targets);
    let began = Instant::now();
    let opened = StateFile::open(&path, &again, start.plus(Duration::from_secs(1000))).unwrap();
    println!("restored {} targets in {:?}, {:?} MB", opened.restored, began.elapsed(), memory());
}
