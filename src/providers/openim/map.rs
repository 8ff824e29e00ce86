//! From a good answer to what it says of each target asked for, for both generations of rows. Pure.
//!
//! A row that says 0 or `offline` is offline, a missing row says nothing. An ill-formed row is its own user's fault only;
//! where a row names nobody, it stands for whoever got none.

use std::collections::HashMap;

use super::wire::{DetailData, DetailRow, StatusData, StatusRow, Terminal};
use super::{Rows, Said};
use crate::domain::{Fault, Platform, Seen, Target};
use crate::providers::Failure;
use crate::providers::conn_key::{CONNECTIONS_KEPT, ConnHasher};
use crate::providers::loose::{List, Loose, Object};

/// What `get_users_online_status` says of each target.
pub(super) fn detail_rows(
    data: &DetailData<'_>,
    targets: &[Target<'_>],
    hasher: &ConnHasher,
) -> Result<Rows, Failure> {
    rows(data, targets, |row: &DetailRow<'_>| (row.user_id.text(), detail(row, hasher)))
}

/// What `get_users_status` says of each target.
pub(super) fn status_rows(data: &Object<StatusData<'_>>, targets: &[Target<'_>]) -> Result<Rows, Failure> {
    let Some(data) = &data.0 else { return Err(no_list()) };
    rows(&data.list, targets, |row: &StatusRow<'_>| {
        let said = online(&row.status).map(|online| Seen { online, ..Seen::default() });
        (row.user_id.text(), said)
    })
}

fn rows<'r, T>(
    data: &'r List<Object<T>>,
    targets: &[Target<'_>],
    read: impl Fn(&'r T) -> (Option<&'r str>, Said),
) -> Result<Rows, Failure> {
    let items = match data {
        List::Items(items) => items.as_slice(),
        List::Null if targets.is_empty() => &[],
        // `null` is the answer to an empty list of ids only.
        List::Null | List::Absent | List::Other => return Err(no_list()),
    };
    let mut said: HashMap<&str, Said> = HashMap::with_capacity(items.len());
    let mut nameless = 0_usize;
    for item in items {
        match item.0.as_ref().map(&read) {
            Some((Some(id), seen)) => drop(said.entry(id).or_insert(seen)),
            Some((None, _)) | None => nameless += 1,
        }
    }
    let found = targets.iter().filter_map(|target| {
        let said = said.remove(target.id).or((nameless > 0).then_some(Err(Fault::BadAnswer)))?;
        Some((target.row, said))
    });
    Ok(found.collect())
}

fn no_list() -> Failure {
    Failure::new(Fault::BadAnswer, "an answer without a list of users")
}

fn detail(row: &DetailRow<'_>, hasher: &ConnHasher) -> Said {
    let terminals = match &row.terminals {
        List::Items(items) => items.as_slice(),
        List::Null | List::Absent => &[],
        List::Other => return Err(Fault::BadAnswer),
    };
    if !online(&row.status)? {
        let silent = terminals.is_empty();
        let offline = Seen { connections: Some(0), ..Seen::offline() };
        return if silent { Ok(offline) } else { Err(Fault::BadAnswer) };
    }
    let count = u32::try_from(terminals.len()).unwrap_or(u32::MAX);
    // Behind several gateways only the first one's connections are listed, and which one that is may change.
    let mut seen = Seen { connections: (count > 0).then_some(count), conns_partial: true, ..Seen::online() };
    for (number, terminal) in terminals.iter().enumerate() {
        let terminal = terminal.0.as_ref().ok_or(Fault::BadAnswer)?;
        let id = terminal.conn_id.text().ok_or(Fault::BadAnswer)?;
        let platform = platform(terminal)?;
        if number < CONNECTIONS_KEPT {
            seen.conns.push(hasher.key(id));
            seen.platforms.push(platform);
        }
    }
    Ok(seen)
}

/// Numbers since v3.8.1 and always in `get_users_status`, words before.
fn online(status: &Loose<'_>) -> Result<bool, Fault> {
    match status {
        Loose::Whole(1) => Ok(true),
        Loose::Whole(0) => Ok(false),
        Loose::Text(word) if word == "online" || word == "1" => Ok(true),
        Loose::Text(word) if word == "offline" || word == "0" => Ok(false),
        _ => Err(Fault::BadAnswer),
    }
}

/// By number, or else by the server's own name for it (`protocol/constant/platform_id_to_name.go`). An unknown number or
/// an empty word is what newer clients give.
fn platform(terminal: &Terminal<'_>) -> Result<Platform, Fault> {
    let number = match (&terminal.platform_id, &terminal.platform) {
        (Loose::Whole(number), _) => *number,
        (Loose::Absent | Loose::Null, Loose::Text(word)) => number_of(&word.to_ascii_lowercase()),
        (Loose::Absent | Loose::Null, Loose::Absent | Loose::Null) => 0,
        _ => return Err(Fault::BadAnswer),
    };
    Ok(match number {
        1 => Platform::Ios,
        2 => Platform::Android,
        3 => Platform::Windows,
        4 => Platform::Macos,
        // 6 is a page inside another app ("MiniWeb").
        5 | 6 => Platform::Web,
        7 => Platform::Linux,
        8 | 9 => Platform::Tablet,
        11 => Platform::Harmony,
        _ => Platform::Other,
    })
}

fn number_of(word: &str) -> i64 {
    match word {
        "ios" => 1,
        "android" => 2,
        "windows" => 3,
        "osx" => 4,
        "web" => 5,
        "miniweb" => 6,
        "linux" => 7,
        "apad" => 8,
        "ipad" => 9,
        "admin" => 10,
        "harmonyos" => 11,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::loopback::roster;

    fn hasher() -> ConnHasher {
        ConnHasher::new(b"secret", "test")
    }

    fn ask(ids: &[&str], data: &str) -> Result<Vec<(u32, Said)>, Failure> {
        let data: DetailData<'_> = serde_json::from_str(data).expect("JSON");
        let rows = detail_rows(&data, &roster(ids).iter().collect::<Vec<_>>(), &hasher())?;
        Ok(rows.into_iter().map(|(row, said)| (row.index, said)).collect())
    }

    fn one(row: &str) -> Said {
        ask(&["a"], &format!("[{row}]")).expect("a list").remove(0).1
    }

    #[test]
    fn both_generations_of_rows_are_read_row_by_row() {
        for (status, online) in [
            ("1", true),
            (r#""1""#, true),
            (r#""online""#, true),
            ("0", false),
            (r#""0""#, false),
            (r#""offline""#, false),
        ] {
            let said = one(&format!(r#"{{"userID":"a","status":{status},"detailPlatformStatus":null}}"#));
            assert_eq!(said.map(|seen| seen.online), Ok(online), "{status}");
        }
        for status in ["2", "-1", r#""Online""#, r#""""#, "null", "true", "1.0", "[1]", "{}"] {
            let said = one(&format!(r#"{{"userID":"a","status":{status}}}"#));
            assert_eq!(said, Err(Fault::BadAnswer), "{status}");
        }
        assert_eq!(one(r#"{"userID":"a"}"#), Err(Fault::BadAnswer));
    }

    #[test]
    fn terminals_are_connections_with_a_platform_by_number_or_by_name() {
        let said = one(
            r#"{"userID":"a","status":1,"detailPlatformStatus":[{"platformID":2,"connID":"x","token":"t"},
            {"platformID":99,"connID":"y"},{"platform":"OSX","status":"online","connID":"z"},
            {"platform":"","connID":"u"},{"platformID":9,"connID":"v"},{"platform":"harmonyos","connID":"w"}]}"#,
        )
        .expect("a good row");
        let platforms: Vec<&str> = said.platforms.iter().map(|platform| platform.as_str()).collect();
        assert_eq!(platforms, ["android", "other", "macos", "other", "tablet", "harmony"]);
        assert_eq!((said.connections, said.conns[0]), (Some(6), hasher().key("x")));
        assert!(said.conns_partial, "another gateway may hold more");
        let offline = one(r#"{"userID":"a","status":0,"detailPlatformStatus":[]}"#).expect("a good row");
        assert_eq!((offline.online, offline.connections), (false, Some(0)));
        let bare = one(r#"{"userID":"a","status":1,"detailPlatformStatus":null}"#).expect("a good row");
        assert_eq!(
            (bare.online, bare.connections),
            (true, None),
            "nothing is counted where nothing is listed"
        );
    }

    #[test]
    fn an_ill_formed_row_is_the_fault_of_its_own_user_only() {
        for bad in [
            r#""status":1,"detailPlatformStatus":7"#,
            r#""status":1,"detailPlatformStatus":[7]"#,
            r#""status":1,"detailPlatformStatus":[{"platformID":2}]"#,
            r#""status":1,"detailPlatformStatus":[{"platformID":"2","connID":"x"}]"#,
            r#""status":1,"detailPlatformStatus":[{"platformID":2,"connID":5}]"#,
            r#""status":0,"detailPlatformStatus":[{"platformID":2,"connID":"x"}]"#,
        ] {
            let data = format!(r#"[{{"userID":"a",{bad}}},{{"userID":"b","status":0}}]"#);
            let said = ask(&["a", "b"], &data).expect("a list");
            assert_eq!(said[0].1, Err(Fault::BadAnswer), "{bad}");
            assert!(said[1].1.as_ref().is_ok_and(|seen| !seen.online), "{bad}");
        }
    }

    #[test]
    fn a_missing_row_says_nothing_and_a_row_that_was_not_asked_for_is_nobodys() {
        let data = r#"[{"userID":"c","status":1},{"userID":"b","status":1,"new":{}}]"#;
        let said = ask(&["a", "b"], data).expect("a list");
        assert_eq!(said.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        assert_eq!(ask(&["a"], "[]").expect("a list"), []);
    }

    #[test]
    fn a_row_that_names_nobody_stands_for_whoever_got_none() {
        for nameless in ["7", "null", "{}", r#"{"userID":5,"status":0}"#] {
            let said =
                ask(&["a", "b"], &format!(r#"[{nameless},{{"userID":"b","status":1}}]"#)).expect("a list");
            assert_eq!(said[0], (0, Err(Fault::BadAnswer)), "{nameless}");
            assert!(said[1].1.is_ok());
        }
    }

    #[test]
    fn no_list_is_no_answer_when_somebody_was_asked_about() {
        for data in ["null", "{}", "7", r#""x""#] {
            assert_eq!(ask(&["a"], data).expect_err(data).fault, Fault::BadAnswer);
        }
        assert_eq!(ask(&[], "null").expect("nobody was asked about"), []);
    }

    #[test]
    fn the_short_answer_says_online_or_offline_and_counts_nothing() {
        let json = r#"{"statusList":[{"userID":"a","status":1,"platformIDs":[2,5]},
            {"userID":"b","status":0,"platformIDs":null},{"userID":"c","status":7}]}"#;
        let data: Object<StatusData<'_>> = serde_json::from_str(json).expect("JSON");
        let rows = status_rows(&data, &roster(&["a", "b", "c", "d"]).iter().collect::<Vec<_>>());
        let said: Vec<_> = rows.expect("a list").into_iter().map(|(_, said)| said).collect();
        assert_eq!(said, [Ok(Seen::online()), Ok(Seen::offline()), Err(Fault::BadAnswer)]);
    }
}
