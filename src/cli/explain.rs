//! `explain`: ask a running exporter why it shows a target as it does.
//!
//! It asks the exporter, never a provider, and only prints what that one says. Exit code 2 when the target is unknown.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::{Explain, QueryFormat};
use super::{Exit, say, table::table, threads};
use crate::domain::explanation::{Attempt, Counters, Explanation, NotFound, Observed};
use crate::http::TARGETS;
use crate::net;
use crate::ports::{Outbound, Request, TransportError};

/// How long an exporter may take. It answers from memory; only its machine or the way there can be slow.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read. An explanation has some ten kilobytes, more only with very long ids and labels.
const BODY_MAX: usize = 1 << 20;

/// What a path segment may hold as it is; more than enough is encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Asks and prints.
pub fn main(explain: &Explain) -> Exit {
    let body = match ask(explain) {
        Ok(body) => body,
        Err((exit, why)) => {
            eprintln!("{why}");
            return exit;
        }
    };
    let explanation = serde_json::from_slice::<Explanation>(&body);
    let Some(explanation) = explanation.ok().filter(|explanation| !explanation.state.is_empty()) else {
        eprintln!("{}", not_an_exporter(explain));
        return Exit::Failed;
    };
    match explain.output {
        QueryFormat::Table => say(shown(&explanation).trim_end()),
        // As it came: a newer exporter may say more than this program knows of.
        QueryFormat::Json => match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(document) => say(&format!("{document:#}")),
            Err(_) => return Exit::Failed,
        },
    }
    if explanation.state == "unknown" { Exit::Unwell } else { Exit::Done }
}

/// The body of the exporter's good answer. The error goes with its exit code.
fn ask(explain: &Explain) -> Result<Bytes, (Exit, String)> {
    let url = explain.url.trim_end_matches('/');
    let usage = |why: &str| (Exit::Usage, format!("--web.url {:?}: {why}", explain.url));
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(usage("write it like http://localhost:10076"));
    }
    if matches!(explain.target.as_str(), "" | "." | "..") {
        return Err((Exit::Usage, format!("{:?}: no path can name such a target", explain.target)));
    }
    let [source, target] =
        [&explain.source, &explain.target].map(|part| utf8_percent_encode(part, SEGMENT).to_string());
    let request: Result<Request, _> =
        http::Request::get(format!("{url}{TARGETS}{source}/{target}")).body(Bytes::new());
    let request = request.map_err(|_| usage("this is no URL"))?;
    let failed = |why: String| (Exit::Failed, why);
    let transport = net::ports().network.open(&Outbound::default()).map_err(failed)?;
    let answer = threads::block_on(transport.send(request, TIMEOUT, BODY_MAX));
    let response = answer.map_err(|error| {
        failed(match error {
            TransportError::TooLarge => not_an_exporter(explain),
            error => format!(
                "no exporter answers at {url}: {error}\nSee whether it runs; --web.url says where it serves."
            ),
        })
    })?;
    match response.status().as_u16() {
        200 => Ok(response.into_body()),
        404 => match serde_json::from_slice::<NotFound>(response.body()) {
            Ok(missing) if !missing.error.is_empty() => Err((Exit::Usage, missing_words(&missing))),
            _ => Err(failed(not_an_exporter(explain))),
        },
        status => Err(failed(format!("{url} answers with HTTP status {status}"))),
    }
}

fn not_an_exporter(explain: &Explain) -> String {
    format!("what answers at {} is no presence-exporter, or one that cannot explain", explain.url)
}

fn missing_words(missing: &NotFound) -> String {
    let known: Vec<String> = missing.known.iter().map(|name| clean(name)).collect();
    let known = known.join(", ");
    match missing.targets {
        None => format!("{}; known sources: {known}", clean(&missing.error)),
        Some(count) if count as usize > missing.known.len() => {
            format!("{}; it has {count}, such as {known}", clean(&missing.error))
        }
        Some(_) => format!("{}; known targets: {known}", clean(&missing.error)),
    }
}

/// Text without anything that a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The explanation for people.
fn shown(explanation: &Explanation) -> String {
    let mut text = String::new();
    let rows = facts(explanation);
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in &rows {
        let _ = writeln!(text, "{key:width$}  {}", clean(value));
    }
    for (title, attempts) in
        [("Last answers", &explanation.answers), ("Last failures", &explanation.failures)]
    {
        let _ = write!(text, "\n{title}\n{}\n", attempts_table(attempts).trim_end());
    }
    text.push_str("\nWhat would change it\n");
    for change in &explanation.changes {
        let _ = writeln!(text, "  {}", clean(change));
    }
    text
}

fn facts(explanation: &Explanation) -> Vec<(&'static str, String)> {
    let e = explanation;
    let mut rows = vec![(
        "target",
        format!("{} ({} of {}: {}, account {})", e.target, e.kind, e.source, e.provider, e.account),
    )];
    rows.extend(e.name.clone().map(|name| ("name", name)));
    rows.extend(e.labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))));
    if e.priority != "normal" && !e.priority.is_empty() {
        rows.push(("priority", e.priority.clone()));
    }
    rows.extend(e.cadence.clone().map(|words| ("cadence", words)));
    let reason = e.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    rows.push(("state", format!("{}{reason}: {}", e.state, e.because)));
    rows.extend(e.observed.as_ref().map(|seen| ("observed", observed(seen, e.max_age_seconds))));
    if let Some(settling) = &e.settling {
        let value = format!(
            "{} since {}; the state from {} on, if it stays so",
            settling.observed, settling.since, settling.settles
        );
        rows.push(("settling", value));
    }
    let since = e.last_change.clone();
    rows.push((
        "since",
        since.unwrap_or_else(|| "not known: it has not changed under observation".to_owned()),
    ));
    rows.extend(e.last_seen.clone().map(|at| ("last seen", at)));
    rows.extend(e.connections.map(|count| ("connections", count.to_string())));
    rows.extend(e.start.as_ref().map(|start| ("start", format!("{} ({})", start.at, start.evidence))));
    rows.extend(e.network_rtt_seconds.map(|rtt| ("network rtt", format!("{rtt:.3} s"))));
    rows.extend(e.e2e_rtt_seconds.map(|rtt| ("e2e rtt", format!("{rtt:.3} s"))));
    let Counters { to_online, to_offline, observed_to_online, observed_to_offline, reconnects } = e.counters;
    rows.push((
        "counted",
        format!(
            "{to_online} to online, {to_offline} to offline (as answered: {observed_to_online}, \
             {observed_to_offline}), {reconnects} reconnects"
        ),
    ));
    rows.push(("evidence", e.evidence.as_ref().map_or_else(|| "none is kept".to_owned(), evidence)));
    let at = e.next.at.as_deref().unwrap_or("now");
    rows.push(("next", format!("{at}: {}", e.next.why)));
    if let (Some(until), Some(fault)) = (&e.next.paused_until, &e.next.paused_for) {
        rows.push(("paused", format!("until {until}: {fault}")));
    }
    rows
}

fn observed(observed: &Observed, max_age_seconds: f64) -> String {
    let age = observed.age_seconds.map(|age| format!(", {age:.1} s ago")).unwrap_or_default();
    let raw = observed.raw.as_deref().unwrap_or("too old to count");
    let until = observed.expires.as_deref().map(|at| format!(" until {at}")).unwrap_or_default();
    format!("{raw}, at {}{age}; counts for {max_age_seconds} s{until}", observed.at)
}

fn evidence(attempt: &Attempt) -> String {
    let action = attempt.action.as_deref().unwrap_or("nothing sent");
    let id = attempt.request_id.as_deref().map(|id| format!(", request id {id}")).unwrap_or_default();
    format!("{action} at {}{id}, {} in {:.3} s", attempt.asked, attempt.outcome, attempt.took_seconds)
}

fn attempts_table(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "  none".to_owned();
    }
    let dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), clean);
    let cells: Vec<Vec<String>> = attempts
        .iter()
        .map(|attempt| {
            vec![
                format!("  {}", clean(&attempt.asked)),
                clean(&attempt.question),
                dash(&attempt.action),
                dash(&attempt.request_id),
                format!("{:.3} s", attempt.took_seconds),
                clean(&attempt.outcome),
                dash(&attempt.message),
            ]
        })
        .collect();
    table(&["  ASKED", "QUESTION", "ACTION", "REQUEST ID", "TOOK", "OUTCOME", "MESSAGE"], &cells)
}
