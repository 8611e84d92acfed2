//! The audit log: all its SQL.
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;

use super::model::{Hash, Head, StoredAct};

/// Locks the end of the chain until the transaction ends, and returns it.
pub(super) async fn lock_head(tx: &mut PgConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query!("SELECT id, hash FROM audit_head FOR UPDATE").fetch_one(tx).await?;
    Ok(Head { id: row.id, hash: Hash::of_bytes(&row.hash) })
}

/// Returns the time and a detail as Postgres prints it. Runs after the lock, so that the times of
/// the entries are in order.
pub(super) async fn stamp(tx: &mut PgConnection, detail: &Value) -> Result<(OffsetDateTime, String), sqlx::Error> {
    let row = sqlx::query!(r#"SELECT clock_timestamp() AS "at!", $1::jsonb::text AS "detail!""#, detail)
        .fetch_one(tx)
        .await?;
    Ok((row.at, row.detail))
}

/// Adds an entry and moves the end of the chain to it.
pub(super) async fn append(
    tx: &mut PgConnection,
    act: &StoredAct,
    detail: &Value,
    hash: &Hash,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH head AS (UPDATE audit_head SET id = $1, hash = $9)
         INSERT INTO audit_log (id, at, actor, actor_name, action, subject, detail, prefix_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        act.id,
        act.at,
        act.actor,
        act.actor_name,
        act.action,
        act.subject,
        detail,
        act.prefix_hash,
        &hash.0[..]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Opens a transaction that reads one state of the log.
pub(super) async fn snapshot(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
}

/// Returns the end of the chain. `None` if it is not stored.
pub(super) async fn head(tx: &mut PgConnection) -> Result<Option<Head>, sqlx::Error> {
    let row = sqlx::query!("SELECT id, hash FROM audit_head").fetch_optional(tx).await?;
    Ok(row.map(|row| Head { id: row.id, hash: Hash::of_bytes(&row.hash) }))
}

/// Returns the entries after one, in order, with their stored hashes.
pub(super) async fn page(tx: &mut PgConnection, after: i64, limit: i64) -> Result<Vec<(StoredAct, Hash)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, at, actor, actor_name, action, subject, detail::text AS "detail!", prefix_hash, hash
           FROM audit_log WHERE id > $1 ORDER BY id LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(tx)
    .await?;
    let acts = rows.into_iter().map(|row| {
        let act = StoredAct {
            id: row.id,
            at: row.at,
            actor: row.actor,
            actor_name: row.actor_name,
            action: row.action,
            subject: row.subject,
            detail: row.detail,
            prefix_hash: row.prefix_hash,
        };
        (act, Hash::of_bytes(&row.hash))
    });
    Ok(acts.collect())
}
