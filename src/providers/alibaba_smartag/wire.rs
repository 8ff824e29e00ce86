//! The replies of Smartag, with the used fields only. Addresses of clients are never parsed.
//!
//! Lists are wrapped, and the documents leave open what an empty one looks like: absent, `null`, `{}`, `""`, an empty
//! list, or one object where a list is expected are all understood. Numbers come as text or as numbers. A row of another
//! shape stays a row, as [`Row::Damaged`], so that it cannot sink the others.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::providers::loose::Loose;

/// Rows of a list at most: a batch has 50 names, and no account has thousands of clients.
const ROWS: usize = 10_000;

/// The reply of `DescribeUserOnlineClientStatistics`.
#[derive(serde::Deserialize)]
pub struct StatisticsReply<'a> {
    /// What makes it a reply of the provider at all.
    #[serde(borrow, rename = "RequestId")]
    pub request_id: Cow<'a, str>,
    /// The wrapped list.
    #[serde(borrow, default, rename = "UserStatistics")]
    pub user_statistics: Wrapped<StatisticsList<'a>>,
}

/// The inside of `UserStatistics`.
#[derive(Default, serde::Deserialize)]
pub struct StatisticsList<'a> {
    /// One row a name; whether offline names have one is not documented.
    #[serde(borrow, default, rename = "Statistics")]
    pub rows: Rows<Row<Statistic<'a>>>,
}

/// One name's count.
#[derive(serde::Deserialize)]
pub struct Statistic<'a> {
    /// The name, as it was asked for.
    #[serde(borrow, rename = "UserName")]
    pub user_name: Cow<'a, str>,
    /// How many clients are online; a text that holds a whole number.
    #[serde(default, rename = "OnlineCount")]
    pub online_count: Number,
}

/// The reply of `DescribeUserOnlineClients`.
#[derive(serde::Deserialize)]
pub struct ClientsReply<'a> {
    /// What makes it a reply of the provider at all.
    #[serde(borrow, rename = "RequestId")]
    pub request_id: Cow<'a, str>,
    /// The wrapped list.
    #[serde(default, rename = "Users")]
    pub users: Wrapped<ClientList>,
}

/// The inside of `Users`.
#[derive(Default, serde::Deserialize)]
pub struct ClientList {
    /// One row a live connection.
    #[serde(default, rename = "User")]
    pub rows: Rows<Row<Client>>,
}

/// One live connection.
#[derive(serde::Deserialize)]
pub struct Client {
    /// When it went online, in Unix seconds; text in most samples, a number in the newest.
    #[serde(default, rename = "OnlineTime")]
    pub online_time: Number,
}

/// The reply of `DescribeSmartAccessGatewayClientUsers`. A row that cannot be read sinks it: it may be anybody.
#[derive(serde::Deserialize)]
pub struct UsersReply<'a> {
    /// What makes it a reply of the provider at all.
    #[serde(borrow, rename = "RequestId")]
    pub request_id: Cow<'a, str>,
    /// How many accounts there are.
    #[serde(borrow, default, rename = "TotalCount")]
    pub total: Loose<'a>,
    /// How many rows a page has.
    #[serde(borrow, default, rename = "PageSize")]
    pub page_size: Loose<'a>,
    /// The wrapped list.
    #[serde(borrow, default, rename = "Users")]
    pub users: Wrapped<UserList<'a>>,
}

/// The inside of `Users` there.
#[derive(Default, serde::Deserialize)]
pub struct UserList<'a> {
    /// One row an account.
    #[serde(borrow, default, rename = "User")]
    pub rows: Rows<User<'a>>,
}

/// One account.
#[derive(serde::Deserialize)]
pub struct User<'a> {
    /// Its name.
    #[serde(borrow, rename = "UserName")]
    pub user_name: Cow<'a, str>,
}

/// The reply of `DescribeSmartAccessGateways`. A row that cannot be read sinks it.
#[derive(serde::Deserialize)]
pub struct GatewaysReply<'a> {
    /// What makes it a reply of the provider at all.
    #[serde(borrow, rename = "RequestId")]
    pub request_id: Cow<'a, str>,
    /// How many instances there are.
    #[serde(borrow, default, rename = "TotalCount")]
    pub total: Loose<'a>,
    /// How many rows a page has.
    #[serde(borrow, default, rename = "PageSize")]
    pub page_size: Loose<'a>,
    /// The wrapped list.
    #[serde(borrow, default, rename = "SmartAccessGateways")]
    pub gateways: Wrapped<GatewayList<'a>>,
}

/// The inside of `SmartAccessGateways`.
#[derive(Default, serde::Deserialize)]
pub struct GatewayList<'a> {
    /// One row an instance.
    #[serde(borrow, default, rename = "SmartAccessGateway")]
    pub rows: Rows<Gateway<'a>>,
}

/// One instance.
#[derive(serde::Deserialize)]
pub struct Gateway<'a> {
    /// Its id.
    #[serde(borrow, rename = "SmartAGId")]
    pub id: Cow<'a, str>,
}

/// A row, or something that is none.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub enum Row<T> {
    /// A row of the documented shape.
    Good(T),
    /// Something else stands in its place.
    Damaged(IgnoredAny),
}

/// A whole number, as number or as text; `None` for anything else.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub Option<i64>);

/// An object around a list; absent, `null` and `""` are an empty one.
#[derive(Default)]
pub struct Wrapped<T>(pub T);

/// A list; one object is a list of one, `null` and `""` are an empty one.
pub struct Rows<T>(pub Vec<T>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Any<'a> {
            Whole(i64),
            Text(#[serde(borrow)] Cow<'a, str>),
            Other(IgnoredAny),
        }
        Ok(match Any::deserialize(deserializer)? {
            Any::Whole(number) => Self(Some(number)),
            Any::Text(text) => Self(text.trim().parse().ok()),
            Any::Other(_) => Self(None),
        })
    }
}

struct WrappedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Wrapped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrappedVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for WrappedVisitor<T> {
    type Value = Wrapped<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object around a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Wrapped)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Wrapped::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        empty(text).map(|()| Wrapped::default())
    }
}

struct RowsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowsVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for RowsVisitor<T> {
    type Value = Rows<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element()? {
            if rows.len() == ROWS {
                return Err(A::Error::custom("more rows than any reply has"));
            }
            rows.push(row);
        }
        Ok(Rows(rows))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|row| Rows(vec![row]))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Rows::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        empty(text).map(|()| Rows::default())
    }
}

fn empty<E: Error>(text: &str) -> Result<(), E> {
    if text.trim().is_empty() { Ok(()) } else { Err(E::custom("a text where a list is expected")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(users: &str) -> Result<Vec<Option<i64>>, serde_json::Error> {
        let body = format!(r#"{{"RequestId":"R"{users}}}"#);
        let reply: ClientsReply<'_> = serde_json::from_str(&body)?;
        let time = |row| match row {
            Row::Good(Client { online_time }) => online_time.0,
            Row::Damaged(_) => Some(-1),
        };
        Ok(reply.users.0.rows.0.into_iter().map(time).collect())
    }

    #[test]
    fn every_shape_of_an_empty_list_is_an_empty_list() {
        for users in [
            "",
            r#","Users":null"#,
            r#","Users":{}"#,
            r#","Users":"""#,
            r#","Users":{"User":[]}"#,
            r#","Users":{"User":null}"#,
            r#","Users":{"User":""}"#,
        ] {
            assert_eq!(times(users).expect(users), [], "{users}");
        }
    }

    #[test]
    fn times_are_text_or_numbers_and_one_object_is_a_list_of_one() {
        let list = r#","Users":{"User":[{"ClientIp":"192.168.0.2","OnlineTime":"1559125519"},{"OnlineTime":7}],"New":1}"#;
        assert_eq!(times(list).unwrap(), [Some(1_559_125_519), Some(7)]);
        assert_eq!(times(r#","Users":{"User":{"OnlineTime":" 9 "}}"#).unwrap(), [Some(9)]);
        let odd = r#","Users":{"User":[{"OnlineTime":1.5},{"OnlineTime":[1]},{},3,null,{"OnlineTime":"x"}]}"#;
        assert_eq!(times(odd).unwrap(), [None, None, None, Some(-1), Some(-1), None]);
    }

    #[test]
    fn another_type_where_the_list_should_be_is_no_reply() {
        for users in [r#","Users":3"#, r#","Users":"x""#, r#","Users":{"User":true}"#, r#","Users":[1]"#] {
            assert!(times(users).is_err(), "{users}");
        }
        assert!(
            serde_json::from_str::<ClientsReply<'_>>(r#"{"Users":{"User":[]}}"#).is_err(),
            "no RequestId"
        );
    }

    #[test]
    fn statistics_keep_their_good_rows_beside_damaged_ones() {
        let body = r#"{"RequestId":"R","UserStatistics":{"Statistics":[
            {"OnlineCount":"2","UserName":"a"},7,{"OnlineCount":1},{"UserName":"b","OnlineCount":{}},
            {"UserName":"c\u002f","OnlineCount":0,"Extra":[]}]}}"#;
        let reply: StatisticsReply<'_> = serde_json::from_str(body).unwrap();
        let rows: Vec<_> = reply
            .user_statistics
            .0
            .rows
            .0
            .iter()
            .map(|row| match row {
                Row::Good(row) => Some((row.user_name.as_ref(), row.online_count.0)),
                Row::Damaged(_) => None,
            })
            .collect();
        assert_eq!(rows, [Some(("a", Some(2))), None, None, Some(("b", None)), Some(("c/", Some(0)))]);
    }
}
