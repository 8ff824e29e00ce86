//! The two lists: desktops with their status, and login records, each under the switches.

use serde_json::{Map, Value, json};

use super::auth::Refused;
use super::{parse_query, second_text};
use crate::providers::hash::sha256_hex;
use crate::providers::sim::{Population, SimOptions, SimSession, Subject};

/// How long a desktop stays DISCONNECTED after a session, before it is REGISTERED again.
const DISCONNECTED_MS: i64 = 600_000;
/// Rows that pages may find inserted; then the list stays as it is.
const INSERTED_MAX: u32 = 1000;
/// Rows of a page at most: "maximum: 1000" (API definitions).
const PAGE_MAX: usize = 1000;

/// The lists of a population under the switches.
pub struct Lists {
    options: SimOptions,
    /// Desktops and records that were inserted between pages.
    inserted: (u32, u32),
}

/// A checked query.
struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    fn parse(query: &str) -> Result<Self, Refused> {
        parse_query(query).map(|pairs| Self { pairs }).ok_or_else(invalid)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, Refused> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| *number <= max).ok_or_else(invalid),
        }
    }

    /// A filter matches what it is not given for.
    fn allows(&self, name: &str, value: &str) -> bool {
        self.get(name).is_none_or(|wanted| wanted.is_empty() || wanted == value)
    }
}

fn invalid() -> Refused {
    Refused::new(400, "WKS.00139901", "The request message is invalid.")
}

impl Lists {
    /// Lists under these switches.
    pub fn new(options: &SimOptions) -> Self {
        Self { options: options.clone(), inserted: (0, 0) }
    }

    /// `ListDesktopsConnectStatus`.
    pub fn desktops(&mut self, population: &Population, now_ms: i64, query: &str) -> Result<Value, Refused> {
        let query = Query::parse(query)?;
        let (offset, limit) = (query.number("offset", 0, 100_000)?, query.number("limit", 100, 1000)?);
        if offset > 0 && self.is("insert_between_pages", "yes") {
            self.inserted.0 = (self.inserted.0 + 1).min(INSERTED_MAX);
        }
        let users: Vec<&str> = query
            .pairs
            .iter()
            .filter(|(name, _)| name == "user_names")
            .map(|(_, value)| value.as_str())
            .collect();
        let inserted = (0..self.inserted.0).rev().map(|n| {
            let id = format!("visitor-{n}");
            self.desktop(&id, &id, "UNREGISTER", "")
        });
        let listed = population.subjects.iter().filter_map(|subject| {
            let of_user = users.is_empty() || self.users(subject).iter().any(|user| users.contains(user));
            let status = Self::status(subject, now_ms);
            (of_user && query.allows("connect_status", status)).then(|| {
                self.desktop(
                    &self.desktop_id(subject),
                    &self.desktop_name(subject),
                    status,
                    &self.users(subject).join(","),
                )
            })
        });
        Ok(self.page("desktops", inserted.chain(listed).collect(), offset, limit))
    }

    /// `ListLoginRecordsNew`.
    pub fn records(&mut self, population: &Population, now_ms: i64, query: &str) -> Result<Value, Refused> {
        let query = Query::parse(query)?;
        let (offset, limit) = (query.number("offset", 0, usize::MAX)?, query.number("limit", 20, 1000)?);
        let limit = if limit == 0 { 20 } else { limit };
        let bounds = match (query.get("start_time"), query.get("end_time")) {
            (None, None) => i64::MIN..=i64::MAX,
            (Some(start), Some(end)) => minute(start)?..=minute(end)?,
            _ => return Err(invalid()),
        };
        if offset > 0 && self.is("insert_between_pages", "yes") {
            self.inserted.1 = (self.inserted.1 + 1).min(INSERTED_MAX);
        }
        let visible_ms = now_ms - self.number("visibility_delay_s") * 1000;
        let mut rows: Vec<(i64, u64, Value)> = Vec::new();
        for subject in &population.subjects {
            for (n, session) in subject.sessions.iter().enumerate() {
                if session.start_ms > visible_ms || !bounds.contains(&session.start_ms) {
                    continue;
                }
                let user = self.user_of(subject, session);
                if query.allows("computer_name", &self.desktop_name(subject))
                    && query.allows("user_name", &user)
                    && let Some(record) = self.record(subject, n, &user, visible_ms)
                {
                    rows.push((session.start_ms, session.id, record));
                }
            }
        }
        rows.sort_by_key(|(start_ms, id, _)| (*start_ms, *id));
        let mut rows: Vec<Value> = rows.into_iter().map(|(_, _, record)| record).collect();
        let inserted = (0..self.inserted.1).map(|n| {
            json!({"computer_name": "visitor", "user_name": format!("visitor-{n}"), "transaction_id": format!("v{n}"),
                "connection_start_time": second_text(now_ms), "connection_failure_reason": "inserted between pages"})
        });
        if query.get("user_name").is_none() && query.get("computer_name").is_none() {
            rows.extend(inserted);
        }
        if !self.is("order", "oldest") {
            rows.reverse();
        }
        Ok(self.page("records", rows, offset, limit))
    }

    /// `ListInstancesStatus`, as far as it is known: what is in use and what is not.
    pub fn instances(population: &Population, now_ms: i64) -> Value {
        let status =
            |wanted: &str| population.subjects.iter().filter(|s| Self::status(s, now_ms) == wanted).count();
        json!({"statics": [{
            "static_name": "all", "in_use_num": status("CONNECTED"), "ready_num": status("REGISTERED"),
            "disconnected_num": status("DISCONNECTED"), "unregistered_num": status("UNREGISTER"),
        }]})
    }

    fn page(&self, name: &str, rows: Vec<Value>, offset: usize, limit: usize) -> Value {
        let number = |switch: &str| self.options.switch(switch)?.parse::<usize>().ok();
        let own = if name == "desktops" { number("desktops_cap") } else { None };
        let cap = own.or_else(|| number("limit_cap")).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let total = rows.len();
        let rows: Vec<Value> = rows.into_iter().skip(offset).take(limit.min(cap)).collect();
        json!({"total_count": total, name: rows})
    }

    fn desktop(&self, id: &str, name: &str, status: &str, users: &str) -> Value {
        let users: Vec<Value> = users
            .split(',')
            .filter(|user| !user.is_empty())
            .map(|user| match user.strip_prefix('@') {
                Some(group) => {
                    json!({"id": sha256_hex(user.as_bytes())[..32], "name": group, "type": "GROUP"})
                }
                None => json!({"id": sha256_hex(user.as_bytes())[..32], "name": user, "type": "USER"}),
            })
            .collect();
        if self.is("wording", "example") {
            json!({"desktop_id": id, "desktop_name": name, "login_status": status, "attach_infos": users})
        } else {
            json!({"desktop_id": id, "desktop_name": name, "connect_status": status, "attach_users": users})
        }
    }

    /// A record as it shows at `visible_ms`, if it does.
    fn record(&self, subject: &Subject, n: usize, user: &str, visible_ms: i64) -> Option<Value> {
        let session = &subject.sessions[n];
        let stands_ms = session.start_ms + session.setup_ms;
        // A desktop carries one connection: the next one takes over.
        let next = subject.sessions[n + 1..].iter().filter(|next| next.failure.is_none());
        let taken_over_ms =
            next.map(|next| next.start_ms + next.setup_ms).filter(|ms| *ms >= stands_ms).min();
        let end_ms = match session.failure {
            Some(_) => stands_ms,
            None => session.end_ms.min(taken_over_ms.unwrap_or(i64::MAX)),
        };
        let ended = end_ms <= visible_ms;
        if !ended && self.is("open_sessions", "after_end") {
            return None;
        }
        let mut record = Map::new();
        let mut put = |name: &str, value: Value| drop(record.insert(name.to_owned(), value));
        put("tenantId", json!("51b0"));
        put("sid", json!(format!("S-1-5-21-{}", &sha256_hex(subject.id.as_bytes())[..8])));
        put("computer_name", json!(self.desktop_name(subject)));
        put("user_name", json!(user));
        put("terminal_type", json!(format!("{:?}", session.platform)));
        put("connection_start_time", json!(second_text(session.start_ms)));
        put("is_reconnect", json!(false));
        if !self.is("desktop_id", "absent") {
            put("desktop_id", json!(self.desktop_id(subject)));
        }
        if !self.is("transaction_id", "absent") {
            put("transaction_id", json!(format!("{:032x}", session.id)));
        }
        if let Some(reason) = session.failure.filter(|_| ended) {
            put("connection_failure_reason", json!(reason));
        } else if stands_ms <= visible_ms {
            put("connection_setup_time", json!(second_text(stands_ms)));
            if !self.is("rtt", "absent") {
                put("network_rtt", json!(session.network_rtt_at(visible_ms)));
                put("e2e_rtt", json!(session.e2e_rtt_at(visible_ms)));
            }
        }
        match self.options.switch("end_time") {
            _ if ended => put("connection_end_time", json!(second_text(end_ms))),
            Some("null") => put("connection_end_time", Value::Null),
            Some("empty") => put("connection_end_time", json!("")),
            _ => {}
        }
        Some(Value::Object(record))
    }

    fn status(subject: &Subject, now_ms: i64) -> &'static str {
        let just_left = || {
            let mut done = subject.sessions.iter().filter(|session| session.failure.is_none());
            done.any(|session| (now_ms - DISCONNECTED_MS..=now_ms).contains(&session.end_ms))
        };
        if subject.is_online(now_ms) {
            "CONNECTED"
        } else if just_left() {
            "DISCONNECTED"
        } else if sha256_hex(subject.id.as_bytes()).starts_with(['0', '1', '2']) {
            "UNREGISTER"
        } else {
            "REGISTERED"
        }
    }

    fn desktop_id(&self, subject: &Subject) -> String {
        if self.is("match", "id") {
            subject.id.clone()
        } else {
            sha256_hex(subject.id.as_bytes())[..32].to_owned()
        }
    }

    fn desktop_name(&self, subject: &Subject) -> String {
        if self.is("match", "id") || self.is("subject", "user") {
            format!("PC-{}", &sha256_hex(subject.id.as_bytes())[..8])
        } else {
            subject.id.clone()
        }
    }

    /// Whom a desktop is assigned to; groups with their `@`.
    fn users<'s>(&self, subject: &'s Subject) -> Vec<&'s str> {
        if self.is("subject", "user") {
            return vec![subject.id.as_str()];
        }
        subject.user.split(',').filter(|user| !user.is_empty()).collect()
    }

    /// Whose a session is, as records word it. A group's members are called after it and the session.
    fn user_of(&self, subject: &Subject, session: &SimSession) -> String {
        let users = self.users(subject);
        let turn = usize::try_from(session.id).unwrap_or(0).checked_rem(users.len());
        let user = turn.map_or("", |turn| users[turn]);
        let user = match user.strip_prefix('@') {
            Some(group) => format!("{group}-{}", session.id),
            None => user.to_owned(),
        };
        match self.options.switch("user_domain") {
            Some(domain) => format!("{user}@{domain}"),
            None => user,
        }
    }

    fn is(&self, switch: &str, value: &str) -> bool {
        self.options.switch(switch) == Some(value)
    }

    fn number(&self, switch: &str) -> i64 {
        self.options.switch(switch).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A time of the query: minutes, no seconds.
fn minute(text: &str) -> Result<i64, Refused> {
    let time = jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%MZ", text).map_err(|_| invalid())?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| invalid())?;
    Ok(zoned.timestamp().as_millisecond())
}
