//! Moderation: reports with their frozen evidence, blocks, and sanctions. Reviewing comes with the back-office.
mod model;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::RwLock;
use rand::RngExt as _;
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Notify, watch as channel};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::db::{self, fence};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::text;

pub use model::{Imposed, NewSanction, Penalty, ReportReason, Restriction};
pub use watch::{dismissal, dismissal_of, run};

/// How long one try may make the writers wait for the fence, and the pause in which they go on.
const TRY: Duration = Duration::from_millis(400);
const PAUSE_MS: std::ops::Range<u64> = 50..150;
/// How long the fence is tried for. A writer that hangs loses it after 2 s.
const PATIENCE: Duration = Duration::from_secs(8);
/// Characters of a reason at most.
const REASON: usize = 500;

/// What this noun keeps on a node.
pub struct State {
    revoked: RwLock<model::Revoked>,
    /// There is a new revocation: look now.
    news: Notify,
    /// The last revocation whose sockets have been closed here; matching ends the talks after it.
    seen: channel::Sender<i64>,
}

impl State {
    /// Knows every revocation so far: nothing has been checked on this node before.
    pub async fn new(db: &PgPool) -> Result<Self> {
        let version = fence::version(&mut *db.acquire().await?).await?;
        Ok(Self {
            revoked: RwLock::new(model::Revoked::from(version)),
            news: Notify::default(),
            seen: channel::Sender::new(version),
        })
    }

    /// Whether a visitor's rights everywhere may have changed since they were read at the fence's `version`.
    pub fn is_revoked_since(&self, visitor: i64, version: i64) -> bool {
        self.revoked.read().since(visitor, version)
    }

    /// The last revocation that this node has seen, and when it sees another.
    pub fn seen(&self) -> channel::Receiver<i64> {
        self.seen.subscribe()
    }

    /// The last revocation that this node has taken in.
    pub fn known(&self) -> i64 {
        self.revoked.read().known()
    }

    fn doubt(&self, version: i64) {
        self.revoked.write().doubt(version);
    }

    fn learn(&self, rows: &[(i64, i64)]) {
        self.revoked.write().learn(rows);
    }
}

/// Bans a visitor from everything: no entry of theirs commits after this does, their sockets are closed on all nodes within
/// a second (five without Redis), their talk ends, their ticket is dropped. Answers the sanction's public id.
///
/// Errors: `not_found` for a visitor that is not there, `bad_frame` for a reason of no or too many characters, `unavailable`.
#[cfg_attr(not(test), expect(dead_code, reason = "who may call it, and the pages, come with staff"))]
pub async fn ban(app: &App, new: &NewSanction<'_>) -> Result<Uuid> {
    impose(app, Penalty::Ban, new).await
}

/// Takes the right to write from a visitor, in every room and talk. Else as [`ban`]: sockets and talk stay.
#[cfg_attr(not(test), expect(dead_code, reason = "who may call it, and the pages, come with staff"))]
pub async fn mute(app: &App, new: &NewSanction<'_>) -> Result<Uuid> {
    impose(app, Penalty::Mute, new).await
}

/// Lifts a sanction before its end, one of a room too. Errors: `not_found` when none stands, `unavailable`.
#[cfg_attr(not(test), expect(dead_code, reason = "who may call it, and the pages, come with staff"))]
pub async fn lift(app: &App, sanction: Uuid, by: Option<i64>) -> Result<()> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let mut tx = app.db.begin().await?;
        let standing = store::standing(&mut tx, sanction).await?.ok_or(Error::NotFound)?;
        store::lift(&mut tx, sanction, by).await?;
        // Nobody remembers a right that was missing, so nothing in a room has to hear of it.
        let fenced = match standing.room_id {
            None => fence::revoke(&mut tx, standing.visitor_id, TRY).await.map(|_| ()),
            Some(_) => Ok(()),
        };
        match fenced {
            Err(why) if fence::is_lock_timeout(&why) && Instant::now() < give_up => drop(tx),
            Err(why) => return Err(why.into()),
            Ok(()) => {
                tx.commit().await?;
                watch::tell(app);
                return Ok(());
            }
        }
        pause().await;
    }
}

/// Imposes a sanction in one room, inside the transaction that raises the room's rights. Answers its public id and its end.
///
/// Errors: as [`ban`].
pub async fn impose_in(tx: &mut PgConnection, room: i64, penalty: Penalty, new: &NewSanction<'_>) -> Result<Imposed> {
    check(new)?;
    store::insert_sanction(tx, penalty, Some(room), new).await.map_err(stranger)
}

/// What keeps visitors from something everywhere, or also in a room if one is named.
pub async fn restrictions(
    db: &mut PgConnection,
    visitors: &[i64],
    room: Option<i64>,
) -> Result<HashMap<i64, Restriction>, sqlx::Error> {
    Ok(store::restrictions(db, visitors, room).await?.into_iter().collect())
}

/// Takes in the revocations up to the fence's `version`, read in a transaction that holds the fence: from then on
/// [`State::is_revoked_since`] is exact in it. Costs nothing when there is none.
pub async fn catch_up(app: &App, tx: &mut PgConnection, version: i64) -> Result<(), sqlx::Error> {
    loop {
        let known = app.moderation.known();
        if known >= version {
            return Ok(());
        }
        let rows = fence::revoked_since(tx, known).await?;
        if rows.is_empty() {
            // The fence counted one that is not there any more: whom it was about is not known, so everybody is asked.
            app.moderation.doubt(version);
        }
        app.moderation.learn(&rows);
    }
}

/// One short transaction under the fence, tried again while a writer holds it for too long.
async fn impose(app: &App, penalty: Penalty, new: &NewSanction<'_>) -> Result<Uuid> {
    check(new)?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        let mut tx = app.db.begin().await?;
        // The row first: it is what the writers wait for that should be short.
        let sanction = store::insert_sanction(&mut tx, penalty, None, new).await.map_err(stranger)?.public_id;
        match fence::revoke(&mut tx, new.visitor, TRY).await {
            Ok(version) => {
                tx.commit().await?;
                tracing::info!(sanction.id = %sanction, sanction.kind = penalty.as_str(), fence.version = version, "imposed");
                watch::tell(app);
                return Ok(sanction);
            }
            Err(why) if fence::is_lock_timeout(&why) && Instant::now() < give_up => drop(tx),
            Err(why) => return Err(why.into()),
        }
        pause().await;
    }
}

async fn pause() {
    let ms = rand::rng().random_range(PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn check(new: &NewSanction<'_>) -> Result<()> {
    let count = new.reason.chars().count();
    if !(1..=REASON).contains(&count) {
        return Err(Error::bad_field("reason", "A reason has 1 to 500 characters."));
    }
    text::check_lines(new.reason).map_err(|flaw| Error::bad_field("reason", flaw.to_string()))
}

fn stranger(why: sqlx::Error) -> Error {
    match db::constraint(&why) {
        Some("sanction_visitor_fk") => Error::NotFound,
        _ => why.into(),
    }
}

/// What stands for a talk as a whole where entries are named: entries are numbered from 1.
pub const WHOLE_TALK: i64 = 0;

/// The id under which something is reported.
pub struct Reserved {
    pub id: Uuid,
    /// False: it was reported before, under this id.
    pub is_new: bool,
}

/// Names what a report of this reporter is about, entries of a room or [`WHOLE_TALK`], inside the transaction that stores it.
/// Nothing of it is new when all of it was reported by the same person before: of two at once, one waits for the other.
pub async fn reserve(tx: &mut PgConnection, reporter: i64, room: i64, about: &[i64]) -> Result<Reserved> {
    let id = Uuid::new_v4();
    if store::insert_subjects(tx, reporter, room, about, id).await? || faults::on(Fault::ReportStoredTwice) {
        return Ok(Reserved { id, is_new: true });
    }
    let first = store::report_about(tx, reporter, room, about).await?.ok_or(Error::Unavailable)?;
    Ok(Reserved { id: first, is_new: false })
}

/// A report about to be stored.
pub struct NewReport<'a> {
    /// Its public id, from [`reserve`].
    pub id: Uuid,
    pub room: i64,
    pub reporter: i64,
    pub reported: i64,
    pub reason: ReportReason,
    pub note: Option<&'a str>,
    /// The entries as they were, with their authors' inner ids: a JSON list.
    pub evidence: Box<RawValue>,
}

/// Opens a report inside a transaction.
pub async fn open(tx: &mut PgConnection, report: NewReport<'_>) -> Result<()> {
    Ok(store::insert_report(tx, &report).await?)
}

/// Two people never meet again. Mutual and for ever; a repeat is harmless.
pub async fn block(tx: &mut PgConnection, blocker: i64, other: i64) -> Result<()> {
    Ok(store::insert_block(tx, blocker, other).await?)
}

/// Which pairs among these visitors are blocked, each as `(smaller id, larger id)`.
pub async fn blocks_among(tx: &mut PgConnection, visitors: &[i64]) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    store::blocks_among(tx, visitors).await
}
