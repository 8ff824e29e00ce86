use proptest::prelude::*;

use super::*;
use crate::config::testing::{MemoryEnv, read};

const KEYS: &[Key] = &[
    Key { name: "region", shape: Shape::Text, need: Need::Optional, doc: "The region." },
    Key { name: "count", shape: Shape::Count { min: 1, max: 9 }, need: Need::Default("3"), doc: "A count." },
    Key { name: "rate", shape: Shape::Rate { max: 9 }, need: Need::Optional, doc: "A rate." },
    Key {
        name: "wait",
        shape: Shape::Duration { min_s: 1, max_s: 9 },
        need: Need::Default("2s"),
        doc: "A wait.",
    },
    Key { name: "deep", shape: Shape::Flag, need: Need::Optional, doc: "A flag." },
    Key {
        name: "mode",
        shape: Shape::Choice(&["fast", "slow"]),
        need: Need::Default("slow"),
        doc: "A mode.",
    },
    Key { name: "url", shape: Shape::Url, need: Need::Optional, doc: "An address." },
    Key { name: "secret", shape: Shape::Secret, need: Need::Optional, doc: "A secret." },
    Key { name: "file", shape: Shape::File, need: Need::Optional, doc: "A file." },
    Key { name: "list", shape: Shape::List, need: Need::Optional, doc: "A list." },
    Key { name: "map", shape: Shape::Map, need: Need::Optional, doc: "A mapping." },
];
const NEEDED: &[Key] =
    &[Key { name: "id", shape: Shape::Text, need: Need::Required, doc: "The id, from the console." }];

fn with<T>(yaml: &str, env: &MemoryEnv, look: impl FnOnce(&Reader<'_>) -> T) -> (Option<T>, Vec<String>) {
    read(yaml, env, |context, node| {
        Reader::open(context, node, "a", &[KEYS], None).map(|reader| look(&reader))
    })
}

fn check_problems(yaml: &str, expected: &[&str]) {
    assert_eq!(with(yaml, &MemoryEnv::default(), |_| ()).1, expected);
}

fn secret(yaml: &str, env: &MemoryEnv) -> (Option<String>, Vec<String>) {
    let (secret, problems) = with(yaml, env, |reader| reader.secret("secret"));
    (secret.flatten().map(|secret| secret.expose().to_owned()), problems)
}

#[test]
fn values_come_as_their_key_wants_them_and_defaults_where_there_are_none() {
    let yaml =
        "region: 0017\nrate: 0.5\ndeep: true\nurl: https://a.example/\nlist: [x]\nmap: {}\nmode: fast\n";
    let (seen, problems) = with(yaml, &MemoryEnv::default(), |reader| {
        assert_eq!(reader.text("region").as_deref(), Some("0017"));
        assert_eq!(reader.text("url").as_deref(), Some("https://a.example"));
        assert_eq!(reader.text("mode").as_deref(), Some("fast"));
        assert_eq!((reader.count("count"), reader.rate("rate")), (Some(3), Some(0.5)));
        assert_eq!(reader.duration("wait"), Some(Duration::from_secs(2)));
        assert!(reader.flag("deep") && reader.has("deep") && !reader.has("count"));
        assert!(reader.node("list").is_some() && reader.node("map").is_some());
        assert!(reader.secret("secret").is_none() && reader.file("file").is_none());
        assert_eq!((reader.path_of("url").as_str(), reader.place().line), ("a.url", 1));
    });
    assert_eq!((seen, problems), (Some(()), vec![]));
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    check_problems("regoin: x\n", &["1:1: a: `regoin` is not a key here (did you mean `region`?)"]);
}

#[test]
fn an_unknown_key_that_is_near_none_gets_the_list() {
    check_problems(
        "{region: x, colour: red}\n",
        &[
            "1:13: a: `colour` is not a key here (known here: region, count, rate, wait, deep, mode, url, secret, file, \
           list, map)",
        ],
    );
}

#[test]
fn a_missing_key_is_noted_with_its_meaning() {
    let (reader, problems) = read("{}", &MemoryEnv::default(), |context, node| {
        Reader::open(context, node, "a", &[KEYS, NEEDED], None).is_some()
    });
    assert!(reader);
    assert_eq!(problems, ["1:1: a: `id` is missing (The id, from the console.)"]);
}

#[test]
fn a_bad_value_is_noted_once_and_is_absent_then() {
    let (values, problems) = with("count: many\nwait: soon\nmode: fats\n", &MemoryEnv::default(), |reader| {
        (reader.count("count"), reader.duration("wait"), reader.text("mode"), reader.has("count"))
    });
    assert_eq!(values, Some((None, None, None, true)));
    let expected = [
        "1:8: a.count: `many` is not a whole number (write plain digits, 1 to 9)",
        "2:7: a.wait: `soon` is not a duration (write it like 30s, 5m or 1h 30m)",
        "3:7: a.mode: `fats` is not known here (did you mean `fast`?)",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn shapes_and_nulls_are_noted_in_words() {
    let null = "there is no value (give a value or take out the key; quote a text such as '~' or 'null')";
    check_problems(
        "region:\nurl: ~\nlist: x\nmap: [x]\nrate: {a: 1}\ndeep: [true]\n",
        &[
            &format!("1:1: a.region: {null}"),
            &format!("2:6: a.url: {null}"),
            "3:7: a.list: this must be a list (write each item on a line of its own after `- `)",
            "4:6: a.map: this must be a mapping (write `key: value` on indented lines below)",
            "5:7: a.rate: this must be one value, not a mapping (quote a text that begins with { or has `: ` in it)",
            "6:7: a.deep: this must be one value, not a list (take out the `- ` or the brackets)",
        ],
    );
    check_problems("[x]\n", &["1:1: a: this must be a mapping (write `key: value` on indented lines below)"]);
}

#[test]
fn the_fallback_answers_for_keys_that_are_absent_and_is_not_complained_about_again() {
    let yaml = "- {count: 5, wait: soon, region: there}\n- {region: here}\n";
    let (values, problems) = read(yaml, &MemoryEnv::default(), |context, node| {
        let Value::Seq(items) = &node.value else { panic!("a sequence") };
        let reader = Reader::open(context, &items[1], "a", &[KEYS], Some(&items[0])).expect("a mapping");
        assert!(reader.has("count") && !reader.has_own("count") && reader.has_own("region"));
        (reader.count("count"), reader.duration("wait"), reader.text("region"))
    });
    assert_eq!(values, (Some(5), None, Some("here".to_owned())));
    assert_eq!(problems, [""; 0]);
}

#[test]
fn complaints_stand_at_the_value_or_at_the_mapping() {
    let (_, problems) = with("region: x\n", &MemoryEnv::default(), |reader| {
        reader.complain("region", "no such region", Some("see the list".to_owned()));
        reader.complain("url", "an address is needed for it", None);
    });
    assert_eq!(
        problems,
        ["1:1: a.url: an address is needed for it", "1:9: a.region: no such region (see the list)"]
    );
}

#[test]
fn secrets_come_inline_from_a_file_and_from_a_variable() {
    let env = MemoryEnv::default()
        .with_var("NAME", "from-var")
        .with_file("/etc/presence/s", "from-file\r\n")
        .with_file("/abs/s", " two\nlines ");
    for (yaml, text) in [
        ("secret: inline", "inline"),
        ("secret: '0017'", "0017"),
        ("secret: |\n  block\n", "block"),
        ("secret: {env: NAME}", "from-var"),
        ("secret: {file: s}", "from-file"),
        ("secret: {file: /abs/s}", " two\nlines "),
    ] {
        assert_eq!(secret(yaml, &env), (Some(text.to_owned()), vec![]));
    }
}

#[test]
fn secrets_that_cannot_be_had_are_noted_without_their_text() {
    let env = MemoryEnv::default()
        .with_var("EMPTY", " \n")
        .with_file("/etc/presence/empty", "\n")
        .with_file("/etc/presence/large", &"canary".repeat(20_000));
    for (yaml, message) in [
        ("secret: {env: CANARY}", "the environment variable named here is not set"),
        ("secret: {env: can-ary}", "this is not the name of a variable"),
        ("secret: {env: EMPTY}", "the secret found there is empty"),
        ("secret: {file: canary}", "the file named here cannot be read: there is no such file"),
        ("secret: {file: large}", "the file named here cannot be read: file too large"),
        ("secret: {file: empty}", "the secret found there is empty"),
        ("secret: {canary}", "a secret that is a mapping has one key"),
        ("secret: {file: a, env: CANARY}", "a secret that is a mapping has one key"),
        ("secret: {}", "a secret that is a mapping has one key"),
        ("secret: {file: }", "there is no value"),
        ("secret: [canary]", "a secret is a text or a mapping"),
        ("secret: ''", "the secret is empty"),
        ("secret:", "there is no value"),
        ("secret: file:/run/canary", "this looks like a reference"),
        ("secret: env:CANARY", "this looks like a reference"),
    ] {
        let (secret, problems) = secret(yaml, &env);
        assert!(secret.is_none() && problems.len() == 1, "{yaml}: {problems:?}");
        assert!(problems[0].contains(message), "{yaml}: {}", problems[0]);
        assert!(!problems[0].to_lowercase().contains("canary"), "{}", problems[0]);
    }
}

#[test]
fn files_are_read_from_the_folder_of_the_configuration() {
    let env = MemoryEnv::default().with_file("/etc/presence/tls/ca.pem", "pem");
    assert_eq!(
        with("file: tls/ca.pem", &env, |reader| reader.file("file")),
        (Some(Some("pem".to_owned())), vec![])
    );
    let (text, problems) = with("file: ca.pem", &env, |reader| reader.file("file"));
    assert_eq!(text, Some(None));
    let expected = "1:7: a.file: the file named here cannot be read: there is no such file (a relative path starts at the \
                    folder of the configuration file)";
    assert_eq!(problems, [expected]);
}

#[test]
fn the_word_that_decides_the_tables_is_read_first() {
    let choose = |yaml| {
        read(yaml, &MemoryEnv::default(), |context, node| {
            choose(context, node, "a", "cloud", &["alibaba", "openim"])
        })
    };
    assert_eq!(choose("{cloud: openim, x: y}"), (Some("openim"), vec![]));
    for (yaml, problem) in [
        ("{cloud: openin}", "1:9: a.cloud: `openin` is not known here (did you mean `openim`?)"),
        ("{x: y}", "1:1: a: `cloud` is missing (known here: alibaba, openim)"),
        ("x", "1:1: a: this must be a mapping (write `key: value` on indented lines below)"),
        (
            "{cloud: [x]}",
            "1:9: a.cloud: this must be one value, not a list (take out the `- ` or the brackets)",
        ),
    ] {
        assert_eq!(choose(yaml), (None, vec![problem.to_owned()]));
    }
}

#[test]
#[should_panic(expected = "the key colour is in no table of this reader")]
fn asking_for_a_key_of_no_table_is_a_bug() {
    with("{}", &MemoryEnv::default(), |reader| reader.text("colour"));
}

#[test]
#[should_panic(expected = "the key region has another shape")]
fn asking_for_another_shape_is_a_bug() {
    with("{}", &MemoryEnv::default(), |reader| reader.count("region"));
}

proptest! {
    #[test]
    fn a_secret_is_in_no_problem_wherever_yaml_carries_it(
        secret in "Q[A-Za-z0-9/+]{9,30}=?",
        before in "[-:?{}\\[\\],&*#|>'\"%@!~ ]{0,4}",
        after in "[-:?{}\\[\\],&*#|>'\"%@!~ \n]{0,4}",
        form in 0..6,
    ) {
        let inner = match form {
            0 => format!("{before}{secret}{after}"),
            1 => format!("\"{before}{secret}{after}"),
            2 => format!("{{file: {before}{secret}{after}}}"),
            3 => format!("{{env: {before}{secret}{after}}}"),
            4 => format!("{{{before}{secret}{after}}}"),
            _ => format!("[{before}{secret}{after}]"),
        };
        let yaml = format!("secret: {inner}\ncount: 3\n");
        let problems = match crate::config::tree::parse(&yaml) {
            Err(problem) => vec![problem.to_string()],
            Ok(_) => with(&yaml, &MemoryEnv::default(), |reader| { reader.secret("secret"); }).1,
        };
        for problem in problems {
            prop_assert!(!problem.contains(&secret), "{}", problem);
        }
    }
}
