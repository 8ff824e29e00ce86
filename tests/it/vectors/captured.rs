//! A request as it went over the wire, and the same with one byte changed.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use presence_exporter::providers::sim::SimRequest;

/// A request as it was captured.
#[derive(Clone)]
pub struct Captured {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names as they were sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request with one byte changed.
pub struct Change {
    /// What is other than it was.
    pub what: String,
    /// The changed request.
    pub request: Captured,
    /// Whether nothing but the signature can tell.
    pub by_signature: bool,
}

impl Captured {
    /// Hands the request to a simulated API.
    pub fn send<T>(&self, to: impl FnOnce(&SimRequest<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
        }
        let method: Method = self.method.parse().expect("a method");
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        to(&SimRequest { method: &method, path, query, headers: &headers, body: &self.body })
    }

    /// The query, decoded: what a form means by it.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        &found.unwrap_or_else(|| panic!("no header {name} was captured")).1
    }

    /// Whether it has such a header.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// A header's value, to change it.
    pub fn header_mut(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
        &mut found.unwrap_or_else(|| panic!("no header {name} was captured")).1
    }

    /// One change of a copy.
    pub fn change(&self, what: &str, by_signature: bool, change: impl FnOnce(&mut Self)) -> Change {
        let mut request = self.clone();
        change(&mut request);
        Change { what: what.into(), request, by_signature }
    }

    /// Another last byte of this header.
    pub fn other_header(&self, name: &str) -> Change {
        self.change(name, false, |request| other_end(request.header_mut(name)))
    }

    /// A signed request with one byte changed, in turn: method, path, query, each signed header, body, signature. Of the
    /// headers some are judged before the signature is, and so is a path or a method that the API doesn't have.
    pub fn signed_changes(&self, signed_headers: &[&str]) -> Vec<Change> {
        let longer = if self.target.contains('?') { "&x=" } else { "?x=" };
        let mut changes = vec![
            self.change("method", false, |request| other_end(&mut request.method)),
            self.change("path", false, |request| {
                let end = request.target.find('?').unwrap_or(request.target.len());
                request.target.insert(end, 'x');
            }),
            self.change("query", true, |request| request.target.push_str(longer)),
            self.change("body", true, |request| request.body.push(b' ')),
            self.change("signature", true, |request| other_end(request.header_mut("authorization"))),
        ];
        if !self.query().is_empty() {
            changes.push(self.change("value in the query", false, |request| other_end(&mut request.target)));
        }
        if !self.body.is_empty() {
            changes.push(self.change("first byte of the body", true, |request| request.body[0] ^= 1));
        }
        for name in signed_headers {
            changes.push(self.other_header(name));
            changes.push(self.change(&format!("set of headers, without {name}"), false, |request| {
                request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            }));
        }
        changes
    }
}

/// Another last byte.
fn other_end(text: &mut String) {
    let other = if text.ends_with('0') { '1' } else { '0' };
    text.pop();
    text.push(other);
}
