//! Everything that is tested from outside, in one binary: each further one costs a link.

mod cli;
mod docs;
mod end_to_end;
mod env;
mod ops;
mod scheduler;
mod tidy;
mod virtual_time;
