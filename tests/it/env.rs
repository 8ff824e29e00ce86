//! Environments for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use presence_exporter::ports::Env;

/// Variables and files from a table, or the same answer for everything.
#[derive(Default)]
pub struct TestEnv {
    everything: Option<String>,
    vars: BTreeMap<String, String>,
}

impl TestEnv {
    /// An environment in which every variable and every file holds a plain text.
    pub fn that_answers_everything() -> Self {
        Self { everything: Some("some-text".into()), ..Self::default() }
    }

    /// An environment with nothing in it.
    pub fn empty() -> Self {
        Self::default()
    }
}

impl Env for TestEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).or(self.everything.as_ref()).cloned()
    }

    fn read(&self, _: &Path, _: u64) -> io::Result<String> {
        self.everything.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
