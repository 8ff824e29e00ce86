//! What is really true in a simulation at an instant: what `demo` prints beside the exporter's page, and what tests
//! judge the exporter by. Taken from the sessions alone, with no provider's code between.

use std::fmt;

use crate::providers::sim::{Population, Subject, World};

/// The truth of a whole world at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth<'w> {
    /// The instant, in Unix milliseconds of the simulated servers.
    pub at_ms: i64,
    /// For each population, in the order of the world.
    pub populations: Vec<PopulationTruth<'w>>,
}

/// The truth of one population.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopulationTruth<'w> {
    /// The provider's name.
    pub provider: &'static str,
    /// The instance, app or project.
    pub scope: &'w str,
    /// How many subjects are online.
    pub online: usize,
    /// How many are not.
    pub offline: usize,
    /// How many sessions are open, over all subjects.
    pub connections: usize,
    /// The ids of those online, in the order of the population.
    pub online_ids: Vec<&'w str>,
}

impl<'w> Truth<'w> {
    /// The truth of this world at this Unix time in milliseconds.
    pub fn at(world: &'w World, now_ms: i64) -> Self {
        let populations = world.populations.iter().map(|p| PopulationTruth::at(p, now_ms)).collect();
        Self { at_ms: now_ms, populations }
    }

    /// Subjects online, over all populations.
    pub fn online(&self) -> usize {
        self.populations.iter().map(|p| p.online).sum()
    }
}

impl<'w> PopulationTruth<'w> {
    /// The truth of this population at this Unix time in milliseconds.
    pub fn at(population: &'w Population, now_ms: i64) -> Self {
        let (mut connections, mut online_ids) = (0, Vec::new());
        for subject in &population.subjects {
            let open = subject.open(now_ms).count();
            connections += open;
            if open > 0 {
                online_ids.push(subject.id.as_str());
            }
        }
        let online = online_ids.len();
        Self {
            provider: population.provider,
            scope: &population.scope,
            online,
            offline: population.subjects.len() - online,
            connections,
            online_ids,
        }
    }
}

/// Which values a subject's presence took within a stretch of time, both ends included: what a poller that looked at
/// some instant in it may have seen. Returns (was online, was offline).
pub fn seen_between(subject: &Subject, from_ms: i64, to_ms: i64) -> (bool, bool) {
    let begins = subject.sessions.iter().map(|s| s.start_ms.saturating_add(s.setup_ms));
    let ends = subject.sessions.iter().map(|s| s.end_ms);
    let mut instants: Vec<i64> = begins.chain(ends).filter(|t| (from_ms..=to_ms).contains(t)).collect();
    instants.push(from_ms);
    instants.sort_unstable();
    instants.dedup();
    instants.iter().fold((false, false), |(on, off), &at| {
        let online = subject.is_online(at);
        (on || online, off || !online)
    })
}

impl fmt::Display for Truth<'_> {
    /// One line for each population.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.populations.iter().map(|p| p.provider.len()).max().unwrap_or(0);
        for p in &self.populations {
            writeln!(
                f,
                "{:width$}  {:>6} online {:>6} offline {:>6} connections",
                p.provider, p.online, p.offline, p.connections
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Platform;
    use crate::providers::sim::SimSession;

    fn session(start_ms: i64, setup_ms: i64, end_ms: i64) -> SimSession {
        SimSession {
            id: 1,
            start_ms,
            setup_ms,
            end_ms,
            platform: Platform::Web,
            network_rtt_ms: 10,
            e2e_rtt_ms: 20,
            failure: None,
        }
    }

    fn subject(id: &str, sessions: Vec<SimSession>) -> Subject {
        Subject { id: id.into(), user: String::new(), sessions }
    }

    #[test]
    fn the_truth_is_what_the_sessions_say() {
        let failed = SimSession { failure: Some("no"), ..session(0, 0, 100) };
        let world = World {
            populations: vec![Population::new(
                "p",
                "s",
                vec![
                    subject("two", vec![session(0, 5, 100), session(10, 5, 50)]),
                    subject("failed", vec![failed]),
                    subject("late", vec![session(60, 10, 100)]),
                ],
            )],
        };
        let at = |now_ms| {
            let truth = Truth::at(&world, now_ms);
            let p = &truth.populations[0];
            (p.online, p.offline, p.connections, p.online_ids.join(" "))
        };
        assert_eq!(at(4), (0, 3, 0, String::new()));
        assert_eq!(at(20), (1, 2, 2, "two".into()));
        assert_eq!(at(69), (1, 2, 1, "two".into()));
        assert_eq!(at(70), (2, 1, 2, "two late".into()));
        assert_eq!(at(100), (0, 3, 0, String::new()));
    }

    #[test]
    fn what_was_seen_between_names_every_value_taken() {
        let subject = subject("a", vec![session(10, 5, 20), session(30, 0, 40)]);
        assert_eq!(seen_between(&subject, 0, 14), (false, true));
        assert_eq!(seen_between(&subject, 0, 15), (true, true));
        assert_eq!(seen_between(&subject, 15, 19), (true, false));
        assert_eq!(seen_between(&subject, 16, 35), (true, true));
        assert_eq!(seen_between(&subject, 20, 29), (false, true));
    }
}
