//! A whole plan: each source, each account and all together.

use std::time::Duration;

use serde::Serialize;

use super::advice::{Advice, advise};
use super::calls::{float, token_calls, token_rate};
use super::freshness::{Delay, delay};
use super::quota::{Use, of_limit, of_quota};
use super::rounds::default_max_age;
use super::{Assumptions, Calls, Inputs, Member, Span, Subject, World};
use crate::domain::{Roster, State};
use crate::providers::{Action, Charge, Per};
use crate::scheduler::budget::SHARE;
use crate::scheduler::pools::Joining;

/// Heap of one target beside its id and its row: its end in the arena (4), its place in the index (10, with the room that a
/// hash table keeps), what a provider remembers of it (8), the first sight of its connection (16).
const TARGET_BYTES: u64 = 38;

/// The same of what a source with a cadence remembers of it: its turns (9) and its last answer (4).
const CADENCE_BYTES: u64 = 13;

/// Heap of one target of a pool of several sources beside its id, in the pool's own roster: its end in the arena (4) and its
/// place in the index (10).
const POOLED_BYTES: u64 = 14;

/// What a configuration costs and how fresh it can be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What the ceiling assumes.
    pub assumptions: Assumptions,
    /// Each source, in the order of the configuration.
    pub sources: Vec<SourcePlan>,
    /// Each account, in the order of the configuration.
    pub accounts: Vec<AccountPlan>,
    /// Calls of all accounts.
    pub calls: Span,
    /// The billed ones of them.
    pub billed: Span,
    /// Targets of all sources.
    pub targets: u64,
    /// Memory for the targets of all sources, an estimate in bytes.
    pub memory_bytes: u64,
}

/// One source. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourcePlan {
    /// The operator's name for it.
    pub name: String,
    /// The provider.
    pub provider: &'static str,
    /// What its targets are.
    pub kind: &'static str,
    /// The account.
    pub account: String,
    /// How many targets it has.
    pub targets: u32,
    /// How many of them are left out, since the quota does not suffice for them and the account says so.
    pub left_out: u32,
    /// Questions of a round.
    pub questions: u64,
    /// How often a round is wanted.
    pub interval_seconds: f64,
    /// How often it comes: the interval, unless the budget does not suffice.
    pub round_seconds: f64,
    /// How often lively and quiet targets are asked about, where a source has a cadence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns_seconds: Option<[f64; 2]>,
    /// From the start until every target was answered once, if all goes well.
    pub first_picture_seconds: f64,
    /// How long an answer counts.
    pub max_age_seconds: f64,
    /// How late a change is seen at worst.
    pub detection_delay_seconds: Delay,
    /// The source with which it is asked, whose calls answer for it as well; none where it makes calls of its own.
    pub asked_with: Option<String>,
    /// How many of its targets are asked about by other sources alone, which do so more often.
    pub left_to_faster: u32,
    /// The names of these sources.
    pub faster: Vec<String>,
    /// Its calls, tokens left out; those of all sources that are asked with it.
    pub calls: Span,
    /// Each call that it makes.
    pub actions: Vec<ActionPlan>,
    /// Memory for its targets, an estimate in bytes.
    pub memory_bytes: u64,
}

/// One action of a source or an account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionPlan {
    /// The provider's name for it.
    pub action: &'static str,
    /// Whether each call is billed.
    pub billed: bool,
    /// The calls.
    pub calls: Span,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccountPlan {
    /// The operator's name for it.
    pub name: String,
    /// Its calls, tokens included.
    pub calls: Span,
    /// Calls that want to leave at the start, in one moment; they wait for their turns.
    pub burst: u64,
    /// Each call that it makes.
    pub actions: Vec<ActionPlan>,
    /// What is used of its quota and of documented limits.
    pub quotas: Vec<Use>,
    /// Whether what is sure fits.
    pub fits: bool,
    /// Whether it may be taken although it does not.
    pub shed: bool,
    /// What to change so that it fits; empty if it does.
    pub advice: Vec<Advice>,
}

impl Inputs<'_> {
    /// The plan under these assumptions.
    pub fn plan(&self, assumptions: &Assumptions) -> Plan {
        self.plan_between(&self.least(), &self.most(assumptions), *assumptions)
    }

    /// The plan between two worlds, of one entry for each subject.
    pub fn plan_between(&self, least: &[World], most: &[World], assumptions: Assumptions) -> Plan {
        let accounts: Vec<AccountPlan> =
            (0..self.payers.len()).map(|n| self.account(n, least, most)).collect();
        let sources: Vec<SourcePlan> = (0..self.seats.len()).map(|n| self.source(n, least, most)).collect();
        let sum = |spans: &mut dyn Iterator<Item = Span>| spans.fold(Span::default(), Span::plus);
        let billed = accounts.iter().flat_map(|account| &account.actions).filter(|action| action.billed);
        Plan {
            assumptions,
            calls: sum(&mut accounts.iter().map(|account| account.calls)),
            billed: sum(&mut billed.map(|action| action.calls)),
            targets: sources.iter().map(|source| u64::from(source.targets)).sum(),
            memory_bytes: sources.iter().map(|source| source.memory_bytes).sum(),
            sources,
            accounts,
        }
    }

    /// How long a round of this source really takes: its interval, unless the account's budget does not suffice for what is
    /// sure, or all of its targets are asked about more often.
    pub fn round(&self, source: usize) -> Duration {
        self.asked_in[source].iter().map(|place| self.round_of(*place)).max().unwrap_or_default()
    }

    fn round_of(&self, place: usize) -> Duration {
        let subject = &self.subjects[place];
        subject.asking.interval.mul_f64(self.stretches[subject.account])
    }

    /// The subject that a source belongs to, and its own part there.
    pub(super) fn of_source(&self, source: usize) -> (&Subject<'_>, &Member<'_>) {
        let (place, member) = self.seats[source];
        (&self.subjects[place], &self.subjects[place].members[member])
    }

    /// How long it takes at worst until a target is asked about again: a round, or `slowest` where a source has a cadence.
    pub fn longest_turn(&self, source: usize) -> Duration {
        self.asked_in[source].iter().map(|place| self.turn_in(source, *place)).max().unwrap_or_default()
    }

    /// The longest turn of a source's targets that are asked about in this subject: a round and the rest of a tick where they
    /// are never quiet, since the source cannot do with the longest turns there.
    fn turn_in(&self, source: usize, place: usize) -> Duration {
        let own = self.subjects[self.seats[source].0].asking.longest_turn();
        match self.subjects[place].asking.turns {
            Some(turns) if own < turns.settings.slowest => self.round_of(place) + turns.settings.fastest,
            _ => self.longest_turn_of(place),
        }
    }

    fn longest_turn_of(&self, place: usize) -> Duration {
        self.round_of(place).max(self.subjects[place].asking.longest_turn())
    }

    /// How long an answer of this source counts: by its own rhythm, though it may be asked about more often.
    pub fn max_age(&self, source: usize) -> Duration {
        let (subject, member) = self.of_source(source);
        let round = member.interval.mul_f64(self.stretches[subject.account]);
        let turn = round.max(self.longest_turn_of(self.seats[source].0));
        member.max_age.unwrap_or_else(|| default_max_age(turn, subject.timeout))
    }

    /// How late a change is seen at worst.
    pub fn delay(&self, source: usize) -> Delay {
        self.latest(source).1
    }

    /// The place of the subject that tells a source's changes latest, and how late that is.
    pub(super) fn latest(&self, source: usize) -> (usize, Delay) {
        let of = |&place: &usize| {
            let (turn, timeout) = (self.turn_in(source, place), self.subjects[place].timeout);
            (place, self.delay_with(source, place, turn, timeout))
        };
        let delays = self.asked_in[source].iter().map(of);
        let latest = delays.max_by(|(_, one), (_, other)| one.total.total_cmp(&other.total));
        latest.unwrap_or((self.seats[source].0, Delay::default()))
    }

    /// How late this subject tells a source's changes with this longest turn, that the account can bear, and this timeout.
    pub(super) fn delay_with(&self, source: usize, place: usize, turn: Duration, timeout: Duration) -> Delay {
        let (_, member) = self.of_source(source);
        delay(&self.subjects[place], member.leave_delay, turn, timeout, self.waits(place))
    }

    /// Requests a second of an account in the long run, tokens included.
    pub(super) fn wanted(&self, account: usize, worlds: &[World]) -> f64 {
        let of = |(number, subject): (usize, &Subject<'_>)| -> f64 {
            subject.asking.charges.iter().map(|charge| subject.asking.rate(charge, &worlds[number])).sum()
        };
        let tokens: f64 = self.tokens(account).iter().map(|(_, charge)| token_rate(charge)).sum();
        self.of_account(account).map(of).sum::<f64>() + tokens
    }

    /// The charges of an account's tokens: one for each action, with the source that makes it first.
    pub(super) fn tokens(&self, account: usize) -> Vec<(usize, Charge)> {
        let mut tokens: Vec<(usize, Charge)> = Vec::new();
        for (number, subject) in self.of_account(account) {
            for charge in &subject.asking.charges {
                let known = tokens.iter().any(|(_, known)| known.action == charge.action);
                if matches!(charge.per, Per::Token { .. }) && !known {
                    tokens.push((number, *charge));
                }
            }
        }
        tokens
    }

    /// What passes behind other subjects' questions, and with the rest of a pass of its own.
    fn waits(&self, place: usize) -> (Duration, Duration) {
        let subject = &self.subjects[place];
        let slot = 1.0 / (self.payers[subject.account].quota.per_second * SHARE);
        let own = float(subject.asking.calls_of_a_pass(&subject.least()));
        let (queue, reading) = (self.crowds[subject.account] - own + 1.0, own - 1.0);
        (Duration::from_secs_f64(queue * slot), Duration::from_secs_f64(reading * slot))
    }

    /// From the start until every target of a subject was answered once, if all goes well.
    fn first_picture(&self, place: usize) -> Duration {
        let asking = &self.subjects[place].asking;
        let (queue, reading) = self.waits(place);
        let batches = asking.batches.max(1);
        let spread = self.round_of(place).mul_f64(float(batches - 1) / float(batches));
        asking.turns.map_or(spread, |turns| turns.whole_ticks(spread)) + queue + reading
    }

    fn source(&self, number: usize, least: &[World], most: &[World]) -> SourcePlan {
        let (place, place_in_pool) = self.seats[number];
        let (subject, member) = self.of_source(number);
        let asks = place_in_pool == 0;
        let (low, high) = (&least[place], &most[place]);
        let mut actions: Vec<ActionPlan> = Vec::new();
        for charge in subject.asking.charges.iter().filter(|_| asks) {
            if !matches!(charge.per, Per::Token { .. }) {
                add(&mut actions, charge.action, span(subject, charge, low, high));
            }
        }
        let first_pictures = self.asked_in[number].iter().map(|place| self.first_picture(*place));
        let (left_to_faster, faster) = self.left_to_faster(number);
        let ids: u64 = member.roster.iter().map(|target| target.id.len() as u64).sum();
        let targets = member.roster.len();
        let shared =
            if asks && subject.joining != Joining::Alone { roster_bytes(&subject.roster) } else { 0 };
        let turns = subject.asking.turns.map(|turns| turns.settings);
        let bytes = TARGET_BYTES + if turns.is_some() { CADENCE_BYTES } else { 0 };
        SourcePlan {
            name: member.name.to_owned(),
            provider: subject.provider,
            kind: member.kind.as_str(),
            account: self.payers[subject.account].name.to_owned(),
            targets,
            left_out: self.left_out_of(number),
            left_to_faster,
            faster,
            asked_with: (!asks).then(|| subject.members[0].name.to_owned()),
            questions: if !asks {
                0
            } else if subject.asking.sequence {
                subject.steps.len() as u64
            } else {
                subject.asking.batches
            },
            interval_seconds: member.interval.as_secs_f64(),
            round_seconds: self.round(number).as_secs_f64(),
            turns_seconds: turns.map(|turns| [turns.fastest, turns.slowest].map(|turn| turn.as_secs_f64())),
            first_picture_seconds: first_pictures.max().unwrap_or_default().as_secs_f64(),
            max_age_seconds: self.max_age(number).as_secs_f64(),
            detection_delay_seconds: self.delay(number),
            calls: actions.iter().map(|action| action.calls).fold(Span::default(), Span::plus),
            actions,
            memory_bytes: ids + u64::from(targets) * (size_of::<State>() as u64 + bytes) + shared,
        }
    }

    fn account(&self, number: usize, least: &[World], most: &[World]) -> AccountPlan {
        let payer = &self.payers[number];
        let mut actions: Vec<ActionPlan> = Vec::new();
        for (source, subject) in self.of_account(number) {
            for charge in subject.asking.charges.iter().filter(|one| !matches!(one.per, Per::Token { .. })) {
                add(&mut actions, charge.action, span(subject, charge, &least[source], &most[source]));
            }
        }
        for (source, charge) in self.tokens(number) {
            let of = |world: &World| {
                Calls::count(token_rate(&charge), |window| token_calls(&charge, world, window))
            };
            let calls = Span { floor: of(&least[source]), ceiling: of(&most[source]) };
            add(&mut actions, charge.action, calls);
        }
        let calls = actions.iter().map(|action| action.calls).fold(Span::default(), Span::plus);
        let mut quotas = of_quota(payer.quota, &calls);
        for one in &actions {
            let known = self.of_account(number).flat_map(|(_, subject)| &subject.asking.charges);
            let action = known.map(|charge| charge.action).find(|action| action.name == one.action);
            let limits = action.map_or(&[][..], |action| action.limits);
            quotas.extend(limits.iter().map(|limit| of_limit(one.action, limit, &one.calls)));
        }
        let fits = !quotas.iter().any(Use::is_over);
        let tokens = self.tokens(number).into_iter();
        let tokens =
            tokens.map(|(source, charge)| token_calls(&charge, &least[source], Duration::from_secs(1)));
        let burst = self.of_account(number).map(|(source, subject)| subject.asking.burst(&least[source]));
        AccountPlan {
            name: payer.name.to_owned(),
            calls,
            burst: burst.sum::<u64>() + tokens.sum::<u64>(),
            actions,
            fits,
            quotas,
            shed: payer.shed,
            advice: if fits { Vec::new() } else { advise(self, number) },
        }
    }
}

/// Memory that a pool of several sources takes for its own roster.
fn roster_bytes(roster: &Roster) -> u64 {
    roster.iter().map(|target| target.id.len() as u64 + POOLED_BYTES).sum()
}

fn span(subject: &Subject<'_>, charge: &Charge, least: &World, most: &World) -> Span {
    let of = |world: &World| {
        let rate = subject.asking.rate(charge, world);
        Calls::count(rate, |window| subject.asking.calls(charge, world, window))
    };
    Span { floor: of(least), ceiling: of(most) }
}

fn add(actions: &mut Vec<ActionPlan>, action: &'static Action, calls: Span) {
    if let Some(known) = actions.iter_mut().find(|known| known.action == action.name) {
        known.calls = known.calls.plus(calls);
    } else {
        actions.push(ActionPlan { action: action.name, billed: action.billed, calls });
    }
}
