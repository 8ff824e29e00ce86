//! Which sources are asked together: those of one account that ask the same. So calls are packed across them, and who stands
//! in several of them is asked about once.
//!
//! Sources with the same rhythm are one pool. A pool has a roster of its own, which rounds, questions and answers speak of.
//! Where ids are asked in batches it holds each id once, and whom a pool in a faster rhythm asks about is left to that one,
//! which tells both. Where questions answer for all, they do so for sources in any rhythm: these are one pool in the fastest
//! of them, and each source's targets stand apart in it, since sources may read the same answer differently. A source that
//! shares with nobody is a pool of one, with the very roster of the source.
//!
//! It decides by settings and lists alone and asks nobody. What an answer means to each source is told in
//! [`members`](super::members).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::packing::Capacity;
use crate::config::{Cadence, SourceSettings};
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
    /// The places of the pools that ask the same in a faster rhythm, the fastest first: whom they ask about, this one does not.
    pub faster: Vec<usize>,
    /// The places of the pools that leave it to this one to ask about whom both want.
    pub slower: Vec<usize>,
    /// When it asks.
    pub tempo: Tempo,
    /// Whom it is asked about.
    pub roster: Arc<Roster>,
    /// How its sources' targets stand in that.
    pub joining: Joining,
    /// The highest priority of its sources, which targets have that say nothing else.
    pub priority: Priority,
}

/// When a source asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tempo {
    /// How often every target is asked about.
    pub interval: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often single targets are asked about, if not all at the interval.
    pub cadence: Option<Cadence>,
}

/// One source's part of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its targets.
    pub roster: &'a Arc<Roster>,
    /// Its priority, for those that have none of their own.
    pub priority: Priority,
    /// The longest time between two questions about a target that it can do with.
    pub slowest: Duration,
}

/// All that the roster of a pool is made of.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// Its sources; at least one.
    pub own: Vec<Part<'a>>,
    /// The sources of the pools in a faster rhythm, which ask about their targets themselves.
    pub faster: Vec<Part<'a>>,
    /// The sources of the pools in a slower rhythm: whom they have in common, is asked about for them too.
    pub slower: Vec<Part<'a>>,
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
    /// That of so many sources with these steps. `related`: whether others ask the same in another rhythm.
    pub fn of(steps: &[Step], sources: usize, related: bool) -> Self {
        match (sources, Capacity::of(steps)) {
            (..2, _) if !related => Self::Alone,
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

impl Tempo {
    /// That of a source with these settings.
    pub fn of(settings: &SourceSettings) -> Self {
        let SourceSettings { interval, timeout, cadence, .. } = *settings;
        Self { interval, timeout, cadence }
    }

    /// The longest time between two questions about a target.
    pub fn slowest(&self) -> Duration {
        self.cadence.map_or(self.interval, |cadence| cadence.slowest.max(self.interval))
    }

    /// Its place among others: whom sources of several tempos want is asked about in the least of these, that with the
    /// shortest interval; of those with the same, the one that has the soonest turns, then the one whose requests may take
    /// longest.
    fn rank(&self) -> impl Ord + use<> {
        let soonest = self.cadence.map_or(self.interval, |cadence| cadence.fastest);
        (self.interval, soonest, self.slowest(), Reverse(self.timeout), self.cadence)
    }
}

/// The pools of a configuration's sources: each source is in one of them, in the order of their first ones.
pub fn pools(sources: &[Source]) -> Vec<Pool> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut places = BTreeMap::new();
    // The places of those that ask the same.
    let mut families: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (number, source) in sources.iter().enumerate() {
        let in_batches = Capacity::of(&source.provider.round()).is_some();
        // Questions that answer for all do so in any rhythm.
        let tempo = in_batches.then(|| Tempo::of(&source.settings));
        let place = *places.entry((source.account, &source.asks, tempo)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
            families.entry((source.account, &source.asks)).or_default().push(place);
        }
        groups[place].push(number);
    }
    let mut pools: Vec<Pool> = groups.into_iter().map(|numbers| lone(sources, numbers)).collect();
    for family in families.into_values().filter(|family| family.len() > 1) {
        relate(&mut pools, family);
    }
    for place in 0..pools.len() {
        let part = |&number: &usize| {
            let source: &Source = &sources[number];
            let settings = &source.settings;
            let slowest = Tempo::of(settings).slowest();
            Part { roster: &source.roster, priority: settings.priority, slowest }
        };
        let of = |place: &usize| pools[*place].sources.iter().map(part);
        let Pool { faster, slower, .. } = &pools[place];
        let parts = Parts {
            own: of(&place).collect(),
            faster: faster.iter().flat_map(of).collect(),
            slower: slower.iter().flat_map(of).collect(),
        };
        let joining = parts.joining(&sources[pools[place].sources[0]].provider.round());
        let (roster, priority) = (parts.join(joining), highest(&parts.own));
        let pool = &mut pools[place];
        (pool.roster, pool.joining, pool.priority) = (roster, joining, priority);
    }
    pools
}

/// A pool of these sources, as if there were no others and it were asked about the first one's targets.
fn lone(sources: &[Source], numbers: Vec<usize>) -> Pool {
    let first = &sources[numbers[0]];
    Pool {
        account: first.account,
        tempo: fastest(sources, &numbers),
        sources: numbers,
        faster: Vec::new(),
        slower: Vec::new(),
        roster: Arc::clone(&first.roster),
        joining: Joining::Alone,
        priority: first.settings.priority,
    }
}

/// Says of the pools at these places, which ask the same, who leaves it to whom to ask about whom both want.
fn relate(pools: &mut [Pool], mut family: Vec<usize>) {
    family.sort_by_key(|&place| pools[place].tempo.rank());
    for (rank, &place) in family.iter().enumerate() {
        pools[place].faster = family[..rank].to_vec();
        pools[place].slower = family[rank + 1..].to_vec();
    }
}

/// The rhythm in which sources are asked together: the shortest interval, and of those the longest timeout.
fn fastest(sources: &[Source], numbers: &[usize]) -> Tempo {
    let tempos = numbers.iter().map(|&number| Tempo::of(&sources[number].settings));
    let first = Tempo::of(&sources[numbers[0]].settings);
    tempos.min_by_key(|tempo| (tempo.interval, Reverse(tempo.timeout))).unwrap_or(first)
}

impl Parts<'_> {
    /// How its sources' targets stand in the pool, whose questions these are.
    pub fn joining(&self, steps: &[Step]) -> Joining {
        Joining::of(steps, self.own.len(), !self.faster.is_empty() || !self.slower.is_empty())
    }

    /// The roster of the pool.
    pub fn join(&self, joining: Joining) -> Arc<Roster> {
        let first = self.own[0].roster;
        if joining == Joining::Alone {
            return Arc::clone(first);
        }
        let mut joined = Roster::new(first.source(), first.generation());
        joined.reserve(self.own.iter().map(|part| part.roster.len() as usize).sum());
        let usual = highest(&self.own);
        for (place, part) in self.own.iter().enumerate() {
            for target in part.roster.iter().filter(|target| !self.is_asked_faster(target.id)) {
                if !joined.push(&joining.key(place, target.id), TargetLabels::default()) {
                    continue;
                }
                let priority = match joining {
                    Joining::ById => self.priority_of(target.id),
                    Joining::Alone | Joining::Apart => usual,
                };
                if priority != usual {
                    joined.set_last_priority(priority);
                }
                if self.is_wanted_sooner(target.id, part.slowest) {
                    joined.set_last_steady();
                }
            }
        }
        Arc::new(joined)
    }

    fn is_asked_faster(&self, id: &str) -> bool {
        self.faster.iter().any(|part| part.roster.find(id).is_some())
    }

    /// Whether a source for which this id is asked about here cannot do with so long a time between two questions.
    fn is_wanted_sooner(&self, id: &str, slowest: Duration) -> bool {
        self.slower.iter().any(|part| part.slowest < slowest && part.roster.find(id).is_some())
    }

    /// The highest priority that any source gives this id for which it is asked about here.
    fn priority_of(&self, id: &str) -> Priority {
        let of = |part: &Part<'_>| {
            let index = part.roster.find(id)?;
            Some(part.roster.priority(index).unwrap_or(part.priority))
        };
        self.own.iter().chain(&self.slower).filter_map(of).min().unwrap_or_default()
    }
}

fn highest(parts: &[Part<'_>]) -> Priority {
    parts.iter().map(|part| part.priority).min().unwrap_or_default()
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
        Part { roster, priority, slowest: Duration::from_secs(60) }
    }

    fn together<'a>(own: &[Part<'a>]) -> Parts<'a> {
        Parts { own: own.to_vec(), faster: Vec::new(), slower: Vec::new() }
    }

    fn asked(roster: &Roster) -> Vec<(&str, Option<Priority>)> {
        roster.iter().map(|one| (one.id, roster.priority(one.row.index))).collect()
    }

    #[test]
    fn who_stands_in_several_sources_is_asked_about_once_with_the_highest_priority() {
        let low = roster(3, &[("a", None), ("b", Some(Priority::High)), ("c", None)]);
        let normal = roster(5, &[("c", None), ("d", Some(Priority::Low))]);
        let parts = together(&[part(&low, Priority::Low), part(&normal, Priority::Normal)]);
        let joined = parts.join(Joining::ById);
        let expected = [
            ("a", Some(Priority::Low)),
            ("b", Some(Priority::High)),
            ("c", None),
            ("d", Some(Priority::Low)),
        ];
        assert_eq!((asked(&joined), joined.source()), (expected.to_vec(), 3));
    }

    #[test]
    fn whom_a_faster_one_asks_about_is_left_to_it_with_the_highest_priority() {
        let slow = roster(3, &[("a", None), ("b", Some(Priority::High)), ("c", None)]);
        let fast = roster(5, &[("c", None), ("b", None), ("d", Some(Priority::Low))]);
        let [slow, fast] = [part(&slow, Priority::Normal), part(&fast, Priority::Low)];
        let slow_pool = Parts { own: vec![slow], faster: vec![fast], slower: Vec::new() };
        let fast_pool = Parts { own: vec![fast], faster: Vec::new(), slower: vec![slow] };
        assert_eq!(asked(&slow_pool.join(Joining::ById)), [("a", None)]);
        let expected = [("c", Some(Priority::Normal)), ("b", Some(Priority::High)), ("d", None)];
        assert_eq!(asked(&fast_pool.join(Joining::ById)), expected);
    }

    #[test]
    fn targets_of_sources_that_read_answers_differently_stand_apart() {
        let (desktops, users) = (roster(0, &[("ann", None)]), roster(1, &[("ann", None), ("x/y", None)]));
        let parts = together(&[part(&desktops, Priority::Normal), part(&users, Priority::High)]);
        let joined = parts.join(Joining::Apart);
        assert_eq!(joined.len(), 3);
        let index = joined.find(&Joining::Apart.key(1, "x/y")).expect("it is in the pool");
        assert_eq!(Joining::Apart.unkey(joined.id(index)), (Some(1), "x/y"));
    }

    #[test]
    fn a_pool_of_one_has_the_roster_of_its_source() {
        let one = roster(7, &[("a", None)]);
        let parts = together(&[part(&one, Priority::Low)]);
        assert!(Arc::ptr_eq(&parts.join(parts.joining(&[])), &one));
    }

    fn tempo(interval: u64, timeout: u64, cadence: Option<(u64, u64)>) -> Tempo {
        let second = Duration::from_secs;
        let cadence = cadence.map(|(fastest, slowest)| Cadence {
            fastest: second(fastest),
            slowest: second(slowest),
            lively_for: second(600),
            quiet_after: second(3600),
        });
        Tempo { interval: second(interval), timeout: second(timeout), cadence }
    }

    #[test]
    fn of_two_tempos_one_is_faster_and_that_is_the_one_with_the_shorter_interval() {
        let in_order = [
            tempo(10, 5, Some((2, 60))),
            tempo(10, 5, Some((5, 30))),
            tempo(10, 5, Some((5, 60))),
            tempo(10, 9, None),
            tempo(10, 5, None),
            tempo(30, 10, Some((1, 30))),
            tempo(30, 10, None),
        ];
        for (n, one) in in_order.iter().enumerate() {
            for (m, other) in in_order.iter().enumerate() {
                assert_eq!(one.rank() < other.rank(), n < m, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn who_is_wanted_sooner_than_a_quiet_target_is_asked_about_is_steady() {
        let (lively, plain) =
            (roster(0, &[("a", None), ("b", None)]), roster(1, &[("b", None), ("c", None)]));
        let lively = Part { slowest: Duration::from_secs(300), ..part(&lively, Priority::Normal) };
        let steady = |slowest: u64| {
            let plain = Part { slowest: Duration::from_secs(slowest), ..part(&plain, Priority::Normal) };
            let parts = Parts { own: vec![lively], faster: Vec::new(), slower: vec![plain] };
            let joined = parts.join(Joining::ById);
            (0..joined.len())
                .filter(|&row| joined.is_steady(row))
                .map(|row| joined.id(row).to_owned())
                .collect()
        };
        assert_eq!((steady(60), steady(300)), (vec!["b".to_owned()], Vec::new()));
    }
}
