//! Which stretches of time login records are read for: the newest one in each pass, older ones a few at a time.
//!
//! Values in, values out. A pass reads from the last complete pass (with an overlap, since records are written late and
//! times have minutes only) to now. What lies further back, at a cold start or after an outage, is cut into hours and read
//! newest first, spread over passes. Every hour the last day is read once more for records that came very late. Desktops
//! that are connected without a known session are looked for by name, day by day.

use std::collections::{BTreeMap, VecDeque};

/// A minute in milliseconds; the interface's times have no seconds.
pub const MINUTE_MS: i64 = 60_000;
/// An hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// How far a pass reads back before the last one. How late records are written is not documented; what comes later is
/// found by the hourly second reading.
pub const OVERLAP_MS: i64 = 15 * MINUTE_MS;

/// The longest stretch that one pass reads at once.
const WINDOW_MS: i64 = HOUR_MS;

/// The furthest that is ever looked back, which is also as old as an open session may grow.
pub const BACK_MAX_MS: i64 = 7 * DAY_MS;

/// Hours that may wait for reading: two weeks, so that an outage during a cold start fits. The oldest fall away.
const UNREAD_MAX: usize = 336;

/// Desktops that are looked for by name at a time.
const LOOKUPS_MAX: usize = 1000;

/// A stretch of time to read records for, perhaps of one user or one desktop. Unix milliseconds, whole minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// From here.
    pub start_ms: i64,
    /// To here.
    pub end_ms: i64,
    /// Of this user only.
    pub user: Option<String>,
    /// Of this desktop only.
    pub computer: Option<String>,
}

impl Window {
    fn of(start_ms: i64, end_ms: i64) -> Self {
        Self { start_ms, end_ms, user: None, computer: None }
    }
}

/// What a pass is to read, and what it leaves for later.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the pass reads.
    pub window: Window,
    /// The stretch before it that nobody has read yet.
    unread: Option<(i64, i64)>,
}

/// What is still to be read.
#[derive(Debug, Default)]
pub struct Backlog {
    warm: bool,
    unread: VecDeque<Window>,
    refused_until_ms: Option<i64>,
    again: VecDeque<Window>,
    again_at_ms: i64,
    /// Desktops by name, with the day that comes next, counted back from today.
    lookups: BTreeMap<String, i64>,
}

impl Backlog {
    /// What the next pass reads. `since_ms` is when the last complete pass began; it counts only if that pass was read by
    /// this process, since the sessions found before are not kept anywhere else. Changes nothing: a pass may fail.
    pub fn plan(&self, now_ms: i64, since_ms: Option<i64>, lookback_ms: i64) -> Plan {
        let from = match since_ms.filter(|_| self.warm) {
            Some(since) => since.min(now_ms) - OVERLAP_MS,
            None => now_ms - lookback_ms,
        };
        let from = floor_minute(from.max(now_ms - BACK_MAX_MS));
        let start = from.max(floor_minute(now_ms - WINDOW_MS));
        let end = -floor_minute(-now_ms) + MINUTE_MS;
        Plan { window: Window::of(start, end), unread: (from < start).then_some((from, start)) }
    }

    /// Books a complete pass.
    pub fn passed(&mut self, plan: &Plan, now_ms: i64) {
        if !self.warm {
            self.warm = true;
            self.again_at_ms = now_ms + HOUR_MS;
        }
        if let Some((from, to)) = plan.unread {
            for hour in hours(from, to).into_iter().rev() {
                self.unread.push_front(hour);
            }
            self.unread.truncate(UNREAD_MAX);
        }
        if now_ms >= self.again_at_ms && self.again.is_empty() {
            self.again_at_ms = now_ms + HOUR_MS;
            self.again = hours(floor_minute(now_ms - DAY_MS), plan.window.start_ms).into();
        }
    }

    /// The next stretch that nobody has read yet.
    pub fn next_unread(&self) -> Option<&Window> {
        self.unread.front()
    }

    /// Books that stretch; `refused` when the provider will not answer for it.
    pub fn unread_done(&mut self, refused: bool) {
        let done = self.unread.pop_front();
        if let Some(window) = done.filter(|_| refused) {
            self.refused_until_ms = self.refused_until_ms.max(Some(window.end_ms));
        }
    }

    /// Everything from here on has been read; `None`: everything that will ever be.
    pub fn read_since_ms(&self) -> Option<i64> {
        self.unread.iter().map(|window| window.end_ms).max().max(self.refused_until_ms)
    }

    /// The next stretch of the hourly second reading.
    pub fn next_again(&self) -> Option<&Window> {
        self.again.front()
    }

    /// Books that stretch.
    pub fn again_done(&mut self) {
        self.again.pop_front();
    }

    /// These desktops, by name, are connected without a known session; all others need not be looked for any more.
    pub fn look_for<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let old = std::mem::take(&mut self.lookups);
        self.lookups = names
            .take(LOOKUPS_MAX)
            .map(|name| (name.to_owned(), old.get(name).copied().unwrap_or(0)))
            .collect();
    }

    /// The next day to look for a desktop in, once everything in `lookback_ms` has been read.
    pub fn next_lookup(&self, now_ms: i64, lookback_ms: i64) -> Option<Window> {
        if !self.unread.is_empty() {
            return None;
        }
        let first = lookback_ms / DAY_MS;
        let (name, days) = self.lookups.iter().min_by_key(|(_, days)| **days)?;
        let day = first + days;
        (day < BACK_MAX_MS / DAY_MS).then(|| Window {
            computer: Some(name.clone()),
            ..Window::of(
                floor_minute(now_ms - (day + 1) * DAY_MS),
                floor_minute(now_ms - day * DAY_MS) + MINUTE_MS,
            )
        })
    }

    /// Books a day that a desktop was looked for in.
    pub fn lookup_done(&mut self, name: &str) {
        if let Some(days) = self.lookups.get_mut(name) {
            *days += 1;
        }
    }
}

/// A time as the query wants it: `2016-08-20T21:11Z`, UTC, without seconds.
pub fn minute_text(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%MZ")
        .to_string()
}

fn floor_minute(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(MINUTE_MS) * MINUTE_MS
}

/// A stretch in hours, the newest first.
fn hours(from_ms: i64, to_ms: i64) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut end = to_ms;
    while end > from_ms && windows.len() < UNREAD_MAX {
        let start = (end - HOUR_MS).max(from_ms);
        windows.push(Window::of(start, end));
        end = start;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_330_584_000; // 2026-03-01T02:03:04Z

    fn texts(window: &Window) -> (String, String) {
        (minute_text(window.start_ms), minute_text(window.end_ms))
    }

    #[test]
    fn a_pass_reads_from_before_the_last_one_to_after_now_in_whole_minutes() {
        let mut backlog = Backlog::default();
        let cold = backlog.plan(NOW, None, HOUR_MS / 2);
        assert_eq!(texts(&cold.window), ("2026-03-01T01:33Z".into(), "2026-03-01T02:05Z".into()));
        backlog.passed(&cold, NOW);
        let plan = backlog.plan(NOW + 30_000, Some(NOW), DAY_MS);
        assert_eq!(texts(&plan.window), ("2026-03-01T01:48Z".into(), "2026-03-01T02:05Z".into()));
        assert_eq!(plan.unread, None);
        let sharp = backlog.plan(NOW - 4000, Some(NOW), DAY_MS);
        assert_eq!(texts(&sharp.window), ("2026-03-01T01:48Z".into(), "2026-03-01T02:04Z".into()));
    }

    #[test]
    fn a_cold_start_reads_the_last_hour_at_once_and_the_rest_newest_first_without_a_gap() {
        let mut backlog = Backlog::default();
        // A time of a former process does not count: its sessions are gone.
        let plan = backlog.plan(NOW, Some(NOW - 1000), DAY_MS);
        backlog.passed(&plan, NOW);
        let mut expected_end = plan.window.start_ms;
        let mut slices = 0;
        while let Some(window) = backlog.next_unread().cloned() {
            assert_eq!(backlog.read_since_ms(), Some(expected_end));
            assert_eq!(window.end_ms, expected_end);
            assert!(window.end_ms - window.start_ms <= HOUR_MS);
            expected_end = window.start_ms;
            slices += 1;
            backlog.unread_done(false);
        }
        assert_eq!((slices, backlog.read_since_ms()), (23, None));
        assert!(expected_end <= NOW - DAY_MS);
    }

    #[test]
    fn an_outage_is_read_up_and_a_failed_pass_changes_nothing() {
        let mut backlog = Backlog::default();
        backlog.passed(&backlog.plan(NOW, None, HOUR_MS), NOW);
        let later = NOW + 5 * HOUR_MS;
        let plan = backlog.plan(later, Some(NOW), HOUR_MS);
        assert_eq!(plan, backlog.plan(later, Some(NOW), HOUR_MS));
        backlog.passed(&plan, later);
        assert_eq!(backlog.unread.back().map(|w| w.start_ms), Some(floor_minute(NOW - OVERLAP_MS)));
        assert_eq!(backlog.unread.len(), 5);
    }

    #[test]
    fn what_the_provider_refuses_is_never_taken_for_read() {
        let mut backlog = Backlog::default();
        let plan = backlog.plan(NOW, None, 2 * HOUR_MS);
        backlog.passed(&plan, NOW);
        backlog.unread_done(true);
        assert_eq!(backlog.next_unread(), None);
        assert_eq!(backlog.read_since_ms(), Some(plan.window.start_ms));
    }

    #[test]
    fn the_queue_of_hours_has_an_end() {
        let mut backlog = Backlog::default();
        for n in 0..10 {
            let now = NOW + n * BACK_MAX_MS;
            backlog.passed(&backlog.plan(now, Some(now - BACK_MAX_MS), BACK_MAX_MS), now);
        }
        assert!(backlog.unread.len() <= UNREAD_MAX);
    }

    #[test]
    fn the_last_day_is_read_again_every_hour() {
        let mut backlog = Backlog::default();
        backlog.passed(&backlog.plan(NOW, None, HOUR_MS), NOW);
        assert_eq!(backlog.next_again(), None);
        let later = NOW + HOUR_MS;
        backlog.passed(&backlog.plan(later, Some(later - 30_000), HOUR_MS), later);
        let mut slices = 0;
        while backlog.next_again().is_some() {
            backlog.again_done();
            slices += 1;
        }
        assert_eq!(slices, 24);
        backlog.passed(&backlog.plan(later + 30_000, Some(later), HOUR_MS), later + 30_000);
        assert_eq!(backlog.next_again(), None);
    }

    #[test]
    fn a_desktop_is_looked_for_day_by_day_up_to_a_week() {
        let mut backlog = Backlog::default();
        backlog.look_for(["PC1"].into_iter());
        let mut end = None;
        let mut days = 0;
        while let Some(window) = backlog.next_lookup(NOW, DAY_MS) {
            assert_eq!(window.computer.as_deref(), Some("PC1"));
            assert!(end.is_none_or(|end| window.end_ms <= end + MINUTE_MS));
            end = Some(window.start_ms);
            days += 1;
            backlog.lookup_done("PC1");
            backlog.look_for(["PC1"].into_iter());
        }
        assert_eq!(days, 6);
        backlog.look_for(std::iter::empty());
        backlog.look_for(["PC1"].into_iter());
        assert!(backlog.next_lookup(NOW, DAY_MS).is_some(), "a new stay is looked for anew");
    }
}
