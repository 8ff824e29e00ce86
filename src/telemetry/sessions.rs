//! Histograms and counters of sessions, per source, as login records tell them.
//!
//! They stand beside our own metrics since they are counted, not rendered; unlike those they speak of the subject, so
//! their names begin with `presence_session_`. Which sessions count, and that each counts once, is decided elsewhere.

use std::fmt;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::{OwnFamily, registered};
use crate::domain::FailureReason;

const SOURCE: &[&str] = &["source", "provider", "kind"];

/// Upper bounds in seconds. Records have whole seconds; a desktop that runs is there in a few, one that has to be started
/// first takes a minute or two.
const SETUP_BUCKETS: [f64; 10] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

/// Upper bounds in seconds. Remote work feels local up to some 30 ms, is good up to 100 ms, and hard from 300 ms on.
const RTT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5];

/// Upper bounds in seconds: a minute (broken at once), the parts of an hour, a working day, a day.
const LASTING_BUCKETS: [f64; 10] =
    [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 43_200.0, 86_400.0];

static SETUP: OwnFamily = OwnFamily {
    name: "presence_session_setup_seconds",
    help: "Time that setting up took, of sessions of the source's targets that began since the start of this exporter, by login records (connection_start_time and connection_setup_time of Workspace).",
    labels: SOURCE,
};

static RTT: OwnFamily = OwnFamily {
    name: "presence_session_rtt_seconds",
    help: "Network round-trip time of sessions of the source's targets that ended since the start of this exporter, by login records (network_rtt of Workspace, as first read with the end).",
    labels: SOURCE,
};

static LASTING: OwnFamily = OwnFamily {
    name: "presence_session_duration_seconds",
    help: "Time from begin to end, of sessions of the source's targets that ended since the start of this exporter, by login records (connection_start_time and connection_end_time of Workspace).",
    labels: SOURCE,
};

static FAILURES: OwnFamily = OwnFamily {
    name: "presence_session_failures_total",
    help: "Failed attempts of the source's targets to connect since the start of this exporter, by login records (connection_failure_reason of Workspace, sorted into a closed list).",
    labels: &["source", "provider", "kind", "reason"],
};

/// Every family of sessions. A source whose provider has no login records has no series here.
pub static SESSION_FAMILIES: [&OwnFamily; 4] = [&SETUP, &RTT, &LASTING, &FAILURES];

/// The families of sessions, registered.
pub(super) struct Sessions {
    setup: HistogramVec,
    rtt: HistogramVec,
    lasting: HistogramVec,
    failures: IntCounterVec,
}

/// One source's series of sessions.
pub struct SessionMeter {
    setup: Histogram,
    rtt: Histogram,
    lasting: Histogram,
    failures: [IntCounter; FailureReason::ALL.len()],
}

impl Sessions {
    pub(super) fn new(registry: &Registry) -> Self {
        let histogram = |family: &OwnFamily, buckets: &[f64]| {
            let options = HistogramOpts::from(family.opts()).buckets(buckets.to_vec());
            registered(registry, HistogramVec::new(options, family.labels))
        };
        Self {
            setup: histogram(&SETUP, &SETUP_BUCKETS),
            rtt: histogram(&RTT, &RTT_BUCKETS),
            lasting: histogram(&LASTING, &LASTING_BUCKETS),
            failures: registered(registry, IntCounterVec::new(FAILURES.opts(), FAILURES.labels)),
        }
    }

    pub(super) fn meter(&self, source: &str, provider: &str, kind: &str) -> SessionMeter {
        let labels = [source, provider, kind];
        SessionMeter {
            setup: self.setup.with_label_values(&labels),
            rtt: self.rtt.with_label_values(&labels),
            lasting: self.lasting.with_label_values(&labels),
            failures: FailureReason::ALL
                .map(|reason| self.failures.with_label_values(&[source, provider, kind, reason.as_str()])),
        }
    }
}

impl SessionMeter {
    /// Counts a session that was set up in so long.
    pub fn set_up(&self, took: Duration) {
        self.setup.observe(took.as_secs_f64());
    }

    /// Counts a session that ended with this network round-trip time.
    pub fn round_trip(&self, rtt: Duration) {
        self.rtt.observe(rtt.as_secs_f64());
    }

    /// Counts a session that ended after so long.
    pub fn lasted(&self, duration: Duration) {
        self.lasting.observe(duration.as_secs_f64());
    }

    /// Counts an attempt that failed.
    pub fn failed(&self, reason: FailureReason) {
        self.failures[reason as usize].inc();
    }
}

impl fmt::Debug for SessionMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMeter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    fn count(telemetry: &Telemetry, name: &str) -> Option<Vec<(u64, f64)>> {
        let families = telemetry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let of = |metric: &prometheus::proto::Metric| {
            let histogram = metric.get_histogram();
            (histogram.get_sample_count(), histogram.get_sample_sum() + metric.get_counter().get_value())
        };
        Some(family.get_metric().iter().map(of).collect())
    }

    #[test]
    fn a_source_with_login_records_is_at_zero_from_the_start_and_others_are_absent() {
        let telemetry = Telemetry::new("1", "r", "c");
        for family in SESSION_FAMILIES {
            assert_eq!(count(&telemetry, family.name), None, "{}", family.name);
        }
        let meter = telemetry.sessions("desks", "huawei_workspace", "desktop");
        for family in [&SETUP, &RTT, &LASTING] {
            assert_eq!(count(&telemetry, family.name), Some(vec![(0, 0.0)]), "{}", family.name);
        }
        assert_eq!(count(&telemetry, FAILURES.name), Some(vec![(0, 0.0); FailureReason::ALL.len()]));
        meter.set_up(Duration::from_secs(2));
        meter.round_trip(Duration::from_millis(20));
        meter.lasted(Duration::from_secs(3600));
        assert_eq!(count(&telemetry, SETUP.name), Some(vec![(1, 2.0)]));
        assert_eq!(count(&telemetry, RTT.name), Some(vec![(1, 0.02)]));
        assert_eq!(count(&telemetry, LASTING.name), Some(vec![(1, 3600.0)]));
    }

    #[test]
    fn each_reason_is_counted_under_its_own_name() {
        let telemetry = Telemetry::new("1", "r", "c");
        let meter = telemetry.sessions("s", "p", "user");
        for (times, reason) in (1_u32..).zip(FailureReason::ALL) {
            (0..times).for_each(|_| meter.failed(reason));
        }
        let families = telemetry.gather();
        let family = families.iter().find(|family| family.name() == FAILURES.name).expect("it is there");
        for (times, reason) in (1_u32..).zip(FailureReason::ALL) {
            let has = |metric: &&prometheus::proto::Metric| {
                metric.get_label().iter().any(|pair| pair.value() == reason.as_str())
            };
            let value = family.get_metric().iter().find(has).map(|metric| metric.get_counter().get_value());
            assert_eq!(value, Some(f64::from(times)), "{reason}");
        }
    }
}
