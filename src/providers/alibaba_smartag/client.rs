//! Asks Smartag. It decides nothing about presence (`map.rs`) and repeats nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::instance::{self, Instances};
use super::map::{self, Memory};
use super::wire::{ClientsReply, StatisticsReply};
use super::{CLIENTS, STATISTICS, listing};
use crate::domain::{Change, Fault, RowId, Seen, Target};
use crate::ports::BoxFuture;
use crate::providers::alibaba::{Api, rpc, sign};
use crate::providers::http::Reply;
use crate::providers::{Answer, Charge, Cheaper, Costs, Failure, Net, Per, Provider, Question, Step};

/// What the names of one call may take in the query: 6 KiB, below the 8 KiB that HTTP servers commonly take for a
/// request's first line; the rest is for instance and region. The gateway's own limit is not published.
const NAMES_BYTES: usize = 6 * 1024;

/// The longest name, encoded, that is asked for. Names are created with 7 to 33 characters.
const NAME_BYTES: usize = 1024;

/// Asks about the users of one instance, or of those that targets name.
pub struct Client {
    pub(super) api: Api,
    pub(super) region: String,
    pub(super) instances: Instances,
    exact: bool,
    memory: Mutex<Memory>,
}

impl Client {
    /// A client for users; `exact` asks for each by itself.
    pub fn new(api: Api, region: String, instances: Instances, exact: bool) -> Self {
        Self { api, region, instances, exact, memory: Mutex::default() }
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
        let split: Vec<(RowId, (&str, &str))> =
            targets.iter().map(|target| (target.row, self.instances.split(target.id))).collect();
        let Some(&(_, (instance, _))) = split.first() else { return Ok(Answer::default()) };
        if split.iter().any(|(_, (other, _))| *other != instance) {
            // Rounds are cut so that this cannot be.
            return Err(Failure::new(Fault::Rejected, "one call asks for the users of one instance"));
        }
        let users: Vec<(RowId, &str)> = split.iter().map(|&(row, (_, user))| (row, user)).collect();
        let names: Vec<String> = (1..=users.len()).map(|n| format!("UserNames.{n}")).collect();
        let mut params = self.params(instance);
        params.extend(names.iter().zip(&users).map(|(name, (_, user))| (name.as_str(), *user)));
        let read = |reply: &Reply| {
            let reply: StatisticsReply<'_> = rpc::json(reply)?;
            identified(&reply.request_id)?;
            Ok(map::statistics(&reply, &users, &mut self.memory()))
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
        let (instance, user) = self.instances.split(target.id);
        let mut params = self.params(instance);
        params.push(("UserName", user));
        let read = |reply: &Reply| {
            let sent_ms = reply.sent.unix_ms;
            let reply: ClientsReply<'_> = rpc::json(reply)?;
            identified(&reply.request_id)?;
            Ok(map::clients(&reply, sent_ms))
        };
        self.api.call(net, &CLIENTS, &params, read).await
    }

    fn params<'a>(&'a self, instance: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![("RegionId", self.region.as_str()), ("SmartAGId", instance)]
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Client {
    fn round(&self) -> Vec<Step> {
        let action = if self.exact { &CLIENTS } else { &STATISTICS };
        let ids = action.ids_per_call as usize;
        let weigh = match self.instances {
            Instances::One(_) => weigh,
            Instances::Named => |id: &str| weigh(instance::user_of(id)),
        };
        vec![Step::Batches { action, ids, weigh, weight: NAMES_BYTES, apart: self.instances.part() }]
    }

    fn costs(&self) -> Costs {
        let again = Some(u32::from(map::DETAIL_EVERY));
        let (charges, cheaper) = if self.exact {
            let cheaper = Cheaper { setting: "exact: false", action: &STATISTICS };
            (vec![Charge { action: &CLIENTS, per: Per::Batch }], Some(cheaper))
        } else {
            let charges = vec![
                Charge { action: &STATISTICS, per: Per::Batch },
                Charge { action: &CLIENTS, per: Per::Online { again } },
                Charge { action: &CLIENTS, per: Per::LeftOut },
            ];
            (charges, None)
        };
        let costs = Costs::of(charges).in_parts(self.instances.part());
        Costs { cheaper, ..costs }.and(listing::charges(&self.instances)).and(self.api.key_charges())
    }

    fn accepts(&self, id: &str) -> Result<(), String> {
        let (instance, user) = self.instances.split(id);
        if instance.is_empty() {
            return Err("an id here is INSTANCE/USER, since the source names no instance".into());
        }
        if user.is_empty() {
            return Err("a user name is not empty".into());
        }
        if sign::encoded_len(instance) > NAME_BYTES {
            return Err(format!("an instance's id is at most {NAME_BYTES} bytes long in a query"));
        }
        if sign::encoded_len(user) > NAME_BYTES {
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
                Question::Discover(_) => {
                    let found = self.users(net).await?;
                    Ok(Answer { found, ..Answer::default() })
                }
                Question::Listing(_) | Question::Log { .. } => {
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
pub(super) fn identified(request_id: &str) -> Result<(), Failure> {
    if request_id.is_empty() {
        return Err(Failure::new(Fault::BadAnswer, "a reply without RequestId"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
