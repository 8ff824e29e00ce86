//! The record of every request that the simulator received: what a judge of pace and cost reads, and what
//! `simulate --record` writes.
//!
//! It keeps no header, no query and no body: those hold keys and tokens.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::domain::{Moment, Tick};

/// How many requests a record keeps unless told otherwise: half an hour at 100 requests a second, in about 20 MB.
pub const DEFAULT_LIMIT: usize = 200_000;

/// One request, complete and dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it was complete.
    pub at: Moment,
    /// The cloud whose listener it came to.
    pub cloud: &'static str,
    /// The provider that dealt with it.
    pub provider: &'static str,
    /// The action, as the provider names it; empty when that could not be told.
    pub action: &'static str,
    /// The HTTP status of the answer; `None` when none was sent.
    pub status: Option<u16>,
    /// What was done to it on purpose, if anything; see [`super::faults::Kind::name`].
    pub fault: Option<&'static str>,
    /// The connection that it came on, counted over all listeners.
    pub connection: u64,
}

/// One line of the JSON-lines form.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    tick_us: u64,
    unix_ms: i64,
    cloud: &'a str,
    provider: &'a str,
    action: &'a str,
    status: Option<u16>,
    fault: Option<&'a str>,
    connection: u64,
}

/// Every request in the order of arrival, bounded: the oldest fall out, the counts go on.
#[derive(Debug)]
pub struct Record {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Entry>,
    dropped: u64,
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Record {
    /// An empty record that keeps the newest `limit` requests.
    pub fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// Adds a request.
    pub fn push(&self, entry: Entry) {
        let mut inner = self.lock();
        *inner.counts.entry((entry.provider, entry.action)).or_default() += 1;
        inner.entries.push_back(entry);
        while inner.entries.len() > self.limit {
            inner.entries.pop_front();
            inner.dropped += 1;
        }
    }

    /// The requests kept, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.iter().copied().collect()
    }

    /// How many requests came, kept or not.
    pub fn total(&self) -> u64 {
        let inner = self.lock();
        inner.dropped + inner.entries.len() as u64
    }

    /// How many requests fell out. Windows are exact while this is 0.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Requests by provider and action, those that fell out included.
    pub fn counts(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.lock().counts.clone()
    }

    /// The most requests that came to this cloud within any `window`; see [`fullest_window`].
    pub fn fullest_window(&self, cloud: &str, window: Duration) -> usize {
        self.fullest_window_of(|entry| entry.cloud == cloud, window)
    }

    /// The most requests of some kind that came within any `window`; see [`fullest_window`].
    pub fn fullest_window_of(&self, of: impl Fn(&Entry) -> bool, window: Duration) -> usize {
        let mut ticks: Vec<Tick> =
            self.lock().entries.iter().filter(|entry| of(entry)).map(|entry| entry.at.tick).collect();
        ticks.sort_unstable();
        fullest_window(&ticks, window)
    }

    /// Writes the requests from number `from` on (counted from 0), one JSON object a line, and returns the number to go
    /// on from. Requests that fell out before they were written are missing, which the numbers show.
    pub fn write_json_lines(&self, from: u64, out: &mut dyn io::Write) -> io::Result<u64> {
        let (first, entries) = {
            let inner = self.lock();
            let skip = usize::try_from(from.saturating_sub(inner.dropped)).unwrap_or(usize::MAX);
            let first = from.max(inner.dropped);
            (first, inner.entries.iter().skip(skip).copied().collect::<Vec<_>>())
        };
        let mut number = first;
        for entry in &entries {
            let line = Line {
                number,
                tick_us: entry.at.tick.as_micros(),
                unix_ms: entry.at.unix_ms,
                cloud: entry.cloud,
                provider: entry.provider,
                action: entry.action,
                status: entry.status,
                fault: entry.fault,
                connection: entry.connection,
            };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
            number += 1;
        }
        Ok(number)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most of these instants, in order, that lie within any half-open stretch of time of this length: the first and the
/// last of them are less than `window` apart.
pub fn fullest_window(sorted: &[Tick], window: Duration) -> usize {
    let (mut first, mut fullest) = (0, 0);
    for (last, tick) in sorted.iter().enumerate() {
        while first <= last && tick.since(sorted[first]) >= window {
            first += 1;
        }
        fullest = fullest.max(last + 1 - first);
    }
    fullest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(micros: u64, action: &'static str) -> Entry {
        Entry {
            at: Moment { tick: Tick::from_micros(micros), unix_ms: 1_700_000_000_000 },
            cloud: "c",
            provider: "p",
            action,
            status: Some(200),
            fault: None,
            connection: 1,
        }
    }

    proptest! {
        #[test]
        fn the_fullest_window_is_that_of_counting_from_every_instant(
            mut micros in prop::collection::vec(0_u64..3_000, 0..60),
            window in 0_u64..1_500,
        ) {
            micros.sort_unstable();
            let ticks: Vec<Tick> = micros.iter().copied().map(Tick::from_micros).collect();
            let naive = micros
                .iter()
                .map(|&from| micros.iter().filter(|&&t| from <= t && t < from + window).count())
                .max()
                .unwrap_or(0);
            prop_assert_eq!(fullest_window(&ticks, Duration::from_micros(window)), naive);
        }
    }

    #[test]
    fn a_request_a_whole_window_later_is_not_in_the_same_window() {
        let record = Record::new(10);
        for micros in [0, 999_999, 1_000_000] {
            record.push(entry(micros, "A"));
        }
        assert_eq!(record.fullest_window("c", Duration::from_secs(1)), 2);
        assert_eq!(record.fullest_window("other", Duration::from_secs(1)), 0);
    }

    #[test]
    fn what_falls_out_is_still_counted() {
        let record = Record::new(2);
        for (micros, action) in [(1, "A"), (2, "B"), (3, "A")] {
            record.push(entry(micros, action));
        }
        assert_eq!((record.total(), record.dropped(), record.entries().len()), (3, 1, 2));
        assert_eq!(record.counts(), BTreeMap::from([(("p", "A"), 2), (("p", "B"), 1)]));
    }

    #[test]
    fn json_lines_go_on_where_the_last_writing_stopped() {
        let record = Record::new(2);
        record.push(entry(1, "A"));
        let mut out = Vec::new();
        let next = record.write_json_lines(0, &mut out).unwrap();
        for micros in [2, 3, 4] {
            record.push(entry(micros, "B"));
        }
        assert_eq!(record.write_json_lines(next, &mut out).unwrap(), 4);
        let numbers: Vec<u64> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, [0, 2, 3]);
    }
}
