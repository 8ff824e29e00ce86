//! Discovery of targets: a slow question beside the round, whose answer goes to whoever keeps the sources' lists.
//!
//! It says who asks for which list, when the next one is due and how its outcome is told. Which of the found are taken, and
//! what follows from it, is decided where lists are kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::PoolTask;
use super::booking::Done;
use super::line::{Ask, Job, Line};
use super::pause;
use crate::domain::{Moment, Tick};
use crate::providers::Found;
use crate::providers::configure::Source;

/// A list that one source asks for, for all that want the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// How often it is asked for: as often as whoever of them wants it most often.
    pub interval: Duration,
    /// The numbers of the sources that want it, in order.
    pub told: Arc<[u16]>,
}

/// What came of one discovery.
#[derive(Debug)]
pub struct Discovered {
    /// The source's number.
    pub source: u16,
    /// When the provider was asked for the first page.
    pub at: Moment,
    /// All that is listed, or why it is not known: a word for the log to tell troubles apart, and the words.
    pub result: Result<Vec<Found>, (&'static str, String)>,
}

/// By the place of the source that asks: the lists that these sources want. One account asks once for what several of its
/// sources want the same of and read alike; whoever wants it most often asks.
pub fn listings(sources: &[Source]) -> BTreeMap<usize, Listing> {
    let mut wanted: BTreeMap<_, Vec<(Duration, usize)>> = BTreeMap::new();
    for (place, source) in sources.iter().enumerate() {
        let discover = source.lists.as_ref().and_then(|lists| lists.discover.as_ref());
        let of = wanted.entry((source.account, &source.asks, source.lens)).or_default();
        of.extend(discover.map(|discover| (discover.interval, place)));
    }
    let listing = |all: Vec<(Duration, usize)>| {
        let (interval, asks) = *all.iter().min()?;
        let told = all.iter().map(|(_, place)| sources[*place].roster.source()).collect();
        Some((asks, Listing { interval, told }))
    };
    wanted.into_values().filter_map(listing).collect()
}

/// Puts the first discoveries of these sources into the line, due at once.
pub(super) fn begin(sources: &[PoolTask], line: &mut Line, now: Tick) {
    for (source, task) in sources.iter().enumerate() {
        for (member, _) in task.members.iter().enumerate().filter(|(_, member)| member.listing.is_some()) {
            line.again(Job { pool: source, ask: Ask::Discover(member), attempt: 0, round: None }, now);
        }
    }
    // They belong to no question's end.
    drop(line.take_put_back());
}

/// Puts the next discovery into the line: the same again soon, where that makes sense, or the next regular one.
pub(super) fn again(done: &Done, source: &PoolTask, line: &mut Line, chance: u64) {
    let Some(&Listing { interval, .. }) = listing(done, source) else { return };
    let soon = retry(done, source, chance).map(|due| (done.job.attempt + 1, due));
    let (attempt, due) = soon.unwrap_or((0, done.began.tick + interval));
    line.again(Job { attempt, ..done.job.clone() }, due.max(done.ended.tick));
}

/// Tells what came of a discovery, unless it is about to be tried again.
pub(super) fn tell(done: &mut Done, source: &PoolTask, to: Option<&mpsc::Sender<Discovered>>) {
    let (Some(listing), Some(to)) = (listing(done, source), to) else { return };
    // Chance makes a pause longer or shorter, never none.
    if retry(done, source, 0).is_some() {
        return;
    }
    let result = match &mut done.result {
        Ok(answer) => Ok(std::mem::take(&mut answer.found)),
        Err(failure) => Err((failure.fault.as_str(), format!("{}: {}", failure.fault, failure.message))),
    };
    let at = done.receipt.as_of.unwrap_or(done.began);
    for &source in &*listing.told {
        // Whoever is that far behind, or gone, will be told by the next one.
        drop(to.try_send(Discovered { source, at, result: result.clone() }));
    }
}

/// The list that this question asks for.
fn listing<'a>(done: &Done, source: &'a PoolTask) -> Option<&'a Listing> {
    let Ask::Discover(member) = done.job.ask else { return None };
    source.members[member].listing.as_ref()
}

fn retry(done: &Done, source: &PoolTask, chance: u64) -> Option<Tick> {
    let (failure, listing) = (done.result.as_ref().err()?, listing(done, source)?);
    pause::retry(done.ended.tick, failure.fault, failure.wait, done.job.attempt, listing.interval, chance)
}
