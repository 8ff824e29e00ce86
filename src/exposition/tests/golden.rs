//! Whole pages of a hostile world, byte for byte.

use super::*;

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
    check_golden("page.txt", include_str!("../../../tests/golden/page.txt"), &text(page));
}

#[test]
fn the_openmetrics_page_is_what_it_was() {
    let page = Page::new(hostile_world().snapshot(), at(120), own(), Format::OpenMetrics);
    let expected = include_str!("../../../tests/golden/page.openmetrics.txt");
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
