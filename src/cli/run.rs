//! `run`: the daemon. Configuration first, then ports, then polling and web on a thread each, then an orderly stop.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::args::{Run, WebFlags};
use super::load::load_fitting;
use super::{Exit, threads};
use crate::daemon::{Desk, Exporter, Recalled};
use crate::http::{Limits, ListenAddress, Server};
use crate::{net, telemetry};

/// Where the exporter listens when nobody says otherwise.
pub const DEFAULT_LISTEN: &str = ":10076";

/// Polls and serves until it is told to stop.
pub fn main(run: &Run) -> Exit {
    if let Err(why) = telemetry::init_logging(run.log.level, run.log.format) {
        eprintln!("{why}");
        return Exit::Failed;
    }
    let ports = net::ports();
    let Some((mut configuration, warnings)) = load_fitting(&run.config.file, &ports) else {
        return Exit::Usage;
    };
    for warning in &warnings {
        warn!("{warning}");
    }
    let recall = |path| Recalled::open(path, &mut configuration, ports.clock.now());
    let recalled = match run.state_path.as_deref().map(recall).transpose() {
        Ok(recalled) => recalled,
        Err(why) => {
            error!("{why}");
            return Exit::Failed;
        }
    };
    let mut exporter = match Exporter::assemble(configuration, ports) {
        Ok(exporter) => exporter,
        Err(why) => {
            eprintln!("{}: {why}", run.config.file.display());
            return Exit::Usage;
        }
    };
    if let Some(recalled) = recalled
        && let Err(why) = exporter.keep_state(recalled)
    {
        error!("{why}");
        return Exit::Failed;
    }
    let server = match bind(&run.web, &listen(&run.web)) {
        Ok(server) => server,
        Err(why) => {
            error!("{why}");
            return Exit::Failed;
        }
    };
    let (stop, stopped) = watch::channel(false);
    let served = serve(exporter, server, stopped, threads::stop_on_signal(stop, std::future::pending()));
    match served {
        Ok(()) => Exit::Done,
        Err(why) => {
            error!("{why}");
            Exit::Failed
        }
    }
}

/// The addresses to listen on.
fn listen(web: &WebFlags) -> Vec<ListenAddress> {
    if web.listen.is_empty() {
        vec![DEFAULT_LISTEN.parse().expect("the default is an address")]
    } else {
        web.listen.clone()
    }
}

/// Opens the web side's sockets.
pub(super) fn bind(web: &WebFlags, listen: &[ListenAddress]) -> Result<Server, String> {
    let limits = Limits { max_requests: web.max_requests, ..Limits::default() };
    Server::bind(listen, web.telemetry_path.clone(), limits)
}

/// Polls on a thread of its own and serves on this one, until both have stopped. `beside` runs with the web side; it is
/// who says stop.
pub(super) fn serve(
    mut exporter: Exporter,
    server: Server,
    stopped: watch::Receiver<bool>,
    beside: impl Future<Output = ()>,
) -> Result<(), String> {
    for address in server.addresses() {
        info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    }
    let desk: Arc<Desk> = exporter.desk();
    let poll_until = stopped.clone();
    let (polled, saved_until) = watch::channel(false);
    let saving = exporter.saving().map(|saving| threads::spawn("saving", move || saving.run(saved_until)));
    let watch_until = stopped.clone();
    let watching =
        exporter.watching().map(|watching| threads::spawn("watching", move || watching.run(watch_until)));
    let polling = threads::spawn("polling", move || exporter.poll(poll_until));
    let served = threads::block_on(async {
        let mut web_until = stopped;
        let until = async move {
            // An error means that nobody is left to say stop.
            let _ = web_until.wait_for(|stop| *stop).await;
        };
        let serving = server.serve(desk, until);
        tokio::pin!(serving, beside);
        tokio::select! {
            served = &mut serving => served,
            () = &mut beside => serving.await,
        }
    });
    // The thread aborts the process when it panics, so that joining it cannot fail.
    let _ = polling.join();
    let _ = watching.map(std::thread::JoinHandle::join);
    // What the last answers said is saved too. Without a state file nobody listens.
    let _ = polled.send(true);
    let _ = saving.map(std::thread::JoinHandle::join);
    info!("stopped");
    served
}
