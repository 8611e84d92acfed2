//! Rooms: all its SQL, and no rules.
mod log;

use std::collections::HashMap;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::model::{ChatRoom, Member, Naming, NewRoom, RoomKind, Sender, Slot};
use crate::faults::{self, Fault};
use crate::moderation::Restriction;

pub(super) use log::{
    Columns, Entries, Head, Known, Window, entries, heads, heads_past, insert, known, lock_heads, move_heads, rights,
    save_reads, strangers, write_entries,
};

/// A room, somebody's place in it and the version of its rights.
#[derive(Clone)]
pub(super) struct Standing {
    pub room: ChatRoom,
    pub member: Option<Member>,
    pub rights: i64,
    /// The fence's version in the same snapshot.
    pub fence: i64,
    /// What keeps the visitor from something, here or everywhere.
    pub restriction: Option<Restriction>,
}

/// A room by its public id, with the visitor's place in it.
pub(super) async fn standing(db: &mut PgConnection, room: Uuid, visitor: i64) -> Result<Option<Standing>, sqlx::Error> {
    Ok(standings(db, &[(room, visitor)]).await?.remove(&(room, visitor)))
}

/// Rooms by their public ids, each with a visitor's place in it. What is not there is left out.
pub(super) async fn standings(
    db: &mut PgConnection,
    asked: &[(Uuid, i64)],
) -> Result<HashMap<(Uuid, i64), Standing>, sqlx::Error> {
    let (rooms, visitors): (Vec<Uuid>, Vec<i64>) = asked.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"SELECT r.id, r.public_id, r.slug, r.kind, r.naming, r.title, r.topic, r.history, r.language, r.created_at,
                  r.closed_at, h.rights, m.public_id AS "member?", m.slot, m.role AS "role?",
                  m.color AS "color?", m.animal, m.name AS "name?", m.joined_seq AS "joined_seq?", m.left_at,
                  (SELECT version FROM fence) AS "fence!", restriction.kind AS restriction, restriction.in_room, restriction.ends_in_ms,
                  asked.visitor AS "visitor!"
           FROM UNNEST($1::uuid[], $2::bigint[]) AS asked(room, visitor)
           JOIN chat_room r ON r.public_id = asked.room JOIN room_head h ON h.room_id = r.id
           LEFT JOIN membership m ON m.room_id = r.id AND m.visitor_id = asked.visitor
           LEFT JOIN LATERAL active_restriction(asked.visitor, r.id) restriction ON true"#,
        &rooms,
        &visitors
    )
    .fetch_all(db)
    .await?;
    let standing = rows.into_iter().map(|row| {
        (
            (row.public_id, row.visitor),
            Standing {
                member: match (row.member, row.role, row.color, row.name, row.joined_seq) {
                    (Some(id), Some(role), Some(color), Some(name), Some(joined_seq)) => Some(Member {
                        visitor: row.visitor,
                        role,
                        joined_seq,
                        left: row.left_at.is_some(),
                        sender: Sender {
                            id,
                            name,
                            slot: row.slot.as_deref().map(Slot::of_str),
                            color,
                            animal: row.animal,
                        },
                    }),
                    _ => None,
                },
                room: ChatRoom {
                    id: row.id,
                    public_id: row.public_id,
                    slug: row.slug,
                    kind: RoomKind::of_str(&row.kind),
                    naming: naming(&row.naming),
                    title: row.title,
                    topic: row.topic,
                    history: row.history,
                    language: row.language,
                    created_at: row.created_at,
                    closed_at: row.closed_at,
                },
                rights: row.rights,
                fence: row.fence,
                restriction: Restriction::of(row.restriction.as_deref(), row.in_room, row.ends_in_ms),
            },
        )
    });
    Ok(standing.collect())
}

/// The public id behind a slug.
pub(super) async fn by_slug(db: &PgPool, slug: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("SELECT public_id FROM chat_room WHERE slug = $1", slug).fetch_optional(db).await
}

/// Makes a room with its head.
pub(super) async fn make_room(
    tx: &mut PgConnection,
    new: &NewRoom,
    slug: &str,
    owner: i64,
) -> Result<(i64, Uuid), sqlx::Error> {
    let public_id = Uuid::new_v4();
    let naming = if new.naming == Naming::Named { "named" } else { "anonymous" };
    let id = sqlx::query_scalar!(
        "INSERT INTO chat_room (public_id, slug, kind, naming, title, topic, history, language, owner_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
        public_id,
        slug,
        new.kind.as_str(),
        naming,
        new.title,
        new.topic,
        new.history,
        new.language,
        owner
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("INSERT INTO room_head (room_id) VALUES ($1)", id).execute(tx).await?;
    Ok((id, public_id))
}

/// A new place in a room.
pub(super) struct NewMembership<'a> {
    pub room: i64,
    pub visitor: i64,
    pub role: &'a str,
    pub color: &'a str,
    pub animal: Option<&'a str>,
    pub name: &'a str,
}

/// Gives a visitor a place, or the old one back, unless there is a ban or a kick. Answers what is in force against it.
pub(super) async fn join(
    db: &mut PgConnection,
    membership: &NewMembership<'_>,
) -> Result<Option<Restriction>, sqlx::Error> {
    let restriction = sqlx::query!(
        r#"SELECT kind, in_room, ends_in_ms FROM join_room($1, $2, $3, $4, $5, $6, $7)"#,
        membership.room,
        membership.visitor,
        Uuid::new_v4(),
        membership.role,
        membership.color,
        membership.animal,
        membership.name
    )
    .fetch_one(db)
    .await?;
    Ok(Restriction::of(restriction.kind.as_deref(), restriction.in_room, restriction.ends_in_ms))
}

/// A place that has ended, and the version of the room's rights since.
pub(super) struct Left {
    pub room_id: i64,
    pub public_id: Uuid,
    pub visitor_id: i64,
    pub rights: i64,
}

/// Ends places of `(room, visitor)` pairs, each pair given once; a room's rights rise by one for each in the same
/// transaction. Answers those that there were, a room's in the order of their rights. Talks are left out: they are ended.
///
/// One statement: thousands may leave in a second. The heads are locked first, in id order, as everybody does.
pub(super) async fn leave_places(
    db: &mut PgConnection,
    rooms: &[Uuid],
    visitors: &[i64],
) -> Result<Vec<Left>, sqlx::Error> {
    sqlx::query_as!(
        Left,
        r#"WITH head AS MATERIALIZED (
               SELECT h.room_id, r.public_id FROM chat_room r JOIN room_head h ON h.room_id = r.id
               WHERE r.public_id = ANY($1) AND r.kind <> 'talk' ORDER BY h.room_id FOR UPDATE OF h),
           gone AS (
               UPDATE membership m SET left_at = now()
               FROM head JOIN UNNEST($1::uuid[], $2::bigint[]) AS asked(room, visitor) ON asked.room = head.public_id
               WHERE m.room_id = head.room_id AND m.visitor_id = asked.visitor AND m.left_at IS NULL
               RETURNING m.room_id, head.public_id, m.visitor_id),
           risen AS (
               UPDATE room_head h SET rights = h.rights + many.places
               FROM (SELECT room_id, count(*) AS places FROM gone GROUP BY room_id) many
               WHERE h.room_id = many.room_id RETURNING h.room_id, h.rights)
           SELECT gone.room_id, gone.public_id, gone.visitor_id,
                  risen.rights + 1 - row_number() OVER (PARTITION BY gone.room_id) AS "rights!"
           FROM gone JOIN risen USING (room_id) ORDER BY 1, 4"#,
        rooms,
        visitors
    )
    .fetch_all(db)
    .await
}

/// Raises the rights of a room, and answers them: every batch that was prepared before is checked again.
pub(super) async fn bump_rights(tx: &mut PgConnection, room: i64) -> Result<i64, sqlx::Error> {
    if faults::on(Fault::RightsNotRaised) {
        return Ok(0);
    }
    sqlx::query_scalar!("UPDATE room_head SET rights = rights + 1 WHERE room_id = $1 RETURNING rights", room)
        .fetch_one(tx)
        .await
}

/// Rooms of two people, made by matching: a public id a room, and the other lists hold A and B of each room in turn.
#[derive(Default)]
pub(super) struct Talks {
    pub public_ids: Vec<Uuid>,
    pub visitors: Vec<i64>,
    pub slots: Vec<String>,
    pub colors: Vec<String>,
    pub animals: Vec<String>,
    pub names: Vec<String>,
}

/// Opens talks: rooms, heads and both memberships. Answers the rooms' inner ids, in order.
pub(super) async fn open_talks(tx: &mut PgConnection, talks: &Talks) -> Result<Vec<i64>, sqlx::Error> {
    let rows = sqlx::query!(
        "INSERT INTO chat_room (public_id, kind, naming, history)
         SELECT id, 'talk', 'anonymous', true FROM UNNEST($1::uuid[]) AS t(id) RETURNING id, public_id",
        &talks.public_ids
    )
    .fetch_all(&mut *tx)
    .await?;
    // RETURNING keeps no promised order.
    let ids: std::collections::HashMap<Uuid, i64> = rows.into_iter().map(|row| (row.public_id, row.id)).collect();
    let rooms: Vec<i64> = talks.public_ids.iter().filter_map(|id| ids.get(id).copied()).collect();
    sqlx::query!("INSERT INTO room_head (room_id) SELECT * FROM UNNEST($1::bigint[])", &rooms)
        .execute(&mut *tx)
        .await?;
    let both: Vec<i64> = rooms.iter().flat_map(|room| [*room, *room]).collect();
    let mut member_ids: Vec<Uuid> = both.iter().map(|_| Uuid::new_v4()).collect();
    if faults::on(Fault::SameIdInAllRooms) {
        member_ids = talks.visitors.iter().map(|visitor| Uuid::from_u64_pair(0, visitor.unsigned_abs())).collect();
    }
    sqlx::query!(
        "INSERT INTO membership (room_id, visitor_id, public_id, slot, color, animal, name)
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])",
        &both,
        &talks.visitors,
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

/// Closes a room and ends every place in it; its rights rise. False: it was closed already.
pub(super) async fn close(tx: &mut PgConnection, room: i64) -> Result<bool, sqlx::Error> {
    bump_rights(tx, room).await?;
    let closed = sqlx::query!("UPDATE chat_room SET closed_at = now() WHERE id = $1 AND closed_at IS NULL", room)
        .execute(&mut *tx)
        .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("UPDATE membership SET left_at = now() WHERE room_id = $1 AND left_at IS NULL", room)
        .execute(tx)
        .await?;
    Ok(true)
}

/// Public rooms and the visitor's own, newest first, below a cursor.
pub(super) async fn listed(
    db: &PgPool,
    visitor: i64,
    search: Option<&str>,
    by_name: bool,
    cursor: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ChatRoom>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT r.id, r.public_id, r.slug, r.kind, r.naming, r.title, r.topic, r.history, r.language, r.created_at
           FROM chat_room r LEFT JOIN chat_room last ON last.public_id = $4
           WHERE r.closed_at IS NULL AND r.kind <> 'talk'
             AND (r.kind = 'public' OR EXISTS (SELECT 1 FROM membership m
                  WHERE m.room_id = r.id AND m.visitor_id = $1 AND m.left_at IS NULL))
             AND ($2::text IS NULL OR r.title ILIKE $2 ESCAPE '\' OR r.topic ILIKE $2 ESCAPE '\')
             AND ($4::uuid IS NULL OR CASE WHEN $3 THEN (lower(r.title), -r.id) > (lower(last.title), -last.id)
                                           ELSE r.id < last.id END)
           ORDER BY CASE WHEN $3 THEN lower(r.title) END, r.id DESC LIMIT $5"#,
        visitor,
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
            naming: naming(&row.naming),
            title: row.title,
            topic: row.topic,
            history: row.history,
            language: row.language,
            created_at: row.created_at,
            closed_at: None,
        })
        .collect())
}

/// Which of these entries there are above `after`, each with its author, in seq order.
pub(super) async fn authors(
    tx: &mut PgConnection,
    room: i64,
    seqs: &[i64],
    after: i64,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT seq, sender_id FROM message WHERE room_id = $1 AND seq = ANY($2) AND seq > $3 ORDER BY seq",
        room,
        seqs,
        after
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.seq, row.sender_id)).collect())
}

/// What a report freezes.
pub(super) struct Frozen<'a> {
    /// Chosen entries: they come first where there is not room for all.
    pub seqs: &'a [i64],
    /// How many of the newest ones go with them.
    pub newest: i64,
    /// Only entries above this one.
    pub after: i64,
    /// Bytes at most; one entry is kept whatever its size.
    pub bytes: i64,
}

/// The entries of a report as they are now, in seq order, each with the inner id of its author: a JSON list.
pub(super) async fn freeze(
    tx: &mut PgConnection,
    room: i64,
    frozen: &Frozen<'_>,
) -> Result<Box<RawValue>, sqlx::Error> {
    let Json(evidence) = sqlx::query_scalar!(
        r#"SELECT coalesce(jsonb_agg(entry ORDER BY seq), '[]') AS "evidence!: Json<Box<RawValue>>" FROM (
               SELECT seq, entry, row_number() OVER walk AS nth, sum(octet_length(entry::text)) OVER walk AS bytes
               FROM (
                   SELECT m.seq, jsonb_build_object('seq', m.seq, 'sender', m.sender_id, 'member', p.public_id, 'name',
                          p.name, 'payload', m.payload, 'at', m.created_at, 'deleted_at', m.deleted_at) AS entry
                   FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
                   WHERE m.room_id = $1 AND m.seq > $4 AND m.seq = ANY(
                      $2::bigint[] || ARRAY(SELECT seq FROM message WHERE room_id = $1 ORDER BY seq DESC LIMIT $3))
                   OFFSET 0
               ) entries WINDOW walk AS (ORDER BY seq = ANY($2) DESC, seq DESC ROWS UNBOUNDED PRECEDING)
           ) counted WHERE nth = 1 OR bytes <= $5"#,
        room,
        frozen.seqs,
        frozen.newest,
        frozen.after,
        frozen.bytes
    )
    .fetch_one(tx)
    .await?;
    Ok(evidence)
}

/// The visitor behind a member's public id.
pub(super) async fn visitor_of(tx: &mut PgConnection, room: i64, member: Uuid) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT visitor_id FROM membership WHERE room_id = $1 AND public_id = $2", room, member)
        .fetch_optional(tx)
        .await
}

/// Deletes a batch of talks that ended more than a day ago, logs and all. Evidence under a report is kept apart.
pub(super) async fn delete_old_talks(db: &PgPool) -> Result<u64, sqlx::Error> {
    let mut tx = db.begin().await?;
    let rooms = sqlx::query_scalar!(
        "SELECT id FROM chat_room WHERE kind = 'talk' AND closed_at < now() - interval '24 hours'
         ORDER BY closed_at LIMIT 200 FOR UPDATE SKIP LOCKED"
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM message WHERE room_id = ANY($1)", &rooms).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM chat_room WHERE id = ANY($1)", &rooms).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(rooms.len() as u64)
}

fn naming(text: &str) -> Naming {
    if text == "named" { Naming::Named } else { Naming::Anonymous }
}
