//! Lists the accounts of an instance, and the instances of a region, page by page: whole, or not at all.
//!
//! It decides nothing about presence: `State` of an account says that it is enabled or not, and is not read; an account
//! that is disabled stays listed, and may have clients until they leave.

use std::collections::BTreeSet;

use super::client::{Client, identified};
use super::instance::Instances;
use super::wire::{GatewaysReply, UsersReply};
use super::{GATEWAYS, USERS};
use crate::domain::Fault;
use crate::providers::alibaba::rpc;
use crate::providers::cost::{Pages, Rows};
use crate::providers::http::Reply;
use crate::providers::loose::Loose;
use crate::providers::reading::{self, Next, Page, READINGS, Reading};
use crate::providers::{Action, Charge, Failure, Found, Net, Per};

/// Rows asked for in a page: the most that `DescribeSmartAccessGateways` takes (`PageSize`: 1 to 50). For accounts no
/// maximum is published; where a reply says that its pages are smaller, that size is asked for from then on.
const PAGE_ROWS: u32 = 50;

/// Rows of a page where a server does not give as many: the documented default of both calls.
const PAGE_ROWS_CAPPED: u32 = 10;

/// Instances at most. Each costs a call at least, so that more would take a minute of an account's default budget.
const INSTANCES_MAX: usize = 1000;

/// The calls of a discovery.
pub(super) fn charges(instances: &Instances) -> Vec<Charge> {
    let pages = |of| Per::Discovery(Pages { of, rows: PAGE_ROWS, capped: PAGE_ROWS_CAPPED });
    match instances {
        Instances::One(_) => vec![Charge { action: &USERS, per: pages(Rows::Everything) }],
        Instances::Named => vec![
            Charge { action: &GATEWAYS, per: pages(Rows::Parts) },
            Charge { action: &USERS, per: pages(Rows::EachPart) },
        ],
    }
}

/// A list to be read.
struct List<'a> {
    action: &'static Action,
    params: &'a [(&'a str, &'a str)],
    read: fn(&Reply) -> Result<Listed, Failure>,
    /// What is on it, as failures call it.
    what: &'static str,
}

/// A page as it came.
struct Listed {
    ids: Vec<String>,
    total: Option<usize>,
    /// How many rows a page has by the reply's own words.
    size: Option<usize>,
}

impl Client {
    /// Every account of the source's instance, or of every instance.
    pub(super) async fn users(&self, net: &Net) -> Result<Vec<Found>, Failure> {
        let named = match &self.instances {
            Instances::One(instance) => vec![instance.clone()],
            Instances::Named => self.gateways(net).await?,
        };
        let mut found = Vec::new();
        for instance in &named {
            let params = [("RegionId", self.region.as_str()), ("SmartAGId", instance.as_str())];
            let list = List { action: &USERS, params: &params, read: read_users, what: "accounts" };
            let users = self.read_list(net, &list).await?;
            let id = |user: String| Found { id: self.instances.join(instance, &user), name: None };
            found.extend(users.into_iter().map(id));
        }
        Ok(found)
    }

    /// Every app instance of the region, whatever its `Status`: the contract does not say in which of them nobody can be
    /// connected, and to leave one out would end the series of its users.
    async fn gateways(&self, net: &Net) -> Result<Vec<String>, Failure> {
        let params = [("RegionId", self.region.as_str()), ("InstanceType", "software")];
        let list = List { action: &GATEWAYS, params: &params, read: read_gateways, what: "instances" };
        let instances: Vec<String> = self.read_list(net, &list).await?.into_iter().collect();
        if instances.len() > INSTANCES_MAX {
            let message = format!("there are more than {INSTANCES_MAX} instances");
            return Err(Failure::new(Fault::BadAnswer, message));
        }
        Ok(instances)
    }

    /// Reads a list, a few times if it moves meanwhile.
    async fn read_list(&self, net: &Net, list: &List<'_>) -> Result<BTreeSet<String>, Failure> {
        for _ in 0..READINGS {
            if let Some(ids) = self.read_once(net, list).await? {
                return Ok(ids);
            }
        }
        Err(reading::moving(list.what))
    }

    /// `None`: the list moved, and somebody may have slipped through.
    async fn read_once(&self, net: &Net, list: &List<'_>) -> Result<Option<BTreeSet<String>>, Failure> {
        let mut reading = Reading::default();
        let (mut number, mut size) = (1, PAGE_ROWS as usize);
        loop {
            let (number_text, size_text) = (number.to_string(), size.to_string());
            let mut params = list.params.to_vec();
            params.extend([("PageNumber", number_text.as_str()), ("PageSize", size_text.as_str())]);
            let Listed { ids, total, size: said } =
                self.api.call_page(net, list.action, &params, list.read).await?;
            size = said.filter(|said| (1..size).contains(said)).unwrap_or(size);
            let seems_last = ids.len() < size;
            match reading.took(Page { ids, total, seems_last }) {
                Next::Page(next) => number = next,
                Next::Whole => return Ok(Some(reading.into_ids())),
                Next::Again => return Ok(None),
                Next::TooMuch => return Err(reading::too_much(list.what)),
            }
        }
    }
}

fn read_users(reply: &Reply) -> Result<Listed, Failure> {
    let reply: UsersReply<'_> = rpc::json(reply)?;
    identified(&reply.request_id)?;
    let ids = reply.users.0.rows.0.into_iter().map(|row| row.user_name.into_owned());
    listed(ids.collect(), &reply.total, &reply.page_size)
}

fn read_gateways(reply: &Reply) -> Result<Listed, Failure> {
    let reply: GatewaysReply<'_> = rpc::json(reply)?;
    identified(&reply.request_id)?;
    let ids = reply.gateways.0.rows.0.into_iter().map(|row| row.id.into_owned());
    listed(ids.collect(), &reply.total, &reply.page_size)
}

fn listed(ids: Vec<String>, total: &Loose<'_>, size: &Loose<'_>) -> Result<Listed, Failure> {
    if ids.iter().any(String::is_empty) {
        return Err(Failure::new(Fault::BadAnswer, "a row without a name"));
    }
    Ok(Listed { ids, total: reading::count(total)?, size: reading::count(size)? })
}

#[cfg(test)]
mod tests;
