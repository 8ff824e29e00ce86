//! What to change so that what is sure fits: computed, and true. Applying it makes the plan fit.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::calls::{Asking, token_calls, token_rate};
use super::{Assumptions, Calls, Inputs, Subject, World};
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
        Some(intervals) => {
            for (subject, interval) in subjects.iter().zip(intervals) {
                if interval != subject.asking.interval {
                    advice.extend(interval_of(subject, interval));
                }
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
    Asking::new(&steps, &subject.roster, subject.asking.interval, charges)
        .discovering(subject.asking.discover.clone(), subject.asking.part)
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
        let Some(intervals) = longer(&asking, |asking| good(&self.totals(asking, &most))) else {
            let change = "no interval suffices: watch fewer targets, or allow more".to_owned();
            return vec![Advice { name: "all sources".to_owned(), change }];
        };
        self.subjects
            .iter()
            .zip(intervals)
            .flat_map(|(subject, interval)| interval_of(subject, interval))
            .collect()
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
    /// What to write into a source so that a change of it is seen within `max`: a shorter interval if the account can bear
    /// it, else a shorter timeout too.
    pub fn sooner(&self, source: usize, max: Duration) -> Vec<Advice> {
        let (subject, member) = self.of_source(source);
        for timeout in [subject.timeout, subject.timeout / 2, Duration::from_secs(2), Duration::from_secs(1)]
        {
            let timeout = timeout.min(subject.timeout).max(Duration::from_secs(1));
            let timeout = Duration::from_secs(timeout.as_secs());
            let rest =
                self.delay_with(source, subject.asking.interval, timeout).saturating_sub(self.round(source));
            let interval =
                Duration::from_secs(max.saturating_sub(rest).as_secs()).min(subject.asking.interval);
            if interval.is_zero() || !self.bears(source, interval) {
                continue;
            }
            if self.delay_with(source, interval, timeout) <= max {
                let mut advice = Vec::new();
                if interval != subject.asking.interval {
                    advice.extend(interval_of(subject, interval));
                }
                if timeout != subject.timeout {
                    advice.extend(of_each(subject, &format!("timeout: {}", written(timeout))));
                }
                return advice;
            }
        }
        let change = "no interval and no timeout suffices within the account's quota".to_owned();
        vec![Advice { name: member.name.to_owned(), change }]
    }

    /// Whether the account has enough for this source at another interval.
    fn bears(&self, source: usize, interval: Duration) -> bool {
        let (subject, _) = self.of_source(source);
        let account = subject.account;
        let place = self.seats[source].0;
        let subjects: Vec<&Subject<'_>> = self.of_account(account).map(|(_, subject)| subject).collect();
        let asking = self.of_account(account).map(|(number, subject)| {
            let interval = if number == place { interval } else { subject.asking.interval };
            Asking { interval, ..subject.asking.clone() }
        });
        fits(self, account, &subjects, &asking.collect::<Vec<_>>())
    }
}

/// The interval for each of a subject's sources: with different ones they would no longer be asked together.
fn interval_of(subject: &Subject<'_>, interval: Duration) -> Vec<Advice> {
    of_each(subject, &format!("interval: {}", written(interval)))
}

fn of_each(subject: &Subject<'_>, change: &str) -> Vec<Advice> {
    subject.names().map(|name| Advice { name: name.to_owned(), change: change.to_owned() }).collect()
}

/// The shortest intervals, all longer by about the same factor and round numbers, that are good.
fn longer(asking: &[Asking], good: impl Fn(&[Asking]) -> bool) -> Option<Vec<Duration>> {
    let stretched = |factor: f64| -> Vec<Asking> {
        let longer =
            |one: &Asking| Asking { interval: rounded_up(one.interval.mul_f64(factor)), ..one.clone() };
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
    let intervals: Vec<Duration> = stretched(enough).into_iter().map(|one| one.interval).collect();
    intervals.iter().all(|interval| interval.as_secs() <= LIMIT_INTERVAL_S).then_some(intervals)
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
