//! What accounts may spend and have spent, how long questions waited for it, and which accounts are left alone.
//!
//! Values that change by themselves with time are set before a page is written; the rest where it happens.

use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Registry};

use super::{OwnFamily, registered};

const WINDOW: &[&str] = &["account", "window"];
const ACCOUNT: &[&str] = &["account"];

pub(super) static REQUESTS: OwnFamily = OwnFamily {
    name: "presence_exporter_budget_requests",
    help: "HTTP requests that the account may send in any window of this length, as configured.",
    labels: WINDOW,
};

pub(super) static USED: OwnFamily = OwnFamily {
    name: "presence_exporter_budget_used_ratio",
    help: "Share of the account's budget that was sent in the window of this length that ends now, since the start of this exporter.",
    labels: WINDOW,
};

pub(super) static RATE: OwnFamily = OwnFamily {
    name: "presence_exporter_budget_allowed_requests_per_second",
    help: "HTTP requests a second that the account may send at present: its quota, or less for a while after the provider throttled it.",
    labels: ACCOUNT,
};

pub(super) static WAITED: OwnFamily = OwnFamily {
    name: "presence_exporter_budget_wait_seconds_total",
    help: "Time that further requests of a question waited for the account's budget, for a documented limit, or for the end of a pause; a question's first is only thought of when the budget is free.",
    labels: ACCOUNT,
};

pub(super) static PARKED: OwnFamily = OwnFamily {
    name: "presence_exporter_account_parked",
    help: "1 while the provider refuses the account's key, token or clock, so that it is only tried now and then; 0 otherwise.",
    labels: ACCOUNT,
};

/// The families of budgets, registered.
pub(super) struct Budgets {
    requests: GaugeVec,
    used: GaugeVec,
    rate: GaugeVec,
    waited: CounterVec,
    parked: GaugeVec,
}

/// The series of one account's budget.
pub struct BudgetMeter {
    rate: Gauge,
    waited: Counter,
    parked: Gauge,
    windows: GaugeVec,
    used: GaugeVec,
    account: Box<str>,
}

impl Budgets {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |family: &OwnFamily| registered(registry, GaugeVec::new(family.opts(), family.labels));
        Self {
            requests: gauge(&REQUESTS),
            used: gauge(&USED),
            rate: gauge(&RATE),
            waited: registered(registry, CounterVec::new(WAITED.opts(), WAITED.labels)),
            parked: gauge(&PARKED),
        }
    }

    pub(super) fn meter(&self, account: &str) -> BudgetMeter {
        BudgetMeter {
            rate: self.rate.with_label_values(&[account]),
            waited: self.waited.with_label_values(&[account]),
            parked: self.parked.with_label_values(&[account]),
            windows: self.requests.clone(),
            used: self.used.clone(),
            account: account.into(),
        }
    }
}

impl BudgetMeter {
    /// Sets what a window may hold, and the share of it that is used.
    pub fn window(&self, window: &str, limit: f64, used: f64) {
        let labels = [&*self.account, window];
        self.windows.with_label_values(&labels).set(limit);
        self.used.with_label_values(&labels).set(used);
    }

    /// Sets the rate that is allowed at present.
    pub fn rate(&self, per_second: f64) {
        self.rate.set(per_second);
    }

    /// Counts a request's wait.
    pub fn waited(&self, seconds: f64) {
        self.waited.inc_by(seconds.max(0.0));
    }

    /// Sets whether the account is left alone.
    pub fn parked(&self, parked: bool) {
        self.parked.set(f64::from(u8::from(parked)));
    }
}

impl std::fmt::Debug for BudgetMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetMeter").field("account", &self.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Telemetry;

    #[test]
    fn an_account_has_all_its_series_from_the_start() {
        let telemetry = Telemetry::new("1", "r", "c");
        let meter = telemetry.budget("main");
        meter.window("second", 10.0, 0.25);
        meter.rate(5.0);
        meter.parked(true);
        meter.waited(1.5);
        let value = |name: &str| {
            let families = telemetry.gather();
            let family = families.iter().find(|family| family.name() == name).expect("it is there");
            let metric = &family.get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        for (family, expected) in [
            (&super::REQUESTS, 10.0),
            (&super::USED, 0.25),
            (&super::RATE, 5.0),
            (&super::WAITED, 1.5),
            (&super::PARKED, 1.0),
        ] {
            assert!((value(family.name) - expected).abs() < 1e-9, "{}", family.name);
        }
    }
}
