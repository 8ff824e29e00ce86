//! What comes next for a target and why then, and what its turns depend on, in words.

use super::{Times, human};
use crate::domain::explanation::Next;
use crate::domain::{Fault, SourceSpec, Tick};
use crate::scheduler::board::{About, Coming, Place};
use crate::scheduler::cadence::{Pace, Turn};
use crate::scheduler::pause::ATTEMPTS;

/// What a target's turns depend on.
pub(super) fn turns(turn: &Turn, interval: &str) -> String {
    let Turn { pace, settings, .. } = turn;
    let (fastest, slowest) = (human(settings.fastest), human(settings.slowest));
    let (lively_for, quiet_after) = (human(settings.lively_for), human(settings.quiet_after));
    let often =
        format!("asked about every {fastest} as far as quiet targets leave requests, else every {interval}");
    match *pace {
        Pace::High => format!("it is lively, since its priority is high: {often}"),
        Pace::Changed(ago) => format!(
            "it is lively, since answers changed {} ago (less than {lively_for}): {often}",
            human(ago)
        ),
        Pace::Regular => format!(
            "it is neither lively (changed within {lively_for}) nor quiet (unchanged for {quiet_after}): asked about every \
             {interval}"
        ),
        Pace::Steady(since) => format!(
            "answers have not changed for {} ({quiet_after} or more), but it is not quiet, since another source wants to hear of \
             it sooner than every {slowest}: asked about every {interval}",
            human(since)
        ),
        Pace::Quiet(since) => format!(
            "it is quiet, since answers have not changed for {} ({quiet_after} or more): asked about every {slowest} at the \
             latest",
            human(since)
        ),
    }
}

/// What comes next, and why then.
pub(super) fn next(about: &About, spec: &SourceSpec, times: Times) -> Next {
    let interval = human(about.interval);
    let regular = match &about.place {
        _ if about.turn.is_some_and(|turn| matches!(turn.pace, Pace::High | Pace::Changed(_))) => {
            "a turn before its interval is over, if quiet targets leave a request for it".to_owned()
        }
        _ if about.turn.is_some() => "its turn by its cadence, at the latest".to_owned(),
        Place::Batch { number, of: 1, .. } if *number == 0 => {
            format!("all targets are asked about in one question every {interval}")
        }
        Place::Batch { number, of, .. } => {
            format!("it is in batch {} of {of}, which are spread over the interval of {interval}", number + 1)
        }
        Place::Steps(_) => format!("all targets are asked about together every {interval}"),
    };
    let regular = match &*about.together {
        names if about.left_to_faster => {
            format!(
                "{regular}; that is done for {}, where it stands too and is asked about more often",
                names.join(", ")
            )
        }
        [] | [_] => regular,
        several => format!("{regular}; that is done for {} together", several.join(", ")),
    };
    let (kind, due, why) = match about.coming {
        Coming::UnderWay(since) => {
            let for_now = human(times.now.tick.since(since.tick));
            ("under_way", None, format!("it has been asked about for {for_now}"))
        }
        Coming::Retry(due, 0) => {
            ("retry", Some(due), "its batch was refused for one id, and is asked again in parts".to_owned())
        }
        Coming::Retry(due, attempt) => (
            "retry",
            Some(due),
            format!(
                "its last question failed; this is try {} of {ATTEMPTS}, before its regular turn",
                attempt + 1
            ),
        ),
        Coming::Refused(due) => (
            "refused",
            Some(due),
            format!(
                "the provider refuses this id, so the {} is left out of batches and tried again alone",
                spec.kind.as_str()
            ),
        ),
        Coming::Regular(due) => ("regular", Some(due), regular),
        Coming::LeftOut => ("left_out", None, left_out(about)),
    };
    let paused = about.paused;
    let held = paused.filter(|paused| due.is_some_and(|due| due < paused.until));
    let why = match held {
        Some(paused) => format!("{why}; {} ({})", left_alone(paused.fault), paused.fault),
        None => why,
    };
    // What is overdue waits for the account's budget: now is the earliest.
    let at = due.map(|due| due.max(held.map_or(Tick::ZERO, |paused| paused.until)).max(times.now.tick));
    Next {
        at: at.map(|at| times.at(at)),
        kind: kind.to_owned(),
        why,
        interval_seconds: about.interval.as_secs_f64(),
        paused_until: paused.map(|paused| times.at(paused.until)),
        paused_for: paused.map(|paused| paused.fault.as_str().to_owned()),
    }
}

/// Who is left alone for a fault, and what ends that.
fn left_alone(fault: Fault) -> &'static str {
    match fault {
        Fault::Forbidden => {
            "such questions of this source are left alone until then, and then tried with one"
        }
        fault if fault.is_account_wide() => {
            "the account is left alone until then, or until its secret files change, and then tried with one question"
        }
        _ => "the account is left alone until then",
    }
}

fn left_out(about: &About) -> String {
    let (priority, (count, of)) = (about.priority.as_str(), about.left_out);
    let of = match &*about.together {
        [] | [_] if !about.left_to_faster => format!("the source's {of} targets"),
        several => format!("{of} targets of {}", several.join(", ")),
    };
    format!(
        "the account's budget does not suffice for all: {count} of {of} are left out, the lowest \
         priority first (this one's is {priority}) and of one priority what stands last in the configuration"
    )
}
