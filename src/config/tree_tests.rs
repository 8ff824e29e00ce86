use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// A tree as one line: `'x'` quoted, `x` plain, `~` null.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Scalar { text, quoted: true } => format!("{text:?}"),
        Value::Scalar { text, quoted: false } => text.clone(),
        Value::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let inner: Vec<_> = entries.iter().map(|e| format!("{}: {}", e.key, show(&e.node))).collect();
            format!("{{{}}}", inner.join(", "))
        }
    }
}

fn check(yaml: &str, expected: &str) {
    assert_eq!(
        parse(yaml).map(|node| show(&node)).map_err(|problem| problem.to_string()),
        Ok(expected.into())
    );
}

fn check_error(yaml: &str, expected: &str) {
    let error = parse(yaml).expect_err("this is not a good file").to_string();
    assert!(error.starts_with(expected), "{error}");
}

/// The place of the first scalar with this text, or of the key.
fn place_of(node: &Node, wanted: &str) -> Option<(u32, u32)> {
    let here = |place: Place| Some((place.line, place.column));
    match &node.value {
        Value::Scalar { text, .. } if text == wanted => here(node.place),
        Value::Seq(items) => items.iter().find_map(|item| place_of(item, wanted)),
        Value::Map(entries) => entries.iter().find_map(|entry| {
            if entry.key == wanted { here(entry.place) } else { place_of(&entry.node, wanted) }
        }),
        _ => None,
    }
}

#[test]
fn plain_scalars_keep_the_text_of_the_file() {
    check(
        "- 0017\n- 1e5\n- no\n- 0x1F\n- 1_000\n- .inf\n- 2026-01-02\n- true\n- 12:30\n",
        "[0017, 1e5, no, 0x1F, 1_000, .inf, 2026-01-02, true, 12:30]",
    );
}

#[test]
fn quotes_escapes_and_blocks_are_resolved_and_known_as_text() {
    check("a: '0017'\nb: \"x\\n\\u00e9\"\nc: 'it''s'\n", r#"{a: "0017", b: "x\né", c: "it's"}"#);
    check("a: |\n  one\n  two\nb: >-\n  three\n  four\n", r#"{a: "one\ntwo\n", b: "three four"}"#);
    check("a: !!str 5\nb: ! 6\nc: \"\"\n", r#"{a: "5", b: "6", c: ""}"#);
    check("a: one\n  two\n", "{a: one two}");
}

#[test]
fn nothing_is_null_and_a_quoted_null_is_text() {
    check("a:\nb: ~\nc: null\nd: 'null'\ne: NULL\n", r#"{a: ~, b: ~, c: ~, d: "null", e: ~}"#);
    check("", "~");
    check("# only a comment\n", "~");
    check("---\n", "~");
}

#[test]
fn aliases_are_copies_that_stand_where_the_alias_stands() {
    check("a: &x [1, 2]\nb: *x\nc: &y k\nd: {*y : 3}\n", "{a: [1, 2], b: [1, 2], c: k, d: {k: 3}}");
    let tree = parse("a: &x id\nb:\n  - *x\n").expect("good");
    let Value::Map(entries) = &tree.value else { panic!("a mapping") };
    let Value::Seq(items) = &entries[1].node.value else { panic!("a sequence") };
    assert_eq!(items[0].place, Place { line: 3, column: 5 });
}

#[test]
fn merge_keys_bring_what_is_not_there() {
    check("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", "{a: {x: 1, y: 2}, b: {y: 3, x: 1}}");
    check(
        "a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b]}\n",
        "{a: {x: 1}, b: {x: 2, z: 3}, c: {x: 1, z: 3}}",
    );
    check("a: {'<<': 1}\n", "{a: {<<: 1}}");
    check_error("a: &a 1\nb:\n  <<: *a\n", "3:3: `<<` merges mappings");
    check_error("a: &a {}\nb:\n  <<: *a\n  <<: *a\n", "4:3: a second `<<`");
}

#[test]
fn a_duplicate_key_is_an_error_that_names_both_places() {
    check_error(
        "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n",
        "5:3: this key stands in its mapping already, at line 3, column 3",
    );
    check_error("{a: 1, 'a': 2}", "1:8: this key");
}

#[test]
fn places_count_lines_and_characters_from_one() {
    let tree = parse("größe: {ключ: wert, ä: [b, c]}\nlast:\n  -  x\n").expect("good");
    assert_eq!(place_of(&tree, "größe"), Some((1, 1)));
    assert_eq!(place_of(&tree, "ключ"), Some((1, 9)));
    assert_eq!(place_of(&tree, "wert"), Some((1, 15)));
    assert_eq!(place_of(&tree, "c"), Some((1, 28)));
    assert_eq!(place_of(&tree, "x"), Some((3, 6)));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let tree = parse("\u{feff}a: 1\r\nb: \"x\r\n  y\"\r\nc: |\r\n  t\r\n  u\r\nd: e\r\n").expect("good");
    assert_eq!(show(&tree), r#"{a: 1, b: "x y", c: "t\nu\n", d: e}"#);
    assert_eq!(place_of(&tree, "a"), Some((1, 1)));
    assert_eq!(place_of(&tree, "e"), Some((7, 4)));
}

#[test]
fn a_value_left_out_stands_where_its_key_stands() {
    let tree = parse("a:\n\n\nb: 1\n").expect("good");
    let Value::Map(entries) = &tree.value else { panic!("a mapping") };
    assert_eq!(entries[0].node, Node { place: Place { line: 1, column: 1 }, value: Value::Null });
}

#[test]
fn errors_name_the_place_and_never_the_text() {
    check_error("a:\n\tb: canary\n", "2:2: not YAML: a tab where YAML wants spaces (indent with spaces)");
    check_error("a: [canary\nb: 1\n", "2:");
    check_error("a: \"canary\n", "");
    check_error("a: canary: b\n", "1:10: not YAML: a colon");
    check_error("a: *canary\n", "1:4: not YAML: an alias names no anchor");
    check_error("a: !canary b\n", "1:12: YAML tags have no meaning here");
    check_error("a: &c [*c]\n", "1:8: an alias stands inside");
    check_error("[canary]: b\n", "1:1: a key is a sequence");
    check_error("a: 1\n---\nb: 2\n", "2:1: a second YAML document begins here");
    for yaml in [
        "a:\n\tb: canary\n",
        "a: [canary\nb: 1\n",
        "a: \"canary\n",
        "a: canary: b\n",
        "a: *canary\n",
        "a: !canary b",
    ] {
        let error = parse(yaml).expect_err("this is not a good file").to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn a_million_nodes_can_be_read() {
    let mut yaml = String::from("targets:\n");
    for n in 0..1_000_000 {
        writeln!(yaml, "- {n}").expect("a String takes everything");
    }
    let Value::Map(entries) = parse(&yaml).expect("within the limits").value else { panic!("a mapping") };
    let Value::Seq(items) = &entries[0].node.value else { panic!("a sequence") };
    assert_eq!(items.len(), 1_000_000);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is that refusing takes no time")]
fn bombs_are_refused_at_once() {
    let started = Instant::now();
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let row = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(laughs, "a{n}: &a{n} [{row}]").expect("a String takes everything");
    }
    check_error(&laughs, "6:");
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    check_error(&text, "2:");
    check_error(&"[".repeat(100_000), "1:65: mappings and sequences are nested more than 64 deep");
    check_error(&"- ".repeat(100_000), "1:");
    check_error(&"{a: ".repeat(100_000), "1:");
    let (open, close) = ("[".repeat(40), "]".repeat(40));
    check_error(
        &format!("a: &a {open}{close}\nb: {open}*a{close}\n"),
        "2:44: mappings and sequences are nested",
    );
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_heap_of_yaml_signs_makes_the_reader_panic(text in "[-:?\\[\\]{},&*#|>'\"%@!<a0~ \t\r\n\u{feff}é]{0,60}") {
        let _ = parse(&text);
    }
}
