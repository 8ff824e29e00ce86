//! Reads a whole configuration: accounts by their clouds, sources by their providers, every problem at once.
//!
//! It opens no connection and reads no file but the secrets, certificates and lists of targets that the configuration names.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::{Cloud, Configured, Per, ProviderKind, REGISTRY, Session, Step, View};
use crate::config::common::{self, ACCOUNT_KEYS, DEFAULTS_KEYS, SOURCE_KEYS};
use crate::config::file::{self, Named};
use crate::config::quotas::QUOTAS;
use crate::config::reader::{Context, choose};
use crate::config::{
    AccountSettings, Place, Problem, Problems, Reader, SourceSettings, TargetLists, targets, tree,
};
use crate::domain::{Evidence, Kind, Quota, Roster, Window};
use crate::ports::Env;

use super::Provider;

/// A checked configuration: nothing in it can be wrong any more but the world outside.
pub struct Configuration {
    /// Who asks, in the order of the file.
    pub accounts: Vec<Account>,
    /// What is asked, in the order of the file; each one's number is its place here.
    pub sources: Vec<Source>,
}

/// One account.
pub struct Account {
    /// The common settings.
    pub settings: AccountSettings,
    /// Its cloud.
    pub cloud: &'static Cloud,
    /// Its credentials.
    pub session: Session,
    /// Where it stands in the file: its path, and the places of its name and of its quotas.
    pub origin: Origin,
}

/// Where an account stands in the file, for problems that show only when all of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its path, such as `accounts.main`.
    pub path: String,
    /// The place of its name.
    pub place: Place,
    /// The places of the quotas that it gives.
    pub quotas: Vec<(Window, Place)>,
}

/// One source.
pub struct Source {
    /// The common settings.
    pub settings: SourceSettings,
    /// The account's place in the configuration.
    pub account: usize,
    /// What is fixed about its provider.
    pub kind: &'static dyn ProviderKind,
    /// What its targets are.
    pub target_kind: Kind,
    /// Where its start times come from.
    pub evidence: Evidence,
    /// Asks.
    pub provider: Arc<dyn Provider>,
    /// How it reads answers that it may share with others.
    pub lens: u8,
    /// What it asks and how, in words that only another source that asks the very same has.
    pub asks: String,
    /// Its targets.
    pub roster: Arc<Roster>,
    /// Where those come from, if they may change.
    pub lists: Option<TargetLists>,
}

impl Source {
    /// Its part in a question about all targets.
    pub fn view(&self) -> View<'_> {
        View { roster: &self.roster, lens: self.lens }
    }

    /// The names of the calls that it makes, those of getting keys and tokens included: what is counted from 0 on.
    pub fn actions(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        let discovers = self.lists.as_ref().is_some_and(|lists| lists.discover.is_some());
        for charge in self.provider.costs().charges {
            if matches!(charge.per, Per::Discovery(_)) && !discovers {
                continue;
            }
            if !names.contains(&charge.action.name) {
                names.push(charge.action.name);
            }
        }
        names
    }
}

/// Reads the text of a configuration file that stands in folder `base`. `generation` numbers this reading.
pub fn configure(
    text: &str,
    env: &Arc<dyn Env>,
    base: &Path,
    generation: u16,
) -> Result<Configuration, Vec<Problem>> {
    let node = tree::parse(text).map_err(|problem| vec![problem])?;
    let problems = Problems::default();
    let read = {
        let context = Context { problems: &problems, env, base };
        file::open(context, &node).map(|top| read(context, &top, generation))
    };
    match read {
        Some(configuration) if problems.is_empty() => Ok(configuration),
        _ => Err(problems.into_sorted()),
    }
}

fn read(context: Context<'_>, top: &file::TopLevel<'_>, generation: u16) -> Configuration {
    let mut accounts = Vec::new();
    // An account that is bad was complained about; sources may still name it.
    let mut places: HashMap<&str, Option<usize>> = HashMap::new();
    for named in &top.accounts {
        let account = read_account(context, named);
        places.insert(named.name, account.is_some().then_some(accounts.len()));
        accounts.extend(account);
    }
    let mut sources = Vec::new();
    for (number, named) in (0_u16..).zip(&top.sources) {
        let seat = Seat { number, generation, accounts: &accounts, places: &places };
        sources.extend(read_source(context, named, top.defaults, &seat));
    }
    Configuration { accounts, sources }
}

fn read_account(context: Context<'_>, named: &Named<'_>) -> Option<Account> {
    let mut names: Vec<&'static str> = REGISTRY.iter().map(|kind| kind.cloud().name).collect();
    names.dedup();
    let cloud = super::cloud(choose(context, named.node, &named.path, "cloud", &names)?)?;
    let reader = Reader::open(context, named.node, &named.path, &[ACCOUNT_KEYS, cloud.keys], None)?;
    let settings = common::read_account(&reader, named.name, cloud.requests_per_second);
    // A stand-in lets the cloud's own keys be checked even where a common one is bad.
    let stand_in = AccountSettings {
        name: named.name.to_owned(),
        quota: Quota::per_second(cloud.requests_per_second),
        shed: false,
        concurrency: 1,
        endpoint: reader.text("endpoint"),
        outbound: crate::ports::Outbound::default(),
    };
    let session = (cloud.open)(&reader, settings.as_ref().unwrap_or(&stand_in));
    let quotas = QUOTAS.iter().filter_map(|(key, window)| Some((*window, reader.place_of(key)?)));
    let origin = Origin { path: named.path.clone(), place: named.place, quotas: quotas.collect() };
    Some(Account { settings: settings?, cloud, session: session?, origin })
}

/// What a source is read against.
struct Seat<'a> {
    number: u16,
    generation: u16,
    accounts: &'a [Account],
    places: &'a HashMap<&'a str, Option<usize>>,
}

fn read_source(
    context: Context<'_>,
    named: &Named<'_>,
    defaults: Option<&tree::Node>,
    seat: &Seat<'_>,
) -> Option<Source> {
    let names: Vec<&'static str> = REGISTRY.iter().map(|kind| kind.name()).collect();
    let kind = super::find(choose(context, named.node, &named.path, "provider", &names)?)?;
    let tables = [SOURCE_KEYS, DEFAULTS_KEYS, kind.keys()];
    // `defaults` may stand in another scope than the file's: the reader only borrows it.
    let reader = Reader::open(context, named.node, &named.path, &tables, defaults)?;
    let settings = common::read_source(&reader, named.name);
    let account = settings.as_ref().and_then(|settings| find_account(&reader, settings, kind, seat));
    let configured: Option<(usize, Configured)> = account.and_then(|number| {
        let account = &seat.accounts[number];
        Some((number, kind.configure(&reader, &account.settings, &account.session)?))
    });
    let has_turns = configured.as_ref().is_none_or(|(_, one)| asks_in_batches(&one.provider.round()));
    if !has_turns && reader.has("cadence") {
        let message =
            format!("{} asks about all targets at once, so that none has turns of its own", kind.name());
        reader.complain("cadence", message, Some("remove `cadence`, and let `interval` suit all".to_owned()));
    }
    let accepts = |id: &str| match &configured {
        Some((_, configured)) => configured.provider.accepts(id),
        None => Ok(()),
    };
    let lists = || match &configured {
        Some((_, configured)) if configured.provider.costs().discovery().is_none() => {
            Err(format!("{} has no call that lists targets, as this source is set", kind.name()))
        }
        _ => Ok(()),
    };
    let rules = targets::Rules { accepts: &accepts, lists: &lists };
    let given = targets::read_targets(&reader, seat.number, seat.generation, &rules);
    let ((account, configured), given) = (configured?, given?);
    Some(Source {
        settings: settings?,
        account,
        kind,
        target_kind: configured.kind,
        evidence: configured.evidence,
        provider: Arc::from(configured.provider),
        lens: configured.lens,
        asks: asks(&reader, kind),
        roster: given.roster,
        lists: given.lists,
    })
}

/// What tells a source's questions from those of another of its account: the provider, and its own keys as they are written.
fn asks(reader: &Reader<'_>, kind: &dyn ProviderKind) -> String {
    let views = kind.view_keys();
    let own = kind.keys().iter().filter(|key| !views.contains(&key.name));
    own.fold(kind.name().to_owned(), |asks, key| format!("{asks} {}: {}", key.name, reader.written(key.name)))
}

/// Whether a round asks about some of the targets at a time.
fn asks_in_batches(round: &[Step]) -> bool {
    round.iter().any(|step| matches!(step, Step::Batches { .. }))
}

fn find_account(
    reader: &Reader<'_>,
    settings: &SourceSettings,
    kind: &'static dyn ProviderKind,
    seat: &Seat<'_>,
) -> Option<usize> {
    let Some(place) = seat.places.get(settings.account.as_str()) else {
        let mut known: Vec<&str> = seat.places.keys().copied().collect();
        known.sort_unstable();
        let hint = format!("known accounts: {}", known.join(", "));
        reader.complain("account", "there is no account of this name", Some(hint));
        return None;
    };
    let number = (*place)?;
    let cloud = seat.accounts[number].cloud.name;
    if cloud != kind.cloud().name {
        let message = format!("this account belongs to cloud {cloud}, the provider to {}", kind.cloud().name);
        reader.complain("account", message, Some("name an account of the provider's cloud".to_owned()));
        return None;
    }
    Some(number)
}
