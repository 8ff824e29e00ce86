//! Saves the store's rows to the state file, every second and at the end.
//!
//! It waits for the disk, so it has a thread of its own; the store's lock it holds only while it takes the list of chunks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::domain::{Moment, Tick};
use crate::ports::Clock;
use crate::scheduler::Ledger;
use crate::scheduler::budget::memo::MEMO;
use crate::store::{Earlier, StateFile, Store};
use crate::telemetry::Telemetry;

/// How long rows wait for a save, and so for pages, since those show what was saved. It is short against the intervals at
/// which providers are asked, and long against what a disk needs to confirm a write.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How long to wait after a save that failed: the next one writes everything, perhaps on a disk that is full.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// Saves until it is told to stop.
pub struct Saving {
    file: StateFile,
    store: Arc<Store>,
    telemetry: Arc<Telemetry>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    failing: bool,
}

/// Goes on from a file in these rows, and says in the log what came of it.
pub(super) fn restore(earlier: Earlier, store: &Store, now: Moment) -> Result<StateFile, String> {
    let opened = earlier.restore(store, now)?;
    let file = opened.file.path().display();
    if let Some((why, kept_as)) = &opened.set_aside {
        let kept_as = kept_as.display();
        warn!(%file, %why, %kept_as, "the state file was set aside; everything starts anew");
    }
    if opened.torn {
        warn!(%file, "the last save before the restart was not completed; the one before it is used");
    }
    info!(%file, targets = opened.restored, "state restored");
    Ok(opened.file)
}

impl Saving {
    pub(super) fn new(
        file: StateFile,
        store: Arc<Store>,
        telemetry: Arc<Telemetry>,
        ledger: Arc<Ledger>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { file, store, telemetry, ledger, clock, failing: false }
    }

    /// Saves again and again until `stop` says so, and once more then: it is to be said when polling has ended.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let next = self.save();
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                // An error means that whoever would say it is gone, with polling.
                _ = stop.wait_for(|stop| *stop) => break,
                () = clock.sleep_until(next) => {}
            }
        }
        self.save();
    }

    /// Saves, and returns when to do so again. While the disk fails, pages show rows at most as old as after a save: they
    /// are published all the same.
    fn save(&mut self) -> Tick {
        // Its length is bounded far below what a memo may have.
        self.store.keep_memo(MEMO, &self.ledger.memo(self.clock.now()));
        let saved = self.file.save(&self.store, self.clock.now());
        let now = self.clock.now();
        match saved {
            Ok(_) => {
                self.telemetry.saved(now.unix_ms);
                if std::mem::take(&mut self.failing) {
                    info!("state is saved again");
                }
                now.tick + SAVE_EVERY
            }
            Err(why) => {
                self.telemetry.save_failed();
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%why, "state is not saved; polling goes on");
                }
                now.tick + FAILED_PAUSE
            }
        }
    }
}
