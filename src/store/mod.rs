//! What is known of every target now: rows that the scheduler writes and that pages are made of.
//!
//! Each source has its rows in chunks of [`CHUNK_ROWS`] behind `Arc`. A [`Snapshot`] takes the list of chunks, which is
//! cheap at any number of targets; while it lives, a writer copies only the chunk that it changes. One short mutex
//! guards it all, and no work on text, time or chance is done under it.
//!
//! Where rows are to outlive the process, [`state_file`] keeps them, and pages show what is in the file.
//!
//! What it deliberately does not do: it judges nothing. Ages, counts and what is printed are computed from a snapshot
//! for the reader's own instant. It asks no clock and knows no provider and no metric.

mod first_seen;
mod memos;
mod platforms;
mod replace;
mod restore;
mod snapshot;
pub mod state_file;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::domain::{Evidence, Fault, Moment, Roster, RowId, Seen, SourceSpec, State, Tick};

use first_seen::FirstSeen;
use memos::Memos;
pub use memos::{MEMO_BYTES_MAX, MEMO_NAME_MAX, MEMOS_MAX};
use platforms::ByPlatform;
pub use replace::{Refresh, Replacement};
use snapshot::{Chunk, locate};
pub use snapshot::{Counts, Snapshot, SourceSnapshot};
pub use state_file::{Earlier, Opened, StateFile};

/// Rows in a chunk: what a writer copies at most when a page is being read, 32 KiB.
pub const CHUNK_ROWS: usize = 1024;

/// Snapshots that live at the same time. Each can hold an old copy of every row, so their number bounds the memory
/// that slow readers cost.
pub const MAX_SNAPSHOTS: usize = 4;

/// How long an answer waits for a save. A disk that takes longer is not waited for: pages show all that is known, until
/// the next save is done.
const HELD_MAX: Duration = Duration::from_secs(5);

/// Rows that are booked under one hold of the lock, so that a listing of a million targets keeps no page waiting.
const ROWS_PER_LOCK: usize = 4 * CHUNK_ROWS;

/// The rows of all sources. Shared between the scheduler, which writes, and the pages, which read.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

/// A source as the configuration gives it.
#[derive(Debug, Clone)]
pub struct Installed {
    /// What is fixed about the source.
    pub spec: SourceSpec,
    /// Its targets. `roster.source()` is the source's place in the list given to [`Store::install`];
    /// `roster.generation()` is raised by each [`Store::replace`].
    pub roster: Arc<Roster>,
}

#[derive(Debug, Default)]
struct Inner {
    sources: Vec<Source>,
    snapshots: Vec<Weak<Snapshot>>,
    /// What pages show while rows are kept in a file: those that are in it.
    published: Option<Arc<Snapshot>>,
    /// When the first answer came that no save has taken up yet.
    unsaved_since: Option<Tick>,
    memos: Arc<Memos>,
}

#[derive(Debug)]
struct Source {
    spec: Arc<SourceSpec>,
    roster: Arc<Roster>,
    up: bool,
    last_success: Option<Moment>,
    cycle: Option<Duration>,
    log_since_ms: Option<i64>,
    /// None where the list of targets cannot change.
    refresh: Option<Refresh>,
    chunks: Vec<Arc<Chunk>>,
    first_seen: FirstSeen,
}

impl Store {
    /// A store without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces all sources. Every target is unknown until it is answered; answers to questions that left before fall
    /// away by their generation.
    ///
    /// # Panics
    ///
    /// When a roster's number is not its place in `sources`.
    pub fn install(&self, sources: Vec<Installed>) {
        for (place, installed) in sources.iter().enumerate() {
            assert_eq!(
                usize::from(installed.roster.source()),
                place,
                "BUG: a roster's number is its source's place in the configuration"
            );
        }
        let fresh: Vec<Source> = sources.into_iter().map(Source::new).collect();
        let mut inner = self.lock();
        let old = std::mem::replace(&mut inner.sources, fresh);
        let published = inner.published.take();
        inner.published = published.is_some().then(|| Arc::new(inner.live()));
        drop(inner);
        // A million old rows are freed here, not under the lock.
        drop((old, published));
    }

    /// Books the rows of an answer whose first request left at `as_of`. A fault in a row is that target's alone. Rows of
    /// another generation fall away, and so does what is older than the row's newest answer.
    pub fn answered(&self, as_of: Moment, rows: &[(RowId, Result<Seen, Fault>)]) {
        self.came(as_of, as_of, rows);
    }

    /// The same, with the instant at which the answer came: changes that fell due while it was under way stay.
    pub fn came(&self, as_of: Moment, came: Moment, rows: &[(RowId, Result<Seen, Fault>)]) {
        for part in rows.chunks(ROWS_PER_LOCK) {
            let mut inner = self.lock();
            for (row, result) in part {
                let Some(source) = inner.source(row.source, row.generation) else { continue };
                match result {
                    Ok(seen) => source.answered(row.index, as_of, came, seen),
                    Err(fault) => source.failed(row.index, as_of, *fault),
                }
            }
        }
    }

    /// Books that the question about these rows, sent at `at`, failed. Their presence stays what it was until the last
    /// answer is too old; then `fault` is the reason. The iterator is read under the lock, so it must not ask the store.
    pub fn failed(&self, at: Moment, rows: &mut dyn Iterator<Item = RowId>, fault: Fault) {
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let mut inner = self.lock();
            for row in rows.by_ref().take(ROWS_PER_LOCK) {
                if let Some(source) = inner.source(row.source, row.generation) {
                    source.failed(row.index, at, fault);
                }
            }
        }
    }

    /// Books which targets of this source are left out on purpose from now on, and which are not.
    pub fn shed(&self, source: u16, generation: u16, is_shed: &dyn Fn(u32) -> bool) {
        let mut from = 0;
        while let Some(source) = self.lock().source(source, generation)
            && from < source.roster.len()
        {
            let part = u32::try_from(ROWS_PER_LOCK).unwrap_or(u32::MAX);
            let to = source.roster.len().min(from.saturating_add(part));
            for index in from..to {
                if let Some(state) = state_mut(&mut source.chunks, index) {
                    state.shed(is_shed(index));
                }
            }
            from = to;
        }
    }

    /// Books that a question of this source was answered at `at`: the source is up.
    pub fn heard(&self, source: u16, generation: u16, at: Moment) {
        let mut inner = self.lock();
        let unsaved_since = *inner.unsaved_since.get_or_insert(at.tick);
        let held_too_long = at.tick.since(unsaved_since) > HELD_MAX;
        // Freed, if nobody else has it, when the lock is given back.
        let _unheld = held_too_long.then(|| inner.published.take());
        if let Some(source) = inner.source(source, generation) {
            source.up = true;
            if source.last_success.is_none_or(|last| last.tick <= at.tick) {
                source.last_success = Some(at);
            }
        }
    }

    /// Books that a whole round of this source passed without any answer: the source is down.
    pub fn silent(&self, source: u16, generation: u16) {
        if let Some(source) = self.lock().source(source, generation) {
            source.up = false;
        }
    }

    /// Books that a whole round of this source was answered, and how long that took from its first question on.
    pub fn rounded(&self, source: u16, generation: u16, took: Duration) {
        if let Some(source) = self.lock().source(source, generation) {
            source.cycle = Some(took);
        }
    }

    /// When the source's last complete log pass began, in Unix milliseconds; this process's or an earlier one's.
    pub fn log_since_ms(&self, source: u16, generation: u16) -> Option<i64> {
        self.lock().source(source, generation)?.log_since_ms
    }

    /// Books that a complete log pass of this source began then.
    pub fn log_read(&self, source: u16, generation: u16, began_ms: i64) {
        if let Some(source) = self.lock().source(source, generation) {
            source.log_since_ms = source.log_since_ms.max(Some(began_ms));
        }
    }

    /// All rows as pages show them: as they are now, or, while they are kept in a file, as they were last saved. At most
    /// [`MAX_SNAPSHOTS`] live at the same time; while they do, the newest of them is returned again.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let mut inner = self.lock();
        inner.snapshots.retain(|snapshot| snapshot.strong_count() > 0);
        let published = inner.published.clone();
        let newest = inner.snapshots.iter().rev().find_map(Weak::upgrade);
        if let Some(newest) = newest
            && (inner.snapshots.len() >= MAX_SNAPSHOTS
                || published.as_ref().is_some_and(|published| Arc::ptr_eq(published, &newest)))
        {
            return newest;
        }
        let snapshot = published.unwrap_or_else(|| Arc::new(inner.live()));
        inner.snapshots.push(Arc::downgrade(&snapshot));
        snapshot
    }

    /// All rows as they are now, whatever pages show; to be saved and published.
    fn live(&self) -> Arc<Snapshot> {
        let mut inner = self.lock();
        inner.unsaved_since = None;
        Arc::new(inner.live())
    }

    /// From now on pages show this, until something newer is published.
    fn publish(&self, snapshot: Arc<Snapshot>) {
        let old = self.lock().published.replace(snapshot);
        // Rows that nobody else holds are freed here, not under the lock.
        drop(old);
    }

    /// What was kept under this name, by this process or an earlier one.
    pub fn memo(&self, name: &str) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        let bytes = inner.memos.get(name).map(|(_, bytes)| Arc::clone(bytes))?;
        if !inner.memos.is_used(name) {
            Arc::make_mut(&mut inner.memos).used(name);
        }
        Some(bytes.to_vec())
    }

    /// Keeps these bytes under this name, with the rows: where a state file is in use, the next save that takes up a row's
    /// change takes up this one as well. Without bytes nothing is kept. False when it is longer than [`MEMO_BYTES_MAX`], its
    /// name than [`MEMO_NAME_MAX`], or there are [`MEMOS_MAX`] already that this process asked for.
    pub fn keep_memo(&self, name: &str, bytes: &[u8]) -> bool {
        Arc::make_mut(&mut self.lock().memos).keep(name, bytes)
    }

    /// One row as it is now.
    pub fn state(&self, row: RowId) -> Option<State> {
        let mut inner = self.lock();
        let source = inner.source(row.source, row.generation)?;
        let (chunk, place) = locate(row.index);
        source.chunks.get(chunk)?.rows.get(place).copied()
    }

    /// The names of the sources in which no question was answered yet, though there are targets: what readiness waits for.
    pub fn awaited(&self) -> Vec<Arc<str>> {
        let inner = self.lock();
        let awaited =
            inner.sources.iter().filter(|source| source.last_success.is_none() && !source.is_idle());
        awaited.map(|source| Arc::clone(&source.spec.name)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock leaves a row half written, so a reader that comes after a panic sees whole rows.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn source(&mut self, number: u16, generation: u16) -> Option<&mut Source> {
        self.sources.get_mut(usize::from(number)).filter(|source| source.roster.generation() == generation)
    }

    fn live(&self) -> Snapshot {
        Snapshot {
            sources: self.sources.iter().map(Source::snapshot).collect(),
            memos: Arc::clone(&self.memos),
        }
    }
}

impl Source {
    fn new(installed: Installed) -> Self {
        let rows = installed.roster.len() as usize;
        let platforms = installed.spec.platforms;
        let chunk = |start: usize| Arc::new(Chunk::new(CHUNK_ROWS.min(rows - start), platforms));
        Self {
            spec: Arc::new(installed.spec),
            roster: installed.roster,
            up: false,
            last_success: None,
            cycle: None,
            log_since_ms: None,
            refresh: None,
            chunks: (0..rows).step_by(CHUNK_ROWS).map(chunk).collect(),
            first_seen: FirstSeen::default(),
        }
    }

    fn answered(&mut self, index: u32, as_of: Moment, came: Moment, seen: &Seen) {
        let policy = self.spec.policy;
        let Some(state) = state_mut(&mut self.chunks, index) else { return };
        if !state.accepts(as_of) {
            return;
        }
        state.passed(came.tick, &policy);
        if self.spec.evidence == Evidence::FirstSeen {
            let stay = self.first_seen.book(index, as_of, seen, policy.max_age);
            state.answered(as_of, &without_lists(seen, stay.started_ms), &policy);
            state.reconnected(stay.reconnects);
        } else {
            state.answered(as_of, seen, &policy);
        }
        if self.spec.platforms
            && let Some(counts) = platforms_mut(&mut self.chunks, index)
        {
            *counts = ByPlatform::of(seen);
        }
    }

    /// Whether it is known that there is nobody to ask about.
    fn is_idle(&self) -> bool {
        self.roster.is_empty() && self.refresh.is_some_and(|refresh| refresh.good)
    }

    fn failed(&mut self, index: u32, at: Moment, fault: Fault) {
        if let Some(state) = state_mut(&mut self.chunks, index) {
            state.failed(at, fault);
        }
    }

    fn snapshot(&self) -> SourceSnapshot {
        SourceSnapshot {
            spec: Arc::clone(&self.spec),
            roster: Arc::clone(&self.roster),
            up: self.up,
            last_success: self.last_success,
            cycle: self.cycle,
            log_since_ms: self.log_since_ms,
            refresh: self.refresh,
            chunks: self.chunks.clone(),
            stays: self.first_seen.chunks(),
        }
    }
}

/// The row, in a chunk that no snapshot holds.
fn state_mut(chunks: &mut [Arc<Chunk>], index: u32) -> Option<&mut State> {
    let (chunk, row) = locate(index);
    Arc::make_mut(chunks.get_mut(chunk)?).rows.get_mut(row)
}

/// What a row's connections run on, in a chunk that no snapshot holds.
fn platforms_mut(chunks: &mut [Arc<Chunk>], index: u32) -> Option<&mut ByPlatform> {
    let (chunk, row) = locate(index);
    Arc::make_mut(chunks.get_mut(chunk)?).platforms.get_mut(row)
}

/// What a state is made of, with another start; costs no allocation.
fn without_lists(seen: &Seen, started_ms: Option<i64>) -> Seen {
    Seen {
        online: seen.online,
        connections: seen.connections,
        started_ms,
        network_rtt_ms: seen.network_rtt_ms,
        e2e_rtt_ms: seen.e2e_rtt_ms,
        conns: Vec::new(),
        conns_partial: seen.conns_partial,
        platforms: Vec::new(),
        keep_detail: seen.keep_detail,
    }
}

#[cfg(test)]
mod tests;
