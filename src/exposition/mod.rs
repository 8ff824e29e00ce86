//! The page that Prometheus reads: one table of families, one writer, two text formats.
//!
//! [`families`] says what is published, [`writer`] puts it into pieces of text straight from the rows, [`negotiate`]
//! chooses format and encoding, [`size`] says beforehand how large a page becomes. What it deliberately does not do: no sockets, no compression, no cached page, no
//! timestamps on samples.

pub mod families;
pub mod negotiate;
pub mod size;
pub mod writer;

// Our own metrics in the same formats, and what all of them are made of.
mod own;
mod text;

#[cfg(test)]
mod tests;

pub use negotiate::{Encoding, Format};
pub use writer::{PIECE_BYTES, Page};
