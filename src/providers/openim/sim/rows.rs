//! What the server says of users: the rows of both generations, from the world.

use serde_json::{Value, json};

use super::jwt::Claims;
use super::{Outcome, Sim};
use crate::domain::Platform;
use crate::providers::hash::sha256_hex;
use crate::providers::openim::NAME;
use crate::providers::sim::{SimSession, World};

/// The server's names of the platforms 0 to 11.
const PLATFORM_NAMES: [&str; 12] =
    ["", "IOS", "Android", "Windows", "OSX", "Web", "MiniWeb", "Linux", "APad", "IPad", "Admin", "HarmonyOS"];

impl Sim {
    pub(super) fn detail(&self, world: &World, now_ms: i64, body: &[u8], caller: &str) -> Outcome {
        let ids = match asked_ids(body) {
            Ok(ids) => ids,
            Err(why) => return self.release.broken_body(why),
        };
        let all_down = (0..self.gateways).all(|gateway| self.down.contains(&gateway));
        let is_admin = self.admins.iter().any(|admin| admin == caller);
        if self.release.checks_admin() && !is_admin && !all_down && !ids.is_empty() {
            return self.release.not_admin();
        }
        if ids.is_empty() {
            return Outcome::Data(Value::Null);
        }
        Outcome::Data(ids.iter().map(|id| self.detail_row(world, now_ms, id)).collect())
    }

    /// The first gateway that holds the user, and nothing of the others.
    fn detail_row(&self, world: &World, now_ms: i64, id: &str) -> Value {
        let open: Vec<&SimSession> = open_sessions(world, id, now_ms).collect();
        let on = |gateway: u64| open.iter().filter(move |session| session.id % self.gateways == gateway);
        let mut up = (0..self.gateways).filter(|gateway| !self.down.contains(gateway));
        let terminals: Option<Vec<Value>> = up
            .find(|&gateway| on(gateway).next().is_some())
            .map(|gateway| on(gateway).map(|session| self.terminal(id, session)).collect());
        let status: Value = match (self.release.speaks_words(), terminals.is_some()) {
            (true, true) => "online".into(),
            (true, false) => "offline".into(),
            (false, online) => u8::from(online).into(),
        };
        json!({ "userID": id, "status": status, "detailPlatformStatus": terminals })
    }

    fn terminal(&self, user_id: &str, session: &SimSession) -> Value {
        let platform_id = platform_number(session.platform);
        let made_s = session.start_ms.div_euclid(1000);
        let claims = Claims {
            user_id: user_id.into(),
            platform_id,
            exp: made_s.saturating_add(7_776_000),
            nbf: self.release.has_nbf().then_some(made_s - 300),
            iat: Some(made_s),
        };
        let mut row = json!({
            "connID": &sha256_hex(&session.id.to_be_bytes())[..32],
            "isBackground": session.id % 4 == 1,
            "token": claims.sign(&self.secret),
        });
        if self.release.speaks_words() {
            row["platform"] = PLATFORM_NAMES[usize::try_from(platform_id).unwrap_or(0)].into();
            row["status"] = "online".into();
        } else {
            row["platformID"] = platform_id.into();
        }
        row
    }

    /// From memory shared by all gateways, so one that is down takes nobody with it.
    pub(super) fn short(&self, world: &World, now_ms: i64, body: &[u8]) -> Outcome {
        let ids = match asked_ids(body) {
            Ok(ids) => ids,
            Err(why) => return self.release.broken_body(why),
        };
        let caller =
            first_json(body).ok().and_then(|body| body["userID"].as_str().map(str::len)).unwrap_or(0);
        if ids.is_empty()
            || ids.len() > self.release.status_ids()
            || (caller == 0 && self.release.wants_caller())
        {
            return Outcome::refused(1001, "ArgsError", String::new());
        }
        let row = |id: &String| {
            let mut platforms: Vec<u64> =
                open_sessions(world, id, now_ms).map(|session| platform_number(session.platform)).collect();
            platforms.dedup();
            json!({ "userID": id, "status": u8::from(!platforms.is_empty()), "platformIDs": platforms })
        };
        Outcome::Data(json!({ "statusList": ids.iter().map(row).collect::<Vec<_>>() }))
    }

    /// A page of everybody's ids, administrators first: they are registered when the server starts.
    pub(super) fn users(&self, world: &World, body: &[u8], caller: &str) -> Outcome {
        const WRONG_TYPE: &str = "json: cannot unmarshal into Go struct field of type int32";
        let body = match first_json(body) {
            Ok(body) => body,
            Err(why) => return self.release.broken_body(why),
        };
        if self.release.checks_admin() && !self.admins.iter().any(|admin| admin == caller) {
            return self.release.not_admin();
        }
        let number = |name: &str| match &body["pagination"][name] {
            Value::Null => Some(0),
            number => number.as_i64().and_then(|number| i32::try_from(number).ok()),
        };
        let (Some(page), Some(rows)) = (number("pageNumber"), number("showNumber")) else {
            return self.release.broken_body(WRONG_TYPE);
        };
        if page < 1 {
            return Outcome::refused(1001, "ArgsError", "pageNumber is invalid".into());
        }
        let subjects = world.of_provider(NAME).flat_map(|population| &population.subjects);
        let ids: Vec<&str> =
            self.admins.iter().chain(subjects.map(|subject| &subject.id)).map(String::as_str).collect();
        let rows = usize::try_from(rows).unwrap_or(0).min(self.users_cap);
        let before = usize::try_from(page - 1).unwrap_or(0).saturating_mul(rows);
        let page: Vec<&str> = ids.iter().skip(before).take(rows).copied().collect();
        let total = if self.release.counts_users() { ids.len() } else { 0 };
        let page = if page.is_empty() { Value::Null } else { json!(page) };
        Outcome::Data(json!({ "total": total, "userIDs": page }))
    }
}

/// The server's JSON reader stops after the first value.
pub(super) fn first_json(body: &[u8]) -> Result<Value, &'static str> {
    match serde_json::Deserializer::from_slice(body).into_iter::<Value>().next() {
        None => Err("EOF"),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err("unexpected EOF"),
        Some(Err(_)) => Err("invalid character looking for beginning of value"),
    }
}

fn asked_ids(body: &[u8]) -> Result<Vec<String>, &'static str> {
    const WRONG_TYPE: &str = "json: cannot unmarshal into Go struct field userIDs of type string";
    let body = first_json(body)?;
    let fields = body.as_object().ok_or(WRONG_TYPE)?;
    let list = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case("userIDs")).map(|(_, value)| value);
    match list {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(ids)) => {
            ids.iter().map(|id| id.as_str().map(String::from).ok_or(WRONG_TYPE)).collect()
        }
        Some(_) => Err(WRONG_TYPE),
    }
}

fn open_sessions<'w>(world: &'w World, id: &str, now_ms: i64) -> impl Iterator<Item = &'w SimSession> {
    let subject = world.of_provider(NAME).find_map(|population| population.find(id));
    subject.into_iter().flat_map(move |subject| subject.open(now_ms))
}

fn platform_number(platform: Platform) -> u64 {
    match platform {
        Platform::Ios => 1,
        Platform::Android => 2,
        Platform::Windows => 3,
        Platform::Macos => 4,
        Platform::Web => 5,
        Platform::Linux => 7,
        Platform::Tablet => 9,
        Platform::Harmony => 11,
        Platform::Other => 10,
    }
}
