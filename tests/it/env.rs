//! Environments for tests.

use std::io;
use std::path::Path;
use std::sync::Arc;

use presence_exporter::ports::Env;

/// An environment in which every variable and every file holds the same text.
pub struct TestEnv {
    everything: String,
}

impl TestEnv {
    /// An environment in which every variable and every file holds a plain text.
    pub fn that_answers_everything() -> Self {
        Self { everything: "some-text".into() }
    }

    /// The same behind the port.
    pub fn shared(self) -> Arc<dyn Env> {
        Arc::new(self)
    }
}

impl Env for TestEnv {
    fn var(&self, _: &str) -> Option<String> {
        Some(self.everything.clone())
    }

    fn read(&self, _: &Path, _: u64) -> io::Result<String> {
        Ok(self.everything.clone())
    }
}
