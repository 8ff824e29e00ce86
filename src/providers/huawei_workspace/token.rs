//! Tokens from IAM: a password becomes a token that is good for a day, kept for all sources of an account.
//!
//! One request at a time fetches it; whoever needs it meanwhile waits for that one. It is renewed an hour before its end,
//! and when the provider refuses it. Nothing here decides how often that may happen: a question renews once.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use std::collections::BTreeMap;
use std::time::Duration;

use super::errors;
use super::wire::{Identity, Named, Password, Scope, TokenAnswer, TokenAuth, TokenRequest, User};
use crate::config::Secret;
use crate::domain::{Fault, Tick};
use crate::ports::Request;
use crate::providers::credentials::Written;
use crate::providers::http::{Failure, Net, Reply};

/// How long before its end a token is renewed: an hour of the day that it lives (IAM, "the validity period of a token is
/// 24 hours"; its advice is to renew early). Of a token that lives for less than two hours, the second half.
const RENEW_BEFORE: Duration = Duration::from_secs(3600);

/// How long a token is used: the day that it lives without the hour.
pub const KEPT: Duration = Duration::from_secs(23 * 3600);

/// The longest token that is sent: "1 to 40000 characters" (Workspace, API definitions, X-Auth-Token).
const TOKEN_BYTES: usize = 40_000;

/// Who asks IAM, and for which project.
pub struct PasswordLogin {
    /// IAM's address, without trailing slash.
    pub iam_endpoint: String,
    /// The IAM user's name.
    pub user: String,
    /// The user's password.
    pub password: Written<Secret>,
    /// The account (IAM "domain") that the user belongs to.
    pub domain: String,
    /// The project's id, where it is configured.
    pub project_id: Option<String>,
    /// The region, which is the name of its main project.
    pub region: String,
    /// The token in hand.
    pub cache: tokio::sync::Mutex<Option<Token>>,
}

/// A token in hand. Its header value is marked sensitive, so that even Debug hides it.
#[derive(Clone)]
pub struct Token {
    /// The value of X-Auth-Token.
    pub header: HeaderValue,
    /// The project that it is for.
    pub project_id: String,
    renew_at: Tick,
}

impl PasswordLogin {
    /// A good token: the one in hand, or a new one when that is old or is `refused`.
    pub async fn token(&self, net: &Net, refused: Option<&Token>) -> Result<Token, Failure> {
        let mut cache = self.cache.lock().await;
        if let Some(token) = cache.as_ref()
            && net.now().tick < token.renew_at
            && refused.is_none_or(|refused| refused.header != token.header)
        {
            return Ok(token.clone());
        }
        *cache = None;
        // A login is rare, so it never goes out with an old password.
        self.password.reread();
        let password = self.password.key()?;
        let token =
            net.call(&super::CREATE_TOKEN, |_| self.request(&password), |reply| self.read(reply)).await?;
        *cache = Some(token.clone());
        Ok(token)
    }

    /// The request for a token; it needs no signature.
    fn request(&self, password: &Secret) -> Result<Request, Failure> {
        let project = match &self.project_id {
            Some(id) => BTreeMap::from([("id", id.as_str())]),
            None => BTreeMap::from([("name", self.region.as_str())]),
        };
        let user =
            User { name: &self.user, password: password.expose(), domain: Named { name: &self.domain } };
        let identity = Identity { methods: ["password"], password: Password { user } };
        let body = TokenRequest { auth: TokenAuth { identity, scope: Scope { project } } };
        let body = serde_json::to_vec(&body)
            .map_err(|_| Failure::new(Fault::Rejected, "the token request cannot be written"))?;
        http::Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v3/auth/tokens?nocatalog=true", self.iam_endpoint))
            .header(CONTENT_TYPE, "application/json;charset=utf-8")
            .body(Bytes::from(body))
            .map_err(|_| Failure::new(Fault::Rejected, "iam_endpoint makes no address"))
    }

    fn read(&self, reply: &Reply) -> Result<Token, Failure> {
        if reply.status != StatusCode::CREATED && reply.status != StatusCode::OK {
            return Err(errors::refusal(reply, false).failure);
        }
        let bad = |words: &str| Failure::new(Fault::BadAnswer, words);
        let mut header = reply
            .headers
            .get("x-subject-token")
            .filter(|value| !value.is_empty() && value.len() <= TOKEN_BYTES)
            .cloned()
            .ok_or_else(|| bad("IAM's answer has no X-Subject-Token, or one longer than 40,000 bytes"))?;
        header.set_sensitive(true);
        let answer: TokenAnswer = reply.json()?;
        let unix_ms = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        let expires = unix_ms(&answer.token.expires_at).ok_or_else(|| bad("expires_at is no time"))?;
        let issued = answer.token.issued_at.as_deref().and_then(unix_ms).unwrap_or(reply.sent.unix_ms);
        let life = Duration::from_millis(u64::try_from(expires - issued).unwrap_or(0));
        let keep = life.saturating_sub(RENEW_BEFORE.min(life / 2));
        let named = answer.token.project.map(|project| project.id);
        let project_id = self.project_id.clone().or(named).filter(|id| is_project_id(id));
        Ok(Token {
            header,
            project_id: project_id.ok_or_else(|| bad("the token names no project"))?,
            renew_at: reply.sent.tick + keep,
        })
    }
}

/// Whether a text can be a project's id: it becomes a segment of the path. Huawei's are 32 hexadecimal digits.
pub fn is_project_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_id_is_one_segment_of_a_path() {
        assert!(is_project_id("0e69423d4400f4a82f67c0059a1e4cc8"));
        assert!(!is_project_id("") && !is_project_id("a/b") && !is_project_id("a?b") && !is_project_id("ä"));
    }
}
