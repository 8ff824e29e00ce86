//! Configuration: a YAML file becomes a located tree, a [`Reader`] takes checked values from it by tables of keys, and
//! every problem is collected with file, line, column, path and a hint.
//!
//! Reading order: [`tree`] (text to located nodes), [`keys`] (tables), [`reader`] (checked values), [`file`](mod@file) (the
//! top level), [`common`], [`quotas`], [`targets`], [`target_files`], [`discover`] and [`cadence`] (what every
//! account and source has), [`problem`].
//!
//! This module knows the file's form, the common keys of accounts and sources, and [`Secret`]s. It knows no provider:
//! `providers::configure` walks accounts and sources with these tools. It opens no port and sends nothing. No problem ever
//! holds a secret or a file's content; a value is quoted only where it is short and its key is for no secret.

pub mod cadence;
pub mod common;
pub mod discover;
pub mod file;
pub mod keys;
mod nearest;
pub mod problem;
pub mod quotas;
pub mod reader;
pub mod secret;
mod shape;
pub mod target_files;
pub mod targets;
#[cfg(test)]
pub(crate) mod testing;
pub mod tree;
mod written;

pub use cadence::Cadence;
pub use common::{AccountSettings, SourceSettings, read_account, read_source};
pub use discover::{Discover, Filter};
pub use file::{Named, TopLevel};
pub use keys::{Key, Need, Shape};
pub use problem::{Problem, Problems};
pub use reader::{Context, Reader, choose};
pub use secret::{Reread, Secret, SecretSource};
pub use target_files::{ListFile, ListProblem, check_id, check_name, read_files};
pub use targets::{Given, Rules, TargetLists, read_targets};
pub use tree::{Node, Place};
