//! One HTTP request to a provider, from permit to judged reply. Permit first, then build and sign (date and nonce must
//! be new), then send; each request pays exactly once, since a [`Permit`] is used up by sending.
//!
//! It repeats only inside a question: a page of several, at most [`PAGE_REPEATS`] times. Retries of questions are the
//! scheduler's. It logs nothing: requests and replies may hold secrets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::Action;
use crate::domain::{Fault, Moment};
use crate::ports::{BoxFuture, Clock, Entropy, Request, Response, TransportError};

/// How often a page of several is asked again before the whole question fails.
pub const PAGE_REPEATS: u32 = 2;

/// The longest part of a provider's own code that is kept for the log, in characters.
const CODE_CHARS: usize = 120;

/// The right to send one request of one account. Used up by [`Gate::send`].
#[derive(Debug)]
pub struct Permit {
    /// The action that was paid for.
    pub action: &'static Action,
}

/// Pays for requests and sends them. The scheduler's budget stands behind it.
pub trait Gate: Send + Sync {
    /// Waits until the account's budget allows a request of this action.
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit>;
    /// Sends one request: measured, counted, limited in time and size.
    fn send(
        &self,
        permit: Permit,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Response, TransportError>>;
    /// Counts a request that was sent and judged a failure.
    fn failed(&self, action: &'static Action, fault: Fault);
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The closed kind.
    pub fault: Fault,
    /// The provider's own code or our words. Never a provider's free text, which may echo secrets.
    pub message: String,
    /// How long the provider asks us to wait.
    pub wait: Option<Duration>,
}

impl Failure {
    /// A failure in our own words.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), wait: None }
    }

    /// A failure with the provider's own code, cut to a length fit for a log.
    pub fn with_code(fault: Fault, code: &str) -> Self {
        let safe: String =
            code.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(CODE_CHARS).collect();
        Self::new(fault, format!("the provider answered {safe}"))
    }

    /// The same with a wait that the provider asks for.
    #[must_use]
    pub fn wait(mut self, wait: Option<Duration>) -> Self {
        self.wait = wait;
        self
    }
}

/// What `explain` and the log know of a question's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// When the first request of the question left; what `as_of` of its answer is.
    pub as_of: Option<Moment>,
    /// The last action asked.
    pub action: Option<&'static str>,
    /// The provider's id of the last request.
    pub request_id: Option<String>,
    /// HTTP requests sent.
    pub calls: u32,
}

/// What a request is built with: new for each attempt.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The instant to sign with.
    pub at: Moment,
    /// Unpredictable bits for a nonce.
    pub nonce: u128,
}

impl Stamp {
    /// The nonce as 32 hexadecimal digits.
    pub fn nonce_hex(&self) -> String {
        format!("{:032x}", self.nonce)
    }
}

/// A reply to be judged.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The complete body.
    pub body: Bytes,
    /// When the request left.
    pub sent: Moment,
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON. The error names the place, never the value: values may be secrets.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        read_json(&self.body)
    }

    /// How long `Retry-After` asks us to wait: seconds, or an HTTP date.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(self.header("retry-after")?, self.sent.unix_ms)
    }
}

/// One question's way out: asks for permits, builds, sends, and keeps the receipt.
pub struct Net {
    gate: Arc<dyn Gate>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    timeout: Duration,
    receipt: Mutex<Receipt>,
}

impl Net {
    /// A way out for one question.
    pub fn new(
        gate: Arc<dyn Gate>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        timeout: Duration,
    ) -> Self {
        Self { gate, clock, entropy, timeout, receipt: Mutex::default() }
    }

    /// The present instant.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// What was sent so far.
    pub fn receipt(&self) -> Receipt {
        self.receipt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the provider's id of a request for the receipt.
    pub fn note_request_id(&self, id: &str) {
        let id: String = id.chars().filter(char::is_ascii_graphic).take(CODE_CHARS).collect();
        self.with_receipt(|receipt| receipt.request_id = Some(id));
    }

    /// Sends one request and lets `read` judge the reply. `build` is called after the permit is there.
    pub async fn call<T>(
        &self,
        action: &'static Action,
        build: impl Fn(&Stamp) -> Result<Request, Failure> + Send + Sync,
        read: impl Fn(&Reply) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        let permit = self.gate.permit(action).await;
        let nonce = u128::from(self.entropy.bits()) << 64 | u128::from(self.entropy.bits());
        let stamp = Stamp { at: self.clock.now(), nonce };
        let request = build(&stamp)?;
        self.with_receipt(|receipt| {
            receipt.as_of.get_or_insert(stamp.at);
            receipt.action = Some(action.name);
            receipt.calls += 1;
        });
        let sent = self.gate.send(permit, request, self.timeout).await;
        let judged = match sent {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                read(&Reply { status: parts.status, headers: parts.headers, body, sent: stamp.at })
            }
            Err(error) => Err(transport_failure(&error)),
        };
        if let Err(failure) = &judged {
            self.gate.failed(action, failure.fault);
        }
        judged
    }

    /// Like [`Net::call`], for one page of several: a transient failure is repeated, so that one lost page does not lose
    /// the pages before it. A provider that asks us to slow down is not asked again here.
    pub async fn call_page<T>(
        &self,
        action: &'static Action,
        build: impl Fn(&Stamp) -> Result<Request, Failure> + Send + Sync,
        read: impl Fn(&Reply) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        let mut repeats = 0;
        loop {
            match self.call(action, &build, &read).await {
                Err(failure)
                    if repeats < PAGE_REPEATS
                        && failure.fault.is_transient()
                        && failure.fault != Fault::Throttled =>
                {
                    repeats += 1;
                }
                judged => return judged,
            }
        }
    }

    fn with_receipt(&self, change: impl FnOnce(&mut Receipt)) {
        change(&mut self.receipt.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The fault of a status when the body has no code of the provider's own.
pub fn status_fault(status: StatusCode) -> Fault {
    match status.as_u16() {
        401 | 407 => Fault::Unauthorized,
        403 => Fault::Forbidden,
        408 | 504 => Fault::Timeout,
        429 => Fault::Throttled,
        500.. => Fault::ServerError,
        400..=499 => Fault::Rejected,
        _ => Fault::BadAnswer,
    }
}

/// A failure in which only the status speaks.
pub fn status_failure(reply: &Reply) -> Failure {
    let status = reply.status.as_u16();
    Failure::new(status_fault(reply.status), format!("HTTP status {status} without a known error body"))
        .wait(reply.retry_after())
}

/// Reads JSON; the error names the place and the kind of mistake, never a value.
pub fn read_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner();
        let kind = match inner.classify() {
            serde_json::error::Category::Data => {
                "a field of another type than the contract's, or a missing one"
            }
            serde_json::error::Category::Eof => "JSON that ends too early",
            _ => "not JSON",
        };
        let path: String = path.chars().filter(|c| !c.is_control()).take(CODE_CHARS).collect();
        Failure::new(
            Fault::BadAnswer,
            format!("{kind}, at {path} (line {}, column {})", inner.line(), inner.column()),
        )
    })?;
    json.end().map_err(|_| Failure::new(Fault::BadAnswer, "text after the JSON value"))?;
    Ok(value)
}

fn transport_failure(error: &TransportError) -> Failure {
    let fault = match error {
        TransportError::Timeout => Fault::Timeout,
        TransportError::Unreachable(_) => Fault::Unreachable,
        TransportError::TooLarge => Fault::BadAnswer,
    };
    Failure::new(fault, error.to_string())
}

fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let ahead_ms = date.as_millisecond() - now_ms;
    u64::try_from(ahead_ms).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_negative() {
        let now_ms = 1_445_412_480_000; // 2015-10-21T07:28:00Z
        assert_eq!(retry_after("120", now_ms), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:30 GMT", now_ms), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:27:30 GMT", now_ms), None);
        assert_eq!(retry_after("soon", now_ms), None);
    }

    #[test]
    fn a_json_error_names_the_place_and_never_the_value() {
        #[derive(Debug, Deserialize)]
        struct Row {
            #[expect(dead_code, reason = "only its type matters")]
            count: u32,
        }
        let failure = read_json::<Vec<Row>>(br#"[{"count":"canary"}]"#).expect_err("a text is no count");
        assert_eq!(failure.fault, Fault::BadAnswer);
        assert!(failure.message.contains("[0].count"), "{}", failure.message);
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }

    #[test]
    fn a_code_for_the_log_is_short_and_plain() {
        let failure = Failure::with_code(Fault::Rejected, &format!("A\nB{}", "x".repeat(500)));
        assert!(failure.message.len() < 160 && !failure.message.contains('\n'));
    }
}
