//! A client's TCP stream, and the phase of its connection, which decides its time limit.
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

use super::connection_limit::Permit;
use super::limits;
use crate::faults::{self, Fault};
use crate::tasks::Tasks;

/// Time for which a closed connection is still read.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes for which a closed connection is still read.
const LINGER_BYTES: u64 = 1024 * 1024;

/// Bytes that the kernel buffers for a client that does not read (it adds as much again for its own
/// bookkeeping). By default it buffers up to 4 MiB, which does not count as the server's memory,
/// and the server does not notice a slow reader for minutes.
const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the start of the connection to its first byte.
    pub(super) first_byte: Duration,
    /// From the first byte of a request to the end of its head.
    pub(super) head: Duration,
    /// From the start of a response to the first byte of the next request.
    pub(super) idle: Duration,
    /// Added to `idle` for a response that the client is still reading.
    pub(super) slow_response: Duration,
    /// How long a draining node still accepts connections, and waits for a first byte on open ones.
    pub(super) drain_grace: Duration,
    /// How long a refused connection is still read, so that the client receives the refusal rather
    /// than a reset.
    pub(super) refusal: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: limits::FIRST_BYTE_TIMEOUT,
            head: limits::HEAD_TIMEOUT,
            idle: limits::IDLE_TIMEOUT,
            slow_response: Duration::from_secs(60),
            // A load balancer that probes twice a second has noticed by then.
            drain_grace: Duration::from_millis(500),
            refusal: Duration::from_secs(1),
        }
    }
}

/// What a connection is doing, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Connected, without a byte so far.
    Silent(Instant),
    /// Receiving a request's head.
    Head(Instant),
    /// A request is in progress, or the connection has become a WebSocket. Others limit its time.
    Busy,
    /// The last request was answered; its response may still be in transit.
    Answered(Instant),
}

/// A phase shared by the connection's socket, its service and its timer, which run in one task.
#[derive(Clone)]
pub(super) struct SharedPhase(Arc<Mutex<Phase>>);

impl SharedPhase {
    /// Creates the phase of a connection that has just been accepted.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Silent(Instant::now()))))
    }

    pub(super) fn get(&self) -> Phase {
        *self.0.lock()
    }

    pub(super) fn set(&self, phase: Phase) {
        *self.0.lock() = phase;
    }

    /// Records that bytes arrived. Between two requests, they begin the next one.
    fn received(&self) {
        if matches!(self.get(), Phase::Silent(_) | Phase::Answered(_)) {
            self.set(Phase::Head(Instant::now()));
        }
    }
}

/// The TCP stream of a connection that was admitted.
pub struct Socket {
    stream: TcpStream,
    phase: SharedPhase,
    /// The client has closed its side, or is gone.
    ended: bool,
    /// Held until the stream is closed, whatever it was upgraded to.
    permit: Option<Arc<Permit>>,
    tasks: Tasks,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, phase: SharedPhase, permit: Arc<Permit>, tasks: Tasks) -> Self {
        Self { stream, phase, ended: false, permit: Some(permit), tasks }
    }

    /// Limits the bytes that the kernel buffers for a slow reader. For long-lived connections.
    pub fn limit_send_buffer(&self) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.stream, SEND_BUFFER_BYTES);
    }
}

impl Drop for Socket {
    /// Closing with unread bytes would reset the connection, and the client could lose the last
    /// response. So after a response, the connection is read a little longer, until the client
    /// closes it.
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
            let discarding = async {
                let rest = TcpStream::from_std(rest)?;
                tokio::io::copy(&mut rest.take(LINGER_BYTES), &mut tokio::io::sink()).await
            };
            tokio::select! {
                _ = timeout(LINGER_TIMEOUT, discarding) => {}
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
            self.phase.received();
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
