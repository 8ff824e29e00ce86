//! What discoveries of one source found, and which of it is taken.
//!
//! A listing that failed, that the filter takes nobody of, or that holds more than is allowed changes nothing: the last good
//! one goes on, which the log says once. It asks nobody, and hands nothing over.

use tracing::{info, warn};

use crate::config::{Discover, check_id, check_name};
use crate::domain::Moment;
use crate::providers::{Found, Provider};
use crate::scheduler::discovery::Discovered;

/// What is known of a source's discoveries.
#[derive(Default)]
pub struct Finds {
    /// Those of the last good listing that are taken, by id.
    taken: Vec<Found>,
    /// When that was asked for.
    at: Option<Moment>,
    /// Whether the last one was not good, and for what.
    trouble: Option<&'static str>,
    /// Listed ids that cannot be asked for, as the log has it.
    unfit: usize,
}

impl Finds {
    /// Those of an earlier process that a listing would take, until one tells. The error says why it would take none.
    pub fn recalled(found: Vec<Found>, discover: &Discover, provider: &dyn Provider) -> Result<Self, String> {
        let (taken, _) = choose(found, discover, provider).map_err(|(_, reason)| reason)?;
        Ok(Self { taken, ..Self::default() })
    }

    /// Those that are taken.
    pub fn all(&self) -> &[Found] {
        &self.taken
    }

    /// When the last good listing was asked for.
    pub fn at(&self) -> Option<Moment> {
        self.at
    }

    /// Whether the last listing was good.
    pub fn are_good(&self) -> bool {
        self.at.is_some() && self.trouble.is_none()
    }

    /// Takes up what came of a discovery; whether that was good.
    pub fn take_up(
        &mut self,
        heard: Discovered,
        discover: &Discover,
        provider: &dyn Provider,
        source: &str,
    ) -> bool {
        let chosen = heard.result.and_then(|found| {
            let (taken, unfit) = choose(found, discover, provider)?;
            if unfit > 0 && unfit != self.unfit {
                warn!(source, ids = unfit, "the list holds ids that cannot be asked for; they are left out");
            }
            self.unfit = unfit;
            Ok(taken)
        });
        match chosen {
            Ok(taken) => {
                (self.taken, self.at) = (taken, Some(heard.at));
                if self.trouble.take().is_some() {
                    info!(source, "the list of what there is to watch is good again");
                }
                true
            }
            Err((kind, reason)) => {
                if self.trouble.replace(kind) != Some(kind) {
                    warn!(source, reason, "targets cannot be discovered; the last good list goes on");
                }
                false
            }
        }
    }
}

/// Those that are taken, by id, and how many of them cannot be asked for.
fn choose(
    found: Vec<Found>,
    discover: &Discover,
    provider: &dyn Provider,
) -> Result<(Vec<Found>, usize), (&'static str, String)> {
    let listed = found.len();
    let is_wanted = |found: &Found| discover.filter.takes(&found.id, found.name.as_deref());
    let mut taken: Vec<Found> = found.into_iter().filter(is_wanted).collect();
    let wanted = taken.len();
    taken.retain(|found| check_id(&found.id).is_ok() && provider.accepts(&found.id).is_ok());
    let unfit = wanted - taken.len();
    taken.sort_by(|one, other| one.id.cmp(&other.id));
    taken.dedup_by(|one, other| one.id == other.id);
    for found in &mut taken {
        found.name = found.name.take().filter(|name| check_name(name).is_ok());
    }
    let max = discover.max_targets;
    match (listed, taken.len()) {
        (0, _) => Err(("empty", "the provider lists nothing".to_owned())),
        (_, 0) => Err(("nothing taken", format!("of {listed} that are listed, none is taken"))),
        (_, count) if count > max => {
            Err(("too many", format!("{count} targets are found, more than max_targets, {max}")))
        }
        _ => Ok((taken, unfit)),
    }
}
