//! Accepts connections, owns the task of each, and ends them all in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};

use super::guard::{Activity, Guarded};
use super::limits::deadline;
use super::routes::Routes;
use super::{Control, Limits, ListenAddress, TelemetryPath};

/// What a connection may hold of an answer that its reader has not taken yet, before no further piece is made: two pieces.
const WRITE_BUFFER: usize = 128 * 1024;

/// How long accepting pauses when the system has no file or memory left for a connection. Trying on at once would only
/// burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A server whose sockets are bound.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    telemetry: TelemetryPath,
    limits: Limits,
}

impl Server {
    /// Binds every address; needs no runtime yet. The error says which address cannot be had and why.
    pub fn bind(
        addresses: &[ListenAddress],
        telemetry: TelemetryPath,
        limits: Limits,
    ) -> Result<Self, String> {
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.extend(address.bind()?);
        }
        if listeners.is_empty() {
            return Err("no address to listen on is given".to_owned());
        }
        Ok(Self { listeners, telemetry, limits })
    }

    /// The addresses listened on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop` is ready; then takes no more connections, lets the answers under way end within
    /// [`Limits::drain`], and returns. Needs a runtime with I/O and time; one thread is enough.
    pub async fn serve(
        self,
        control: Arc<dyn Control>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let mut listeners = Listeners::new(self.listeners)
            .map_err(|error| format!("the sockets cannot be used for serving: {error}"))?;
        let limits = Arc::new(self.limits);
        let routes = Arc::new(Routes::new(control, self.telemetry, limits.max_requests));
        let ending = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next() => surface(ended),
                stream = listeners.accept(), if connections.len() < limits.connections => {
                    connections.spawn(connection(stream, &routes, &limits, &ending));
                }
            }
        }
        drop(listeners);
        if tokio::time::timeout(limits.drain, ending.shutdown()).await.is_err() {
            tracing::info!("answers under way were cut off: stopping takes no longer");
        }
        connections.shutdown().await;
        Ok(())
    }
}

/// A panic in a connection is ours: it ends the process where panics abort, and the server otherwise.
fn surface(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// One connection from its first request to its last.
fn connection(
    stream: TcpStream,
    routes: &Arc<Routes>,
    limits: &Arc<Limits>,
    ending: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    // Small answers should not wait for more to send with them.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let guarded = Guarded::new(stream, Arc::clone(&activity), Arc::clone(limits));
    let routes = Arc::clone(routes);
    let service = service_fn(move |request| {
        let answer = routes.answer(&request, activity.begin());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts from the end of an answer, so it is the limit for waiting; the guard limits the head itself.
        .header_read_timeout(limits.idle)
        .max_header_size(limits.head_bytes)
        .max_buf_size(WRITE_BUFFER)
        .serve_connection(TokioIo::new(guarded), service);
    let served = ending.watch(served);
    async move {
        if let Err(error) = served.await {
            // A reader that went away, mostly. The text is the library's own and quotes nothing.
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The sockets, asked in turn.
struct Listeners {
    sockets: Vec<TcpListener>,
    next: usize,
}

impl Listeners {
    fn new(sockets: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(|socket| {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)
        });
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()?, next: 0 })
    }

    /// The next connection. Connections that broke before they were accepted are passed over.
    async fn accept(&mut self) -> TcpStream {
        loop {
            match self.accept_any().await {
                Ok(stream) => return stream,
                Err(error) if broke_early(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted at the moment");
                    deadline(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept_any(&mut self) -> io::Result<TcpStream> {
        let count = self.sockets.len();
        std::future::poll_fn(|cx| {
            // Begins after the one that was served last, so that a flood on one address does not silence another.
            for offset in 0..count {
                let index = (self.next + offset) % count;
                if let Poll::Ready(accepted) = self.sockets[index].poll_accept(cx) {
                    self.next = index + 1;
                    return Poll::Ready(accepted.map(|(stream, _)| stream));
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn broke_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
