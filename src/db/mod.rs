//! The database: pool, checks, migrations, the fence, the private Postgres. Knows no noun.
mod commit_scheduler;
mod failure;
pub mod fence;
pub mod jsonb;
mod loader;
pub mod private;
pub mod secret;
pub mod service;
mod session;
mod start;
#[cfg(test)]
mod tests;
mod waits;

pub use commit_scheduler::CommitScheduler;
pub use loader::Loader;
pub use start::check;
pub use waits::{JOB, WAIT, note_failure, within};

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::faults::{self, Fault};

/// The schema, numbered for the founding one. Runs at start under sqlx's advisory lock.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Connections for requests. The writers and the matcher have their own.
pub(crate) const POOL: u32 = 16;
/// How long a request waits for a connection before it is `unavailable`.
const ACQUIRE: Duration = Duration::from_secs(2);

/// The pool of a node. Its sessions have the settings of [`session`].
pub fn pool(options: PgConnectOptions) -> PgPool {
    let options = options
        .application_name("maju")
        .log_statements(tracing::log::LevelFilter::Trace)
        // Poolers refuse it as a startup parameter. What it changes is the text form of floats, which nobody asks for.
        .extra_float_digits(None);
    let pool = PgPoolOptions::new()
        .max_connections(POOL)
        .min_connections(1)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(Duration::from_secs(600))
        .after_connect(|connection, _| {
            Box::pin(async move { session::set(connection, &session::of(&[])).await.map(drop) })
        });
    waits::tested(pool).connect_lazy_with(options)
}

/// A connection of its own, outside the pool, with the given session settings (`idle_in_transaction_session_timeout`, …)
/// besides those of every session, or in their place.
pub async fn connect(pool: &PgPool, settings: &[(&'static str, &'static str)]) -> Result<PgConnection, sqlx::Error> {
    connect_within(pool, settings, ACQUIRE).await
}

async fn connect_within(
    pool: &PgPool,
    settings: &[session::Setting],
    limit: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let mut options = (*pool.connect_options()).clone();
    // Said at once as well: who looks into pg_stat_activity tells connections apart from the beginning.
    if let Some((_, name)) = settings.iter().find(|(setting, _)| *setting == "application_name") {
        options = options.application_name(name);
    }
    let settings = session::of(settings);
    let connecting = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        session::set(&mut connection, &settings).await?;
        Ok(connection)
    };
    tokio::time::timeout(limit, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

/// What a look at the database found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers, and its settings let it write.
    Writable,
    /// It answers, and says itself that it takes no writes: a replica, or set so.
    ReadOnly,
    /// It gave no answer.
    Silent,
}

/// Asks the database how it is.
///
/// # Errors
/// Those of the query; the caller counts them as [`Health::Silent`].
pub async fn health(pool: &PgPool) -> Result<Health, sqlx::Error> {
    let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let read_only: bool = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(if read_only { Health::ReadOnly } else { Health::Writable })
}

/// Checks that the server knows a time zone by its IANA name.
///
/// # Errors
/// One line that names the setting.
pub async fn check_time_zone(pool: &PgPool, name: &str) -> Result<(), String> {
    let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)").bind(name);
    match within(JOB, asked.fetch_one(pool)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("--time-zone (MAJU_TIME_ZONE): Postgres knows no time zone '{name}'")),
        Err(why) => Err(failure::describe(&why, &pool.connect_options(), JOB)),
    }
}

/// What the database says that it is now.
pub async fn now(db: &PgPool) -> Result<time::OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(db).await
}

/// Brings the schema to this version, under a lock: several nodes may start at once.
pub async fn migrate(pool: &PgPool) -> Result<(), String> {
    let settings = [("lock_timeout", "60s"), ("statement_timeout", "0")];
    let connecting = connect(pool, &settings).await;
    let mut connection = connecting.map_err(|why| failure::describe(&why, &pool.connect_options(), ACQUIRE))?;
    MIGRATIONS.run(&mut connection).await.map_err(|why| format!("the migration failed: {why}"))?;
    // Each asks for itself: a list of them would stay in what is shipped.
    if faults::on(Fault::ClientIdKeyDropped) {
        let _ = sqlx::query("ALTER TABLE message DROP CONSTRAINT message_client_id_key").execute(&mut connection).await;
    }
    if faults::on(Fault::OpenTalkIndexDropped) {
        let _ = sqlx::query("DROP INDEX membership_one_open_talk").execute(&mut connection).await;
    }
    if faults::on(Fault::OneselfAllowed) {
        let sql = "ALTER TABLE random_session DROP CONSTRAINT random_session_two_people";
        let _ = sqlx::query(sql).execute(&mut connection).await;
    }
    connection.close().await.map_err(|why| format!("the migration failed at its end: {why}"))
}

/// Says that the database cannot be reached, once in ten seconds however many ask for it meanwhile. Connections that were idle
/// then are tested before they are used.
pub fn say_unreachable(error: &sqlx::Error) {
    if is_broken(error) {
        note_failure();
    }
    static SAID: LogThrottle = LogThrottle::new();
    if let Some(others) = SAID.allow(Instant::now()) {
        tracing::warn!(error.cause = %error, requests.others = others, "the database cannot be reached");
    }
}

/// Time between two lines that say the same at least.
const SELDOM: Duration = Duration::from_secs(10);

/// Something that is said seldom: when it was last, and how many have wanted to since.
pub struct LogThrottle(Mutex<(Option<Instant>, u64)>);

impl LogThrottle {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// Returns how many lines were suppressed before this one, or `None` if this one is suppressed too.
    pub fn allow(&self, now: Instant) -> Option<u64> {
        let mut known = self.0.lock();
        let (last, others) = *known;
        if last.is_some_and(|last| now.saturating_duration_since(last) < SELDOM) {
            known.1 += 1;
            return None;
        }
        *known = (Some(now), 0);
        Some(others)
    }
}

/// Returns `true` if an error says that the connection itself is lost, so that others of its age may be lost too.
pub fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => true,
        // Connection trouble, and a server that shuts down or has crashed (57P01, 57P02); a cut-off statement (57014) is neither.
        sqlx::Error::Database(said) => {
            said.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        _ => false,
    }
}

/// Whether an error says that the database cannot be reached or cannot work now, rather than that a statement was wrong.
pub fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        _ if refuses_writes(error) => true,
        // Connection trouble, operator intervention, timeouts.
        sqlx::Error::Database(said) => {
            said.code().is_some_and(|code| ["08", "57"].contains(&&code[..2]) || code == "25P03" || code == "55P03")
        }
        _ => false,
    }
}

/// Whether an error says that the server cannot write, though it may well answer: its disk is full or broken, it takes no more
/// connections, it is read-only.
pub fn refuses_writes(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(said) = error else { return false };
    said.code().is_some_and(|code| ["53", "58"].contains(&&code[..2]) || code == "25006")
}

/// Whether repeating the same transaction can succeed (deadlock, serialization).
pub fn is_retryable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(said) if matches!(said.code().as_deref(), Some("40P01" | "40001")))
}

/// The name of the constraint that was violated, if one was.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(said) => said.constraint(),
        _ => None,
    }
}
