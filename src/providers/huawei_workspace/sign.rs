//! SDK-HMAC-SHA256: from the values of a request to its signature, in one step without derived keys.
//!
//! Pure. It returns every stage, so that a vector can name the stage that differs; none of them may be printed, since a
//! signed request is as good as a key for a quarter of an hour. It does not know HTTP clients, accounts or clocks.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::providers::hash::{hmac_sha256_hex, sha256_hex};

/// The name of the algorithm, first word of the Authorization header and first line of the string to sign.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// Everything but the unreserved characters `A-Za-z0-9-_.~` is encoded, in paths and in queries.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed.
pub struct Input<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path as sent, without the slash that signing adds.
    pub path: &'a str,
    /// Names and values of the query, not encoded, in any order.
    pub query: &'a [(&'a str, &'a str)],
    /// Every signed header: `host` (with its port, if one is sent), `x-sdk-date` and the rest; lower-case names.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; its hash is signed.
    pub body: &'a [u8],
    /// The access key id.
    pub access_key: &'a str,
    /// The secret key.
    pub secret_key: &'a str,
}

/// Every stage of a signature. Deliberately without Debug.
#[cfg_attr(not(test), expect(dead_code, reason = "vectors compare every stage"))]
pub struct Signed {
    /// The query as it is signed, and as it has to be sent.
    pub query: String,
    /// The canonical request.
    pub canonical_request: String,
    /// What the key signs.
    pub string_to_sign: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
    /// The value of the Authorization header.
    pub authorization: String,
}

/// Signs. The value of the header `x-sdk-date` is the date that is signed.
pub fn sign(input: &Input<'_>) -> Signed {
    let query = canonical_query(input.query);
    let mut headers: Vec<_> = input.headers.to_vec();
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut lines = String::new();
    for (name, value) in &headers {
        lines.extend([*name, ":", value.trim(), "\n"]);
    }
    let canonical_request = format!(
        "{}\n{}\n{query}\n{lines}\n{names}\n{}",
        input.method,
        canonical_path(input.path),
        sha256_hex(input.body)
    );
    let date = headers.iter().find(|(name, _)| *name == "x-sdk-date").map_or("", |(_, value)| value.trim());
    let string_to_sign = format!("{ALGORITHM}\n{date}\n{}", sha256_hex(canonical_request.as_bytes()));
    let signature = hmac_sha256_hex(input.secret_key.as_bytes(), string_to_sign.as_bytes());
    let authorization =
        format!("{ALGORITHM} Access={}, SignedHeaders={names}, Signature={signature}", input.access_key);
    Signed { query, canonical_request, string_to_sign, signature, authorization }
}

/// The query in its canonical form: sorted by name and value *before* encoding, then encoded.
pub fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut pairs = query.to_vec();
    pairs.sort_unstable();
    let encoded: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    encoded.join("&")
}

/// A text with everything reserved percent-encoded.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Each segment decoded and encoded again, and a slash at the end, which the request itself goes without.
fn canonical_path(path: &str) -> String {
    let mut canonical: String = path
        .split('/')
        .map(|segment| encode(&percent_decode_str(segment).decode_utf8_lossy()))
        .collect::<Vec<_>>()
        .join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::providers::huawei_workspace::vectors::{self, text};

    fn check(vector: &Value) {
        let (input, expected) = (&vector["input"], &vector["expected"]);
        let query: Vec<(&str, &str)> = input["query"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let mut headers = vec![("host", text(&input["host"])), ("x-sdk-date", text(&input["x_sdk_date"]))];
        headers.extend(
            input["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap())),
        );
        headers.extend(input["project_id"].as_str().map(|id| ("x-project-id", id)));
        headers.extend(input["security_token"].as_str().map(|token| ("x-security-token", token)));
        let signed = sign(&Input {
            method: text(&input["method"]),
            path: text(&input["path"]),
            query: &query,
            headers: &headers,
            body: text(&input["body"]).as_bytes(),
            access_key: text(&input["access_key"]),
            secret_key: text(&input["secret_key"]),
        });
        let name = &vector["name"];
        assert_eq!(canonical_path(text(&input["path"])), text(&expected["canonical_uri"]), "{name}");
        assert_eq!(signed.query, text(&expected["canonical_query"]), "{name}");
        assert_eq!(signed.canonical_request, text(&expected["canonical_request"]), "{name}");
        let hash = sha256_hex(signed.canonical_request.as_bytes());
        assert_eq!(hash, text(&expected["canonical_request_sha256"]), "{name}");
        assert_eq!(signed.string_to_sign, text(&expected["string_to_sign"]), "{name}");
        assert_eq!(signed.signature, text(&expected["signature"]), "{name}");
        assert_eq!(signed.authorization, text(&expected["authorization"]), "{name}");
    }

    #[test]
    fn every_stage_of_every_captured_request_is_reproduced() {
        let signed = vectors::of_kind("signed-request");
        assert_eq!(signed.len(), 6);
        signed.iter().for_each(check);
    }

    #[test]
    fn a_path_that_is_already_encoded_is_not_encoded_twice() {
        assert_eq!(canonical_path("/v2/a%20b/x"), "/v2/a%20b/x/");
        assert_eq!(canonical_path("/v2/a b/"), "/v2/a%20b/");
    }
}
