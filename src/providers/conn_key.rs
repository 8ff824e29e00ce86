//! Keys for connections: a provider's connection id in, 64 bits out that tell connections apart and tell nothing else.
//!
//! The same id gives the same key in every run of the program, so that first-seen times may outlive a restart; another
//! account or another scope gives another key. Deliberately absent: any way back to the id.

use super::hash::hmac_sha256;
use crate::domain::ConnKey;

/// Connections of one target that are told apart. More are counted, but nobody has as many clients, and each costs memory
/// for as long as it stands.
pub const CONNECTIONS_KEPT: usize = 256;

/// Turns the connection ids of one source into keys. Has no Debug, since it is made of a secret.
pub struct ConnHasher {
    key: [u8; 32],
}

impl ConnHasher {
    /// A hasher whose keys only someone with `secret` could compute; `scope` keeps two sources of one account apart.
    pub fn new(secret: &[u8], scope: &str) -> Self {
        Self { key: hmac_sha256(secret, format!("presence-exporter connections of {scope}").as_bytes()) }
    }

    /// The key of a connection id.
    pub fn key(&self, connection_id: &str) -> ConnKey {
        let digest = hmac_sha256(&self.key, connection_id.as_bytes());
        let head = digest.first_chunk().expect("a SHA-256 digest has 32 bytes");
        ConnKey(u64::from_be_bytes(*head))
    }
}

#[cfg(test)]
mod tests {
    use super::ConnHasher;

    #[test]
    fn a_key_is_stable_and_differs_by_id_by_scope_and_by_secret() {
        let key = |secret: &str, scope, id| ConnHasher::new(secret.as_bytes(), scope).key(id);
        let one = key("secret", "volcengine_rtc 1", "c1");
        assert_eq!(one, key("secret", "volcengine_rtc 1", "c1"));
        assert_ne!(one, key("secret", "volcengine_rtc 1", "c2"));
        assert_ne!(one, key("secret", "volcengine_rtc 2", "c1"));
        assert_ne!(one, key("other", "volcengine_rtc 1", "c1"));
    }
}
