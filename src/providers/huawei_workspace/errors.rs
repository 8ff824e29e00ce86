//! What an answer that is no success means: the codes of the API gateway, of Workspace (`WKS.…`) and of IAM, in their
//! three envelopes.
//!
//! The code decides, not the HTTP status; the status decides only where the contract says so, and where a proxy answered
//! in the provider's stead. The provider's free text is read for the few words that tell causes apart, and never kept:
//! the gateway puts its canonical request into it.

use std::time::Duration;

use serde_json::Value;

use crate::domain::Fault;
use crate::providers::http::{Failure, Reply, status_failure, status_fault};

/// How long a key is refused once it is locked: "more than five failed AK/SK authentications in a row" lock it "for five
/// minutes" (API Gateway, FAQ on AK/SK authentication). Every refusal of a key asks for this wait, so that a wrong secret
/// never gets as far as the lock.
pub const KEY_LOCK: Duration = Duration::from_secs(300);

/// How far a clock may be off: "15 minutes" (API Gateway, signing guide).
pub const CLOCK_WINDOW: Duration = Duration::from_secs(900);

/// The longest wait that is taken from a throttling message; longer ones are held at this, a day.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// Workspace is not switched on in this project (terraform-provider-huaweicloud reads it so).
const SERVICE_DISABLED: &str = "WKS.00010099";

/// What an error body says, whatever its envelope.
struct ErrorBody {
    code: String,
    message: String,
    request_id: Option<String>,
}

/// A refusal, and whether a new token may mend it.
pub struct Refusal {
    /// The failure for the scheduler and the log.
    pub failure: Failure,
    /// Whether the token that was sent is what was refused.
    pub renew: bool,
    /// The provider's id of the request, where only the body tells.
    pub request_id: Option<String>,
}

/// Judges an answer whose status is no success. `temporary` says that the key is a temporary one, which the gateway
/// reports as "signature expired" too once it has run out.
pub fn refusal(reply: &Reply, temporary: bool) -> Refusal {
    let unauthorized = reply.status.as_u16() == 401;
    let Some(body) = error_body(&reply.body) else {
        return Refusal { failure: status_failure(reply), renew: unauthorized, request_id: None };
    };
    let (fault, wait) = judge(&body, reply, temporary);
    let wait = wait.max(reply.retry_after());
    Refusal {
        failure: Failure::with_code(fault, &body.code).wait(wait),
        renew: unauthorized,
        request_id: body.request_id,
    }
}

/// The fault of a code, and how long to wait. The codes are those of the gateway's list (API Gateway, "Error Codes").
fn judge(body: &ErrorBody, reply: &Reply, temporary: bool) -> (Fault, Option<Duration>) {
    let by_status = (status_fault(reply.status), None);
    let gateway = body.code.strip_prefix("APIGW.").or_else(|| body.code.strip_prefix("APIG."));
    let Some(number) = gateway else {
        return if body.code == SERVICE_DISABLED { (Fault::Rejected, None) } else { by_status };
    };
    match number {
        "0301" => unauthenticated(&body.message, reply, temporary),
        "0303" | "0305" | "0307" | "0311" => (Fault::Unauthorized, None),
        "0302" | "0306" | "0401" | "0402" => (Fault::Forbidden, None),
        "0308" => (Fault::Throttled, wait_in(&body.message)),
        "0101" | "0103" | "0104" | "0105" | "0106" | "0310" | "0501" | "0502" | "0602" | "0607" | "0801"
        | "0802" => (Fault::Rejected, None),
        "0601" | "0605" | "0606" | "0608" | "0609" | "0610" | "0611" | "0612" | "0613" => {
            (Fault::ServerError, None)
        }
        _ => by_status,
    }
}

/// APIGW.0301 is many things; the message's end tells which.
fn unauthenticated(message: &str, reply: &Reply, temporary: bool) -> (Fault, Option<Duration>) {
    if message.contains("signature expired") {
        let clock_is_good = temporary && clock_offset(reply).is_some_and(|offset| offset <= CLOCK_WINDOW);
        let fault = if clock_is_good { Fault::Unauthorized } else { Fault::ClockSkew };
        return (fault, Some(KEY_LOCK));
    }
    let of_a_key = ["aksk", "ak not exist", "AK access failed"].iter().any(|words| message.contains(words));
    (Fault::Unauthorized, of_a_key.then_some(KEY_LOCK))
}

/// How far the provider's clock is from ours, by the Date header.
fn clock_offset(reply: &Reply) -> Option<Duration> {
    let theirs = date_ms(reply)?;
    Some(Duration::from_millis(theirs.abs_diff(reply.sent.unix_ms)))
}

/// The provider's time in Unix milliseconds, by the Date header.
pub fn date_ms(reply: &Reply) -> Option<i64> {
    let date = jiff::fmt::rfc2822::parse(reply.header("date")?.trim()).ok()?;
    Some(date.timestamp().as_millisecond())
}

/// The wait in `…,limit:10,time:1 minute`.
fn wait_in(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("time:")?;
    let rest = rest.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = rest[..digits].parse().ok()?;
    let unit = rest[digits..].trim_start();
    let seconds = match () {
        () if unit.starts_with("second") => 1,
        () if unit.starts_with("minute") => 60,
        () if unit.starts_with("hour") => 3600,
        () if unit.starts_with("day") => 86_400,
        () => return None,
    };
    Some(Duration::from_secs(number.saturating_mul(seconds)).min(WAIT_MAX))
}

/// Reads any of the envelopes: `error_code`/`error_msg`, `errorCode`/`errorMsg`, `code`/`message`, or one of these inside
/// `error`.
fn error_body(body: &[u8]) -> Option<ErrorBody> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let at = |object: &Value| {
        let (code, message) = [("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message")]
            .into_iter()
            .find_map(|(code, message)| Some((word(object.get(code)?)?, object.get(message))))?;
        let message = message.and_then(Value::as_str).unwrap_or_default().to_owned();
        let request_id = object.get("request_id").and_then(Value::as_str).map(str::to_owned);
        Some(ErrorBody { code, message, request_id })
    };
    at(&value).or_else(|| at(value.get("error")?))
}

/// A code as text; IAM's are numbers.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::domain::{Moment, Tick};

    const NOW_MS: i64 = 1_772_330_584_000; // 2026-03-01T02:03:04Z

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            sent: Moment { tick: Tick::ZERO, unix_ms: NOW_MS },
        }
    }

    fn gateway(status: u16, code: &str, message: &str) -> Failure {
        let body = serde_json::json!({"error_code": code, "error_msg": message, "request_id": "r"});
        refusal(&reply(status, &body.to_string()), false).failure
    }

    #[test]
    fn each_documented_code_has_its_fault() {
        let cases = [
            (404, "APIGW.0101", Fault::Rejected),
            (400, "APIGW.0106", Fault::Rejected),
            (414, "APIGW.0201", Fault::Rejected),
            (494, "APIGW.0201", Fault::Rejected),
            (502, "APIGW.0201", Fault::ServerError),
            (504, "APIGW.0201", Fault::Timeout),
            (401, "APIGW.0301", Fault::Unauthorized),
            (403, "APIGW.0302", Fault::Forbidden),
            (401, "APIGW.0303", Fault::Unauthorized),
            (403, "APIGW.0306", Fault::Forbidden),
            (401, "APIGW.0307", Fault::Unauthorized),
            (429, "APIGW.0308", Fault::Throttled),
            (200, "APIG.0308", Fault::Throttled),
            (403, "APIGW.0310", Fault::Rejected),
            (403, "APIGW.0401", Fault::Forbidden),
            (405, "APIGW.0501", Fault::Rejected),
            (500, "APIGW.0601", Fault::ServerError),
            (400, "APIGW.0602", Fault::Rejected),
            (503, "APIGW.0613", Fault::ServerError),
            (403, "APIGW.0802", Fault::Rejected),
            (400, "WKS.0001", Fault::Rejected),
            (400, "WKS.00139901", Fault::Rejected),
            (403, "WKS.00010099", Fault::Rejected),
            (500, "WKS.00000000", Fault::ServerError),
        ];
        for (status, code, fault) in cases {
            let failure = gateway(status, code, "words");
            assert_eq!(failure.fault, fault, "{code}");
            assert!(failure.message.contains(code), "{failure:?}");
        }
    }

    #[test]
    fn the_end_of_an_authentication_message_tells_clock_key_and_token_apart() {
        let prefix = "Incorrect IAM authentication information: ";
        let cases = [
            ("calc ak sk signature fail:signature expired", Fault::ClockSkew, true),
            ("verify aksk signature fail,canonicalRequest:GET|/v2/||host", Fault::Unauthorized, true),
            ("Get secretKey failed,ak:AK,err:ak not exist", Fault::Unauthorized, true),
            ("AK access failed to reach the limit,forbidden.", Fault::Unauthorized, true),
            ("decrypt token fail", Fault::Unauthorized, false),
            ("x-auth-token not found", Fault::Unauthorized, false),
        ];
        for (tail, fault, waits) in cases {
            let failure = gateway(401, "APIGW.0301", &format!("{prefix}{tail}"));
            assert_eq!((failure.fault, failure.wait), (fault, waits.then_some(KEY_LOCK)), "{tail}");
            assert!(!failure.message.contains(tail), "{}", failure.message);
        }
    }

    #[test]
    fn an_expired_temporary_key_is_no_skewed_clock_when_the_clocks_agree() {
        let body =
            r#"{"error_code":"APIGW.0301","error_msg":"…: calc ak sk signature fail:signature expired"}"#;
        let mut answer = reply(401, body);
        let date = |text: &str| http::HeaderValue::from_str(text).unwrap();
        answer.headers.insert("date", date("Sun, 01 Mar 2026 02:05:04 GMT"));
        assert_eq!(refusal(&answer, true).failure.fault, Fault::Unauthorized);
        assert_eq!(refusal(&answer, false).failure.fault, Fault::ClockSkew);
        answer.headers.insert("date", date("Sun, 01 Mar 2026 03:05:04 GMT"));
        assert_eq!(refusal(&answer, true).failure.fault, Fault::ClockSkew);
    }

    #[test]
    fn a_throttled_answer_says_how_long_to_wait() {
        let message = |time: &str| {
            format!("The throttling threshold has been reached: policy user over ratelimit,limit:10,{time}")
        };
        let wait = |time: &str| gateway(429, "APIGW.0308", &message(time)).wait;
        assert_eq!(wait("time:1 second"), Some(Duration::from_secs(1)));
        assert_eq!(wait("time:2 minutes"), Some(Duration::from_secs(120)));
        assert_eq!(wait("time:99999999999999999 day"), Some(WAIT_MAX));
        assert_eq!(wait("time:soon"), None);
        assert_eq!(wait(""), None);
    }

    #[test]
    fn all_three_envelopes_and_nested_ones_are_read() {
        let iam =
            r#"{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}"#;
        let failure = refusal(&reply(401, iam), false).failure;
        assert_eq!((failure.fault, failure.wait), (Fault::Unauthorized, None));
        assert!(failure.message.contains("401") && !failure.message.contains("password"), "{failure:?}");
        let camel = r#"{"errorCode":"APIGW.0308","errorMsg":"over ratelimit,limit:5,time:3 second"}"#;
        let failure = refusal(&reply(429, camel), false).failure;
        assert_eq!((failure.fault, failure.wait), (Fault::Throttled, Some(Duration::from_secs(3))));
        let nested = r#"{"error":{"error_code":"APIGW.0302","error_msg":"x"}}"#;
        assert_eq!(refusal(&reply(403, nested), false).failure.fault, Fault::Forbidden);
    }

    #[test]
    fn a_proxys_page_is_judged_by_its_status() {
        let failure = refusal(&reply(502, "<html>Bad Gateway</html>"), false).failure;
        assert_eq!(failure.fault, Fault::ServerError);
        assert_eq!(refusal(&reply(403, "[]"), false).failure.fault, Fault::Forbidden);
        assert!(refusal(&reply(401, "<html>"), false).renew);
    }
}
