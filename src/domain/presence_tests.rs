//! The state machine against its laws, and against a model that knows nothing of it.

use proptest::prelude::*;

use super::*;

const POLICY: Policy = Policy::at_once(Duration::from_secs(60));

fn at(seconds: u64) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 }.plus(Duration::from_secs(seconds))
}

fn delays(arrive: u64, leave: u64) -> Policy {
    Policy { arrive: Duration::from_secs(arrive), leave: Duration::from_secs(leave), ..POLICY }
}

#[expect(clippy::unnecessary_wraps, reason = "what a view is compared with")]
fn unix(seconds: u32) -> Option<u32> {
    Some(1_700_000_000 + seconds)
}

#[test]
fn who_is_left_out_is_known_as_long_as_the_last_answer_counts_and_then_unknown_for_that() {
    let policy = POLICY;
    let mut state = State::default();
    state.shed(true);
    let never = state.view(at(0), &policy).presence;
    assert_eq!(never, Presence::Unknown(UnknownReason::Budget));
    state.answered(at(10), &Seen::online(), &policy);
    state.failed(at(20), Fault::Timeout);
    assert_eq!(state.view(at(70), &policy).presence, Presence::Online);
    assert_eq!(state.view(at(71), &policy).presence, Presence::Unknown(UnknownReason::Budget));
    state.shed(false);
    assert_eq!(state.view(at(71), &policy).presence, Presence::Unknown(UnknownReason::Fault(Fault::Timeout)));
}

#[test]
fn a_state_fits_into_forty_eight_bytes() {
    assert!(size_of::<State>() <= 48, "{}", size_of::<State>());
}

#[test]
fn nothing_known_is_unknown_and_the_latest_fault_names_why() {
    let mut state = State::default();
    assert_eq!(state.view(at(1), &POLICY).presence, Presence::Unknown(UnknownReason::NeverPolled));
    state.failed(at(1), Fault::Throttled);
    state.failed(at(2), Fault::Timeout);
    assert_eq!(state.view(at(3), &POLICY).presence, Presence::Unknown(UnknownReason::Fault(Fault::Timeout)));
}

#[test]
fn a_failure_changes_nothing_until_the_answer_is_too_old() {
    let mut state = State::default();
    state.answered(at(10), &Seen { connections: Some(2), ..Seen::online() }, &POLICY);
    let before = state.view(at(20), &POLICY);
    state.failed(at(20), Fault::Unreachable);
    assert_eq!(state.view(at(20), &POLICY), before);
    assert_eq!(state.view(at(70), &POLICY).presence, Presence::Online);
    let late = state.view(at(71), &POLICY);
    assert_eq!(late.presence, Presence::Unknown(UnknownReason::Fault(Fault::Unreachable)));
    assert_eq!((late.observed_online, late.connections), (None, None));
    assert_eq!((late.observed_s, late.last_seen_s), (unix(10), unix(10)));
}

#[test]
fn silence_without_a_failure_is_expired() {
    let mut state = State::default();
    state.answered(at(10), &Seen::offline(), &POLICY);
    assert_eq!(state.view(at(71), &POLICY).presence, Presence::Unknown(UnknownReason::Expired));
}

#[test]
fn a_late_answer_never_overwrites_a_newer_one() {
    let mut state = State::default();
    state.answered(at(20), &Seen::online(), &POLICY);
    let before = state;
    state.answered(at(10), &Seen::offline(), &POLICY);
    state.failed(at(15), Fault::Timeout);
    assert_eq!(state, before);
}

#[test]
fn a_count_keeps_the_detail_of_the_same_stay_and_drops_it_with_the_stay() {
    let mut state = State::default();
    let detail = Seen { started_ms: Some(1_699_999_000_000), network_rtt_ms: Some(12), ..Seen::online() };
    let count = Seen { connections: Some(1), keep_detail: true, ..Seen::online() };
    state.answered(at(10), &detail, &POLICY);
    state.answered(at(20), &count, &POLICY);
    let view = state.view(at(20), &POLICY);
    assert_eq!(
        (view.started_s, view.network_rtt_ms, view.connections),
        (Some(1_699_999_000), Some(12), Some(1))
    );
    state.answered(at(30), &Seen { connections: Some(0), ..Seen::offline() }, &POLICY);
    state.answered(at(40), &count, &POLICY);
    assert_eq!(state.view(at(40), &POLICY).started_s, None);
}

#[test]
fn a_detail_from_before_a_gap_is_not_shown_after_it() {
    let mut state = State::default();
    let detail = Seen { started_ms: Some(1_699_999_000_000), ..Seen::online() };
    state.answered(at(10), &detail, &POLICY);
    state.answered(at(100), &Seen { keep_detail: true, ..Seen::online() }, &POLICY);
    assert_eq!(state.view(at(100), &POLICY).started_s, None);
}

#[test]
fn a_change_settles_at_the_first_contrary_answer_plus_the_delay_and_needs_no_further_one() {
    let policy = delays(0, 30);
    let mut state = State::default();
    state.answered(at(0), &Seen::online(), &policy);
    state.answered(at(10), &Seen::offline(), &policy);
    let just_before = at(40).tick.back(Duration::from_micros(1));
    let just_before = Moment { tick: just_before, ..at(39) };
    let view = state.view(just_before, &policy);
    assert_eq!((view.presence, view.observed_online), (Presence::Online, Some(false)));
    assert_eq!((view.transitions.to_offline, view.observed_transitions.to_offline), (0, 1));
    assert_eq!(view.settles_at, Some(at(40).tick));
    let view = state.view(at(40), &policy);
    assert_eq!((view.presence, view.last_change_s), (Presence::Offline, unix(40)));
    assert_eq!((view.transitions.to_offline, view.settles_at), (1, None));
}

#[test]
fn a_change_that_was_shown_is_not_taken_back_by_an_answer_that_was_under_way() {
    let policy = delays(0, 30);
    let mut state = State::default();
    state.answered(at(0), &Seen::online(), &policy);
    state.answered(at(10), &Seen::offline(), &policy);
    assert_eq!(state.view(at(44), &policy).transitions, Transitions { to_online: 0, to_offline: 1 });
    // Asked at second 35, before the change fell due at second 40; the answer comes at second 45.
    state.passed(at(45).tick, &policy);
    state.answered(at(35), &Seen::online(), &policy);
    let view = state.view(at(45), &policy);
    assert_eq!(
        (view.presence, view.transitions),
        (Presence::Online, Transitions { to_online: 1, to_offline: 1 })
    );
    assert_eq!(view.last_change_s, unix(40), "a fact that was shown does not move back");
}

#[test]
fn a_flap_inside_the_delay_settles_nothing_and_is_counted_raw() {
    let policy = delays(0, 30);
    let mut state = State::default();
    for (second, seen) in
        [(0, Seen::online()), (10, Seen::offline()), (20, Seen::online()), (35, Seen::offline())]
    {
        state.answered(at(second), &seen, &policy);
    }
    let view = state.view(at(60), &policy);
    assert_eq!((view.presence, view.transitions), (Presence::Online, Transitions::default()));
    assert_eq!(view.observed_transitions, Transitions { to_online: 1, to_offline: 2 });
    assert_eq!(state.view(at(65), &policy).presence, Presence::Offline, "35 s and a delay of 30 s");
}

#[test]
fn a_pending_change_whose_answer_expires_first_never_settles() {
    let policy = Policy { max_age: Duration::from_secs(20), ..delays(0, 30) };
    let mut state = State::default();
    state.answered(at(0), &Seen::online(), &policy);
    state.answered(at(10), &Seen::offline(), &policy);
    let view = state.view(at(50), &policy);
    assert_eq!(view.presence, Presence::Unknown(UnknownReason::Expired));
    assert_eq!(view.transitions, Transitions::default());
    state.answered(at(60), &Seen::online(), &policy);
    assert_eq!(state.view(at(60), &policy).transitions, Transitions::default(), "on, unknown, on is none");
}

#[test]
fn leaving_unknown_concludes_at_once_and_counts_one_transition_across_the_gap() {
    let policy = delays(30, 30);
    let mut state = State::default();
    state.answered(at(0), &Seen::online(), &policy);
    assert_eq!(state.view(at(0), &policy).presence, Presence::Online);
    state.answered(at(100), &Seen::offline(), &policy);
    let view = state.view(at(100), &policy);
    assert_eq!(
        (view.presence, view.last_change_s, view.last_seen_s),
        (Presence::Offline, unix(100), unix(0))
    );
    assert_eq!((view.transitions.to_offline, view.observed_transitions.to_offline), (1, 1));
}

#[test]
fn a_new_start_of_the_only_connection_is_a_reconnect() {
    let started =
        |second| Seen { started_ms: Some(at(second).unix_ms), connections: Some(1), ..Seen::online() };
    let mut state = State::default();
    state.answered(at(50), &started(1), &POLICY);
    state.answered(at(60), &started(1), &POLICY);
    assert_eq!(state.view(at(60), &POLICY).reconnects, 0);
    state.answered(at(70), &started(65), &POLICY);
    assert_eq!(state.view(at(70), &POLICY).reconnects, 1);
    let two = Seen { connections: Some(2), ..started(68) };
    state.answered(at(80), &two, &POLICY);
    assert_eq!(state.view(at(80), &POLICY).reconnects, 1, "with two, the older one may simply have ended");
}

/// One thing that happens to a target.
#[derive(Debug, Clone, Copy)]
enum Event {
    Online,
    Offline,
    Failure,
}

/// The steps in which the tests go through time. Answers come on every fourth, changes settle between those, so that no
/// step sees two changes.
const STEP: Duration = Duration::from_millis(125);

fn step(number: u32) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 }.plus(STEP * number)
}

/// What is concluded at each step, by going through time step by step.
fn model(events: &[(u32, Event)], policy: &Policy, until: u32) -> Vec<Option<bool>> {
    let (mut settled, mut contrary_since): (Option<bool>, Option<u32>) = (None, None);
    let mut last: Option<(u32, bool)> = None;
    let mut events = events.iter().peekable();
    let conclude = |now| {
        let before = last;
        while let Some((at, event)) = events.next_if(|(at, _)| *at <= now) {
            match event {
                Event::Online => last = Some((*at, true)),
                Event::Offline => last = Some((*at, false)),
                Event::Failure => {}
            }
        }
        let gap = before.is_none_or(|(at, _)| STEP * (now - at) > policy.max_age);
        let Some((_, online)) = last.filter(|(at, _)| STEP * (now - at) <= policy.max_age) else {
            contrary_since = None;
            return None;
        };
        match settled {
            Some(value) if value == online => contrary_since = None,
            Some(_) if !gap => {
                let since = *contrary_since.get_or_insert(now);
                if STEP * (now - since) >= policy.delay(online) {
                    (settled, contrary_since) = (Some(online), None);
                }
            }
            _ => (settled, contrary_since) = (Some(online), None),
        }
        settled
    };
    (0..=until).map(conclude).collect()
}

/// What happens, at which steps, under which policy.
fn histories() -> impl Strategy<Value = (Vec<(u32, Event)>, Policy)> {
    let event = prop_oneof![Just(Event::Online), Just(Event::Offline), Just(Event::Failure)];
    let events = prop::collection::vec((1_u32..60, event), 1..25).prop_map(|steps| {
        let mut now = 0;
        let mut place = |(pause, event)| {
            now += pause * 4;
            (now, event)
        };
        steps.into_iter().map(&mut place).collect::<Vec<_>>()
    });
    let delay = prop_oneof![Just(0_u64), (0_u64..30).prop_map(|seconds| seconds * 1000 + 250)];
    let policy = (5_u64..40, delay.clone(), delay).prop_map(|(age, arrive, leave)| Policy {
        max_age: Duration::from_secs(age),
        arrive: Duration::from_millis(arrive),
        leave: Duration::from_millis(leave),
    });
    (events, policy)
}

fn happen(state: &mut State, (at, event): (u32, Event), policy: &Policy) {
    match event {
        Event::Online => state.answered(step(at), &Seen::online(), policy),
        Event::Offline => state.answered(step(at), &Seen::offline(), policy),
        Event::Failure => state.failed(step(at), Fault::ServerError),
    }
}

/// Goes through a history and past its end; `look` sees each step.
fn walk(events: &[(u32, Event)], policy: &Policy, mut look: impl FnMut(u32, &View)) {
    let mut state = State::default();
    let mut left = events.iter().peekable();
    for now in 0..=events.last().map_or(0, |(at, _)| at + 600) {
        while let Some(event) = left.next_if(|(at, _)| *at <= now) {
            happen(&mut state, *event, policy);
        }
        look(now, &state.view(step(now), policy));
    }
}

proptest! {
    #[test]
    fn the_state_machine_agrees_with_the_model_at_every_instant((events, policy) in histories()) {
        let expected = model(&events, &policy, events.last().map_or(0, |(at, _)| at + 600));
        let mut wrong = None;
        walk(&events, &policy, |now, view| {
            let value = match view.presence {
                Presence::Online => Some(true),
                Presence::Offline => Some(false),
                Presence::Unknown(_) => None,
            };
            if value != expected[now as usize] {
                wrong.get_or_insert((now, value));
            }
        });
        prop_assert_eq!(wrong, None);
    }

    #[test]
    fn what_a_view_says_does_not_depend_on_who_looked_before(
        (events, policy) in histories(),
        looks in prop::collection::vec(0_u32..2400, 0..40),
    ) {
        let (mut state, mut watched) = (State::default(), State::default());
        for event in &events {
            happen(&mut state, *event, &policy);
            for look in looks.iter().filter(|look| **look >= event.0) {
                let _ = watched.view(step(*look), &policy);
            }
            happen(&mut watched, *event, &policy);
        }
        for look in looks {
            prop_assert_eq!(state.view(step(look), &policy), watched.view(step(look), &policy));
        }
    }

    #[test]
    fn times_and_counters_never_go_back_and_known_values_alternate((events, policy) in histories()) {
        let mut known: Vec<bool> = Vec::new();
        let mut before: Option<View> = None;
        let mut wrong = None;
        walk(&events, &policy, |now, view| {
            match view.presence {
                Presence::Online if known.last() != Some(&true) => known.push(true),
                Presence::Offline if known.last() != Some(&false) => known.push(false),
                _ => {}
            }
            let counted = (view.transitions.to_online + view.transitions.to_offline) as usize;
            let counts = |view: &View| {
                let (settled, raw) = (view.transitions, view.observed_transitions);
                [settled.to_online, settled.to_offline, raw.to_online, raw.to_offline]
            };
            let times = |view: &View| [view.observed_s, view.last_seen_s, view.last_change_s];
            let back = before.is_some_and(|before| {
                times(view).iter().zip(times(&before)).any(|(new, old)| *new < old)
                    || counts(view).iter().zip(counts(&before)).any(|(new, old)| *new < old)
            });
            if back || counted != known.len().saturating_sub(1) {
                wrong.get_or_insert((now, *view));
            }
            before = Some(*view);
        });
        prop_assert_eq!(wrong, None);
    }
}
