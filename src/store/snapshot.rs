//! What a reader of the store holds: all rows at one instant, changed by nothing that comes later.
//!
//! It knows what was answered, not what follows from it: each reader asks the rows for a view at its own `now`.

use std::sync::Arc;
use std::time::Duration;

use super::first_seen::Stays;
use super::memos::Memos;
use super::platforms::ByPlatform;
use super::{CHUNK_ROWS, Refresh};
use crate::domain::presence::Presence;
use crate::domain::{Moment, Platform, Roster, SourceSpec, State};

/// All sources with their rows at one instant.
#[derive(Debug)]
pub struct Snapshot {
    /// The sources, in the order of the configuration.
    pub sources: Vec<SourceSnapshot>,
    pub(super) memos: Arc<Memos>,
}

/// One source with its rows at one instant.
#[derive(Debug)]
pub struct SourceSnapshot {
    /// What is fixed about the source.
    pub spec: Arc<SourceSpec>,
    /// Its targets; row `n` is about target `n`.
    pub roster: Arc<Roster>,
    /// Whether the last round got any answer; false before the first one.
    pub up: bool,
    /// When a question of this source was last answered, by this process.
    pub last_success: Option<Moment>,
    /// How long the last complete round took, from its first question to its last answer.
    pub cycle: Option<Duration>,
    /// How it goes with its list of targets, where that may change while the exporter runs.
    pub refresh: Option<Refresh>,
    /// When the last complete log pass began, in Unix milliseconds.
    pub(super) log_since_ms: Option<i64>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    pub(super) stays: Vec<Arc<Stays>>,
}

/// How many targets of a source are in each state; their sum is the number configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Targets online.
    pub online: u32,
    /// Targets offline.
    pub offline: u32,
    /// Targets of which nothing fresh is known.
    pub unknown: u32,
}

/// A run of rows, at most [`CHUNK_ROWS`].
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) rows: Box<[State]>,
    /// What the rows' connections run on; empty where the provider does not tell.
    pub(super) platforms: Box<[ByPlatform]>,
}

impl SourceSnapshot {
    /// The row of target `index`, if there is such a target.
    pub fn state(&self, index: u32) -> Option<&State> {
        let (chunk, row) = locate(index);
        self.chunks.get(chunk)?.rows.get(row)
    }

    /// All rows, in the order of the roster.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.chunks.iter().flat_map(|chunk| chunk.rows.iter())
    }

    /// The rows from `index` to the end of their chunk; empty only past the last row.
    pub fn rows_from(&self, index: u32) -> &[State] {
        let (chunk, row) = locate(index);
        self.chunks.get(chunk).and_then(|chunk| chunk.rows.get(row..)).unwrap_or_default()
    }

    /// How many targets are in each state at `now`.
    pub fn counts(&self, now: Moment) -> Counts {
        let mut counts = Counts::default();
        for state in self.states() {
            *match state.view(now, &self.spec.policy).presence {
                Presence::Online => &mut counts.online,
                Presence::Offline => &mut counts.offline,
                Presence::Unknown(_) => &mut counts.unknown,
            } += 1;
        }
        counts
    }

    /// Connections at `now` by what they run on, of the targets whose connections pages show; every platform, in the order
    /// of [`Platform::ALL`]. None where the provider does not tell platforms.
    pub fn connections_by_platform(&self, now: Moment) -> Option<[(Platform, u64); Platform::ALL.len()]> {
        if !self.spec.platforms {
            return None;
        }
        let mut sums = Platform::ALL.map(|platform| (platform, 0));
        for chunk in &self.chunks {
            for (state, counts) in chunk.rows.iter().zip(&chunk.platforms) {
                // Most people are offline, and then there is nothing to judge.
                if *counts != ByPlatform::default()
                    && state.view(now, &self.spec.policy).observed_online == Some(true)
                {
                    for (platform, sum) in &mut sums {
                        *sum += counts.on(*platform);
                    }
                }
            }
        }
        Some(sums)
    }
}

impl Chunk {
    /// A chunk of so many rows; `platforms`: with a column for what their connections run on.
    pub(super) fn new(rows: usize, platforms: bool) -> Self {
        Self {
            rows: vec![State::default(); rows].into_boxed_slice(),
            platforms: vec![ByPlatform::default(); if platforms { rows } else { 0 }].into_boxed_slice(),
        }
    }
}

/// The chunk of row `index` and the place in it.
pub(super) fn locate(index: u32) -> (usize, usize) {
    (index as usize / CHUNK_ROWS, index as usize % CHUNK_ROWS)
}
