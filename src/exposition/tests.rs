//! Pages, read as a scraper reads them.

mod families;
mod golden;
mod laws;
mod pieces;
mod platforms;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::families::{FAMILIES, MetricKind, OWN_FAMILIES, SESSION_FAMILIES};
use super::*;
use crate::domain::{
    ConnKey, Evidence, FailureReason, Fault, Kind, Moment, Platform, Policy, Roster, RowId, Seen, SourceSpec,
    TargetLabels, Tick, UnknownReason,
};
use crate::store::{Installed, Store};
use crate::telemetry::Telemetry;

const MAX_AGE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_250 }.plus(Duration::from_secs(seconds))
}

fn row(source: u16, index: u32) -> RowId {
    RowId { source, generation: 1, index }
}

fn roster(source: u16, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Roster {
    let mut roster = Roster::new(source, 1);
    for id in ids {
        assert!(roster.push(id.as_ref(), TargetLabels::default()));
    }
    roster
}

fn source(name: &str, provider: &'static str, kind: Kind, evidence: Evidence, roster: Roster) -> Installed {
    let (policy, platforms) = (Policy::at_once(MAX_AGE), evidence == Evidence::FirstSeen);
    let spec = SourceSpec {
        name: name.into(),
        provider,
        kind,
        evidence,
        platforms,
        policy,
        detection_delay: MAX_AGE,
    };
    Installed { spec, roster: Arc::new(roster) }
}

/// One source of users with these many targets.
fn users(targets: u32) -> Store {
    let store = Store::new();
    let ids = (0..targets).map(|n| format!("u{n:07}0123456789abcdef"));
    store.install(vec![source("im", "openim", Kind::User, Evidence::FirstSeen, roster(0, ids))]);
    store
}

fn pieces(mut page: Page) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = page.next_piece(&mut piece);
        pieces.push(piece);
        if !more {
            return pieces;
        }
    }
}

fn text(page: Page) -> String {
    String::from_utf8(pieces(page).concat()).expect("a page is UTF-8")
}

fn page(store: &Store, now: Moment) -> String {
    text(Page::new(store.snapshot(), now, Vec::new(), Format::Text))
}

/// A sample as a reader understands it.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// Reads a page as a scraper does and insists on what all scrapers need.
fn read(page: &str) -> Vec<Sample> {
    assert!(page.ends_with('\n') && !page.contains('\r'));
    let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).map(read_line).collect();
    let mut seen = BTreeSet::new();
    for sample in &samples {
        let mut labels = sample.labels.clone();
        labels.sort();
        assert!(seen.insert((sample.name.clone(), labels)), "twice: {sample:?}");
    }
    samples
}

fn read_line(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect(line);
    let value = value.parse().expect(line);
    let Some((name, rest)) = head.split_once('{') else {
        return Sample { name: head.into(), labels: vec![], value };
    };
    let mut labels = Vec::new();
    let mut chars = rest.chars();
    while chars.as_str() != "}" {
        let label: String = chars.by_ref().take_while(|&c| c != '=').collect();
        assert_eq!(chars.next(), Some('"'), "{line}");
        let mut text = String::new();
        loop {
            match chars.next().expect(line) {
                '"' => break,
                '\\' => match chars.next().expect(line) {
                    'n' => text.push('\n'),
                    c @ ('"' | '\\') => text.push(c),
                    c => panic!("escape {c:?} in {line}"),
                },
                c => text.push(c),
            }
        }
        labels.push((label.trim_start_matches(',').to_owned(), text));
    }
    Sample { name: name.into(), labels, value }
}

/// A world of four sources with names and ids as hostile as operators and providers can make them.
fn hostile_world() -> Store {
    let mut people =
        roster(0, ["plain", "quo\"te", "back\\slash\\n", "line\nbreak", "🦀-é-{}=,#", "\u{202e}rtl"]);
    people.push(
        "named",
        TargetLabels {
            name: Some("Ann \"the\\boss\"\nO'Hara".into()),
            labels: vec![("team".into(), "{a=\"b\"}".into()), ("floor".into(), String::new())],
        },
    );
    let desktops = roster(1, ["desk-1", "desk-2", "desk-3"]);
    let devices = roster(2, ["GID_x@@@dev 1"]);
    let store = Store::new();
    store.install(vec![
        source("im \"eu\"\\1", "openim", Kind::User, Evidence::FirstSeen, people),
        source("ws", "huawei_workspace", Kind::Desktop, Evidence::Reported, desktops),
        source("mqtt", "alibaba_mqtt", Kind::Device, Evidence::None, devices),
        source("empty", "volcengine_rtc", Kind::User, Evidence::FirstSeen, roster(3, [""; 0])),
    ]);
    let conns = |n: u64| Seen {
        connections: Some(u32::try_from(n).expect("few")),
        conns: (0..n).map(ConnKey).collect(),
        platforms: [Platform::Ios, Platform::Windows][..=usize::from(n > 1)].to_vec(),
        ..Seen::online()
    };
    let gone = || Seen { connections: Some(0), ..Seen::offline() };
    store.refreshed(1, true, at(2));
    store.refreshed(3, false, at(2));
    store.answered(at(0), &[(row(0, 4), Ok(conns(1)))]);
    store.answered(
        at(100),
        &[
            (row(0, 0), Ok(conns(1))),
            (row(0, 1), Ok(conns(3))),
            (row(0, 2), Ok(gone())),
            (row(0, 3), Err(Fault::RefusedId)),
            (row(0, 6), Ok(gone())),
        ],
    );
    store.failed(at(90), &mut [row(0, 4)].into_iter(), Fault::Throttled);
    store.heard(0, 1, at(100));
    store.rounded(0, 1, Duration::from_millis(29_375));
    let desk = |started_ms, network_rtt_ms, e2e_rtt_ms| Seen {
        connections: Some(1),
        started_ms,
        network_rtt_ms,
        e2e_rtt_ms,
        ..Seen::online()
    };
    store.answered(
        at(110),
        &[
            (row(1, 0), Ok(desk(Some(1_699_990_000_999), Some(12), Some(1250)))),
            // A provider's clock that runs before ours.
            (row(1, 1), Ok(desk(Some(1_700_009_999_000), Some(0), Some(u32::MAX)))),
        ],
    );
    store.heard(1, 1, at(110));
    store.silent(1, 1);
    store.answered(at(105), &[(row(2, 0), Ok(Seen::online()))]);
    store.heard(2, 1, at(105));
    store
}

fn own() -> Vec<prometheus::proto::MetricFamily> {
    let telemetry = Telemetry::new("1.2.3", "abc\"def", "1.95.0");
    telemetry.register("main \"\\", "openim", &["get_token"]);
    telemetry.request("main \"\\", "openim", "get_token", 0.25);
    telemetry.request("main \"\\", "openim", "get_token", 64.0);
    telemetry.failure("main \"\\", "openim", "get_token", Fault::Timeout);
    let desks = telemetry.sessions("ws", "huawei_workspace", "desktop");
    desks.set_up(Duration::from_secs(3));
    desks.round_trip(Duration::from_millis(20));
    desks.lasted(Duration::from_secs(5400));
    desks.failed(FailureReason::Timeout);
    telemetry.http_answered(200);
    telemetry.scrape_body(123_456);
    let mut families = telemetry.gather();
    families.retain(|family| !family.name().starts_with("process_"));
    families
}
