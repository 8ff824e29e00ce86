//! The simulated servers' sockets: HTTP/1.1 on loopback, one listener for each cloud. It receives complete requests, lets
//! [`Core`] decide, and does to the connection what the outcome says.
//!
//! It decides nothing, and speaks no TLS and no HTTP/2: real clients can be told plain addresses.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener as StdListener;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, join_all, select};
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::core::{Core, Delivery, GIANT_BYTE, Outcome, response};
use crate::ports::Clock;
use crate::providers::sim::SimRequest;

/// The largest request body received: some ten times the largest that an API here takes (50 names, 200 ids).
const MAX_BODY: usize = 1 << 20;
/// Connections of one listener at once; more wait in the listener's queue. Many times what the exporter opens.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection hangs before it is reset all the same: twice the longest `timeout` that a source may have.
const HANG: Duration = Duration::from_secs(600);
/// How many drops a dripping answer comes in.
const DROPS: u32 = 16;
/// The size of a giant's chunks.
const CHUNK: usize = 64 << 10;
/// How long the first part of a spoilt body has to leave before the rest does not.
const FLUSH: Duration = Duration::from_millis(20);
/// How long nobody is accepted after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What all listeners and connections share.
pub(super) struct Shell {
    pub core: Mutex<Core>,
    pub clock: Arc<dyn Clock>,
    pub connections: AtomicU64,
}

impl Shell {
    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, delay: Duration) {
        self.clock.sleep_until(self.clock.now().tick + delay).await;
    }
}

/// Serves until `stop` is done; then every connection is closed. Listener number n is server number n of the core.
pub(super) async fn serve(
    shell: &Arc<Shell>,
    listeners: &[StdListener],
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut accepting = Vec::new();
    for (number, listener) in listeners.iter().enumerate() {
        let listener = TcpListener::from_std(listener.try_clone()?)?;
        accepting.push(accept(shell.clone(), listener, number));
    }
    match select(pin!(stop), join_all(accepting)).await {
        // With nothing to listen on there is still somebody to wait for.
        Either::Right((_, stop)) => stop.await,
        Either::Left(_) => {}
    }
    Ok(())
}

async fn accept(shell: Arc<Shell>, listener: TcpListener, server: usize) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(done) = connections.join_next() => {
                if let Err(error) = done && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let number = shell.connections.fetch_add(1, Ordering::Relaxed) + 1;
                    connections.spawn(connection(shell.clone(), stream, server, number));
                }
                Err(_) => shell.wait(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn connection(shell: Arc<Shell>, stream: TcpStream, server: usize, number: u64) {
    // Without it a small second part of an answer waits for the first to be acknowledged.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket { stream, reset: reset.clone() };
    let service = service_fn(|request| respond(shell.clone(), server, number, reset.clone(), request));
    // An error here is a client that went away, or a fault that was asked for.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

async fn respond(
    shell: Arc<Shell>,
    server: usize,
    connection: u64,
    reset: Arc<AtomicBool>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let mut refused = hyper::Response::new(full(Bytes::from_static(b"the request is too large\n")));
            *refused.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            return Ok(refused);
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    let received = SimRequest {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &parts.headers,
        body: &body,
    };
    // The clock is read under the lock, so that the record is in the order of its instants.
    let outcome = {
        let mut core = shell.core();
        core.handle(shell.clock.now(), server, connection, &received)
    };
    deliver(shell, outcome, reset).await
}

/// Sends a reply in the way that the outcome says.
async fn deliver(
    shell: Arc<Shell>,
    outcome: Outcome,
    reset: Arc<AtomicBool>,
) -> Result<hyper::Response<Body>, io::Error> {
    if !outcome.delay.is_zero() {
        shell.wait(outcome.delay).await;
    }
    let (mut head, body) = response(&outcome.reply).into_parts();
    let body = match outcome.delivery {
        Delivery::Whole => full(body),
        Delivery::Hang => {
            shell.wait(HANG).await;
            return Err(broken(&reset));
        }
        Delivery::Reset => return Err(broken(&reset)),
        Delivery::Giant(bytes) => {
            head.headers.remove(CONTENT_LENGTH);
            in_steps(shell, reset, vec![Step::Fill(bytes)])
        }
        Delivery::Drip(over) => {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
            in_steps(shell, reset, drops(&body, over))
        }
        Delivery::Truncated(at) => {
            // More is promised than there is, even of an empty body.
            head.headers.insert(CONTENT_LENGTH, body.len().max(at + 1).into());
            in_steps(shell, reset, vec![Step::Send(body.slice(..at.min(body.len()))), Step::Wait(FLUSH)])
        }
        Delivery::ResetAfter(at) => {
            head.headers.insert(CONTENT_LENGTH, body.len().max(at + 1).into());
            let first = body.slice(..at.min(body.len()));
            in_steps(shell, reset, vec![Step::Send(first), Step::Wait(FLUSH), Step::Reset])
        }
    };
    Ok(hyper::Response::from_parts(head, body))
}

/// Marks the connection for a reset, and is the error that ends it.
fn broken(reset: &AtomicBool) -> io::Error {
    reset.store(true, Ordering::Relaxed);
    io::Error::from(io::ErrorKind::ConnectionReset)
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// One step in sending a body.
enum Step {
    Send(Bytes),
    Wait(Duration),
    Fill(u64),
    Reset,
}

fn drops(body: &Bytes, over: Duration) -> Vec<Step> {
    let size = body.len().div_ceil(DROPS as usize).max(1);
    let mut steps = Vec::new();
    for start in (0..body.len()).step_by(size) {
        steps.push(Step::Wait(over / DROPS));
        steps.push(Step::Send(body.slice(start..body.len().min(start + size))));
    }
    steps
}

fn in_steps(shell: Arc<Shell>, reset: Arc<AtomicBool>, steps: Vec<Step>) -> Body {
    let frames = stream::unfold((shell, reset, steps.into_iter(), 0_u64), async |mut state| {
        let (shell, reset, steps, fill) = &mut state;
        loop {
            if *fill > 0 {
                let size = usize::try_from(*fill).unwrap_or(CHUNK).min(CHUNK);
                *fill -= size as u64;
                let frame = Frame::data(Bytes::from(GIANT_BYTE.repeat(size)));
                return Some((Ok(frame), state));
            }
            match steps.next()? {
                Step::Send(bytes) => return Some((Ok(Frame::data(bytes)), state)),
                Step::Wait(delay) => shell.wait(delay).await,
                Step::Fill(bytes) => *fill = bytes,
                Step::Reset => {
                    let error = broken(reset);
                    return Some((Err(error), state));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A connection that is closed in good order, or reset when it is marked so.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Closing a socket that lingers for no time at all sends a reset. Failing that, it is closed.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
