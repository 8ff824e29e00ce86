//! What a person types. Data goes to stdout, everything else to stderr; exit codes mean something.
//!
//! In reading order: [`args`] (commands and flags), [`run`] (the daemon), [`demo`] (simulator and daemon in one),
//! [`check`], [`plan`], [`query`], [`explain`], [`simulate`]. Nothing imports this module.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

pub mod args;
pub mod check;
pub mod demo;
pub mod explain;
mod load;
pub mod plan;
pub mod query;
pub mod run;
pub mod simulate;
mod table;
mod threads;

use args::{Arguments, Command};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked for.
    Done = 0,
    /// It could not.
    Failed = 1,
    /// It could, and what it found is not well: a target is unknown, a plan does not fit.
    Unwell = 2,
    /// The command line or the configuration is wrong (EX_USAGE).
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints a line, or several, to stdout. Whoever closed it, as `head` does, has seen enough: that is no error, and no panic
/// as it would be with `println!`.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            };
            // Nothing can be done when the terminal is gone.
            let _ = error.print();
            return exit.into();
        }
    };
    let exit = match arguments.command.unwrap_or(Command::Run(arguments.run)) {
        Command::Run(run) => run::main(&run),
        Command::Demo(demo) => demo::main(&demo),
        Command::Check(check) => check::main(&check),
        Command::Plan(plan) => plan::main(&plan),
        Command::Query(query) => query::main(&query),
        Command::Explain(explain) => explain::main(&explain),
        Command::Simulate(simulate) => simulate::main(&simulate),
    };
    exit.into()
}
