//! The exporter's configuration for a simulation, as text: the same file that everybody writes, so that a demonstration
//! goes the same way as everything else.
//!
//! It knows the common keys; a provider's `sim.rs` supplies the rest.

use std::fmt::Write;
use std::time::Duration;

use super::core::Core;
use crate::providers::sim::{Population, Subject};

/// What the configuration says beside the simulation's own facts.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How often every target is asked about.
    pub interval: Duration,
    /// How long one HTTP request may take.
    pub timeout: Duration,
    /// Requests a second of each account; `None`: the cloud's default.
    pub requests_per_second: Option<f64>,
}

impl Default for Setup {
    /// Brisk, so that somebody who looks on sees movement.
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), timeout: Duration::from_secs(3), requests_per_second: None }
    }
}

/// Every so many targets one has a name and labels.
const LABELLED_EVERY: usize = 3;
const SITES: [&str; 4] = ["Berlin", "München", "Shanghai \"East\"", "上海"];

/// A configuration that asks these servers for every population of their world. `endpoints` are the servers' addresses
/// in the order of [`Core::clouds`], without trailing slash.
pub fn config_yaml(core: &Core, endpoints: &[String], setup: &Setup) -> String {
    let mut yaml =
        String::from("# A simulated world. Keys and secrets in this file are of no value.\naccounts:\n");
    for (cloud, endpoint) in core.clouds().iter().zip(endpoints) {
        line(&mut yaml, 2, &format!("{}:", account(cloud)));
        line(&mut yaml, 4, &format!("cloud: {}", quoted(cloud)));
        line(&mut yaml, 4, &format!("endpoint: {}", quoted(endpoint)));
        if let Some(rate) = setup.requests_per_second {
            line(&mut yaml, 4, &format!("requests_per_second: {rate}"));
        }
        for (key, value) in core.account_keys(cloud, endpoint) {
            line(&mut yaml, 4, &format!("{key}: {value}"));
        }
    }
    line(&mut yaml, 0, "defaults:");
    line(&mut yaml, 2, &format!("interval: {}", quoted(&duration(setup.interval))));
    line(&mut yaml, 2, &format!("timeout: {}", quoted(&duration(setup.timeout))));
    line(&mut yaml, 0, "sources:");
    let mut before: Vec<&str> = Vec::new();
    for population in &core.world().populations {
        before.push(population.provider);
        let number = before.iter().filter(|provider| **provider == population.provider).count();
        source(&mut yaml, core, population, number);
    }
    yaml
}

/// The name of the source that asks for the n-th population of a provider, counted from 1.
pub fn source_name(provider: &str, number: usize) -> String {
    if number == 1 { provider.to_owned() } else { format!("{provider}_{number}") }
}

fn account(cloud: &str) -> String {
    format!("simulated_{cloud}")
}

fn source(yaml: &mut String, core: &Core, population: &Population, number: usize) {
    // A population of a provider that nobody serves cannot be asked for.
    let Some((cloud, keys)) = core.source_keys(population) else { return };
    line(yaml, 2, &format!("{}:", source_name(population.provider, number)));
    line(yaml, 4, &format!("account: {}", account(cloud)));
    line(yaml, 4, &format!("provider: {}", population.provider));
    for (key, value) in keys {
        line(yaml, 4, &format!("{key}: {value}"));
    }
    if population.subjects.is_empty() {
        line(yaml, 4, "targets: []");
        return;
    }
    line(yaml, 4, "targets:");
    for (index, subject) in population.subjects.iter().enumerate() {
        target(yaml, index, subject);
    }
}

fn target(yaml: &mut String, index: usize, subject: &Subject) {
    let id = quoted(&subject.id);
    if !index.is_multiple_of(LABELLED_EVERY) {
        line(yaml, 6, &format!("- {id}"));
        return;
    }
    let name = if subject.user.is_empty() { format!("Nr. {}", index + 1) } else { subject.user.clone() };
    let site = SITES[index / LABELLED_EVERY % SITES.len()];
    line(yaml, 6, &format!("- id: {id}"));
    line(yaml, 8, &format!("name: {}", quoted(&name)));
    line(yaml, 8, &format!("labels: {{site: {}}}", quoted(site)));
}

fn line(yaml: &mut String, indent: usize, text: &str) {
    yaml.extend(std::iter::repeat_n(' ', indent));
    yaml.push_str(text);
    yaml.push('\n');
}

fn duration(of: Duration) -> String {
    humantime::format_duration(of).to_string()
}

/// A text as a YAML double-quoted scalar, whatever it holds.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Control characters, and those that YAML takes for line ends or a byte order mark.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                write!(quoted, "\\u{:04x}", c as u32).expect("writing to a String cannot fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
