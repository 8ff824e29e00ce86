//! A second look before believing that half of the people left at once.
//!
//! When one of the server's message gateways does not answer, its users come back as offline in a reply that says
//! success. This remembers who was online, so that the client may ask again. It decides nothing about presence and is
//! forgotten at a restart.

use crate::domain::Change;
use crate::providers::marks::Marks;

use super::Rows;

/// From how many people on a batch is judged at all: fewer may well leave together.
const CROWD: usize = 10;

/// How many of a batch leave at least when it is asked again: half of a crowd.
pub(super) const DEPARTURES: u32 = 5;

/// Who was online when last asked: one byte a target.
#[derive(Default)]
pub(super) struct Guard {
    online: Marks<bool>,
}

impl Guard {
    /// Whether, of at least [`CROWD`] people of this batch who were online, half or more now are offline.
    pub(super) fn doubts(&self, rows: &Rows) -> bool {
        let said_of_known = rows.iter().filter(|(row, _)| self.online.get(*row));
        let (mut known, mut left) = (0_usize, 0_usize);
        for (_, said) in said_of_known {
            known += 1;
            left += usize::from(said.as_ref().is_ok_and(|seen| !seen.online));
        }
        known >= CROWD && left * 2 >= known
    }

    /// Remembers a believed answer. Who got no good row keeps the mark.
    pub(super) fn learn(&mut self, rows: &Rows) {
        for (row, said) in rows {
            if let Ok(seen) = said {
                *self.online.of(*row) = seen.online;
            }
        }
    }

    /// Goes on with other targets.
    pub(super) fn replaced(&mut self, change: &Change) {
        self.online.replaced(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Fault, RowId, Seen};

    fn rows(generation: u16, online: impl IntoIterator<Item = bool>) -> Rows {
        let row = |(index, online)| {
            let row = RowId { source: 0, generation, index: 60 + u32::try_from(index).expect("few") };
            (row, Ok(Seen { online, ..Seen::default() }))
        };
        online.into_iter().enumerate().map(row).collect()
    }

    fn after(online: usize) -> Guard {
        let mut guard = Guard::default();
        guard.learn(&rows(0, (0..20).map(|n| n < online)));
        guard
    }

    #[test]
    fn half_of_ten_leaving_at_once_is_doubted_and_less_is_not() {
        assert!(after(10).doubts(&rows(0, (0..20).map(|n| n < 5))));
        assert!(after(10).doubts(&rows(0, [false; 20])));
        assert!(!after(10).doubts(&rows(0, (0..20).map(|n| n < 6))));
        assert!(!after(9).doubts(&rows(0, [false; 20])), "nine may leave together");
        assert!(!Guard::default().doubts(&rows(0, [false; 20])), "nobody was known");
    }

    #[test]
    fn a_row_without_a_good_answer_is_nobody_who_left() {
        let mut bad = rows(0, [false; 10]);
        for (_, said) in &mut bad {
            *said = Err(Fault::BadAnswer);
        }
        let mut guard = after(10);
        assert!(!guard.doubts(&bad));
        guard.learn(&bad);
        assert!(guard.doubts(&rows(0, [false; 10])), "the marks were kept");
    }

    #[test]
    fn what_was_believed_is_the_new_memory_and_a_new_configuration_forgets() {
        let mut guard = after(10);
        assert!(!guard.doubts(&rows(1, [false; 20])), "other targets");
        guard.learn(&rows(0, [false; 20]));
        assert!(!guard.doubts(&rows(0, [false; 20])));
    }
}
