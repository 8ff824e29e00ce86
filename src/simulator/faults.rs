//! Faults on schedule: what goes wrong, for whom, when and how often. The same seed and the same requests give the same
//! faults.
//!
//! It decides and nothing more: [`super::core`] carries a fault out, and a provider words its own.

use std::time::Duration;

use crate::domain::Tick;
use crate::providers::sim::Trouble;

/// Where a fault strikes that names no cloud and no provider.
pub const EVERYWHERE: &str = "all";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The provider says so in its own words.
    Worded(Trouble),
    /// The connection is reset before a byte of the answer.
    Reset,
    /// The connection is reset in the middle of the answer's body.
    ResetInBody,
    /// The answer comes late by this much.
    Slow(Duration),
    /// The answer comes in drops, the last one after this long.
    Drip(Duration),
    /// The answer ends before the length that it declares, and the connection is closed in good order.
    Truncated,
    /// A gateway's HTML page with status 502.
    Html,
    /// A good status with a body of so many bytes, sent in chunks.
    Giant(u64),
    /// A good status, the right content type, and no JSON.
    NotJson,
    /// No answer at all, on an open connection.
    Hang,
}

impl Kind {
    /// The word for it in texts and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worded(Trouble::Throttled { .. }) => "throttle",
            Self::Worded(Trouble::ServerError) => "server-error",
            Self::Worded(Trouble::ErrorUnder200) => "error-200",
            Self::Worded(Trouble::Forbidden) => "forbidden",
            Self::Worded(Trouble::Unauthorized) => "unauthorized",
            Self::Worded(Trouble::WrongType) => "wrong-type",
            Self::Worded(Trouble::MissingField) => "missing-field",
            Self::Reset => "reset",
            Self::ResetInBody => "reset-in-body",
            Self::Slow(_) => "slow",
            Self::Drip(_) => "drip",
            Self::Truncated => "truncated",
            Self::Html => "html",
            Self::Giant(_) => "giant",
            Self::NotJson => "not-json",
            Self::Hang => "hang",
        }
    }
}

/// When a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// All the time.
    Always,
    /// From so long after the schedule began, until so long after it (not included), or for good.
    Time {
        /// From here on.
        from: Duration,
        /// Until here.
        to: Option<Duration>,
    },
    /// From this request on, counted from 1 over those that the fault could strike, until this one (included), or for
    /// good.
    Requests {
        /// The first.
        from: u64,
        /// The last.
        to: Option<u64>,
    },
}

impl When {
    fn holds(self, passed: Duration, number: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Time { from, to } => from <= passed && to.is_none_or(|to| passed < to),
            Self::Requests { from, to } => from <= number && to.is_none_or(|to| number <= to),
        }
    }
}

/// One line of the schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// A cloud, a provider or [`EVERYWHERE`].
    pub place: String,
    /// Only requests of this action, if given.
    pub action: Option<String>,
    /// What goes wrong.
    pub kind: Kind,
    /// When it may.
    pub when: When,
    /// How likely each request is struck then, above 0 and up to 1.
    pub probability: f64,
}

impl Incident {
    /// A fault that strikes every request of a cloud or provider, all the time.
    pub fn always(place: impl Into<String>, kind: Kind) -> Self {
        Self { place: place.into(), action: None, kind, when: When::Always, probability: 1.0 }
    }

    fn concerns(&self, asked: &Asked<'_>) -> bool {
        (self.place == EVERYWHERE || self.place == asked.cloud || self.place == asked.provider)
            && self.action.as_ref().is_none_or(|action| action == asked.action)
    }
}

/// What a schedule has to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The cloud whose listener it came to.
    pub cloud: &'a str,
    /// The provider that deals with it.
    pub provider: &'a str,
    /// The action, as the provider names it.
    pub action: &'a str,
}

/// Incidents with their counters. The first incident that strikes a request decides.
#[derive(Debug, Default)]
pub struct Schedule {
    incidents: Vec<(Incident, u64)>,
    began: Tick,
    seed: u64,
}

impl Schedule {
    /// A schedule whose times count from `began`.
    pub fn new(incidents: Vec<Incident>, began: Tick, seed: u64) -> Self {
        Self { incidents: incidents.into_iter().map(|incident| (incident, 0)).collect(), began, seed }
    }

    /// Whether nothing is on schedule, so that nobody need work out what is asked.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
    }

    /// Counts a request and says what is to go wrong with it.
    pub fn decide(&mut self, now: Tick, asked: &Asked<'_>) -> Option<Kind> {
        let passed = now.since(self.began);
        let mut struck = None;
        for (index, (incident, count)) in self.incidents.iter_mut().enumerate() {
            if !incident.concerns(asked) {
                continue;
            }
            *count += 1;
            if struck.is_none()
                && incident.when.holds(passed, *count)
                && chance(self.seed, index, *count) < incident.probability
            {
                struck = Some(incident.kind);
            }
        }
        struck
    }
}

/// A number from 0 to below 1 that depends on nothing but these three.
fn chance(seed: u64, index: usize, count: u64) -> f64 {
    let mut rng = fastrand::Rng::with_seed(seed ^ (index as u64).rotate_left(40) ^ count);
    // A generator's first number is close to its seed; the second is not.
    rng.u64(..);
    rng.f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked { cloud: "alibaba", provider: "alibaba_mqtt", action: "Query" };

    fn struck(incident: Incident, seconds: &[u64]) -> Vec<bool> {
        let mut schedule = Schedule::new(vec![incident], Tick::from_micros(5_000_000), 7);
        seconds
            .iter()
            .map(|s| schedule.decide(Tick::from_micros((5 + s) * 1_000_000), &ASKED).is_some())
            .collect()
    }

    #[test]
    fn a_fault_strikes_its_place_and_action_only() {
        for (place, action, strikes) in [
            ("all", None, true),
            ("alibaba", None, true),
            ("alibaba_mqtt", None, true),
            ("alibaba_mqtt", Some("Query"), true),
            ("alibaba_mqtt", Some("Other"), false),
            ("alibaba_smartag", None, false),
            ("openim", None, false),
        ] {
            let incident =
                Incident { action: action.map(str::to_owned), ..Incident::always(place, Kind::Hang) };
            assert_eq!(struck(incident, &[0]), [strikes], "{place} {action:?}");
        }
    }

    #[test]
    fn a_time_begins_with_the_schedule_and_its_end_is_not_included() {
        let when = When::Time { from: Duration::from_secs(10), to: Some(Duration::from_secs(30)) };
        let incident = Incident { when, ..Incident::always("all", Kind::Html) };
        assert_eq!(struck(incident, &[9, 10, 29, 30]), [false, true, true, false]);
    }

    #[test]
    fn request_numbers_count_from_one_and_include_the_last() {
        let when = When::Requests { from: 2, to: Some(3) };
        let incident = Incident { when, ..Incident::always("all", Kind::Html) };
        assert_eq!(struck(incident, &[0, 0, 0, 0]), [false, true, true, false]);
    }

    #[test]
    fn a_probability_is_kept_and_repeats_with_the_seed() {
        let incident = Incident { probability: 0.25, ..Incident::always("all", Kind::Reset) };
        let once = struck(incident.clone(), &vec![1; 4_000]);
        assert_eq!(once, struck(incident, &vec![1; 4_000]));
        let share = once.iter().filter(|&&struck| struck).count();
        assert!((850..1_150).contains(&share), "{share} of 4000");
    }

    #[test]
    fn the_first_incident_decides_and_the_others_still_count() {
        let second =
            Incident { when: When::Requests { from: 2, to: None }, ..Incident::always("all", Kind::Html) };
        let first =
            Incident { when: When::Requests { from: 1, to: Some(1) }, ..Incident::always("all", Kind::Hang) };
        let mut schedule = Schedule::new(vec![first, second], Tick::ZERO, 0);
        assert_eq!(schedule.decide(Tick::ZERO, &ASKED), Some(Kind::Hang));
        assert_eq!(schedule.decide(Tick::ZERO, &ASKED), Some(Kind::Html));
    }
}
