//! Who is asked about twice: targets of sources that ask the same, but in another rhythm, so that they are not asked together.

use super::{Inputs, Subject};

impl Inputs<'_> {
    /// What is paid for twice, in sentences with what to change.
    pub fn overlaps(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (number, one) in self.subjects.iter().enumerate() {
            let others = self.subjects[number + 1..].iter();
            for other in others.filter(|other| (other.account, other.asks) == (one.account, one.asks)) {
                sentences.extend(overlap(one, other));
            }
        }
        sentences
    }
}

fn overlap(one: &Subject<'_>, other: &Subject<'_>) -> Option<String> {
    const REMEDY: &str = "the same interval, timeout and cadence would make it once";
    let names = |subject: &Subject<'_>| subject.names().collect::<Vec<_>>().join(", ");
    let (first, second) = (names(one), names(other));
    if one.asking.sequence {
        return Some(format!("{first} and {second} read the same lists, each in its own rhythm: {REMEDY}"));
    }
    let (few, many) = if one.roster.len() <= other.roster.len() { (one, other) } else { (other, one) };
    let both = few.roster.iter().filter(|target| many.roster.find(target.id).is_some()).count();
    let targets = if both == 1 { "target stands" } else { "targets stand" };
    (both > 0).then(|| {
        format!("{both} {targets} in {first} and in {second}, which ask the same in another rhythm, so they are asked about twice: {REMEDY}")
    })
}
