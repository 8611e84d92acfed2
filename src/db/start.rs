//! Checks at the start: that the database keeps what it says is committed, has the properties that Maju depends on, is not
//! behind a pooler in another mode than session, and has the connections that a node needs.
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::Instant;

use super::{POOL, connect_within, failure, session};
use crate::faults::{self, Fault};

/// What is said of a pooler whose connections change hands between two statements.
pub(super) const WRONG_MODE: &str = "the connection pooler is in transaction or statement mode; Maju needs session mode \
     (PgBouncer: pool_mode = session)";
/// How long a start waits for one connection. Generous: the machine may be busy.
const OPENING: Duration = Duration::from_secs(10);
/// How long a start waits for a Postgres that is not there yet, or is starting.
const COMING: Duration = Duration::from_secs(2);
/// Time between two tries.
const AGAIN: Duration = Duration::from_millis(100);
/// Connections of the pool without which requests do not get on.
const LEAST_POOL: u32 = 2;
/// The session of a check.
const SESSION: &[session::Setting] = &[("application_name", "maju start")];

/// Checks an open pool's database. `own` connections of a node are outside the pool; `None` for a command that needs no node's.
///
/// # Errors
/// One line that names what is wrong and the way out.
pub async fn check(pool: &PgPool, accept_unsafe: bool, own: Option<u32>) -> Result<(), String> {
    let mut first = arrive(pool).await?;
    check_properties(&mut first, accept_unsafe).await?;
    let mut held: u32 = 1;
    if let Some(own) = own {
        check_limits(&mut first, own, held.into()).await?;
    }
    let second = check_session_mode(pool, &mut first).await?;
    held += 1;
    let mut open = vec![first, second];
    if let Some(own) = own {
        // The pool opens its first by itself.
        open.extend(check_room(pool, own + LEAST_POOL, held + 1).await?);
    }
    join_all(open.into_iter().map(|connection| tokio::time::timeout(COMING, connection.close()))).await;
    Ok(())
}

/// The first connection: one that is refused is tried again for a moment.
async fn arrive(pool: &PgPool) -> Result<PgConnection, String> {
    let until = Instant::now() + COMING;
    loop {
        match connect_within(pool, SESSION, OPENING).await {
            Ok(connection) => return Ok(connection),
            Err(why) if failure::may_pass(&why) && Instant::now() < until => tokio::time::sleep(AGAIN).await,
            Err(why) => return Err(failed(pool, &why)),
        }
    }
}

fn failed(pool: &PgPool, error: &sqlx::Error) -> String {
    failure::describe(error, &pool.connect_options(), OPENING)
}

/// The properties of a database, a role and a server that Maju depends on.
struct Properties {
    version: i32,
    server_encoding: String,
    client_encoding: String,
    isolation: String,
    replication_role: String,
    in_recovery: bool,
    read_only: bool,
    /// `None` if no schema of the search path exists.
    schema: Option<String>,
    may_create: bool,
    search_path: String,
    user: String,
    database: String,
    /// `fsync`, `full_page_writes`, `synchronous_commit`: whether they are off.
    off: Vec<&'static str>,
}

/// Settings without which a crash loses what was acknowledged.
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

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
    let row = session::row(connection, &columns).await?;
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
        may_create: text(8) == "true",
        search_path: text(9),
        user: text(10),
        database: text(11),
        off: (0..DURABLE.len()).filter(|nth| text(12 + nth) == "off").map(|nth| DURABLE[nth]).collect(),
    })
}

impl Properties {
    /// What is wrong with them, and the way out.
    fn refusal(&self) -> Option<String> {
        let Self { user, database, search_path, .. } = self;
        if self.version < 150_000 {
            return Some(format!("Postgres 15 or newer is needed; this one reports {}", self.version));
        }
        if self.in_recovery {
            return Some("this Postgres is a standby and takes no writes: name the primary in DATABASE_URL".to_owned());
        }
        if self.server_encoding != "UTF8" {
            return Some(format!(
                "the database {database} has the encoding {}, which cannot hold every message; Maju needs UTF8. Make another with \
                 CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name it in DATABASE_URL",
                self.server_encoding
            ));
        }
        if self.client_encoding != "UTF8" {
            return Some(format!("the connection has the encoding {}; Maju needs UTF8", self.client_encoding));
        }
        if self.read_only {
            return Some(format!(
                "default_transaction_read_only is on, so that nothing can be written: turn it off for the server, or with \
                 ALTER DATABASE \"{database}\" or ALTER ROLE \"{user}\" SET default_transaction_read_only = off"
            ));
        }
        if self.isolation != "read committed" {
            return Some(format!("default_transaction_isolation is {}; Maju needs read committed", self.isolation));
        }
        if self.replication_role != "origin" {
            return Some(format!(
                "session_replication_role is {}, so that references are not checked: ALTER ROLE \"{user}\" RESET session_replication_role",
                self.replication_role
            ));
        }
        let Some(schema) = &self.schema else {
            return Some(format!(
                "no schema of the search_path ({search_path}) exists or may be used by the role {user}: make one with \
                 CREATE SCHEMA, or ALTER ROLE \"{user}\" SET search_path = public"
            ));
        };
        (!self.may_create).then(|| {
            format!(
                "the role {user} may not make tables in the schema {schema} of the database {database}: \
                 GRANT CREATE ON SCHEMA \"{schema}\" TO \"{user}\""
            )
        })
    }
}

async fn check_properties(connection: &mut PgConnection, accept_unsafe: bool) -> Result<(), String> {
    let found = properties(connection).await.map_err(|why| format!("cannot read the properties of Postgres: {why}"))?;
    if let Some(refusal) = found.refusal() {
        return Err(refusal);
    }
    for name in found.off {
        if faults::on(Fault::UnsafeDatabaseAccepted) {
            continue;
        }
        let line = format!("Postgres runs with {name} = off: a crash could lose acknowledged messages");
        if !accept_unsafe {
            return Err(format!("{line}. Turn it on, or start with --unsafe-database if that is what you want"));
        }
        tracing::warn!(postgres.setting = name, "{line}");
    }
    Ok(())
}

/// A pooler in transaction mode would hand our advisory locks and session settings to somebody else. Returns a second
/// connection, which has not met the first one's server process.
async fn check_session_mode(pool: &PgPool, first: &mut PgConnection) -> Result<PgConnection, String> {
    const PID: [&str; 1] = ["pg_backend_pid()::text"];
    let failed = |why: sqlx::Error| failed(pool, &why);
    let wanted = session::of(SESSION);
    let before = session::row(first, &PID).await.map_err(failed)?;
    let set = session::set(first, &wanted).await.map_err(failed)?;
    let mut second = connect_within(pool, SESSION, OPENING).await.map_err(failed)?;
    // While this transaction lasts, a pooler in transaction mode has lent the server process to it alone.
    sqlx::raw_sql("BEGIN").execute(&mut second).await.map_err(failed)?;
    let other = session::row(&mut second, &PID).await.map_err(failed)?;
    if other == before {
        return Err(WRONG_MODE.to_owned());
    }
    let after = session::row(first, &PID).await.map_err(failed)?;
    let read = session::read(first, &wanted).await.map_err(failed)?;
    sqlx::raw_sql("COMMIT").execute(&mut second).await.map_err(failed)?;
    if after != before {
        return Err(WRONG_MODE.to_owned());
    }
    match wanted.iter().zip(set.iter().zip(&read)).find(|(_, (set, read))| set != read) {
        Some(((name, value), (_, read))) => Err(format!(
            "the session setting {name} = {value} does not hold (it is {read}): a connection pooler loses it; Maju needs session mode"
        )),
        None => Ok(second),
    }
}

/// A limit on connections, how many there are under it, and whose it is.
struct Limit {
    of: String,
    most: i64,
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
    let row = session::row(connection, &columns).await?;
    let number = |column: usize| row.get(column).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let (role, database) = (&row[9], &row[10]);
    let is_super = row[5] == "true";
    let kept = if is_super { 0 } else { number(1) + number(2) };
    let mut limits = vec![Limit {
        of: "the server".to_owned(),
        most: number(0) - kept,
        in_use: number(6),
        raise: "raise max_connections".to_owned(),
    }];
    // Postgres holds a superuser to the first one only.
    if !is_super && number(3) >= 0 {
        let raise = format!("ALTER ROLE \"{role}\" CONNECTION LIMIT");
        limits.push(Limit { of: format!("the role {role}"), most: number(3), in_use: number(7), raise });
    }
    if !is_super && number(4) >= 0 {
        let raise = format!("ALTER DATABASE \"{database}\" CONNECTION LIMIT");
        limits.push(Limit { of: format!("the database {database}"), most: number(4), in_use: number(8), raise });
    }
    Ok(limits)
}

/// Refuses a limit under which a node cannot work, and warns of one that leaves less than a busy node opens.
async fn check_limits(connection: &mut PgConnection, own: u32, held: i64) -> Result<(), String> {
    let (least, all) = (i64::from(own + LEAST_POOL), i64::from(own + POOL));
    let limits = limits(connection).await.map_err(|why| format!("cannot read the limits of Postgres: {why}"))?;
    for Limit { of, most, in_use, raise } in limits {
        let free = most - (in_use - held).max(0);
        if most < least {
            return Err(format!(
                "{of} may have {most} connections, and a node opens {all} when it is busy and cannot work with fewer than {least}: {raise}"
            ));
        }
        if free < all {
            tracing::warn!(
                postgres.limit = most,
                postgres.free = free,
                node.connections = all,
                "{of} has {free} of {most} connections left, and a node opens {all} when it is busy: {raise}"
            );
        }
    }
    Ok(())
}

/// Opens as many connections as a node cannot do without: what a pooler allows is in no catalogue.
async fn check_room(pool: &PgPool, least: u32, held: u32) -> Result<Vec<PgConnection>, String> {
    let opening = (held..least).map(|_| connect_within(pool, SESSION, OPENING));
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
            "not even {least} connections could be opened, and a node cannot work with fewer and opens {} when it is busy: {}. \
             Behind PgBouncer raise default_pool_size",
            least - LEAST_POOL + POOL,
            failed(pool, &why)
        )),
    }
}
