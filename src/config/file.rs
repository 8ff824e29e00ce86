//! The file's top level: accounts, defaults, sources.
//!
//! It knows which names are good and how many there may be; what stands inside an account or a source is read by others.

use super::common::{DEFAULTS_KEYS, FILE_KEYS};
use super::reader::{Context, Reader, join};
use super::tree::{Node, Place, Value};

/// The most accounts in one file: each has connections and a budget of its own.
pub const LIMIT_ACCOUNTS: usize = 1024;

/// The most sources in one file: rows count them in 16 bits, and each has series of its own.
pub const LIMIT_SOURCES: usize = 16_384;

/// The longest name of an account or source, in characters: names are label values of every series.
pub const LIMIT_NAME: usize = 64;

/// An account or a source, not yet read.
#[derive(Debug, Clone)]
pub struct Named<'a> {
    /// The operator's name for it.
    pub name: &'a str,
    /// Where the name stands.
    pub place: Place,
    /// Its path, such as `sources.office`.
    pub path: String,
    /// What stands under the name.
    pub node: &'a Node,
}

/// The file's three parts.
#[derive(Debug)]
pub struct TopLevel<'a> {
    /// The accounts with good names, in the order of the file.
    pub accounts: Vec<Named<'a>>,
    /// The defaults, opened and checked: the fallback of every source's reader.
    pub defaults: Option<&'a Node>,
    /// The sources with good names, in the order of the file.
    pub sources: Vec<Named<'a>>,
}

/// Opens the file's top level; `None` when there is nothing to read on. What is wrong with keys, names and defaults is noted.
pub fn open<'a>(context: Context<'a>, node: &'a Node) -> Option<TopLevel<'a>> {
    if node.value == Value::Null {
        let hint = "it needs `accounts` and `sources`; config.example.yaml shows them";
        context.problems.add_with_hint(node.place, "", "the file is empty", hint);
        return None;
    }
    let file = Reader::open(context, node, "", &[FILE_KEYS], None)?;
    let defaults = file.node("defaults");
    if let Some(defaults) = defaults {
        let _ = Reader::open(context, defaults, "defaults", &[DEFAULTS_KEYS], None);
    }
    let accounts = named(&file, "accounts", LIMIT_ACCOUNTS);
    let sources = named(&file, "sources", LIMIT_SOURCES);
    Some(TopLevel { accounts, defaults, sources })
}

fn named<'a>(file: &Reader<'a>, key: &str, limit: usize) -> Vec<Named<'a>> {
    let Some(Node { value: Value::Map(entries), .. }) = file.node(key) else { return Vec::new() };
    if entries.is_empty() {
        file.complain(key, format!("there are no {key}"), Some("give at least one".to_owned()));
    }
    if entries.len() > limit {
        file.complain(key, format!("there are more than {limit} {key}"), Some("split the file".to_owned()));
        return Vec::new();
    }
    let path = file.path_of(key);
    let all = entries.iter().map(|entry| {
        let (name, place, path) = (entry.key.as_str(), entry.place, join(&path, &entry.key));
        Named { name, place, path, node: &entry.node }
    });
    all.filter(|one| has_good_name(file.context(), one, &path)).collect()
}

/// Whether the name is one; notes a problem if not.
fn has_good_name(context: Context<'_>, one: &Named<'_>, path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let good = one.name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && one.name.chars().all(plain)
        && one.name.len() <= LIMIT_NAME;
    if !good {
        let hint =
            format!("letters, digits, _ . and -, beginning with a letter or digit, {LIMIT_NAME} at most");
        context.problems.add_with_hint(one.place, path, "this is not a good name", hint);
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::common::{ACCOUNT_KEYS, SOURCE_KEYS, read_account, read_source};
    use crate::config::keys::{Key, Need, Shape};
    use crate::config::reader::choose;
    use crate::config::targets::read_targets;
    use crate::config::testing::{MemoryEnv, read};

    /// A cloud's own keys, as a provider would have them.
    const CLOUD_KEYS: &[Key] = &[
        Key { name: "access_key_id", shape: Shape::Text, need: Need::Required, doc: "The key's id." },
        Key { name: "access_key_secret", shape: Shape::Secret, need: Need::Required, doc: "The key." },
    ];

    /// Reads a whole file as the program would; the problems.
    fn problems(yaml: &str, env: &MemoryEnv) -> Vec<String> {
        let read_all = |context: Context<'_>, node: &Node| {
            let Some(top) = open(context, node) else { return };
            for one in &top.accounts {
                if choose(context, one.node, &one.path, "cloud", &["alibaba", "openim"]).is_none() {
                    continue;
                }
                let tables = [ACCOUNT_KEYS, CLOUD_KEYS];
                if let Some(reader) = Reader::open(context, one.node, &*one.path, &tables, None) {
                    read_account(&reader, one.name, 5.0);
                    reader.secret("access_key_secret");
                }
            }
            for (number, one) in (0..).zip(&top.sources) {
                let tables = [SOURCE_KEYS, DEFAULTS_KEYS];
                if let Some(reader) = Reader::open(context, one.node, &*one.path, &tables, top.defaults) {
                    read_source(&reader, one.name);
                    let rules = crate::config::Rules { accepts: &|_| Ok(()), lists: &|| Ok(()) };
                    read_targets(&reader, number, 0, &rules);
                }
            }
        };
        read(yaml, env, read_all).1
    }

    const GOOD: &str = "\
accounts:
  main:
    cloud: alibaba
    access_key_id: LTAI5t
    access_key_secret: {env: SECRET}
defaults: &defaults
  interval: 1m
sources:
  office.1:
    account: main
    provider: alibaba_mqtt
    targets: [0017, no]
";

    #[test]
    fn a_good_file_has_no_problem() {
        assert_eq!(problems(GOOD, &MemoryEnv::default().with_var("SECRET", "hunter2")), [""; 0]);
    }

    #[test]
    fn eight_mistakes_are_told_at_once_each_at_its_line_and_column() {
        let yaml = "\
accounts:
  main:
    cloud: alibabba
  second:
    cloud: openim
    access_key_id:
    access_key_secret: 'env:SECRET'
    requests_per_second: 1e3
defaults:
  intervall: 30s
sources:
  -bad-: {}
  büro:
    account: main
  office:
    account: second
    provider: openim
    timeout: soon
    targets: [größe, {id: größe}]
";
        let name = "this is not a good name (letters, digits, _ . and -, beginning with a letter or digit, 64 at most)";
        let expected = [
            "3:12: accounts.main.cloud: `alibabba` is not known here (did you mean `alibaba`?)",
            "6:5: accounts.second.access_key_id: there is no value (give a value or take out the key; quote a text \
             such as '~' or 'null')",
            "7:24: accounts.second.access_key_secret: this looks like a reference, but is read as the secret itself \
             (write {file: PATH} or {env: NAME}, with braces and a blank)",
            "8:26: accounts.second.requests_per_second: `1e3` is not a number (write plain digits, perhaps with a \
             fraction, such as 5 or 0.5)",
            "10:3: defaults: `intervall` is not a key here (did you mean `interval`?)",
            &format!("12:3: sources: {name}"),
            &format!("13:3: sources: {name}"),
            "18:14: sources.office.timeout: `soon` is not a duration (write it like 30s, 5m or 1h 30m)",
            "19:27: sources.office.targets[1].id: this target stands in the list already, at line 19, column 15 (keep \
             one of the two)",
        ];
        assert_eq!(problems(yaml, &MemoryEnv::default()), expected);
    }

    #[test]
    fn an_empty_file_and_empty_parts_say_what_is_needed() {
        for yaml in ["", "# nothing\n", "---\n"] {
            let expected =
                "the file is empty (it needs `accounts` and `sources`; config.example.yaml shows them)";
            let problems = problems(yaml, &MemoryEnv::default());
            assert!(problems.len() == 1 && problems[0].ends_with(expected), "{problems:?}");
        }
        assert_eq!(
            problems("accounts: {}\nsources:\n", &MemoryEnv::default()),
            [
                "1:11: accounts: there are no accounts (give at least one)",
                "2:1: sources: there is no value (give a value or take out the key; quote a text such as '~' or 'null')",
            ]
        );
        let problems = problems("- a\n", &MemoryEnv::default());
        assert_eq!(problems, ["1:1: this must be a mapping (write `key: value` on indented lines below)"]);
    }

    #[test]
    fn merge_keys_serve_sources() {
        let yaml = GOOD.replace("    account: main\n", "    <<: *defaults\n    account: main\n");
        assert_ne!(yaml, GOOD);
        assert_eq!(problems(&yaml, &MemoryEnv::default().with_var("SECRET", "hunter2")), [""; 0]);
    }
}
