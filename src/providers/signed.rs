//! Every stage of a request's signature, as each cloud's signer returns them: what differs between clouds is how a stage is
//! made, not which stages there are.
//!
//! It makes none of them, and it shows none: a string to sign is as good as a key for as long as a clock may be off, and
//! canonical requests hold session tokens.

use std::fmt;

/// The stages, in the order in which they are made.
pub struct Signed {
    /// The query, encoded and sorted.
    pub canonical_query: String,
    /// The names of the signed headers, joined by semicolons.
    pub signed_headers: String,
    /// The canonical request, whose hash is signed.
    pub canonical_request: String,
    /// What the key signs.
    pub string_to_sign: String,
    /// The signature, in lower-case hexadecimal digits.
    pub signature: String,
    /// The value of the header `Authorization`.
    pub authorization: String,
}

/// Only the names of the signed headers, which are no secret.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("signed_headers", &self.signed_headers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_names_of_headers_and_nothing_secret() {
        let canary = || "canary".to_owned();
        let signed = Signed {
            canonical_query: canary(),
            signed_headers: "host;x-date".into(),
            canonical_request: canary(),
            string_to_sign: canary(),
            signature: canary(),
            authorization: canary(),
        };
        assert_eq!(format!("{signed:?}"), r#"Signed { signed_headers: "host;x-date", .. }"#);
    }
}
