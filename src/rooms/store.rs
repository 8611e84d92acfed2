//! Rooms: all its SQL, and no rules.
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{ChatRoom, Kind, Member, Message, Naming, NewRoom, Sender, Slot};
use crate::app::stamp;

/// A room, somebody's place in it and the version of its rights.
pub(super) struct Standing {
    pub room: ChatRoom,
    pub member: Option<Member>,
    pub rights: i64,
    pub head: i64,
}

/// A room by its public id, with the visitor's place in it.
pub(super) async fn standing(
    db: &mut PgConnection,
    room: Uuid,
    visitor: i64,
) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT r.id, r.public_id, r.slug, r.kind, r.naming, r.title, r.topic, r.history, r.language, r.created_at,
                  r.closed_at, h.seq, h.rights, m.public_id AS "member?", m.slot, m.role AS "role?",
                  m.color AS "color?", m.animal, m.name AS "name?", m.joined_seq AS "joined_seq?", m.left_at
           FROM chat_room r JOIN room_head h ON h.room_id = r.id
           LEFT JOIN membership m ON m.room_id = r.id AND m.visitor_id = $2
           WHERE r.public_id = $1"#,
        room,
        visitor
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing {
        member: match (row.member, row.role, row.color, row.name, row.joined_seq) {
            (Some(id), Some(role), Some(color), Some(name), Some(joined_seq)) => Some(Member {
                visitor,
                role,
                joined_seq,
                left: row.left_at.is_some(),
                sender: Sender { id, name, slot: row.slot.as_deref().map(Slot::of_str), color, animal: row.animal },
            }),
            _ => None,
        },
        room: ChatRoom {
            id: row.id,
            public_id: row.public_id,
            slug: row.slug,
            kind: Kind::of_str(&row.kind),
            naming: naming(&row.naming),
            title: row.title,
            topic: row.topic,
            history: row.history,
            language: row.language,
            created_at: row.created_at,
            closed_at: row.closed_at,
        },
        rights: row.rights,
        head: row.seq,
    }))
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
pub(super) struct Place<'a> {
    pub room: i64,
    pub visitor: i64,
    pub role: &'a str,
    pub color: &'a str,
    pub animal: Option<&'a str>,
    pub name: &'a str,
}

/// Gives a visitor a place, or the old one back. The head's row is locked, so that `joined_seq` is exact.
pub(super) async fn take_place(tx: &mut PgConnection, place: &Place<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT seq FROM room_head WHERE room_id = $1 FOR UPDATE", place.room).fetch_one(&mut *tx).await?;
    sqlx::query!(
        "INSERT INTO membership (room_id, visitor_id, public_id, role, color, animal, name, joined_seq)
         SELECT $1, $2, $3, $4, $5, $6, $7, seq FROM room_head WHERE room_id = $1
         ON CONFLICT ON CONSTRAINT membership_pk DO UPDATE SET left_at = NULL, joined_at = now(),
            joined_seq = excluded.joined_seq",
        place.room,
        place.visitor,
        Uuid::new_v4(),
        place.role,
        place.color,
        place.animal,
        place.name
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Ends a visitor's place; the room's rights rise in the same transaction. False: there was none.
pub(super) async fn leave_place(tx: &mut PgConnection, room: i64, visitor: i64) -> Result<bool, sqlx::Error> {
    bump_rights(tx, &[room]).await?;
    let left = sqlx::query!(
        "UPDATE membership SET left_at = now() WHERE room_id = $1 AND visitor_id = $2 AND left_at IS NULL",
        room,
        visitor
    )
    .execute(tx)
    .await?;
    Ok(left.rows_affected() == 1)
}

/// Raises the rights of rooms: every batch that was prepared before is checked again. Locks in id order, as writers do.
pub(super) async fn bump_rights(tx: &mut PgConnection, rooms: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT room_id FROM room_head WHERE room_id = ANY($1) ORDER BY room_id FOR UPDATE", rooms)
        .fetch_all(&mut *tx)
        .await?;
    sqlx::query!("UPDATE room_head SET rights = rights + 1 WHERE room_id = ANY($1)", rooms).execute(tx).await?;
    Ok(())
}

/// Rooms of two people, made by matching. All lists have one length; `slot_*` are both sides of each room.
pub(super) struct Talks<'a> {
    pub public_ids: &'a [Uuid],
    pub visitors: &'a [i64],
    pub slots: &'a [String],
    pub colors: &'a [String],
    pub animals: &'a [String],
    pub names: &'a [String],
}

/// Opens talks: rooms, heads and both memberships. `visitors` and the lists after it hold A and B of each room in turn.
pub(super) async fn open_talks(tx: &mut PgConnection, talks: &Talks<'_>) -> Result<Vec<i64>, sqlx::Error> {
    let rows = sqlx::query!(
        "INSERT INTO chat_room (public_id, kind, naming, history)
         SELECT id, 'talk', 'anonymous', true FROM UNNEST($1::uuid[]) AS t(id) RETURNING id, public_id",
        talks.public_ids
    )
    .fetch_all(&mut *tx)
    .await?;
    // RETURNING keeps no promised order.
    let ids: std::collections::HashMap<Uuid, i64> = rows.into_iter().map(|row| (row.public_id, row.id)).collect();
    let rooms: Vec<i64> = talks.public_ids.iter().filter_map(|id| ids.get(id).copied()).collect();
    sqlx::query!("INSERT INTO room_head (room_id) SELECT * FROM UNNEST($1::bigint[])", &rooms).execute(&mut *tx).await?;
    let both: Vec<i64> = rooms.iter().flat_map(|room| [*room, *room]).collect();
    let member_ids: Vec<Uuid> = both.iter().map(|_| Uuid::new_v4()).collect();
    sqlx::query!(
        "INSERT INTO membership (room_id, visitor_id, public_id, slot, color, animal, name)
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])",
        &both,
        talks.visitors,
        &member_ids,
        talks.slots,
        talks.colors,
        talks.animals,
        talks.names
    )
    .execute(tx)
    .await?;
    Ok(rooms)
}

/// Closes a room and ends every place in it; its rights rise. False: it was closed already.
pub(super) async fn close(tx: &mut PgConnection, room: i64) -> Result<bool, sqlx::Error> {
    bump_rights(tx, &[room]).await?;
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

/// A head as a batch sees it under its lock.
pub(super) struct Head {
    pub room_id: i64,
    pub seq: i64,
    pub rights: i64,
    pub now: OffsetDateTime,
}

/// Locks the heads of a batch, in id order.
pub(super) async fn lock_heads(tx: &mut PgConnection, rooms: &[i64]) -> Result<Vec<Head>, sqlx::Error> {
    sqlx::query_as!(
        Head,
        r#"SELECT room_id, seq, rights, clock_timestamp() AS "now!" FROM room_head
           WHERE room_id = ANY($1) ORDER BY room_id FOR UPDATE"#,
        rooms
    )
    .fetch_all(tx)
    .await
}

/// Whether a place allows writing, as committed now.
pub(super) struct Right {
    pub room_id: i64,
    pub visitor_id: i64,
    pub member: bool,
    pub closed: bool,
}

/// Reads the rights of `(room, visitor)` pairs.
pub(super) async fn rights(
    tx: &mut PgConnection,
    rooms: &[i64],
    visitors: &[i64],
) -> Result<Vec<Right>, sqlx::Error> {
    sqlx::query_as!(
        Right,
        r#"SELECT m.room_id, m.visitor_id, (m.left_at IS NULL OR m.slot IS NOT NULL) AS "member!",
                  (r.closed_at IS NOT NULL) AS "closed!"
           FROM UNNEST($1::bigint[], $2::bigint[]) AS asked(room, visitor)
           JOIN membership m ON m.room_id = asked.room AND m.visitor_id = asked.visitor
           JOIN chat_room r ON r.id = m.room_id"#,
        rooms,
        visitors
    )
    .fetch_all(tx)
    .await
}

/// Numbered entries, column by column.
#[derive(Default)]
pub(super) struct Entries {
    pub rooms: Vec<i64>,
    pub seqs: Vec<i64>,
    pub client_ids: Vec<Uuid>,
    pub senders: Vec<i64>,
    pub replies: Vec<Option<i64>>,
    pub payloads: Vec<String>,
    pub prefixes: Vec<Vec<u8>>,
}

/// Inserts a batch.
pub(super) async fn insert(tx: &mut PgConnection, batch: &Entries, at: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO message (room_id, seq, client_id, sender_id, reply_to, payload, created_at, prefix_hash)
         SELECT room, seq, client, sender, reply, payload::jsonb, $8, prefix
         FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[])
              AS t(room, seq, client, sender, reply, payload, prefix)",
        &batch.rooms,
        &batch.seqs,
        &batch.client_ids,
        &batch.senders,
        &batch.replies as &[Option<i64>],
        &batch.payloads,
        &batch.prefixes,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves heads to their new seq.
pub(super) async fn move_heads(tx: &mut PgConnection, rooms: &[i64], seqs: &[i64]) -> Result<(), sqlx::Error> {
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
pub(super) struct Known {
    pub room_id: i64,
    pub client_id: Uuid,
    pub sender_id: i64,
    pub verb: String,
    pub seq: i64,
    pub created_at: OffsetDateTime,
}

/// Which of these client ids are stored.
pub(super) async fn known(
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

/// A window of a log: entries above `after` and below `before`.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub after: i64,
    pub before: i64,
    pub limit: i64,
    /// From the newest end backwards.
    pub newest: bool,
}

/// Entries of a room's log, in seq order.
pub(super) async fn entries(db: &PgPool, room: &ChatRoom, window: Window) -> Result<Vec<Message>, sqlx::Error> {
    // Two statements rather than one with a CASE: each walks the primary key in its own direction.
    let mut rows = if window.newest {
        sqlx::query_as!(
            Row,
            r#"SELECT m.seq, m.client_id, m.payload AS "payload: Json<Box<RawValue>>", m.reply_to, m.created_at,
                      m.edited_at, m.deleted_at, p.public_id, p.name, p.slot, p.color, p.animal
               FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
               WHERE m.room_id = $1 AND m.seq > $2 AND m.seq < $3 ORDER BY m.seq DESC LIMIT $4"#,
            room.id,
            window.after,
            window.before,
            window.limit
        )
        .fetch_all(db)
        .await?
    } else {
        sqlx::query_as!(
            Row,
            r#"SELECT m.seq, m.client_id, m.payload AS "payload: Json<Box<RawValue>>", m.reply_to, m.created_at,
                      m.edited_at, m.deleted_at, p.public_id, p.name, p.slot, p.color, p.animal
               FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
               WHERE m.room_id = $1 AND m.seq > $2 AND m.seq < $3 ORDER BY m.seq LIMIT $4"#,
            room.id,
            window.after,
            window.before,
            window.limit
        )
        .fetch_all(db)
        .await?
    };
    if window.newest {
        rows.reverse();
    }
    Ok(rows.into_iter().map(|row| row.into_message(room.public_id)).collect())
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
            at: stamp(self.created_at),
            edited_at: self.edited_at.map(stamp),
            deleted: self.deleted_at.is_some(),
        }
    }
}

/// The heads of rooms that have moved past what is known here.
pub(super) async fn heads_past(db: &PgPool, rooms: &[i64], known: &[i64]) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT h.room_id, h.seq FROM UNNEST($1::bigint[], $2::bigint[]) AS t(room, known)
         JOIN room_head h ON h.room_id = t.room WHERE h.seq > t.known",
        rooms,
        known
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room_id, row.seq)).collect())
}

/// The head of one room.
pub(super) async fn head(db: &PgPool, room: i64) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT seq FROM room_head WHERE room_id = $1", room).fetch_optional(db).await
}

/// Writes how far people have read; never backwards, never past the head.
pub(super) async fn save_reads(
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

/// Public rooms and the visitor's own, newest first, below a cursor.
pub(super) async fn listed(
    db: &PgPool,
    visitor: i64,
    search: Option<&str>,
    by_name: bool,
    cursor: Option<(i64, &str)>,
    limit: i64,
) -> Result<Vec<(i64, ChatRoom)>, sqlx::Error> {
    let (below, name) = cursor.unwrap_or((i64::MAX, ""));
    let rows = sqlx::query!(
        r#"SELECT id, public_id, slug, kind, naming, title, topic, history, language, created_at FROM chat_room r
           WHERE closed_at IS NULL AND kind <> 'talk'
             AND (kind = 'public' OR EXISTS (SELECT 1 FROM membership m
                  WHERE m.room_id = r.id AND m.visitor_id = $1 AND m.left_at IS NULL))
             AND ($2::text IS NULL OR title ILIKE $2 ESCAPE '\' OR topic ILIKE $2 ESCAPE '\')
             AND CASE WHEN $3 THEN (lower(title), -id) > (lower($5::text), -$4::bigint) ELSE id < $4 END
           ORDER BY CASE WHEN $3 THEN lower(title) END, id DESC LIMIT $6"#,
        visitor,
        search,
        by_name,
        below,
        name,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let room = ChatRoom {
                id: row.id,
                public_id: row.public_id,
                slug: row.slug,
                kind: Kind::of_str(&row.kind),
                naming: naming(&row.naming),
                title: row.title,
                topic: row.topic,
                history: row.history,
                language: row.language,
                created_at: row.created_at,
                closed_at: None,
            };
            (row.id, room)
        })
        .collect())
}

/// What a report freezes: the entries as they are now, each with the inner id of its author.
pub(super) async fn freeze(
    tx: &mut PgConnection,
    room: i64,
    seqs: &[i64],
    newest: i64,
) -> Result<serde_json::Value, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"SELECT jsonb_build_object('seq', m.seq, 'sender', m.sender_id, 'member', p.public_id, 'name', p.name,
                  'payload', m.payload, 'at', m.created_at, 'deleted_at', m.deleted_at) AS "entry!"
           FROM message m JOIN membership p ON p.room_id = m.room_id AND p.visitor_id = m.sender_id
           WHERE m.room_id = $1 AND (m.seq = ANY($2)
              OR m.seq IN (SELECT seq FROM message WHERE room_id = $1 ORDER BY seq DESC LIMIT $3))
           ORDER BY m.seq"#,
        room,
        seqs,
        newest
    )
    .fetch_all(tx)
    .await?;
    Ok(serde_json::Value::Array(rows))
}

/// The visitor behind a member's public id.
pub(super) async fn visitor_of(
    tx: &mut PgConnection,
    room: i64,
    member: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
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
