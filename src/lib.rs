//! `presence-exporter`: who is online, since when, and how good is their connection?
//!
//! It asks five provider APIs about configured users, devices and desktops, on a schedule and within their quotas, and
//! publishes what they say as Prometheus metrics. Online, offline and *unknown* are three things: offline needs positive
//! evidence, a failing API never turns anybody offline, and an old answer is never shown as current.
//!
//! # The flow, in reading order
//!
//! ```text
//! config.yaml ─► config ─► providers ─► scheduler ─► store ─► exposition ─► http ─► Prometheus
//!                              ▲
//!                          simulator: the same folders, the other side of the wire
//! ```
//!
//! Everything speaks in the words of [`domain`]: sources, targets, what was seen, presence, faults, two clocks. What the
//! outside must supply stands in [`ports`], and the real thing in [`net`].
//!
//! [`config`] reads the file into checked values and collects every problem. [`providers`] is the seam to the five APIs:
//! each is a folder that signs, asks and maps answers to observations. [`scheduler`] decides what is asked when, keeps
//! budgets, and books answers into [`store`]. [`exposition`] writes the store's rows and our own counters
//! ([`telemetry`]) as text, and [`http`] serves it. [`daemon`] is the one assembly of all that; [`cli`] is what a person
//! types; [`simulator`] serves all five APIs on loopback for the demo and for tests.
//!
//! # Invariants
//!
//! * Data goes right, imports go left. Nothing right of the store knows that providers exist, nothing left of it knows
//!   that metrics exist. A test keeps the table of imports.
//! * Every target configured is online, offline or unknown, in every scrape.
//! * No request to a provider leaves on behalf of a scrape, and each request pays its account's budget exactly once.
//! * Decisions are pure functions; time, chance, files and the network come in through [`ports`].
//! * No secret has a `Debug` output or reaches a log, a page or an error.

#![cfg_attr(not(test), deny(missing_docs))]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod exposition;
pub mod http;
pub mod net;
pub mod ports;
pub mod providers;
pub mod scheduler;
pub mod simulator;
pub mod store;
pub mod telemetry;
