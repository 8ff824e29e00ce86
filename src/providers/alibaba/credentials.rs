//! An account: who signs, and in which region it asks if a source names none.
//!
//! A static key, or a temporary (STS) key with its token. Roles, instance metadata and the vendor's credential chain are
//! deliberately absent here: what is configured is what signs.

use crate::config::{AccountSettings, Key, Need, Reader, Secret, Shape};

/// The most requests a second that an account may be given at the public endpoint. "Limits on API calls" of MQTT: 100
/// calls a second of the batch call for an account, and at 300 from one source address that address is blocked.
pub const MAX_REQUESTS_PER_SECOND: f64 = 100.0;

/// The longest key id, secret or token that is taken: what HTTP servers commonly accept for all headers together.
const CREDENTIAL_BYTES: usize = 8192;

/// What a temporary key's id begins with.
const TEMPORARY: &str = "STS.";

/// The account's keys beside the common ones.
pub const KEYS: &[Key] = &[
    Key {
        name: "region",
        shape: Shape::Text,
        need: Need::Required,
        doc: "Region of the instances, such as cn-shanghai. It picks the host; a source may name another.",
    },
    Key {
        name: "access_key_id",
        shape: Shape::Secret,
        need: Need::Required,
        doc: "The AccessKey's id, of a RAM user that may only read.",
    },
    Key {
        name: "access_key_secret",
        shape: Shape::Secret,
        need: Need::Required,
        doc: "The AccessKey's secret.",
    },
    Key {
        name: "security_token",
        shape: Shape::Secret,
        need: Need::Optional,
        doc: "The token of a temporary (STS) key, whose id begins with STS.; it is not renewed here.",
    },
];

/// Key id, secret and perhaps token. No Debug: all of it is secret.
pub struct Credentials {
    key_id: Secret,
    secret: Secret,
    token: Option<Secret>,
}

/// What a source of this account starts from; the cloud's session.
pub struct Account {
    /// The region of sources that name none.
    pub region: String,
    /// Who signs.
    pub credentials: Credentials,
}

/// What is wrong with credentials: the key to complain at, and the words.
pub type Wrong = (&'static str, &'static str);

impl Credentials {
    /// Checks that what goes into headers can stand there.
    pub fn new(key_id: Secret, secret: Secret, token: Option<Secret>) -> Result<Self, Wrong> {
        if !is_header_word(key_id.expose()) || key_id.expose().contains(',') {
            return Err(("access_key_id", "is no AccessKey id: it has to be one word of ASCII letters"));
        }
        if secret.expose().is_empty() || secret.expose().len() > CREDENTIAL_BYTES {
            return Err(("access_key_secret", "is empty or too long"));
        }
        if token.as_ref().is_some_and(|token| !is_header_word(token.expose())) {
            return Err(("security_token", "is no token: it has to be one word of ASCII characters"));
        }
        if token.is_none() && key_id.expose().starts_with(TEMPORARY) {
            return Err(("security_token", "is missing: this is a temporary key (its id begins with STS.)"));
        }
        Ok(Self { key_id, secret, token })
    }

    /// The key's id, for `Authorization`.
    pub fn key_id(&self) -> &str {
        self.key_id.expose()
    }

    /// The secret, for signing only.
    pub fn secret(&self) -> &str {
        self.secret.expose()
    }

    /// The token of a temporary key, for its header.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Secret::expose)
    }
}

/// Reads an account's own keys.
pub fn open(reader: &Reader<'_>, settings: &AccountSettings) -> Option<Account> {
    let region = read_region(reader);
    let (key_id, secret) = (reader.secret("access_key_id"), reader.secret("access_key_secret"));
    let token = reader.secret("security_token");
    let token_lost = reader.has("security_token") && token.is_none();
    let paced = settings.endpoint.is_some() || settings.quota.per_second <= MAX_REQUESTS_PER_SECOND;
    if !paced {
        reader.complain(
            "requests_per_second",
            format!("is above {MAX_REQUESTS_PER_SECOND}, close to where the provider blocks the address"),
            Some("the provider blocks a source address at 300 requests a second".into()),
        );
    }
    let (region, key_id, secret) = (region?, key_id?, secret?);
    if token_lost || !paced {
        return None;
    }
    match Credentials::new(key_id, secret, token) {
        Ok(credentials) => Some(Account { region, credentials }),
        Err((key, words)) => {
            reader.complain(key, words, None);
            None
        }
    }
}

/// The text of the key `region`, if it is a region's name; complains if it isn't.
pub fn read_region(reader: &Reader<'_>) -> Option<String> {
    let region = reader.text("region")?;
    if is_region(&region) {
        return Some(region);
    }
    reader.complain("region", "is no region's name", Some("such as cn-shanghai or ap-southeast-1".into()));
    None
}

/// Whether a text can be a region's name; it becomes a label of a host name.
pub fn is_region(text: &str) -> bool {
    const HOST_LABEL: usize = 63; // RFC 1035, section 2.3.4
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= HOST_LABEL
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_header_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= CREDENTIAL_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(key_id: &str, secret: &str, token: Option<&str>) -> Option<&'static str> {
        Credentials::new(Secret::new(key_id), Secret::new(secret), token.map(Secret::new)).err().map(|w| w.0)
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused_before_anything_is_sent() {
        assert_eq!(wrong("AK1", "s/01+Qw=", None), None);
        assert_eq!(wrong("STS.A", "s", Some("CAIS+/==&x=1%2B~")), None);
        assert_eq!(wrong("", "s", None), Some("access_key_id"));
        assert_eq!(wrong("A\nB", "s", None), Some("access_key_id"));
        assert_eq!(wrong("A,SignedHeaders=", "s", None), Some("access_key_id"));
        assert_eq!(wrong("AK1", "", None), Some("access_key_secret"));
        assert_eq!(wrong("AK1", "s", Some("two words")), Some("security_token"));
        assert_eq!(wrong("STS.A", "s", None), Some("security_token"));
    }

    #[test]
    fn a_region_is_one_label_of_a_host_name() {
        for good in ["cn-shanghai", "ap-southeast-1", "cn-shanghai-finance-1", "mq-internet-access"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "cn shanghai", "cn-shanghai.evil.example", "CN-SHANGHAI", "-cn", "cn-", "地"] {
            assert!(!is_region(bad), "{bad}");
        }
    }
}
