//! Why a target is shown as it is: a pure function of its row, of the board's notes and of the present instant.
//!
//! It words what others decided and decides nothing itself. All words about a target that people read stand here
//! and in `coming`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::board::{About, Note, Place};
use super::line::Ask;
use crate::domain::explanation::{Attempt, Counters, Explanation, Observed, Settling, Start};
use crate::domain::presence::Presence;
use crate::domain::{Fault, Moment, Roster, SourceSpec, State, Tick, UnknownReason, View};

mod coming;

use coming::{next, turns};

/// Whom to explain, with all that is known.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The source.
    pub spec: &'a SourceSpec,
    /// Its targets.
    pub roster: &'a Roster,
    /// The target's number.
    pub index: u32,
    /// Its row.
    pub state: &'a State,
    /// What the board has about it.
    pub about: &'a About,
}

/// All that can be said of a target at `now`.
pub fn explain(subject: &Subject<'_>, now: Moment) -> Explanation {
    let Subject { spec, roster, index, state, about } = *subject;
    let view = state.view(now, &spec.policy);
    let times = Times { now };
    let newest = state.newest_answer();
    let (word, reason) = match view.presence {
        Presence::Online => ("online", None),
        Presence::Offline => ("offline", None),
        Presence::Unknown(reason) => ("unknown", Some(reason)),
    };
    let labels = roster.labels(index);
    let attempt = |note: &Note| attempt(note, about, spec);
    Explanation {
        source: spec.name.to_string(),
        provider: spec.provider.to_owned(),
        account: about.account.to_string(),
        kind: spec.kind.as_str().to_owned(),
        target: roster.id(index).to_owned(),
        name: labels.and_then(|labels| labels.name.clone()),
        labels: labels.map_or_else(BTreeMap::new, |labels| {
            labels.labels.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
        }),
        now: rfc3339(now.unix_ms),
        state: word.to_owned(),
        reason: reason.map(|reason| reason.as_str().to_owned()),
        because: because(&view, reason, spec),
        observed: view.observed_s.map(|at| Observed {
            raw: view.observed_online.map(|online| value(online).to_owned()),
            at: seconds(at),
            age_seconds: newest.map(|tick| now.tick.since(tick).as_secs_f64()),
            expires: newest.map(|tick| times.at(tick + spec.policy.max_age)),
        }),
        max_age_seconds: spec.policy.max_age.as_secs_f64(),
        last_seen: view.last_seen_s.map(seconds),
        last_change: view.last_change_s.map(seconds),
        priority: about.priority.as_str().to_owned(),
        cadence: about.turn.map(|turn| turns(&turn, &human(about.interval))),
        connections: view.connections,
        start: view
            .started_s
            .map(|at| Start { at: seconds(at), evidence: spec.evidence.as_str().to_owned() }),
        network_rtt_seconds: view.network_rtt_ms.map(|ms| f64::from(ms) / 1000.0),
        e2e_rtt_seconds: view.e2e_rtt_ms.map(|ms| f64::from(ms) / 1000.0),
        counters: Counters {
            to_online: view.transitions.to_online,
            to_offline: view.transitions.to_offline,
            observed_to_online: view.observed_transitions.to_online,
            observed_to_offline: view.observed_transitions.to_offline,
            reconnects: view.reconnects,
        },
        settling: settling(&view, spec, times),
        evidence: about
            .answers
            .iter()
            .find(|note| newest.is_some_and(|tick| note.asked().tick == tick))
            .map(attempt),
        answers: about.answers.iter().map(attempt).collect(),
        failures: about.failures.iter().map(attempt).collect(),
        next: next(about, spec, times),
        changes: changes(
            &view,
            reason,
            spec,
            newest.map(|tick| tick + spec.policy.max_age),
            about.clock_ahead,
            times,
        ),
    }
}

/// Puts ticks into words of the calendar, seen from the present.
#[derive(Debug, Clone, Copy)]
struct Times {
    now: Moment,
}

impl Times {
    fn at(self, tick: Tick) -> String {
        let ms = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let Moment { tick: now, unix_ms } = self.now;
        rfc3339(if tick >= now {
            unix_ms.saturating_add(ms(tick.since(now)))
        } else {
            unix_ms.saturating_sub(ms(now.since(tick)))
        })
    }
}

fn seconds(unix_s: u32) -> String {
    jiff::Timestamp::from_second(unix_s.into()).map_or_else(|_| unix_s.to_string(), |time| time.to_string())
}

fn rfc3339(unix_ms: i64) -> String {
    // A clock beyond the year 9999 is told as it is.
    let time = jiff::Timestamp::from_millisecond(unix_ms);
    time.map_or_else(|_| format!("{unix_ms} ms after 1970"), |time| format!("{time:.3}"))
}

fn value(online: bool) -> &'static str {
    if online { "online" } else { "offline" }
}

/// A duration for people: whole milliseconds at most.
fn human(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

fn because(view: &View, reason: Option<UnknownReason>, spec: &SourceSpec) -> String {
    let max_age = human(spec.policy.max_age);
    match (view.presence, view.observed_online, reason) {
        (Presence::Unknown(_), _, Some(UnknownReason::NeverPolled)) => {
            "no question about it has ended since the exporter started".to_owned()
        }
        (Presence::Unknown(_), _, Some(UnknownReason::Restored)) => {
            "it is known from before a restart only, and no answer has confirmed that yet".to_owned()
        }
        (Presence::Unknown(_), _, Some(UnknownReason::Budget)) => {
            "it is left out on purpose, since the account's budget does not allow more".to_owned()
        }
        (Presence::Unknown(_), _, Some(UnknownReason::Expired)) => format!(
            "its last answer is older than max_age ({max_age}), without a failure since: the polling is late"
        ),
        (Presence::Unknown(_), _, Some(UnknownReason::Fault(fault))) => {
            let lead = match view.observed_s {
                Some(_) => format!("its last answer is older than max_age ({max_age})"),
                None => "no answer about it has come yet".to_owned(),
            };
            format!("{lead}, and the latest question failed: {fault}")
        }
        (presence, Some(raw), _) if (presence == Presence::Online) != raw => format!(
            "it was {}, and the newest answers say {}, but not yet for long enough to conclude it",
            value(!raw),
            value(raw)
        ),
        (presence, ..) => {
            format!("the newest answer says {}", value(presence == Presence::Online))
        }
    }
}

fn settling(view: &View, spec: &SourceSpec, times: Times) -> Option<Settling> {
    let (at, raw) = (view.settles_at?, view.observed_online?);
    let delay = if raw { spec.policy.arrive } else { spec.policy.leave };
    Some(Settling {
        observed: value(raw).to_owned(),
        since: times.at(at.back(delay)),
        settles: times.at(at),
        delay_seconds: delay.as_secs_f64(),
    })
}

fn attempt(note: &Note, about: &About, spec: &SourceSpec) -> Attempt {
    let asked = note.asked();
    let (outcome, message) = match &note.failure {
        None => ("answered".to_owned(), None),
        Some((fault, words)) => (fault.as_str().to_owned(), Some(words.to_string())),
    };
    Attempt {
        question: question(note, about, spec),
        asked: rfc3339(asked.unix_ms),
        took_seconds: note.ended.tick.since(asked.tick).as_secs_f64(),
        action: note.receipt.action.map(str::to_owned),
        request_id: note.receipt.request_id.clone(),
        requests: note.receipt.calls,
        outcome,
        message: message.filter(|words| !words.is_empty()),
    }
}

fn question(note: &Note, about: &About, spec: &SourceSpec) -> String {
    if let Some(source) = &note.elsewhere {
        return format!("a question of source {source}, which is asked by the same account");
    }
    let kind = spec.kind.as_str();
    match (&note.ask, &about.place) {
        (Ask::Solo(_), _) => format!("this {kind} alone"),
        (Ask::Detail(_), _) => format!("this {kind}'s detail"),
        (Ask::Discover(_), _) => "the list of targets".to_owned(),
        (Ask::Step(step), Place::Steps(names)) => (*names.get(*step).unwrap_or(&"all targets")).to_owned(),
        (Ask::Batch { from, to }, Place::Batch { number, of, from: whole_from, to: whole_to }) => {
            let part = if (from, to) == (whole_from, whole_to) { "" } else { "part of " };
            format!("{part}batch {} of {of}", number + 1)
        }
        (Ask::Picked(rows), _) => format!("a batch of {}, picked by cadence", rows.len()),
        _ => "all targets".to_owned(),
    }
}

fn changes(
    view: &View,
    reason: Option<UnknownReason>,
    spec: &SourceSpec,
    expires: Option<Tick>,
    ahead: Option<f64>,
    times: Times,
) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(reason) = reason {
        if reason == UnknownReason::Budget {
            changes.push("a larger quota, a longer interval, fewer targets or a higher priority".to_owned());
            return changes;
        }
        changes.push("any good answer about it makes it online or offline at once".to_owned());
        if let UnknownReason::Fault(fault) = reason {
            changes.push(clock_remedy(fault, ahead).unwrap_or_else(|| remedy(fault).to_owned()));
        }
        return changes;
    }
    let settled = view.presence == Presence::Online;
    if let (Some(at), Some(raw)) = (view.settles_at, view.observed_online) {
        let (at, raw, other) = (times.at(at), value(raw), value(!raw));
        changes.push(format!("it becomes {raw} at {at}, if no answer says {other} before"));
    } else {
        let delay = if settled { spec.policy.leave } else { spec.policy.arrive };
        let other = value(!settled);
        changes.push(if delay.is_zero() {
            format!("an answer that says {other} makes it {other}")
        } else {
            format!("answers that say {other} for {} make it {other}", human(delay))
        });
    }
    if let Some(expires) = expires {
        changes.push(format!("without any further answer it becomes unknown after {}", times.at(expires)));
    }
    changes
}

/// The same for a refused clock when the provider told its own time.
fn clock_remedy(fault: Fault, ahead: Option<f64>) -> Option<String> {
    let ahead = ahead.filter(|_| fault == Fault::ClockSkew)?;
    let apart = Duration::try_from_secs_f64(ahead.abs().round()).ok()?;
    let (by, side) = (human(apart), if ahead < 0.0 { "behind" } else { "ahead of" });
    Some(format!("{}: it is {by} {side} the provider's", remedy(fault)))
}

/// What to do about a fault.
fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::Throttled => "lower the account's requests_per_second, or lengthen intervals",
        Fault::Unauthorized => "mend the account's credentials",
        Fault::Forbidden => "grant the account the permission to ask this",
        Fault::ClockSkew => "set this machine's clock",
        Fault::Timeout => "the provider is slow, or timeout is too short",
        Fault::Unreachable => "look at DNS, routes, proxy and certificates",
        Fault::ServerError => "wait; if it stays so, open a ticket with the request id",
        Fault::BadAnswer => "report it: the answer is not what the provider's contract says",
        Fault::RefusedId => "correct the target's id, or remove the target",
        Fault::Rejected => "correct the source: its instance, app or project is refused",
    }
}

#[cfg(test)]
mod tests;
