//! Lists the clients of an instance, group by group and page by page: whole, or not at all.
//!
//! Only devices with a registered credential of their own are listed anywhere; whoever connects by signature or token
//! is not. It decides nothing about presence.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::client::Client;
use super::wire::{ClientIdsReply, GroupsReply};
use super::{CLIENT_IDS, GROUPS};
use crate::domain::Fault;
use crate::providers::alibaba::rpc;
use crate::providers::cost::{Pages, Rows};
use crate::providers::http::Reply;
use crate::providers::reading::{self, Next, Page, READINGS, Reading};
use crate::providers::{Failure, Found, Net};

/// Ids of a page: the most that `ListDeviceCredentialClientId` takes (`PageSize`: 1 to 100).
const PAGE_ROWS: u32 = 100;

/// Groups of an instance at most. No limit is documented; each costs a billed call at least.
const GROUPS_MAX: usize = 1000;

/// What a listing costs: all groups by one call, and the pages of each.
pub(super) const PAGES: Pages = Pages { of: Rows::EachPart, rows: PAGE_ROWS, capped: PAGE_ROWS };

/// What is listed, as failures call it.
const WHAT: &str = "clients";

/// The group of a client id; the id itself where it has none.
pub(super) fn group_of(id: &str) -> &str {
    id.split_once("@@@").map_or(id, |(group, _)| group)
}

impl Client {
    /// Every client of every group.
    pub(super) async fn clients(&self, net: &Net) -> Result<Vec<Found>, Failure> {
        let mut found = BTreeSet::new();
        for group in self.groups(net).await? {
            found.extend(self.clients_of(&group, net).await?);
        }
        Ok(found.into_iter().map(|id| Found { id, name: None }).collect())
    }

    async fn groups(&self, net: &Net) -> Result<Vec<String>, Failure> {
        let params = [("InstanceId", self.instance.as_str())];
        let read = |reply: &Reply| {
            let reply: GroupsReply<'_> = rpc::json(reply)?;
            Ok(reply.rows.into_iter().map(|row| row.group_id.into_owned()).collect::<Vec<String>>())
        };
        let mut groups = self.api.call_page(net, &GROUPS, &params, read).await.map_err(of_no_id)?;
        groups.sort_unstable();
        groups.dedup();
        if groups.len() > GROUPS_MAX {
            let message = format!("the instance has more than {GROUPS_MAX} groups");
            return Err(Failure::new(Fault::BadAnswer, message));
        }
        Ok(groups)
    }

    /// Reads a group's list, a few times if it moves meanwhile.
    async fn clients_of(&self, group: &str, net: &Net) -> Result<BTreeSet<String>, Failure> {
        for _ in 0..READINGS {
            if let Some(ids) = self.read_group(group, net).await? {
                return Ok(ids);
            }
        }
        Err(reading::moving(WHAT))
    }

    /// Reads a group's list once. `None`: it moved, and somebody may have slipped through.
    async fn read_group(&self, group: &str, net: &Net) -> Result<Option<BTreeSet<String>>, Failure> {
        let mut reading = Reading::default();
        let (mut number, mut token) = (1, String::new());
        let mut tokens = BTreeSet::new();
        loop {
            let (number_text, size) = (number.to_string(), PAGE_ROWS.to_string());
            let mut params = vec![
                ("InstanceId", self.instance.as_str()),
                ("GroupId", group),
                ("PageSize", size.as_str()),
                ("PageNo", number_text.as_str()),
            ];
            params.extend((!token.is_empty()).then_some(("NextToken", token.as_str())));
            let (page, next_token) =
                self.api.call_page(net, &CLIENT_IDS, &params, read_page).await.map_err(of_no_id)?;
            match reading.took(page) {
                Next::Page(next) => number = next,
                Next::Whole => return Ok(Some(reading.into_ids())),
                Next::Again => return Ok(None),
                Next::TooMuch => return Err(reading::too_much(WHAT)),
            }
            if !next_token.is_empty() && !tokens.insert(next_token.clone()) {
                return Err(Failure::new(Fault::BadAnswer, "a page of clients leads back to one before it"));
            }
            token = next_token;
        }
    }
}

/// One page, and the token of the next one; empty where there is none. Without a count, that ends the list.
fn read_page(reply: &Reply) -> Result<(Page, String), Failure> {
    let list = rpc::json::<ClientIdsReply<'_>>(reply)?.list;
    let total = reading::count(&list.total)?;
    let token = list.next_token.unwrap_or_default().into_owned();
    if list.ids.len() > PAGE_ROWS as usize {
        return Err(Failure::new(Fault::BadAnswer, "a page of clients that is longer than it was asked for"));
    }
    let ids = list.ids.into_iter().map(Cow::into_owned).collect();
    Ok((Page { ids, total, seems_last: token.is_empty() }, token))
}

/// A refusal of parameters, where no client's id is among them.
fn of_no_id(failure: Failure) -> Failure {
    let fault = if failure.fault == Fault::RefusedId { Fault::Rejected } else { failure.fault };
    Failure { fault, ..failure }
}

#[cfg(test)]
mod tests;
