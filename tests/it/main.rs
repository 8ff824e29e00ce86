//! Everything that is tested from outside, in one binary: each further one costs a link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod budget;
mod cadence;
mod canary;
mod cli;
mod contract;
mod credentials;
mod discover;
mod docs;
mod end_to_end;
mod env;
mod evidence;
mod explain;
mod histories;
mod lists;
mod ops;
mod plan;
mod pools;
mod scheduler;
mod simulation;
mod stage;
mod state_file;
mod tempos;
mod tidy;
mod vectors;
mod virtual_time;
