//! What tests of configurations need: an environment in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::problem::Problems;
use super::reader::Context;
use super::tree::{Node, parse};
use crate::ports::Env;

/// Variables and files in memory.
#[derive(Default, Clone)]
pub struct MemoryEnv {
    pub vars: BTreeMap<String, String>,
    pub files: BTreeMap<PathBuf, String>,
}

impl MemoryEnv {
    pub fn with_var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }

    /// The same behind the port.
    pub fn shared(&self) -> Arc<dyn Env> {
        Arc::new(self.clone())
    }
}

impl Env for MemoryEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        match self.files.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(text) if text.len() as u64 > limit => Err(io::ErrorKind::FileTooLarge.into()),
            Some(text) => Ok(text.clone()),
        }
    }
}

/// Reads `yaml` by `read`; the values it returns and every problem as printed.
pub fn read<T>(yaml: &str, env: &MemoryEnv, read: impl FnOnce(Context<'_>, &Node) -> T) -> (T, Vec<String>) {
    let problems = Problems::default();
    let node = parse(yaml).unwrap_or_else(|problem| panic!("not a good test: {problem}"));
    let value =
        read(Context { problems: &problems, env: &env.shared(), base: Path::new("/etc/presence") }, &node);
    (value, problems.into_sorted().iter().map(ToString::to_string).collect())
}

/// Files in memory that change while somebody holds the environment.
#[derive(Default)]
pub struct ChangingEnv(Mutex<MemoryEnv>);

impl ChangingEnv {
    /// An environment with this file.
    pub fn with_file(path: &str, text: &str) -> Arc<Self> {
        let env = Arc::<Self>::default();
        env.write(path, text);
        env
    }

    pub fn write(&self, path: &str, text: &str) {
        self.0.lock().unwrap().files.insert(PathBuf::from(path), text.to_owned());
    }

    pub fn remove(&self, path: &str) {
        self.0.lock().unwrap().files.remove(Path::new(path));
    }

    pub fn set(&self, name: &str, value: &str) {
        self.0.lock().unwrap().vars.insert(name.to_owned(), value.to_owned());
    }
}

impl Env for ChangingEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().var(name)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        self.0.lock().unwrap().read(path, limit)
    }
}
