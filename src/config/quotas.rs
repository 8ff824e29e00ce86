//! The keys of an account's quotas, by window.

use super::common::optional;
use super::reader::Reader;
use crate::domain::Window;

/// The keys of quotas with their windows, shortest first.
pub const QUOTAS: [(&str, Window); 5] = [
    ("requests_per_second", Window::Second),
    ("requests_per_minute", Window::Minute),
    ("requests_per_hour", Window::Hour),
    ("requests_per_day", Window::Day),
    ("requests_per_month", Window::Month),
];

/// What an account may spend in windows longer than a second. `None` when something is wrong, which is noted then.
pub(super) fn read_longer(reader: &Reader<'_>) -> Option<Vec<(Window, u64)>> {
    let mut longer = Vec::new();
    for &(key, window) in &QUOTAS[1..] {
        longer.extend(optional(reader, key, Reader::count).ok()?.map(|calls| (window, calls)));
    }
    Some(longer)
}
