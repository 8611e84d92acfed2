//! Moderation: reports and blocks, written inside the caller's transaction.
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::MAX_LISTED_BLOCKS;
use super::{Blocked, ReportReason, store};
use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};

/// The sequence number that stands for a talk as a whole in a report. Entries start at 1.
pub const WHOLE_TALK_SEQ: Seq = Seq::ZERO;

/// The public id under which a subject is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportReservation {
    /// The report is new and still has to be stored under this id.
    New(Uuid),
    /// The same reporter reported all of it before, under this id.
    Duplicate(Uuid),
}

impl ReportReservation {
    /// Returns the report's public id, whether it is new or not.
    pub fn id(self) -> Uuid {
        match self {
            Self::New(id) | Self::Duplicate(id) => id,
        }
    }
}

/// Reserves a report about entries of a room, or about [`WHOLE_TALK_SEQ`], inside the transaction
/// that stores the report.
///
/// Of two equal reports at once, the second waits for the first and becomes its duplicate.
///
/// # Errors
/// `unavailable`.
pub async fn reserve_report(
    tx: &mut PgConnection,
    reporter: VisitorId,
    room: RoomId,
    about: &[Seq],
) -> Result<ReportReservation> {
    let id = Uuid::new_v4();
    if store::insert_subjects(tx, reporter, room, about, id).await? || faults::on(Fault::ReportStoredTwice) {
        return Ok(ReportReservation::New(id));
    }
    let first = store::find_report_about(tx, reporter, room, about).await?.ok_or(Error::Unavailable)?;
    Ok(ReportReservation::Duplicate(first))
}

/// A report about to be stored.
pub struct NewReport<'a> {
    /// The public id, from [`reserve_report`].
    pub id: Uuid,
    pub room: RoomId,
    pub reporter: VisitorId,
    pub reported: VisitorId,
    pub reason: ReportReason,
    pub note: Option<&'a str>,
    /// The entries as they were, with the inner ids of their authors: a JSON list.
    pub evidence: Box<RawValue>,
}

/// Opens a report: stores it with its evidence.
///
/// # Errors
/// `unavailable`.
pub async fn open_report(tx: &mut PgConnection, report: NewReport<'_>) -> Result<()> {
    Ok(store::insert_report(tx, &report).await?)
}

/// Blocks two visitors from being matched, in both directions, until `blocker` takes it back. The
/// block keeps the name that `other` has in `room`. Repeating it is harmless.
///
/// # Errors
/// `unavailable`.
pub async fn block(tx: &mut PgConnection, blocker: VisitorId, other: VisitorId, room: RoomId) -> Result<()> {
    Ok(store::insert_block(tx, blocker, other, room).await?)
}

/// Returns the people whom a visitor blocked, the newest first: at most [`MAX_LISTED_BLOCKS`].
///
/// # Errors
/// `unavailable`.
pub async fn blocked_by(app: &App, blocker: VisitorId) -> Result<Vec<Blocked>> {
    Ok(store::blocks_by(&app.db, blocker, MAX_LISTED_BLOCKS).await?)
}

/// Takes back a block by its id, for a visitor who may have left the room where it was made.
///
/// # Errors
/// `not_found` if the visitor made no such block, `session_ended`, `unavailable`.
pub async fn unblock_listed(app: &App, who: &Visitor, block: Uuid) -> Result<()> {
    let mut tx = app.db.begin().await?;
    accounts::require_session(&mut tx, who).await?;
    if !store::delete_own_block(&mut tx, who.id, block).await? {
        return Err(Error::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

/// Takes back the block by `blocker`. A block by the other visitor stays. Does nothing if there is
/// none.
///
/// # Errors
/// `unavailable`.
pub async fn unblock(tx: &mut PgConnection, blocker: VisitorId, other: VisitorId) -> Result<()> {
    Ok(store::delete_block(tx, blocker, other).await?)
}

/// Returns the blocked pairs among these visitors, each as `(smaller id, larger id)`.
///
/// # Errors
/// Those of the database.
pub async fn blocks_among(
    tx: &mut PgConnection,
    visitors: &[VisitorId],
) -> Result<Vec<(VisitorId, VisitorId)>, sqlx::Error> {
    store::blocks_among(tx, visitors).await
}
