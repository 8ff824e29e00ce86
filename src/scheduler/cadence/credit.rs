//! How many requests a source with a cadence may ask: as many as its plain rounds would. Exact, in whole numbers.

use std::time::Duration;

/// Requests that may be asked. It may be overdrawn by a part of a request, as plain rounds begin with a request that the
/// time before has not earned yet.
#[derive(Debug, Clone, Copy)]
pub struct Credit {
    /// Questions of a plain round.
    pub questions: u32,
    interval: Duration,
    tick: Duration,
    /// Requests, times the microseconds of an interval.
    saved: i128,
}

impl Credit {
    /// Enough for the first tick of a plain round of so many questions every `interval`.
    pub fn new(questions: u32, interval: Duration, tick: Duration) -> Self {
        let credit = Self { questions, interval, tick, saved: 0 };
        Self { saved: credit.of(tick), ..credit }
    }

    /// Adds what plain rounds ask in so much time; no more than one tick's worth is ever saved.
    pub fn earn(&mut self, time: Duration) {
        self.saved = (self.saved + self.of(time)).min(self.of(self.tick));
    }

    /// Requests that may be asked now.
    pub fn room(&self) -> usize {
        usize::try_from(self.room_after(0)).unwrap_or(usize::MAX)
    }

    /// Requests that may be asked from now until so many ticks later, if all of them are.
    pub fn room_after(&self, ticks: u32) -> u64 {
        let one = micros(self.interval).max(1);
        let saved = self.saved + self.of(self.tick) * i128::from(ticks);
        u64::try_from((saved + one - 1).max(0) / one).unwrap_or(u64::MAX)
    }

    /// Takes so many requests.
    pub fn spend(&mut self, requests: usize) {
        self.saved -= i128::try_from(requests).unwrap_or(i128::MAX) * micros(self.interval);
    }

    fn of(&self, time: Duration) -> i128 {
        i128::from(self.questions) * micros(time)
    }
}

fn micros(time: Duration) -> i128 {
    i128::try_from(time.as_micros()).unwrap_or(i128::MAX)
}
