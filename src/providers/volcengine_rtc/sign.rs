//! Volcengine's request signature, HMAC-SHA256: a pure function from values to values that returns every stage.
//!
//! It takes decoded query pairs and the body as sent. It knows no clock, no environment and no request type.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::providers::hash::{hmac_sha256, hmac_sha256_hex, sha256_hex};

/// The algorithm's name, in the string to sign and in `Authorization`.
const ALGORITHM: &str = "HMAC-SHA256";

/// What stays unencoded beside letters and digits: `-`, `_`, `.` and `~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed, and by whom. It has no Debug, since it holds the secret.
pub(super) struct ToSign<'a> {
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

/// Every stage of a signature. It has no Debug: a string to sign is as good as a secret.
#[cfg_attr(not(test), expect(dead_code, reason = "a request needs the last stage; tests compare each"))]
pub(super) struct Signed {
    /// The path as signed.
    pub canonical_uri: String,
    /// The query as signed: encoded, sorted by name.
    pub canonical_query: String,
    /// The headers as signed, each with a line end.
    pub canonical_headers: String,
    /// The names of the signed headers.
    pub names: String,
    /// The whole request as signed.
    pub canonical_request: String,
    /// Day, region, service and the word `request`.
    pub credential_scope: String,
    /// What the signature is made of.
    pub string_to_sign: String,
    /// The day's key.
    pub signing_key: [u8; 32],
    /// The signature in hexadecimal digits.
    pub signature: String,
    /// The value of `Authorization`.
    pub authorization: String,
}

/// Signs.
pub(super) fn sign(input: &ToSign<'_>) -> Signed {
    let canonical_uri = canonical_uri(input.path);
    let canonical_query = canonical_query(input.query);
    let (canonical_headers, names) = canonical_headers(input.headers);
    let canonical_request =
        [input.method, &canonical_uri, &canonical_query, &canonical_headers, &names, input.payload_sha256]
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
        "{ALGORITHM} Credential={}/{credential_scope}, SignedHeaders={names}, Signature={signature}",
        input.access_key_id
    );
    Signed {
        canonical_uri,
        canonical_query,
        canonical_headers,
        names,
        canonical_request,
        credential_scope,
        string_to_sign,
        signing_key,
        signature,
        authorization,
    }
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
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
    use serde_json::Value;

    use super::*;
    use crate::providers::volcengine_rtc::vectors;

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap_or_else(|| panic!("the vector has no text {key}"))
    }

    #[test]
    fn every_stage_is_that_of_the_requests_that_the_vendors_clients_sent() {
        for vector in vectors() {
            let (input, expected) = (&vector["input"], &vector["expected"]);
            let payload = sha256_hex(text(input, "body").as_bytes());
            let mut headers: Vec<(&str, &str)> = vec![
                ("host", text(input, "host")),
                ("x-content-sha256", &payload),
                ("x-date", text(input, "x_date")),
            ];
            if let Some(token) = input["session_token"].as_str() {
                headers.push(("x-security-token", token));
            }
            for (name, value) in input["headers"].as_object().expect("a mapping") {
                headers.push((name, value.as_str().expect("a text")));
            }
            let query: Vec<(&str, &str)> = input["query"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|pair| (pair[0].as_str().expect("a name"), pair[1].as_str().expect("a value")))
                .collect();
            let signed = sign(&ToSign {
                access_key_id: text(input, "access_key"),
                secret: text(input, "secret_key"),
                region: text(input, "region"),
                service: text(input, "service"),
                x_date: text(input, "x_date"),
                method: text(input, "method"),
                path: text(input, "path"),
                query: &query,
                headers: &headers,
                payload_sha256: &payload,
            });
            let name = text(&vector, "name");
            let request_hash = sha256_hex(signed.canonical_request.as_bytes());
            let signing_key = hex::encode(signed.signing_key);
            let stages = [
                ("payload_sha256", &payload),
                ("canonical_uri", &signed.canonical_uri),
                ("canonical_query", &signed.canonical_query),
                ("canonical_headers", &signed.canonical_headers),
                ("canonical_request", &signed.canonical_request),
                ("canonical_request_sha256", &request_hash),
                ("credential_scope", &signed.credential_scope),
                ("string_to_sign", &signed.string_to_sign),
                ("signing_key_hex", &signing_key),
                ("signature", &signed.signature),
                ("authorization", &signed.authorization),
            ];
            for (stage, ours) in stages {
                assert_eq!(ours, text(expected, stage), "{name}: {stage}");
            }
            let names: Vec<&str> = signed.names.split(';').collect();
            assert_eq!(serde_json::json!(names), input["signed_headers"], "{name}: signed headers");
        }
    }

    #[test]
    fn a_default_port_is_not_signed_and_another_one_is() {
        assert_eq!(host_without_default_port("a.example:443"), "a.example");
        assert_eq!(host_without_default_port("a.example:80"), "a.example");
        assert_eq!(host_without_default_port("a.example:8443"), "a.example:8443");
        assert_eq!(host_without_default_port("a.example:180"), "a.example:180");
    }
}
