//! Moderation: reports with their frozen evidence, and blocks. Reviewing comes with the back-office.
mod model;
mod store;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;

pub use model::Reason;

/// A report about to be stored.
pub struct NewReport<'a> {
    pub room: i64,
    pub reporter: i64,
    pub reported: Option<i64>,
    pub reason: Reason,
    pub note: Option<&'a str>,
    /// The entries as they were, with their authors' inner ids.
    pub evidence: Value,
}

/// Opens a report inside a transaction and answers its public id.
pub async fn open(tx: &mut PgConnection, report: NewReport<'_>) -> Result<Uuid> {
    Ok(store::insert_report(tx, &report).await?)
}

/// Names whom a report is about, when that is known only later in its transaction.
pub async fn name_reported(tx: &mut PgConnection, report: Uuid, reported: i64) -> Result<()> {
    Ok(store::name_reported(tx, report, reported).await?)
}

/// Two people never meet again. Mutual and for ever; a repeat is harmless.
pub async fn block(tx: &mut PgConnection, blocker: i64, other: i64) -> Result<()> {
    Ok(store::insert_block(tx, blocker, other).await?)
}

/// Which pairs among these visitors are blocked, each as `(smaller id, larger id)`.
pub async fn blocks_among(tx: &mut PgConnection, visitors: &[i64]) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    store::blocks_among(tx, visitors).await
}
