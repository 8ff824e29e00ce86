//! Asks Smartag. It decides nothing about presence (`map.rs`) and repeats nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::map::{self, Memory};
use super::wire::{ClientsReply, StatisticsReply};
use super::{CLIENTS, STATISTICS};
use crate::domain::{Change, Fault, Seen, Target};
use crate::ports::BoxFuture;
use crate::providers::alibaba::{Api, rpc, sign};
use crate::providers::http::Reply;
use crate::providers::{Answer, Charge, Cheaper, Costs, Failure, Net, Per, Provider, Question, Step};

/// What the names of one call may take in the query: 6 KiB, below the 8 KiB that HTTP servers commonly take for a
/// request's first line; the rest is for instance and region. The gateway's own limit is not published.
const NAMES_BYTES: usize = 6 * 1024;

/// The longest name, encoded, that is asked for. Names are created with 7 to 33 characters.
const NAME_BYTES: usize = 1024;

/// Asks about the users of one instance.
pub struct Client {
    api: Api,
    region: String,
    instance: String,
    exact: bool,
    memory: Mutex<Memory>,
}

impl Client {
    /// A client for the users of this instance; `exact` asks for each by itself.
    pub fn new(api: Api, region: String, instance: String, exact: bool) -> Self {
        Self { api, region, instance, exact, memory: Mutex::default() }
    }

    async fn batch(&self, targets: &[Target<'_>], net: &Net) -> Result<Answer, Failure> {
        if self.exact {
            let mut answer = Answer::default();
            for target in targets {
                let seen = self.clients(target, net).await?;
                answer.rows.push((target.row, seen));
            }
            return Ok(answer);
        }
        let names: Vec<String> = (1..=targets.len()).map(|n| format!("UserNames.{n}")).collect();
        let mut params = self.params();
        params.extend(names.iter().zip(targets).map(|(name, target)| (name.as_str(), target.id)));
        let read = |reply: &Reply| {
            let reply: StatisticsReply<'_> = rpc::json(reply)?;
            identified(&reply.request_id)?;
            Ok(map::statistics(&reply, targets, &mut self.memory()))
        };
        self.api.call(net, &STATISTICS, &params, read).await
    }

    async fn detail(&self, target: Target<'_>, net: &Net) -> Result<Answer, Failure> {
        let seen = self.clients(&target, net).await?;
        if let Ok(seen) = &seen {
            self.memory().detailed(target.row, seen.online);
        }
        Ok(Answer { rows: vec![(target.row, seen)], ..Answer::default() })
    }

    async fn clients(&self, target: &Target<'_>, net: &Net) -> Result<Result<Seen, Fault>, Failure> {
        let mut params = self.params();
        params.push(("UserName", target.id));
        let read = |reply: &Reply| {
            let sent_ms = reply.sent.unix_ms;
            let reply: ClientsReply<'_> = rpc::json(reply)?;
            identified(&reply.request_id)?;
            Ok(map::clients(&reply, sent_ms))
        };
        self.api.call(net, &CLIENTS, &params, read).await
    }

    fn params(&self) -> Vec<(&str, &str)> {
        vec![("RegionId", self.region.as_str()), ("SmartAGId", self.instance.as_str())]
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Client {
    fn round(&self) -> Vec<Step> {
        let action = if self.exact { &CLIENTS } else { &STATISTICS };
        let ids = action.ids_per_call as usize;
        vec![Step::Batches { action, ids, weigh, weight: NAMES_BYTES }]
    }

    fn costs(&self) -> Costs {
        if self.exact {
            let cheaper = Some(Cheaper { setting: "exact: false", action: &STATISTICS });
            let charges = vec![Charge { action: &CLIENTS, per: Per::Batch }];
            return Costs { cheaper, ..Costs::of(charges) }.and(self.api.key_charges());
        }
        let again = Some(u32::from(map::DETAIL_EVERY));
        Costs::of([
            Charge { action: &STATISTICS, per: Per::Batch },
            Charge { action: &CLIENTS, per: Per::Online { again } },
            Charge { action: &CLIENTS, per: Per::LeftOut },
        ])
        .and(self.api.key_charges())
    }

    fn accepts(&self, id: &str) -> Result<(), String> {
        if id.is_empty() {
            return Err("a user name is not empty".into());
        }
        if sign::encoded_len(id) > NAME_BYTES {
            return Err(format!("a user name is at most {NAME_BYTES} bytes long in a query"));
        }
        Ok(())
    }

    fn replaced(&self, change: &Change) {
        self.memory().replaced(change);
    }

    fn refreshed(&self) -> bool {
        self.api.refreshed()
    }

    fn ask<'a>(&'a self, question: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            match question {
                Question::Batch(targets) => self.batch(targets, net).await,
                Question::Detail(target) => self.detail(target, net).await,
                Question::Listing(_) | Question::Log { .. } | Question::Discover => {
                    Err(Failure::new(Fault::Rejected, "Smartag is asked by names only"))
                }
            }
        })
    }
}

/// What a name takes in the query, with `&UserNames.50=`.
fn weigh(id: &str) -> usize {
    "&UserNames.50=".len() + sign::encoded_len(id)
}

/// A reply without its id is not the provider's, and an empty list in it would say nothing.
fn identified(request_id: &str) -> Result<(), Failure> {
    if request_id.is_empty() {
        return Err(Failure::new(Fault::BadAnswer, "a reply without RequestId"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
