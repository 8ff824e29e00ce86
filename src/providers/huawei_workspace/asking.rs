//! Asks for one page with whatever proves who asks: a key that signs, or a token. A refusal gets another, once a question.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::account::{Account, Auth, Keyed, Proof};
use super::map::Subject;
use super::records::Record;
use super::replies::judge;
use super::token::{PasswordLogin, Token};
use crate::domain::{Fault, Session};
use crate::providers::http::{Failure, Net, Reply};
use crate::providers::{Action, View};

/// One question's way: the net, whether its token was renewed, and the targets' sessions that came by.
pub struct Run<'a> {
    /// The way out.
    pub net: &'a Net,
    /// Whom it is asked for.
    pub views: &'a [View<'a>],
    renewed: AtomicBool,
    /// The targets' sessions that came by, each with the number of its view.
    sessions: Mutex<Vec<(usize, Session)>>,
}

impl<'a> Run<'a> {
    /// The way of a question about these targets.
    pub fn new(net: &'a Net, views: &'a [View<'a>]) -> Self {
        Self { net, views, renewed: AtomicBool::new(false), sessions: Mutex::default() }
    }

    /// Notes the sessions of targets among these records.
    pub fn take_sessions<'r>(&self, records: &(impl Iterator<Item = &'r Record> + Clone)) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, view) in self.views.iter().enumerate() {
            let mine = |record: &&Record| record.is_of(view.roster, Subject::of(view.lens));
            let sessions_of = records.clone().filter(mine).filter_map(Record::session);
            sessions.extend(sessions_of.map(|session| (number, session)));
        }
    }

    /// The targets' sessions that came by, each with the number of its view.
    pub fn into_sessions(self) -> Vec<(usize, Session)> {
        self.sessions.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// One page. A refusal renews the token, or gets another key, once a question.
    pub async fn get<T: Send>(
        &self,
        run: &Run<'_>,
        action: &'static Action,
        tail: &str,
        query: &[(&str, &str)],
        read: fn(&Reply) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let asked = Asked { action, tail, query, read };
        match &self.auth {
            Auth::Key(keyed) => self.get_by_key(run, keyed, &asked).await,
            Auth::Password(login) => self.get_by_token(run, login, &asked).await,
        }
    }

    async fn get_by_key<T: Send>(
        &self,
        run: &Run<'_>,
        keyed: &Keyed,
        asked: &Asked<'_, T>,
    ) -> Result<T, Failure> {
        let mut lease = keyed.keeper.lease(run.net).await?;
        loop {
            let proof = Proof::Key(&lease.key, &keyed.project_id);
            let (answer, _) = self.ask_page(run, &proof, lease.key.token.is_some(), asked).await;
            match answer {
                Err(refusal)
                    if refusal.fault == Fault::Unauthorized && !run.renewed.swap(true, Ordering::Relaxed) =>
                {
                    lease = keyed.keeper.renewed(&lease, refusal, run.net).await?;
                }
                answer => return answer,
            }
        }
    }

    async fn get_by_token<T: Send>(
        &self,
        run: &Run<'_>,
        login: &PasswordLogin,
        asked: &Asked<'_, T>,
    ) -> Result<T, Failure> {
        let mut dead: Option<Token> = None;
        loop {
            let token = login.token(run.net, dead.as_ref()).await?;
            let (answer, refused) = self.ask_page(run, &Proof::Token(&token), false, asked).await;
            if answer.is_ok() || !refused || run.renewed.swap(true, Ordering::Relaxed) {
                return answer;
            }
            dead = Some(token);
        }
    }

    /// One page with this proof, and whether a new token may help.
    async fn ask_page<T: Send>(
        &self,
        run: &Run<'_>,
        proof: &Proof<'_>,
        temporary: bool,
        asked: &Asked<'_, T>,
    ) -> (Result<T, Failure>, bool) {
        let refused = AtomicBool::new(false);
        let build = |stamp: &_| self.request(proof, asked.tail, asked.query, stamp);
        let judge =
            |reply: &Reply| judge(run.net, reply, temporary, &refused).and_then(|()| (asked.read)(reply));
        let answer = run.net.call_page(asked.action, build, judge).await;
        (answer, refused.into_inner())
    }
}

/// What a page is asked for with, whoever asks.
struct Asked<'a, T> {
    action: &'static Action,
    tail: &'a str,
    query: &'a [(&'a str, &'a str)],
    read: fn(&Reply) -> Result<T, Failure>,
}
