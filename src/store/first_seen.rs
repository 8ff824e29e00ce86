//! When this exporter first saw the connections that a target has now, for providers that don't say when they began.
//!
//! A start found this way is a lower bound of the connection's age, and published as such (`evidence="first_seen"`).
//! Only targets that are online have an entry. What it deliberately does not do: it never guesses a start before the
//! first answer that named the connection.

use std::time::Duration;

use hashbrown::HashMap;

use crate::domain::{ConnKey, Moment, Seen, Tick};

/// Connections remembered of one target. A user has a handful; past this the start is still right, since the oldest
/// are the ones that are kept.
const MAX_CONNS: usize = 64;

/// The stays of one source, by row.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    stays: HashMap<u32, Stay>,
}

/// From the first answer that said online to the first that says offline.
#[derive(Debug)]
struct Stay {
    since_ms: i64,
    answered: Tick,
    conns: Vec<Conn>,
}

#[derive(Debug, Clone, Copy)]
struct Conn {
    key: ConnKey,
    first_seen_ms: i64,
    last_seen: Tick,
}

impl FirstSeen {
    /// Books an answer about row `index`, not older than the last one, and returns the start of the longest-running
    /// current connection in Unix milliseconds; `None` when the target is offline.
    pub(super) fn book(&mut self, index: u32, as_of: Moment, seen: &Seen, max_age: Duration) -> Option<i64> {
        if !seen.online {
            self.stays.remove(&index);
            return None;
        }
        let stay = self.stays.entry(index).or_insert_with(|| Stay::new(as_of));
        stay.go_on(as_of, seen, max_age);
        Some(stay.since_ms)
    }
}

impl Stay {
    fn new(as_of: Moment) -> Self {
        Self { since_ms: as_of.unix_ms, answered: as_of.tick, conns: Vec::new() }
    }

    fn go_on(&mut self, as_of: Moment, seen: &Seen, max_age: Duration) {
        let gap = as_of.tick.since(self.answered) > max_age;
        self.answered = as_of.tick;
        self.conns.retain_mut(|conn| {
            if seen.conns.contains(&conn.key) {
                conn.last_seen = as_of.tick;
                return true;
            }
            seen.conns_partial && as_of.tick.since(conn.last_seen) <= max_age
        });
        for &key in &seen.conns {
            if self.conns.len() == MAX_CONNS {
                break;
            }
            if self.conns.iter().all(|conn| conn.key != key) {
                self.conns.push(Conn { key, first_seen_ms: as_of.unix_ms, last_seen: as_of.tick });
            }
        }
        // Connections that are all named tell when the oldest of them began. An answer that may leave some out, or names
        // none, says only that the target is still on, which a gap longer than answers count for breaks.
        let named = !seen.conns.is_empty() && !seen.conns_partial;
        if named || gap {
            let oldest = self.conns.iter().map(|conn| conn.first_seen_ms).min();
            self.since_ms = oldest.unwrap_or(as_of.unix_ms);
        }
    }
}
