//! The table of families, and what is written of it.

use super::*;

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
