//! Plays one history: assembles the exporter, lets an hour pass, and lets the judge look whenever something happens.

use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use presence_exporter::daemon::{Desk, Exporter};
use presence_exporter::exposition::Format;
use presence_exporter::http::Control;
use presence_exporter::ports::{Clock, Entropy, Env, Ports};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::configure;
use presence_exporter::simulator::{Core, setup};
use tokio::sync::watch;

use super::history::{BEGIN_MS, History, LENGTH, Turn};
use super::judge::Judge;
use super::wire::{Way, Wire};
use crate::virtual_time::VirtualClock;

/// At so many instants of a history everything is judged that follows from time alone.
const LOOKS: usize = 120;

/// At so many of them the page is read.
const PAGES: usize = 3;

/// Requests that are printed of a history that failed.
const TOLD: usize = 60;

/// What came of a history, or of many.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Played {
    pub histories: u64,
    pub requests: u64,
    /// Requests that got no good answer.
    pub went_wrong: u64,
    pub verdicts: u64,
}

impl Played {
    pub fn add(&mut self, one: &Self) {
        self.histories += one.histories;
        self.requests += one.requests;
        self.went_wrong += one.went_wrong;
        self.verdicts += one.verdicts;
    }
}

/// An environment without anything.
pub struct Nothing;

impl Env for Nothing {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, _: &Path, _: u64) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Chance from a seed.
pub struct Seeded(pub Mutex<Rng>);

impl Entropy for Seeded {
    fn bits(&self) -> u64 {
        self.0.lock().unwrap().u64(..)
    }
}

/// An exporter and its servers, not yet running.
pub struct Scene {
    pub clock: Arc<VirtualClock>,
    pub wire: Arc<Wire>,
    pub exporter: Exporter,
}

/// Puts a history's exporter and servers together.
pub fn scene(history: &History) -> Scene {
    let clock = VirtualClock::new(BEGIN_MS);
    let world = history.options.scenario.world(REGISTRY, BEGIN_MS);
    let core = Core::new(&history.options, REGISTRY, Arc::new(world), clock.now());
    let endpoints = Wire::endpoints(core.clouds().len());
    let yaml = history.edited(&setup::config_yaml(&core, &endpoints, &history.setup()));
    let wire = Wire::new(clock.clone(), core, history.latency_ms, history.seed ^ 1);
    let ports = Ports {
        network: Arc::new(Way(wire.clone())),
        clock: clock.clone(),
        entropy: Arc::new(Seeded(Mutex::new(Rng::with_seed(history.seed ^ 2)))),
        env: Arc::new(Nothing),
    };
    let configuration = configure(&yaml, &ports.env, Path::new(""), 0).unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("seed {}: {}\n{yaml}", history.seed, lines.join("\n"))
    });
    let exporter = Exporter::assemble(configuration, ports).expect("there is a way out");
    Scene { clock, wire, exporter }
}

/// Plays the history of this seed. The error says what was wrong, and tells the history.
pub fn play(seed: u64) -> Result<Played, String> {
    let history = History::new(seed);
    let Scene { clock, wire, exporter } = scene(&history);
    let mut judge = Judge::new(&history, exporter.store(), wire.clone(), clock.now());
    let desk = exporter.desk();
    let verdict = run(&history, &clock, &wire, exporter, &desk, &mut judge);
    let verdict = verdict.and_then(|()| judge.sum_up(&history));
    let log = wire.log();
    if let Err(why) = verdict {
        return Err(tell(&history, &clock, &log, &why));
    }
    Ok(Played {
        histories: 1,
        requests: log.calls.len() as u64,
        went_wrong: log.calls.iter().filter(|call| !call.good).count() as u64,
        verdicts: judge.verdicts,
    })
}

/// What happens at an instant.
enum Cue {
    Turn(Turn),
    Look,
    Page,
}

fn cues(history: &History) -> Vec<(Duration, Cue)> {
    let mut rng = Rng::with_seed(history.seed ^ 3);
    let length = u64::try_from(LENGTH.as_micros()).expect("a few hours");
    let mut at = || Duration::from_micros(rng.u64(..length));
    let mut cues: Vec<(Duration, Cue)> = (0..LOOKS).map(|_| (at(), Cue::Look)).collect();
    cues.extend((0..PAGES).map(|_| (at(), Cue::Page)));
    cues.extend(history.turns.iter().map(|(at, turn)| (*at, Cue::Turn(*turn))));
    cues.sort_by_key(|(at, _)| *at);
    cues
}

fn run(
    history: &History,
    clock: &VirtualClock,
    wire: &Wire,
    exporter: Exporter,
    desk: &Desk,
    judge: &mut Judge,
) -> Result<(), String> {
    let (_stop, stopped) = watch::channel(false);
    let began = clock.now().tick;
    let sources: Vec<Arc<str>> =
        exporter.store().snapshot().sources.iter().map(|source| source.spec.name.clone()).collect();
    let mut polling = pin!(exporter.poll(stopped));
    let mut cues = cues(history).into_iter().peekable();
    let mut sleep = clock.sleep_until(began);
    let whole = poll_fn(|context| {
        let now = clock.now();
        if judge.expects() {
            judge.look(now, false)?;
        }
        while sleep.as_mut().poll(context).is_ready() {
            while let Some((_, cue)) = cues.next_if(|(at, _)| began + *at <= now.tick) {
                match cue {
                    Cue::Look => judge.look(now, true)?,
                    Cue::Page => read_page(desk, &sources)?,
                    Cue::Turn(turn) => {
                        judge.disturbed(now.tick);
                        match turn {
                            Turn::Clock(offset) => wire.core().set_clock_offset_ms(offset),
                            Turn::Limit(limit) => wire.core().set_rate_limit(limit),
                        }
                    }
                }
            }
            match cues.peek() {
                Some((at, _)) => sleep = clock.sleep_until(began + *at),
                None if now.tick >= began + LENGTH => return Poll::Ready(Ok(())),
                None => sleep = clock.sleep_until(began + LENGTH),
            }
        }
        let ended = polling.as_mut().poll(context).is_ready();
        if judge.has_news() {
            judge.look(now, false)?;
        }
        if ended { Poll::Ready(Err("polling has ended".to_owned())) } else { Poll::Pending }
    });
    clock.run(LENGTH * 2, whole).unwrap_or_else(|| Err("the history does not end".into()))
}

/// On one page each target is in one state, and the counts are those of the series.
fn read_page(desk: &Desk, sources: &[Arc<str>]) -> Result<(), String> {
    let mut pieces = desk.page(Format::Text, &[]).map_err(|_| "no source was named")?;
    let mut page = Vec::new();
    while pieces.next_piece(&mut page) {}
    let page = String::from_utf8(page).map_err(|error| error.to_string())?;
    let lines = |family: &str, source: &str, rest: &str| -> Vec<&str> {
        let (head, source) = (format!("{family}{{"), format!("source=\"{source}\""));
        page.lines()
            .filter(|line| line.starts_with(&head) && line.contains(&source) && line.contains(rest))
            .collect()
    };
    for source in sources {
        let value = |state: &str| -> Option<usize> {
            let line = *lines("presence_source_targets", source, &format!("state=\"{state}\"")).first()?;
            line.rsplit(' ').next()?.parse().ok()
        };
        let online = lines("presence_online", source, "");
        let counted = [
            online.iter().filter(|line| line.ends_with(" 1")).count(),
            online.iter().filter(|line| line.ends_with(" 0")).count(),
            lines("presence_unknown", source, "").len(),
        ];
        let told = ["online", "offline", "unknown"].map(value);
        let targets = lines("presence_target_info", source, "").len();
        if told != counted.map(Some) || counted.iter().sum::<usize>() != targets {
            return Err(format!("{source}: told {told:?}, counted {counted:?} of {targets}\n{page}"));
        }
    }
    Ok(())
}

fn tell(history: &History, clock: &VirtualClock, log: &super::wire::Log, why: &str) -> String {
    let began = presence_exporter::domain::Tick::from_micros(1_000_000);
    let now = clock.now();
    let mut text = format!("at {:?}: {why}\n{history:#?}\nthe last requests:\n", now.tick.since(began));
    let from = log.calls.len().saturating_sub(TOLD);
    for call in &log.calls[from..] {
        let at = |moment: Option<presence_exporter::domain::Moment>| {
            moment.map_or("-".into(), |moment| format!("{:.6}", moment.tick.since(began).as_secs_f64()))
        };
        let _ = writeln!(
            text,
            "  {} {} sent {} handled {} ended {} status {:?} fault {:?} good {}",
            call.provider,
            call.action,
            at(Some(call.sent)),
            at(call.handled.map(|(moment, _)| moment)),
            at(call.ended),
            call.status,
            call.fault,
            call.good
        );
    }
    text
}
