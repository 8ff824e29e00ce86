//! SDK-HMAC-SHA256: from the values of a request to its signature, in one step without derived keys.
//!
//! Pure. It does not know HTTP clients, accounts or clocks.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::providers::hash::{hmac_sha256_hex, sha256_hex};
use crate::providers::signed::Signed;

/// The name of the algorithm, first word of the Authorization header and first line of the string to sign.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// Everything but the unreserved characters `A-Za-z0-9-_.~` is encoded, in paths and in queries.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed.
pub struct Unsigned<'a> {
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

/// Signs. The value of the header `x-sdk-date` is the date that is signed.
pub fn sign(input: &Unsigned<'_>) -> Signed {
    let canonical_query = canonical_query(input.query);
    let mut headers: Vec<_> = input.headers.to_vec();
    headers.sort_unstable();
    let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut lines = String::new();
    for (name, value) in &headers {
        lines.extend([*name, ":", value.trim(), "\n"]);
    }
    let canonical_request = format!(
        "{}\n{}\n{canonical_query}\n{lines}\n{signed_headers}\n{}",
        input.method,
        canonical_path(input.path),
        sha256_hex(input.body)
    );
    let date = headers.iter().find(|(name, _)| *name == "x-sdk-date").map_or("", |(_, value)| value.trim());
    let string_to_sign = format!("{ALGORITHM}\n{date}\n{}", sha256_hex(canonical_request.as_bytes()));
    let signature = hmac_sha256_hex(input.secret_key.as_bytes(), string_to_sign.as_bytes());
    let authorization = format!(
        "{ALGORITHM} Access={}, SignedHeaders={signed_headers}, Signature={signature}",
        input.access_key
    );
    Signed { canonical_query, signed_headers, canonical_request, string_to_sign, signature, authorization }
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
    use super::*;

    #[test]
    fn a_path_that_is_already_encoded_is_not_encoded_twice() {
        assert_eq!(canonical_path("/v2/a%20b/x"), "/v2/a%20b/x/");
        assert_eq!(canonical_path("/v2/a b/"), "/v2/a%20b/");
    }
}
