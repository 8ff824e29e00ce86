//! The oracle: compares what the exporter shows with what was true, by what went over the wire. It keeps its own book of
//! every target, from the views alone, and shares no rule's code with the exporter.
//!
//! What it deliberately leaves out, each with its reason, stands in [`EXCLUDED`].

use std::sync::Arc;
use std::time::Duration;

use presence_exporter::domain::presence::{Presence, Transitions, View};
use presence_exporter::domain::{Fault, Moment, State, Tick, UnknownReason};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::{Subject, World};
use presence_exporter::store::{SourceSnapshot, Store};

use super::history::History;
use super::wire::{Call, Log, Wire};

/// What no history judges, and why.
#[allow(dead_code, reason = "it is read by people")]
pub const EXCLUDED: &[(&str, &str)] = &[
    (
        "openim, switch gateways_down",
        "a silent gateway's users are reported offline: nobody outside can tell",
    ),
    (
        "alibaba_mqtt, switch lag_ms",
        "the batch call answers from a cache: true at its time, which it doesn't tell",
    ),
    (
        "huawei_workspace, start times",
        "records show late or not at all: starts may be absent, never wrong (contract)",
    ),
    (
        "openim, huawei_workspace: pauses",
        "a question under way may go on with its token or page while new ones wait",
    ),
];

/// How long a forbidden kind of question is left alone at most.
const PARKED: Duration = Duration::from_secs(300);

/// Without a failure for so long, nobody pauses any more: pauses and key locks last five minutes each at most.
const RECOVERED: Duration = Duration::from_secs(700);

/// The longest pause that a provider may impose.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The provider whose answer may be many pages of two lists, one after the other.
const PAGED: &str = "huawei_workspace";

/// What is known of one target from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Target {
    view: Option<View>,
    /// Between which ticks its newest answer was asked for.
    as_of: Option<(Tick, Tick)>,
    raw: Option<bool>,
    settled: Option<bool>,
    /// Between which ticks the first of the answers contrary to the settled value was asked for.
    pending: Option<(Tick, Tick)>,
    raw_changes: u32,
    settled_changes: u32,
}

struct Source {
    provider: &'static str,
    server: usize,
    population: usize,
    /// By row: the number of its subject.
    subjects: Vec<usize>,
    rows: Vec<State>,
    targets: Vec<Target>,
}

pub struct Judge {
    store: Arc<Store>,
    wire: Arc<Wire>,
    world: Arc<World>,
    interval: Duration,
    timeout: Duration,
    latency: Duration,
    rate: u32,
    began: Tick,
    sources: Vec<Source>,
    /// How many ends were looked at.
    ends: usize,
    /// For each server: when something was last wrong.
    disturbed: Vec<Tick>,
    /// How many verdicts were passed on targets; a judge that never judged proves nothing.
    pub verdicts: u64,
}

type Verdict = Result<(), String>;

impl Judge {
    pub fn new(history: &History, store: Arc<Store>, wire: Arc<Wire>, now: Moment) -> Self {
        let (world, clouds) = {
            let core = wire.core();
            (core.world().clone(), core.clouds())
        };
        let snapshot = store.snapshot();
        let source = |source: &SourceSnapshot| {
            let provider = source.spec.provider;
            let population = world.populations.iter().position(|p| p.provider == provider);
            let population = population.expect("it is there");
            let kind = REGISTRY.iter().find(|kind| kind.name() == provider).expect("it is registered");
            Source {
                provider,
                server: clouds.iter().position(|cloud| *cloud == kind.cloud().name).expect("it is served"),
                population,
                subjects: source
                    .roster
                    .iter()
                    .map(|target| {
                        let all = &world.populations[population].subjects;
                        all.iter().position(|subject| subject.id == target.id).expect("it is there")
                    })
                    .collect(),
                rows: source.states().copied().collect(),
                targets: vec![Target::default(); source.roster.len() as usize],
            }
        };
        Self {
            interval: history.longest_turn(),
            timeout: history.timeout,
            latency: Duration::from_millis(history.latency_ms.1.max(history.latency_ms.0)),
            rate: history.rate,
            began: now.tick,
            sources: snapshot.sources.iter().map(source).collect(),
            ends: 0,
            disturbed: vec![now.tick; clouds.len()],
            verdicts: 0,
            store,
            wire,
            world,
        }
    }

    /// Whether any change waits for its delay, so that it matters to look before anything else happens.
    pub fn expects(&self) -> bool {
        self.sources.iter().any(|source| source.targets.iter().any(|target| target.pending.is_some()))
    }

    /// Whether any request has ended since the last look.
    pub fn has_news(&self) -> bool {
        self.wire.log().ends.len() > self.ends
    }

    /// Something was turned at every server.
    pub fn disturbed(&mut self, now: Tick) {
        self.disturbed.fill(now);
    }

    /// Looks at everybody. `closely`: also at what follows from time alone.
    pub fn look(&mut self, now: Moment, closely: bool) -> Verdict {
        let wire = self.wire.clone();
        let log = wire.log();
        let news: Vec<Call> = log.ends[self.ends..].iter().map(|&number| log.calls[number]).collect();
        self.ends = log.ends.len();
        for call in news.iter().filter(|call| !call.good || call.fault.is_some()) {
            self.disturbed[call.server] = now.tick;
        }
        let snapshot = self.store.snapshot();
        let mut sources = std::mem::take(&mut self.sources);
        let mut verdicts = 0;
        let verdict = snapshot.sources.iter().zip(&mut sources).try_for_each(|(shown, source)| {
            // Nothing can have changed where nothing ended and nothing is pending; now and then all are looked at.
            let pending = source.targets.iter().any(|target| target.pending.is_some());
            if !closely && !pending && !news.iter().any(|call| call.server == source.server) {
                return Ok(());
            }
            verdicts += source.targets.len() as u64;
            let answered = news.iter().any(|call| call.good && call.provider == source.provider);
            let eye = Eye { judge: self, log: &log, shown, now, answered, closely };
            eye.look_at_source(source)
        });
        self.verdicts += verdicts;
        self.sources = sources;
        verdict
    }

    /// What can be said when all is over: pace and pauses.
    pub fn sum_up(&self, history: &History) -> Verdict {
        let log = self.wire.log();
        for server in 0..self.disturbed.len() {
            let sent: Vec<Tick> =
                log.calls.iter().filter(|call| call.server == server).map(|call| call.sent.tick).collect();
            for seconds in [1, 5, 60] {
                let fullest =
                    presence_exporter::simulator::record::fullest_window(&sent, Duration::from_secs(seconds));
                if fullest as u64 > u64::from(history.rate) * seconds {
                    return Err(format!("{fullest} requests in {seconds} s to server {server}"));
                }
            }
            if log.most_under_way[server] > history.concurrency {
                return Err(format!("{} requests at once to server {server}", log.most_under_way[server]));
            }
        }
        waits_are_kept(&log)
    }
}

/// One look at one source.
struct Eye<'a> {
    judge: &'a Judge,
    log: &'a Log,
    shown: &'a SourceSnapshot,
    now: Moment,
    /// Whether a good answer of the source's provider came since the last look.
    answered: bool,
    closely: bool,
}

impl Eye<'_> {
    fn look_at_source(&self, source: &mut Source) -> Verdict {
        let counts = self.shown.counts(self.now);
        if counts.online + counts.offline + counts.unknown != self.shown.roster.len() {
            return Err(format!("{}: {counts:?} is not all", source.provider));
        }
        let policy = self.shown.spec.policy;
        for index in 0..source.targets.len() {
            let state = *self.shown.state(u32::try_from(index).unwrap()).expect("each target has a row");
            let view = state.view(self.now, &policy);
            let before = source.rows[index].view(self.now, &policy);
            let booked = state != source.rows[index];
            source.rows[index] = state;
            let subject = &self.judge.world.populations[source.population].subjects[source.subjects[index]];
            let target = source.targets[index];
            let judged = if booked && !self.answered { same_but_reason(&before, &view) } else { Ok(target) };
            let judged =
                judged.and_then(|_: Target| self.judge_target(source, subject, &target, &view, booked));
            match judged {
                Ok(target) => source.targets[index] = target,
                Err(why) => {
                    return Err(format!(
                        "{} {:?}: {why}\n  shown: {view:?}\n  book: {target:?}\n  open: {:?}",
                        source.provider,
                        subject.id,
                        subject
                            .sessions
                            .iter()
                            .map(|s| (s.start_ms + s.setup_ms, s.end_ms))
                            .collect::<Vec<_>>()
                    ));
                }
            }
        }
        Ok(())
    }

    fn judge_target(
        &self,
        source: &Source,
        subject: &Subject,
        old: &Target,
        view: &View,
        booked: bool,
    ) -> Result<Target, String> {
        let mut new = Target { view: Some(*view), ..*old };
        if let Some(before) = &old.view {
            never_back(before, view)?;
        }
        if let Some(observed_s) = view.observed_s {
            new.as_of = Some(self.asked_in(source, observed_s)?);
        }
        self.is_fresh_or_unknown(view, new.as_of)?;
        let Some(raw) = view.observed_online else {
            self.is_explained(source, view, new.as_of)?;
            let came = old.view.is_none_or(|before| before.observed_s != view.observed_s);
            if let (true, true, Some(as_of)) = (booked && self.answered, came, new.as_of) {
                let raw = took_too_long(&mut new, view, as_of);
                if !self.was(source, subject, raw, as_of.0) {
                    return Err(format!("observed {raw} but that was not so since it was asked"));
                }
            }
            resync(&mut new, view);
            return Ok(new);
        };
        if booked && self.answered {
            let (from, _) = new.as_of.ok_or("known, but never observed")?;
            if !self.was(source, subject, raw, from) {
                return Err(format!("observed {raw} but that was not so since it was asked"));
            }
        }
        self.settles(&mut new, old, view, raw)?;
        if (total(view.transitions), total(view.observed_transitions))
            != (new.settled_changes, new.raw_changes)
        {
            return Err("the transitions are miscounted".into());
        }
        if self.closely {
            self.is_late_at_most_by(source, subject, view, raw)?;
            self.is_up_to_date(source, new.as_of)?;
        }
        Ok(new)
    }

    /// Between which ticks a question was asked that was observed in this second.
    fn asked_in(&self, source: &Source, observed_s: u32) -> Result<(Tick, Tick), String> {
        let second = i64::from(observed_s);
        let calls = &self.log.calls;
        let first = calls.partition_point(|call| call.sent.unix_seconds() < second);
        let ours = |call: &&Call| {
            call.server == source.server && (call.provider == source.provider || call.provider.is_empty())
        };
        let mut ticks = calls[first..]
            .iter()
            .take_while(|call| call.sent.unix_seconds() == second)
            .filter(ours)
            .map(|call| call.sent.tick);
        let first = ticks.next().ok_or("observed at an instant when nothing was asked")?;
        Ok((first, ticks.last().unwrap_or(first)))
    }

    fn is_fresh_or_unknown(&self, view: &View, as_of: Option<(Tick, Tick)>) -> Verdict {
        let max_age = self.shown.spec.policy.max_age;
        let known = !matches!(view.presence, Presence::Unknown(_));
        if known != view.observed_online.is_some() {
            return Err("raw and settled do not agree on whether it is known".into());
        }
        match as_of {
            None if known => Err("known without an answer".into()),
            Some((_, to)) if known && self.now.tick.since(to) > max_age => {
                Err("an old value is shown".into())
            }
            Some((from, _)) if !known && self.now.tick.since(from) <= max_age => {
                Err("unknown with a fresh answer".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether this was true of the subject whenever one of the good answers since `from` was made up.
    fn was(&self, source: &Source, subject: &Subject, online: bool, from: Tick) -> bool {
        let first = self.log.calls.partition_point(|call| call.sent.tick < from);
        self.log.calls[first..].iter().any(|call| {
            let told = call.good && call.provider == source.provider;
            told && call.handled.is_some_and(|(_, server_ms)| subject.is_online(server_ms) == online)
        })
    }

    /// Whatever the exporter says of its own answers: what it shows was true not longer ago than answers count, and changes
    /// may wait.
    fn is_late_at_most_by(&self, source: &Source, subject: &Subject, view: &View, raw: bool) -> Verdict {
        let policy = self.shown.spec.policy;
        let online = view.presence == Presence::Online;
        let waits = if raw { policy.arrive } else { policy.leave };
        let extra = if online == raw { Duration::ZERO } else { waits + policy.max_age };
        let from = self.now.tick.back(policy.max_age + extra);
        if self.was(source, subject, online, from) {
            return Ok(());
        }
        Err(format!(
            "shown as {:?} but no answer of the last {:?} said so",
            view.presence,
            policy.max_age + extra
        ))
    }

    /// Where nothing has been wrong for long, everybody is asked about once an interval.
    fn is_up_to_date(&self, source: &Source, as_of: Option<(Tick, Tick)>) -> Verdict {
        let Some(age) = self.healthy_age(source) else { return Ok(()) };
        match as_of {
            Some((_, to)) if self.now.tick.since(to) <= age => Ok(()),
            _ => Err(format!("nothing is wrong, and yet the last answer is older than {age:?}")),
        }
    }

    /// How old an answer may be here and now; none while something is or was wrong.
    fn healthy_age(&self, source: &Source) -> Option<Duration> {
        let judge = self.judge;
        // A request that is held up on purpose has not ended yet, and so is no news.
        let held = |call: &Call| call.server == source.server && call.ended.is_none() && call.fault.is_some();
        if self.log.calls.iter().rev().take(50).any(held) {
            return None;
        }
        let quiet = judge.disturbed[source.server];
        let calm = if quiet == judge.began { judge.interval * 2 } else { RECOVERED + judge.interval * 2 };
        let enough = judge.rate >= 5 && self.now.tick.since(quiet) > calm;
        // An interval and its slack, and the answer's own time: a token and some pages on slow ways.
        let (ways, slack) = if source.provider == PAGED { (30, 6) } else { (8, 2) };
        enough.then(|| judge.interval.mul_f64(1.2) + judge.latency * ways + Duration::from_secs(slack))
    }

    fn is_explained(&self, source: &Source, view: &View, as_of: Option<(Tick, Tick)>) -> Verdict {
        let Presence::Unknown(reason) = view.presence else { return Ok(()) };
        // Where a slow round may take longer than answers count, a healthy target is unknown at times.
        let max_age = self.shown.spec.policy.max_age;
        if self.closely && self.healthy_age(source).is_some_and(|age| age < max_age) {
            return Err("nothing is wrong, and yet it is unknown".into());
        }
        let since = as_of.map_or(Tick::ZERO, |(from, _)| from);
        let fault = match reason {
            UnknownReason::NeverPolled if as_of.is_none() => return Ok(()),
            UnknownReason::Expired if as_of.is_some() => return Ok(()),
            UnknownReason::Fault(fault) => fault,
            reason => return Err(format!("{reason:?} cannot be")),
        };
        // What is forbidden is not asked for a while, and whoever would have been asked about is told why: the refusal
        // itself may be older than the last answer to another kind of question.
        let since = if fault == Fault::Forbidden { since.back(PARKED) } else { since };
        let because = |call: &Call| {
            call.server == source.server
                && call.ended.is_some_and(|ended| since <= ended.tick)
                && !call.good
                && may_mean(call, fault)
        };
        let late = self.judge.timeout;
        let recent = self.log.calls.iter().rev().take_while(|call| since <= call.sent.tick + late);
        if recent.into_iter().any(because) {
            return Ok(());
        }
        Err(format!("{fault:?}, but nothing of the kind was done since the last answer"))
    }

    /// Follows the settled value through one look.
    fn settles(&self, new: &mut Target, old: &Target, view: &View, raw: bool) -> Verdict {
        let policy = self.shown.spec.policy;
        let online = view.presence == Presence::Online;
        let (from, to) = new.as_of.expect("it was observed");
        let delay = |online: bool| if online { policy.arrive } else { policy.leave };
        let (mut gap, mut perhaps) = (false, false);
        if let Some((old_from, old_to)) = old.as_of {
            gap = from.since(old_to) > policy.max_age;
            perhaps = to.since(old_from) > policy.max_age;
        }
        new.raw_changes += u32::from(new.raw.is_some_and(|before| before != raw));
        new.raw = Some(raw);
        let Some(settled) = old.settled else {
            new.settled = Some(online);
            return if online == raw { Ok(()) } else { Err("the first answer is not believed".into()) };
        };
        let fell_due = |pending: Option<(Tick, Tick)>, value| {
            pending.is_some_and(|(first, _)| first + delay(value) <= self.now.tick)
        };
        if raw == settled {
            new.pending = None;
        } else if let (Some((first, _)), true, false) = (old.pending, perhaps, gap) {
            // Perhaps the answer before was too old when this one came, and the delay began anew; perhaps not.
            new.pending = Some((first, to));
        } else if old.pending.is_none() || gap {
            new.pending = Some((from, to));
        }
        if online != settled {
            let may = if raw == online {
                perhaps || fell_due(new.pending, online)
            } else {
                fell_due(old.pending, online)
            };
            if !may {
                return Err(format!(
                    "settled too early: it was {settled}, and the delay is {:?}",
                    delay(online)
                ));
            }
            new.settled = Some(online);
            new.settled_changes += 1;
            new.pending = (raw != online).then_some((from, to));
            return Ok(());
        }
        if raw != settled {
            let overdue = new.pending.is_some_and(|(_, last)| last + delay(raw) <= self.now.tick);
            if gap || overdue {
                return Err(format!("it should have settled: the delay is {:?}", delay(raw)));
            }
        }
        Ok(())
    }
}

/// An answer of several pages may be too old to be shown when it is complete; it is booked all the same, and the page tells
/// what it said by when the target was last seen.
fn took_too_long(target: &mut Target, view: &View, as_of: (Tick, Tick)) -> bool {
    let raw = view.last_seen_s == view.observed_s;
    target.raw_changes += u32::from(target.raw.is_some_and(|before| before != raw));
    target.raw = Some(raw);
    if target.settled.is_none() {
        target.settled = Some(raw);
    }
    if total(view.transitions) == target.settled_changes + 1 {
        target.settled_changes += 1;
        target.settled = target.settled.map(|settled| !settled);
        target.pending = None;
    }
    if target.settled == Some(raw) {
        target.pending = None;
    } else if target.pending.is_none() {
        target.pending = Some(as_of);
    }
    raw
}

/// While unknown a change that was pending may have settled in its last fresh moment.
fn resync(target: &mut Target, view: &View) {
    if target.pending.is_some() && total(view.transitions) == target.settled_changes + 1 {
        target.pending = None;
        target.settled_changes += 1;
        target.settled = target.settled.map(|settled| !settled);
    }
}

fn total(of: Transitions) -> u32 {
    of.to_online + of.to_offline
}

/// What a failure may change: why a target is unknown, and nothing else.
fn same_but_reason(before: &View, view: &View) -> Result<Target, String> {
    let both_unknown =
        matches!((before.presence, view.presence), (Presence::Unknown(_), Presence::Unknown(_)));
    let presence = if both_unknown { before.presence } else { view.presence };
    if (View { presence, ..*view }) == *before {
        return Ok(Target::default());
    }
    Err(format!("changed though nobody answered; before: {before:?}"))
}

fn never_back(before: &View, view: &View) -> Verdict {
    let counts = |view: &View| {
        let (settled, raw) = (view.transitions, view.observed_transitions);
        [settled.to_online, settled.to_offline, raw.to_online, raw.to_offline, view.reconnects]
    };
    let times = |view: &View| [view.observed_s, view.last_seen_s, view.last_change_s];
    let counts_back = counts(before).iter().zip(counts(view)).any(|(before, now)| now < *before);
    let times_back = times(before).iter().zip(times(view)).any(|(before, now)| now < *before);
    if counts_back || times_back {
        return Err(format!("a count or a time went back; before: {before:?}"));
    }
    Ok(())
}

fn waits_are_kept(log: &Log) -> Verdict {
    let alone = |call: &&Call| ["alibaba_smartag", "alibaba_mqtt", "volcengine_rtc"].contains(&call.provider);
    for call in log.calls.iter().filter(alone) {
        let (Some(wait), Some(ended)) = (call.wait, call.ended) else { continue };
        let until = ended.tick + wait.min(LONGEST_WAIT);
        let early = log.calls.iter().find(|later| {
            later.server == call.server && ended.tick < later.sent.tick && later.sent.tick < until
        });
        if let Some(early) = early {
            return Err(format!("a wait was not kept to: {early:?} after {call:?}"));
        }
    }
    Ok(())
}

/// Whether a request of this fate may be the reason for such a fault.
fn may_mean(call: &Call, fault: Fault) -> bool {
    use Fault::{
        BadAnswer, ClockSkew, Forbidden, ServerError, Throttled, Timeout, Unauthorized, Unreachable,
    };
    if call.status.is_none() && fault == Timeout {
        return call.fault.is_none_or(|name| !matches!(name, "reset" | "reset-in-body" | "truncated"))
            || call.ended.zip(call.handled).is_some();
    }
    match call.fault {
        Some("throttle" | "rate-limit") => fault == Throttled,
        Some("server-error" | "html") => fault == ServerError,
        Some("error-200") => matches!(fault, ServerError | Throttled),
        // The token endpoint of OpenIM forbids in the words of a wrong secret.
        Some("forbidden") => matches!(fault, Forbidden | Unauthorized),
        Some("unauthorized") => fault == Unauthorized,
        Some("wrong-type" | "missing-field" | "giant" | "not-json") => fault == BadAnswer,
        Some("reset" | "reset-in-body" | "truncated") => fault == Unreachable,
        // Nothing was done on purpose: the server's own refusals, of clocks, keys and tokens.
        _ => matches!(fault, ClockSkew | Unauthorized),
    }
}
