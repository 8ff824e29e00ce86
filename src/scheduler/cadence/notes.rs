//! What is kept of picked questions, for those who explain a target: the last answer about each, and the last failures.
//!
//! An answer is kept for as long as it is the last one about some target. A target takes 4 bytes for it beside the note's.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::Moves;
use crate::scheduler::board::{FAILURES_KEPT, NOTES_MAX, Note};
use crate::scheduler::line::Ask;

/// One source's picked questions.
#[derive(Debug, Default)]
pub struct PickedNotes {
    /// By target: the number of the last answer about it; 0 is none.
    last: Vec<u32>,
    /// Answers by number, each with how many targets it is the last about.
    answers: BTreeMap<u32, (usize, Note)>,
    number: u32,
    failures: VecDeque<Note>,
}

impl PickedNotes {
    /// Nothing yet, of so many targets.
    pub fn new(targets: u32) -> Self {
        Self { last: vec![0; targets as usize], ..Self::default() }
    }

    /// Keeps an answer about these targets.
    pub fn answered(&mut self, note: Note, rows: &[u32]) {
        self.number = self.number.wrapping_add(1).max(1);
        let mut count = 0;
        for &row in rows {
            let Some(last) = self.last.get_mut(row as usize) else { continue };
            count += 1;
            let before = std::mem::replace(last, self.number);
            if let Some((of, _)) = self.answers.get_mut(&before) {
                *of -= 1;
                if *of == 0 {
                    self.answers.remove(&before);
                }
            }
        }
        self.answers.insert(self.number, (count, note));
        if self.answers.len() > NOTES_MAX {
            self.answers.pop_first();
        }
    }

    /// Keeps a failure in a round of so many questions; the oldest makes room.
    pub fn failed(&mut self, note: Note, questions: usize) {
        self.failures.push_back(note);
        while self.failures.len() > (questions.max(1) * FAILURES_KEPT).min(NOTES_MAX) {
            self.failures.pop_front();
        }
    }

    /// The last answer and the last failures of questions about a target.
    pub fn of(&self, row: u32) -> (Option<&Note>, impl Iterator<Item = &Note>) {
        let last = self.last.get(row as usize).and_then(|number| self.answers.get(number));
        let concerns =
            move |note: &&Note| matches!(&note.ask, Ask::Picked(rows) if rows.binary_search(&row).is_ok());
        let failures = self.failures.iter().rev().filter(concerns).take(FAILURES_KEPT);
        (last.map(|(_, note)| note), failures)
    }

    /// Goes on with so many other targets of the source.
    pub fn replace(&mut self, moves: &Moves, targets: u32) {
        let mut last = vec![0; targets as usize];
        let answers = std::mem::take(&mut self.answers);
        for (row, number) in (0..).zip(&self.last) {
            if let Some(place) = moves.index(row).and_then(|row| last.get_mut(row as usize)) {
                *place = *number;
            }
        }
        self.last = last;
        let moved = |(number, (_, note)): (u32, (usize, Note))| Some((number, (0, note.moved(moves)?)));
        self.answers = answers.into_iter().filter_map(moved).collect();
        for number in &self.last {
            if let Some((count, _)) = self.answers.get_mut(number) {
                *count += 1;
            }
        }
        self.answers.retain(|_, (count, _)| *count > 0);
        self.failures =
            std::mem::take(&mut self.failures).into_iter().filter_map(|note| note.moved(moves)).collect();
    }
}
