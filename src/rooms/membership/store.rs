//! Membership: all its SQL, and no rules.
use std::collections::HashMap;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::db::fence;
use crate::faults::{self, Fault};
use crate::ids::{FenceVersion, RightsVersion, RoomId, Seq, SessionEpoch, VisitorId};
use crate::moderation::Restriction;
use crate::rooms::model::{ChatRoom, Member, Naming, RoomKind, Sender, Slot};

/// A room, and what a visitor is and may do in it.
#[derive(Clone)]
pub(in crate::rooms) struct RoomAccess {
    pub room: ChatRoom,
    pub member: Option<Member>,
    pub rights: RightsVersion,
    /// The version of the fence in the same snapshot.
    pub fence: FenceVersion,
    /// The restriction in force against the visitor, in this room or everywhere.
    pub restriction: Option<Restriction>,
    /// The epoch of the visitor's account in the same snapshot. `None` for a guest, and for an
    /// account that is deactivated: no session of it is live.
    pub epoch: Option<SessionEpoch>,
}

/// Reads a room by its public id, and the visitor's access to it. `None` if there is no such room.
pub(in crate::rooms) async fn access_in(
    db: &mut PgConnection,
    room: Uuid,
    visitor: VisitorId,
) -> Result<Option<RoomAccess>, sqlx::Error> {
    Ok(accesses(db, &[(room, visitor)]).await?.remove(&(room, visitor)))
}

/// Reads rooms by their public ids, each with a visitor's access to it. Rooms that do not exist are
/// left out.
pub(super) async fn accesses(
    db: &mut PgConnection,
    wanted: &[(Uuid, VisitorId)],
) -> Result<HashMap<(Uuid, VisitorId), RoomAccess>, sqlx::Error> {
    let (rooms, visitors): (Vec<Uuid>, Vec<VisitorId>) = wanted.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"SELECT r.id AS "id: RoomId", r.public_id, r.slug, r.kind, r.naming, r.title, r.topic, r.history,
                  r.language, r.created_at, r.closed_at, h.rights AS "rights: RightsVersion", m.public_id AS "member?",
                  m.slot, m.role AS "role?", m.color AS "color?", m.animal, m.name AS "name?",
                  m.joined_seq AS "joined_seq?: Seq", m.left_at,
                  (SELECT version FROM fence) AS "fence!: FenceVersion", restriction.kind AS restriction,
                  restriction.in_room, restriction.ends_in_ms, asked.visitor AS "visitor!: VisitorId",
                  CASE WHEN a.status = 'active' THEN a.session_epoch END AS "epoch: SessionEpoch"
           FROM UNNEST($1::uuid[], $2::bigint[]) AS asked(room, visitor)
           JOIN chat_room r ON r.public_id = asked.room JOIN room_head h ON h.room_id = r.id
           LEFT JOIN membership m ON m.room_id = r.id AND m.visitor_id = asked.visitor
           LEFT JOIN account a ON a.visitor_id = asked.visitor
           LEFT JOIN LATERAL active_restriction(asked.visitor, r.id) restriction ON true"#,
        &rooms,
        &visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await?;
    let accesses = rows.into_iter().map(|row| {
        (
            (row.public_id, row.visitor),
            RoomAccess {
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
                    naming: Naming::of_str(&row.naming),
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
                epoch: row.epoch,
            },
        )
    });
    Ok(accesses.collect())
}

/// A member to add to a room.
pub(super) struct NewMember<'a> {
    pub room: RoomId,
    pub visitor: VisitorId,
    /// The epoch of the visitor's session. `None` for a guest.
    pub epoch: Option<SessionEpoch>,
    pub role: &'a str,
    pub color: &'a str,
    pub animal: Option<&'a str>,
    pub name: &'a str,
}

/// What came of adding a member.
pub(super) enum Added {
    /// The session has ended: nobody was added.
    SessionEnded,
    /// With the restriction in force. A ban or a kick means that nobody was added.
    Member(Option<Restriction>),
}

/// Adds a member, or takes a former member in again, unless the session has ended or a ban or a kick
/// is in force. None of this can change before the transaction ends.
pub(super) async fn add_member(db: &mut PgConnection, new: &NewMember<'_>) -> Result<Added, sqlx::Error> {
    let added = sqlx::query!(
        r#"SELECT ended AS "ended!", kind, in_room, ends_in_ms FROM join_room($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        fence::LOCK_KEY,
        new.epoch as Option<SessionEpoch>,
        new.room as RoomId,
        new.visitor as VisitorId,
        Uuid::new_v4(),
        new.role,
        new.color,
        new.animal,
        new.name
    )
    .fetch_one(db)
    .await?;
    if added.ended {
        return Ok(Added::SessionEnded);
    }
    Ok(Added::Member(Restriction::of(added.kind.as_deref(), added.in_room, added.ends_in_ms)))
}

/// A membership that has ended.
pub(super) struct Left {
    pub room_id: RoomId,
    pub public_id: Uuid,
    pub visitor_id: VisitorId,
    /// The version of the room's rights that this end made.
    pub rights: RightsVersion,
}

/// Ends the memberships of `(room, visitor)` pairs, each pair given once. The version of a room's
/// rights rises by one for each, in the same transaction. Returns the memberships that there were,
/// a room's in the order of their versions. Talks are left out: matching ends them.
///
/// One statement, because thousands can leave in a second. It locks the heads first, in the order
/// of their ids, as every writer does.
pub(super) async fn leave(
    db: &mut PgConnection,
    rooms: &[Uuid],
    visitors: &[VisitorId],
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
           SELECT gone.room_id AS "room_id: RoomId", gone.public_id, gone.visitor_id AS "visitor_id: VisitorId",
                  risen.rights + 1 - row_number() OVER (PARTITION BY gone.room_id) AS "rights!: RightsVersion"
           FROM gone JOIN risen USING (room_id) ORDER BY 1, 4"#,
        rooms,
        visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await
}

/// Raises the version of a room's rights and returns it. Every batch that was prepared before is
/// authorised again.
pub(in crate::rooms) async fn raise_rights(tx: &mut PgConnection, room: RoomId) -> Result<RightsVersion, sqlx::Error> {
    if faults::on(Fault::RightsNotRaised) {
        return Ok(RightsVersion(0));
    }
    sqlx::query_scalar!(
        r#"UPDATE room_head SET rights = rights + 1 WHERE room_id = $1 RETURNING rights AS "rights: RightsVersion""#,
        room as RoomId
    )
    .fetch_one(tx)
    .await
}

/// Returns those of the `(room, visitor)` pairs that have no membership, or no longer one, that
/// lets them read.
pub(in crate::rooms) async fn without_access(
    db: &PgPool,
    rooms: &[RoomId],
    visitors: &[VisitorId],
) -> Result<Vec<(RoomId, VisitorId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.room AS "room!: RoomId", asked.visitor AS "visitor!: VisitorId"
           FROM UNNEST($1::bigint[], $2::bigint[]) AS asked(room, visitor)
           LEFT JOIN membership m ON m.room_id = asked.room AND m.visitor_id = asked.visitor
           LEFT JOIN LATERAL active_restriction(asked.visitor, asked.room) restriction ON true
           WHERE m.room_id IS NULL OR (m.left_at IS NOT NULL AND m.slot IS NULL) OR restriction.kind = 'ban'"#,
        rooms as &[RoomId],
        visitors as &[VisitorId]
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room, row.visitor)).collect())
}

/// Returns the visitor behind a member's public id.
pub(in crate::rooms) async fn visitor_of(
    tx: &mut PgConnection,
    room: RoomId,
    member: Uuid,
) -> Result<Option<VisitorId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT visitor_id AS "visitor_id: VisitorId" FROM membership WHERE room_id = $1 AND public_id = $2"#,
        room as RoomId,
        member
    )
    .fetch_optional(tx)
    .await
}
