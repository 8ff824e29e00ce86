//! For the simulator's gateway: reads the header `Authorization`, and whether its list covers what has to be signed.
//!
//! It verifies nothing; that takes the secret.

use super::ALGORITHM;
use super::refusal::Refusal;
use crate::providers::sim::SimRequest;

/// The three parts of `Authorization`.
pub struct Authorization<'a> {
    /// The `AccessKey`'s id.
    pub key_id: &'a str,
    /// The signed headers' names, joined by `;`.
    pub signed_headers: &'a str,
    /// The signature, in 64 hexadecimal digits.
    pub signature: &'a str,
}

/// Reads `Authorization`, and whether the list of signed headers covers what it has to.
pub fn check_authorization<'a>(request: &SimRequest<'a>) -> Result<Authorization<'a>, Refusal> {
    let Some(text) = request.headers.get("authorization").and_then(|value| value.to_str().ok()) else {
        if request.query.contains("Signature=") {
            let words = "Specified signature method is not valid.";
            return Err(Refusal::new(400, "InvalidSignatureMethod", words));
        }
        return Err(Refusal::missing("AccessKeyId"));
    };
    parse_authorization(text).filter(|parts| covers(request, parts.signed_headers)).ok_or_else(|| {
        let words = "The request signature does not conform to Aliyun standards.";
        Refusal::new(400, "IncompleteSignature", words)
    })
}

fn parse_authorization(text: &str) -> Option<Authorization<'_>> {
    let rest = text.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
    let (key_id, rest) = rest.strip_prefix("Credential=")?.split_once(',')?;
    let (signed_headers, signature) = rest.strip_prefix("SignedHeaders=")?.split_once(',')?;
    let signature = signature.strip_prefix("Signature=")?;
    let whole =
        !key_id.is_empty() && signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then_some(Authorization { key_id, signed_headers, signature })
}

/// Sorted, each there, with `host` and every `x-acs-` header that was sent.
fn covers(request: &SimRequest<'_>, list: &str) -> bool {
    let names: Vec<&str> = list.split(';').collect();
    let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    let there = names.iter().all(|name| request.headers.contains_key(*name));
    let mut sent = request.headers.keys().map(http::HeaderName::as_str);
    let complete = sent.all(|name| !name.starts_with("x-acs-") || names.contains(&name));
    sorted && there && complete && names.contains(&"host")
}
