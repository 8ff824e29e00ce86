//! What may be spent: a tree of budgets in one small lock, each level with several windows, and never more than any of them
//! allows, in no stretch of time of that length, wherever it begins.
//!
//! The levels are the network address (what a provider allows one address, whoever asks), the account (what its operator
//! allows) and the action (what the provider documents for it). A request takes its place in all windows of all its levels
//! or in none. An account's rate halves when the provider throttles, and climbs back; see [`adaptive`].
//!
//! Pure: the caller brings the time and does the waiting. It counts nothing for a bill and knows no request's outcome but
//! a throttle.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Quota, Scope, Tick, Window};
use crate::providers::Action;
use crate::telemetry::Telemetry;

pub mod adaptive;
mod counter;
pub mod memo;
pub mod pace;

use adaptive::Adaptive;
use counter::Counter;
use pace::Pace;
pub use pace::{LAG, SHARE};

/// Every budget of this process.
#[derive(Debug, Default)]
pub struct Ledger {
    levels: Mutex<Vec<Level>>,
}

/// One account's place in the ledger: what its requests are booked by.
#[derive(Clone)]
pub struct Budget {
    ledger: Arc<Ledger>,
    account: usize,
}

/// How full one window of an account is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Which window.
    pub window: Window,
    /// What it may hold.
    pub limit: f64,
    /// What it holds, of the stretch of that length that ends now, to a sixtieth of its length.
    pub used: u64,
}

/// Who a level belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// All requests to one provider.
    Address(&'static str),
    /// All requests under one account.
    Account(Arc<str>),
    /// One action of one provider under the account of that place.
    Action(usize, &'static str, &'static str),
}

#[derive(Debug)]
struct Level {
    key: Key,
    paces: Vec<Pace>,
    /// What was spent, for accounts only, one counter a pace.
    spent: Vec<Counter>,
    /// How the provider's throttling lowers the first pace; accounts only.
    adaptive: Option<Adaptive>,
    /// Nothing may leave before.
    held: Tick,
}

impl Ledger {
    /// The budget of an account, which begins at `now` as if all of it had just been spent, since nobody knows what a
    /// former process did; see [`Ledger::restore`] for when somebody does. An account that is there already keeps what it
    /// has spent, unless its quota is another one.
    pub fn account(self: &Arc<Self>, name: &Arc<str>, quota: &Quota, now: Tick) -> Budget {
        let mut levels = self.lock();
        let key = Key::Account(name.clone());
        let account = find(&mut levels, key, |level| level.set(quota, now));
        drop(levels);
        Budget { ledger: self.clone(), account }
    }

    /// Brings up to date what of the budgets changes by itself with time.
    pub fn publish(&self, telemetry: &Telemetry, now: Tick) {
        for level in self.lock().iter() {
            let (Key::Account(name), Some(adaptive)) = (&level.key, &level.adaptive) else { continue };
            let meter = telemetry.budget(name);
            meter.rate(adaptive.rate(now));
            for usage in level.usage(now) {
                #[expect(clippy::cast_precision_loss, reason = "requests are far below 2^52")]
                meter.window(usage.window.as_str(), usage.limit, usage.used as f64 / usage.limit.max(1.0));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Level>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    /// A budget in a ledger of its own.
    pub fn alone(quota: &Quota, now: Tick) -> Self {
        Arc::<Ledger>::default().account(&Arc::from(""), quota, now)
    }

    /// Takes a place for one request that leaves at once: in every window of every level, or in none; the error is when to
    /// try again.
    pub fn reserve(&self, provider: &'static str, action: &'static Action, now: Tick) -> Result<(), Tick> {
        let mut levels = self.ledger.lock();
        let path = [
            limited(&mut levels, Key::Address(provider), action, Scope::Address, now),
            Some(self.account),
            limited(
                &mut levels,
                Key::Action(self.account, provider, action.name),
                action,
                Scope::Action,
                now,
            ),
        ];
        let path = path.into_iter().flatten();
        let free_at = path.clone().map(|at| levels[at].free_at()).max().unwrap_or_default();
        if free_at > now {
            return Err(free_at);
        }
        path.for_each(|at| levels[at].take(now));
        Ok(())
    }

    /// When the account could send its next request, as far as it lies with the account. Books nothing.
    pub fn free_at(&self) -> Tick {
        self.ledger.lock()[self.account].free_at()
    }

    /// Lets nothing leave before `until`; replaces what was said before.
    pub fn hold(&self, until: Tick) {
        self.ledger.lock()[self.account].held = until;
    }

    /// The provider throttled a request: from now on the account is slower for a while.
    pub fn throttled(&self, now: Tick) {
        if let Some(adaptive) = self.ledger.lock()[self.account].adaptive.as_mut() {
            adaptive.throttled(now);
        }
    }

    /// Requests a second that the account may send at present: the quota, or less after a throttle.
    pub fn rate(&self, now: Tick) -> f64 {
        self.ledger.lock()[self.account].adaptive.as_ref().map_or(0.0, |adaptive| adaptive.rate(now))
    }

    /// How full each of the account's windows is.
    pub fn usage(&self, now: Tick) -> Vec<Usage> {
        self.ledger.lock()[self.account].usage(now).collect()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Level {
    fn new(key: Key) -> Self {
        Self { key, paces: Vec::new(), spent: Vec::new(), adaptive: None, held: Tick::ZERO }
    }

    /// Takes over an account's quota: windows that it had before and whose limit is the same go on, and so does what a
    /// throttle did to the rate.
    fn set(&mut self, quota: &Quota, now: Tick) {
        let new = |(window, calls): (Window, f64)| {
            let new = Pace::new(window, calls, now);
            let known = self.paces.iter().position(|old| old.is_like(&new));
            let counter = || Counter::new(new.window().length());
            known.map_or_else(
                || (new.clone(), counter()),
                |at| (self.paces[at].clone(), self.spent.get(at).cloned().unwrap_or_else(counter)),
            )
        };
        let (paces, spent) = quota_windows(quota).map(new).unzip();
        (self.paces, self.spent) = (paces, spent);
        self.adaptive = self.adaptive.take().filter(|known| known.is_of(quota.per_second));
        self.adaptive.get_or_insert_with(|| Adaptive::new(quota.per_second));
    }

    fn free_at(&self) -> Tick {
        self.paces.iter().map(Pace::free_at).max().unwrap_or_default().max(self.held)
    }

    fn usage(&self, now: Tick) -> impl Iterator<Item = Usage> {
        self.paces.iter().zip(&self.spent).map(move |(pace, spent)| Usage {
            window: pace.window(),
            limit: pace.limit(),
            used: spent.total(now),
        })
    }

    fn take(&mut self, now: Tick) {
        let stretched = self.adaptive.as_ref().map_or(1.0, |adaptive| adaptive.stretch(now));
        for (number, pace) in self.paces.iter_mut().enumerate() {
            pace.take(now, if number == 0 { stretched } else { 1.0 });
        }
        self.spent.iter_mut().for_each(|spent| spent.add(now));
    }
}

#[expect(clippy::cast_precision_loss, reason = "quotas are far below 2^52")]
fn quota_windows(quota: &Quota) -> impl Iterator<Item = (Window, f64)> + '_ {
    let longer = quota.longer.iter().map(|&(window, calls)| (window, calls as f64));
    std::iter::once((Window::Second, quota.per_second)).chain(longer)
}

/// The place of a level, which is made if it is not there; `set` brings it up to date.
fn find(levels: &mut Vec<Level>, key: Key, set: impl FnOnce(&mut Level)) -> usize {
    let at = levels.iter().position(|level| level.key == key).unwrap_or_else(|| {
        levels.push(Level::new(key));
        levels.len() - 1
    });
    set(&mut levels[at]);
    at
}

/// The level of an action's documented limits of this scope; none where it has none.
fn limited(levels: &mut Vec<Level>, key: Key, action: &Action, scope: Scope, now: Tick) -> Option<usize> {
    let mut limits = action.limits.iter().filter(|limit| limit.scope == scope).peekable();
    limits.peek()?;
    let at = find(levels, key, |_| ());
    for limit in limits {
        let pace = Pace::new(limit.per, f64::from(limit.calls), now);
        if !levels[at].paces.iter().any(|old| old.is_like(&pace)) {
            levels[at].paces.push(pace);
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests;
