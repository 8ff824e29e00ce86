//! What a page costs beside crate `prometheus`, in the same run: `cargo bench --bench exposition -- 100000`.
//!
//! Both hold the same targets with the same seven per-target families that `Seen::online` fills, and both write the text
//! format 0.0.4. Rounds take turns, and the median counts, so that a busy machine disturbs both alike. Printed are
//! nanoseconds a series, bytes of memory a series, and their ratio. Rows answer every line of a page, peer and ours.

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
use presence_exporter::exposition::{Format, Page};
use presence_exporter::store::{Installed, Store};
use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

/// Rounds of each; the median counts.
const ROUNDS: usize = 9;

const START: Moment = Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 };

fn id(number: u32) -> String {
    format!("user-{number:08}")
}

fn ours(targets: u32) -> Store {
    let mut roster = Roster::new(0, 0);
    for number in 0..targets {
        roster.push(&id(number), TargetLabels::default());
    }
    let policy = Policy::at_once(Duration::from_secs(300));
    let (name, kind, evidence) = ("measured".into(), Kind::User, Evidence::Reported);
    let spec = SourceSpec {
        name,
        provider: "openim",
        kind,
        evidence,
        platforms: false,
        policy,
        detection_delay: Duration::ZERO,
    };
    let store = Store::new();
    store.install(vec![Installed { spec, roster: Arc::new(roster) }]);
    let seen = Seen {
        connections: Some(1),
        started_ms: Some(START.unix_ms - 90_000),
        network_rtt_ms: Some(23),
        e2e_rtt_ms: Some(41),
        ..Seen::online()
    };
    let row = |index| (RowId { source: 0, generation: 0, index }, Ok(seen.clone()));
    store.answered(START, &(0..targets).map(row).collect::<Vec<_>>());
    store
}

/// One gauge vector for each family that our page has for these targets.
fn peer(targets: u32, families: &[String]) -> Registry {
    let registry = Registry::new();
    for family in families {
        let opts = Opts::new(family, "the same family, in the peer's registry");
        let gauge = GaugeVec::new(opts, &["source", "kind", "target"]).unwrap();
        for number in 0..targets {
            gauge.with_label_values(&["measured", "user", &id(number)]).set(1_700_000_000.5);
        }
        registry.register(Box::new(gauge)).unwrap();
    }
    registry
}

/// The bytes of a page, and its lines that are no comments.
fn page(store: &Store, now: Moment, each: &mut dyn FnMut(&[u8])) {
    let mut page = Page::new(store.snapshot(), now, Vec::new(), Format::Text);
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let more = page.next_piece(&mut piece);
        each(&piece);
        if !more {
            return;
        }
    }
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e9
}

fn main() {
    let targets = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(100_000_u32);
    let now = START.plus(Duration::from_secs(30));
    let before = resident_bytes();
    let store = ours(targets);
    let our_memory = resident_bytes() - before;
    let (mut text, mut series) = (Vec::new(), 0_u32);
    page(&store, now, &mut |piece| text.extend_from_slice(piece));
    let mut families: Vec<String> = Vec::new();
    for line in String::from_utf8(text).unwrap().lines().filter(|line| !line.starts_with('#')) {
        series += 1;
        let name = line.split('{').next().unwrap();
        if line.contains("target=") && families.last().is_none_or(|last| last != name) {
            families.push(name.to_owned());
        }
    }
    let before = resident_bytes();
    let registry = peer(targets, &families);
    let peer_memory = resident_bytes() - before;
    let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
    let (mut our_bytes, mut peer_bytes, mut first) = (0, 0, Duration::MAX);
    for _ in 0..ROUNDS {
        our_bytes = 0;
        let began = Instant::now();
        page(&store, now, &mut |piece| {
            if our_bytes == 0 {
                first = first.min(began.elapsed());
            }
            our_bytes += piece.len();
        });
        our_times.push(began.elapsed());
        let began = Instant::now();
        let mut out = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut out).unwrap();
        peer_times.push(began.elapsed());
        peer_bytes = out.len();
    }
    let peer_series = f64::from(targets) * f64::from(u32::try_from(families.len()).unwrap());
    let (our_ns, peer_ns) = (median(our_times) / f64::from(series), median(peer_times) / peer_series);
    let (our_memory, peer_memory) = (our_memory / f64::from(series), peer_memory / peer_series);
    println!("{targets} targets, {} families of theirs, {series} series", families.len());
    println!(
        "ours:       {our_ns:7.1} ns, {our_memory:6.1} B of memory a series; page {our_bytes} B, first piece {first:?}"
    );
    println!("prometheus: {peer_ns:7.1} ns, {peer_memory:6.1} B of memory a series; page {peer_bytes} B");
    println!("ratio:      {:7.1}     {:6.1}", peer_ns / our_ns, peer_memory / our_memory);
}
