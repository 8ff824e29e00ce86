//! Files of targets: what is taken, what is refused and where, and how long many lines take.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::config::testing::MemoryEnv;

fn files(names: &[&str]) -> Vec<ListFile> {
    names
        .iter()
        .map(|name| ListFile { name: (*name).into(), path: Path::new("/etc/presence").join(name) })
        .collect()
}

fn accepts(id: &str) -> Result<(), String> {
    if id.contains('/') { Err("an id has no /".to_owned()) } else { Ok(()) }
}

/// The roster of one file with this text, or what is said about it.
fn read(text: &str) -> Result<Roster, Vec<String>> {
    let env = MemoryEnv::default().with_file("/etc/presence/list", text);
    let mut roster = Roster::new(3, 1);
    match read_files(&env, &files(&["list"]), &accepts, &mut roster) {
        Ok(()) => Ok(roster),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn ids(roster: &Roster) -> Vec<&str> {
    roster.iter().map(|target| target.id).collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(read(text).expect_err("something is wrong"), expected);
}

#[test]
fn lines_are_ids_as_they_are_written_or_json() {
    let text = "\u{feff}# all of them\n\n0017\r\n  a b \n#x\n{\"id\": \"#y\"}\n{\"id\": 42, \"name\": \"Bea \\u00e9\", \
                \"labels\": {\"team\": \"7\", \"floor\": 3}}\nключ";
    let roster = read(text).expect("nothing is wrong");
    assert_eq!(ids(&roster), ["0017", "a b", "#y", "42", "ключ"]);
    let labels = roster.labels(3).expect("given");
    assert_eq!(labels.name.as_deref(), Some("Bea é"));
    assert_eq!(labels.labels, [("team".into(), "7".to_owned()), ("floor".into(), "3".to_owned())]);
    assert!(roster.labels(2).is_none());
    assert!(read("").expect("nobody is a list too").is_empty());
}

#[test]
fn each_bad_line_is_named() {
    check(
        "good\na/b\n{\"id\": \"x\", \"nmae\": \"y\"}\n{\"id\": \"c/d\"}\n{\"name\": \"x\"}\n{\"id\": 1.5}\n{\"id\"\n\
         {\"id\": \"\"}\na\tb\ngood\n{\"id\": \"z\", \"labels\": {\"9a\": \"x\"}}\n\
         {\"id\": \"z\", \"labels\": {\"a\": \"x\", \"a\": \"y\"}}\n",
        &[
            "list:2: an id has no /",
            "list:3: this is not a target in JSON: unknown field `nmae`, expected one of `id`, `name`, `labels`, `priority`, at column 18",
            "list:4: an id has no /",
            "list:5: this is not a target in JSON: missing field `id`, at column 13",
            "list:6: this is not a target in JSON: invalid type: floating point `1.5`, expected a text or a whole number, at column 10",
            "list:7: this is not a target in JSON: EOF while parsing an object, at column 5",
            "list:8: the id: the text is empty",
            "list:9: the id: the text holds a line break or another control character",
            "list:10: this target stands in the file already, on line 1",
            "list:11: a label: this is not a good name of a label (letters, digits and _ make a name, and no digit stands first)",
            "list:12: the label a is given twice",
        ],
    );
    let long = format!("ok\n{}\n{}", "x".repeat(LIMIT_ID_BYTES + 1), "y".repeat(LIMIT_LINE_BYTES + 1));
    check(
        &long,
        &["list:2: the id: the text is longer than 512 bytes", "list:3: the line is longer than 16384 bytes"],
    );
}

#[test]
fn a_file_of_rubbish_is_not_read_to_its_end() {
    let problems = read(&"/\n".repeat(1_000_000)).expect_err("all is wrong");
    assert_eq!(problems.len(), LIMIT_LINE_PROBLEMS + 1);
    assert_eq!(problems[LIMIT_LINE_PROBLEMS], "list: there may be more problems behind these");
}

#[test]
fn what_is_said_of_a_target_first_holds_and_a_missing_file_spoils_all() {
    let env = MemoryEnv::default()
        .with_file("/etc/presence/a", "{\"id\": \"x\", \"name\": \"first\"}\ny\n")
        .with_file("/etc/presence/b", "z\n{\"id\": \"x\", \"name\": \"second\"}\ninline\n");
    let mut roster = Roster::new(0, 0);
    roster.push("inline", TargetLabels::default());
    read_files(&env, &files(&["a", "b"]), &accepts, &mut roster).expect("nothing is wrong");
    assert_eq!(ids(&roster), ["inline", "x", "y", "z"]);
    assert_eq!(roster.labels(1).and_then(|labels| labels.name.as_deref()), Some("first"));
    let problems = read_files(&env, &files(&["a", "none"]), &accepts, &mut Roster::new(0, 0));
    let problems = problems.expect_err("a file is missing");
    assert_eq!(
        (problems[0].number, problems[0].to_string().as_str()),
        (1, "none: it cannot be read: there is no such file")
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is how long reading takes")]
fn two_hundred_thousand_lines_are_read_in_seconds() {
    let mut text = String::new();
    for n in 0..200_000 {
        if n % 2 == 0 {
            writeln!(text, "user-{n}").expect("a String takes everything");
        } else {
            writeln!(text, "{{\"id\": \"user-{n}\", \"labels\": {{\"team\": \"t{}\"}}}}", n % 7)
                .expect("a String takes everything");
        }
    }
    let started = Instant::now();
    let roster = read(&text).expect("nothing is wrong");
    let took = started.elapsed();
    println!("read {} targets in {took:?}", roster.len());
    assert_eq!(roster.len(), 200_000);
    // Without optimisation, on a busy machine; quadratic reading would take hours.
    assert!(took.as_secs() < 60, "{took:?}");
}
