//! What one good answer says of one target.

/// A keyed hash of a provider's connection id: enough to tell connections apart, too little to leak one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnKey(pub u64);

/// What a target's client runs on, a closed list; the label `platform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Platform {
    Android,
    Ios,
    Windows,
    Macos,
    Linux,
    Web,
    Tablet,
    Harmony,
    Other,
}

impl Platform {
    /// Every platform, in the order of the page.
    pub const ALL: [Self; 9] = [
        Self::Android,
        Self::Ios,
        Self::Windows,
        Self::Macos,
        Self::Linux,
        Self::Web,
        Self::Tablet,
        Self::Harmony,
        Self::Other,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Ios => "ios",
            Self::Windows => "windows",
            Self::Macos => "macos",
            Self::Linux => "linux",
            Self::Web => "web",
            Self::Tablet => "tablet",
            Self::Harmony => "harmony",
            Self::Other => "other",
        }
    }
}

/// What one good answer says of one target. `None` means that the answer does not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the target is online.
    pub online: bool,
    /// Connections or sessions now, where the API counts them.
    pub connections: Option<u32>,
    /// When the longest-running current connection began, in Unix milliseconds, where the API tells.
    pub started_ms: Option<i64>,
    /// Network round-trip time of the newest current session, in milliseconds.
    pub network_rtt_ms: Option<u32>,
    /// End-to-end round-trip time of the newest current session, in milliseconds.
    pub e2e_rtt_ms: Option<u32>,
    /// The current connections, where the API names them; what first-seen times hang on.
    pub conns: Vec<ConnKey>,
    /// The answer may leave connections out: one that is missing from `conns` has not ended for sure.
    pub conns_partial: bool,
    /// What the current connections run on, where the API tells; one entry a connection.
    pub platforms: Vec<Platform>,
    /// The answer leaves the detail (start, RTT) to another question: keep what is known of the same connection.
    pub keep_detail: bool,
}

impl Seen {
    /// Offline, with no connection.
    pub fn offline() -> Self {
        Self::default()
    }

    /// Online, and nothing more is said.
    pub fn online() -> Self {
        Self { online: true, ..Self::default() }
    }
}
