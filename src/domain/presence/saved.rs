//! What of a state outlives the process, and a state that goes on from it.
//!
//! Pure: it knows no file and no version. What an answer said beside online or not (connections, round-trip times) is not
//! kept, since it says nothing of the time after a restart.

use super::{Flags, NO_TIME, Policy, State};

/// What of a [`State`] outlives the process. Times are Unix seconds, 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saved {
    /// When the newest answer was observed.
    pub observed_s: u32,
    /// When an answer last said online.
    pub last_seen_s: u32,
    /// When the settled value last changed.
    pub last_change_s: u32,
    /// When the pending change will settle, where no further answer is needed for it.
    pub settles_s: u32,
    /// Changes of the raw value.
    pub observed_transitions: u32,
    /// Changes of the settled value.
    pub transitions: u32,
    /// Connections that took another's place.
    pub reconnects: u32,
    /// Whether the newest answer said online.
    pub online: bool,
    /// Whether the settled value is online.
    pub settled_online: bool,
}

/// How far ahead of this machine's clock a restored time may lie and be believed: clocks that are corrected move by
/// seconds; one that lies days ahead was not set yet when it was read.
const AHEAD_MAX_S: u32 = 24 * 3600;

impl State {
    /// What a later process has to know; none while nothing is known.
    pub fn saved(&self, policy: &Policy) -> Option<Saved> {
        let due = self.due(policy).filter(|due| due.since(self.as_of) <= policy.max_age);
        self.flags.has(Flags::KNOWN).then(|| Saved {
            observed_s: self.observed_s,
            last_seen_s: self.last_seen_s,
            last_change_s: self.last_change_s,
            settles_s: due.map_or(NO_TIME, |due| self.due_s(due)),
            observed_transitions: self.observed_transitions,
            transitions: self.transitions,
            reconnects: self.reconnects,
            online: self.flags.has(Flags::ONLINE),
            settled_online: self.flags.has(Flags::SETTLED_ONLINE),
        })
    }

    /// A state that goes on from an earlier process at `now_s`. It is unknown until the first answer, which is compared
    /// with what was known. A pending change that fell due meanwhile has settled, as pages may have shown already; one that
    /// did not is left to the first answer.
    pub fn restored(saved: &Saved, now_s: u32) -> Self {
        let believed = |at_s: u32| if at_s <= now_s.saturating_add(AHEAD_MAX_S) { at_s } else { NO_TIME };
        let mut state = Self {
            observed_s: believed(saved.observed_s),
            last_seen_s: believed(saved.last_seen_s),
            last_change_s: believed(saved.last_change_s),
            observed_transitions: saved.observed_transitions,
            transitions: saved.transitions,
            reconnects: saved.reconnects,
            ..Self::default()
        };
        state.flags.set(Flags::KNOWN, true);
        state.flags.set(Flags::ONLINE, saved.online);
        state.flags.set(Flags::SETTLED_ONLINE, saved.settled_online);
        if saved.settles_s != NO_TIME && saved.settles_s <= now_s && saved.online != saved.settled_online {
            state.settle(saved.online, saved.settles_s);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::presence::{Presence, Transitions};
    use crate::domain::{Moment, Seen, Tick, UnknownReason};

    const START_S: u32 = 1_700_000_000;
    const POLICY: Policy = Policy::at_once(Duration::from_secs(60));
    const LATE: Policy = Policy { leave: Duration::from_secs(30), ..POLICY };

    /// Seconds after the start of a process that began at `START_S + began`.
    fn at(began: u32, seconds: u32) -> Moment {
        let start = Moment { tick: Tick::ZERO, unix_ms: i64::from(START_S + began) * 1000 };
        start.plus(Duration::from_secs(seconds.into()))
    }

    fn lived(answers: &[(u32, bool)], policy: &Policy) -> State {
        let mut state = State::default();
        for &(seconds, online) in answers {
            state.answered(at(0, seconds), &Seen { online, ..Seen::default() }, policy);
        }
        state
    }

    fn restored(state: &State, policy: &Policy, now: u32) -> State {
        State::restored(&state.saved(policy).expect("something is known"), START_S + now)
    }

    #[test]
    fn nothing_is_saved_of_a_target_that_nothing_is_known_of() {
        assert_eq!(State::default().saved(&POLICY), None);
    }

    #[test]
    fn a_restored_target_is_unknown_until_the_first_answer_and_everything_else_goes_on() {
        let before = lived(&[(10, true), (20, false), (30, true)], &POLICY);
        let mut state = restored(&before, &POLICY, 40);
        let (old, new) = (before.view(at(0, 40), &POLICY), state.view(at(40, 0), &POLICY));
        assert_eq!(new.presence, Presence::Unknown(UnknownReason::Restored));
        assert_eq!((new.last_seen_s, new.last_change_s), (old.last_seen_s, old.last_change_s));
        assert_eq!((new.transitions, new.observed_transitions), (old.transitions, old.observed_transitions));
        state.answered(at(40, 1), &Seen::online(), &POLICY);
        assert_eq!(state.view(at(40, 1), &POLICY).transitions, old.transitions, "nothing changed");
        assert_eq!(state.saved(&POLICY).map(|saved| saved.last_seen_s), Some(START_S + 41));
    }

    #[test]
    fn a_change_across_the_restart_counts_once() {
        let mut state = restored(&lived(&[(10, true)], &LATE), &LATE, 40);
        state.answered(at(40, 1), &Seen::offline(), &LATE);
        state.answered(at(40, 2), &Seen::offline(), &LATE);
        let view = state.view(at(40, 2), &LATE);
        assert_eq!(view.presence, Presence::Offline, "leaving unknown concludes at once");
        assert_eq!(view.transitions, Transitions { to_online: 0, to_offline: 1 });
        assert_eq!(view.observed_transitions, Transitions { to_online: 0, to_offline: 1 });
    }

    #[test]
    fn a_pending_change_that_pages_showed_as_settled_does_not_come_undone() {
        let before = lived(&[(10, true), (20, false)], &LATE);
        let shown = before.view(at(0, 50), &LATE);
        assert_eq!(shown.transitions, Transitions { to_online: 0, to_offline: 1 });
        let view = restored(&before, &LATE, 51).view(at(51, 0), &LATE);
        assert_eq!((view.transitions, view.last_change_s), (shown.transitions, shown.last_change_s));
        let early = restored(&before, &LATE, 49).view(at(49, 0), &LATE);
        assert_eq!(early.transitions, Transitions::default(), "it was not shown as settled before");
    }

    #[test]
    fn times_hold_when_the_clock_was_set_back_and_are_dropped_when_they_cannot_be() {
        let before = lived(&[(1000, true)], &POLICY);
        let mut state = restored(&before, &POLICY, 500);
        state.answered(at(500, 1), &Seen::online(), &POLICY);
        assert_eq!(state.view(at(500, 1), &POLICY).last_seen_s, Some(START_S + 1000));
        let far = lived(&[(AHEAD_MAX_S + 501, true)], &POLICY);
        assert_eq!(restored(&far, &POLICY, 500).view(at(500, 0), &POLICY).last_seen_s, None);
    }
}
