//! Leaving: places that end for good. Those that end at the same time end in one commit.
//!
//! A leave raises its room's rights under the head's lock. A thousand a second, each with a commit of its own, took a third
//! of what people write elsewhere (docs/decisions/0009-lanes-take-turns.md). One task a node carries them out: who comes alone
//! leaves at once, and what somebody asked for is done and told even if they are gone.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::turns::Turns;
use super::writer::PATIENCE;
use super::{rights, store};
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};

/// Leaves that wait at most; past it one is told `unavailable`.
const QUEUE: usize = 4_096;
/// Leaves of one statement.
const ROWS: usize = 500;
/// Deadlocks a statement is repeated after: reading marks are written to the same rows.
const REPEATS: usize = 5;
/// How soon it is tried again when Postgres could not be reached.
const AGAIN: Duration = Duration::from_millis(100);
/// The session of the task: nobody hangs the rest, and lookups by key are planned once.
const SESSION: &[(&str, &str)] = &[
    ("statement_timeout", "5s"),
    ("lock_timeout", "1700ms"),
    ("tcp_user_timeout", "5s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("application_name", "maju leaving"),
];

/// Somebody who leaves a room.
struct Leave {
    room: Uuid,
    visitor: i64,
    asked: Instant,
    answer: oneshot::Sender<Result<()>>,
}

/// Where leaves are handed in.
pub(super) struct Leaving(mpsc::Sender<Leave>);

/// The other end, for [`run`].
pub(super) struct Leaves(mpsc::Receiver<Leave>);

impl Leaving {
    /// The queue of a node.
    pub(super) fn new() -> (Self, Leaves) {
        let (queue, leaves) = mpsc::channel(QUEUE);
        (Self(queue), Leaves(leaves))
    }

    /// Ends a visitor's place in a room. Errors: `not_found` when there was none, `unavailable`.
    pub(super) async fn leave(&self, room: Uuid, visitor: i64) -> Result<()> {
        let (answer, left) = oneshot::channel();
        let leave = Leave { room, visitor, asked: Instant::now(), answer };
        self.0.try_send(leave).map_err(|_| Error::Unavailable)?;
        left.await.map_err(|_| Error::Unavailable)?
    }
}

/// Starts the task.
pub(super) fn run(app: &App, leaves: Leaves, turns: Turns) {
    let task = Task { app: app.clone(), leaves: leaves.0, turns, connection: None };
    // Outside of the task: the queue outlives a panic.
    let task = Arc::new(tokio::sync::Mutex::new(task));
    app.tasks.spawn_essential("rooms.leaving", move || {
        let task = task.clone();
        async move { task.lock().await.run().await }
    });
}

struct Task {
    app: App,
    leaves: mpsc::Receiver<Leave>,
    turns: Turns,
    connection: Option<PgConnection>,
}

/// Who leaves, by room and visitor: a repeat on another socket gets the same answer.
type Batch = HashMap<(Uuid, i64), Vec<Leave>>;

impl Task {
    async fn run(&mut self) {
        let stopping = self.app.tasks.stopping.clone();
        self.connection = None; // After a panic: it may be in the middle of a statement.
        let mut gathered = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.leaves.recv_many(&mut gathered, ROWS) => {
                    if count == 0 {
                        return;
                    }
                    // At the pace of the writers' batches, and beside them: one that keeps its turn holds them up while the
                    // log is flushed (0.85 of the messages beside a thousand leaves a second, rather than all of them).
                    drop(self.turns.take().await);
                    while gathered.len() < ROWS
                        && let Ok(leave) = self.leaves.try_recv()
                    {
                        gathered.push(leave);
                    }
                    let mut batch = Batch::new();
                    for leave in gathered.drain(..) {
                        batch.entry((leave.room, leave.visitor)).or_default().push(leave);
                    }
                    self.settle(batch).await;
                }
                // What is queued is done before a stop takes effect: the branch above comes first.
                () = stopping.cancelled() => break,
            }
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Answers every leave of a batch, whatever happens.
    async fn settle(&mut self, batch: Batch) {
        let give_up = batch.values().flatten().map(|leave| leave.asked).min().unwrap_or_else(Instant::now) + PATIENCE;
        let (mut repeats, mut is_doubtful) = (0, false);
        let why = loop {
            let outcome = timeout_at(give_up, self.attempt(&batch)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let why = match outcome {
                Ok(left) => return self.finish(batch, left, is_doubtful),
                Err(why) => why,
            };
            if db::is_retryable(&why) && repeats < REPEATS {
                repeats += 1;
                continue;
            }
            self.connection = None;
            is_doubtful = true;
            if !db::is_unreachable(&why) || Instant::now() + AGAIN >= give_up {
                break why;
            }
            tokio::time::sleep(AGAIN).await;
        };
        if db::is_unreachable(&why) {
            db::log_unreachable(&why);
        }
        for leave in batch.into_values().flatten() {
            let why = if db::is_unreachable(&why) { Error::Unavailable } else { Error::internal(why.to_string()) };
            let _ = leave.answer.send(Err(why)); // who has gone needs none
        }
    }

    async fn attempt(&mut self, batch: &Batch) -> std::result::Result<Vec<store::Left>, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(db::connect(&self.app.db, SESSION).await?),
        };
        let (rooms, visitors): (Vec<Uuid>, Vec<i64>) = batch.keys().copied().unzip();
        store::leave_places(connection, &rooms, &visitors).await
    }

    /// After the commit: caches, sockets and nodes are told, each room's in the order of its rights; then the answers.
    ///
    /// Whoever had no place has left before: with an attempt whose outcome was not heard, when there was one.
    fn finish(&self, mut batch: Batch, left: Vec<store::Left>, is_doubtful: bool) {
        for (nth, store::Left { room_id, public_id, visitor_id, rights }) in left.into_iter().enumerate() {
            if nth == 0 || !faults::on(Fault::OneLeaverTold) {
                rights::risen(&self.app, (room_id, public_id), rights, Some(visitor_id));
            }
            for leave in batch.remove(&(public_id, visitor_id)).unwrap_or_default() {
                let _ = leave.answer.send(Ok(()));
            }
        }
        for leave in batch.into_values().flatten() {
            let _ = leave.answer.send(if is_doubtful { Ok(()) } else { Err(Error::NotFound) });
        }
    }
}
