//! What an account's calls are of what it may spend: by the operator's quota, and by the provider's documented limits.

use serde::Serialize;

use super::calls::float;
use super::{Calls, Span};
use crate::domain::{Limit, Quota, Scope, Window};
use crate::scheduler::budget::SHARE;

/// One limit, and how much of it is used in the long run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Use {
    /// Whose limit: `quota` for the operator's own, or the action's name; with `address` for one that all accounts share.
    pub of: String,
    /// The window's name.
    pub window: &'static str,
    /// Calls that are allowed in it.
    pub allowed: f64,
    /// The part of it that is sure to be used; 1 is all of it.
    pub floor: f64,
    /// The part of it that may be used.
    pub ceiling: f64,
}

impl Use {
    /// What is allowed, in words, such as `100 an hour`.
    pub fn rate(&self) -> String {
        let article = if self.window == Window::Hour.as_str() { "an" } else { "a" };
        format!("{} {article} {}", self.allowed, self.window)
    }

    /// The same with whose limit it is.
    pub fn allowance(&self) -> String {
        format!("{} ({})", self.rate(), self.of)
    }

    /// Whether what is sure is more than may be sent.
    pub fn is_over(&self) -> bool {
        self.floor > SHARE
    }

    /// Whether what may be is more than may be sent.
    pub fn may_be_over(&self) -> bool {
        self.ceiling > SHARE
    }
}

/// What is used of the operator's own quota, window by window.
pub fn of_quota(quota: &Quota, calls: &Span) -> Vec<Use> {
    let longer = quota.longer.iter().map(|(window, allowed)| (*window, float(*allowed)));
    [(Window::Second, quota.per_second)]
        .into_iter()
        .chain(longer)
        .map(|(window, allowed)| used("quota".to_owned(), window, allowed, calls))
        .collect()
}

/// What is used of an action's documented limit.
pub fn of_limit(action: &str, limit: &Limit, calls: &Span) -> Use {
    let of = match limit.scope {
        Scope::Action => action.to_owned(),
        Scope::Address => format!("{action} (address)"),
    };
    used(of, limit.per, f64::from(limit.calls), calls)
}

fn used(of: String, window: Window, allowed: f64, calls: &Span) -> Use {
    let share = |calls: &Calls| calls.second * window.length().as_secs_f64() / allowed;
    Use { of, window: window.as_str(), allowed, floor: share(&calls.floor), ceiling: share(&calls.ceiling) }
}
