//! What `OpenIM`'s error codes mean for us. The code decides alone: nearly every error comes under HTTP status 200, and the
//! texts beside the code differ by release and may repeat the token, so they are never looked at here.
//!
//! The codes are those of the server's own table (pkg/common/servererrs/code.go and tools/errs).

use http::StatusCode;

use crate::domain::Fault;

/// The codes that say that the token is no good: expired, invalid, malformed, not valid yet, unknown, kicked, not there.
/// Up to v3.6 every fault of a token is 1505; so all are treated alike.
pub(super) fn is_about_token(code: i64) -> bool {
    (1501..=1507).contains(&code)
}

/// Bad arguments; on the token endpoints also a path that wants a token, or an id that is no administrator's.
pub(super) const ARGS: i64 = 1001;

/// What version 2 answers to the body of version 3.
pub(super) const VERSION_2: i64 = 400;

/// The fault of a code of the endpoints that are asked about users.
pub(super) fn fault(code: i64, status: StatusCode) -> Fault {
    match code {
        429 => Fault::Throttled,
        // The server's JSON reader refuses our body under HTTP status 400 and calls it an internal error.
        500 if status == StatusCode::BAD_REQUEST => Fault::Rejected,
        VERSION_2 | ARGS | 1004 | 1101 => Fault::Rejected,
        1002 | 1050 | 1520 => Fault::Forbidden,
        1504 => Fault::ClockSkew,
        1501..=1507 => Fault::Unauthorized,
        // Below 100 it is a gRPC status of a service behind the API; 500, 1000, 1003, 80000, 9000x are its own troubles;
        // a code that we don't know says at least that there is no answer.
        _ => Fault::ServerError,
    }
}

/// The fault of a code of the token endpoints, where bad arguments and a refusal mean our credentials.
pub(super) fn login_fault(code: i64, status: StatusCode) -> Fault {
    match code {
        // "secret invalid"; an id that is no administrator's; an account that is not registered.
        1002 | ARGS | 1004 | 1101 => Fault::Unauthorized,
        _ => fault(code, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides() {
        let of = |code| fault(code, StatusCode::OK);
        for code in [1, 2, 4, 8, 14, 500, 1000, 1003, 80_000, 90_002, 90_004, 90_007, 4711, -1] {
            assert_eq!(of(code), Fault::ServerError, "{code}");
        }
        for code in [1501, 1502, 1503, 1505, 1506, 1507] {
            assert_eq!((of(code), is_about_token(code)), (Fault::Unauthorized, true), "{code}");
        }
        assert_eq!((of(1504), is_about_token(1504)), (Fault::ClockSkew, true));
        assert!(!is_about_token(1500) && !is_about_token(1508));
        assert_eq!((of(1001), of(1002), of(1520)), (Fault::Rejected, Fault::Forbidden, Fault::Forbidden));
        assert_eq!((of(429), of(400)), (Fault::Throttled, Fault::Rejected));
        assert_eq!(fault(500, StatusCode::BAD_REQUEST), Fault::Rejected);
    }

    #[test]
    fn on_the_token_endpoints_a_refusal_means_our_credentials() {
        let of = |code| login_fault(code, StatusCode::OK);
        assert!([1001, 1002, 1004, 1101].map(of).iter().all(|fault| *fault == Fault::Unauthorized));
        assert_eq!((of(14), of(429)), (Fault::ServerError, Fault::Throttled));
    }
}
