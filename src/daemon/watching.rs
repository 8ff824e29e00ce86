//! Keeps the lists of targets that may change while the exporter runs: looks at files, takes up what discoveries find, works
//! out what changed, and hands it to the account's polling.
//!
//! Reading a million lines takes most of a second, so it has a thread of its own; polling only takes up what is worked out.
//! A list that cannot be read as a whole changes nothing: the last good one goes on, which the log says once and
//! `presence_source_targets_refresh_successful` all the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::config::{ListFile, ListProblem, TargetLists, read_files};
use crate::domain::{Change, Roster, TargetLabels, Tick};
use crate::ports::{Clock, Env, Stamp};
use crate::providers::Provider;
use crate::scheduler::changes::{Family, ListChange};
use crate::scheduler::discovery::Discovered;
use crate::store::Store;

mod finds;

pub(super) use self::finds::Finds;

/// A file that was modified this shortly before it was looked at may be modified again with the same time, which file
/// systems keep to some milliseconds, the worst to two seconds: it is read again at the next look.
const FRESH: Duration = Duration::from_secs(3);

/// Problems of one look that the log names.
const LOGGED_MAX: usize = 5;

/// Looks at lists until it is told to stop.
pub struct Watching {
    sources: Vec<Watched>,
    found: mpsc::Receiver<Discovered>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    env: Arc<dyn Env>,
}

/// One source whose targets may change.
pub(super) struct Watched {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// The place of its pool in the account's list, and its own in that.
    pub seat: (usize, usize),
    /// Takes its changes.
    pub changes: mpsc::Sender<ListChange>,
    /// Says which ids are good.
    pub provider: Arc<dyn Provider>,
    /// The pools that ask the same as its own, shared with the others in them; never locked while anything is awaited.
    pub family: Arc<Mutex<Family>>,
    /// Where its targets come from.
    pub lists: TargetLists,
    /// Its targets, as they were last handed over.
    pub roster: Arc<Roster>,
    /// What discoveries found.
    pub finds: Finds,
    /// When the files are looked at next.
    pub due: Tick,
    /// The files as they were when they were last read; none when they are to be read in any case.
    pub read: Option<Vec<Stamp>>,
    /// What was wrong at the last look, as the log has it.
    pub trouble: Option<String>,
}

/// What a look at the files came to.
enum Look {
    Unchanged,
    /// What they hold, and what they looked like, where that tells a later change for sure.
    Read(Roster, Option<Vec<Stamp>>),
    Bad(Vec<ListProblem>),
}

impl Watching {
    /// Sets out to watch these; the first look is one refresh from now.
    pub(super) fn new(
        sources: Vec<Watched>,
        found: mpsc::Receiver<Discovered>,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        env: Arc<dyn Env>,
    ) -> Self {
        let now = clock.now();
        for source in &sources {
            // A list that is not asked for yet is not good yet.
            store.refreshed(source.roster.source(), source.lists.discover.is_none(), now);
        }
        Self { sources, found, store, clock, env }
    }

    /// Goes on with what an earlier process found, by the sources' numbers; it is among their targets already.
    pub(super) fn recall(&mut self, finds: Vec<(u16, Finds)>) {
        for (number, finds) in finds {
            if let Some(source) = self.sources.iter_mut().find(|source| source.roster.source() == number) {
                source.finds = finds;
            }
        }
    }

    /// Looks again and again until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while let Some(next) = self.sources.iter().map(|source| source.due).min() {
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                // An error means that whoever would say it is gone, with polling.
                _ = stop.wait_for(|stop| *stop) => return,
                Some(found) = self.found.recv() => self.heard(found).await,
                () = clock.sleep_until(next) => {}
            }
            let now = self.clock.now().tick;
            for source in self.sources.iter_mut().filter(|source| source.due <= now) {
                source.look(&self.store, &*self.clock, &*self.env).await;
                source.due = self.clock.now().tick + source.lists.refresh;
            }
        }
    }

    async fn heard(&mut self, found: Discovered) {
        let of = |source: &&mut Watched| source.roster.source() == found.source;
        if let Some(source) = self.sources.iter_mut().find(of) {
            source.heard(found, &self.store, &*self.clock, &*self.env).await;
        }
    }
}

impl Watched {
    /// Takes up what came of a discovery; the files are read with it.
    async fn heard(&mut self, heard: Discovered, store: &Store, clock: &dyn Clock, env: &dyn Env) {
        let Some(discover) = &self.lists.discover else { return };
        if self.finds.take_up(heard, discover, &*self.provider, &self.name) {
            self.read = None;
        }
        self.look(store, clock, env).await;
    }

    async fn look(&mut self, store: &Store, clock: &dyn Clock, env: &dyn Env) {
        let good = match self.files(clock, env) {
            Look::Unchanged => self.trouble.is_none(),
            Look::Read(wanted, stamps) => {
                self.read = stamps;
                self.well();
                self.take_up(&wanted, store).await;
                true
            }
            Look::Bad(problems) => {
                self.ill(&problems);
                false
            }
        };
        // A list is as new as the oldest of its parts.
        let (good, at) = if self.lists.discover.is_some() {
            (good && self.finds.are_good(), self.finds.at())
        } else {
            (good, None)
        };
        store.refreshed(self.roster.source(), good, at.unwrap_or_else(|| clock.now()));
    }

    /// Reads the files if they are not as they were.
    fn files(&self, clock: &dyn Clock, env: &dyn Env) -> Look {
        let before = stamps(env, &self.lists.files);
        if before.is_some() && before == self.read {
            return Look::Unchanged;
        }
        let now_ms = clock.now().unix_ms;
        let mut wanted = (*self.lists.inline).clone();
        let accepts = |id: &str| self.provider.accepts(id);
        if let Err(problems) = read_files(env, &self.lists.files, &accepts, &mut wanted) {
            return Look::Bad(problems);
        }
        if stamps(env, &self.lists.files) != before {
            let file = self.lists.files.first().map(|file| file.name.clone()).unwrap_or_default();
            let message = "it changed while it was read".to_owned();
            return Look::Bad(vec![ListProblem { number: 0, file, line: None, message }]);
        }
        for found in self.finds.all() {
            let labels = TargetLabels { name: found.name.clone(), labels: Vec::new() };
            // What the configuration and the files say of it stands.
            wanted.push(&found.id, labels);
        }
        let settled = |stamp: &Stamp| u128::from(stamp.modified_ms.abs_diff(now_ms)) > FRESH.as_millis();
        Look::Read(wanted, before.filter(|stamps| stamps.iter().all(settled)))
    }

    /// Hands a change over, if there is one.
    async fn take_up(&mut self, wanted: &Roster, store: &Store) {
        let Some(change) = Change::between(&self.roster, wanted) else { return };
        let (new, gone) = (Arc::clone(&change.new), change.moves.removed().len());
        let come = new.len() - change.moves.kept();
        let worked_out =
            self.family.lock().unwrap_or_else(PoisonError::into_inner).change(self.seat, change, store);
        let Some(worked_out) = worked_out else {
            // The change before this one was not taken up yet.
            self.read = None;
            return;
        };
        if self.changes.send(worked_out).await.is_err() {
            return; // Polling has ended.
        }
        info!(source = %self.name, targets = new.len(), come, gone, "the targets changed");
        self.roster = new;
    }

    fn well(&mut self) {
        if self.trouble.take().is_some() {
            info!(source = %self.name, "the lists of targets are good again");
        }
    }

    fn ill(&mut self, problems: &[ListProblem]) {
        // What is wrong is looked for again, in case it is the system that has trouble.
        self.read = None;
        let named: Vec<String> = problems.iter().take(LOGGED_MAX).map(ToString::to_string).collect();
        let problems = named.join("; ");
        if self.trouble.as_ref() != Some(&problems) {
            warn!(source = %self.name, problems, "a list of targets is not good; the last good one goes on");
            self.trouble = Some(problems);
        }
    }
}

/// What the files look like without being read; none where that cannot be told.
fn stamps(env: &dyn Env, files: &[ListFile]) -> Option<Vec<Stamp>> {
    files.iter().map(|file| env.stamp(&file.path).unwrap_or(None)).collect()
}
