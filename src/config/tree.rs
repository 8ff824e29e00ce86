//! A YAML file as a located tree. The only module that names the YAML library.
//!
//! Scalars are kept as the file's own text, since YAML types spoil ids (`0017` would become 17). So the tree is built
//! from the events of serde-saphyr's parser and not through serde. Anchors, aliases and merge keys are resolved here.
//! Excerpts of the file are never part of an error, since they may show secrets.

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::problem::Problem;

/// A place in the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins; for an alias where the alias stands; for a value that is left out where its key stands.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// The four shapes of a YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar as written, with whether it was quoted.
    Scalar {
        /// The file's own text, quotes and escapes resolved.
        text: String,
        /// Whether it stood in quotes or a block, or after `!!str`, and so is text for sure.
        quoted: bool,
    },
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the file's order, what merge keys bring last; a duplicate key is an error of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// The largest configuration file read, in bytes: a hundred thousand inline targets and more.
pub const LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The most nodes that a file may come to, keys and copies made for aliases included: two hundred thousand targets with a
/// name and a few labels each. It bounds memory to some hundred MiB, and it ends alias bombs at once.
pub const LIMIT_NODES: usize = 2 * 1024 * 1024;

/// The most text, in bytes, that aliases may copy: without it one long text and many aliases would fill the memory.
pub const LIMIT_COPIED_BYTES: usize = 64 * 1024 * 1024;

/// The deepest nesting of mappings and sequences: a good file has six levels.
pub const LIMIT_DEPTH: usize = 64;

/// Reads a YAML text of at most [`LIMIT_BYTES`]; the error is the first thing that is not YAML. An empty file is a
/// [`Value::Null`].
pub fn parse(text: &str) -> Result<Node, Problem> {
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > LIMIT_BYTES) {
        let most = LIMIT_BYTES / (1024 * 1024);
        return Err(problem(START, format!("the file is larger than {most} MiB"), None));
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: LIMIT_DEPTH,
        block_nesting_limit: LIMIT_DEPTH,
    };
    let mut builder = Builder::default();
    // A byte order mark would shift the columns of the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| not_yaml(&error))?;
        // A value that is left out comes as an empty span.
        let at = if span.is_empty() {
            builder.place_of_nothing(&event, place(&span.start))
        } else {
            place(&span.start)
        };
        builder.take(event, at)?;
    }
    Ok(builder.root.unwrap_or(Node { place: START, value: Value::Null }))
}

const START: Place = Place { line: 1, column: 1 };

/// A finished node with what it weighs, in case it is copied.
#[derive(Clone)]
struct Finished {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// A mapping or sequence that is not yet closed.
struct Open {
    place: Place,
    anchor: usize,
    nodes: usize,
    bytes: usize,
    depth: usize,
    inside: Inside,
}

enum Inside {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Name>, merge: Option<(Place, Node)> },
}

/// A key whose value is to come.
struct Name {
    text: String,
    place: Place,
    merges: bool,
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: HashMap<usize, Finished>,
    nodes: usize,
    copied_bytes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let hint = "one file holds one document: take out the line `---`".to_owned();
                    return Err(problem(place, "a second YAML document begins here", Some(hint)));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let forced = text_by_tag(tag.as_deref(), place)?;
                let quoted = forced || style != ScalarStyle::Plain;
                self.scalar(text.into_owned(), quoted, anchor, place)
            }
            Event::SequenceStart(_, anchor, tag) => {
                no_tag(tag.as_deref(), place)?;
                self.begin(Inside::Seq(Vec::new()), anchor, place)
            }
            Event::MappingStart(_, anchor, tag) => {
                no_tag(tag.as_deref(), place)?;
                self.begin(Inside::Map { entries: Vec::new(), key: None, merge: None }, anchor, place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: String, quoted: bool, anchor: usize, place: Place) -> Result<(), Problem> {
        self.count(1, place)?;
        let null = !quoted && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        let bytes = text.len();
        let value = if null { Value::Null } else { Value::Scalar { text, quoted } };
        self.finish(Finished { node: Node { place, value }, nodes: 1, bytes, depth: 0 }, anchor)
    }

    fn begin(&mut self, inside: Inside, anchor: usize, place: Place) -> Result<(), Problem> {
        self.count(1, place)?;
        self.open.push(Open { place, anchor, nodes: 1, bytes: 0, depth: 0, inside });
        self.check_depth(0, place)
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.inside {
            Inside::Seq(items) => Value::Seq(items),
            Inside::Map { entries, merge, .. } => {
                no_duplicates(&entries)?;
                Value::Map(merged(entries, merge)?)
            }
        };
        let node = Node { place: open.place, value };
        let (nodes, bytes, depth) = (open.nodes, open.bytes, open.depth + 1);
        self.finish(Finished { node, nodes, bytes, depth }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Problem> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(problem(place, "an alias stands inside the very value that it names", None));
        };
        let (nodes, bytes, depth) = (target.nodes, target.bytes, target.depth);
        self.charge_copy(nodes, bytes, place)?;
        self.check_depth(depth, place)?;
        let mut copy = self.anchors[&anchor].clone();
        copy.node.place = place;
        self.put(copy)
    }

    /// Keeps a copy for aliases if the node has an anchor, and puts it where it belongs.
    fn finish(&mut self, finished: Finished, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.charge_copy(finished.nodes, finished.bytes, finished.node.place)?;
            self.anchors.insert(anchor, finished.clone());
        }
        self.put(finished)
    }

    fn put(&mut self, finished: Finished) -> Result<(), Problem> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(finished.node);
            return Ok(());
        };
        open.nodes += finished.nodes;
        open.bytes += finished.bytes;
        open.depth = open.depth.max(finished.depth);
        match &mut open.inside {
            Inside::Seq(items) => items.push(finished.node),
            Inside::Map { entries, key, merge } => match key.take() {
                None => *key = Some(name(finished.node)?),
                Some(name) if name.merges => {
                    if merge.replace((name.place, finished.node)).is_some() {
                        let hint = "merge several mappings by one key: `<<: [*a, *b]`".to_owned();
                        return Err(problem(name.place, "a second `<<` in one mapping", Some(hint)));
                    }
                }
                Some(name) => {
                    entries.push(Entry { key: name.text, place: name.place, node: finished.node });
                }
            },
        }
        Ok(())
    }

    /// The place of a value that is left out is its key's.
    fn place_of_nothing(&self, event: &Event<'_>, otherwise: Place) -> Place {
        match (event, self.open.last().map(|open| &open.inside)) {
            (Event::Scalar(..), Some(Inside::Map { key: Some(name), .. })) => name.place,
            _ => otherwise,
        }
    }

    fn charge_copy(&mut self, nodes: usize, bytes: usize, place: Place) -> Result<(), Problem> {
        self.count(nodes, place)?;
        self.copied_bytes = self.copied_bytes.saturating_add(bytes);
        if self.copied_bytes > LIMIT_COPIED_BYTES {
            return Err(problem(place, "aliases copy too much text", None));
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > LIMIT_NODES {
            let message = format!("the file comes to more than {LIMIT_NODES} values, aliases included");
            return Err(problem(place, message, None));
        }
        Ok(())
    }

    fn check_depth(&self, below: usize, place: Place) -> Result<(), Problem> {
        if self.open.len() + below > LIMIT_DEPTH {
            return Err(too_deep(place));
        }
        Ok(())
    }
}

/// Turns a node into a key: it must be a text.
fn name(node: Node) -> Result<Name, Problem> {
    let what = match node.value {
        Value::Scalar { text, quoted } => {
            let merges = !quoted && text == "<<";
            return Ok(Name { text, place: node.place, merges });
        }
        Value::Null => "a key is empty or null",
        Value::Seq(_) => "a key is a sequence",
        Value::Map(_) => "a key is a mapping",
    };
    let hint = "a key is a text; quote one that begins with { or [ or is null".to_owned();
    Err(problem(node.place, what, Some(hint)))
}

fn no_duplicates(entries: &[Entry]) -> Result<(), Problem> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by(|a, b| a.key.cmp(&b.key));
    let twice = order.windows(2).filter(|pair| pair[0].key == pair[1].key).min_by_key(|pair| pair[1].place);
    let Some([first, second]) = twice else { return Ok(()) };
    let Place { line, column } = first.place;
    let message = format!("this key stands in its mapping already, at line {line}, column {column}");
    Err(problem(second.place, message, Some("keep one of the two".to_owned())))
}

/// Adds what a merge key brings: own keys win, and of several mappings the first.
fn merged(mut entries: Vec<Entry>, merge: Option<(Place, Node)>) -> Result<Vec<Entry>, Problem> {
    let Some((place, node)) = merge else { return Ok(entries) };
    let bad = || {
        let hint = "write `<<: *anchor` or `<<: [*a, *b]`".to_owned();
        problem(place, "`<<` merges mappings, and this is none", Some(hint))
    };
    let sources = match node.value {
        Value::Map(brought) => vec![brought],
        Value::Seq(items) => {
            let maps = items.into_iter().map(|item| match item.value {
                Value::Map(brought) => Ok(brought),
                _ => Err(bad()),
            });
            maps.collect::<Result<_, _>>()?
        }
        _ => return Err(bad()),
    };
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let brought = sources.into_iter().flatten();
    entries.extend(brought.filter(|entry| known.insert(entry.key.clone())));
    Ok(entries)
}

/// Whether a scalar's tag says that it is text (`!!str`, `!`); other tags have no meaning here.
fn text_by_tag(tag: Option<&Tag>, place: Place) -> Result<bool, Problem> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.original() == "!" => Ok(true),
        tag => no_tag(tag, place).map(|()| false),
    }
}

fn no_tag(tag: Option<&Tag>, place: Place) -> Result<(), Problem> {
    if tag.is_none() {
        return Ok(());
    }
    let hint = "take out the `!`, or quote the text if it begins with one".to_owned();
    Err(problem(place, "YAML tags have no meaning here", Some(hint)))
}

/// The parser's complaint in words that hold nothing of the file.
fn not_yaml(error: &ScanError) -> Problem {
    let place = place(error.marker());
    let (message, hint) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return too_deep(place),
        ErrorKind::UnexpectedCharacter { .. } => ("an unexpected character".to_owned(), "quote the text"),
        ErrorKind::UnknownAnchor => {
            ("an alias names no anchor above it".to_owned(), "quote the text if it begins with *")
        }
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            ("a tab where YAML wants spaces".to_owned(), "indent with spaces")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a colon where no key can be".to_owned(),
            "quote a text that has `: ` in it; look at the indentation",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::ExpectedBlockMappingKey => (
            "a key was expected".to_owned(),
            "write `key: value`, a blank after the colon; look at the indentation",
        ),
        ErrorKind::UnclosedQuotedScalar => ("a quote is never closed".to_owned(), "close it"),
        ErrorKind::Custom(_) | ErrorKind::InputIo { .. } | ErrorKind::InputDecoding { .. } => {
            ("the text cannot be read".to_owned(), "save it as UTF-8")
        }
        kind if kind.to_string().contains("found a tab") => {
            ("a tab where YAML wants spaces".to_owned(), "indent with spaces")
        }
        kind => (kind.to_string(), "look at indentation, quotes and brackets around this place"),
    };
    problem(place, format!("not YAML: {message}"), Some(hint.to_owned()))
}

fn too_deep(place: Place) -> Problem {
    problem(place, format!("mappings and sequences are nested more than {LIMIT_DEPTH} deep"), None)
}

fn place(mark: &Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(mark.line()).max(1), column: number(mark.col().saturating_add(1)) }
}

fn problem(place: Place, message: impl Into<String>, hint: Option<String>) -> Problem {
    Problem { place, path: String::new(), message: message.into(), hint }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
