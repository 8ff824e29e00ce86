//! Workspace and IAM, simulated on one host: checks in the gateway's order, answers from a world.
//!
//! Subjects of a population are desktops, each with the user that it is assigned to (several, separated by commas: a
//! shared desktop, whose sessions go round among them by session id; `@name`: a group). A desktop carries one connection:
//! a newer session takes over from an older one. Scopes are project ids.
//!
//! Switches, the first value being the default:
//!
//! | switch | values |
//! | --- | --- |
//! | `auth` | `key`, `password`: what [`SimApi::account_keys`] gives (both always work) |
//! | `project_id` | the project that the account may ask about |
//! | `token_life_s` | seconds that an IAM token lives, 86400 |
//! | `token_expires_ms` | Unix milliseconds from which the temporary key is expired; never |
//! | `user_disabled_ms` | Unix milliseconds from which the IAM user is disabled: no token is taken, none is issued; never |
//! | `calls_per_second` | Workspace calls that are let through in a second; none: no limit |
//! | `subject` | `desktop`; `user`: subjects are users, each with a desktop of its own |
//! | `match` | `name`, `id`: what a subject's id is to its desktop |
//! | `wording` | `schema`, `example`: `connect_status` and `attach_users`, or `login_status` and `attach_infos` |
//! | `open_sessions` | `visible`, `after_end`: whether records show before the session's end |
//! | `end_time` | `absent`, `null`, `empty`: how a record without an end says so |
//! | `order` | `newest`, `oldest` first |
//! | `visibility_delay_s` | how late records and their changes show, 0 |
//! | `limit_cap` | `1000` (the most), `100`, any: the rows of a page at most, whatever is asked for |
//! | `desktops_cap` | the same for pages of desktops alone |
//! | `transaction_id`, `rtt`, `desktop_id` | `present`, `absent` in records |
//! | `user_domain` | what stands behind `@` in the users of records; none |
//! | `insert_between_pages` | `no`, `yes`: each page but a first finds a new row at the list's front |
//!
//! It shares no code with the signer but the hashes.

mod auth;
mod lists;

use serde_json::{Value, json};

use self::auth::{Guard, Refused};
use self::lists::Lists;
use super::{CREATE_TOKEN, LIST_DESKTOPS, LIST_RECORDS, NAME};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Trouble, World};

/// The project when no switch names another.
pub const PROJECT_ID: &str = "00000000000000000000000000051b01";
/// The region, which is the name of the main project.
pub const REGION: &str = "sim-region-1";
/// What the ids of temporary keys begin with.
pub const KEY_START: &str = "HST3";
/// The account that the IAM user belongs to.
const DOMAIN: &str = "sim-domain";

/// The simulated API.
pub struct Simulated {
    options: SimOptions,
    guard: Guard,
    lists: Lists,
    requests: u64,
    /// The second of the last Workspace call, and how many came in it.
    rate: (i64, u32),
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked<'a> {
    Token,
    Projects,
    Desktops(&'a str),
    Records(&'a str),
    Instances(&'a str),
}

impl<'a> Asked<'a> {
    fn of(request: &SimRequest<'a>) -> Option<Self> {
        let segments: Vec<&str> = request.path.strip_prefix('/')?.split('/').collect();
        let get = request.method == http::Method::GET;
        match segments.as_slice() {
            ["v3", "auth", "tokens"] if request.method == http::Method::POST => Some(Self::Token),
            ["v3", "projects"] if get => Some(Self::Projects),
            ["v2", project, "connect-desktops"] if get => Some(Self::Desktops(project)),
            ["v2", project, "connections", "desktops"] if get => Some(Self::Records(project)),
            ["v2", project, "connections", "status"] if get => Some(Self::Instances(project)),
            _ => None,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Token => CREATE_TOKEN.name,
            Self::Projects => "KeystoneListProjects",
            Self::Desktops(_) => LIST_DESKTOPS.name,
            Self::Records(_) => LIST_RECORDS.name,
            Self::Instances(_) => "ListInstancesStatus",
        }
    }

    fn project(self) -> Option<&'a str> {
        match self {
            Self::Token | Self::Projects => None,
            Self::Desktops(project) | Self::Records(project) | Self::Instances(project) => Some(project),
        }
    }
}

impl Simulated {
    /// A simulated API with these keys and switches.
    pub fn new(options: SimOptions) -> Self {
        let guard = Guard::new(&options, project(&options));
        let lists = Lists::new(&options);
        Self { options, guard, lists, requests: 0, rate: (0, 0) }
    }

    /// What is answered, or refused in the gateway's words.
    fn judge(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> Result<Answered, Refused> {
        let asked = Asked::of(request).ok_or_else(|| {
            Refused::new(
                404,
                "APIGW.0101",
                "The API does not exist or has not been published in the environment.",
            )
        })?;
        if asked == Asked::Token {
            let issued = self.guard.issue(now_ms, request)?;
            return Ok(Answered { status: 201, body: issued.body, token: Some(issued.token) });
        }
        self.guard.check(now_ms, request, asked.project())?;
        self.throttle(now_ms)?;
        let ok = |body| Answered { status: 200, body, token: None };
        let Some(path_project) = asked.project() else {
            return Ok(ok(
                json!({"projects": [{"id": project(&self.options), "name": REGION, "enabled": true}]}),
            ));
        };
        if request.header("x-project-id").is_some_and(|sent| sent != path_project) {
            return Err(Refused::new(403, "APIGW.0302", "The IAM user is not authorized to access the API."));
        }
        let population = self.population(world, path_project)?;
        match asked {
            Asked::Records(_) => self.lists.records(population, now_ms, request.query).map(ok),
            Asked::Desktops(_) => self.lists.desktops(population, now_ms, request.query).map(ok),
            _ => Ok(ok(Lists::instances(population, now_ms))),
        }
    }

    /// The project's population. The account's own project holds any population when none is called by its id.
    fn population<'w>(&self, world: &'w World, id: &str) -> Result<&'w Population, Refused> {
        let own = id == project(&self.options);
        let any = || if own { world.of_provider(NAME).next() } else { None };
        world
            .population(NAME, id)
            .or_else(any)
            .ok_or_else(|| Refused::new(403, "APIGW.0310", "The project is unavailable."))
    }

    fn throttle(&mut self, now_ms: i64) -> Result<(), Refused> {
        let limit =
            self.options.switch("calls_per_second").and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
        let second = now_ms.div_euclid(1000);
        self.rate = if self.rate.0 == second { (second, self.rate.1.saturating_add(1)) } else { (second, 1) };
        if self.rate.1 > limit { Err(Refused::throttled(limit, Some(1))) } else { Ok(()) }
    }

    fn reply(
        &mut self,
        action: &'static str,
        judged: Result<Answered, Refused>,
        now_ms: Option<i64>,
    ) -> SimReply {
        self.requests += 1;
        let id = format!("51b0{:028x}", self.requests);
        let mut headers = vec![("content-type", "application/json".to_owned()), ("x-request-id", id.clone())];
        headers.extend(now_ms.map(|now_ms| ("date", http_date(now_ms))));
        let (status, body) = match judged {
            Ok(answered) => {
                headers.extend(answered.token.map(|token| ("x-subject-token", token)));
                (answered.status, answered.body)
            }
            Err(refused) => (refused.status, refused.body(&id)),
        };
        SimReply { action, status, headers, body: body.to_string().into_bytes() }
    }
}

/// An answer without its common headers.
struct Answered {
    status: u16,
    body: Value,
    token: Option<String>,
}

impl SimApi for Simulated {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        Asked::of(request).is_some()
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let judged = self.judge(world, now_ms, request);
        let action = Asked::of(request).map_or("", Asked::action);
        self.reply(action, judged, Some(now_ms))
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let asked = Asked::of(request);
        let iam = asked == Some(Asked::Token);
        let ok = |body| Ok(Answered { status: 200, body, token: None });
        let judged = match (trouble, iam) {
            (Trouble::Throttled { .. }, true) => Err(Refused::iam(429, "Too Many Requests")),
            (Trouble::Throttled { retry_after_s }, false) => Err(Refused::throttled(10, retry_after_s)),
            (Trouble::ServerError | Trouble::ErrorUnder200, true) => {
                Err(Refused::iam(500, "Internal Server Error"))
            }
            (Trouble::ServerError | Trouble::ErrorUnder200, false) => {
                Err(Refused::new(500, "APIGW.0601", "Internal server error."))
            }
            (Trouble::Forbidden, true) => Err(Refused::iam(403, "Forbidden")),
            (Trouble::Forbidden, false) => {
                Err(Refused::new(403, "APIGW.0302", "The IAM user is not authorized to access the API."))
            }
            (Trouble::Unauthorized, true) => Err(Refused::iam(401, "The username or password is wrong.")),
            (Trouble::Unauthorized, false) => Err(Refused::unauthorized("decrypt token fail")),
            (Trouble::WrongType, true) => ok(json!({"token": {"expires_at": 17}})),
            (Trouble::WrongType, false) => {
                ok(json!({"total_count": 1, "desktops": "none", "records": "none"}))
            }
            (Trouble::MissingField, true) => ok(json!({"token": {}})),
            (Trouble::MissingField, false) => ok(json!({"total_count": 1})),
        };
        self.reply(asked.map_or("", Asked::action), judged, None)
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        let mut keys = vec![("region", REGION.to_owned()), ("project_id", quoted(project(&self.options)))];
        if self.options.switch("auth") == Some("password") {
            keys.push(("iam_user", quoted(&self.options.key_id)));
            keys.push(("iam_password", quoted(&self.options.secret)));
            keys.push(("iam_domain", DOMAIN.to_owned()));
            keys.push(("iam_endpoint", quoted(base)));
        } else {
            keys.push(("access_key_id", quoted(&self.options.key_id)));
            keys.push(("access_key_secret", quoted(&self.options.secret)));
            keys.extend(self.options.token.as_deref().map(|token| ("security_token", quoted(token))));
        }
        keys
    }

    fn source_keys(&self, _: &Population) -> Vec<(&'static str, String)> {
        let switched = ["subject", "match"].into_iter();
        switched.filter_map(|name| Some((name, self.options.switch(name)?.to_owned()))).collect()
    }
}

fn project(options: &SimOptions) -> &str {
    options.switch("project_id").unwrap_or(PROJECT_ID)
}

/// A text as a double-quoted YAML scalar, which JSON's quoting is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn http_date(now_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(now_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// A time as records and tokens have it, with seconds.
fn second_text(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// A query's names and values, decoded. `None` for an escape that is none.
fn parse_query(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// Percent-decoding, byte by byte.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}
