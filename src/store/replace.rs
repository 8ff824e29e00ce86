//! Another list of targets for a source that goes on: rows and stays are carried over, nothing is asked of anybody.
//!
//! The work is done before the lock is taken, on whatever thread [`Store::prepare`] is called. Under the lock only the
//! chunks are carried over again that answers changed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::first_seen::Stays;
use super::snapshot::{Chunk, locate};
use super::{CHUNK_ROWS, Source, Store, platforms_mut, state_mut};
use crate::domain::{Change, Moment};

/// A source's rows, carried over to another list of targets and not yet in use.
#[derive(Debug)]
pub struct Replacement {
    change: Arc<Change>,
    /// The rows as they were when this was made; one that is no longer the same was changed.
    from: Rows,
    to: Rows,
}

#[derive(Debug, Clone, Default)]
struct Rows {
    chunks: Vec<Arc<Chunk>>,
    stays: Vec<Arc<Stays>>,
}

impl Store {
    /// Carries the rows of a source over to other targets. Takes time by their number, and holds the lock for the list of
    /// chunks only. `None` when the source has other targets than the change begins with.
    pub fn prepare(&self, change: Arc<Change>) -> Option<Replacement> {
        let (number, generation) = (change.old.source(), change.old.generation());
        let (from, platforms) = {
            let mut inner = self.lock();
            let source = inner.source(number, generation)?;
            if !Arc::ptr_eq(&source.roster, &change.old) {
                return None;
            }
            let from = Rows { chunks: source.chunks.clone(), stays: source.first_seen.chunks() };
            (from, source.spec.platforms)
        };
        let to = carried_over(&change, &from, platforms);
        Some(Replacement { change, from, to })
    }

    /// Puts the other targets in use: what is known of those who stay goes on, those who are gone have no row any more, and
    /// newcomers are unknown. Answers to questions about the old rows fall away by their generation, unless whoever asked
    /// moves them. Whether that was done: not if the source has other targets than the change began with.
    pub fn replace(&self, replacement: Replacement) -> bool {
        let Replacement { change, from, mut to } = replacement;
        let mut inner = self.lock();
        let Some(source) = inner.source(change.old.source(), change.old.generation()) else { return false };
        if !Arc::ptr_eq(&source.roster, &change.old) {
            return false;
        }
        carry_over_again(&change, &from, source, &mut to);
        source.roster = Arc::clone(&change.new);
        let old = Rows {
            chunks: std::mem::replace(&mut source.chunks, to.chunks),
            stays: source.first_seen.replace_chunks(to.stays),
        };
        drop(inner);
        // Old rows are freed here, not under the lock.
        drop((old, from));
        true
    }

    /// Answers of this source count at least so long from now on: more targets take longer to ask about. It is never made
    /// shorter while the exporter runs, since that alone would make targets unknown.
    pub fn lengthen_max_age(&self, source: u16, generation: u16, max_age: Duration) {
        if let Some(source) = self.lock().source(source, generation)
            && source.spec.policy.max_age < max_age
        {
            Arc::make_mut(&mut source.spec).policy.max_age = max_age;
        }
    }

    /// Books that the source's list of targets was looked at, and whether all of it could be read.
    pub fn refreshed(&self, source: u16, good: bool, at: Moment) {
        if let Some(source) = self.lock().sources.get_mut(usize::from(source)) {
            let last_good = source.refresh.and_then(|refresh| refresh.last_good);
            source.refresh = Some(Refresh { good, last_good: if good { Some(at) } else { last_good } });
        }
    }
}

/// How it goes with a list of targets that may change while the exporter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Whether all of the list could be read when it was last looked at.
    pub good: bool,
    /// When all of it could last be read.
    pub last_good: Option<Moment>,
}

fn carried_over(change: &Change, from: &Rows, platforms: bool) -> Rows {
    let rows = change.new.len() as usize;
    // What stands before the first that is gone stands where it stood.
    let first_gone = change.moves.removed().first().copied().unwrap_or_else(|| change.old.len());
    let same = locate(first_gone).0.min(from.chunks.len());
    let mut chunks: Vec<Arc<Chunk>> = from.chunks[..same].to_vec();
    let rest = (same..).zip(&from.chunks[same..]).flat_map(|(n, chunk)| {
        (n * CHUNK_ROWS..)
            .zip(chunk.rows.iter().enumerate())
            .map(|(old, (at, state))| (old, state, chunk.platforms.get(at)))
    });
    let mut gone = change.moves.removed().iter().copied().peekable();
    let mut stay = rest.filter(|(old, ..)| gone.next_if(|gone| *gone as usize == *old).is_none());
    while chunks.len() * CHUNK_ROWS < rows {
        let mut chunk = Chunk::new(CHUNK_ROWS.min(rows - chunks.len() * CHUNK_ROWS), platforms);
        for (place, (_, state, on)) in stay.by_ref().take(chunk.rows.len()).enumerate() {
            chunk.rows[place] = *state;
            if let (Some(new), Some(on)) = (chunk.platforms.get_mut(place), on) {
                *new = *on;
            }
        }
        chunks.push(Arc::new(chunk));
    }
    let mut stays: Vec<Arc<Stays>> = from.stays.iter().take(same).cloned().collect();
    for part in from.stays.iter().skip(same) {
        for (&old, stay) in part.iter() {
            if let Some(new) = change.moves.index(old) {
                stays_mut(&mut stays, new).insert(new, stay.clone());
            }
        }
    }
    Rows { chunks, stays }
}

/// Carries over what answers changed since the rows were carried over.
fn carry_over_again(change: &Change, from: &Rows, now: &Source, to: &mut Rows) {
    let old_rows = |chunk: usize| {
        let first = chunk * CHUNK_ROWS;
        (first..first + CHUNK_ROWS).filter_map(|row| u32::try_from(row).ok())
    };
    for (n, (before, chunk)) in from.chunks.iter().zip(&now.chunks).enumerate() {
        if Arc::ptr_eq(before, chunk) {
            continue;
        }
        for (at, (old, state)) in old_rows(n).zip(chunk.rows.iter()).enumerate() {
            let Some(new) = change.moves.index(old) else { continue };
            if let Some(new) = state_mut(&mut to.chunks, new) {
                *new = *state;
            }
            if let (Some(new), Some(on)) = (platforms_mut(&mut to.chunks, new), chunk.platforms.get(at)) {
                *new = *on;
            }
        }
    }
    for (n, stays) in now.first_seen.chunks().iter().enumerate() {
        if from.stays.get(n).is_some_and(|before| Arc::ptr_eq(before, stays)) {
            continue;
        }
        for (old, new) in old_rows(n).filter_map(|old| Some((old, change.moves.index(old)?))) {
            let target = stays_mut(&mut to.stays, new);
            match stays.get(&old) {
                Some(stay) => drop(target.insert(new, stay.clone())),
                None => drop(target.remove(&new)),
            }
        }
    }
}

fn stays_mut(stays: &mut Vec<Arc<Stays>>, index: u32) -> &mut Stays {
    super::first_seen::stays_mut(stays, index)
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;
