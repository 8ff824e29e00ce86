//! Asks about a batch of user ids, with the connections or shortly, and sends whatever else is asked as the account.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::guard::{self, Guard};
use super::token::{Account, Token};
use super::wire::{DetailAsk, DetailData, Envelope, StatusAsk, StatusData, failure_of};
use super::{
    DETAIL, ID_BYTES, IDS_BYTES, IDS_PER_CALL, Mode, NAME, Rows, STATUS, USERS, errors, listing, map, post,
};
use crate::config::Secret;
use crate::domain::{Change, Fault, Target};
use crate::ports::BoxFuture;
use crate::providers::conn_key::ConnHasher;
use crate::providers::http::Reply;
use crate::providers::loose::Object;
use crate::providers::{
    Action, Answer, Charge, Costs, Failure, Net, Per, Provider, Question, Step, TOGETHER,
};

/// One source's users.
pub(super) struct Client {
    pub(super) account: Arc<Account>,
    mode: Mode,
    hasher: ConnHasher,
    guard: Mutex<Guard>,
}

/// One request, before it is signed for.
pub(super) struct Ask<'a> {
    pub action: &'static Action,
    pub path: &'static str,
    pub body: &'a Bytes,
    /// Whether it is one of several whose answers count together only, so that it is repeated rather than lost.
    pub is_page: bool,
}

/// One question's way: the net, the token in use, and whether that was renewed already.
pub(super) struct Way<'n> {
    pub net: &'n Net,
    token: Token,
    is_renewed: bool,
}

/// Why one request brought no answer.
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

    /// What the server says now.
    async fn rows(&self, targets: &[Target<'_>], net: &Net) -> Result<Rows, Failure> {
        let body = self.body(targets);
        let ask = Ask { action: self.action(), path: self.mode.path(), body: &body, is_page: false };
        let mut way = self.way(net).await?;
        self.call(&ask, &mut way, |reply, about_token| self.read(reply, targets, about_token, net)).await
    }

    /// The way of a question that is about to be asked.
    pub(super) async fn way<'n>(&self, net: &'n Net) -> Result<Way<'n>, Failure> {
        Ok(Way { net, token: self.account.token(net).await?, is_renewed: false })
    }

    /// Asks, and once more with a new token if the server refuses the one in use; once a question. `read` notes whether a
    /// refusal is the token's.
    pub(super) async fn call<T>(
        &self,
        ask: &Ask<'_>,
        way: &mut Way<'_>,
        read: impl Fn(&Reply, &AtomicBool) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        let failure = match self.once(ask, way, &read).await {
            Ok(answer) => return Ok(answer),
            Err(Miss { failure, about_token: true }) if !way.is_renewed => failure,
            Err(Miss { failure, .. }) => return Err(failure),
        };
        way.is_renewed = true;
        way.token = self.account.renewed(&way.token, failure, way.net).await?;
        self.once(ask, way, &read).await.map_err(|miss| miss.failure)
    }

    async fn once<T>(
        &self,
        ask: &Ask<'_>,
        way: &Way<'_>,
        read: impl Fn(&Reply, &AtomicBool) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, Miss> {
        let about_token = AtomicBool::new(false);
        let token = Some(&way.token);
        let build = |stamp: &_| post(way.net, &self.account.endpoint, ask.path, token, ask.body, stamp);
        let read = |reply: &Reply| read(reply, &about_token);
        let answer = if ask.is_page {
            way.net.call_page(ask.action, build, read).await
        } else {
            way.net.call(ask.action, build, read).await
        };
        let about_token = about_token.into_inner();
        if !about_token && answer.is_ok() {
            self.account.accepted();
        }
        answer.map_err(|failure| Miss { failure, about_token })
    }

    fn read(
        &self,
        reply: &Reply,
        targets: &[Target<'_>],
        about_token: &AtomicBool,
        net: &Net,
    ) -> Result<Rows, Failure> {
        note_id(reply, net);
        let refused = |code: i64| refusal(code, reply, about_token);
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

/// Keeps the server's own id of a request, where it tells one.
pub(super) fn note_id(reply: &Reply, net: &Net) {
    if let Some(id) = reply.header("x-http-id") {
        net.note_request_id(id);
    }
}

/// The failure of an error code; notes whether it is about the token.
pub(super) fn refusal(code: i64, reply: &Reply, about_token: &AtomicBool) -> Failure {
    about_token.store(errors::is_about_token(code), Ordering::Relaxed);
    if code == errors::VERSION_2 {
        let message = "the server answers as OpenIM 2 does (error 400); 3.0 is needed";
        return Failure::new(Fault::Rejected, message);
    }
    failure_of(code, reply, errors::fault)
}

impl Provider for Client {
    fn round(&self) -> Vec<Step> {
        vec![Step::Batches {
            action: self.action(),
            ids: IDS_PER_CALL,
            weigh: str::len,
            weight: IDS_BYTES,
            apart: TOGETHER,
        }]
    }

    fn costs(&self) -> Costs {
        let mut charges = vec![
            Charge { action: self.action(), per: Per::Batch },
            Charge { action: self.action(), per: Per::Doubt { departures: guard::DEPARTURES } },
            Charge { action: &USERS, per: Per::Discovery(listing::PAGES) },
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
                Question::Discover(_) => {
                    let found = self.users(net).await?;
                    Ok(Answer { found, ..Answer::default() })
                }
                _ => Err(Failure::new(
                    Fault::Rejected,
                    "this provider is asked for batches of ids and lists only",
                )),
            }
        })
    }
}
