//! Where an account's key comes from, as the keeper sees it: what is read again, and what is asked.

use super::Credentials;
use super::fetch::{Places, Recipe, Role, fetch};
use super::profile::Profile;
use crate::config::Secret;
use crate::ports::BoxFuture;
use crate::providers::credentials::{Fetched, Source, Written};
use crate::providers::{Charge, Failure, Net};

/// Where an account's key comes from.
pub struct Ways {
    origin: Origin,
    places: Places,
}

/// What may change while the exporter runs, and what may not.
pub enum Origin {
    /// Secrets of the configuration: the key itself, or the one that assumes a role.
    Written {
        /// The key as written.
        key: Written<Credentials>,
        /// The role that it assumes, if it does.
        role: Option<Role>,
    },
    /// A profile in a file.
    Profile(Profile),
    /// A service's address, which is secret.
    Address(Written<Secret>),
    /// Nothing that changes but by itself.
    Settled(Recipe),
}

impl Ways {
    /// A key from this origin; STS and metadata are asked at these places.
    pub fn new(origin: Origin, places: Places) -> Self {
        Self { origin, places }
    }

    /// This key, for ever.
    pub fn fixed(key: Credentials) -> Self {
        Self::new(Origin::Settled(Recipe::Key(key)), Places::nowhere())
    }

    fn recipe(&self) -> Result<Recipe, Failure> {
        Ok(match &self.origin {
            Origin::Written { key, role: None } => Recipe::Key(key.key()?),
            Origin::Written { key, role: Some(role) } => Recipe::Role(key.key()?, role.clone()),
            Origin::Profile(profile) => profile.recipe(),
            Origin::Address(address) => Recipe::Uri(address.key()?),
            Origin::Settled(recipe) => recipe.clone(),
        })
    }
}

impl Source for Ways {
    type Key = Credentials;

    fn reread(&self) -> bool {
        match &self.origin {
            Origin::Written { key, .. } => key.reread(),
            Origin::Profile(profile) => profile.reread(),
            Origin::Address(address) => address.reread(),
            Origin::Settled(recipe) => recipe.changed(),
        }
    }

    fn fetch<'a>(&'a self, net: &'a Net) -> BoxFuture<'a, Result<Fetched<Credentials>, Failure>> {
        Box::pin(async move { fetch(&self.recipe()?, &self.places, net).await })
    }

    fn charges(&self) -> Vec<Charge> {
        self.recipe().map(|recipe| recipe.charges()).unwrap_or_default()
    }
}
