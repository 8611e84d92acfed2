//! One socket: reads frames, writes answers and what was queued, keeps time. One task a socket, and nothing else of it.
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use rand::RngExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use uuid::Uuid;

use super::codec::{self, Said};
use super::dispatch::{self, Reply};
use super::end::End;
use super::excess::Excess;
use super::frames::{self, ClientFrame, Read, SendOk};
use super::held_up::HeldUp;
use super::registration::SocketRegistration;
use super::replays::Missing;
use super::wire::{Broken, Wire};
use super::writing::{WRITE, meanwhile, write};
use crate::accounts::{self, SessionKey, Visitor};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key, Prefix};
use crate::realtime::{CloseCode, Disconnect, Frame, Notice, NoticeKind, Priority, Queue, Topic};
use crate::rooms::{self, Membership, Posted};
use crate::{matching, moderation};

/// Bytes of a frame at most; a larger one closes 1009.
pub(super) const FRAME: usize = 32 * 1024;
/// How often the server pings.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);
/// Silence after which a socket counts as gone: two pings missed.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long a verb may take: what is sent after it waits for it, also when Postgres is away.
pub(super) const VERB: Duration = Duration::from_secs(2);
/// The same for hello, before which nothing is sent, and which resumes many rooms at once.
const FIRST_VERB: Duration = Duration::from_secs(5);
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

/// A socket that has been upgraded, until it ends: of a visitor, from an address prefix, by a session.
pub(super) async fn run(app: App, who: Visitor, (prefix, session): (Prefix, Option<SessionKey>), upgraded: Upgraded) {
    let limit = if faults::on(Fault::LargeFrameAccepted) { 16 * FRAME } else { FRAME };
    let Some(wire) = Wire::new(upgraded, limit) else { return };
    let queue = Arc::new(Queue::new(who.id));
    let registration = SocketRegistration { app: app.clone(), visitor: who.id, queue: queue.clone(), counted: false };
    if let Some(session) = session {
        accounts::watch(&app, session, &queue);
    }
    let prefix_hash = app.accounts.prefix_hash(prefix);
    let mut connection = Connection {
        app,
        who,
        prefix,
        prefix_hash,
        wire: Some(wire),
        queue,
        joined: HashMap::new(),
        missing: VecDeque::new(),
        registration,
        said_hello: false,
        touched: None,
        in_flight: 0,
        held_up: HeldUp::default(),
        excess: Excess::default(),
        spare: VecDeque::new(),
    };
    let end = connection.serve().await;
    let Some(wire) = &mut connection.wire else { return };
    match end {
        End::Gone => {}
        End::Closed(code) => wire.closed(code).await,
        End::Close(code, reason) => wire.close(code, &reason).await,
    }
}

/// A socket that has been upgraded and is not to be served: it is told why, and closed.
pub(super) async fn turn_away(upgraded: Upgraded, why: Disconnect) {
    let Some(mut wire) = Wire::new(upgraded, FRAME) else { return };
    if matches!(timeout(WRITE, wire.write([why.last.into_wire()])).await, Ok(Ok(()))) {
        wire.close(why.code, why.reason).await;
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
    pub(super) joined: HashMap<Uuid, Subscription>,
    /// What is still to be brought to it, in order.
    pub(super) missing: VecDeque<Missing>,
    /// Away while a verb runs: answers are written meanwhile.
    pub(super) wire: Option<Wire>,
    registration: SocketRegistration,
    /// A hello has been answered with ok. One that failed may be said again.
    said_hello: bool,
    touched: Option<Instant>,
    /// Sends whose answers have not been written.
    in_flight: usize,
    held_up: HeldUp,
    excess: Excess,
    /// Room for what is queued, used again and again.
    spare: VecDeque<(Priority, Bytes)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        for subscription in self.joined.values() {
            rooms::unsubscribe(&self.app, &subscription.membership.room, &self.queue);
        }
    }
}

/// A room that a socket follows, and how far it has been brought.
pub(super) struct Subscription {
    pub(super) membership: Membership,
    /// None until its replay begins: what was to follow it did not come so far.
    pub(super) seen: Option<i64>,
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
                () = &mut hello_by, if !self.registration.counted && !faults::on(Fault::HelloNeverDue) => {
                    return End::because(CloseCode::BadFrame, "hello was expected");
                }
                () = queue.ready() => {
                    if let Err(end) = self.drain().await { return end }
                    continue;
                }
                said = self.held_up.reading(next(self.wire.as_mut())), if self.in_flight < IN_FLIGHT => said,
                _ = beat.tick() => {
                    if heard.elapsed() >= SILENCE { return End::Gone }
                    if let Err(end) = self.write([codec::ping()]).await { return end }
                    continue;
                }
                // What was said comes first: it waits for one step of a replay, not for all of them.
                () = ready(()), if self.is_behind() => {
                    if let Err(end) = Box::pin(self.bring_next()).await { return end }
                    continue;
                }
            };
            heard = Instant::now();
            let read = match self.heard(said).await {
                Ok(Some(read)) => read,
                Ok(None) => continue,
                Err(end) => return end,
            };
            let Some(read) = read else {
                strikes += 1;
                let why = Error::bad_frame("A frame is a JSON object with an 'id' (a whole number) and a 'type'.");
                if let Err(end) = self.say(frames::refusal(None, &why)).await {
                    return end;
                }
                if strikes >= STRIKES {
                    return End::because(CloseCode::BadFrame, "three frames could not be read");
                }
                continue;
            };
            let outcome = match self.admit(read.frame) {
                Ok(ClientFrame::Send { room, client_id, payload, reply_to }) => {
                    let prefix = self.prefix_hash.clone();
                    let post = rooms::Post { client_id, payload, reply_to, prefix, asked: self.held_up.came() };
                    match self.post(read.id, room, post).await {
                        Ok(Ok(())) => Ok(()),
                        Ok(Err(why)) => self.say(frames::refusal(Some(read.id), &why)).await,
                        Err(end) => Err(end),
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

    /// What the client said: None for a sign of life, within it None for what cannot be read.
    async fn heard(&mut self, said: Result<Said, Broken>) -> Result<Option<Option<Read>>, End> {
        let said = match said? {
            Said::Close(_) if faults::on(Fault::CloseNotAnswered) => return Err(End::Gone),
            Said::Close(code) => return Err(End::Closed(code)),
            said => said,
        };
        let counted = self.count_frame()?;
        match said {
            Said::Text => {
                let text = self.wire.as_ref().map_or(Ok(""), Wire::text)?;
                Ok(Some(match counted {
                    Ok(()) => frames::read(text),
                    Err(why) => frames::read_refused(text, why),
                }))
            }
            // Read as what it is here: no JSON.
            Said::Binary => Ok(Some(None)),
            Said::Ping(payload) if counted.is_ok() => self.write([codec::pong(&payload)]).await.map(|()| None),
            Said::Ping(_) | Said::Pong | Said::Piece | Said::Close(_) => Ok(None),
        }
    }

    /// Counts a frame of any kind, control frames and fragments too. The inner error refuses the frame; the outer one ends
    /// a socket whose client sends on without slowing down.
    fn count_frame(&mut self) -> Result<Result<()>, End> {
        let visitor = Key::Visitor(self.who.id);
        let Err(why) = self.app.limits.take(Bucket::Frames, visitor) else {
            return Ok(self.app.limits.take(Bucket::PrefixFrames, Key::Prefix(self.prefix)));
        };
        let goes_on = self.excess.refused() || self.app.limits.take(Bucket::ExcessFrames, visitor).is_err();
        if goes_on && !faults::on(Fault::ExcessForgiven) {
            return Err(End::because(CloseCode::BadFrame, "too many frames"));
        }
        Ok(Err(why))
    }

    /// What every frame passes: its shape, and hello first and once.
    fn admit(&self, frame: Result<ClientFrame>) -> Result<ClientFrame> {
        let frame = frame?;
        match (&frame, self.said_hello) {
            (ClientFrame::Hello { .. }, true) => Err(Error::bad_frame("Hello has been said on this socket.")),
            (ClientFrame::Hello { .. }, false) | (_, true) => Ok(frame),
            (_, false) => Err(Error::bad_frame("Say hello first.")),
        }
    }

    /// Hands a send in. Its answer comes through the queue, after the commit, and is written with the event it made.
    async fn post(&mut self, id: u64, room: Uuid, post: rooms::Post) -> Result<Result<()>, End> {
        if let Err(why) = self.app.limits.take(Bucket::Entries, Key::Visitor(self.who.id)) {
            return Ok(Err(why));
        }
        if self.is_untouched() {
            self.touch();
        }
        let membership = match rooms::cached_membership(&self.app, &self.who, room) {
            Some(membership) => membership,
            None => {
                let began = Instant::now();
                let lookup = rooms::membership_before(&self.app, &self.who, room, post.asked);
                let (written, membership) = Box::pin(meanwhile(&self.queue, self.wire.as_mut(), lookup)).await;
                self.waited(written, post.asked, began);
                match membership? {
                    Ok(membership) => membership,
                    Err(why) => return Ok(Err(why)),
                }
            }
        };
        if !self.who.has_accepted_rules()
            && let Err(why) = Box::pin(self.look_again(post.asked)).await?
        {
            return Ok(Err(why));
        }
        let answerer = Answerer { queue: self.queue.clone(), id };
        let answer = move |outcome| answerer.answer(outcome);
        let submitted = rooms::submit(&self.app, &self.who, membership, post, Box::new(answer));
        self.in_flight += usize::from(submitted.is_ok());
        Ok(submitted)
    }

    /// Reads the visitor again, for a frame that came then: the rules may have been accepted since this socket was opened.
    async fn look_again(&mut self, came: Instant) -> Result<Result<()>, End> {
        let began = Instant::now();
        let lookup = timeout(VERB, accounts::by_id(&self.app, self.who.id));
        let (written, known) = meanwhile(&self.queue, self.wire.as_mut(), lookup).await;
        self.waited(written, came, began);
        Ok(known?.unwrap_or(Err(Error::Unavailable)).map(|known| self.who = known))
    }

    /// Does what a frame asks and answers it.
    async fn act(&mut self, id: u64, frame: ClientFrame) -> Result<(), End> {
        let is_hello = matches!(frame, ClientFrame::Hello { .. });
        if is_hello && !self.registration.counted {
            if self.app.hub.subscribe(Topic::Visitor(self.who.id), &self.queue) > SOCKETS {
                self.app.hub.unsubscribe(Topic::Visitor(self.who.id), &self.queue);
                return Err(End::because(CloseCode::Busy, "too many connections of one visitor"));
            }
            self.registration.counted = true;
            matching::connected(&self.app, self.who.id);
        }
        if self.is_untouched() {
            self.touch();
        }
        let (began, limit) = (Instant::now(), if is_hello { FIRST_VERB } else { VERB });
        if frame.ends_rights() && !faults::on(Fault::LeaveOvertakesSends) {
            // What was said before takes effect before.
            self.settle_sends(began + limit).await?;
        }
        match self.verb(id, frame, (began, limit)).await? {
            Ok(reply) => {
                self.said_hello |= is_hello;
                self.say(reply.answer).await?;
                self.bring(reply.replays);
                Ok(())
            }
            Err(Error::SessionEnded) => Err(End::because(CloseCode::SessionEnded, "the session has ended")),
            Err(why) => {
                self.say(frames::refusal(Some(id), &why)).await?;
                if matches!(why, Error::Banned { .. }) {
                    self.dismiss().await;
                }
                Ok(())
            }
        }
    }

    /// A ban was found by what it forbids, before this node saw it: the socket ends as it would have then.
    async fn dismiss(&mut self) {
        match timeout(VERB, moderation::dismissal(&self.app, self.who.id)).await.unwrap_or(Err(Error::Unavailable)) {
            Ok(Some(why)) => self.queue.dismiss(&why),
            Ok(None) => {} // lifted meanwhile
            Err(why) => why.log(),
        }
    }

    /// Writes what is queued. A socket that lags reads again what was dropped, at its own pace.
    async fn drain(&mut self) -> Result<(), End> {
        let mut taken = std::mem::take(&mut self.spare);
        let lagging = self.queue.take_into(&mut taken);
        for (weight, _) in &taken {
            match weight {
                Priority::Entry { room, seq } => {
                    if let Some(subscription) = self.joined.values_mut().find(|one| one.membership.room.id == *room) {
                        subscription.seen = subscription.seen.max(Some(*seq));
                    }
                }
                Priority::Answer => self.in_flight = self.in_flight.saturating_sub(1),
                Priority::Ephemeral | Priority::Reliable => {}
            }
        }
        self.write(taken.drain(..).map(|(_, bytes)| bytes)).await?;
        if taken.capacity() <= SPARE {
            self.spare = taken;
        }
        if let Some(why) = self.queue.dismissed() {
            self.say(why.last).await?;
            return Err(End::because(why.code, why.reason));
        }
        if lagging {
            self.catch_up();
        }
        Ok(())
    }

    pub(super) async fn say(&mut self, frame: Frame) -> Result<(), End> {
        self.write([frame.into_wire()]).await
    }

    pub(super) async fn write(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> Result<(), End> {
        write(self.wire.as_mut(), pieces).await
    }

    /// Runs a verb. Answers to what was sent before do not wait for it; entries do, since it may begin to follow their room.
    async fn verb(
        &mut self,
        id: u64,
        frame: ClientFrame,
        (began, limit): (Instant, Duration),
    ) -> Result<Result<Reply>, End> {
        let (queue, mut wire) = (self.queue.clone(), self.wire.take());
        let acting = timeout_at(began + limit, dispatch::act(self, id, frame));
        let (written, outcome) = meanwhile(&queue, wire.as_mut(), acting).await;
        self.wire = wire;
        self.waited(written, began, began);
        outcome.map(|outcome| outcome.unwrap_or(Err(Error::Unavailable)))
    }

    /// Something for a frame that came then has been waited for since `began`, and so many answers written meanwhile.
    pub(super) fn waited(&mut self, written: usize, came: Instant, began: Instant) {
        self.in_flight = self.in_flight.saturating_sub(written);
        self.held_up.waited(came, began);
    }

    /// Waits until every send of this socket has been committed or refused, and answered; at most until a moment.
    async fn settle_sends(&mut self, until: Instant) -> Result<(), End> {
        let queue = self.queue.clone();
        while self.in_flight > 0 && timeout_at(until, queue.ready()).await.is_ok() {
            self.drain().await?;
        }
        Ok(())
    }

    /// The node stops: what was sent is answered, then the client is told when to come back.
    async fn restart(&mut self) -> End {
        let patience = if faults::on(Fault::StopForgetsAnswers) { Duration::ZERO } else { LAST_ANSWERS };
        if let Err(end) = self.settle_sends(Instant::now() + patience).await {
            return end;
        }
        let mut rest = VecDeque::new();
        self.queue.take_into(&mut rest);
        let mut last: Vec<_> = rest.into_iter().map(|(_, bytes)| bytes).collect();
        last.push(Notice::of(NoticeKind::Restart).encode().into_wire());
        if let Err(end) = self.write(last).await {
            return end;
        }
        // Spread over seconds, so that those who come back do not come at once.
        let delay = rand::rng().random_range(200..=2_000);
        End::Close(CloseCode::Restart, Cow::Owned(format!(r#"{{"delay_ms":{delay}}}"#)))
    }

    /// Whether it is a minute since the visitor was last noted to be there, by this socket.
    fn is_untouched(&self) -> bool {
        self.touched.is_none_or(|at| at.elapsed() >= TOUCH)
    }

    /// Notes that the visitor is there.
    fn touch(&mut self) {
        self.touched = Some(Instant::now());
        accounts::touch(&self.app, self.who.id);
    }
}

async fn next(wire: Option<&mut Wire>) -> Result<Said, Broken> {
    match wire {
        Some(wire) => wire.next().await,
        None => Err(Broken::Gone),
    }
}

/// Sends the answer to a send. If the writer panics before it answers, the client gets `unavailable` and repeats the send.
struct Answerer {
    queue: Arc<Queue>,
    id: u64,
}

impl Answerer {
    fn answer(&self, outcome: Result<Posted>) {
        self.queue.push(Priority::Answer, sent(self.id, outcome).into_wire());
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.answer(Err(Error::Unavailable));
        }
    }
}

fn sent(re: u64, outcome: Result<Posted>) -> Frame {
    match outcome {
        Ok(posted) => frames::ok(re, &SendOk { seq: posted.seq, at: format_timestamp(posted.at) }),
        Err(why) => frames::refusal(Some(re), &why),
    }
}
