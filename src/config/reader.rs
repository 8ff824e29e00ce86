//! Takes checked values from a mapping by its table of keys, and collects what is wrong instead of stopping at it.

use std::time::Duration;

use super::keys::Key;
use super::problem::Problems;
use super::secret::Secret;
use super::tree::{Node, Place};
use crate::ports::Env;

/// What every reader of one file shares.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where problems go.
    pub problems: &'a Problems,
    /// Where secrets and files come from.
    pub env: &'a dyn Env,
}

/// A mapping being read. Unknown keys, missing keys and values of a wrong shape are noted when it is opened; the getters
/// then only return what is good, and `None` where a value is absent or was already complained about.
///
/// A getter panics when asked for a key that is in none of its tables or has another shape there: that is a bug of ours.
pub struct Reader<'a> {
    context: Context<'a>,
    node: &'a Node,
    path: String,
    tables: Vec<&'static [Key]>,
    /// A second mapping (`defaults`) that answers for keys which `node` lacks.
    fallback: Option<&'a Node>,
}

impl<'a> Reader<'a> {
    /// Opens a mapping; `None` when it is none. `tables` together list the keys that may stand in it.
    pub fn open(
        context: Context<'a>,
        node: &'a Node,
        path: impl Into<String>,
        tables: &[&'static [Key]],
        fallback: Option<&'a Node>,
    ) -> Option<Self> {
        let _ = (&context, node, path.into(), tables, fallback);
        todo!("config helper")
    }

    /// The text of a `Text`, `Choice` or `Url` key (a Url without trailing slash).
    pub fn text(&self, key: &str) -> Option<String> {
        let _ = (key, &self.context, &self.node, &self.path, &self.tables, &self.fallback);
        todo!("config helper")
    }

    /// The number of a `Count` key.
    pub fn count(&self, key: &str) -> Option<u64> {
        let _ = key;
        todo!("config helper")
    }

    /// The number of a `Rate` key.
    pub fn rate(&self, key: &str) -> Option<f64> {
        let _ = key;
        todo!("config helper")
    }

    /// The duration of a `Duration` key.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let _ = key;
        todo!("config helper")
    }

    /// The value of a `Flag` key; `false` when absent.
    pub fn flag(&self, key: &str) -> bool {
        let _ = key;
        todo!("config helper")
    }

    /// The secret of a `Secret` key, read from its file or variable.
    pub fn secret(&self, key: &str) -> Option<Secret> {
        let _ = key;
        todo!("config helper")
    }

    /// The text of the file that a `File` key names.
    pub fn file(&self, key: &str) -> Option<String> {
        let _ = key;
        todo!("config helper")
    }

    /// The value of a `List` or `Map` key, to be read by its own code.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        let _ = key;
        todo!("config helper")
    }

    /// Whether the key stands in the file (its value may still be bad).
    pub fn has(&self, key: &str) -> bool {
        let _ = key;
        todo!("config helper")
    }

    /// The path of a key, for problems and nested readers.
    pub fn path_of(&self, key: &str) -> String {
        let _ = key;
        todo!("config helper")
    }

    /// Where the mapping begins.
    pub fn place(&self) -> Place {
        self.node.place
    }

    /// Notes a problem at a key (at the mapping when the key is absent), with what to do.
    pub fn complain(&self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let _ = (key, message.into(), hint);
        todo!("config helper")
    }

    /// What the readers of this file share.
    pub fn context(&self) -> Context<'a> {
        self.context
    }
}
