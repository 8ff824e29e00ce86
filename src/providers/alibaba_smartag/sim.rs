//! The other side of the wire: Smartag behind the simulated gateway.
//!
//! A population's scope is the instance's id. Instances outside the world are refused; names outside it are offline if
//! they could be names (letters, digits, `_ @ . -`, at most 33), else refused, alone or with their whole batch.
//!
//! Switches, beside the gateway's:
//!
//! | switch | meaning |
//! | --- | --- |
//! | `offline_rows` = `absent` | the statistics leave offline names out; else they are listed with `"0"` |
//! | `numbers` = `true` | counts and times are numbers; else texts |
//! | `empty` = `absent`, `null`, `object`, `text`, `list` | what `Users` looks like without a client; `list` if absent |

use serde_json::{Value, json};

use super::{NAME, PRODUCT, STATISTICS, VERSION};
use crate::providers::alibaba::gateway::{Gateway, Params, Product, Refusal};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Subject, Trouble, World};

const SMARTAG: Product = Product {
    code: "Smartag",
    host: PRODUCT,
    version: VERSION,
    actions: &["DescribeUserOnlineClients", "DescribeUserOnlineClientStatistics"],
};

/// The longest name that can be created, in characters.
const NAME_CHARS: usize = 33;

/// Simulated Smartag.
pub struct Sim {
    gateway: Gateway,
    switches: Switches,
}

struct Switches {
    list_offline: bool,
    numbers: bool,
    empty: String,
}

impl Sim {
    /// A simulated Smartag that knows the one key of these options.
    pub fn new(options: SimOptions) -> Self {
        let switches = Switches {
            list_offline: options.switch("offline_rows") != Some("absent"),
            numbers: options.switch("numbers") == Some("true"),
            empty: options.switch("empty").unwrap_or("list").to_owned(),
        };
        Self { gateway: Gateway::new(&SMARTAG, options), switches }
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
            if action == STATISTICS.name {
                switches.statistics(population, now_ms, params)
            } else {
                switches.clients(population, now_ms, params)
            }
        })
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        let action = self.gateway.action_of(request);
        match Refusal::of(trouble) {
            Some(refusal) => self.gateway.refuse(request, &refusal),
            None if trouble == Trouble::WrongType => {
                self.gateway.accept(action, json!({"Users": 7, "UserStatistics": 7}))
            }
            None => self.gateway.accept_without_id(action, &json!({"Users": {}, "UserStatistics": {}})),
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
    fn statistics(&self, population: &Population, now_ms: i64, params: &Params) -> Result<Value, Refusal> {
        let names = params.list("UserNames");
        if names.is_empty() {
            return Err(Refusal::missing("UserNames"));
        }
        if names.len() > STATISTICS.ids_per_call as usize {
            return Err(Refusal::invalid("UserNames"));
        }
        let mut rows = Vec::new();
        for name in names {
            let count = subject(population, name)?.map_or(0, |subject| subject.open(now_ms).count());
            if count > 0 || self.list_offline {
                rows.push(json!({"UserName": name, "OnlineCount": self.number(count)}));
            }
        }
        Ok(json!({"UserStatistics": {"Statistics": rows}}))
    }

    fn clients(&self, population: &Population, now_ms: i64, params: &Params) -> Result<Value, Refusal> {
        let name = params
            .filled("UserName")
            .ok_or_else(|| Refusal::new(400, "ClientUser.NameEmpty", "You must specify UserName."))?;
        let sessions = subject(population, name)?.into_iter().flat_map(|subject| subject.open(now_ms));
        let users: Vec<Value> = sessions
            .map(|session| {
                let since_s = (session.start_ms + session.setup_ms).div_euclid(1000);
                json!({"ClientIp": format!("10.0.{}.{}", session.id >> 8 & 255, session.id & 255),
                       "OnlineTime": self.number(since_s)})
            })
            .collect();
        Ok(match (users.is_empty(), self.empty.as_str()) {
            (true, "absent") => json!({}),
            (true, "null") => json!({"Users": null}),
            (true, "object") => json!({"Users": {}}),
            (true, "text") => json!({"Users": ""}),
            _ => json!({"Users": {"User": users}}),
        })
    }

    fn number(&self, number: impl Into<Value> + ToString) -> Value {
        if self.numbers { number.into() } else { Value::String(number.to_string()) }
    }
}

fn instance<'w>(world: &'w World, params: &Params) -> Result<&'w Population, Refusal> {
    params.filled("RegionId").ok_or_else(|| Refusal::missing("RegionId"))?;
    let id = params
        .filled("SmartAGId")
        .ok_or_else(|| Refusal::new(400, "SAG.InstanceIdEmpty", "You must specify the SAG instance ID."))?;
    world
        .population(NAME, id)
        .ok_or_else(|| Refusal::new(400, "SAG.InstanceNoFound", "The specified SAG instance does not exist."))
}

fn subject<'w>(population: &'w Population, name: &str) -> Result<Option<&'w Subject>, Refusal> {
    let known = population.find(name);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.' | '-');
    if known.is_none() && !(name.chars().all(fits) && (1..=NAME_CHARS).contains(&name.len())) {
        return Err(Refusal::new(400, "ClientUser.NameInvalid", "The specified UserName is invalid."));
    }
    Ok(known)
}
