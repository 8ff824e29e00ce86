//! x
pub mod fault_text;
pub mod faults;
pub mod record;
pub mod scenario;
mod timeline;
pub mod truth;
#[cfg(test)]
mod fake;
