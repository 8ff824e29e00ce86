//! The targets of a source: ids, or mappings with id, name and labels, in the configuration itself, in files, or as the
//! provider lists them.
//!
//! It knows the form of the list. Whether an id is one that the provider could know is asked of the provider's own code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::common::Noted;
use super::discover::{Discover, read_discover};
use super::keys::{Key, Need, Shape};
use super::reader::{Context, Reader, join, note};
use super::shape::plain_text;
use super::target_files::{LIMIT_FILES, ListFile, read_files};
use super::tree::{Entry, Node, Place, Value};
use crate::domain::{Priority, Roster, TargetLabels};

/// The longest id, in bytes: twice what any provider allows.
pub const LIMIT_ID_BYTES: usize = 512;

/// How often files of targets are looked at: as soon as people expect a change to show, and three system calls a file.
pub const DEFAULT_REFRESH: &str = "5s";

/// The longest time between two looks at the files of targets, in seconds: an hour.
pub const LIMIT_REFRESH_S: u64 = 3600;

/// The most labels of one target: each is on the info series of every target.
pub const LIMIT_LABELS: usize = 16;

/// The longest value of a label or name, in bytes: labels are for choosing, not for describing.
pub const LIMIT_LABEL_BYTES: usize = 256;

/// The longest name of a label, in bytes.
pub const LIMIT_LABEL_NAME_BYTES: usize = 64;

/// The longest path of a file of targets, in bytes: what Linux allows.
pub const LIMIT_PATH_BYTES: usize = 4096;

/// Labels that the info series has already.
pub const RESERVED_LABELS: &[&str] = &["source", "kind", "target", "provider", "evidence", "name"];

/// Keys of a target that is written as a mapping.
pub const TARGET_KEYS: &[Key] = &[
    Key {
        name: "id",
        shape: Shape::Text,
        need: Need::Required,
        doc: "The id that the provider knows it by.",
    },
    Key {
        name: "name",
        shape: Shape::Text,
        need: Need::Optional,
        doc: "A display name; the label `name` of presence_target_info.",
    },
    Key {
        name: "labels",
        shape: Shape::Map,
        need: Need::Optional,
        doc: "Further labels of presence_target_info, 16 at most; names of letters, digits and _.",
    },
    Key {
        name: "priority",
        shape: Shape::Choice(Priority::WORDS),
        need: Need::Optional,
        doc: "A priority of its own, high, normal or low; else the source's. Not for sources that list all targets at once.",
    },
];

/// Where a source's targets come from, where they may change while the exporter runs.
#[derive(Debug, Clone)]
pub struct TargetLists {
    /// Those that the configuration itself gives.
    pub inline: Arc<Roster>,
    /// Files of further ones.
    pub files: Vec<ListFile>,
    /// How often the files are looked at.
    pub refresh: Duration,
    /// How further ones are found by asking the provider, if they are.
    pub discover: Option<Discover>,
}

/// The targets of a source as they are given at the start.
#[derive(Debug)]
pub struct Given {
    /// Who they are; perhaps nobody yet, where they may change.
    pub roster: Arc<Roster>,
    /// Where they come from; none when they never change.
    pub lists: Option<TargetLists>,
}

/// What a source's provider says of its targets.
pub struct Rules<'a> {
    /// Checks an id; the error says what an id looks like.
    pub accepts: &'a dyn Fn(&str) -> Result<(), String>,
    /// Checks whether the provider can list its targets; the error says why not.
    pub lists: &'a dyn Fn() -> Result<(), String>,
}

/// Reads the keys `targets`, `files`, `refresh` and `discover` of a source's reader, and the files. `source` and
/// `generation` number the roster. `None` when something is wrong, which is noted then.
pub fn read_targets(reader: &Reader<'_>, source: u16, generation: u16, rules: &Rules<'_>) -> Option<Given> {
    let accepts = rules.accepts;
    if !["targets", "files", "discover"].into_iter().any(|key| reader.has(key)) {
        let hint = "give `targets`, `files` that hold them, or `discover`".to_owned();
        reader.complain("targets", "there is nothing to watch", Some(hint));
        return None;
    }
    let inline = if reader.has("targets") {
        read_inline(reader, source, generation, accepts)
    } else {
        Some(Roster::new(source, generation))
    };
    let discover = if reader.has("discover") { read_discovery(reader, rules) } else { Ok(None) };
    if !reader.has("files") && !reader.has("discover") {
        return Some(Given { roster: Arc::new(inline?), lists: None });
    }
    let files = if reader.has("files") { read_names(reader)? } else { Vec::new() };
    let (mut roster, inline) = (inline.clone()?, Arc::new(inline?));
    if let Err(problems) = read_files(reader.context().env.as_ref(), &files, accepts, &mut roster) {
        for problem in problems {
            let path = format!("{}[{}]", reader.path_of("files"), problem.number);
            let place =
                item(reader, "files", problem.number).map_or_else(|| reader.place(), |item| item.place);
            reader.context().problems.add(place, &path, problem.to_string());
        }
        return None;
    }
    let (refresh, discover) = (reader.duration("refresh")?, discover.ok()?);
    let lists = TargetLists { inline, files, refresh, discover };
    Some(Given { roster: Arc::new(roster), lists: Some(lists) })
}

/// Reads the key `discover`, where the provider can do it.
fn read_discovery(reader: &Reader<'_>, rules: &Rules<'_>) -> Result<Option<Discover>, Noted> {
    if let Err(why) = (rules.lists)() {
        let hint = "give `targets`, or `files` that hold them".to_owned();
        reader.complain("discover", why, Some(hint));
        return Err(Noted);
    }
    read_discover(reader).map(Some).ok_or(Noted)
}

fn item<'a>(reader: &Reader<'a>, key: &str, number: usize) -> Option<&'a Node> {
    match &reader.node(key)?.value {
        Value::Seq(items) => items.get(number),
        _ => None,
    }
}

/// The paths under `files`.
fn read_names(reader: &Reader<'_>) -> Option<Vec<ListFile>> {
    let Value::Seq(items) = &reader.node("files")?.value else { return None };
    if items.is_empty() || items.len() > LIMIT_FILES {
        let hint = format!("name 1 to {LIMIT_FILES} files");
        reader.complain("files", format!("{} files are named here", items.len()), Some(hint));
        return None;
    }
    let context = reader.context();
    let names = items.iter().enumerate().map(|(number, item)| match plain_text(item, LIMIT_PATH_BYTES) {
        Ok(name) => Some(ListFile { name: name.to_owned(), path: context.base.join(name) }),
        Err(flaw) => {
            note(context.problems, &format!("{}[{number}]", reader.path_of("files")), flaw);
            None
        }
    });
    let names: Vec<_> = names.collect();
    names.into_iter().collect()
}

/// Reads the key `targets`.
fn read_inline(
    reader: &Reader<'_>,
    source: u16,
    generation: u16,
    accepts: &dyn Fn(&str) -> Result<(), String>,
) -> Option<Roster> {
    let Value::Seq(items) = &reader.node("targets")?.value else { return None };
    if items.is_empty() {
        reader.complain("targets", "there are no targets", Some("give at least one id".to_owned()));
        return None;
    }
    let mut reading = Reading {
        context: reader.context(),
        path: reader.path_of("targets"),
        accepts,
        roster: Roster::new(source, generation),
        places: Vec::with_capacity(items.len()),
        names: BTreeMap::new(),
    };
    let mut good = true;
    for (number, item) in items.iter().enumerate() {
        good &= reading.target(number, item).is_some();
    }
    good.then_some(reading.roster)
}

struct Reading<'a> {
    context: Context<'a>,
    path: String,
    accepts: &'a dyn Fn(&str) -> Result<(), String>,
    roster: Roster,
    /// Where each target of the roster stands.
    places: Vec<Place>,
    /// Names of labels, kept once for all targets.
    names: BTreeMap<String, Arc<str>>,
}

impl Reading<'_> {
    fn target(&mut self, number: usize, item: &Node) -> Option<()> {
        let path = || format!("{}[{number}]", self.path);
        if let Value::Map(_) = item.value {
            let reader = Reader::open(self.context, item, path(), &[TARGET_KEYS], None)?;
            let labels = self.describe(&reader);
            let word = reader.has("priority").then(|| reader.text("priority"));
            let id = reader.value_of("id")?;
            self.add(&|| reader.path_of("id"), id, labels?)?;
            // A word that is none was noted by the reader.
            let priority =
                word.map(|word| Priority::from_word(&word?)).map_or(Some(None), |p| p.map(Some))?;
            if let Some(priority) = priority {
                self.roster.set_last_priority(priority);
            }
            Some(())
        } else {
            let path = path();
            self.add(&|| path.clone(), item, TargetLabels::default())
        }
    }

    /// Adds a target; `node` is its id, and `path` its path.
    fn add(&mut self, path: &dyn Fn() -> String, node: &Node, labels: TargetLabels) -> Option<()> {
        let id = match plain_text(node, LIMIT_ID_BYTES) {
            Ok(id) => id,
            Err(flaw) => {
                // A mapping's reader may have said so already; a problem is kept once.
                note(self.context.problems, &path(), flaw);
                return None;
            }
        };
        if let Err(why) = (self.accepts)(id) {
            self.context.problems.add(node.place, &path(), why);
            return None;
        }
        if let Some(first) = self.roster.find(id) {
            let Place { line, column } = self.places[first as usize];
            let message = format!("this target stands in the list already, at line {line}, column {column}");
            self.context.problems.add_with_hint(node.place, &path(), message, "keep one of the two");
            return None;
        }
        self.roster.push(id, labels);
        self.places.push(node.place);
        Some(())
    }

    fn describe(&mut self, reader: &Reader<'_>) -> Option<TargetLabels> {
        let name = reader.text("name");
        if name.as_ref().is_some_and(|name| name.len() > LIMIT_LABEL_BYTES) {
            let message = format!("the name is longer than {LIMIT_LABEL_BYTES} bytes");
            reader.complain("name", message, Some("shorten it".to_owned()));
            return None;
        }
        let Some(node) = reader.node("labels") else {
            let absent = !reader.has("labels") && (name.is_some() || !reader.has("name"));
            return absent.then(|| TargetLabels { name, labels: Vec::new() });
        };
        let Value::Map(entries) = &node.value else { return None };
        if entries.len() > LIMIT_LABELS {
            let message = format!("there are more than {LIMIT_LABELS} labels");
            reader.complain("labels", message, Some("take out the ones that nobody chooses by".to_owned()));
            return None;
        }
        let path = reader.path_of("labels");
        let labels: Vec<_> = entries.iter().map(|entry| self.label(&path, entry)).collect();
        Some(TargetLabels { name, labels: labels.into_iter().collect::<Option<_>>()? })
    }

    fn label(&mut self, path: &str, entry: &Entry) -> Option<(Arc<str>, String)> {
        if let Err((message, hint)) = check_label_name(&entry.key) {
            self.context.problems.add_with_hint(entry.place, path, message, hint);
            return None;
        }
        let name = match self.names.get(entry.key.as_str()) {
            Some(name) => Arc::clone(name),
            None => {
                Arc::clone(self.names.entry(entry.key.clone()).or_insert_with(|| entry.key.as_str().into()))
            }
        };
        match plain_text(&entry.node, LIMIT_LABEL_BYTES) {
            Ok(value) => Some((name, value.to_owned())),
            Err(flaw) => {
                note(self.context.problems, &join(path, &entry.key), flaw);
                None
            }
        }
    }
}

/// What is wrong with a label's name, and what to do.
pub(super) fn check_label_name(name: &str) -> Result<(), (&'static str, String)> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = "letters, digits and _ make a name, and no digit stands first".to_owned();
        return Err(("this is not a good name of a label", hint));
    }
    if name.starts_with("__") {
        return Err(("names that begin with __ are Prometheus's own", "begin it with a letter".to_owned()));
    }
    if RESERVED_LABELS.contains(&name) {
        let hint = format!("these are taken: {}", RESERVED_LABELS.join(", "));
        return Err(("the series has a label of this name already", hint));
    }
    if name.len() > LIMIT_LABEL_NAME_BYTES {
        let hint = format!("{LIMIT_LABEL_NAME_BYTES} bytes at most");
        return Err(("the name of this label is too long", hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
