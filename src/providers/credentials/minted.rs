//! For simulators: temporary keys as a cloud hands them out. All of one is made of the account's own secret and of what its
//! token says, so that any simulated API can verify one that it never saw, as the real ones do.

use crate::providers::hash::{hmac_sha256_hex, same};

/// What every minted token begins with; tests look for it where it must not be.
pub const TOKEN_START: &str = "SIMSTS.";

/// A temporary key.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// The key's id.
    pub key_id: String,
    /// The secret.
    pub secret: String,
    /// The token that has to go with it.
    pub token: String,
    /// When it ends, in Unix milliseconds.
    pub ends_ms: i64,
}

/// A key that ends at `ends_ms`, of the account with this secret. `start` is what ids begin with at this cloud.
pub fn mint(root: &str, start: &str, ends_ms: i64, serial: u64) -> Minted {
    let facts = format!("{start}.{ends_ms}.{serial}");
    let part = |what: &str| hmac_sha256_hex(root.as_bytes(), format!("{what} of {facts}").as_bytes());
    Minted {
        key_id: format!("{start}{}", &part("id")[..16].to_ascii_uppercase()),
        secret: format!("simsecret{}", &part("secret")[..30]),
        token: format!("{TOKEN_START}{ends_ms}.{serial}.{}", &part("token")[..32]),
        ends_ms,
    }
}

/// The key that a token belongs to, if it was minted for the account with this secret.
pub fn find(root: &str, start: &str, token: &str) -> Option<Minted> {
    let mut facts = token.strip_prefix(TOKEN_START)?.split('.');
    let (ends_ms, serial) = (facts.next()?.parse().ok()?, facts.next()?.parse().ok()?);
    let minted = mint(root, start, ends_ms, serial);
    same(minted.token.as_bytes(), token.as_bytes()).then_some(minted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_is_found_by_its_token_and_a_forged_token_finds_none() {
        let minted = mint("root", "STS.", 1_768_466_400_000, 7);
        assert!(find("root", "STS.", &minted.token) == Some(minted.clone()));
        assert!(minted.key_id.starts_with("STS.") && minted.ends_ms == 1_768_466_400_000);
        assert!(find("other", "STS.", &minted.token).is_none());
        assert!(find("root", "AKTP", &minted.token).is_none());
        let later = minted.token.replace("1768466400000", "1768466500000");
        assert!(find("root", "STS.", &later).is_none());
        for bad in ["", "SIMSTS.", "SIMSTS.x.y.z", "SIMSTS.1", "SIMSTS.99999999999999999999.1.a"] {
            assert!(find("root", "STS.", bad).is_none(), "{bad}");
        }
        assert!(mint("root", "STS.", 0, 8).key_id != mint("root", "STS.", 0, 9).key_id);
    }
}
