//! Skeleton; the front page follows.
pub mod config;
pub mod domain;
pub mod net;
pub mod ports;
pub mod providers;
