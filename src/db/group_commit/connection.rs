//! The connection of a writer, and the transactions on it.
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Attempts, MIN_TIME_LEFT, RETRY_DELAY, Verdict};
use crate::db::{self, ConnectionHealth, session};

/// How long closing the connection can take when the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection outside the pool, opened when it is needed.
pub struct WriterConnection {
    pool: PgPool,
    settings: &'static [session::Setting],
    health: Arc<ConnectionHealth>,
    connection: Option<PgConnection>,
}

/// One transaction, which can be repeated.
pub trait Transaction: Sync {
    type Outcome: Send;

    /// Writes and commits.
    fn run(&self, connection: &mut PgConnection) -> impl Future<Output = Result<Self::Outcome, sqlx::Error>> + Send;
}

/// What a committed transaction returned.
pub struct Committed<T> {
    pub outcome: T,
    /// `true` if it is not known whether an earlier attempt has committed too.
    pub may_be_repeated: bool,
}

impl WriterConnection {
    /// Creates a connection that is not open yet, with these session settings.
    pub fn new(pool: &PgPool, settings: &'static [session::Setting]) -> Self {
        Self { pool: pool.clone(), settings, health: Arc::default(), connection: None }
    }

    /// Records in `health` whether the connection can be opened.
    #[must_use]
    pub fn reporting_to(self, health: Arc<ConnectionHealth>) -> Self {
        Self { health, ..self }
    }

    /// Runs a transaction, and repeats it while that can help and there is time until `deadline`.
    ///
    /// # Errors
    /// Returns the error of the last attempt, which may have committed if
    /// [`db::is_unreachable`].
    pub async fn commit<T: Transaction>(
        &mut self,
        deadline: Instant,
        transaction: &T,
    ) -> Result<Committed<T::Outcome>, sqlx::Error> {
        let (mut attempts, mut may_be_repeated) = (Attempts::default(), false);
        loop {
            let attempt = self.attempt(deadline, async |connection| transaction.run(connection).await);
            let why = match attempt.await {
                Ok(outcome) => return Ok(Committed { outcome, may_be_repeated }),
                Err(why) => why,
            };
            if db::is_unreachable(&why) {
                db::log_unreachable(&why);
            }
            match attempts.verdict(&why) {
                Verdict::Repeat => {}
                Verdict::Reconnect if Instant::now() + MIN_TIME_LEFT < deadline => {
                    may_be_repeated = true;
                    sleep(RETRY_DELAY).await;
                }
                Verdict::Reconnect | Verdict::GiveUp => return Err(why),
            }
        }
    }

    /// Does some work once, on the open connection or a new one.
    ///
    /// # Errors
    /// Returns the error of connecting or of the work; [`sqlx::Error::PoolTimedOut`] at `deadline`.
    pub async fn attempt<T>(
        &mut self,
        deadline: Instant,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let outcome = match timeout_at(deadline, async { work(self.get().await?).await }).await {
            Ok(outcome) => outcome,
            Err(_) => {
                if self.connection.is_none() {
                    self.health.record(false);
                }
                Err(sqlx::Error::PoolTimedOut)
            }
        };
        // Only after these errors the connection is known to be sound, and without a statement that
        // still runs.
        if let Err(why) = &outcome
            && !db::is_retryable(why)
            && db::constraint(why).is_none()
        {
            self.discard();
        }
        outcome
    }

    async fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            empty => {
                let connecting = db::connect(&self.pool, self.settings).await;
                self.health.record(connecting.is_ok());
                Ok(empty.insert(connecting?))
            }
        }
    }

    /// Drops the connection. The next attempt opens a new one.
    pub(super) fn discard(&mut self) {
        self.connection = None;
    }

    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
        }
    }
}
