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
