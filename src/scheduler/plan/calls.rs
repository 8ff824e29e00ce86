//! How many calls a source makes: in so much time from its start, and a second in the long run, in a world of given numbers.
//! It knows no budget: it counts what is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rounds::{Rhythm, rhythm, spacing};
use super::turns::Turns;
use crate::config::Cadence;
use crate::domain::{Priority, Roster};
use crate::providers::cost::{Pages, Rows};
use crate::providers::{Charge, Part, Past, Per, Step, TOGETHER};
use crate::scheduler::booking::{REFUSED_MIN, REFUSED_ROUNDS};
use crate::scheduler::pause::ATTEMPTS;

/// What is true on the other side, as far as calls depend on it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// Targets online at a time, from the start on.
    pub online: u64,
    /// Times that a target comes online or its connections change, an hour.
    pub arrivals_per_hour: f64,
    /// Times that a target leaves, an hour.
    pub departures_per_hour: f64,
    /// Targets that answers leave out instead of calling them offline, at first; whoever leaves joins them.
    pub left_out: u64,
    /// Rows of a list of everything that the account has.
    pub listed: u64,
    /// The same by parts, where lists are read part by part.
    pub parts: Vec<u64>,
    /// Login records of the newest window.
    pub logins: u64,
    /// Whether servers cap pages, and lists move while they are read, so that their first page is read twice.
    pub long_lists: bool,
    /// For each hour in which sessions began that are still open and older than the newest window: how many hours ago.
    pub open_hours: Vec<u32>,
    /// Other searches in records, an hour.
    pub searches_per_hour: f64,
    /// Which part of the calls fails and is made again, as often as is tried.
    pub failing: f64,
    /// Targets that the provider refuses.
    pub refused: u64,
    /// Whether a token takes as many calls as it may.
    pub doors_shut: bool,
    /// Whether nobody ever changes, so that sources with a cadence ask as slowly as they may; else as often as they may.
    pub quiet: bool,
}

/// How a source asks.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Batches of a round; 0 where questions answer for all.
    pub batches: u64,
    /// Targets of the largest batch.
    pub largest: u64,
    /// How often a round is wanted.
    pub interval: Duration,
    /// Whether its questions answer for all, one after the other.
    pub sequence: bool,
    /// How often lists of targets are asked for, for each such list.
    pub discover: Vec<Duration>,
    /// The parts whose lists are read one by one then.
    pub part: Part,
    /// How often single targets are asked about, if not all at the interval.
    pub turns: Option<Turns>,
    /// What it calls.
    pub charges: Vec<Charge>,
}

impl Asking {
    /// How a source with these steps and targets asks.
    pub fn new(steps: &[Step], roster: &Roster, interval: Duration, charges: Vec<Charge>) -> Self {
        match rhythm(steps, roster) {
            Rhythm::Sequence => Self {
                batches: 0,
                largest: 0,
                interval,
                sequence: true,
                discover: Vec::new(),
                part: TOGETHER,
                turns: None,
                charges,
            },
            Rhythm::Spread { starts } => {
                let ends = starts.iter().skip(1).copied().chain([roster.len()]);
                let largest =
                    starts.iter().zip(ends).map(|(from, to)| u64::from(to - from)).max().unwrap_or(0);
                let batches = starts.len() as u64;
                let (discover, part) = (Vec::new(), TOGETHER);
                Self { batches, largest, interval, sequence: false, discover, part, turns: None, charges }
            }
        }
    }

    /// The same with targets that are discovered so often, part by part.
    #[must_use]
    pub fn discovering(self, discover: Vec<Duration>, part: Part) -> Self {
        Self { discover, part, ..self }
    }

    /// Rows of each part that these targets stand in, as far as any of these sources knows; none where nothing is discovered.
    pub fn parts<'a>(&self, rosters: impl Iterator<Item = &'a Roster>) -> Vec<u64> {
        let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
        for roster in rosters.filter(|_| !self.discover.is_empty()) {
            let mut known: BTreeMap<&str, u64> = BTreeMap::new();
            roster.iter().for_each(|target| *known.entry((self.part)(target.id)).or_default() += 1);
            for (part, rows) in known {
                let most = parts.entry(part).or_default();
                *most = rows.max(*most);
            }
        }
        parts.into_values().collect()
    }

    /// The same with turns of these targets, who have this priority unless they say otherwise.
    #[must_use]
    pub fn at_cadence(
        self,
        cadence: Option<Cadence>,
        steps: &[Step],
        roster: &Roster,
        priority: Priority,
    ) -> Self {
        let turns = cadence.and_then(|cadence| Turns::of(cadence, steps, roster, priority));
        Self { turns, ..self }
    }

    /// The longest time between two questions about a target.
    pub fn longest_turn(&self) -> Duration {
        self.turns.map_or(self.interval, |turns| turns.settings.slowest.max(self.interval))
    }

    /// Questions that are asked within `window` of the start in this world.
    fn passes(&self, world: &World, window: Duration) -> u64 {
        match self.turns {
            Some(turns) if world.quiet => turns.sure(self.interval, window).min(self.questions(window)),
            Some(turns) => self.questions(turns.whole_ticks(window)),
            None => self.questions(window),
        }
    }

    /// Questions that plain rounds ask within `window` of the start.
    pub fn questions(&self, window: Duration) -> u64 {
        if self.sequence {
            return ceil_div(window, self.interval);
        }
        if self.batches == 0 { 0 } else { ceil_div(window, spacing(self.interval, self.batches)) }
    }

    /// Calls of this charge within `window` of the start, but for those of tokens, which accounts make.
    pub fn calls(&self, charge: &Charge, world: &World, window: Duration) -> u64 {
        let passes = self.passes(world, window);
        let hours = window.as_secs_f64() / 3600.0;
        match charge.per {
            Per::Batch => passes + self.extra(passes, world, window),
            Per::Pages(pages) => {
                let calls = passes * pages_of(pages, world);
                calls + repeated(calls, world)
            }
            Per::Discovery(pages) => {
                let listings: u64 = self.discover.iter().map(|every| ceil_div(window, *every)).sum();
                let calls = listings * pages_of(pages, world);
                calls + repeated(calls, world)
            }
            Per::Online { again } => {
                let rounds = passes.div_ceil(self.batches.max(1));
                // Whoever leaves makes room for whoever comes: so many are online at a time, each with its turns.
                let turns = again.map_or(0, |again| rounds.saturating_sub(1) / u64::from(again.max(1)));
                let turns = match (self.turns, again) {
                    (Some(of), Some(again)) => of.details(world.online, again.into(), passes, window),
                    _ => world.online * turns,
                };
                let calls = world.online + turns + whole(world.arrivals_per_hour * hours);
                calls + repeated(calls, world)
            }
            Per::LeftOut if world.left_out == 0 => 0,
            Per::LeftOut => {
                let calls = world.left_out + whole(world.departures_per_hour * hours);
                calls + repeated(calls, world)
            }
            Per::Doubt { departures } => {
                whole(world.departures_per_hour * hours) / u64::from(departures.max(1))
            }
            Per::Past(past) => {
                let calls = read_past(&past, passes, self.interval, window, world);
                calls + repeated(calls, world)
            }
            Per::Token { .. } => 0,
        }
    }

    /// Calls of this charge a second, once the start is over.
    pub fn rate(&self, charge: &Charge, world: &World) -> f64 {
        let interval = self.interval.as_secs_f64();
        let per_hour = 1.0 / 3600.0;
        let again_and_again = 1.0 + world.failing * f64::from(ATTEMPTS - 1);
        match charge.per {
            Per::Batch => {
                let solo = refused_pause(self.interval).as_secs_f64();
                let regular = match self.turns {
                    Some(turns) if world.quiet => turns.sure_per_second(self.interval),
                    _ => float(self.batches) / interval,
                };
                regular * again_and_again + float(world.refused) / solo
            }
            Per::Pages(pages) => float(pages_of(pages, world)) / interval * again_and_again,
            Per::Discovery(pages) => {
                let listings: f64 = self.discover.iter().map(|every| every.as_secs_f64().recip()).sum();
                float(pages_of(pages, world)) * listings * again_and_again
            }
            Per::Online { again } => {
                let news = world.arrivals_per_hour * per_hour;
                // Lively ones have more answers, but all together no more than requests can hold.
                let answers = self.turns.map_or(float(world.online) / interval, |turns| {
                    let (fastest, held) = (turns.settings.fastest.as_secs_f64(), self.batches * turns.ids);
                    (float(world.online) / fastest).min(float(held) / interval)
                });
                let stays = again.map_or(0.0, |again| answers / f64::from(again.max(1)));
                (news + stays) * again_and_again
            }
            Per::LeftOut if world.left_out == 0 => 0.0,
            Per::LeftOut => world.departures_per_hour * per_hour * again_and_again,
            Per::Doubt { departures } => world.departures_per_hour * per_hour / f64::from(departures.max(1)),
            Per::Past(past) => {
                let again = f64::from(past.again) / past.again_every.as_secs_f64();
                let checks = u64::from(past.checks_per_pass).min(world.open_hours.len() as u64);
                let searches =
                    (world.searches_per_hour * per_hour).min(f64::from(past.searches_per_pass) / interval);
                (again.min(1.0 / interval) + float(checks) / interval + searches) * again_and_again
            }
            Per::Token { .. } => 0.0,
        }
    }

    /// Calls that the start wants to make at once: first questions and, of a sequence, all that its first pass asks.
    pub fn burst(&self, world: &World) -> u64 {
        let moment = if self.sequence { self.interval } else { Duration::from_secs(1) };
        self.charges.iter().map(|charge| self.calls(charge, world, moment.min(self.interval))).sum()
    }

    /// Calls of the largest question: a batch is one, a pass over lists is all that it reads.
    pub fn calls_of_a_pass(&self, world: &World) -> u64 {
        if !self.sequence {
            return 1;
        }
        let of = |charge: &Charge| match charge.per {
            Per::Pages(pages) => pages_of(pages, world),
            Per::Past(past) => {
                let checks = u64::from(past.checks_per_pass).min(world.open_hours.len() as u64);
                u64::from(past.unread_per_pass) + 1 + checks
            }
            _ => 0,
        };
        self.charges.iter().map(of).sum()
    }

    /// Calls beside the regular ones: what failed once more, halves of refused batches, refused targets alone.
    fn extra(&self, calls: u64, world: &World, window: Duration) -> u64 {
        let halves = 2 * u64::from(self.largest.max(1).next_power_of_two().ilog2());
        let trials = ceil_div(window, refused_pause(self.interval));
        repeated(calls, world) + world.refused * (halves + trials)
    }
}

/// Pages of a list in this world.
fn pages_of(pages: Pages, world: &World) -> u64 {
    let size = if world.long_lists { pages.capped } else { pages.rows };
    let of = |rows: u64| rows.div_ceil(u64::from(size.max(1))).max(1) + u64::from(world.long_lists);
    match pages.of {
        Rows::Everything => of(world.listed),
        Rows::NewRecords => of(world.logins),
        Rows::PartsAtOnce => 1,
        Rows::Parts => of(world.parts.len() as u64),
        Rows::EachPart => world.parts.iter().copied().map(of).sum(),
    }
}

/// How the calls of an account's tokens add up within `window`; `most` as in [`World::doors_shut`].
pub fn token_calls(charge: &Charge, world: &World, window: Duration) -> u64 {
    let Per::Token { least, most, life } = charge.per else { return 0 };
    let made = 1 + life.map_or(0, |life| ceil_div(window, life).saturating_sub(1));
    let first = if world.doors_shut { most } else { least };
    u64::from(first) + (made - 1) * u64::from(least)
}

/// The calls a second of an account's tokens.
pub fn token_rate(charge: &Charge) -> f64 {
    match charge.per {
        Per::Token { least, life: Some(life), .. } => f64::from(least) / life.as_secs_f64(),
        _ => 0.0,
    }
}

/// What `passes` passes read of the past.
fn read_past(past: &Past, passes: u64, interval: Duration, window: Duration, world: &World) -> u64 {
    let passes_that_read = passes.saturating_sub(past.idle_passes.into());
    let per_pass = u64::from(past.unread_per_pass.max(1));
    let unread = u64::from(past.unread).min(passes_that_read * per_pass);
    // The second reading begins with the first pass that is a stretch of time after the first one.
    let wait = ceil_div(past.again_every, interval);
    let passes_after = passes.saturating_sub(wait);
    let turns = passes_after.div_ceil(wait.max(1));
    let again = passes_after.min(turns * u64::from(past.again));
    // A session that is still open is checked from the pass after that in which it was found.
    let mut found: Vec<u64> = world
        .open_hours
        .iter()
        .map(|hours| match u64::from(hours.saturating_sub(1)) {
            0 => 0,
            older => u64::from(past.idle_passes) + (older - 1) / per_pass + 1,
        })
        .collect();
    found.sort_unstable();
    found.truncate(past.checks_per_pass as usize);
    let idle = u64::from(past.idle_passes);
    let checks: u64 = found.iter().map(|&from| passes.saturating_sub(from.max(idle))).sum();
    let hours = window.as_secs_f64() / 3600.0;
    let searches =
        whole(world.searches_per_hour * hours).min(passes_that_read * u64::from(past.searches_per_pass));
    unread + again + checks + searches
}

/// How long a refused target is left alone.
fn refused_pause(interval: Duration) -> Duration {
    (interval * REFUSED_ROUNDS).max(REFUSED_MIN)
}

fn repeated(calls: u64, world: &World) -> u64 {
    whole(float(calls) * world.failing * f64::from(ATTEMPTS - 1))
}

/// How many instants, `step` apart from the start on, lie before `window` is over.
fn ceil_div(window: Duration, step: Duration) -> u64 {
    u64::try_from(window.as_micros().div_ceil(step.as_micros().max(1))).unwrap_or(u64::MAX)
}

/// A number of calls, targets or bytes for arithmetic of shares.
#[expect(clippy::cast_precision_loss, reason = "calls are far below 2^52")]
pub fn float(number: u64) -> f64 {
    number as f64
}

/// Rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive, and a cast saturates"
)]
pub fn whole(number: f64) -> u64 {
    number.max(0.0).ceil() as u64
}
