//! Asks about a batch of user ids: with the connections, or shortly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::guard::{self, Guard};
use super::token::{Account, Token};
use super::wire::{DetailAsk, DetailData, Envelope, StatusAsk, StatusData, failure_of};
use super::{DETAIL, ID_BYTES, IDS_BYTES, IDS_PER_CALL, Mode, NAME, Rows, STATUS, errors, map, post};
use crate::config::Secret;
use crate::domain::{Change, Fault, Target};
use crate::ports::BoxFuture;
use crate::providers::conn_key::ConnHasher;
use crate::providers::http::Reply;
use crate::providers::loose::Object;
use crate::providers::{Action, Answer, Charge, Costs, Failure, Net, Per, Provider, Question, Step};

/// One source's users.
pub(super) struct Client {
    account: Arc<Account>,
    mode: Mode,
    hasher: ConnHasher,
    guard: Mutex<Guard>,
}

/// Why one request brought no rows.
struct Miss {
    failure: Failure,
    about_token: bool,
}

impl Client {
    /// A client for users of the account's server.
    pub(super) fn new(account: Arc<Account>, mode: Mode) -> Self {
        // That of the start: a new secret must not make every connection look new.
        let secret = account.secret().unwrap_or_else(|_| Secret::new(""));
        let hasher = ConnHasher::new(secret.expose().as_bytes(), NAME);
        Self { account, mode, hasher, guard: Mutex::default() }
    }

    async fn batch(&self, targets: &[Target<'_>], net: &Net) -> Result<Answer, Failure> {
        if targets.is_empty() {
            return Ok(Answer::default());
        }
        let mut rows = self.rows(targets, net).await?;
        if self.with_guard(|guard| guard.doubts(&rows)) {
            rows = self.rows(targets, net).await?;
        }
        self.with_guard(|guard| guard.learn(&rows));
        Ok(Answer { rows, ..Answer::default() })
    }

    /// What the server says now; with a new token, once, if it refuses the one in use.
    async fn rows(&self, targets: &[Target<'_>], net: &Net) -> Result<Rows, Failure> {
        let body = self.body(targets);
        let token = self.account.token(net).await?;
        let failure = match self.once(&body, &token, targets, net).await {
            Ok(rows) => return Ok(rows),
            Err(Miss { failure, about_token: true }) => failure,
            Err(Miss { failure, .. }) => return Err(failure),
        };
        let token = self.account.renewed(&token, failure, net).await?;
        self.once(&body, &token, targets, net).await.map_err(|miss| miss.failure)
    }

    async fn once(
        &self,
        body: &Bytes,
        token: &Token,
        targets: &[Target<'_>],
        net: &Net,
    ) -> Result<Rows, Miss> {
        let about_token = AtomicBool::new(false);
        let build = |stamp: &_| post(net, &self.account.endpoint, self.mode.path(), Some(token), body, stamp);
        let read = |reply: &Reply| self.read(reply, targets, &about_token, net);
        let rows = net.call(self.action(), build, read).await;
        let about_token = about_token.into_inner();
        if !about_token && rows.is_ok() {
            self.account.accepted();
        }
        rows.map_err(|failure| Miss { failure, about_token })
    }

    fn read(
        &self,
        reply: &Reply,
        targets: &[Target<'_>],
        about_token: &AtomicBool,
        net: &Net,
    ) -> Result<Rows, Failure> {
        if let Some(id) = reply.header("x-http-id") {
            net.note_request_id(id);
        }
        let refused = |code: i64| {
            about_token.store(errors::is_about_token(code), Ordering::Relaxed);
            if code == errors::VERSION_2 {
                return Failure::new(
                    Fault::Rejected,
                    "the server answers as OpenIM 2 does (error 400); 3.0 is needed",
                );
            }
            failure_of(code, reply, errors::fault)
        };
        match self.mode {
            Mode::Detail => match Envelope::<'_, DetailData<'_>>::read(reply)? {
                (envelope, 0) => map::detail_rows(&envelope.data, targets, &self.hasher),
                (_, code) => Err(refused(code)),
            },
            Mode::StatusOnly => match Envelope::<'_, Object<StatusData<'_>>>::read(reply)? {
                (envelope, 0) => map::status_rows(&envelope.data, targets),
                (_, code) => Err(refused(code)),
            },
        }
    }

    fn body(&self, targets: &[Target<'_>]) -> Bytes {
        let user_ids: Vec<&str> = targets.iter().map(|target| target.id).collect();
        let body = match self.mode {
            Mode::Detail => serde_json::to_vec(&DetailAsk { user_ids: &user_ids }),
            Mode::StatusOnly => {
                serde_json::to_vec(&StatusAsk { user_id: &self.account.admin_user_id, user_ids: &user_ids })
            }
        };
        Bytes::from(body.expect("texts are always JSON"))
    }

    fn action(&self) -> &'static Action {
        match self.mode {
            Mode::Detail => &DETAIL,
            Mode::StatusOnly => &STATUS,
        }
    }

    fn with_guard<T>(&self, with: impl FnOnce(&mut Guard) -> T) -> T {
        with(&mut self.guard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Provider for Client {
    fn round(&self) -> Vec<Step> {
        vec![Step::Batches { action: self.action(), ids: IDS_PER_CALL, weigh: str::len, weight: IDS_BYTES }]
    }

    fn costs(&self) -> Costs {
        let mut charges = vec![
            Charge { action: self.action(), per: Per::Batch },
            Charge { action: self.action(), per: Per::Doubt { departures: guard::DEPARTURES } },
        ];
        charges.extend(self.account.token_costs());
        Costs::of(charges)
    }

    fn accepts(&self, id: &str) -> Result<(), String> {
        match id.len() {
            0 => Err("a user id here is not empty".into()),
            1..=ID_BYTES => Ok(()),
            _ => Err(format!("a user id here has at most {ID_BYTES} bytes")),
        }
    }

    fn tells_platforms(&self) -> bool {
        matches!(self.mode, Mode::Detail)
    }

    fn replaced(&self, change: &Change) {
        self.with_guard(|guard| guard.replaced(change));
    }

    fn refreshed(&self) -> bool {
        self.account.refreshed()
    }

    fn ask<'a>(&'a self, question: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            match question {
                Question::Batch(targets) => self.batch(targets, net).await,
                _ => Err(Failure::new(Fault::Rejected, "this provider is asked for batches of ids only")),
            }
        })
    }
}
