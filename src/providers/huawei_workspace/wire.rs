//! The replies' shapes, with the used fields only. Rows are kept as text until each is read by itself, so that one
//! ill-formed row does not sink the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A page of `ListDesktopsConnectStatus`.
#[derive(Deserialize)]
pub struct DesktopPage<'a> {
    /// All desktops of the project, not of the page.
    #[serde(default, deserialize_with = "lenient")]
    pub total_count: Option<u64>,
    /// The rows.
    #[serde(borrow, default)]
    pub desktops: Option<Vec<&'a RawValue>>,
}

/// A desktop. The schema says `attach_users` and `connect_status`, the published example `attach_infos` and
/// `login_status`.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
pub struct Desktop<'a> {
    #[serde(borrow, default)]
    pub desktop_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub desktop_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub connect_status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub login_status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub attach_users: Option<Vec<AttachedUser<'a>>>,
    #[serde(borrow, default)]
    pub attach_infos: Option<Vec<AttachedUser<'a>>>,
}

/// What is left of a desktop whose other fields cannot be read.
#[derive(Deserialize)]
pub struct DesktopName<'a> {
    #[serde(borrow, default)]
    pub desktop_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub desktop_name: Option<Cow<'a, str>>,
}

/// Somebody (or a group) that a desktop is assigned to.
#[derive(Deserialize)]
pub struct AttachedUser<'a> {
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
}

/// A page of `ListLoginRecordsNew`.
#[derive(Deserialize)]
pub struct RecordPage<'a> {
    /// All records that the filter finds, not those of the page.
    #[serde(default, deserialize_with = "lenient")]
    pub total_count: Option<u64>,
    /// The rows.
    #[serde(borrow, default)]
    pub records: Option<Vec<&'a RawValue>>,
}

/// A login, attempted or done. Every field is optional; null, missing and empty are alike.
#[derive(Deserialize)]
pub struct Record<'a> {
    #[serde(borrow, default)]
    pub sid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub transaction_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub desktop_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub computer_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub user_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub connection_start_time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub connection_setup_time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub connection_end_time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub connection_failure_reason: Option<Cow<'a, str>>,
    /// Milliseconds.
    #[serde(default, deserialize_with = "lenient")]
    pub network_rtt: Option<u64>,
    /// Milliseconds.
    #[serde(default, deserialize_with = "lenient")]
    pub e2e_rtt: Option<u64>,
}

/// IAM's answer to a password: the token itself stands in a header.
#[derive(Deserialize)]
pub struct TokenAnswer {
    pub token: TokenBody,
}

#[derive(Deserialize)]
pub struct TokenBody {
    pub expires_at: String,
    #[serde(default)]
    pub issued_at: Option<String>,
    #[serde(default)]
    pub project: Option<TokenProject>,
}

#[derive(Deserialize)]
pub struct TokenProject {
    pub id: String,
}

/// The body that asks IAM for a token. Holds a password: no Debug.
#[derive(Serialize)]
pub struct TokenRequest<'a> {
    pub auth: TokenAuth<'a>,
}

#[derive(Serialize)]
pub struct TokenAuth<'a> {
    pub identity: Identity<'a>,
    pub scope: Scope<'a>,
}

#[derive(Serialize)]
pub struct Identity<'a> {
    pub methods: [&'static str; 1],
    pub password: Password<'a>,
}

#[derive(Serialize)]
pub struct Password<'a> {
    pub user: User<'a>,
}

#[derive(Serialize)]
pub struct User<'a> {
    pub name: &'a str,
    pub password: &'a str,
    pub domain: Named<'a>,
}

#[derive(Serialize)]
pub struct Scope<'a> {
    /// One of `id` and `name`.
    pub project: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
pub struct Named<'a> {
    pub name: &'a str,
}

/// A number, a number in quotes, or (for anything else) nothing: the definitions and the seed differ in the types of
/// numbers, and a bad count or round-trip time must not cost the row.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wordings_of_a_desktop_are_read() {
        let schema = r#"{"desktop_id":"d","desktop_name":"PC","connect_status":"CONNECTED","attach_users":[{"name":"a","type":"USER"}]}"#;
        let example = r#"{"desktop_id":"d","desktop_name":"PC","login_status":"CONNECTED","attach_infos":[{"name":"a","type":"USER"}]}"#;
        for text in [schema, example] {
            let row: Desktop<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(row.connect_status.or(row.login_status).as_deref(), Some("CONNECTED"));
            assert_eq!(row.attach_users.or(row.attach_infos).unwrap()[0].name.as_deref(), Some("a"));
        }
    }

    #[test]
    fn numbers_may_stand_in_quotes_and_nonsense_is_nothing() {
        let record = |rtt: &str| {
            let text = format!(r#"{{"network_rtt":{rtt},"unheard_of":[1]}}"#);
            serde_json::from_str::<Record<'_>>(&text).map(|r| r.network_rtt).unwrap()
        };
        assert_eq!(record("12"), Some(12));
        assert_eq!(record("\"12\""), Some(12));
        assert_eq!((record("null"), record("-1"), record("\"\""), record("{}")), (None, None, None, None));
    }
}
