//! What a provider remembers of each target of a source between answers, by row; it moves along when the targets change.
//!
//! It is bounded by the number of targets. A row of another list than the present one has no mark: what an answer says of
//! it is as if it were the first.

use crate::domain::{Change, RowId};

/// One mark for each target.
#[derive(Debug)]
pub struct Marks<T> {
    /// The list that the rows belong to; none before the first mark.
    generation: Option<u16>,
    by_row: Vec<T>,
    /// The mark of a row that belongs to another list; forgotten at once.
    stray: T,
}

impl<T: Copy + Default> Default for Marks<T> {
    fn default() -> Self {
        Self { generation: None, by_row: Vec::new(), stray: T::default() }
    }
}

impl<T: Copy + Default> Marks<T> {
    /// What is remembered of a row.
    pub fn get(&self, row: RowId) -> T {
        let mine = self.generation == Some(row.generation);
        self.by_row.get(row.index as usize).copied().filter(|_| mine).unwrap_or_default()
    }

    /// The mark of a row, to be changed.
    pub fn of(&mut self, row: RowId) -> &mut T {
        if *self.generation.get_or_insert(row.generation) != row.generation {
            self.stray = T::default();
            return &mut self.stray;
        }
        let index = row.index as usize;
        if index >= self.by_row.len() {
            self.by_row.resize(index + 1, T::default());
        }
        &mut self.by_row[index]
    }

    /// Goes on with other targets: those who stay keep their marks.
    pub fn replaced(&mut self, change: &Change) {
        let old = std::mem::take(&mut self.by_row);
        if self.generation == Some(change.old.generation()) {
            let mut gone = change.moves.removed().iter().copied().peekable();
            let stays = |&(index, _): &(u32, T)| gone.next_if_eq(&index).is_none();
            self.by_row = (0..).zip(old).filter(stays).map(|(_, mark)| mark).collect();
        }
        self.generation = Some(change.new.generation());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Roster, TargetLabels};

    fn roster(ids: &[&str]) -> Arc<Roster> {
        let mut roster = Roster::new(0, 0);
        for id in ids {
            roster.push(id, TargetLabels::default());
        }
        Arc::new(roster)
    }

    #[test]
    fn marks_stay_with_their_targets_and_those_of_an_older_list_are_nobodys() {
        let old = roster(&["a", "b", "c", "d"]);
        let mut marks = Marks::<u32>::default();
        for index in 0..4 {
            *marks.of(old.row(index)) = index + 1;
        }
        let change = Change::between(&old, &roster(&["d", "b", "x"])).expect("a change");
        marks.replaced(&change);
        let kept: Vec<u32> = (0..3).map(|index| *marks.of(change.new.row(index))).collect();
        assert_eq!(kept, [2, 4, 0]);
        *marks.of(old.row(0)) = 9;
        assert_eq!(*marks.of(change.new.row(0)), 2, "an answer about the old rows came late");
        assert_eq!(*marks.of(old.row(0)), 0, "and is remembered by nobody");
    }
}
