//! Everything that is tested from outside, in one binary: each further one costs a link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod canary;
mod contract;
mod docs;
mod env;
mod ops;
mod scheduler;
mod simulation;
mod stage;
mod tidy;
mod virtual_time;
