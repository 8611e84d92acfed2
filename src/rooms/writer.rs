//! The group-commit writer: every entry of a log goes through it. Acknowledged means committed; then it is published.
//!
//! A few lanes a node, split by room, keep the disk busy: half of them write while the others gather what arrives meanwhile, and
//! each writes what it has gathered in one transaction. No timer adds latency: an idle lane commits at once, a busy one in batches.
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::model::{ChatRoom, Member, Message, Payload, RoomEvent};
use super::rights::Refusal;
use super::store;
use super::turns::Turns;
use super::{Answer, Posted, batch, feed};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::realtime::{Frame, Publication, Topic};

/// Lanes a node: one a core. More make smaller batches, which costs Postgres about a tenth a message.
const LANES: RangeInclusive<usize> = 2..=4;
/// Drafts waiting for a lane at most; past it a sender is told `unavailable`.
const QUEUE: usize = 4_096;
/// Rows and bytes of one transaction.
const ROWS: usize = 500;
const BYTES: usize = 1024 * 1024;
/// What has not committed by then, since it was asked, is answered `unavailable`; its senders repeat it under the same ids.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_800);
/// What has less time left than this is not begun: a lane that lags sheds it and keeps its time for the rest.
const TOO_LATE: Duration = Duration::from_millis(200);
/// How soon a batch is tried again when Postgres could not be reached, and how often the queue is looked at meanwhile.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a node counts as unable to write after Postgres has refused to, unless something commits. Then somebody may try.
const REFUSED: Duration = Duration::from_secs(3);
/// Recent client ids a lane remembers.
const MEMORY: usize = 20_000;
/// How long a visitor whose repeats failed a batch writes alone.
const ALONE: Duration = Duration::from_secs(60);
/// Deadlocks and serialization failures a batch is repeated after.
const REPEATS: usize = 5;
/// Nobody hangs the rest: the session settings of a lane.
pub(super) const SESSION: &[(&str, &str)] = &[
    ("idle_in_transaction_session_timeout", "2s"),
    ("statement_timeout", "5s"),
    ("tcp_user_timeout", "5s"),
    // The statements of a batch are planned once: planning them for each batch again cost more than it found.
    ("plan_cache_mode", "force_generic_plan"),
    ("application_name", "maju writer"),
];

/// An entry that waits to be numbered.
pub(super) struct Draft {
    pub room: Arc<ChatRoom>,
    pub member: Arc<Member>,
    /// The versions of the room's rights and of the fence that the sender was checked against.
    pub rights: i64,
    pub fence: i64,
    /// What the sender may not do, as found when it was checked.
    pub refusal: Option<Refusal>,
    pub client_id: Uuid,
    pub payload: Payload,
    pub reply_to: Option<i64>,
    pub prefix: Vec<u8>,
    pub asked: Instant,
    pub answer: Answer,
}

/// Where drafts are handed in.
pub(super) struct Writer {
    lanes: Vec<mpsc::Sender<Draft>>,
    /// When Postgres last refused to write; None since something has committed.
    refused: Mutex<Option<Instant>>,
}

/// The other end, for [`run`].
pub(super) struct Lanes {
    ends: Vec<mpsc::Receiver<Draft>>,
    pub turns: Turns,
}

impl Writer {
    /// The queues of a node's lanes.
    pub(super) fn new() -> (Self, Lanes) {
        let count = lanes();
        let (lanes, ends) = (0..count).map(|_| mpsc::channel(QUEUE)).unzip();
        (Self { lanes, refused: Mutex::default() }, Lanes { ends, turns: Turns::new(count / 2) })
    }

    /// Whether Postgres takes entries, as far as is known.
    pub(super) fn can_write(&self) -> bool {
        self.refused.lock().is_none_or(|at| at.elapsed() > REFUSED)
    }

    fn note(&self, refused: Option<Instant>) {
        *self.refused.lock() = refused;
    }

    /// Hands a draft in. Errors: `unavailable` when its lane is full.
    pub(super) fn submit(&self, draft: Draft) -> Result<()> {
        let lane = usize::try_from(draft.room.id.unsigned_abs()).unwrap_or_default() % self.lanes.len();
        self.lanes[lane].try_send(draft).map_err(|_| Error::Unavailable)
    }
}

/// How many lanes this node has.
pub(super) fn lanes() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.clamp(*LANES.start(), *LANES.end())
}

/// Starts the lanes.
pub(super) fn run(app: &App, lanes: Lanes) {
    for drafts in lanes.ends {
        let lane = Lane {
            app: app.clone(),
            drafts,
            waiting: Vec::new(),
            turns: lanes.turns.clone(),
            turn: None,
            connection: None,
            memory: Memory::default(),
            alone: HashMap::new(),
        };
        // Outside of the task: the queue and the memory of a lane outlive a panic.
        let lane = Arc::new(tokio::sync::Mutex::new(lane));
        app.tasks.spawn_essential("rooms.writer", move || {
            let lane = lane.clone();
            async move { lane.lock().await.run().await }
        });
    }
}

struct Lane {
    app: App,
    drafts: mpsc::Receiver<Draft>,
    /// What was taken from the queue and is not in the batch in hand, in order of arrival.
    waiting: Vec<Draft>,
    turns: Turns,
    /// Its turn, from before the batch is gathered until Postgres has answered.
    turn: Option<OwnedSemaphorePermit>,
    connection: Option<PgConnection>,
    memory: Memory,
    alone: HashMap<i64, Instant>,
}

/// What became of a draft inside a transaction that committed.
pub(super) type Verdict = Result<Posted>;

impl Lane {
    async fn run(&mut self) {
        let stopping = self.app.tasks.stopping.clone();
        // After a panic: the connection may be in the middle of a transaction.
        (self.connection, self.turn) = (None, None);
        loop {
            let mut gathered = std::mem::take(&mut self.waiting);
            if gathered.is_empty() {
                tokio::select! {
                    biased;
                    count = self.drafts.recv_many(&mut gathered, ROWS) => if count == 0 { return },
                    // What is queued is written before a stop takes effect: the branch above comes first.
                    () = stopping.cancelled() => break,
                }
            }
            self.wait_for_more(&mut gathered).await;
            self.take_turn().await;
            if self.app.relay.has_others() {
                self.turns.pace().await;
            }
            while gathered.len() < ROWS
                && let Ok(draft) = self.drafts.try_recv()
            {
                gathered.push(draft);
            }
            self.waiting = gathered.split_off(self.together(&gathered));
            self.settle(gathered).await;
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Entries of large rooms, which their sockets get several at a time, are committed so too, as long as nothing else comes: a
    /// commit costs as much CPU as some hundred deliveries.
    async fn wait_for_more(&mut self, gathered: &mut Vec<Draft>) {
        let (mut known, mut enough, mut until) = (0, ROWS, None);
        while known < gathered.len() {
            for draft in &gathered[known..] {
                let Some((time, count)) = feed::leisure(&self.app, draft.room.id) else { return };
                enough = enough.min(count);
                until = until.map_or(Some(time), |until: Instant| Some(until.min(time)));
            }
            known = gathered.len();
            let Some(until) = until.filter(|_| known < enough) else { return };
            let _ = tokio::time::timeout_at(until, self.drafts.recv_many(gathered, ROWS - known)).await;
        }
    }

    async fn take_turn(&mut self) {
        if self.turn.is_none() {
            self.turn = self.turns.take().await;
        }
    }

    /// How many of those that were gathered go into the next transaction, within the bounds and in order of arrival.
    fn together(&mut self, gathered: &[Draft]) -> usize {
        let now = Instant::now();
        self.alone.retain(|_, until| *until > now);
        let mut bytes = 0;
        let is_next = |draft: &&Draft| {
            let is_first = bytes == 0;
            bytes += draft.payload.json().len();
            is_first || (bytes <= BYTES && !self.alone.contains_key(&draft.member.visitor))
        };
        match gathered.first() {
            Some(first) if self.alone.contains_key(&first.member.visitor) => 1,
            _ => gathered.iter().take(ROWS).take_while(is_next).count(),
        }
    }

    /// Answers every draft of a batch, whatever happens.
    async fn settle(&mut self, batch: Vec<Draft>) {
        let (mut batch, twins) = self.memory.split(batch);
        // A room's entries side by side: its sockets wake once for them, and their rows share pages of the indexes.
        batch.sort_by_key(|draft| draft.room.id);
        let (mut batch, mut give_up) = in_time(batch);
        let mut repeats = 0;
        while !batch.is_empty() {
            self.take_turn().await;
            let outcome = self.attempt(&batch, give_up).await;
            self.turn = None;
            let why = match outcome {
                Ok(verdicts) => {
                    self.app.rooms.writer.note(None);
                    self.finish(std::mem::take(&mut batch), verdicts);
                    break;
                }
                Err(why) => why,
            };
            if db::constraint(&why) == Some("message_client_id_key") && repeats < REPEATS {
                repeats += 1;
                batch = self.answer_known(batch, give_up).await;
            } else if db::is_retryable(&why) && repeats < REPEATS && !faults::on(Fault::SerializationNotRepeated) {
                repeats += 1;
            } else if db::is_unreachable(&why) {
                // The outcome may be unknown: whoever repeats it gets the answer of what is stored.
                self.connection = None;
                if db::refuses_writes(&why) {
                    self.app.rooms.writer.note(Some(Instant::now()));
                }
                let rows = batch.len();
                (batch, give_up) = in_time(batch);
                if batch.len() < rows {
                    tracing::warn!(error.cause = %why, batch.rows = rows - batch.len(), "entries could not be written");
                }
                if !batch.is_empty() {
                    tokio::time::sleep(AGAIN).await;
                    shed(&mut self.drafts, &mut self.waiting);
                }
            } else if batch.len() > 1 && !faults::on(Fault::PoisonFailsTheBatch) {
                // Something in it cannot be stored: each on its own, so that it fails alone.
                tracing::error!(error.cause = %why, batch.rows = batch.len(), "a batch failed; writing its entries alone");
                self.connection = None;
                for draft in std::mem::take(&mut batch) {
                    Box::pin(self.settle(vec![draft])).await;
                }
            } else {
                self.connection = None;
                let cause = why.to_string();
                refuse(std::mem::take(&mut batch), || Error::internal(cause.clone()));
            }
        }
        self.turn = None;
        self.answer_twins(twins).await;
    }

    /// One transaction. What queues up behind one that hangs is answered when its own time is over.
    async fn attempt(&mut self, batch: &[Draft], give_up: Instant) -> std::result::Result<Vec<Verdict>, sqlx::Error> {
        let Self { app, connection, drafts, waiting, .. } = self;
        let mut writing = pin!(tokio::time::timeout_at(give_up, async {
            let connection = match connection {
                Some(connection) => connection,
                empty => empty.insert(db::connect(&app.db, SESSION).await?),
            };
            batch::write(app, connection, batch, give_up).await
        }));
        loop {
            tokio::select! {
                biased;
                written = &mut writing => return written.unwrap_or(Err(sqlx::Error::PoolTimedOut)),
                () = tokio::time::sleep(AGAIN) => {}
            }
            shed(drafts, waiting);
        }
    }

    /// After the commit: entries are published and their senders answered, in order, a room's run of them at a time: its
    /// sockets wake once, and a sender's writes its answer and its event with one flush. Their order is free.
    fn finish(&mut self, batch: Vec<Draft>, verdicts: Vec<Verdict>) {
        let mut entries = Vec::new();
        let mut answers: Vec<(Answer, Posted)> = Vec::new();
        let mut run = None;
        let mut is_wanted = false;
        let mut others = self.app.relay.has_others().then(|| Vec::with_capacity(batch.len()));
        for (draft, verdict) in batch.into_iter().zip(verdicts) {
            if run != Some(draft.room.id) {
                publish(&self.app, run, &mut entries, &mut answers);
                run = Some(draft.room.id);
                is_wanted = feed::is_wanted(&self.app, draft.room.id);
            }
            let posted @ Posted { seq, at, repeated } = match verdict {
                Ok(posted) => posted,
                Err(why) => {
                    (draft.answer)(Err(why));
                    continue;
                }
            };
            self.memory.remember(draft.room.id, draft.client_id, draft.member.visitor, seq, at);
            answers.push((draft.answer, posted));
            if !repeated && is_wanted {
                let message = Message {
                    room: draft.room.public_id,
                    seq,
                    client_id: draft.client_id,
                    sender: draft.member.sender.clone(),
                    payload: draft.payload.into_raw(),
                    reply_to: draft.reply_to,
                    at: format_timestamp(at),
                    edited_at: None,
                    deleted: false,
                };
                let frame = RoomEvent::Message(message).encode();
                if let Some(others) = &mut others {
                    let topic = Topic::Room(draft.room.id);
                    others.push(Publication { node: self.app.node, topic, seq: Some(seq), frame: frame.clone() });
                }
                entries.push((seq, frame));
            }
        }
        publish(&self.app, run, &mut entries, &mut answers);
        // The whole batch at once: the other nodes wake once for all its rooms.
        self.app.relay.publish_all(others.unwrap_or_default());
    }

    /// A repeat slipped into the batch: answers what is stored, keeps the rest. Whose repeat it was writes alone for a while.
    async fn answer_known(&mut self, batch: Vec<Draft>, give_up: Instant) -> Vec<Draft> {
        let (rooms, ids): (Vec<i64>, Vec<Uuid>) = batch.iter().map(|draft| (draft.room.id, draft.client_id)).unzip();
        let looked_up = async {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                empty => empty.insert(db::connect(&self.app.db, SESSION).await?),
            };
            store::known(connection, &rooms, &ids).await
        };
        let Ok(Ok(known)) = tokio::time::timeout_at(give_up, looked_up).await else {
            self.connection = None;
            return batch; // the loop of `settle` tries again or gives up
        };
        let known: HashMap<(i64, Uuid), _> = known.into_iter().map(|k| ((k.room_id, k.client_id), k)).collect();
        let mut rest = Vec::with_capacity(batch.len());
        for draft in batch {
            match known.get(&(draft.room.id, draft.client_id)) {
                None => rest.push(draft),
                Some(stored) => {
                    self.alone.insert(draft.member.visitor, Instant::now() + ALONE);
                    let same = stored.sender_id == draft.member.visitor && stored.verb == "send";
                    self.memory.remember(
                        draft.room.id,
                        draft.client_id,
                        stored.sender_id,
                        stored.seq,
                        stored.created_at,
                    );
                    (draft.answer)(repeat(same, stored.seq, stored.created_at));
                }
            }
        }
        rest
    }

    /// Repeats that arrived in the same batch as their first: they get its answer, or try themselves if it failed.
    async fn answer_twins(&mut self, twins: Vec<Draft>) {
        for twin in twins {
            match self.memory.find(twin.room.id, twin.client_id) {
                Some((sender, seq, at)) => {
                    (twin.answer)(repeat(sender == twin.member.visitor, seq, at));
                }
                None => {
                    (twin.answer)(Err(Error::Unavailable));
                }
            }
        }
    }
}

/// Publishes a room's run of entries, and answers their senders.
fn publish(app: &App, room: Option<i64>, entries: &mut Vec<(i64, Frame)>, answers: &mut Vec<(Answer, Posted)>) {
    if let Some(room) = room {
        feed::committed(app, room, entries);
    }
    for (answer, posted) in answers.drain(..) {
        answer(Ok(posted));
    }
}

/// The answer to a repeat: the first answer, or a conflict when the id is somebody else's.
pub(super) fn repeat(same: bool, seq: i64, at: OffsetDateTime) -> Result<Posted> {
    if same || faults::on(Fault::ConflictAccepted) {
        Ok(Posted { seq, at, repeated: true })
    } else {
        Err(Error::Conflict("This client_id is taken in this room. Use a fresh UUID for every entry."))
    }
}

/// Refuses what has no time left. Answers the rest, and until when it is tried: whoever asked first does not wait for others.
fn in_time(batch: Vec<Draft>) -> (Vec<Draft>, Instant) {
    let now = Instant::now();
    let (late, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|draft| draft.asked + PATIENCE < now + TOO_LATE);
    refuse(late, || Error::Unavailable);
    let give_up = rest.iter().map(|draft| draft.asked).min().unwrap_or(now) + PATIENCE;
    (rest, give_up)
}

/// Takes over what is queued, and refuses what has no time left.
fn shed(drafts: &mut mpsc::Receiver<Draft>, waiting: &mut Vec<Draft>) {
    while waiting.len() < QUEUE
        && let Ok(draft) = drafts.try_recv()
    {
        waiting.push(draft);
    }
    *waiting = in_time(std::mem::take(waiting)).0;
}

fn refuse(batch: Vec<Draft>, why: impl Fn() -> Error) {
    for draft in batch {
        (draft.answer)(Err(why()));
    }
}

/// Recent client ids: catches most repeats before they reach the database. A bound in entries, oldest out first.
#[derive(Default)]
struct Memory {
    known: HashMap<(i64, Uuid), (i64, i64, OffsetDateTime)>,
    order: VecDeque<(i64, Uuid)>,
}

impl Memory {
    fn find(&self, room: i64, client_id: Uuid) -> Option<(i64, i64, OffsetDateTime)> {
        self.known.get(&(room, client_id)).copied()
    }

    fn remember(&mut self, room: i64, client_id: Uuid, sender: i64, seq: i64, at: OffsetDateTime) {
        if self.known.insert((room, client_id), (sender, seq, at)).is_none() {
            self.order.push_back((room, client_id));
            if self.order.len() > MEMORY
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }

    /// Answers the repeats it knows; parts the rest into first comers and their twins in the same batch.
    fn split(&self, batch: Vec<Draft>) -> (Vec<Draft>, Vec<Draft>) {
        let mut seen = HashSet::with_capacity(batch.len());
        let (mut first, mut twins) = (Vec::with_capacity(batch.len()), Vec::new());
        for draft in batch {
            let key = (draft.room.id, draft.client_id);
            if let Some((sender, seq, at)) = self.find(key.0, key.1) {
                (draft.answer)(repeat(sender == draft.member.visitor, seq, at));
            } else if seen.insert(key) {
                first.push(draft);
            } else {
                twins.push(draft);
            }
        }
        (first, twins)
    }
}
