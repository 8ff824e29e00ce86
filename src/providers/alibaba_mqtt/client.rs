//! Asks `ApsaraMQ` for MQTT. It decides nothing about presence (`map.rs`) and repeats nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::map::{self, Memory};
use super::wire::{SessionReply, SessionsReply, TraceReply};
use super::{CLIENT_IDS, GROUPS, SESSION, SESSIONS, TRACE, listing};
use crate::domain::{Change, Fault, Seen, Target};
use crate::ports::BoxFuture;
use crate::providers::alibaba::{Api, rpc, sign};
use crate::providers::cost::{Pages, Rows};
use crate::providers::http::Reply;
use crate::providers::{
    Answer, Charge, Cheaper, Costs, Failure, Net, Per, Provider, Question, Step, TOGETHER,
};

/// What the ids of one call may take in the query: 6 KiB, below the 8 KiB that HTTP servers commonly take for a request's
/// first line. The gateway's own limit is not published.
const IDS_BYTES: usize = 6 * 1024;

/// The longest id, encoded, that is asked for: a group's name of at most 64 characters, `@@@` and a device's name fit
/// well.
const ID_BYTES: usize = 1024;

/// How far back a trace is asked for. The longest window that the API takes is not published, so a day is our choice: a
/// client that has been on for longer when it is first seen has no start until it returns.
const TRACE_WINDOW_MS: i64 = 24 * 3600 * 1000;

/// Events of a page: the most that `QueryMqttTraceDevice` takes (`PageSize`: 1 to 100).
const TRACE_PAGE: &str = "100";

/// Asks about the clients of one instance.
pub struct Client {
    pub(super) api: Api,
    pub(super) instance: String,
    exact: bool,
    /// `MqttRegionId`, when start times are asked for.
    trace_region: Option<String>,
    memory: Mutex<Memory>,
}

impl Client {
    /// A client for this instance; `exact` asks for each by itself, `trace_region` asks for start times there.
    pub fn new(api: Api, instance: String, exact: bool, trace_region: Option<String>) -> Self {
        Self { api, instance, exact, trace_region, memory: Mutex::default() }
    }

    async fn batch(&self, targets: &[Target<'_>], net: &Net) -> Result<Answer, Failure> {
        if self.exact {
            return self.one_by_one(targets, net).await;
        }
        let names: Vec<String> = (1..=targets.len()).map(|n| format!("ClientIdList.{n}")).collect();
        let mut params = vec![("InstanceId", self.instance.as_str())];
        params.extend(names.iter().zip(targets).map(|(name, target)| (name.as_str(), target.id)));
        let read = |reply: &Reply| {
            let reply: SessionsReply<'_> = rpc::json(reply)?;
            Ok(map::sessions(&reply, targets, self.arrivals().as_deref_mut()))
        };
        self.api.call(net, &SESSIONS, &params, read).await
    }

    async fn one_by_one(&self, targets: &[Target<'_>], net: &Net) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        for target in targets {
            let params = [("InstanceId", self.instance.as_str()), ("ClientId", target.id)];
            let read = |reply: &Reply| rpc::json::<SessionReply>(reply).map(|reply| reply.online);
            let online = self.api.call(net, &SESSION, &params, read).await?;
            map::push(&mut answer, target.row, online, self.arrivals().as_deref_mut());
        }
        Ok(answer)
    }

    /// The start of an arrival. Without an open connection in the trace there is no row: it says neither online nor
    /// offline, since it may lag behind or not reach back far enough.
    async fn detail(&self, target: Target<'_>, net: &Net) -> Result<Answer, Failure> {
        let Some(trace_region) = &self.trace_region else {
            return Err(Failure::new(Fault::Rejected, "start times are not asked for: connect_time is off"));
        };
        let now_ms = net.now().unix_ms;
        let (begin, end) = ((now_ms - TRACE_WINDOW_MS).to_string(), now_ms.to_string());
        let params = [
            ("MqttRegionId", trace_region.as_str()),
            ("InstanceId", &self.instance),
            ("ClientId", target.id),
            ("BeginTime", &begin),
            ("EndTime", &end),
            ("CurrentPage", "1"),
            ("PageSize", TRACE_PAGE),
            ("Reverse", "true"),
        ];
        let read = |reply: &Reply| Ok(map::connected_since(&rpc::json::<TraceReply<'_>>(reply)?, now_ms));
        let since = self.api.call(net, &TRACE, &params, read).await?;
        let seen = |started_ms| Seen { started_ms: Some(started_ms), ..Seen::online() };
        let row = since.map(|started_ms| started_ms.map(seen)).transpose();
        Ok(Answer { rows: row.map(|row| (target.row, row)).into_iter().collect(), ..Answer::default() })
    }

    /// Who was online last, where arrivals matter.
    fn arrivals(&self) -> Option<MutexGuard<'_, Memory>> {
        self.trace_region.as_ref()?;
        Some(self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Provider for Client {
    fn round(&self) -> Vec<Step> {
        let action = if self.exact { &SESSION } else { &SESSIONS };
        let ids = action.ids_per_call as usize;
        vec![Step::Batches { action, ids, weigh, weight: IDS_BYTES, apart: TOGETHER }]
    }

    fn costs(&self) -> Costs {
        let (action, cheaper) = if self.exact {
            (&SESSION, Some(Cheaper { setting: "exact: false", action: &SESSIONS }))
        } else {
            (&SESSIONS, None)
        };
        let arrivals = Charge { action: &TRACE, per: Per::Online { again: None } };
        let mut charges = vec![Charge { action, per: Per::Batch }];
        charges.extend(self.trace_region.is_some().then_some(arrivals));
        let groups = Pages { of: Rows::PartsAtOnce, rows: 1, capped: 1 };
        charges.push(Charge { action: &GROUPS, per: Per::Discovery(groups) });
        charges.push(Charge { action: &CLIENT_IDS, per: Per::Discovery(listing::PAGES) });
        let costs = Costs::of(charges).in_parts(listing::group_of);
        Costs { cheaper, ..costs }.and(self.api.key_charges())
    }

    fn accepts(&self, id: &str) -> Result<(), String> {
        if id.is_empty() {
            return Err("a client id is not empty".into());
        }
        if sign::encoded_len(id) > ID_BYTES {
            return Err(format!("a client id is at most {ID_BYTES} bytes long in a query"));
        }
        Ok(())
    }

    fn replaced(&self, change: &Change) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).replaced(change);
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
                    let found = self.clients(net).await?;
                    Ok(Answer { found, ..Answer::default() })
                }
                Question::Listing(_) | Question::Log { .. } => {
                    Err(Failure::new(Fault::Rejected, "MQTT is asked by client ids only"))
                }
            }
        })
    }
}

/// What an id takes in the query, with `&ClientIdList.10=`.
fn weigh(id: &str) -> usize {
    "&ClientIdList.10=".len() + sign::encoded_len(id)
}

#[cfg(test)]
mod tests;
