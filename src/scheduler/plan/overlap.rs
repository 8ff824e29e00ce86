//! Who is asked about twice: targets of sources that ask the same with cadences of which none suffices for the other.

use std::collections::BTreeMap;

use super::{Inputs, Subject};

impl Inputs<'_> {
    /// What is paid for twice, in sentences with what to change.
    pub fn overlaps(&self) -> Vec<String> {
        let mut families: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
        for (place, subject) in self.subjects.iter().enumerate() {
            families.entry((subject.account, subject.asks)).or_default().push(place);
        }
        let mut pairs = Vec::new();
        for family in families.values() {
            let others =
                |(n, one): (usize, &usize)| family[n + 1..].iter().map(|other| (*one, *other)).collect();
            let of: Vec<Vec<(usize, usize)>> = family.iter().enumerate().map(others).collect();
            pairs.extend(of.concat());
        }
        pairs.sort_unstable();
        let sentence = |(one, other): (usize, usize)| {
            let (first, second) = (&self.subjects[one], &self.subjects[other]);
            let is_shared = first.faster.contains(&other) || second.faster.contains(&one);
            if is_shared { None } else { overlap(first, second) }
        };
        pairs.into_iter().filter_map(sentence).collect()
    }
}

fn overlap(one: &Subject<'_>, other: &Subject<'_>) -> Option<String> {
    let names = |subject: &Subject<'_>| subject.names().collect::<Vec<_>>().join(", ");
    let (first, second) = (names(one), names(other));
    let (few, many) = if one.roster.len() <= other.roster.len() { (one, other) } else { (other, one) };
    let both = few.roster.iter().filter(|target| many.roster.find(target.id).is_some()).count();
    let targets = if both == 1 { "target stands" } else { "targets stand" };
    (both > 0).then(|| {
        format!(
            "{both} {targets} in {first} and in {second}, each of which has some turns that come sooner, so they are asked \
             about twice: the same interval and cadence, or one that is nowhere slower, would make it once"
        )
    })
}
