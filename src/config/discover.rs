//! Which of the targets that a provider lists are taken: `discover` of a source.
//!
//! Patterns are matched against the whole id and the whole name, as Prometheus matches labels. It knows the form and the
//! choice; who asks, how often, and what becomes of it, is decided by others.

use std::time::Duration;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::keys::{Key, Need, Shape};
use super::reader::{Reader, note};
use super::shape::plain_text;
use super::target_files::LIMIT_TARGETS;
use super::tree::Value;

/// How often a provider is asked for its list if the source does not say: people and desktops come by the day, and
/// every listing is paid for.
pub const DEFAULT_DISCOVER_INTERVAL: &str = "10m";

/// The shortest time between two listings, in seconds: a minute. Who wants it shorter pays more for lists than for presence.
pub const LEAST_DISCOVER_INTERVAL_S: u64 = 60;

/// The longest time between two listings, in seconds: a day.
pub const LIMIT_DISCOVER_INTERVAL_S: u64 = 86_400;

/// Targets that are taken at most if the source does not say: a list that is far longer than expected should not become
/// a bill.
pub const DEFAULT_MAX_TARGETS: &str = "10000";

/// The most patterns of one list.
pub const LIMIT_PATTERNS: usize = 64;

/// The longest pattern, in bytes.
pub const LIMIT_PATTERN_BYTES: usize = 1024;

/// Memory that the patterns of one list may be compiled into, in bytes; `.{1000}{1000}` would take far more.
const LIMIT_COMPILED_BYTES: usize = 4 * 1024 * 1024;

/// How much of the words about a bad pattern is told, in characters.
const LIMIT_QUOTED: usize = 120;

/// Keys under `discover`.
pub const DISCOVER_KEYS: &[Key] = &[
    Key {
        name: "include",
        shape: Shape::List,
        need: Need::Optional,
        doc: "Regular expressions; taken is what has a whole id or name that one of them matches. Default: everything.",
    },
    Key {
        name: "exclude",
        shape: Shape::List,
        need: Need::Optional,
        doc: "Regular expressions; what has a whole id or name that one of them matches is left out.",
    },
    Key {
        name: "interval",
        shape: Shape::Duration { min_s: LEAST_DISCOVER_INTERVAL_S, max_s: LIMIT_DISCOVER_INTERVAL_S },
        need: Need::Default(DEFAULT_DISCOVER_INTERVAL),
        doc: "How often the provider is asked for its list; its calls are paid from the account's budget.",
    },
    Key {
        name: "max_targets",
        shape: Shape::Count { min: 1, max: LIMIT_TARGETS as u64 },
        need: Need::Default(DEFAULT_MAX_TARGETS),
        doc: "Targets that may be found at most; a list that holds more changes nothing, and the log says so.",
    },
];

/// How a source finds its targets.
#[derive(Debug, Clone)]
pub struct Discover {
    /// Which are taken.
    pub filter: Filter,
    /// How often the provider is asked for its list.
    pub interval: Duration,
    /// Targets that may be found at most.
    pub max_targets: usize,
}

/// Which of the listed are taken.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// None: all.
    include: Option<RegexSet>,
    exclude: Option<RegexSet>,
}

impl Filter {
    /// Whether what has this id, and perhaps a name, is taken.
    pub fn takes(&self, id: &str, name: Option<&str>) -> bool {
        let in_set = |set: &RegexSet| set.is_match(id) || name.is_some_and(|name| set.is_match(name));
        self.include.as_ref().is_none_or(in_set) && !self.exclude.as_ref().is_some_and(in_set)
    }
}

/// Reads the key `discover` of a source's reader. `None` when something is wrong, which is noted then.
pub fn read_discover(reader: &Reader<'_>) -> Option<Discover> {
    let node = reader.node("discover")?;
    let reader = Reader::open(reader.context(), node, reader.path_of("discover"), &[DISCOVER_KEYS], None)?;
    let include = patterns(&reader, "include");
    let exclude = patterns(&reader, "exclude");
    let (interval, max_targets) = (reader.duration("interval"), reader.count("max_targets"));
    Some(Discover {
        filter: Filter { include: include?, exclude: exclude? },
        interval: interval?,
        max_targets: usize::try_from(max_targets?).ok()?,
    })
}

/// The patterns under a key; none where the key is absent, and `None` where something is wrong with it.
#[expect(clippy::option_option, reason = "absent and bad are two things, as everywhere in the reader")]
fn patterns(reader: &Reader<'_>, key: &str) -> Option<Option<RegexSet>> {
    if !reader.has(key) {
        return Some(None);
    }
    let Value::Seq(items) = &reader.node(key)?.value else { return None };
    if items.is_empty() || items.len() > LIMIT_PATTERNS {
        let hint = format!("give 1 to {LIMIT_PATTERNS} patterns, or leave the key out");
        reader.complain(key, format!("{} patterns are given here", items.len()), Some(hint));
        return None;
    }
    let texts = items.iter().enumerate().map(|(number, item)| {
        let path = format!("{}[{number}]", reader.path_of(key));
        let text = plain_text(item, LIMIT_PATTERN_BYTES)
            .map_err(|flaw| note(reader.context().problems, &path, flaw))
            .ok()?;
        if let Err(why) = whole(text) {
            let hint = "patterns are regular expressions that match a whole id or name, such as `desk-.*`";
            reader.context().problems.add_with_hint(item.place, &path, why, hint);
            return None;
        }
        Some(anchored(text))
    });
    let texts: Vec<_> = texts.collect();
    let texts: Vec<String> = texts.into_iter().collect::<Option<_>>()?;
    let set = RegexSetBuilder::new(texts).size_limit(LIMIT_COMPILED_BYTES).build();
    if set.is_err() {
        reader.complain(key, "these patterns are too large together", Some("simplify them".to_owned()));
    }
    set.ok().map(Some)
}

/// A pattern that matches whole texts. A lone pattern is looked at first: `a)|(b` must not slip out of the brackets.
fn whole(text: &str) -> Result<Regex, String> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(LIMIT_COMPILED_BYTES).build();
    compile(text).and_then(|_| compile(&anchored(text))).map_err(|error| {
        // The library draws where it is wrong over several lines; its last line says what.
        let text = error.to_string();
        let what = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let what: String = what.chars().take(LIMIT_QUOTED).flat_map(char::escape_debug).collect();
        format!("this is not a good regular expression: {what}")
    })
}

fn anchored(text: &str) -> String {
    format!("^(?:{text})$")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{MemoryEnv, read};

    const KEYS: &[Key] = &[Key { name: "discover", shape: Shape::Map, need: Need::Optional, doc: "" }];

    fn discover(yaml: &str) -> (Option<Discover>, Vec<String>) {
        read(yaml, &MemoryEnv::default(), |context, node| {
            read_discover(&Reader::open(context, node, "s", &[KEYS], None)?)
        })
    }

    fn filter(yaml: &str) -> Filter {
        let (discover, problems) = discover(yaml);
        assert_eq!(problems, [""; 0]);
        discover.expect("nothing is wrong").filter
    }

    #[test]
    fn an_empty_mapping_takes_everything_at_a_slow_pace() {
        let (discover, problems) = discover("discover: {}\n");
        assert_eq!(problems, [""; 0]);
        let discover = discover.expect("nothing is wrong");
        assert_eq!((discover.interval.as_secs(), discover.max_targets), (600, 10_000));
        assert!(discover.filter.takes("", None));
    }

    #[test]
    fn patterns_match_whole_ids_and_names() {
        let filter = filter("discover: {include: ['desk-.*', Bea], exclude: ['.*-test', 'Old .*']}\n");
        for (id, name, taken) in [
            ("desk-1", None, true),
            ("my-desk-1", None, false),
            ("0017", Some("desk-1"), true),
            ("0017", Some("Bea"), true),
            ("0017", Some("Beate"), false),
            ("desk-test", None, false),
            ("desk-1", Some("x-test"), false),
            ("desk-1", Some("Old one"), false),
            ("desk-1", Some("An Old one"), true),
        ] {
            assert_eq!(filter.takes(id, name), taken, "{id} {name:?}");
        }
    }

    #[test]
    fn what_would_slip_out_of_its_brackets_or_eat_memory_is_refused_where_it_stands() {
        for (bad, words) in [
            ("a)|(?:b", "unopened group"),
            ("(", "unclosed group"),
            ("(?x)a # b", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            (".{1000}{1000}", "size limit"),
        ] {
            let (discover, problems) = discover(&format!("discover: {{include: [good, '{bad}']}}\n"));
            assert!(discover.is_none() && problems.len() == 1, "{bad}: {problems:?}");
            let problem = &problems[0];
            assert!(problem.contains("s.discover.include[1]: ") && problem.contains(words), "{problem}");
        }
        let (_, problems) = discover("discover: {exclude: []}\n");
        assert!(problems[0].contains("0 patterns are given here"), "{problems:?}");
        let (_, problems) = discover("discover: {interval: 10s}\n");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
