//! Skeleton; the front page follows.
pub mod config;
pub mod domain;
pub mod exposition;
pub mod net;
pub mod ports;
pub mod providers;
pub mod scheduler;
pub mod simulator;
pub mod store;
pub mod telemetry;
