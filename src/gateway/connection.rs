//! One socket: reads frames, writes answers and what is queued, and keeps its deadlines. Each
//! socket has one task.
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::upgrade::Upgraded;
use rand::RngExt as _;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::backlog::BacklogTimer;
use super::close_reason::CloseReason;
use super::codec::{self, Decoded};
use super::frames::{self, ClientFrame, ParsedFrame};
use super::heartbeat::{Beat, Heartbeat};
use super::limits::{
    HELLO_TIMEOUT, MAX_FRAME_BYTES, MAX_SENDS_IN_FLIGHT, MAX_UNREADABLE_FRAMES, RECONNECT_DELAY_MS,
    SOCKET_WRITE_TIMEOUT, STOP_TIMEOUT,
};
use super::receiving::Received;
use super::refused_frames::RefusedFrames;
use super::registration::SocketRegistration;
use super::replays::PendingReplay;
use super::requests::{AnswerSender, RequestError};
use super::stream::{FrameStream, ReadError};
use super::writing::while_writing_answers;
use crate::accounts::{self, SessionKey, Visitor};
use crate::app::App;
use crate::error::Error;
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key, Prefix};
use crate::ids::Seq;
use crate::matching;
use crate::metrics::FrameType;
use crate::realtime::{CloseCode, Disconnect, Notice, NoticeKind, Priority, Queue};
use crate::rooms::{self, Membership};

/// Serves an upgraded socket until it ends. It belongs to a visitor, an address prefix and a
/// session.
pub(super) async fn run(app: App, who: Visitor, (prefix, session): (Prefix, Option<SessionKey>), upgraded: Upgraded) {
    let max_bytes = if faults::on(Fault::LargeFrameAccepted) { 16 * MAX_FRAME_BYTES } else { MAX_FRAME_BYTES };
    let Some(stream) = FrameStream::new(upgraded, max_bytes) else { return };
    let queue = Arc::new(Queue::new(who.id));
    let registration = SocketRegistration {
        app: app.clone(),
        visitor: who.id,
        queue: queue.clone(),
        subscribed: false,
        silent: false,
    };
    if let Some(session) = session {
        accounts::track_socket(&app, session, &queue);
    }
    let prefix_hash = app.accounts.prefix_hash(prefix);
    app.metrics.sockets.open.add(1);
    app.metrics.sockets.opened.increment();
    let mut connection = Connection {
        app,
        who,
        prefix,
        prefix_hash,
        session,
        stream: Some(stream),
        queue,
        subscriptions: HashMap::new(),
        pending_replays: VecDeque::new(),
        registration,
        heartbeat: Heartbeat::new(Instant::now()),
        has_said_hello: false,
        active_at: None,
        in_flight: 0,
        unreadable: 0,
        backlog: BacklogTimer::default(),
        refused: RefusedFrames::default(),
        spare: VecDeque::new(),
    };
    let Err(reason) = connection.serve().await;
    let Some(stream) = &mut connection.stream else { return };
    match reason {
        CloseReason::ConnectionLost => {}
        CloseReason::ByClient(code) => stream.answer_close(code).await,
        CloseReason::ByServer(code, reason) => stream.close(code, &reason).await,
    }
}

/// Sends an upgraded socket the last frame of `why` and closes it.
pub(super) async fn turn_away(upgraded: Upgraded, why: Disconnect) {
    let Some(mut stream) = FrameStream::new(upgraded, MAX_FRAME_BYTES) else { return };
    if matches!(timeout(SOCKET_WRITE_TIMEOUT, stream.write([why.last.into_wire()])).await, Ok(Ok(()))) {
        stream.close(why.code, why.reason).await;
    }
}

/// A socket and the rooms it subscribes to.
pub(super) struct Connection {
    pub(super) app: App,
    pub(super) who: Visitor,
    pub(super) prefix: Prefix,
    /// The keyed hash of the address prefix, which its entries keep for moderation.
    pub(super) prefix_hash: Vec<u8>,
    /// The session that it was opened with.
    pub(super) session: Option<SessionKey>,
    pub(super) queue: Arc<Queue>,
    pub(super) subscriptions: HashMap<Uuid, Subscription>,
    /// Rooms whose entries are still to be replayed, in order.
    pub(super) pending_replays: VecDeque<PendingReplay>,
    /// `None` while a request runs: answers are written by [`while_writing_answers`] meanwhile.
    pub(super) stream: Option<FrameStream>,
    pub(super) registration: SocketRegistration,
    pub(super) heartbeat: Heartbeat,
    /// A hello was answered with ok. A hello that failed can be sent again.
    pub(super) has_said_hello: bool,
    /// When this socket last recorded that its visitor is active.
    pub(super) active_at: Option<Instant>,
    /// Sends whose answers are not written yet.
    pub(super) in_flight: usize,
    /// Frames without a usable id so far.
    unreadable: u32,
    pub(super) backlog: BacklogTimer,
    pub(super) refused: RefusedFrames,
    /// Capacity for queued frames, which is used again and again.
    pub(super) spare: VecDeque<(Priority, Bytes)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.app.metrics.sockets.open.add(-1);
        for subscription in self.subscriptions.values() {
            rooms::unsubscribe(&self.app, &subscription.membership.room, &self.queue);
        }
    }
}

/// A room that a socket subscribes to, or will when its replay ends.
pub(super) struct Subscription {
    pub(super) membership: Membership,
    /// The last entry that was written to the socket. `None` until the replay starts.
    pub(super) delivered: Option<Seq>,
}

impl Connection {
    /// Serves the socket until there is a reason to end it.
    async fn serve(&mut self) -> Result<Infallible, CloseReason> {
        let mut heartbeat = pin!(sleep_until(self.heartbeat.due()));
        let mut hello_deadline = pin!(sleep_until(Instant::now() + HELLO_TIMEOUT));
        // Created once for the socket's life: registering it for each frame would make all sockets
        // wait for one lock.
        let mut draining = pin!(self.app.tasks.draining.clone().cancelled_owned());
        let queue = self.queue.clone();
        loop {
            let decoded = tokio::select! {
                biased;
                () = &mut draining => return Err(self.stop().await),
                () = &mut hello_deadline, if !self.registration.subscribed && !faults::on(Fault::HelloNeverDue) => {
                    return Err(CloseReason::by_server(CloseCode::BadFrame, "hello was expected"));
                }
                () = queue.ready() => {
                    self.write_queued().await?;
                    continue;
                }
                decoded = self.backlog.read(next(self.stream.as_mut())), if self.in_flight < MAX_SENDS_IN_FLIGHT => decoded,
                () = &mut heartbeat => {
                    self.beat().await?;
                    heartbeat.as_mut().reset(self.heartbeat.due());
                    continue;
                }
                // After reading: a request waits for one step of a replay, not for all of them.
                () = ready(()), if self.has_pending_replays() => {
                    Box::pin(self.advance_replay()).await?;
                    continue;
                }
            };
            if decoded.is_ok() {
                self.heartbeat.received(Instant::now());
                self.registration.set_silent(false);
            }
            match self.receive(decoded).await? {
                Received::Frame(frame) => self.handle(frame).await?,
                Received::Unreadable => self.refuse_unreadable().await?,
                Received::Nothing => {}
            }
            // The frame may have entered a talk, where pings are more frequent.
            if self.heartbeat.due() < heartbeat.deadline() {
                heartbeat.as_mut().reset(self.heartbeat.due());
            }
        }
    }

    /// Does what the heartbeat asks for: pings, reports the silence of a client in a talk, or ends
    /// the socket.
    ///
    /// # Errors
    /// [`CloseReason`] if the connection is lost.
    async fn beat(&mut self) -> Result<(), CloseReason> {
        self.heartbeat.set_in_talk(matching::is_in_talk(&self.app, self.who.id));
        match self.heartbeat.beat(Instant::now()) {
            Beat::Wait => Ok(()),
            Beat::Ping => self.write([codec::ping()]).await,
            Beat::Silent => {
                self.registration.set_silent(true);
                Ok(())
            }
            Beat::Dead => Err(CloseReason::ConnectionLost),
        }
    }

    /// Handles a frame and answers it, unless its answer comes through the queue.
    async fn handle(&mut self, ParsedFrame { id, frame }: ParsedFrame) -> Result<(), CloseReason> {
        let kind = frame.as_ref().map_or(FrameType::Unknown, ClientFrame::frame_type);
        let admitted = self.admit(frame);
        if let Ok(frame) = &admitted {
            self.record_use(frame);
        }
        let outcome = match admitted {
            Ok(ClientFrame::Send { room, client_id, payload, reply_to }) => {
                let prefix = self.prefix_hash.clone();
                let post =
                    rooms::Post { client_id, payload, reply_to, prefix, requested_at: self.backlog.requested_at() };
                let posted = self.post(id, room, post).await;
                if posted.is_ok() {
                    self.app.metrics.sockets.frames(kind).ok.increment();
                }
                posted
            }
            // Boxed, so that an idle socket has no space reserved for the largest request.
            Ok(frame) => Box::pin(self.act(id, frame)).await.map_err(RequestError::Closed),
            Err(why) => Err(RequestError::Refused(why)),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(RequestError::Refused(why)) => {
                self.app.metrics.sockets.frames(kind).refused.increment();
                self.send(frames::refusal(Some(id), &why)).await?;
                if matches!(why, Error::SessionEnded) {
                    Box::pin(self.disconnect_ended()).await;
                }
                Ok(())
            }
            Err(RequestError::Closed(reason)) => Err(reason),
        }
    }

    /// Submits a post to its room. The answer comes through the queue after the commit, and is
    /// written together with the event of the entry.
    async fn post(&mut self, id: u64, room: Uuid, post: rooms::Post) -> Result<(), RequestError> {
        self.app.limits.take(Bucket::Entries, Key::Visitor(self.who.id))?;
        self.record_activity();
        if !self.who.has_accepted_rules() {
            Box::pin(self.reload_visitor(post.requested_at)).await?;
        }
        let (began, requested_at) = (Instant::now(), post.requested_at);
        let sender = AnswerSender::new(self.queue.clone(), id);
        let answer = Box::new(move |outcome| sender.send(outcome));
        let written = {
            let mut posting = pin!(rooms::post(&self.app, &self.who, room, post, answer));
            match posting.as_mut().now_or_never() {
                Some(submitted) => {
                    submitted?;
                    None
                }
                // The membership is looked up first. The socket is written to meanwhile.
                None => Some(Box::pin(while_writing_answers(&self.queue, self.stream.as_mut(), posting)).await),
            }
        };
        if let Some((written, submitted)) = written {
            self.record_wait(written, requested_at, began);
            submitted??;
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Refuses a frame without a usable id. The last one that is tolerated closes the socket.
    async fn refuse_unreadable(&mut self) -> Result<(), CloseReason> {
        self.unreadable += 1;
        self.app.metrics.sockets.frames(FrameType::Unknown).refused.increment();
        let why = Error::bad_frame("A frame is a JSON object with an 'id' (a whole number) and a 'type'.");
        self.send(frames::refusal(None, &why)).await?;
        if self.unreadable >= MAX_UNREADABLE_FRAMES {
            let reason = format!("{MAX_UNREADABLE_FRAMES} frames could not be read");
            return Err(CloseReason::by_server(CloseCode::BadFrame, reason));
        }
        Ok(())
    }

    /// Ends the socket because the node stops: answers what was sent, and then asks the client to
    /// reconnect after a delay.
    async fn stop(&mut self) -> CloseReason {
        let wait = if faults::on(Fault::StopForgetsAnswers) { Duration::ZERO } else { STOP_TIMEOUT };
        if let Err(reason) = self.finish_sends(Instant::now() + wait).await {
            return reason;
        }
        if let Err(reason) = self.write_last(Notice::of(NoticeKind::Restart).encode()).await {
            return reason;
        }
        let delay = rand::rng().random_range(RECONNECT_DELAY_MS);
        CloseReason::by_server(CloseCode::Restart, format!(r#"{{"delay_ms":{delay}}}"#))
    }
}

async fn next(stream: Option<&mut FrameStream>) -> Result<Decoded, ReadError> {
    match stream {
        Some(stream) => stream.next().await,
        None => Err(ReadError::Disconnected),
    }
}
