//! The V3 signature, ACS3-HMAC-SHA256, as a pure function from values to values.
//!
//! It reads no clock, chooses no nonce, adds no header and builds no request. The older RPC signature (HMAC-SHA1, `SignatureVersion=1.0`) is deliberately absent: the vendor
//! advises against it, and it puts key id, token and signature into the address.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::providers::hash::{hmac_sha256_hex, sha256_hex};
use crate::providers::signed::Signed;

/// The algorithm's name, first word of `Authorization` and first line of the string to sign.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// What is encoded: everything but `A-Z a-z 0-9 - _ . ~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed.
pub struct Unsigned<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// Names and values of the query, decoded, in any order.
    pub params: &'a [(&'a str, &'a str)],
    /// Exactly the headers that take part, names in lower case, in any order.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as sent.
    pub body: &'a [u8],
}

/// Signs a request. The path is always `/`: both products are RPC APIs.
pub fn sign(key_id: &str, secret: &str, request: &Unsigned<'_>) -> Signed {
    let canonical_query = canonical_query(request.params);
    let (canonical_headers, signed_headers) = canonical_headers(request.headers);
    let payload = sha256_hex(request.body);
    let method = request.method;
    let canonical_request =
        format!("{method}\n/\n{canonical_query}\n{canonical_headers}\n{signed_headers}\n{payload}");
    let string_to_sign = format!("{ALGORITHM}\n{}", sha256_hex(canonical_request.as_bytes()));
    let signature = hmac_sha256_hex(secret.as_bytes(), string_to_sign.as_bytes());
    let authorization =
        format!("{ALGORITHM} Credential={key_id},SignedHeaders={signed_headers},Signature={signature}");
    Signed { canonical_query, signed_headers, canonical_request, string_to_sign, signature, authorization }
}

/// How many bytes a text takes in the canonical query.
pub fn encoded_len(text: &str) -> usize {
    utf8_percent_encode(text, ENCODED).map(str::len).sum()
}

/// Sorted by name, not by the joined text: `=` sorts after the digits, so that `List.10` would come after `List.1=`
/// in the wrong place.
fn canonical_query(params: &[(&str, &str)]) -> String {
    let mut sorted = params.to_vec();
    sorted.sort_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
    let mut query = String::with_capacity(sorted.iter().map(|(n, v)| n.len() + 2 * v.len() + 2).sum());
    for (name, value) in sorted {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(utf8_percent_encode(name, ENCODED));
        query.push('=');
        query.extend(utf8_percent_encode(value, ENCODED));
    }
    query
}

fn canonical_headers(headers: &[(&str, &str)]) -> (String, String) {
    let mut sorted = headers.to_vec();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let lines = sorted.iter().fold(String::new(), |mut lines, (name, value)| {
        lines.extend([*name, ":", value.trim(), "\n"]);
        lines
    });
    let names: Vec<&str> = sorted.iter().map(|(name, _)| *name).collect();
    (lines, names.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_a_text_is_its_length_in_the_query() {
        for text in ["", "plain-Text_1.~", "a b+c/d=e&f", "张三", "😀"] {
            assert_eq!(encoded_len(text), canonical_query(&[("", text)]).len() - 1, "{text}");
        }
        assert_eq!(encoded_len("张"), 9);
    }

    #[test]
    fn an_empty_value_keeps_its_equals_sign_and_an_encoded_tilde_is_data() {
        assert_eq!(canonical_query(&[("b", "%7E"), ("a", "")]), "a=&b=%257E");
        assert_eq!(canonical_query(&[]), "");
    }
}
