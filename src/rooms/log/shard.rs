//! A writer shard: one of a node's group-commit writers.
//!
//! The entries of a room always go through the same shard. Half of the shards commit at a time,
//! while the others gather what arrives.
use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use super::recent::{Committed, Parted, Recent, repeated};
use super::{PendingEntry, batch, store};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::db::group_commit::{
    self, Attempts, MAX_BATCH_ROWS, MIN_TIME_LEFT, Queue, RETRY_DELAY, Verdict, Writer, WriterConnection,
};
use crate::db::{self, CommitScheduler};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, VisitorId};
use crate::metrics::FrameType;
use crate::realtime::{Content, Entry, Publication, Topic};
use crate::rooms::limits::WRITE_DEADLINE;
use crate::rooms::model::{Message, RoomEvent, RoomKind};
use crate::rooms::{Answer, Posted, delivery};

/// Largest size of the payloads in one transaction. A single entry may be larger.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How long a visitor whose repeats made a batch fail is written in batches of one.
const ISOLATED_FOR: Duration = Duration::from_secs(60);
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
pub(super) fn run(app: &App, queue: Queue<PendingEntry>, scheduler: CommitScheduler) {
    let connection = WriterConnection::new(&app.db, SESSION);
    let shard = WriterShard { app: app.clone(), scheduler, recent: Recent::default(), isolated: HashMap::new() };
    group_commit::spawn(&app.tasks, "rooms.writer", queue, connection, shard);
}

struct WriterShard {
    app: App,
    scheduler: CommitScheduler,
    recent: Recent,
    /// Visitors whose entries are written in batches of one, and until when.
    isolated: HashMap<VisitorId, Instant>,
}

/// The turn to commit, held from before the batch is gathered until Postgres has answered. `None`
/// if it was waited for too long.
type Turn = Option<OwnedSemaphorePermit>;

impl Writer for WriterShard {
    type Request = PendingEntry;

    async fn process(
        &mut self,
        queue: &mut Queue<PendingEntry>,
        connection: &mut WriterConnection,
        mut gathered: Vec<PendingEntry>,
    ) {
        self.coalesce(queue, &mut gathered).await;
        let turn = self.scheduler.turn().await;
        if self.app.relay.has_others() {
            self.scheduler.wait_for_interval().await;
        }
        queue.take_more(&mut gathered);
        queue.put_back(gathered.split_off(self.next_batch_len(&gathered)));
        self.process_batch(queue, connection, turn, gathered).await;
    }
}

impl WriterShard {
    /// Waits briefly for more entries if all that were gathered go to large rooms, whose sockets
    /// get several entries at a time anyway: a commit costs as much CPU as some hundred deliveries.
    /// An entry of any other room ends the wait.
    async fn coalesce(&self, queue: &mut Queue<PendingEntry>, gathered: &mut Vec<PendingEntry>) {
        let (mut checked, mut enough, mut until) = (0, MAX_BATCH_ROWS, None);
        while checked < gathered.len() {
            for entry in &gathered[checked..] {
                let Some(window) = delivery::batch_window(&self.app, entry.room.id) else { return };
                enough = enough.min(window.max_entries);
                until = until.map_or(Some(window.until), |until: Instant| Some(until.min(window.until)));
            }
            checked = gathered.len();
            let Some(until) = until.filter(|_| checked < enough) else { return };
            queue.wait_for_more(gathered, until).await;
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
    async fn process_batch(
        &mut self,
        queue: &mut Queue<PendingEntry>,
        connection: &mut WriterConnection,
        turn: Turn,
        batch: Vec<PendingEntry>,
    ) {
        let Parted { first: mut batch, repeats } = self.recent.answer_repeats(batch);
        // The entries of a room side by side: its sockets wake once for them, and their rows share
        // pages of the indexes.
        batch.sort_by_key(|entry| entry.room.id);
        refuse_late(&mut batch);
        let mut attempts = Attempts::default();
        // Each attempt waits for a turn once. The caller did for the first.
        let mut first_turn = Some(turn);
        while !batch.is_empty() {
            let turn = match first_turn.take() {
                Some(turn) => turn,
                None => self.scheduler.turn().await,
            };
            let began = Instant::now();
            let outcome = self.try_commit(queue, connection, &batch).await;
            drop(turn);
            self.record_commit(began, &batch, &outcome);
            let why = match outcome {
                Ok(answers) => {
                    self.app.rooms.log.note_commit(began.elapsed());
                    self.publish(std::mem::take(&mut batch), answers);
                    break;
                }
                Err(why) => why,
            };
            if db::constraint(&why) == Some("message_client_id_key") && attempts.repeat() {
                batch = self.answer_stored(connection, batch).await;
                continue;
            }
            match attempts.verdict(&why) {
                Verdict::Repeat => {}
                Verdict::Reconnect => {
                    // A client that repeats a refused entry gets the answer of what is stored.
                    if db::refuses_writes(&why) {
                        self.app.rooms.log.note_refusal();
                    }
                    let refused = refuse_late(&mut batch);
                    if refused > 0 {
                        tracing::warn!(error.cause = %why, batch.rows = refused, "entries could not be written");
                    }
                    if !batch.is_empty() {
                        tokio::time::sleep(RETRY_DELAY).await;
                        refuse_late(queue.waiting());
                    }
                }
                Verdict::GiveUp if batch.len() > 1 && !faults::on(Fault::PoisonFailsTheBatch) => {
                    // One of the entries cannot be stored. Each is written on its own, so that only
                    // that one fails.
                    tracing::error!(error.cause = %why, batch.rows = batch.len(), "a batch failed; writing its entries one by one");
                    for entry in std::mem::take(&mut batch) {
                        let turn = self.scheduler.turn().await;
                        Box::pin(self.process_batch(queue, connection, turn, vec![entry])).await;
                    }
                }
                Verdict::GiveUp => {
                    for entry in std::mem::take(&mut batch) {
                        (entry.answer)(Err(Error::internal(why.to_string())));
                    }
                }
            }
        }
        self.answer_repeats(repeats);
    }

    /// Counts a transaction. It is a few atomic operations for a batch, and none for an entry.
    fn record_commit(
        &self,
        began: Instant,
        batch: &[PendingEntry],
        outcome: &Result<Vec<Result<Posted>>, sqlx::Error>,
    ) {
        let metrics = &self.app.metrics;
        let Ok(answers) = outcome else { return metrics.writer.failed.increment() };
        let now = Instant::now();
        metrics.writer.commit.observe(now.duration_since(began).as_secs_f64());
        metrics.writer.batch_entries.observe(batch.len() as f64);
        metrics.writer.written.add(answers.iter().filter(|answer| answer.is_ok()).count() as u64);
        // The deadline of an entry is a fixed time after its arrival.
        let age = |entry: &PendingEntry| WRITE_DEADLINE.saturating_sub(entry.deadline.saturating_duration_since(now));
        let ages = batch.iter().map(|entry| age(entry).as_secs_f64());
        metrics.sockets.frames(FrameType::Send).duration.observe_all(ages);
    }

    /// Tries one transaction. Entries that queue up behind one that hangs are answered when their
    /// own time is over.
    async fn try_commit(
        &self,
        queue: &mut Queue<PendingEntry>,
        connection: &mut WriterConnection,
        batch: &[PendingEntry],
    ) -> Result<Vec<Result<Posted>>, sqlx::Error> {
        let deadline = deadline(batch);
        let write = async |connection: &mut _| batch::write(&self.app, connection, batch, deadline).await;
        let mut writing = pin!(connection.attempt(deadline, write));
        loop {
            tokio::select! {
                biased;
                written = &mut writing => return written,
                () = tokio::time::sleep(RETRY_DELAY) => {}
            }
            refuse_late(queue.waiting());
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
        let (mut in_talks, mut in_rooms) = (0, 0);
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
            if !repeated {
                *(if entry.room.kind == RoomKind::Talk { &mut in_talks } else { &mut in_rooms }) += 1;
            }
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
        self.app.rooms.log.note_entries(in_talks, in_rooms);
        // The whole batch at once: the other nodes wake once for all its rooms.
        self.app.relay.publish(publications.unwrap_or_default());
    }

    /// Answers the repeats in a batch with what is stored, and returns the rest. Their senders are
    /// isolated for a while.
    async fn answer_stored(
        &mut self,
        connection: &mut WriterConnection,
        batch: Vec<PendingEntry>,
    ) -> Vec<PendingEntry> {
        let (rooms, ids): (Vec<RoomId>, Vec<Uuid>) = batch.iter().map(|entry| (entry.room.id, entry.client_id)).unzip();
        let lookup = async |connection: &mut _| store::stored(connection, &rooms, &ids).await;
        let Ok(stored) = connection.attempt(deadline(&batch), lookup).await else {
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

/// Returns the deadline of the oldest entry: none waits for others beyond its own time.
fn deadline(batch: &[PendingEntry]) -> Instant {
    group_commit::earliest(batch.iter().map(|entry| entry.deadline))
}

/// Refuses the entries with too little time left, and returns how many: a shard that is late keeps
/// its time for the rest.
fn refuse_late(entries: &mut Vec<PendingEntry>) -> usize {
    let (before, earliest) = (entries.len(), Instant::now() + MIN_TIME_LEFT);
    for late in entries.extract_if(.., |entry| entry.deadline < earliest) {
        (late.answer)(Err(Error::Unavailable));
    }
    before - entries.len()
}
