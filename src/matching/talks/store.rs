//! Talks: all their SQL, and no rules.
use std::collections::HashMap;

use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Side, Talk};
use crate::ids::{RoomId, VisitorId};
use crate::matching::model::{EndReason, LEASE_TIMEOUT_SECS, Own, Pairing, Partner, Seek, TalkId, Ticket};
use crate::rooms::Slot;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// The largest number of talks in one sweep.
const MAX_SWEEP_ROWS: i64 = 500;

/// A talk that is to be stored.
pub(in crate::matching) struct NewTalk<'a> {
    pub room_id: RoomId,
    pub a: &'a Ticket,
    pub b: &'a Ticket,
    pub languages: &'a [String],
    pub relaxed: bool,
}

/// Stores talks in one statement and returns their ids.
pub(in crate::matching) async fn insert(
    tx: &mut PgConnection,
    talks: &[NewTalk<'_>],
    at: OffsetDateTime,
) -> Result<Vec<TalkId>> {
    let row = |talk: &NewTalk<'_>| {
        serde_json::json!({
            "public_id": Uuid::new_v4(), "room_id": talk.room_id.0, "a": talk.a.visitor.0, "b": talk.b.visitor.0,
            "shared": talk.a.seek.shared_with(&talk.b.seek), "b_shared": talk.b.seek.shared_with(&talk.a.seek), "languages": talk.languages, "relaxed": talk.relaxed,
            "a_seek": talk.a.seek, "b_seek": talk.b.seek, "a_ticket": talk.a.public_id, "b_ticket": talk.b.public_id,
        })
    };
    let rows = serde_json::Value::Array(talks.iter().map(row).collect());
    let (a_since, b_since): (Vec<_>, Vec<_>) = talks.iter().map(|talk| (talk.a.since, talk.b.since)).unzip();
    sqlx::query_scalar!(
        r#"INSERT INTO random_session (public_id, room_id, a, b, shared, b_shared, languages, relaxed, a_seek, b_seek,
                                       a_since, b_since, a_ticket, b_ticket, created_at)
           SELECT public_id, room_id, a, b, shared, b_shared, languages, relaxed, a_seek, b_seek,
                  ($2::timestamptz[])[place], ($3::timestamptz[])[place], a_ticket, b_ticket, $4
           FROM ROWS FROM (jsonb_to_recordset($1) AS (public_id uuid, room_id bigint, a bigint, b bigint, shared text[],
                b_shared text[], languages text[], relaxed boolean, a_seek jsonb, b_seek jsonb, a_ticket uuid,
                b_ticket uuid))
                WITH ORDINALITY AS t(public_id, room_id, a, b, shared, b_shared, languages, relaxed, a_seek, b_seek,
                                     a_ticket, b_ticket, place)
           RETURNING id AS "id: TalkId""#,
        rows,
        &a_since,
        &b_since,
        at
    )
    .fetch_all(tx)
    .await
}

/// Locks a talk and returns it as it is now. `None` if there is no such talk.
pub(in crate::matching) async fn lock(tx: &mut PgConnection, id: TalkId) -> Result<Option<Talk>> {
    let row = sqlx::query!(
        r#"SELECT r.public_id, r.room_id AS "room_id: RoomId", c.public_id AS room, r.a AS "a: VisitorId",
                  r.b AS "b: VisitorId", r.a_since, r.b_since, r.a_node, r.b_node,
                  r.a_seek AS "a_seek: Json<Seek>", r.b_seek AS "b_seek: Json<Seek>", r.a_away_since, r.b_away_since,
                  r.created_at, r.ended_at
           FROM random_session r JOIN chat_room c ON c.id = r.room_id WHERE r.id = $1 FOR UPDATE OF r"#,
        id as TalkId
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Talk {
        public_id: row.public_id,
        room_id: row.room_id,
        room: row.room,
        a: Side {
            visitor: row.a,
            seek: row.a_seek.0,
            since: row.a_since,
            node: row.a_node,
            away_since: row.a_away_since,
        },
        b: Side {
            visitor: row.b,
            seek: row.b_seek.0,
            since: row.b_since,
            node: row.b_node,
            away_since: row.b_away_since,
        },
        created_at: row.created_at,
        ended: row.ended_at.is_some(),
    }))
}

/// Stores the end of a talk. `ended_by` is the visitor that ended it, or `None` if a deadline
/// passed.
pub(in crate::matching) async fn end(
    tx: &mut PgConnection,
    id: TalkId,
    reason: EndReason,
    ended_by: Option<VisitorId>,
    at: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "UPDATE random_session SET ended_at = $2, reason = $3, ended_by = $4 WHERE id = $1",
        id as TalkId,
        at,
        reason.as_str(),
        ended_by as Option<VisitorId>
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns a visitor's talk by its public id, and what the visitor was looking for. `None` if there
/// is no such talk or it is not one of the visitor's.
pub(in crate::matching) async fn of_visitor(
    db: &PgPool,
    session: Uuid,
    visitor: VisitorId,
) -> Result<Option<(TalkId, Seek)>> {
    let row = sqlx::query!(
        r#"SELECT id AS "id: TalkId", CASE WHEN a = $2 THEN a_seek ELSE b_seek END AS "seek!: Json<Seek>"
           FROM random_session WHERE public_id = $1 AND $2 IN (a, b)"#,
        session,
        visitor as VisitorId
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.id, row.seek.0)))
}

/// Returns a visitor's talk by its room. `None` if the room is not a talk of the visitor's.
pub(in crate::matching) async fn of_room(db: &PgPool, room: RoomId, visitor: VisitorId) -> Result<Option<TalkId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: TalkId" FROM random_session WHERE room_id = $1 AND $2 IN (a, b)"#,
        room as RoomId,
        visitor as VisitorId
    )
    .fetch_optional(db)
    .await
}

/// Returns how a visitor's talk ended, and the visitor that ended it, by its room. `None` if it is
/// open or the room is not a talk of the visitor's.
pub(in crate::matching) async fn end_of_room(
    db: &PgPool,
    room: RoomId,
    visitor: VisitorId,
) -> Result<Option<(EndReason, Option<VisitorId>)>> {
    let row = sqlx::query!(
        r#"SELECT reason AS "reason!", ended_by AS "ended_by: VisitorId" FROM random_session
           WHERE room_id = $1 AND $2 IN (a, b) AND ended_at IS NOT NULL AND reason IS NOT NULL"#,
        room as RoomId,
        visitor as VisitorId
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (EndReason::of_str(&row.reason), row.ended_by)))
}

/// Returns the open talk between two visitors. `None` if there is none.
pub(in crate::matching) async fn open_between(db: &PgPool, one: VisitorId, other: VisitorId) -> Result<Option<TalkId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: TalkId" FROM random_session
           WHERE ended_at IS NULL AND ((a = $1 AND b = $2) OR (a = $2 AND b = $1))"#,
        one as VisitorId,
        other as VisitorId
    )
    .fetch_optional(db)
    .await
}

/// Returns the open talks of these visitors.
pub(in crate::matching) async fn open_of(db: &PgPool, visitors: &[VisitorId]) -> Result<Vec<TalkId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id!: TalkId" FROM random_session WHERE a = ANY($1) AND ended_at IS NULL
           UNION SELECT id FROM random_session WHERE b = ANY($1) AND ended_at IS NULL"#,
        visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await
}

/// Returns the open talk of each of these visitors that has one.
pub(in crate::matching) async fn open_by_visitor(
    db: &PgPool,
    visitors: Vec<VisitorId>,
) -> Result<HashMap<VisitorId, TalkId>> {
    let rows = sqlx::query!(
        r#"SELECT a AS "visitor!: VisitorId", id AS "id!: TalkId" FROM random_session
           WHERE a = ANY($1) AND ended_at IS NULL
           UNION ALL SELECT b, id FROM random_session WHERE b = ANY($1) AND ended_at IS NULL"#,
        &visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.visitor, row.id)).collect())
}

/// A talk as each side sees it.
pub(in crate::matching) struct TalkView {
    pub a: (VisitorId, Pairing),
    pub b: (VisitorId, Pairing),
    pub a_away_since: Option<OffsetDateTime>,
    pub b_away_since: Option<OffsetDateTime>,
}

/// Returns talks as each side sees them.
pub(in crate::matching) async fn views(db: &mut PgConnection, ids: &[TalkId]) -> Result<Vec<TalkView>> {
    let rows = sqlx::query!(
        r#"SELECT r.public_id, c.public_id AS room, r.a AS "a: VisitorId", r.b AS "b: VisitorId", r.shared,
                  coalesce(r.b_shared, r.shared) AS "b_shared!", r.languages, r.relaxed, r.a_away_since, r.b_away_since, p.public_id AS a_id, p.name AS a_name,
                  p.color AS a_color, p.animal AS a_animal, q.public_id AS b_id, q.name AS b_name, q.color AS b_color,
                  q.animal AS b_animal
           FROM random_session r JOIN chat_room c ON c.id = r.room_id
           JOIN membership p ON p.room_id = r.room_id AND p.visitor_id = r.a
           JOIN membership q ON q.room_id = r.room_id AND q.visitor_id = r.b
           WHERE r.id = ANY($1) ORDER BY r.id"#,
        ids as &[TalkId]
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let a = Own { id: row.a_id, name: row.a_name, color: row.a_color, animal: row.a_animal, slot: Slot::A };
            let b = Own { id: row.b_id, name: row.b_name, color: row.b_color, animal: row.b_animal, slot: Slot::B };
            let found = |you: &Own, other: &Own, shared: &[String]| Pairing {
                session: row.public_id,
                room: row.room,
                slot: you.slot,
                partner: Partner {
                    id: other.id,
                    name: other.name.clone(),
                    color: other.color.clone(),
                    animal: other.animal.clone(),
                },
                you: you.clone(),
                shared: shared.to_vec(),
                languages: row.languages.clone(),
                relaxed: row.relaxed,
            };
            TalkView {
                a: (row.a, found(&a, &b, &row.shared)),
                b: (row.b, found(&b, &a, &row.b_shared)),
                a_away_since: row.a_away_since,
                b_away_since: row.b_away_since,
            }
        })
        .collect())
}

/// A talk that a side has just entered.
pub(in crate::matching) struct Entered {
    pub id: TalkId,
    pub public_id: Uuid,
    pub partner: VisitorId,
    /// The side had been away.
    pub was_away: bool,
}

/// Records that a visitor's socket on a node is in the room of an open talk: the side has a node
/// and is not away. Returns `None` if the talk has ended or is not one of the visitor's.
pub(in crate::matching) async fn enter(
    db: &mut PgConnection,
    room: RoomId,
    visitor: VisitorId,
    node: Uuid,
) -> Result<Option<Entered>> {
    sqlx::query_as!(
        Entered,
        r#"UPDATE random_session r SET
              a_node = CASE WHEN r.a = $2 THEN $3 ELSE r.a_node END,
              b_node = CASE WHEN r.b = $2 THEN $3 ELSE r.b_node END,
              a_away_since = CASE WHEN r.a = $2 THEN NULL ELSE r.a_away_since END,
              b_away_since = CASE WHEN r.b = $2 THEN NULL ELSE r.b_away_since END
           FROM (SELECT id, a_away_since, b_away_since FROM random_session
                 WHERE room_id = $1 AND ended_at IS NULL AND $2 IN (a, b) FOR UPDATE) AS old
           WHERE r.id = old.id
           RETURNING r.id AS "id: TalkId", r.public_id,
                     CASE WHEN r.a = $2 THEN r.b ELSE r.a END AS "partner!: VisitorId",
                     (CASE WHEN r.a = $2 THEN old.a_away_since ELSE old.b_away_since END) IS NOT NULL AS "was_away!""#,
        room as RoomId,
        visitor as VisitorId,
        node
    )
    .fetch_optional(db)
    .await
}

/// A stored talk that has ended.
pub(in crate::matching) struct StoredEnd {
    pub id: TalkId,
    pub public_id: Uuid,
    pub room: Uuid,
    pub reason: EndReason,
    /// The visitor that ended it. `None` if a deadline passed.
    pub ended_by: Option<VisitorId>,
}

/// Returns which of these talks ended at or before `until`.
pub(in crate::matching) async fn ended_among(
    db: &PgPool,
    ids: &[TalkId],
    until: OffsetDateTime,
) -> Result<Vec<StoredEnd>> {
    let rows = sqlx::query!(
        r#"SELECT r.id AS "id: TalkId", r.public_id, c.public_id AS room, r.reason AS "reason!",
                  r.ended_by AS "ended_by: VisitorId"
           FROM random_session r JOIN chat_room c ON c.id = r.room_id
           WHERE r.id = ANY($1) AND r.ended_at <= $2 AND r.reason IS NOT NULL"#,
        ids as &[TalkId],
        until
    )
    .fetch_all(db)
    .await?;
    let ended = rows.into_iter().map(|row| {
        let reason = EndReason::of_str(&row.reason);
        StoredEnd { id: row.id, public_id: row.public_id, room: row.room, reason, ended_by: row.ended_by }
    });
    Ok(ended.collect())
}

/// Returns which of these talks are open and have a side that is away.
pub(in crate::matching) async fn with_side_away(db: &PgPool, ids: &[TalkId]) -> Result<Vec<SidesAway>> {
    sqlx::query_as!(
        SidesAway,
        r#"SELECT room_id AS "room_id: RoomId", CASE WHEN a_away_since IS NOT NULL THEN a END AS "a: VisitorId",
                  CASE WHEN b_away_since IS NOT NULL THEN b END AS "b: VisitorId"
           FROM random_session WHERE id = ANY($1) AND ended_at IS NULL
             AND (a_away_since IS NOT NULL OR b_away_since IS NOT NULL)"#,
        ids as &[TalkId]
    )
    .fetch_all(db)
    .await
}

/// The room of a talk and the visitors of its sides that are away.
pub(in crate::matching) struct SidesAway {
    pub room_id: RoomId,
    pub a: Option<VisitorId>,
    pub b: Option<VisitorId>,
}

/// A talk of which one or both sides have just been marked away.
pub(in crate::matching) struct MarkedAway {
    pub public_id: Uuid,
    pub a: VisitorId,
    pub b: VisitorId,
    pub a_marked: bool,
    pub b_marked: bool,
}

/// Marks the sides of visitors away if their last socket was on this node.
pub(in crate::matching) async fn mark_away(
    db: &PgPool,
    node: Uuid,
    visitors: &[VisitorId],
    at: OffsetDateTime,
) -> Result<Vec<MarkedAway>> {
    sqlx::query_as!(
        MarkedAway,
        r#"UPDATE random_session r SET
              a_away_since = CASE WHEN due.a THEN $3 ELSE r.a_away_since END,
              b_away_since = CASE WHEN due.b THEN $3 ELSE r.b_away_since END
           FROM (SELECT id, a = ANY($2) AND a_node = $1 AND a_away_since IS NULL AS a,
                        b = ANY($2) AND b_node = $1 AND b_away_since IS NULL AS b
                 FROM random_session
                 WHERE ended_at IS NULL AND ((a = ANY($2) AND a_node = $1 AND a_away_since IS NULL)
                                          OR (b = ANY($2) AND b_node = $1 AND b_away_since IS NULL))
                 ORDER BY id FOR UPDATE) AS due
           WHERE r.id = due.id
           RETURNING r.public_id, r.a AS "a: VisitorId", r.b AS "b: VisitorId",
                     coalesce(due.a, false) AS "a_marked!", coalesce(due.b, false) AS "b_marked!""#,
        node,
        visitors as &[VisitorId],
        at
    )
    .fetch_all(db)
    .await
}

/// Marks the sides away whose node's lease has expired.
pub(in crate::matching) async fn mark_orphaned_away(db: &PgPool, at: OffsetDateTime) -> Result<Vec<MarkedAway>> {
    sqlx::query_as!(
        MarkedAway,
        r#"WITH alive AS (SELECT node FROM node_lease WHERE seen_at > now() - make_interval(secs => $2))
           UPDATE random_session r SET
              a_away_since = CASE WHEN due.a THEN $1 ELSE r.a_away_since END,
              b_away_since = CASE WHEN due.b THEN $1 ELSE r.b_away_since END
           FROM (SELECT id, a_away_since IS NULL AND a_node NOT IN (SELECT node FROM alive) AS a,
                        b_away_since IS NULL AND b_node NOT IN (SELECT node FROM alive) AS b
                 FROM random_session
                 WHERE ended_at IS NULL AND ((a_away_since IS NULL AND a_node NOT IN (SELECT node FROM alive))
                                          OR (b_away_since IS NULL AND b_node NOT IN (SELECT node FROM alive)))
                 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED) AS due
           WHERE r.id = due.id
           RETURNING r.public_id, r.a AS "a: VisitorId", r.b AS "b: VisitorId",
                     coalesce(due.a, false) AS "a_marked!", coalesce(due.b, false) AS "b_marked!""#,
        at,
        LEASE_TIMEOUT_SECS,
        MAX_SWEEP_ROWS
    )
    .fetch_all(db)
    .await
}

/// Returns open talks whose deadline has passed: created at or before `created` with a side that
/// never entered, or with a side away since `away` or earlier.
pub(in crate::matching) async fn overdue(
    db: &PgPool,
    created: OffsetDateTime,
    away: OffsetDateTime,
) -> Result<Vec<TalkId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: TalkId" FROM random_session
           WHERE ended_at IS NULL AND ((created_at <= $1 AND (a_node IS NULL OR b_node IS NULL))
                                    OR a_away_since <= $2 OR b_away_since <= $2)
           ORDER BY id LIMIT $3"#,
        created,
        away,
        MAX_SWEEP_ROWS
    )
    .fetch_all(db)
    .await
}

/// Returns which of these tickets became a talk, open or ended, or were replaced by a ticket that
/// did.
pub(in crate::matching) async fn matched(
    db: &PgPool,
    visitors: &[VisitorId],
    tickets: &[Uuid],
    since: &[OffsetDateTime],
) -> Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT t.ticket AS "ticket!"
           FROM UNNEST($1::bigint[], $2::uuid[], $3::timestamptz[]) AS t(visitor, ticket, since)
           WHERE EXISTS (SELECT 1 FROM random_session r
                         WHERE r.a = t.visitor AND (r.a_ticket = t.ticket OR r.a_since > t.since))
              OR EXISTS (SELECT 1 FROM random_session r
                         WHERE r.b = t.visitor AND (r.b_ticket = t.ticket OR r.b_since > t.since))"#,
        visitors as &[VisitorId],
        tickets,
        since
    )
    .fetch_all(db)
    .await
}

/// Returns the waits before the latest talks since a time, in milliseconds: both sides of at most
/// 100 talks.
pub(in crate::matching) async fn recent_waits(db: &PgPool, since: OffsetDateTime) -> Result<Vec<i64>> {
    sqlx::query_scalar!(
        r#"SELECT (extract(epoch FROM s.created_at - side.since) * 1000)::bigint AS "ms!"
           FROM (SELECT created_at, a_since, b_since FROM random_session ORDER BY id DESC LIMIT 100) s
           CROSS JOIN LATERAL (VALUES (s.a_since), (s.b_since)) AS side(since)
           WHERE s.created_at > $1"#,
        since
    )
    .fetch_all(db)
    .await
}

/// Returns the pairs of visitors whose talk ended after a time, with the time of the end.
pub(in crate::matching) async fn recent_partners(
    db: &mut PgConnection,
    visitors: &[VisitorId],
    since: OffsetDateTime,
) -> Result<Vec<(VisitorId, VisitorId, OffsetDateTime)>> {
    let rows = sqlx::query!(
        r#"SELECT a AS "a!: VisitorId", b AS "b!: VisitorId", ended_at AS "ended_at!" FROM random_session
           WHERE a = ANY($1) AND ended_at > $2
           UNION ALL
           SELECT a, b, ended_at FROM random_session WHERE b = ANY($1) AND ended_at > $2"#,
        visitors as &[VisitorId],
        since
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.a, row.b, row.ended_at)).collect())
}
