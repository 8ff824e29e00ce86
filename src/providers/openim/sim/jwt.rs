//! The server's tokens: HS256 with its secret. Made and checked here, from bytes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use crate::providers::hash::{hmac_sha256, same};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token says. Times are Unix seconds.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "UserID")]
    pub user_id: String,
    #[serde(rename = "PlatformID")]
    pub platform_id: u64,
    pub exp: i64,
    pub nbf: Option<i64>,
    pub iat: Option<i64>,
}

impl Claims {
    /// The token that says so.
    pub(super) fn sign(&self, secret: &str) -> String {
        let user = Value::from(self.user_id.as_str());
        let nbf = self.nbf.map(|nbf| format!(r#","nbf":{nbf}"#)).unwrap_or_default();
        let iat = self.iat.map(|iat| format!(r#","iat":{iat}"#)).unwrap_or_default();
        let claims =
            format!(r#"{{"UserID":{user},"PlatformID":{},"exp":{}{nbf}{iat}}}"#, self.platform_id, self.exp);
        let text = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims));
        let signature = BASE64.encode(hmac_sha256(secret.as_bytes(), text.as_bytes()));
        format!("{text}.{signature}")
    }
}

/// What a token says, or the error code of what is wrong with it. Ill-formed wins over expired, that over not valid yet,
/// that over a wrong signature.
pub(super) fn check(token: &str, secret: &str, now_s: i64) -> Result<Claims, i64> {
    let malformed = 1503;
    let (text, signature) = token.rsplit_once('.').ok_or(malformed)?;
    let (header, claims) = text.split_once('.').ok_or(malformed)?;
    let part = |part: &str| BASE64.decode(part).map_err(|_| malformed);
    let header: Value = serde_json::from_slice(&part(header)?).map_err(|_| malformed)?;
    let claims: Claims = serde_json::from_slice(&part(claims)?).map_err(|_| malformed)?;
    let signature = part(signature)?;
    if claims.exp <= now_s {
        return Err(1501);
    }
    if claims.nbf.is_some_and(|nbf| nbf > now_s) {
        return Err(1504);
    }
    let good = hmac_sha256(secret.as_bytes(), text.as_bytes());
    if header["alg"] != "HS256" || claims.iat.is_some_and(|iat| iat > now_s) || !same(&good, &signature) {
        return Err(1505);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims { user_id: "a\"ü".into(), platform_id: 10, exp: 2000, nbf: Some(700), iat: Some(1000) }
    }

    #[test]
    fn a_token_is_checked_for_form_then_time_then_signature() {
        let token = claims().sign("secret");
        assert_eq!(check(&token, "secret", 1000).map(|c| c.user_id), Ok("a\"ü".into()));
        let code = |token: &str, secret, now_s| check(token, secret, now_s).map(|_| ()).expect_err("refused");
        assert_eq!(code(&token, "other", 1000), 1505);
        assert_eq!(code(&token, "other", 2000), 1501);
        assert_eq!(code(&token, "secret", 699), 1504);
        assert_eq!(code(&token, "secret", 999), 1505, "used before it was made");
        assert_eq!(code(&token[1..], "secret", 1000), 1503);
        assert_eq!(code("no token", "secret", 1000), 1503);
        let other = Claims { user_id: "b".into(), ..claims() }.sign("secret");
        let mixed = format!("{}.{}", other.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
        assert_eq!(code(&mixed, "secret", 1000), 1505);
    }
}
