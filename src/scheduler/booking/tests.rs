//! What follows from passes over a log: watermarks, and sessions that count once.

use super::*;
use crate::domain::{Evidence, Kind, Outcome, Policy, SourceSpec};
use crate::ports::BoxFuture;
use crate::providers::{Action, Costs, Net, Provider, Question, huawei_workspace};
use crate::scheduler::Member;
use crate::scheduler::plan::Rhythm;
use crate::store::Installed;
use crate::telemetry::Telemetry;

const NOW_MS: i64 = 1_772_330_584_000;
const MINUTE: Duration = Duration::from_secs(60);

static LOG: Action = Action {
    name: "Log",
    ids_per_call: 0,
    limits: &[],
    lag: Duration::ZERO,
    billed: false,
    source: "a test",
};

struct Unasked;

impl Provider for Unasked {
    fn round(&self) -> Vec<Step> {
        vec![Step::Log { action: &LOG, reread: MINUTE * 60 }]
    }

    fn costs(&self) -> Costs {
        Costs::of([])
    }

    fn ask<'a>(&'a self, _: Question<'a>, _: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async { Err(Failure::new(Fault::Rejected, "nobody asks in these tests")) })
    }
}

struct Bench {
    book: Book,
    sources: Vec<PoolTask>,
    store: Store,
    line: Line,
    breaker: Breaker,
    telemetry: Telemetry,
}

fn at(seconds: u64) -> Moment {
    let start = Moment { tick: Tick::from_micros(1_000_000), unix_ms: NOW_MS };
    start.plus(Duration::from_secs(seconds))
}

fn bench() -> Bench {
    let telemetry = Telemetry::new("0", "test", "test");
    let roster = Arc::new(Roster::new(0, 0));
    let source = PoolTask {
        name: Arc::from("desks"),
        kind: &huawei_workspace::KIND,
        provider: Arc::new(Unasked),
        steps: Unasked.round(),
        roster: roster.clone(),
        members: vec![Member {
            name: Arc::from("desks"),
            roster: roster.clone(),
            lens: 0,
            interval: MINUTE,
            max_age: None,
            listing: None,
            sessions: Some(Arc::new(telemetry.sessions("desks", "huawei_workspace", "desktop"))),
        }],
        faster: Vec::new(),
        slower: Vec::new(),
        requests: 1,
        interval: MINUTE,
        cadence: None,
        priority: crate::domain::Priority::Normal,
        timeout: MINUTE,
    };
    let mut line = Line::default();
    line.add(Rhythm::Sequence, 1, 0, MINUTE, at(0).tick);
    let sources = vec![source];
    let book = Book::new(Arc::from("main"), &sources);
    let spec = SourceSpec {
        name: Arc::from("desks"),
        provider: "huawei_workspace",
        kind: Kind::Desktop,
        evidence: Evidence::Reported,
        platforms: false,
        policy: Policy::at_once(MINUTE * 3),
        detection_delay: MINUTE,
    };
    let store = Store::new();
    store.install(vec![Installed { spec, roster }]);
    Bench { book, sources, store, line, breaker: Breaker::default(), telemetry }
}

impl Bench {
    /// A pass over the log that began at this second and took ten.
    fn pass(&mut self, second: u64, result: Result<Answer, Failure>) {
        let job = Job { pool: 0, ask: Ask::Step(0), attempt: 0, round: None };
        let receipt = Receipt { as_of: Some(at(second + 1)), ..Receipt::default() };
        let roster = self.sources[0].roster.clone();
        let done =
            Done { job, roster, rows: vec![], began: at(second), ended: at(second + 10), result, receipt };
        let Self { book, sources, store, line, breaker, .. } = self;
        book.settle(&done, sources, store, line, breaker, 0);
    }

    /// When the last complete pass began.
    fn since_ms(&self) -> Option<i64> {
        self.store.log_since_ms(0, 0)
    }

    /// How many set-ups were counted.
    fn set_up(&self) -> u64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == "presence_session_setup_seconds");
        family.map_or(0, |family| family.get_metric()[0].get_histogram().get_sample_count())
    }
}

fn answer(started_s: &[u64]) -> Answer {
    let session = |&second: &u64| Session {
        key: second,
        started_ms: at(second).unix_ms,
        ended_ms: None,
        outcome: Outcome::Established,
        setup: Some(Duration::from_secs(1)),
        network_rtt_ms: None,
    };
    Answer {
        sessions: started_s.iter().map(session).map(|session| (0, session)).collect(),
        ..Answer::default()
    }
}

#[test]
fn a_failed_pass_leaves_the_watermark_and_a_complete_one_moves_it_to_its_own_beginning() {
    let mut bench = bench();
    let lost = || Err(Failure::new(Fault::Timeout, "lost"));
    bench.pass(0, lost());
    assert_eq!(bench.since_ms(), None);
    bench.pass(60, Ok(answer(&[])));
    let since = bench.since_ms();
    assert_eq!(since, Some(at(61).unix_ms), "when the first request left, not when the answer was there");
    bench.pass(120, lost());
    bench.pass(180, lost());
    assert_eq!(bench.since_ms(), since);
    bench.pass(240, Ok(answer(&[])));
    assert_eq!(bench.since_ms(), Some(at(241).unix_ms));
}

#[test]
fn sessions_count_from_the_first_pass_on_be_it_a_failed_one_and_once_each() {
    let mut bench = bench();
    bench.pass(100, Err(Failure::new(Fault::Timeout, "lost")));
    bench.pass(200, Ok(answer(&[50, 99, 100, 150])));
    assert_eq!(bench.set_up(), 2, "what began before this process is history");
    bench.pass(260, Ok(answer(&[150, 100, 210, 150])));
    assert_eq!(bench.set_up(), 3);
}

#[test]
fn a_resumed_watermark_lets_sessions_count_that_began_while_no_process_ran() {
    let mut bench = bench();
    bench.store.log_read(0, 0, at(100).unix_ms);
    bench.book.resume(&bench.sources, &bench.store);
    bench.pass(500, Ok(answer(&[99, 100, 300, 499])));
    assert_eq!(bench.set_up(), 3);
}
