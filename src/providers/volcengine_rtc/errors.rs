//! What Volcengine's error codes mean for us. The code decides, not the HTTP status: an error may come under status 200.
//!
//! The gateway's codes are those of the vendor's public error pages (6440/71573, 6408/78947, 4/65595, 6448/76370). The
//! product's own codes are not published where we could read them, hence the rules by prefix. The provider's free text
//! is never looked at.

use http::StatusCode;

use crate::domain::Fault;
use crate::providers::http::status_fault;

/// The fault of a code such as `InvalidParameter.NotExistAppId`; only the part before the dot counts.
pub(super) fn fault(code: &str, status: StatusCode) -> Fault {
    // "AccountFlowLimitExceeded" and "FlowLimitExceeded.QPSOverLimit" come under status 429, 400 and 200.
    if code.contains("FlowLimit") {
        return Fault::Throttled;
    }
    match code.split('.').next().unwrap_or(code) {
        "InvalidTimestamp" => Fault::ClockSkew,
        "MissingAuthenticationToken"
        | "MissingRequestInfo"
        | "MissingSignature"
        | "InvalidAccessKey"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "InvalidAuthorization"
        | "InvalidCredential"
        | "InvalidSecretToken" => Fault::Unauthorized,
        "LackPolicy" | "AccessDenied" | "LackProjectPolicy" => Fault::Forbidden,
        "InternalServiceTimeout" => Fault::Timeout,
        "InternalError"
        | "FailToConnect"
        | "ServiceUnavailableTemp"
        | "InternalServiceError"
        | "UndefinedError" => Fault::ServerError,
        "MissingParameter" | "ServiceNotFound" | "InvalidActionOrVersion" | "MethodNotAllowed" => {
            Fault::Rejected
        }
        other if other.starts_with("Invalid") || other.starts_with("Missing") => Fault::Rejected,
        _ => by_status(status),
    }
}

/// The fault of an error that has only a number, from the same pages.
pub(super) fn fault_of_number(number: i64, status: StatusCode) -> Fault {
    match number {
        100_006 => Fault::ClockSkew,
        100_003..=100_005 | 100_009 | 100_010 => Fault::Unauthorized,
        100_012 | 100_013 => Fault::Forbidden,
        100_014 => Fault::ServerError,
        100_016 => Fault::Timeout,
        100_018 | 100_027 => Fault::Throttled,
        100_002 | 100_007 | 100_008 => Fault::Rejected,
        _ => by_status(status),
    }
}

/// An error that we don't know says at least that it is one.
fn by_status(status: StatusCode) -> Fault {
    if status.is_client_error() || status.is_server_error() {
        status_fault(status)
    } else {
        Fault::ServerError
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_and_the_status_only_where_the_code_says_nothing() {
        let at = |code, status| fault(code, StatusCode::from_u16(status).expect("a status"));
        assert_eq!(at("AccountFlowLimitExceeded", 200), Fault::Throttled);
        assert_eq!(at("FlowLimitExceeded.QPSOverLimit", 400), Fault::Throttled);
        assert_eq!(at("InvalidTimestamp", 400), Fault::ClockSkew);
        assert_eq!(at("InvalidParameter.NotExistAppId", 200), Fault::Rejected);
        assert_eq!(at("AccessDenied.NoPermission", 403), Fault::Forbidden);
        assert_eq!(at("InvalidSecretToken", 401), Fault::Unauthorized);
        assert_eq!(at("InternalServiceTimeout", 504), Fault::Timeout);
        assert_eq!(at("SomethingNew", 503), Fault::ServerError);
        assert_eq!(at("SomethingNew", 403), Fault::Forbidden);
        assert_eq!(at("SomethingNew", 200), Fault::ServerError);
    }

    #[test]
    fn a_number_without_a_code_says_the_same() {
        for (number, code) in [
            (100_002, "MissingParameter"),
            (100_003, "MissingAuthenticationToken"),
            (100_004, "MissingRequestInfo"),
            (100_005, "MissingSignature"),
            (100_006, "InvalidTimestamp"),
            (100_007, "ServiceNotFound"),
            (100_008, "InvalidActionOrVersion"),
            (100_009, "InvalidAccessKey"),
            (100_010, "SignatureDoesNotMatch"),
            (100_012, "LackPolicy"),
            (100_013, "AccessDenied"),
            (100_014, "InternalError"),
            (100_016, "InternalServiceTimeout"),
            (100_018, "FlowLimitExceeded"),
            (100_027, "AccountFlowLimitExceeded"),
        ] {
            assert_eq!(fault_of_number(number, StatusCode::OK), fault(code, StatusCode::OK), "{code}");
        }
    }
}
