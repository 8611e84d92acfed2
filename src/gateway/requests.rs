//! Requests: runs what a frame asks for within its deadline, and answers it.
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::close_reason::CloseReason;
use super::connection::Connection;
use super::dispatch::{self, Reply};
use super::frames::{self, ClientFrame, SendOk};
use super::limits::{HELLO_REQUEST_TIMEOUT, MAX_SOCKETS_PER_VISITOR, REQUEST_TIMEOUT};
use super::writing::while_writing_answers;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::metrics::FrameType;
use crate::realtime::{CloseCode, Frame, Priority, Queue, Topic};
use crate::rooms::Posted;
use crate::{accounts, matching, moderation};

/// How often a socket records that its visitor is active.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(60);

/// Why a request was not carried out.
pub(super) enum RequestError {
    /// The request is refused with this error. The socket stays open.
    Refused(Error),
    /// The socket ends.
    Closed(CloseReason),
}

impl From<Error> for RequestError {
    fn from(why: Error) -> Self {
        Self::Refused(why)
    }
}

impl From<CloseReason> for RequestError {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

impl Connection {
    /// Carries out a request and answers it. Not for sends, which are pipelined.
    ///
    /// # Errors
    /// [`CloseReason`] if the socket ends.
    pub(super) async fn act(&mut self, id: u64, frame: ClientFrame) -> Result<(), CloseReason> {
        let is_hello = matches!(frame, ClientFrame::Hello { .. });
        let kind = frame.frame_type();
        if is_hello && !self.registration.subscribed {
            self.register()?;
        }
        self.record_activity();
        let began = Instant::now();
        let deadline = began + if is_hello { HELLO_REQUEST_TIMEOUT } else { REQUEST_TIMEOUT };
        if frame.may_end_right_to_write() && !faults::on(Fault::LeaveOvertakesSends) {
            self.finish_sends(deadline).await?;
        }
        let outcome = self.run_until(deadline, id, frame, began).await;
        self.count(kind, began, &outcome);
        match outcome {
            Ok(reply) => {
                self.has_said_hello |= is_hello;
                self.send(reply.answer).await?;
                self.enqueue_replays(reply.replays);
                Ok(())
            }
            Err(RequestError::Closed(reason)) => Err(reason),
            Err(RequestError::Refused(why)) => {
                self.send(frames::refusal(Some(id), &why)).await?;
                match why {
                    Error::Banned { .. } => self.disconnect_banned().await,
                    Error::SessionEnded => self.disconnect_ended().await,
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// Counts a request that ended.
    fn count(&self, kind: FrameType, began: Instant, outcome: &Result<Reply, RequestError>) {
        let frames = self.app.metrics.sockets.frames(kind);
        match outcome {
            Ok(_) => frames.ok.increment(),
            Err(RequestError::Refused(_)) => frames.refused.increment(),
            Err(RequestError::Closed(_)) => return,
        }
        frames.duration.observe(began.elapsed().as_secs_f64());
    }

    /// Subscribes the socket to its visitor's topic and registers it with matching.
    fn register(&mut self) -> Result<(), CloseReason> {
        let topic = Topic::Visitor(self.who.id);
        if self.app.hub.subscribe(topic, &self.queue) > MAX_SOCKETS_PER_VISITOR {
            self.app.hub.unsubscribe(topic, &self.queue);
            return Err(CloseReason::by_server(CloseCode::Busy, "too many connections of one visitor"));
        }
        self.registration.subscribed = true;
        matching::connected(&self.app, self.who.id);
        Ok(())
    }

    /// Runs a request until a deadline. Answers to earlier sends are written meanwhile. Entries are
    /// not, because the request may subscribe to their room.
    async fn run_until(
        &mut self,
        deadline: Instant,
        id: u64,
        frame: ClientFrame,
        began: Instant,
    ) -> Result<Reply, RequestError> {
        let (queue, mut stream) = (self.queue.clone(), self.stream.take());
        let request = timeout_at(deadline, dispatch::dispatch(self, id, frame));
        let (written, outcome) = while_writing_answers(&queue, stream.as_mut(), request).await;
        self.stream = stream;
        self.record_wait(written, began, began);
        Ok(outcome?.unwrap_or(Err(Error::Unavailable))?)
    }

    /// Reads the visitor again for a frame that arrived at `requested_at`: the rules may have been
    /// accepted since this socket was opened.
    ///
    /// # Errors
    /// `unavailable`, and whatever reading the visitor fails with.
    pub(super) async fn reload_visitor(&mut self, requested_at: Instant) -> Result<(), RequestError> {
        let began = Instant::now();
        let lookup = timeout(REQUEST_TIMEOUT, accounts::reload(&self.app, &self.who));
        let (written, visitor) = while_writing_answers(&self.queue, self.stream.as_mut(), lookup).await;
        self.record_wait(written, requested_at, began);
        self.who = visitor?.unwrap_or(Err(Error::Unavailable))?;
        Ok(())
    }

    /// Requests a disconnect with the visitor's ban. A request met the ban before this node learned
    /// of it; the socket ends in the same way.
    async fn disconnect_banned(&mut self) {
        let lookup = timeout(REQUEST_TIMEOUT, moderation::find_ban_disconnect(&self.app, self.who.id));
        match lookup.await.unwrap_or(Err(Error::Unavailable)) {
            Ok(Some(why)) => self.queue.disconnect(&why),
            Ok(None) => {} // lifted meanwhile
            Err(why) => why.log(),
        }
    }

    /// Requests a disconnect with the reason why the session ended. A frame met the end before this
    /// node learned of it; the socket ends in the same way.
    pub(super) async fn disconnect_ended(&mut self) {
        let Some(session) = self.session else { return };
        let lookup = timeout(REQUEST_TIMEOUT, accounts::find_session_disconnect(&self.app, session));
        match lookup.await.unwrap_or(Err(Error::Unavailable)) {
            Ok(why) => self.queue.disconnect(&why),
            Err(why) => why.log(), // the regular check of all sockets closes it
        }
    }

    /// Records that the visitor's session is used. Of a guest this is a comparison.
    pub(super) fn record_use(&self, frame: &ClientFrame) {
        if self.who.account.is_some()
            && (frame.is_use() || faults::on(Fault::PingIsUse))
            && let Some(session) = self.session
        {
            accounts::record_use_of(&self.app, session);
        }
    }

    /// Records a wait since `began` for a frame that arrived at `requested_at`, and the answers
    /// that were written meanwhile.
    pub(super) fn record_wait(&mut self, answers_written: usize, requested_at: Instant, began: Instant) {
        self.in_flight = self.in_flight.saturating_sub(answers_written);
        self.backlog.record_wait(requested_at, began);
    }

    /// Waits until every send of this socket is committed or refused, and answered. Gives up at the
    /// deadline.
    ///
    /// # Errors
    /// [`CloseReason`] if an answer could not be written.
    pub(super) async fn finish_sends(&mut self, deadline: Instant) -> Result<(), CloseReason> {
        let queue = self.queue.clone();
        while self.in_flight > 0 && timeout_at(deadline, queue.ready()).await.is_ok() {
            self.write_queued().await?;
        }
        Ok(())
    }

    /// Records that the visitor is active, at most once in [`ACTIVITY_INTERVAL`].
    pub(super) fn record_activity(&mut self) {
        if self.active_at.is_none_or(|at| at.elapsed() >= ACTIVITY_INTERVAL) {
            self.active_at = Some(Instant::now());
            accounts::record_activity(&self.app, self.who.id);
        }
    }
}

/// Sends the answer to a send. If the writer panics before it answers, the client gets
/// `unavailable` and repeats the send.
pub(super) struct AnswerSender {
    queue: Arc<Queue>,
    id: u64,
}

impl AnswerSender {
    /// Creates the sender of the answer to the frame `id`.
    pub(super) fn new(queue: Arc<Queue>, id: u64) -> Self {
        Self { queue, id }
    }

    /// Queues the answer.
    pub(super) fn send(&self, outcome: Result<Posted>) {
        self.queue.push(Priority::Answer, send_answer(self.id, outcome).into_wire());
    }
}

impl Drop for AnswerSender {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.send(Err(Error::Unavailable));
        }
    }
}

fn send_answer(re: u64, outcome: Result<Posted>) -> Frame {
    match outcome {
        Ok(posted) => frames::ok(re, &SendOk { seq: posted.seq, at: format_timestamp(posted.at) }),
        Err(why) => frames::refusal(Some(re), &why),
    }
}
