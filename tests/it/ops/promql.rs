//! Reads out of `PromQL` which metrics it selects, and how.
//!
//! It doesn't check the grammar: promtool and Prometheus do. It has to be right about expressions that are valid.

use std::collections::BTreeSet;

/// The names of the metrics that an expression selects, as written: a histogram's with `_bucket`, `_sum`, `_count`.
///
/// Names that are no metrics (functions, keywords, labels in matchers and in `by (…)`, variables) are left out.
pub fn metric_names(expr: &str) -> BTreeSet<String> {
    selectors(expr).into_iter().map(|selector| selector.name).collect()
}

/// A metric with its matchers.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub name: String,
    /// What stands between the braces, or nothing.
    pub matchers: String,
    /// What stands between the brackets of a range, or nothing.
    pub range: String,
    /// The function whose first argument it is, or nothing.
    pub function: String,
}

/// Words that can stand where a metric could.
const KEYWORDS: [&str; 8] = ["and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"];
/// Words that are followed by a list of labels (`group_left` may go without).
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Every metric that an expression selects, in its order.
pub fn selectors(expr: &str) -> Vec<Selector> {
    let tokens = tokens(expr);
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let next = tokens.get(i + 1);
        match tokens[i] {
            Token::Word(word) if LISTS.contains(&word.to_lowercase().as_str()) => i = end_of_list(&tokens, i),
            Token::Word(word) if KEYWORDS.contains(&word.to_lowercase().as_str()) => {}
            // A function, or an aggregation with its labels before what it aggregates.
            Token::Word(_) if next == Some(&Token::Sign('(')) || next.is_some_and(is_grouping) => {}
            Token::Word(name) => found.push(selector(name, &tokens, i)),
            // {__name__="name", …}; a set that is selected by anything else has no one name.
            Token::Braces(inside) if !matches!(before(&tokens, i, 1), Some(Token::Word(_))) => {
                if let Some((_, rest)) = inside.split_once("__name__=\"") {
                    let name = rest.split('"').next().unwrap_or_default();
                    found.push(selector(name, &tokens, i));
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The end of the list of labels after the word at `i`: its closing parenthesis, or the word if there's no list.
fn end_of_list(tokens: &[Token<'_>], i: usize) -> usize {
    if tokens.get(i + 1) != Some(&Token::Sign('(')) {
        return i;
    }
    let length = tokens[i..].iter().position(|&token| token == Token::Sign(')'));
    i + length.expect("promtool refuses a list without its end")
}

fn is_grouping(token: &Token<'_>) -> bool {
    matches!(token, Token::Word(word) if ["by", "without"].contains(&word.to_lowercase().as_str()))
}

/// The selector whose first token stands at `i`.
fn selector(name: &str, tokens: &[Token<'_>], i: usize) -> Selector {
    let mut end = i;
    let mut matchers = "";
    for at in [i, i + 1] {
        if let Some(Token::Braces(inside)) = tokens.get(at) {
            (matchers, end) = (inside, at);
        }
    }
    let range = match tokens.get(end + 1) {
        Some(Token::Brackets(inside)) => inside,
        _ => "",
    };
    let function = match (before(tokens, i, 1), before(tokens, i, 2)) {
        (Some(Token::Sign('(')), Some(Token::Word(word))) => word,
        _ => "",
    };
    Selector {
        name: name.to_owned(),
        matchers: matchers.to_owned(),
        range: range.to_owned(),
        function: function.to_owned(),
    }
}

fn before<'t, 'a>(tokens: &'t [Token<'a>], i: usize, steps: usize) -> Option<&'t Token<'a>> {
    tokens.get(i.checked_sub(steps)?)
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Token<'a> {
    Word(&'a str),
    Braces(&'a str),
    Brackets(&'a str),
    /// A number, a duration, a string or a variable: never a metric.
    Value,
    Sign(char),
}

fn tokens(expr: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = expr.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '"' | '\'' | '`' => (Some(Token::Value), string_length(rest)),
            '{' => {
                let length = closed_by('}', rest);
                (Some(Token::Braces(&rest[1..length - 1])), length)
            }
            '[' => {
                let length = closed_by(']', rest);
                (Some(Token::Brackets(&rest[1..length - 1])), length)
            }
            '$' if rest.starts_with("${") => (Some(Token::Value), closed_by('}', rest)),
            '$' => (Some(Token::Value), 1 + word_length(&rest[1..])),
            '0'..='9' | '.' => (Some(Token::Value), word_length(rest).max(1)),
            _ if is_word(first) => {
                let length = word_length(rest);
                (Some(Token::Word(&rest[..length])), length)
            }
            sign => (Some(Token::Sign(sign)), sign.len_utf8()),
        };
        tokens.extend(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !is_word(c) && c != '.').unwrap_or(text.len())
}

/// The length of `text` up to and with the first `close` that stands in no string.
fn closed_by(close: char, text: &str) -> usize {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        at += match c {
            '"' | '\'' | '`' => string_length(&text[at..]),
            _ => c.len_utf8(),
        };
        if c == close {
            return at;
        }
    }
    panic!("no {close} in {text}");
}

/// The length of the string that `text` starts with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote != Some('`') {
            chars.next();
        } else if Some(c) == quote {
            return at + 1;
        }
    }
    panic!("no end of the string in {text}");
}

#[test]
fn metric_names_are_told_from_everything_else_in_promql() {
    let cases: [(&str, &[&str]); 16] = [
        ("up == 0 or absent(up{job=\"x\"})", &["up"]),
        ("sum by (job, le) (rate(a_bucket{le!=\"}\"}[5m]))", &["a_bucket"]),
        ("SUM(a_total) BY (source)", &["a_total"]),
        ("a / on (job) group_left (name) b_info", &["a", "b_info"]),
        ("a * on (job) group_right b", &["a", "b"]),
        ("a unless ignoring(reason) b and c", &["a", "b", "c"]),
        ("time() - x:y_seconds > bool 1e3", &["x:y_seconds"]),
        ("last_over_time(a[1h:5m] offset 5m)", &["a"]),
        ("a @ end() + inf - NaN + 0x1F + .5", &["a"]),
        ("{__name__=\"a\", job=~\"b{2}\"}", &["a"]),
        ("{job=\"b\"}", &[]),
        ("label_replace(vector(0), \"dst\", \"none\", \"\", `\\`) # comment on b\n + a", &["a"]),
        ("rate(a{job=~\"$job\", s='\\'{'}[$__rate_interval]) * $factor / ${scale:raw}", &["a"]),
        ("quantile(0.5, a)", &["a"]),
        ("-a^2", &["a"]),
        ("", &[]),
    ];
    for (expr, names) in cases {
        let expected: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(metric_names(expr), expected, "{expr}");
    }
}

#[test]
fn a_selector_tells_its_matchers_its_range_and_the_function_around_it() {
    let found = selectors("sum(rate(a{x=\"1\"}[5m])) / b");
    let selector = |name: &str, matchers: &str, range: &str, function: &str| Selector {
        name: name.to_owned(),
        matchers: matchers.to_owned(),
        range: range.to_owned(),
        function: function.to_owned(),
    };
    assert_eq!(found, [selector("a", "x=\"1\"", "5m", "rate"), selector("b", "", "", "")]);
}
