//! Reads and checks the configuration file, and says all that is wrong with it.

use std::path::Path;

use crate::config::{Problem, tree};
use crate::ports::Ports;
use crate::providers::configure::{Configuration, configure};
use crate::scheduler::plan::quota;

/// The checked configuration. When there is none, every problem was printed to stderr, one a line, `file:line:column` first.
pub fn load(file: &Path, ports: &Ports) -> Option<Configuration> {
    let shown = file.display();
    let text = match ports.env.read(file, tree::LIMIT_BYTES) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{shown}: cannot be read: {error}");
            if error.kind() == std::io::ErrorKind::NotFound {
                eprintln!("Name a file with --config.file; config.example.yaml shows every key.");
                eprintln!("To look around without one: presence-exporter demo");
            }
            return None;
        }
    };
    let base = file.parent().unwrap_or(Path::new(""));
    match configure(&text, &ports.env, base, 0) {
        Ok(configuration) => Some(configuration),
        Err(problems) => {
            tell(file, &problems);
            None
        }
    }
}

/// The same, refused as well if an account's quota cannot carry what its sources are sure to want. What may be too much
/// is told as warnings.
pub fn load_fitting(file: &Path, ports: &Ports) -> Option<(Configuration, Vec<String>)> {
    let configuration = load(file, ports)?;
    let problems = quota::problems(&configuration);
    if problems.is_empty() {
        let warnings = quota::warnings(&configuration);
        return Some((configuration, warnings));
    }
    tell(file, &problems);
    None
}

fn tell(file: &Path, problems: &[Problem]) {
    let shown = file.display();
    for problem in problems {
        eprintln!("{shown}:{problem}");
    }
    let (count, word) = (problems.len(), if problems.len() == 1 { "problem" } else { "problems" });
    eprintln!("{shown}: {count} {word}");
}
