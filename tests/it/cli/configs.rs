//! Faulty configurations: one file for each fault, and beside it all that is said about it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;

use super::program::{Running, compare_with_golden, program};
use crate::ops::project;

/// The file that has many faults instead of one.
const MANY: &str = "eight_mistakes";

/// The names of the files in `tests/configs` with this ending.
fn names(ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(project("tests/configs")).expect("the folder is there");
    entries
        .filter_map(|entry| {
            let name = entry.expect("an entry can be read").file_name().into_string().expect("plain names");
            Some(name.strip_suffix(ending)?.to_owned())
        })
        .collect()
}

#[test]
fn every_fault_is_named_where_it_stands_and_only_once() {
    let names = names(".yaml");
    assert!(names.len() > 25, "the files were not found");
    for name in &names {
        let file = format!("{name}.yaml");
        let mut check = program(&["check", "--config.file", &file]);
        check.current_dir(project("tests/configs"));
        let ended = Running::start(check).ended();
        assert_eq!((ended.code(), ended.stdout.as_str()), (64, ""), "{file}: {}", ended.stderr);
        compare_with_golden(&format!("tests/configs/{name}.stderr"), &ended.stderr);
        let expected = if name == MANY { "8 problems" } else { "1 problem" };
        assert!(ended.stderr.ends_with(&format!("{file}: {expected}\n")), "{}", ended.stderr);
    }
    let said = self::names(".stderr");
    assert_eq!(said, names, "texts on the left, configurations on the right");
}

/// Each of the eight mistakes has its mark in a comment behind it: the words that the message has to contain.
#[test]
fn eight_mistakes_in_one_file_are_all_named_at_their_line_and_column() {
    let text = fs::read_to_string(project(&format!("tests/configs/{MANY}.yaml"))).expect("the file is there");
    let said =
        fs::read_to_string(project(&format!("tests/configs/{MANY}.stderr"))).expect("the file is there");
    let mut expected = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if let Some((code, mark)) = text.split_once("  # wrong: ") {
            let (at, words) =
                mark.split_once(": ").expect("the wrong text, a colon, the words of the message");
            let column = code.find(at).expect("the wrong text stands on the line") + 1;
            expected.push((format!("{MANY}.yaml:{line}:{column}: "), words));
        }
    }
    assert_eq!(expected.len(), 8);
    for ((place, words), message) in expected.iter().zip(said.lines()) {
        assert!(message.starts_with(place) && message.contains(words), "{place}{words}\n{message}");
    }
}

#[test]
fn a_faulty_configuration_is_refused_before_a_port_is_taken() {
    // A port that cannot be had would be the failure if it were asked for first.
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    for name in ["unknown_key", "not_yaml", MANY] {
        let file = format!("{name}.yaml");
        let mut run = program(&["run", "--config.file", &file, "--web.listen-address", &address]);
        run.current_dir(project("tests/configs"));
        let ended = Running::start(run).ended();
        assert_eq!((ended.code(), ended.stdout.as_str()), (64, ""), "{file}: {}", ended.stderr);
        compare_with_golden(&format!("tests/configs/{name}.stderr"), &ended.stderr);
    }
}
