//! A socket's bytes: messages in, frames out, and a close that reaches the client.
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

use super::codec::{self, Decoded, Decoder, Violation};
use crate::http;
use crate::realtime::CloseCode;

/// Bytes of one read. The buffer is on the stack, so that a waiting socket holds none.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Chunks of one vectored write.
const MAX_WRITE_SLICES: usize = 32;
/// Bytes up to which chunks are copied together: one `send` costs 8 % less than a `writev` of two
/// small chunks.
const MAX_COPIED_BYTES: usize = 4 * 1024;
/// Chunks for which an idle socket keeps capacity.
const MAX_SPARE_CHUNKS: usize = 4;
/// How long a close waits for the client.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Frames that are read and dropped while waiting for the client's close.
const MAX_FRAMES_BEFORE_CLOSE: usize = 1_000;
/// Bytes that are read and dropped after our close.
const MAX_BYTES_AFTER_CLOSE: usize = 1024 * 1024;

/// The server's side of a WebSocket.
pub(super) struct FrameStream {
    socket: http::Socket,
    decoder: Decoder,
    /// What is to be written. A cancelled write leaves the rest here.
    out: VecDeque<Bytes>,
    /// The first chunk of `out` is partly written.
    is_partly_written: bool,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The connection is lost or was ended.
    Disconnected,
    /// The client violated the protocol.
    Violation(Violation),
}

impl FrameStream {
    /// Takes over an upgraded connection. Messages hold at most `max_message_bytes`. `None` if the
    /// connection does not come from this server's listener.
    pub(super) fn new(upgraded: Upgraded, max_message_bytes: usize) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<http::Socket>>().ok()?;
        let decoder = Decoder::new(max_message_bytes, &parts.read_buf);
        let socket = parts.io.into_inner();
        socket.limit_send_buffer();
        Some(Self { socket, decoder, out: VecDeque::new(), is_partly_written: false })
    }

    /// Reads the next message, control frame or fragment. Cancel safe: nothing is lost.
    ///
    /// # Errors
    /// [`ReadError`] if the connection is lost or the client violated the protocol.
    pub(super) async fn next(&mut self) -> Result<Decoded, ReadError> {
        poll_fn(|cx| {
            loop {
                if let Some(decoded) = self.decoder.next().map_err(ReadError::Violation)? {
                    return Poll::Ready(Ok(decoded));
                }
                let Self { socket, decoder, .. } = self;
                if ready!(read(socket, cx, |bytes| decoder.feed(bytes))).map_err(|_| ReadError::Disconnected)? == 0 {
                    return Poll::Ready(Err(ReadError::Disconnected));
                }
            }
        })
        .await
    }

    /// Returns the text of the message that [`FrameStream::next`] has just returned.
    ///
    /// # Errors
    /// [`Violation::NotText`] if it is not valid UTF-8.
    pub(super) fn text(&self) -> Result<&str, Violation> {
        self.decoder.text()
    }

    /// Writes chunks with as few system calls as possible. If it is cancelled, the next call writes
    /// the rest.
    ///
    /// # Errors
    /// An I/O error if the connection is lost.
    pub(super) async fn write(&mut self, chunks: impl IntoIterator<Item = Bytes>) -> io::Result<()> {
        self.out.extend(chunks);
        poll_fn(|cx| self.poll_write(cx)).await?;
        if self.out.capacity() > MAX_SPARE_CHUNKS {
            self.out = VecDeque::new();
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let socket = Pin::new(&mut self.socket);
            let mut written = if let (1, Some(chunk)) = (self.out.len(), self.out.front()) {
                ready!(socket.poll_write(cx, chunk))?
            } else if self.out.iter().map(Bytes::len).sum::<usize>() <= MAX_COPIED_BYTES {
                let mut space = [MaybeUninit::uninit(); MAX_COPIED_BYTES];
                let mut copied = ReadBuf::uninit(&mut space);
                self.out.iter().for_each(|chunk| copied.put_slice(chunk));
                ready!(socket.poll_write(cx, copied.filled()))?
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_WRITE_SLICES];
                let mut count = 0;
                for (slice, chunk) in slices.iter_mut().zip(&self.out) {
                    *slice = IoSlice::new(chunk);
                    count += 1;
                }
                ready!(socket.poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(chunk) = self.out.front_mut() {
                if written < chunk.len() {
                    self.is_partly_written |= written > 0;
                    chunk.advance(written);
                    break;
                }
                written -= chunk.len();
                self.is_partly_written = false;
                self.out.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Answers a close of the client with the client's code and ends the connection.
    pub(super) async fn answer_close(&mut self, code: Option<u16>) {
        let _ = timeout(CLOSE_TIMEOUT, async {
            self.write([codec::close(code, "")]).await?;
            self.shut_down().await
        })
        .await;
    }

    /// Closes with a code and a reason, and ends the connection. Chunks that are not written yet
    /// are dropped, except for the rest of one that is partly written.
    pub(super) async fn close(&mut self, code: CloseCode, reason: &str) {
        self.out.truncate(usize::from(self.is_partly_written));
        let _ = timeout(CLOSE_TIMEOUT, async {
            self.write([codec::close(Some(code.number()), reason)]).await?;
            // The client's own close comes after whatever it had sent before. A client that
            // violated the protocol is not read any more, nor is one that never stops sending.
            for _ in 0..MAX_FRAMES_BEFORE_CLOSE {
                if matches!(self.next().await, Ok(Decoded::Close(_)) | Err(_)) {
                    break;
                }
            }
            self.shut_down().await
        })
        .await;
    }

    /// Ends the connection and reads the client's bytes to their end. Closing with unread bytes
    /// would reset the connection, and the client would lose what was sent last.
    async fn shut_down(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx)).await?;
        let mut left = MAX_BYTES_AFTER_CLOSE;
        while left > 0 {
            match poll_fn(|cx| read(&mut self.socket, cx, |_| ())).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    }
}

/// Reads once and passes the bytes to `take`. Returns how many bytes there were; 0 at the end.
fn read(socket: &mut http::Socket, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
    let mut space = [MaybeUninit::uninit(); READ_BUFFER_BYTES];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    let bytes = buffer.filled();
    take(bytes);
    Poll::Ready(Ok(bytes.len()))
}
