//! The presence of one target as a state machine: answers and failures with their time in, a three-valued view out.
//!
//! Pure: no clock, no I/O. A view is computed for any instant and changes nothing, so the page and the poller cannot
//! disagree: what `view(t)` says does not depend on who looked, or when, before `t`.
//!
//! Two values are kept. *Raw* is what the newest answer said. *Settled* is what is concluded from it: a change counts
//! once the contrary answers have stood for the policy's delay, from the first of them on and with no further one needed
//! while that one is fresh. Leaving unknown concludes at once, since a delay damps a change between two known values.
//!
//! What it deliberately does not do: it never concludes offline from a failure or from silence, and it counts no
//! transition into or out of unknown: on, unknown, off is one transition; on, unknown, on is none.

mod policy;
mod saved;

use std::time::Duration;

pub use policy::{Policy, SETTLE_MAX};
pub use saved::Saved;

use super::fault::{Fault, UnknownReason};
use super::observation::Seen;
use super::time::{Moment, Tick};

const NO_COUNT: u16 = u16::MAX;
const NO_RTT: u16 = u16::MAX;
const NO_TIME: u32 = 0;
const NOT_PENDING: u32 = u32::MAX;

/// What is remembered of one target; small and `Copy`, since the store's rows are made of it.
///
/// Known values alternate, so that one number counts the transitions in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// When the newest answer's first request left.
    as_of: Tick,
    /// How long before `as_of` the first of the contrary answers was, in microseconds.
    pending_us: u32,
    observed_s: u32,
    last_seen_s: u32,
    last_change_s: u32,
    started_s: u32,
    observed_transitions: u32,
    transitions: u32,
    reconnects: u32,
    connections: u16,
    network_rtt_ms: u16,
    e2e_rtt_ms: u16,
    flags: Flags,
    fault: Option<Fault>,
}

/// Four truths in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flags(u8);

impl Flags {
    /// This process had an answer.
    const ANSWERED: u8 = 1;
    /// The newest answer said online.
    const ONLINE: u8 = 2;
    /// The settled value is online.
    const SETTLED_ONLINE: u8 = 4;
    /// A raw and a settled value are known, from this process or from an earlier one.
    const KNOWN: u8 = 8;
    /// Left out on purpose for now.
    const SHED: u8 = 16;

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    const fn set(&mut self, flag: u8, value: bool) {
        if value {
            self.0 |= flag;
        } else {
            self.0 &= !flag;
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            as_of: Tick::ZERO,
            pending_us: NOT_PENDING,
            observed_s: NO_TIME,
            last_seen_s: NO_TIME,
            last_change_s: NO_TIME,
            started_s: NO_TIME,
            observed_transitions: 0,
            transitions: 0,
            reconnects: 0,
            connections: NO_COUNT,
            network_rtt_ms: NO_RTT,
            e2e_rtt_ms: NO_RTT,
            flags: Flags(0),
            fault: None,
        }
    }
}

/// Online, offline or unknown, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Concluded online.
    Online,
    /// Concluded offline.
    Offline,
    /// No fresh answer.
    Unknown(UnknownReason),
}

/// How often a known value changed, by what it changed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transitions {
    /// Changes from offline to online.
    pub to_online: u32,
    /// Changes from online to offline.
    pub to_offline: u32,
}

impl Transitions {
    /// Known values alternate, and the last change was to the value of now.
    const fn alternating(count: u32, online: bool) -> Self {
        let (last, other) = (count.div_ceil(2), count / 2);
        if online {
            Self { to_online: last, to_offline: other }
        } else {
            Self { to_online: other, to_offline: last }
        }
    }
}

/// What is true of a target at one instant. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// What is concluded (settled).
    pub presence: Presence,
    /// What the newest answer said (raw); none while unknown.
    pub observed_online: Option<bool>,
    /// When the newest answer was observed; kept while unknown.
    pub observed_s: Option<u32>,
    /// When an answer last said online; kept while offline or unknown.
    pub last_seen_s: Option<u32>,
    /// When the settled value last changed; kept while unknown.
    pub last_change_s: Option<u32>,
    /// Connections now; only while known and where the API counts them.
    pub connections: Option<u16>,
    /// When the longest-running current connection began; only while observed online.
    pub started_s: Option<u32>,
    /// Network round-trip time in milliseconds; only while observed online.
    pub network_rtt_ms: Option<u16>,
    /// End-to-end round-trip time in milliseconds; only while observed online.
    pub e2e_rtt_ms: Option<u16>,
    /// Changes of the settled value.
    pub transitions: Transitions,
    /// Changes of the raw value.
    pub observed_transitions: Transitions,
    /// Connections that took another's place while the target stayed online.
    pub reconnects: u32,
    /// When the pending change will settle, if one is pending and no contrary answer comes.
    pub settles_at: Option<Tick>,
}

impl State {
    /// Books an answer whose first request left at `as_of`. What fell due since the last answer is booked first, at the
    /// instant it fell due. An answer older than the newest one changes nothing.
    pub fn answered(&mut self, as_of: Moment, seen: &Seen, policy: &Policy) {
        if !self.accepts(as_of) {
            return;
        }
        self.book_due(as_of.tick, policy);
        let gap = !self.is_fresh(as_of.tick, policy);
        let stayed = !gap && self.flags.has(Flags::ONLINE) && seen.online;
        self.book_value(as_of, seen.online, gap, policy);
        self.book_detail(seen, stayed);
    }

    /// Books what fell due by `now`. Called before an answer is booked that was asked for earlier and came at `now`: what was
    /// shown while it was under way has happened, and is not taken back.
    pub fn passed(&mut self, now: Tick, policy: &Policy) {
        self.book_due(now, policy);
    }

    /// Whether an answer of `as_of` would be booked: nothing newer is known.
    pub fn accepts(&self, as_of: Moment) -> bool {
        !self.flags.has(Flags::ANSWERED) || as_of.tick >= self.as_of
    }

    /// Books a failure of a question that left at `at`: the latest names the reason, should the target become unknown.
    pub fn failed(&mut self, at: Moment, fault: Fault) {
        if self.accepts(at) {
            self.fault = Some(fault);
        }
    }

    /// Tells whether the target is left out on purpose from now on. What was answered counts as long as any answer does; then
    /// that is the reason why nothing is known.
    pub fn shed(&mut self, left_out: bool) {
        self.flags.set(Flags::SHED, left_out);
    }

    /// Counts connections that took another's place.
    pub fn reconnected(&mut self, count: u32) {
        self.reconnects = self.reconnects.saturating_add(count);
    }

    /// What is true at `now`.
    pub fn view(&self, now: Moment, policy: &Policy) -> View {
        let mut state = *self;
        state.book_due(now.tick, policy);
        let fresh = state.is_fresh(now.tick, policy);
        let raw = state.flags.has(Flags::ONLINE);
        let online = fresh && raw;
        let time = |seconds: u32| (seconds != NO_TIME).then_some(seconds);
        let rtt = |ms: u16| (online && ms != NO_RTT).then_some(ms);
        View {
            presence: state.presence(fresh),
            observed_online: fresh.then_some(raw),
            observed_s: time(state.observed_s),
            last_seen_s: time(state.last_seen_s),
            last_change_s: time(state.last_change_s),
            connections: (fresh && state.connections != NO_COUNT).then_some(state.connections),
            started_s: time(state.started_s).filter(|_| online),
            network_rtt_ms: rtt(state.network_rtt_ms),
            e2e_rtt_ms: rtt(state.e2e_rtt_ms),
            transitions: Transitions::alternating(state.transitions, state.flags.has(Flags::SETTLED_ONLINE)),
            observed_transitions: Transitions::alternating(state.observed_transitions, raw),
            reconnects: state.reconnects,
            settles_at: state.due(policy).filter(|_| fresh),
        }
    }

    /// When the newest answer's first request left; none before this process had one.
    pub fn newest_answer(&self) -> Option<Tick> {
        self.flags.has(Flags::ANSWERED).then_some(self.as_of)
    }

    /// Whether the newest answer said online; says nothing of its age.
    pub fn last_said_online(&self) -> bool {
        self.flags.has(Flags::ANSWERED) && self.flags.has(Flags::ONLINE)
    }

    fn presence(&self, fresh: bool) -> Presence {
        if fresh {
            return if self.flags.has(Flags::SETTLED_ONLINE) { Presence::Online } else { Presence::Offline };
        }
        if self.flags.has(Flags::SHED) {
            return Presence::Unknown(UnknownReason::Budget);
        }
        let latest = |otherwise| self.fault.map_or(otherwise, UnknownReason::Fault);
        Presence::Unknown(if self.flags.has(Flags::ANSWERED) {
            latest(UnknownReason::Expired)
        } else if self.flags.has(Flags::KNOWN) {
            UnknownReason::Restored
        } else {
            latest(UnknownReason::NeverPolled)
        })
    }

    fn is_fresh(&self, now: Tick, policy: &Policy) -> bool {
        self.flags.has(Flags::ANSWERED) && now.since(self.as_of) <= policy.max_age
    }

    /// When the pending change settles.
    fn due(&self, policy: &Policy) -> Option<Tick> {
        if self.pending_us == NOT_PENDING {
            return None;
        }
        let first = self.as_of.back(Duration::from_micros(self.pending_us.into()));
        Some(first + policy.delay(self.flags.has(Flags::ONLINE)))
    }

    /// Settles a pending change that fell due by `now`, while its last answer was fresh.
    fn book_due(&mut self, now: Tick, policy: &Policy) {
        let Some(due) = self.due(policy) else { return };
        if due > now {
            return;
        }
        if due.since(self.as_of) > policy.max_age {
            return;
        }
        self.settle(self.flags.has(Flags::ONLINE), self.due_s(due));
    }

    /// Facts are kept in Unix time: that of the newest answer, moved by what lies between the two on the ticks.
    fn due_s(&self, due: Tick) -> u32 {
        let after_s = u32::try_from(due.since(self.as_of).as_secs()).unwrap_or(u32::MAX);
        self.observed_s.saturating_add(after_s)
    }

    fn book_value(&mut self, as_of: Moment, online: bool, gap: bool, policy: &Policy) {
        let (known, settled) = (self.flags.has(Flags::KNOWN), self.flags.has(Flags::SETTLED_ONLINE));
        if known && self.flags.has(Flags::ONLINE) != online {
            self.observed_transitions = self.observed_transitions.saturating_add(1);
        }
        let first = if self.pending_us == NOT_PENDING || gap {
            as_of.tick
        } else {
            self.as_of.back(Duration::from_micros(self.pending_us.into()))
        };
        self.as_of = as_of.tick;
        // Restored times may lie ahead of a clock that was set back since.
        self.observed_s = seconds(as_of.unix_ms).max(self.observed_s);
        self.fault = None;
        self.flags.set(Flags::ANSWERED, true);
        self.flags.set(Flags::ONLINE, online);
        if online {
            self.last_seen_s = self.observed_s;
        }
        if !known {
            self.flags.set(Flags::KNOWN, true);
            self.flags.set(Flags::SETTLED_ONLINE, online);
            self.pending_us = NOT_PENDING;
        } else if settled == online {
            self.pending_us = NOT_PENDING;
        } else if gap || policy.delay(online) <= as_of.tick.since(first) {
            self.settle(online, self.observed_s);
        } else {
            let age = as_of.tick.since(first).as_micros();
            self.pending_us = u32::try_from(age).unwrap_or(NOT_PENDING - 1);
        }
    }

    fn settle(&mut self, online: bool, at_s: u32) {
        self.flags.set(Flags::SETTLED_ONLINE, online);
        self.transitions = self.transitions.saturating_add(1);
        // An answer may be older than the change that it undoes; see `passed`.
        self.last_change_s = self.last_change_s.max(at_s);
        self.pending_us = NOT_PENDING;
    }

    /// Takes over what the answer says beside online or not. `stayed`: the target was online and still is, so that what
    /// the answer leaves out on purpose (`keep_detail`) is what was known before.
    fn book_detail(&mut self, seen: &Seen, stayed: bool) {
        let keep = seen.keep_detail && stayed;
        if stayed && !keep {
            self.infer_reconnect(seen);
        }
        if !keep || seen.connections.is_some() {
            self.connections = seen.connections.map_or(NO_COUNT, |n| capped(n, NO_COUNT));
        }
        if !keep || seen.started_ms.is_some() {
            self.started_s = seen.started_ms.map_or(NO_TIME, seconds);
        }
        if !keep || seen.network_rtt_ms.is_some() {
            self.network_rtt_ms = seen.network_rtt_ms.map_or(NO_RTT, |ms| capped(ms, NO_RTT));
        }
        if !keep || seen.e2e_rtt_ms.is_some() {
            self.e2e_rtt_ms = seen.e2e_rtt_ms.map_or(NO_RTT, |ms| capped(ms, NO_RTT));
        }
    }

    /// A target that stays online with one connection whose start is another one has reconnected. Where the answer names
    /// its connections, they are compared instead, by who keeps them, and [`State::reconnected`] is told.
    fn infer_reconnect(&mut self, seen: &Seen) {
        let single = |count: Option<u32>| count.is_none_or(|count| count == 1);
        let was_single = self.connections == NO_COUNT || self.connections == 1;
        let Some(started_s) = seen.started_ms.map(seconds) else { return };
        let known = self.started_s != NO_TIME && seen.conns.is_empty();
        if known && started_s > self.started_s && was_single && single(seen.connections) {
            self.reconnected(1);
        }
    }
}

/// Unix seconds in 32 bits; a time before 1970-01-01T00:00:01Z or after 2106 is not kept.
fn seconds(unix_ms: i64) -> u32 {
    u32::try_from(unix_ms.div_euclid(1000)).unwrap_or(NO_TIME)
}

/// A number in 16 bits, held one below the value that says "none".
fn capped(number: u32, none: u16) -> u16 {
    u16::try_from(number).unwrap_or(none).min(none - 1)
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
