//! Connections by platform, and the type of what is configured.

use super::*;

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
