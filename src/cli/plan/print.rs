//! A plan as tables for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Report, Verdict};
use crate::cli::table::table;
use crate::scheduler::plan::calls::float;
use crate::scheduler::plan::{ActionPlan, SourcePlan, Span};

/// The whole report.
pub fn text(report: &Report) -> String {
    let mut parts = vec![cost(report), freshness(report), accounts(report), sum(report)];
    parts.extend(left_out(report));
    parts.extend(verdicts("Does not fit:", &report.problems));
    parts.extend(verdicts("Look at:", &report.warnings));
    parts.join("\n\n")
}

const COST_HEAD: [&str; 10] = [
    "SOURCE",
    "TARGETS",
    "QUESTIONS",
    "INTERVAL",
    "ACTION",
    "A SECOND",
    "AN HOUR",
    "A DAY",
    "30 DAYS",
    "BILLED",
];

fn cost(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report.plan.sources.iter().flat_map(cost_rows).collect();
    table(&COST_HEAD, &rows)
}

fn cost_rows(source: &SourcePlan) -> Vec<Vec<String>> {
    let about = |questions: String| {
        let interval = seconds(source.interval_seconds);
        vec![source.name.clone(), count(source.targets.into()), questions, interval]
    };
    let note = |mut row: Vec<String>, note: String| {
        row.push(note);
        row.resize(COST_HEAD.len(), "-".to_owned());
        row
    };
    let faster = (source.left_to_faster > 0).then(|| {
        let (left, names) = (count(source.left_to_faster.into()), source.faster.join(", "));
        note(vec![String::new(); 4], format!("{left} of them asked with {names}"))
    });
    if let Some(other) = &source.asked_with {
        let row = note(about("-".to_owned()), format!("asked with {other}"));
        return std::iter::once(row).chain(faster).collect();
    }
    let calls = |(n, action): (usize, &ActionPlan)| {
        let blank = || vec![String::new(); 4];
        let mut row = if n == 0 { about(count(source.questions)) } else { blank() };
        row.extend([
            action.action.to_owned(),
            per_second(&action.calls),
            between(action.calls.floor.hour, action.calls.ceiling.hour),
            between(action.calls.floor.day, action.calls.ceiling.day),
            between(action.calls.floor.month, action.calls.ceiling.month),
            if action.billed { "yes" } else { "no" }.to_owned(),
        ]);
        row
    };
    source.actions.iter().enumerate().map(calls).chain(faster).collect()
}

fn freshness(report: &Report) -> String {
    let sources = report.plan.sources.iter().zip(&report.page.sources);
    let rows: Vec<Vec<String>> = sources
        .map(|(source, part)| {
            vec![
                source.name.clone(),
                source.turns_seconds.map_or_else(
                    || seconds(source.round_seconds),
                    |[fastest, slowest]| format!("{}-{}", seconds(fastest), seconds(slowest)),
                ),
                seconds(source.first_picture_seconds),
                seconds(source.detection_delay_seconds.total),
                seconds(source.max_age_seconds),
                count(part.series),
                bytes(part.bytes),
                bytes(source.memory_bytes),
            ]
        })
        .collect();
    let head = ["SOURCE", "ROUND", "FIRST PICTURE", "SEEN WITHIN", "MAX AGE", "SERIES", "PAGE", "MEMORY"];
    table(&head, &rows)
}

fn accounts(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .plan
        .accounts
        .iter()
        .flat_map(|account| {
            account.quotas.iter().enumerate().map(move |(n, used)| {
                let first = |text: String| if n == 0 { text } else { String::new() };
                vec![
                    first(account.name.clone()),
                    first(count(account.burst)),
                    first(between(account.calls.floor.day, account.calls.ceiling.day)),
                    used.of.clone(),
                    used.rate(),
                    format!("{}-{} %", percent(used.floor), percent(used.ceiling)),
                ]
            })
        })
        .collect();
    table(&["ACCOUNT", "AT START", "A DAY", "LIMIT OF", "ALLOWED", "USED"], &rows)
}

fn sum(report: &Report) -> String {
    let plan = &report.plan;
    format!(
        "In all: {} targets, {} requests a day, {} billed in 30 days, {} series, {} a page, {} of memory for targets.\n\
         From the floor (all goes well, nobody is online) to the ceiling ({} % online, each arriving {} an hour, {} % \
         of calls failing).",
        count(plan.targets),
        between(plan.calls.floor.day, plan.calls.ceiling.day),
        between(plan.billed.floor.month, plan.billed.ceiling.month),
        count(report.page.series),
        bytes(report.page.bytes),
        bytes(plan.memory_bytes),
        plan.assumptions.online_share * 100.0,
        times(plan.assumptions.arrivals_per_hour),
        plan.assumptions.failing_share * 100.0,
    )
}

/// Whom the quota does not suffice for, where an account leaves those out.
fn left_out(report: &Report) -> Option<String> {
    let sources = report.plan.sources.iter().filter(|source| source.left_out > 0);
    let line = |source: &SourcePlan| {
        let SourcePlan { name, left_out, targets, .. } = source;
        format!("\n  {name}: {} of {} targets", count((*left_out).into()), count((*targets).into()))
    };
    let lines: String = sources.map(line).collect();
    (!lines.is_empty()).then(|| format!("Left out, and unknown for it:{lines}"))
}

fn verdicts(head: &str, verdicts: &[Verdict]) -> Option<String> {
    if verdicts.is_empty() {
        return None;
    }
    let mut text = head.to_owned();
    for verdict in verdicts {
        text.push_str("\n  ");
        text.push_str(&verdict.what);
        for advice in &verdict.change {
            let _ = write!(text, "\n    {advice}");
        }
    }
    Some(text)
}

fn times(number: f64) -> String {
    if (number - 1.0).abs() < f64::EPSILON { "once".to_owned() } else { format!("{number} times") }
}

fn between(floor: u64, ceiling: u64) -> String {
    if floor == ceiling { count(floor) } else { format!("{}-{}", count(floor), count(ceiling)) }
}

fn per_second(calls: &Span) -> String {
    let (floor, ceiling) = (rate(calls.floor.second), rate(calls.ceiling.second));
    if floor == ceiling { floor } else { format!("{floor}-{ceiling}") }
}

fn rate(per_second: f64) -> String {
    if per_second >= 10.0 { format!("{per_second:.0}") } else { format!("{per_second:.3}") }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0}") } else { format!("{percent:.1}") }
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn seconds(seconds: f64) -> String {
    if seconds < 10.0 && seconds.fract() != 0.0 {
        return format!("{seconds:.1}s");
    }
    humantime::format_duration(Duration::from_secs_f64(seconds.ceil())).to_string()
}

fn bytes(bytes: u64) -> String {
    let (mut size, mut units) = (float(bytes), ["B", "KiB", "MiB", "GiB"].into_iter());
    let mut unit = units.next().unwrap_or_default();
    while size >= 1024.0 {
        let Some(next) = units.next() else { break };
        (size, unit) = (size / 1024.0, next);
    }
    if size >= 10.0 || unit == "B" { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!(
            (bytes(1023), bytes(1536), bytes(52_428_800)),
            ("1023 B".into(), "1.5 KiB".into(), "50 MiB".into())
        );
        assert_eq!(
            (seconds(2.24), seconds(90.0), seconds(60.3)),
            ("2.2s".into(), "1m 30s".into(), "1m 1s".into())
        );
    }
}
