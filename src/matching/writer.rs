//! The ticket writer: seeks gathered while the last commit ran are written in one transaction; each is answered after it.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::connected::Connected;
use super::model::Seek;
use super::registry::Seeker;
use super::store::{self, Written};
use crate::accounts;
use crate::app::App;
use crate::db::{self, fence};
use crate::error::{Error, Result};
use crate::moderation::{self, Restriction};

/// Seeks waiting to be written at most; past it a seeker is told `unavailable`.
const QUEUE: usize = 4_096;
/// Seeks of one transaction at most.
const ROWS: usize = 500;
/// What has not committed by then, since it was asked, is answered `unavailable`.
const PATIENCE: Duration = Duration::from_millis(1_800);
/// Deadlocks and serialization failures a batch is repeated after.
const REPEATS: usize = 5;
/// Nobody hangs the rest: the session settings of the writer.
const SESSION: &[(&str, &str)] = &[
    ("idle_in_transaction_session_timeout", "2s"),
    ("statement_timeout", "5s"),
    ("tcp_user_timeout", "5s"),
    ("application_name", "maju tickets"),
];

/// A seek that waits to be written.
struct Draft {
    visitor: i64,
    ticket: Uuid,
    seek: Seek,
    since: OffsetDateTime,
    asked: Instant,
    answer: oneshot::Sender<Result<Uuid>>,
}

/// Why a seek is not written.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    InTalk,
    Restricted(Restriction),
}

/// Where seeks are handed in.
pub(super) struct Writer {
    drafts: mpsc::Sender<Draft>,
    end: Mutex<Option<mpsc::Receiver<Draft>>>,
    pub(super) connected: Connected,
}

impl Default for Writer {
    fn default() -> Self {
        let (drafts, end) = mpsc::channel(QUEUE);
        Self { drafts, end: Mutex::new(Some(end)), connected: Connected::default() }
    }
}

/// Writes a ticket, in place of the visitor's earlier one, and answers its public id after the commit.
///
/// Errors: `already_in_session`, `banned`, `muted`, `unavailable`.
pub(super) async fn write(app: &App, visitor: i64, seek: Seek) -> Result<Uuid> {
    let (answer, written) = oneshot::channel();
    let draft = Draft { visitor, ticket: Uuid::new_v4(), seek, since: app.clock.now(), asked: Instant::now(), answer };
    app.matching.writer.drafts.try_send(draft).map_err(|_| Error::Unavailable)?;
    written.await.map_err(|_| Error::Unavailable)?
}

/// Starts the writer.
pub(super) fn run(app: &App) {
    let end = app.matching.writer.end.lock().take();
    if let Some(drafts) = end {
        let lane = Lane { app: app.clone(), drafts, connection: None };
        // Outside of the task: the queue outlives a panic.
        let lane = Arc::new(tokio::sync::Mutex::new(lane));
        app.tasks.spawn_essential("matching.writer", move || {
            let lane = lane.clone();
            async move { lane.lock().await.run().await }
        });
    }
}

struct Lane {
    app: App,
    drafts: mpsc::Receiver<Draft>,
    connection: Option<PgConnection>,
}

impl Lane {
    async fn run(&mut self) {
        let stopping = self.app.tasks.stopping.clone();
        self.connection = None; // After a panic: it may be in the middle of a transaction.
        let mut gathered = Vec::with_capacity(ROWS);
        loop {
            tokio::select! {
                biased;
                count = self.drafts.recv_many(&mut gathered, ROWS) => {
                    if count == 0 {
                        break;
                    }
                    self.settle(std::mem::take(&mut gathered)).await;
                }
                () = stopping.cancelled() => break,
            }
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Answers every seek of a batch, whatever happens.
    async fn settle(&mut self, batch: Vec<Draft>) {
        // Nobody waits for another's time: the one that was asked first decides.
        let asked = batch.iter().map(|draft| draft.asked).min().unwrap_or_else(Instant::now);
        let (batch, give_up) = (Batch::of(batch), asked + PATIENCE);
        let mut repeats = 0;
        let why = loop {
            match tokio::time::timeout_at(give_up, self.attempt(&batch.written)).await {
                Ok(Ok(refused)) => return batch.answer(&self.app, &refused),
                Ok(Err(why)) if is_retryable(&why) && repeats < REPEATS => repeats += 1,
                Ok(Err(Error::Unavailable)) if Instant::now() + Duration::from_millis(200) < give_up => {
                    self.connection = None;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(Err(why)) => break why,
                Err(_) => {
                    if self.connection.is_none() {
                        self.app.matching.writer.connected.note(false);
                    }
                    break Error::Unavailable;
                }
            }
        };
        self.connection = None;
        tracing::warn!(error.cause = ?why, batch.rows = batch.written.visitors.len(), "seeks could not be written");
        // The last attempt may have committed: what was refused must not stand.
        self.app.matching.registry.doubt(batch.written.tickets.iter().copied());
        batch.refuse();
    }

    /// One transaction: the fence, keep the visitors, lock their tickets, refuse those in a talk and those who may not seek,
    /// write. Answers who was refused, and why.
    async fn attempt(&mut self, batch: &Written) -> Result<HashMap<i64, Refusal>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connecting = db::connect(&self.app.db, SESSION).await;
                self.app.matching.writer.connected.note(connecting.is_ok());
                empty.insert(connecting?)
            }
        };
        let mut tx = connection.begin().await?;
        // No ticket is written after the commit of its visitor's ban.
        fence::lock_shared(&mut tx).await?;
        accounts::keep(&mut tx, &batch.visitors).await?;
        // Under these locks no pair with them is committed; a pair that was is seen by the next statement.
        store::lock_tickets_of(&mut tx, &batch.visitors).await?;
        let busy = store::in_talk(&mut tx, &batch.visitors).await?.into_iter();
        let mut refused: HashMap<i64, Refusal> = busy.map(|visitor| (visitor, Refusal::InTalk)).collect();
        let restrictions = moderation::restrictions(&mut tx, &batch.visitors, None).await?.into_iter();
        refused.extend(restrictions.map(|(visitor, restriction)| (visitor, Refusal::Restricted(restriction))));
        let without: HashSet<i64> = refused.keys().copied().collect();
        store::write_tickets(&mut tx, self.app.node, &batch.without(&without)).await?;
        tx.commit().await?;
        Ok(refused)
    }
}

/// A batch with each visitor once: the last seek of each stands, the earlier ones get its answer.
struct Batch {
    written: Written,
    seekers: HashMap<i64, Seeker>,
    answers: Vec<(i64, oneshot::Sender<Result<Uuid>>)>,
}

impl Batch {
    fn of(drafts: Vec<Draft>) -> Self {
        let mut seekers = HashMap::with_capacity(drafts.len());
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            answers.push((draft.visitor, draft.answer));
            seekers.insert(draft.visitor, Seeker { ticket: draft.ticket, seek: draft.seek, since: draft.since });
        }
        let mut written = Written::default();
        for (visitor, seeker) in &seekers {
            written.add(*visitor, seeker.ticket, &seeker.seek, seeker.since);
        }
        Self { written, seekers, answers }
    }

    /// After the commit: this node answers for the tickets, then their seekers hear of them.
    fn answer(self, app: &App, refused: &HashMap<i64, Refusal>) {
        let now = app.clock.instant();
        let tickets: HashMap<i64, Uuid> =
            self.seekers.iter().map(|(visitor, seeker)| (*visitor, seeker.ticket)).collect();
        for (visitor, seeker) in self.seekers {
            if refused.contains_key(&visitor) {
                app.matching.registry.release(visitor);
            } else {
                app.matching.registry.hold(visitor, seeker, now);
            }
        }
        app.matching.wake(app);
        let mut heard = HashSet::new();
        for (visitor, answer) in self.answers {
            let outcome = match (refused.get(&visitor), tickets.get(&visitor)) {
                (Some(Refusal::Restricted(restriction)), _) => Err((*restriction).into()),
                (None, Some(ticket)) => Ok(*ticket),
                (Some(Refusal::InTalk), _) | (None, None) => Err(Error::AlreadyInSession),
            };
            if answer.send(outcome).is_ok() {
                heard.insert(visitor);
            }
        }
        // Whoever has gone, or was told `unavailable` because it took too long, must not be waiting without knowing.
        for (visitor, ticket) in tickets.into_iter().filter(|(visitor, _)| !heard.contains(visitor)) {
            if !refused.contains_key(&visitor) {
                app.matching.registry.release(visitor);
                app.matching.registry.doubt([ticket]);
            }
        }
    }

    fn refuse(self) {
        for (_, answer) in self.answers {
            let _ = answer.send(Err(Error::Unavailable));
        }
    }
}

/// Whether repeating the same transaction can succeed.
fn is_retryable(why: &Error) -> bool {
    matches!(why, Error::Internal(cause) if cause.downcast_ref::<sqlx::Error>().is_some_and(db::is_retryable))
}
