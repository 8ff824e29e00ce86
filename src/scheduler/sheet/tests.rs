//! What is kept of questions, and what makes room for what.

use super::*;

fn note(ask: Ask, second: u32) -> Note {
    let at = Moment::default().plus(Duration::from_secs(second.into()));
    let receipt = crate::providers::Receipt {
        as_of: Some(at),
        action: Some("Ask"),
        request_id: Some("0123456789abcdef0123456789abcdef".into()),
        calls: 1,
    };
    Note { ask, began: at, ended: at, receipt, failure: None, elsewhere: None }
}

#[test]
fn the_entry_that_was_changed_longest_ago_makes_room() {
    let mut recent = Recent::<Vec<u32>>::default();
    let max = u32::try_from(NOTES_MAX).unwrap();
    for key in 0..max {
        recent.touch(key).push(key);
    }
    recent.touch(0).push(7);
    recent.touch(max);
    assert_eq!((recent.get(0), recent.get(1), recent.entries.len()), (Some(&vec![0, 7]), None, NOTES_MAX));
    for key in 0..max * 3 {
        recent.touch(key);
    }
    assert_eq!((recent.entries.len(), recent.by_age.len()), (NOTES_MAX, NOTES_MAX));
}

#[test]
fn an_answer_takes_the_place_of_those_about_the_same_targets_only() {
    let mut notes = Vec::new();
    for (from, to) in [(0, 50), (50, 100), (50, 75), (50, 100)] {
        take_place(&mut notes, note(Ask::Batch { from, to }, from));
    }
    let asks: Vec<Ask> = notes.iter().map(|note| note.ask.clone()).collect();
    assert_eq!(asks, [Ask::Batch { from: 0, to: 50 }, Ask::Batch { from: 50, to: 100 }]);
    take_place(&mut notes, note(Ask::Batch { from: 0, to: 100 }, 9));
    assert_eq!(notes.len(), 1);
    for from in 0..200 {
        take_place(&mut notes, note(Ask::Batch { from, to: from + 1 }, 9));
    }
    assert_eq!(notes.len(), PARTS_MAX);
}

#[test]
fn the_newest_failures_are_kept() {
    let mut notes = VecDeque::new();
    for second in 0..10 {
        push(&mut notes, note(Ask::Step(0), second));
    }
    let kept: Vec<u64> = notes.iter().map(|note| note.ended.tick.as_micros() / 1_000_000).collect();
    assert_eq!(kept, [7, 8, 9]);
}

#[test]
fn a_question_costs_what_the_documents_say() {
    // The note, its request id, and its share of the two trees, whose nodes are half full at worst.
    let tree = 2 * (size_of::<(u32, (u64, Vec<Note>))>() + size_of::<(u64, u32)>());
    let one = size_of::<Note>() + 32;
    assert!(tree + one <= 350, "an answer: {}", tree + one);
    let all = 2 * tree + one + FAILURES_KEPT * (one + 64);
    assert!(all <= 1_200, "with three failures: {all}");
}
