//! Leaving: memberships that end for good. Leaves that arrive together share one commit.
//!
//! A leave raises the version of its room's rights under the lock of the head. A thousand leaves a
//! second, each with a commit of its own, took a third of the throughput of messages
//! (docs/decisions/0009-writer-shards-take-turns.md). One task on each node writes them all: a
//! leave that is alone is written at once. A leave that was accepted is carried out even if its
//! visitor has gone.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::store::{self, Left};
use super::{LEAVE_SESSION, OnRightsChange, RightsChange};
use crate::app::App;
use crate::db::{self, CommitScheduler};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::VisitorId;
use crate::rooms::limits::WRITE_DEADLINE;

/// Largest number of leaves that wait. A leave beyond it is answered `unavailable`.
const QUEUE_CAPACITY: usize = 4_096;
/// Largest number of leaves in one statement.
const MAX_BATCH_ROWS: usize = 500;
/// How often a statement is repeated after a deadlock: read markers are written to the same rows.
const MAX_RETRIES: usize = 5;
/// How long the task waits before it tries again when Postgres cannot be reached.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A request to leave a room.
struct Leave {
    room: Uuid,
    visitor: VisitorId,
    requested_at: Instant,
    answer: oneshot::Sender<Result<()>>,
}

/// The sending end of the queue of leaves.
pub(super) struct Leaves(mpsc::Sender<Leave>);

/// The receiving end of the queue of leaves, for [`run`].
pub(in crate::rooms) struct LeaveQueue(mpsc::Receiver<Leave>);

impl Leaves {
    /// Creates the queue of a node.
    pub(super) fn new() -> (Self, LeaveQueue) {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        (Self(sender), LeaveQueue(receiver))
    }

    /// Ends a visitor's membership of a room, and returns after the commit.
    ///
    /// # Errors
    /// `not_found` if there was none, `unavailable`.
    pub(super) async fn leave(&self, room: Uuid, visitor: VisitorId) -> Result<()> {
        let (answer, outcome) = oneshot::channel();
        let leave = Leave { room, visitor, requested_at: Instant::now(), answer };
        self.0.try_send(leave).map_err(|_| Error::Unavailable)?;
        outcome.await.map_err(|_| Error::Unavailable)?
    }
}

/// Starts the task.
pub(super) fn run(app: &App, queue: LeaveQueue, scheduler: CommitScheduler, on_change: OnRightsChange) {
    let task = Task { app: app.clone(), queue: queue.0, scheduler, on_change, connection: None };
    // The queue is kept outside of the task, so that it survives a panic.
    let task = Arc::new(tokio::sync::Mutex::new(task));
    app.tasks.spawn_essential("rooms.leaving", move || {
        let task = task.clone();
        async move { task.lock().await.run().await }
    });
}

struct Task {
    app: App,
    queue: mpsc::Receiver<Leave>,
    scheduler: CommitScheduler,
    on_change: OnRightsChange,
    connection: Option<PgConnection>,
}

/// Leaves by room and visitor: the same request from a second socket gets the same answer.
type Batch = HashMap<(Uuid, VisitorId), Vec<Leave>>;

impl Task {
    async fn run(&mut self) {
        let stopping = self.app.tasks.stopping.clone();
        self.connection = None; // After a panic a statement may be unfinished on it.
        let mut gathered = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut gathered, MAX_BATCH_ROWS) => {
                    if count == 0 {
                        return;
                    }
                    // Leaves keep the rhythm of the batches, but give their turn back at once. A
                    // task that keeps it holds up the batches while the log is flushed: 0.85 of the
                    // messages beside a thousand leaves a second instead of all of them.
                    drop(self.scheduler.turn().await);
                    while gathered.len() < MAX_BATCH_ROWS
                        && let Ok(leave) = self.queue.try_recv()
                    {
                        gathered.push(leave);
                    }
                    let mut batch = Batch::new();
                    for leave in gathered.drain(..) {
                        batch.entry((leave.room, leave.visitor)).or_default().push(leave);
                    }
                    self.process_batch(batch).await;
                }
                // The branch above comes first: queued leaves are written before the task stops.
                () = stopping.cancelled() => break,
            }
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Answers every leave of a batch, whatever happens.
    async fn process_batch(&mut self, batch: Batch) {
        let oldest = batch.values().flatten().map(|leave| leave.requested_at).min();
        let deadline = oldest.unwrap_or_else(Instant::now) + WRITE_DEADLINE;
        let (mut retries, mut outcome_unknown) = (0, false);
        let why = loop {
            let outcome = timeout_at(deadline, self.try_commit(&batch)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let why = match outcome {
                Ok(left) => return self.finish(batch, left, outcome_unknown),
                Err(why) => why,
            };
            if db::is_retryable(&why) && retries < MAX_RETRIES {
                retries += 1;
                continue;
            }
            self.connection = None;
            outcome_unknown = true;
            if !db::is_unreachable(&why) || Instant::now() + RETRY_DELAY >= deadline {
                break why;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        };
        if db::is_unreachable(&why) {
            db::log_unreachable(&why);
        }
        for leave in batch.into_values().flatten() {
            let why = if db::is_unreachable(&why) { Error::Unavailable } else { Error::internal(why.to_string()) };
            let _ = leave.answer.send(Err(why)); // a visitor who has gone needs no answer
        }
    }

    async fn try_commit(&mut self, batch: &Batch) -> std::result::Result<Vec<Left>, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(db::connect(&self.app.db, LEAVE_SESSION).await?),
        };
        let (rooms, visitors): (Vec<Uuid>, Vec<VisitorId>) = batch.keys().copied().unzip();
        store::leave(connection, &rooms, &visitors).await
    }

    /// Reports each change of rights, a room's in the order of its versions, and then answers.
    ///
    /// A visitor without a membership has left before. If the outcome of an earlier attempt is
    /// unknown, that attempt may have ended it, so the answer is a success.
    fn finish(&self, mut batch: Batch, left: Vec<Left>, outcome_unknown: bool) {
        for (nth, Left { room_id, public_id, visitor_id, rights }) in left.into_iter().enumerate() {
            if nth == 0 || !faults::on(Fault::OneLeaverTold) {
                let change = RightsChange { room: room_id, public: public_id, rights, removed: Some(visitor_id) };
                (self.on_change)(&self.app, change);
            }
            for leave in batch.remove(&(public_id, visitor_id)).unwrap_or_default() {
                let _ = leave.answer.send(Ok(()));
            }
        }
        for leave in batch.into_values().flatten() {
            let _ = leave.answer.send(if outcome_unknown { Ok(()) } else { Err(Error::NotFound) });
        }
    }
}
