//! Moderation: all its SQL.
use sqlx::PgConnection;
use uuid::Uuid;

use super::NewReport;
use crate::faults::{self, Fault};

/// Stores a report with its evidence.
pub(super) async fn insert_report(tx: &mut PgConnection, report: &NewReport<'_>) -> Result<Uuid, sqlx::Error> {
    let public_id = Uuid::new_v4();
    sqlx::query!(
        "INSERT INTO report (public_id, room_id, reporter_id, reported_id, reason, note, evidence)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        public_id,
        report.room,
        report.reporter,
        report.reported,
        report.reason.as_str(),
        report.note,
        report.evidence
    )
    .execute(tx)
    .await?;
    Ok(public_id)
}

/// Sets whom a report is about.
pub(super) async fn name_reported(tx: &mut PgConnection, report: Uuid, reported: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE report SET reported_id = $2 WHERE public_id = $1", report, reported).execute(tx).await?;
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
