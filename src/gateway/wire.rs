//! A socket's bytes: messages in, frames out, and an end that the other side hears.
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::codec::{self, Decoder, Said, Violation};
use crate::http;
use crate::realtime::CloseCode;

/// Bytes of one read: on the stack, so that a socket that waits holds none.
const READ: usize = 8 * 1024;
/// Pieces of one write.
const PIECES: usize = 32;
/// Bytes up to which pieces are copied together: one `send` costs 8 % less than a `writev` of two small pieces.
const TOGETHER: usize = 4 * 1024;
/// Pieces of what is to be written that an idle socket keeps room for.
const SPARE: usize = 4;
/// How long an end waits for the other side, for how many frames before its close, and for how many bytes after ours.
const FAREWELL: Duration = Duration::from_secs(2);
const LAST_FRAMES: usize = 1_000;
const LAST_BYTES: usize = 1024 * 1024;

/// A WebSocket, the server's side of it.
pub(super) struct Wire {
    socket: http::Socket,
    decoder: Decoder,
    /// What is to be written. A write that was given up leaves the rest here.
    out: VecDeque<Bytes>,
    /// The first piece of it has been written in part.
    torn: bool,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection is gone.
    Gone,
    /// The client broke the protocol.
    Violated(Violation),
}

impl Wire {
    /// Takes a connection over from HTTP. Messages hold at most `limit` bytes. None: it is no connection of ours.
    pub(super) fn new(upgraded: Upgraded, limit: usize) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<http::Socket>>().ok()?;
        let decoder = Decoder::new(limit, &parts.read_buf);
        let socket = parts.io.into_inner();
        socket.limit_send_buffer();
        Some(Self { socket, decoder, out: VecDeque::new(), torn: false })
    }

    /// The next message. May be given up and asked for again: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Said, Broken> {
        poll_fn(|cx| {
            loop {
                if let Some(said) = self.decoder.next().map_err(Broken::Violated)? {
                    return Poll::Ready(Ok(said));
                }
                let Self { socket, decoder, .. } = self;
                if ready!(read(socket, cx, |bytes| decoder.feed(bytes))).map_err(|_| Broken::Gone)? == 0 {
                    return Poll::Ready(Err(Broken::Gone));
                }
            }
        })
        .await
    }

    /// The text of the message that [`Wire::next`] has just answered.
    pub(super) fn text(&self) -> Result<&str, Violation> {
        self.decoder.text()
    }

    /// Writes, with as few calls as it takes. Given up, it goes on with the next call.
    pub(super) async fn write(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> io::Result<()> {
        self.out.extend(pieces);
        poll_fn(|cx| self.poll_out(cx)).await?;
        if self.out.capacity() > SPARE {
            self.out = VecDeque::new();
        }
        Ok(())
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let socket = Pin::new(&mut self.socket);
            let mut written = if let (1, Some(piece)) = (self.out.len(), self.out.front()) {
                ready!(socket.poll_write(cx, piece))?
            } else if self.out.iter().map(Bytes::len).sum::<usize>() <= TOGETHER {
                let mut room = [MaybeUninit::uninit(); TOGETHER];
                let mut together = ReadBuf::uninit(&mut room);
                self.out.iter().for_each(|piece| together.put_slice(piece));
                ready!(socket.poll_write(cx, together.filled()))?
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let mut count = 0;
                for (slice, piece) in slices.iter_mut().zip(&self.out) {
                    *slice = IoSlice::new(piece);
                    count += 1;
                }
                ready!(socket.poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(piece) = self.out.front_mut() {
                if written < piece.len() {
                    self.torn |= written > 0;
                    piece.advance(written);
                    break;
                }
                written -= piece.len();
                self.torn = false;
                self.out.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Answers a close of the client.
    pub(super) async fn closed(&mut self, code: Option<u16>) {
        let _ = timeout(FAREWELL, async {
            self.write([codec::close(code, "")]).await?;
            self.hang_up().await
        })
        .await;
    }

    /// Says why it ends. What had not been written is not, but for the rest of a frame that had begun.
    pub(super) async fn close(&mut self, code: CloseCode, reason: &str) {
        self.out.truncate(usize::from(self.torn));
        let _ = timeout(FAREWELL, async {
            self.write([codec::close(Some(code.number()), reason)]).await?;
            // The client's own close comes behind whatever it had sent; one that broke the protocol is not read any more.
            // Nor is one that goes on without end.
            for _ in 0..LAST_FRAMES {
                if matches!(self.next().await, Ok(Said::Close(_)) | Err(_)) {
                    break;
                }
            }
            self.hang_up().await
        })
        .await;
    }

    /// Ends the connection, and reads to its end: closing with unread bytes would reset away what was said last.
    async fn hang_up(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx)).await?;
        let mut rest = LAST_BYTES;
        while rest > 0 {
            match poll_fn(|cx| read(&mut self.socket, cx, |_| ())).await? {
                0 => break,
                count => rest = rest.saturating_sub(count),
            }
        }
        Ok(())
    }
}

/// Reads once and hands on what came. Answers how many bytes; 0 at the end.
fn read(socket: &mut http::Socket, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
    let mut room = [MaybeUninit::uninit(); READ];
    let mut buffer = ReadBuf::uninit(&mut room);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    let bytes = buffer.filled();
    take(bytes);
    Poll::Ready(Ok(bytes.len()))
}
