//! The database of a command: the operator's server, or the private Postgres of the data folder.
use std::path::PathBuf;
use std::time::Duration;

use sqlx::PgPool;

use crate::config::Config;
use crate::connection_url;
use crate::db::{self, private};
use crate::signals::StopSignals;

/// The parent of fallback folders, for root: used if Postgres's user cannot enter the data folder.
const FALLBACK_BASE: &str = "/var/lib/maju";
/// How long a stop waits until the pool is closed.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The database of a command: the operator's server, or the private Postgres.
pub struct Database {
    pub pool: PgPool,
    /// `None` if the settings name a server.
    pub private: Option<private::PrivatePostgres>,
}

impl Database {
    /// Opens, checks and migrates the database. `None` if a stop was requested meanwhile; nothing
    /// is left running then. `own` is the number of connections that a node opens outside the pool;
    /// `None` for a command that starts no node. Such a command joins the private Postgres of a
    /// running server, or starts it for itself, but never takes it over.
    ///
    /// # Errors
    /// Returns one line that names the problem and what to do.
    pub async fn open(config: &Config, own: Option<u32>, stop: &mut StopSignals) -> Result<Option<Self>, String> {
        let Some(database) = Self::connect(config, own.is_some(), stop).await? else { return Ok(None) };
        let prepared = async {
            db::check(&database.pool, config.unsafe_database, own).await?;
            db::check_time_zone(&database.pool, &config.time_zone).await?;
            db::migrate(&database.pool).await
        };
        let outcome = tokio::select! {
            done = prepared => done.map(|()| true),
            () = stop.requested() => Ok(false),
        };
        if let Ok(true) = outcome {
            return Ok(Some(database));
        }
        database.close().await;
        outcome.map(|_| None)
    }

    /// Opens the database without a check and without a migration. `None` if a stop was requested
    /// meanwhile. `takes_over` is whether this process goes on with the private Postgres when the
    /// one that runs it ends.
    ///
    /// # Errors
    /// Returns one line that names the problem and what to do.
    pub async fn connect(config: &Config, takes_over: bool, stop: &mut StopSignals) -> Result<Option<Self>, String> {
        let Some(url) = &config.database_url else {
            let private = open_private(config, takes_over, stop).await?;
            return Ok(
                private.map(|private| Self { pool: db::pool(private.connect_options()), private: Some(private) })
            );
        };
        let options = connection_url::postgres(url).map_err(|why| format!("--database-url {why}"))?.options;
        Ok(Some(Self { pool: db::pool(options), private: None }))
    }

    /// Returns which database it is, for a person.
    pub fn describe(&self) -> String {
        match &self.private {
            Some(private) => private.describe(),
            None => {
                let options = self.pool.connect_options();
                let name = options.get_database().unwrap_or(options.get_username());
                format!("the database {name} on {}:{}", options.get_host(), options.get_port())
            }
        }
    }

    /// Closes the pool, and stops the private Postgres if this process runs it.
    pub async fn close(self) {
        // A connection that hangs does not delay the end.
        let _ = tokio::time::timeout(POOL_CLOSE_TIMEOUT, self.pool.close()).await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// Starts the private Postgres. `None` if a stop was requested meanwhile: Postgres has then been
/// stopped in order, unless a second signal interrupted that.
async fn open_private(
    config: &Config,
    takes_over: bool,
    stop: &mut StopSignals,
) -> Result<Option<private::PrivatePostgres>, String> {
    let options = private::StartOptions {
        data_dir: config.data_dir.clone(),
        fallback_base: PathBuf::from(FALLBACK_BASE),
        durable: true,
    };
    let start = if takes_over { private::start } else { private::join };
    let starting = start(options, config.pg_bin.clone()).map_err(|why| why.to_string())?;
    let handle = starting.handle();
    tokio::select! {
        opened = starting.finish() => {
            let private = opened.map_err(|why| why.to_string())?;
            tracing::info!(postgres.own = private.is_owner(), "{}", private.describe());
            Ok(Some(private))
        }
        () = stop.requested() => {
            tokio::select! {
                () = handle.stop() => {}
                () = stop.requested() => {}
            }
            Ok(None)
        }
    }
}
