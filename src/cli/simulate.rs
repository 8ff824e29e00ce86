//! `simulate`: serve all five APIs on loopback until interrupted.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::args::{Simulate, WorldFlags};
use super::{Exit, say, threads};
use crate::ports::Clock;
use crate::simulator::{Options, Scenario, Setup, Simulator, fault_text, places};
use crate::{net, telemetry};

/// How long after the start a made-up world still moves when nobody says how long it is wanted.
const HORIZON: Duration = Duration::from_secs(24 * 3_600);

/// Serves.
pub fn main(simulate: &Simulate) -> Exit {
    if let Err(why) = telemetry::init_logging(simulate.log.level, simulate.log.format) {
        eprintln!("{why}");
        return Exit::Failed;
    }
    let ports = net::ports();
    let simulator = match bind(&simulate.world, simulate.port, simulate.rate_limit, &ports.clock) {
        Ok(simulator) => Arc::new(simulator),
        Err((exit, why)) => {
            eprintln!("{why}");
            return exit;
        }
    };
    for (cloud, address) in simulator.addresses() {
        say(&format!("{cloud}: http://{address}"));
    }
    if let Some(file) = &simulate.config_out {
        if let Err(error) = std::fs::write(file, simulator.config_yaml(&Setup::default())) {
            eprintln!("{}: cannot be written: {error}", file.display());
            return Exit::Failed;
        }
        say(&format!("configuration: {}", file.display()));
    }
    let served = threads::block_on(serve_until(simulator.clone(), simulate.duration, ports.clock));
    if let Err(error) = served {
        eprintln!("the simulator stopped: {error}");
        return Exit::Failed;
    }
    match &simulate.record {
        Some(file) => write_record(&simulator, file),
        None => Exit::Done,
    }
}

/// Opens a simulator for these flags. The error goes with its exit code.
pub(super) fn bind(
    world: &WorldFlags,
    port: Option<u16>,
    rate_limit: Option<u32>,
    clock: &Arc<dyn Clock>,
) -> Result<Simulator, (Exit, String)> {
    let faults = world
        .faults
        .iter()
        .map(|text| fault_text::parse(text, &places()).map_err(|why| (Exit::Usage, format!("--{why}"))));
    let options = Options {
        scenario: Scenario {
            seed: world.seed,
            default_targets: world.targets as usize,
            horizon: HORIZON,
            ..Scenario::default()
        },
        faults: faults.collect::<Result<_, _>>()?,
        base_port: port,
        rate_limit,
        ..Options::default()
    };
    Simulator::bind(&options, clock.clone())
        .map_err(|error| (Exit::Failed, format!("the simulator cannot listen: {error}")))
}

async fn serve_until(
    simulator: Arc<Simulator>,
    duration: Option<Duration>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<()> {
    let (stop, mut stopped) = watch::channel(false);
    let signals = threads::stop_on_signal(stop, threads::after(duration, &*clock));
    let serving = simulator.serve(async move {
        // An error means that nobody is left to say stop.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let ((), served) = futures_util::future::join(signals, serving).await;
    served
}

fn write_record(simulator: &Simulator, file: &std::path::Path) -> Exit {
    let written =
        File::create(file).and_then(|file| simulator.record().write_json_lines(0, &mut BufWriter::new(file)));
    match written {
        Ok(_) => {
            say(&format!("record: {}", file.display()));
            Exit::Done
        }
        Err(error) => {
            eprintln!("{}: cannot be written: {error}", file.display());
            Exit::Failed
        }
    }
}
