//! A connection that ends by itself when its other side is too slow: in sending a request's head, in taking an answer.
//!
//! The HTTP library polls an answer's body only while its reader takes bytes, so a body cannot notice that nobody reads
//! it. The socket can.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::limits::{Limits, deadline};

/// What the socket has to know about the requests on it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    requests: AtomicU64,
    answering: AtomicBool,
}

/// Lasts as long as an answer is being made; stands in its body.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Activity {
    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    fn serial(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

/// A timer that belongs to the request with this number.
struct Timer {
    serial: u64,
    ends: Pin<Box<Sleep>>,
}

impl Timer {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.ends.as_mut().poll(cx).is_ready()
    }
}

/// A socket with limits.
pub(super) struct Guarded {
    stream: TcpStream,
    activity: Arc<Activity>,
    limits: Arc<Limits>,
    head: Option<Timer>,
    stall: Option<Timer>,
    answer: Option<Timer>,
}

impl Guarded {
    /// Guards a new connection. Its first request is awaited from now on.
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, limits: Arc<Limits>) -> Self {
        let head = Some(Timer { serial: 0, ends: Box::pin(deadline(limits.head)) });
        Self { stream, activity, limits, head, stall: None, answer: None }
    }

    /// Notes that bytes came while no answer is under way: a head has begun, unless one had.
    fn note_read(&mut self) {
        let serial = self.activity.serial();
        let answering = self.activity.answering.load(Ordering::Relaxed);
        if !answering && self.head.as_ref().is_none_or(|head| head.serial != serial) {
            self.head = Some(Timer { serial, ends: Box::pin(deadline(self.limits.head)) });
        }
    }

    /// Whether the head under way has taken too long.
    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let serial = self.activity.serial();
        // A timer of an earlier number: that head was completed.
        self.head.as_mut().is_some_and(|head| head.serial == serial && head.is_over(cx))
    }

    /// The reader takes nothing at the moment: waits, but not for ever.
    fn stuck<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let serial = self.activity.serial();
        let stall = self.limits.stall;
        let stall = self.stall.get_or_insert_with(|| Timer { serial, ends: Box::pin(deadline(stall)) });
        if self.answer.as_ref().is_none_or(|answer| answer.serial != serial) {
            self.answer = Some(Timer { serial, ends: Box::pin(deadline(self.limits.answer)) });
        }
        let over_all = self.answer.as_mut().is_some_and(|answer| answer.is_over(cx));
        if !stall.is_over(cx) && !over_all {
            return Poll::Pending;
        }
        // Otherwise the system would keep what is unsent, some megabytes, and go on trying.
        let _ = self.stream.set_zero_linger();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader does not take its answer")))
    }

    fn wrote<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            return self.stuck(cx);
        }
        self.stall = None;
        written
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() {
            if self.head_is_late(cx) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the request's head is late",
                )));
            }
        } else if buf.filled().len() > before {
            self.note_read();
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
