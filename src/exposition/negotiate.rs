//! Which text format and which encoding a reader asks for.
//!
//! In doubt the answer is the plain one, text 0.0.4 as it is, which every scraper reads; nobody is refused. OpenMetrics
//! is chosen only where the reader ranks it above text, as Prometheus does. What it deliberately does not do: no
//! protobuf, no zstd, no UTF-8 names; no scraper needs them from us.

/// The text format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4, read by every scraper.
    Text,
    /// OpenMetrics text format 1.0.0.
    OpenMetrics,
}

/// How the bytes of an answer are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// gzip.
    Gzip,
}

impl Format {
    /// The format that the values of all `Accept` headers ask for. An ill-formed header asks for nothing: text.
    pub fn negotiate<'a>(accept: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut text, mut open) = (Rank::NONE, Rank::NONE);
        for element in accept.flat_map(|header| Split { rest: Some(header), at: b',' }) {
            let Some(range) = Range::parse(element) else { return Self::Text };
            text = text.max(Rank::of(&range, b"text", b"plain", b"0.0.4"));
            open = open.max(Rank::of(&range, b"application", b"openmetrics-text", b"1.0.0"));
        }
        if open.weight > text.weight { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of a page in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Encoding {
    /// The encoding that the values of all `Accept-Encoding` headers ask for. An ill-formed header asks for nothing.
    pub fn negotiate<'a>(accept_encoding: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut gzip, mut any, mut identity) = (None, None, None);
        for element in accept_encoding.flat_map(|header| Split { rest: Some(header), at: b',' }) {
            let Some(range) = Range::parse(element) else { return Self::Identity };
            let coding = range.name;
            let slot = if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                &mut gzip
            } else if coding.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else if coding == b"*" {
                &mut any
            } else {
                continue;
            };
            *slot = Some(range.weight);
        }
        let gzip = gzip.or(any).unwrap_or(0);
        if gzip > 0 && gzip >= identity.unwrap_or(0) { Self::Gzip } else { Self::Identity }
    }

    /// The value of `Content-Encoding`; none where the bytes are sent as they are.
    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
        }
    }
}

/// How much a reader wants one of our formats: the most specific range that covers it decides, and of several equally
/// specific ones the heaviest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    specificity: u8,
    weight: u16,
}

impl Rank {
    const NONE: Self = Self { specificity: 0, weight: 0 };

    fn of(range: &Range<'_>, kind: &[u8], subtype: &[u8], version: &[u8]) -> Self {
        let Some(slash) = range.name.iter().position(|&b| b == b'/') else { return Self::NONE };
        let (asked, rest) = (&range.name[..slash], &range.name[slash + 1..]);
        let specificity = match (asked, rest) {
            (b"*", b"*") => 1,
            (_, b"*") if asked.eq_ignore_ascii_case(kind) => 2,
            _ if asked.eq_ignore_ascii_case(kind) && rest.eq_ignore_ascii_case(subtype) => {
                match range.version {
                    None => 3,
                    Some(asked) if asked == version => 4,
                    Some(_) => return Self::NONE,
                }
            }
            _ => return Self::NONE,
        };
        Self { specificity, weight: range.weight }
    }
}

/// One element of an Accept or Accept-Encoding header. Of its parameters only weight and version count: names are ASCII
/// whatever `escaping` says, and the charset is always UTF-8.
#[derive(Debug)]
struct Range<'a> {
    name: &'a [u8],
    /// The weight in thousandths, 0 to 1000.
    weight: u16,
    version: Option<&'a [u8]>,
}

impl<'a> Range<'a> {
    fn parse(element: &'a [u8]) -> Option<Self> {
        let mut parts = Split { rest: Some(element), at: b';' };
        let name = parts.next()?.trim_ascii();
        if name.is_empty() || !name.iter().all(|&b| is_token(b) || b == b'/') {
            return None;
        }
        let mut range = Self { name, weight: 1000, version: None };
        for part in parts {
            let part = part.trim_ascii();
            let equals = part.iter().position(|&b| b == b'=')?;
            let (key, value) = (&part[..equals], unquoted(&part[equals + 1..])?);
            if key.eq_ignore_ascii_case(b"q") {
                range.weight = weight(value)?;
            } else if key.eq_ignore_ascii_case(b"version") {
                range.version = Some(value);
            } else if key.is_empty() || !key.iter().all(|&b| is_token(b)) {
                return None;
            }
        }
        Some(range)
    }
}

/// A weight in thousandths: 0 or 1, with at most three digits after a point.
fn weight(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        [whole] => (whole, &[][..]),
        _ => return None,
    };
    let whole = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        thousandths = thousandths * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(whole + thousandths).filter(|&weight| weight <= 1000)
}

/// A parameter's value without its quotes; a quoted pair inside them is more than any value of ours needs.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner).filter(|inner| !inner.iter().any(|b| b"\"\\".contains(b))),
        _ if !value.is_empty() && value.iter().all(|&b| is_token(b)) => Some(value),
        _ => None,
    }
}

/// A character of an HTTP token (RFC 9110, 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Splits at a separator outside quotes; empty parts are left out, as lists in headers may have them.
struct Split<'a> {
    rest: Option<&'a [u8]>,
    at: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let mut quoted = false;
            let end = rest.iter().position(|&b| {
                quoted ^= b == b'"';
                b == self.at && !quoted
            });
            self.rest = end.map(|end| &rest[end + 1..]);
            let part = &rest[..end.unwrap_or(rest.len())];
            if !part.trim_ascii().is_empty() {
                return Some(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(accept: &str) -> Format {
        Format::negotiate(std::iter::once(accept.as_bytes()))
    }

    fn encoding(accept: &str) -> Encoding {
        Encoding::negotiate(std::iter::once(accept.as_bytes()))
    }

    #[test]
    fn prometheus_gets_openmetrics() {
        for accept in [
            // 3.5
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            // 2.42
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; q=0.5 , text/plain;q=0.499",
            "application/*;q=0.5, text/*;q=0.4",
            "text/plain;q=0, */*;q=0.5",
            ",, application/openmetrics-text ,",
        ] {
            assert_eq!(format(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_text() {
        for accept in [
            // VictoriaMetrics 1.79 and 1.145
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0,text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.5,text/plain;q=0.5",
            "application/openmetrics-text;q=0.2,*/*;q=0.9",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,*/*;q=0.2",
        ] {
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
        assert_eq!(Format::negotiate(std::iter::empty()), Format::Text);
    }

    #[test]
    fn an_ill_formed_header_gets_text() {
        for accept in [
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=1.001",
            "application/openmetrics-text;q=0.1234",
            "application/openmetrics-text;q=-1",
            "application/openmetrics-text;q=",
            "application/openmetrics-text;q",
            "application/openmetrics-text;q=0.x",
            "application/openmetrics-text, text plain",
            "application/openmetrics-text;version=\"1.0.0",
            "application/openmetrics-text;version=\"1.0\\.0\"",
            "application/openmetrics-text;=1",
            "application/openmetrics-text, ;q=1",
        ] {
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
        assert_eq!(
            Format::negotiate([&b"application/openmetrics-text"[..], b"\xff"].into_iter()),
            Format::Text
        );
    }

    #[test]
    fn several_headers_count_as_one() {
        let headers = [&b"text/plain;q=0.3"[..], b"application/openmetrics-text;q=0.4"];
        assert_eq!(Format::negotiate(headers.into_iter()), Format::OpenMetrics);
    }

    #[test]
    fn gzip_is_sent_only_where_it_is_wanted() {
        for accept in [
            "gzip",
            "GZIP;q=0.5",
            "x-gzip",
            "br, gzip;q=0.1",
            "*",
            "identity;q=0.5, *;q=0.6",
            "gzip,identity",
        ] {
            assert_eq!(encoding(accept), Encoding::Gzip, "{accept}");
        }
        for accept in [
            "",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000, *",
            "br",
            "*;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=x",
            "zstd,;q",
        ] {
            assert_eq!(encoding(accept), Encoding::Identity, "{accept}");
        }
        assert_eq!(Encoding::negotiate(std::iter::empty()), Encoding::Identity);
        assert_eq!(Encoding::Gzip.content_encoding(), Some("gzip"));
    }
}
