//! `query`: ask a source's provider now, and show what it answers, with the evidence: action, request id, when.
//!
//! It asks each question once (a log beside a listing twice, since the first time looks only a little back), within the
//! account's budget, and keeps nothing. Exit code 2 when a target stays unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::args::{Query, QueryFormat};
use super::load::load;
use super::{Exit, say, table::table, threads};
use crate::domain::presence::Presence;
use crate::domain::{Moment, Policy, Roster, State, Target, TargetLabels};
use crate::net;
use crate::ports::Ports;
use crate::providers::configure::{Configuration, Source};
use crate::providers::{Answer, Failure, Gate, Net, Question, Receipt, Step};
use crate::scheduler::budget::Budget;
use crate::scheduler::gate::AccountGate;
use crate::scheduler::plan::{Rhythm, rhythm};
use crate::telemetry::{self, Telemetry};

/// Answers are shown at once, so none is too old.
const POLICY: Policy = Policy::at_once(Duration::from_secs(86_400));

/// Asks and prints.
pub fn main(query: &Query) -> Exit {
    if let Err(why) = telemetry::init_logging(query.log.level, query.log.format) {
        eprintln!("{why}");
        return Exit::Failed;
    }
    let ports = net::ports();
    let Some(mut configuration) = load(&query.config.file, &ports) else { return Exit::Usage };
    let Some(number) = configuration.sources.iter().position(|source| source.settings.name == query.source)
    else {
        let names: Vec<&str> =
            configuration.sources.iter().map(|source| source.settings.name.as_str()).collect();
        eprintln!("there is no source {:?}; known sources: {}", query.source, names.join(", "));
        return Exit::Usage;
    };
    let mut source = configuration.sources.swap_remove(number);
    if let Err(why) = narrow(&mut source, &query.targets) {
        eprintln!("{why}");
        return Exit::Usage;
    }
    let gate = match gate(&configuration, &source, &ports) {
        Ok(gate) => gate,
        Err(why) => {
            eprintln!("{why}");
            return Exit::Failed;
        }
    };
    let rows = threads::block_on(round(&source, &ports, gate));
    let unknown = rows.iter().any(|row| row.state == "unknown");
    match query.output {
        QueryFormat::Table => print_table(&rows),
        QueryFormat::Json => match serde_json::to_string_pretty(&rows) {
            Ok(text) => say(&text),
            Err(error) => {
                eprintln!("the answer cannot be written as JSON: {error}");
                return Exit::Failed;
            }
        },
    }
    if unknown { Exit::Unwell } else { Exit::Done }
}

/// Keeps only these targets, if any is named. One that the configuration does not hold is asked about all the same.
fn narrow(source: &mut Source, ids: &[String]) -> Result<(), String> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut roster = Roster::new(source.roster.source(), source.roster.generation());
    for id in ids {
        source.provider.accepts(id).map_err(|why| format!("{id:?} cannot be asked for: {why}"))?;
        roster.push(id, TargetLabels::default());
    }
    source.roster = Arc::new(roster);
    Ok(())
}

fn gate(configuration: &Configuration, source: &Source, ports: &Ports) -> Result<Arc<dyn Gate>, String> {
    let settings = &configuration.accounts[source.account].settings;
    let telemetry = Telemetry::new(env!("CARGO_PKG_VERSION"), "unknown", "unknown");
    telemetry.register(&settings.name, source.kind.name(), &source.actions());
    Ok(Arc::new(AccountGate {
        account: Arc::from(settings.name.as_str()),
        provider: source.kind.name(),
        budget: Budget::alone(&settings.quota, ports.clock.now().tick),
        offset: Arc::default(),
        clock: ports.clock.clone(),
        transport: crate::daemon::open(ports, settings)?,
        meter: Arc::new(telemetry.budget(&settings.name)),
        telemetry: Arc::new(telemetry),
    }))
}

/// What is known of one target after a round.
#[derive(Default)]
struct Known {
    state: State,
    receipt: Receipt,
    message: Option<String>,
}

/// One target as it is printed. Times are RFC 3339, durations and round-trip times seconds.
#[derive(Debug, Serialize)]
struct Row {
    target: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_rtt_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e2e_rtt_seconds: Option<f64>,
    evidence: Evidence,
}

/// What a row rests on.
#[derive(Debug, Serialize)]
struct Evidence {
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Asks one round about the source's targets: its steps in order, then the details that the answers call for.
async fn round(source: &Source, ports: &Ports, gate: Arc<dyn Gate>) -> Vec<Row> {
    let mut known: BTreeMap<u32, Known> =
        (0..source.roster.len()).map(|index| (index, Known::default())).collect();
    let all: Vec<Target<'_>> = source.roster.iter().collect();
    let views = [source.view()];
    let steps = source.provider.round();
    let mut details = Vec::new();
    // A listing tells which sessions the log is still to be searched for.
    let has_log = steps.iter().any(|step| matches!(step, Step::Log { .. }));
    let rounds = if has_log && steps.len() > 1 { 2 } else { 1 };
    for step in std::iter::repeat_n(&steps, rounds).flatten() {
        let questions: Vec<(Question<'_>, &[Target<'_>])> = match step {
            Step::Log { .. } => {
                vec![(Question::Log { views: &views, since_ms: None }, all.as_slice())]
            }
            Step::Listing { .. } => vec![(Question::Listing(&views), all.as_slice())],
            Step::Batches { .. } => {
                batches(&steps, &source.roster, &all).map(|some| (Question::Batch(some), some)).collect()
            }
        };
        for (question, about) in questions {
            let net = net_for(source, ports, &gate);
            let result = source.provider.ask(question, &net).await;
            details.extend(book(&mut known, about, &result, &net));
        }
    }
    for index in details {
        let net = net_for(source, ports, &gate);
        let target = source.roster.target(index);
        let result = source.provider.ask(Question::Detail(target), &net).await;
        book(&mut known, &[target], &result, &net);
    }
    let now = ports.clock.now();
    known.iter().map(|(&index, known)| row(source, index, known, now)).collect()
}

fn batches<'a>(
    steps: &[Step],
    roster: &Roster,
    all: &'a [Target<'a>],
) -> impl Iterator<Item = &'a [Target<'a>]> + use<'a> {
    let starts = match rhythm(steps, roster) {
        Rhythm::Spread { starts } => starts,
        Rhythm::Sequence => Vec::new(),
    };
    let ends: Vec<u32> = starts.iter().skip(1).copied().chain([roster.len()]).collect();
    starts.into_iter().zip(ends).map(|(from, to)| &all[from as usize..to as usize])
}

fn net_for(source: &Source, ports: &Ports, gate: &Arc<dyn Gate>) -> Net {
    Net::new(gate.clone(), ports.clock.clone(), ports.entropy.clone(), source.settings.timeout)
}

/// Books a question's end; returns the targets whose detail is called for.
fn book(
    known: &mut BTreeMap<u32, Known>,
    about: &[Target<'_>],
    result: &Result<Answer, Failure>,
    net: &Net,
) -> Vec<u32> {
    let (receipt, now) = (net.receipt(), net.now());
    let as_of = receipt.as_of.unwrap_or(now);
    match result {
        Ok(answer) => {
            for (row, seen) in &answer.rows {
                let Some(known) = known.get_mut(&row.index) else { continue };
                match seen {
                    Ok(seen) => known.state.answered(as_of, seen, &POLICY),
                    Err(fault) => known.state.failed(as_of, *fault),
                }
                known.receipt = receipt.clone();
            }
            answer.details.iter().map(|row| row.index).collect()
        }
        Err(failure) => {
            for target in about {
                let Some(known) = known.get_mut(&target.row.index) else { continue };
                known.state.failed(now, failure.fault);
                known.receipt = receipt.clone();
                known.message = Some(failure.message.clone());
            }
            Vec::new()
        }
    }
}

fn row(source: &Source, index: u32, known: &Known, now: Moment) -> Row {
    let view = known.state.view(now, &POLICY);
    let (state, reason) = match view.presence {
        Presence::Online => ("online", None),
        Presence::Offline => ("offline", None),
        Presence::Unknown(reason) => ("unknown", Some(reason.as_str())),
    };
    let seconds = |ms: u16| f64::from(ms) / 1000.0;
    Row {
        target: source.roster.id(index).to_owned(),
        state,
        reason,
        connections: view.connections,
        started: view.started_s.and_then(|s| rfc3339(i64::from(s) * 1000)),
        network_rtt_seconds: view.network_rtt_ms.map(seconds),
        e2e_rtt_seconds: view.e2e_rtt_ms.map(seconds),
        evidence: Evidence {
            provider: source.kind.name(),
            action: known.receipt.action,
            request_id: known.receipt.request_id.clone(),
            asked_at: known.receipt.as_of.and_then(|at| rfc3339(at.unix_ms / 1000 * 1000)),
            failure: known.message.clone(),
        },
    }
}

fn rfc3339(unix_ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(unix_ms).ok().map(|time| time.to_string())
}

fn print_table(rows: &[Row]) {
    let head =
        ["TARGET", "STATE", "REASON", "CONNECTIONS", "SINCE", "RTT", "E2E RTT", "ACTION", "REQUEST ID"];
    let dash = || "-".to_owned();
    let seconds = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:.3} s"));
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.target.escape_debug().to_string(),
                row.state.to_owned(),
                row.reason.map_or_else(dash, str::to_owned),
                row.connections.map_or_else(dash, |n| n.to_string()),
                row.started.clone().unwrap_or_else(dash),
                seconds(row.network_rtt_seconds),
                seconds(row.e2e_rtt_seconds),
                row.evidence.action.unwrap_or("-").to_owned(),
                row.evidence.request_id.clone().unwrap_or_else(dash),
            ]
        })
        .collect();
    say(&table(&head, &cells));
    let mut reasons: Vec<&str> = rows.iter().filter_map(|row| row.evidence.failure.as_deref()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        eprintln!("failed: {reason}");
    }
}
