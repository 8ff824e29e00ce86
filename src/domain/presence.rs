//! The presence of one target: answers and failures with their time in, a three-valued view out.
//!
//! Pure: no clock, no I/O. A view is computed for any instant and changes nothing, so the page and the poller cannot
//! disagree. What it deliberately does not do: it never concludes offline from a failure or from silence.

use std::time::Duration;

use super::fault::{Fault, UnknownReason};
use super::observation::Seen;
use super::time::{Moment, Tick};

/// What decides a source's states beside the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long an answer counts. Past it the target is unknown.
    pub max_age: Duration,
}

const NO_COUNT: u32 = u32::MAX;
const NO_RTT: u16 = u16::MAX;
const NO_TIME: u32 = 0;

/// What is remembered of one target; small and `Copy`, since the store's rows are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    as_of: Tick,
    observed_s: u32,
    started_s: u32,
    connections: u32,
    network_rtt_ms: u16,
    e2e_rtt_ms: u16,
    answered: bool,
    online: bool,
    fault: Option<Fault>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            as_of: Tick::ZERO,
            observed_s: NO_TIME,
            started_s: NO_TIME,
            connections: NO_COUNT,
            network_rtt_ms: NO_RTT,
            e2e_rtt_ms: NO_RTT,
            answered: false,
            online: false,
            fault: None,
        }
    }
}

/// Online, offline or unknown, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A fresh answer says online.
    Online,
    /// A fresh answer says offline.
    Offline,
    /// No fresh answer.
    Unknown(UnknownReason),
}

/// What is true of a target at one instant. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Online, offline or unknown.
    pub presence: Presence,
    /// When the newest answer was observed; kept while unknown.
    pub observed_s: Option<u32>,
    /// Connections now; only while known and where the API counts them.
    pub connections: Option<u32>,
    /// When the longest-running current connection began; only while online.
    pub started_s: Option<u32>,
    /// Network round-trip time in milliseconds; only while online.
    pub network_rtt_ms: Option<u16>,
    /// End-to-end round-trip time in milliseconds; only while online.
    pub e2e_rtt_ms: Option<u16>,
}

impl State {
    /// Books an answer whose first request left at `as_of`. An answer older than the newest one changes nothing.
    pub fn answered(&mut self, as_of: Moment, seen: &Seen) {
        if !self.accepts(as_of) {
            return;
        }
        let keep = seen.keep_detail && seen.online && self.answered && self.online;
        self.answered = true;
        self.as_of = as_of.tick;
        self.observed_s = seconds(as_of.unix_ms);
        self.online = seen.online;
        self.fault = None;
        if !(keep && seen.connections.is_none()) {
            self.connections = seen.connections.map_or(NO_COUNT, |n| n.min(NO_COUNT - 1));
        }
        if !keep || seen.started_ms.is_some() {
            self.started_s = seen.started_ms.map_or(NO_TIME, seconds);
        }
        if !keep || seen.network_rtt_ms.is_some() {
            self.network_rtt_ms = rtt(seen.network_rtt_ms);
        }
        if !keep || seen.e2e_rtt_ms.is_some() {
            self.e2e_rtt_ms = rtt(seen.e2e_rtt_ms);
        }
    }

    /// Whether an answer of `as_of` would be booked: nothing newer is known.
    pub fn accepts(&self, as_of: Moment) -> bool {
        !self.answered || as_of.tick >= self.as_of
    }

    /// Books a failure of a question that left at `at`: the latest names the reason, should the target become unknown.
    pub fn failed(&mut self, at: Moment, fault: Fault) {
        if self.accepts(at) {
            self.fault = Some(fault);
        }
    }

    /// What is true at `now`.
    pub fn view(&self, now: Moment, policy: &Policy) -> View {
        let presence = self.presence(now, policy);
        let known = !matches!(presence, Presence::Unknown(_));
        let online = presence == Presence::Online;
        let some_rtt = |value: u16| (online && value != NO_RTT).then_some(value);
        View {
            presence,
            observed_s: self.answered.then_some(self.observed_s),
            connections: (known && self.connections != NO_COUNT).then_some(self.connections),
            started_s: (online && self.started_s != NO_TIME).then_some(self.started_s),
            network_rtt_ms: some_rtt(self.network_rtt_ms),
            e2e_rtt_ms: some_rtt(self.e2e_rtt_ms),
        }
    }

    /// Whether the newest answer said online; says nothing of its age.
    pub fn last_said_online(&self) -> bool {
        self.answered && self.online
    }

    fn presence(&self, now: Moment, policy: &Policy) -> Presence {
        let latest = |otherwise| self.fault.map_or(otherwise, UnknownReason::Fault);
        if !self.answered {
            Presence::Unknown(latest(UnknownReason::NeverPolled))
        } else if now.tick.since(self.as_of) > policy.max_age {
            Presence::Unknown(latest(UnknownReason::Expired))
        } else if self.online {
            Presence::Online
        } else {
            Presence::Offline
        }
    }
}

/// Unix seconds in 32 bits; a time before 1970-01-01T00:00:01Z or after 2106 is not kept.
fn seconds(unix_ms: i64) -> u32 {
    u32::try_from(unix_ms.div_euclid(1000)).unwrap_or(NO_TIME)
}

/// A round-trip time in 16 bits; anything above 65 s is held at 65,534 ms.
fn rtt(ms: Option<u32>) -> u16 {
    ms.map_or(NO_RTT, |ms| u16::try_from(ms).unwrap_or(NO_RTT - 1).min(NO_RTT - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { max_age: Duration::from_secs(60) };

    fn at(seconds: u64) -> Moment {
        Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 }.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_state_fits_into_half_a_cache_line() {
        assert!(size_of::<State>() <= 48, "{}", size_of::<State>());
    }

    #[test]
    fn nothing_known_is_unknown_and_the_latest_fault_names_why() {
        let mut state = State::default();
        assert_eq!(state.view(at(1), &POLICY).presence, Presence::Unknown(UnknownReason::NeverPolled));
        state.failed(at(1), Fault::Throttled);
        state.failed(at(2), Fault::Timeout);
        assert_eq!(
            state.view(at(3), &POLICY).presence,
            Presence::Unknown(UnknownReason::Fault(Fault::Timeout))
        );
    }

    #[test]
    fn a_failure_changes_nothing_until_the_answer_is_too_old() {
        let mut state = State::default();
        state.answered(at(10), &Seen { connections: Some(2), ..Seen::online() });
        let before = state.view(at(20), &POLICY);
        state.failed(at(20), Fault::Unreachable);
        assert_eq!(state.view(at(20), &POLICY), before);
        assert_eq!(state.view(at(70), &POLICY).presence, Presence::Online);
        let late = state.view(at(71), &POLICY);
        assert_eq!(late.presence, Presence::Unknown(UnknownReason::Fault(Fault::Unreachable)));
        assert_eq!((late.connections, late.observed_s), (None, Some(1_700_000_010)));
    }

    #[test]
    fn silence_without_a_failure_is_expired() {
        let mut state = State::default();
        state.answered(at(10), &Seen::offline());
        assert_eq!(state.view(at(71), &POLICY).presence, Presence::Unknown(UnknownReason::Expired));
    }

    #[test]
    fn a_late_answer_never_overwrites_a_newer_one() {
        let mut state = State::default();
        state.answered(at(20), &Seen::online());
        state.answered(at(10), &Seen::offline());
        state.failed(at(15), Fault::Timeout);
        assert_eq!(state.view(at(21), &POLICY).presence, Presence::Online);
        assert_eq!(state.fault, None);
    }

    #[test]
    fn a_count_keeps_the_detail_of_the_same_stay_and_drops_it_with_the_stay() {
        let mut state = State::default();
        let detail = Seen { started_ms: Some(1_699_999_000_000), network_rtt_ms: Some(12), ..Seen::online() };
        let count = Seen { connections: Some(1), keep_detail: true, ..Seen::online() };
        state.answered(at(10), &detail);
        state.answered(at(20), &count);
        let view = state.view(at(20), &POLICY);
        assert_eq!(
            (view.started_s, view.network_rtt_ms, view.connections),
            (Some(1_699_999_000), Some(12), Some(1))
        );
        state.answered(at(30), &Seen { connections: Some(0), ..Seen::offline() });
        state.answered(at(40), &count);
        assert_eq!(state.view(at(40), &POLICY).started_s, None);
    }
}
