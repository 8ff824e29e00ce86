//! Judges a reply: the error envelope and what each code means. The code decides, never the HTTP status, since statuses
//! mislead here: an unknown key is 404, an internal error of Smartag 403 and one of MQTT 417.
//!
//! Messages of the provider are never kept. That of `SignatureDoesNotMatch` echoes the canonical request, token included.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::domain::Fault;
use crate::providers::http::{Failure, Reply, status_failure, status_fault};

/// The longest wait that is believed: the values seen are below a few seconds, and an hour's silence needs a person.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// What codes mean; the first line that fits decides, and a `*` at the end stands for any rest. Sources: the gateway's
/// common error codes, the error lists of Smartag and of `ApsaraMQ` for MQTT. Mistyped names are the vendor's own.
const CODES: &[(&str, Fault)] = &[
    ("Throttling*", Fault::Throttled),
    ("SystemOverFlow", Fault::Throttled), // MQTT's flow control: "Please try again."
    ("ServiceUnavailable*", Fault::ServerError),
    ("InternalError*", Fault::ServerError),
    ("InnerServiceFailed", Fault::ServerError),
    ("UnknownError", Fault::ServerError),
    ("ResourceConfiguring", Fault::ServerError), // Smartag: busy with the instance, passes
    ("ResourceInOperating", Fault::ServerError),
    ("ConfigSynchronizing", Fault::ServerError),
    ("InvalidTimeStamp.Expired", Fault::ClockSkew),
    ("IllegalTimestamp", Fault::ClockSkew),
    // Each attempt has a nonce of its own: the request came twice, by a proxy or a connection that repeated it.
    ("SignatureNonceUsed", Fault::Unreachable),
    ("InvalidAccessKeyId*", Fault::Unauthorized),
    ("MissingAccessKeyId", Fault::Unauthorized),
    ("SignatureDoesNotMatch", Fault::Unauthorized),
    ("IncompleteSignature", Fault::Unauthorized),
    ("MissingSecurityToken", Fault::Unauthorized),
    ("InvalidSecurityToken*", Fault::Unauthorized),
    ("AuthenticationFail*", Fault::Unauthorized), // STS: the OIDC token
    ("CheckAccountInfoFailed", Fault::Unauthorized),
    ("Forbidden.AccessKeyDisabled", Fault::Unauthorized),
    ("Forbidden*", Fault::Forbidden),
    ("Forbbiden*", Fault::Forbidden),
    ("NoPermission*", Fault::Forbidden),
    ("PermissionCheckFailed", Fault::Forbidden),
    ("InstancePermissionCheckFailed", Fault::Forbidden),
    ("SAG.Instance*", Fault::Rejected),
    ("InvalidId.SMARTAG", Fault::Rejected),
    ("InstanceNotFound", Fault::Rejected),
    ("ClientUser.Name*", Fault::RefusedId),
    // A batch call does not say which of its ids it means, nor surely that it means an id: the batch is cut to find out.
    ("ParameterCheckFailed", Fault::RefusedId),
    ("InvalidParameter.InstanceId*", Fault::Rejected),
    ("InvalidParameter.MqttRegionId*", Fault::Rejected),
    ("InvalidParameter.BeginTime*", Fault::Rejected),
    ("InvalidParameter.EndTime*", Fault::Rejected),
    ("InvalidParameter.Format", Fault::Rejected),
    ("InvalidParameter.Accept", Fault::Rejected),
    ("InvalidParameter*", Fault::RefusedId),
    ("InvalidClientId*", Fault::RefusedId),
    ("InvalidUserName*", Fault::RefusedId),
    ("ParameterFieldCheckFailed", Fault::Rejected),
    ("FeatureNotSupport", Fault::Rejected),
    ("ApiNotSupport", Fault::Rejected),
    ("UnsupportedHTTPMethod", Fault::Rejected),
    ("NoSuchVersion", Fault::Rejected),
    ("Missing*", Fault::Rejected),
    ("Invalid*", Fault::Rejected),
];

/// What every reply has, whatever else it holds.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, alias = "requestId", rename = "RequestId")]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow, alias = "code", rename = "Code")]
    code: Option<Cow<'a, str>>,
}

/// The fault of a code, if it is a known one.
pub fn fault_of(code: &str) -> Option<Fault> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => code.starts_with(start),
        None => code == pattern,
    };
    CODES.iter().find(|(pattern, _)| fits(pattern)).map(|(_, fault)| *fault)
}

/// Whether a reply is an answer at all. A `Code` under a good status is no error here: some calls put `"Code":"200"`
/// beside their data.
pub fn judge(reply: &Reply) -> Result<(), Failure> {
    if reply.status.is_success() {
        return match markup(reply) {
            None => Ok(()),
            Some(kind) => Err(Failure::new(Fault::BadAnswer, format!("{kind} where JSON was asked for"))),
        };
    }
    let code = match markup(reply) {
        None => json_code(reply),
        Some(XML) => xml_code(&reply.body),
        Some(_) => None,
    };
    let wait = wait(reply);
    let Some(code) = code else {
        let failure = status_failure(reply);
        let wait = wait.or(failure.wait);
        return Err(failure.wait(wait));
    };
    // A wait is only ever sent by flow control, whose code may be one that we don't know.
    let unknown = if wait.is_some() { Fault::Throttled } else { status_fault(reply.status) };
    let mut failure = Failure::with_code(fault_of(&code).unwrap_or(unknown), &code).wait(wait);
    if markup(reply).is_some() {
        failure.message.push_str(", as XML where JSON was asked for");
    }
    Err(failure)
}

/// The provider's id of the request: from the header that repeats it, or else from the body.
pub fn request_id(reply: &Reply) -> Option<Cow<'_, str>> {
    let header = reply.header("x-acs-request-id").filter(|id| !id.is_empty());
    header.map(Cow::Borrowed).or_else(|| serde_json::from_slice::<Envelope<'_>>(&reply.body).ok()?.request_id)
}

const XML: &str = "XML";
const HTML: &str = "an HTML page";

/// Which markup language a body is written in, if it is in one.
fn markup(reply: &Reply) -> Option<&'static str> {
    const LOOK_AT: usize = 256; // enough for a doctype and the root's name
    let start = reply.body.trim_ascii_start();
    if start.first() != Some(&b'<') {
        return None;
    }
    let start = start[..start.len().min(LOOK_AT)].to_ascii_lowercase();
    let typed_html = reply.header("content-type").is_some_and(|kind| kind.contains("html"));
    let html = typed_html || start.starts_with(b"<!doctype") || start.starts_with(b"<html");
    Some(if html { HTML } else { XML })
}

fn json_code(reply: &Reply) -> Option<Cow<'_, str>> {
    serde_json::from_slice::<Envelope<'_>>(&reply.body).ok()?.code.filter(|code| !code.is_empty())
}

/// The code in `<Error>…<Code>…</Code>…</Error>`; codes hold no markup of their own.
fn xml_code(body: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let code = code.trim();
    (!code.is_empty()).then_some(Cow::Borrowed(code))
}

/// `x-acs-retry-after`: milliseconds, of which only a positive whole number counts (the SDKs' own reading).
fn wait(reply: &Reply) -> Option<Duration> {
    let ms: u64 = reply.header("x-acs-retry-after")?.trim().parse().ok()?;
    (ms > 0).then(|| Duration::from_millis(ms).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::*;
    use crate::domain::Moment;

    fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            sent: Moment::default(),
        }
    }

    fn failed(status: u16, code: &str) -> Failure {
        let body = format!(r#"{{"RequestId":"R","HostId":"h","Code":"{code}","Message":"canary"}}"#);
        judge(&reply(status, &[], &body)).expect_err("an error")
    }

    #[test]
    fn the_code_decides_and_not_the_status() {
        let cases = [
            (404, "InvalidAccessKeyId.NotFound", Fault::Unauthorized),
            (400, "InvalidAccessKeyId.Inactive", Fault::Unauthorized),
            (403, "InternalError", Fault::ServerError),
            (417, "InternalError", Fault::ServerError),
            (403, "SystemOverFlow", Fault::Throttled),
            (500, "SystemOverFlow", Fault::Throttled),
            (400, "Throttling.User", Fault::Throttled),
            (429, "Throttling", Fault::Throttled),
            (400, "InvalidTimeStamp.Expired", Fault::ClockSkew),
            (400, "InvalidTimeStamp.Format", Fault::Rejected),
            (400, "IllegalTimestamp", Fault::ClockSkew),
            (400, "SignatureNonceUsed", Fault::Unreachable),
            (403, "SignatureDoesNotMatch", Fault::Unauthorized),
            (400, "IncompleteSignature", Fault::Unauthorized),
            (403, "InvalidSecurityToken.Expired", Fault::Unauthorized),
            (400, "MissingSecurityToken", Fault::Unauthorized),
            (400, "CheckAccountInfoFailed", Fault::Unauthorized),
            (403, "Forbidden.AccessKeyDisabled", Fault::Unauthorized),
            (403, "Forbidden.RAM", Fault::Forbidden),
            (403, "Forbbiden.SubUser", Fault::Forbidden),
            (403, "NoPermission", Fault::Forbidden),
            (400, "PermissionCheckFailed", Fault::Forbidden),
            (400, "InstancePermissionCheckFailed", Fault::Forbidden),
            (400, "SAG.InstanceNoFound", Fault::Rejected),
            (400, "SAG.InstanceIdEmpty", Fault::Rejected),
            (400, "InvalidId.SMARTAG", Fault::Rejected),
            (400, "ClientUser.NameInvalid", Fault::RefusedId),
            (400, "ClientUser.NameEmpty", Fault::RefusedId),
            (400, "ParameterCheckFailed", Fault::RefusedId),
            (400, "InvalidParameter.ClientId", Fault::RefusedId),
            (400, "InvalidParameter.InstanceId", Fault::Rejected),
            (404, "ApiNotSupport", Fault::Rejected),
            (404, "InvalidAction.NotFound", Fault::Rejected),
            (400, "MissingRegionId", Fault::Rejected),
            (403, "MissingParameter", Fault::Rejected),
            (403, "FeatureNotSupport", Fault::Rejected),
            (501, "InnerServiceFailed", Fault::ServerError),
            (503, "ServiceUnavailable", Fault::ServerError),
            (500, "Brand.New", Fault::ServerError),
            (400, "Brand.New", Fault::Rejected),
        ];
        for (status, code, fault) in cases {
            let failure = failed(status, code);
            assert_eq!(failure.fault, fault, "{status} {code}");
            assert!(failure.message.contains(code) && !failure.message.contains("canary"), "{code}");
        }
    }

    #[test]
    fn a_wait_is_in_milliseconds_and_only_a_positive_whole_number_counts() {
        let body = r#"{"RequestId":"R","Code":"Throttling.Api"}"#;
        for (text, wait) in [
            ("2000", Some(Duration::from_secs(2))),
            ("80", Some(Duration::from_millis(80))),
            ("0", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999", Some(MAX_WAIT)),
        ] {
            let failure = judge(&reply(400, &[("x-acs-retry-after", text)], body)).expect_err("an error");
            assert_eq!((failure.fault, failure.wait), (Fault::Throttled, wait), "{text}");
        }
        let unknown = r#"{"RequestId":"R","Code":"Brand.New"}"#;
        let failure = judge(&reply(400, &[("x-acs-retry-after", "80")], unknown)).expect_err("an error");
        assert_eq!(failure.fault, Fault::Throttled);
    }

    #[test]
    fn an_xml_error_is_judged_by_its_code_and_called_xml() {
        let body = "<?xml version='1.0'?><Error><RequestId>R</RequestId><HostId>h</HostId>\
                    <Code>Throttling.User</Code><Message>m</Message></Error>";
        let failure = judge(&reply(400, &[("content-type", "text/xml")], body)).expect_err("an error");
        assert_eq!(failure.fault, Fault::Throttled);
        assert!(failure.message.contains("as XML"), "{}", failure.message);
        let good = "<DescribeUserOnlineClientsResponse><Users/></DescribeUserOnlineClientsResponse>";
        let failure = judge(&reply(200, &[], good)).expect_err("no answer");
        assert_eq!(
            (failure.fault, failure.message.as_str()),
            (Fault::BadAnswer, "XML where JSON was asked for")
        );
    }

    #[test]
    fn a_page_of_a_proxy_is_judged_by_its_status() {
        for (status, fault) in [(502, Fault::ServerError), (404, Fault::Rejected), (403, Fault::Forbidden)] {
            let failure =
                judge(&reply(status, &[], "<html><Code>Throttling</Code></html>")).expect_err("an error");
            assert_eq!(failure.fault, fault, "{status}");
        }
        let failure = judge(&reply(200, &[], "<!DOCTYPE html><html></html>")).expect_err("no answer");
        assert_eq!(failure.fault, Fault::BadAnswer);
        assert!(failure.message.contains("HTML"), "{}", failure.message);
    }

    #[test]
    fn lower_case_envelopes_are_understood_and_a_code_under_200_is_no_error() {
        let lower = r#"{"requestId":"R7","code":"Forbidden","message":"m"}"#;
        assert_eq!(judge(&reply(403, &[], lower)).expect_err("an error").fault, Fault::Forbidden);
        assert_eq!(request_id(&reply(403, &[], lower)).as_deref(), Some("R7"));
        assert_eq!(judge(&reply(200, &[], r#"{"Code":"200","RequestId":"R"}"#)), Ok(()));
        assert_eq!(request_id(&reply(500, &[("x-acs-request-id", "H1")], "oops")).as_deref(), Some("H1"));
    }
}
