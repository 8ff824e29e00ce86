//! What a page says of each state, and of which sources.

use super::*;

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
