//! A login record: an attempt to connect, failed, being set up, open or over. Pure.
//!
//! How an open session looks is documented nowhere. It is taken to be one that was set up, did not fail, and whose end is
//! missing, null or empty. Failed logins are records as well; the texts of their reasons are documented nowhere either,
//! and are sorted into a closed list by the words in them.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;

use super::map::{Subject, names_of};
use super::sessions::Login;
use super::wire;
use crate::domain::{FailureReason, Outcome, Roster, Session};
use crate::providers::hash::hmac_sha256;

/// What keys of sessions are made under: it keeps them apart from other hashes and is no secret.
const KEY: &[u8] = b"presence-exporter sessions of huawei_workspace";

/// Words in the text of a failure (upper case), and what they say; the first that fits counts. Seen are codes such as
/// `VM_CONNECT_TIMEOUT`, `USER_AUTHENTICATION_FAILED`, `AGENT_NOT_READY`, and plain English.
const REASONS: &[(&str, FailureReason)] = &[
    ("TIMEOUT", FailureReason::Timeout),
    ("TIME_OUT", FailureReason::Timeout),
    ("TIMED OUT", FailureReason::Timeout),
    ("AUTHENTICAT", FailureReason::Authentication),
    ("AUTH_FAIL", FailureReason::Authentication),
    ("PASSWORD", FailureReason::Authentication),
    ("CREDENTIAL", FailureReason::Authentication),
    ("CERTIFICATE", FailureReason::Authentication),
    ("LOGIN_FAIL", FailureReason::Authentication),
    ("LOGON", FailureReason::Authentication),
    ("REJECT", FailureReason::Rejected),
    ("REFUSE", FailureReason::Rejected),
    ("DENIED", FailureReason::Rejected),
    ("DENY", FailureReason::Rejected),
    ("FORBID", FailureReason::Rejected),
    ("NOT ALLOWED", FailureReason::Rejected),
    ("NOT_ALLOWED", FailureReason::Rejected),
    ("UNAUTHORIZED", FailureReason::Rejected),
    ("NOT_AUTHORIZED", FailureReason::Rejected),
    ("NETWORK", FailureReason::Network),
    ("UNREACHABLE", FailureReason::Network),
    ("GATEWAY", FailureReason::Network),
    ("DNS", FailureReason::Network),
    ("AGENT", FailureReason::DesktopUnavailable),
    ("NOT_READY", FailureReason::DesktopUnavailable),
    ("NOT READY", FailureReason::DesktopUnavailable),
    ("UNREGISTER", FailureReason::DesktopUnavailable),
    ("NOT_REGISTER", FailureReason::DesktopUnavailable),
    ("UNAVAILABLE", FailureReason::DesktopUnavailable),
    ("DESKTOP", FailureReason::DesktopUnavailable),
    ("VM_", FailureReason::DesktopUnavailable),
];

/// Letters of a failure's text that are looked at: no reason is a story.
const REASON_CHARS_MAX: usize = 200;

/// A record as it was read. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub struct Record {
    transaction: Option<String>,
    desktop_id: Option<String>,
    computer: Option<String>,
    sid: Option<String>,
    user: Option<String>,
    start_ms: i64,
    setup_ms: Option<i64>,
    end: End,
    failure: Option<FailureReason>,
    network_rtt_ms: Option<u32>,
    e2e_rtt_ms: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    At(i64),
    /// Something stands there that is no time: it may or may not be over.
    Unreadable,
}

impl Record {
    /// Reads a record; `None` when it cannot be read or has no beginning.
    pub fn read(raw: &RawValue) -> Option<Self> {
        let record: wire::Record<'_> = serde_json::from_str(raw.get()).ok()?;
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        let end = match text(record.connection_end_time) {
            None => End::Open,
            Some(end) => time(&end).map_or(End::Unreadable, End::At),
        };
        Some(Self {
            transaction: text(record.transaction_id),
            desktop_id: text(record.desktop_id),
            computer: text(record.computer_name),
            sid: text(record.sid),
            user: text(record.user_name),
            start_ms: time(record.connection_start_time.as_deref()?)?,
            setup_ms: record.connection_setup_time.as_deref().and_then(time),
            end,
            failure: text(record.connection_failure_reason).map(|text| reason(&text)),
            network_rtt_ms: record.network_rtt.and_then(|ms| u32::try_from(ms).ok()),
            e2e_rtt_ms: record.e2e_rtt.and_then(|ms| u32::try_from(ms).ok()),
        })
    }

    /// Whether it is of a target. Users of records may have a domain behind them.
    pub fn is_of(&self, roster: &Roster, subject: Subject) -> bool {
        let listed = |id: &str| roster.find(id).is_some();
        match subject {
            Subject::DesktopName => self.computer.as_deref().is_some_and(listed),
            Subject::DesktopId => self.desktop_id.as_deref().is_some_and(listed),
            Subject::User => self.user.as_deref().is_some_and(|user| names_of(user).any(listed)),
        }
    }

    /// The session that it tells of; `None` while it is being set up.
    pub fn session(&self) -> Option<Session> {
        let outcome = match (self.failure, self.setup_ms) {
            (Some(reason), _) => Outcome::Failed(reason),
            (None, Some(_)) => Outcome::Established,
            (None, None) => return None,
        };
        let setup = self.setup_ms.and_then(|setup_ms| u64::try_from(setup_ms - self.start_ms).ok());
        Some(Session {
            key: self.key(),
            started_ms: self.start_ms,
            ended_ms: if let End::At(end_ms) = self.end { Some(end_ms) } else { None },
            outcome,
            setup: setup.map(Duration::from_millis),
            network_rtt_ms: self.network_rtt_ms,
        })
    }

    /// The login that it tells of; `None` when it is no session: a failed attempt, one still being set up, or one whose
    /// end cannot be read.
    pub fn into_login(self) -> Option<Login> {
        let end_ms = match self.end {
            End::Open => None,
            End::At(end_ms) => Some(end_ms),
            End::Unreadable => return None,
        };
        if self.failure.is_some() {
            return None;
        }
        Some(Login {
            transaction: self.transaction,
            desktop_id: self.desktop_id,
            computer: self.computer,
            sid: self.sid,
            user: self.user,
            start_ms: self.start_ms,
            setup_ms: self.setup_ms?,
            end_ms,
            network_rtt_ms: self.network_rtt_ms,
            e2e_rtt_ms: self.e2e_rtt_ms,
        })
    }

    /// The same for every copy of one record: by the attempt's id, else by desktop, user and beginning.
    fn key(&self) -> u64 {
        let identity = match &self.transaction {
            Some(transaction) => format!("t\0{transaction}"),
            None => {
                let desktop = [&self.desktop_id, &self.sid, &self.computer].into_iter().flatten().next();
                let (desktop, user) =
                    (desktop.map_or("", String::as_str), self.user.as_deref().unwrap_or(""));
                format!("r\0{desktop}\0{user}\0{}", self.start_ms)
            }
        };
        let digest = hmac_sha256(KEY, identity.as_bytes());
        u64::from_be_bytes(*digest.first_chunk().expect("a SHA-256 digest has 32 bytes"))
    }
}

fn text(value: Option<Cow<'_, str>>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(Cow::into_owned)
}

fn reason(text: &str) -> FailureReason {
    let text: String = text.chars().take(REASON_CHARS_MAX).collect::<String>().to_uppercase();
    REASONS.iter().find(|(word, _)| text.contains(word)).map_or(FailureReason::Other, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::loopback::roster;

    fn read(json: &serde_json::Value) -> Option<Record> {
        Record::read(&RawValue::from_string(json.to_string()).unwrap())
    }

    fn whole() -> serde_json::Value {
        serde_json::json!({
            "transaction_id": "t1", "desktop_id": "d1", "computer_name": "PC1", "sid": "S-1", "user_name": "a@local.com",
            "connection_start_time": "2026-03-01T02:00:00Z", "connection_setup_time": "2026-03-01T02:00:03Z",
            "connection_end_time": "2026-03-01T02:10:00Z", "network_rtt": 20, "e2e_rtt": 40,
        })
    }

    fn with(name: &str, value: serde_json::Value) -> serde_json::Value {
        let mut json = whole();
        json[name] = value;
        json
    }

    #[test]
    fn a_record_tells_set_up_end_and_round_trip_time() {
        let session = read(&whole()).and_then(|record| record.session()).unwrap();
        assert_eq!(session.outcome, Outcome::Established);
        assert_eq!(session.setup, Some(Duration::from_secs(3)));
        assert_eq!(session.ended_ms.map(|end| end - session.started_ms), Some(600_000));
        assert_eq!(session.network_rtt_ms, Some(20));
        for open in [serde_json::Value::Null, "".into()] {
            let record = read(&with("connection_end_time", open)).unwrap();
            assert_eq!(record.session().unwrap().ended_ms, None);
            assert_eq!(record.into_login().unwrap().end_ms, None);
        }
        let odd = read(&with("connection_end_time", "soon".into())).unwrap();
        assert_eq!(odd.session().unwrap().ended_ms, None);
        assert_eq!(odd.into_login(), None, "it may be over");
        let backwards = read(&with("connection_setup_time", "2026-03-01T01:59:59Z".into())).unwrap();
        assert_eq!(backwards.session().unwrap().setup, None);
    }

    #[test]
    fn a_failure_is_no_login_and_one_being_set_up_is_nothing_yet() {
        let failed = read(&with("connection_failure_reason", "AGENT_NOT_READY".into())).unwrap();
        assert_eq!(failed.session().unwrap().outcome, Outcome::Failed(FailureReason::DesktopUnavailable));
        assert_eq!(failed.into_login(), None);
        let pending = read(&with("connection_setup_time", serde_json::Value::Null)).unwrap();
        assert_eq!((pending.session(), pending.into_login()), (None, None));
        assert!(read(&with("connection_start_time", "yesterday".into())).is_none());
    }

    #[test]
    fn copies_of_a_record_have_one_key_and_different_records_different_ones() {
        let key = |json: &serde_json::Value| read(json).unwrap().key();
        assert_eq!(key(&whole()), key(&with("connection_end_time", serde_json::Value::Null)));
        assert_ne!(key(&whole()), key(&with("transaction_id", "t2".into())));
        let bare = |name: &str, value: &str| {
            let mut json = with(name, value.into());
            json["transaction_id"] = serde_json::Value::Null;
            json
        };
        let plain = bare("e2e_rtt", "1");
        assert_eq!(key(&plain), key(&bare("network_rtt", "7")));
        for (name, value) in
            [("desktop_id", "d2"), ("user_name", "b"), ("connection_start_time", "2026-03-01T02:00:01Z")]
        {
            assert_ne!(key(&plain), key(&bare(name, value)), "{name}");
        }
    }

    #[test]
    fn a_record_belongs_to_a_desktop_by_name_or_id_and_to_a_user_with_or_without_domain() {
        let record = read(&whole()).unwrap();
        for (subject, own) in [
            (Subject::DesktopName, &["PC1"][..]),
            (Subject::DesktopId, &["d1"]),
            (Subject::User, &["a"]),
            (Subject::User, &["a@local.com"]),
        ] {
            assert!(record.is_of(&roster(own), subject), "{own:?}");
            assert!(!record.is_of(&roster(&["another"]), subject));
        }
        assert!(!record.is_of(&roster(&["d1"]), Subject::DesktopName));
    }

    #[test]
    fn texts_of_failures_are_sorted_into_the_closed_list() {
        for (text, expected) in [
            ("VM_CONNECT_TIMEOUT", FailureReason::Timeout),
            ("USER_AUTHENTICATION_FAILED", FailureReason::Authentication),
            ("AUTH_FAILED", FailureReason::Authentication),
            ("Incorrect password", FailureReason::Authentication),
            ("AGENT_NOT_READY", FailureReason::DesktopUnavailable),
            ("the desktop is unavailable", FailureReason::DesktopUnavailable),
            ("network error", FailureReason::Network),
            ("Access denied by policy", FailureReason::Rejected),
            ("UNAUTHORIZED", FailureReason::Rejected),
            ("51b0-0017", FailureReason::Other),
            ("\u{1f980}", FailureReason::Other),
        ] {
            assert_eq!(reason(text), expected, "{text}");
        }
        assert_eq!(reason(&format!("{}TIMEOUT", "x".repeat(REASON_CHARS_MAX))), FailureReason::Other);
    }
}
