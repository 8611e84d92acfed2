//! One socket: reads frames, writes answers and what was queued, keeps time. One task a socket, and nothing else of it.
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use rand::RngExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use uuid::Uuid;

use super::frames::{self, ClientFrame, Notice, NoticeKind, SendOk};
use super::verbs::{self, Reply};
use crate::accounts::Visitor;
use crate::app::{App, stamp};
use crate::error::{Error, Result};
use crate::http::{Bucket, Key, Prefix};
use crate::matching;
use crate::realtime::{Frame, Queue, Topic, Weight};
use crate::rooms::{self, Place, Posted, Replay, Step};

/// Bytes of a frame at most; a larger one closes 1009.
pub(super) const FRAME: usize = 16 * 1024;
/// How often the server pings.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);
/// Silence after which a socket counts as gone: two pings missed.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long one write may take before the socket counts as too slow.
const WRITE: Duration = Duration::from_secs(10);
/// How long a verb may take: what is sent after it waits for it, also when Postgres is away.
const VERB: Duration = Duration::from_secs(2);
/// The same for hello, before which nothing is sent, and which resumes many rooms at once.
const FIRST_VERB: Duration = Duration::from_secs(5);
/// How often answers are looked for while a verb runs.
const MEANWHILE: Duration = Duration::from_millis(100);
/// How long a close waits for the other side.
const FAREWELL: Duration = Duration::from_secs(2);
/// Sends of one socket that wait for their commit; past it the socket is not read.
const IN_FLIGHT: usize = 64;
/// How long a node that stops waits for the answers to what was sent.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// Frames that a socket keeps room for while it has nothing to write.
const SPARE: usize = 8;
/// How often a visitor's last use is noted.
const TOUCH: Duration = Duration::from_secs(60);
/// Frames without a usable id at which a socket is closed.
const STRIKES: u32 = 3;
/// Sockets of one visitor on this node.
const SOCKETS: usize = 20;

/// Why a socket ends. The numbers are of docs/WIRE.md.
pub(super) enum End {
    /// The client closed or is gone; nothing more can be said.
    Gone,
    Close(u16, Utf8Bytes),
}

impl End {
    fn because(code: u16, why: &'static str) -> Self {
        Self::Close(code, Utf8Bytes::from_static(why))
    }
}

/// A socket that has been upgraded, until it ends.
pub(super) async fn run(app: App, who: Visitor, prefix: Prefix, socket: WebSocket) {
    let queue = Arc::new(Queue::new(who.id));
    let place = Attached { app: app.clone(), visitor: who.id, queue: queue.clone(), counted: false };
    let prefix_hash = app.accounts.prefix_hash(prefix);
    let mut connection = Connection {
        app,
        who,
        prefix,
        prefix_hash,
        socket: Some(socket),
        queue,
        joined: HashMap::new(),
        place,
        said_hello: false,
        touched: None,
        in_flight: 0,
        spare: VecDeque::new(),
    };
    let end = connection.serve().await;
    connection.farewell(end).await;
}

/// What the rest of the node knows of a socket; taken back when the socket's task ends, however it ends.
struct Attached {
    app: App,
    visitor: i64,
    queue: Arc<Queue>,
    /// The first hello has come: it listens, and matching counts it.
    counted: bool,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.counted {
            self.app.hub.unsubscribe(Topic::Visitor(self.visitor), &self.queue);
            matching::disconnected(&self.app, self.visitor);
        }
    }
}

/// A socket and what it follows.
pub(super) struct Connection {
    pub(super) app: App,
    pub(super) who: Visitor,
    pub(super) prefix: Prefix,
    /// What the audit columns of its entries keep.
    pub(super) prefix_hash: Vec<u8>,
    pub(super) queue: Arc<Queue>,
    /// The rooms it follows.
    pub(super) joined: HashMap<Uuid, Followed>,
    /// Away while a verb runs: answers are written meanwhile.
    socket: Option<WebSocket>,
    place: Attached,
    /// A hello has been answered with ok. One that failed may be said again.
    said_hello: bool,
    touched: Option<Instant>,
    /// Sends whose answers have not been written.
    in_flight: usize,
    /// Room for what is queued, used again and again.
    spare: VecDeque<(Weight, Frame)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        for followed in self.joined.values() {
            rooms::unfollow(&self.app, &followed.place.room, &self.queue);
        }
    }
}

/// A room that a socket follows, and how far it has been brought.
pub(super) struct Followed {
    pub(super) place: Place,
    pub(super) seen: i64,
}

impl Connection {
    async fn serve(&mut self) -> End {
        let began = Instant::now();
        let mut heard = began;
        let mut strikes = 0;
        let mut beat = interval_at(began + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hello_by = pin!(tokio::time::sleep_until(began + HELLO));
        // Once for the socket's life: registering it anew for each frame would make all sockets wait for one lock.
        let mut draining = pin!(self.app.tasks.draining.clone().cancelled_owned());
        let queue = self.queue.clone();
        loop {
            let said = tokio::select! {
                biased;
                () = &mut draining => return self.restart().await,
                () = &mut hello_by, if !self.place.counted => {
                    return End::because(4400, "hello was expected");
                }
                () = queue.ready() => {
                    if let Err(end) = self.drain().await { return end }
                    continue;
                }
                said = recv(self.socket.as_mut()), if self.in_flight < IN_FLIGHT => said,
                _ = beat.tick() => {
                    if heard.elapsed() >= SILENCE { return End::Gone }
                    if let Err(end) = self.write([Message::Ping(axum::body::Bytes::new())]).await { return end }
                    continue;
                }
            };
            heard = Instant::now();
            let text = match text_of(said) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(end) => return end,
            };
            let Some(read) = frames::read(&text) else {
                strikes += 1;
                let why = Error::bad_frame("A frame is a JSON object with an 'id' (a whole number) and a 'type'.");
                if let Err(end) = self.say(frames::refusal(None, &why)).await {
                    return end;
                }
                if strikes >= STRIKES {
                    return End::because(4400, "three frames could not be read");
                }
                continue;
            };
            let outcome = match self.admit(read.frame) {
                Ok(ClientFrame::Send { room, client_id, payload, reply_to }) => {
                    let prefix = self.prefix_hash.clone();
                    let post = rooms::Post { client_id, payload, reply_to, prefix, asked: heard };
                    match self.post(read.id, room, post).await {
                        Ok(()) => Ok(()),
                        Err(why) => self.say(frames::refusal(Some(read.id), &why)).await,
                    }
                }
                // Boxed: an idle socket should not hold room for the largest verb.
                Ok(frame) => Box::pin(self.act(read.id, frame)).await,
                Err(why) => self.say(frames::refusal(Some(read.id), &why)).await,
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// What every frame passes: its shape, the rate limits, and hello first and once.
    fn admit(&self, frame: Result<ClientFrame>) -> Result<ClientFrame> {
        self.app.limits.take(Bucket::Frames, Key::Visitor(self.who.id))?;
        self.app.limits.take(Bucket::PrefixFrames, Key::Prefix(self.prefix))?;
        let frame = frame?;
        match (&frame, self.said_hello) {
            (ClientFrame::Hello { .. }, true) => Err(Error::bad_frame("Hello has been said on this socket.")),
            (ClientFrame::Hello { .. }, false) | (_, true) => Ok(frame),
            (_, false) => Err(Error::bad_frame("Say hello first.")),
        }
    }

    /// Hands a send in. Its answer comes through the queue, after the commit, and is written with the event it made.
    async fn post(&mut self, id: u64, room: Uuid, post: rooms::Post) -> Result<()> {
        self.app.limits.take(Bucket::Sends, Key::Visitor(self.who.id))?;
        if self.is_untouched() {
            self.touch();
        }
        let place = match rooms::known_place(&self.app, &self.who, room) {
            Some(place) => place,
            None => Box::pin(rooms::place_by(&self.app, &self.who, room, post.asked)).await?,
        };
        let queue = self.queue.clone();
        rooms::submit(&self.app, place, post, Box::new(move |outcome| queue.push(Weight::Answer, sent(id, outcome))))?;
        self.in_flight += 1;
        Ok(())
    }

    /// Does what a frame asks and answers it.
    async fn act(&mut self, id: u64, frame: ClientFrame) -> Result<(), End> {
        let is_hello = matches!(frame, ClientFrame::Hello { .. });
        if is_hello && !self.place.counted {
            if self.app.hub.subscribe(Topic::Visitor(self.who.id), &self.queue) > SOCKETS {
                self.app.hub.unsubscribe(Topic::Visitor(self.who.id), &self.queue);
                return Err(End::because(1013, "too many connections of one visitor"));
            }
            self.place.counted = true;
            matching::connected(&self.app, self.who.id);
        }
        if self.is_untouched() {
            self.touch();
        }
        let limit = match &frame {
            ClientFrame::Hello { .. } => FIRST_VERB,
            _ => VERB,
        };
        match self.verb(id, frame, limit).await? {
            Ok(reply) => {
                self.said_hello |= is_hello;
                self.say(reply.answer).await?;
                for replay in reply.replays {
                    self.replay(replay).await?;
                }
                Ok(())
            }
            Err(Error::SessionEnded) => Err(End::because(4401, "the session has ended")),
            Err(why) => self.say(frames::refusal(Some(id), &why)).await,
        }
    }

    /// Writes what a room's log holds behind the client's position, page by page as the socket drains, then follows it.
    async fn replay(&mut self, (room, mut replay): (Uuid, Replay)) -> Result<(), End> {
        loop {
            let step = within(replay.step(&self.app, &self.queue)).await;
            let seen = if let Ok(Step::Resync(head)) = &step { *head } else { replay.reached() };
            if let Some(followed) = self.joined.get_mut(&room) {
                followed.seen = seen;
            }
            match step {
                Ok(Step::Page(frames)) => self.write(frames.into_iter().map(Message::Text)).await?,
                Ok(Step::Following) => return Ok(()),
                Ok(Step::Resync(head)) => return self.say(rooms::RoomEvent::Resync { room, head }.encode()).await,
                Err(why) => {
                    // The client resumes on a new socket rather than living with a hole.
                    why.log();
                    return Err(End::because(1013, "busy"));
                }
            }
        }
    }

    /// Writes what is queued. A socket that lags reads again what was dropped, at its own pace.
    async fn drain(&mut self) -> Result<(), End> {
        let mut taken = std::mem::take(&mut self.spare);
        let lagging = self.queue.take_into(&mut taken);
        for (weight, _) in &taken {
            match weight {
                Weight::Entry { room, seq } => {
                    if let Some(followed) = self.joined.values_mut().find(|one| one.place.room.id == *room) {
                        followed.seen = followed.seen.max(*seq);
                    }
                }
                Weight::Answer => self.in_flight = self.in_flight.saturating_sub(1),
                Weight::Passing | Weight::Kept => {}
            }
        }
        self.write(taken.drain(..).map(|(_, frame)| Message::Text(frame))).await?;
        if taken.capacity() <= SPARE {
            self.spare = taken;
        }
        if lagging { Box::pin(self.catch_up()).await } else { Ok(()) }
    }

    /// Stops listening, then follows each room again from what was seen of it.
    async fn catch_up(&mut self) -> Result<(), End> {
        for followed in self.joined.values() {
            self.app.hub.unsubscribe(Topic::Room(followed.place.room.id), &self.queue);
        }
        self.queue.caught_up();
        let behind: Vec<_> = self.joined.iter().map(|(room, at)| (*room, at.seen)).collect();
        for (room, seen) in behind {
            // It may have been left meanwhile, on another socket.
            match within(rooms::place(&self.app, &self.who, room)).await {
                Ok(place) => self.replay((room, rooms::catch_up(&place, seen))).await?,
                Err(Error::NotFound) => drop(self.joined.remove(&room)),
                Err(_) => return Err(End::because(1013, "busy")),
            }
        }
        Ok(())
    }

    async fn say(&mut self, frame: Frame) -> Result<(), End> {
        self.write([Message::Text(frame)]).await
    }

    /// Feeds and flushes once. A socket that takes too long is too slow; its queue drops what can be read again meanwhile.
    async fn write(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
        write(self.socket.as_mut(), messages).await
    }

    /// Runs a verb. Answers to what was sent before do not wait for it; entries do, since it may begin to follow their room.
    async fn verb(&mut self, id: u64, frame: ClientFrame, limit: Duration) -> Result<Result<Reply>, End> {
        let (queue, mut socket) = (self.queue.clone(), self.socket.take());
        let mut written = 0;
        let outcome = {
            let mut verb = pin!(timeout(limit, verbs::act(self, id, frame)));
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut verb => break Ok(outcome),
                    () = tokio::time::sleep(MEANWHILE) => {}
                }
                let answers = queue.take_answers();
                if answers.is_empty() {
                    continue;
                }
                written += answers.len();
                let mut writing = pin!(write(socket.as_mut(), answers.into_iter().map(Message::Text)));
                tokio::select! {
                    biased;
                    wrote = &mut writing => if let Err(end) = wrote { break Err(end) },
                    // What has been begun is written whole.
                    outcome = &mut verb => break writing.await.map(|()| outcome),
                }
            }
        };
        self.socket = socket;
        self.in_flight = self.in_flight.saturating_sub(written);
        outcome.map(|outcome| outcome.unwrap_or(Err(Error::Unavailable)))
    }

    /// The node stops: what was sent is answered, then the client is told when to come back.
    async fn restart(&mut self) -> End {
        let queue = self.queue.clone();
        let until = Instant::now() + LAST_ANSWERS;
        while self.in_flight > 0 && tokio::time::timeout_at(until, queue.ready()).await.is_ok() {
            if let Err(end) = self.drain().await {
                return end;
            }
        }
        let mut rest = VecDeque::new();
        queue.take_into(&mut rest);
        let mut last: Vec<_> = rest.into_iter().map(|(_, frame)| Message::Text(frame)).collect();
        last.push(Message::Text(Notice::Notice { kind: NoticeKind::Restart }.encode()));
        if let Err(end) = self.write(last).await {
            return end;
        }
        // Spread over seconds, so that those who come back do not come at once.
        let delay = rand::rng().random_range(200..=2_000);
        End::Close(1012, format!(r#"{{"delay_ms":{delay}}}"#).into())
    }

    /// Says why, and reads on until the other side has heard it: closing with unread bytes would reset it away.
    async fn farewell(&mut self, end: End) {
        let End::Close(code, reason) = end else { return };
        let close = Message::Close(Some(CloseFrame { code, reason }));
        let Some(socket) = &mut self.socket else { return };
        let _ = timeout(FAREWELL, async {
            if socket.send(close).await.is_ok() {
                while let Some(Ok(_)) = socket.recv().await {}
            }
        })
        .await;
    }

    /// Whether it is a minute since the visitor was last noted to be there, by this socket.
    fn is_untouched(&self) -> bool {
        self.touched.is_none_or(|at| at.elapsed() >= TOUCH)
    }

    /// Notes that the visitor is there. Beside the socket, which does not wait for Postgres here.
    fn touch(&mut self) {
        self.touched = Some(Instant::now());
        let (app, who) = (self.app.clone(), self.who.id);
        self.app.tasks.spawn("gateway.touch", async move {
            if let Err(why) = within(crate::accounts::touch(&app, who)).await {
                tracing::debug!(error.cause = %why, "a visitor's last use is noted in a minute");
            }
        });
    }
}

async fn recv(socket: Option<&mut WebSocket>) -> Option<Result<Message, axum::Error>> {
    socket?.recv().await
}

/// Feeds and flushes once, within the time that a socket has for it.
async fn write(socket: Option<&mut WebSocket>, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
    let Some(socket) = socket else { return Err(End::Gone) };
    let writing = async {
        for message in messages {
            socket.feed(message).await?;
        }
        socket.flush().await
    };
    match timeout(WRITE, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::because(4408, "too slow")),
    }
}

/// The text of a frame; None for a sign of life. A binary frame reads as no JSON.
fn text_of(said: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, End> {
    match said {
        Some(Ok(Message::Text(text))) if text.len() > FRAME => Err(too_large()),
        Some(Ok(Message::Binary(bytes))) if bytes.len() > FRAME => Err(too_large()),
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Ok(Some(Utf8Bytes::default())),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        // The library breaks off at its own limit; anything else is a connection that broke.
        Some(Err(why)) if why.to_string().contains("too long") => Err(too_large()),
        Some(Err(_) | Ok(Message::Close(_))) | None => Err(End::Gone),
    }
}

fn sent(re: u64, outcome: Result<Posted>) -> Frame {
    match outcome {
        Ok(posted) => frames::ok(re, &SendOk { seq: posted.seq, at: stamp(posted.at) }),
        Err(why) => frames::refusal(Some(re), &why),
    }
}

/// A verb that hangs is answered `unavailable`.
async fn within<T>(verb: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(VERB, verb).await.unwrap_or(Err(Error::Unavailable))
}

fn too_large() -> End {
    End::because(1009, "a frame holds at most 16 KiB")
}
