//! The beat of a source with a cadence: what was picked for a tick is handed out one request after the other, spread evenly
//! over the tick. Pure, as the line that it is a part of.
//!
//! A tick begins only once all of the one before is handed out, so that an account that is late builds up no queue.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Kept, Picked, lock};
use crate::domain::{Moves, Tick};
use crate::scheduler::line::Rows;

/// How much of an interval a tick may be late and still be made up for, as with plain batches; but never a whole tick.
const SLACK: u32 = 10;

/// One source's present tick.
#[derive(Debug)]
pub struct Turns {
    kept: Kept,
    queue: VecDeque<Picked>,
    /// When the tick after this one begins.
    next: Tick,
    /// Between two requests of this tick.
    apart: Duration,
}

impl Turns {
    /// No tick yet.
    pub fn new(kept: Kept) -> Self {
        Self { kept, queue: VecDeque::new(), next: Tick::ZERO, apart: Duration::ZERO }
    }

    /// What is picked by.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Begins the tick that is due, and those after it, until there is a request to hand out or the next one is yet to come.
    /// Returns when the next request or tick is due.
    pub fn prepare(&mut self, mut due: Tick, now: Tick) -> Tick {
        let mut cadence = lock(&self.kept);
        let tick = cadence.tick();
        let slack = tick.min(cadence.interval() / SLACK);
        if self.queue.is_empty() {
            // The rest of a tick may have gone with its targets.
            due = due.max(self.next);
        }
        while self.queue.is_empty() && due <= now {
            let begins = due.max(now.back(slack));
            self.queue = cadence.pick(begins).into();
            let requests = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
            (self.next, self.apart) = (begins + tick, tick / requests.max(1));
            due = if self.queue.is_empty() { self.next } else { begins };
        }
        due
    }

    /// The next request of the tick, with when the one after it, or the next tick, is due.
    pub fn take(&mut self, due: Tick) -> Option<(Picked, Tick)> {
        let picked = self.queue.pop_front()?;
        let next = if self.queue.is_empty() { self.next } else { due + self.apart };
        Some((picked, next))
    }

    /// Leads what is not handed out yet to other targets.
    pub fn move_along(&mut self, moves: &Moves) {
        for picked in &mut self.queue {
            picked.rows = Rows::new(picked.rows.iter().filter_map(|&row| moves.index(row)).collect());
        }
        self.queue.retain(|picked| !picked.rows.is_empty());
    }
}
