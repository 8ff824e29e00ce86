//! The replies of `ApsaraMQ` for MQTT, with the used fields only. Lists are flat arrays.
//!
//! A row of another shape stays a row, as [`Row::Damaged`], so that it cannot sink the others; a missing list does sink
//! the reply.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::providers::loose::Loose;

/// The reply of `QuerySessionByClientId`.
#[derive(Deserialize)]
pub struct SessionReply {
    /// Whether the client is online.
    #[serde(rename = "OnlineStatus")]
    pub online: bool,
}

/// The reply of `BatchQuerySessionByClientIds`.
#[derive(Deserialize)]
pub struct SessionsReply<'a> {
    /// One row a client, in no promised order.
    #[serde(borrow, rename = "OnlineStatusList")]
    pub rows: Vec<Row<Session<'a>>>,
}

/// One client's session.
#[derive(Deserialize)]
pub struct Session<'a> {
    /// The client's id, as it was asked for.
    #[serde(borrow, rename = "ClientId")]
    pub client_id: Cow<'a, str>,
    /// Whether it is online.
    #[serde(default, rename = "OnlineStatus")]
    pub online: Flag,
}

/// The reply of `QueryMqttTraceDevice`.
#[derive(Deserialize)]
pub struct TraceReply<'a> {
    /// Events, newest first if asked so.
    #[serde(borrow, rename = "DeviceInfoList")]
    pub rows: Vec<Row<Event<'a>>>,
}

/// Something that happened to a client.
#[derive(Deserialize)]
pub struct Event<'a> {
    /// When, as text without a zone: `2021-05-21 15:51:54.867`.
    #[serde(borrow, rename = "Time")]
    pub time: Cow<'a, str>,
    /// `connect`, `close` or `disconnect`.
    #[serde(borrow, rename = "Action")]
    pub action: Cow<'a, str>,
    /// How it went: `accepted` (a sample has `accept`), `not authorized`, `no heart` …
    #[serde(borrow, default, rename = "ActionInfo")]
    pub info: Cow<'a, str>,
    /// The connection.
    #[serde(borrow, rename = "ChannelId")]
    pub channel: Cow<'a, str>,
}

/// The reply of `ListGroupId`. A row that cannot be read sinks it: it may be a group.
#[derive(Deserialize)]
pub struct GroupsReply<'a> {
    /// All groups.
    #[serde(borrow, rename = "Data")]
    pub rows: Vec<Group<'a>>,
}

/// One group.
#[derive(Deserialize)]
pub struct Group<'a> {
    /// Its id, such as `GID_sensors`.
    #[serde(borrow, rename = "GroupId")]
    pub group_id: Cow<'a, str>,
}

/// The reply of `ListDeviceCredentialClientId`.
#[derive(Deserialize)]
pub struct ClientIdsReply<'a> {
    /// The page.
    #[serde(borrow, rename = "DeviceCredentialClientIdList")]
    pub list: ClientIds<'a>,
}

/// One page of a group's clients. An id that cannot be read sinks it.
#[derive(Deserialize)]
pub struct ClientIds<'a> {
    /// Their ids.
    #[serde(borrow, rename = "ClientIdList")]
    pub ids: Vec<Cow<'a, str>>,
    /// How many there are in all; text in the model, a number in the newest sample.
    #[serde(borrow, default, rename = "Total")]
    pub total: Loose<'a>,
    /// What the next page is asked for with; empty or absent after the last one.
    #[serde(borrow, default, rename = "NextToken")]
    pub next_token: Option<Cow<'a, str>>,
}

/// A row, or something that is none.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Row<T> {
    /// A row of the documented shape.
    Good(T),
    /// Something else stands in its place.
    Damaged(IgnoredAny),
}

/// `true` or `false`; `None` for anything else.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Flag(bool),
            Other(IgnoredAny),
        }
        Ok(match Any::deserialize(deserializer)? {
            Any::Flag(flag) => Self(Some(flag)),
            Any::Other(_) => Self(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_rows_stand_beside_damaged_ones() {
        let body = r#"{"RequestId":"R","OnlineStatusList":[{"ClientId":"GID_a@@@1","OnlineStatus":true},
            null,{"OnlineStatus":true},{"ClientId":"GID_a@@@\u0032","OnlineStatus":"true","New":{}}]}"#;
        let reply: SessionsReply<'_> = serde_json::from_str(body).unwrap();
        let rows: Vec<_> = reply
            .rows
            .iter()
            .map(|row| match row {
                Row::Good(row) => Some((row.client_id.as_ref(), row.online.0)),
                Row::Damaged(_) => None,
            })
            .collect();
        assert_eq!(rows, [Some(("GID_a@@@1", Some(true))), None, None, Some(("GID_a@@@2", None))]);
    }

    #[test]
    fn a_reply_without_its_list_or_status_is_no_reply() {
        for body in [r#"{"RequestId":"R"}"#, r#"{"OnlineStatusList":null}"#, r#"{"OnlineStatusList":{}}"#] {
            assert!(serde_json::from_str::<SessionsReply<'_>>(body).is_err(), "{body}");
        }
        for body in [r#"{"RequestId":"R"}"#, r#"{"OnlineStatus":"true"}"#, r#"{"OnlineStatus":null}"#] {
            assert!(serde_json::from_str::<SessionReply>(body).is_err(), "{body}");
        }
    }
}
