//! Tables of keys: what may stand in a mapping, in which shape, with which default. They feed the reader, the nearest-key
//! hint, the test of the example file and the schema.

/// One key of a mapping.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key as written in the file.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Whether it has to be there, and what holds when it is not.
    pub need: Need,
    /// One sentence for the operator: meaning, unit, range.
    pub doc: &'static str,
}

/// Whether a key has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The file must give it.
    Required,
    /// It may be left out, and then there is no value.
    Optional,
    /// It may be left out, and then this text is read instead.
    Default(&'static str),
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A non-empty text on one line; numbers are taken as they are written.
    Text,
    /// A whole number in plain digits between the two, both allowed.
    Count {
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// A positive number in plain digits, perhaps with a fraction, up to `max`.
    Rate {
        /// The largest allowed.
        max: u32,
    },
    /// A duration as text, such as `30s` or `1h 30m`, between the two, in seconds.
    Duration {
        /// The shortest allowed, in seconds.
        min_s: u64,
        /// The longest allowed, in seconds.
        max_s: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An `http://` or `https://` address without user, password, query and fragment.
    Url,
    /// A secret: inline text, `{file: PATH}` or `{env: NAME}`.
    Secret,
    /// The path of a file that is read at start; a relative one starts at the folder of the configuration file.
    File,
    /// A sequence, read by its own code.
    List,
    /// A mapping, read by its own code.
    Map,
}
