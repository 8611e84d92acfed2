//! Session settings: set in one statement right after connecting, so that they hold behind a pooler that refuses startup parameters.
use sqlx::{PgConnection, Row as _};

use crate::faults::{self, Fault};

/// The settings of every session. Statements are cut off after 5 s, an idle transaction after 2 s, so that nobody hangs the
/// rest: a request may hold the head of a room. The others are Postgres's own defaults, which a role or a database may have
/// changed: the fence needs `read committed`, and a pooled connection may idle.
const BASE: [(&str, &str); 11] = [
    ("application_name", "maju"),
    ("client_encoding", "UTF8"),
    ("default_transaction_isolation", "read committed"),
    // Lookups by key, planned once a connection: planning them anew for each list of keys cost more than running them
    // (1,700 and 3,600 connects a second). Such a plan outlives the day when its table was small enough to be scanned.
    ("enable_seqscan", "off"),
    ("idle_in_transaction_session_timeout", "2s"),
    ("idle_session_timeout", "0"),
    ("lock_timeout", "3s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "5s"),
    ("TimeZone", "UTC"),
];

/// A setting's name and value.
pub(super) type Setting = (&'static str, &'static str);

/// The settings of a session: those of every one, and `own` in their place or besides.
pub(super) fn of(own: &[Setting]) -> Vec<Setting> {
    let mut settings = BASE.to_vec();
    if faults::on(Fault::CommitNotSynchronous) && !own.is_empty() {
        settings.push(("synchronous_commit", "off"));
    }
    for (name, value) in own {
        match settings.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => settings.push((name, value)),
        }
    }
    settings
}

/// Sets them, in one round trip.
///
/// # Errors
/// Those of the statement; also when Postgres reports another number of values.
pub(super) async fn set(connection: &mut PgConnection, settings: &[Setting]) -> Result<Vec<String>, sqlx::Error> {
    // Names and values are constants of ours; none holds a quote.
    let calls: Vec<_> =
        settings.iter().map(|(name, value)| format!("set_config('{name}', '{value}', false)")).collect();
    row(connection, &calls).await
}

/// Reads them back: the values that are in force now, as Postgres writes them.
pub(super) async fn read(connection: &mut PgConnection, settings: &[Setting]) -> Result<Vec<String>, sqlx::Error> {
    let calls: Vec<_> = settings.iter().map(|(name, _)| format!("current_setting('{name}')")).collect();
    row(connection, &calls).await
}

/// One row of texts, in the simple protocol: a pooler in another mode than ours would lose a prepared statement.
pub(super) async fn row(
    connection: &mut PgConnection,
    columns: &[impl AsRef<str>],
) -> Result<Vec<String>, sqlx::Error> {
    let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
    let sql = format!("SELECT {}", columns.join(", "));
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?;
    (0..columns.len()).map(|column| row.try_get(column)).collect()
}
