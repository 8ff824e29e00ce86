//! Which sources are asked together: those of one account that ask the same in the same rhythm. So calls are packed across
//! them, and who stands in several of them is asked about once.
//!
//! A pool has a roster of its own, which rounds, questions and answers speak of. Where ids are asked in batches it holds each
//! id once; where questions answer for all, each source's targets stand apart in it, since sources may read the same answer
//! differently. A source that shares with nobody is a pool of one, with the very roster of the source.
//!
//! It decides by settings alone and asks nobody. What an answer means to each source is told in [`members`](super::members).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::packing::Capacity;
use crate::domain::{Priority, Roster, TargetLabels};
use crate::providers::Step;
use crate::providers::configure::Source;

/// Sources that are asked together.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The account's place in the configuration.
    pub account: usize,
    /// The sources' places in the configuration, in order. The first one's provider asks for all.
    pub sources: Vec<usize>,
    /// Whom it is asked about.
    pub roster: Arc<Roster>,
    /// The highest priority of its sources, which targets have that say nothing else.
    pub priority: Priority,
}

/// One source's part of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its targets.
    pub roster: &'a Arc<Roster>,
    /// Its priority, for those that have none of their own.
    pub priority: Priority,
}

/// How the targets of several sources stand in one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// There is one source only.
    Alone,
    /// Each id once, whoever wants it.
    ById,
    /// Each source's targets apart.
    Apart,
}

impl Joining {
    /// That of so many sources with these steps.
    pub fn of(steps: &[Step], sources: usize) -> Self {
        match (sources, Capacity::of(steps)) {
            (..2, _) => Self::Alone,
            (_, Some(_)) => Self::ById,
            (_, None) => Self::Apart,
        }
    }

    /// What a target of the source with this place in the pool is called in the pool's roster.
    pub fn key(self, place: usize, id: &str) -> Cow<'_, str> {
        match self {
            Self::Alone | Self::ById => Cow::Borrowed(id),
            Self::Apart => Cow::Owned(format!("{place}/{id}")),
        }
    }

    /// The place of the only source whose target can be called so, and its id; the place is none where any source may have it.
    pub fn unkey(self, key: &str) -> (Option<usize>, &str) {
        match self {
            Self::Alone | Self::ById => (None, key),
            Self::Apart => key.split_once('/').map_or((None, key), |(place, id)| (place.parse().ok(), id)),
        }
    }
}

/// The pools of a configuration's sources: each source is in one of them, in the order of their first ones.
pub fn pools(sources: &[Source]) -> Vec<Pool> {
    let mut places = BTreeMap::new();
    let mut pools: Vec<Vec<usize>> = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let settings = &source.settings;
        let rhythm = (settings.interval, settings.timeout, settings.cadence);
        let place = *places.entry((source.account, rhythm, &source.asks)).or_insert(pools.len());
        if place == pools.len() {
            pools.push(Vec::new());
        }
        pools[place].push(number);
    }
    pools.into_iter().map(|numbers| pool(sources, numbers)).collect()
}

fn pool(sources: &[Source], numbers: Vec<usize>) -> Pool {
    let part = |&number: &usize| {
        let source: &Source = &sources[number];
        Part { roster: &source.roster, priority: source.settings.priority }
    };
    let parts: Vec<Part<'_>> = numbers.iter().map(part).collect();
    let first = &sources[numbers[0]];
    Pool {
        account: first.account,
        roster: join(&parts, Joining::of(&first.provider.round(), parts.len())),
        priority: highest(&parts),
        sources: numbers,
    }
}

/// The roster of a pool of these parts, of which there is at least one.
pub fn join(parts: &[Part<'_>], joining: Joining) -> Arc<Roster> {
    if let [alone] = parts {
        return Arc::clone(alone.roster);
    }
    let first = parts[0].roster;
    let mut joined = Roster::new(first.source(), first.generation());
    joined.reserve(parts.iter().map(|part| part.roster.len() as usize).sum());
    let usual = highest(parts);
    for (place, part) in parts.iter().enumerate() {
        for target in part.roster.iter() {
            if !joined.push(&joining.key(place, target.id), TargetLabels::default()) {
                continue;
            }
            let priority = match joining {
                Joining::ById => highest_of(parts, target.id),
                Joining::Alone | Joining::Apart => usual,
            };
            if priority != usual {
                joined.set_last_priority(priority);
            }
        }
    }
    Arc::new(joined)
}

fn highest(parts: &[Part<'_>]) -> Priority {
    parts.iter().map(|part| part.priority).min().unwrap_or_default()
}

/// The highest priority that any source gives this id.
fn highest_of(parts: &[Part<'_>], id: &str) -> Priority {
    let of = |part: &Part<'_>| {
        let index = part.roster.find(id)?;
        Some(part.roster.priority(index).unwrap_or(part.priority))
    };
    parts.iter().filter_map(of).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(number: u16, ids: &[(&str, Option<Priority>)]) -> Arc<Roster> {
        let mut roster = Roster::new(number, 0);
        for (id, priority) in ids {
            assert!(roster.push(id, TargetLabels::default()));
            if let Some(priority) = priority {
                roster.set_last_priority(*priority);
            }
        }
        Arc::new(roster)
    }

    fn part(roster: &Arc<Roster>, priority: Priority) -> Part<'_> {
        Part { roster, priority }
    }

    #[test]
    fn who_stands_in_several_sources_is_asked_about_once_with_the_highest_priority() {
        let low = roster(3, &[("a", None), ("b", Some(Priority::High)), ("c", None)]);
        let normal = roster(5, &[("c", None), ("d", Some(Priority::Low))]);
        let parts = [part(&low, Priority::Low), part(&normal, Priority::Normal)];
        let joined = join(&parts, Joining::ById);
        let all: Vec<_> = joined.iter().map(|one| (one.id, joined.priority(one.row.index))).collect();
        let expected = [
            ("a", Some(Priority::Low)),
            ("b", Some(Priority::High)),
            ("c", None),
            ("d", Some(Priority::Low)),
        ];
        assert_eq!((all.as_slice(), joined.source()), (expected.as_slice(), 3));
    }

    #[test]
    fn targets_of_sources_that_read_answers_differently_stand_apart() {
        let (desktops, users) = (roster(0, &[("ann", None)]), roster(1, &[("ann", None), ("x/y", None)]));
        let parts = [part(&desktops, Priority::Normal), part(&users, Priority::High)];
        let joined = join(&parts, Joining::Apart);
        assert_eq!(joined.len(), 3);
        let index = joined.find(&Joining::Apart.key(1, "x/y")).expect("it is in the pool");
        assert_eq!(Joining::Apart.unkey(joined.id(index)), (Some(1), "x/y"));
    }

    #[test]
    fn a_pool_of_one_has_the_roster_of_its_source() {
        let one = roster(7, &[("a", None)]);
        assert!(Arc::ptr_eq(&join(&[part(&one, Priority::Low)], Joining::ById), &one));
    }
}
