//! One request in, one answer out.
//!
//! Nothing here waits or fails: whatever is asked, there is an answer with a sentence in it.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{AnswerBody, Content, PageContent};
use super::guard::Answering;
use super::{Control, landing};
use crate::exposition::{Encoding, Format};

const LANDING: &str = "/";
const STYLE: &str = "/-/style.css";
const HEALTHY: &str = "/-/healthy";
const READY: &str = "/-/ready";

/// What the path of a target's explanation begins with; its source and its id follow, percent-encoded, with a `/` between.
pub const TARGETS: &str = "/api/v1/targets/";

/// The parameter that restricts a page to a source.
const SOURCE: &str = "source";

/// Sources named in the text of `/-/ready`; the rest is counted.
const AWAITED_NAMED: usize = 100;

/// When to come back after a 503, in seconds: by then a page under way is written, or its reader gave up.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// On every answer. Nothing that is served may run, frame, or load from elsewhere, even if an escape were forgotten.
const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The path of the page of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryPath(String);

impl Default for TelemetryPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

impl FromStr for TelemetryPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}`: the path must begin with /"));
        }
        // What a request can spell only one way, so that comparing is enough.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if !text.bytes().all(plain) {
            return Err(format!("`{text}`: a path of letters, digits and - . _ ~ / only"));
        }
        match text {
            STYLE | HEALTHY | READY => Err(format!("`{text}` has another meaning here")),
            _ if text.starts_with(TARGETS) => Err(format!("`{text}` is a target's path")),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl TelemetryPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Answers requests.
pub(super) struct Routes {
    control: Arc<dyn Control>,
    telemetry: TelemetryPath,
    /// Slots for pages; none: no limit.
    slots: Option<Arc<Semaphore>>,
}

/// An answer before the headers that all have.
struct Draft {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
}

impl Routes {
    pub(super) fn new(control: Arc<dyn Control>, telemetry: TelemetryPath, max_requests: usize) -> Self {
        let slots =
            (max_requests > 0).then(|| Arc::new(Semaphore::new(max_requests.min(Semaphore::MAX_PERMITS))));
        Self { control, telemetry, slots }
    }

    /// The answer to a request. For HEAD it is the same one; the HTTP library leaves the body out, unmade.
    pub(super) fn answer<B>(&self, request: &Request<B>, answering: Answering) -> Response<AnswerBody> {
        let Draft { status, mut headers, content } = self.draft(request);
        headers.extend(SECURITY.map(|(name, value)| (Some(name), value)));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        self.control.answered(status.as_u16());
        let mut response = Response::new(AnswerBody::new(content, answering));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn draft<B>(&self, request: &Request<B>) -> Draft {
        let path = request.uri().path();
        let route: fn(&Self, &Request<B>) -> Draft = match path {
            path if path == self.telemetry.as_str() => Self::metrics,
            LANDING => |this, _| this.landing(),
            STYLE => |_, _| style(),
            HEALTHY => |_, _| Draft::text(StatusCode::OK, "Healthy.\n"),
            READY => |this, _| this.ready(),
            path if path.starts_with(TARGETS) => Self::target,
            _ => |this, _| this.no_such_path(),
        };
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return route(self, request);
        }
        Draft::text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are understood.\n")
            .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
    }

    fn metrics<B>(&self, request: &Request<B>) -> Draft {
        let only = match sources(request.uri().query().unwrap_or_default()) {
            Ok(only) => only,
            Err(refusal) => return Draft::text(StatusCode::BAD_REQUEST, refusal),
        };
        let Ok(slot) = self.slot() else {
            let text = "Too many pages are being read at once; see --web.max-requests.\n";
            return Draft::text(StatusCode::SERVICE_UNAVAILABLE, text).with(header::RETRY_AFTER, RETRY_AFTER);
        };
        let format = Format::negotiate(values(request.headers(), &header::ACCEPT));
        let encoding = Encoding::negotiate(values(request.headers(), &header::ACCEPT_ENCODING));
        let pieces = match self.control.page(format, &only) {
            Ok(pieces) => pieces,
            Err(unknown) => {
                let text = format!("There is no source named {:?}.\n", unknown.name);
                return Draft::text(StatusCode::NOT_FOUND, text);
            }
        };
        let page = PageContent::new(pieces, encoding, Arc::clone(&self.control), slot);
        let draft = Draft::new(
            StatusCode::OK,
            HeaderValue::from_static(format.content_type()),
            Content::Page(Box::new(page)),
        )
        .with(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        match encoding.content_encoding() {
            None => draft,
            Some(coding) => draft.with(header::CONTENT_ENCODING, HeaderValue::from_static(coding)),
        }
    }

    fn target<B>(&self, request: &Request<B>) -> Draft {
        let path = request.uri().path();
        // A source's name holds no slash, so that all behind the first one is the id, however it is written.
        let Some((source, target)) = path.strip_prefix(TARGETS).and_then(|rest| rest.split_once('/')) else {
            return Draft::text(StatusCode::NOT_FOUND, format!("The path is {TARGETS}SOURCE/TARGET.\n"));
        };
        let decoded = |part: &'_ str| percent_decode_str(part).decode_utf8().map(String::from);
        let (Ok(source), Ok(target)) = (decoded(source), decoded(target)) else {
            return Draft::text(StatusCode::BAD_REQUEST, "Source and target must be text in UTF-8.\n");
        };
        match self.control.explain(&source, &target) {
            Ok(explanation) => Draft::json(StatusCode::OK, &explanation),
            Err(missing) => Draft::json(StatusCode::NOT_FOUND, &missing),
        }
    }

    fn slot(&self) -> Result<Option<OwnedSemaphorePermit>, tokio::sync::TryAcquireError> {
        self.slots.as_ref().map(|slots| Arc::clone(slots).try_acquire_owned()).transpose()
    }

    fn ready(&self) -> Draft {
        let awaited = self.control.awaited();
        if awaited.is_empty() {
            return Draft::text(StatusCode::OK, "Ready.\n");
        }
        let mut text = "Sources without a first answer:\n".to_owned();
        for name in awaited.iter().take(AWAITED_NAMED) {
            text.push_str(name);
            text.push('\n');
        }
        if let Some(more) = awaited.len().checked_sub(AWAITED_NAMED).filter(|more| *more > 0) {
            let _ = writeln!(text, "and {more} more");
        }
        Draft::text(StatusCode::SERVICE_UNAVAILABLE, text).with(header::RETRY_AFTER, RETRY_AFTER)
    }

    fn landing(&self) -> Draft {
        let html = landing::html(&self.control.overview(), self.telemetry.as_str());
        let content = Content::Text(Some(html.into()));
        Draft::new(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), content)
    }

    fn no_such_path(&self) -> Draft {
        let metrics = self.telemetry.as_str();
        let landing = if metrics == LANDING { "" } else { "/, " };
        let text = format!(
            "Nothing is here. The paths are {landing}{metrics}, {TARGETS}SOURCE/TARGET, {HEALTHY} and {READY}.\n"
        );
        Draft::text(StatusCode::NOT_FOUND, text)
    }
}

impl Draft {
    fn new(status: StatusCode, content_type: HeaderValue, content: Content) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Self { status, headers, content }
    }

    fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::new(status, PLAIN, Content::Text(Some(text.into())))
    }

    fn json(status: StatusCode, document: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(document) {
            Ok(mut text) => {
                text.push(b'\n');
                Self::new(status, JSON, Content::Text(Some(text.into())))
            }
            // Only maps with keys that are no text, and numbers that are none, cannot be written; there are none here.
            Err(_) => {
                Self::text(StatusCode::INTERNAL_SERVER_ERROR, "The answer cannot be written as JSON.\n")
            }
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// The front page's style stands at a path of its own, so that the policy need not allow any inline one.
fn style() -> Draft {
    let content = Content::Text(Some(Bytes::from_static(landing::STYLE.as_bytes())));
    Draft::new(StatusCode::OK, HeaderValue::from_static("text/css; charset=utf-8"), content)
        .with(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"))
}

/// The sources that a query names. Another parameter is refused: a mistyped one would otherwise bring every source.
fn sources(query: &str) -> Result<Vec<String>, String> {
    let mut only = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != SOURCE {
            return Err(format!("There is no parameter {name:?}; {SOURCE}=NAME restricts the page.\n"));
        }
        only.push(value.into_owned());
    }
    Ok(only)
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}
