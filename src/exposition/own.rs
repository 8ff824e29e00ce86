//! Our own families, as crate `prometheus` gathers them, in the same formats and pieces as the targets.
//!
//! They are few: a hundred accounts with five actions make some 13,000 lines. Floats are formatted here. Summaries and
//! untyped families, which we never register, are left out.

use prometheus::proto::{Histogram, Metric, MetricFamily, MetricType};

use super::Format;
use super::families::MetricKind;
use super::text;
use super::writer::{describe, label};

/// Gathered families with the place of the next one to be written.
pub(super) struct Own {
    families: Vec<MetricFamily>,
    format: Format,
    family: usize,
    metric: usize,
    described: bool,
}

impl Own {
    pub(super) fn new(families: Vec<MetricFamily>, format: Format) -> Self {
        Self { families, format, family: 0, metric: 0, described: false }
    }

    /// Goes on until the piece is full; returns whether all is written. Series of a source that is not `wanted` are left
    /// out.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, full: usize, wanted: impl Fn(&str) -> bool) -> bool {
        while let Some(family) = self.families.get(self.family) {
            while let Some(metric) = family.get_metric().get(self.metric) {
                if out.len() >= full {
                    return false;
                }
                self.metric += 1;
                if !source_of(metric).is_none_or(&wanted) {
                    continue;
                }
                if !self.described {
                    header(out, family, self.format);
                    self.described = true;
                }
                Series { family, metric, format: self.format }.write(out);
            }
            self.family += 1;
            (self.metric, self.described) = (0, false);
        }
        true
    }
}

/// The source that a series speaks of, if it speaks of one.
fn source_of(metric: &Metric) -> Option<&str> {
    let labels = metric.get_label().iter();
    labels.filter(|pair| pair.name() == "source").map(prometheus::proto::LabelPair::value).next()
}

fn header(out: &mut Vec<u8>, family: &MetricFamily, format: Format) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => MetricKind::Counter,
        MetricType::GAUGE if family.name().ends_with("_info") => MetricKind::Info,
        MetricType::GAUGE => MetricKind::Gauge,
        MetricType::HISTOGRAM => MetricKind::Histogram,
        MetricType::SUMMARY | MetricType::UNTYPED => return,
    };
    describe(out, format, family.name(), family.help(), kind, unit(family.name()));
}

/// The unit that a name ends in; of our own metrics only these occur.
fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    ["seconds", "bytes"]
        .into_iter()
        .find(|unit| base.strip_suffix(unit).is_some_and(|head| head.ends_with('_')))
        .unwrap_or_default()
}

/// One label set of a family.
struct Series<'a> {
    family: &'a MetricFamily,
    metric: &'a Metric,
    format: Format,
}

impl Series<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self.family.get_field_type() {
            MetricType::COUNTER => {
                let named = self.family.name().ends_with("_total") || self.format == Format::Text;
                let suffix = if named { "" } else { "_total" };
                self.sample(out, suffix, None, self.metric.get_counter().get_value());
            }
            MetricType::GAUGE => self.sample(out, "", None, self.metric.get_gauge().get_value()),
            MetricType::HISTOGRAM => self.histogram(out, self.metric.get_histogram()),
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }

    fn histogram(&self, out: &mut Vec<u8>, histogram: &Histogram) {
        let total = count(histogram.get_sample_count());
        for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
            self.sample(out, "_bucket", Some(bucket.upper_bound()), count(bucket.cumulative_count()));
        }
        self.sample(out, "_bucket", Some(f64::INFINITY), total);
        self.sample(out, "_sum", None, histogram.get_sample_sum());
        self.sample(out, "_count", None, total);
    }

    fn sample(&self, out: &mut Vec<u8>, suffix: &str, le: Option<f64>, value: f64) {
        out.extend_from_slice(self.family.name().as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        let start = out.len();
        for pair in self.metric.get_label() {
            label(out, pair.name(), pair.value());
        }
        if let Some(le) = le {
            out.extend_from_slice(b",le=\"");
            text::bound(out, le);
            out.push(b'"');
        }
        // The first label was written after a comma like the others; here the comma becomes the brace.
        if let Some(first) = out.get_mut(start) {
            *first = b'{';
            out.push(b'}');
        }
        out.push(b' ');
        text::float(out, value);
        out.push(b'\n');
    }
}

/// A count as a float, exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count of requests stays far below 2^53")]
fn count(n: u64) -> f64 {
    n as f64
}
