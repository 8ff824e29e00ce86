//! What is counted, as it is gathered.

use super::*;

/// Samples of a family as "label values → value".
fn samples(telemetry: &Telemetry, name: &str) -> Vec<(Vec<String>, f64)> {
    let families = telemetry.gather();
    let family = families.iter().find(|family| family.name() == name).expect("the family is there");
    let sample = |metric: &prometheus::proto::Metric| {
        let labels = metric.get_label().iter().map(|pair| pair.value().to_owned()).collect();
        let histogram = metric.get_histogram().get_sample_count();
        let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
        (labels, if histogram > 0 { f64::from(u32::try_from(histogram).expect("small")) } else { value })
    };
    family.get_metric().iter().map(sample).collect()
}

fn labels(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

#[test]
fn every_failure_of_a_registered_action_is_zero_from_the_start() {
    let telemetry = Telemetry::new("1.2.3", "abc", "1.95");
    telemetry.register("main", "openim", &["get_token", "status"]);
    let failures = samples(&telemetry, API_FAILURES.name);
    assert_eq!(failures.len(), 2 * Fault::ALL.len());
    assert!(failures.iter().all(|(_, value)| *value == 0.0));
    // Labels are sorted by name: account, action, provider, reason.
    for fault in Fault::ALL {
        let expected = labels(&["main", "status", "openim", fault.as_str()]);
        assert!(failures.iter().any(|(labels, _)| *labels == expected), "{expected:?}");
    }
    assert_eq!(samples(&telemetry, API_REQUESTS.name).len(), 2);
    assert_eq!(samples(&telemetry, API_SECONDS.name).len(), 2);
}

#[test]
fn each_fault_is_counted_under_its_own_name() {
    let telemetry = Telemetry::new("1", "r", "c");
    for (times, fault) in (1_u32..).zip(Fault::ALL) {
        (0..times).for_each(|_| telemetry.failure("a", "p", "x", fault));
    }
    let failures = samples(&telemetry, API_FAILURES.name);
    for (times, fault) in (1_u32..).zip(Fault::ALL) {
        let wanted = labels(&["a", "x", "p", fault.as_str()]);
        let value = failures.iter().find(|(labels, _)| *labels == wanted).map(|(_, value)| *value);
        assert_eq!(value, Some(f64::from(times)), "{fault}");
    }
}

#[test]
fn requests_are_counted_by_account_and_action_and_registering_again_keeps_the_counts() {
    let telemetry = Telemetry::new("1", "r", "c");
    telemetry.register("a", "p", &["x", "y"]);
    telemetry.request("a", "p", "x", 0.03);
    telemetry.request("a", "p", "x", 7.0);
    telemetry.request("b", "p", "x", 1.0);
    telemetry.register("a", "p", &["x", "y"]);
    let expected = vec![
        (labels(&["a", "x", "p"]), 2.0),
        (labels(&["a", "y", "p"]), 0.0),
        (labels(&["b", "x", "p"]), 1.0),
    ];
    assert_eq!(samples(&telemetry, API_REQUESTS.name), expected);
    assert_eq!(samples(&telemetry, API_SECONDS.name), expected);
}

#[test]
fn requests_in_flight_go_back_when_the_guard_is_dropped() {
    let telemetry = Telemetry::new("1", "r", "c");
    let (first, second) = (telemetry.http_begun(), telemetry.http_begun());
    assert_eq!(samples(&telemetry, HTTP_IN_FLIGHT.name), [(vec![], 2.0)]);
    drop((first, second));
    assert_eq!(samples(&telemetry, HTTP_IN_FLIGHT.name), [(vec![], 0.0)]);
    telemetry.http_answered(404);
    let by_code = samples(&telemetry, HTTP_REQUESTS.name);
    assert!(by_code.contains(&(labels(&["404"]), 1.0)) && by_code.contains(&(labels(&["503"]), 0.0)));
    telemetry.scrape_body(17);
    assert_eq!(samples(&telemetry, SCRAPE_BODY.name), [(vec![], 17.0)]);
}

#[test]
fn the_table_is_what_is_registered() {
    let telemetry = Telemetry::new("1.2.3", "abc", "1.95");
    telemetry.register("a", "p", &["x"]);
    telemetry.sessions("s", "p", "user");
    telemetry.budget("a").window("second", 1.0, 0.0);
    telemetry.clock_offset("a", "p", 0.0);
    assert_eq!(samples(&telemetry, BUILD_INFO.name), [(labels(&["abc", "1.95", "1.2.3"]), 1.0)]);
    let families = telemetry.gather();
    for own in OWN_FAMILIES.into_iter().chain(SESSION_FAMILIES) {
        let family = families.iter().find(|family| family.name() == own.name).expect(own.name);
        let names = family.get_metric()[0].get_label();
        let mut wanted = own.labels.to_vec();
        wanted.sort_unstable();
        assert_eq!(
            names.iter().map(prometheus::proto::LabelPair::name).collect::<Vec<_>>(),
            wanted,
            "{}",
            own.name
        );
    }
    for family in &families {
        let named = OWN_FAMILIES.iter().chain(&SESSION_FAMILIES).any(|own| own.name == family.name());
        assert!(named || family.name().starts_with("process_"), "{}", family.name());
    }
}
