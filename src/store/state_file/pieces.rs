//! What is in which piece: a source, the ids of 128 targets, their rows, their first-seen times, a memo; and which pieces
//! changed between two snapshots.
//!
//! Ids stand apart from rows, since rows change with every answer and ids with the configuration. A piece is compared by
//! its place, whoever stood there before: a source whose targets are replaced has other ids and rows there, and no other
//! source is touched. It knows no file; [`super::reading`] is the other direction.

use std::sync::Arc;

use super::database::Change;
use crate::domain::State;
use crate::store::first_seen::Stays;
use crate::store::snapshot::Chunk;
use crate::store::{CHUNK_ROWS, Snapshot, SourceSnapshot};

/// Targets of a piece: their rows fill a page of the file.
pub(super) const PIECE_ROWS: usize = 128;

/// Bytes of a row: seven numbers, flags.
pub(super) const ROW_BYTES: usize = 29;

/// The longest id that is kept; a piece has room for 128 of them.
const ID_MAX: usize = 4096;

pub(super) const KNOWN: u8 = 1;
pub(super) const ONLINE: u8 = 2;
pub(super) const SETTLED_ONLINE: u8 = 4;

/// The kinds of pieces, in the order in which they stand in the file.
pub(super) mod kind {
    pub(in super::super) const SOURCE: u8 = 1;
    pub(in super::super) const IDS: u8 = 2;
    pub(in super::super) const ROWS: u8 = 3;
    pub(in super::super) const STAYS: u8 = 4;
    pub(in super::super) const MEMO: u8 = 5;
}

/// The number by which a piece is known.
pub(super) fn key(kind: u8, source: usize, piece: usize) -> i64 {
    let (source, piece) = (u16::try_from(source), u32::try_from(piece));
    // A roster's number of its source has 16 bits, and so has what counts its targets 32.
    i64::from(kind) << 48 | i64::from(source.unwrap_or(u16::MAX)) << 32 | i64::from(piece.unwrap_or(u32::MAX))
}

/// Kind, source and piece out of a number; none for one that [`key`] does not make.
pub(super) fn of_key(key: i64) -> Option<(u8, usize, usize)> {
    let [0, kind, a, b, piece @ ..] = key.to_be_bytes() else { return None };
    Some((kind, usize::from(u16::from_be_bytes([a, b])), u32::from_be_bytes(piece) as usize))
}

/// What `live` has otherwise than `last`, made piece by piece; all of it when `last` is none.
pub(super) fn changes<'a>(
    last: Option<&'a Snapshot>,
    live: &'a Snapshot,
) -> impl Iterator<Item = Change> + 'a {
    let before = last.map_or(&[][..], |last| &last.sources);
    let places = 0..live.sources.len().max(before.len());
    let sources = places.flat_map(move |place| {
        let (last, live) = (before.get(place), live.sources.get(place));
        let surplus = pieces(live)..pieces(last);
        let gone = surplus.flat_map(move |piece| {
            [kind::IDS, kind::ROWS, kind::STAYS].map(|kind| Change::Drop(key(kind, place, piece)))
        });
        let source = match live {
            Some(live) => write(key(kind::SOURCE, place, 0), last.map(source).as_deref(), source(live)),
            None => Some(Change::Drop(key(kind::SOURCE, place, 0))),
        };
        let within = live.into_iter().flat_map(move |live| {
            ids(place, last, live).chain(rows(place, last, live)).chain(stays(place, last, live))
        });
        source.into_iter().chain(within).chain(gone)
    });
    sources.chain(memos(last, live))
}

fn pieces(source: Option<&SourceSnapshot>) -> usize {
    source.map_or(0, |source| (source.roster.len() as usize).div_ceil(PIECE_ROWS))
}

fn write(key: i64, before: Option<&[u8]>, now: Vec<u8>) -> Option<Change> {
    (before != Some(&*now)).then_some(Change::Write(key, now))
}

fn source(source: &SourceSnapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    text(&mut bytes, source.spec.provider);
    text(&mut bytes, &source.spec.name);
    bytes.extend_from_slice(&source.roster.len().to_le_bytes());
    // A log was never read at the end of time.
    bytes.extend_from_slice(&source.log_since_ms.unwrap_or(i64::MAX).to_le_bytes());
    bytes
}

fn ids<'a>(
    place: usize,
    last: Option<&'a SourceSnapshot>,
    live: &'a SourceSnapshot,
) -> impl Iterator<Item = Change> + 'a {
    let same = last.is_some_and(|last| Arc::ptr_eq(&last.roster, &live.roster));
    let changed = if same { 0 } else { pieces(Some(live)) };
    (0..changed).filter_map(move |piece| {
        let before = last.filter(|last| piece < pieces(Some(last))).map(|last| id_piece(last, piece));
        write(key(kind::IDS, place, piece), before.as_deref(), id_piece(live, piece))
    })
}

fn id_piece(source: &SourceSnapshot, piece: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let first = count(piece * PIECE_ROWS);
    let end = first.saturating_add(count(PIECE_ROWS)).min(source.roster.len());
    (first..end).for_each(|index| text(&mut bytes, source.roster.id(index)));
    bytes
}

/// Pieces with a row of which something else is to be known than before. A chunk is copied when it changes while a
/// snapshot holds it, so that one that is still the same was not changed.
fn rows<'a>(
    place: usize,
    last: Option<&'a SourceSnapshot>,
    live: &'a SourceSnapshot,
) -> impl Iterator<Item = Change> + 'a {
    let last = last.filter(|last| last.spec.policy == live.spec.policy);
    live.chunks.iter().enumerate().flat_map(move |(number, chunk)| {
        let before = last.and_then(|last| last.chunks.get(number));
        let same = before.is_some_and(|before| Arc::ptr_eq(before, chunk));
        let parts = chunk.rows.chunks(PIECE_ROWS).enumerate().filter(move |_| !same);
        parts.filter_map(move |(part, rows)| {
            let before = before.and_then(|before| part_of(before, part)).map(|rows| row_piece(live, rows));
            write(key(kind::ROWS, place, number * PARTS + part), before.as_deref(), row_piece(live, rows))
        })
    })
}

/// Pieces of a chunk.
const PARTS: usize = CHUNK_ROWS / PIECE_ROWS;

fn part_of(chunk: &Chunk, part: usize) -> Option<&[State]> {
    chunk.rows.chunks(PIECE_ROWS).nth(part)
}

fn row_piece(source: &SourceSnapshot, rows: &[State]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * ROW_BYTES + size_of::<u32>());
    for state in rows {
        let saved = state.saved(&source.spec.policy);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let known = flag(saved.is_some(), KNOWN);
        let saved = saved.unwrap_or_default();
        let numbers = [
            saved.observed_s,
            saved.last_seen_s,
            saved.last_change_s,
            saved.settles_s,
            saved.observed_transitions,
            saved.transitions,
            saved.reconnects,
        ];
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.push(known | flag(saved.online, ONLINE) | flag(saved.settled_online, SETTLED_ONLINE));
    }
    bytes
}

/// Pieces with first-seen times that are others than before. One without any is not in the file.
fn stays<'a>(
    place: usize,
    last: Option<&'a SourceSnapshot>,
    live: &'a SourceSnapshot,
) -> impl Iterator<Item = Change> + 'a {
    let chunks = live.stays.len().max(last.map_or(0, |last| last.stays.len()));
    (0..chunks).flat_map(move |number| {
        let before = last.and_then(|last| last.stays.get(number));
        let now = live.stays.get(number);
        let same = match (before, now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        let parts = if same { 0..0 } else { number * PARTS..(number + 1) * PARTS };
        parts.filter_map(move |piece| {
            let part =
                |stays: Option<&Arc<Stays>>| stays.map_or(Vec::new(), |stays| stay_piece(stays, piece));
            let (before, now) = (part(before), part(now));
            let key = key(kind::STAYS, place, piece);
            if now.is_empty() { Some(Change::Drop(key)) } else { write(key, Some(&before), now) }
        })
    })
}

fn stay_piece(stays: &Stays, piece: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in 0..PIECE_ROWS {
        let Some(stay) = stays.get(&count(piece * PIECE_ROWS + part)) else { continue };
        let stay = stay.kept();
        bytes.push(byte(part));
        bytes.push(byte(stay.conns.len()));
        bytes.extend_from_slice(&stay.since_s.to_le_bytes());
        for (key, first_seen_s) in stay.conns.iter().take(usize::from(u8::MAX)) {
            bytes.extend_from_slice(&key.0.to_le_bytes());
            bytes.extend_from_slice(&first_seen_s.to_le_bytes());
        }
    }
    bytes
}

fn memos<'a>(last: Option<&'a Snapshot>, live: &'a Snapshot) -> impl Iterator<Item = Change> + 'a {
    let same = last.is_some_and(|last| Arc::ptr_eq(&last.memos, &live.memos));
    let changed = (!same).then(|| {
        let old = move || last.into_iter().flat_map(|last| last.memos.by_slot());
        let gone = old().filter(|(slot, ..)| live.memos.by_slot().all(|(used, ..)| used != *slot));
        let gone = gone.map(|(slot, ..)| Change::Drop(key(kind::MEMO, 0, slot as usize)));
        let new = live.memos.by_slot().filter_map(move |(slot, name, bytes)| {
            let before = last.and_then(|last| last.memos.get(name));
            if before.is_some_and(|(at, before)| at == slot && **before == **bytes) {
                return None;
            }
            let mut piece = Vec::new();
            text(&mut piece, name);
            piece.extend_from_slice(bytes);
            Some(Change::Write(key(kind::MEMO, 0, slot as usize), piece))
        });
        gone.chain(new)
    });
    changed.into_iter().flatten()
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    // One that is too long takes no room and is not found again.
    let text = if text.len() <= ID_MAX { text } else { "" };
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Targets are limited to far below 2^32.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Places in a piece and connections of a stay are fewer than 256.
fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
