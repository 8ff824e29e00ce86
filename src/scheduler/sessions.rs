//! Counts sessions out of a history that is read again and again: each event of each session once, whenever and however
//! often, in whatever order and pieces its record comes.
//!
//! A session has up to four events: it was set up or it failed (when it began), it lasted so long and had such a
//! round-trip time (when it ended; the time may change as long as the session stands, so the value that it ended with
//! counts). An event counts if it fell on or after the first watermark: a restart neither counts a day again nor leaves
//! out the end of what began before. Deliberately lost, since the other choice would be to count twice: records of the
//! time before a restart that come only after it, and corrections of what was counted already.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{FailureReason, Outcome, Session};

/// Sessions that are remembered as counted, 24 bytes each and as much again for the tree. Ten thousand desktops with
/// three logins a day make 210,000 in a week, the longest that a log may be read back; a larger project is remembered for
/// a shorter time.
pub const LEDGER_MAX: usize = 500_000;

/// How often the ledger forgets what is too old, in milliseconds of the log's time: walking through all of it takes some
/// milliseconds.
const FORGET_EVERY_MS: i64 = 600_000;

const SETUP: u8 = 1;
const RTT: u8 = 2;
const DURATION: u8 = 4;
const FAILURE: u8 = 8;

/// What one reading of a session adds to the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events {
    /// It was set up, in so long.
    pub setup: Option<Duration>,
    /// It ended with this network round-trip time.
    pub rtt: Option<Duration>,
    /// It ended after so long.
    pub duration: Option<Duration>,
    /// It failed.
    pub failure: Option<FailureReason>,
}

/// What of which session was counted.
#[derive(Debug)]
pub struct SessionLedger {
    /// How long after its beginning a session's record may come.
    reread_ms: i64,
    /// Events before this do not count; none before the first watermark.
    from_ms: Option<i64>,
    /// Sessions that began before this are forgotten, and not counted any more. Never moves back.
    oldest_ms: i64,
    /// When the ledger last forgot.
    forgot_ms: i64,
    /// At most [`LEDGER_MAX`].
    counted: BTreeMap<u64, Entry>,
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    started_ms: i64,
    events: u8,
}

impl SessionLedger {
    /// An empty ledger of a log that is read back no longer than `reread`.
    pub fn new(reread: Duration) -> Self {
        Self::with_limit(reread, LEDGER_MAX)
    }

    fn with_limit(reread: Duration, limit: usize) -> Self {
        Self {
            reread_ms: i64::try_from(reread.as_millis()).unwrap_or(i64::MAX),
            from_ms: None,
            oldest_ms: i64::MIN,
            forgot_ms: i64::MIN,
            counted: BTreeMap::new(),
            limit,
        }
    }

    /// Sets the first watermark, unless it is set: what happened before does not count.
    pub fn begin(&mut self, watermark_ms: i64) {
        self.from_ms.get_or_insert(watermark_ms);
    }

    /// Takes one reading of a session and tells what is new about it. Nothing counts before [`SessionLedger::begin`].
    pub fn take(&mut self, session: &Session) -> Events {
        let Some(from_ms) = self.from_ms else { return Events::default() };
        if session.started_ms < self.oldest_ms {
            return Events::default();
        }
        let said = events_of(session, from_ms);
        let present = bits(&said);
        if present == 0 {
            return said;
        }
        if !self.counted.contains_key(&session.key) && self.counted.len() >= self.limit {
            self.forget_oldest();
            if session.started_ms < self.oldest_ms {
                return Events::default();
            }
        }
        let entry =
            self.counted.entry(session.key).or_insert(Entry { started_ms: session.started_ms, events: 0 });
        let new = present & !entry.events;
        entry.events |= present;
        Events {
            setup: said.setup.filter(|_| new & SETUP != 0),
            rtt: said.rtt.filter(|_| new & RTT != 0),
            duration: said.duration.filter(|_| new & DURATION != 0),
            failure: said.failure.filter(|_| new & FAILURE != 0),
        }
    }

    /// Forgets sessions whose records will not come again, as of a complete pass at `pass_ms`.
    pub fn passed(&mut self, pass_ms: i64) {
        if pass_ms.saturating_sub(self.forgot_ms) < FORGET_EVERY_MS {
            return;
        }
        self.forgot_ms = pass_ms;
        self.forget_before(pass_ms.saturating_sub(self.reread_ms));
    }

    /// Makes room: the older half of what is remembered goes.
    fn forget_oldest(&mut self) {
        let mut starts: Vec<i64> = self.counted.values().map(|entry| entry.started_ms).collect();
        let middle = starts.len() / 2;
        if let Some((_, median, _)) = (!starts.is_empty()).then(|| starts.select_nth_unstable(middle)) {
            // At least the median itself goes, else a crowd of one instant would leave no room.
            let before = median.saturating_add(1);
            self.forget_before(before);
        }
    }

    fn forget_before(&mut self, oldest_ms: i64) {
        if oldest_ms > self.oldest_ms {
            self.oldest_ms = oldest_ms;
            self.counted.retain(|_, entry| entry.started_ms >= oldest_ms);
        }
    }
}

/// The events that a reading tells, of those that fell on or after `from_ms`.
fn events_of(session: &Session, from_ms: i64) -> Events {
    let begun = session.started_ms >= from_ms;
    let ended_ms = session.ended_ms.filter(|ended| *ended >= from_ms && *ended >= session.started_ms);
    match session.outcome {
        Outcome::Failed(reason) => Events { failure: begun.then_some(reason), ..Events::default() },
        Outcome::Established => Events {
            setup: session.setup.filter(|_| begun),
            rtt: ended_ms.and(session.network_rtt_ms).map(|ms| Duration::from_millis(ms.into())),
            duration: ended_ms.map(|ended| Duration::from_millis(ended.abs_diff(session.started_ms))),
            failure: None,
        },
    }
}

fn bits(events: &Events) -> u8 {
    let bit = |present: bool, bit: u8| if present { bit } else { 0 };
    bit(events.setup.is_some(), SETUP)
        | bit(events.rtt.is_some(), RTT)
        | bit(events.duration.is_some(), DURATION)
        | bit(events.failure.is_some(), FAILURE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: i64 = 1_772_330_400_000;
    const HOUR: i64 = 3_600_000;
    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn session(key: u64, start_s: i64, end_s: Option<i64>) -> Session {
        Session {
            key,
            started_ms: BASE + start_s * 1000,
            ended_ms: end_s.map(|s| BASE + s * 1000),
            outcome: Outcome::Established,
            setup: Some(Duration::from_secs(2)),
            network_rtt_ms: Some(20),
        }
    }

    fn ledger() -> SessionLedger {
        let mut ledger = SessionLedger::new(WEEK);
        ledger.begin(BASE);
        ledger
    }

    /// How many set-ups, round-trip times, durations, failures were counted.
    #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
    struct Sums([u32; 4], Duration);

    impl Sums {
        fn add(&mut self, events: Events) {
            let present = [
                events.setup.is_some(),
                events.rtt.is_some(),
                events.duration.is_some(),
                events.failure.is_some(),
            ];
            self.0.iter_mut().zip(present).for_each(|(sum, is)| *sum += u32::from(is));
            self.1 += events.duration.unwrap_or_default() + events.setup.unwrap_or_default();
        }
    }

    #[test]
    fn a_session_counts_once_when_it_stands_and_once_when_it_ends() {
        let mut ledger = ledger();
        let opened = ledger.take(&session(1, 10, None));
        assert_eq!(opened, Events { setup: Some(Duration::from_secs(2)), ..Events::default() });
        assert_eq!(ledger.take(&session(1, 10, None)), Events::default());
        let ended = ledger.take(&session(1, 10, Some(70)));
        assert_eq!((ended.setup, ended.duration), (None, Some(Duration::from_secs(60))));
        assert_eq!(ended.rtt, Some(Duration::from_millis(20)));
        assert_eq!(ledger.take(&session(1, 10, Some(80))), Events::default(), "the first end stays");
    }

    #[test]
    fn what_happened_before_the_first_watermark_is_history_and_what_ends_after_it_is_not() {
        let mut ledger = ledger();
        assert_eq!(ledger.take(&session(1, -100, Some(-1))), Events::default());
        let ended = ledger.take(&session(2, -100, Some(5)));
        assert_eq!((ended.setup, ended.duration), (None, Some(Duration::from_secs(105))));
        let failed = Session { outcome: Outcome::Failed(FailureReason::Network), ..session(3, -1, None) };
        assert_eq!(ledger.take(&failed), Events::default());
        assert_eq!(SessionLedger::new(WEEK).take(&session(1, 0, Some(1))), Events::default());
        ledger.begin(BASE + HOUR);
        assert!(ledger.take(&session(4, 0, None)).setup.is_some(), "a second beginning changes nothing");
    }

    #[test]
    fn what_is_forgotten_never_counts_again() {
        let mut ledger = ledger();
        assert!(ledger.take(&session(1, 0, Some(5))).duration.is_some());
        let week_ms = i64::try_from(WEEK.as_millis()).unwrap();
        ledger.passed(BASE + week_ms + 1);
        assert!(ledger.counted.is_empty());
        assert_eq!(ledger.take(&session(1, 0, Some(5))), Events::default());
        assert_eq!(
            ledger.take(&session(2, 0, Some(5))),
            Events::default(),
            "it cannot be told from a counted one"
        );
        assert!(ledger.take(&session(3, 1, Some(5))).duration.is_some());
    }

    #[test]
    fn a_full_ledger_forgets_the_oldest_and_counts_nothing_twice() {
        let mut ledger = SessionLedger::with_limit(WEEK, 100);
        ledger.begin(BASE);
        let mut sums = Sums::default();
        for n in 0..1000_u32 {
            sums.add(ledger.take(&session(n.into(), n.into(), None)));
            assert!(ledger.counted.len() <= 100);
        }
        assert_eq!(sums.0[0], 1000);
        (0..1000_u32).for_each(|n| sums.add(ledger.take(&session(n.into(), n.into(), None))));
        assert_eq!(sums.0[0], 1000);
        // A crowd that began in one instant leaves room too.
        let mut crowd = SessionLedger::with_limit(WEEK, 100);
        crowd.begin(BASE);
        for n in 0..500 {
            crowd.take(&session(n, 7, None));
        }
        assert!(crowd.counted.len() <= 100);
    }

    /// The readings that a session's record goes through: being set up is no reading, then open, then ended.
    fn readings(key: u64, start_s: i64, lasts_s: i64, failed: bool, rtt: bool) -> Vec<Session> {
        let rtt = |reading: Session| Session { network_rtt_ms: rtt.then_some(9), ..reading };
        let ended = rtt(session(key, start_s, Some(start_s + lasts_s)));
        if failed {
            let reason = FailureReason::ALL[usize::try_from(key % 6).unwrap()];
            return vec![Session { outcome: Outcome::Failed(reason), setup: None, ..ended }];
        }
        let bare = Session { network_rtt_ms: None, ..session(key, start_s, None) };
        let unmeasured = Session { network_rtt_ms: None, ..ended };
        vec![bare, rtt(session(key, start_s, None)), unmeasured, ended]
    }

    proptest! {
        #[test]
        fn any_order_repetition_and_splitting_of_deliveries_yields_the_same_counts(
            world in prop::collection::vec((-50_i64..500, 0_i64..300, any::<bool>(), any::<bool>()), 1..20),
            deliveries in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..200),
        ) {
            let all: Vec<Session> = (0_u64..)
                .zip(&world)
                .flat_map(|(key, &(start, lasts, failed, rtt))| readings(key, start, lasts, failed, rtt))
                .collect();
            // Once, in order.
            let (mut plain, mut expected) = (ledger(), Sums::default());
            all.iter().for_each(|reading| expected.add(plain.take(reading)));
            // Any readings in any order, with passes between; in the end all of them, backwards.
            let (mut ledger, mut sums) = (ledger(), Sums::default());
            for (index, pass) in &deliveries {
                sums.add(ledger.take(index.get(&all)));
                if *pass {
                    ledger.passed(BASE + HOUR);
                }
            }
            all.iter().rev().for_each(|reading| sums.add(ledger.take(reading)));
            prop_assert_eq!(sums, expected);
            // And the counts are those of the world.
            let count = |keep: &dyn Fn(&(i64, i64, bool, bool)) -> bool| {
                u32::try_from(world.iter().filter(|one| keep(one)).count()).expect("a few")
            };
            prop_assert_eq!(sums.0, [
                count(&|(start, _, failed, _)| !failed && *start >= 0),
                count(&|(start, lasts, failed, rtt)| !failed && *rtt && start + lasts >= 0),
                count(&|(start, lasts, failed, _)| !failed && start + lasts >= 0),
                count(&|(start, _, failed, _)| *failed && *start >= 0),
            ]);
        }
    }
}
