//! What a question is about, and how that moves along when a source's targets change.

use std::sync::Arc;

use crate::domain::Moves;

/// Targets by their numbers, in order. It is one pointer wide, since whatever is kept of any question has room for it.
pub type Rows = Arc<Box<[u32]>>;

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// Targets `from..to`.
    Batch {
        /// The first target.
        from: u32,
        /// One past the last target.
        to: u32,
    },
    /// These targets, in order, picked by a cadence.
    Picked(Rows),
    /// The step of the round with this number, a listing or a log.
    Step(usize),
    /// The detail of one target.
    Detail(u32),
    /// One target that a batch was refused for, alone.
    Solo(u32),
    /// Which targets there are, as the member of the pool with this number sees them; outside of rounds.
    Discover(usize),
}

impl Ask {
    /// The same about other targets of the source. About nobody, if those whom it concerned are gone.
    #[must_use]
    pub fn moved(&self, moves: &Moves) -> Self {
        let nobody = Self::Batch { from: 0, to: 0 };
        match *self {
            Self::Batch { from, to } => Self::Batch { from: moves.place(from), to: moves.place(to) },
            Self::Detail(row) => moves.index(row).map_or(nobody, Self::Detail),
            Self::Solo(row) => moves.index(row).map_or(nobody, Self::Solo),
            Self::Picked(ref rows) => {
                let rows: Box<[u32]> = rows.iter().filter_map(|&row| moves.index(row)).collect();
                if rows.is_empty() { nobody } else { Self::Picked(Arc::new(rows)) }
            }
            Self::Step(step) => Self::Step(step),
            Self::Discover(member) => Self::Discover(member),
        }
    }

    /// Whether some of the targets are asked about together.
    pub fn is_batch(&self) -> bool {
        matches!(self, Self::Batch { .. } | Self::Picked(_))
    }

    /// Whether nobody is concerned.
    pub fn is_about_nobody(&self) -> bool {
        matches!(self, Self::Batch { from, to } if from >= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Change, Roster, TargetLabels};

    #[test]
    fn picked_targets_move_along_and_who_is_gone_falls_away() {
        let roster = |ids: &str| {
            let mut roster = Roster::new(0, 0);
            for id in ids.split(',') {
                roster.push(id, TargetLabels::default());
            }
            Arc::new(roster)
        };
        let change = Change::between(&roster("a,b,c,d"), &roster("b,d,x")).expect("a change");
        let moved = |rows: &[u32]| Ask::Picked(Rows::new(rows.into())).moved(&change.moves);
        assert_eq!(moved(&[0, 1, 3]), Ask::Picked(Rows::new([0, 1].into())));
        assert!(moved(&[0, 2]).is_about_nobody());
    }
}
