//! How long it takes to read a large configuration and to plan it, beside the second that is the limit:
//! `cargo bench --bench plan -- 1000000`.
//!
//! A file of so many targets is read by one source, by one with a cadence, and by two in different rhythms that ask the same
//! about it. Printed are the median of several runs, of reading and of planning, and the whole as a part of the limit.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on ends, and measures time"
)]

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use presence_exporter::ports::Env;
use presence_exporter::providers::configure::configure;
use presence_exporter::scheduler::plan::{Assumptions, Inputs};

/// How long a plan may take, reading included.
const LIMIT: Duration = Duration::from_secs(1);

/// Runs of each; the median counts.
const ROUNDS: usize = 5;

/// The list of targets, whatever its name.
struct Listed(String);

impl Env for Listed {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, _: &Path, _: u64) -> io::Result<String> {
        Ok(self.0.clone())
    }
}

const ONE: &str = "  users: {SOURCE, interval: 5m}\n";
const LIVELY: &str = "  users: {SOURCE, interval: 5m, cadence: {fastest: 1m, slowest: 20m}}\n";
const TWO: &str = "  fast: {SOURCE, interval: 5m}\n  slow: {SOURCE, interval: 20m}\n";

fn yaml(sources: &str) -> String {
    let account = "{cloud: volcengine, access_key_id: k, access_key_secret: s, requests_per_second: 100}";
    let source = "account: a, provider: volcengine_rtc, app_id: 100534, files: [users.txt]";
    format!("accounts:\n  a: {account}\nsources:\n{}", sources.replace("SOURCE", source))
}

fn main() {
    let targets = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let mut list = String::new();
    for number in 0..targets {
        writeln!(list, "7290000{number:09}").unwrap();
    }
    let env: Arc<dyn Env> = Arc::new(Listed(list));
    println!("{targets} targets, limit {LIMIT:?}");
    for (name, sources) in [("one source", ONE), ("with a cadence", LIVELY), ("in two rhythms", TWO)] {
        let mut times: Vec<(Duration, Duration)> =
            (0..ROUNDS).map(|_| measure(&yaml(sources), &env)).collect();
        times.sort_unstable_by_key(|(reading, planning)| *reading + *planning);
        let (reading, planning) = times[ROUNDS / 2];
        let part = (reading + planning).as_secs_f64() / LIMIT.as_secs_f64();
        println!("{name:15} reading {reading:8.1?}  planning {planning:8.1?}  {part:.2} of the limit");
    }
}

fn measure(yaml: &str, env: &Arc<dyn Env>) -> (Duration, Duration) {
    let began = Instant::now();
    let configuration =
        configure(yaml, env, Path::new(""), 0).unwrap_or_else(|problems| panic!("{problems:?}"));
    let read = began.elapsed();
    let began = Instant::now();
    let plan = Inputs::of(&configuration).plan(&Assumptions::default());
    let planned = began.elapsed();
    assert!(plan.calls.floor.hour > 0, "nothing was planned");
    (read, planned)
}
