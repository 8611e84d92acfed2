//! Rooms: the SQL of rooms themselves and of reports, and no rules.
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::limits::TALK_READABLE_AFTER_END;
use super::model::{ChatRoom, Naming, NewRoom, RoomKind};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};

/// Returns the public id of the room with this slug.
pub(super) async fn by_slug(db: &PgPool, slug: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("SELECT public_id FROM chat_room WHERE slug = $1", slug).fetch_optional(db).await
}

/// Returns the number of public rooms that are open.
pub(super) async fn count_open(db: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM chat_room WHERE kind = 'public' AND closed_at IS NULL"#)
        .fetch_one(db)
        .await
}

/// Creates a room and its head. Returns its inner and its public id.
pub(super) async fn create_room(
    tx: &mut PgConnection,
    new: &NewRoom,
    slug: &str,
    owner: VisitorId,
) -> Result<(RoomId, Uuid), sqlx::Error> {
    let public_id = Uuid::new_v4();
    let id = sqlx::query_scalar!(
        r#"INSERT INTO chat_room (public_id, slug, kind, naming, title, topic, history, language, owner_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id AS "id: RoomId""#,
        public_id,
        slug,
        new.kind.as_str(),
        new.naming.as_str(),
        new.title,
        new.topic,
        new.history,
        new.language,
        owner as VisitorId
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("INSERT INTO room_head (room_id) VALUES ($1)", id as RoomId).execute(tx).await?;
    Ok((id, public_id))
}

/// Talks to open: one public id for each. The other columns hold A and B of each talk in turn.
#[derive(Default)]
pub(super) struct NewTalks {
    pub public_ids: Vec<Uuid>,
    pub visitors: Vec<VisitorId>,
    pub slots: Vec<String>,
    pub colors: Vec<String>,
    pub animals: Vec<String>,
    pub names: Vec<String>,
}

/// Opens talks: rooms, heads and both memberships. Returns the inner ids of the rooms, in order.
pub(super) async fn open_talks(tx: &mut PgConnection, talks: &NewTalks) -> Result<Vec<RoomId>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"INSERT INTO chat_room (public_id, kind, naming, history)
           SELECT id, 'talk', 'anonymous', true FROM UNNEST($1::uuid[]) AS t(id)
           RETURNING id AS "id: RoomId", public_id"#,
        &talks.public_ids
    )
    .fetch_all(&mut *tx)
    .await?;
    // RETURNING promises no order.
    let ids: std::collections::HashMap<Uuid, RoomId> = rows.into_iter().map(|row| (row.public_id, row.id)).collect();
    let rooms: Vec<RoomId> = talks.public_ids.iter().filter_map(|id| ids.get(id).copied()).collect();
    sqlx::query!("INSERT INTO room_head (room_id) SELECT * FROM UNNEST($1::bigint[])", &rooms as &[RoomId])
        .execute(&mut *tx)
        .await?;
    let both: Vec<RoomId> = rooms.iter().flat_map(|room| [*room, *room]).collect();
    let mut member_ids: Vec<Uuid> = both.iter().map(|_| Uuid::new_v4()).collect();
    if faults::on(Fault::SameIdInAllRooms) {
        member_ids = talks.visitors.iter().map(|visitor| Uuid::from_u64_pair(0, visitor.0.unsigned_abs())).collect();
    }
    sqlx::query!(
        "INSERT INTO membership (room_id, visitor_id, public_id, slot, color, animal, name)
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])",
        &both as &[RoomId],
        &talks.visitors as &[VisitorId],
        &member_ids,
        &talks.slots,
        &talks.colors,
        &talks.animals,
        &talks.names
    )
    .execute(tx)
    .await?;
    Ok(rooms)
}

/// Closes a room and ends every membership of it. Returns `false` if it was closed already.
pub(super) async fn close(tx: &mut PgConnection, room: RoomId) -> Result<bool, sqlx::Error> {
    let closed =
        sqlx::query!("UPDATE chat_room SET closed_at = now() WHERE id = $1 AND closed_at IS NULL", room as RoomId)
            .execute(&mut *tx)
            .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("UPDATE membership SET left_at = now() WHERE room_id = $1 AND left_at IS NULL", room as RoomId)
        .execute(tx)
        .await?;
    Ok(true)
}

/// Returns open public rooms and the visitor's own rooms, newest first or by name, after a cursor.
pub(super) async fn listed(
    db: &PgPool,
    visitor: VisitorId,
    search: Option<&str>,
    by_name: bool,
    cursor: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ChatRoom>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT r.id AS "id: RoomId", r.public_id, r.slug, r.kind, r.naming, r.title, r.topic, r.history,
                  r.language, r.created_at
           FROM chat_room r LEFT JOIN chat_room last ON last.public_id = $4
           WHERE r.closed_at IS NULL AND r.kind <> 'talk'
             AND (r.kind = 'public' OR EXISTS (SELECT 1 FROM membership m
                  WHERE m.room_id = r.id AND m.visitor_id = $1 AND m.left_at IS NULL))
             AND ($2::text IS NULL OR r.title ILIKE $2 ESCAPE '\' OR r.topic ILIKE $2 ESCAPE '\')
             AND ($4::uuid IS NULL OR CASE WHEN $3 THEN (lower(r.title), -r.id) > (lower(last.title), -last.id)
                                           ELSE r.id < last.id END)
           ORDER BY CASE WHEN $3 THEN lower(r.title) END, r.id DESC LIMIT $5"#,
        visitor as VisitorId,
        search,
        by_name,
        cursor,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ChatRoom {
            id: row.id,
            public_id: row.public_id,
            slug: row.slug,
            kind: RoomKind::of_str(&row.kind),
            naming: Naming::of_str(&row.naming),
            title: row.title,
            topic: row.topic,
            history: row.history,
            language: row.language,
            created_at: row.created_at,
            closed_at: None,
        })
        .collect())
}

/// An entry and who wrote it.
#[derive(Clone, Copy)]
pub(super) struct Authored {
    pub seq: Seq,
    pub author: VisitorId,
}

/// Returns those of the entries that exist and come after `after`, in the order of their seqs.
pub(super) async fn authors(
    tx: &mut PgConnection,
    room: RoomId,
    seqs: &[Seq],
    after: Seq,
) -> Result<Vec<Authored>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT seq AS "seq: Seq", sender_id AS "sender_id: VisitorId" FROM message
           WHERE room_id = $1 AND seq = ANY($2) AND seq > $3 ORDER BY seq"#,
        room as RoomId,
        seqs as &[Seq],
        after as Seq
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| Authored { seq: row.seq, author: row.sender_id }).collect())
}

/// Which entries a report freezes.
pub(super) struct EvidenceScope<'a> {
    /// The chosen entries. They come first if not all fit.
    pub seqs: &'a [Seq],
    /// Number of newest entries besides them.
    pub newest: i64,
    /// Only entries after this one.
    pub after: Seq,
    /// Largest size in bytes. One entry is kept whatever its size.
    pub bytes: i64,
}

/// Returns the evidence of a report: a JSON list of the entries as they are now, in the order of
/// their seqs, each with the inner id of its author and whether the reporter chose it.
pub(super) async fn freeze(
    tx: &mut PgConnection,
    room: RoomId,
    scope: &EvidenceScope<'_>,
) -> Result<Box<RawValue>, sqlx::Error> {
    let Json(evidence) = sqlx::query_scalar!(
        r#"SELECT coalesce(jsonb_agg(entry ORDER BY seq), '[]') AS "evidence!: Json<Box<RawValue>>" FROM (
               SELECT seq, entry, row_number() OVER walk AS nth, sum(octet_length(entry::text)) OVER walk AS bytes
               FROM (
                   SELECT m.seq, jsonb_build_object('seq', m.seq, 'sender', m.sender_id, 'member', p.public_id, 'name',
                          p.name, 'payload', m.payload, 'at', m.created_at, 'deleted_at', m.deleted_at,
                          'chosen', m.seq = ANY($2)) AS entry
                   FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
                   WHERE m.room_id = $1 AND m.seq > $4 AND m.seq = ANY(
                      $2::bigint[] || ARRAY(SELECT seq FROM message WHERE room_id = $1 ORDER BY seq DESC LIMIT $3))
                   OFFSET 0
               ) entries WINDOW walk AS (ORDER BY seq = ANY($2) DESC, seq DESC ROWS UNBOUNDED PRECEDING)
           ) counted WHERE nth = 1 OR bytes <= $5"#,
        room as RoomId,
        scope.seqs as &[Seq],
        scope.newest,
        scope.after as Seq,
        scope.bytes
    )
    .fetch_one(tx)
    .await?;
    Ok(evidence)
}

/// Deletes a batch of talks that nobody can read any more ([`TALK_READABLE_AFTER_END`]), with their
/// logs. The evidence of a report is stored apart and stays. Returns the number of talks.
pub(super) async fn delete_old_talks(db: &PgPool) -> Result<u64, sqlx::Error> {
    let mut tx = db.begin().await?;
    let rooms = sqlx::query_scalar!(
        r#"SELECT id AS "id: RoomId" FROM chat_room
           WHERE kind = 'talk' AND closed_at < now() - make_interval(secs => $1)
           ORDER BY closed_at LIMIT 200 FOR UPDATE SKIP LOCKED"#,
        TALK_READABLE_AFTER_END.as_seconds_f64()
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM message WHERE room_id = ANY($1)", &rooms as &[RoomId]).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM chat_room WHERE id = ANY($1)", &rooms as &[RoomId]).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(rooms.len() as u64)
}
