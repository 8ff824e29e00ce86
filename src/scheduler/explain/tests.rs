//! Words about targets, from rows and notes made by hand.

use super::*;
use crate::domain::{Evidence, Kind, Policy, Seen, TargetLabels};
use crate::scheduler::board::{Coming, Paused};

const NOW: Moment = Moment { tick: Tick::from_micros(100_000_000), unix_ms: 1_700_000_100_000 };

fn spec(policy: Policy) -> SourceSpec {
    let (provider, kind, evidence) = ("test", Kind::Device, Evidence::None);
    SourceSpec {
        name: "source".into(),
        provider,
        kind,
        evidence,
        platforms: false,
        policy,
        detection_delay: Duration::ZERO,
    }
}

fn about(coming: Coming, paused: Option<Paused>) -> About {
    About {
        together: std::sync::Arc::from([]),
        left_to_faster: false,
        account: "account".into(),
        interval: Duration::from_secs(10),
        priority: crate::domain::Priority::Normal,
        left_out: (0, 50),
        place: Place::Batch { number: 2, of: 5, from: 20, to: 30 },
        turn: None,
        answers: Vec::new(),
        failures: Vec::new(),
        coming,
        paused,
        clock_ahead: None,
    }
}

fn said(state: &State, about: &About, policy: Policy) -> Explanation {
    let mut roster = Roster::new(0, 0);
    roster.push("a", TargetLabels::default());
    explain(&Subject { spec: &spec(policy), roster: &roster, index: 0, state, about }, NOW)
}

fn regular(after_s: u64) -> About {
    about(Coming::Regular(NOW.tick + Duration::from_secs(after_s)), None)
}

const MINUTE: Policy = Policy::at_once(Duration::from_secs(60));

#[test]
fn every_fault_is_named_as_the_reason_with_what_to_do() {
    for fault in Fault::ALL {
        let mut state = State::default();
        state.failed(NOW, fault);
        let never = said(&state, &regular(1), MINUTE);
        assert_eq!((never.state.as_str(), never.reason.as_deref()), ("unknown", Some(fault.as_str())));
        assert!(never.because.starts_with("no answer about it has come yet"), "{}", never.because);
        assert!(never.changes.iter().any(|change| change == remedy(fault)), "{:?}", never.changes);
        let mut state = State::default();
        let old = Moment { tick: NOW.tick.back(Duration::from_secs(61)), unix_ms: NOW.unix_ms - 61_000 };
        state.answered(old, &Seen::online(), &MINUTE);
        state.failed(NOW, fault);
        let expired = said(&state, &regular(1), MINUTE);
        assert_eq!(expired.reason.as_deref(), Some(fault.as_str()));
        assert!(expired.because.contains("older than max_age (1m)"), "{}", expired.because);
        let observed = expired.observed.expect("it was observed once");
        assert_eq!((observed.raw, observed.age_seconds), (None, Some(61.0)));
        assert_eq!(observed.expires.as_deref(), Some("2023-11-14T22:14:59.000Z"));
    }
}

#[test]
fn who_was_never_asked_about_is_told_so() {
    let never = said(&State::default(), &regular(3), MINUTE);
    assert_eq!(never.reason.as_deref(), Some("never_polled"));
    assert_eq!((never.observed, never.evidence, never.last_seen), (None, None, None));
    assert_eq!(never.next.at.as_deref(), Some("2023-11-14T22:15:03.000Z"));
    assert_eq!(never.next.why, "it is in batch 3 of 5, which are spread over the interval of 10s");
}

#[test]
fn what_is_overdue_comes_now_at_the_earliest_and_never_before_a_pause_is_over() {
    let late = about(Coming::Regular(Tick::ZERO), None);
    assert_eq!(said(&State::default(), &late, MINUTE).next.at.as_deref(), Some("2023-11-14T22:15:00.000Z"));
    let paused = Paused { until: NOW.tick + Duration::from_secs(7), fault: Fault::ClockSkew };
    let next = said(&State::default(), &about(Coming::Retry(NOW.tick, 1), Some(paused)), MINUTE).next;
    assert_eq!((next.at.as_deref(), next.at == next.paused_until), (Some("2023-11-14T22:15:07.000Z"), true));
    assert!(next.why.contains("try 2 of 3") && next.why.ends_with("(clock_skew)"), "{}", next.why);
    // A turn after the pause is not moved by it.
    let after = said(
        &State::default(),
        &about(Coming::Regular(NOW.tick + Duration::from_secs(9)), Some(paused)),
        MINUTE,
    );
    assert_eq!(after.next.at.as_deref(), Some("2023-11-14T22:15:09.000Z"));
    let under_way = said(&State::default(), &about(Coming::UnderWay(NOW), None), MINUTE).next;
    assert_eq!((under_way.at, under_way.kind.as_str()), (None, "under_way"));
}

#[test]
fn delays_are_told_with_what_would_change_a_state() {
    let policy = Policy { leave: Duration::from_secs(90), ..MINUTE };
    let mut state = State::default();
    state.answered(NOW, &Seen::online(), &policy);
    let online = said(&state, &regular(1), policy);
    assert_eq!(online.changes[0], "answers that say offline for 1m 30s make it offline");
    assert_eq!(
        online.changes[1],
        "without any further answer it becomes unknown after 2023-11-14T22:16:00.000Z"
    );
    let mut state = State::default();
    state.answered(NOW, &Seen::offline(), &policy);
    assert_eq!(said(&state, &regular(1), policy).changes[0], "an answer that says online makes it online");
}

#[test]
fn a_target_that_is_left_to_a_faster_source_says_so() {
    let names: Vec<String> = vec!["fast".into()];
    let about = About { together: names.into(), left_to_faster: true, ..regular(4) };
    let why = said(&State::default(), &about, MINUTE).next.why;
    assert!(
        why.ends_with("; that is done for fast, where it stands too and is asked about more often"),
        "{why}"
    );
    let about = About { coming: Coming::LeftOut, ..about };
    let why = said(&State::default(), &about, MINUTE).next.why;
    assert!(why.contains("0 of 50 targets of fast are left out"), "{why}");
}
