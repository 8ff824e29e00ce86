//! `plan`: what a configuration costs and how fresh it can be, before a key is used. Sends nothing, and needs no secret: who
//! is missing is taken to be there. Exit code 2 when what is sure does not fit, or a stated maximum is passed.

mod print;

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::args::{self, QueryFormat};
use super::load::load;
use super::{Exit, say};
use crate::domain::{Kind, Policy, SourceSpec};
use crate::exposition::size::{Exhibit, Size, size};
use crate::net;
use crate::ports::{Env, Ports};
use crate::providers::Step;
use crate::providers::configure::Configuration;
use crate::scheduler::plan::advice::{Advice, written};
use crate::scheduler::plan::{AccountPlan, Assumptions, Inputs, Plan};
use crate::telemetry::Telemetry;

/// What stands for a secret that is not there. It is taken wherever a secret is read, as a proxy's address too.
const STAND_IN: &str = "http://stand-in.invalid:1";

/// Bodies over this are refused by VictoriaMetrics (`-promscrape.maxScrapeSize`, 16 MiB); Prometheus has no such default.
const BODY_MAX: u64 = 16 * 1024 * 1024;

/// An environment in which every secret is there.
struct WithStandIns(Arc<dyn Env>);

impl Env for WithStandIns {
    fn var(&self, name: &str) -> Option<String> {
        self.0.var(name)
    }
    fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        self.0.read(path, limit)
    }
    fn secret_var(&self, name: &str) -> Option<String> {
        Some(self.0.var(name).unwrap_or_else(|| STAND_IN.to_owned()))
    }
    fn secret_file(&self, path: &Path, limit: u64) -> io::Result<String> {
        match self.0.read(path, limit) {
            Err(error) if missing(&error) => Ok(STAND_IN.to_owned()),
            read => read,
        }
    }
}

/// A file that this user may not read is there for another one.
fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

/// All that `plan` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Cost and freshness.
    #[serde(flatten)]
    pub plan: Plan,
    /// The metrics page.
    pub page: PageReport,
    /// What does not fit; empty if all does.
    pub problems: Vec<Verdict>,
    /// What may not fit, by the ceiling.
    pub warnings: Vec<Verdict>,
}

/// How large the metrics page may become.
#[derive(Debug, Serialize)]
pub struct PageReport {
    /// Series at most.
    pub series: u64,
    /// Bytes at most, not compressed.
    pub bytes: u64,
    /// Each source's part, in the order of the configuration.
    pub sources: Vec<PartReport>,
}

/// A source's part of the page.
#[derive(Debug, Serialize)]
pub struct PartReport {
    /// The source.
    pub source: String,
    /// Series at most.
    pub series: u64,
    /// Bytes at most, not compressed.
    pub bytes: u64,
}

/// One thing that does not fit.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// What is too much.
    pub what: String,
    /// What to change.
    pub change: Vec<Advice>,
}

/// Prints the plan.
pub fn main(plan: &args::Plan) -> Exit {
    let ports = net::ports();
    let ports = Ports { env: Arc::new(WithStandIns(ports.env.clone())), ..ports };
    let Some(configuration) = load(&plan.config.file, &ports) else { return Exit::Usage };
    let report = report(&configuration, plan);
    match plan.output {
        QueryFormat::Table => say(&print::text(&report)),
        QueryFormat::Json => match serde_json::to_string_pretty(&report) {
            Ok(text) => say(&text),
            Err(error) => {
                eprintln!("{error}");
                return Exit::Failed;
            }
        },
    }
    if report.problems.is_empty() { Exit::Done } else { Exit::Unwell }
}

/// Everything that is to be said of a configuration.
pub fn report(configuration: &Configuration, flags: &args::Plan) -> Report {
    let assumptions = Assumptions {
        online_share: flags.online_share,
        arrivals_per_hour: flags.arrivals_per_hour,
        ..Assumptions::default()
    };
    let inputs = Inputs::of(configuration);
    let plan = inputs.plan(&assumptions);
    let page = page(configuration, &inputs);
    let mut report = Report { plan, page, problems: Vec::new(), warnings: Vec::new() };
    report.problems = over_quota(&report.plan);
    report.problems.extend(over_maximum(&inputs, &report, flags));
    report.warnings = warnings(&report);
    report
}

/// The metrics page of this configuration, our own families included.
fn page(configuration: &Configuration, inputs: &Inputs<'_>) -> PageReport {
    let telemetry = Telemetry::new("0.0.0", "unknown", "unknown");
    let mut exhibits = Vec::new();
    for (number, source) in configuration.sources.iter().enumerate() {
        let account = &configuration.accounts[source.account].settings.name;
        telemetry.register(account, source.kind.name(), &source.actions());
        let has_log = source.provider.round().iter().any(|step| matches!(step, Step::Log { .. }));
        if has_log {
            telemetry.sessions(&source.settings.name, source.kind.name(), source.target_kind.as_str());
        }
        let spec = SourceSpec {
            name: Arc::from(source.settings.name.as_str()),
            provider: source.kind.name(),
            kind: source.target_kind,
            evidence: source.evidence,
            platforms: source.provider.tells_platforms(),
            policy: Policy::at_once(inputs.max_age(number)),
            detection_delay: inputs.delay(number).whole(),
        };
        let (connections, round_trips) = (source.target_kind != Kind::Device, has_log);
        exhibits.push(Exhibit { spec, roster: &source.roster, connections, round_trips });
    }
    let (parts, whole) = size(&exhibits, telemetry.gather());
    let part = |(exhibit, part): (&Exhibit<'_>, Size)| PartReport {
        source: exhibit.spec.name.to_string(),
        series: part.series,
        bytes: part.bytes,
    };
    PageReport {
        series: whole.series,
        bytes: whole.bytes,
        sources: exhibits.iter().zip(parts).map(part).collect(),
    }
}

/// Accounts whose sure requests do not fit.
fn over_quota(plan: &Plan) -> Vec<Verdict> {
    let over = plan.accounts.iter().filter(|account| !account.fits && !account.shed);
    over.map(|account| Verdict {
        what: format!("account {}: {}", account.name, account.overrun()),
        change: account.advice.clone(),
    })
    .collect()
}

/// Maximums of the command line that are passed.
fn over_maximum(inputs: &Inputs<'_>, report: &Report, flags: &args::Plan) -> Vec<Verdict> {
    let mut problems = Vec::new();
    let plan = &report.plan;
    if let Some(max) = flags.max_requests_per_day.filter(|max| plan.calls.ceiling.day > *max) {
        let what = format!("{} requests a day may be made, more than {max}", plan.calls.ceiling.day);
        let change = inputs.intervals_for(&plan.assumptions, |totals| totals.all.day <= max);
        problems.push(Verdict { what, change });
    }
    if let Some(max) = flags.max_billed_per_month.filter(|max| plan.billed.ceiling.month > *max) {
        let billed = plan.billed.ceiling.month;
        let what = format!("{billed} billed requests in thirty days may be made, more than {max}");
        let change = inputs.intervals_for(&plan.assumptions, |totals| totals.billed.month <= max);
        problems.push(Verdict { what, change });
    }
    if let Some(max) = flags.max_detection_delay {
        for (number, source) in plan.sources.iter().enumerate() {
            let delay = &source.detection_delay_seconds;
            let over = delay.total - max.as_secs_f64();
            if over <= 0.0 {
                continue;
            }
            let what = format!(
                "{}: a change may be seen after {:.0} s, later than {}",
                source.name,
                delay.total,
                written(max)
            );
            problems.push(Verdict { what, change: inputs.sooner(number, max) });
        }
    }
    if let Some(max) = flags.max_series.filter(|max| report.page.series > *max) {
        let what = format!("the metrics page may hold {} series, more than {max}", report.page.series);
        problems.push(Verdict { what, change: Vec::new() });
    }
    problems
}

/// What may become too much.
fn warnings(report: &Report) -> Vec<Verdict> {
    let said = report.plan.accounts.iter().flat_map(AccountPlan::warnings);
    let mut warnings: Vec<Verdict> = said.map(|what| Verdict { what, change: Vec::new() }).collect();
    if report.page.bytes > BODY_MAX {
        let what = format!(
            "the metrics page may have {} MiB; some servers refuse more than 16 MiB: scrape /metrics?source=… for each source",
            report.page.bytes >> 20
        );
        warnings.push(Verdict { what, change: Vec::new() });
    }
    warnings
}
