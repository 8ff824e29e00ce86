//! What a reply of MQTT says of each target, by its evidence; and who was online last, to tell arrivals. Pure: no clock,
//! no I/O.
//!
//! A client that the batch's reply does not name gets no row: the batch is answered from a cache, and absence there is
//! not documented to mean anything.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::wire::{Event, Row, SessionsReply, TraceReply};
use crate::domain::{Change, Fault, RowId, Seen, Target};
use crate::providers::Answer;
use crate::providers::marks::Marks;

/// The zone of the trace's times, which carry none: China's. The documentation's examples agree with it, but no text says
/// so; a client's start may be hours off where it is not so, never its presence.
const TRACE_ZONE: Offset = Offset::constant(8);

/// How far ahead of us the provider's clock may be before its time is no time: the gateway's own tolerance for ours.
const AHEAD_MS: i64 = 15 * 60 * 1000;

/// Who was online when last heard of; bounded by the number of targets.
#[derive(Default)]
pub struct Memory {
    online: Marks<bool>,
}

impl Memory {
    /// Notes a state; whether it is an arrival.
    fn arrives(&mut self, row: RowId, online: bool) -> bool {
        let before = std::mem::replace(self.online.of(row), online);
        online && !before
    }

    /// Goes on with other targets.
    pub fn replaced(&mut self, change: &Change) {
        self.online.replaced(change);
    }
}

/// Reads a batch's sessions, by client id and never by position.
pub fn sessions(
    reply: &SessionsReply<'_>,
    targets: &[Target<'_>],
    mut arrivals: Option<&mut Memory>,
) -> Answer {
    let mut answer = Answer::default();
    for target in targets {
        let mut flags = reply.rows.iter().filter_map(|row| match row {
            Row::Good(row) if row.client_id == target.id => Some(row.online.0),
            _ => None,
        });
        let Some(first) = flags.next() else { continue };
        match first.filter(|_| flags.all(|other| other == first)) {
            Some(online) => push(&mut answer, target.row, online, arrivals.as_deref_mut()),
            None => answer.rows.push((target.row, Err(Fault::BadAnswer))),
        }
    }
    answer
}

/// Adds one client's state; where starts are asked for, an arrival's detail is wanted.
pub fn push(answer: &mut Answer, row: RowId, online: bool, arrivals: Option<&mut Memory>) {
    let keep_detail = online && arrivals.is_some();
    answer.rows.push((row, Ok(Seen { online, keep_detail, ..Seen::default() })));
    if arrivals.is_some_and(|memory| memory.arrives(row, online)) {
        answer.details.push(row);
    }
}

/// When the newest connection began that was accepted and not ended since, in Unix milliseconds. `None` when the trace
/// shows none: it may lag behind, or not reach back far enough.
pub fn connected_since(reply: &TraceReply<'_>, now_ms: i64) -> Result<Option<i64>, Fault> {
    let mut ended: Vec<&str> = Vec::new();
    let mut newer_ms = i64::MAX;
    for row in &reply.rows {
        let Row::Good(event) = row else { return Err(Fault::BadAnswer) };
        let time_ms = time_ms(&event.time).ok_or(Fault::BadAnswer)?;
        if time_ms > newer_ms {
            return Err(Fault::BadAnswer); // not newest first: this page is not the newest one
        }
        newer_ms = time_ms;
        match event.action.as_ref() {
            "close" | "disconnect" => ended.push(&event.channel),
            "connect" if accepted(event) && !ended.contains(&event.channel.as_ref()) => {
                return Ok((time_ms <= now_ms.saturating_add(AHEAD_MS)).then_some(time_ms));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// `accepted` in the list of values, `accept` in the sample.
fn accepted(event: &Event<'_>) -> bool {
    matches!(event.info.as_ref(), "accepted" | "accept")
}

fn time_ms(text: &str) -> Option<i64> {
    let local: DateTime = text.trim().parse().ok()?;
    Some(local.to_zoned(TimeZone::fixed(TRACE_ZONE)).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_621_583_600_000;

    fn since(rows: &str) -> Result<Option<i64>, Fault> {
        let body = format!(r#"{{"DeviceInfoList":[{rows}]}}"#);
        connected_since(&serde_json::from_str(&body).unwrap(), NOW_MS)
    }

    fn event(time: &str, action: &str, info: &str, channel: &str) -> String {
        format!(r#"{{"Time":"{time}","Action":"{action}","ActionInfo":"{info}","ChannelId":"{channel}"}}"#)
    }

    #[test]
    fn the_trace_is_read_in_chinas_time() {
        // 15:51:54.867 at UTC+8 is 07:51:54.867Z.
        let row = event("2021-05-21 15:51:54.867", "connect", "accept", "c1");
        assert_eq!(since(&row), Ok(Some(1_621_583_514_867)));
        assert_eq!(
            since(&event("2021-05-21 15:51:54", "connect", "accepted", "c1")),
            Ok(Some(1_621_583_514_000))
        );
    }

    #[test]
    fn only_an_accepted_connection_that_has_not_ended_counts() {
        let old = event("2021-05-21 10:00:00.000", "connect", "accepted", "c1");
        let refused = event("2021-05-21 15:00:00.000", "connect", "not authorized", "c3");
        let ended = event("2021-05-21 14:00:00.000", "close", "no heart", "c2");
        let began = event("2021-05-21 13:00:00.000", "connect", "accepted", "c2");
        let start_ms = 1_621_562_400_000; // 02:00:00Z
        assert_eq!(since(&[refused, ended.clone(), began.clone(), old].join(",")), Ok(Some(start_ms)));
        assert_eq!(since(&[ended, began].join(",")), Ok(None));
        assert_eq!(since(""), Ok(None));
    }

    #[test]
    fn a_trace_that_is_not_newest_first_or_has_odd_times_says_nothing() {
        let early = event("2021-05-21 10:00:00.000", "connect", "accepted", "c1");
        let late = event("2021-05-21 11:00:00.000", "close", "no heart", "c1");
        assert_eq!(since(&[early.clone(), late.clone()].join(",")), Ok(Some(1_621_562_400_000)));
        let refused = event("2021-05-21 10:00:00.000", "connect", "not authorized", "c1");
        assert_eq!(since(&[refused, late].join(",")), Err(Fault::BadAnswer));
        assert_eq!(since(&event("yesterday", "connect", "accepted", "c1")), Err(Fault::BadAnswer));
        assert_eq!(since("7"), Err(Fault::BadAnswer));
        assert_eq!(since(&event("2021-05-22 15:51:54.867", "connect", "accepted", "c1")), Ok(None));
    }

    #[test]
    fn an_arrival_is_the_first_sight_and_every_return() {
        let row = RowId { source: 0, generation: 0, index: 2 };
        let mut memory = Memory::default();
        let said: Vec<bool> =
            [true, true, false, false, true].map(|online| memory.arrives(row, online)).to_vec();
        assert_eq!(said, [true, false, false, false, true]);
    }
}
