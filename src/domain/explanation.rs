//! What can be said about one target, for people: a document with words and times, as `explain` and its page show it.
//!
//! It is made by the scheduler, which knows what was asked and what will be; whoever shows it only prints it. It holds the
//! provider's request ids and our own words: no secret, no connection id, no address, no text of a provider's.
//!
//! Times are RFC 3339 in UTC, durations and ages seconds. What is not known is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that is known of one target, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// The source's name.
    pub source: String,
    /// The provider's name.
    pub provider: String,
    /// The account that is asked.
    pub account: String,
    /// What the target is: user, device or desktop.
    pub kind: String,
    /// Its id.
    pub target: String,
    /// Its configured name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its configured labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When this was said.
    pub now: String,
    /// Online, offline or unknown, as the page of metrics has it.
    pub state: String,
    /// Why it is unknown, as the label `reason` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The state and its reason in a sentence.
    pub because: String,
    /// The newest answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// How long an answer counts.
    pub max_age_seconds: f64,
    /// When an answer last said online.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// When the state last changed between online and offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<String>,
    /// Its priority, should the account's budget not suffice for everybody: high, normal or low.
    pub priority: String,
    /// How lively it is and why, and how often that makes it asked about, in words; in a source with a cadence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cadence: Option<String>,
    /// Connections or sessions now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u16>,
    /// When the longest-running current connection began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Network round-trip time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_rtt_seconds: Option<f64>,
    /// End-to-end round-trip time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_rtt_seconds: Option<f64>,
    /// What was counted.
    pub counters: Counters,
    /// A change that answers speak of and that is not concluded yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settling: Option<Settling>,
    /// The question whose answer the state rests on; left out when its receipt is no longer kept, or there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Attempt>,
    /// The last answers to each question that concerns the target, newest first.
    pub answers: Vec<Attempt>,
    /// The last failures of questions that concern the target, newest first. Answers do not push them out.
    pub failures: Vec<Attempt>,
    /// When it will be asked about again, and why then.
    pub next: Next,
    /// What would change the state.
    pub changes: Vec<String>,
}

/// What the newest answer said, and how long that counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Online or offline; left out when the answer is too old to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// When it was asked for.
    pub at: String,
    /// How long ago that is; left out for an answer that an earlier process got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<f64>,
    /// Until when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// When a connection began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The instant.
    pub at: String,
    /// Where it comes from, as the label `evidence` has it.
    pub evidence: String,
}

/// Counters of one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Changes of the state to online.
    pub to_online: u32,
    /// Changes of the state to offline.
    pub to_offline: u32,
    /// Changes of what answers said, to online.
    pub observed_to_online: u32,
    /// Changes of what answers said, to offline.
    pub observed_to_offline: u32,
    /// Connections that took another's place.
    pub reconnects: u32,
}

/// A change that waits for its delay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Settling {
    /// What answers say: online or offline.
    pub observed: String,
    /// Since when they say so without a contrary one.
    pub since: String,
    /// When it becomes the state, if no answer says otherwise until then.
    pub settles: String,
    /// The configured delay.
    pub delay_seconds: f64,
}

/// One question that was asked and is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// What was asked, in words.
    pub question: String,
    /// When its first request left; when asking began, if none left.
    pub asked: String,
    /// How long it took from then to its end.
    pub took_seconds: f64,
    /// The last action asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The provider's id of the last request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// HTTP requests sent.
    pub requests: u32,
    /// `answered`, or the fault as the label `reason` has it.
    pub outcome: String,
    /// The provider's own code or our words, for a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// When the target will be asked about again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Next {
    /// The earliest instant; the account's budget may make it later. Left out while the question is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// `under_way`, `retry`, `refused` (a refused id, tried again alone), `regular` or `left_out` (never,
    /// since the budget does not suffice).
    pub kind: String,
    /// Why then.
    pub why: String,
    /// The configured interval.
    pub interval_seconds: f64,
    /// Until when the account is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    /// The fault for which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<String>,
}

/// There is no such target, and what there is instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotFound {
    /// What is missing, in a sentence.
    pub error: String,
    /// The source, if that one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many targets it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<u32>,
    /// What there is, or the first of it: names of sources, or ids of the source's targets.
    pub known: Vec<String>,
}

/// Names and ids that a [`NotFound`] lists at most: enough to see how they are written.
pub const KNOWN_MAX: usize = 20;
