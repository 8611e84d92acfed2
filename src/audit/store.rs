//! The audit log: all its SQL.
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

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

/// Which entries are listed. Empty texts and `None` do not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// The handle of an actor as it was then, or an actor's public id.
    pub actor: &'a str,
    /// An action, or the part before its dot.
    pub action: &'a str,
    pub from: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
}

/// An entry for a reader.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub id: i64,
    pub at: OffsetDateTime,
    pub actor: Option<Uuid>,
    pub actor_name: String,
    pub action: String,
    pub subject: String,
    pub detail: Value,
    pub prefix_hash: Option<Vec<u8>>,
}

/// Returns the newest entries of a filter before one.
pub(super) async fn list(
    db: &PgPool,
    filter: &Filter<'_>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Listed,
        "SELECT id, at, actor, actor_name, action, subject, detail, prefix_hash FROM audit_log
         WHERE ($1 = '' OR actor_name = $1 OR actor::text = $1)
           AND ($2 = '' OR action = $2 OR split_part(action, '.', 1) = $2)
           AND ($3::timestamptz IS NULL OR at >= $3) AND ($4::timestamptz IS NULL OR at < $4)
           AND ($5::bigint IS NULL OR id < $5)
         ORDER BY id DESC LIMIT $6",
        filter.actor,
        filter.action,
        filter.from,
        filter.until,
        before,
        limit
    )
    .fetch_all(db)
    .await
}

/// Returns the actions that the log has.
pub(super) async fn actions(db: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    // One step of the index for each action, however long the log is.
    let rows = sqlx::query_scalar!(
        r#"WITH RECURSIVE found AS (
               (SELECT action FROM audit_log ORDER BY action LIMIT 1)
               UNION ALL
               SELECT (SELECT a.action FROM audit_log a WHERE a.action > found.action ORDER BY a.action LIMIT 1)
               FROM found WHERE found.action IS NOT NULL)
           SELECT action AS "action!" FROM found WHERE action IS NOT NULL"#
    );
    rows.fetch_all(db).await
}

/// Returns the subject of the newest entry of an action.
pub(super) async fn last_subject(tx: &mut PgConnection, action: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("SELECT subject FROM audit_log WHERE action = $1 ORDER BY id DESC LIMIT 1", action)
        .fetch_optional(tx)
        .await
}
