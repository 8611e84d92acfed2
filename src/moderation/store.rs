//! Moderation: all its SQL.
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::NewReport;
use super::model::{Blocked, NewSanction, Restriction, SanctionKind, StoredSanction};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};

/// Stores what a report is about. Returns `false` if the same visitor reported all of it before;
/// then nothing is stored.
pub(super) async fn insert_subjects(
    tx: &mut PgConnection,
    reporter: VisitorId,
    room: RoomId,
    about: &[Seq],
    report: Uuid,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO report_subject (reporter_id, room_id, seq, report_id)
         SELECT $1, $2, seq, $4 FROM UNNEST($3::bigint[]) AS t(seq) ORDER BY seq
         ON CONFLICT ON CONSTRAINT report_subject_pk DO NOTHING",
        reporter as VisitorId,
        room as RoomId,
        about as &[Seq],
        report
    )
    .execute(tx)
    .await?;
    Ok(stored.rows_affected() > 0)
}

/// Returns the public id of the reporter's earlier report about the first of these entries that has
/// one, `None` if there is none.
pub(super) async fn find_report_about(
    tx: &mut PgConnection,
    reporter: VisitorId,
    room: RoomId,
    about: &[Seq],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT report_id FROM report_subject WHERE reporter_id = $1 AND room_id = $2 AND seq = ANY($3) ORDER BY seq LIMIT 1",
        reporter as VisitorId,
        room as RoomId,
        about as &[Seq]
    )
    .fetch_optional(tx)
    .await
}

/// Stores a report with its evidence.
pub(super) async fn insert_report(tx: &mut PgConnection, report: &NewReport<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO report (public_id, room_id, reporter_id, reported_id, reason, note, evidence)
         VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)",
        report.id,
        report.room as RoomId,
        report.reporter as VisitorId,
        report.reported as VisitorId,
        report.reason.as_str(),
        report.note,
        report.evidence.get()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores a block by one visitor, the smaller id first, with the name that the other one had in the
/// room. The other one can have a block of its own.
pub(super) async fn insert_block(
    tx: &mut PgConnection,
    blocker: VisitorId,
    other: VisitorId,
    room: RoomId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO visitor_block (low, high, blocker_id, color, animal, name)
         SELECT least($1::bigint, $2), greatest($1::bigint, $2), $1, m.color, m.animal, m.name
         FROM (VALUES ($2::bigint)) other (id) LEFT JOIN membership m ON m.room_id = $3 AND m.visitor_id = other.id
         ON CONFLICT ON CONSTRAINT visitor_block_pk DO NOTHING",
        blocker as VisitorId,
        other as VisitorId,
        room as RoomId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes the block by one visitor of another.
pub(super) async fn delete_block(
    tx: &mut PgConnection,
    blocker: VisitorId,
    other: VisitorId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM visitor_block
         WHERE low = least($1::bigint, $2) AND high = greatest($1::bigint, $2) AND blocker_id = $1",
        blocker as VisitorId,
        other as VisitorId
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the newest blocks by a visitor.
pub(super) async fn blocks_by(db: &PgPool, blocker: VisitorId, limit: i64) -> Result<Vec<Blocked>, sqlx::Error> {
    sqlx::query_as!(
        Blocked,
        "SELECT public_id AS id, color, animal, name, created_at AS at FROM visitor_block WHERE blocker_id = $1
         ORDER BY created_at DESC, public_id LIMIT $2",
        blocker as VisitorId,
        limit
    )
    .fetch_all(db)
    .await
}

/// Deletes a block by its public id if the visitor made it. Returns `false` if there is none.
pub(super) async fn delete_own_block(
    tx: &mut PgConnection,
    blocker: VisitorId,
    block: Uuid,
) -> Result<bool, sqlx::Error> {
    let deleted =
        sqlx::query!("DELETE FROM visitor_block WHERE public_id = $2 AND blocker_id = $1", blocker as VisitorId, block)
            .execute(tx)
            .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Returns the blocks between two visitors of a set, each as `(smaller id, larger id)`.
pub(super) async fn blocks_among(
    tx: &mut PgConnection,
    visitors: &[VisitorId],
) -> Result<Vec<(VisitorId, VisitorId)>, sqlx::Error> {
    if faults::on(Fault::BlocksNotRead) {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"SELECT DISTINCT low AS "low: VisitorId", high AS "high: VisitorId" FROM visitor_block
           WHERE low = ANY($1) AND high = ANY($1)"#,
        visitors as &[VisitorId]
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.low, row.high)).collect())
}

/// Stores a sanction. It holds everywhere if `room` is `None`.
pub(super) async fn insert_sanction(
    tx: &mut PgConnection,
    kind: SanctionKind,
    room: Option<RoomId>,
    new: &NewSanction<'_>,
) -> Result<StoredSanction, sqlx::Error> {
    sqlx::query_as!(
        StoredSanction,
        "INSERT INTO sanction (public_id, visitor_id, room_id, kind, reason, author_id, until)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) RETURNING public_id, until",
        Uuid::new_v4(),
        new.visitor as VisitorId,
        room as Option<RoomId>,
        kind.as_str(),
        new.reason,
        new.author as Option<VisitorId>,
        new.lasts.map(|lasts| lasts.as_secs_f64())
    )
    .fetch_one(tx)
    .await
}

/// The target of a sanction that has not been lifted.
pub(super) struct UnliftedSanction {
    pub visitor_id: VisitorId,
    /// `None` if it holds everywhere.
    pub room_id: Option<RoomId>,
}

/// Locks the row of a sanction that has not been lifted. Returns `None` if there is none.
pub(super) async fn lock_unlifted(
    tx: &mut PgConnection,
    sanction: Uuid,
) -> Result<Option<UnliftedSanction>, sqlx::Error> {
    sqlx::query_as!(
        UnliftedSanction,
        r#"SELECT visitor_id AS "visitor_id: VisitorId", room_id AS "room_id: RoomId" FROM sanction
           WHERE public_id = $1 AND lifted_at IS NULL FOR UPDATE"#,
        sanction
    )
    .fetch_optional(tx)
    .await
}

/// Marks a sanction as lifted.
pub(super) async fn mark_lifted(
    tx: &mut PgConnection,
    sanction: Uuid,
    by: Option<VisitorId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE sanction SET lifted_at = now(), lifted_by = $2 WHERE public_id = $1",
        sanction,
        by as Option<VisitorId>
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the restrictions in force among visitors: those that hold everywhere and, if a room is
/// named, those of that room.
pub(super) async fn restrictions(
    db: &mut PgConnection,
    visitors: &[VisitorId],
    room: Option<RoomId>,
) -> Result<Vec<(VisitorId, Restriction)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.id AS "visitor!: VisitorId", restriction.kind, restriction.in_room, restriction.ends_in_ms
           FROM UNNEST($1::bigint[]) AS asked(id) CROSS JOIN LATERAL active_restriction(asked.id, $2) restriction"#,
        visitors as &[VisitorId],
        room as Option<RoomId>
    )
    .fetch_all(db)
    .await?;
    let restrictions = rows.into_iter();
    Ok(restrictions
        .filter_map(|row| Some((row.visitor, Restriction::of(row.kind.as_deref(), row.in_room, row.ends_in_ms)?)))
        .collect())
}

/// A sanction against a visitor, in force or not.
#[derive(Clone, Debug)]
pub struct PastSanction {
    pub id: Uuid,
    /// `mute` or `ban`.
    pub kind: String,
    /// Whether it holds in one room only.
    pub in_room: bool,
    pub reason: String,
    pub created_at: OffsetDateTime,
    /// Its end. `None` if it holds until it is lifted.
    pub until: Option<OffsetDateTime>,
    pub lifted_at: Option<OffsetDateTime>,
    pub in_force: bool,
}

/// Returns the newest sanctions against a visitor.
pub(super) async fn sanctions_of(db: &PgPool, visitor: VisitorId) -> Result<Vec<PastSanction>, sqlx::Error> {
    sqlx::query_as!(
        PastSanction,
        r#"SELECT public_id AS id, kind, room_id IS NOT NULL AS "in_room!", reason, created_at, until, lifted_at,
                  lifted_at IS NULL AND (until IS NULL OR until > now()) AS "in_force!"
           FROM sanction WHERE visitor_id = $1 ORDER BY created_at DESC, id DESC LIMIT 50"#,
        visitor as VisitorId
    )
    .fetch_all(db)
    .await
}

/// Returns how many reports were made since a time.
pub(super) async fn count_reports(db: &PgPool, since: OffsetDateTime) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM report WHERE created_at >= $1"#, since).fetch_one(db).await
}
