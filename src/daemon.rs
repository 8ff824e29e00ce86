//! The one assembly: a checked configuration and ports in, a running exporter out. Commands, demo and tests all use it.
//!
//! Two one-thread runtimes, polling and web, share nothing but the store and the counters, so that a flood of scrapes
//! cannot starve polling. A panic anywhere ends the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use crate::config::AccountSettings;
use crate::domain::explanation::KNOWN_MAX;
use crate::domain::{Explanation, NotFound, Policy, Priority, Roster, SourceSpec, Tick};
use crate::exposition::{Format, Page};
use crate::http::{Control, Overview, Pieces, SourceLine, UnknownSource};
use crate::ports::{Ports, Transport};
use crate::providers::Step;
use crate::providers::configure::{Configuration, Source};
use crate::scheduler::budget::memo::MEMO;
use crate::scheduler::changes::{self, Family};
use crate::scheduler::discovery::{Listing, listings};
use crate::scheduler::explain::{Subject, explain};
use crate::scheduler::pools::{Pool, pools};
use crate::scheduler::{AccountTask, Board, Ledger, Member, Polling, PoolTask, Shared, plan};
use crate::store::{Installed, Snapshot, Store};
use crate::telemetry::{InFlight, Telemetry};

mod recalled;
mod saving;
mod watching;

pub use recalled::Recalled;
pub use saving::Saving;
pub use watching::Watching;
use watching::{Finds, Watched};

/// This build's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What discoveries found and is not taken up yet, at most: each source is listed once a minute at most, and taking one up
/// takes a second. More than that would be told again by the next listing.
const FINDS_WAITING_MAX: usize = 256;

/// An exporter that is put together and not yet running.
pub struct Exporter {
    store: Arc<Store>,
    telemetry: Arc<Telemetry>,
    ledger: Arc<Ledger>,
    ports: Ports,
    polling: Vec<Polling>,
    saving: Option<Saving>,
    watching: Option<Watching>,
    /// Where each source stands.
    places: Vec<Seat>,
}

/// What the web side may ask of a running exporter.
pub struct Desk {
    store: Arc<Store>,
    telemetry: Arc<Telemetry>,
    ledger: Arc<Ledger>,
    ports: Ports,
    /// What each source's account knows of its polling, and the source's place there.
    boards: Vec<(Arc<Board>, (usize, usize))>,
}

/// Where a source stands.
#[derive(Clone, Copy, Default)]
struct Seat {
    /// The number of its account.
    account: usize,
    /// The place of its pool in that one's list.
    pool: usize,
    /// Its place in the pool.
    member: usize,
}

impl Exporter {
    /// Puts an exporter together. The error says which account's way out cannot be opened, and why.
    pub fn assemble(configuration: Configuration, ports: Ports) -> Result<Self, String> {
        let store = Arc::new(Store::new());
        let telemetry = Arc::new(Telemetry::new(
            VERSION,
            option_env!("PRESENCE_EXPORTER_REVISION").unwrap_or("unknown"),
            option_env!("PRESENCE_EXPORTER_RUSTC").unwrap_or("unknown"),
        ));
        let ledger = Arc::new(Ledger::default());
        let shared = Shared {
            ports: ports.clone(),
            store: store.clone(),
            telemetry: telemetry.clone(),
            ledger: ledger.clone(),
        };
        let inputs = plan::Inputs::of(&configuration);
        let installed = |(number, source): (usize, &Source)| {
            let spec = spec(source, inputs.max_age(number), inputs.delay(number).whole());
            Installed { spec, roster: source.roster.clone() }
        };
        store.install(configuration.sources.iter().enumerate().map(installed).collect());
        drop(inputs);
        for source in &configuration.sources {
            let account = &configuration.accounts[source.account].settings.name;
            telemetry.register(account, source.kind.name(), &source.actions());
        }
        let mut by_account: Vec<Vec<PoolTask>> = configuration.accounts.iter().map(|_| vec![]).collect();
        let mut places = vec![Seat::default(); configuration.sources.len()];
        let pools = pools(&configuration.sources);
        // The place of each pool in its account's list.
        let mut in_account = Vec::with_capacity(pools.len());
        let mut numbers = vec![0; configuration.accounts.len()];
        for pool in &pools {
            in_account.push(numbers[pool.account]);
            numbers[pool.account] += 1;
        }
        let listings = listings(&configuration.sources);
        for (pool, &place) in pools.iter().zip(&in_account) {
            for (member, &source) in pool.sources.iter().enumerate() {
                places[source] = Seat { account: pool.account, pool: place, member };
            }
            let places = |pools: &[usize]| pools.iter().map(|&pool| in_account[pool]).collect();
            let related = (places(&pool.faster), places(&pool.slower));
            by_account[pool.account].push(task(pool, related, &configuration.sources, &listings, &telemetry));
        }
        let mut polling = Vec::new();
        for (account, pools) in configuration.accounts.into_iter().zip(by_account) {
            let transport = open(&ports, &account.settings)?;
            let AccountSettings { name, quota, shed, concurrency, .. } = account.settings;
            let name = Arc::from(name);
            let task = AccountTask { name, quota, shed, concurrency, transport, pools };
            polling.push(Polling::new(task, shared.clone()));
        }
        let watched = watched(configuration.sources, &places, &mut polling, ports.clock.now().tick);
        let (finds, found) = mpsc::channel(FINDS_WAITING_MAX);
        for polling in &mut polling {
            let mut members = polling.pools().iter().flat_map(|source| &source.members);
            if members.any(|member| member.listing.is_some()) {
                polling.report_finds(finds.clone());
            }
        }
        let watching =
            |watched| Watching::new(watched, found, store.clone(), ports.clock.clone(), ports.env.clone());
        let watching = (!watched.is_empty()).then(|| watching(watched));
        Ok(Self { store, telemetry, ledger, ports, polling, places, saving: None, watching })
    }

    /// Goes on from what a file says of an earlier process, and lets pages show only what is in it. To be called before
    /// polling begins; the configuration is that to which [`Recalled::open`] added whom the file recalls. The error says why
    /// there can be no file at its place.
    pub fn keep_state(&mut self, recalled: Recalled) -> Result<(), String> {
        let file = saving::restore(recalled.file, &self.store, self.ports.clock.now())?;
        if let Some(watching) = &mut self.watching {
            watching.recall(recalled.finds);
        }
        if let Some(memo) = self.store.memo(MEMO) {
            self.ledger.restore(&memo, self.ports.clock.now());
        }
        let (store, telemetry, clock) = (&self.store, &self.telemetry, &self.ports.clock);
        self.saving =
            Some(Saving::new(file, store.clone(), telemetry.clone(), self.ledger.clone(), clock.clone()));
        Ok(())
    }

    /// What saves, where state is kept; to be run beside polling, on a thread of its own, since it waits for the disk.
    pub fn saving(&mut self) -> Option<Saving> {
        self.saving.take()
    }

    /// What keeps the lists of targets that may change, if there are any; to be run beside polling, on a thread of its own,
    /// since it reads files.
    pub fn watching(&mut self) -> Option<Watching> {
        self.watching.take()
    }

    /// What the web side asks.
    pub fn desk(&self) -> Arc<Desk> {
        Arc::new(Desk {
            store: self.store.clone(),
            telemetry: self.telemetry.clone(),
            ledger: self.ledger.clone(),
            ports: self.ports.clone(),
            boards: self.places.iter().map(|&seat| self.board(seat)).collect(),
        })
    }

    fn board(&self, Seat { account, pool, member }: Seat) -> (Arc<Board>, (usize, usize)) {
        (self.polling[account].board(), (pool, member))
    }

    /// Where answers are kept.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// Polls all accounts until `stop` says so. Runs on any executor.
    pub async fn poll(self, stop: watch::Receiver<bool>) {
        let mut accounts: FuturesUnordered<_> =
            self.polling.into_iter().map(|polling| polling.run(stop.clone())).collect();
        while accounts.next().await.is_some() {}
    }
}

/// A page that counts as being answered until it is dropped.
struct Counted {
    page: Page,
    _in_flight: InFlight,
}

impl Pieces for Counted {
    fn next_piece(&mut self, out: &mut Vec<u8>) -> bool {
        self.page.next_piece(out)
    }
}

impl Control for Desk {
    fn page(&self, format: Format, only: &[String]) -> Result<Box<dyn Pieces>, UnknownSource> {
        let snapshot = self.store.snapshot();
        let known = |name: &String| snapshot.sources.iter().any(|source| *source.spec.name == **name);
        if let Some(name) = only.iter().find(|name| !known(name)) {
            return Err(UnknownSource { name: name.clone() });
        }
        let now = self.ports.clock.now();
        self.ledger.publish(&self.telemetry, now.tick);
        let page = Page::new(snapshot, now, self.telemetry.gather(), format);
        let page = only.iter().fold(page, |page, name| page.only_source(name));
        Ok(Box::new(Counted { page, _in_flight: self.telemetry.http_begun() }))
    }

    fn awaited(&self) -> Vec<Arc<str>> {
        self.store.awaited()
    }

    fn overview(&self) -> Overview {
        let now = self.ports.clock.now();
        let snapshot = self.store.snapshot();
        let sources = snapshot.sources.iter().map(|source| {
            let counts = source.counts(now);
            SourceLine {
                name: source.spec.name.clone(),
                provider: source.spec.provider,
                kind: source.spec.kind.as_str(),
                online: counts.online.into(),
                offline: counts.offline.into(),
                unknown: counts.unknown.into(),
                up: Some(source.up),
                last_success: source.last_success.map(|at| now.tick.since(at.tick)),
            }
        });
        Overview { version: VERSION.to_owned(), sources: sources.collect() }
    }

    fn explain(&self, source: &str, target: &str) -> Result<Box<Explanation>, NotFound> {
        let snapshot = self.store.snapshot();
        let number = snapshot.sources.iter().position(|known| *known.spec.name == *source);
        let Some(number) = number else { return Err(no_source(source, &snapshot)) };
        let spec = &snapshot.sources[number].spec;
        let Some((board, place)) = self.boards.get(number) else { return Err(no_source(source, &snapshot)) };
        let now = self.ports.clock.now();
        let Some((roster, index, about)) = board.about_target(*place, target, now) else {
            return Err(no_target(spec, &board.roster(*place), target));
        };
        let roster = &*roster;
        // Straight from the store: the snapshot may be that of a slow reader.
        let state = self.store.state(roster.row(index)).unwrap_or_default();
        let subject = Subject { spec, roster, index, state: &state, about: &about };
        Ok(Box::new(explain(&subject, now)))
    }

    fn answered(&self, code: u16) {
        self.telemetry.http_answered(code);
    }

    fn page_written(&self, bytes: u64) {
        self.telemetry.scrape_body(bytes);
    }
}

fn no_source(name: &str, snapshot: &Snapshot) -> NotFound {
    let known = snapshot.sources.iter().take(KNOWN_MAX).map(|source| source.spec.name.to_string());
    NotFound { error: format!("there is no source {name:?}"), known: known.collect(), ..NotFound::default() }
}

fn no_target(spec: &SourceSpec, roster: &Roster, id: &str) -> NotFound {
    NotFound {
        error: format!("source {:?} has no target {id:?}", spec.name),
        source: Some(spec.name.to_string()),
        targets: Some(roster.len()),
        known: roster.iter().take(KNOWN_MAX).map(|target| target.id.to_owned()).collect(),
    }
}

fn spec(source: &Source, max_age: Duration, detection_delay: Duration) -> SourceSpec {
    SourceSpec {
        name: Arc::from(source.settings.name.as_str()),
        provider: source.kind.name(),
        kind: source.target_kind,
        evidence: source.evidence,
        platforms: source.provider.tells_platforms(),
        policy: Policy { max_age, arrive: source.settings.arrive_delay, leave: source.settings.leave_delay },
        detection_delay,
    }
}

/// The sources whose targets may change, with what they are asked about now together with others.
fn watched(sources: Vec<Source>, seats: &[Seat], polling: &mut [Polling], now: Tick) -> Vec<Watched> {
    let of = |source: &Source| (source.roster.source(), source.settings.priority);
    let priorities: BTreeMap<u16, Priority> = sources.iter().map(of).collect();
    let priority = |number: u16| priorities.get(&number).copied().unwrap_or_default();
    let mut families: BTreeMap<(usize, usize), Arc<Mutex<Family>>> = BTreeMap::new();
    let mut watched = Vec::new();
    for (source, &Seat { account, pool, member }) in sources.into_iter().zip(seats) {
        let Some(lists) = source.lists else { continue };
        let polling = &mut polling[account];
        let changes = polling.changes();
        if !families.contains_key(&(account, pool)) {
            let family = Family::of(pool, polling.pools(), &priority);
            let places: Vec<usize> = family.places().collect();
            let family = Arc::new(Mutex::new(family));
            families.extend(places.into_iter().map(|place| ((account, place), Arc::clone(&family))));
        }
        watched.push(Watched {
            name: Arc::from(source.settings.name),
            seat: (pool, member),
            changes,
            provider: source.provider,
            family: Arc::clone(&families[&(account, pool)]),
            roster: source.roster,
            due: now + lists.refresh,
            lists,
            finds: Finds::default(),
            read: None,
            trouble: None,
        });
    }
    watched
}

/// What is polled for a pool of sources; `related`: the places of faster and of slower pools in the account's list.
fn task(
    pool: &Pool,
    (faster, slower): (Vec<usize>, Vec<usize>),
    sources: &[Source],
    listings: &BTreeMap<usize, Listing>,
    telemetry: &Telemetry,
) -> PoolTask {
    let first = &sources[pool.sources[0]];
    let steps = first.provider.round();
    let has_log = steps.iter().any(|step| matches!(step, Step::Log { .. }));
    let member = |&number: &usize| {
        let source = &sources[number];
        let settings = &source.settings;
        let meter = || telemetry.sessions(&settings.name, source.kind.name(), source.target_kind.as_str());
        Member {
            name: Arc::from(settings.name.as_str()),
            roster: source.roster.clone(),
            lens: source.lens,
            interval: settings.interval,
            max_age: settings.max_age,
            listing: listings.get(&number).cloned(),
            sessions: has_log.then(|| Arc::new(meter())),
        }
    };
    let members: Vec<Member> = pool.sources.iter().map(member).collect();
    let requests = changes::requests(&plan::rhythm(&steps, &pool.roster), &steps, &pool.roster);
    PoolTask {
        name: PoolTask::name_of(&members),
        kind: first.kind,
        provider: first.provider.clone(),
        steps,
        roster: pool.roster.clone(),
        members,
        faster,
        slower,
        requests,
        interval: pool.tempo.interval,
        cadence: pool.tempo.cadence,
        priority: pool.priority,
        timeout: pool.tempo.timeout,
    }
}

/// Opens an account's way out.
pub fn open(ports: &Ports, settings: &AccountSettings) -> Result<Arc<dyn Transport>, String> {
    ports.network.open(&settings.outbound).map_err(|why| format!("account {}: {why}", settings.name))
}
