//! What an account's calls are of what it may spend: by the operator's quota, and by the provider's documented limits.

use serde::Serialize;

use super::calls::float;
use super::{AccountPlan, Assumptions, Calls, Inputs, Span};
use crate::config::Problem;
use crate::domain::{Limit, Quota, Scope, Window};
use crate::providers::configure::{Account, Configuration};
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

/// What is wrong with a configuration because of its quotas: accounts that cannot carry what is sure, unless they may shed.
pub fn problems(configuration: &Configuration) -> Vec<Problem> {
    let plan = Inputs::of(configuration).plan(&Assumptions::default());
    let accounts = configuration.accounts.iter().zip(&plan.accounts);
    accounts
        .filter(|(_, plan)| !plan.fits && !plan.shed)
        .map(|(account, plan)| problem(account, plan))
        .collect()
}

/// What may become too much, in sentences.
pub fn warnings(configuration: &Configuration) -> Vec<String> {
    let inputs = Inputs::of(configuration);
    let plan = inputs.plan(&Assumptions::default());
    plan.accounts.iter().flat_map(AccountPlan::warnings).collect()
}

impl AccountPlan {
    /// What is sure and too much.
    pub fn overrun(&self) -> String {
        let over = self.quotas.iter().filter(|used| used.is_over());
        let shares: Vec<String> =
            over.map(|used| format!("{:.0} % of {}", used.floor * 100.0, used.allowance())).collect();
        format!("its sources want {} at least", shares.join(", "))
    }

    /// What may become too much, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let over = self.quotas.iter().filter(|used| !used.is_over() && used.may_be_over());
        let sentence = |used: &Use| {
            let (name, percent, allowed) = (&self.name, used.ceiling * 100.0, used.allowance());
            format!(
                "account {name}: up to {percent:.0} % of {allowed} may be wanted; what does not fit waits"
            )
        };
        over.map(sentence).collect()
    }
}

fn problem(account: &Account, plan: &AccountPlan) -> Problem {
    let over = plan.quotas.iter().find(|used| used.is_over());
    let given =
        account.origin.quotas.iter().find(|(window, _)| over.is_some_and(|o| o.window == window.as_str()));
    let mut changes: Vec<String> = plan.advice.iter().map(ToString::to_string).collect();
    let more = changes.len().saturating_sub(CHANGES_MAX);
    changes.truncate(CHANGES_MAX);
    if more > 0 {
        changes.push(format!("and {more} more, see `plan`"));
    }
    Problem {
        place: given.map_or(account.origin.place, |(_, place)| *place),
        path: account.origin.path.clone(),
        message: plan.overrun(),
        hint: Some(format!("{}; or shed: true", changes.join("; "))),
    }
}

/// Changes that are named in one line.
const CHANGES_MAX: usize = 5;

fn used(of: String, window: Window, allowed: f64, calls: &Span) -> Use {
    let share = |calls: &Calls| calls.second * window.length().as_secs_f64() / allowed;
    Use { of, window: window.as_str(), allowed, floor: share(&calls.floor), ceiling: share(&calls.ceiling) }
}
