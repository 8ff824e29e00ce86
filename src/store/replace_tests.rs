//! Whatever lists of targets follow one another, nothing is lost for those who stay, and nothing is left of those who go.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{Evidence, Kind, Policy, Roster, Seen, SourceSpec, TargetLabels, Tick};
use crate::store::{Counts, Installed};

const POLICY: Policy = Policy::at_once(Duration::from_secs(1_000_000));

fn at(seconds: u64) -> Moment {
    Moment { tick: Tick::ZERO, unix_ms: 1_700_000_000_000 }.plus(Duration::from_secs(seconds))
}

fn installed(targets: u32) -> Installed {
    let (name, kind) = (Arc::from("s"), Kind::User);
    let (provider, evidence, policy) = ("p", Evidence::FirstSeen, POLICY);
    let spec = SourceSpec {
        name,
        provider,
        kind,
        evidence,
        policy,
        platforms: true,
        detection_delay: Duration::ZERO,
    };
    Installed { spec, roster: Arc::new(list(0..targets)) }
}

/// Another list of targets, by the ids' numbers.
fn list(ids: impl IntoIterator<Item = u32>) -> Roster {
    let mut roster = Roster::new(0, 0);
    for id in ids {
        roster.push(&format!("t{id}"), TargetLabels::default());
    }
    roster
}

fn only_source(store: &Store) -> (Arc<Roster>, Counts) {
    let snapshot = store.snapshot();
    (Arc::clone(&snapshot.sources[0].roster), snapshot.sources[0].counts(at(900_000)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_lists_follow_one_another_those_who_stay_lose_nothing(
        steps in prop::collection::vec(
            // Who is on the list; who is answered as online before the change, and who while it is worked out.
            (prop::collection::vec(any::<bool>(), 2_500), 0_usize..7, prop::collection::vec(0_u32..2_500, 0..40),
             prop::collection::vec(0_u32..2_500, 0..40)),
            1..6,
        ),
    ) {
        let store = Store::new();
        store.install(vec![installed(2_500)]);
        // What is known by id: transitions cannot be told apart from a new row, starts can.
        let mut model: BTreeMap<String, i64> = BTreeMap::new();
        let second = Cell::new(0);
        for (members, sparse, before, during) in steps {
            let answer = |who: &[u32], model: &mut BTreeMap<String, i64>| {
                let (roster, _) = only_source(&store);
                for id in who {
                    second.set(second.get() + 1);
                    let id = format!("t{id}");
                    if let Some(index) = roster.find(&id) {
                        store.answered(at(second.get()), &[(roster.row(index), Ok(Seen::online()))]);
                        model.entry(id).or_insert(at(second.get()).unix_seconds());
                    }
                }
            };
            answer(&before, &mut model);
            let (old, _) = only_source(&store);
            // From a few who go to nearly all.
            let stays = |id: &u32| members[*id as usize] || *id as usize % 7 < sparse;
            let wanted = list((0..2_500).filter(stays).rev());
            let Some(change) = Change::between(&old, &wanted) else { continue };
            let change = Arc::new(change);
            let replacement = store.prepare(Arc::clone(&change)).expect("nobody else changes the list");
            answer(&during, &mut model);
            let late = old.row(0);
            prop_assert!(store.replace(replacement));
            store.answered(at(second.get() + 1), &[(late, Ok(Seen::offline()))]);
            model.retain(|id, _| wanted.find(id).is_some());

            let (roster, counts) = only_source(&store);
            prop_assert_eq!(roster.len(), wanted.len());
            prop_assert_eq!(counts.online as usize, model.len());
            prop_assert_eq!(counts.online + counts.offline + counts.unknown, roster.len());
            let snapshot = store.snapshot();
            prop_assert_eq!(snapshot.sources[0].states().count(), roster.len() as usize);
            for target in roster.iter() {
                let state = snapshot.sources[0].state(target.row.index).expect("each target has a row");
                let started = state.view(at(second.get()), &POLICY).started_s.map(i64::from);
                prop_assert_eq!(started, model.get(target.id).copied(), "{}", target.id);
            }
            // Stays go on where they began: the next answers tell the same starts.
            let known: Vec<u32> = model.keys().filter_map(|id| id[1..].parse().ok()).collect();
            answer(&known, &mut model);
        }
    }
}

#[test]
fn a_change_that_begins_with_other_targets_is_not_made() {
    let store = Store::new();
    store.install(vec![installed(10)]);
    let (old, _) = only_source(&store);
    let first = Arc::new(Change::between(&old, &list(0..5)).expect("a change"));
    let second = Arc::new(Change::between(&old, &list(0..3)).expect("a change"));
    let (first, late) =
        (store.prepare(first).expect("it fits"), store.prepare(Arc::clone(&second)).expect("it fits"));
    assert!(store.replace(first));
    assert!(!store.replace(late) && store.prepare(second).is_none());
    assert_eq!(only_source(&store).0.len(), 5);
}
