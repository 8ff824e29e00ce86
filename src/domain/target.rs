//! Targets: the ids that the operator wants to know about, kept once in one arena for a source.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Where a target's row stands. An answer for a removed source or target falls away by its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// The source's number in this configuration.
    pub source: u16,
    /// The list of targets that the row belongs to; raised by each change of it.
    pub generation: u16,
    /// The target's number in its source.
    pub index: u32,
}

/// One target as a question names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its row.
    pub row: RowId,
    /// The id that the provider is asked for.
    pub id: &'a str,
}

/// What an operator may say of a target beside its id; printed on the info series only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetLabels {
    /// A display name; the label `name`.
    pub name: Option<String>,
    /// Configured labels, in the order of the file.
    pub labels: Vec<(Arc<str>, String)>,
}

/// How much an operator cares, where not everybody can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Left out last.
    High,
    /// Neither.
    #[default]
    Normal,
    /// Left out first.
    Low,
}

impl Priority {
    /// Every priority, the highest first; each one's number is its place here.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The words of the configuration, in the same order.
    pub const WORDS: &[&str] = &["high", "normal", "low"];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The priority of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == word)
    }
}

/// A source's targets: ids in one arena, found by number or by id. Never changes once built.
#[derive(Debug, Clone)]
pub struct Roster {
    source: u16,
    generation: u16,
    ids: String,
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    labels: Vec<(u32, TargetLabels)>,
    priorities: Vec<(u32, Priority)>,
    /// Who is never asked about less often than at the interval, in order.
    steady: Vec<u32>,
}

impl Roster {
    /// An empty roster for the source with this number.
    pub fn new(source: u16, generation: u16) -> Self {
        Self {
            source,
            generation,
            ids: String::new(),
            ends: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            labels: Vec::new(),
            priorities: Vec::new(),
            steady: Vec::new(),
        }
    }

    /// Makes room for so many more targets, so that adding them does not move those that are there again and again.
    pub fn reserve(&mut self, targets: usize) {
        let (ids, ends, hasher) = (&self.ids, &self.ends, &self.hasher);
        self.index.reserve(targets, |&n: &u32| hasher.hash_one(slice(ids, ends, n)));
        self.ends.reserve(targets);
    }

    /// Adds a target; an id that is already there is left as it is, and `false` is returned.
    pub fn push(&mut self, id: &str, labels: TargetLabels) -> bool {
        let (ids, ends, hasher) = (&self.ids, &self.ends, &self.hasher);
        let is_it = |&n: &u32| slice(ids, ends, n) == id;
        let rehash = |&n: &u32| hasher.hash_one(slice(ids, ends, n));
        let Entry::Vacant(place) = self.index.entry(hasher.hash_one(id), is_it, rehash) else { return false };
        let number = u32::try_from(ends.len()).expect("config limits targets to far below 2^32");
        place.insert(number);
        self.ids.push_str(id);
        self.ends
            .push(u32::try_from(self.ids.len()).expect("config limits the ids of a source to below 4 GiB"));
        if labels != TargetLabels::default() {
            self.labels.push((number, labels));
        }
        true
    }

    /// Gives the target that was added last a priority of its own.
    pub fn set_last_priority(&mut self, priority: Priority) {
        if let Some(last) = self.len().checked_sub(1)
            && self.priorities.last().is_none_or(|(index, _)| *index < last)
        {
            self.priorities.push((last, priority));
        }
    }

    /// The priority of target `index`, if it has one of its own.
    pub fn priority(&self, index: u32) -> Option<Priority> {
        let at = self.priorities.binary_search_by_key(&index, |(n, _)| *n).ok()?;
        Some(self.priorities[at].1)
    }

    /// Says of the target that was added last that it is to be asked about at the interval, however quiet it is.
    pub fn set_last_steady(&mut self) {
        if let Some(last) = self.len().checked_sub(1)
            && self.steady.last().is_none_or(|index| *index < last)
        {
            self.steady.push(last);
        }
    }

    /// Whether target `index` is to be asked about at the interval, however quiet it is.
    pub fn is_steady(&self, index: u32) -> bool {
        self.steady.binary_search(&index).is_ok()
    }

    /// How many targets there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("push keeps the number below 2^32")
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The source's number.
    pub fn source(&self) -> u16 {
        self.source
    }

    /// Which of the source's lists of targets this is.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// The id of target `index`, which must be below `len`.
    pub fn id(&self, index: u32) -> &str {
        slice(&self.ids, &self.ends, index)
    }

    /// Target `index`, which must be below `len`.
    pub fn target(&self, index: u32) -> Target<'_> {
        Target { row: self.row(index), id: self.id(index) }
    }

    /// The row of target `index`.
    pub fn row(&self, index: u32) -> RowId {
        RowId { source: self.source, generation: self.generation, index }
    }

    /// All targets, in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Target<'_>> {
        (0..self.len()).map(|index| self.target(index))
    }

    /// The target with this id.
    pub fn find(&self, id: &str) -> Option<u32> {
        let (ids, ends) = (&self.ids, &self.ends);
        self.index.find(self.hasher.hash_one(id), |&n| slice(ids, ends, n) == id).copied()
    }

    /// What the operator says of target `index`, if anything.
    pub fn labels(&self, index: u32) -> Option<&TargetLabels> {
        let at = self.labels.binary_search_by_key(&index, |(n, _)| *n).ok()?;
        Some(&self.labels[at].1)
    }
}

fn slice<'a>(ids: &'a str, ends: &[u32], index: u32) -> &'a str {
    let index = index as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &ids[start..ends[index] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_by_number_and_by_id_and_never_twice() {
        let mut roster = Roster::new(3, 1);
        for n in 0..5000 {
            assert!(roster.push(&format!("id-{n}"), TargetLabels::default()));
        }
        assert!(!roster.push("id-17", TargetLabels::default()));
        assert_eq!(roster.len(), 5000);
        assert_eq!(roster.id(4999), "id-4999");
        assert_eq!(roster.find("id-17"), Some(17));
        assert_eq!(roster.find("id-5000"), None);
        assert_eq!(roster.target(7).row, RowId { source: 3, generation: 1, index: 7 });
    }

    #[test]
    fn labels_stay_with_their_target() {
        let mut roster = Roster::new(0, 0);
        roster.push("a", TargetLabels::default());
        roster.push("b", TargetLabels { name: Some("Bea".into()), labels: vec![] });
        assert_eq!(roster.labels(0), None);
        assert_eq!(roster.labels(1).and_then(|l| l.name.as_deref()), Some("Bea"));
    }
}
