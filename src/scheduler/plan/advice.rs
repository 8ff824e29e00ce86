//! What to change so that what is sure fits: computed, and true. Applying it makes the plan fit.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::calls::{Asking, token_calls, token_rate};
use super::turns::Turns;
use super::{Assumptions, Calls, Inputs, Member, Subject, World};
use crate::config::Cadence;
use crate::config::common::LIMIT_INTERVAL_S;
use crate::domain::Limit;
use crate::providers::cost::Cheaper;
use crate::providers::{Action, Charge, Per, Step};
use crate::scheduler::budget::SHARE;

/// One thing to change. All pieces of an account's advice together make it fit, by either way where a source has two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The source, or the account where no interval suffices.
    pub name: String,
    /// What to write, such as `interval: 2m`.
    pub change: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.change)
    }
}

/// What makes an account fit: cheaper ways of asking where these suffice, else longer intervals, else a larger quota.
pub fn advise(inputs: &Inputs<'_>, account: usize) -> Vec<Advice> {
    let subjects: Vec<&Subject<'_>> = inputs.of_account(account).map(|(_, subject)| subject).collect();
    let asking: Vec<Asking> = subjects.iter().map(|subject| subject.asking.clone()).collect();
    let mut advice = Vec::new();
    let cheaper: Vec<Asking> = subjects.iter().map(|subject| cheaper(subject)).collect();
    if subjects.iter().any(|subject| subject.cheaper.is_some()) && fits(inputs, account, &subjects, &cheaper)
    {
        for subject in &subjects {
            let Some(way) = subject.cheaper else { continue };
            advice.extend(of_each(subject, way.setting));
        }
        return advice;
    }
    match longer(&asking, |asking| fits(inputs, account, &subjects, asking)) {
        Some(longer) => {
            for (subject, longer) in subjects.iter().zip(longer) {
                advice.extend(changes(subject, &longer));
            }
        }
        None => advice.push(Advice {
            name: inputs.payers[account].name.to_owned(),
            change: "no interval suffices: raise the quota, or split the targets over accounts".to_owned(),
        }),
    }
    advice
}

/// The same source, asked in its cheaper way if there is one.
fn cheaper(subject: &Subject<'_>) -> Asking {
    let (Some(Cheaper { action, .. }), Some(Step::Batches { weigh, weight, apart, .. })) =
        (subject.cheaper, subject.steps.first())
    else {
        return subject.asking.clone();
    };
    let ids = action.ids_per_call as usize;
    let steps = [Step::Batches { action, ids, weigh: *weigh, weight: *weight, apart: *apart }];
    let other = subject.asking.charges.iter().filter(|charge| charge.per != Per::Batch);
    let charges = other.copied().chain([Charge { action, per: Per::Batch }]).collect();
    let cadence = subject.asking.turns.map(|turns| turns.settings);
    Asking::new(&steps, &subject.roster, subject.asking.interval, charges)
        .discovering(subject.asking.discover.clone(), subject.asking.part)
        .at_cadence(cadence, &steps, &subject.roster, subject.priority)
}

/// Calls of a whole configuration at the ceiling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// All.
    pub all: Calls,
    /// The billed ones.
    pub billed: Calls,
}

impl Inputs<'_> {
    /// What to write into every source so that `good` holds: the shortest intervals, all longer by about the same factor.
    /// Says so if there are none.
    pub fn intervals_for(&self, assumptions: &Assumptions, good: impl Fn(&Totals) -> bool) -> Vec<Advice> {
        let asking: Vec<Asking> = self.subjects.iter().map(|subject| subject.asking.clone()).collect();
        let most = self.most(assumptions);
        let Some(longer) = longer(&asking, |asking| good(&self.totals(asking, &most))) else {
            let change = "no interval suffices: watch fewer targets, or allow more".to_owned();
            return vec![Advice { name: "all sources".to_owned(), change }];
        };
        let of = |(subject, longer): (&Subject<'_>, Asking)| {
            interval_of(subject, longer.interval).into_iter().chain(other_cadence(subject, &longer))
        };
        self.subjects.iter().zip(longer).flat_map(of).collect()
    }

    fn totals(&self, asking: &[Asking], worlds: &[World]) -> Totals {
        let mut totals = Totals { all: Calls::default(), billed: Calls::default() };
        let mut add = |action: &Action, calls: Calls| {
            totals.all = totals.all.plus(calls);
            if action.billed {
                totals.billed = totals.billed.plus(calls);
            }
        };
        for (one, world) in asking.iter().zip(worlds) {
            for charge in &one.charges {
                let calls = Calls::count(one.rate(charge, world), |window| one.calls(charge, world, window));
                add(charge.action, calls);
            }
        }
        for account in 0..self.payers.len() {
            for (source, charge) in self.tokens(account) {
                let of = |window| token_calls(&charge, &worlds[source], window);
                add(charge.action, Calls::count(token_rate(&charge), of));
            }
        }
        totals
    }
}

impl Inputs<'_> {
    /// What to write so that a change of a source is seen within `max`: a shorter interval if the account can bear it, else
    /// a shorter timeout too; into the source, or into those that ask about its targets for it.
    pub fn sooner(&self, source: usize, max: Duration) -> Vec<Advice> {
        let (place, _) = self.latest(source);
        let subject = &self.subjects[place];
        for timeout in [subject.timeout, subject.timeout / 2, Duration::from_secs(2), Duration::from_secs(1)]
        {
            let timeout = timeout.min(subject.timeout).max(Duration::from_secs(1));
            let timeout = Duration::from_secs(timeout.as_secs());
            let longest = subject.asking.longest_turn();
            let delay = |turn: Duration| self.delay_with(source, place, turn, timeout).whole();
            let rest = delay(Duration::ZERO);
            let turn = Duration::from_secs(max.saturating_sub(rest).as_secs()).min(longest);
            let sooner = within(&subject.asking, turn);
            if turn.is_zero() || !self.bears(place, &sooner) {
                continue;
            }
            if delay(turn) <= max {
                let mut advice = changes(subject, &sooner);
                if timeout != subject.timeout {
                    advice.extend(of_leads(subject, &format!("timeout: {}", written(timeout))));
                }
                return advice;
            }
        }
        let change = "no interval and no timeout suffices within the account's quota".to_owned();
        vec![Advice { name: self.of_source(source).1.name.to_owned(), change }]
    }

    /// Whether the account has enough for the pool at this place when it asks otherwise.
    fn bears(&self, place: usize, otherwise: &Asking) -> bool {
        let mine = &self.subjects[place];
        let mut otherwise = otherwise.clone();
        // Whoever becomes the faster one asks about those whom others asked about for it.
        let slower = |other: &usize| otherwise.interval < self.subjects[*other].asking.interval;
        let left: u64 = mine
            .faster
            .iter()
            .filter(|other| slower(other))
            .map(|other| self.subjects[*other].asking.batches)
            .sum();
        otherwise.batches += left;
        let subjects: Vec<&Subject<'_>> = self.of_account(mine.account).map(|(_, subject)| subject).collect();
        let asking = self.of_account(mine.account).map(|(number, subject)| {
            if number == place { otherwise.clone() } else { subject.asking.clone() }
        });
        fits(self, mine.account, &subjects, &asking.collect::<Vec<_>>())
    }
}

/// The same with no turn longer than this.
fn within(asking: &Asking, turn: Duration) -> Asking {
    let turns = asking.turns.map(|turns| {
        let Cadence { fastest, slowest, .. } = turns.settings;
        let settings = Cadence { fastest: fastest.min(turn), slowest: slowest.min(turn), ..turns.settings };
        Turns { settings, ..turns }
    });
    Asking { interval: asking.interval.min(turn), turns, ..asking.clone() }
}

/// What to write into each of a subject's sources so that they ask like this.
fn changes(subject: &Subject<'_>, other: &Asking) -> Vec<Advice> {
    let mut changes = other_cadence(subject, other);
    if other.interval != subject.asking.interval {
        changes.splice(0..0, interval_of(subject, other.interval));
    }
    changes
}

/// The cadence to write into them so that they ask like this, if that is another one.
fn other_cadence(subject: &Subject<'_>, other: &Asking) -> Vec<Advice> {
    let Some(turns) = other.turns.filter(|_| other.turns != subject.asking.turns) else { return Vec::new() };
    let Cadence { fastest, slowest, lively_for, quiet_after } = turns.settings;
    let [fastest, slowest, lively, quiet] = [fastest, slowest, lively_for, quiet_after].map(written);
    let change = format!(
        "cadence: {{fastest: {fastest}, slowest: {slowest}, lively_for: {lively}, quiet_after: {quiet}}}"
    );
    of_each(subject, &change)
}

/// The interval for each of a subject's sources that has a shorter one, or the one that counts: with different ones they
/// would no longer be asked together, or not like this.
fn interval_of(subject: &Subject<'_>, interval: Duration) -> Vec<Advice> {
    let is_concerned = |member: &&Member<'_>| leads(subject, member) || member.interval < interval;
    let concerned = subject.members.iter().filter(is_concerned);
    of(concerned.map(|member| member.name), &format!("interval: {}", written(interval)))
}

/// The same change for each of a subject's sources whose interval counts.
fn of_leads(subject: &Subject<'_>, change: &str) -> Vec<Advice> {
    let leads = subject.members.iter().filter(|member| leads(subject, member));
    of(leads.map(|member| member.name), change)
}

fn leads(subject: &Subject<'_>, member: &Member<'_>) -> bool {
    member.interval == subject.asking.interval
}

fn of<'a>(names: impl Iterator<Item = &'a str>, change: &str) -> Vec<Advice> {
    names.map(|name| Advice { name: name.to_owned(), change: change.to_owned() }).collect()
}

fn of_each(subject: &Subject<'_>, change: &str) -> Vec<Advice> {
    of(subject.names(), change)
}

/// The same with the shortest intervals, and slowest turns, all longer by about the same factor and round numbers, that are
/// good.
fn longer(asking: &[Asking], good: impl Fn(&[Asking]) -> bool) -> Option<Vec<Asking>> {
    let stretched = |factor: f64| -> Vec<Asking> {
        let longer = |one: &Asking| {
            let longer = |time: Duration| rounded_up(time.mul_f64(factor));
            let turns = one.turns.map(|turns| turns.slowest(longer(turns.settings.slowest)));
            Asking { interval: longer(one.interval), turns, ..one.clone() }
        };
        asking.iter().map(longer).collect()
    };
    let (mut enough, limit) = (1.0, f64::from(u32::try_from(LIMIT_INTERVAL_S).unwrap_or(u32::MAX)));
    while !good(&stretched(enough)) {
        enough *= 2.0;
        if enough > limit * 2.0 {
            return None;
        }
    }
    let mut short = enough / 2.0;
    for _ in 0..20 {
        let middle = f64::midpoint(short, enough);
        if good(&stretched(middle)) { enough = middle } else { short = middle }
    }
    let longer = stretched(enough);
    longer.iter().all(|one| one.longest_turn().as_secs() <= LIMIT_INTERVAL_S).then_some(longer)
}

/// Whether what is sure fits the quota and every documented limit, when sources ask like this.
fn fits(inputs: &Inputs<'_>, account: usize, subjects: &[&Subject<'_>], asking: &[Asking]) -> bool {
    let rates: Vec<(&Charge, f64)> = subjects
        .iter()
        .zip(asking)
        .flat_map(|(subject, one)| {
            let world = subject.least();
            one.charges.iter().map(move |charge| (charge, one.rate(charge, &world))).collect::<Vec<_>>()
        })
        .collect();
    let wanted: f64 = rates.iter().map(|(_, rate)| rate).sum();
    let quota = inputs.payers[account].quota.sustained_per_second();
    let within = |charge: &Charge| {
        let mine = rates.iter().filter(|(other, _)| other.action.name == charge.action.name);
        let rate: f64 = mine.map(|(_, rate)| rate).sum();
        let allowed = |limit: &Limit| f64::from(limit.calls) * SHARE / limit.per.length().as_secs_f64();
        charge.action.limits.iter().all(|limit| rate <= allowed(limit))
    };
    wanted <= quota * SHARE * MARGIN && rates.iter().all(|(charge, _)| within(charge))
}

/// Room for tokens, which are a few calls a day.
const MARGIN: f64 = 0.999;

/// The next interval that people would write: whole seconds, from a minute on five of them, from ten minutes on minutes.
fn rounded_up(interval: Duration) -> Duration {
    let seconds = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
    let step = match seconds {
        0..=60 => 1,
        61..=600 => 5,
        601..=7200 => 60,
        _ => 600,
    };
    Duration::from_secs(seconds.div_ceil(step) * step)
}

/// A duration as configurations have it.
pub fn written(interval: Duration) -> String {
    humantime::format_duration(interval).to_string()
}
