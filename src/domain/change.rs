//! A change of a source's targets: which rows stay, where to, and which end.
//!
//! Those who stay keep their order, and newcomers come after them, so that a place in a round stays a place in the next
//! one. It moves numbers only; what is known of a target is moved by who keeps it.

use std::sync::Arc;

use super::target::{Roster, TargetLabels};

/// How one roster of a source follows another.
#[derive(Debug, Clone)]
pub struct Change {
    /// What was before.
    pub old: Arc<Roster>,
    /// What is from now on, of the next generation.
    pub new: Arc<Roster>,
    /// Where everybody is now.
    pub moves: Arc<Moves>,
}

/// The new numbers of a source's old rows: those who stay close up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    /// How many targets there were.
    targets: u32,
    /// The old numbers of those that are gone, in order.
    removed: Vec<u32>,
}

impl Change {
    /// What follows from `old` when the targets of `wanted` are to be asked about, whatever that one's order and
    /// generation; `None` when these are the same targets with the same labels.
    pub fn between(old: &Arc<Roster>, wanted: &Roster) -> Option<Self> {
        let mut new = Roster::new(old.source(), old.generation().wrapping_add(1));
        new.reserve(wanted.len() as usize);
        let (mut removed, mut described_anew) = (Vec::new(), false);
        for target in old.iter() {
            let index = target.row.index;
            let Some(found) = wanted.find(target.id) else {
                removed.push(index);
                continue;
            };
            described_anew |= wanted.labels(found) != old.labels(index);
            described_anew |= wanted.priority(found) != old.priority(index);
            described_anew |= wanted.is_steady(found) != old.is_steady(index);
            add(&mut new, wanted, found);
        }
        let kept = new.len();
        if kept < wanted.len() {
            for target in wanted.iter() {
                add(&mut new, wanted, target.row.index);
            }
        }
        let changed = described_anew || !removed.is_empty() || new.len() > kept;
        changed.then(|| Self {
            old: Arc::clone(old),
            new: Arc::new(new),
            moves: Arc::new(Moves { targets: old.len(), removed }),
        })
    }
}

impl Moves {
    /// The new number of an old row; `None` when its target is gone.
    pub fn index(&self, old: u32) -> Option<u32> {
        let before = self.removed.partition_point(|&gone| gone < old);
        (self.removed.get(before) != Some(&old) && old < self.targets).then(|| old - count(before))
    }

    /// Where an old place is now: the new number of the first target from there on that stays, or of the first newcomer.
    pub fn place(&self, old: u32) -> u32 {
        let old = old.min(self.targets);
        old - count(self.removed.partition_point(|&gone| gone < old))
    }

    /// The old numbers of those that are gone, in order.
    pub fn removed(&self) -> &[u32] {
        &self.removed
    }

    /// The number of the first newcomer; as many are those who stayed.
    pub fn kept(&self) -> u32 {
        self.targets - count(self.removed.len())
    }
}

/// Adds a target of `wanted` unless it is there, with all that is said of it.
fn add(new: &mut Roster, wanted: &Roster, index: u32) {
    let labels: TargetLabels = wanted.labels(index).cloned().unwrap_or_default();
    if !new.push(wanted.id(index), labels) {
        return;
    }
    wanted.priority(index).into_iter().for_each(|priority| new.set_last_priority(priority));
    if wanted.is_steady(index) {
        new.set_last_steady();
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a roster has far fewer than 2^32 targets")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(ids: &[&str]) -> Arc<Roster> {
        let mut roster = Roster::new(3, 7);
        for id in ids {
            roster.push(id, TargetLabels::default());
        }
        Arc::new(roster)
    }

    fn ids(roster: &Roster) -> Vec<&str> {
        roster.iter().map(|target| target.id).collect()
    }

    #[test]
    fn those_who_stay_keep_their_order_and_newcomers_follow() {
        let old = roster(&["a", "b", "c", "d", "e"]);
        let change = Change::between(&old, &roster(&["x", "e", "c", "y", "b"])).expect("a change");
        assert_eq!(ids(&change.new), ["b", "c", "e", "x", "y"]);
        assert_eq!((change.new.source(), change.new.generation()), (3, 8));
        let moved: Vec<_> = (0..6).map(|old| change.moves.index(old)).collect();
        assert_eq!(moved, [None, Some(0), Some(1), None, Some(2), None]);
        let places: Vec<_> = (0..7).map(|old| change.moves.place(old)).collect();
        assert_eq!(places, [0, 0, 1, 2, 2, 3, 3]);
        assert_eq!((change.moves.kept(), change.moves.removed()), (3, [0, 3].as_slice()));
    }

    #[test]
    fn another_order_is_no_change_and_another_label_is() {
        let old = roster(&["a", "b"]);
        assert!(Change::between(&old, &roster(&["b", "a"])).is_none());
        let mut named = Roster::new(3, 0);
        named.push("b", TargetLabels { name: Some("Bea".into()), labels: vec![] });
        named.push("a", TargetLabels::default());
        let change = Change::between(&old, &named).expect("a name is new");
        assert_eq!((ids(&change.new), change.moves.removed().len()), (vec!["a", "b"], 0));
        assert!(change.new.labels(1).is_some());
        assert!(Change::between(&change.new, &named).is_none());
    }

    #[test]
    fn who_is_steady_stays_so_among_others_and_becoming_so_is_a_change() {
        let steady = |ids: &[(&str, bool)]| {
            let mut roster = Roster::new(3, 7);
            for (id, is_steady) in ids {
                roster.push(id, TargetLabels::default());
                if *is_steady {
                    roster.set_last_steady();
                }
            }
            roster
        };
        let old = Arc::new(steady(&[("a", true), ("b", false), ("c", true)]));
        assert!(Change::between(&old, &steady(&[("c", true), ("a", true), ("b", false)])).is_none());
        let change =
            Change::between(&old, &steady(&[("d", true), ("b", true), ("c", false)])).expect("a change");
        let is: Vec<(&str, bool)> =
            change.new.iter().map(|target| (target.id, change.new.is_steady(target.row.index))).collect();
        assert_eq!(is, [("b", true), ("c", false), ("d", true)]);
        let only = Change::between(&change.new, &steady(&[("b", false), ("c", false), ("d", true)]));
        assert!(only.is_some_and(|change| !change.new.is_steady(0)));
    }

    #[test]
    fn everybody_may_go_and_come() {
        let (none, some) = (roster(&[]), roster(&["a", "b"]));
        let gone = Change::between(&some, &none).expect("a change");
        assert_eq!((gone.new.len(), gone.moves.kept(), gone.moves.place(2)), (0, 0, 0));
        let come = Change::between(&gone.new, &some).expect("a change");
        assert_eq!((ids(&come.new), come.moves.kept()), (vec!["a", "b"], 0));
    }
}
