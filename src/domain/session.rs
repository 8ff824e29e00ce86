//! A session as a provider's history tells it: an attempt to connect, what came of it, how long it lasted.
//!
//! A history is read again and again, in overlapping stretches, and a record changes until its session has ended. What
//! of a session was counted already is remembered elsewhere; here stands only what one reading says.

use std::fmt;
use std::time::Duration;

/// Why an attempt to connect came to nothing: a closed list, since providers' texts are neither documented nor bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FailureReason {
    /// The user could not prove who they are.
    Authentication,
    /// The network between client and desktop failed.
    Network,
    /// Something took too long.
    Timeout,
    /// The desktop (or its agent) was not there to connect to.
    DesktopUnavailable,
    /// The user or client was known, and turned away.
    Rejected,
    /// A text that fits none of these.
    Other,
}

impl FailureReason {
    /// Every reason, in the order of the labels' documentation.
    pub const ALL: [Self; 6] = [
        Self::Authentication,
        Self::Network,
        Self::Timeout,
        Self::DesktopUnavailable,
        Self::Rejected,
        Self::Other,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::DesktopUnavailable => "desktop_unavailable",
            Self::Rejected => "rejected",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It stood.
    Established,
    /// It never did.
    Failed(FailureReason),
}

/// One reading of one session's record. Times are Unix milliseconds of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Tells sessions of one source apart, and is the same in every reading of one.
    pub key: u64,
    /// When connecting began.
    pub started_ms: i64,
    /// When the session ended, if this reading tells.
    pub ended_ms: Option<i64>,
    /// What came of it.
    pub outcome: Outcome,
    /// How long setting up took, if this reading tells.
    pub setup: Option<Duration>,
    /// Network round-trip time in milliseconds, as of this reading.
    pub network_rtt_ms: Option<u32>,
}
