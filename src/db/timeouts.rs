//! How long Maju waits for Postgres, and the test of pooled connections that can be dead.
//!
//! The server enforces `statement_timeout`, which does not help if the server is stopped or cannot
//! be reached.
use std::pin::pin;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

/// How long a request waits for one answer of Postgres.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a step of a background job waits for Postgres, for all its statements together.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for this long is tested before its use. Busier ones need no test.
const MAX_UNTESTED_IDLE: Duration = Duration::from_millis(500);
/// How long the test before a use can take. The rest of the acquire timeout is for a new
/// connection.
const TEST_TIMEOUT: Duration = Duration::from_secs(1);
/// For this long after a failure, connections are also tested when they return to the pool.
const TEST_ON_RETURN_PERIOD: Duration = Duration::from_secs(10);
/// How long a returned connection has to finish its statement. Longer than a short hang of the
/// server, after which all requests would otherwise open new connections at once.
const RETURN_TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// When a connection of this process last failed or timed out.
static LAST_FAILURE: Mutex<Option<Instant>> = Mutex::new(None);

/// Records that a connection failed. Those that have been idle since before then are tested before
/// their next use.
pub fn record_failure() {
    *LAST_FAILURE.lock() = Some(Instant::now());
}

fn last_failure() -> Option<Instant> {
    *LAST_FAILURE.lock()
}

/// Runs work on the database for at most `limit`, then drops it.
///
/// # Errors
/// Returns the error of the work; [`sqlx::Error::PoolTimedOut`] after `limit`.
pub async fn with_timeout<T, E>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<sqlx::Error>,
{
    let mut work = pin!(work);
    match timeout(limit, &mut work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            record_failure(); // before the work is dropped, which returns its connection to the pool
            Err(sqlx::Error::PoolTimedOut.into())
        }
    }
}

/// Makes a pool test connections that can be dead: before their use, and when dropped work returns
/// them.
pub(super) fn with_tests(options: PgPoolOptions) -> PgPoolOptions {
    options
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move { Ok(!may_be_dead(idle.idle_for) || answers(connection, TEST_TIMEOUT).await) })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                let failed_recently = last_failure().is_some_and(|at| at.elapsed() < TEST_ON_RETURN_PERIOD);
                Ok(!failed_recently || answers(connection, RETURN_TEST_TIMEOUT).await)
            })
        })
}

fn may_be_dead(idle_for: Duration) -> bool {
    idle_for >= MAX_UNTESTED_IDLE || last_failure().is_some_and(|at| at.elapsed() <= idle_for)
}

async fn answers(connection: &mut PgConnection, limit: Duration) -> bool {
    matches!(timeout(limit, connection.ping()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::with_timeout;
    use crate::{db, testing};

    /// Ends all other connections to the database on the server, as a restart does.
    async fn terminate_others(pool: &sqlx::PgPool) {
        let mut own = db::connect(pool, &[]).await.unwrap();
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(sql).execute(&mut own).await.unwrap();
    }

    async fn fill(pool: &sqlx::PgPool) {
        let mut held = Vec::new();
        for _ in 0..db::MAX_POOL_CONNECTIONS {
            held.push(pool.acquire().await.unwrap());
        }
        drop(held);
        testing::eventually("the pool is full", || async { pool.num_idle() == db::MAX_POOL_CONNECTIONS as usize })
            .await;
    }

    async fn failures(pool: &sqlx::PgPool) -> usize {
        let mut failed = 0;
        for _ in 0..60 {
            failed += usize::from(sqlx::query("SELECT 1").execute(pool).await.is_err());
        }
        failed
    }

    #[tokio::test]
    async fn no_statement_uses_a_connection_that_died_while_it_was_idle() {
        let pool = testing::database().await;
        fill(&pool).await;
        terminate_others(&pool).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(failures(&pool).await, 0);
    }

    #[tokio::test]
    async fn after_one_failure_the_older_connections_are_tested() {
        let pool = testing::database().await;
        fill(&pool).await;
        terminate_others(&pool).await;
        super::record_failure();
        assert_eq!(failures(&pool).await, 0, "they were not idle for long");
    }

    #[tokio::test]
    async fn work_that_takes_too_long_ends_as_unreachable_and_its_connection_comes_back() {
        let pool = testing::database().await;
        let work = async { sqlx::query("SELECT pg_sleep(3)").execute(&pool).await };
        let why = with_timeout(Duration::from_millis(100), work).await.unwrap_err();
        assert!(db::is_unreachable(&why), "{why}");
        assert_eq!(crate::error::Error::from(why).code(), "unavailable");
        testing::eventually("the connection is idle again", || async {
            pool.num_idle() == usize::try_from(pool.size()).unwrap()
        })
        .await;
    }
}
