//! Whom not to ask when the budget does not suffice for all, so that the rest keeps its interval.
//!
//! Pure, and the same for the same sources and rate: the lowest priority goes first, and of one priority what stands last
//! in the configuration. A source that is asked about all of its targets at once goes as a whole, by its own priority.
//!
//! What it deliberately does not do: it asks no clock and holds nobody back; who is left out is told so by others.

use std::sync::Arc;
use std::time::Duration;

use super::budget::SHARE;
use super::packing::Capacity;
use super::plan::Rhythm;
use crate::domain::{Priority, Roster};
use crate::providers::Step;

/// The share of the pace that may be planned for once somebody has to be left out: the rest is for retries, details, tokens
/// and further pages, which no plan of rounds counts.
const PLANNED: f64 = 0.95;

/// How far the rate has to be above that of the last decision before anybody is asked again. Rates that climb in small steps
/// would otherwise let the same targets in and out.
const WORTH: f64 = 1.2;

/// What one source wants.
pub struct Want<'a> {
    /// Its targets.
    pub roster: &'a Roster,
    /// What its round consists of.
    pub steps: &'a [Step],
    /// How often.
    pub interval: Duration,
    /// Its priority, for targets that have none of their own.
    pub priority: Priority,
}

/// The targets of one source that are not asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shed {
    /// A bit for each target; empty when everybody is asked about.
    bits: Arc<[u64]>,
    /// How many there are.
    pub count: u32,
}

impl Shed {
    /// Those of so many targets of whom this is true.
    pub(super) fn of(targets: u32, is_shed: impl Fn(u32) -> bool) -> Self {
        let mut bits = vec![0_u64; targets.div_ceil(64) as usize];
        let mut count = 0;
        for index in (0..targets).filter(|&index| is_shed(index)) {
            bits[index as usize / 64] |= 1 << (index % 64);
            count += 1;
        }
        if count == 0 { Self::default() } else { Self { bits: bits.into(), count } }
    }

    /// Whether this target is left out.
    pub fn contains(&self, index: u32) -> bool {
        self.bits.get(index as usize / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// The round of those who are not left out; a source that is asked about as a whole keeps its own.
    pub fn rhythm(&self, steps: &[Step], roster: &Roster) -> Rhythm {
        match Capacity::of(steps) {
            Some(capacity) => Rhythm::Spread { starts: capacity.cut(roster, |index| !self.contains(index)) },
            None => Rhythm::Sequence,
        }
    }
}

/// Who is left out of each of these sources, which share one budget of so many requests a second; nobody, if it suffices.
pub fn decide(wants: &[Want<'_>], per_second: f64) -> Vec<Shed> {
    let all: f64 = wants.iter().map(|want| want.rate(&|_| true)).sum();
    if all <= per_second * SHARE {
        return vec![Shed::default(); wants.len()];
    }
    let mut free = per_second * SHARE * PLANNED;
    // By source: how many targets of each priority are asked about, those that come first.
    let mut taken = vec![[0_u32; Priority::ALL.len()]; wants.len()];
    for (class, &priority) in Priority::ALL.iter().enumerate() {
        for (want, taken) in wants.iter().zip(&mut taken) {
            let before = want.rate(&want.first(*taken));
            let so_far = *taken;
            let with = |count: u32| {
                let mut more = so_far;
                more[class] = count;
                want.rate(&want.first(more)) - before
            };
            let most = want.targets_of(priority);
            taken[class] = largest(most, want.is_divisible(), |count| with(count) <= free);
            free -= with(taken[class]);
        }
    }
    wants.iter().zip(&taken).map(|(want, taken)| want.shed(*taken)).collect()
}

/// Whether a decision made for one rate should be made anew for another: at once when it is lower, and when it is higher
/// only if that is worth it or the `full` rate is back.
pub fn is_due(decided_for: f64, present: f64, full: f64) -> bool {
    present < decided_for || present >= decided_for * WORTH || (present >= full && decided_for < full)
}

impl Want<'_> {
    fn is_divisible(&self) -> bool {
        Capacity::of(self.steps).is_some()
    }

    fn priority_of(&self, index: u32) -> Priority {
        if self.is_divisible() { self.roster.priority(index).unwrap_or(self.priority) } else { self.priority }
    }

    fn targets_of(&self, priority: Priority) -> u32 {
        let of = (0..self.roster.len()).filter(|&index| self.priority_of(index) == priority);
        u32::try_from(of.count()).unwrap_or(u32::MAX)
    }

    /// Whether a target is among the first so many of its priority.
    fn first(&self, taken: [u32; Priority::ALL.len()]) -> impl Fn(u32) -> bool + use<> {
        let mut left = taken;
        let mut bits = vec![0_u64; self.roster.len().div_ceil(64) as usize];
        for index in 0..self.roster.len() {
            let left = &mut left[self.priority_of(index) as usize];
            if *left > 0 {
                *left -= 1;
                bits[index as usize / 64] |= 1 << (index % 64);
            }
        }
        move |index| bits.get(index as usize / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// Requests a second when these targets are asked about.
    #[expect(clippy::cast_precision_loss, reason = "requests of a round are far below 2^52")]
    fn rate(&self, is_asked: &dyn Fn(u32) -> bool) -> f64 {
        let requests = match Capacity::of(self.steps) {
            Some(capacity) => capacity.cut(self.roster, is_asked).len() as f64,
            None if (0..self.roster.len()).any(is_asked) => pages(self.steps, self.roster) as f64,
            None => 0.0,
        };
        requests / self.interval.as_secs_f64()
    }

    fn shed(&self, taken: [u32; Priority::ALL.len()]) -> Shed {
        let is_asked = self.first(taken);
        Shed::of(self.roster.len(), |index| !is_asked(index))
    }
}

/// Requests of a round that asks about all targets at once, at least.
fn pages(steps: &[Step], roster: &Roster) -> u64 {
    let pages = |step: &Step| match step {
        Step::Listing { action } if action.ids_per_call > 0 => {
            u64::from(roster.len().div_ceil(action.ids_per_call)).max(1)
        }
        Step::Batches { .. } | Step::Listing { .. } | Step::Log { .. } => 1,
    };
    steps.iter().map(pages).sum()
}

/// The largest number up to `most` that fits, where whatever is smaller fits too; all or nothing, unless `divisible`.
fn largest(most: u32, divisible: bool, fits: impl Fn(u32) -> bool) -> u32 {
    if most == 0 || fits(most) {
        return most;
    }
    let (mut good, mut bad) = (0, most);
    while divisible && bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    good
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TargetLabels;
    use crate::providers::{Action, TOGETHER};

    static ASK: Action = Action {
        name: "Ask",
        ids_per_call: 10,
        limits: &[],
        lag: Duration::ZERO,
        billed: false,
        source: "a test",
    };
    const BATCHES: &[Step] =
        &[Step::Batches { action: &ASK, ids: 10, weigh: str::len, weight: 60, apart: TOGETHER }];
    const LISTING: &[Step] = &[Step::Listing { action: &ASK }];
    const SECOND: Duration = Duration::from_secs(1);

    fn roster(priorities: &[Option<Priority>]) -> Roster {
        let mut roster = Roster::new(0, 0);
        for (index, priority) in priorities.iter().enumerate() {
            roster.push(&format!("id-{index:03}"), TargetLabels::default());
            if let Some(priority) = priority {
                roster.set_last_priority(*priority);
            }
        }
        roster
    }

    fn want<'a>(roster: &'a Roster, steps: &'a [Step], priority: Priority) -> Want<'a> {
        Want { roster, steps, interval: SECOND * 10, priority }
    }

    fn counts(shed: &[Shed]) -> Vec<u32> {
        shed.iter().map(|shed| shed.count).collect()
    }

    #[test]
    fn nobody_is_left_out_of_a_budget_that_suffices_just_so() {
        let hundred = roster(&[None; 100]);
        let wants = || vec![want(&hundred, BATCHES, Priority::Low), want(&hundred, BATCHES, Priority::High)];
        assert_eq!(counts(&decide(&wants(), 2.0 / SHARE + 1e-9)), [0, 0]);
        assert_eq!(counts(&decide(&wants(), 2.0 / SHARE - 1e-3))[1], 0);
        assert!(counts(&decide(&wants(), 2.0 / SHARE - 1e-3))[0] > 0);
    }

    #[test]
    fn the_lowest_priority_goes_first_and_of_one_priority_what_stands_last() {
        let hundred = roster(&[None; 100]);
        let priorities = [Priority::Normal, Priority::Low, Priority::High, Priority::Low];
        let wants: Vec<Want<'_>> = priorities.iter().map(|&p| want(&hundred, BATCHES, p)).collect();
        let shed = decide(&wants, 2.75);
        // 2.56 a second are planned: 25 batches in ten seconds.
        assert_eq!(counts(&shed), [0, 50, 0, 100]);
        assert!(!shed[1].contains(49) && shed[1].contains(50));
        assert_eq!(counts(&decide(&wants, 1.6)), [60, 100, 0, 100]);
        assert_eq!(counts(&decide(&wants, 0.1)), [100, 100, 100, 100], "not a tenth of a request is left");
    }

    #[test]
    fn a_targets_own_priority_counts_and_a_listing_goes_as_a_whole_by_its_sources() {
        let mut priorities = [Some(Priority::Low); 40];
        priorities[7] = Some(Priority::High);
        priorities[39] = None;
        let (mixed, plain) = (roster(&priorities), roster(&[None; 40]));
        let wants = vec![want(&mixed, BATCHES, Priority::Normal), want(&plain, LISTING, Priority::Low)];
        let shed = decide(&wants, 0.22);
        assert_eq!(counts(&shed), [20, 40], "two batches are planned for");
        assert!(!shed[0].contains(7) && !shed[0].contains(39) && shed[0].contains(38));
        let high: Vec<Option<Priority>> = vec![Some(Priority::High); 40];
        let high = roster(&high);
        let wants = vec![want(&high, LISTING, Priority::Low), want(&plain, BATCHES, Priority::Normal)];
        assert_eq!(
            counts(&decide(&wants, 0.45)),
            [40, 0],
            "whoever is asked with all others, is no reason to ask all"
        );
    }

    #[test]
    fn a_decision_is_made_anew_for_less_and_for_much_more_only() {
        assert!(is_due(1.0, 0.99, 2.0));
        assert!(!is_due(1.0, 1.0, 2.0) && !is_due(1.0, 1.19, 2.0));
        assert!(is_due(1.0, 1.2, 2.0));
        assert!(is_due(1.95, 2.0, 2.0), "the full rate is back");
        assert!(!is_due(2.0, 2.0, 2.0));
    }

    fn any_priority() -> impl Strategy<Value = Option<Priority>> {
        prop_oneof![
            Just(None),
            Just(Some(Priority::High)),
            Just(Some(Priority::Normal)),
            Just(Some(Priority::Low))
        ]
    }

    proptest! {
        #[test]
        fn what_is_left_fits_is_as_much_as_fits_and_nobody_gives_way_to_a_lower_priority(
            sources in prop::collection::vec(prop::collection::vec(any_priority(), 0..80), 1..5),
            own in prop::collection::vec(0_usize..3, 5),
            rate in 0.05_f64..4.0,
        ) {
            let rosters: Vec<Roster> = sources.iter().map(|priorities| roster(priorities)).collect();
            let wants: Vec<Want<'_>> = rosters
                .iter()
                .zip(&own)
                .map(|(roster, &own)| want(roster, BATCHES, Priority::ALL[own]))
                .collect();
            let shed = decide(&wants, rate);
            prop_assert_eq!(&shed, &decide(&wants, rate), "the same again");
            let sum: f64 = wants.iter().zip(&shed).map(|(want, shed)| want.rate(&|index| !shed.contains(index))).sum();
            prop_assert!(sum <= rate * SHARE + 1e-9, "{} of {}", sum, rate);
            let left_out: u32 = shed.iter().map(|shed| shed.count).sum();
            prop_assert!(left_out == 0 || sum + 0.1 > rate * SHARE * PLANNED - 1e-9, "a batch more would fit");
            for (want, shed) in wants.iter().zip(&shed) {
                let class = |index: u32| want.priority_of(index) as usize;
                let worst_asked = (0..want.roster.len()).filter(|&n| !shed.contains(n)).map(class).max();
                for index in (0..want.roster.len()).filter(|&n| shed.contains(n)) {
                    // A lower one may only fill up a batch that is asked anyway.
                    let lower = (0..want.roster.len())
                        .filter(|&n| !shed.contains(n) && class(n) > class(index))
                        .count();
                    prop_assert!(worst_asked.is_none_or(|worst| worst <= class(index)) || lower < 10);
                }
            }
        }
    }
}
