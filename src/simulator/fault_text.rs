//! The small text form of a fault, for the command line:
//!
//! ```text
//! PLACE[/ACTION]:KIND[(VALUE)][@WHEN][~PERCENT%]
//!
//! openim:throttle@10s-30s                      10 to 30 seconds after the start
//! alibaba_mqtt/QuerySessionByClientIds:html    one action only
//! all:reset~5%                                 each request with one chance in twenty
//! huawei:throttle(30)@#3-#7                    requests 3 to 7, and the provider says to wait 30 s
//! volcengine:slow(2s)@1m-                      from one minute on
//! ```
//!
//! It reads and complains; what a fault does stands in [`super::faults`].

use std::time::Duration;

use super::faults::{EVERYWHERE, Incident, Kind, When};
use crate::providers::sim::Trouble;

/// The kinds as written, with what may stand in brackets.
const KINDS: &[(&str, &str)] = &[
    ("throttle", "throttle or throttle(SECONDS to wait)"),
    ("server-error", "server-error"),
    ("error-200", "error-200"),
    ("forbidden", "forbidden"),
    ("unauthorized", "unauthorized"),
    ("wrong-type", "wrong-type"),
    ("missing-field", "missing-field"),
    ("reset", "reset"),
    ("reset-in-body", "reset-in-body"),
    ("slow", "slow or slow(DURATION)"),
    ("drip", "drip or drip(DURATION)"),
    ("truncated", "truncated"),
    ("html", "html"),
    ("giant", "giant or giant(SIZE), such as giant(64MiB)"),
    ("not-json", "not-json"),
    ("hang", "hang"),
];

/// How late `slow` is, and how long `drip` takes, unless told: above most people's patience, below the default timeout
/// of 10 s.
const DEFAULT_DELAY: Duration = Duration::from_secs(3);
/// The longest delay: longer than the longest `timeout` that a source may have.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// How large a giant is unless told: far above every limit on answers.
const DEFAULT_GIANT: u64 = 64 << 20;
/// The largest giant: more than fits into this machine's patience.
const MAX_GIANT: u64 = 16 << 30;
/// The least likeness at which another word is suggested, from 0 (nothing alike) to 1.
const LIKENESS: f64 = 0.6;

/// Reads one fault. `places` are the clouds and providers there are. The error is a sentence for the operator.
pub fn parse(text: &str, places: &[&str]) -> Result<Incident, String> {
    read(text.trim(), places).map_err(|why| format!("fault {text:?}: {why}"))
}

fn read(text: &str, places: &[&str]) -> Result<Incident, String> {
    let (target, what) =
        text.split_once(':').ok_or("expected PLACE:KIND, such as openim:throttle@10s-30s")?;
    let (place, action) = match target.split_once('/') {
        Some((_, "")) => return Err("an action is missing after /".into()),
        Some((place, action)) => (place, Some(action.to_owned())),
        None => (target, None),
    };
    if place != EVERYWHERE && !places.contains(&place) {
        let known = [&[EVERYWHERE], places].concat();
        return Err(unknown("place", place, &known));
    }
    let (what, probability) = match what.rsplit_once('~') {
        Some((what, share)) => (what, percent(share)?),
        None => (what, 1.0),
    };
    let (kind, when) = match what.split_once('@') {
        Some((kind, span)) => (kind, when(span)?),
        None => (what, When::Always),
    };
    Ok(Incident { place: place.into(), action, kind: self::kind(kind)?, when, probability })
}

fn kind(text: &str) -> Result<Kind, String> {
    let (word, value) = match text.split_once('(') {
        Some((word, rest)) => {
            let value =
                rest.strip_suffix(')').ok_or_else(|| format!("{text:?} lacks its closing bracket"))?;
            (word, Some(value.trim()))
        }
        None => (text, None),
    };
    let worded = |trouble| Ok((Kind::Worded(trouble), false));
    let (kind, takes_value) = match word {
        "throttle" => {
            let retry_after_s = value.map(whole_seconds).transpose()?;
            Ok((Kind::Worded(Trouble::Throttled { retry_after_s }), true))
        }
        "server-error" => worded(Trouble::ServerError),
        "error-200" => worded(Trouble::ErrorUnder200),
        "forbidden" => worded(Trouble::Forbidden),
        "unauthorized" => worded(Trouble::Unauthorized),
        "wrong-type" => worded(Trouble::WrongType),
        "missing-field" => worded(Trouble::MissingField),
        "reset" => Ok((Kind::Reset, false)),
        "reset-in-body" => Ok((Kind::ResetInBody, false)),
        "slow" => Ok((Kind::Slow(value.map_or(Ok(DEFAULT_DELAY), delay)?), true)),
        "drip" => Ok((Kind::Drip(value.map_or(Ok(DEFAULT_DELAY), delay)?), true)),
        "truncated" => Ok((Kind::Truncated, false)),
        "html" => Ok((Kind::Html, false)),
        "giant" => Ok((Kind::Giant(value.map_or(Ok(DEFAULT_GIANT), size)?), true)),
        "not-json" => Ok((Kind::NotJson, false)),
        "hang" => Ok((Kind::Hang, false)),
        _ => {
            let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
            Err(unknown("kind", word, &words))
        }
    }?;
    if value.is_some() && !takes_value {
        return Err(format!("{word} takes no value in brackets"));
    }
    Ok(kind)
}

fn whole_seconds(text: &str) -> Result<u32, String> {
    text.strip_suffix('s').unwrap_or(text).parse().map_err(|_| format!("{text:?} is not a number of seconds"))
}

fn delay(text: &str) -> Result<Duration, String> {
    let delay = duration(text)?;
    if delay > MAX_DELAY {
        return Err(format!("{text:?} is longer than {}", humantime::format_duration(MAX_DELAY)));
    }
    Ok(delay)
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a duration such as 500ms, 10s or 1m"))
}

fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 65536, 512KiB or 64MiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= MAX_GIANT)
        .ok_or_else(|| format!("{text:?} is more than {} GiB", MAX_GIANT >> 30))
}

fn when(text: &str) -> Result<When, String> {
    if let Some(numbers) = text.strip_prefix('#') {
        return requests(numbers);
    }
    let (from, to) = text
        .split_once('-')
        .ok_or("a time is FROM-TO, such as 10s-30s, or FROM- for good; a request is #3")?;
    let from = duration(from)?;
    let to = if to.is_empty() { None } else { Some(duration(to)?) };
    if to.is_some_and(|to| to <= from) {
        return Err(format!("{text:?} ends before it begins"));
    }
    Ok(When::Time { from, to })
}

fn requests(text: &str) -> Result<When, String> {
    let number = |text: &str| match text.trim_start_matches('#').parse::<u64>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text:?} is not the number of a request, counted from 1")),
    };
    let (from, to) = match text.split_once('-') {
        None => (number(text)?, Some(number(text)?)),
        Some((from, "")) => (number(from)?, None),
        Some((from, to)) => (number(from)?, Some(number(to)?)),
    };
    if to.is_some_and(|to| to < from) {
        return Err(format!("\"#{text}\" ends before it begins"));
    }
    Ok(When::Requests { from, to })
}

fn percent(text: &str) -> Result<f64, String> {
    let share = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match share {
        Some(share) if share > 0.0 && share <= 100.0 => Ok(share / 100.0),
        _ => Err(format!("{text:?} is not a share above 0% and up to 100%")),
    }
}

/// Says that a word is unknown, with the nearest known one or all of them.
fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, nearest)) => format!("unknown {what} {word:?}; did you mean {nearest}?"),
        None => format!("unknown {what} {word:?}; known are {}", known.join(", ")),
    }
}

/// One line for each kind, for the command line's help.
pub fn kinds_help() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(_, form)| *form)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: &[&str] = &["alibaba", "alibaba_mqtt", "openim", "huawei"];

    fn good(text: &str) -> Incident {
        parse(text, PLACES).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn every_part_of_a_fault_is_read() {
        let seconds = Duration::from_secs;
        assert_eq!(
            good("openim:throttle@10s-30s"),
            Incident {
                when: When::Time { from: seconds(10), to: Some(seconds(30)) },
                ..Incident::always("openim", Kind::Worded(Trouble::Throttled { retry_after_s: None }))
            }
        );
        assert_eq!(
            good("alibaba_mqtt/Query:slow(2s)@#3-#7~12.5%"),
            Incident {
                place: "alibaba_mqtt".into(),
                action: Some("Query".into()),
                kind: Kind::Slow(seconds(2)),
                when: When::Requests { from: 3, to: Some(7) },
                probability: 0.125,
            }
        );
        assert_eq!(good("all:giant(2KiB)@1m-").kind, Kind::Giant(2048));
        assert_eq!(good("all:giant(2KiB)@1m-").when, When::Time { from: seconds(60), to: None });
        assert_eq!(good("all:hang@#4").when, When::Requests { from: 4, to: Some(4) });
        assert_eq!(
            good("huawei:throttle(30)").kind,
            Kind::Worded(Trouble::Throttled { retry_after_s: Some(30) })
        );
    }

    #[test]
    fn every_kind_can_be_written_and_keeps_its_name() {
        for (word, _) in KINDS {
            assert_eq!(good(&format!("all:{word}")).kind.name(), *word);
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        for (text, part) in [
            ("openim", "expected PLACE:KIND"),
            ("opennim:hang", "did you mean openim?"),
            ("zzz:hang", "known are all, alibaba"),
            ("openim/:hang", "an action is missing"),
            ("openim:trottle", "did you mean throttle?"),
            ("openim:slow(2s", "closing bracket"),
            ("openim:slow(soon)", "not a duration"),
            ("openim:slow(2h)", "longer than 10m"),
            ("openim:hang(3)", "takes no value"),
            ("openim:giant(1TB)", "not a size"),
            ("openim:giant(17GiB)", "more than 16 GiB"),
            ("openim:giant(99999999999GiB)", "more than 16 GiB"),
            ("openim:hang@10s", "FROM-TO"),
            ("openim:hang@30s-10s", "ends before it begins"),
            ("openim:hang@#0", "counted from 1"),
            ("openim:hang@#5-#2", "ends before it begins"),
            ("openim:hang~0%", "above 0%"),
            ("openim:hang~7", "above 0%"),
            ("openim:throttle(x)", "not a number of seconds"),
        ] {
            let why = parse(text, PLACES).expect_err(text);
            assert!(why.contains(part) && why.contains(text), "{text}: {why}");
        }
    }
}
