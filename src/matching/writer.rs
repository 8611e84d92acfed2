//! The seek writer: it commits seeks in batches and answers each one after the commit.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::local_visitors::TrackedTicket;
use super::model::Seek;
use super::store::{self, TicketBatch};
use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::db::group_commit::{self, Queue, Sender, Transaction, Writer, WriterConnection};
use crate::db::{ConnectionHealth, fence};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{SessionEpoch, VisitorId};
use crate::moderation::{self, Restriction};
use crate::rooms::limits::WRITE_DEADLINE;

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
    /// The epoch of the visitor's session. `None` for a guest.
    epoch: Option<SessionEpoch>,
    ticket: Uuid,
    seek: Seek,
    since: OffsetDateTime,
    deadline: Instant,
    answer: oneshot::Sender<Result<Uuid>>,
}

/// Why a seek is refused.
#[derive(Clone, Copy, Debug)]
enum DenyReason {
    InTalk,
    Restricted(Restriction),
    SessionEnded,
}

/// The queue of the seek writer, and the health of its connection.
pub(super) struct SeekQueue {
    sender: Sender<PendingSeek>,
    /// The receiving end. `None` since the writer took it.
    queue: Mutex<Option<Queue<PendingSeek>>>,
    pub(super) connection: Arc<ConnectionHealth>,
}

impl Default for SeekQueue {
    fn default() -> Self {
        let (sender, queue) = group_commit::queue();
        Self { sender, queue: Mutex::new(Some(queue)), connection: Arc::default() }
    }
}

/// Writes a ticket in place of the visitor's earlier one. Returns its public id after the commit.
///
/// # Errors
/// `already_in_session`, `banned`, `muted`, `session_ended`, `unavailable`.
pub(super) async fn write(app: &App, who: &Visitor, seek: Seek) -> Result<Uuid> {
    let (ticket, since, deadline) = (Uuid::new_v4(), app.clock.now(), Instant::now() + WRITE_DEADLINE);
    let (visitor, epoch) = (who.id, who.session_epoch());
    let pending = |answer| PendingSeek { visitor, epoch, ticket, seek, since, deadline, answer };
    app.matching.seek_queue.sender.ask(pending).await
}

/// Starts the seek writer.
pub(super) fn run(app: &App) {
    if let Some(queue) = app.matching.seek_queue.queue.lock().take() {
        let connection = WriterConnection::new(&app.db, SESSION_SETTINGS);
        let connection = connection.reporting_to(app.matching.seek_queue.connection.clone());
        group_commit::spawn(&app.tasks, "matching.writer", queue, connection, SeekWriter(app.clone()));
    }
}

struct SeekWriter(App);

impl Writer for SeekWriter {
    type Request = PendingSeek;

    async fn process(
        &mut self,
        _: &mut Queue<PendingSeek>,
        connection: &mut WriterConnection,
        seeks: Vec<PendingSeek>,
    ) {
        let Self(app) = self;
        let deadline = group_commit::earliest(seeks.iter().map(|seek| seek.deadline));
        let batch = SeekBatch::new(app.node, seeks);
        match connection.commit(deadline, &batch).await {
            Ok(committed) => batch.answer_committed(app, &committed.outcome),
            Err(why) => {
                let rows = batch.rows.visitors.len();
                tracing::warn!(error.cause = %why, batch.rows = rows, "the seeks of a batch were not written");
                // The last attempt may have committed. A ticket that was answered `unavailable`
                // must not wait.
                app.matching.local.add_uncertain(batch.rows.tickets.iter().copied());
                batch.answer_unavailable();
            }
        }
    }
}

/// The seeks of one transaction. Each visitor has one row: that of its last seek. Earlier seeks of
/// the visitor get the same answer.
struct SeekBatch {
    node: Uuid,
    rows: TicketBatch,
    tickets: HashMap<VisitorId, TrackedTicket>,
    answers: Vec<(VisitorId, oneshot::Sender<Result<Uuid>>)>,
    /// The epoch of the session of each visitor's last seek.
    epochs: HashMap<VisitorId, Option<SessionEpoch>>,
}

impl SeekBatch {
    fn new(node: Uuid, seeks: Vec<PendingSeek>) -> Self {
        let mut tickets = HashMap::with_capacity(seeks.len());
        let mut answers = Vec::with_capacity(seeks.len());
        let mut epochs = HashMap::with_capacity(seeks.len());
        for PendingSeek { visitor, epoch, ticket, seek, since, answer, .. } in seeks {
            answers.push((visitor, answer));
            epochs.insert(visitor, epoch);
            tickets.insert(visitor, TrackedTicket { ticket, seek, since });
        }
        let mut rows = TicketBatch::default();
        for (visitor, tracked) in &tickets {
            rows.add(*visitor, tracked.ticket, &tracked.seek, tracked.since);
        }
        Self { node, rows, tickets, answers, epochs }
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
                (Some(DenyReason::SessionEnded), _) => Err(Error::SessionEnded),
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

impl Transaction for SeekBatch {
    /// The visitors whose seek is refused, and why.
    type Outcome = HashMap<VisitorId, DenyReason>;

    /// Takes the fence, keeps the visitors from being deleted, locks their tickets, refuses the
    /// visitors that are in a talk or restricted, and writes the other tickets.
    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Outcome, sqlx::Error> {
        let visitors = &self.rows.visitors;
        let mut tx = connection.begin().await?;
        // No ticket is written after the commit of its visitor's ban.
        fence::lock_shared(&mut tx).await?;
        let epochs = accounts::lock_against_sweep(&mut tx, visitors).await?;
        // While these locks are held, no pair with these visitors is committed. The next statement
        // sees a pair that was committed before.
        store::lock_tickets_by_visitor(&mut tx, visitors).await?;
        let in_talk = store::visitors_in_talk(&mut tx, visitors).await?.into_iter();
        let mut denied: HashMap<VisitorId, DenyReason> = in_talk.map(|visitor| (visitor, DenyReason::InTalk)).collect();
        let restrictions = moderation::restrictions(&mut tx, visitors, None).await?.into_iter();
        denied.extend(restrictions.map(|(visitor, restriction)| (visitor, DenyReason::Restricted(restriction))));
        let is_revoked = |visitor: &&VisitorId| {
            epochs.get(visitor).copied().flatten() != self.epochs.get(visitor).copied().flatten()
        };
        let is_revoked = |visitor: &&VisitorId| is_revoked(visitor) && !faults::on(Fault::EpochNotComparedInSeeks);
        denied.extend(visitors.iter().filter(is_revoked).map(|visitor| (*visitor, DenyReason::SessionEnded)));
        let excluded: HashSet<VisitorId> = denied.keys().copied().collect();
        store::write_tickets(&mut tx, self.node, &self.rows.without(&excluded)).await?;
        tx.commit().await?;
        Ok(denied)
    }
}
