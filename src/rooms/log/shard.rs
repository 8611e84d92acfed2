//! A writer shard: one of a node's group-commit writers.
//!
//! The entries of a room always go through the same shard. Half of the shards commit at a time,
//! while the others gather what arrives. Each commits what it has gathered in one transaction. No
//! timer adds latency: an idle shard commits at once, a busy one in batches.
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::recent::{Committed, Parted, Recent, repeated};
use super::{PendingEntry, QUEUE_CAPACITY, batch, store};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db::{self, CommitScheduler};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, VisitorId};
use crate::realtime::{Content, Entry, Publication, Topic};
use crate::rooms::limits::WRITE_DEADLINE;
use crate::rooms::model::{Message, RoomEvent};
use crate::rooms::{Answer, Posted, delivery};

/// Largest number of entries in one transaction.
const MAX_BATCH_ROWS: usize = 500;
/// Largest size of the payloads in one transaction. A single entry may be larger.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// An entry with less time left than this is refused at once: a shard that is late keeps its time
/// for the rest.
const MIN_TIME_LEFT: Duration = Duration::from_millis(200);
/// How long a batch waits before it tries again when Postgres cannot be reached, and how often the
/// queue is checked meanwhile.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long a visitor whose repeats made a batch fail is written in batches of one.
const ISOLATED_FOR: Duration = Duration::from_secs(60);
/// How often a batch is repeated after a deadlock or a serialization failure.
const MAX_RETRIES: usize = 5;
/// Session settings of a shard's connection: no transaction can hang the others.
pub(in crate::rooms) const SESSION: &[(&str, &str)] = &[
    ("idle_in_transaction_session_timeout", "2s"),
    ("statement_timeout", "5s"),
    ("tcp_user_timeout", "5s"),
    // The statements of a batch are planned once: planning them for each batch cost more than it
    // gained.
    ("plan_cache_mode", "force_generic_plan"),
    ("application_name", "maju writer"),
];

/// Starts a shard.
pub(super) fn run(app: &App, queue: mpsc::Receiver<PendingEntry>, scheduler: CommitScheduler) {
    let shard = WriterShard {
        app: app.clone(),
        queue,
        waiting: Vec::new(),
        scheduler,
        turn: None,
        connection: None,
        recent: Recent::default(),
        isolated: HashMap::new(),
    };
    // Kept outside of the task: the queue and the recent client ids survive a panic.
    let shard = Arc::new(tokio::sync::Mutex::new(shard));
    app.tasks.spawn_essential("rooms.writer", move || {
        let shard = shard.clone();
        async move { shard.lock().await.run().await }
    });
}

struct WriterShard {
    app: App,
    queue: mpsc::Receiver<PendingEntry>,
    /// Entries that were taken from the queue and are not in the current batch, in the order of
    /// arrival.
    waiting: Vec<PendingEntry>,
    scheduler: CommitScheduler,
    /// The turn to commit, held from before the batch is gathered until Postgres has answered.
    turn: Option<OwnedSemaphorePermit>,
    connection: Option<PgConnection>,
    recent: Recent,
    /// Visitors whose entries are written in batches of one, and until when.
    isolated: HashMap<VisitorId, Instant>,
}

impl WriterShard {
    async fn run(&mut self) {
        let stopping = self.app.tasks.stopping.clone();
        // After a panic a transaction may be unfinished on the connection.
        (self.connection, self.turn) = (None, None);
        loop {
            let mut gathered = std::mem::take(&mut self.waiting);
            if gathered.is_empty() {
                tokio::select! {
                    biased;
                    count = self.queue.recv_many(&mut gathered, MAX_BATCH_ROWS) => if count == 0 { return },
                    // The branch above comes first: queued entries are written before the shard
                    // stops.
                    () = stopping.cancelled() => break,
                }
            }
            self.coalesce(&mut gathered).await;
            self.take_turn().await;
            if self.app.relay.has_others() {
                self.scheduler.wait_for_interval().await;
            }
            while gathered.len() < MAX_BATCH_ROWS
                && let Ok(entry) = self.queue.try_recv()
            {
                gathered.push(entry);
            }
            self.waiting = gathered.split_off(self.next_batch_len(&gathered));
            self.process_batch(gathered).await;
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Waits briefly for more entries if all that were gathered go to large rooms, whose sockets
    /// get several entries at a time anyway: a commit costs as much CPU as some hundred deliveries.
    /// An entry of any other room ends the wait.
    async fn coalesce(&mut self, gathered: &mut Vec<PendingEntry>) {
        let (mut checked, mut enough, mut until) = (0, MAX_BATCH_ROWS, None);
        while checked < gathered.len() {
            for entry in &gathered[checked..] {
                let Some(window) = delivery::batch_window(&self.app, entry.room.id) else { return };
                enough = enough.min(window.max_entries);
                until = until.map_or(Some(window.until), |until: Instant| Some(until.min(window.until)));
            }
            checked = gathered.len();
            let Some(until) = until.filter(|_| checked < enough) else { return };
            let _ = tokio::time::timeout_at(until, self.queue.recv_many(gathered, MAX_BATCH_ROWS - checked)).await;
        }
    }

    async fn take_turn(&mut self) {
        if self.turn.is_none() {
            self.turn = self.scheduler.turn().await;
        }
    }

    /// Returns how many of the gathered entries go into the next transaction, within its bounds and
    /// in the order of arrival.
    fn next_batch_len(&mut self, gathered: &[PendingEntry]) -> usize {
        let now = Instant::now();
        self.isolated.retain(|_, until| *until > now);
        let mut bytes = 0;
        let fits = |entry: &&PendingEntry| {
            let is_first = bytes == 0;
            bytes += entry.payload.json().len();
            is_first || (bytes <= MAX_BATCH_BYTES && !self.isolated.contains_key(&entry.member.visitor))
        };
        match gathered.first() {
            Some(first) if self.isolated.contains_key(&first.member.visitor) => 1,
            _ => gathered.iter().take(MAX_BATCH_ROWS).take_while(fits).count(),
        }
    }

    /// Answers every entry of a batch, whatever happens.
    async fn process_batch(&mut self, batch: Vec<PendingEntry>) {
        let Parted { first: mut batch, repeats } = self.recent.answer_repeats(batch);
        // The entries of a room side by side: its sockets wake once for them, and their rows share
        // pages of the indexes.
        batch.sort_by_key(|entry| entry.room.id);
        let (mut batch, mut deadline) = refuse_late(batch);
        let mut retries = 0;
        while !batch.is_empty() {
            self.take_turn().await;
            let outcome = self.try_commit(&batch, deadline).await;
            self.turn = None;
            let why = match outcome {
                Ok(answers) => {
                    self.app.rooms.log.note_commit();
                    self.publish(std::mem::take(&mut batch), answers);
                    break;
                }
                Err(why) => why,
            };
            if db::constraint(&why) == Some("message_client_id_key") && retries < MAX_RETRIES {
                retries += 1;
                batch = self.answer_stored(batch, deadline).await;
            } else if db::is_retryable(&why) && retries < MAX_RETRIES && !faults::on(Fault::SerializationNotRepeated) {
                retries += 1;
            } else if db::is_unreachable(&why) {
                // The outcome may be unknown: a client that repeats the entry gets the answer of
                // what is stored.
                self.connection = None;
                if db::refuses_writes(&why) {
                    self.app.rooms.log.note_refusal();
                }
                let rows = batch.len();
                (batch, deadline) = refuse_late(batch);
                if batch.len() < rows {
                    tracing::warn!(error.cause = %why, batch.rows = rows - batch.len(), "entries could not be written");
                }
                if !batch.is_empty() {
                    tokio::time::sleep(RETRY_DELAY).await;
                    drain_queue(&mut self.queue, &mut self.waiting);
                }
            } else if batch.len() > 1 && !faults::on(Fault::PoisonFailsTheBatch) {
                // One of the entries cannot be stored. Each is written on its own, so that only
                // that one fails.
                tracing::error!(error.cause = %why, batch.rows = batch.len(), "a batch failed; writing its entries one by one");
                self.connection = None;
                for entry in std::mem::take(&mut batch) {
                    Box::pin(self.process_batch(vec![entry])).await;
                }
            } else {
                self.connection = None;
                let cause = why.to_string();
                refuse(std::mem::take(&mut batch), || Error::internal(cause.clone()));
            }
        }
        self.turn = None;
        self.answer_repeats(repeats);
    }

    /// Tries one transaction. Entries that queue up behind one that hangs are answered when their
    /// own time is over.
    async fn try_commit(
        &mut self,
        batch: &[PendingEntry],
        deadline: Instant,
    ) -> std::result::Result<Vec<Result<Posted>>, sqlx::Error> {
        let Self { app, connection, queue, waiting, .. } = self;
        let mut writing = pin!(tokio::time::timeout_at(deadline, async {
            let connection = match connection {
                Some(connection) => connection,
                empty => empty.insert(db::connect(&app.db, SESSION).await?),
            };
            batch::write(app, connection, batch, deadline).await
        }));
        loop {
            tokio::select! {
                biased;
                written = &mut writing => return written.unwrap_or(Err(sqlx::Error::PoolTimedOut)),
                () = tokio::time::sleep(RETRY_DELAY) => {}
            }
            drain_queue(queue, waiting);
        }
    }

    /// After the commit, publishes the entries and answers their senders, in order, one room after
    /// the other: the sockets of a room wake once, and a sender's socket writes its answer and its
    /// event with one flush.
    fn publish(&mut self, batch: Vec<PendingEntry>, answers: Vec<Result<Posted>>) {
        let mut entries = Vec::new();
        let mut answered: Vec<(Answer, Posted)> = Vec::new();
        let mut run = None;
        let mut is_wanted = false;
        let mut publications = self.app.relay.has_others().then(|| Vec::with_capacity(batch.len()));
        for (entry, answer) in batch.into_iter().zip(answers) {
            if run != Some(entry.room.id) {
                deliver(&self.app, run, &mut entries, &mut answered);
                run = Some(entry.room.id);
                is_wanted = delivery::is_wanted(&self.app, entry.room.id);
            }
            let posted @ Posted { seq, at, repeated } = match answer {
                Ok(posted) => posted,
                Err(why) => {
                    (entry.answer)(Err(why));
                    continue;
                }
            };
            let committed = Committed { sender: entry.member.visitor, seq, at };
            self.recent.insert(entry.room.id, entry.client_id, committed);
            answered.push((entry.answer, posted));
            if !repeated && is_wanted {
                let message = Message {
                    room: entry.room.public_id,
                    seq,
                    client_id: entry.client_id,
                    sender: entry.member.sender.clone(),
                    payload: entry.payload.into_raw(),
                    reply_to: entry.reply_to,
                    at: format_timestamp(at),
                    edited_at: None,
                    deleted: false,
                };
                let entry_event = Entry { seq, frame: RoomEvent::Message(message).encode() };
                if let Some(publications) = &mut publications {
                    let topic = Topic::Room(entry.room.id);
                    let content = Content::Entry(entry_event.clone());
                    publications.push(Publication { node: self.app.node, topic, content });
                }
                entries.push(entry_event);
            }
        }
        deliver(&self.app, run, &mut entries, &mut answered);
        // The whole batch at once: the other nodes wake once for all its rooms.
        self.app.relay.publish(publications.unwrap_or_default());
    }

    /// Answers the repeats in a batch with what is stored, and returns the rest. Their senders are
    /// isolated for a while.
    async fn answer_stored(&mut self, batch: Vec<PendingEntry>, deadline: Instant) -> Vec<PendingEntry> {
        let (rooms, ids): (Vec<RoomId>, Vec<Uuid>) = batch.iter().map(|entry| (entry.room.id, entry.client_id)).unzip();
        let lookup = async {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                empty => empty.insert(db::connect(&self.app.db, SESSION).await?),
            };
            store::stored(connection, &rooms, &ids).await
        };
        let Ok(Ok(stored)) = tokio::time::timeout_at(deadline, lookup).await else {
            self.connection = None;
            return batch; // `process_batch` tries again or gives up
        };
        let stored: HashMap<(RoomId, Uuid), _> =
            stored.into_iter().map(|entry| ((entry.room_id, entry.client_id), entry)).collect();
        let mut rest = Vec::with_capacity(batch.len());
        for entry in batch {
            match stored.get(&(entry.room.id, entry.client_id)) {
                None => rest.push(entry),
                Some(stored) => {
                    self.isolated.insert(entry.member.visitor, Instant::now() + ISOLATED_FOR);
                    let is_same = stored.sender_id == entry.member.visitor && stored.verb == "send";
                    let (sender, seq, at) = (stored.sender_id, stored.seq, stored.created_at);
                    self.recent.insert(entry.room.id, entry.client_id, Committed { sender, seq, at });
                    (entry.answer)(repeated(is_same, seq, at));
                }
            }
        }
        rest
    }

    /// Answers repeats that arrived in the same batch as their first entry. If that one failed, the
    /// client tries again.
    fn answer_repeats(&self, repeats: Vec<PendingEntry>) {
        for repeat in repeats {
            let committed = self.recent.find(repeat.room.id, repeat.client_id);
            let answer = committed.ok_or(Error::Unavailable);
            (repeat.answer)(answer.and_then(|committed| committed.answer_to(repeat.member.visitor)));
        }
    }
}

/// Delivers the entries of a room to the sockets of this node, and answers their senders.
fn deliver(app: &App, room: Option<RoomId>, entries: &mut Vec<Entry>, answered: &mut Vec<(Answer, Posted)>) {
    if let Some(room) = room {
        delivery::deliver(app, room, entries);
    }
    for (answer, posted) in answered.drain(..) {
        answer(Ok(posted));
    }
}

/// Refuses entries with too little time left. Returns the rest and the deadline of the oldest: no
/// entry waits for others beyond its own time.
fn refuse_late(batch: Vec<PendingEntry>) -> (Vec<PendingEntry>, Instant) {
    let now = Instant::now();
    let is_late = |entry: &PendingEntry| entry.requested_at + WRITE_DEADLINE < now + MIN_TIME_LEFT;
    let (late, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_late);
    refuse(late, || Error::Unavailable);
    let deadline = rest.iter().map(|entry| entry.requested_at).min().unwrap_or(now) + WRITE_DEADLINE;
    (rest, deadline)
}

/// Takes entries from the queue, and refuses those with too little time left.
fn drain_queue(queue: &mut mpsc::Receiver<PendingEntry>, waiting: &mut Vec<PendingEntry>) {
    while waiting.len() < QUEUE_CAPACITY
        && let Ok(entry) = queue.try_recv()
    {
        waiting.push(entry);
    }
    *waiting = refuse_late(std::mem::take(waiting)).0;
}

fn refuse(batch: Vec<PendingEntry>, why: impl Fn() -> Error) {
    for entry in batch {
        (entry.answer)(Err(why()));
    }
}
