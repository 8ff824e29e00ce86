//! How often single targets of a source are asked about: `cadence` of a source, and how long answers must count then.
//!
//! It knows the form; who is lively or quiet, and who gets the turns that are saved, is decided where questions are cut.

use std::time::Duration;

use super::common::LIMIT_INTERVAL_S;
use super::keys::{Key, Need, Shape};
use super::reader::Reader;

/// How long a change makes a target lively if the source does not say: whoever has just come or gone, or lost a connection,
/// does so again within minutes if at all.
pub const DEFAULT_LIVELY_FOR: &str = "10m";

/// After how long without a change a target is quiet if the source does not say: longer than a meeting or a class, so that
/// only those who are away or at it for good are.
pub const DEFAULT_QUIET_AFTER: &str = "1h";

/// The longest time that a change may make lively, and that may pass before a target is quiet, in seconds: a week, the
/// rhythm of most people's work.
pub const LIMIT_CHANGE_S: u64 = 604_800;

/// Keys under `cadence`.
pub const CADENCE_KEYS: &[Key] = &[
    Key {
        name: "fastest",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_INTERVAL_S },
        need: Need::Required,
        doc: "How often lively targets are asked about (high priority, or changed lately), as far as quiet ones save requests.",
    },
    Key {
        name: "slowest",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_INTERVAL_S },
        need: Need::Required,
        doc: "How often every target is asked about at least, be it as quiet as it may.",
    },
    Key {
        name: "lively_for",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_CHANGE_S },
        need: Need::Default(DEFAULT_LIVELY_FOR),
        doc: "How long a target is lively after a change between online and offline.",
    },
    Key {
        name: "quiet_after",
        shape: Shape::Duration { min_s: 1, max_s: LIMIT_CHANGE_S },
        need: Need::Default(DEFAULT_QUIET_AFTER),
        doc: "After how long without a change a target is quiet.",
    },
];

/// How often single targets of a source are asked about; whoever is neither lively nor quiet, at its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cadence {
    /// How often lively ones are.
    pub fastest: Duration,
    /// How often quiet ones are, and everybody at least.
    pub slowest: Duration,
    /// How long a change makes lively.
    pub lively_for: Duration,
    /// After how long without a change one is quiet.
    pub quiet_after: Duration,
}

/// Reads the key `cadence` of the reader of a source with this interval. `None` when something is wrong, which is noted
/// then.
pub fn read_cadence(reader: &Reader<'_>, interval: Duration) -> Option<Cadence> {
    let node = reader.node("cadence")?;
    let reader = Reader::open(reader.context(), node, reader.path_of("cadence"), &[CADENCE_KEYS], None)?;
    let (fastest, slowest) = (reader.duration("fastest"), reader.duration("slowest"));
    let (lively_for, quiet_after) = (reader.duration("lively_for"), reader.duration("quiet_after"));
    let cadence =
        Cadence { fastest: fastest?, slowest: slowest?, lively_for: lively_for?, quiet_after: quiet_after? };
    let must_be = |key: &str, how: &str, than: Duration| {
        format!("{key} must be at {how} {} here", humantime::format_duration(than))
    };
    let mut good = true;
    let mut complain = |key: &str, message: &str, hint: String| {
        reader.complain(key, message, Some(hint));
        good = false;
    };
    if cadence.fastest > interval {
        let hint = must_be("fastest", "most", interval);
        complain("fastest", "fastest is longer than the source's interval", hint);
    }
    if cadence.slowest < interval {
        let hint = must_be("slowest", "least", interval);
        complain("slowest", "slowest is shorter than the source's interval", hint);
    }
    if cadence.quiet_after < cadence.lively_for {
        let key = if reader.has_own("quiet_after") { "quiet_after" } else { "lively_for" };
        let hint = must_be("quiet_after", "least", cadence.lively_for);
        complain(key, "quiet_after is shorter than lively_for: a target would be both", hint);
    }
    good.then_some(cadence)
}

/// Whether answers count for so long that nobody is unknown between two of them, by the longest time between two questions
/// about a target. If not, it is said where it can be mended: in the source if it gives any of what decides it, else once
/// in `defaults` for all sources.
pub(super) fn outlasts(
    reader: &Reader<'_>,
    max_age: Option<Duration>,
    (interval, cadence): (Duration, Option<&Cadence>),
    timeout: Duration,
) -> bool {
    let (turn, name) = cadence.map_or((interval, "interval"), |cadence| (cadence.slowest, "cadence.slowest"));
    let least = turn + timeout;
    if max_age.is_none_or(|max_age| max_age >= least) {
        return true;
    }
    let message = format!(
        "max_age is shorter than {name} and timeout together: targets would be unknown between answers"
    );
    let hint = format!("max_age must be at least {} here", humantime::format_duration(least));
    let own = ["max_age", "cadence", "interval", "timeout"].into_iter().find(|key| reader.has_own(key));
    match (own, reader.value_of("max_age")) {
        (None, Some(node)) => {
            reader.context().problems.add_with_hint(node.place, "defaults.max_age", message, hint);
        }
        (own, _) => reader.complain(own.unwrap_or("max_age"), message, Some(hint)),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{MemoryEnv, read};

    const KEYS: &[Key] = &[
        Key { name: "cadence", shape: Shape::Map, need: Need::Optional, doc: "" },
        Key {
            name: "max_age",
            shape: Shape::Duration { min_s: 1, max_s: 9999 },
            need: Need::Optional,
            doc: "",
        },
    ];

    /// What is read of a source with an interval of half a minute.
    fn cadence(yaml: &str) -> (Option<Cadence>, Vec<String>) {
        read(yaml, &MemoryEnv::default(), |context, node| {
            let reader = Reader::open(context, node, "s", &[KEYS], None)?;
            let interval = Duration::from_secs(30);
            let cadence = read_cadence(&reader, interval)?;
            let turn = (interval, Some(&cadence));
            outlasts(&reader, reader.duration("max_age"), turn, Duration::from_secs(10)).then_some(cadence)
        })
    }

    #[test]
    fn two_times_are_enough_and_the_others_have_defaults() {
        let (given, problems) = cadence("cadence: {fastest: 10s, slowest: 5m}\n");
        assert_eq!(problems, [""; 0]);
        let given = given.expect("nothing is wrong");
        let times = [given.fastest, given.slowest, given.lively_for, given.quiet_after];
        assert_eq!(times.map(|time| time.as_secs()), [10, 300, 600, 3600]);
        assert!(cadence("cadence: {fastest: 30s, slowest: 30s}\n").0.is_some(), "all alike is allowed");
    }

    #[test]
    fn what_contradicts_the_interval_or_itself_is_refused_where_it_stands() {
        for (bad, problem) in [
            (
                "{fastest: 31s, slowest: 5m}",
                "1:20: s.cadence.fastest: fastest is longer than the source's interval (fastest must be at most 30s here)",
            ),
            (
                "{fastest: 5s, slowest: 29s}",
                "1:33: s.cadence.slowest: slowest is shorter than the source's interval (slowest must be at least 30s here)",
            ),
            (
                "{fastest: 5s, slowest: 5m, quiet_after: 9m}",
                "1:50: s.cadence.quiet_after: quiet_after is shorter than lively_for: a target would be both (quiet_after \
                 must be at least 10m here)",
            ),
            (
                "{fastest: 5s, slowest: 5m, lively_for: 2h}",
                "1:49: s.cadence.lively_for: quiet_after is shorter than lively_for: a target would be both (quiet_after \
                 must be at least 2h here)",
            ),
        ] {
            let (cadence, problems) = cadence(&format!("cadence: {bad}\n"));
            assert_eq!((cadence, problems.as_slice()), (None, [problem.to_owned()].as_slice()), "{bad}");
        }
        let (_, problems) = cadence("cadence: {}\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn answers_must_count_from_one_quiet_turn_to_the_next() {
        let (given, problems) = cadence("cadence: {fastest: 5s, slowest: 5m}\nmax_age: 5m 9s\n");
        assert!(given.is_none());
        let what = "max_age is shorter than cadence.slowest and timeout together: targets would be unknown between answers";
        assert_eq!(problems, [format!("2:10: s.max_age: {what} (max_age must be at least 5m 10s here)")]);
        assert!(cadence("cadence: {fastest: 5s, slowest: 5m}\nmax_age: 5m 10s\n").0.is_some());
    }
}
