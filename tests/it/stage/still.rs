//! A world in which nothing happens while a test runs, so that every wrong row is a mistake and never a race.

use presence_exporter::domain::Platform;
use presence_exporter::providers::ProviderKind;
use presence_exporter::providers::sim::{Population, SimSession, Subject, World};
use presence_exporter::simulator::Scenario;

const HOUR_MS: i64 = 3_600_000;

/// How long before the present the first subject's session began.
pub const STILL_START_BEFORE_MS: i64 = 3 * HOUR_MS;

/// How many sessions stand of five subjects in a row: one, none ever, none any more, two, none yet.
pub const ONLINE: [usize; 5] = [1, 0, 0, 2, 0];

/// A population of this size for each of these providers, with ids and scopes as the scenario makes them up.
pub fn still_world(kinds: &[&'static dyn ProviderKind], size: usize, now_ms: i64) -> World {
    let scenario = Scenario { default_targets: size, ..Scenario::default() };
    let mut next_id = 0x5_0000_0000;
    let populations = scenario.world(kinds, now_ms).populations.into_iter().map(|population| {
        let subjects = population
            .subjects
            .into_iter()
            .enumerate()
            .map(|(index, subject)| still(index, subject.id, subject.user, now_ms, &mut next_id));
        Population::new(population.provider, population.scope, subjects.collect())
    });
    World { populations: populations.collect() }
}

/// The subject with this number: its place in a row of five decides what it does.
pub fn still(index: usize, id: String, user: String, now_ms: i64, next_id: &mut u64) -> Subject {
    let began = now_ms - STILL_START_BEFORE_MS - 1000 * i64::try_from(index).expect("a small number");
    let (month, never) = (30 * 24 * HOUR_MS, Vec::new());
    let spans = match index % ONLINE.len() {
        0 => vec![(began, now_ms + month)],
        2 => vec![(began, began + HOUR_MS)],
        3 => vec![(began, now_ms + month), (began + HOUR_MS, now_ms + month)],
        4 => vec![(now_ms + month - HOUR_MS, now_ms + month)],
        _ => never,
    };
    let sessions = spans.into_iter().map(|(start_ms, end_ms)| {
        *next_id += 1;
        SimSession {
            id: *next_id,
            start_ms,
            setup_ms: 1_500,
            end_ms,
            platform: Platform::Android,
            network_rtt_ms: 40,
            e2e_rtt_ms: 70,
            failure: None,
        }
    });
    Subject { id, user, sessions: sessions.collect() }
}
