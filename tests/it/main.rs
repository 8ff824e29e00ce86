//! Everything that is tested from outside, in one binary: each further one costs a link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod docs;
mod env;
mod ops;
mod scheduler;
mod tidy;
mod virtual_time;
