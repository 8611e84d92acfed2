//! The log: all SQL that writes it, and no rules.
use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::faults::{self, Fault};
use crate::ids::{FenceVersion, RightsVersion, RoomId, Seq, SessionEpoch, VisitorId};
use crate::moderation::Restriction;

/// A head, read under its lock.
pub(in crate::rooms) struct LockedHead {
    pub room_id: RoomId,
    pub seq: Seq,
    pub rights: RightsVersion,
    /// The version of the fence. It cannot rise while the fence is held. The snapshot of this
    /// statement is younger than the wait for the fence, so it holds the last version, however long
    /// the locks of the rows are waited for.
    pub fence: FenceVersion,
    pub now: OffsetDateTime,
}

/// Locks the heads of a batch, in the order of their ids. The transaction holds the fence since an
/// earlier statement.
pub(in crate::rooms) async fn lock_heads(
    tx: &mut PgConnection,
    rooms: &[RoomId],
) -> Result<Vec<LockedHead>, sqlx::Error> {
    sqlx::query_as!(
        LockedHead,
        r#"SELECT room_id AS "room_id: RoomId", seq AS "seq: Seq", rights AS "rights: RightsVersion",
                  (SELECT version FROM fence) AS "fence!: FenceVersion", clock_timestamp() AS "now!"
           FROM room_head WHERE room_id = ANY($1) ORDER BY room_id FOR UPDATE"#,
        rooms as &[RoomId]
    )
    .fetch_all(tx)
    .await
}

/// A visitor's right to write in a room, as committed now.
pub(super) struct Right {
    pub room_id: RoomId,
    pub visitor_id: VisitorId,
    pub is_member: bool,
    pub is_closed: bool,
    pub restriction: Option<Restriction>,
    /// The epoch with which the visitor's session may write. `None` for a guest, and for an account
    /// that is deactivated.
    pub epoch: Option<SessionEpoch>,
    pub is_deactivated: bool,
}

/// Reads the rights of `(room, visitor)` pairs. Pairs without a membership are left out.
pub(super) async fn rights(
    tx: &mut PgConnection,
    rooms: &[RoomId],
    visitors: &[VisitorId],
) -> Result<Vec<Right>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT m.room_id AS "room_id: RoomId", m.visitor_id AS "visitor_id: VisitorId",
                  (m.left_at IS NULL OR m.slot IS NOT NULL) AS "member!",
                  (r.closed_at IS NOT NULL) AS "closed!", restriction.kind, restriction.in_room, restriction.ends_in_ms,
                  a.session_epoch AS "epoch?: SessionEpoch", (a.status = 'deactivated') AS deactivated
           FROM UNNEST($1::bigint[], $2::bigint[]) AS asked(room, visitor)
           JOIN membership m ON m.room_id = asked.room AND m.visitor_id = asked.visitor
           JOIN chat_room r ON r.id = m.room_id LEFT JOIN account a ON a.visitor_id = m.visitor_id
           LEFT JOIN LATERAL active_restriction(m.visitor_id, m.room_id) restriction ON true"#,
        rooms as &[RoomId],
        visitors as &[VisitorId]
    )
    .fetch_all(tx)
    .await?;
    let rights = rows.into_iter().map(|row| Right {
        room_id: row.room_id,
        visitor_id: row.visitor_id,
        is_member: row.member,
        is_closed: row.closed,
        restriction: Restriction::of(row.kind.as_deref(), row.in_room, row.ends_in_ms),
        epoch: row.epoch,
        is_deactivated: row.deactivated.unwrap_or_default(),
    });
    Ok(rights.collect())
}

/// Entries, column by column.
#[derive(Default)]
pub(super) struct Entries<'a> {
    pub client_ids: Vec<Uuid>,
    pub senders: Vec<VisitorId>,
    pub replies: Vec<Option<Seq>>,
    pub payloads: Vec<&'a str>,
    pub prefixes: Vec<&'a [u8]>,
}

/// A batch as `write_entries` takes it (migrations/0004_write_entries.sql): its rooms in order, and
/// its entries.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub rooms: Vec<RoomId>,
    /// The version of each room's rights that the batch expects.
    pub rights: Vec<RightsVersion>,
    /// Number of entries of each room.
    pub counts: Vec<i64>,
    /// Of each entry, the position of its room in `rooms`, from 1.
    pub room_indexes: Vec<i32>,
    /// Of each entry, its position among the entries of its room, from 1.
    pub positions: Vec<i64>,
    pub entries: Entries<'a>,
}

/// The result of `write_entries`.
pub(super) struct WrittenBatch {
    /// The heads before the batch, in the order of its rooms.
    pub heads: Vec<Seq>,
    pub written_at: OffsetDateTime,
}

/// Writes a batch in a transaction of its own. Returns `None` if the fence, the rights of a room or
/// a head are not as expected: nothing was written then.
///
/// # Errors
/// `55P03` if it waited for a lock longer than `lock_timeout`.
pub(super) async fn write_entries(
    db: &mut PgConnection,
    lock_timeout: Duration,
    fence_key: i64,
    fence: FenceVersion,
    batch: &Columns<'_>,
) -> Result<Option<WrittenBatch>, sqlx::Error> {
    sqlx::query_as!(
        WrittenBatch,
        r#"SELECT heads AS "heads!: Vec<Seq>", written_at AS "written_at!"
           FROM write_entries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
        i32::try_from(lock_timeout.as_millis()).unwrap_or(i32::MAX).max(1),
        fence_key,
        fence as FenceVersion,
        &batch.rooms as &[RoomId],
        &batch.rights as &[RightsVersion],
        &batch.counts,
        &batch.room_indexes,
        &batch.positions,
        &batch.entries.client_ids,
        &batch.entries.senders as &[VisitorId],
        &batch.entries.replies as &[Option<Seq>],
        &batch.entries.payloads as &[&str],
        &batch.entries.prefixes as &[&[u8]],
    )
    .fetch_optional(db)
    .await
}

/// Inserts numbered entries.
pub(super) async fn insert(
    tx: &mut PgConnection,
    rooms: &[RoomId],
    seqs: &[Seq],
    entries: &Entries<'_>,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO message (room_id, seq, client_id, sender_id, reply_to, payload, created_at, prefix_hash)
         SELECT room, seq, client, sender, reply, payload::jsonb, $8, prefix
         FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[])
              AS t(room, seq, client, sender, reply, payload, prefix)",
        rooms as &[RoomId],
        seqs as &[Seq],
        &entries.client_ids,
        &entries.senders as &[VisitorId],
        &entries.replies as &[Option<Seq>],
        &entries.payloads as &[&str],
        &entries.prefixes as &[&[u8]],
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves heads to their new seq.
pub(super) async fn move_heads(tx: &mut PgConnection, rooms: &[RoomId], seqs: &[Seq]) -> Result<(), sqlx::Error> {
    if faults::on(Fault::HeadNotMoved) {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE room_head h SET seq = t.seq FROM UNNEST($1::bigint[], $2::bigint[]) AS t(room, seq)
         WHERE h.room_id = t.room",
        rooms as &[RoomId],
        seqs as &[Seq]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An entry that is stored under a client id.
pub(super) struct StoredEntry {
    pub room_id: RoomId,
    pub client_id: Uuid,
    pub sender_id: VisitorId,
    pub verb: String,
    pub seq: Seq,
    pub created_at: OffsetDateTime,
}

/// Returns the entries that are stored under these client ids.
pub(super) async fn stored(
    db: &mut PgConnection,
    rooms: &[RoomId],
    client_ids: &[Uuid],
) -> Result<Vec<StoredEntry>, sqlx::Error> {
    sqlx::query_as!(
        StoredEntry,
        r#"SELECT m.room_id AS "room_id: RoomId", m.client_id, m.sender_id AS "sender_id: VisitorId", m.verb,
                  m.seq AS "seq: Seq", m.created_at
           FROM UNNEST($1::bigint[], $2::uuid[]) AS asked(room, client)
           JOIN message m ON m.room_id = asked.room AND m.client_id = asked.client"#,
        rooms as &[RoomId],
        client_ids
    )
    .fetch_all(db)
    .await
}
