//! Everything that is tested from outside, in one binary: each further one costs a link.

mod canary;
mod contract;
mod docs;
mod env;
mod ops;
mod scheduler;
mod stage;
mod tidy;
mod virtual_time;
