//! Rooms: the SQL of the log: heads, entries, how far people have read.
use std::collections::HashMap;
use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::clock::format_timestamp;
use crate::faults::{self, Fault};
use crate::moderation::Restriction;
use crate::rooms::model::{ChatRoom, Message, Sender, Slot};

/// A head as a batch sees it under its lock.
pub(in crate::rooms) struct Head {
    pub room_id: i64,
    pub seq: i64,
    pub rights: i64,
    /// The fence's version: under the shared fence it cannot rise, so this statement's snapshot, which is younger than the
    /// wait for the fence, holds the last one, however long the rows themselves are waited for.
    pub fence: i64,
    pub now: OffsetDateTime,
}

/// Locks the heads of a batch, in id order. The transaction holds the fence since an earlier statement.
pub(in crate::rooms) async fn lock_heads(tx: &mut PgConnection, rooms: &[i64]) -> Result<Vec<Head>, sqlx::Error> {
    sqlx::query_as!(
        Head,
        r#"SELECT room_id, seq, rights, (SELECT version FROM fence) AS "fence!", clock_timestamp() AS "now!"
           FROM room_head WHERE room_id = ANY($1) ORDER BY room_id FOR UPDATE"#,
        rooms
    )
    .fetch_all(tx)
    .await
}

/// Whether a place allows writing, as committed now.
pub(in crate::rooms) struct Right {
    pub room_id: i64,
    pub visitor_id: i64,
    pub member: bool,
    pub closed: bool,
    pub restriction: Option<Restriction>,
}

/// Reads the rights of `(room, visitor)` pairs.
pub(in crate::rooms) async fn rights(
    tx: &mut PgConnection,
    rooms: &[i64],
    visitors: &[i64],
) -> Result<Vec<Right>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT m.room_id, m.visitor_id, (m.left_at IS NULL OR m.slot IS NOT NULL) AS "member!",
                  (r.closed_at IS NOT NULL) AS "closed!", restriction.kind, restriction.in_room, restriction.ends_in_ms
           FROM UNNEST($1::bigint[], $2::bigint[]) AS asked(room, visitor)
           JOIN membership m ON m.room_id = asked.room AND m.visitor_id = asked.visitor
           JOIN chat_room r ON r.id = m.room_id
           LEFT JOIN LATERAL active_restriction(m.visitor_id, m.room_id) restriction ON true"#,
        rooms,
        visitors
    )
    .fetch_all(tx)
    .await?;
    let rights = rows.into_iter().map(|row| Right {
        room_id: row.room_id,
        visitor_id: row.visitor_id,
        member: row.member,
        closed: row.closed,
        restriction: Restriction::of(row.kind.as_deref(), row.in_room, row.ends_in_ms),
    });
    Ok(rights.collect())
}

/// Which of these `(room, visitor)` pairs have no place, or none any more, that lets them read.
pub(in crate::rooms) async fn strangers(
    db: &PgPool,
    rooms: &[i64],
    visitors: &[i64],
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.room AS "room!", asked.visitor AS "visitor!"
           FROM UNNEST($1::bigint[], $2::bigint[]) AS asked(room, visitor)
           LEFT JOIN membership m ON m.room_id = asked.room AND m.visitor_id = asked.visitor
           LEFT JOIN LATERAL active_restriction(asked.visitor, asked.room) restriction ON true
           WHERE m.room_id IS NULL OR (m.left_at IS NOT NULL AND m.slot IS NULL) OR restriction.kind = 'ban'"#,
        rooms,
        visitors
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room, row.visitor)).collect())
}

/// What entries hold, column by column.
#[derive(Default)]
pub(in crate::rooms) struct Entries<'a> {
    pub client_ids: Vec<Uuid>,
    pub senders: Vec<i64>,
    pub replies: Vec<Option<i64>>,
    pub payloads: Vec<&'a str>,
    pub prefixes: Vec<&'a [u8]>,
}

/// A batch as `write_entries` takes it (migrations/0004_write_entries.sql): its rooms in order, and its entries.
#[derive(Default)]
pub(in crate::rooms) struct Columns<'a> {
    pub rooms: Vec<i64>,
    pub rights: Vec<i64>,
    pub counts: Vec<i64>,
    /// The place of an entry's room among the rooms, and the entry's place among that room's, from 1.
    pub at: Vec<i32>,
    pub nth: Vec<i64>,
    pub entries: Entries<'a>,
}

/// What `write_entries` answers: the heads before the batch, in the order of its rooms.
pub(in crate::rooms) struct Written {
    pub heads: Vec<i64>,
    pub at: OffsetDateTime,
}

/// Writes a batch in a transaction of its own. None: the fence, a room's rights or a head are not what was expected, and
/// nothing was written. Errors: `55P03` when a lock was waited for longer than `patience`.
pub(in crate::rooms) async fn write_entries(
    db: &mut PgConnection,
    patience: Duration,
    fence_key: i64,
    fence: i64,
    batch: &Columns<'_>,
) -> Result<Option<Written>, sqlx::Error> {
    sqlx::query_as!(
        Written,
        r#"SELECT heads AS "heads!", written_at AS "at!"
           FROM write_entries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
        i32::try_from(patience.as_millis()).unwrap_or(i32::MAX).max(1),
        fence_key,
        fence,
        &batch.rooms,
        &batch.rights,
        &batch.counts,
        &batch.at,
        &batch.nth,
        &batch.entries.client_ids,
        &batch.entries.senders,
        &batch.entries.replies as &[Option<i64>],
        &batch.entries.payloads as &[&str],
        &batch.entries.prefixes as &[&[u8]],
    )
    .fetch_optional(db)
    .await
}

/// Inserts numbered entries.
pub(in crate::rooms) async fn insert(
    tx: &mut PgConnection,
    rooms: &[i64],
    seqs: &[i64],
    entries: &Entries<'_>,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO message (room_id, seq, client_id, sender_id, reply_to, payload, created_at, prefix_hash)
         SELECT room, seq, client, sender, reply, payload::jsonb, $8, prefix
         FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[])
              AS t(room, seq, client, sender, reply, payload, prefix)",
        rooms,
        seqs,
        &entries.client_ids,
        &entries.senders,
        &entries.replies as &[Option<i64>],
        &entries.payloads as &[&str],
        &entries.prefixes as &[&[u8]],
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves heads to their new seq.
pub(in crate::rooms) async fn move_heads(
    tx: &mut PgConnection,
    rooms: &[i64],
    seqs: &[i64],
) -> Result<(), sqlx::Error> {
    if faults::on(Fault::HeadNotMoved) {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE room_head h SET seq = t.seq FROM UNNEST($1::bigint[], $2::bigint[]) AS t(room, seq)
         WHERE h.room_id = t.room",
        rooms,
        seqs
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An entry that is stored already under a client id.
pub(in crate::rooms) struct Known {
    pub room_id: i64,
    pub client_id: Uuid,
    pub sender_id: i64,
    pub verb: String,
    pub seq: i64,
    pub created_at: OffsetDateTime,
}

/// Which of these client ids are stored.
pub(in crate::rooms) async fn known(
    db: &mut PgConnection,
    rooms: &[i64],
    client_ids: &[Uuid],
) -> Result<Vec<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        "SELECT m.room_id, m.client_id, m.sender_id, m.verb, m.seq, m.created_at
         FROM UNNEST($1::bigint[], $2::uuid[]) AS asked(room, client)
         JOIN message m ON m.room_id = asked.room AND m.client_id = asked.client",
        rooms,
        client_ids
    )
    .fetch_all(db)
    .await
}

/// Bytes that an event adds to its payload, about: ids, the sender, times.
const EVENT: i32 = 320;

/// A window of a log: entries above `after` and below `before`.
#[derive(Clone, Copy)]
pub(in crate::rooms) struct Window {
    pub after: i64,
    pub before: i64,
    pub limit: i64,
    /// Bytes of the events at most; the first entry is there whatever its size.
    pub bytes: i64,
    /// From the newest end backwards.
    pub newest: bool,
}

/// Entries of a room's log, in seq order, and whether the window holds more. What passes its bounds never leaves Postgres.
pub(in crate::rooms) async fn entries(
    db: &PgPool,
    room: &ChatRoom,
    window: Window,
) -> Result<(Vec<Message>, bool), sqlx::Error> {
    // Two statements rather than one with a CASE: each walks the primary key in its own direction.
    let mut rows = if window.newest {
        sqlx::query_as!(
            Row,
            r#"SELECT seq AS "seq!", client_id AS "client_id!", payload AS "payload!: Json<Box<RawValue>>", reply_to AS "reply_to?",
                      created_at AS "created_at!", edited_at AS "edited_at?", deleted_at AS "deleted_at?",
                      public_id AS "public_id!", name AS "name!", slot AS "slot?", color AS "color!", animal AS "animal?",
                      total AS "total!"
               FROM (
                   SELECT page.*, row_number() OVER walk AS nth, count(*) OVER () AS total,
                          sum(octet_length(payload::text) + $6) OVER walk AS bytes
                   FROM (
                       SELECT m.seq, m.client_id, m.payload::json AS payload, m.reply_to, m.created_at, m.edited_at,
                              m.deleted_at, p.public_id, p.name, p.slot, p.color, p.animal
                       FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
                       WHERE m.room_id = $1 AND m.seq > $2 AND m.seq < $3 ORDER BY m.seq DESC LIMIT $4::bigint + 1
                   ) page WINDOW walk AS (ORDER BY seq DESC ROWS UNBOUNDED PRECEDING)
               ) counted WHERE nth <= $4 AND (nth = 1 OR bytes <= $5) ORDER BY nth"#,
            room.id,
            window.after,
            window.before,
            window.limit,
            window.bytes,
            EVENT
        )
        .fetch_all(db)
        .await?
    } else {
        sqlx::query_as!(
            Row,
            r#"SELECT seq AS "seq!", client_id AS "client_id!", payload AS "payload!: Json<Box<RawValue>>", reply_to AS "reply_to?",
                      created_at AS "created_at!", edited_at AS "edited_at?", deleted_at AS "deleted_at?",
                      public_id AS "public_id!", name AS "name!", slot AS "slot?", color AS "color!", animal AS "animal?",
                      total AS "total!"
               FROM (
                   SELECT page.*, row_number() OVER walk AS nth, count(*) OVER () AS total,
                          sum(octet_length(payload::text) + $6) OVER walk AS bytes
                   FROM (
                       SELECT m.seq, m.client_id, m.payload::json AS payload, m.reply_to, m.created_at, m.edited_at,
                              m.deleted_at, p.public_id, p.name, p.slot, p.color, p.animal
                       FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
                       WHERE m.room_id = $1 AND m.seq > $2 AND m.seq < $3 ORDER BY m.seq LIMIT $4::bigint + 1
                   ) page WINDOW walk AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
               ) counted WHERE nth <= $4 AND (nth = 1 OR bytes <= $5) ORDER BY nth"#,
            room.id,
            window.after,
            window.before,
            window.limit,
            window.bytes,
            EVENT
        )
        .fetch_all(db)
        .await?
    };
    if window.newest {
        rows.reverse();
    }
    let total = rows.first().map_or(0, |row| row.total);
    let more = usize::try_from(total).is_ok_and(|total| total > rows.len());
    Ok((rows.into_iter().map(|row| row.into_message(room.public_id)).collect(), more))
}

struct Row {
    seq: i64,
    client_id: Uuid,
    payload: Json<Box<RawValue>>,
    reply_to: Option<i64>,
    created_at: OffsetDateTime,
    edited_at: Option<OffsetDateTime>,
    deleted_at: Option<OffsetDateTime>,
    public_id: Uuid,
    name: String,
    slot: Option<String>,
    color: String,
    animal: Option<String>,
    /// Entries in the window, up to one more than its limit.
    total: i64,
}

impl Row {
    fn into_message(self, room: Uuid) -> Message {
        Message {
            room,
            seq: self.seq,
            client_id: self.client_id,
            sender: Sender {
                id: self.public_id,
                name: self.name,
                slot: self.slot.as_deref().map(Slot::of_str),
                color: self.color,
                animal: self.animal,
            },
            payload: self.payload.0,
            reply_to: self.reply_to,
            at: format_timestamp(self.created_at),
            edited_at: self.edited_at.map(format_timestamp),
            deleted: self.deleted_at.is_some(),
        }
    }
}

/// The heads of rooms whose log or rights have moved past what is known here: `(room, seq, rights)`.
pub(in crate::rooms) async fn heads_past(
    db: &PgPool,
    rooms: &[i64],
    seqs: &[i64],
    rights: &[i64],
) -> Result<Vec<(i64, i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT h.room_id, h.seq, h.rights FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) AS t(room, seq, rights)
         JOIN room_head h ON h.room_id = t.room WHERE h.seq > t.seq OR h.rights > t.rights",
        rooms,
        seqs,
        rights
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room_id, row.seq, row.rights)).collect())
}

/// The heads of rooms: their seq and the version of their rights.
pub(in crate::rooms) async fn heads(db: &PgPool, rooms: Vec<i64>) -> Result<HashMap<i64, (i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!("SELECT room_id, seq, rights FROM room_head WHERE room_id = ANY($1)", &rooms)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.room_id, (row.seq, row.rights))).collect())
}

/// Writes how far people have read; never backwards, never past the head.
pub(in crate::rooms) async fn save_reads(
    db: &PgPool,
    rooms: &[i64],
    visitors: &[i64],
    seqs: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE membership m SET read_seq = t.seq
         FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) AS t(room, visitor, seq)
         WHERE m.room_id = t.room AND m.visitor_id = t.visitor AND m.read_seq < t.seq",
        rooms,
        visitors,
        seqs
    )
    .execute(db)
    .await?;
    Ok(())
}
