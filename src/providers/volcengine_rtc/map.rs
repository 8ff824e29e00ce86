//! From a good answer to what it says of each target asked for. Pure.
//!
//! The key of the map is "the id of an online user": a target whose id is absent, or there with no connection, is
//! offline. A key that was not asked for is nobody's and ignored. An ill-formed entry is its own user's fault only.

use std::collections::HashMap;

use crate::domain::{Fault, Platform, RowId, Seen, Target};
use crate::providers::conn_key::{CONNECTIONS_KEPT, ConnHasher};
use crate::providers::loose::{List, Loose};

use super::wire::{Connection, Connections, Online};

/// What the answer says of each target.
pub(super) fn rows(
    online: Option<&Online<'_>>,
    targets: &[Target<'_>],
    hasher: &ConnHasher,
) -> Vec<(RowId, Result<Seen, Fault>)> {
    let users: HashMap<&str, &Connections<'_>> = online
        .map(|online| online.0.iter().map(|(id, seen)| (id.as_ref(), seen)).collect())
        .unwrap_or_default();
    let seen_of = |target: &Target<'_>| match users.get(target.id) {
        Some(connections) => seen(connections, hasher),
        None => Ok(offline()),
    };
    targets.iter().map(|target| (target.row, seen_of(target))).collect()
}

fn seen(connections: &Connections<'_>, hasher: &ConnHasher) -> Result<Seen, Fault> {
    let items = match connections {
        List::Items(items) => items,
        List::Null => return Ok(offline()),
        List::Absent | List::Other => return Err(Fault::BadAnswer),
    };
    if items.is_empty() {
        return Ok(offline());
    }
    let mut seen = Seen {
        connections: Some(u32::try_from(items.len()).unwrap_or(u32::MAX)),
        conns_partial: items.len() > CONNECTIONS_KEPT,
        ..Seen::online()
    };
    for (number, item) in items.iter().enumerate() {
        let connection = item.0.as_ref().ok_or(Fault::BadAnswer)?;
        let id = connection.id.text().ok_or(Fault::BadAnswer)?;
        let platform = platform(connection)?;
        if number < CONNECTIONS_KEPT {
            seen.conns.push(hasher.key(id));
            seen.platforms.push(platform);
        }
    }
    Ok(seen)
}

fn offline() -> Seen {
    Seen { connections: Some(0), ..Seen::offline() }
}

/// The page lists `Android`, `iOS` and `Web` "at present"; the list is open.
fn platform(connection: &Connection<'_>) -> Result<Platform, Fault> {
    let name = match &connection.platform {
        Loose::Text(name) => name.to_ascii_lowercase(),
        Loose::Absent | Loose::Null => return Ok(Platform::Other),
        Loose::Whole(_) | Loose::Other => return Err(Fault::BadAnswer),
    };
    Ok(match name.as_str() {
        "android" => Platform::Android,
        "ios" => Platform::Ios,
        "web" => Platform::Web,
        "windows" => Platform::Windows,
        "mac" | "macos" => Platform::Macos,
        "linux" => Platform::Linux,
        "harmony" | "harmonyos" => Platform::Harmony,
        _ => Platform::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::loopback::roster;

    fn ask(ids: &[&str], map: &str) -> Vec<Result<Seen, Fault>> {
        let roster = roster(ids);
        let targets: Vec<_> = roster.iter().collect();
        let online: Option<Online<'_>> = serde_json::from_str(map).expect("the map is JSON");
        let rows = rows(online.as_ref(), &targets, &ConnHasher::new(b"secret", "1"));
        rows.into_iter().map(|(_, seen)| seen).collect()
    }

    #[test]
    fn absent_empty_null_and_no_map_are_offline_with_no_connection() {
        for map in ["{}", r#"{"1":[]}"#, r#"{"1":null}"#, "null", r#"{"2":[{"ConnId":"a"}]}"#] {
            assert_eq!(ask(&["1"], map), [Ok(offline())], "{map}");
        }
    }

    #[test]
    fn an_id_above_the_precision_of_a_double_is_not_taken_for_its_neighbour() {
        let map = r#"{"9007199254740993":[{"ConnId":"a","UserId":9007199254740993,"Platform":"Web"}]}"#;
        let seen = ask(&["9007199254740992", "9007199254740993", "9223372036854775807"], map);
        assert_eq!(
            seen.iter().map(|s| s.as_ref().map(|s| s.online)).collect::<Vec<_>>(),
            [Ok(false), Ok(true), Ok(false)]
        );
    }

    #[test]
    fn each_connection_counts_and_names_its_platform() {
        let map = r#"{"1":[{"ConnId":"a","Platform":"Android","New":{"x":[]}},{"ConnId":"b","Platform":"iOS"},
            {"ConnId":"c","Platform":"Fridge"},{"ConnId":"d"}]}"#;
        let seen = ask(&["1"], map).remove(0).expect("a good row");
        assert_eq!(seen.connections, Some(4));
        assert_eq!(seen.platforms, [Platform::Android, Platform::Ios, Platform::Other, Platform::Other]);
        assert_eq!((seen.conns.len(), seen.conns_partial), (4, false));
        assert_ne!(seen.conns[0], seen.conns[1]);
    }

    #[test]
    fn an_ill_formed_entry_is_the_fault_of_its_own_user_only() {
        for bad in [
            r#"{"ConnId":"a"}"#,
            "[7]",
            r#"[{"ConnId":7}]"#,
            "[{}]",
            r#"[{"ConnId":"a","Platform":3}]"#,
            "true",
            r#""online""#,
        ] {
            let map = format!(r#"{{"1":{bad},"2":[{{"ConnId":"b"}}]}}"#);
            let seen = ask(&["1", "2", "3"], &map);
            assert_eq!(seen[0], Err(Fault::BadAnswer), "{bad}");
            assert!(seen[1].as_ref().is_ok_and(|s| s.online), "{bad}");
            assert_eq!(seen[2], Ok(offline()), "{bad}");
        }
    }

    #[test]
    fn more_connections_than_anybody_has_are_counted_without_being_kept() {
        let many: Vec<String> = (0..300).map(|n| format!(r#"{{"ConnId":"{n}"}}"#)).collect();
        let seen = ask(&["1"], &format!(r#"{{"1":[{}]}}"#, many.join(","))).remove(0).expect("a good row");
        assert_eq!((seen.connections, seen.conns.len()), (Some(300), CONNECTIONS_KEPT));
        assert!(seen.conns_partial);
    }
}
