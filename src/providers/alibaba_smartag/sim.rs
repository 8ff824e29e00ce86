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
//! | `page_cap` | rows of a page of accounts or instances at most, as the reply says then; 50 if absent |
//! | `totals` = `text` | counts of accounts and instances are texts; else numbers |
//! | `empty` = `absent`, `null`, `object`, `text`, `list` | what `Users` looks like without a client; `list` if absent |

use serde_json::{Value, json};

use super::{GATEWAYS, NAME, PRODUCT, STATISTICS, USERS, VERSION};
use crate::providers::alibaba::gateway::{Gateway, Params, Product, Refusal};
use crate::providers::sim::{Population, SimApi, SimOptions, SimReply, SimRequest, Subject, Trouble, World};

const SMARTAG: Product = Product {
    code: "Smartag",
    host: PRODUCT,
    version: VERSION,
    actions: &[
        "DescribeUserOnlineClients",
        "DescribeUserOnlineClientStatistics",
        "DescribeSmartAccessGatewayClientUsers",
        "DescribeSmartAccessGateways",
    ],
};

/// The longest name that can be created, in characters.
const NAME_CHARS: usize = 33;

/// Rows of a page where none is asked for, and at most where nothing else is said.
const PAGE: (usize, usize) = (10, 50);

/// Simulated Smartag.
pub struct Sim {
    gateway: Gateway,
    switches: Switches,
}

struct Switches {
    list_offline: bool,
    numbers: bool,
    page_cap: usize,
    text_totals: bool,
    empty: String,
}

impl Sim {
    /// A simulated Smartag that knows the one key of these options.
    pub fn new(options: SimOptions) -> Self {
        let switches = Switches {
            list_offline: options.switch("offline_rows") != Some("absent"),
            numbers: options.switch("numbers") == Some("true"),
            page_cap: options.switch("page_cap").and_then(|cap| cap.parse().ok()).unwrap_or(PAGE.1),
            text_totals: options.switch("totals") == Some("text"),
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
            if action == GATEWAYS.name {
                return switches.gateways(world, params);
            }
            let population = instance(world, params)?;
            if action == USERS.name {
                switches.users(population, params)
            } else if action == STATISTICS.name {
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
                let wrong = json!({"Users": 7, "UserStatistics": 7, "SmartAccessGateways": 7});
                self.gateway.accept(action, wrong)
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

    fn users(&self, population: &Population, params: &Params) -> Result<Value, Refusal> {
        let name = params.filled("UserName");
        let row = |subject: &Subject| {
            json!({"UserName": subject.id, "UserMail": "", "ClientIp": "", "IsStaticIp": 0, "Bandwidth": 2000,
                   "State": 0})
        };
        let named = population.subjects.iter().filter(|subject| name.is_none_or(|name| subject.id == name));
        let (rows, mut reply) = self.page(named.map(row).collect(), params)?;
        reply["Users"] = json!({"User": rows});
        Ok(reply)
    }

    /// Every instance of the world, which are all of the kind that has users.
    fn gateways(&self, world: &World, params: &Params) -> Result<Value, Refusal> {
        let wanted = matches!(params.filled("InstanceType"), None | Some("software"));
        let row = |population: &Population| {
            json!({"SmartAGId": population.scope, "Name": "", "Status": "Active",
                   "UserCount": population.subjects.len()})
        };
        let (rows, mut reply) =
            self.page(world.of_provider(NAME).filter(|_| wanted).map(row).collect(), params)?;
        reply["SmartAccessGateways"] = json!({"SmartAccessGateway": rows});
        Ok(reply)
    }

    /// The rows of the page that is asked for, and the reply's own words about it.
    fn page(&self, rows: Vec<Value>, params: &Params) -> Result<(Vec<Value>, Value), Refusal> {
        let number = |name: &'static str, default: usize| match params.filled(name) {
            None => Ok(default),
            Some(text) => {
                let good = text.parse().ok().filter(|number| *number >= 1);
                good.ok_or_else(|| Refusal::invalid(&format!("Parameter.{name}")))
            }
        };
        let (page, size) = (number("PageNumber", 1)?, number("PageSize", PAGE.0)?.min(self.page_cap.max(1)));
        let total = rows.len();
        let told = if self.text_totals { Value::from(total.to_string()) } else { total.into() };
        let reply = json!({"TotalCount": told, "PageNumber": page, "PageSize": size});
        let rows = rows.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        Ok((rows, reply))
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
