//! The database: pool, start checks, migrations, the fence, the private Postgres. Knows no noun.
mod commit_scheduler;
mod connection_error;
mod connection_health;
pub mod fence;
pub mod group_commit;
pub mod jsonb;
mod latency;
pub mod limits;
mod loader;
pub mod private;
mod schema_state;
pub mod secret;
pub mod service;
mod session;
mod start_checks;
#[cfg(test)]
mod tests;
mod timeouts;

pub use commit_scheduler::CommitScheduler;
pub use connection_health::ConnectionHealth;
pub use latency::{Latencies, LatencyCounts};
pub use limits::MAX_POOL_CONNECTIONS;
pub use loader::Loader;
pub use schema_state::{SchemaState, schema_state};
pub use start_checks::check;
pub use timeouts::{JOB_TIMEOUT, REQUEST_TIMEOUT, record_failure, with_timeout};

use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::log_throttle::LogThrottle;

/// The migrations of the schema. They run at the start, under an advisory lock of sqlx.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a request waits for a connection before it is answered `unavailable`.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A pooled connection that is not used for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Time between two log lines that say that the database cannot be reached.
const UNREACHABLE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Creates the pool of a node, which connects when it is first used. Its sessions have the settings
/// of [`session`].
pub fn pool(options: PgConnectOptions) -> PgPool {
    let options = options
        .application_name("maju")
        .log_statements(tracing::log::LevelFilter::Trace)
        // Poolers refuse this startup parameter. It only changes the text form of floats, which no
        // query uses.
        .extra_float_digits(None);
    let pool = PgPoolOptions::new()
        .max_connections(MAX_POOL_CONNECTIONS)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { session::apply(connection, &session::settings(&[])).await.map(drop) })
        });
    timeouts::with_tests(pool).connect_lazy_with(options)
}

/// Opens a connection outside the pool. `settings` are session settings such as
/// `idle_in_transaction_session_timeout`, which add to or override those of every session.
///
/// # Errors
/// Returns the error of the connection; [`sqlx::Error::PoolTimedOut`] after two seconds.
pub async fn connect(pool: &PgPool, settings: &[(&'static str, &'static str)]) -> Result<PgConnection, sqlx::Error> {
    connect_with_timeout(pool, settings, ACQUIRE_TIMEOUT).await
}

async fn connect_with_timeout(
    pool: &PgPool,
    settings: &[session::Setting],
    timeout: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let mut options = (*pool.connect_options()).clone();
    // Set at once too, so that pg_stat_activity shows from the beginning what the connection is
    // for.
    if let Some((_, name)) = settings.iter().find(|(setting, _)| *setting == "application_name") {
        options = options.application_name(name);
    }
    let settings = session::settings(settings);
    let connecting = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        session::apply(&mut connection, &settings).await?;
        Ok(connection)
    };
    tokio::time::timeout(timeout, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

/// Whether the database can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It answers, and accepts writes by its settings.
    Writable,
    /// It answers, and reports that it accepts no writes: a replica, or set to read-only.
    ReadOnly,
    /// It does not answer.
    Silent,
}

/// Asks the database whether it accepts writes.
///
/// # Errors
/// Returns the error of the query, which the caller counts as [`Availability::Silent`].
pub async fn availability(pool: &PgPool) -> Result<Availability, sqlx::Error> {
    let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let read_only: bool = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(if read_only { Availability::ReadOnly } else { Availability::Writable })
}

/// Checks that the server knows a time zone by its IANA name.
///
/// # Errors
/// Returns one line that names the setting.
pub async fn check_time_zone(pool: &PgPool, name: &str) -> Result<(), String> {
    let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)").bind(name);
    match with_timeout(JOB_TIMEOUT, asked.fetch_one(pool)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("--time-zone (MAJU_TIME_ZONE): Postgres does not know the time zone '{name}'")),
        Err(why) => Err(connection_error::describe(&why, &pool.connect_options(), JOB_TIMEOUT)),
    }
}

/// Returns the time of the database's clock.
///
/// # Errors
/// Returns the error of the query.
pub async fn now(db: &PgPool) -> Result<time::OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(db).await
}

/// Returns the difference of a time zone, an IANA name, to UTC now.
///
/// # Errors
/// Returns the error of the query.
pub async fn utc_offset(db: &PgPool, zone: &str) -> Result<time::UtcOffset, sqlx::Error> {
    let sql = "SELECT extract(epoch FROM (now() AT TIME ZONE $1) - (now() AT TIME ZONE 'UTC'))::int";
    let secs: i32 = sqlx::query_scalar(sql).bind(zone).fetch_one(db).await?;
    Ok(time::UtcOffset::from_whole_seconds(secs).unwrap_or(time::UtcOffset::UTC))
}

/// The state of the server, for staff.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// `15.4`.
    pub version: String,
    /// Bytes of this database.
    pub bytes: i64,
    /// Connections of all nodes, and how many the server allows.
    pub connections: i64,
    pub max_connections: i64,
    /// Statements that have run for more than a second.
    pub slow: i64,
}

/// Returns the state of the server.
///
/// # Errors
/// Returns the error of the query.
pub async fn server_state(db: &PgPool) -> Result<ServerState, sqlx::Error> {
    sqlx::query_as!(
        ServerState,
        r#"SELECT current_setting('server_version') AS "version!", pg_database_size(current_database()) AS "bytes!",
                  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS "connections!",
                  current_setting('max_connections')::bigint AS "max_connections!",
                  (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                      AND pid <> pg_backend_pid() AND query_start < now() - interval '1 second') AS "slow!""#
    )
    .fetch_one(db)
    .await
}

/// Brings the schema to this version. Holds a lock, because several nodes can start at the same
/// time.
///
/// # Errors
/// Returns one line for the operator.
pub async fn migrate(pool: &PgPool) -> Result<(), String> {
    let settings = [("lock_timeout", "60s"), ("statement_timeout", "0")];
    let connecting = connect(pool, &settings).await;
    let mut connection =
        connecting.map_err(|why| connection_error::describe(&why, &pool.connect_options(), ACQUIRE_TIMEOUT))?;
    MIGRATIONS.run(&mut connection).await.map_err(|why| format!("the migration of the database failed: {why}"))?;
    connection.close().await.map_err(|why| format!("the migration of the database failed at its end: {why}"))
}

/// Logs that the database cannot be reached, at most once in ten seconds. If the connection was
/// lost, idle connections are tested before their next use.
pub fn log_unreachable(error: &sqlx::Error) {
    if is_broken(error) {
        record_failure();
    }
    static THROTTLE: LogThrottle = LogThrottle::new(UNREACHABLE_LOG_INTERVAL);
    if let Some(others) = THROTTLE.allow(Instant::now()) {
        tracing::warn!(error.cause = %error, requests.others = others, "database: cannot be reached");
    }
}

/// Returns `true` if an error means that the connection is lost. Others of the same age can be lost
/// too.
pub fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => true,
        // A connection error (08), or a server that shuts down or has crashed (57P01, 57P02). A
        // statement that timed out (57014) is neither.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        _ => false,
    }
}

/// Returns `true` if an error means that the database cannot be reached or cannot work at the
/// moment, and `false` if the statement failed for another reason.
pub fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        _ if refuses_writes(error) => true,
        // Connection errors (08), operator intervention (57), timeouts.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["08", "57"].contains(&&code[..2]) || code == "25P03" || code == "55P03")
        }
        _ => false,
    }
}

/// Returns `true` if an error means that the server cannot write, although it can answer: its disk
/// is full or broken, it accepts no more connections, or it is read-only.
pub fn refuses_writes(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| ["53", "58"].contains(&&code[..2]) || code == "25006")
}

/// Returns `true` if a retry of the same transaction can succeed (deadlock, serialization failure).
pub fn is_retryable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("40P01" | "40001")))
}

/// Returns the name of the violated constraint. `None` if no constraint was violated.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(error) => error.constraint(),
        _ => None,
    }
}
