//! What is in a record: a source, the ids of its targets in order, rows and first-seen times by the targets' numbers, a
//! log watermark.
//!
//! A file begins with its sources and their ids; after that come what each save found changed. A later record about the
//! same row or watermark replaces an earlier one. It knows no file, and what does not fit is damage.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Broken;
use super::log::PAYLOAD_MAX;
use crate::domain::{ConnKey, Saved, State};
use crate::store::first_seen::{KeptStay, Stay};
use crate::store::{Snapshot, SourceSnapshot};

/// Where a record ends and the next one about the same source begins; what is appended at once is held in memory.
const PAYLOAD_GOAL: usize = 1024 * 1024;

/// The longest id that is kept; configuration limits them to less, and a record has room for several.
const ID_MAX: usize = PAYLOAD_MAX - PAYLOAD_GOAL - 64;

/// Bytes of a row: its target's number, seven numbers, flags.
const ROW_BYTES: usize = 33;

const SOURCE: u8 = 1;
const IDS: u8 = 2;
const ROWS: u8 = 3;
const LOG_SINCE: u8 = 4;
const STAYS: u8 = 5;

/// In place of a number of connections: the stay is over.
const OVER: u32 = u32::MAX;

const ONLINE: u8 = 1;
const SETTLED_ONLINE: u8 = 2;

/// Whether both have the same targets in the same places.
pub(super) fn same_layout(old: &Snapshot, new: &Snapshot) -> bool {
    let same = |(old, new): (&SourceSnapshot, &SourceSnapshot)| Arc::ptr_eq(&old.roster, &new.roster);
    old.sources.len() == new.sources.len() && old.sources.iter().zip(&new.sources).all(same)
}

/// Everything that a new file needs, made record by record.
pub(super) fn all(live: &Snapshot) -> impl Iterator<Item = Vec<u8>> + '_ {
    let layout = live.sources.iter().zip(0..).flat_map(|(source, number)| {
        let mut name = begin(SOURCE, number);
        text(&mut name, source.spec.provider);
        text(&mut name, &source.spec.name);
        std::iter::once(name).chain(ids(source, number))
    });
    layout.chain(live.sources.iter().zip(0..).flat_map(|(source, number)| {
        log_since(None, source, number)
            .into_iter()
            .chain(rows(None, source, number))
            .chain(stays(None, source, number))
    }))
}

/// What changed.
pub(super) fn changes<'a>(last: &'a Snapshot, live: &'a Snapshot) -> impl Iterator<Item = Vec<u8>> + 'a {
    live.sources.iter().zip(&last.sources).zip(0..).flat_map(|((source, last), number)| {
        log_since(Some(last), source, number)
            .into_iter()
            .chain(rows(Some(last), source, number))
            .chain(stays(Some(last), source, number))
    })
}

fn log_since(last: Option<&SourceSnapshot>, source: &SourceSnapshot, number: u32) -> Option<Vec<u8>> {
    let since_ms = source.log_since_ms?;
    if last.is_some_and(|last| last.log_since_ms == Some(since_ms)) {
        return None;
    }
    let mut record = begin(LOG_SINCE, number);
    record.extend_from_slice(&since_ms.to_le_bytes());
    Some(record)
}

fn ids(source: &SourceSnapshot, number: u32) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut targets = source.roster.iter().peekable();
    std::iter::from_fn(move || {
        targets.peek()?;
        let mut record = begin(IDS, number);
        while record.len() < PAYLOAD_GOAL
            && let Some(target) = targets.next()
        {
            text(&mut record, target.id);
        }
        Some(record)
    })
}

/// Rows of which something else is to be known than in `last`. A chunk is copied when it changes while a snapshot holds
/// it, so that one that is still the same was not changed.
fn rows<'a>(
    last: Option<&'a SourceSnapshot>,
    source: &'a SourceSnapshot,
    number: u32,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let policy = source.spec.policy;
    let saved = move |state: &State| state.saved(&policy);
    let chunks = source.chunks.iter().enumerate().filter_map(move |(n, chunk)| {
        let last = last.and_then(|last| last.chunks.get(n));
        last.is_none_or(|last| !Arc::ptr_eq(last, chunk)).then_some((n, chunk, last))
    });
    let mut changed = chunks
        .flat_map(move |(n, chunk, last)| {
            let rows = chunk.rows.iter().enumerate();
            rows.filter_map(move |(row, state)| {
                let before = last.and_then(|last| last.rows.get(row)).and_then(saved);
                let now = saved(state)?;
                (before != Some(now)).then(|| (count(n * crate::store::CHUNK_ROWS + row), now))
            })
        })
        .peekable();
    std::iter::from_fn(move || {
        changed.peek()?;
        let mut record = begin(ROWS, number);
        while record.len() < PAYLOAD_GOAL
            && let Some((index, saved)) = changed.next()
        {
            row(&mut record, index, &saved);
        }
        Some(record)
    })
}

/// First-seen times that differ from those in `last`, and stays that are over.
fn stays<'a>(
    last: Option<&'a SourceSnapshot>,
    source: &'a SourceSnapshot,
    number: u32,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let mut changed = source
        .stays
        .iter()
        .enumerate()
        .filter_map(move |(n, stays)| {
            let last = last.and_then(|last| last.stays.get(n));
            last.is_none_or(|last| !Arc::ptr_eq(last, stays)).then_some((stays, last))
        })
        .flat_map(|(stays, last)| {
            let over = last.into_iter().flat_map(|last| last.keys());
            let over = over.filter(|index| !stays.contains_key(*index)).map(|index| (*index, None));
            let new = stays.iter().filter_map(move |(index, stay)| {
                let before = last.and_then(|last| last.get(index)).map(Stay::kept);
                let now = stay.kept();
                (before.as_ref() != Some(&now)).then_some((*index, Some(now)))
            });
            over.chain(new)
        })
        .peekable();
    std::iter::from_fn(move || {
        changed.peek()?;
        let mut record = begin(STAYS, number);
        while record.len() < PAYLOAD_GOAL
            && let Some((index, stay)) = changed.next()
        {
            put_stay(&mut record, index, stay.as_ref());
        }
        Some(record)
    })
}

fn put_stay(record: &mut Vec<u8>, index: u32, stay: Option<&KeptStay>) {
    record.extend_from_slice(&index.to_le_bytes());
    let Some(stay) = stay else { return record.extend_from_slice(&OVER.to_le_bytes()) };
    record.extend_from_slice(&count(stay.conns.len()).to_le_bytes());
    record.extend_from_slice(&stay.since_s.to_le_bytes());
    for (key, first_seen_s) in &stay.conns {
        record.extend_from_slice(&key.0.to_le_bytes());
        record.extend_from_slice(&first_seen_s.to_le_bytes());
    }
}

fn begin(kind: u8, number: u32) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend_from_slice(&number.to_le_bytes());
    record
}

fn text(record: &mut Vec<u8>, text: &str) {
    // One that is too long takes no room and is not found again.
    let text = if text.len() <= ID_MAX { text } else { "" };
    record.extend_from_slice(&count(text.len()).to_le_bytes());
    record.extend_from_slice(text.as_bytes());
}

fn row(record: &mut Vec<u8>, index: u32, saved: &Saved) {
    let numbers = [
        index,
        saved.observed_s,
        saved.last_seen_s,
        saved.last_change_s,
        saved.settles_s,
        saved.observed_transitions,
        saved.transitions,
        saved.reconnects,
    ];
    for number in numbers {
        record.extend_from_slice(&number.to_le_bytes());
    }
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    record.push(flag(saved.online, ONLINE) | flag(saved.settled_online, SETTLED_ONLINE));
}

/// What the records of a file say of the sources that are configured.
pub(super) struct Reading<'a> {
    configured: &'a Snapshot,
    now_s: u32,
    sources: Vec<Source>,
    found: Vec<Found>,
    in_place: bool,
}

/// A source of the file.
struct Source {
    /// Its place in the configuration.
    place: Option<usize>,
    /// Where each of its targets stands in the configuration.
    targets: Vec<Option<u32>>,
}

/// What is known of a configured source.
#[derive(Default)]
pub(in crate::store) struct Found {
    pub(in crate::store) log_since_ms: Option<i64>,
    /// By the target's place; empty when nothing is known of any.
    pub(in crate::store) rows: Vec<Option<State>>,
    /// By the target's place.
    pub(in crate::store) stays: HashMap<u32, KeptStay>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(configured: &'a Snapshot, now_s: u32) -> Self {
        let found = configured.sources.iter().map(|_| Found::default()).collect();
        Self { configured, now_s, sources: Vec::new(), found, in_place: true }
    }

    /// Takes in the next record.
    pub(super) fn record(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let mut bytes = Bytes(payload);
        let [kind] = bytes.array()?;
        let number = bytes.number()? as usize;
        if kind == SOURCE {
            return self.source(number, bytes);
        }
        let source =
            self.sources.get_mut(number).ok_or_else(|| bad("names a source that it does not have"))?;
        let Some(place) = source.place else { return Ok(()) };
        let (configured, found) = (&self.configured.sources[place], &mut self.found[place]);
        match kind {
            IDS => {
                while !bytes.0.is_empty() {
                    let index = configured.roster.find(bytes.text()?);
                    self.in_place &= index.is_some_and(|index| index as usize == source.targets.len());
                    source.targets.push(index);
                }
            }
            ROWS => {
                found.rows.resize(configured.roster.len() as usize, None);
                while !bytes.0.is_empty() {
                    let (index, saved) = bytes.row()?;
                    let target =
                        source.targets.get(index as usize).ok_or_else(|| bad("names a target too many"))?;
                    if let Some(place) = target.and_then(|index| found.rows.get_mut(index as usize)) {
                        *place = Some(State::restored(&saved, self.now_s));
                    }
                }
            }
            STAYS => {
                while !bytes.0.is_empty() {
                    let (index, stay) = bytes.stay()?;
                    let target =
                        source.targets.get(index as usize).ok_or_else(|| bad("names a target too many"))?;
                    match (target, stay) {
                        (Some(index), Some(stay)) => drop(found.stays.insert(*index, stay)),
                        (Some(index), None) => drop(found.stays.remove(index)),
                        (None, _) => {}
                    }
                }
            }
            LOG_SINCE => found.log_since_ms = Some(i64::from_le_bytes(bytes.array()?)),
            _ => return Err(bad("has a record of no known kind")),
        }
        Ok(())
    }

    fn source(&mut self, number: usize, mut bytes: Bytes<'_>) -> Result<(), Broken> {
        let (provider, name) = (bytes.text()?, bytes.text()?);
        if number != self.sources.len() {
            return Err(bad("has its sources in no order"));
        }
        let is_it = |source: &SourceSnapshot| source.spec.provider == provider && *source.spec.name == *name;
        let place = self.configured.sources.iter().position(is_it);
        self.in_place &= place == Some(number);
        self.sources.push(Source { place, targets: Vec::new() });
        Ok(())
    }

    /// What was found, for each configured source, and whether the file has just these targets in just these places.
    pub(super) fn end(self) -> (Vec<Found>, bool) {
        let targets = |(source, configured): (&Source, &SourceSnapshot)| {
            source.targets.len() == configured.roster.len() as usize
        };
        let in_place = self.in_place
            && self.sources.len() == self.configured.sources.len()
            && self.sources.iter().zip(&self.configured.sources).all(targets);
        (self.found, in_place)
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (array, rest) =
            self.0.split_first_chunk().ok_or_else(|| bad("has a record that ends too soon"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, Broken> {
        let length = self.number()? as usize;
        let (text, rest) =
            self.0.split_at_checked(length).ok_or_else(|| bad("has a text that ends too soon"))?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| bad("has a text that is none"))
    }

    fn stay(&mut self) -> Result<(u32, Option<KeptStay>), Broken> {
        let (index, connections) = (self.number()?, self.number()?);
        if connections == OVER {
            return Ok((index, None));
        }
        let mut stay = KeptStay { since_s: self.number()?, conns: Vec::new() };
        for _ in 0..connections {
            stay.conns.push((ConnKey(u64::from_le_bytes(self.array()?)), self.number()?));
        }
        Ok((index, Some(stay)))
    }

    fn row(&mut self) -> Result<(u32, Saved), Broken> {
        let row: [u8; ROW_BYTES] = self.array()?;
        let mut numbers = Bytes(&row);
        let index = numbers.number()?;
        let saved = Saved {
            observed_s: numbers.number()?,
            last_seen_s: numbers.number()?,
            last_change_s: numbers.number()?,
            settles_s: numbers.number()?,
            observed_transitions: numbers.number()?,
            transitions: numbers.number()?,
            reconnects: numbers.number()?,
            online: row[ROW_BYTES - 1] & ONLINE != 0,
            settled_online: row[ROW_BYTES - 1] & SETTLED_ONLINE != 0,
        };
        Ok((index, saved))
    }
}

fn bad(what: &str) -> Broken {
    Broken::Damaged(format!("it {what}"))
}

/// Targets, bytes and sources are limited to far below 2^32.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
