//! The credentials of an account: kept, renewed early, and never asked for twice at once.
//!
//! A [`Keeper`] holds the key in use. Where it comes from is a [`Source`]: secrets as [`written`] in the configuration, or
//! a service that hands out keys for a while. In reading order: [`mod@decide`] says what is done at an instant; this file does
//! it; [`written`] reads secret files again; [`ways`] says which keys of the configuration go together. [`minted`] is for
//! simulators: temporary keys that they can verify.
//!
//! | | |
//! | --- | --- |
//! | early | a key is renewed in the last 15 minutes, or the last fifth, of its life |
//! | one at a time | one question fetches; the others go on with the key that holds, or wait for the outcome and share it |
//! | stale while valid | a failed renewal keeps the old key until its end; then questions fail with the renewal's fault |
//! | refused | secret files are read at once; a key that was handed out is asked for anew, once a minute at most |
//! | paid | fetching goes through [`Net::call`]: it pays the account's budget and counts as an action |
//!
//! It keeps nothing over restarts, runs nothing by itself, and reads files on the polling thread: they should be local.

pub mod decide;
pub mod minted;
pub mod ways;
pub mod written;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decide::{Attempt, Decision, PUT_OFF, Term, decide};
pub use written::{Secrets, Written};

use super::http::Reply;
use super::{Action, Charge, Failure, Net, Per};
use crate::domain::{Fault, Tick};
use crate::ports::BoxFuture;

/// How often secret files are read again while nothing is wrong. A mounted secret changes within a minute or so of its
/// original anyway, and a read every half minute costs nothing.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Where an account's key comes from.
pub trait Source: Send + Sync {
    /// A key, with all that signing needs. It has no Debug.
    type Key: Send + Sync;
    /// Reads files again; whether anything changed that keys are made of. No network.
    fn reread(&self) -> bool;
    /// Gets a key; of secrets as written that asks nobody. Requests go through `net`.
    fn fetch<'a>(&'a self, net: &'a Net) -> BoxFuture<'a, Result<Fetched<Self::Key>, Failure>>;
    /// The calls that getting keys takes; see [`charge`].
    fn charges(&self) -> Vec<Charge>;
}

/// So many calls of an action for each key, one key for all sources of the account. `life`: how long each key lives;
/// `None`: whoever hands it out decides that, and no document says how.
pub fn charge(action: &'static Action, calls: u32, life: Option<Duration>) -> Charge {
    Charge { action, per: Per::Token { least: calls, most: calls, life: life.map(decide::kept) } }
}

/// A key as it came.
pub struct Fetched<K> {
    /// The key.
    pub key: K,
    /// When it was asked for.
    pub from: Tick,
    /// How long it lives from then on; `None`: until somebody changes it.
    pub life: Option<Duration>,
}

/// A key in use.
pub struct Lease<K> {
    /// The key.
    pub key: Arc<K>,
    /// Which one it is.
    number: u64,
}

impl<K> Clone for Lease<K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), number: self.number }
    }
}

/// How long a key lives whose end an answer states in Unix milliseconds, counted from when it was asked for. Both ends are
/// taken by the provider's own clock, if it sent its date: ours may be wrong. A date has no fraction, so a second is taken off.
pub fn life(reply: &Reply, ends_ms: i64) -> Result<Duration, Failure> {
    let date = reply.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date.trim()).ok());
    let now_ms = date.map_or(reply.sent.unix_ms, |date| date.timestamp().as_millisecond() + 1000);
    let left = u64::try_from(ends_ms.saturating_sub(now_ms)).ok().filter(|left| *left > 0);
    left.map(Duration::from_millis)
        .ok_or_else(|| Failure::new(Fault::BadAnswer, "the key that was handed out has ended already"))
}

/// A time that an answer gives as text, in Unix milliseconds.
pub fn time_ms(text: &str) -> Result<i64, Failure> {
    let time = text.trim().parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_millisecond)
        .map_err(|_| Failure::new(Fault::BadAnswer, "the end of the key that was handed out is no time"))
}

/// Keeps an account's key.
pub struct Keeper<S: Source> {
    source: S,
    /// Held by whoever fetches.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State<S::Key>>,
}

struct State<K> {
    held: Option<Held<K>>,
    last: Option<Attempt>,
    failure: Option<Failure>,
    /// Attempts that ended, well or badly.
    attempts: u64,
    looked_at: Option<Tick>,
    /// What the source is made of changed, and nobody was told.
    changed: bool,
}

struct Held<K> {
    lease: Lease<K>,
    from: Tick,
    term: Term,
}

/// What becomes of a refused key.
enum Given<K> {
    /// There is none any more, after so many attempts to get one.
    Up(u64),
    /// There is another by now.
    Away(Lease<K>),
    /// It stays, and stays refused.
    Nothing,
}

impl<S: Source> Keeper<S> {
    /// A keeper that has no key yet.
    pub fn new(source: S) -> Self {
        let state =
            State { held: None, last: None, failure: None, attempts: 0, looked_at: None, changed: false };
        Self { source, turn: tokio::sync::Mutex::new(()), state: Mutex::new(state) }
    }

    /// Where the key comes from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// A key that should hold.
    pub async fn lease(&self, net: &Net) -> Result<Lease<S::Key>, Failure> {
        let now = net.now().tick;
        if self.state().looked_at.is_none_or(|at| now.since(at) >= LOOK_EVERY) {
            self.look(now);
        }
        let (decision, held, attempts) = self.judge(now);
        match (decision, held) {
            (Decision::Use, Some(lease)) => Ok(lease),
            (Decision::RefreshAndUse, Some(lease)) => match self.turn.try_lock() {
                Ok(_turn) => Ok(self.fetch(net).await.unwrap_or(lease)),
                Err(_) => Ok(lease),
            },
            (Decision::Wait(wait), _) => Err(self.last_failure().wait(Some(wait))),
            _ => self.wait_and_fetch(attempts, net).await,
        }
    }

    /// Another key, after the provider refused `stale` with `refusal`. The refusal stands when there can be no other.
    pub async fn renewed(
        &self,
        stale: &Lease<S::Key>,
        refusal: Failure,
        net: &Net,
    ) -> Result<Lease<S::Key>, Failure> {
        let now = net.now().tick;
        let changed = self.look(now);
        match self.give_up(stale, changed, now) {
            Given::Up(attempts) => self.wait_and_fetch(attempts, net).await,
            Given::Away(lease) => Ok(lease),
            Given::Nothing => Err(refusal),
        }
    }

    /// What becomes of a key that was refused.
    fn give_up(&self, stale: &Lease<S::Key>, changed: bool, now: Tick) -> Given<S::Key> {
        let mut state = self.state();
        let Some(held) = &state.held else { return Given::Up(state.attempts) };
        if held.lease.number != stale.number {
            return Given::Away(held.lease.clone());
        }
        let handed_out = held.term.ends_at.is_some();
        // A key that has just come and is refused is refused for another reason than its age.
        if !changed && (!handed_out || now.since(held.from) < PUT_OFF) {
            return Given::Nothing;
        }
        // Nobody sends the refused one again.
        state.held = None;
        Given::Up(state.attempts)
    }

    /// Reads secret files again, and says whether what keys are made of changed since the last call.
    pub fn refreshed(&self) -> bool {
        if self.source.reread() {
            self.note_change();
        }
        std::mem::take(&mut self.state().changed)
    }

    fn state(&self) -> MutexGuard<'_, State<S::Key>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Tick) -> bool {
        self.state().looked_at = Some(now);
        let changed = self.source.reread();
        if changed {
            self.note_change();
        }
        changed
    }

    /// The key in hand may go on until the new one is there; and nothing that failed before says anything any more.
    fn note_change(&self) {
        let mut state = self.state();
        state.changed = true;
        state.last = None;
        if let Some(held) = &mut state.held {
            held.term.renew_at = Tick::ZERO;
        }
    }

    fn judge(&self, now: Tick) -> (Decision, Option<Lease<S::Key>>, u64) {
        let state = self.state();
        let decision = decide(now, state.held.as_ref().map(|held| held.term), state.last);
        (decision, state.held.as_ref().map(|held| held.lease.clone()), state.attempts)
    }

    fn last_failure(&self) -> Failure {
        let known = self.state().failure.clone();
        known.unwrap_or_else(|| Failure::new(Fault::Unauthorized, "there is no key"))
    }

    /// Waits for its turn, then fetches, unless somebody did so meanwhile: then it shares the outcome.
    async fn wait_and_fetch(&self, attempts_before: u64, net: &Net) -> Result<Lease<S::Key>, Failure> {
        let _turn = self.turn.lock().await;
        let (decision, held, attempts) = self.judge(net.now().tick);
        let shared = (attempts != attempts_before).then(|| self.state().failure.clone()).flatten();
        match (decision, held, shared) {
            (Decision::Use | Decision::RefreshAndUse, Some(lease), _) => Ok(lease),
            (_, _, Some(failure)) => Err(failure),
            (Decision::Wait(wait), ..) => Err(self.last_failure().wait(Some(wait))),
            _ => self.fetch(net).await,
        }
    }

    /// One attempt, by whoever has the turn.
    async fn fetch(&self, net: &Net) -> Result<Lease<S::Key>, Failure> {
        let outcome = self.source.fetch(net).await.map_err(decide::as_credentials);
        let now = net.now().tick;
        let mut state = self.state();
        state.attempts += 1;
        match outcome {
            Ok(fetched) => {
                let lease = Lease { key: Arc::new(fetched.key), number: state.attempts };
                let term = Term::new(fetched.from, fetched.life);
                state.held = Some(Held { lease: lease.clone(), from: fetched.from, term });
                state.last = Some(Attempt::good(now, fetched.life));
                state.failure = None;
                Ok(lease)
            }
            Err(failure) => {
                state.last = Some(Attempt::failed(now, state.last, &failure));
                state.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests;
