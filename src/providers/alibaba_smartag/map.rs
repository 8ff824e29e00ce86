//! What a reply of Smartag says of each target, by its evidence; and the little that has to be remembered between
//! rounds to say it. Pure: no clock, no I/O.
//!
//! It never concludes offline from a name's absence in the statistics: that is not documented. The detail decides, and
//! only then does continued absence count.

use super::wire::{Client, ClientsReply, Row, StatisticsReply};
use crate::domain::{Change, Fault, RowId, Seen};
use crate::providers::Answer;
use crate::providers::marks::Marks;

/// A user whose count stays the same has their detail asked again every so many rounds: a reconnect between two polls
/// changes the start and not the count.
pub const DETAIL_EVERY: u8 = 10;

/// The earliest believable `OnlineTime`, 2018-03-13T00:00:00Z: the day that names the API's version. Whatever is
/// earlier is no time of a client.
const EARLIEST_S: i64 = 1_520_899_200;

/// How far ahead of us the provider's clock may be before its time is no time: a day. It tells milliseconds from seconds.
const AHEAD_S: i64 = 86_400;

/// What is remembered of every target of one source; bounded by their number.
#[derive(Default)]
pub struct Memory {
    marks: Marks<Mark>,
}

/// What is remembered of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    /// The count of the latest statistics that named it.
    counted: Option<u32>,
    /// What the latest evidence said.
    belief: Belief,
    /// Rounds since its detail was last wanted.
    rounds: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Belief {
    #[default]
    Nothing,
    Online,
    /// By a count of 0.
    Offline,
    /// By a detail without a client: from now on absence in the statistics counts as offline.
    OfflineUnlisted,
}

/// What the statistics say of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Count(u32),
    /// Its row is there, and wrong.
    Damaged,
    /// It has no row.
    Missing,
    /// It has no row, but there are damaged rows without a name.
    PerhapsMissing,
}

/// Reads statistics for these users of one instance, by their rows.
pub fn statistics(reply: &StatisticsReply<'_>, users: &[(RowId, &str)], memory: &mut Memory) -> Answer {
    let rows = &reply.user_statistics.0.rows.0;
    let nameless = rows.iter().any(|row| matches!(row, Row::Damaged(_)));
    let mut answer = Answer::default();
    for &(target, user) in users {
        let counts = rows.iter().filter_map(|row| match row {
            Row::Good(row) if row.user_name == user => Some(row.online_count.0),
            _ => None,
        });
        let listed = listed(counts, nameless);
        let (row, detail) = memory.mark(target).round(listed);
        answer.rows.extend(row.map(|row| (target, row)));
        answer.details.extend(detail.then_some(target));
    }
    answer
}

/// Reads one user's clients.
pub fn clients(reply: &ClientsReply<'_>, now_ms: i64) -> Result<Seen, Fault> {
    let rows = &reply.users.0.rows.0;
    let mut earliest: Option<i64> = None;
    for row in rows {
        let Row::Good(Client { online_time }) = row else { return Err(Fault::BadAnswer) };
        let plausible = |s: &i64| (EARLIEST_S..=now_ms.div_euclid(1000).saturating_add(AHEAD_S)).contains(s);
        if let Some(s) = online_time.0.filter(plausible) {
            earliest = Some(earliest.map_or(s, |other| other.min(s)));
        }
    }
    let connections = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    Ok(Seen {
        online: connections > 0,
        connections: Some(connections),
        started_ms: earliest.map(|s| s * 1000),
        ..Seen::default()
    })
}

/// One count; two rows that contradict each other are none.
fn listed(mut counts: impl Iterator<Item = Option<i64>>, nameless: bool) -> Listed {
    let Some(first) = counts.next() else {
        return if nameless { Listed::PerhapsMissing } else { Listed::Missing };
    };
    match first.and_then(|count| u32::try_from(count).ok()) {
        Some(count) if counts.all(|other| other == first) => Listed::Count(count),
        _ => Listed::Damaged,
    }
}

impl Memory {
    /// Notes what a detail said.
    pub fn detailed(&mut self, row: RowId, online: bool) {
        self.mark(row).belief = if online { Belief::Online } else { Belief::OfflineUnlisted };
    }

    /// Goes on with other targets.
    pub fn replaced(&mut self, change: &Change) {
        self.marks.replaced(change);
    }

    fn mark(&mut self, row: RowId) -> &mut Mark {
        self.marks.of(row)
    }
}

impl Mark {
    /// One round's news: the row, if the statistics suffice for one, and whether the detail is wanted.
    fn round(&mut self, listed: Listed) -> (Option<Result<Seen, Fault>>, bool) {
        match listed {
            Listed::Count(0) => {
                *self = Self { counted: Some(0), belief: Belief::Offline, rounds: 0 };
                (Some(Ok(offline())), false)
            }
            Listed::Count(count) => {
                self.rounds = self.rounds.saturating_add(1);
                let news = self.counted != Some(count) || self.belief != Belief::Online;
                let detail = news || self.rounds >= DETAIL_EVERY;
                let rounds = if detail { 0 } else { self.rounds };
                *self = Self { counted: Some(count), belief: Belief::Online, rounds };
                let seen = Seen { connections: Some(count), keep_detail: true, ..Seen::online() };
                (Some(Ok(seen)), detail)
            }
            Listed::Missing if self.belief == Belief::OfflineUnlisted => {
                self.counted = None;
                (Some(Ok(offline())), false)
            }
            Listed::PerhapsMissing if self.belief == Belief::OfflineUnlisted => {
                (Some(Err(Fault::BadAnswer)), false)
            }
            Listed::Missing | Listed::PerhapsMissing => {
                self.counted = None;
                (None, true)
            }
            Listed::Damaged => (Some(Err(Fault::BadAnswer)), false),
        }
    }
}

fn offline() -> Seen {
    Seen { connections: Some(0), ..Seen::offline() }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Round = (Option<Result<Seen, Fault>>, bool);

    fn online(count: u32, detail: bool) -> Round {
        (Some(Ok(Seen { connections: Some(count), keep_detail: true, ..Seen::online() })), detail)
    }

    #[test]
    fn the_detail_is_wanted_at_first_on_a_change_and_every_tenth_round() {
        let mut mark = Mark::default();
        assert_eq!(mark.round(Listed::Count(1)), online(1, true));
        for _ in 1..DETAIL_EVERY {
            assert_eq!(mark.round(Listed::Count(1)), online(1, false));
        }
        assert_eq!(mark.round(Listed::Count(1)), online(1, true));
        assert_eq!(mark.round(Listed::Count(1)), online(1, false));
        assert_eq!(mark.round(Listed::Count(2)), online(2, true));
        assert_eq!(mark.round(Listed::Count(0)), (Some(Ok(offline())), false));
        assert_eq!(mark.round(Listed::Count(2)), online(2, true));
    }

    #[test]
    fn a_missing_name_is_offline_only_once_a_detail_said_so() {
        let row = RowId { source: 0, generation: 0, index: 3 };
        let mut memory = Memory::default();
        assert_eq!(memory.mark(row).round(Listed::Missing), (None, true));
        assert_eq!(memory.mark(row).round(Listed::Missing), (None, true));
        memory.detailed(row, false);
        assert_eq!(memory.mark(row).round(Listed::Missing), (Some(Ok(offline())), false));
        assert_eq!(memory.mark(row).round(Listed::Missing), (Some(Ok(offline())), false));
        assert_eq!(memory.mark(row).round(Listed::Count(1)), online(1, true));
        assert_eq!(memory.mark(row).round(Listed::Missing), (None, true));
        memory.detailed(row, true);
        assert_eq!(memory.mark(row).round(Listed::Missing), (None, true));
    }

    #[test]
    fn a_count_of_zero_does_not_make_absence_evidence() {
        let mut mark = Mark::default();
        assert_eq!(mark.round(Listed::Count(0)), (Some(Ok(offline())), false));
        assert_eq!(mark.round(Listed::Missing), (None, true));
    }

    #[test]
    fn a_nameless_damaged_row_keeps_absence_from_counting() {
        let mut mark = Mark { belief: Belief::OfflineUnlisted, ..Mark::default() };
        assert_eq!(mark.round(Listed::PerhapsMissing), (Some(Err(Fault::BadAnswer)), false));
        assert_eq!(mark.round(Listed::Missing), (Some(Ok(offline())), false));
        assert_eq!(Mark::default().round(Listed::PerhapsMissing), (None, true));
    }

    #[test]
    fn two_rows_that_contradict_each_other_are_none() {
        let list = |counts: &[Option<i64>]| listed(counts.iter().copied(), false);
        assert_eq!(list(&[Some(1), Some(1)]), Listed::Count(1));
        assert_eq!(list(&[Some(1), Some(2)]), Listed::Damaged);
        assert_eq!(list(&[None]), Listed::Damaged);
        assert_eq!(list(&[Some(-1)]), Listed::Damaged);
        assert_eq!(list(&[]), Listed::Missing);
    }

    #[test]
    fn the_start_is_the_earliest_plausible_time() {
        let now_ms = 1_768_466_400_000;
        let seen = |body: &str| {
            let body = format!(r#"{{"RequestId":"R","Users":{{"User":[{body}]}}}}"#);
            clients(&serde_json::from_str(&body).unwrap(), now_ms)
        };
        let two = seen(r#"{"OnlineTime":"1768466000"},{"OnlineTime":1768465000}"#).unwrap();
        assert_eq!((two.connections, two.started_ms), (Some(2), Some(1_768_465_000_000)));
        let odd = seen(r#"{"OnlineTime":"0"},{"OnlineTime":1768465000000},{"OnlineTime":"-"}"#).unwrap();
        assert_eq!((odd.online, odd.connections, odd.started_ms), (true, Some(3), None));
        assert_eq!(seen("").unwrap(), offline());
        assert_eq!(seen(r#"{"OnlineTime":"1768466000"},7"#), Err(Fault::BadAnswer));
    }
}
