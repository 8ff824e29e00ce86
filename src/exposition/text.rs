//! The smallest parts of both text formats: escapes and numbers.

use std::io::Write as _;

/// A value on the per-target path: never a float, so that it is exact and costs no float formatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// A whole number.
    Whole(u64),
    /// Thousandths, printed as a decimal fraction without trailing zeroes.
    Milli(u64),
}

impl Number {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(n) => whole(out, n),
            Self::Milli(n) => milli(out, n),
        }
    }
}

fn whole(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn milli(out: &mut Vec<u8>, n: u64) {
    whole(out, n / 1000);
    let rest = n % 1000;
    if rest == 0 {
        return;
    }
    let digit = |n: u64| b'0' + u8::try_from(n % 10).expect("a number below ten");
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// A number of our own metrics, in the shortest form that reads back as the same float.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        write!(out, "{value}").expect("writing into memory never fails");
    }
}

/// A bucket's bound in canonical form (`1.0`, not `1`), the same in both formats, so that a server that turns from one to
/// the other goes on with the same series.
pub(super) fn bound(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        write!(out, "{value:?}").expect("writing into memory never fails");
    } else {
        float(out, value);
    }
}

/// A label's value between its quotes; the escapes are the same in both formats.
pub(super) fn label_value(out: &mut Vec<u8>, value: &str) {
    escaped(out, value, true);
}

/// The text of a HELP line. Only OpenMetrics escapes quotes there.
pub(super) fn help(out: &mut Vec<u8>, value: &str, quotes: bool) {
    escaped(out, value, quotes);
}

fn escaped(out: &mut Vec<u8>, value: &str, quotes: bool) {
    let bytes = value.as_bytes();
    // Hardly any id needs an escape. All bytes are looked at without a way out in between, which the compiler turns
    // into a few wide comparisons.
    let special = |b: u8| b == b'\\' || b == b'\n' || b == b'"';
    if !bytes.iter().fold(false, |found, &b| found | special(b)) {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn milliseconds_are_printed_as_exact_seconds() {
        for (ms, expected) in [
            (0, "0"),
            (1, "0.001"),
            (12, "0.012"),
            (120, "0.12"),
            (999, "0.999"),
            (1000, "1"),
            (1200, "1.2"),
            (10_000, "10"),
            (65_534, "65.534"),
            (1_700_000_000_050, "1700000000.05"),
        ] {
            assert_eq!(text(|out| Number::Milli(ms).write(out)), expected);
        }
    }

    #[test]
    fn floats_and_bounds_read_back() {
        for (value, number, le) in [
            (0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (0.025, "0.025", "0.025"),
            (1e300, &format!("1{}", "0".repeat(300)), "1e300"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(text(|out| float(out, value)), number);
            assert_eq!(text(|out| bound(out, value)), le);
        }
        assert_eq!(text(|out| float(out, f64::NAN)), "NaN");
    }

    #[test]
    fn labels_escape_what_would_end_them_and_nothing_else() {
        assert_eq!(text(|out| label_value(out, "plain-é-🦀-{},= \t")), "plain-é-🦀-{},= \t");
        assert_eq!(text(|out| label_value(out, "a\\b\"c\nd\\n")), "a\\\\b\\\"c\\nd\\\\n");
        assert_eq!(text(|out| help(out, "say \"x\\y\"\n", false)), "say \"x\\\\y\"\\n");
        assert_eq!(text(|out| help(out, "say \"x\"", true)), "say \\\"x\\\"");
    }
}
