//! `check`: is this configuration good? Sends nothing.

use super::args::Check;
use super::load::load_fitting;
use super::{Exit, say};
use crate::net;

/// Prints what the configuration holds, or every problem in it.
pub fn main(check: &Check) -> Exit {
    let ports = net::ports();
    let Some((configuration, warnings)) = load_fitting(&check.config.file, &ports) else {
        return Exit::Usage;
    };
    for warning in warnings {
        eprintln!("{}: warning: {warning}", check.config.file.display());
    }
    for account in &configuration.accounts {
        if let Err(why) = crate::daemon::open(&ports, &account.settings) {
            eprintln!("{}: {why}", check.config.file.display());
            return Exit::Usage;
        }
    }
    let targets: u64 = configuration.sources.iter().map(|source| u64::from(source.roster.len())).sum();
    say(&format!(
        "{}: good: {}, {}, {}",
        check.config.file.display(),
        counted(configuration.accounts.len() as u64, "account"),
        counted(configuration.sources.len() as u64, "source"),
        counted(targets, "target"),
    ));
    Exit::Done
}

fn counted(number: impl Into<u64>, what: &str) -> String {
    let number = number.into();
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
