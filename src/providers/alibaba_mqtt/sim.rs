//! The other side of the wire: `ApsaraMQ` for MQTT behind the simulated gateway.
//!
//! A population's scope is the instance's id; instances outside the world belong to somebody else. Client ids outside it
//! are offline if they have the form `<group>@@@<device>`, else refused, alone or with their whole batch.
//!
//! Switches, beside the gateway's:
//!
//! | switch | meaning |
//! | --- | --- |
//! | `lag_ms` | how old the cache is that batches are answered from; 0 if absent |
//! | `order` = `reversed` | batches are answered in reverse order |
//! | `absent` = `unknown` | batches leave ids out that are not in the world; else they are listed as offline |
//! | `trace` = `false` | the instance has no trace: `ApiNotSupport` |
//! | `clients_cap` | ids of a page of clients at most, whatever is asked for |
//! | `clients` = `numbered` | pages of clients go by `PageNo` alone, with counts as text; else by `NextToken` |
//!
//! Every client of a group is listed, as if each had a credential of its own.

use jiff::tz::Offset;
use serde_json::{Value, json};

use super::{CLIENT_IDS, GROUPS, NAME, PRODUCT, SESSION, SESSIONS, VERSION};
use crate::providers::alibaba::gateway::{Gateway, Params, Product, Refusal};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Subject, Trouble, World};

const MQTT: Product = Product {
    code: "OnsMqtt",
    host: PRODUCT,
    version: VERSION,
    actions: &[
        "BatchQuerySessionByClientIds",
        "QuerySessionByClientId",
        "QueryMqttTraceDevice",
        "ListGroupId",
        "ListDeviceCredentialClientId",
    ],
};

/// Events of a page at most (`PageSize`: 1 to 100).
const TRACE_PAGE: usize = 100;

/// Ids of a page of clients at most (`PageSize`: 1 to 100).
const CLIENTS_PAGE: usize = 100;

/// What the tokens of further pages begin with.
const TOKEN_START: &str = "AAAAAQ-";

/// Simulated MQTT.
pub struct Sim {
    gateway: Gateway,
    switches: Switches,
}

struct Switches {
    lag_ms: i64,
    reversed: bool,
    leave_out_unknown: bool,
    traces: bool,
    clients_cap: usize,
    paging: Paging,
}

/// How pages of clients follow one another.
#[derive(PartialEq, Eq)]
enum Paging {
    Tokens,
    Numbers,
}

impl Sim {
    /// A simulated MQTT that knows the one key of these options.
    pub fn new(options: SimOptions) -> Self {
        let switches = Switches {
            lag_ms: options.switch("lag_ms").and_then(|ms| ms.parse::<u32>().ok()).map_or(0, i64::from),
            reversed: options.switch("order") == Some("reversed"),
            leave_out_unknown: options.switch("absent") == Some("unknown"),
            traces: options.switch("trace") != Some("false"),
            clients_cap: options
                .switch("clients_cap")
                .and_then(|cap| cap.parse().ok())
                .unwrap_or(CLIENTS_PAGE),
            paging: match options.switch("clients") {
                Some("numbered") => Paging::Numbers,
                _ => Paging::Tokens,
            },
        };
        Self { gateway: Gateway::new(&MQTT, options), switches }
    }
}

impl SimApi for Sim {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        self.gateway.claims(request)
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let Self { gateway, switches } = self;
        gateway.answer(now_ms, request, |action, params| {
            let population = instance(world, params)?;
            if action == SESSIONS.name {
                switches.sessions(population, now_ms, params)
            } else if action == SESSION.name {
                session(population, now_ms, params)
            } else if action == GROUPS.name {
                Ok(groups(population))
            } else if action == CLIENT_IDS.name {
                switches.clients(population, params)
            } else {
                switches.trace(population, now_ms, params)
            }
        })
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let action = self.gateway.action_of(request);
        match Refusal::of(trouble) {
            Some(refusal) => self.gateway.refuse(request, &refusal),
            None if trouble == Trouble::WrongType => self.gateway.accept(
                action,
                json!({"OnlineStatus": "true", "OnlineStatusList": {}, "DeviceInfoList": "none",
                       "Data": {}, "DeviceCredentialClientIdList": []}),
            ),
            None => self.gateway.accept(action, json!({})),
        }
    }

    fn account_keys(&self, _base: &str) -> Vec<(&'static str, String)> {
        self.gateway.account_keys()
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        vec![("instance", Value::from(population.scope.as_str()).to_string())]
    }
}

impl Switches {
    fn sessions(&self, population: &Population, now_ms: i64, params: &Params) -> Result<Value, Refusal> {
        let ids = params.list("ClientIdList");
        if ids.is_empty() {
            return Err(Refusal::missing("ClientIdList"));
        }
        if ids.len() > SESSIONS.ids_per_call as usize {
            return Err(bad_parameters());
        }
        let mut rows = Vec::new();
        for id in ids {
            let subject = client(population, id)?;
            if subject.is_some() || !self.leave_out_unknown {
                let online = subject.is_some_and(|subject| subject.is_online(now_ms - self.lag_ms));
                rows.push(json!({"ClientId": id, "OnlineStatus": online}));
            }
        }
        if self.reversed {
            rows.reverse();
        }
        Ok(json!({"OnlineStatusList": rows}))
    }

    fn trace(&self, population: &Population, now_ms: i64, params: &Params) -> Result<Value, Refusal> {
        if !self.traces {
            return Err(Refusal::new(404, "ApiNotSupport", "The specified API is not supported."));
        }
        params.filled("MqttRegionId").ok_or_else(|| Refusal::missing("MqttRegionId"))?;
        let id = params.filled("ClientId").ok_or_else(|| Refusal::missing("ClientId"))?;
        let (begin_ms, end_ms) = (number(params, "BeginTime")?, number(params, "EndTime")?);
        let (page, size) = (number(params, "CurrentPage")?, number(params, "PageSize")?);
        let size = usize::try_from(size).ok().filter(|size| (1..=TRACE_PAGE).contains(size));
        let page = usize::try_from(page).ok().filter(|page| *page >= 1);
        let (Some(page), Some(size)) = (page, size) else { return Err(bad_parameters()) };
        if begin_ms > end_ms {
            return Err(bad_parameters());
        }
        let subject = client(population, id)?;
        let mut events: Vec<(i64, Value)> = subject.into_iter().flat_map(events).collect();
        events.retain(|(at_ms, _)| (begin_ms..=end_ms.min(now_ms)).contains(at_ms));
        events.sort_by_key(|(at_ms, _)| *at_ms);
        if params.get("Reverse").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            events.reverse();
        }
        let total = events.len();
        let page_rows: Vec<Value> =
            events.into_iter().skip((page - 1).saturating_mul(size)).take(size).map(|(_, row)| row).collect();
        Ok(json!({"CurrentPage": page, "PageSize": size, "Total": total, "DeviceInfoList": page_rows}))
    }

    /// A page of a group's clients.
    fn clients(&self, population: &Population, params: &Params) -> Result<Value, Refusal> {
        let group = params.filled("GroupId").ok_or_else(|| Refusal::missing("GroupId"))?;
        let size = usize::try_from(number(params, "PageSize")?).ok();
        let size = size.filter(|size| (1..=CLIENTS_PAGE).contains(size)).ok_or_else(bad_parameters)?;
        let page = usize::try_from(number(params, "PageNo")?).ok().filter(|page| *page >= 1);
        let (page, size) = (page.ok_or_else(bad_parameters)?, size.min(self.clients_cap.max(1)));
        let ids: Vec<&str> = population
            .subjects
            .iter()
            .map(|subject| subject.id.as_str())
            .filter(|id| group_of(id) == group)
            .collect();
        let before = match params.filled("NextToken") {
            _ if self.paging == Paging::Numbers => (page - 1).saturating_mul(size),
            None => 0,
            Some(token) => token
                .strip_prefix(TOKEN_START)
                .and_then(|place| place.parse().ok())
                .ok_or_else(|| Refusal::invalid("Parameter.NextToken"))?,
        };
        let rows: Vec<&str> = ids.iter().skip(before).take(size).copied().collect();
        let next = before + rows.len();
        let list = if self.paging == Paging::Numbers {
            let text = |number: usize| number.to_string();
            json!({"ClientIdList": rows, "PageNo": text(page), "PageSize": text(size), "Total": text(ids.len())})
        } else {
            let token = if next < ids.len() { format!("{TOKEN_START}{next}") } else { String::new() };
            json!({"ClientIdList": rows, "PageNo": page, "PageSize": size, "Total": ids.len(), "NextToken": token})
        };
        Ok(json!({"DeviceCredentialClientIdList": list}))
    }
}

/// Every group that has a client.
fn groups(population: &Population) -> Value {
    let mut groups: Vec<&str> = population.subjects.iter().map(|subject| group_of(&subject.id)).collect();
    groups.sort_unstable();
    groups.dedup();
    let row = |group: &&str| {
        json!({"GroupId": group, "InstanceId": population.scope, "IndependentNaming": true,
               "CreateTime": 1_700_000_000_000_i64, "UpdateTime": 1_700_000_000_000_i64})
    };
    json!({"Data": groups.iter().map(row).collect::<Vec<_>>()})
}

fn group_of(id: &str) -> &str {
    id.split("@@@").next().unwrap_or_default()
}

fn session(population: &Population, now_ms: i64, params: &Params) -> Result<Value, Refusal> {
    let id = params.filled("ClientId").ok_or_else(|| Refusal::missing("ClientId"))?;
    let online = client(population, id)?.is_some_and(|subject| subject.is_online(now_ms));
    Ok(json!({"OnlineStatus": online}))
}

/// What the trace holds of a subject: each session's beginning and end, each failed attempt.
fn events(subject: &Subject) -> Vec<(i64, Value)> {
    let mut events = Vec::new();
    for session in &subject.sessions {
        let channel = format!("{:016x}", session.id);
        let mut add = |at_ms: i64, action: &str, info: &str| {
            events.push((
                at_ms,
                json!({"Time": china_time(at_ms), "Action": action, "ActionInfo": info, "ChannelId": channel,
                       "ActionCode": format!("mqtt.trace.action.{action}")}),
            ));
        };
        let up_ms = session.start_ms + session.setup_ms;
        if session.failure.is_some() {
            add(up_ms, "connect", "not authorized");
        } else {
            add(up_ms, "connect", "accepted");
            add(session.end_ms, "close", "closed by client");
        }
    }
    events
}

/// Text without a zone, in China's time.
fn china_time(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    Offset::constant(8).to_datetime(at).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn instance<'w>(world: &'w World, params: &Params) -> Result<&'w Population, Refusal> {
    let id = params.filled("InstanceId").ok_or_else(|| Refusal::missing("InstanceId"))?;
    world.population(NAME, id).ok_or_else(|| {
        let words = "An error occurred while validating the permissions of the instance. Please verify the account \
                     that created the instance and its permissions settings.";
        Refusal::new(400, "InstancePermissionCheckFailed", words)
    })
}

fn client<'w>(population: &'w Population, id: &str) -> Result<Option<&'w Subject>, Refusal> {
    let known = population.find(id);
    let formed = id.split_once("@@@").is_some_and(|(group, device)| !group.is_empty() && !device.is_empty());
    if known.is_none() && !formed {
        return Err(bad_parameters());
    }
    Ok(known)
}

fn number(params: &Params, name: &'static str) -> Result<i64, Refusal> {
    let text = params.filled(name).ok_or_else(|| Refusal::missing(name))?;
    text.parse().map_err(|_| Refusal::invalid(&format!("Parameter.{name}")))
}

fn bad_parameters() -> Refusal {
    let words =
        "An error occurred while validating the parameters. The parameters may be missing or invalid.";
    Refusal::new(400, "ParameterCheckFailed", words)
}
