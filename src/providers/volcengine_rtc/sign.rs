//! Volcengine's request signature, HMAC-SHA256: a pure function from values to values.
//!
//! It takes decoded query pairs and the body as sent. It knows no clock, no environment and no request type.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::providers::hash::{hmac_sha256, hmac_sha256_hex, sha256_hex};
use crate::providers::signed::Signed;

/// The algorithm's name, in the string to sign and in `Authorization`.
const ALGORITHM: &str = "HMAC-SHA256";

/// What stays unencoded beside letters and digits: `-`, `_`, `.` and `~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed, and by whom. It has no Debug, since it holds the secret.
pub struct Unsigned<'a> {
    /// The key's id.
    pub access_key_id: &'a str,
    /// The key's secret, used as the text it is even where it looks like base64.
    pub secret: &'a str,
    /// The region of the credential scope.
    pub region: &'a str,
    /// The service of the credential scope.
    pub service: &'a str,
    /// The value of `X-Date`: `YYYYMMDD'T'HHMMSS'Z'`, UTC.
    pub x_date: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path, decoded.
    pub path: &'a str,
    /// Name and value of each query parameter, decoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Name (lower case) and value of each header to sign.
    pub headers: &'a [(&'a str, &'a str)],
    /// The SHA-256 of the body in lower-case hexadecimal digits.
    pub payload_sha256: &'a str,
}

/// Signs.
pub fn sign(input: &Unsigned<'_>) -> Signed {
    let canonical_uri = canonical_uri(input.path);
    let canonical_query = canonical_query(input.query);
    let (canonical_headers, signed_headers) = canonical_headers(input.headers);
    let canonical_request = [
        input.method,
        &canonical_uri,
        &canonical_query,
        &canonical_headers,
        &signed_headers,
        input.payload_sha256,
    ]
    .join("\n");
    let day = input.x_date.get(..8).unwrap_or(input.x_date);
    let credential_scope = format!("{day}/{}/{}/request", input.region, input.service);
    let string_to_sign = format!(
        "{ALGORITHM}\n{}\n{credential_scope}\n{}",
        input.x_date,
        sha256_hex(canonical_request.as_bytes())
    );
    let signing_key = signing_key(input.secret, day, input.region, input.service);
    let signature = hmac_sha256_hex(&signing_key, string_to_sign.as_bytes());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{credential_scope}, SignedHeaders={signed_headers}, Signature={signature}",
        input.access_key_id
    );
    Signed { canonical_query, signed_headers, canonical_request, string_to_sign, signature, authorization }
}

/// The key of one day, region and service, made of the secret. It signs whatever is asked of them on that day.
pub fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
    [day, region, service, "request"]
        .iter()
        .fold(None, |key: Option<[u8; 32]>, part| {
            let key: &[u8] = key.as_ref().map_or(secret.as_bytes(), |key| key);
            Some(hmac_sha256(key, part.as_bytes()))
        })
        .expect("four parts were folded")
}

fn canonical_uri(path: &str) -> String {
    if path.is_empty() {
        return "/".into();
    }
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

/// Sorted by name; several values of one name keep their order, as the vendor's clients do it.
fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut pairs: Vec<(String, String)> = query.iter().map(|(k, v)| (encode(k), encode(v))).collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn canonical_headers(headers: &[(&str, &str)]) -> (String, String) {
    let mut sorted = headers.to_vec();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut lines = String::new();
    for (name, value) in &sorted {
        let value = if *name == "host" { host_without_default_port(value) } else { value.trim() };
        lines.extend([name, ":", value, "\n"]);
    }
    let names: Vec<&str> = sorted.iter().map(|(name, _)| *name).collect();
    (lines, names.join(";"))
}

/// The ports 80 and 443 are not signed, whatever the scheme; other ports are.
fn host_without_default_port(host: &str) -> &str {
    let host = host.trim();
    host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")).unwrap_or(host)
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_port_is_not_signed_and_another_one_is() {
        assert_eq!(host_without_default_port("a.example:443"), "a.example");
        assert_eq!(host_without_default_port("a.example:80"), "a.example");
        assert_eq!(host_without_default_port("a.example:8443"), "a.example:8443");
        assert_eq!(host_without_default_port("a.example:180"), "a.example:180");
    }
}
