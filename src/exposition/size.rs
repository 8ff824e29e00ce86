//! How large a page becomes: measured, not modelled. A page of one target for each source is written by the very writer,
//! and what it writes for that target counts once for each.
//!
//! The targets are online with all that their provider can tell, which is the most series that a target has.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::{Format, Page};
use crate::domain::{Moment, Roster, RowId, Seen, SourceSpec, TargetLabels, Tick};
use crate::store::{Installed, Store};

/// Some instant, whose digits are those of times to come.
const NOW: Moment = Moment { tick: Tick::from_micros(60_000_000), unix_ms: 1_800_000_000_000 };

/// A source as far as its series depend on it.
pub struct Exhibit<'a> {
    /// What is fixed about it.
    pub spec: SourceSpec,
    /// Its targets.
    pub roster: &'a Roster,
    /// Whether the provider counts connections.
    pub connections: bool,
    /// Whether it tells round-trip times.
    pub round_trips: bool,
}

/// A page, or a source's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Series on it.
    pub series: u64,
    /// Its bytes, comments included, not compressed.
    pub bytes: u64,
}

/// The part of each source, and the whole page with the families `own` on it.
pub fn size(exhibits: &[Exhibit<'_>], own: Vec<MetricFamily>) -> (Vec<Size>, Size) {
    let text = sample_page(exhibits, own);
    let places: HashMap<&str, usize> =
        exhibits.iter().enumerate().map(|(place, one)| (&*one.spec.name, place)).collect();
    let mut parts = vec![Size::default(); exhibits.len()];
    let mut rest = Size::default();
    for line in text.lines() {
        let bytes = line.len() as u64 + 1;
        let series = u64::from(!line.starts_with('#'));
        let source = line.split_once("source=\"").and_then(|(_, rest)| rest.split('"').next());
        let Some(&place) = source.filter(|_| series > 0).and_then(|name| places.get(name)) else {
            rest = Size { series: rest.series + series, bytes: rest.bytes + bytes };
            continue;
        };
        let times = if line.contains(",target=\"") { u64::from(exhibits[place].roster.len()) } else { 1 };
        parts[place].series += times;
        parts[place].bytes += bytes * times;
    }
    let whole = parts
        .iter()
        .fold(rest, |sum, part| Size { series: sum.series + part.series, bytes: sum.bytes + part.bytes });
    (parts, whole)
}

/// A page of one target of each source, whose id is as long as ids are on average.
fn sample_page(exhibits: &[Exhibit<'_>], own: Vec<MetricFamily>) -> String {
    let store = Store::new();
    let mut installed = Vec::new();
    for (number, exhibit) in (0_u16..).zip(exhibits) {
        let mut roster = Roster::new(number, 0);
        roster.push(&"x".repeat(mean_length(exhibit.roster)), labels(exhibit.roster));
        installed.push(Installed { spec: exhibit.spec.clone(), roster: Arc::new(roster) });
    }
    store.install(installed);
    for (number, exhibit) in (0_u16..).zip(exhibits) {
        let row = RowId { source: number, generation: 0, index: 0 };
        let reported = exhibit.spec.evidence != crate::domain::Evidence::None;
        let seen = Seen {
            connections: exhibit.connections.then_some(1),
            started_ms: reported.then_some(NOW.unix_ms - 7_200_000),
            network_rtt_ms: exhibit.round_trips.then_some(40),
            e2e_rtt_ms: exhibit.round_trips.then_some(70),
            ..Seen::online()
        };
        // Twice, with an absence before, so that there is a last change.
        let before = |seconds: u64| Moment {
            tick: NOW.tick.back(std::time::Duration::from_secs(seconds)),
            unix_ms: NOW.unix_ms - i64::try_from(seconds).unwrap_or(0) * 1000,
        };
        store.answered(before(2), &[(row, Ok(Seen::offline()))]);
        store.answered(before(1), &[(row, Ok(seen))]);
        store.heard(number, 0, before(1));
    }
    let mut page = Page::new(store.snapshot(), NOW, own, Format::Text);
    let mut bytes = Vec::new();
    while page.next_piece(&mut bytes) {}
    String::from_utf8_lossy(&bytes).into_owned()
}

fn mean_length(roster: &Roster) -> usize {
    let ids: usize = roster.iter().map(|target| target.id.len()).sum();
    ids.checked_div(roster.len() as usize).unwrap_or(0).max(1)
}

/// The labels of the first target that has some: those of one source are mostly alike.
fn labels(roster: &Roster) -> TargetLabels {
    (0..roster.len().min(1000)).find_map(|index| roster.labels(index)).cloned().unwrap_or_default()
}
