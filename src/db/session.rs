//! Session settings. They are set in one statement right after connecting, because poolers refuse
//! startup parameters.
use sqlx::{PgConnection, Row as _};

use crate::faults::{self, Fault};

/// The settings of every session.
///
/// Statements time out after 5 s and idle transactions after 2 s, because a request can hold locks
/// that others wait for, such as the head of a room. Most others are Postgres's defaults, which a
/// role or a database can have changed: the fence needs `read committed`, and a pooled connection
/// can be idle.
const DEFAULT_SETTINGS: [(&str, &str); 11] = [
    ("application_name", "maju"),
    ("client_encoding", "UTF8"),
    ("default_transaction_isolation", "read committed"),
    // Lookups by key are planned once per connection. To plan them for each list of keys cost more
    // than to run them (1,700 connects a second rather than 3,600). Such a plan must not scan its
    // table, which can be small when the plan is made and large later.
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

/// Returns the settings of a session: those of every session, overridden and extended by `own`.
pub(super) fn settings(own: &[Setting]) -> Vec<Setting> {
    let mut settings = DEFAULT_SETTINGS.to_vec();
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

/// Applies settings in one round trip. Returns their values as Postgres writes them.
///
/// # Errors
/// Returns the error of the statement.
pub(super) async fn apply(connection: &mut PgConnection, settings: &[Setting]) -> Result<Vec<String>, sqlx::Error> {
    // All names and values are constants, and none contains a quote.
    let calls: Vec<_> =
        settings.iter().map(|(name, value)| format!("set_config('{name}', '{value}', false)")).collect();
    read_row(connection, &calls).await
}

/// Reads the current values of settings, as Postgres writes them.
///
/// # Errors
/// Returns the error of the statement.
pub(super) async fn read(connection: &mut PgConnection, settings: &[Setting]) -> Result<Vec<String>, sqlx::Error> {
    let calls: Vec<_> = settings.iter().map(|(name, _)| format!("current_setting('{name}')")).collect();
    read_row(connection, &calls).await
}

/// Reads one row of texts. Uses the simple protocol, because a pooler in transaction mode would
/// lose a prepared statement.
///
/// # Errors
/// Returns the error of the statement.
pub(super) async fn read_row(
    connection: &mut PgConnection,
    columns: &[impl AsRef<str>],
) -> Result<Vec<String>, sqlx::Error> {
    let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
    let sql = format!("SELECT {}", columns.join(", "));
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?;
    (0..columns.len()).map(|column| row.try_get(column)).collect()
}
