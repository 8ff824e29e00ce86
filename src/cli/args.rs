//! Commands and flags. Names follow the ecosystem: dotted, as Prometheus and its exporters write them.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::config::common::LIMIT_INTERVAL_S;
use crate::http::{ListenAddress, MAX_REQUESTS, TelemetryPath};
use crate::telemetry::{LogFormat, LogLevel};

/// Who is online, since when, and how good is their connection? A Prometheus exporter that asks provider APIs on a
/// schedule and tells online, offline and unknown apart.
#[derive(Debug, Parser)]
#[command(name = "presence-exporter", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `run`.
    #[command(flatten)]
    pub run: Run,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Poll the configured providers and serve /metrics (the default)
    Run(Run),
    /// Run a simulator of all five providers and an exporter that polls it; needs no account, no file and no network
    Demo(Demo),
    /// Check a configuration and name every problem in it
    Check(Check),
    /// Say what a configuration costs and how fresh it can be, before a key is used; exit code 2 when it does not fit
    Plan(Plan),
    /// Ask a source's provider now and show what it answers, with the evidence
    Query(Query),
    /// Ask a running exporter why it shows a target as it does
    Explain(Explain),
    /// Serve all five provider APIs on loopback, with a world of made-up users, devices and desktops
    Simulate(Simulate),
}

/// Flags about the configuration file.
#[derive(Debug, Clone, Args)]
pub struct ConfigFlag {
    /// The configuration file
    #[arg(long = "config.file", value_name = "FILE", default_value = "config.yaml")]
    pub file: PathBuf,
}

/// Flags about the log, which goes to stderr.
#[derive(Debug, Clone, Args)]
pub struct LogFlags {
    /// The least severe messages to log
    #[arg(long = "log.level", value_name = "LEVEL", value_parser = log_level(), default_value = "info")]
    pub level: LogLevel,
    /// How log lines look
    #[arg(long = "log.format", value_name = "FORMAT", value_parser = log_format(), default_value = "logfmt")]
    pub format: LogFormat,
}

/// Flags about the web side.
#[derive(Debug, Clone, Args)]
pub struct WebFlags {
    /// Address to listen on, HOST:PORT or :PORT; may be given several times [default: :10076]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen: Vec<ListenAddress>,
    /// Path of the metrics page
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    pub telemetry_path: TelemetryPath,
    /// Pages of metrics served at once at most; 0: no limit
    #[arg(long = "web.max-requests", value_name = "COUNT", default_value_t = MAX_REQUESTS, value_parser = count)]
    pub max_requests: usize,
}

/// The flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigFlag,
    /// The web side.
    #[command(flatten)]
    pub web: WebFlags,
    /// Keep last seen, last change and counters in this file, so that they go on after a restart; not kept when left
    /// out
    #[arg(long = "state.path", value_name = "FILE")]
    pub state_path: Option<PathBuf>,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigFlag,
}

/// The flags of `plan`.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// The configuration file; its secrets need not be there
    #[command(flatten)]
    pub config: ConfigFlag,
    /// How to print: table or json
    #[arg(
        long = "output",
        value_name = "FORM",
        value_enum,
        hide_possible_values = true,
        default_value = "table"
    )]
    pub output: QueryFormat,
    /// Exit with code 2 if more requests a day than this may be made, by the ceiling
    #[arg(long = "max-requests-per-day", value_name = "COUNT")]
    pub max_requests_per_day: Option<u64>,
    /// Exit with code 2 if more billed requests in thirty days than this may be made, by the ceiling
    #[arg(long = "max-billed-per-month", value_name = "COUNT")]
    pub max_billed_per_month: Option<u64>,
    /// Exit with code 2 if a change of any source may be seen later than this, such as 2m
    #[arg(long = "max-detection-delay", value_name = "DURATION", value_parser = duration)]
    pub max_detection_delay: Option<Duration>,
    /// Exit with code 2 if the metrics page may hold more series than this
    #[arg(long = "max-series", value_name = "COUNT")]
    pub max_series: Option<u64>,
    /// The part of the targets that the ceiling takes to be online, 0 to 1
    #[arg(long = "assume.online-share", value_name = "SHARE", default_value = "0.5", value_parser = share)]
    pub online_share: f64,
    /// How often an hour the ceiling takes each target to come online
    #[arg(long = "assume.arrivals-per-hour", value_name = "COUNT", default_value = "1", value_parser = arrivals)]
    pub arrivals_per_hour: f64,
}

/// Unlike `run`, which has to be found at its port, the demo takes another one when its own is taken.
const DEMO_LISTEN: &str = "Address to listen on, HOST:PORT or :PORT; may be given several times [default: \
                           127.0.0.1:10076, or a free port if that one is taken]";

/// How `query` and `explain` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QueryFormat {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
}

/// The flags of `query`.
#[derive(Debug, Clone, Args)]
pub struct Query {
    /// The source to ask, a key of `sources`
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The targets to ask about, by id; all of the source's when left out
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How to print: table or json
    #[arg(
        long = "output",
        value_name = "FORM",
        value_enum,
        hide_possible_values = true,
        default_value = "table"
    )]
    pub output: QueryFormat,
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigFlag,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The flags of `explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// The target's source, a key of `sources`
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The target's id
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Where the exporter serves its pages, without /metrics
    #[arg(long = "web.url", value_name = "URL", default_value = "http://localhost:10076")]
    pub url: String,
    /// How to print: table or json
    #[arg(
        long = "output",
        value_name = "FORM",
        value_enum,
        hide_possible_values = true,
        default_value = "table"
    )]
    pub output: QueryFormat,
}

/// What `simulate` and `demo` make up.
#[derive(Debug, Clone, Args)]
pub struct WorldFlags {
    /// What the world is made from; the same number makes the same world
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub seed: u64,
    /// How many targets each provider has
    #[arg(long, value_name = "COUNT", default_value = "12",
          value_parser = clap::value_parser!(u32).range(2..=200_000))]
    pub targets: u32,
    /// A fault on schedule, such as `openim:throttle@10s-30s`; may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<String>,
}

/// The flags of `demo`.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("listen", |listen| listen.help(DEMO_LISTEN)))]
pub struct Demo {
    /// Stop by itself after this time, such as 30s; run until interrupted when left out
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How often every target is asked about
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = interval)]
    pub interval: Duration,
    /// HTTP requests a second that each account may spend
    #[arg(long = "requests-per-second", value_name = "COUNT", default_value = "20",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub requests_per_second: u16,
    /// Print the simulator's own truth beside the exporter's counts, again and again
    #[arg(long)]
    pub truth: bool,
    /// The world.
    #[command(flatten)]
    pub world: WorldFlags,
    /// The web side.
    #[command(flatten)]
    pub web: WebFlags,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The flags of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct Simulate {
    /// The first of the ports on 127.0.0.1, one for each cloud; free ones when left out
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Write a configuration that asks this simulator to this file
    #[arg(long = "config.out", value_name = "FILE")]
    pub config_out: Option<PathBuf>,
    /// Write each request that came in to this file, as JSON lines, at the end
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Refuse more requests a second than this, at each port, as the providers do
    #[arg(long = "rate-limit", value_name = "COUNT")]
    pub rate_limit: Option<u32>,
    /// Stop by itself after this time, such as 30s; run until interrupted when left out
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// The world.
    #[command(flatten)]
    pub world: WorldFlags,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write it like 30s, 5m or 1h 30m".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it must be a whole number, 0 or more".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or("write a number from 0 to 1".to_owned())
}

fn arrivals(text: &str) -> Result<f64, String> {
    let good = |count: &f64| (0.0..=3600.0).contains(count);
    text.parse().ok().filter(good).ok_or("write a number from 0 to 3600".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let range = Duration::from_secs(1)..=Duration::from_secs(LIMIT_INTERVAL_S);
    if range.contains(&interval) { Ok(interval) } else { Err("it must be 1s to 1day".to_owned()) }
}

fn log_level() -> impl TypedValueParser<Value = LogLevel> {
    let level = |name: String| LogLevel::ALL.into_iter().find(|level| level.as_str() == name);
    PossibleValuesParser::new(LogLevel::ALL.map(LogLevel::as_str))
        .map(move |name| level(name).expect("the parser takes the names of these values only"))
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    let format = |name: String| LogFormat::ALL.into_iter().find(|format| format.as_str() == name);
    PossibleValuesParser::new(LogFormat::ALL.map(LogFormat::as_str))
        .map(move |name| format(name).expect("the parser takes the names of these values only"))
}
