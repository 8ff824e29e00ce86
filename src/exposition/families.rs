//! What is published: a family is a row of [`FAMILIES`]. Docs, dashboards and rules are checked against this table.
//!
//! What it deliberately does not do: it holds no text of the formats, and no label that is a connection's address, id or
//! token. Our own workings are in [`OWN_FAMILIES`], where they are counted.

use super::Format;
use super::text::Number;
use crate::domain::View;
use crate::domain::presence::{Presence, Transitions};
use crate::store::SourceSnapshot;

pub use crate::telemetry::{OWN_FAMILIES, SESSION_FAMILIES};

/// One metric family.
#[derive(Debug)]
pub struct Family {
    /// The full name, with its unit.
    pub name: &'static str,
    /// What it says, in one line.
    pub help: &'static str,
    /// The unit, where there is one; the name ends in it.
    pub unit: Option<&'static str>,
    /// The type.
    pub kind: MetricKind,
    /// The names of its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    pub(super) value: Value,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that goes up and down.
    Gauge,
    /// A count that only goes up.
    Counter,
    /// Observations in buckets.
    Histogram,
    /// What is configured or built, always 1. The plain text format knows no such type and calls it a gauge.
    Info,
}

impl MetricKind {
    /// The word in a TYPE line.
    pub const fn as_str(self, format: Format) -> &'static str {
        match self {
            Self::Info if matches!(format, Format::OpenMetrics) => "info",
            Self::Gauge | Self::Info => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Where a family's series come from.
#[derive(Debug)]
pub(super) enum Value {
    /// One series for each source that has a value.
    Source(fn(&SourceSnapshot) -> Option<Number>),
    /// One series for each target that has a value; the second argument is the page's Unix time in seconds.
    Target(fn(&View, i64) -> Option<Number>),
    /// Two series for each target: how often it changed to online, and to offline.
    Transitions(fn(&View) -> Transitions),
    /// One series for each unknown target, with the reason.
    Reason,
    /// One series for each target, with what is configured about it.
    Info,
    /// Three series for each source: how many targets are in each state.
    States,
    /// A series for each platform, for sources whose provider tells them: how many connections there are.
    Platforms,
}

const SECONDS: Option<&str> = Some("seconds");
const SOURCE: &[&str] = &["source", "provider", "kind"];
const TARGET: &[&str] = &["source", "kind", "target"];

/// Every family about targets and sources, in the order of the page. Counts by state and platform come last, since they
/// alone need all rows before their first line can be written.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "presence_source_up",
        help: "1 if the last round of questions of this source got any answer, else 0; absent while it has no target.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: SOURCE,
        value: Value::Source(|source| (!source.roster.is_empty()).then(|| flag(source.up))),
    },
    Family {
        name: "presence_source_last_success_timestamp_seconds",
        help: "When a question of this source was last answered, as Unix time; absent before the first answer.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: SOURCE,
        value: Value::Source(|source| u64::try_from(source.last_success?.unix_ms).ok().map(Number::Milli)),
    },
    Family {
        name: "presence_source_cycle_duration_seconds",
        help: "How long the last complete round took, from its first question to the last answer that was missing; retries \
               and halves of refused batches included. Absent before the first complete round, kept while rounds fail.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: SOURCE,
        value: Value::Source(|source| u64::try_from(source.cycle?.as_millis()).ok().map(Number::Milli)),
    },
    Family {
        name: "presence_source_detection_delay_seconds",
        help: "How long it may take at worst until a target that leaves is shown as offline, by the plan: a round, the wait \
               for its turn, timeouts and repeats, leave_delay, and the provider's own documented lag.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: SOURCE,
        value: Value::Source(|source| {
            u64::try_from(source.spec.detection_delay.as_millis()).ok().map(Number::Milli)
        }),
    },
    Family {
        name: "presence_source_targets_refresh_successful",
        help: "1 if the source's list of targets could be read as a whole when it was last looked at, else 0: then the last \
               good list goes on. Present only where the targets may change while the exporter runs.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: SOURCE,
        value: Value::Source(|source| source.refresh.map(|refresh| flag(refresh.good))),
    },
    Family {
        name: "presence_source_targets_last_refresh_timestamp_seconds",
        help: "When the source's list of targets could last be read as a whole, as Unix time; absent before that.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: SOURCE,
        value: Value::Source(|source| {
            u64::try_from(source.refresh?.last_good?.unix_ms).ok().map(Number::Milli)
        }),
    },
    Family {
        name: "presence_online",
        help: "1 if the target was online, 0 if it was offline, as of the last poll; absent while that is unknown.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| match view.presence {
            Presence::Online => Some(flag(true)),
            Presence::Offline => Some(flag(false)),
            Presence::Unknown(_) => None,
        }),
    },
    Family {
        name: "presence_observed_online",
        help: "1 if the newest answer said online, 0 if it said offline, before the delays of the source settle it; absent \
               while that is unknown.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| view.observed_online.map(flag)),
    },
    Family {
        name: "presence_unknown",
        help: "1 while it is unknown whether the target is online, and why; present only then, so that each target has \
               either this or presence_online.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: &["source", "kind", "target", "reason"],
        value: Value::Reason,
    },
    Family {
        name: "presence_connections",
        help: "Connections or sessions of the target as of the last poll, where the provider counts them.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| view.connections.map(|n| Number::Whole(n.into()))),
    },
    Family {
        name: "presence_connection_duration_seconds",
        help: "Age, at the scrape, of the longest-running connection that the target had as of the last poll; the label \
               evidence of presence_target_info says whether the provider reported its start or this exporter first saw \
               it then.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, now_s| view.started_s.map(|start| age(now_s, start))),
    },
    Family {
        name: "presence_connection_start_timestamp_seconds",
        help: "When the longest-running connection that the target had as of the last poll began, as Unix time \
               (OnlineTime of Smart Access Gateway, connection_start_time of Workspace, else first seen).",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| whole(view.started_s)),
    },
    Family {
        name: "presence_network_rtt_seconds",
        help: "Network round-trip time of the newest current session as of the last poll (network_rtt of Workspace).",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| milli(view.network_rtt_ms)),
    },
    Family {
        name: "presence_e2e_rtt_seconds",
        help: "End-to-end round-trip time of the newest current session as of the last poll (e2e_rtt of Workspace).",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| milli(view.e2e_rtt_ms)),
    },
    Family {
        name: "presence_observed_timestamp_seconds",
        help: "When the last answer about the target was asked for, as Unix time; kept while the target is unknown.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| whole(view.observed_s)),
    },
    Family {
        name: "presence_last_seen_timestamp_seconds",
        help: "When the last answer that said online was asked for, as Unix time; kept while the target is offline or \
               unknown.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| whole(view.last_seen_s)),
    },
    Family {
        name: "presence_last_change_timestamp_seconds",
        help: "When the target last changed between online and offline, as settled, as Unix time; kept while it is \
               unknown, absent before the first change.",
        unit: SECONDS,
        kind: MetricKind::Gauge,
        labels: TARGET,
        value: Value::Target(|view, _| whole(view.last_change_s)),
    },
    Family {
        name: "presence_transitions_total",
        help: "Changes of the target between online and offline, as settled, by what it changed to; counted between \
               scrapes too. Known values are compared across gaps: unknown is no change.",
        unit: None,
        kind: MetricKind::Counter,
        labels: &["source", "kind", "target", "to"],
        value: Value::Transitions(|view| view.transitions),
    },
    Family {
        name: "presence_observed_transitions_total",
        help: "Changes of the target between online and offline, as observed, by what it changed to; counted between \
               scrapes too.",
        unit: None,
        kind: MetricKind::Counter,
        labels: &["source", "kind", "target", "to"],
        value: Value::Transitions(|view| view.observed_transitions),
    },
    Family {
        name: "presence_reconnects_total",
        help: "Connections that took another's place while the target stayed online, where the provider tells connections \
               or their starts apart.",
        unit: None,
        kind: MetricKind::Counter,
        labels: TARGET,
        value: Value::Target(|view, _| Some(Number::Whole(view.reconnects.into()))),
    },
    Family {
        name: "presence_target_info",
        help: "What is configured about the target, always 1. After the labels listed come those of the configuration; \
               evidence says where start times come from: reported, first_seen or none.",
        unit: None,
        kind: MetricKind::Info,
        labels: &["source", "kind", "target", "provider", "evidence", "name"],
        value: Value::Info,
    },
    Family {
        name: "presence_source_targets",
        help: "Targets of the source by state, as of the last poll: online, offline, unknown. Their sum is the number \
               configured.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: &["source", "provider", "kind", "state"],
        value: Value::States,
    },
    Family {
        name: "presence_source_connections",
        help: "Connections of the source's online targets by what they run on, as of the last poll; every platform, 0 \
               included, for sources whose provider tells platforms. Their sum is that of presence_connections.",
        unit: None,
        kind: MetricKind::Gauge,
        labels: &["source", "provider", "kind", "platform"],
        value: Value::Platforms,
    },
];

fn flag(value: bool) -> Number {
    Number::Whole(value.into())
}

fn whole(value: Option<u32>) -> Option<Number> {
    value.map(|n| Number::Whole(n.into()))
}

fn milli(value: Option<u16>) -> Option<Number> {
    value.map(|n| Number::Milli(n.into()))
}

/// Seconds since `start`; 0 when a provider's clock runs before ours.
fn age(now_s: i64, start: u32) -> Number {
    Number::Whole(u64::try_from(now_s.saturating_sub(start.into())).unwrap_or(0))
}
