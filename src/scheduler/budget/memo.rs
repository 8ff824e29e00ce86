//! What of the budgets outlives this process: how far each long window of each account is spent, in Unix time. Pure: bytes
//! in, bytes out; who keeps them is another matter.
//!
//! A restart does not know what was sent between the last save and the end. It assumes the account's full rate for all of
//! that time, up to what the window allows: then nothing that was sent can have been more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pace::{Pace, at};
use super::{Key, Ledger, Level};
use crate::domain::{Moment, Window};

/// The name that this is kept by.
pub const MEMO: &str = "budgets";

/// The most that is kept, in bytes; accounts beyond it begin as if all were spent.
pub const MEMO_MAX: usize = 60 * 1024;

/// The form of what is kept; anything else is not read.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Memo {
    version: u32,
    saved_ms: i64,
    /// By account: by window, how far its next slot was ahead of that time, in microseconds.
    accounts: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Ledger {
    /// What a later process has to know, at `now`. Empty when there is nothing to know.
    pub fn memo(&self, now: Moment) -> Vec<u8> {
        let levels = self.lock();
        let mut memo = Memo { version: VERSION, saved_ms: now.unix_ms, accounts: BTreeMap::new() };
        let mut room = MEMO_MAX;
        for level in levels.iter() {
            let Key::Account(name) = &level.key else { continue };
            let ahead = |pace: &Pace| (pace.window().as_str().to_owned(), pace.ahead(now.tick));
            let windows: BTreeMap<String, i64> = longer(level).map(ahead).collect();
            // Names are cut by no limit of length here: every byte of theirs may take six in JSON.
            let bytes = 6 * name.len() + windows.len() * 40 + 8;
            if windows.is_empty() || bytes > room {
                continue;
            }
            room -= bytes;
            memo.accounts.insert(name.to_string(), windows);
        }
        if memo.accounts.is_empty() {
            return Vec::new();
        }
        serde_json::to_vec(&memo).unwrap_or_default()
    }

    /// Goes on from what an earlier process left; accounts must be there already and nothing sent yet. What cannot be
    /// read, or is of the future, changes nothing: then all counts as spent.
    pub fn restore(&self, memo: &[u8], now: Moment) {
        let Ok(memo) = serde_json::from_slice::<Memo>(memo) else { return };
        let Some(age_ms) = now.unix_ms.checked_sub(memo.saved_ms).filter(|ms| *ms >= 0) else { return };
        if memo.version != VERSION {
            return;
        }
        let saved = at(now.tick).saturating_sub(age_ms.saturating_mul(1000));
        for level in self.lock().iter_mut() {
            let Key::Account(name) = &level.key else { continue };
            let Some(windows) = memo.accounts.get(&**name) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of years are far below 2^52")]
            let unknown = age_ms as f64 / 1000.0 * level.paces.first().map_or(0.0, Pace::limit) + 1.0;
            for pace in &mut level.paces {
                let known = windows.get(pace.window().as_str());
                if let (Some(&ahead), true) = (known, pace.window() != Window::Second) {
                    pace.restore(ahead, saved, unknown, now.tick);
                }
            }
        }
    }
}

fn longer(level: &Level) -> impl Iterator<Item = &Pace> {
    level.paces.iter().filter(|pace| pace.window() != Window::Second)
}
