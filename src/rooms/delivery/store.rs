//! Delivery: all its SQL, and no rules.
use std::collections::HashMap;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::clock::format_timestamp;
use crate::ids::{RightsVersion, RoomId, Seq, VisitorId};
use crate::rooms::model::{ChatRoom, Message, Sender, Slot};

/// About how many bytes an event adds to its payload: ids, the sender, times.
const EVENT_OVERHEAD_BYTES: i32 = 320;

/// A window of a log: entries above `after` and below `before`.
#[derive(Clone, Copy)]
pub(in crate::rooms) struct Window {
    pub after: Seq,
    pub before: Seq,
    /// Largest number of entries.
    pub limit: i64,
    /// Largest size of the events in bytes. The first entry is read whatever its size.
    pub bytes: i64,
    /// Reads from the newest entry backwards.
    pub newest: bool,
}

/// Entries of a log, in the order of their seqs.
pub(in crate::rooms) struct EntriesPage {
    pub entries: Vec<Message>,
    /// Whether the window holds more.
    pub has_more: bool,
}

/// Reads entries of a room's log. What is beyond the bounds of the window never leaves Postgres.
pub(in crate::rooms) async fn entries(
    db: &PgPool,
    room: &ChatRoom,
    window: Window,
) -> Result<EntriesPage, sqlx::Error> {
    // Two statements rather than one with a CASE: each walks the primary key in its own direction.
    let mut rows = if window.newest {
        sqlx::query_as!(
            Row,
            r#"SELECT seq AS "seq!: Seq", client_id AS "client_id!", payload AS "payload!: Json<Box<RawValue>>",
                      reply_to AS "reply_to?: Seq", created_at AS "created_at!", edited_at AS "edited_at?", deleted_at AS "deleted_at?",
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
            room.id as RoomId,
            window.after as Seq,
            window.before as Seq,
            window.limit,
            window.bytes,
            EVENT_OVERHEAD_BYTES
        )
        .fetch_all(db)
        .await?
    } else {
        sqlx::query_as!(
            Row,
            r#"SELECT seq AS "seq!: Seq", client_id AS "client_id!", payload AS "payload!: Json<Box<RawValue>>",
                      reply_to AS "reply_to?: Seq", created_at AS "created_at!", edited_at AS "edited_at?", deleted_at AS "deleted_at?",
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
            room.id as RoomId,
            window.after as Seq,
            window.before as Seq,
            window.limit,
            window.bytes,
            EVENT_OVERHEAD_BYTES
        )
        .fetch_all(db)
        .await?
    };
    if window.newest {
        rows.reverse();
    }
    let total = rows.first().map_or(0, |row| row.total);
    let has_more = usize::try_from(total).is_ok_and(|total| total > rows.len());
    let entries = rows.into_iter().map(|row| row.into_message(room.public_id)).collect();
    Ok(EntriesPage { entries, has_more })
}

struct Row {
    seq: Seq,
    client_id: Uuid,
    payload: Json<Box<RawValue>>,
    reply_to: Option<Seq>,
    created_at: OffsetDateTime,
    edited_at: Option<OffsetDateTime>,
    deleted_at: Option<OffsetDateTime>,
    public_id: Uuid,
    name: String,
    slot: Option<String>,
    color: String,
    animal: Option<String>,
    /// Number of entries in the window, up to one more than its limit.
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

/// The head of a room's log, and the version of its rights.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub room_id: RoomId,
    pub seq: Seq,
    pub rights: RightsVersion,
}

/// Returns the heads of rooms whose log or rights have moved past what this node knows.
pub(super) async fn heads_past(
    db: &PgPool,
    rooms: &[RoomId],
    seqs: &[Seq],
    rights: &[RightsVersion],
) -> Result<Vec<Head>, sqlx::Error> {
    sqlx::query_as!(
        Head,
        r#"SELECT h.room_id AS "room_id: RoomId", h.seq AS "seq: Seq", h.rights AS "rights: RightsVersion"
           FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) AS t(room, seq, rights)
           JOIN room_head h ON h.room_id = t.room WHERE h.seq > t.seq OR h.rights > t.rights"#,
        rooms as &[RoomId],
        seqs as &[Seq],
        rights as &[RightsVersion]
    )
    .fetch_all(db)
    .await
}

/// Returns the heads of rooms. Rooms that do not exist are left out.
pub(super) async fn heads(db: &PgPool, rooms: Vec<RoomId>) -> Result<HashMap<RoomId, Head>, sqlx::Error> {
    let heads = sqlx::query_as!(
        Head,
        r#"SELECT room_id AS "room_id: RoomId", seq AS "seq: Seq", rights AS "rights: RightsVersion"
           FROM room_head WHERE room_id = ANY($1)"#,
        &rooms as &[RoomId]
    )
    .fetch_all(db)
    .await?;
    Ok(heads.into_iter().map(|head| (head.room_id, head)).collect())
}

/// Writes read markers. A marker never moves backwards.
pub(super) async fn save_read_markers(
    db: &mut PgConnection,
    rooms: &[RoomId],
    visitors: &[VisitorId],
    seqs: &[Seq],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE membership m SET read_seq = t.seq
         FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) AS t(room, visitor, seq)
         WHERE m.room_id = t.room AND m.visitor_id = t.visitor AND m.read_seq < t.seq",
        rooms as &[RoomId],
        visitors as &[VisitorId],
        seqs as &[Seq]
    )
    .execute(db)
    .await?;
    Ok(())
}
