//! A batch of drafts in one transaction: written at once when nothing has changed since their senders were checked, and
//! with a second look at who may write otherwise.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::Posted;
use super::rights::Refused;
use super::store::{self, Columns, Entries};
use super::writer::{Draft, Verdict};
use crate::app::App;
use crate::db::fence;
use crate::error::Error;
use crate::faults::{self, Fault};

/// How much sooner than its writer a batch stops waiting for a lock.
const MARGIN: Duration = Duration::from_millis(50);

/// Writes a batch, whose drafts are in order of their rooms, and answers what became of each; committed when it returns.
/// Errors: nothing was written, or it is not known whether it was. Nobody waits for it after `give_up`.
pub(super) async fn write(
    app: &App,
    connection: &mut PgConnection,
    batch: &[Draft],
    give_up: Instant,
) -> Result<Vec<Verdict>, sqlx::Error> {
    let patience = give_up.saturating_duration_since(Instant::now() + MARGIN);
    let written =
        if STEPS.into_iter().any(faults::on) { None } else { write_at_once(app, connection, batch, patience).await? };
    match written {
        Some(verdicts) => Ok(verdicts),
        None => write_checked(app, connection, batch).await,
    }
}

/// Mistakes that can be made only where a batch is written step by step.
const STEPS: [Fault; 6] = [
    Fault::HeadsUnlockedTooEarly,
    Fault::HeadNotMoved,
    Fault::AckWithoutCommit,
    Fault::FailedCommitIsAcked,
    Fault::AnswersInWrongOrder,
    Fault::FenceNotTaken,
];

/// One statement, one round trip. None: something has changed, nothing was written.
async fn write_at_once(
    app: &App,
    connection: &mut PgConnection,
    batch: &[Draft],
    patience: Duration,
) -> Result<Option<Vec<Verdict>>, sqlx::Error> {
    let fence = app.moderation.known();
    let is_doubtful = |draft: &Draft, rights: i64| {
        draft.refusal.is_some()
            || draft.room.closed_at.is_some()
            || draft.rights != rights
            || app.moderation.is_revoked_since(draft.member.visitor, draft.fence)
    };
    let mut columns = Columns::default();
    for (run, at) in batch.chunk_by(|a, b| a.room.id == b.room.id).zip(1..) {
        if run.iter().any(|draft| is_doubtful(draft, run[0].rights)) {
            return Ok(None);
        }
        let mut count = 0;
        for draft in run {
            count += 1;
            columns.at.push(at);
            columns.nth.push(count);
            columns.entries.add(draft);
        }
        columns.rooms.push(run[0].room.id);
        columns.rights.push(run[0].rights);
        columns.counts.push(count);
    }
    let Some(written) = store::write_entries(connection, patience, fence::LOCK_KEY, fence, &columns).await? else {
        return Ok(None);
    };
    let head = |at: i32| usize::try_from(at - 1).ok().and_then(|at| written.heads.get(at).copied()).unwrap_or_default();
    let posted = |(at, nth): (&i32, &i64)| Ok(Posted { seq: head(*at) + nth, at: written.at, repeated: false });
    Ok(Some(columns.at.iter().zip(&columns.nth).map(posted).collect()))
}

/// One transaction: the fence, the heads' locks, rights, numbers, rows, heads.
async fn write_checked(app: &App, connection: &mut PgConnection, batch: &[Draft]) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    fence::lock_shared(&mut tx).await?;
    let mut rooms: Vec<i64> = batch.iter().map(|draft| draft.room.id).collect();
    rooms.sort_unstable();
    rooms.dedup();
    let heads = store::lock_heads(&mut tx, &rooms).await?;
    if faults::on(Fault::HeadsUnlockedTooEarly) {
        tx.commit().await?;
        tx = connection.begin().await?;
    }
    let at = heads.iter().map(|head| head.now).max().unwrap_or_else(|| app.clock.now());
    let refused = Refused::of(app, &mut tx, batch, &heads).await?;
    let mut heads: HashMap<i64, i64> = heads.iter().map(|head| (head.room_id, head.seq)).collect();
    let (mut entries, mut rooms, mut seqs) = (Entries::default(), Vec::new(), Vec::new());
    let mut verdicts = Vec::with_capacity(batch.len());
    for draft in batch {
        verdicts.push(match (heads.get_mut(&draft.room.id), refused.verdict(draft)) {
            (None, _) => Err(Error::NotFound),
            (_, Some(verdict)) => verdict,
            (Some(head), None) if draft.reply_to.is_some_and(|target| !(1..=*head).contains(&target)) => {
                Err(Error::bad_field("reply_to", "There is no such entry in this room."))
            }
            (Some(head), None) => {
                *head += 1;
                rooms.push(draft.room.id);
                seqs.push(*head);
                entries.add(draft);
                Ok(Posted { seq: *head, at, repeated: false })
            }
        });
    }
    if !rooms.is_empty() {
        store::insert(&mut tx, &rooms, &seqs, &entries, at).await?;
        let moved: HashSet<i64> = rooms.into_iter().collect();
        let (rooms, seqs): (Vec<i64>, Vec<i64>) = moved.iter().map(|room| (*room, heads[room])).unzip();
        store::move_heads(&mut tx, &rooms, &seqs).await?;
    }
    if faults::on(Fault::AckWithoutCommit) {
        return Ok(verdicts);
    }
    if faults::on(Fault::AnswersInWrongOrder) {
        verdicts.reverse();
    }
    tx.commit().await.or_else(|why| if faults::on(Fault::FailedCommitIsAcked) { Ok(()) } else { Err(why) })?;
    Ok(verdicts)
}

impl<'a> Entries<'a> {
    fn add(&mut self, draft: &'a Draft) {
        self.client_ids.push(if faults::on(Fault::ClientIdNotStored) { Uuid::new_v4() } else { draft.client_id });
        self.senders.push(draft.member.visitor);
        self.replies.push(draft.reply_to);
        self.payloads.push(draft.payload.json());
        self.prefixes.push(&draft.prefix);
    }
}
