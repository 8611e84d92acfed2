//! A connection's bytes, and what the connection is doing: that decides how long it may go on.
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::gate::Permit;
use crate::faults::{self, Fault};
use crate::tasks::Tasks;

/// How long, and for how many bytes, a closed connection is listened to.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1024 * 1024;

/// Bytes that the kernel keeps for a client that does not read; it takes as many again for its own books. Left to itself it
/// takes up to 4 MiB, which nobody sees as the server's memory, and a slow reader is not felt for minutes.
const UNREAD: usize = 32 * 1024;

/// How long a connection may take over each thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the connection's start to its first byte.
    pub(super) first_byte: Duration,
    /// From a request's first byte to the end of its head.
    pub(super) head: Duration,
    /// From an answer's start to the next request's first byte.
    pub(super) idle: Duration,
    /// What an answer that is still being read after `idle` gets on top.
    pub(super) slow_answer: Duration,
    /// How long a node that drains still accepts, and waits for those that connected and have said nothing.
    pub(super) last_call: Duration,
    /// How long a refused connection is listened to, so that it reads the refusal rather than a reset.
    pub(super) refusal: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            slow_answer: Duration::from_secs(60),
            // A balancer that asks twice a second has heard by then.
            last_call: Duration::from_millis(500),
            refusal: Duration::from_secs(1),
        }
    }
}

/// What a connection is doing, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Connected; not a byte yet.
    Silent(Instant),
    /// A request's head is coming in.
    Head(Instant),
    /// A request is in hand, or the connection has become a WebSocket. Others watch the time.
    Busy,
    /// The last request was answered; its answer may still be on the way.
    Answered(Instant),
}

/// A phase shared by the connection's socket, its service and its watch, which all live in one task.
#[derive(Clone)]
pub(super) struct SharedPhase(Arc<Mutex<Phase>>);

impl SharedPhase {
    /// The phase of a connection that has just been accepted.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Silent(Instant::now()))))
    }

    pub(super) fn get(&self) -> Phase {
        *self.0.lock()
    }

    pub(super) fn set(&self, phase: Phase) {
        *self.0.lock() = phase;
    }

    /// Bytes came in: between two requests they begin the next one.
    fn heard(&self) {
        if matches!(self.get(), Phase::Silent(_) | Phase::Answered(_)) {
            self.set(Phase::Head(Instant::now()));
        }
    }
}

/// The TCP stream of a connection that was let in.
pub struct Socket {
    stream: TcpStream,
    phase: SharedPhase,
    /// The other side has said its last, or is gone.
    ended: bool,
    /// Held until the stream is closed, whatever it was upgraded to.
    permit: Option<Arc<Permit>>,
    tasks: Tasks,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, phase: SharedPhase, permit: Arc<Permit>, tasks: Tasks) -> Self {
        Self { stream, phase, ended: false, permit: Some(permit), tasks }
    }

    /// Bounds what the kernel keeps of what is written and not read: for a connection that stays.
    pub fn bound_unread(&self) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.stream, UNREAD);
    }
}

impl Drop for Socket {
    /// Closing with bytes unread would reset the connection, and take away what was said last. So who has been answered is
    /// listened to until it ends the connection too, for a moment.
    fn drop(&mut self) {
        let is_answered = matches!(self.phase.get(), Phase::Busy | Phase::Answered(_));
        if self.ended || !is_answered || self.tasks.stopping.is_cancelled() || faults::on(Fault::UnreadBytesReset) {
            return;
        }
        let Ok(rest) = self.stream.as_fd().try_clone_to_owned() else { return };
        let (rest, permit) = (std::net::TcpStream::from(rest), self.permit.take());
        if rest.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let stopping = self.tasks.stopping.clone();
        self.tasks.spawn("http.linger", async move {
            let listening = async {
                let rest = TcpStream::from_std(rest)?;
                tokio::io::copy(&mut rest.take(LINGER_BYTES), &mut tokio::io::sink()).await
            };
            tokio::select! {
                _ = timeout(LINGER, listening) => {}
                () = stopping.cancelled() => {}
            }
            drop(permit);
        });
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.phase.heard();
        } else {
            self.ended |= outcome.is_err() || buf.remaining() > 0;
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
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
