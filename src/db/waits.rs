//! Limits of waits for Postgres, and the test of connections that may be dead before they are used.
//!
//! `statement_timeout` is kept by the server, so it does not help when the server itself is stopped or cut off.
use std::pin::pin;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

/// How long a request waits for one answer of Postgres.
pub const WAIT: Duration = Duration::from_secs(2);
/// How long a step of a background job waits for Postgres, all its statements together.
pub const JOB: Duration = Duration::from_secs(5);

/// An idle connection is tested before its use after this time: busy ones go without the round trip.
const IDLE: Duration = Duration::from_millis(500);
/// How long that test may take. The rest of the time to acquire is for a new connection.
const TEST: Duration = Duration::from_secs(1);
/// For this long after a failure a connection that comes back to the pool has [`RETURN`] to finish its statement.
const TROUBLE: Duration = Duration::from_secs(10);
/// Longer than a short hang: after that all requests would connect anew at once.
const RETURN: Duration = Duration::from_secs(10);

/// When a connection of this process last failed, or was waited for too long.
static FAILED: Mutex<Option<Instant>> = Mutex::new(None);

/// Notes that a connection failed: those that have idled since before then are tested before they are used.
pub fn note_failure() {
    *FAILED.lock() = Some(Instant::now());
}

fn last_failure() -> Option<Instant> {
    *FAILED.lock()
}

/// Runs work on the database for at most `limit`, then drops it.
///
/// # Errors
/// Those of the work; [`sqlx::Error::PoolTimedOut`] when the time is over.
pub async fn within<T, E>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<sqlx::Error>,
{
    let mut work = pin!(work);
    match timeout(limit, &mut work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            note_failure(); // before the work is dropped: its connection goes back to the pool then
            Err(sqlx::Error::PoolTimedOut.into())
        }
    }
}

/// Makes a pool test the connections that may be dead: before they are used, and when they come back from work that was dropped.
pub(super) fn tested(options: PgPoolOptions) -> PgPoolOptions {
    options
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move { Ok(!may_be_dead(idle.idle_for) || answers(connection, TEST).await) })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                let trouble = last_failure().is_some_and(|at| at.elapsed() < TROUBLE);
                Ok(!trouble || answers(connection, RETURN).await)
            })
        })
}

fn may_be_dead(idle_for: Duration) -> bool {
    idle_for >= IDLE || last_failure().is_some_and(|at| at.elapsed() <= idle_for)
}

async fn answers(connection: &mut PgConnection, limit: Duration) -> bool {
    matches!(timeout(limit, connection.ping()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::within;
    use crate::{db, testing};

    /// Ends every other connection to the database from the server's side, as a restart does.
    async fn end_the_others(pool: &sqlx::PgPool) {
        let mut own = db::connect(pool, &[]).await.unwrap();
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(sql).execute(&mut own).await.unwrap();
    }

    async fn fill(pool: &sqlx::PgPool) {
        let mut held = Vec::new();
        for _ in 0..db::POOL {
            held.push(pool.acquire().await.unwrap());
        }
        drop(held);
        testing::eventually("the pool is full", || async { pool.num_idle() == db::POOL as usize }).await;
    }

    async fn failures(pool: &sqlx::PgPool) -> usize {
        let mut failed = 0;
        for _ in 0..60 {
            failed += usize::from(sqlx::query("SELECT 1").execute(pool).await.is_err());
        }
        failed
    }

    #[tokio::test]
    async fn no_statement_meets_a_connection_that_died_while_it_idled() {
        let pool = testing::database().await;
        fill(&pool).await;
        end_the_others(&pool).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(failures(&pool).await, 0);
    }

    #[tokio::test]
    async fn after_one_failure_the_older_connections_are_tested() {
        let pool = testing::database().await;
        fill(&pool).await;
        end_the_others(&pool).await;
        super::note_failure();
        assert_eq!(failures(&pool).await, 0, "they have not idled for long");
    }

    #[tokio::test]
    async fn work_that_takes_too_long_ends_as_unreachable_and_its_connection_comes_back() {
        let pool = testing::database().await;
        let work = async { sqlx::query("SELECT pg_sleep(3)").execute(&pool).await };
        let why = within(Duration::from_millis(100), work).await.unwrap_err();
        assert!(db::is_unreachable(&why), "{why}");
        assert_eq!(crate::error::Error::from(why).code(), "unavailable");
        testing::eventually("the connection is idle again", || async {
            pool.num_idle() == usize::try_from(pool.size()).unwrap()
        })
        .await;
    }
}
