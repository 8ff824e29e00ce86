//! Targets read from text, good and bad.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;
use crate::config::testing::{MemoryEnv, read};

const KEYS: &[Key] = &[
    Key { name: "targets", shape: Shape::List, need: Need::Optional, doc: "" },
    Key { name: "files", shape: Shape::List, need: Need::Optional, doc: "" },
    Key {
        name: "refresh",
        shape: Shape::Duration { min_s: 1, max_s: 60 },
        need: Need::Default("5s"),
        doc: "",
    },
    Key { name: "discover", shape: Shape::Map, need: Need::Optional, doc: "" },
];

fn targets(yaml: &str) -> (Option<Arc<Roster>>, Vec<String>) {
    read(yaml, &MemoryEnv::default(), |context, node| {
        let reader = Reader::open(context, node, "s", &[KEYS], None)?;
        let accepts = |id: &str| if id.contains('/') { Err("an id has no /".to_owned()) } else { Ok(()) };
        let rules = Rules { accepts: &accepts, lists: &|| Ok(()) };
        Some(read_targets(&reader, 3, 1, &rules)?.roster)
    })
}

fn check_problems(yaml: &str, expected: &[&str]) {
    let (roster, problems) = targets(yaml);
    assert_eq!(problems, expected);
    assert!(roster.is_none());
}

#[test]
fn ids_are_taken_as_written_and_labels_stay_with_them() {
    let yaml = "targets:\n- 0017\n- 1e5\n- no\n- 'null'\n- {id: 0x1F, name: Bea, labels: {team: \"7\", floor: 03}}\n- ключ\n";
    let (roster, problems) = targets(yaml);
    assert_eq!(problems, [""; 0]);
    let roster = roster.expect("nothing is wrong");
    let ids: Vec<_> = roster.iter().map(|target| target.id.to_owned()).collect();
    assert_eq!(ids, ["0017", "1e5", "no", "null", "0x1F", "ключ"]);
    let labels = roster.labels(4).expect("given");
    assert_eq!(labels.name.as_deref(), Some("Bea"));
    assert_eq!(labels.labels, [("team".into(), "7".to_owned()), ("floor".into(), "03".to_owned())]);
    assert_eq!((roster.source(), roster.generation()), (3, 1));
}

#[test]
fn each_bad_target_is_noted_where_it_stands() {
    check_problems("targets: []\n", &["1:10: s.targets: there are no targets (give at least one id)"]);
    let null = "there is no value (give a value or take out the key; quote a text such as '~' or 'null')";
    check_problems(
        "targets:\n- null\n- a/b\n- [x]\n- ''\n- {name: x}\n- {id: c/d}\n- good\n",
        &[
            &format!("2:3: s.targets[0]: {null}"),
            "3:3: s.targets[1]: an id has no /",
            "4:3: s.targets[2]: this must be one value, not a list (take out the `- ` or the brackets)",
            "5:3: s.targets[3]: the text is empty (give a value or take out the key)",
            "6:3: s.targets[4]: `id` is missing (The id that the provider knows it by.)",
            "7:8: s.targets[5].id: an id has no /",
        ],
    );
    let long = format!("targets: [{}]", "x".repeat(LIMIT_ID_BYTES + 1));
    check_problems(&long, &["1:11: s.targets[0]: the text is longer than 512 bytes (shorten it)"]);
}

#[test]
fn a_target_given_twice_names_the_place_of_the_first() {
    check_problems(
        "targets:\n- a\n- b\n- id: a\n",
        &[
            "4:7: s.targets[2].id: this target stands in the list already, at line 2, column 3 (keep one of the two)",
        ],
    );
}

#[test]
fn labels_that_prometheus_or_the_series_would_refuse_are_noted() {
    for (label, start) in [
        ("9a: x", "this is not a good name of a label"),
        ("a-b: x", "this is not a good name of a label"),
        ("__a: x", "names that begin with __"),
        ("kind: x", "the series has a label of this name already"),
        ("a: ''", "the text is empty"),
        ("a: \"x\\ny\"", "the text holds a line break"),
        ("a: [x]", "this must be one value"),
    ] {
        let (roster, problems) = targets(&format!("targets: [{{id: x, labels: {{{label}}}}}]"));
        assert!(roster.is_none() && problems.len() == 1, "{problems:?}");
        assert!(
            problems[0].contains("s.targets[0].labels") && problems[0].contains(start),
            "{}",
            problems[0]
        );
    }
    let many: Vec<_> = (0..=LIMIT_LABELS).map(|n| format!("l{n}: x")).collect();
    let (_, problems) = targets(&format!("targets: [{{id: x, labels: {{{}}}}}]", many.join(", ")));
    assert!(problems[0].contains("there are more than 16 labels"), "{}", problems[0]);
}

#[test]
fn a_target_may_have_a_priority_of_its_own_and_only_one_of_the_three() {
    let (roster, problems) =
        targets("targets: [a, {id: b, priority: high}, {id: c}, {id: d, priority: low}]");
    assert_eq!(problems, [""; 0]);
    let roster = roster.expect("nothing is wrong");
    let priorities: Vec<_> = (0..4).map(|index| roster.priority(index)).collect();
    assert_eq!(priorities, [None, Some(Priority::High), None, Some(Priority::Low)]);
    let (roster, problems) = targets("targets: [{id: b, priority: hgih}]");
    assert!(roster.is_none() && problems.len() == 1, "{problems:?}");
    assert!(problems[0].contains("s.targets[0].priority"), "{}", problems[0]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is that reading is not quadratic")]
fn two_hundred_thousand_targets_are_read_in_seconds() {
    let mut yaml = String::from("targets:\n");
    for n in 0..200_000 {
        writeln!(yaml, "- {{id: user-{n}, labels: {{team: t{}}}}}", n % 7)
            .expect("a String takes everything");
    }
    let started = Instant::now();
    let (roster, problems) = targets(&yaml);
    assert_eq!(problems, [""; 0]);
    assert_eq!(roster.expect("nothing is wrong").len(), 200_000);
    // Without optimisation; quadratic reading would take hours.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
