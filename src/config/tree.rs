//! A YAML file as a located tree. The only module that names the YAML library.
//!
//! Scalars are kept as the file's own text, since YAML types spoil ids (`0017` would become 17). Anchors, aliases and
//! merge keys work. Excerpts of the file are never part of an error, since they may show secrets.

use super::problem::Problem;

/// A place in the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// The four shapes of a YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar as written, with whether it was quoted.
    Scalar {
        /// The file's own text, quotes and escapes resolved.
        text: String,
        /// Whether it stood in quotes or a block, and so is text for sure.
        quoted: bool,
    },
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the file's order; a duplicate key is an error of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// Reads a YAML text of at most [`LIMIT_BYTES`]; the error is the first thing that is not YAML.
pub fn parse(text: &str) -> Result<Node, Problem> {
    let _ = text;
    todo!("config helper")
}

/// The largest configuration file read, in bytes: a hundred thousand inline targets and more.
pub const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
