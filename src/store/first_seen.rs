//! When this exporter first saw the connections that a target has now, for providers that don't say when they began.
//!
//! A start found this way is a lower bound of the connection's age, and published as such (`evidence="first_seen"`).
//! Only targets that are online have an entry. What it deliberately does not do: it never guesses a start before the
//! first answer that named the connection.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::snapshot::locate;
use crate::domain::{ConnKey, Moment, Seen, Tick};

/// Connections remembered of one target. A user has a handful; past this the start is still right, since the oldest
/// are the ones that are kept.
const MAX_CONNS: usize = 64;

/// The stays of one source, by row, in chunks as the rows are: a snapshot holds them, and a writer copies what it changes.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    chunks: Vec<Arc<Stays>>,
    /// Where the connections of the answer at hand are put together.
    scratch: Vec<Conn>,
}

/// The stays of one chunk of rows, by the rows' numbers in their source.
pub(super) type Stays = HashMap<u32, Stay>;

/// What of a stay outlives the process: since when, in Unix seconds, and its connections, each with when it was first
/// seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptStay {
    pub(super) since_s: u32,
    pub(super) conns: Vec<(ConnKey, u32)>,
}

/// From the first answer that said online to the first that says offline. Times are whole seconds in 32 bits, which is
/// what a row keeps of them, so that a target with one connection costs 48 bytes.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    since_s: u32,
    answered: TickSeconds,
    /// Nobody asked for longer than answers count before this process began.
    after_gap: bool,
    /// Connections that came and were not yet paired with one that went; only where answers may leave some out.
    arrivals: u16,
    conns: Conns,
}

/// What the connections of an answer tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// When the longest-running current connection began, in Unix milliseconds; `None` when the target is offline.
    pub started_ms: Option<i64>,
    /// Connections that took another's place.
    pub reconnects: u32,
}

/// Nearly everybody has one connection; that one needs no allocation.
#[derive(Debug, Clone)]
enum Conns {
    One(Conn),
    Many(Box<[Conn]>),
}

#[derive(Debug, Clone, Copy)]
struct Conn {
    key: ConnKey,
    first_seen_s: u32,
    last_seen: TickSeconds,
}

/// Monotonic seconds since the clock's beginning; 32 bits hold 136 years of one process.
#[derive(Debug, Clone, Copy)]
struct TickSeconds(u32);

impl FirstSeen {
    /// Books an answer about row `index`, not older than the last one.
    pub(super) fn book(&mut self, index: u32, as_of: Moment, seen: &Seen, max_age: Duration) -> Told {
        if !seen.online {
            if let Some(stays) = self.chunks.get_mut(locate(index).0)
                && stays.contains_key(&index)
            {
                Arc::make_mut(stays).remove(&index);
            }
            return Told::default();
        }
        let stays = stays_mut(&mut self.chunks, index);
        let scratch = &mut self.scratch;
        match stays.entry(index) {
            Entry::Occupied(mut stay) => stay.get_mut().go_on(as_of, seen, max_age, scratch),
            Entry::Vacant(place) => {
                let stay = place.insert(Stay::new(as_of));
                Told { reconnects: 0, ..stay.begin(as_of, seen, max_age, scratch) }
            }
        }
    }
}

impl FirstSeen {
    /// All stays as they are now.
    pub(super) fn chunks(&self) -> Vec<Arc<Stays>> {
        self.chunks.clone()
    }

    /// Puts other stays in the place of all; returns those that were there.
    pub(super) fn replace_chunks(&mut self, chunks: Vec<Arc<Stays>>) -> Vec<Arc<Stays>> {
        std::mem::replace(&mut self.chunks, chunks)
    }

    /// Goes on with a stay of an earlier process. `after_gap`: nobody asked for longer than answers count meanwhile.
    pub(super) fn restore(&mut self, index: u32, kept: &KeptStay, now: Tick, after_gap: bool) {
        let answered = TickSeconds::from(now);
        let conn = |&(key, first_seen_s): &(ConnKey, u32)| Conn { key, first_seen_s, last_seen: answered };
        let known: Vec<Conn> = kept.conns.iter().take(MAX_CONNS).map(conn).collect();
        let mut conns = Conns::Many(Box::default());
        conns.set(&known);
        let stay = Stay { since_s: kept.since_s, answered, after_gap, arrivals: 0, conns };
        stays_mut(&mut self.chunks, index).insert(index, stay);
    }
}

/// The stays of the chunk that row `index` is in, to be changed.
pub(super) fn stays_mut(chunks: &mut Vec<Arc<Stays>>, index: u32) -> &mut Stays {
    let (chunk, _) = locate(index);
    if chunks.len() <= chunk {
        chunks.resize_with(chunk + 1, Arc::default);
    }
    Arc::make_mut(&mut chunks[chunk])
}

impl Stay {
    /// What a later process has to know.
    pub(super) fn kept(&self) -> KeptStay {
        let conns = self.conns.as_slice().iter().map(|conn| (conn.key, conn.first_seen_s));
        KeptStay { since_s: self.since_s, conns: conns.collect() }
    }

    fn new(as_of: Moment) -> Self {
        Self {
            since_s: seconds(as_of),
            answered: as_of.tick.into(),
            after_gap: false,
            arrivals: 0,
            conns: Conns::Many(Box::default()),
        }
    }

    /// The first answer of a stay: all of its connections are new, and none takes another's place.
    fn begin(&mut self, as_of: Moment, seen: &Seen, max_age: Duration, conns: &mut Vec<Conn>) -> Told {
        let told = self.go_on(as_of, seen, max_age, conns);
        self.arrivals = 0;
        told
    }

    fn go_on(&mut self, as_of: Moment, seen: &Seen, max_age: Duration, conns: &mut Vec<Conn>) -> Told {
        let now = TickSeconds::from(as_of.tick);
        let gap = std::mem::take(&mut self.after_gap) || now.since(self.answered) > max_age;
        self.answered = now;
        conns.clear();
        for &conn in self.conns.as_slice() {
            if seen.conns.contains(&conn.key) {
                conns.push(Conn { last_seen: now, ..conn });
            } else if seen.conns_partial && now.since(conn.last_seen) <= max_age {
                conns.push(conn);
            }
        }
        let gone = self.conns.as_slice().len() - conns.len();
        let kept = conns.len();
        for &key in &seen.conns {
            if conns.len() == MAX_CONNS {
                break;
            }
            if conns.iter().all(|conn| conn.key != key) {
                conns.push(Conn { key, first_seen_s: seconds(as_of), last_seen: now });
            }
        }
        let new = conns.len() - kept;
        // Connections that are all named tell when the oldest of them began. An answer that may leave some out, or names
        // none, says only that the target is still on, which a gap longer than answers count for breaks.
        let named = !seen.conns.is_empty() && !seen.conns_partial;
        if named || gap {
            let oldest = conns.iter().map(|conn| conn.first_seen_s).min();
            self.since_s = oldest.unwrap_or(seconds(as_of));
        }
        self.conns.set(conns);
        let reconnects = self.pair(gone, new, seen.conns_partial, gap);
        Told { started_ms: Some(i64::from(self.since_s) * 1000), reconnects }
    }

    /// How many connections took another's place: those that came as others went. Where answers may leave some out, one is
    /// gone only long after it was last named, so that what came meanwhile is remembered. What happened in a gap is not
    /// known to have happened while the target stayed online.
    fn pair(&mut self, gone: usize, new: usize, partial: bool, gap: bool) -> u32 {
        let came = if partial { usize::from(self.arrivals) + new } else { new };
        let pairs = gone.min(came);
        self.arrivals = if partial && !gap { u16::try_from(came - pairs).unwrap_or(u16::MAX) } else { 0 };
        if gap { 0 } else { u32::try_from(pairs).unwrap_or(u32::MAX) }
    }
}

impl Conns {
    fn as_slice(&self) -> &[Conn] {
        match self {
            Self::One(conn) => std::slice::from_ref(conn),
            Self::Many(conns) => conns,
        }
    }

    fn set(&mut self, new: &[Conn]) {
        match (&mut *self, new) {
            (_, [one]) => *self = Self::One(*one),
            (Self::Many(old), new) if old.len() == new.len() => old.copy_from_slice(new),
            (_, new) => *self = Self::Many(new.into()),
        }
    }
}

impl TickSeconds {
    fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0).into())
    }
}

impl From<Tick> for TickSeconds {
    fn from(tick: Tick) -> Self {
        Self(u32::try_from(tick.as_micros() / 1_000_000).unwrap_or(u32::MAX))
    }
}

/// Unix seconds; a time that 32 bits don't hold is held at their end.
fn seconds(at: Moment) -> u32 {
    let end = if at.unix_ms < 0 { 0 } else { u32::MAX };
    u32::try_from(at.unix_seconds()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn seen(keys: &[u64]) -> Seen {
        Seen { conns: keys.iter().copied().map(ConnKey).collect(), ..Seen::online() }
    }

    fn partial(keys: &[u64]) -> Seen {
        Seen { conns_partial: true, ..seen(keys) }
    }

    /// Books the answers about one target in turn; each is `(seconds, answer, start expected in seconds)`.
    fn check(answers: &[(u64, Seen, Option<i64>)]) -> FirstSeen {
        let mut table = FirstSeen::default();
        for (n, (seconds, seen, expected)) in answers.iter().enumerate() {
            let start = table.book(7, at(*seconds), seen, MAX_AGE).started_ms;
            assert_eq!(start, expected.map(|s| s * 1000), "answer {n}");
        }
        table
    }

    #[test]
    fn the_start_is_that_of_the_oldest_connection_still_there() {
        check(&[
            (10, seen(&[1]), Some(10)),
            (20, seen(&[1, 2]), Some(10)),
            (30, seen(&[2, 3]), Some(20)),
            (40, seen(&[4]), Some(40)),
        ]);
    }

    /// Reconnects after each of these answers about one target.
    fn reconnects(answers: &[(u64, Seen)]) -> Vec<u32> {
        let mut table = FirstSeen::default();
        answers.iter().map(|(seconds, seen)| table.book(7, at(*seconds), seen, MAX_AGE).reconnects).collect()
    }

    #[test]
    fn a_connection_that_takes_anothers_place_is_a_reconnect() {
        let one_after_another = [(10, seen(&[1])), (20, seen(&[2])), (30, seen(&[2, 3])), (40, seen(&[3]))];
        assert_eq!(reconnects(&one_after_another), [0, 1, 0, 0]);
        let across_offline = [(10, seen(&[1])), (20, Seen::offline()), (30, seen(&[2]))];
        assert_eq!(reconnects(&across_offline), [0, 0, 0]);
        assert_eq!(reconnects(&[(10, seen(&[1])), (500, seen(&[2]))]), [0, 0], "in a gap nobody knows");
    }

    #[test]
    fn behind_several_gateways_a_reconnect_counts_when_the_old_connection_is_gone_for_max_age() {
        let answers = [
            (10, partial(&[1])),
            (40, partial(&[2])),
            (70, partial(&[2])),
            (71, partial(&[2])),
            (90, partial(&[2])),
        ];
        assert_eq!(reconnects(&answers), [0, 0, 0, 1, 0]);
        assert_eq!(reconnects(&[(10, partial(&[1])), (20, partial(&[2])), (30, partial(&[1]))]), [0, 0, 0]);
    }

    #[test]
    fn the_same_connection_goes_on_over_a_gap_in_the_answers() {
        check(&[(10, seen(&[1]), Some(10)), (500, seen(&[1]), Some(10)), (1000, partial(&[1]), Some(10))]);
    }

    #[test]
    fn a_target_that_went_offline_starts_anew_and_costs_nothing() {
        let table = check(&[(10, seen(&[1]), Some(10)), (20, Seen::offline(), None)]);
        assert!(table.chunks[0].is_empty());
        check(&[(10, seen(&[1]), Some(10)), (20, Seen::offline(), None), (30, seen(&[1]), Some(30))]);
    }

    #[test]
    fn where_answers_may_leave_connections_out_the_stay_goes_on() {
        check(&[
            (10, partial(&[1]), Some(10)),
            (20, partial(&[2]), Some(10)),
            (60, partial(&[3]), Some(10)),
            (110, partial(&[]), Some(10)),
            (200, partial(&[9]), Some(200)),
        ]);
    }

    #[test]
    fn a_connection_left_out_is_kept_until_it_was_gone_for_max_age() {
        let table = check(&[(10, partial(&[1, 2]), Some(10)), (70, partial(&[2]), Some(10))]);
        assert_eq!(table.chunks[0][&7].conns.as_slice().len(), 2);
        let table = check(&[
            (10, partial(&[1, 2]), Some(10)),
            (70, partial(&[2]), Some(10)),
            (71, partial(&[2]), Some(10)),
        ]);
        assert_eq!(table.chunks[0][&7].conns.as_slice().len(), 1);
    }

    #[test]
    fn a_target_without_named_connections_starts_with_its_stay() {
        check(&[(10, seen(&[]), Some(10)), (60, seen(&[]), Some(10)), (121, seen(&[]), Some(121))]);
    }

    #[test]
    fn a_target_with_ten_thousand_connections_keeps_the_oldest_few() {
        let many: Vec<u64> = (0..10_000).collect();
        let table = check(&[
            (10, seen(&[9_999]), Some(10)),
            (20, seen(&many), Some(10)),
            (30, partial(&many), Some(10)),
        ]);
        let conns = table.chunks[0][&7].conns.as_slice();
        assert_eq!((conns.len(), conns[0].key), (MAX_CONNS, ConnKey(9_999)));
    }

    #[test]
    fn a_restored_stay_goes_on_and_a_gap_breaks_what_only_an_answer_held() {
        let kept =
            check(&[(10, seen(&[1, 2]), Some(10)), (20, seen(&[1, 2]), Some(10))]).chunks[0][&7].kept();
        for (after_gap, answer, start, reconnects) in [
            (false, seen(&[1]), 10, 0),
            (false, seen(&[1, 3]), 10, 1),
            (false, seen(&[]), 10, 0),
            (true, seen(&[2]), 10, 0),
            (true, seen(&[3]), 1000, 0),
            (true, seen(&[]), 1000, 0),
        ] {
            let mut table = FirstSeen::default();
            table.restore(7, &kept, at(1000).tick, after_gap);
            let told = table.book(7, at(1000), &answer, MAX_AGE);
            assert_eq!(told.started_ms, Some(start * 1000), "{after_gap} {answer:?}");
            assert_eq!(told.reconnects, reconnects, "{after_gap} {answer:?}");
        }
    }

    #[test]
    fn a_target_with_one_connection_costs_forty_eight_bytes() {
        assert!(size_of::<(u32, Stay)>() <= 48, "{}", size_of::<(u32, Stay)>());
        let table = check(&[(10, seen(&[1, 2]), Some(10)), (20, seen(&[2]), Some(10))]);
        assert!(matches!(table.chunks[0][&7].conns, Conns::One(_)));
    }
}
