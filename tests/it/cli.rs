//! The real program as a person meets it: messages, exit codes, signals, and each command against simulated providers.
//!
//! Nothing here waits a fixed time for something to have happened: conditions are waited for, with a deadline.

mod configs;
mod demo;
mod explain;
mod help;
pub mod program;
mod query;
mod signals;
mod simulate;
mod usage;
