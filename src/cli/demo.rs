//! `demo`: a simulator of all five providers and an exporter that polls it, in one process. Needs no account, no file and
//! no network, and goes the way of every other run: the simulator's configuration is read like any file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::args::Demo;
use super::{Exit, run, say, simulate, table::table, threads};
use crate::daemon::Exporter;
use crate::domain::Moment;
use crate::http::{ListenAddress, Server};
use crate::ports::{Clock, Ports};
use crate::providers::configure::configure;
use crate::simulator::{Setup, Simulator, setup};
use crate::store::Store;
use crate::{net, telemetry};

/// How often `--truth` prints.
const TRUTH_EVERY: Duration = Duration::from_secs(5);

/// Where the demo listens when the port is free; any other free port when not.
const PREFERRED: &str = "127.0.0.1:10076";
const ANY: &str = "127.0.0.1:0";

/// Simulates, polls and serves.
pub fn main(demo: &Demo) -> Exit {
    if let Err(why) = telemetry::init_logging(demo.log.level, demo.log.format) {
        eprintln!("{why}");
        return Exit::Failed;
    }
    let ports = net::ports();
    let simulator = match simulate::bind(&demo.world, None, None, &ports.clock) {
        Ok(simulator) => Arc::new(simulator),
        Err((exit, why)) => {
            eprintln!("{why}");
            return exit;
        }
    };
    match show(demo, &simulator, &ports) {
        Ok(()) => Exit::Done,
        Err(why) => {
            eprintln!("{why}");
            Exit::Failed
        }
    }
}

fn show(demo: &Demo, simulator: &Arc<Simulator>, ports: &Ports) -> Result<(), String> {
    let requests_per_second = Some(demo.requests_per_second.into());
    let setup = Setup { interval: demo.interval, requests_per_second, ..Setup::default() };
    let yaml = simulator.config_yaml(&setup);
    let configuration = configure(&yaml, &ports.env, Path::new(""), 0).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("the simulator's own configuration is not good:\n{}", lines.join("\n"))
    })?;
    let exporter = Exporter::assemble(configuration, ports.clone())?;
    let server = bind(demo)?;
    announce(demo, &server, simulator);
    let store = exporter.store();
    let (stop, stopped) = watch::channel(false);
    let simulating = {
        let (simulator, mut until) = (simulator.clone(), stopped.clone());
        threads::spawn("simulator", move || async move {
            let stopped = async move {
                // An error means that nobody is left to say stop.
                let _ = until.wait_for(|stop| *stop).await;
            };
            if let Err(error) = simulator.serve(stopped).await {
                tracing::error!(%error, "the simulator stopped");
            }
        })
    };
    let clock = ports.clock.clone();
    let telling = tell(simulator, &store, &*clock, demo.truth.then_some(TRUTH_EVERY));
    let ending = async {
        threads::after(demo.duration, &*clock).await;
        // The comparison is taken while everything still runs.
        let comparison = comparison(simulator, &store, clock.now());
        say(&format!(
            "{comparison}

{}",
            spending(demo, simulator)
        ));
    };
    let beside = async {
        tokio::select! {
            () = threads::stop_on_signal(stop, ending) => {}
            () = telling => {}
        }
    };
    let served = run::serve(exporter, server, stopped, beside);
    // The thread aborts the process when it panics, so that joining it cannot fail.
    let _ = simulating.join();
    served
}

fn bind(demo: &Demo) -> Result<Server, String> {
    if !demo.web.listen.is_empty() {
        return run::bind(&demo.web, &demo.web.listen);
    }
    let address = |text: &str| -> ListenAddress { text.parse().expect("the demo's own addresses are good") };
    run::bind(&demo.web, &[address(PREFERRED)]).or_else(|_| run::bind(&demo.web, &[address(ANY)]))
}

fn announce(demo: &Demo, server: &Server, simulator: &Simulator) {
    let targets: usize =
        simulator.world().populations.iter().map(|population| population.subjects.len()).sum();
    say(&format!("{targets} simulated targets at {} providers", simulator.world().populations.len()));
    for address in server.addresses() {
        say(&format!("metrics: http://{address}{}", demo.web.telemetry_path.as_str()));
        say(&format!("status:  http://{address}/"));
    }
    match demo.duration {
        Some(duration) => say(&format!("stops by itself after {}", humantime::format_duration(duration))),
        None => say("stop with Ctrl-C"),
    }
}

/// Prints the comparison again and again; never is over.
async fn tell(simulator: &Simulator, store: &Store, clock: &dyn Clock, every: Option<Duration>) {
    let Some(every) = every else { return std::future::pending().await };
    loop {
        clock.sleep_until(clock.now().tick + every).await;
        say(&comparison(simulator, store, clock.now()));
    }
}

/// The simulator's own truth beside what the exporter says, by source.
fn comparison(simulator: &Simulator, store: &Store, now: Moment) -> String {
    let snapshot = store.snapshot();
    let truth = simulator.truth_at(now);
    let mut rows = Vec::new();
    for population in &truth.populations {
        let name = setup::source_name(population.provider, 1);
        let counts = snapshot
            .sources
            .iter()
            .find(|source| *source.spec.name == *name)
            .map(|source| source.counts(now))
            .unwrap_or_default();
        rows.push(vec![
            name,
            population.online.to_string(),
            population.offline.to_string(),
            counts.online.to_string(),
            counts.offline.to_string(),
            counts.unknown.to_string(),
        ]);
    }
    let head = ["SOURCE", "TRULY ONLINE", "TRULY OFFLINE", "ONLINE", "OFFLINE", "UNKNOWN"];
    table(&head, &rows)
}

/// What came in at the simulator, and how much of it in its fullest second.
fn spending(demo: &Demo, simulator: &Simulator) -> String {
    let record = simulator.record();
    let mut rows = Vec::new();
    for (cloud, _) in simulator.addresses() {
        let fullest = record.fullest_window(cloud, Duration::from_secs(1));
        let requests = record.entries().iter().filter(|entry| entry.cloud == cloud).count();
        let cells = [requests, fullest, usize::from(demo.requests_per_second)];
        rows.push([vec![cloud.to_owned()], cells.map(|cell| cell.to_string()).to_vec()].concat());
    }
    table(&["CLOUD", "REQUESTS", "FULLEST SECOND", "ALLOWED A SECOND"], &rows)
}
