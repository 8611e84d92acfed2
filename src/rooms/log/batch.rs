//! A batch: entries committed in one transaction. One statement writes it if nothing has changed
//! since its senders were checked. Otherwise it goes step by step, and authorises its senders
//! again.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::PendingEntry;
use super::authorization::Authorization;
use super::store::{self, Columns, Entries};
use crate::app::App;
use crate::db::fence;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RightsVersion, RoomId, Seq};
use crate::rooms::Posted;

/// How long before the shard's deadline a batch stops waiting for a lock.
const LOCK_MARGIN: Duration = Duration::from_millis(50);

/// Writes a batch, whose entries are in the order of their rooms. Returns after the commit, with
/// the answer to each entry. The caller stops waiting at `deadline`.
///
/// # Errors
/// Those of Postgres: nothing was written, or it is not known whether it was.
pub(super) async fn write(
    app: &App,
    connection: &mut PgConnection,
    batch: &[PendingEntry],
    deadline: Instant,
) -> Result<Vec<Result<Posted>>, sqlx::Error> {
    let lock_timeout = deadline.saturating_duration_since(Instant::now() + LOCK_MARGIN);
    match write_at_once(app, connection, batch, lock_timeout).await? {
        Some(answers) => Ok(answers),
        None => write_in_steps(app, connection, batch).await,
    }
}

/// Writes a batch in one statement and one round trip. Returns `None` if something has changed:
/// nothing was written then.
async fn write_at_once(
    app: &App,
    connection: &mut PgConnection,
    batch: &[PendingEntry],
    lock_timeout: Duration,
) -> Result<Option<Vec<Result<Posted>>>, sqlx::Error> {
    if faults::needs_batch_in_steps() {
        return Ok(None);
    }
    let fence = app.moderation.known_version();
    let is_doubtful = |entry: &PendingEntry, rights: RightsVersion| {
        entry.denied.is_some()
            || entry.room.closed_at.is_some()
            || entry.rights != rights
            || app.moderation.is_revoked_since(entry.member.visitor, entry.fence)
    };
    let mut columns = Columns::default();
    for (run, room_index) in batch.chunk_by(|a, b| a.room.id == b.room.id).zip(1..) {
        if run.iter().any(|entry| is_doubtful(entry, run[0].rights)) {
            return Ok(None);
        }
        let mut count = 0;
        for entry in run {
            count += 1;
            columns.room_indexes.push(room_index);
            columns.positions.push(count);
            columns.entries.push(entry);
        }
        columns.rooms.push(run[0].room.id);
        columns.rights.push(run[0].rights);
        columns.counts.push(count);
    }
    let Some(written) = store::write_entries(connection, lock_timeout, fence::LOCK_KEY, fence, &columns).await? else {
        return Ok(None);
    };
    let head = |index: i32| {
        usize::try_from(index - 1).ok().and_then(|index| written.heads.get(index).copied()).unwrap_or_default()
    };
    let answers = columns.room_indexes.iter().zip(&columns.positions).map(|(index, position)| {
        Ok(Posted { seq: head(*index).plus(*position), at: written.written_at, repeated: false })
    });
    Ok(Some(answers.collect()))
}

/// Writes a batch with the rights of its senders as they are under the fence and the locks of the
/// heads.
async fn write_in_steps(
    app: &App,
    connection: &mut PgConnection,
    batch: &[PendingEntry],
) -> Result<Vec<Result<Posted>>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    fence::lock_shared(&mut tx).await?;
    let mut rooms: Vec<RoomId> = batch.iter().map(|entry| entry.room.id).collect();
    rooms.sort_unstable();
    rooms.dedup();
    let heads = store::lock_heads(&mut tx, &rooms).await?;
    if faults::on(Fault::HeadsUnlockedTooEarly) {
        tx.commit().await?;
        tx = connection.begin().await?;
    }
    let at = heads.iter().map(|head| head.now).max().unwrap_or_else(|| app.clock.now());
    let authorization = Authorization::read(app, &mut tx, batch, &heads).await?;
    let mut heads: HashMap<RoomId, Seq> = heads.iter().map(|head| (head.room_id, head.seq)).collect();
    let (mut entries, mut rooms, mut seqs) = (Entries::default(), Vec::new(), Vec::new());
    let mut answers = Vec::with_capacity(batch.len());
    for entry in batch {
        answers.push(match (heads.get_mut(&entry.room.id), authorization.denial(entry)) {
            (None, _) => Err(Error::NotFound),
            (_, Some(denial)) => denial,
            (Some(head), None) if entry.reply_to.is_some_and(|target| !(Seq::FIRST..=*head).contains(&target)) => {
                Err(Error::bad_field("reply_to", "There is no such entry in this room."))
            }
            (Some(head), None) => {
                *head = head.next();
                rooms.push(entry.room.id);
                seqs.push(*head);
                entries.push(entry);
                Ok(Posted { seq: *head, at, repeated: false })
            }
        });
    }
    if !rooms.is_empty() {
        store::insert(&mut tx, &rooms, &seqs, &entries, at).await?;
        let moved: HashSet<RoomId> = rooms.into_iter().collect();
        let (rooms, seqs): (Vec<RoomId>, Vec<Seq>) = moved.iter().map(|room| (*room, heads[room])).unzip();
        store::move_heads(&mut tx, &rooms, &seqs).await?;
    }
    if faults::on(Fault::AckWithoutCommit) {
        return Ok(answers);
    }
    if faults::on(Fault::AnswersInWrongOrder) {
        answers.reverse();
    }
    tx.commit().await.or_else(|why| if faults::on(Fault::FailedCommitIsAcked) { Ok(()) } else { Err(why) })?;
    Ok(answers)
}

impl<'a> Entries<'a> {
    fn push(&mut self, entry: &'a PendingEntry) {
        self.client_ids.push(if faults::on(Fault::ClientIdNotStored) { Uuid::new_v4() } else { entry.client_id });
        self.senders.push(entry.member.visitor);
        self.replies.push(entry.reply_to);
        self.payloads.push(entry.payload.json());
        self.prefixes.push(&entry.prefix);
    }
}
