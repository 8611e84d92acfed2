//! Moderation: reports with their frozen evidence, blocks, and sanctions. Reviewing comes with the
//! back-office.
pub mod limits;
mod model;
mod reports;
mod revocations;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::RwLock;
use rand::RngExt as _;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::db::{self, fence};
use crate::error::{Error, Result};
use crate::ids::{FenceVersion, RoomId, VisitorId};
use crate::text;

use limits::MAX_REASON_CHARS;
pub use model::{Blocked, NewSanction, ReportReason, Restriction, SanctionKind, StoredSanction};
pub use reports::{
    NewReport, ReportReservation, WHOLE_TALK_SEQ, block, blocked_by, blocks_among, open_report, reserve_report,
    unblock, unblock_listed,
};
pub use revocations::{ban_disconnect, find_ban_disconnect, read_new_revocations, run};
pub use routes::router;
pub use store::PastSanction;

/// How long one attempt waits for the exclusive fence lock. Writers that arrive meanwhile queue
/// behind it, so it is short.
const FENCE_LOCK_TIMEOUT: Duration = Duration::from_millis(400);
/// The pause between two attempts, in milliseconds. The waiting writers commit in it.
const RETRY_PAUSE_MS: std::ops::Range<u64> = 50..150;
/// How long a sanction is attempted before the caller gets the error. A writer that hangs loses the
/// fence after 2 s.
const SANCTION_DEADLINE: Duration = Duration::from_secs(8);

/// The moderation state of a node.
pub struct State {
    revocations: RwLock<model::RecentRevocations>,
    /// Wakes the task that applies revocations.
    new_revocation: Notify,
    /// The newest revocation whose sockets are closed on this node.
    applied: watch::Sender<FenceVersion>,
}

impl State {
    /// Creates the state at the fence's present version. No rights were checked on this node
    /// before, so older revocations do not matter.
    ///
    /// # Errors
    /// `unavailable` if the database cannot be reached.
    pub async fn new(db: &PgPool) -> Result<Self> {
        let version = fence::version(&mut *db.acquire().await?).await?;
        Ok(Self {
            revocations: RwLock::new(model::RecentRevocations::starting_at(version)),
            new_revocation: Notify::default(),
            applied: watch::Sender::new(version),
        })
    }

    /// Returns `true` if a visitor's rights everywhere could have changed since they were read at
    /// `version` of the fence.
    pub fn is_revoked_since(&self, visitor: VisitorId, version: FenceVersion) -> bool {
        self.revocations.read().is_revoked_since(visitor, version)
    }

    /// Subscribes to the version up to which this node has closed the sockets of banned visitors.
    /// Matching ends their talks after it.
    pub fn applied_version(&self) -> watch::Receiver<FenceVersion> {
        self.applied.subscribe()
    }

    /// Returns the version of the fence up to which this node knows every revocation.
    pub fn known_version(&self) -> FenceVersion {
        self.revocations.read().known_version()
    }
}

/// Bans a visitor from the whole service and returns the sanction's public id.
///
/// No entry of the visitor commits after the ban does. Their sockets are closed on all nodes within
/// a second (five without Redis), their talk ends and their ticket is cancelled.
///
/// # Errors
/// `not_found` if the visitor does not exist, `bad_frame` for a reason that is empty, too long or
/// has forbidden characters, `unavailable` (also if the fence lock is not free in time).
#[cfg_attr(not(test), expect(dead_code, reason = "the permission to call it and its pages come with staff"))]
pub async fn ban(app: &App, new: &NewSanction<'_>) -> Result<Uuid> {
    impose_everywhere(app, SanctionKind::Ban, new).await
}

/// Takes the right to write from a visitor in every room and talk, and returns the sanction's
/// public id. Their sockets stay open and their talk goes on.
///
/// # Errors
/// As [`ban`].
#[cfg_attr(not(test), expect(dead_code, reason = "the permission to call it and its pages come with staff"))]
pub async fn mute(app: &App, new: &NewSanction<'_>) -> Result<Uuid> {
    impose_everywhere(app, SanctionKind::Mute, new).await
}

/// Lifts a sanction before its end, whether it applies to one room or everywhere.
///
/// # Errors
/// `not_found` if there is no such sanction or it was lifted before, `unavailable` (also if the
/// fence lock is not free in time).
#[cfg_attr(not(test), expect(dead_code, reason = "the permission to call it and its pages come with staff"))]
pub async fn lift(app: &App, sanction: Uuid, by: Option<VisitorId>) -> Result<()> {
    let deadline = Instant::now() + SANCTION_DEADLINE;
    loop {
        let mut tx = app.db.begin().await?;
        let target = store::lock_unlifted(&mut tx, sanction).await?.ok_or(Error::NotFound)?;
        store::mark_lifted(&mut tx, sanction, by).await?;
        // Nodes cache only rights that exist, so a right that returns in a room is not announced.
        let fenced = match target.room_id {
            None => fence::revoke(&mut tx, target.visitor_id, FENCE_LOCK_TIMEOUT).await.map(|_| ()),
            Some(_) => Ok(()),
        };
        match fenced {
            Ok(()) => {
                tx.commit().await?;
                revocations::announce(app);
                return Ok(());
            }
            Err(why) if fence::is_lock_timeout(&why) && Instant::now() < deadline => drop(tx),
            Err(why) => return Err(why.into()),
        }
        pause_before_retry().await;
    }
}

/// Imposes a sanction in one room, inside the transaction that raises the room's rights version.
///
/// # Errors
/// `not_found` if the visitor does not exist, `bad_frame` for a reason that is empty, too long or
/// has forbidden characters, `unavailable`.
pub async fn impose_in_room(
    tx: &mut PgConnection,
    room: RoomId,
    kind: SanctionKind,
    new: &NewSanction<'_>,
) -> Result<StoredSanction> {
    check_reason(new.reason)?;
    store::insert_sanction(tx, kind, Some(room), new).await.map_err(missing_visitor_as_not_found)
}

/// Returns the restrictions in force among `visitors`: those that hold everywhere and, if a room is
/// named, those of that room. A visitor without a restriction has no entry.
///
/// # Errors
/// Those of the database.
pub async fn restrictions(
    db: &mut PgConnection,
    visitors: &[VisitorId],
    room: Option<RoomId>,
) -> Result<HashMap<VisitorId, Restriction>, sqlx::Error> {
    Ok(store::restrictions(db, visitors, room).await?.into_iter().collect())
}

/// Returns the sanctions against a visitor, the newest first, at most 50.
///
/// # Errors
/// `unavailable`.
pub async fn sanctions_of(app: &App, visitor: VisitorId) -> Result<Vec<PastSanction>> {
    Ok(store::sanctions_of(&app.db, visitor).await?)
}

/// Returns how many reports were made since a time.
///
/// # Errors
/// Those of the database.
pub async fn count_reports(db: &PgPool, since: OffsetDateTime) -> Result<i64, sqlx::Error> {
    store::count_reports(db, since).await
}

/// Stores a sanction in a short transaction with the exclusive fence lock. Retries while a writer
/// holds the fence for too long.
async fn impose_everywhere(app: &App, kind: SanctionKind, new: &NewSanction<'_>) -> Result<Uuid> {
    check_reason(new.reason)?;
    let deadline = Instant::now() + SANCTION_DEADLINE;
    loop {
        let mut tx = app.db.begin().await?;
        // The row is inserted before the lock is taken: writers wait from the lock to the commit.
        let inserted = store::insert_sanction(&mut tx, kind, None, new).await;
        let sanction = inserted.map_err(missing_visitor_as_not_found)?.public_id;
        match fence::revoke(&mut tx, new.visitor, FENCE_LOCK_TIMEOUT).await {
            Ok(version) => {
                tx.commit().await?;
                tracing::info!(sanction.id = %sanction, sanction.kind = kind.as_str(), fence.version = version.0,
                    "sanction imposed");
                revocations::announce(app);
                return Ok(sanction);
            }
            Err(why) if fence::is_lock_timeout(&why) && Instant::now() < deadline => drop(tx),
            Err(why) => return Err(why.into()),
        }
        pause_before_retry().await;
    }
}

async fn pause_before_retry() {
    let ms = rand::rng().random_range(RETRY_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn check_reason(reason: &str) -> Result<()> {
    if !(1..=MAX_REASON_CHARS).contains(&reason.chars().count()) {
        return Err(Error::bad_field("reason", format!("A reason has 1 to {MAX_REASON_CHARS} characters.")));
    }
    text::check_lines(reason).map_err(|flaw| Error::bad_field("reason", flaw.to_string()))
}

fn missing_visitor_as_not_found(why: sqlx::Error) -> Error {
    match db::constraint(&why) {
        Some("sanction_visitor_fk") => Error::NotFound,
        _ => why.into(),
    }
}
