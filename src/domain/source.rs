//! A source: one set of targets that one provider is asked about, under one policy.

use std::sync::Arc;
use std::time::Duration;

use super::presence::Policy;

/// What kind of thing a source's targets are; the label `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A person's account.
    User,
    /// A device, such as an MQTT client.
    Device,
    /// A cloud desktop.
    Desktop,
}

impl Kind {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Device => "device",
            Self::Desktop => "desktop",
        }
    }
}

/// Where a source's start times come from; the label `evidence` of the info series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The provider reports when a connection began.
    Reported,
    /// The provider reports none: the start is when this exporter first saw the connection, a lower bound of its age.
    FirstSeen,
    /// No start time is published.
    None,
}

impl Evidence {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::FirstSeen => "first_seen",
            Self::None => "none",
        }
    }
}

/// What is fixed about a source as long as the configuration stands.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// The operator's name for it; the label `source`.
    pub name: Arc<str>,
    /// The provider's name; the label `provider`.
    pub provider: &'static str,
    /// What its targets are; the label `kind`.
    pub kind: Kind,
    /// Where its start times come from.
    pub evidence: Evidence,
    /// Whether answers tell what connections run on.
    pub platforms: bool,
    /// How long answers count, and what else decides a state.
    pub policy: Policy,
    /// How late a change is seen at worst, by the plan.
    pub detection_delay: Duration,
}
