//! What goes wrong for a while: every target becomes unknown for the right reason, nobody turns offline, and the truth
//! comes back with the answers.

use std::time::Duration;

use presence_exporter::domain::Fault;
use presence_exporter::domain::presence::{Presence, View};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::Trouble;
use presence_exporter::simulator::Incident;
use presence_exporter::simulator::faults::Kind;

use super::{But, together};
use crate::stage::{MAX_AGE, Script, Stage, reason};

/// One kind of failure.
struct Failing {
    kind: Kind,
    reason: But<Fault>,
    /// Where it says something else when it strikes the very first request.
    first: &'static [(&'static str, Fault, &'static str)],
}

impl Failing {
    const fn new(kind: Kind, reason: Fault) -> Self {
        Self { kind, reason: But { all: reason, but: &[] }, first: &[] }
    }

    const fn but(mut self, but: &'static [(&'static str, Fault, &'static str)]) -> Self {
        self.reason.but = but;
        self
    }

    fn first(&self, provider: &str) -> Fault {
        let own = self.first.iter().find(|(name, ..)| *name == provider);
        own.map_or_else(|| self.reason.of(provider), |(_, own, _)| *own)
    }
}

/// What a page prints of every target, but for the time of its last poll.
fn printed(stage: &Stage) -> Vec<(String, View)> {
    let sources = stage.sources();
    let views = sources.iter().flat_map(|(source, _)| stage.views(source));
    views.map(|(id, view)| (id, View { observed_s: None, ..view })).collect()
}

/// From the start, then lifted, then again, then lifted.
fn check(case: &Failing) {
    let mut script = Script::default();
    script.options.faults = vec![Incident::always("all", case.kind)];
    if case.reason.all == Fault::Timeout {
        script.setup.timeout = Duration::from_secs(1);
    }
    let stage = script.play();
    for (source, population) in stage.sources() {
        stage.wait_for_unknown(&source, reason(case.first(population.provider)));
    }
    stage.lift();
    stage.wait_for_truth();
    stage.strike(case.kind);
    // Refused accounts pause for a minute, then for two. Once they are asked again, nothing good is under way any more.
    wait_for_failed_polls(&stage, Duration::ZERO);
    // A refused key costs four requests in five minutes at most, and where a token is renewed two polls are that many.
    let last = if case.reason.all == Fault::Unauthorized {
        61
    } else {
        wait_for_failed_polls(&stage, Duration::from_secs(61));
        121
    };
    let before = printed(&stage);
    wait_for_failed_polls(&stage, Duration::from_secs(last));
    let after = printed(&stage);
    for (before, after) in before.into_iter().zip(after) {
        let known = !matches!(before.1.presence, Presence::Unknown(_));
        assert!(
            known && before == after,
            "{}: a failed poll changed {before:?} to {after:?}",
            case.kind.name()
        );
    }
    stage.leap(MAX_AGE + Duration::from_secs(1));
    for (source, population) in stage.sources() {
        stage.wait_for_unknown(&source, reason(case.reason.of(population.provider)));
        let bare =
            |view: &View| view.connections.is_none() && view.started_s.is_none() && view.e2e_rtt_ms.is_none();
        assert!(
            stage.views(&source).iter().all(|(_, view)| bare(view)),
            "{source}: {:?}",
            stage.views(&source)
        );
    }
    stage.lift();
    stage.wait_for_truth();
}

/// Leaps, and waits until each cloud has been asked once more.
fn wait_for_failed_polls(stage: &Stage, leap: Duration) {
    let before = struck(stage);
    stage.wait_for_failures();
    stage.leap(leap);
    stage.wait("failed polls at every cloud", || {
        let now = struck(stage);
        let all = now.iter().zip(&before).all(|(now, before)| now > before);
        if all { Ok(()) } else { Err(format!("{before:?}, then {now:?}")) }
    });
    stage.wait_for_failures();
}

/// How many requests of each cloud were struck.
fn struck(stage: &Stage) -> Vec<usize> {
    let entries = stage.simulator.record().entries();
    let count = |cloud| entries.iter().filter(|entry| entry.cloud == cloud && entry.fault.is_some()).count();
    stage.simulator.addresses().into_iter().map(|(cloud, _)| count(cloud)).collect()
}

const NO_TOKEN: &str = "the first request is for a token, and who gets none has no right credentials";

#[test]
fn a_provider_that_says_no_makes_everybody_unknown_and_nobody_offline() {
    let worded = |trouble, reason| Failing::new(Kind::Worded(trouble), reason);
    together(
        &[
            worded(Trouble::ServerError, Fault::ServerError),
            worded(Trouble::ErrorUnder200, Fault::ServerError).but(&[(
                "volcengine_rtc",
                Fault::Throttled,
                "what it says under status 200 is AccountFlowLimitExceeded",
            )]),
            Failing {
                first: &[("openim", Fault::Unauthorized, NO_TOKEN)],
                ..worded(Trouble::Forbidden, Fault::Forbidden)
            },
            worded(Trouble::Unauthorized, Fault::Unauthorized),
            worded(Trouble::Throttled { retry_after_s: None }, Fault::Throttled),
            worded(Trouble::Throttled { retry_after_s: Some(2) }, Fault::Throttled),
        ],
        check,
    );
}

#[test]
fn an_answer_that_is_none_makes_everybody_unknown_and_nobody_offline() {
    together(
        &[
            Failing::new(Kind::Worded(Trouble::WrongType), Fault::BadAnswer),
            Failing::new(Kind::Worded(Trouble::MissingField), Fault::BadAnswer),
            Failing::new(Kind::Html, Fault::ServerError),
            Failing::new(Kind::NotJson, Fault::BadAnswer),
            // Whoever reads it to its end runs out of time, if not of memory.
            Failing::new(Kind::Giant(1 << 44), Fault::BadAnswer),
        ],
        check,
    );
}

#[test]
fn a_broken_or_silent_connection_makes_everybody_unknown_and_nobody_offline() {
    together(
        &[
            Failing::new(Kind::Reset, Fault::Unreachable),
            Failing::new(Kind::ResetInBody, Fault::Unreachable),
            Failing::new(Kind::Truncated, Fault::Unreachable),
            Failing::new(Kind::Hang, Fault::Timeout),
            Failing::new(Kind::Drip(Duration::from_secs(3_000)), Fault::Timeout),
            Failing::new(Kind::Slow(Duration::from_secs(3_000)), Fault::Timeout),
        ],
        check,
    );
}

#[test]
fn a_slow_answer_within_the_timeout_is_an_answer() {
    let stage = Script::default().play();
    stage.strike(Kind::Slow(Duration::from_millis(100)));
    stage.wait_for_truth();
    stage.strike(Kind::Drip(Duration::from_millis(100)));
    stage.wait_for_truth();
}

#[test]
fn a_provider_that_is_down_is_unreachable_until_it_is_up() {
    let stage = Script { doors: true, ..Script::default() }.play();
    let unreachable = || {
        for (source, _) in stage.sources() {
            stage.wait_for_unknown(&source, reason(Fault::Unreachable));
        }
    };
    unreachable();
    stage.doors().open_all();
    stage.wait_for_truth();
    stage.doors().shut_all();
    stage.leap(MAX_AGE + Duration::from_secs(1));
    unreachable();
    stage.doors().open_all();
    stage.wait_for_truth();
}

#[test]
fn while_one_account_fails_the_others_go_on() {
    let mut clouds: Vec<&str> = REGISTRY.iter().map(|kind| kind.cloud().name).collect();
    clouds.dedup();
    together(&clouds, |cloud| {
        let stage = Script::default().play();
        stage.wait_for_truth();
        let refused = Kind::Worded(Trouble::Unauthorized);
        stage.simulator.set_faults(vec![Incident::always(*cloud, refused)]);
        stage.leap(MAX_AGE + Duration::from_secs(1));
        let since = stage.now();
        let fails = |provider: &str| {
            REGISTRY.iter().any(|kind| kind.name() == provider && kind.cloud().name == *cloud)
        };
        let sources = stage.sources();
        let (ill, well): (Vec<_>, Vec<_>) = sources.iter().partition(|(_, p)| fails(p.provider));
        let well: Vec<&str> = well.iter().map(|(name, _)| name.as_str()).collect();
        assert!(!ill.is_empty() && !well.is_empty());
        stage.wait_for_truth_of(&well, since);
        for (source, _) in ill {
            stage.wait_for_unknown(source, reason(Fault::Unauthorized));
        }
        for source in well {
            assert!(
                stage.views(source).iter().all(|(_, view)| !matches!(view.presence, Presence::Unknown(_)))
            );
        }
    });
}
