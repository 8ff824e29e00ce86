//! Why a question got no answer, and why a target is unknown: two closed lists.
//!
//! Only these become label values. A provider's own codes and texts go to the log, redacted.

use std::fmt;

/// Why a question to a provider failed. Decided by the provider's own code, not by the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fault {
    /// The provider asks us to slow down. Lower the account's `requests_per_second` or lengthen intervals.
    Throttled,
    /// Key, secret or token refused. Mend the account's credentials.
    Unauthorized,
    /// The identity is known but may not ask this. Grant the permission that the provider's page names.
    Forbidden,
    /// The provider refuses our time. Set this machine's clock.
    ClockSkew,
    /// No complete answer within the source's `timeout`.
    Timeout,
    /// No connection, or it broke. Look at DNS, routes, proxies and certificates.
    Unreachable,
    /// The provider says that it failed itself. Wait, or open a ticket with the request id.
    ServerError,
    /// An answer that is not what the contract says (shape, size, type). Report it.
    BadAnswer,
    /// This one target is refused (unknown or ill-formed id). Correct the target.
    RefusedId,
    /// The request or its instance, app, project is refused for good. Correct the source.
    Rejected,
}

impl Fault {
    /// Every fault, in the order of the labels' documentation.
    pub const ALL: [Self; 10] = [
        Self::Throttled,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ClockSkew,
        Self::Timeout,
        Self::Unreachable,
        Self::ServerError,
        Self::BadAnswer,
        Self::RefusedId,
        Self::Rejected,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::ClockSkew => "clock_skew",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::ServerError => "server_error",
            Self::BadAnswer => "bad_answer",
            Self::RefusedId => "refused_id",
            Self::Rejected => "rejected",
        }
    }

    /// Whether asking again soon may succeed without anybody mending anything.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::Timeout | Self::Unreachable | Self::ServerError | Self::BadAnswer
        )
    }

    /// Whether the account as a whole is refused, so that every question of it would fail alike.
    pub const fn is_account_wide(self) -> bool {
        matches!(self, Self::Unauthorized | Self::ClockSkew)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a target is unknown: the latest fault, or one of the causes that lie with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnknownReason {
    /// The latest question about it failed.
    Fault(Fault),
    /// Nothing was asked yet since this process began.
    NeverPolled,
    /// Known from the state file, not yet confirmed by an answer.
    Restored,
    /// Left out on purpose, since the budget does not allow more.
    Budget,
    /// The last answer is older than `max_age`, without any failure: the poller is late.
    Expired,
}

impl UnknownReason {
    /// Every reason, in the order of the labels' documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        Fault::ALL.into_iter().map(Self::Fault).chain([
            Self::NeverPolled,
            Self::Restored,
            Self::Budget,
            Self::Expired,
        ])
    }

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.as_str(),
            Self::NeverPolled => "never_polled",
            Self::Restored => "restored",
            Self::Budget => "budget",
            Self::Expired => "expired",
        }
    }
}
