//! Leaving: memberships that end for good. Leaves that arrive together share one commit.
//!
//! A leave raises the version of its room's rights under the lock of the head. A thousand leaves a
//! second, each with a commit of its own, took a third of the throughput of messages
//! (docs/decisions/0009-writer-shards-take-turns.md). One task on each node writes them all: a
//! leave that is alone is written at once. A leave that was accepted is carried out even if its
//! visitor has gone.
use std::collections::HashMap;

use sqlx::{Connection as _, PgConnection};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::store::{self, Left};
use super::{LEAVE_SESSION, OnRightsChange, RightsChange};
use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::db::group_commit::{self, Committed, Queue, Sender, Transaction, Writer, WriterConnection};
use crate::db::{self, CommitScheduler, fence};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{SessionEpoch, VisitorId};
use crate::rooms::limits::WRITE_DEADLINE;

/// A request to leave a room.
struct Leave {
    room: Uuid,
    visitor: VisitorId,
    /// The epoch of the visitor's session. `None` for a guest.
    epoch: Option<SessionEpoch>,
    deadline: Instant,
    answer: oneshot::Sender<Result<()>>,
}

/// The sending end of the queue of leaves.
pub(super) struct Leaves(Sender<Leave>);

/// The receiving end of the queue of leaves, for [`run`].
pub(in crate::rooms) struct LeaveQueue(Queue<Leave>);

impl Leaves {
    /// Creates the queue of a node.
    pub(super) fn new() -> (Self, LeaveQueue) {
        let (sender, queue) = group_commit::queue();
        (Self(sender), LeaveQueue(queue))
    }

    /// Ends a visitor's membership of a room, and returns after the commit.
    ///
    /// # Errors
    /// `not_found` if there was none, `session_ended`, `unavailable`.
    pub(super) async fn leave(&self, room: Uuid, who: &Visitor) -> Result<()> {
        let (visitor, epoch, deadline) = (who.id, who.session_epoch(), Instant::now() + WRITE_DEADLINE);
        self.0.ask(|answer| Leave { room, visitor, epoch, deadline, answer }).await
    }
}

/// Starts the task.
pub(super) fn run(app: &App, queue: LeaveQueue, scheduler: CommitScheduler, on_change: OnRightsChange) {
    let connection = WriterConnection::new(&app.db, LEAVE_SESSION);
    let writer = LeaveWriter { app: app.clone(), scheduler, on_change };
    group_commit::spawn(&app.tasks, "rooms.leaving", queue.0, connection, writer);
}

struct LeaveWriter {
    app: App,
    scheduler: CommitScheduler,
    on_change: OnRightsChange,
}

/// Leaves by room and visitor: the same request from a second socket gets the same answer.
struct Batch(HashMap<(Uuid, VisitorId), Vec<Leave>>);

impl Writer for LeaveWriter {
    type Request = Leave;

    async fn process(&mut self, queue: &mut Queue<Leave>, connection: &mut WriterConnection, mut leaves: Vec<Leave>) {
        // Leaves keep the rhythm of the batches, but give their turn back at once. A task that
        // keeps it holds up the batches while the log is flushed: 0.85 of the messages beside a
        // thousand leaves a second instead of all of them.
        drop(self.scheduler.turn().await);
        queue.take_more(&mut leaves);
        let deadline = group_commit::earliest(leaves.iter().map(|leave| leave.deadline));
        let mut batch = Batch(HashMap::new());
        for leave in leaves {
            batch.0.entry((leave.room, leave.visitor)).or_default().push(leave);
        }
        match connection.commit(deadline, &batch).await {
            Ok(committed) => self.finish(batch, committed),
            Err(why) => {
                let is_unreachable = db::is_unreachable(&why);
                for leave in batch.0.into_values().flatten() {
                    let why = if is_unreachable { Error::Unavailable } else { Error::internal(why.to_string()) };
                    let _ = leave.answer.send(Err(why)); // a visitor who has gone needs no answer
                }
            }
        }
    }
}

/// What a batch has written.
struct Written {
    left: Vec<Left>,
    /// The epochs of the accounts among the visitors, as they cannot change before the commit.
    epochs: HashMap<VisitorId, Option<SessionEpoch>>,
}

impl Leave {
    /// Returns `true` if it came from a session that was revoked. A guest has none.
    fn is_revoked(&self, epochs: &HashMap<VisitorId, Option<SessionEpoch>>) -> bool {
        self.epoch.is_some()
            && epochs.get(&self.visitor).copied().flatten() != self.epoch
            && !faults::on(Fault::EpochNotComparedInWrites)
    }
}

impl Transaction for Batch {
    type Outcome = Written;

    /// One statement if all are guests. Otherwise it takes the fence and compares the epochs of
    /// sessions first.
    async fn run(&self, connection: &mut PgConnection) -> Result<Written, sqlx::Error> {
        let members: Vec<VisitorId> =
            self.0.values().flatten().filter(|leave| leave.epoch.is_some()).map(|leave| leave.visitor).collect();
        if members.is_empty() {
            let (rooms, visitors): (Vec<Uuid>, Vec<VisitorId>) = self.0.keys().copied().unzip();
            let left = store::leave(connection, &rooms, &visitors).await?;
            return Ok(Written { left, epochs: HashMap::new() });
        }
        let mut tx = connection.begin().await?;
        fence::lock_shared(&mut tx).await?;
        let epochs = accounts::lock_against_sweep(&mut tx, &members).await?;
        let allowed = self.0.iter().filter(|(_, leaves)| leaves.iter().any(|leave| !leave.is_revoked(&epochs)));
        let (rooms, visitors): (Vec<Uuid>, Vec<VisitorId>) = allowed.map(|(key, _)| *key).unzip();
        let left = store::leave(&mut tx, &rooms, &visitors).await?;
        tx.commit().await?;
        Ok(Written { left, epochs })
    }
}

impl LeaveWriter {
    /// Reports each change of rights, a room's in the order of its versions, and then answers.
    ///
    /// A visitor without a membership has left before. If an earlier attempt may have committed, it
    /// may have ended the membership, so the answer is a success.
    fn finish(&self, mut batch: Batch, committed: Committed<Written>) {
        let Written { left, epochs } = committed.outcome;
        for leaves in batch.0.values_mut() {
            for revoked in leaves.extract_if(.., |leave| leave.is_revoked(&epochs)) {
                let _ = revoked.answer.send(Err(Error::SessionEnded));
            }
        }
        for (nth, Left { room_id, public_id, visitor_id, rights }) in left.into_iter().enumerate() {
            if nth == 0 || !faults::on(Fault::OneLeaverTold) {
                let change = RightsChange { room: room_id, public: public_id, rights, removed: Some(visitor_id) };
                (self.on_change)(&self.app, change);
            }
            for leave in batch.0.remove(&(public_id, visitor_id)).unwrap_or_default() {
                let _ = leave.answer.send(Ok(()));
            }
        }
        for leave in batch.0.into_values().flatten() {
            let _ = leave.answer.send(if committed.may_be_repeated { Ok(()) } else { Err(Error::NotFound) });
        }
    }
}
