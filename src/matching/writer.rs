//! The seek writer: it commits seeks in batches and answers each one after the commit.
//!
//! Seeks that arrive while a commit runs are in the next batch.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::connection_health::ConnectionHealth;
use super::local_visitors::TrackedTicket;
use super::model::Seek;
use super::store::{self, TicketBatch};
use crate::accounts;
use crate::app::App;
use crate::db::{self, fence};
use crate::error::{Error, Result};
use crate::ids::VisitorId;
use crate::moderation::{self, Restriction};
use crate::rooms::limits::WRITE_DEADLINE;

/// The largest number of seeks in the queue. Further ones are answered `unavailable`.
const MAX_QUEUED_SEEKS: usize = 4_096;
/// The largest number of seeks in one transaction.
const MAX_BATCH_ROWS: usize = 500;
/// How often a batch is retried after a deadlock or a serialization failure.
const MAX_RETRIES: usize = 5;
/// Pause before a batch is retried on a new connection.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// Time that must remain until the deadline for a retry on a new connection.
const MIN_RECONNECT_TIME: Duration = Duration::from_millis(200);
/// How long closing the connection can take when the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The session settings of the connection: a statement that hangs must not hold up other visitors.
const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("idle_in_transaction_session_timeout", "2s"),
    ("statement_timeout", "5s"),
    ("tcp_user_timeout", "5s"),
    ("application_name", "maju tickets"),
];

/// A seek that is accepted but not yet committed.
struct PendingSeek {
    visitor: VisitorId,
    ticket: Uuid,
    seek: Seek,
    since: OffsetDateTime,
    requested_at: Instant,
    answer: oneshot::Sender<Result<Uuid>>,
}

/// Why a seek is refused.
#[derive(Clone, Copy, Debug)]
enum DenyReason {
    InTalk,
    Restricted(Restriction),
}

/// The queue of the seek writer, and the health of its connection.
pub(super) struct SeekQueue {
    sender: mpsc::Sender<PendingSeek>,
    /// The receiving end. `None` since the writer took it.
    receiver: Mutex<Option<mpsc::Receiver<PendingSeek>>>,
    pub(super) connection: ConnectionHealth,
}

impl Default for SeekQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_SEEKS);
        Self { sender, receiver: Mutex::new(Some(receiver)), connection: ConnectionHealth::default() }
    }
}

/// Writes a ticket in place of the visitor's earlier one. Returns its public id after the commit.
///
/// # Errors
/// `already_in_session`, `banned`, `muted`, `unavailable`.
pub(super) async fn write(app: &App, visitor: VisitorId, seek: Seek) -> Result<Uuid> {
    let (answer, committed) = oneshot::channel();
    let (ticket, since, requested_at) = (Uuid::new_v4(), app.clock.now(), Instant::now());
    let pending = PendingSeek { visitor, ticket, seek, since, requested_at, answer };
    app.matching.seek_queue.sender.try_send(pending).map_err(|_| Error::Unavailable)?;
    committed.await.map_err(|_| Error::Unavailable)?
}

/// Starts the seek writer.
pub(super) fn run(app: &App) {
    let receiver = app.matching.seek_queue.receiver.lock().take();
    if let Some(receiver) = receiver {
        let writer = SeekWriter { app: app.clone(), receiver, connection: None };
        // It is shared with the task, so that the queue survives a panic of the task.
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        app.tasks.spawn_essential("matching.writer", move || {
            let writer = writer.clone();
            async move { writer.lock().await.run().await }
        });
    }
}

/// The task that commits batches of seeks on its own connection.
struct SeekWriter {
    app: App,
    receiver: mpsc::Receiver<PendingSeek>,
    connection: Option<PgConnection>,
}

impl SeekWriter {
    async fn run(&mut self) {
        let stopping = self.app.tasks.stopping.clone();
        self.connection = None; // after a panic it can be in the middle of a transaction
        let mut batch = Vec::with_capacity(MAX_BATCH_ROWS);
        loop {
            tokio::select! {
                biased;
                count = self.receiver.recv_many(&mut batch, MAX_BATCH_ROWS) => {
                    if count == 0 {
                        break;
                    }
                    self.process_batch(std::mem::take(&mut batch)).await;
                }
                () = stopping.cancelled() => break,
            }
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
        }
    }

    /// Commits a batch and answers every seek in it, also on failure.
    async fn process_batch(&mut self, seeks: Vec<PendingSeek>) {
        // The oldest request sets the deadline of the whole batch.
        let requested_at = seeks.iter().map(|seek| seek.requested_at).min().unwrap_or_else(Instant::now);
        let (batch, deadline) = (SeekBatch::new(seeks), requested_at + WRITE_DEADLINE);
        let mut retries = 0;
        let why = loop {
            match tokio::time::timeout_at(deadline, self.try_commit(&batch.rows)).await {
                Ok(Ok(denied)) => return batch.answer_committed(&self.app, &denied),
                Ok(Err(why)) if is_retryable(&why) && retries < MAX_RETRIES => retries += 1,
                Ok(Err(Error::Unavailable)) if Instant::now() + MIN_RECONNECT_TIME < deadline => {
                    self.connection = None;
                    tokio::time::sleep(RECONNECT_DELAY).await;
                }
                Ok(Err(why)) => break why,
                Err(_) => {
                    if self.connection.is_none() {
                        self.app.matching.seek_queue.connection.record(false);
                    }
                    break Error::Unavailable;
                }
            }
        };
        self.connection = None;
        tracing::warn!(error.cause = ?why, batch.rows = batch.rows.visitors.len(), "the seeks of a batch were not written");
        // The last attempt may have committed. A ticket that was answered `unavailable` must not
        // wait.
        self.app.matching.local.add_uncertain(batch.rows.tickets.iter().copied());
        batch.answer_unavailable();
    }

    /// Writes a batch in one transaction. Returns the visitors whose seek is refused, and why.
    ///
    /// The transaction takes the fence, keeps the visitors from being deleted, locks their tickets,
    /// refuses the visitors that are in a talk or restricted, and writes the other tickets.
    async fn try_commit(&mut self, batch: &TicketBatch) -> Result<HashMap<VisitorId, DenyReason>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connecting = db::connect(&self.app.db, SESSION_SETTINGS).await;
                self.app.matching.seek_queue.connection.record(connecting.is_ok());
                empty.insert(connecting?)
            }
        };
        let mut tx = connection.begin().await?;
        // No ticket is written after the commit of its visitor's ban.
        fence::lock_shared(&mut tx).await?;
        accounts::lock_against_sweep(&mut tx, &batch.visitors).await?;
        // While these locks are held, no pair with these visitors is committed. The next statement
        // sees a pair that was committed before.
        store::lock_tickets_by_visitor(&mut tx, &batch.visitors).await?;
        let in_talk = store::visitors_in_talk(&mut tx, &batch.visitors).await?.into_iter();
        let mut denied: HashMap<VisitorId, DenyReason> = in_talk.map(|visitor| (visitor, DenyReason::InTalk)).collect();
        let restrictions = moderation::restrictions(&mut tx, &batch.visitors, None).await?.into_iter();
        denied.extend(restrictions.map(|(visitor, restriction)| (visitor, DenyReason::Restricted(restriction))));
        let excluded: HashSet<VisitorId> = denied.keys().copied().collect();
        store::write_tickets(&mut tx, self.app.node, &batch.without(&excluded)).await?;
        tx.commit().await?;
        Ok(denied)
    }
}

/// The seeks of one transaction. Each visitor has one row: that of its last seek. Earlier seeks of
/// the visitor get the same answer.
struct SeekBatch {
    rows: TicketBatch,
    tickets: HashMap<VisitorId, TrackedTicket>,
    answers: Vec<(VisitorId, oneshot::Sender<Result<Uuid>>)>,
}

impl SeekBatch {
    fn new(seeks: Vec<PendingSeek>) -> Self {
        let mut tickets = HashMap::with_capacity(seeks.len());
        let mut answers = Vec::with_capacity(seeks.len());
        for PendingSeek { visitor, ticket, seek, since, answer, .. } in seeks {
            answers.push((visitor, answer));
            tickets.insert(visitor, TrackedTicket { ticket, seek, since });
        }
        let mut rows = TicketBatch::default();
        for (visitor, tracked) in &tickets {
            rows.add(*visitor, tracked.ticket, &tracked.seek, tracked.since);
        }
        Self { rows, tickets, answers }
    }

    /// Tracks the committed tickets on this node, then answers the seeks.
    fn answer_committed(self, app: &App, denied: &HashMap<VisitorId, DenyReason>) {
        let now = app.clock.instant();
        let tickets: HashMap<VisitorId, Uuid> =
            self.tickets.iter().map(|(visitor, tracked)| (*visitor, tracked.ticket)).collect();
        for (visitor, tracked) in self.tickets {
            if denied.contains_key(&visitor) {
                app.matching.local.untrack(visitor);
            } else {
                app.matching.local.track(visitor, tracked, now);
            }
        }
        app.matching.wake_matchers(app);
        let mut answered = HashSet::new();
        for (visitor, answer) in self.answers {
            let outcome = match (denied.get(&visitor), tickets.get(&visitor)) {
                (Some(DenyReason::Restricted(restriction)), _) => Err((*restriction).into()),
                (None, Some(ticket)) => Ok(*ticket),
                (Some(DenyReason::InTalk), _) | (None, None) => Err(Error::AlreadyInSession),
            };
            if answer.send(outcome).is_ok() {
                answered.insert(visitor);
            }
        }
        // A visitor that did not get its answer in time must not wait without knowing it.
        for (visitor, ticket) in tickets.into_iter().filter(|(visitor, _)| !answered.contains(visitor)) {
            if !denied.contains_key(&visitor) {
                app.matching.local.untrack(visitor);
                app.matching.local.add_uncertain([ticket]);
            }
        }
    }

    fn answer_unavailable(self) {
        for (_, answer) in self.answers {
            let _ = answer.send(Err(Error::Unavailable));
        }
    }
}

/// Returns `true` if the same transaction can succeed when it is repeated.
fn is_retryable(why: &Error) -> bool {
    matches!(why, Error::Internal(cause) if cause.downcast_ref::<sqlx::Error>().is_some_and(db::is_retryable))
}
