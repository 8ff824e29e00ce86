//! Takes checked values from a mapping by its table of keys, and collects what is wrong instead of stopping at it.
//!
//! It knows no key itself, and it never stops a caller: a value that is bad is noted once and is then absent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::keys::{Key, Need, Shape};
use super::nearest;
use super::problem::Problems;
use super::secret::{LIMIT_SECRET_BYTES, Secret, SecretSource};
use super::shape::{self, Flaw, Good, Origin};
use super::tree::{Entry, Node, Place, Value};
use super::written::written;
use crate::ports::Env;

/// The largest file that a `File` key may name, in bytes: a bundle of all public certificate authorities has a quarter.
pub const LIMIT_FILE_BYTES: u64 = 1024 * 1024;

/// The longest unknown key that a message names, in characters: longer ones are a text gone astray.
const LIMIT_NAMED_KEY: usize = 64;

/// What every reader of one file shares.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where problems go.
    pub problems: &'a Problems,
    /// Where secrets and files come from.
    pub env: &'a Arc<dyn Env>,
    /// The folder of the configuration file: relative paths in the file start there.
    pub base: &'a Path,
}

/// A mapping being read. Unknown keys, missing keys and values of a wrong shape are noted when it is opened; the getters
/// then only return what is good, and `None` where a value is absent or was already complained about. Files and variables
/// are read by [`Reader::secret`] and [`Reader::file`] alone, so each of these is to be called once for a key.
///
/// A getter panics when asked for a key that is in none of its tables or has another shape there: that is a bug of ours.
pub struct Reader<'a> {
    context: Context<'a>,
    node: &'a Node,
    path: String,
    tables: Vec<&'static [Key]>,
    /// A second mapping (`defaults`) that answers for keys which `node` lacks.
    fallback: Option<&'a Node>,
}

impl<'a> Reader<'a> {
    /// Opens a mapping; `None` when it is none. `tables` together list the keys that may stand in it. `fallback` was opened
    /// by tables of its own before, so nothing is said of its values again.
    pub fn open(
        context: Context<'a>,
        node: &'a Node,
        path: impl Into<String>,
        tables: &[&'static [Key]],
        fallback: Option<&'a Node>,
    ) -> Option<Self> {
        let reader = Self { context, node, path: path.into(), tables: tables.to_vec(), fallback };
        let Value::Map(entries) = &node.value else {
            let (message, hint) = ("this must be a mapping", "write `key: value` on indented lines below");
            context.problems.add_with_hint(node.place, &reader.path, message, hint);
            return None;
        };
        for entry in entries {
            reader.check_entry(entry);
        }
        for key in reader.keys().filter(|key| key.need == Need::Required && !reader.has(key.name)) {
            let message = format!("`{}` is missing", key.name);
            context.problems.add_with_hint(node.place, &reader.path, message, key.doc);
        }
        Some(reader)
    }

    /// The text of a `Text`, `Choice` or `Url` key (a Url without trailing slash).
    pub fn text(&self, key: &str) -> Option<String> {
        let fits = |shape| matches!(shape, Shape::Text | Shape::Choice(_) | Shape::Url);
        match self.good(key, fits)? {
            Good::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }

    /// The number of a `Count` key.
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.good(key, |shape| matches!(shape, Shape::Count { .. }))? {
            Good::Count(number) => Some(number),
            _ => None,
        }
    }

    /// The number of a `Rate` key.
    pub fn rate(&self, key: &str) -> Option<f64> {
        match self.good(key, |shape| matches!(shape, Shape::Rate { .. }))? {
            Good::Rate(number) => Some(number),
            _ => None,
        }
    }

    /// The duration of a `Duration` key.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.good(key, |shape| matches!(shape, Shape::Duration { .. }))? {
            Good::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    /// The value of a `Flag` key; `false` when absent.
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.good(key, |shape| shape == Shape::Flag), Some(Good::Flag(true)))
    }

    /// The secret of a `Secret` key, read from its file or variable.
    pub fn secret(&self, key: &str) -> Option<Secret> {
        Some(self.secret_source(key)?.secret().clone())
    }

    /// The same with its place of origin, so that it can be read again.
    pub fn secret_source(&self, key: &str) -> Option<SecretSource> {
        let Good::Secret(origin) = self.good(key, |shape| shape == Shape::Secret)? else { return None };
        let text = match origin {
            Origin::Inline(text) => text.to_owned(),
            Origin::File(path) => {
                let full = self.context.base.join(path);
                self.taken(key, self.context.env.secret_file(&full, LIMIT_SECRET_BYTES))?
            }
            Origin::Env(name) => {
                let Some(text) = self.context.env.secret_var(name) else {
                    let hint = "set it where the exporter is started, or correct its name".to_owned();
                    self.complain(key, "the environment variable named here is not set", Some(hint));
                    return None;
                };
                text
            }
        };
        let text = shape::without_line_end(&text);
        if text.trim().is_empty() {
            self.complain(key, "the secret found there is empty", None);
            return None;
        }
        let (path, secret) = (self.path_of(key), Secret::new(text));
        Some(match origin {
            Origin::File(file) => {
                SecretSource::of_file(path, secret, self.context.env.clone(), self.context.base.join(file))
            }
            Origin::Inline(_) | Origin::Env(_) => SecretSource::fixed(path, secret),
        })
    }

    /// The text of the file that a `File` key names.
    pub fn file(&self, key: &str) -> Option<String> {
        match self.good(key, |shape| shape == Shape::File)? {
            Good::Text(path) => self.read(key, path, LIMIT_FILE_BYTES),
            _ => None,
        }
    }

    /// The value of a `List` or `Map` key, to be read by its own code.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        match self.good(key, |shape| matches!(shape, Shape::List | Shape::Map))? {
            Good::Node(node) => Some(node),
            _ => None,
        }
    }

    /// Whether the key stands in the file (its value may still be bad), in the mapping itself or in the fallback.
    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether the key stands in the mapping itself.
    pub fn has_own(&self, key: &str) -> bool {
        entry_of(self.node, key).is_some()
    }

    /// The path of a key, for problems and nested readers.
    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Where the mapping begins.
    pub fn place(&self) -> Place {
        self.node.place
    }

    /// Notes a problem at a key (at the mapping when the key is absent), with what to do.
    pub fn complain(&self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let place = self.entry(key).map_or(self.node.place, |entry| entry.node.place);
        self.note(Flaw { place, message: message.into(), hint }, key);
    }

    /// What the readers of this file share.
    pub fn context(&self) -> Context<'a> {
        self.context
    }

    /// The value of a key as it is written, or its default as it would be: to tell whether two mappings say the same. Not for
    /// people, and never to be called for a secret.
    pub fn written(&self, name: &str) -> String {
        let default = || match self.keys().find(|key| key.name == name).map(|key| key.need) {
            Some(Need::Default(text)) => format!("{text:?}"),
            _ => String::new(),
        };
        self.value_of(name).map_or_else(default, |node| written(&node.value))
    }

    /// The value under a key, good or bad.
    pub(super) fn value_of(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Where the value of a key stands, if it is in the mapping or the fallback.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        self.value_of(key).map(|node| node.place)
    }

    fn check_entry(&self, entry: &Entry) {
        match self.keys().find(|key| key.name == entry.key) {
            Some(key) => {
                if let Err(flaw) = shape::check(key.shape, &entry.node) {
                    self.note(flaw, key.name);
                }
            }
            None => self.unknown(entry),
        }
    }

    fn unknown(&self, entry: &Entry) {
        let short = entry.key.chars().count() <= LIMIT_NAMED_KEY && !entry.key.chars().any(char::is_control);
        let message =
            if short { format!("`{}` is not a key here", entry.key) } else { "not a key here".to_owned() };
        let hint = nearest::hint(&entry.key, self.keys().map(|key| key.name));
        self.context.problems.add_with_hint(entry.place, &self.path, message, hint);
    }

    fn keys(&self) -> impl Iterator<Item = &'static Key> + Clone + '_ {
        self.tables.iter().flat_map(|table| table.iter())
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        entry_of(self.node, key).or_else(|| entry_of(self.fallback?, key))
    }

    /// The good value of a key, or its default.
    fn good(&self, name: &str, fits: impl Fn(Shape) -> bool) -> Option<Good<'a>> {
        let key = self.keys().find(|key| key.name == name);
        let key = key.unwrap_or_else(|| panic!("the key {name} is in no table of this reader"));
        assert!(fits(key.shape), "the key {name} has another shape");
        match (self.entry(name), key.need) {
            (Some(entry), _) => shape::check(key.shape, &entry.node).ok(),
            (None, Need::Default(text)) => {
                let good = shape::check_text(key.shape, Place::default(), text);
                Some(good.unwrap_or_else(|flaw| panic!("the default of {name}: {}", flaw.message)))
            }
            (None, Need::Required | Need::Optional) => None,
        }
    }

    /// Reads a file; the message names neither path nor content, since either may be a secret gone astray.
    fn read(&self, key: &str, path: &str, limit: u64) -> Option<String> {
        self.taken(key, self.context.env.read(&self.context.base.join(path), limit))
    }

    /// What was read for a key, or a note of why it was not.
    fn taken(&self, key: &str, read: std::io::Result<String>) -> Option<String> {
        match read {
            Ok(text) => Some(text),
            Err(error) => {
                let hint = "a relative path starts at the folder of the configuration file".to_owned();
                self.complain(
                    key,
                    format!("the file named here cannot be read: {}", reason(error.kind())),
                    Some(hint),
                );
                None
            }
        }
    }

    fn note(&self, flaw: Flaw, key: &str) {
        note(self.context.problems, &self.path_of(key), flaw);
    }
}

/// The word that stands under a key before it is known which other keys may stand there, one of `words`. Notes what is wrong
/// with it; `None` then means that nothing more can be said of this mapping.
pub fn choose(
    context: Context<'_>,
    node: &Node,
    path: &str,
    key: &str,
    words: &[&'static str],
) -> Option<&'static str> {
    let Value::Map(_) = &node.value else {
        let (message, hint) = ("this must be a mapping", "write `key: value` on indented lines below");
        context.problems.add_with_hint(node.place, path, message, hint);
        return None;
    };
    let Some(entry) = entry_of(node, key) else {
        let hint = format!("known here: {}", words.join(", "));
        context.problems.add_with_hint(node.place, path, format!("`{key}` is missing"), hint);
        return None;
    };
    let checked = match shape::check(Shape::Text, &entry.node) {
        Ok(Good::Text(text)) => shape::choice(entry.node.place, text, words),
        Ok(_) => return None,
        Err(flaw) => Err(flaw),
    };
    match checked {
        Ok(text) => words.iter().find(|word| **word == text).copied(),
        Err(flaw) => {
            note(context.problems, &join(path, key), flaw);
            None
        }
    }
}

/// Notes a flaw of the value at `path`.
pub(super) fn note(problems: &Problems, path: &str, flaw: Flaw) {
    match flaw.hint {
        Some(hint) => problems.add_with_hint(flaw.place, path, flaw.message, hint),
        None => problems.add(flaw.place, path, flaw.message),
    }
}

/// The path of a key below a path.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (path.is_empty(), plain && !key.is_empty()) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{key:?}]"),
    }
}

fn entry_of<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// Why a file cannot be read, in words for people. Never the error's own text, which could hold the path.
fn reason(kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
