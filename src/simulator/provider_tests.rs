//! The real providers against their own simulated sides: the configuration that is written for a simulation is read as
//! any other, and what comes of it is the truth. Every entry of the registry takes part.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::fake::HandClock;
use super::faults::Kind;
use super::*;
use crate::config::testing::MemoryEnv;
use crate::domain::{Fault, RowId, Seen};
use crate::net::{HttpNetwork, OsEntropy};
use crate::ports::{BoxFuture, Network, Outbound, Request, Response, Transport, TransportError};
use crate::providers::configure::{Configuration, Source, configure};
use crate::providers::sim::Trouble;
use crate::providers::{Action, Answer, Failure, Gate, Net, Permit, Question, Step};

const NOW_MS: i64 = 1_780_000_000_000;
const LIMIT: usize = 2 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Lets every request through to real sockets.
struct Open(Arc<dyn Transport>);

impl Gate for Open {
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit> {
        Box::pin(async move { Permit { action } })
    }

    fn send(
        &self,
        _: Permit,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.0.send(request, timeout, LIMIT)
    }

    fn failed(&self, _: &'static Action, _: Fault) {}
}

/// The way out that all sources share.
struct Way {
    gate: Arc<Open>,
    clock: Arc<HandClock>,
}

/// What a round over all targets of a source came to.
type Round = Vec<Result<Answer, Failure>>;

async fn round(source: &Source, way: &Way) -> Round {
    let net = Net::new(way.gate.clone(), way.clock.clone(), Arc::new(OsEntropy), TIMEOUT);
    let mut round = Round::new();
    for step in source.provider.round() {
        match step {
            Step::Batches { ids, .. } => {
                let all: Vec<_> = source.roster.iter().collect();
                for batch in all.chunks(ids) {
                    round.push(source.provider.ask(Question::Batch(batch), &net).await);
                }
            }
            Step::Listing { .. } => {
                round.push(source.provider.ask(Question::Listing(&[source.view()]), &net).await);
            }
            Step::Log { .. } => {
                let question = Question::Log { views: &[source.view()], since_ms: None };
                round.push(source.provider.ask(question, &net).await);
            }
        }
    }
    round
}

/// Simulates the registry's providers under these options, and runs a client with the configuration written for it.
fn with_exporter(options: &Options, client: impl AsyncFnOnce(&Simulator, &Configuration, &Way)) {
    let clock = HandClock::at(NOW_MS);
    let simulator = Simulator::bind(options, clock.clone()).unwrap();
    let text = simulator.config_yaml(&Setup::default());
    let configuration = match configure(&text, &MemoryEnv::default().shared(), Path::new("."), 1) {
        Ok(configuration) => configuration,
        Err(problems) => panic!("{} problems, the first: {}", problems.len(), problems[0]),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let serve = pin!(simulator.serve(std::future::pending()));
        let transport = HttpNetwork.open(&Outbound::default()).expect("a transport");
        let way = Way { gate: Arc::new(Open(transport)), clock };
        let client = pin!(client(&simulator, &configuration, &way));
        match select(serve, client).await {
            Either::Left((ended, _)) => panic!("the simulator ended: {ended:?}"),
            Either::Right(((), _)) => {}
        }
    });
}

fn said<'a>(source: &'a Source, round: &'a Round) -> Vec<(&'a str, &'a Result<Seen, Fault>)> {
    let id = |row: &RowId| source.roster.id(row.index);
    round
        .iter()
        .flat_map(|answer| &answer.as_ref().expect("an answer").rows)
        .map(|(row, seen)| (id(row), seen))
        .collect()
}

#[test]
fn the_configuration_that_is_written_is_read_and_names_every_target() {
    let scenario = Scenario { default_targets: 2_500, ..Scenario::default() };
    with_exporter(&Options { scenario, ..Options::default() }, async |simulator, configuration, _| {
        let world = simulator.world();
        assert_eq!(configuration.sources.len(), world.populations.len());
        assert_eq!(configuration.sources.len(), REGISTRY.len());
        for (source, population) in configuration.sources.iter().zip(&world.populations) {
            assert_eq!(source.kind.name(), population.provider);
            let ids: Vec<&str> = source.roster.iter().map(|target| target.id).collect();
            let expected: Vec<&str> = population.subjects.iter().map(|s| s.id.as_str()).collect();
            assert_eq!(ids, expected);
        }
    });
}

#[test]
fn every_provider_asked_over_real_sockets_tells_the_truth_as_time_goes_on() {
    let scenario = Scenario { default_targets: 230, ..Scenario::default() };
    with_exporter(&Options { scenario, ..Options::default() }, async |simulator, configuration, way| {
        for minutes in [0, 1, 7, 90] {
            way.clock.advance(Duration::from_secs(60 * minutes));
            let truth = simulator.truth();
            for (source, truth) in configuration.sources.iter().zip(&truth.populations) {
                let round = round(source, way).await;
                let said = said(source, &round);
                let online: Vec<&str> = said
                    .iter()
                    .filter(|(_, seen)| seen.as_ref().is_ok_and(|seen| seen.online))
                    .map(|(id, _)| *id)
                    .collect();
                let offline =
                    said.iter().filter(|(_, seen)| seen.as_ref().is_ok_and(|seen| !seen.online)).count();
                assert_eq!(online, truth.online_ids, "{} after {minutes} min more", truth.provider);
                assert_eq!(offline, truth.offline, "{}", truth.provider);
            }
        }
        assert!(
            simulator
                .record()
                .entries()
                .iter()
                .all(|entry| entry.status == Some(200) || entry.status == Some(201))
        );
    });
}

#[test]
fn every_trouble_is_judged_by_every_provider_and_turns_nobody_offline() {
    let throttled = Trouble::Throttled { retry_after_s: None };
    let cases = [
        (Kind::Worded(throttled), &[Fault::Throttled][..]),
        (Kind::Worded(Trouble::ServerError), &[Fault::ServerError]),
        (Kind::Worded(Trouble::ErrorUnder200), &[Fault::ServerError, Fault::Throttled]),
        // Where a token is asked for, one code says both that the secret is wrong and that one may not ask (OpenIM 1002).
        (Kind::Worded(Trouble::Forbidden), &[Fault::Forbidden, Fault::Unauthorized]),
        (Kind::Worded(Trouble::Unauthorized), &[Fault::Unauthorized]),
        (Kind::Worded(Trouble::WrongType), &[Fault::BadAnswer]),
        (Kind::Worded(Trouble::MissingField), &[Fault::BadAnswer]),
        (Kind::Html, &[Fault::ServerError]),
        (Kind::NotJson, &[Fault::BadAnswer]),
        (Kind::Reset, &[Fault::Unreachable]),
        (Kind::Giant(LIMIT as u64 + 1), &[Fault::BadAnswer]),
    ];
    let scenario = Scenario { default_targets: 5, ..Scenario::default() };
    with_exporter(&Options { scenario, ..Options::default() }, async |simulator, configuration, way| {
        for (kind, faults) in cases {
            simulator.set_faults(vec![Incident::always(faults::EVERYWHERE, kind)]);
            for source in &configuration.sources {
                let name = source.kind.name();
                for answer in round(source, way).await {
                    match answer {
                        Ok(answer) => {
                            assert!(answer.rows.iter().all(|(_, seen)| seen.is_err()), "{name} {kind:?}");
                        }
                        Err(failure) => {
                            assert!(faults.contains(&failure.fault), "{name} {kind:?}: {failure:?}");
                        }
                    }
                }
            }
        }
        simulator.set_faults(Vec::new());
        for (source, truth) in configuration.sources.iter().zip(&simulator.truth().populations) {
            let round = round(source, way).await;
            assert_eq!(
                said(source, &round).len(),
                truth.online + truth.offline,
                "{} is well again",
                truth.provider
            );
        }
    });
}

#[test]
fn places_name_every_cloud_and_every_provider_once() {
    let places = places();
    for kind in REGISTRY {
        for name in [kind.name(), kind.cloud().name] {
            assert_eq!(places.iter().filter(|place| **place == name).count(), 1, "{name}");
        }
    }
}
