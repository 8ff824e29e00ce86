//! What a configuration costs and how fresh it can be: a pure function of sources, accounts and assumptions. The scheduler
//! cuts its rounds by it, the daemon takes default ages and delays from it, `plan` prints it: one model, so they agree.
//!
//! In reading order: [`subject`] is what is asked together; [`rounds`] cuts targets into batches; [`calls`] counts what a
//! subject calls in a world of given numbers, [`turns`] what a cadence changes of that; [`freshness`] says how late a change
//! is seen; [`quota`] holds counts against what may be spent; [`advice`] says what to change so that it fits; [`outline`]
//! puts a whole configuration together.
//!
//! Everything is counted twice: a floor, that is sure to be asked when all goes well and nobody is online, and a ceiling
//! under [`Assumptions`]. Given a world's own numbers both are that world's count, to the call.
//!
//! It sends nothing and knows no clock; series and bytes of pages are counted where pages are made.

use std::time::Duration;

use serde::Serialize;

use crate::domain::{Quota, Window};
use crate::providers::configure::Configuration;
use crate::scheduler::discovery::listings;
use crate::scheduler::pools::{Joining, Pool, pools};
use crate::scheduler::shedding::{self, Shed, Want};

pub mod advice;
pub mod calls;
pub mod freshness;
pub mod outline;
pub mod quota;
pub mod rounds;
pub mod subject;
pub mod turns;

pub use calls::{Asking, World};
pub use freshness::Delay;
pub use outline::{AccountPlan, ActionPlan, Plan, SourcePlan};
pub use rounds::{Rhythm, default_max_age, rhythm, stretch};
pub use subject::{Member, Subject};

/// What the ceiling assumes of the world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumptions {
    /// The part of the targets that is online, 0 to 1.
    pub online_share: f64,
    /// How often a target comes online or goes, or its connections change, an hour.
    pub arrivals_per_hour: f64,
    /// The part of the calls that fails, each made again as often as the scheduler does.
    pub failing_share: f64,
    /// Targets of each source that the provider refuses, found by halving their batch.
    pub refused_per_source: u64,
    /// Rows of the provider's lists for each target of ours: other desktops of the same project.
    pub rows_per_target: f64,
}

impl Default for Assumptions {
    /// Half of all online, each coming once an hour; one call in a hundred fails; one mistyped target a source; the lists
    /// hold twice what is watched.
    fn default() -> Self {
        Self {
            online_share: 0.5,
            arrivals_per_hour: 1.0,
            failing_share: 0.01,
            refused_per_source: 1,
            rows_per_target: 2.0,
        }
    }
}

/// Who pays.
pub struct Payer<'a> {
    /// The operator's name for it.
    pub name: &'a str,
    /// What it may spend.
    pub quota: &'a Quota,
    /// Whether what does not fit may be left out.
    pub shed: bool,
}

/// All that a plan is made of.
pub struct Inputs<'a> {
    /// Who pays, in the order of the configuration.
    pub payers: Vec<Payer<'a>>,
    /// What is asked, in the order of the first source of each.
    pub subjects: Vec<Subject<'a>>,
    /// Of each source, in the order of the configuration: the subject that it belongs to, and its place there.
    seats: Vec<(usize, usize)>,
    /// Of each source: the places of the subjects in which its targets are asked about, its own one first.
    asked_in: Vec<Vec<usize>>,
    /// Of each account: by how much its rounds take longer than their intervals. Where targets may be left out, those who
    /// stay are asked as often as they should be.
    stretches: Vec<f64>,
    /// Of each subject: the targets that are left out, since the full rate does not suffice for them.
    left_out: Vec<Shed>,
    /// Of each account: calls of the largest questions of all its sources together.
    crowds: Vec<f64>,
}

impl<'a> Inputs<'a> {
    /// These accounts and sources.
    pub fn new(payers: Vec<Payer<'a>>, subjects: Vec<Subject<'a>>) -> Self {
        let seat = |(place, subject): (usize, &Subject<'_>)| {
            let numbers = subject.members.iter().map(|member| member.number).enumerate();
            numbers.map(|(member, number)| (number, (place, member))).collect::<Vec<_>>()
        };
        let mut seats: Vec<(usize, (usize, usize))> = subjects.iter().enumerate().flat_map(seat).collect();
        seats.sort_unstable();
        let seats: Vec<(usize, usize)> = seats.into_iter().map(|(_, seat)| seat).collect();
        let asked_in = seats.iter().map(|&seat| asked_in(&subjects, seat)).collect();
        let mut inputs = Self {
            payers,
            subjects,
            seats,
            asked_in,
            stretches: Vec::new(),
            left_out: Vec::new(),
            crowds: Vec::new(),
        };
        // Rounds take as long as they do before anybody is quiet.
        let least: Vec<World> =
            inputs.least().into_iter().map(|world| World { quiet: false, ..world }).collect();
        let accounts = 0..inputs.payers.len();
        let stretch = |account: usize| {
            let payer = &inputs.payers[account];
            if payer.shed {
                return 1.0;
            }
            let allowed = payer.quota.sustained_per_second();
            rounds::stretch(inputs.wanted(account, &least), allowed)
        };
        let crowd = |account: usize| {
            let of =
                |(number, subject): (usize, &Subject<'_>)| subject.asking.calls_of_a_pass(&least[number]);
            inputs.of_account(account).map(of).map(calls::float).sum()
        };
        (inputs.stretches, inputs.crowds) =
            (accounts.clone().map(stretch).collect(), accounts.map(crowd).collect());
        inputs.left_out = inputs.who_is_left_out();
        inputs
    }

    /// By subject: whom is left out at the full rate, by the very decision that polling makes.
    fn who_is_left_out(&self) -> Vec<Shed> {
        let mut left_out = vec![Shed::default(); self.subjects.len()];
        for (account, payer) in self.payers.iter().enumerate().filter(|(_, payer)| payer.shed) {
            let (numbers, wants): (Vec<usize>, Vec<Want<'_>>) = self
                .of_account(account)
                .map(|(number, subject)| {
                    let (interval, priority) = (subject.asking.interval, subject.priority);
                    (number, Want { roster: &subject.roster, steps: &subject.steps, interval, priority })
                })
                .unzip();
            let decided = shedding::decide(&wants, payer.quota.sustained_per_second());
            for (number, shed) in numbers.into_iter().zip(decided) {
                left_out[number] = shed;
            }
        }
        left_out
    }

    /// How many targets of a source are left out, by whoever asks about them.
    pub(super) fn left_out_of(&self, source: usize) -> u32 {
        let (place, member) = self.seats[source];
        let subject = &self.subjects[place];
        if subject.joining == Joining::Alone {
            return self.left_out[place].count;
        }
        let left_out_in = |place: &usize| {
            let (shed, asked) = (&self.left_out[*place], &self.subjects[*place]);
            let mine = subject.members[member].roster.iter().filter(|_| shed.count > 0);
            let index = mine.filter_map(|target| asked.index(member, target.id));
            index.filter(|index| shed.contains(*index)).count()
        };
        u32::try_from(self.asked_in[source].iter().map(left_out_in).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// How many targets of a source are asked about by faster ones alone, and the names of these.
    pub(super) fn left_to_faster(&self, source: usize) -> (u32, Vec<String>) {
        let (place, member) = self.seats[source];
        let subject = &self.subjects[place];
        let faster = self.asked_in[source].iter().filter(|other| **other != place);
        let names: Vec<String> =
            faster.flat_map(|other| self.subjects[*other].names()).map(str::to_owned).collect();
        if names.is_empty() {
            return (0, names);
        }
        let left =
            subject.members[member].roster.iter().filter(|one| subject.index(member, one.id).is_none());
        (u32::try_from(left.count()).unwrap_or(u32::MAX), names)
    }

    /// What matters of a configuration.
    pub fn of(configuration: &'a Configuration) -> Self {
        let payers = configuration.accounts.iter().map(|account| Payer {
            name: &account.settings.name,
            quota: &account.settings.quota,
            shed: account.settings.shed,
        });
        let listings = listings(&configuration.sources);
        let subject = |pool: Pool| Subject::of(pool, &configuration.sources, &listings);
        Self::new(payers.collect(), pools(&configuration.sources).into_iter().map(subject).collect())
    }

    /// Each subject's world at the floor.
    pub fn least(&self) -> Vec<World> {
        self.subjects.iter().map(Subject::least).collect()
    }

    /// Each subject's world at the ceiling.
    pub fn most(&self, assumptions: &Assumptions) -> Vec<World> {
        self.subjects.iter().map(|subject| subject.most(assumptions)).collect()
    }

    /// The subjects of an account with their places.
    pub(super) fn of_account(&self, account: usize) -> impl Iterator<Item = (usize, &Subject<'a>)> {
        self.subjects.iter().enumerate().filter(move |(_, subject)| subject.account == account)
    }
}

/// The places of the subjects in which the targets of the source are asked about that has this seat: its own one, if it asks
/// about any, or nobody does, or that may change; and the faster ones that have some of them.
fn asked_in(subjects: &[Subject<'_>], (place, member): (usize, usize)) -> Vec<usize> {
    let own = &subjects[place];
    let roster = own.members[member].roster;
    let has_some = |other: &usize| roster.iter().any(|one| subjects[*other].roster.find(one.id).is_some());
    let mut places: Vec<usize> = own.faster.iter().copied().filter(has_some).collect();
    let may_change = || own.changes || places.iter().any(|other| subjects[*other].changes);
    let asks = || roster.iter().any(|one| own.index(member, one.id).is_some());
    let is_own = places.is_empty() || may_change() || asks();
    places.splice(0..0, is_own.then_some(place));
    places
}

/// Calls in windows of each length from the start on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Calls {
    /// A second, in the long run.
    pub second: f64,
    /// In the first minute.
    pub minute: u64,
    /// In the first hour.
    pub hour: u64,
    /// In the first day.
    pub day: u64,
    /// In the first thirty days.
    pub month: u64,
}

impl Calls {
    /// These calls, counted window by window.
    pub fn count(second: f64, mut of: impl FnMut(Duration) -> u64) -> Self {
        Self {
            second,
            minute: of(Window::Minute.length()),
            hour: of(Window::Hour.length()),
            day: of(Window::Day.length()),
            month: of(Window::Month.length()),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            second: self.second + other.second,
            minute: self.minute + other.minute,
            hour: self.hour + other.hour,
            day: self.day + other.day,
            month: self.month + other.month,
        }
    }
}

/// What is sure and what may be.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Span {
    /// When all goes well and nobody is online.
    pub floor: Calls,
    /// Under the assumptions.
    pub ceiling: Calls,
}

impl Span {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { floor: self.floor.plus(other.floor), ceiling: self.ceiling.plus(other.ceiling) }
    }
}
