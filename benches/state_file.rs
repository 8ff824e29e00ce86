//! What a state file costs at so many targets: `cargo bench --bench state_file -- 1000000`.
//!
//! Half of the targets belong to a provider that says nothing of when connections began, so that their first-seen times are
//! kept too: one connection each, in every round another one for a tenth of them.
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
    ConnKey, Evidence, Kind, Moment, Policy, Roster, RowId, Seen, SourceSpec, TargetLabels, Tick,
};
use presence_exporter::store::{Installed, StateFile, Store};

/// Seconds in which each target is asked about once.
const INTERVAL: u32 = 60;

/// Rounds that are measured.
const ROUNDS: u32 = 5;

/// Each of two sources has half of the targets.
fn store(targets: u32) -> Store {
    let source = |number: u16, provider, evidence| {
        let mut roster = Roster::new(number, 0);
        for n in 0..targets / 2 {
            roster.push(&format!("user-{n:08}"), TargetLabels::default());
        }
        let policy = Policy::at_once(Duration::from_secs(300));
        let (kind, detection_delay) = (Kind::User, Duration::ZERO);
        let name = format!("measured-{number}").into();
        let spec = SourceSpec { name, provider, kind, evidence, platforms: false, policy, detection_delay };
        Installed { spec, roster: Arc::new(roster) }
    };
    let store = Store::new();
    store.install(vec![
        source(0, "alibaba_mqtt", Evidence::Reported),
        source(1, "openim", Evidence::FirstSeen),
    ]);
    store
}

/// What the round's answer says of a target: online, on one connection.
fn seen(round: u32, index: u32) -> Seen {
    let changed = (0..=round).rev().find(|round| index % 10 == round % 10).unwrap_or(0);
    Seen { conns: vec![ConnKey(u64::from(index) << 8 | u64::from(changed))], ..Seen::online() }
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

/// Bytes that this process caused to be sent to the disk.
fn written() -> u64 {
    let counters = std::fs::read_to_string("/proc/self/io").unwrap();
    counters.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

fn main() {
    let targets = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(100_000_u32);
    #[allow(clippy::cast_precision_loss, reason = "to be looked at")]
    let each = |bytes: u64| bytes as f64 / f64::from(targets / 2 / INTERVAL * 2 * INTERVAL);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let start = Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 };
    let live = store(targets);
    println!("{targets} targets: {:?} MB before the file is opened", memory());
    let began = Instant::now();
    let disk = written();
    let mut file = StateFile::open(&path, &live, start).unwrap().file;
    println!(
        "opened anew in {:?}, file {} bytes, {} bytes written",
        began.elapsed(),
        std::fs::metadata(&path).unwrap().len(),
        written() - disk
    );
    for round in 0..ROUNDS {
        let (mut bytes, mut slowest, mut booked) = (0, Duration::ZERO, Duration::ZERO);
        let disk = written();
        for second in 0..INTERVAL {
            let now = start.plus(Duration::from_secs((round * INTERVAL + second).into()));
            let part = targets / 2 / INTERVAL;
            let rows: Vec<_> = [0, 1]
                .into_iter()
                .flat_map(|source| (second * part..(second + 1) * part).map(move |index| (source, index)))
                .map(|(source, index)| (RowId { source, generation: 0, index }, Ok(seen(round, index))))
                .collect();
            let began = Instant::now();
            live.answered(now, &rows);
            booked += began.elapsed();
            let began = Instant::now();
            bytes += file.save(&live, now).unwrap();
            slowest = slowest.max(began.elapsed());
        }
        let length = std::fs::metadata(&path).unwrap().len();
        println!(
            "round {round}: {bytes} bytes written ({:.0} a target; the system says {:.0}), slowest save {slowest:?}, \
             booking {booked:?}, file {length} bytes, memory (now, most) {:?} MB",
            each(bytes),
            each(written() - disk),
            memory()
        );
    }
    drop((file, live));
    let again = store(targets);
    let began = Instant::now();
    let opened = StateFile::open(&path, &again, start.plus(Duration::from_secs(1000))).unwrap();
    println!("restored {} targets in {:?}, {:?} MB", opened.restored, began.elapsed(), memory());
}
