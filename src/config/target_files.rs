//! Lists of targets in files: one target a line, an id or a JSON object with id, name and labels.
//!
//! ```text
//! # who works at night
//! alice@example
//! {"id": "bob@example", "name": "Bob", "labels": {"team": "network"}}
//! ```
//!
//! Blank lines and lines that begin with `#` say nothing. An id is taken as it is written, without the spaces around it;
//! one that begins with `#` or `{` is written as JSON. It knows the form of the files; when they are read again, and what
//! follows from a change, is decided by others. All of a source's files are good or none is used: half a list would end the
//! series of people who are still there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::shape;
use super::targets::{LIMIT_ID_BYTES, LIMIT_LABEL_BYTES, LIMIT_LABELS, check_label_name};
use super::tree::Place;
use crate::domain::{Priority, Roster, TargetLabels};
use crate::ports::Env;

/// The largest file of targets, in bytes: two million targets with a name and a label each.
pub const LIMIT_LIST_BYTES: u64 = 256 * 1024 * 1024;

/// The longest line, in bytes: an id, a name and all labels of one target at their longest.
pub const LIMIT_LINE_BYTES: usize = 16 * 1024;

/// The most targets of one source, twice what is measured. Their ids stay below 4 GiB, as the roster wants it.
pub const LIMIT_TARGETS: u32 = 2_000_000;

/// The most files of one source: each is looked at at every refresh.
pub const LIMIT_FILES: usize = 64;

/// How much of the words about a bad line is told, in characters.
const LIMIT_QUOTED: usize = 120;

/// Problems of one file that are told; what is behind the last of them is not read.
pub const LIMIT_LINE_PROBLEMS: usize = 20;

/// A file of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    /// Its path as the configuration gives it; shown to people.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// One thing that is wrong with a file of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListProblem {
    /// The file's place among those of its source.
    pub number: usize,
    /// The file's name.
    pub file: String,
    /// The line, from 1; none for the whole file.
    pub line: Option<u32>,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ListProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// Adds the targets of these files to a roster. An id that an earlier file or the roster has already keeps what is said of
/// it there. The error is all that is wrong; the roster is of no use then.
pub fn read_files(
    env: &dyn Env,
    files: &[ListFile],
    accepts: &dyn Fn(&str) -> Result<(), String>,
    roster: &mut Roster,
) -> Result<(), Vec<ListProblem>> {
    let mut problems = Vec::new();
    let mut names = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let problem = |line, message| ListProblem { number, file: file.name.clone(), line, message };
        match env.read(&file.path, LIMIT_LIST_BYTES) {
            Ok(text) => {
                let mut reading = Reading { accepts, names, first: roster.len(), lines: Vec::new(), roster };
                let found = reading.all(&text);
                names = reading.names;
                problems.extend(found.into_iter().map(|(line, message)| problem(line, message)));
            }
            Err(error) => problems.push(problem(None, format!("it cannot be read: {}", reason(&error)))),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A line that is read as JSON. Texts are borrowed where they hold no escape.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    labels: Labels<'a>,
    #[serde(borrow, default)]
    priority: Option<Text<'a>>,
}

/// A text, or a whole number as it is written.
struct Text<'a>(Cow<'a, str>);

#[derive(Default)]
struct Labels<'a>(Vec<(Cow<'a, str>, Text<'a>)>);

struct Reading<'a> {
    accepts: &'a dyn Fn(&str) -> Result<(), String>,
    /// Names of labels, kept once for all targets.
    names: BTreeMap<String, Arc<str>>,
    roster: &'a mut Roster,
    /// The number of this file's first target.
    first: u32,
    /// The line of each target of this file.
    lines: Vec<u32>,
}

type Flaw = (Option<u32>, String);

impl Reading<'_> {
    fn all(&mut self, text: &str) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        self.roster.reserve(lines.min(LIMIT_TARGETS as usize));
        for (number, line) in (1_u32..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if self.roster.len() >= LIMIT_TARGETS {
                flaws.push((None, format!("with it, the source has more than {LIMIT_TARGETS} targets")));
                break;
            }
            if let Err(message) = self.line(number, line) {
                flaws.push((Some(number), message));
                if flaws.len() >= LIMIT_LINE_PROBLEMS {
                    flaws.push((None, "there may be more problems behind these".to_owned()));
                    break;
                }
            }
        }
        flaws
    }

    fn line(&mut self, number: u32, line: &str) -> Result<(), String> {
        if line.len() > LIMIT_LINE_BYTES {
            return Err(format!("the line is longer than {LIMIT_LINE_BYTES} bytes"));
        }
        if !line.starts_with('{') {
            return self.target(number, line, TargetLabels::default(), None);
        }
        let Line { id, name, labels, priority } =
            serde_json::from_str(line).map_err(|error| not_json(&error))?;
        let labels = self.describe(name, labels)?;
        let known = |word: Text<'_>| {
            Priority::from_word(&word.0)
                .ok_or_else(|| "the priority is none of high, normal and low".to_owned())
        };
        self.target(number, &id.0, labels, priority.map(known).transpose()?)
    }

    fn target(
        &mut self,
        number: u32,
        id: &str,
        labels: TargetLabels,
        priority: Option<Priority>,
    ) -> Result<(), String> {
        plain(id, LIMIT_ID_BYTES).map_err(|why| format!("the id: {why}"))?;
        (self.accepts)(id)?;
        if self.roster.push(id, labels) {
            self.lines.push(number);
            if let Some(priority) = priority {
                self.roster.set_last_priority(priority);
            }
            return Ok(());
        }
        let earlier = self.roster.find(id).and_then(|at| at.checked_sub(self.first));
        match earlier.and_then(|at| self.lines.get(at as usize)) {
            Some(line) => Err(format!("this target stands in the file already, on line {line}")),
            None => Ok(()),
        }
    }

    fn describe(&mut self, name: Option<Text<'_>>, labels: Labels<'_>) -> Result<TargetLabels, String> {
        if let Some(name) = &name {
            plain(&name.0, LIMIT_LABEL_BYTES).map_err(|why| format!("the name: {why}"))?;
        }
        let mut described = TargetLabels { name: name.map(|name| name.0.into_owned()), labels: Vec::new() };
        if labels.0.len() > LIMIT_LABELS {
            return Err(format!("there are more than {LIMIT_LABELS} labels"));
        }
        for (name, value) in labels.0 {
            check_label_name(&name).map_err(|(what, hint)| format!("a label: {what} ({hint})"))?;
            plain(&value.0, LIMIT_LABEL_BYTES).map_err(|why| format!("the label {name}: {why}"))?;
            let name = match self.names.get(&*name) {
                Some(name) => Arc::clone(name),
                None => {
                    Arc::clone(self.names.entry(name.clone().into_owned()).or_insert_with(|| (*name).into()))
                }
            };
            if described.labels.iter().any(|(other, _)| *other == name) {
                return Err(format!("the label {name} is given twice"));
            }
            described.labels.push((name, value.0.into_owned()));
        }
        Ok(described)
    }
}

/// Checks an id that stands nowhere in the configuration, by the same rules.
pub fn check_id(id: &str) -> Result<(), String> {
    plain(id, LIMIT_ID_BYTES)
}

/// Checks a name that stands nowhere in the configuration, by the same rules.
pub fn check_name(name: &str) -> Result<(), String> {
    plain(name, LIMIT_LABEL_BYTES)
}

/// What is wrong with a text, by the rules of the configuration's own texts.
fn plain(text: &str, limit: usize) -> Result<(), String> {
    shape::check_plain(Place::default(), text).map_err(|flaw| flaw.message)?;
    if text.len() > limit {
        return Err(format!("the text is longer than {limit} bytes"));
    }
    Ok(())
}

/// Why a line is no target, with the column, in the library's words. They may quote a key or value of the line.
fn not_json(error: &serde_json::Error) -> String {
    let (column, text) = (error.column(), error.to_string());
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let what: String = what.chars().take(LIMIT_QUOTED).flat_map(char::escape_debug).collect();
    format!("this is not a target in JSON: {what}, at column {column}")
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::FileTooLarge => {
            format!("it is larger than {} MiB", LIMIT_LIST_BYTES / (1024 * 1024))
        }
        _ => error.to_string(),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Labels<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels, an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'de>, A::Error> {
                let mut labels = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    // A line is short, so this is bounded; more than the limit are refused afterwards.
                    labels.push((name.0, value));
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
#[path = "target_files_tests.rs"]
mod tests;
