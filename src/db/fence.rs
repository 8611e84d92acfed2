//! The fence: nothing is written after the commit that took a person's rights away everywhere (ban, password, role).
//!
//! Batches of entries hold it shared, who revokes holds it exclusively. The lock stands in a statement of its own before
//! the one that reads the version: a statement's snapshot is older than its wait for a lock.
use std::time::Duration;

use sqlx::PgConnection;

use crate::faults::{self, Fault};

/// The advisory lock's key: "maju" in ASCII, then 1.
pub const KEY: i64 = 0x6d61_6a75_0000_0001;
/// Revocations that one read brings at most.
pub const ROWS: i64 = 1_000;

/// Takes the fence shared until the transaction ends. A later statement may read [`version`].
pub async fn share(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    if faults::on(Fault::FenceNotTaken) {
        return Ok(());
    }
    sqlx::query!("SELECT pg_advisory_xact_lock_shared($1)", KEY).execute(tx).await?;
    Ok(())
}

/// How many revocations there have been. In a transaction that writes, read it in a statement after [`share`]: until the
/// transaction ends it cannot rise.
pub async fn version(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("SELECT version FROM fence").fetch_one(db).await
}

/// Who was revoked after `known`, with the version each got: the oldest [`ROWS`] of them, in order.
pub async fn revoked_since(db: &mut PgConnection, known: i64) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT version, visitor_id FROM revocation WHERE version > $1 ORDER BY version LIMIT $2",
        known,
        ROWS
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.version, row.visitor_id)).collect())
}

/// Takes the fence exclusively and records that a visitor's rights changed. The transaction that calls it also changes
/// what those rights are read from, and commits at once: every writer waits for it.
///
/// Errors: `55P03` when a writer held the fence for longer than `patience`. Whoever waits here makes writers wait that come
/// after it, so the wait is to be short; try again after a pause ([`is_busy`]).
pub async fn revoke(tx: &mut PgConnection, visitor: i64, patience: Duration) -> Result<i64, sqlx::Error> {
    let patience = format!("{}ms", patience.as_millis().max(1));
    sqlx::query!("SELECT set_config('lock_timeout', $1, true)", patience).fetch_one(&mut *tx).await?;
    if !faults::on(Fault::FenceNotExclusive) {
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", KEY).execute(&mut *tx).await?;
    }
    let version =
        sqlx::query_scalar!("UPDATE fence SET version = version + 1 RETURNING version").fetch_one(&mut *tx).await?;
    sqlx::query!("INSERT INTO revocation (version, visitor_id) VALUES ($1, $2)", version, visitor).execute(tx).await?;
    Ok(version)
}

/// Whether [`revoke`] failed because a lock was held for too long.
pub fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(said) if said.code().as_deref() == Some("55P03"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::Connection as _;

    use super::{revoke, revoked_since, share, version};
    use crate::{db, testing};

    #[tokio::test]
    async fn who_waited_for_the_fence_reads_what_was_committed_meanwhile() {
        let pool = testing::database().await;
        let mut writer = db::connect(&pool, &[]).await.unwrap();
        let mut revoker = db::connect(&pool, &[]).await.unwrap();
        let mut revocation = revoker.begin().await.unwrap();
        assert_eq!(revoke(&mut revocation, 7, testing::PATIENCE).await.unwrap(), 1);
        let waiting = async {
            let mut batch = writer.begin().await.unwrap();
            share(&mut batch).await.unwrap();
            // A statement of its own: its snapshot is younger than the wait.
            let seen = version(&mut batch).await.unwrap();
            (seen, revoked_since(&mut batch, 0).await.unwrap())
        };
        let committing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            revocation.commit().await.unwrap();
        };
        let ((seen, who), ()) = tokio::join!(waiting, committing);
        assert_eq!((seen, who), (1, vec![(1, 7)]));
    }

    #[tokio::test]
    async fn a_revocation_waits_for_the_batches_in_hand() {
        let pool = testing::database().await;
        let (mut one, mut two) = (db::connect(&pool, &[]).await.unwrap(), db::connect(&pool, &[]).await.unwrap());
        let mut revoker = db::connect(&pool, &[]).await.unwrap();
        let (mut first, mut second) = (one.begin().await.unwrap(), two.begin().await.unwrap());
        share(&mut first).await.unwrap();
        share(&mut second).await.unwrap(); // batches do not wait for each other
        let mut revocation = revoker.begin().await.unwrap();
        let mut asked = Box::pin(revoke(&mut revocation, 7, testing::PATIENCE));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut asked).await.is_err());
        first.commit().await.unwrap();
        second.commit().await.unwrap();
        assert_eq!(asked.await.unwrap(), 1);
    }
}
