//! Secrets as written in the configuration, and read again where they stand in files. Several belong together: a key's id,
//! its secret, a token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::{Fetched, Source};
use crate::config::{Reader, Reread, Secret, SecretSource};
use crate::domain::Fault;
use crate::ports::BoxFuture;
use crate::providers::{Charge, Failure, Net};

/// Some secrets of one account, in an order that their owner knows. It has no Debug.
pub struct Secrets(Vec<Option<Slot>>);

struct Slot {
    source: SecretSource,
    /// That it cannot be read any more was said.
    lost: bool,
}

impl Secrets {
    /// Reads these keys of an account; those that are not given are absent. `None` when one of them is bad, and was
    /// complained about.
    pub fn read(reader: &Reader<'_>, keys: &[&str]) -> Option<Self> {
        // All are read before any is missed: each one's problem is to be told.
        let read: Vec<_> = keys.iter().map(|key| (reader.has(key), reader.secret_source(key))).collect();
        let slot = |(given, source): (bool, Option<SecretSource>)| match source {
            None if given => None,
            source => Some(source.map(|source| Slot { source, lost: false })),
        };
        read.into_iter().map(slot).collect::<Option<_>>().map(Self)
    }

    /// Secrets that stand nowhere to be read again.
    pub fn fixed<const N: usize>(secrets: [Option<Secret>; N]) -> Self {
        let slot = |secret| Slot { source: SecretSource::fixed("", secret), lost: false };
        Self(secrets.into_iter().map(|secret| secret.map(slot)).collect())
    }

    /// The secret of this number.
    pub fn get(&self, number: usize) -> Option<&Secret> {
        self.0.get(number)?.as_ref().map(|slot| slot.source.secret())
    }

    /// Reads files again; whether a secret changed. Of a file that is lost the last text stays, and it is said once.
    pub fn reread(&mut self) -> bool {
        let mut changed = false;
        for slot in self.0.iter_mut().flatten() {
            let outcome = slot.source.reread();
            changed |= outcome == Reread::Changed;
            let lost = matches!(outcome, Reread::Lost(_));
            if let Reread::Lost(why) = outcome
                && !slot.lost
            {
                warn!(
                    key = slot.source.key(),
                    why, "a secret cannot be read again; the last one stays in use"
                );
            }
            slot.lost = lost;
        }
        changed
    }
}

/// What makes a key of secrets; the error is in our own words.
type Build<K> = fn(&Secrets) -> Result<K, &'static str>;

/// A key that is made of secrets as written.
pub struct Written<K> {
    secrets: Mutex<Secrets>,
    build: Build<K>,
    /// A secret changed, and nobody was told.
    changed: AtomicBool,
}

impl<K> Written<K> {
    /// A key that `build` makes of these secrets.
    pub fn new(secrets: Secrets, build: Build<K>) -> Self {
        Self { secrets: Mutex::new(secrets), build, changed: AtomicBool::new(false) }
    }

    /// The key, as last read.
    pub fn key(&self) -> Result<K, Failure> {
        (self.build)(&self.secrets()).map_err(|words| Failure::new(Fault::Unauthorized, words))
    }

    /// Reads files again; whether a secret changed.
    pub fn reread(&self) -> bool {
        let changed = self.secrets().reread();
        self.changed.fetch_or(changed, Ordering::Relaxed);
        changed
    }

    /// Reads files again; whether a secret changed since the last call.
    pub fn refreshed(&self) -> bool {
        self.reread();
        self.changed.swap(false, Ordering::Relaxed)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One secret that is the whole key: a password, a ready token.
impl Written<Secret> {
    /// A secret of the configuration.
    pub fn one(reader: &Reader<'_>, key: &str) -> Option<Self> {
        let secrets = Secrets::read(reader, &[key])?;
        secrets.get(0)?;
        Some(Self::new(secrets, only))
    }

    /// A secret that stands nowhere to be read again.
    pub fn fixed(secret: Secret) -> Self {
        Self::new(Secrets::fixed([Some(secret)]), only)
    }
}

fn only(secrets: &Secrets) -> Result<Secret, &'static str> {
    secrets.get(0).cloned().ok_or("there is no secret")
}

impl<K: Send + Sync> Source for Written<K> {
    type Key = K;

    fn reread(&self) -> bool {
        self.reread()
    }

    fn fetch<'a>(&'a self, net: &'a Net) -> BoxFuture<'a, Result<Fetched<K>, Failure>> {
        let from = net.now().tick;
        Box::pin(std::future::ready(self.key().map(|key| Fetched { key, from, life: None })))
    }

    /// None: they are there.
    fn charges(&self) -> Vec<Charge> {
        Vec::new()
    }
}
