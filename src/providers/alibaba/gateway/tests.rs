//! The gateway's checks, over requests of our own signer. Whether both understand the signature as the vendor does is for
//! the captured requests to say.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::providers::alibaba::sign::{Unsigned, sign};

/// 2026-01-15T08:30:00Z
const NOW_MS: i64 = 1_768_465_800_000;
const SECRET: &str = "canary-secret/01+Qw=";
const TOKEN: &str = "canaryCAIS+/==&x=1%2B~";

const SMARTAG: Product = Product {
    code: "Smartag",
    host: "smartag",
    version: "2018-03-13",
    actions: &["DescribeUserOnlineClients", "DescribeUserOnlineClientStatistics"],
};

/// A request on its way.
#[derive(Clone)]
struct Wire {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    canonical_request: String,
    string_to_sign: String,
}

impl Wire {
    /// A good request with this hash of its body.
    fn signed(token: Option<&str>, stated_hash: &str) -> Self {
        let key_id = key_id(token);
        let params = [("RegionId", "cn-shanghai"), ("SmartAGId", "sag-1"), ("UserName", "a b")];
        let mut headers = vec![
            ("accept", "application/json"),
            ("host", "smartag.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "DescribeUserOnlineClients"),
            ("x-acs-content-sha256", stated_hash),
            ("x-acs-date", "2026-01-15T08:30:00Z"),
            ("x-acs-signature-nonce", "5d41402abc4b2a76b9719d911017c592"),
            ("x-acs-version", SMARTAG.version),
        ];
        headers.extend(
            token.into_iter().flat_map(|t| [("x-acs-accesskey-id", key_id), ("x-acs-security-token", t)]),
        );
        let signed =
            sign(key_id, SECRET, &Unsigned { method: "POST", params: &params, headers: &headers, body: b"" });
        let mut headers: Vec<_> = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        headers.push(("authorization".into(), signed.authorization));
        Self {
            method: "POST".into(),
            target: format!("/?{}", signed.canonical_query),
            headers,
            body: String::new(),
            canonical_request: signed.canonical_request,
            string_to_sign: signed.string_to_sign,
        }
    }

    fn good() -> Self {
        Self::signed(None, &hash::sha256_hex(b""))
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(known, _)| known == name).expect(name).1
    }
}

fn key_id(token: Option<&str>) -> &'static str {
    if token.is_some() { "STS.1" } else { "AK1" }
}

fn gateway(token: Option<&str>, secret: &str) -> Gateway {
    let token_text = token.map(str::to_owned);
    let options = SimOptions {
        key_id: key_id(token).into(),
        secret: secret.into(),
        token: token_text,
        ..SimOptions::default()
    };
    Gateway::new(&SMARTAG, options)
}

/// Code and message that a request is refused with; `None` when it passes.
fn refusal(gateway: &mut Gateway, now_ms: i64, wire: &Wire) -> Option<(String, String)> {
    let mut headers = HeaderMap::new();
    for (name, value) in &wire.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
    }
    let method = wire.method.parse().expect("a method");
    let (path, query) = wire.target.split_once('?').unwrap_or((&wire.target, ""));
    let request = SimRequest { method: &method, path, query, headers: &headers, body: wire.body.as_bytes() };
    let refused = gateway.admit(now_ms, &request).err()?;
    let body: Value = serde_json::from_slice(&refused.body).expect("an error is JSON");
    let text = |field: &str| body[field].as_str().expect("a text").to_owned();
    Some((text("Code"), text("Message")))
}

fn verdict(gateway: &mut Gateway, now_ms: i64, wire: &Wire) -> Option<String> {
    refusal(gateway, now_ms, wire).map(|(code, _)| code)
}

#[test]
fn a_stated_hash_that_is_not_the_bodys_is_refused_even_if_it_is_signed() {
    for (stated, code) in [("", None), ("x", Some("SignatureDoesNotMatch"))] {
        let wire = Wire::signed(None, &hash::sha256_hex(stated.as_bytes()));
        assert_eq!(verdict(&mut gateway(None, SECRET), NOW_MS, &wire).as_deref(), code);
    }
}

#[test]
fn a_wrong_secret_is_refused_with_an_echo_of_the_whole_request() {
    for token in [None, Some(TOKEN)] {
        let wire = Wire::signed(token, &hash::sha256_hex(b""));
        let refused = refusal(&mut gateway(token, "another"), NOW_MS, &wire);
        let (code, message) = refused.expect("the secret is another");
        assert_eq!(code, "SignatureDoesNotMatch");
        assert!(message.contains(&wire.string_to_sign) && message.contains(&wire.canonical_request));
        assert_eq!(verdict(&mut gateway(token, SECRET), NOW_MS, &wire), None);
    }
}

#[test]
fn the_clock_window_is_fifteen_minutes_to_both_sides() {
    let expired = Some("InvalidTimeStamp.Expired".to_owned());
    for (off_ms, code) in [(900_000, None), (-900_000, None), (900_001, expired.clone()), (-900_001, expired)]
    {
        assert_eq!(verdict(&mut gateway(None, SECRET), NOW_MS + off_ms, &Wire::good()), code, "{off_ms}");
    }
}

#[test]
fn a_nonce_counts_once_and_only_an_accepted_one() {
    let mut gateway = gateway(None, SECRET);
    let mut forged = Wire::good();
    let authorization = forged.header("authorization");
    let digits = authorization.len() - 64;
    authorization.replace_range(digits.., &"0".repeat(64));
    assert_eq!(verdict(&mut gateway, NOW_MS, &forged).as_deref(), Some("SignatureDoesNotMatch"));
    assert_eq!(verdict(&mut gateway, NOW_MS, &Wire::good()), None);
    assert_eq!(verdict(&mut gateway, NOW_MS, &Wire::good()).as_deref(), Some("SignatureNonceUsed"));
}

#[test]
fn what_is_wrong_first_is_said_first() {
    let drop_header =
        |name: &'static str| move |w: &mut Wire| w.headers.retain(|(known, _)| known.as_str() != name);
    let set = |name: &'static str, value: &'static str| move |w: &mut Wire| value.clone_into(w.header(name));
    let check = |change: &dyn Fn(&mut Wire), code: &str| {
        for token in [None, Some(TOKEN)] {
            let mut wire = Wire::signed(token, &hash::sha256_hex(b""));
            change(&mut wire);
            assert_eq!(verdict(&mut gateway(token, SECRET), NOW_MS, &wire).as_deref(), Some(code));
        }
    };
    check(&set("host", "ecs.cn-shanghai.aliyuncs.com"), "InvalidProduct.NotFound");
    check(&|w| w.method = "PUT".into(), "UnsupportedHTTPMethod");
    check(&|w| w.target.insert(1, 'x'), "InvalidAction.NotFound");
    check(&set("x-acs-action", "describeuseronlineclients"), "InvalidAction.NotFound");
    check(&set("x-acs-version", "2018-03-14"), "InvalidVersion");
    check(&drop_header("authorization"), "MissingAccessKeyId");
    check(&set("authorization", "Basic QQ=="), "IncompleteSignature");
    check(&|w| w.headers.push(("x-acs-extra".into(), "1".into())), "IncompleteSignature");
    check(&drop_header("accept"), "IncompleteSignature");
    check(&drop_header("x-acs-date"), "IncompleteSignature");
    check(&set("x-acs-date", "2026-01-15 08:30:00Z"), "InvalidTimeStamp.Format");
    check(&set("x-acs-date", "2026-01-15T08:10:00Z"), "InvalidTimeStamp.Expired");
    let other_key = |w: &mut Wire| {
        let text = w.header("authorization");
        *text = text.replace("Credential=", "Credential=X");
    };
    check(&other_key, "InvalidAccessKeyId.NotFound");
}

#[test]
fn a_token_that_is_another_is_no_mismatch_of_the_signature() {
    let mut wire = Wire::signed(Some(TOKEN), &hash::sha256_hex(b""));
    wire.header("x-acs-security-token").push('x');
    let code = verdict(&mut gateway(Some(TOKEN), SECRET), NOW_MS, &wire);
    assert_eq!(code.as_deref(), Some("InvalidSecurityToken.MismatchWithAccessKey"));
}
