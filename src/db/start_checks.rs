//! The checks of the database at the start. It must not lose what it has committed, and must have
//! the properties that Maju depends on. A pooler in front of it must be in session mode. It must
//! allow the connections that a node needs.
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::Instant;

use super::limits::{MAX_POOL_CONNECTIONS, MIN_POOL_CONNECTIONS, MIN_POSTGRES_MAJOR};
use super::{connect_with_timeout, connection_error, session};
use crate::faults::{self, Fault};

/// The error for a pooler that gives a server connection to other clients between two statements.
pub(super) const WRONG_POOLER_MODE: &str = "the connection pooler is in transaction or statement mode; Maju needs session mode \
     (PgBouncer: pool_mode = session)";
/// How long a start waits for one connection. Long, because the machine can be busy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a start waits for a Postgres that does not run yet or is starting.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a start waits for a connection to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two attempts to connect.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// The session settings of the connections that the checks open.
const SESSION: &[session::Setting] = &[("application_name", "maju start")];

/// Checks the database of a pool. `own` is the number of connections that a node opens outside the
/// pool, and `None` for a command that starts no node: then connection limits are not checked.
///
/// # Errors
/// Returns one line that names the problem and what to do.
pub async fn check(pool: &PgPool, accept_unsafe: bool, own: Option<u32>) -> Result<(), String> {
    let mut first = connect_first(pool).await?;
    check_properties(&mut first, accept_unsafe).await?;
    let mut held: u32 = 1;
    if let Some(own) = own {
        check_limits(&mut first, own, held.into()).await?;
    }
    let second = check_session_mode(pool, &mut first).await?;
    held += 1;
    let mut open = vec![first, second];
    if let Some(own) = own {
        // The pool has opened its first connection itself.
        open.extend(check_capacity(pool, own + MIN_POOL_CONNECTIONS, held + 1).await?);
    }
    join_all(open.into_iter().map(|connection| tokio::time::timeout(CLOSE_TIMEOUT, connection.close()))).await;
    Ok(())
}

/// Opens the first connection. Retries for two seconds if Postgres does not accept it yet.
async fn connect_first(pool: &PgPool) -> Result<PgConnection, String> {
    let until = Instant::now() + ARRIVAL_TIMEOUT;
    loop {
        match connect_with_timeout(pool, SESSION, CONNECT_TIMEOUT).await {
            Ok(connection) => return Ok(connection),
            Err(why) if connection_error::is_transient(&why) && Instant::now() < until => {
                tokio::time::sleep(RETRY_DELAY).await
            }
            Err(why) => return Err(describe(pool, &why)),
        }
    }
}

fn describe(pool: &PgPool, error: &sqlx::Error) -> String {
    connection_error::describe(error, &pool.connect_options(), CONNECT_TIMEOUT)
}

/// The properties of a database, a role and a server that Maju depends on.
struct Properties {
    version: u32,
    server_encoding: String,
    client_encoding: String,
    isolation: String,
    replication_role: String,
    in_recovery: bool,
    read_only: bool,
    /// `None` if the role can use no schema of the search path.
    schema: Option<String>,
    can_create: bool,
    search_path: String,
    user: String,
    database: String,
    /// The settings of [`DURABILITY_SETTINGS`] that are off.
    off: Vec<&'static str>,
}

/// Settings without which a crash loses acknowledged messages.
const DURABILITY_SETTINGS: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

async fn properties(connection: &mut PgConnection) -> Result<Properties, sqlx::Error> {
    let columns = [
        "current_setting('server_version_num')",
        "current_setting('server_encoding')",
        "current_setting('client_encoding')",
        "current_setting('default_transaction_isolation')",
        "current_setting('session_replication_role')",
        "pg_is_in_recovery()::text",
        "current_setting('default_transaction_read_only')",
        "coalesce(current_schema()::text, '')",
        "coalesce(has_schema_privilege(current_schema()::text, 'CREATE'), false)::text",
        "current_setting('search_path')",
        "current_user::text",
        "current_database()::text",
        "current_setting('fsync')",
        "current_setting('full_page_writes')",
        "current_setting('synchronous_commit')",
    ];
    let row = session::read_row(connection, &columns).await?;
    let text = |column: usize| row.get(column).cloned().unwrap_or_default();
    Ok(Properties {
        version: text(0).parse().unwrap_or_default(),
        server_encoding: text(1),
        client_encoding: text(2),
        isolation: text(3),
        replication_role: text(4),
        in_recovery: text(5) == "true",
        read_only: text(6) == "on",
        schema: Some(text(7)).filter(|schema| !schema.is_empty()),
        can_create: text(8) == "true",
        search_path: text(9),
        user: text(10),
        database: text(11),
        off: (0..DURABILITY_SETTINGS.len())
            .filter(|nth| text(12 + nth) == "off")
            .map(|nth| DURABILITY_SETTINGS[nth])
            .collect(),
    })
}

impl Properties {
    /// Returns the first property that Maju cannot work with, and what to do. `None` if all fit.
    fn refusal(&self) -> Option<String> {
        let Self { user, database, search_path, .. } = self;
        // 15.3 is 150003.
        if self.version < MIN_POSTGRES_MAJOR * 10_000 {
            let version = self.version / 10_000;
            return Some(format!("Maju needs Postgres {MIN_POSTGRES_MAJOR} or newer; this one is version {version}"));
        }
        if self.in_recovery {
            return Some(
                "this Postgres is a standby and accepts no writes: name the primary in DATABASE_URL".to_owned(),
            );
        }
        if self.server_encoding != "UTF8" {
            return Some(format!(
                "the database {database} has the encoding {}, which cannot store every message; Maju needs UTF8. Create another with \
                 CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name it in DATABASE_URL",
                self.server_encoding
            ));
        }
        if self.client_encoding != "UTF8" {
            return Some(format!("the connection has the encoding {}; Maju needs UTF8", self.client_encoding));
        }
        if self.read_only {
            return Some(format!(
                "default_transaction_read_only is on, so nothing can be written: turn it off for the server, or with \
                 ALTER DATABASE \"{database}\" or ALTER ROLE \"{user}\" SET default_transaction_read_only = off"
            ));
        }
        if self.isolation != "read committed" {
            return Some(format!("default_transaction_isolation is {}; Maju needs read committed", self.isolation));
        }
        if self.replication_role != "origin" {
            return Some(format!(
                "session_replication_role is {}, so foreign keys are not checked: ALTER ROLE \"{user}\" RESET session_replication_role",
                self.replication_role
            ));
        }
        let Some(schema) = &self.schema else {
            return Some(format!(
                "the role {user} can use no schema of the search_path ({search_path}): create one with \
                 CREATE SCHEMA, or ALTER ROLE \"{user}\" SET search_path = public"
            ));
        };
        (!self.can_create).then(|| {
            format!(
                "the role {user} is not allowed to create tables in the schema {schema} of the database {database}: \
                 GRANT CREATE ON SCHEMA \"{schema}\" TO \"{user}\""
            )
        })
    }
}

async fn check_properties(connection: &mut PgConnection, accept_unsafe: bool) -> Result<(), String> {
    let found = properties(connection).await.map_err(|why| format!("cannot read the settings of Postgres: {why}"))?;
    if let Some(refusal) = found.refusal() {
        return Err(refusal);
    }
    for name in found.off {
        if faults::on(Fault::UnsafeDatabaseAccepted) {
            continue;
        }
        let line = format!("Postgres runs with {name} = off: a crash could lose acknowledged messages");
        if !accept_unsafe {
            return Err(format!("{line}. Turn it on, or accept the risk with --unsafe-database"));
        }
        tracing::warn!(postgres.setting = name, "{line}");
    }
    Ok(())
}

/// Checks that no pooler in transaction or statement mode is between Maju and Postgres: it would
/// give the advisory locks and session settings of Maju to other clients. Returns a second
/// connection, which has another server process than the first one.
async fn check_session_mode(pool: &PgPool, first: &mut PgConnection) -> Result<PgConnection, String> {
    const PID: [&str; 1] = ["pg_backend_pid()::text"];
    let failed = |why: sqlx::Error| describe(pool, &why);
    let wanted = session::settings(SESSION);
    let before = session::read_row(first, &PID).await.map_err(failed)?;
    let set = session::apply(first, &wanted).await.map_err(failed)?;
    let mut second = connect_with_timeout(pool, SESSION, CONNECT_TIMEOUT).await.map_err(failed)?;
    // A pooler in transaction mode reserves a server process for the length of this transaction.
    sqlx::raw_sql("BEGIN").execute(&mut second).await.map_err(failed)?;
    let other = session::read_row(&mut second, &PID).await.map_err(failed)?;
    if other == before {
        return Err(WRONG_POOLER_MODE.to_owned());
    }
    let after = session::read_row(first, &PID).await.map_err(failed)?;
    let read = session::read(first, &wanted).await.map_err(failed)?;
    sqlx::raw_sql("COMMIT").execute(&mut second).await.map_err(failed)?;
    if after != before {
        return Err(WRONG_POOLER_MODE.to_owned());
    }
    match wanted.iter().zip(set.iter().zip(&read)).find(|(_, (set, read))| set != read) {
        Some(((name, value), (_, read))) => Err(format!(
            "the session setting {name} = {value} was lost (it is {read} now): a connection pooler does not keep it; Maju needs session mode"
        )),
        None => Ok(second),
    }
}

/// A limit on the number of connections.
struct Limit {
    /// The server, the role or the database that has the limit.
    subject: String,
    max: i64,
    in_use: i64,
    /// The statement or setting that raises it.
    raise: String,
}

async fn limits(connection: &mut PgConnection) -> Result<Vec<Limit>, sqlx::Error> {
    let mine = "FROM pg_roles WHERE rolname = session_user";
    let here = "FROM pg_database WHERE datname = current_database()";
    let columns = [
        "current_setting('max_connections')".to_owned(),
        "current_setting('superuser_reserved_connections')".to_owned(),
        "coalesce(nullif(current_setting('reserved_connections', true), ''), '0')".to_owned(),
        format!("(SELECT rolconnlimit::text {mine})"),
        format!("(SELECT datconnlimit::text {here})"),
        format!("(SELECT rolsuper::text {mine})"),
        "(SELECT coalesce(sum(numbackends), 0)::text FROM pg_stat_database)".to_owned(),
        "(SELECT count(*)::text FROM pg_stat_activity WHERE usename = session_user)".to_owned(),
        "(SELECT coalesce(sum(numbackends), 0)::text FROM pg_stat_database WHERE datname = current_database())"
            .to_owned(),
        "session_user::text".to_owned(),
        "current_database()::text".to_owned(),
    ];
    let row = session::read_row(connection, &columns).await?;
    let number = |column: usize| row.get(column).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let (role, database) = (&row[9], &row[10]);
    let is_super = row[5] == "true";
    let reserved = if is_super { 0 } else { number(1) + number(2) };
    let mut limits = vec![Limit {
        subject: "the server".to_owned(),
        max: number(0) - reserved,
        in_use: number(6),
        raise: "raise max_connections".to_owned(),
    }];
    // For a superuser, Postgres applies only the server's limit.
    if !is_super && number(3) >= 0 {
        let raise = format!("ALTER ROLE \"{role}\" CONNECTION LIMIT");
        limits.push(Limit { subject: format!("the role {role}"), max: number(3), in_use: number(7), raise });
    }
    if !is_super && number(4) >= 0 {
        let raise = format!("ALTER DATABASE \"{database}\" CONNECTION LIMIT");
        limits.push(Limit { subject: format!("the database {database}"), max: number(4), in_use: number(8), raise });
    }
    Ok(limits)
}

/// Refuses limits with which a node cannot work, and warns of limits below what a busy node opens.
/// `held` connections are open for these checks and do not count as in use.
async fn check_limits(connection: &mut PgConnection, own: u32, held: i64) -> Result<(), String> {
    let (min, busy) = (i64::from(own + MIN_POOL_CONNECTIONS), i64::from(own + MAX_POOL_CONNECTIONS));
    let limits =
        limits(connection).await.map_err(|why| format!("cannot read the connection limits of Postgres: {why}"))?;
    for Limit { subject, max, in_use, raise } in limits {
        let free = max - (in_use - held).max(0);
        if max < min {
            return Err(format!(
                "{subject} allows {max} connections, but a node cannot work with fewer than {min} and opens {busy} when it is busy: {raise}"
            ));
        }
        if free < busy {
            tracing::warn!(
                postgres.limit = max,
                postgres.free = free,
                node.connections = busy,
                "{subject} has {free} of {max} connections left, but a node opens {busy} when it is busy: {raise}"
            );
        }
    }
    Ok(())
}

/// Opens as many connections as a node needs at least, because a pooler's limit cannot be queried.
/// `held` of these `min` connections are open already.
async fn check_capacity(pool: &PgPool, min: u32, held: u32) -> Result<Vec<PgConnection>, String> {
    let opening = (held..min).map(|_| connect_with_timeout(pool, SESSION, CONNECT_TIMEOUT));
    let mut open = Vec::new();
    let mut why = None;
    for opened in join_all(opening).await {
        match opened {
            Ok(connection) => open.push(connection),
            Err(error) => why = Some(error),
        }
    }
    match why {
        None => Ok(open),
        Some(why) => Err(format!(
            "could not open {min} connections; a node cannot work with fewer, and opens {} when it is busy: {}. \
             If this is a PgBouncer, raise its default_pool_size",
            min - MIN_POOL_CONNECTIONS + MAX_POOL_CONNECTIONS,
            describe(pool, &why)
        )),
    }
}
