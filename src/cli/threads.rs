//! Runtimes, threads and signals: the shell around the daemon.

use std::future::Future;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Exit;
use crate::ports::Clock;

/// Runs a future on a runtime of its own, on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs a few descriptors, and a process without them cannot work");
    let value = runtime.block_on(future);
    // A look-up of a name that hangs sits in a thread of the runtime; nobody waits for it.
    runtime.shutdown_background();
    value
}

/// Runs a future on a runtime and a thread of its own. A panic in it ends the process: a half-dead exporter would report
/// yesterday's truth.
pub fn spawn<F>(name: &str, make: impl FnOnce() -> F + Send + 'static) -> thread::JoinHandle<()>
where
    F: Future<Output = ()>,
{
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let run = std::panic::AssertUnwindSafe(|| block_on(make()));
            if std::panic::catch_unwind(run).is_err() {
                std::process::abort();
            }
        })
        .expect("a thread can be had at start")
}

/// Turns `stop` to true on SIGTERM, on SIGINT, or when `also` is over. A signal after that ends the process at once: who
/// sends a second one does not want to wait for what is under way.
pub async fn stop_on_signal(stop: watch::Sender<bool>, also: impl Future<Output = ()>) {
    tokio::select! {
        signal = signalled() => tracing::info!(signal, "stopping"),
        () = also => {}
    }
    // On a thread of its own, since this one may be waiting for another thread to end. Nobody joins it.
    let _ = spawn("second signal", || async {
        let signal = signalled().await;
        tracing::warn!(signal, "stopped at once");
        std::process::exit(Exit::Failed as i32);
    });
    // Nobody listens any more when everything has stopped already.
    let _ = stop.send(true);
}

/// The name of the next signal to stop.
async fn signalled() -> &'static str {
    let mut terminate = signal(SignalKind::terminate()).expect("signal handlers can be installed at start");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signal handlers can be installed at start");
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Is over after this time; never when there is none.
pub async fn after(duration: Option<Duration>, clock: &dyn Clock) {
    match duration {
        Some(duration) => clock.sleep_until(clock.now().tick + duration).await,
        None => std::future::pending().await,
    }
}
