//! The simulated API's own checks, over requests of our signer. Whether both understand the signature as the vendor does is
//! for the captured requests to say.

use super::*;
use crate::providers::hash::sha256_hex;
use crate::providers::volcengine_rtc::sign::{Unsigned, sign};

/// Whether the simulated API takes a well signed request with this hash of its body, sent at [`NOW_MS`].
fn is_authentic(api_now_ms: i64, stated_hash: &str) -> bool {
    let options = options();
    let hash = sha256_hex(b"{}");
    let headers = [("x-content-sha256", stated_hash), ("x-date", "20260301T020304Z")];
    let signed = sign(&Unsigned {
        access_key_id: &options.key_id,
        secret: &options.secret,
        region: "cn-north-1",
        service: SERVICE,
        x_date: "20260301T020304Z",
        method: "POST",
        path: "/",
        query: &QUERY,
        headers: &headers,
        payload_sha256: &hash,
    });
    let mut received = HeaderMap::new();
    for (name, value) in headers.into_iter().chain([("authorization", signed.authorization.as_str())]) {
        received.insert(name, value.parse().expect("a header's value"));
    }
    let query = "Action=QueryOnlineStatus&Version=2020-12-01";
    let request = SimRequest { method: &Method::POST, path: "/", query, headers: &received, body: b"{}" };
    Sim::new(options).authenticate(api_now_ms, &request).is_ok()
}

#[test]
fn the_hash_header_is_compared_with_the_body_even_where_the_rest_is_signed_well() {
    assert!(is_authentic(NOW_MS, &sha256_hex(b"{}")));
    assert!(!is_authentic(NOW_MS, &"0".repeat(64)));
}

#[test]
fn the_clock_may_be_off_by_a_quarter_of_an_hour_and_no_second_more() {
    let at = |off_ms: i64| is_authentic(NOW_MS + off_ms, &sha256_hex(b"{}"));
    assert!(at(900_000) && at(-900_000));
    assert!(!at(901_000) && !at(-901_000));
}
