//! The fence: after the commit that takes a person's rights away everywhere (ban, password, role),
//! nothing more is written with those rights.
//!
//! Batches of entries hold its lock shared, a revocation holds it exclusively. The lock is taken in
//! a statement before the one that reads the version, because the snapshot of a statement is older
//! than its wait for a lock.
use std::time::Duration;

use sqlx::PgConnection;

use crate::faults::{self, Fault};
use crate::ids::{FenceVersion, VisitorId};

/// The key of the advisory lock: "maju" in ASCII, then 1.
pub const LOCK_KEY: i64 = 0x6d61_6a75_0000_0001;
/// The most revocations that one read returns.
pub const MAX_REVOCATION_ROWS: i64 = 1_000;

/// Takes the fence lock shared until the transaction ends. A later statement can read [`version`].
///
/// # Errors
/// Returns the error of the statement; `55P03` after the session's `lock_timeout`.
pub async fn lock_shared(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    if faults::on(Fault::FenceNotTaken) {
        return Ok(());
    }
    sqlx::query!("SELECT pg_advisory_xact_lock_shared($1)", LOCK_KEY).execute(tx).await?;
    Ok(())
}

/// Returns the fence's version: the number of revocations so far.
///
/// A transaction that writes reads it after [`lock_shared`]. It cannot rise until the transaction
/// ends.
///
/// # Errors
/// Returns the error of the query.
pub async fn version(db: &mut PgConnection) -> Result<FenceVersion, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT version AS "version: FenceVersion" FROM fence"#).fetch_one(db).await
}

/// Returns the revocations after version `known`, as pairs of version and visitor, in order: the
/// oldest [`MAX_REVOCATION_ROWS`].
///
/// # Errors
/// Returns the error of the query.
pub async fn revoked_since(
    db: &mut PgConnection,
    known: FenceVersion,
) -> Result<Vec<(FenceVersion, VisitorId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT version AS "version: FenceVersion", visitor_id AS "visitor_id: VisitorId" FROM revocation
           WHERE version > $1 ORDER BY version LIMIT $2"#,
        known as FenceVersion,
        MAX_REVOCATION_ROWS
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.version, row.visitor_id)).collect())
}

/// Takes the fence lock exclusively and records that a visitor's rights have changed. Returns the
/// new version.
///
/// The calling transaction also changes the rows that the rights are read from, and commits at
/// once, because every writer waits for it.
///
/// # Errors
/// Returns the error of a statement; `55P03` if a writer held the lock for longer than `timeout`. A
/// revocation that waits makes later writers wait, so `timeout` should be short, and the call be
/// retried after a pause ([`is_lock_timeout`]).
pub async fn revoke(tx: &mut PgConnection, visitor: VisitorId, timeout: Duration) -> Result<FenceVersion, sqlx::Error> {
    let timeout = format!("{}ms", timeout.as_millis().max(1));
    sqlx::query!("SELECT set_config('lock_timeout', $1, true)", timeout).fetch_one(&mut *tx).await?;
    if !faults::on(Fault::FenceNotExclusive) {
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK_KEY).execute(&mut *tx).await?;
    }
    let version =
        sqlx::query_scalar!(r#"UPDATE fence SET version = version + 1 RETURNING version AS "version: FenceVersion""#)
            .fetch_one(&mut *tx)
            .await?;
    sqlx::query!(
        "INSERT INTO revocation (version, visitor_id) VALUES ($1, $2)",
        version as FenceVersion,
        visitor as VisitorId
    )
    .execute(tx)
    .await?;
    Ok(version)
}

/// Returns `true` if [`revoke`] failed because a lock was held for too long.
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::Connection as _;

    use super::{lock_shared, revoke, revoked_since, version};
    use crate::ids::{FenceVersion, VisitorId};
    use crate::{db, testing};

    #[tokio::test]
    async fn a_batch_that_waited_for_the_fence_reads_the_revocation_committed_meanwhile() {
        let pool = testing::database().await;
        let mut writer = db::connect(&pool, &[]).await.unwrap();
        let mut revoker = db::connect(&pool, &[]).await.unwrap();
        let mut revocation = revoker.begin().await.unwrap();
        assert_eq!(revoke(&mut revocation, VisitorId(7), testing::TEST_TIMEOUT).await.unwrap(), FenceVersion(1));
        let waiting = async {
            let mut batch = writer.begin().await.unwrap();
            lock_shared(&mut batch).await.unwrap();
            // A separate statement, so its snapshot is younger than the wait.
            let seen = version(&mut batch).await.unwrap();
            (seen, revoked_since(&mut batch, FenceVersion(0)).await.unwrap())
        };
        let committing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            revocation.commit().await.unwrap();
        };
        let ((seen, revoked), ()) = tokio::join!(waiting, committing);
        assert_eq!((seen, revoked), (FenceVersion(1), vec![(FenceVersion(1), VisitorId(7))]));
    }

    #[tokio::test]
    async fn a_revocation_waits_for_the_batches_in_progress() {
        let pool = testing::database().await;
        let (mut one, mut two) = (db::connect(&pool, &[]).await.unwrap(), db::connect(&pool, &[]).await.unwrap());
        let mut revoker = db::connect(&pool, &[]).await.unwrap();
        let (mut first, mut second) = (one.begin().await.unwrap(), two.begin().await.unwrap());
        lock_shared(&mut first).await.unwrap();
        lock_shared(&mut second).await.unwrap(); // batches do not wait for each other
        let mut revocation = revoker.begin().await.unwrap();
        let mut asked = Box::pin(revoke(&mut revocation, VisitorId(7), testing::TEST_TIMEOUT));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut asked).await.is_err());
        first.commit().await.unwrap();
        second.commit().await.unwrap();
        assert_eq!(asked.await.unwrap(), FenceVersion(1));
    }
}
