//! Simulated STS: hands out a role's keys, which the simulated API can verify.
//!
//! Switches: `credentials` = `role` (the account is told to assume a role, and no other key is taken by the product) and
//! `key_life_s` (seconds that a key lives; else what was asked for).

use serde_json::{Value, json};

use super::{Refusal, SERVICE, parameter, quoted};
use crate::providers::credentials::minted::{self, Minted};
use crate::providers::sim::{SimOptions, SimRequest};
use crate::providers::volcengine_rtc::keys::{STS_SERVICE, STS_VERSION};

/// The one call.
pub(super) const ACTION: &str = "AssumeRole";
/// Its version.
pub(super) const VERSION: &str = STS_VERSION;
/// The role that may be assumed.
const ROLE: &str = "trn:iam::2100000000:role/sim-presence";
/// What the ids of temporary keys begin with.
const KEY_START: &str = "AKTP";

/// The service that a request has to be signed for.
pub(super) fn service(request: &SimRequest<'_>) -> &'static str {
    if parameter(request, "Action").as_deref() == Some(ACTION) { STS_SERVICE } else { SERVICE }
}

/// Whether the account's own key is not taken here.
pub(super) fn only_handed_out(options: &SimOptions, request: &SimRequest<'_>) -> bool {
    options.switch("credentials") == Some("role") && service(request) == SERVICE
}

/// The temporary key of this id, if the request's token says that there is one; refused when it has ended.
pub(super) fn minted(
    options: &SimOptions,
    now_ms: i64,
    request: &SimRequest<'_>,
    key_id: &str,
) -> Result<Option<Minted>, Refusal> {
    let token = request.header("x-security-token").unwrap_or_default();
    let minted = minted::find(&options.secret, KEY_START, token).filter(|minted| minted.key_id == key_id);
    if minted.as_ref().is_some_and(|minted| now_ms >= minted.ends_ms) {
        return Err(Refusal { code: "InvalidSecretToken", number: None, status: 401 });
    }
    Ok(minted)
}

/// Hands out a key of the role.
pub(super) fn assume(
    options: &SimOptions,
    now_ms: i64,
    serial: u64,
    request: &SimRequest<'_>,
) -> Result<Value, Refusal> {
    let refused = |code, status| Refusal { code, number: None, status };
    let of_method = *request.method == http::Method::GET;
    let session = parameter(request, "RoleSessionName").filter(|name| !name.is_empty());
    let seconds = parameter(request, "DurationSeconds").map_or(Some(3600), |text| text.parse::<u32>().ok());
    let (Some(_), Some(seconds @ 900..=43_200), true) = (session, seconds, of_method) else {
        return Err(refused("InvalidParameter", 400));
    };
    if parameter(request, "RoleTrn").as_deref() != Some(ROLE) {
        return Err(refused("RoleNotExist", 404));
    }
    let told = options.switch("key_life_s").and_then(|text| text.parse::<u32>().ok());
    let ends_ms = now_ms + i64::from(told.unwrap_or(seconds)) * 1000;
    let key = minted::mint(&options.secret, KEY_START, ends_ms, serial);
    Ok(json!({
        "Credentials": {
            "CurrentTime": time(now_ms),
            "ExpiredTime": time(ends_ms),
            "AccessKeyId": key.key_id,
            "SecretAccessKey": key.secret,
            "SessionToken": key.token,
        },
        "AssumedRoleUser": {"Trn": ROLE.replace(":role/", ":assumed-role/"), "AssumedRoleId": "1"},
    }))
}

/// The keys that make an account assume the role.
pub(super) fn account_keys(options: &SimOptions, base: &str) -> Vec<(&'static str, String)> {
    if options.switch("credentials") != Some("role") {
        return Vec::new();
    }
    vec![("credentials", "role".into()), ("role_trn", quoted(ROLE)), ("sts_endpoint", quoted(base))]
}

/// RFC 3339 with the vendor's own offset.
fn time(unix_ms: i64) -> String {
    let shifted = jiff::Timestamp::from_millisecond(unix_ms + 8 * 3_600_000);
    shifted.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}
