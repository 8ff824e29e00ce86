//! Which question comes when, on ticks made by hand.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Tick {
    Tick::from_micros(ms * 1000)
}

fn spread(batches: u32) -> Line {
    let mut line = Line::default();
    let starts = (0..batches).map(|n| n * 10).collect();
    line.add(Rhythm::Spread { starts }, 1, batches * 10, SECOND * 10, at(0));
    line
}

#[test]
fn batches_are_spread_over_the_interval_from_the_first_round_on() {
    let mut line = spread(10);
    let mut asked = Vec::new();
    for ms in (0..30_000).step_by(10) {
        while let Some(job) = line.next(at(ms)) {
            asked.push((ms, job.ask));
        }
    }
    assert_eq!(asked.len(), 30);
    assert_eq!(asked[0], (0, Ask::Batch { from: 0, to: 10 }));
    assert_eq!(asked[9], (9_000, Ask::Batch { from: 90, to: 100 }));
    assert_eq!(asked[13], (13_000, Ask::Batch { from: 30, to: 40 }));
}

#[test]
fn a_long_stall_is_not_made_up_by_a_burst() {
    let mut line = spread(10);
    let mut late = 0;
    while line.next(at(100_000)).is_some() {
        late += 1;
    }
    assert!(late <= 3, "{late} questions at once after a stall");
}

#[test]
fn a_sequence_asks_the_next_step_when_the_last_is_over_and_keeps_its_beat() {
    let mut line = Line::default();
    line.add(Rhythm::Sequence, 2, 7, SECOND * 10, at(0));
    assert_eq!(line.next(at(0)).map(|job| job.ask), Some(Ask::Step(0)));
    assert_eq!((line.next(at(5)), line.due()), (None, None));
    line.step_done(0, at(300));
    assert_eq!(line.next(at(300)).map(|job| job.ask), Some(Ask::Step(1)));
    line.step_done(0, at(700));
    assert_eq!(line.due(), Some(at(10_000)));
}

#[test]
fn a_detail_is_asked_once_and_may_be_asked_for_again_afterwards() {
    let mut line = spread(1);
    line.next(at(0));
    line.detail(0, 3);
    line.detail(0, 3);
    assert_eq!(line.next(at(1)).map(|job| job.ask), Some(Ask::Detail(3)));
    assert_eq!(line.next(at(1)), None);
    line.detail(0, 3);
    assert!(line.next(at(2)).is_some());
}

#[test]
fn details_wait_for_other_questions_but_not_for_ever() {
    let mut line = spread(10);
    for index in 0..50 {
        line.detail(0, index);
    }
    let mut asked = Vec::new();
    for _ in 0..20 {
        // Every beat is due all the time.
        asked.push(matches!(line.next(at(1_000_000)).map(|job| job.ask), Some(Ask::Detail(_))));
        line.beats[0].due = at(0);
    }
    assert_eq!(asked.iter().filter(|detail| **detail).count(), 4, "{asked:?}");
    assert_eq!(line.due(), Some(at(0)));
    line.beats[0].due = at(2_000_000);
    assert!(matches!(line.next(at(1_000_000)), Some(Job { ask: Ask::Detail(_), .. })));
}

#[test]
fn what_has_been_due_longest_is_asked_first() {
    let mut line = spread(1);
    let retry = Job { pool: 0, ask: Ask::Batch { from: 0, to: 5 }, attempt: 1, round: None };
    line.next(at(0));
    line.again(retry.clone(), at(9_000));
    assert_eq!(line.next(at(10_500)), Some(retry));
    assert!(matches!(line.next(at(10_500)), Some(Job { attempt: 0, .. })));
}
