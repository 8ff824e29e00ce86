//! When a simulated subject is online: behaviours, and the sessions that follow from them.
//!
//! The share online is steady by construction, not by luck: subjects of one behaviour share a period, their phases are
//! spread evenly over it, and chance only moves each coming and going a little. Nothing here knows a provider.

use fastrand::Rng;

use crate::domain::Platform;
use crate::providers::sim::SimSession;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// A whole period, in the parts that phases and shares are counted in.
pub(super) const WHOLE: i64 = 1_000_000;
/// The share of its period that a coming and going subject is online. With the behaviours as dealt, about 60 % of a
/// population are.
const ON_SHARE: i64 = 630_000;
/// How far chance moves a beginning or an end. Less than half the share offline, so that stays never meet.
const JITTER: i64 = 120_000;
/// The golden ratio, in parts: phases in steps of it are spread as evenly as can be, however many are taken.
const GOLDEN: i64 = 618_034;
/// Flapping and lively subjects do so from this long before the origin on; before, they come and go slowly. A day of
/// flapping would be a thousand sessions nobody looks at.
const LIVELY_BEFORE: i64 = 30 * MINUTE;
/// Stays of one subject at most within the horizon: a month of flapping becomes slower flapping.
const MAX_STAYS: i64 = 1_500;

/// How a subject behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Online from before the origin until after the horizon.
    Always,
    /// Never online.
    Never,
    /// Comes and goes in hours.
    Ordinary,
    /// Comes and goes in minutes, so that a demonstration shows movement.
    Lively,
    /// Comes and goes in seconds: shorter than many intervals.
    Flapping,
}

/// What the behaviours of 25 subjects in a row are. The first is always on and the second never, so that even two
/// subjects are one online and one offline.
const DEAL: [Behaviour; 25] = {
    use Behaviour::{Always as A, Flapping as F, Lively as L, Never as N, Ordinary as O};
    [A, N, L, O, O, L, F, O, O, A, O, N, O, L, O, O, L, O, A, O, N, F, O, L, O]
};

/// Lively and flapping subjects stand among so many first ones of a population. A larger world is calmer, as real ones
/// are, and ten thousand subjects have some 150,000 sessions instead of 600,000.
const LIVELY_AMONG: usize = 500;

impl Behaviour {
    pub(super) fn of(index: usize) -> Self {
        match DEAL[index % DEAL.len()] {
            Self::Lively | Self::Flapping if index >= LIVELY_AMONG => Self::Ordinary,
            dealt => dealt,
        }
    }

    /// How many subjects were dealt this behaviour before this one: what its phase hangs on.
    fn rank(self, index: usize) -> usize {
        let in_deal = |upto: usize| DEAL[..upto].iter().filter(|b| **b == self).count();
        (index / DEAL.len()) * in_deal(DEAL.len()) + in_deal(index % DEAL.len())
    }

    fn period_ms(self) -> i64 {
        match self {
            Self::Flapping => 75 * SECOND,
            Self::Lively => 5 * MINUTE,
            Self::Always | Self::Never | Self::Ordinary => 170 * MINUTE,
        }
    }
}

/// What a provider's clients can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// What clients run on.
    pub platforms: &'static [Platform],
    /// Whether a subject may have several sessions at once.
    pub several: bool,
    /// Why attempts fail, where the provider keeps records of attempts.
    pub failures: &'static [&'static str],
}

/// The stretch of time that timelines cover, in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub begin: i64,
    pub origin: i64,
    pub end: i64,
}

/// Makes one subject's sessions after another.
pub(super) struct Maker<'a> {
    pub rng: &'a mut Rng,
    pub span: Span,
    pub habits: Habits,
    /// The id of the next session.
    pub next_id: &'a mut u64,
    /// Moves the phases of a whole population, in parts of a period.
    pub offset: i64,
}

impl Maker<'_> {
    /// Every session and failed attempt of the subject with this number, by start.
    pub(super) fn sessions(&mut self, index: usize) -> Vec<SimSession> {
        let behaviour = Behaviour::of(index);
        let stays = self.stays(behaviour, behaviour.rank(index));
        let mut sessions = Vec::with_capacity(stays.len() + 1);
        for &(from, to) in &stays {
            self.stay(from, to, &mut sessions);
        }
        if behaviour == Behaviour::Never && !self.habits.failures.is_empty() && self.rng.bool() {
            let when = self.span.origin - self.rng.i64(MINUTE..120 * MINUTE);
            sessions.extend(self.attempt(when));
        }
        sessions.sort_by_key(|session| session.start_ms);
        sessions
    }

    /// When the subject is online, as (begin, end) of stays that do not meet.
    fn stays(&mut self, behaviour: Behaviour, rank: usize) -> Vec<(i64, i64)> {
        let Span { begin, origin, end } = self.span;
        let mut stays = Vec::new();
        match behaviour {
            Behaviour::Never => {}
            Behaviour::Always => {
                // Set up anew once, well before the origin, and not over within the horizon.
                let broke = self.rng.i64(begin + MINUTE..origin - 20 * MINUTE);
                stays.push((begin, broke));
                stays.push((broke + 5 * SECOND, end + 60 * MINUTE));
            }
            Behaviour::Ordinary => self.comings(begin, end, behaviour.period_ms(), rank, &mut stays),
            Behaviour::Lively | Behaviour::Flapping => {
                let lively = origin - LIVELY_BEFORE;
                self.comings(begin, lively, Behaviour::Ordinary.period_ms(), rank, &mut stays);
                let period = behaviour.period_ms().max((end - lively) / MAX_STAYS);
                self.comings(lively, end, period, rank, &mut stays);
            }
        }
        stays
    }

    /// Stays of one period each, cut to the stretch.
    fn comings(&mut self, from: i64, to: i64, period: i64, rank: usize, stays: &mut Vec<(i64, i64)>) {
        let rank = i64::try_from(rank).unwrap_or(i64::MAX) % WHOLE;
        let part = |share: i64| period * share / WHOLE;
        let mut cycle = from - period + part((self.offset + rank * GOLDEN) % WHOLE);
        while cycle < to {
            let begin = cycle + part(self.rng.i64(-JITTER..=JITTER));
            let end = cycle + part(ON_SHARE + self.rng.i64(-JITTER..=JITTER));
            if end > from && begin < to {
                stays.push((begin.max(from), end.min(to)));
            }
            cycle += period;
        }
    }

    /// The sessions of one stay: mostly one; sometimes one that breaks and is set up anew, sometimes more beside it, now
    /// and then a failed attempt before it.
    fn stay(&mut self, from: i64, to: i64, sessions: &mut Vec<SimSession>) {
        if !self.habits.failures.is_empty() && self.rng.u8(..) < 12 {
            let earlier = self.rng.i64(5 * SECOND..40 * SECOND);
            sessions.extend(self.attempt(from - earlier));
        }
        if to - from > 3 * MINUTE && self.rng.u8(..) < 20 {
            let broke = self.rng.i64(from + MINUTE..to - MINUTE);
            sessions.push(self.session(from, broke));
            let mut back = self.session(broke, to);
            back.start_ms = broke + self.rng.i64(50..2_000);
            sessions.push(back);
        } else {
            sessions.push(self.session(from, to));
        }
        while self.habits.several && to - from > MINUTE && self.rng.u8(..) < 100 {
            let begin = self.rng.i64(from..to - 30 * SECOND);
            let end = self.rng.i64(begin + 20 * SECOND..to);
            sessions.push(self.session(begin, end));
        }
    }

    /// A session that stands from `from` (begun a little earlier) until `to`.
    fn session(&mut self, from: i64, to: i64) -> SimSession {
        let setup_ms = self.rng.i64(180..4_000);
        let platforms = self.habits.platforms;
        // From 5 to 159 ms, each doubling as often as the next, as round-trip times are.
        let at_least = 5 << self.rng.u32(..5);
        let network_rtt_ms = at_least + self.rng.u32(..at_least);
        let e2e_rtt_ms = network_rtt_ms + self.rng.u32(8..60);
        let id = *self.next_id;
        *self.next_id += 1;
        SimSession {
            id,
            start_ms: from - setup_ms,
            setup_ms,
            end_ms: to,
            platform: platforms[self.rng.usize(..platforms.len())],
            network_rtt_ms,
            e2e_rtt_ms,
            failure: None,
        }
    }

    /// An attempt that came to nothing; `None` where attempts leave no trace, or before all time.
    fn attempt(&mut self, when: i64) -> Option<SimSession> {
        let why = *self.rng.choice(self.habits.failures)?;
        let attempt = self.session(when, when);
        (attempt.start_ms >= self.span.begin).then_some(SimSession { failure: Some(why), ..attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_the_subjects_of_the_same_behaviour_before() {
        let mut counted = std::collections::HashMap::new();
        for index in 0..LIVELY_AMONG {
            let behaviour = Behaviour::of(index);
            let before = counted.entry(format!("{behaviour:?}")).or_insert(0);
            assert_eq!(behaviour.rank(index), *before, "{index}");
            *before += 1;
        }
    }
}
