//! Moderation: all its SQL.
use sqlx::PgConnection;
use uuid::Uuid;

use super::NewReport;
use crate::faults::{self, Fault};

use super::model::{Imposed, NewSanction, Penalty, Restriction};

/// Notes what a report is about. False: all of it was reported by the same person before, and nothing was stored.
pub(super) async fn insert_subjects(
    tx: &mut PgConnection,
    reporter: i64,
    room: i64,
    about: &[i64],
    report: Uuid,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO report_subject (reporter_id, room_id, seq, report_id)
         SELECT $1, $2, seq, $4 FROM UNNEST($3::bigint[]) AS t(seq) ORDER BY seq
         ON CONFLICT ON CONSTRAINT report_subject_pk DO NOTHING",
        reporter,
        room,
        about,
        report
    )
    .execute(tx)
    .await?;
    Ok(stored.rows_affected() > 0)
}

/// The report of a person that is about the first of these.
pub(super) async fn report_about(
    tx: &mut PgConnection,
    reporter: i64,
    room: i64,
    about: &[i64],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT report_id FROM report_subject WHERE reporter_id = $1 AND room_id = $2 AND seq = ANY($3) ORDER BY seq LIMIT 1",
        reporter,
        room,
        about
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
        report.room,
        report.reporter,
        report.reported,
        report.reason.as_str(),
        report.note,
        report.evidence.get()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores a block, the smaller id first.
pub(super) async fn insert_block(tx: &mut PgConnection, blocker: i64, other: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO visitor_block (low, high, blocker_id) VALUES (least($1::bigint, $2), greatest($1::bigint, $2), $1)
         ON CONFLICT ON CONSTRAINT visitor_block_pk DO NOTHING",
        blocker,
        other
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The blocks that lie wholly within a set of visitors.
pub(super) async fn blocks_among(tx: &mut PgConnection, visitors: &[i64]) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    if faults::on(Fault::BlocksNotRead) {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!("SELECT low, high FROM visitor_block WHERE low = ANY($1) AND high = ANY($1)", visitors)
        .fetch_all(tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.low, row.high)).collect())
}

/// Stores a sanction; a room of None is everywhere.
pub(super) async fn insert_sanction(
    tx: &mut PgConnection,
    penalty: Penalty,
    room: Option<i64>,
    new: &NewSanction<'_>,
) -> Result<Imposed, sqlx::Error> {
    sqlx::query_as!(
        Imposed,
        "INSERT INTO sanction (public_id, visitor_id, room_id, kind, reason, author_id, until)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) RETURNING public_id, until",
        Uuid::new_v4(),
        new.visitor,
        room,
        penalty.as_str(),
        new.reason,
        new.author,
        new.lasts.map(|lasts| lasts.as_secs_f64())
    )
    .fetch_one(tx)
    .await
}

/// Whom a sanction that stands is against. The row is locked.
pub(super) async fn standing(tx: &mut PgConnection, sanction: Uuid) -> Result<Option<Standing>, sqlx::Error> {
    sqlx::query_as!(
        Standing,
        "SELECT visitor_id, room_id FROM sanction WHERE public_id = $1 AND lifted_at IS NULL FOR UPDATE",
        sanction
    )
    .fetch_optional(tx)
    .await
}

/// A sanction that was not lifted.
pub(super) struct Standing {
    pub visitor_id: i64,
    /// None: everywhere.
    pub room_id: Option<i64>,
}

/// Notes that a sanction was lifted.
pub(super) async fn lift(tx: &mut PgConnection, sanction: Uuid, by: Option<i64>) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE sanction SET lifted_at = now(), lifted_by = $2 WHERE public_id = $1", sanction, by)
        .execute(tx)
        .await?;
    Ok(())
}

/// What keeps visitors from something everywhere, or in a room if one is named.
pub(super) async fn restrictions(
    db: &mut PgConnection,
    visitors: &[i64],
    room: Option<i64>,
) -> Result<Vec<(i64, Restriction)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.id AS "visitor!", restriction.kind, restriction.in_room, restriction.ends_in_ms
           FROM UNNEST($1::bigint[]) AS asked(id) CROSS JOIN LATERAL active_restriction(asked.id, $2) restriction"#,
        visitors,
        room
    )
    .fetch_all(db)
    .await?;
    let restrictions = rows.into_iter();
    Ok(restrictions
        .filter_map(|row| Some((row.visitor, Restriction::of(row.kind.as_deref(), row.in_room, row.ends_in_ms)?)))
        .collect())
}
