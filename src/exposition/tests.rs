use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

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
    let spec = SourceSpec { name: name.into(), provider, kind, evidence, platforms, policy };
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
        platforms: [Platform::Ios, Platform::Windows][..usize::from(n > 1) + 1].to_vec(),
        ..Seen::online()
    };
    let gone = || Seen { connections: Some(0), ..Seen::offline() };
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

/// Compares with a file of `tests/golden`, or writes it when `UPDATE_GOLDEN` is set.
#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
fn check_golden(file: &str, expected: &str, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, actual).expect("the golden file can be written");
        return;
    }
    for (n, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "{file}, line {}", n + 1);
    }
    assert_eq!(actual, expected, "{file}");
}

#[test]
fn the_text_page_is_what_it_was() {
    let page = Page::new(hostile_world().snapshot(), at(120), own(), Format::Text);
    check_golden("page.txt", include_str!("../../tests/golden/page.txt"), &text(page));
}

#[test]
fn the_openmetrics_page_is_what_it_was() {
    let page = Page::new(hostile_world().snapshot(), at(120), own(), Format::OpenMetrics);
    let expected = include_str!("../../tests/golden/page.openmetrics.txt");
    check_golden("page.openmetrics.txt", expected, &text(page));
}

#[test]
fn both_formats_have_the_same_samples_byte_for_byte() {
    let store = hostile_world();
    let samples = |format| {
        let page = text(Page::new(store.snapshot(), at(120), own(), format));
        page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(samples(Format::Text), samples(Format::OpenMetrics));
}

#[test]
fn openmetrics_pages_end_with_eof_and_name_counters_without_total() {
    let open = text(Page::new(hostile_world().snapshot(), at(120), own(), Format::OpenMetrics));
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
    for line in open.lines().filter(|line| line.starts_with("# TYPE ") || line.starts_with("# UNIT ")) {
        let words: Vec<_> = line.split(' ').collect();
        assert!(!words[2].ends_with("_total") && !words[2].ends_with("_info"), "{line}");
        assert!(words[1] == "TYPE" || words[2].ends_with(&format!("_{}", words[3])), "{line}");
    }
    let plain = text(Page::new(hostile_world().snapshot(), at(120), own(), Format::Text));
    assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"));
}

#[test]
fn hostile_names_come_back_as_they_were() {
    let samples = read(&page(&hostile_world(), at(120)));
    let ids: Vec<_> = samples
        .iter()
        .filter(|s| s.name == "presence_target_info" && s.label("kind") == "user")
        .map(|s| (s.label("source"), s.label("target")))
        .collect();
    let expected =
        ["plain", "quo\"te", "back\\slash\\n", "line\nbreak", "🦀-é-{}=,#", "\u{202e}rtl", "named"];
    assert_eq!(ids, expected.map(|id| ("im \"eu\"\\1", id)));
    let named = samples.iter().find(|s| s.name == "presence_target_info" && s.label("target") == "named");
    let named = named.expect("an info series");
    assert_eq!(named.label("name"), "Ann \"the\\boss\"\nO'Hara");
    assert_eq!((named.label("team"), named.label("evidence")), ("{a=\"b\"}", "first_seen"));
}

#[test]
fn what_is_there_depends_on_the_state() {
    let samples = read(&page(&hostile_world(), at(120)));
    // Counters are always there.
    let families = |target: &str| -> BTreeSet<&str> {
        let of = samples.iter().filter(|s| s.label("target") == target && !s.name.ends_with("_total"));
        of.map(|s| s.name.as_str()).collect()
    };
    let desk = [
        "presence_online",
        "presence_observed_online",
        "presence_connections",
        "presence_last_seen_timestamp_seconds",
        "presence_target_info",
    ];
    let online = [
        "presence_connection_duration_seconds",
        "presence_connection_start_timestamp_seconds",
        "presence_network_rtt_seconds",
        "presence_e2e_rtt_seconds",
        "presence_observed_timestamp_seconds",
    ];
    assert_eq!(families("desk-1"), desk.into_iter().chain(online).collect());
    let offline = [
        "presence_online",
        "presence_observed_online",
        "presence_connections",
        "presence_observed_timestamp_seconds",
        "presence_target_info",
    ];
    assert_eq!(families("named"), offline.into_iter().collect());
    let expired = [
        "presence_unknown",
        "presence_observed_timestamp_seconds",
        "presence_last_seen_timestamp_seconds",
        "presence_target_info",
    ];
    assert_eq!(families("🦀-é-{}=,#"), expired.into_iter().collect());
    assert_eq!(families("desk-3"), ["presence_unknown", "presence_target_info"].into_iter().collect());
    let value = |name: &str, target: &str| {
        samples.iter().find(|s| s.name == name && s.label("target") == target).map(|s| s.value)
    };
    assert_eq!(value("presence_connections", "named"), Some(0.0));
    assert_eq!(value("presence_connection_duration_seconds", "desk-1"), Some(10_120.0));
    assert_eq!(value("presence_connection_duration_seconds", "desk-2"), Some(0.0));
    assert_eq!(value("presence_network_rtt_seconds", "desk-1"), Some(0.012));
    assert_eq!(value("presence_e2e_rtt_seconds", "desk-1"), Some(1.25));
    let reason = samples.iter().find(|s| s.name == "presence_unknown" && s.label("target") == "🦀-é-{}=,#");
    assert_eq!(reason.map(|s| s.label("reason")), Some("throttled"));
}

#[test]
fn a_page_can_be_restricted_to_sources() {
    let store = hostile_world();
    let all = page(&store, at(120));
    let only = |names: &[&str]| {
        let page = Page::new(store.snapshot(), at(120), Vec::new(), Format::Text);
        text(names.iter().fold(page, |page, name| page.only_source(name)))
    };
    let has = |page: &str| -> BTreeSet<String> {
        read(page).iter().map(|s| s.label("source").to_owned()).collect()
    };
    assert_eq!(has(&only(&["ws"])), BTreeSet::from(["ws".to_owned()]));
    assert_eq!(has(&only(&["ws", "mqtt", "nobody"])), BTreeSet::from(["ws".to_owned(), "mqtt".to_owned()]));
    assert!(read(&only(&["nobody"])).is_empty());
    let apart: usize =
        ["im \"eu\"\\1", "ws", "mqtt", "empty"].iter().map(|name| read(&only(&[name])).len()).sum();
    assert_eq!(apart, read(&all).len());
}

#[test]
fn a_restricted_page_has_the_sessions_of_its_sources_only_and_all_that_is_ours() {
    let store = hostile_world();
    let page = |only: &str| text(Page::new(store.snapshot(), at(120), own(), Format::Text).only_source(only));
    let count = |page: &str, name: &str| read(page).iter().filter(|s| s.name.starts_with(name)).count();
    let (desks, others) = (page("ws"), page("mqtt"));
    assert!(count(&desks, "presence_session_") > 30);
    assert_eq!(count(&others, "presence_session_"), 0);
    assert!(!others.contains("presence_session_"), "no family without a series is described");
    let ours = |page: &str| count(page, "presence_exporter_");
    assert_eq!(ours(&desks), ours(&others));
}

#[test]
fn an_empty_source_still_has_its_counts() {
    let samples = read(&page(&hostile_world(), at(120)));
    let counts: Vec<_> = samples
        .iter()
        .filter(|s| s.name == "presence_source_targets" && s.label("source") == "empty")
        .map(|s| (s.label("state"), s.value))
        .collect();
    assert_eq!(counts, [("online", 0.0), ("offline", 0.0), ("unknown", 0.0)]);
}

#[test]
fn what_is_configured_is_of_the_type_that_openmetrics_has_for_it_and_a_gauge_in_plain_text() {
    let page = |format| text(Page::new(hostile_world().snapshot(), at(120), own(), format));
    let (open, plain) = (page(Format::OpenMetrics), page(Format::Text));
    for name in ["presence_target", "presence_exporter_build"] {
        assert!(open.contains(&format!("\n# TYPE {name} info\n")), "{name}");
        assert!(open.contains(&format!("\n{name}_info{{")), "{name}");
        assert!(plain.contains(&format!("\n# TYPE {name}_info gauge\n")), "{name}");
    }
}

/// Connections of a source by platform, those that are not 0.
fn platforms(page: &str, source: &str) -> Vec<(String, f64)> {
    let samples = read(page);
    let of = samples
        .iter()
        .filter(|s| s.name == "presence_source_connections" && s.label("source") == source)
        .map(|s| (s.label("platform").to_owned(), s.value));
    let all: Vec<_> = of.collect();
    assert!(all.is_empty() || all.len() == Platform::ALL.len(), "every platform or none: {all:?}");
    all.into_iter().filter(|(_, n)| *n > 0.0).collect()
}

#[test]
fn connections_by_platform_are_those_of_the_series_on_the_same_page() {
    let store = users(3000);
    let on = |platforms: &[Platform], connections| Seen {
        connections: Some(connections),
        platforms: platforms.to_vec(),
        ..Seen::online()
    };
    let sum = |page: &str| -> f64 {
        read(page).iter().filter(|s| s.name == "presence_connections").map(|s| s.value).sum()
    };
    let count = |now| {
        let page = page(&store, now);
        let counts = platforms(&page, "im");
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<f64>().to_bits(), sum(&page).to_bits(), "{counts:?}");
        counts.into_iter().map(|(platform, n)| format!("{platform} {n}")).collect::<Vec<_>>()
    };
    assert_eq!(count(at(0)), [""; 0], "nobody was asked about, and every platform is there with 0");
    store.answered(at(0), &[(row(0, 2999), Ok(on(&[Platform::Linux], 1)))]);
    store.answered(
        at(10),
        &[
            (row(0, 0), Ok(on(&[Platform::Ios, Platform::Windows], 2))),
            // One connection more than is named.
            (row(0, 1024), Ok(on(&[Platform::Ios], 2))),
            (row(0, 7), Err(Fault::BadAnswer)),
        ],
    );
    assert_eq!(count(at(10)), ["ios 2", "windows 1", "linux 1", "other 1"]);
    // A late answer is no news.
    store.answered(at(9), &[(row(0, 0), Ok(on(&[Platform::Web], 1)))]);
    store.answered(at(20), &[(row(0, 1024), Ok(Seen { connections: Some(0), ..Seen::offline() }))]);
    assert_eq!(count(at(20)), ["ios 1", "windows 1", "linux 1"]);
    let late = at(0).plus(MAX_AGE + Duration::from_secs(1));
    assert_eq!(count(late), ["ios 1", "windows 1"], "an answer that is too old counts no connection");
    store.failed(late, &mut [row(0, 0)].into_iter(), Fault::Timeout);
    assert_eq!(count(late), ["ios 1", "windows 1"], "a failure changes nothing");
    assert_eq!(count(late.plus(MAX_AGE)), [""; 0]);
    assert_eq!(platforms(&page(&hostile_world(), at(120)), "ws"), [], "no platform is told there");
    let with_zeros = page(&hostile_world(), at(120));
    assert!(!with_zeros.contains("presence_source_connections{source=\"ws\""));
    assert!(with_zeros.contains("presence_source_connections{source=\"empty\",provider=\"volcengine_rtc\",kind=\"user\",platform=\"harmony\"} 0\n"));
}

#[test]
fn the_table_of_families_keeps_the_rules_of_names() {
    let mut names = BTreeSet::new();
    for family in FAMILIES {
        assert!(names.insert(family.name), "{} twice", family.name);
        assert!(family.name.starts_with("presence_") && !family.name.starts_with("presence_exporter_"));
        assert!(family.unit.is_none_or(|unit| family.name.ends_with(&format!("_{unit}"))), "{}", family.name);
        assert_eq!(family.name.ends_with("_total"), family.kind == MetricKind::Counter, "{}", family.name);
        assert_eq!(family.name.ends_with("_seconds"), family.unit == Some("seconds"), "{}", family.name);
        assert!(family.help.ends_with('.') && !family.help.contains("  "), "{}", family.help);
    }
    for own in OWN_FAMILIES {
        assert!(names.insert(own.name) && own.name.starts_with("presence_exporter_"), "{}", own.name);
        assert!(own.help.ends_with('.') && !own.help.contains("  "), "{}", own.help);
    }
    for session in SESSION_FAMILIES {
        assert!(
            names.insert(session.name) && session.name.starts_with("presence_session_"),
            "{}",
            session.name
        );
        assert!(session.help.ends_with('.') && !session.help.contains("  "), "{}", session.help);
    }
}

#[test]
fn the_labels_written_are_those_of_the_table_in_its_order() {
    let samples = read(&page(&hostile_world(), at(120)));
    for family in FAMILIES {
        let of: Vec<_> = samples.iter().filter(|sample| sample.name == family.name).collect();
        let rare = family.name == "presence_last_change_timestamp_seconds";
        assert!(!of.is_empty() || rare, "{} is not on the page", family.name);
        for sample in of {
            let names: Vec<_> = sample.labels.iter().map(|(name, _)| name.as_str()).collect();
            let table = &family.labels[..family.labels.len().min(names.len())];
            assert_eq!(&names[..table.len()], table);
            let complete = names.len() == family.labels.len() || family.name == "presence_target_info";
            assert!(complete, "{sample:?}");
        }
    }
}

#[test]
fn pieces_are_bounded_never_empty_and_the_same_page_whatever_their_number() {
    let store = users(5000);
    let rows: Vec<_> = (0..5000).map(|n| (row(0, n), Ok(Seen::online()))).collect();
    store.answered(at(0), &rows);
    for format in [Format::Text, Format::OpenMetrics] {
        let pieces = pieces(Page::new(store.snapshot(), at(1), own(), format));
        assert!(pieces.len() > 20);
        for piece in &pieces {
            assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES, "{}", piece.len());
            assert!(piece.capacity() <= PIECE_BYTES, "a piece grew to {}", piece.capacity());
            assert_eq!(piece.last(), Some(&b'\n'));
        }
        let all_but_last = &pieces[..pieces.len() - 1];
        assert!(all_but_last.iter().all(|piece| piece.len() > PIECE_BYTES / 2));
        let whole = String::from_utf8(pieces.concat()).expect("UTF-8");
        // Five families have a series for each target that is online, and two for its start.
        assert_eq!(whole.lines().filter(|l| l.contains(",target=\"")).count(), 5000 * 12);
    }
}

#[test]
fn a_buffer_that_is_used_again_does_not_grow_with_the_number_of_targets() {
    let store = users(50_000);
    let mut page = Page::new(store.snapshot(), at(1), own(), Format::Text);
    let mut out = Vec::with_capacity(PIECE_BYTES);
    let mut pieces = 1;
    while page.next_piece(&mut out) {
        pieces += 1;
        out.clear();
    }
    assert!(pieces > 100);
    assert_eq!(out.capacity(), PIECE_BYTES);
}

#[test]
fn a_page_appends_to_what_is_there() {
    let store = users(3);
    let mut out = b"before\n".to_vec();
    assert!(!Page::new(store.snapshot(), at(1), Vec::new(), Format::Text).next_piece(&mut out));
    assert_eq!(String::from_utf8(out).expect("UTF-8"), format!("before\n{}", page(&store, at(1))));
}

#[test]
fn the_page_under_way_is_not_changed_by_later_answers() {
    let store = users(3000);
    let snapshot = store.snapshot();
    let expected = text(Page::new(Arc::clone(&snapshot), at(1), Vec::new(), Format::Text));
    let mut page = Page::new(snapshot, at(1), Vec::new(), Format::Text);
    let mut out = Vec::new();
    let mut round = 0;
    while page.next_piece(&mut out) {
        round += 1;
        let rows: Vec<_> = (0..3000).map(|n| (row(0, n), Ok(Seen::online()))).collect();
        store.answered(at(round), &rows);
    }
    assert!(round > 5);
    assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
}

#[test]
fn every_reason_can_be_read_from_the_page() {
    for reason in UnknownReason::all() {
        let UnknownReason::Fault(fault) = reason else { continue };
        let store = users(1);
        store.failed(at(0), &mut std::iter::once(row(0, 0)), fault);
        let samples = read(&page(&store, at(1)));
        let unknown = samples.iter().find(|s| s.name == "presence_unknown").expect("unknown");
        assert_eq!((unknown.label("reason"), unknown.value), (fault.as_str(), 1.0));
    }
}

/// What may happen to a store between two scrapes.
#[derive(Debug, Clone)]
enum Event {
    Answer { row: u32, back: u64, seen: Seen },
    Fault { row: u32, fault: usize },
    Fail { rows: u32, fault: usize },
    Pass { seconds: u64 },
    Heard,
    Silent,
}

const TARGETS: u32 = 6;

fn event() -> impl Strategy<Value = Event> {
    let rtt = || prop::option::of(0..70_000_u32);
    let seen =
        (any::<bool>(), prop::option::of(0..4_u32), rtt(), rtt(), prop::collection::vec(0..4_u64, 0..4))
            .prop_map(|(online, connections, network_rtt_ms, e2e_rtt_ms, conns)| Seen {
                online,
                connections,
                network_rtt_ms,
                e2e_rtt_ms,
                conns_partial: conns.len() > 2,
                conns: conns.into_iter().map(ConnKey).collect(),
                ..Seen::default()
            });
    prop_oneof![
        4 => (0..TARGETS + 1, 0..20_u64, seen).prop_map(|(row, back, seen)| Event::Answer { row, back, seen }),
        1 => (0..TARGETS, 0..Fault::ALL.len()).prop_map(|(row, fault)| Event::Fault { row, fault }),
        1 => (0..TARGETS, 0..Fault::ALL.len()).prop_map(|(rows, fault)| Event::Fail { rows, fault }),
        2 => (0..90_u64).prop_map(|seconds| Event::Pass { seconds }),
        1 => Just(Event::Heard),
        1 => Just(Event::Silent),
    ]
}

/// Label text of each series → name, so that a change of bytes shows.
fn head(line: &str) -> &str {
    line.rsplit_once(' ').expect(line).0
}

proptest! {
    #[test]
    fn whatever_happens_nobody_is_left_out_and_the_counts_agree(events in prop::collection::vec(event(), 1..40)) {
        let store = users(TARGETS);
        let mut now = at(1000);
        let mut heads: BTreeMap<(String, Vec<(String, String)>), String> = BTreeMap::new();
        for event in events {
            match event {
                Event::Answer { row: index, back, seen } => {
                    let as_of = Moment {
                        tick: now.tick.back(Duration::from_secs(back)),
                        unix_ms: now.unix_ms - i64::try_from(back).expect("small") * 1000,
                    };
                    store.answered(as_of, &[(row(0, index), Ok(seen))]);
                }
                Event::Fault { row: index, fault } => {
                    store.answered(now, &[(row(0, index), Err(Fault::ALL[fault]))]);
                }
                Event::Fail { rows, fault } => {
                    store.failed(now, &mut (0..rows).map(|n| row(0, n)), Fault::ALL[fault]);
                }
                Event::Pass { seconds } => now = now.plus(Duration::from_secs(seconds)),
                Event::Heard => store.heard(0, 1, now),
                Event::Silent => store.silent(0, 1),
            }
            let page = page(&store, now);
            let samples = read(&page);
            check_laws(&samples);
            for (line, sample) in page.lines().filter(|line| !line.starts_with('#')).zip(&samples) {
                let known = heads.entry((sample.name.clone(), sample.labels.clone())).or_insert_with(|| head(line).into());
                prop_assert_eq!(known.as_str(), head(line));
            }
        }
    }
}

/// What must be true of every page.
fn check_laws(samples: &[Sample]) {
    let of = |name: &'static str, target: &str| {
        samples.iter().filter(|s| s.name == name && s.label("target") == target).collect::<Vec<_>>()
    };
    let mut counted = [0.0, 0.0, 0.0];
    let infos: Vec<_> = samples.iter().filter(|s| s.name == "presence_target_info").collect();
    assert_eq!(infos.len(), TARGETS as usize);
    for info in infos {
        let target = info.label("target");
        let (online, unknown) = (of("presence_online", target), of("presence_unknown", target));
        assert_eq!(online.len() + unknown.len(), 1, "{target}: {online:?} {unknown:?}");
        let state = online.first().map_or(2, |s| usize::from(s.value == 0.0));
        counted[state] += 1.0;
        let only_online = [
            "presence_connection_duration_seconds",
            "presence_connection_start_timestamp_seconds",
            "presence_network_rtt_seconds",
            "presence_e2e_rtt_seconds",
        ];
        for name in only_online {
            assert!(state == 0 || of(name, target).is_empty(), "{name} of {target}");
        }
        assert!(state < 2 || of("presence_connections", target).is_empty());
    }
    let published: Vec<_> =
        samples.iter().filter(|s| s.name == "presence_source_targets").map(|s| s.value).collect();
    assert_eq!(published, counted);
    assert!(samples.iter().all(|s| s.value.is_finite() && s.value >= 0.0));
}
