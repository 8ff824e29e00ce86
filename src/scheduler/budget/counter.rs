//! How many requests were sent in the window that ends now, in sixty parts. Shown, not obeyed: what is obeyed is the pace.

use std::time::Duration;

use crate::domain::Tick;

/// Parts of a window.
const PARTS: usize = 60;

/// The requests of one window.
#[derive(Debug, Clone)]
pub struct Counter {
    /// The length of a part, in microseconds.
    part: u64,
    /// The number of the newest part that is counted.
    newest: u64,
    counts: [u32; PARTS],
}

impl Counter {
    /// Nothing in a window of this length.
    pub fn new(window: Duration) -> Self {
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Self { part: (micros / PARTS as u64).max(1), newest: 0, counts: [0; PARTS] }
    }

    /// Counts one.
    pub fn add(&mut self, now: Tick) {
        let part = now.as_micros() / self.part;
        // What was counted in parts that are too old by now makes room.
        if part.saturating_sub(self.newest) >= PARTS as u64 {
            self.counts = [0; PARTS];
        } else {
            (self.newest + 1..=part).for_each(|part| self.counts[place(part)] = 0);
        }
        self.newest = self.newest.max(part);
        let count = &mut self.counts[place(part)];
        *count = count.saturating_add(1);
    }

    /// How many there are in the window that ends now.
    pub fn total(&self, now: Tick) -> u64 {
        let part = now.as_micros() / self.part;
        let first = (part + 1).saturating_sub(PARTS as u64);
        (first..=self.newest.min(part)).map(|part| u64::from(self.counts[place(part)])).sum()
    }
}

fn place(part: u64) -> usize {
    usize::try_from(part % PARTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_was_sent_counts_until_its_window_is_over() {
        let mut counter = Counter::new(Duration::from_secs(60));
        for second in 100..130 {
            counter.add(at(second));
            counter.add(at(second));
        }
        assert_eq!(counter.total(at(129)), 60);
        assert_eq!(counter.total(at(159)), 60);
        assert_eq!(counter.total(at(169)), 40);
        assert_eq!(counter.total(at(189)), 0);
        assert_eq!(counter.total(at(10_000_000)), 0);
        counter.add(at(170));
        assert_eq!(counter.total(at(170)), 39);
        counter.add(at(10_000));
        assert_eq!(counter.total(at(10_000)), 1);
    }
}
