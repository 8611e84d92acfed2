//! Writing to a socket: with a deadline, from its queue, and while something else is waited for.
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::close_reason::CloseReason;
use super::connection::Connection;
use super::limits::SOCKET_WRITE_TIMEOUT;
use super::stream::FrameStream;
use crate::faults::{self, Fault};
use crate::realtime::{CloseCode, Frame, Priority, Queue, QueueState};

/// How often the queue is checked for answers while something else is waited for.
const ANSWER_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Frames for which an idle socket keeps capacity.
const MAX_SPARE_FRAMES: usize = 8;

impl Connection {
    /// Writes what is queued. A socket that lags reads again what was dropped, at its own pace.
    ///
    /// # Errors
    /// [`CloseReason`] if the write failed or a disconnect was requested.
    pub(super) async fn write_queued(&mut self) -> Result<(), CloseReason> {
        let mut frames = std::mem::take(&mut self.spare);
        let state = self.queue.drain_into(&mut frames);
        for (priority, _) in &frames {
            match priority {
                Priority::Entry { room, seq } => {
                    let mut subscriptions = self.subscriptions.values_mut();
                    if let Some(subscription) = subscriptions.find(|one| one.membership.room.id == *room) {
                        subscription.delivered = subscription.delivered.max(Some(*seq));
                    }
                }
                Priority::Answer => self.in_flight = self.in_flight.saturating_sub(1),
                Priority::Ephemeral | Priority::Reliable => {}
            }
        }
        self.write(frames.drain(..).map(|(_, bytes)| bytes)).await?;
        if frames.capacity() <= MAX_SPARE_FRAMES {
            self.spare = frames;
        }
        if let Some(disconnect) = self.queue.requested_disconnect() {
            self.send(disconnect.last).await?;
            return Err(CloseReason::by_server(disconnect.code, disconnect.reason));
        }
        if state == QueueState::Lagging {
            self.restart_all_replays();
        }
        Ok(())
    }

    /// Writes what is queued and one more frame, and ignores the socket's lag: it ends anyway.
    ///
    /// # Errors
    /// [`CloseReason`] if the write failed.
    pub(super) async fn write_last(&mut self, last: Frame) -> Result<(), CloseReason> {
        let mut rest = VecDeque::new();
        self.queue.drain_into(&mut rest);
        let mut chunks: Vec<_> = rest.into_iter().map(|(_, bytes)| bytes).collect();
        chunks.push(last.into_wire());
        self.write(chunks).await
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// [`CloseReason`] if the write failed.
    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), CloseReason> {
        self.write([frame.into_wire()]).await
    }

    /// Writes chunks of bytes.
    ///
    /// # Errors
    /// [`CloseReason`] if the write failed.
    pub(super) async fn write(&mut self, chunks: impl IntoIterator<Item = Bytes>) -> Result<(), CloseReason> {
        write(self.stream.as_mut(), chunks).await
    }
}

/// Writes chunks within [`SOCKET_WRITE_TIMEOUT`]. Meanwhile the socket's queue drops what can be
/// read again.
///
/// # Errors
/// [`CloseReason`] if the connection is lost or the client reads too slowly.
async fn write(stream: Option<&mut FrameStream>, chunks: impl IntoIterator<Item = Bytes>) -> Result<(), CloseReason> {
    let Some(stream) = stream else { return Err(CloseReason::ConnectionLost) };
    match timeout(SOCKET_WRITE_TIMEOUT, stream.write(chunks)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(CloseReason::ConnectionLost),
        Err(_) if faults::on(Fault::SlowSocketKept) => Ok(()),
        Err(_) => Err(CloseReason::by_server(CloseCode::TooSlow, "too slow")),
    }
}

/// Waits for `operation` and writes queued answers meanwhile. Returns how many answers were
/// written, and the outcome of the operation or the reason why the socket ends.
pub(super) async fn while_writing_answers<T>(
    queue: &Queue,
    mut stream: Option<&mut FrameStream>,
    operation: impl Future<Output = T>,
) -> (usize, Result<T, CloseReason>) {
    let mut operation = pin!(operation);
    let mut written = 0;
    loop {
        tokio::select! {
            biased;
            outcome = &mut operation => return (written, Ok(outcome)),
            () = tokio::time::sleep(ANSWER_POLL_INTERVAL) => {}
        }
        let answers = queue.take_answers();
        if answers.is_empty() {
            continue;
        }
        written += answers.len();
        let mut writing = pin!(write(stream.as_deref_mut(), answers));
        tokio::select! {
            biased;
            wrote = &mut writing => if let Err(reason) = wrote { return (written, Err(reason)) },
            // A write that has started is finished.
            outcome = &mut operation => return (written, writing.await.map(|()| outcome)),
        }
    }
}
