//! What goes over the wire of `QueryOnlineStatus`: the request body, and of the reply the used fields only.
//!
//! Ids are texts on our side from end to end: they go to 2^63-1 and would lose digits in a floating-point number.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::providers::loose::{List, Loose, Object};

/// The reply's envelope. A success has no `Error`.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "ResponseMetadata", borrow)]
    pub metadata: Metadata<'a>,
    #[serde(rename = "Result", borrow, default)]
    pub result: Option<ResultPart<'a>>,
}

/// The envelope's head. `Service` and `Region` are echoes and not checked.
#[derive(Deserialize)]
pub(super) struct Metadata<'a> {
    #[serde(rename = "RequestId", borrow, default)]
    pub request_id: Loose<'a>,
    #[serde(rename = "Error", borrow, default)]
    pub error: Option<Object<ErrorPart<'a>>>,
}

/// Why there is no result. The free text beside the code is left on the wire.
#[derive(Deserialize)]
pub(super) struct ErrorPart<'a> {
    #[serde(rename = "Code", borrow, default)]
    pub code: Loose<'a>,
    #[serde(rename = "CodeN", borrow, default)]
    pub number: Loose<'a>,
}

/// The result proper.
#[derive(Deserialize)]
pub(super) struct ResultPart<'a> {
    #[serde(rename = "AppId", borrow, default)]
    pub app_id: Loose<'a>,
    #[serde(rename = "QueryOnlineResults", borrow, default)]
    pub online: Option<Online<'a>>,
}

/// Who is online: each user's connections by the user's id, in the order of the reply.
pub(super) struct Online<'a>(pub Vec<(Cow<'a, str>, Connections<'a>)>);

/// One user's connections, or whatever stands in their place.
pub(super) type Connections<'a> = List<Object<Connection<'a>>>;

/// One connection. `UserId` repeats the key; device and client version are nobody's business.
#[derive(Deserialize)]
pub(super) struct Connection<'a> {
    #[serde(rename = "ConnId", borrow, default)]
    pub id: Loose<'a>,
    #[serde(rename = "Platform", borrow, default)]
    pub platform: Loose<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Online<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnlineVisitor)
    }
}

struct OnlineVisitor;

impl<'de> Visitor<'de> for OnlineVisitor {
    type Value = Online<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from user ids to connections")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut users = Vec::new();
        while let Some(Key(id)) = map.next_key::<Key<'de>>()? {
            users.push((id, map.next_value()?));
        }
        Ok(Online(users))
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The request body. The ids are canonical decimal numbers, so their text is their JSON.
pub(super) fn body(app_id: u32, ids: &[&str]) -> String {
    format!("{{\"AppId\":{app_id},\"UserIds\":[{}]}}", ids.join(","))
}
