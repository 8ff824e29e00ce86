//! What a value must look like: one pure check for each [`Shape`].
//!
//! It quotes a value only where the value cannot be a secret and is short. It reads no file and no variable.

use std::time::Duration;

use super::keys::Shape;
use super::tree::{Entry, Node, Place, Value};

/// The longest value of a `Text` key, in bytes: longer ones are a file pasted into the wrong place.
pub const LIMIT_TEXT_BYTES: usize = 4096;

/// The longest value that a message quotes, in characters: longer ones tell nothing and may be a secret gone astray.
const LIMIT_QUOTED: usize = 32;

/// A value that is as its key wants it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Good<'a> {
    Text(&'a str),
    Count(u64),
    Rate(f64),
    Duration(Duration),
    Flag(bool),
    Secret(Origin<'a>),
    Node(&'a Node),
}

/// Where a secret comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    Inline(&'a str),
    File(&'a str),
    Env(&'a str),
}

/// What is wrong with a value, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
}

type Checked<'a> = Result<Good<'a>, Flaw>;

/// Checks a value against a shape.
pub(super) fn check(shape: Shape, node: &Node) -> Checked<'_> {
    if node.value == Value::Null {
        let hint = "give a value or take out the key; quote a text such as '~' or 'null'";
        return Err(flaw(node.place, "there is no value", hint));
    }
    match shape {
        Shape::List if matches!(node.value, Value::Seq(_)) => Ok(Good::Node(node)),
        Shape::List => {
            Err(flaw(node.place, "this must be a list", "write each item on a line of its own after `- `"))
        }
        Shape::Map if matches!(node.value, Value::Map(_)) => Ok(Good::Node(node)),
        Shape::Map => {
            Err(flaw(node.place, "this must be a mapping", "write `key: value` on indented lines below"))
        }
        Shape::Secret => secret(node).map(Good::Secret),
        _ => check_text(shape, node.place, scalar(node)?),
    }
}

/// Checks a text, of the file or of a key's default, against a shape of one value.
pub(super) fn check_text(shape: Shape, place: Place, given: &str) -> Checked<'_> {
    match shape {
        Shape::Text | Shape::File => text(place, given).map(Good::Text),
        Shape::Url => url(place, given),
        Shape::Count { min, max } => count(place, given, min, max),
        Shape::Rate { max } => rate(place, given, max),
        Shape::Duration { min_s, max_s } => duration(place, given, min_s, max_s),
        Shape::Flag => flag(place, given),
        Shape::Choice(words) => choice(place, given, words).map(Good::Text),
        Shape::Secret => inline_secret(place, given).map(Good::Secret),
        Shape::List | Shape::Map => {
            Err(flaw(place, "this must not be one value", "look at the example file"))
        }
    }
}

/// The text of a scalar, checked like a `Text` key's, for code that reads its own lists.
pub(super) fn plain_text(node: &Node, limit: usize) -> Result<&str, Flaw> {
    match check(Shape::Text, node)? {
        Good::Text(text) if text.len() <= limit => Ok(text),
        _ => Err(flaw(node.place, format!("the text is longer than {limit} bytes"), "shorten it")),
    }
}

/// What is wrong with a text of one line, for code that reads files of its own.
pub(super) fn check_plain(place: Place, given: &str) -> Result<(), Flaw> {
    text(place, given).map(drop)
}

/// One of `words`.
pub(super) fn choice<'a>(place: Place, text: &'a str, words: &[&str]) -> Result<&'a str, Flaw> {
    if words.contains(&text) {
        return Ok(text);
    }
    let hint = super::nearest::hint(text, words.iter().copied());
    Err(flaw(place, format!("{} is not known here", quote(text)), hint))
}

/// The value's text as a message may show it.
pub(super) fn quote(text: &str) -> String {
    let short = text.chars().count() <= LIMIT_QUOTED && !text.chars().any(char::is_control);
    if short { format!("`{text}`") } else { "the value".to_owned() }
}

pub(super) fn flaw(place: Place, message: impl Into<String>, hint: impl Into<String>) -> Flaw {
    Flaw { place, message: message.into(), hint: Some(hint.into()) }
}

fn scalar(node: &Node) -> Result<&str, Flaw> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text),
        Value::Seq(_) => {
            Err(flaw(node.place, "this must be one value, not a list", "take out the `- ` or the brackets"))
        }
        _ => Err(flaw(
            node.place,
            "this must be one value, not a mapping",
            "quote a text that begins with { or has `: ` in it",
        )),
    }
}

fn text(place: Place, text: &str) -> Result<&str, Flaw> {
    if text.trim().is_empty() {
        return Err(flaw(place, "the text is empty", "give a value or take out the key"));
    }
    if text.chars().any(char::is_control) {
        return Err(flaw(
            place,
            "the text holds a line break or another control character",
            "write it on one line",
        ));
    }
    if text.len() > LIMIT_TEXT_BYTES {
        return Err(flaw(place, format!("the text is longer than {LIMIT_TEXT_BYTES} bytes"), "shorten it"));
    }
    Ok(text)
}

/// Digits without sign, exponent, underscore or leading zero: what cannot be read in two ways.
fn is_plain_number(text: &str) -> bool {
    text == "0" || (!text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

fn count<'a>(place: Place, text: &str, min: u64, max: u64) -> Checked<'a> {
    if !is_plain_number(text) {
        let message = format!("{} is not a whole number", quote(text));
        return Err(flaw(place, message, format!("write plain digits, {min} to {max}")));
    }
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(Good::Count(number)),
        _ => {
            Err(flaw(place, format!("{} is out of range", quote(text)), format!("it must be {min} to {max}")))
        }
    }
}

fn rate<'a>(place: Place, text: &str, max: u32) -> Checked<'a> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if !is_plain_number(whole) || !digits {
        let message = format!("{} is not a number", quote(text));
        return Err(flaw(place, message, "write plain digits, perhaps with a fraction, such as 5 or 0.5"));
    }
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= f64::from(max) => Ok(Good::Rate(number)),
        _ => {
            let hint = format!("it must be more than 0 and at most {max}");
            Err(flaw(place, format!("{} is out of range", quote(text)), hint))
        }
    }
}

fn duration<'a>(place: Place, text: &str, min_s: u64, max_s: u64) -> Checked<'a> {
    let Ok(duration) = humantime::parse_duration(text) else {
        let message = format!("{} is not a duration", quote(text));
        return Err(flaw(place, message, "write it like 30s, 5m or 1h 30m"));
    };
    let (min, max) = (Duration::from_secs(min_s), Duration::from_secs(max_s));
    if !(min..=max).contains(&duration) {
        let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
        return Err(flaw(
            place,
            format!("{} is out of range", quote(text)),
            format!("it must be {min} to {max}"),
        ));
    }
    Ok(Good::Duration(duration))
}

fn flag<'a>(place: Place, text: &str) -> Checked<'a> {
    match text {
        "true" => Ok(Good::Flag(true)),
        "false" => Ok(Good::Flag(false)),
        _ => Err(flaw(place, format!("{} is neither true nor false", quote(text)), "write true or false")),
    }
}

/// An address without what would leak (user, password) or be lost (query, fragment). Never quoted: it may hold a password.
fn url(place: Place, given: &str) -> Checked<'_> {
    let given = text(place, given)?;
    let bad = |message: &str| Err(flaw(place, message, "write it like https://gateway.example:8443/path"));
    let Ok(uri) = given.parse::<http::Uri>() else { return bad("this is not an address") };
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return bad("this is not an http:// or https:// address");
    };
    if authority.as_str().contains('@') {
        return bad("an address with user or password; credentials have keys of their own");
    }
    if authority.host().is_empty() {
        return bad("the address has no host");
    }
    if authority.as_str() != authority.host() && authority.port_u16().is_none_or(|port| port == 0) {
        return bad("the address has no good port");
    }
    if uri.query().is_some() || given.contains('#') {
        return bad("an address with a query or fragment");
    }
    Ok(Good::Text(given.trim_end_matches('/')))
}

const SECRET_FORMS: &str = "write the text itself (quoted), {file: PATH} or {env: NAME}";

/// The form of a secret. Nothing of it is ever quoted, not even a path or a name: it may be the secret, misplaced.
fn secret(node: &Node) -> Result<Origin<'_>, Flaw> {
    match &node.value {
        Value::Scalar { text, .. } => inline_secret(node.place, text),
        Value::Map(entries) => match entries.as_slice() {
            [entry] if entry.key == "file" => named(entry).map(Origin::File),
            [entry] if entry.key == "env" => variable(entry).map(Origin::Env),
            _ => {
                Err(flaw(node.place, "a secret that is a mapping has one key, `file` or `env`", SECRET_FORMS))
            }
        },
        _ => Err(flaw(node.place, "a secret is a text or a mapping, not a list", SECRET_FORMS)),
    }
}

fn inline_secret(place: Place, text: &str) -> Result<Origin<'_>, Flaw> {
    let text = without_line_end(text);
    if text.trim().is_empty() {
        return Err(flaw(place, "the secret is empty", SECRET_FORMS));
    }
    if text.starts_with("file:") || text.starts_with("env:") {
        let message = "this looks like a reference, but is read as the secret itself";
        return Err(flaw(place, message, "write {file: PATH} or {env: NAME}, with braces and a blank"));
    }
    let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    if variable.is_some_and(is_variable) {
        return Err(flaw(place, "variables are not put into texts here", "write {env: NAME}"));
    }
    Ok(Origin::Inline(text))
}

fn named(entry: &Entry) -> Result<&str, Flaw> {
    match check(Shape::Text, &entry.node)? {
        Good::Text(text) => Ok(text),
        _ => Err(flaw(entry.node.place, "this must be a text", SECRET_FORMS)),
    }
}

fn variable(entry: &Entry) -> Result<&str, Flaw> {
    let name = named(entry)?;
    if !is_variable(name) {
        return Err(flaw(
            entry.node.place,
            "this is not the name of a variable",
            "letters, digits and _ make a name",
        ));
    }
    Ok(name)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A text without the line end that editors and `echo` leave behind it.
pub(super) fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_shape(shape: Shape, given: &str, expected: Result<Good<'_>, &str>) {
        let node = Node {
            place: Place { line: 1, column: 1 },
            value: Value::Scalar { text: given.to_owned(), quoted: true },
        };
        match (check(shape, &node), expected) {
            (Ok(good), Ok(expected)) => assert_eq!(good, expected, "{given}"),
            (Err(flaw), Err(message)) => assert_eq!(flaw.message, message, "{given}"),
            (checked, _) => panic!("{given}: {checked:?}"),
        }
    }

    #[test]
    fn counts_are_plain_digits_in_range() {
        let shape = Shape::Count { min: 1, max: 256 };
        check_shape(shape, "1", Ok(Good::Count(1)));
        check_shape(shape, "256", Ok(Good::Count(256)));
        for bad in ["1e2", "0x1F", "1_0", "+4", "-4", "4.0", "04", " 4", "", "four"] {
            check_shape(shape, bad, Err(&format!("`{bad}` is not a whole number")));
        }
        for bad in ["0", "257", "99999999999999999999999"] {
            check_shape(shape, bad, Err(&format!("`{bad}` is out of range")));
        }
    }

    #[test]
    fn rates_are_plain_digits_perhaps_with_a_fraction() {
        let shape = Shape::Rate { max: 10 };
        check_shape(shape, "0.5", Ok(Good::Rate(0.5)));
        check_shape(shape, "10", Ok(Good::Rate(10.0)));
        for bad in ["1e1", ".5", "5.", "inf", "NaN", "-1", "1.2.3", "05"] {
            check_shape(shape, bad, Err(&format!("`{bad}` is not a number")));
        }
        for bad in ["0", "0.0", "10.1"] {
            check_shape(shape, bad, Err(&format!("`{bad}` is out of range")));
        }
    }

    #[test]
    fn durations_carry_their_unit_and_keep_to_their_range() {
        let shape = Shape::Duration { min_s: 1, max_s: 86_400 };
        check_shape(shape, "1h 30m", Ok(Good::Duration(Duration::from_secs(5400))));
        check_shape(shape, "1500ms", Ok(Good::Duration(Duration::from_millis(1500))));
        for bad in ["soon", "30", "-30s", "", "99999999999999999999y"] {
            check_shape(shape, bad, Err(&format!("`{bad}` is not a duration")));
        }
        for bad in ["0s", "999ms", "2d"] {
            check_shape(shape, bad, Err(&format!("`{bad}` is out of range")));
        }
        let flaw = check_text(shape, Place::default(), "2d").expect_err("out of range");
        assert_eq!(flaw.hint.as_deref(), Some("it must be 1s to 1day"));
    }

    #[test]
    fn flags_and_choices_are_these_words_alone() {
        check_shape(Shape::Flag, "true", Ok(Good::Flag(true)));
        for bad in ["yes", "on", "True", "1"] {
            check_shape(Shape::Flag, bad, Err(&format!("`{bad}` is neither true nor false")));
        }
        let shape = Shape::Choice(&["public", "private"]);
        check_shape(shape, "public", Ok(Good::Text("public")));
        check_shape(shape, "pubic", Err("`pubic` is not known here"));
        let flaw = check_text(shape, Place::default(), "pubic").expect_err("not known");
        assert_eq!(flaw.hint.as_deref(), Some("did you mean `public`?"));
    }

    #[test]
    fn addresses_have_a_scheme_and_a_host_and_no_more_than_a_path() {
        for (given, kept) in [
            ("https://a.example", "https://a.example"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://[::1]:8443/v1/", "https://[::1]:8443/v1"),
        ] {
            check_shape(Shape::Url, given, Ok(Good::Text(kept)));
        }
        for bad in [
            "a.example",
            "ftp://a.example",
            "https://",
            "https://u:p@a.example",
            "https://a.example?x=1",
            "https://a.example/#x",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example:",
            "/path",
            "",
        ] {
            let flaw = check_text(Shape::Url, Place::default(), bad).expect_err(bad);
            assert!(bad.is_empty() || !flaw.message.contains(bad), "{}", flaw.message);
        }
    }

    #[test]
    fn long_values_are_not_quoted() {
        let long = "x".repeat(LIMIT_QUOTED + 1);
        check_shape(Shape::Flag, &long, Err("the value is neither true nor false"));
        check_shape(
            Shape::Text,
            &"x".repeat(LIMIT_TEXT_BYTES + 1),
            Err("the text is longer than 4096 bytes"),
        );
        check_shape(Shape::Text, "a\nb", Err("the text holds a line break or another control character"));
    }

    #[test]
    fn an_inline_secret_that_looks_like_a_reference_is_questioned() {
        check_shape(Shape::Secret, "hunter2", Ok(Good::Secret(Origin::Inline("hunter2"))));
        check_shape(Shape::Secret, "block\n", Ok(Good::Secret(Origin::Inline("block"))));
        for bad in ["file:/run/secret", "env:NAME"] {
            check_shape(
                Shape::Secret,
                bad,
                Err("this looks like a reference, but is read as the secret itself"),
            );
        }
        check_shape(Shape::Secret, "${NAME}", Err("variables are not put into texts here"));
        check_shape(Shape::Secret, "  ", Err("the secret is empty"));
    }
}
