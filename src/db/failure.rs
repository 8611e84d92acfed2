//! Why Postgres cannot be reached, as a sentence for the operator: by name, with host and port, without a password.
use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// Describes why a connection could not be opened. `waited` is how long it was tried.
pub(super) fn describe(error: &sqlx::Error, options: &PgConnectOptions, waited: Duration) -> String {
    let place = place(options);
    match error {
        sqlx::Error::Io(why) => match why.kind() {
            ErrorKind::ConnectionRefused => {
                format!("connection refused at {place}: Postgres does not run there, or listens elsewhere")
            }
            ErrorKind::NotFound => format!("there is no Postgres at {place}: the file does not exist"),
            ErrorKind::PermissionDenied => format!("this user may not connect to {place}: {why}"),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                format!("{place} closed the connection ({why}): it may not be a Postgres, or require TLS or forbid it")
            }
            _ if is_lookup(why) => format!("the host {} is not known ({why})", options.get_host()),
            _ => format!("cannot reach Postgres at {place}: {why}"),
        },
        sqlx::Error::Tls(why) => {
            format!("TLS with Postgres at {place} failed: {why}. The parameter sslmode of the URL chooses")
        }
        sqlx::Error::Protocol(why) => format!("what answers at {place} is not a Postgres that Maju understands: {why}"),
        sqlx::Error::PoolTimedOut => format!("Postgres at {place} does not answer within {} s", waited.as_secs()),
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            refused(&code, said.message(), options)
                .unwrap_or_else(|| format!("Postgres at {place} refuses the connection: {} ({code})", said.message()))
        }
        other => format!("cannot reach Postgres at {place}: {other}"),
    }
}

/// What Postgres says often, and what to do about it.
fn refused(code: &str, message: &str, options: &PgConnectOptions) -> Option<String> {
    let (place, user) = (place(options), options.get_username());
    let database = options.get_database().unwrap_or(user);
    Some(match code {
        "28P01" => format!("wrong password, or no such role: Postgres at {place} says: {message}"),
        "28000" => format!("Postgres at {place} does not let the role {user} in: {message}"),
        "3D000" => format!(
            "the database {database} does not exist on Postgres at {place}: make it with \
             CREATE DATABASE \"{database}\" ENCODING 'UTF8' TEMPLATE template0"
        ),
        "42501" => format!("the role {user} may not use the database {database} on Postgres at {place}: {message}"),
        "53300" => format!("too many connections: Postgres at {place} says: {message}"),
        "57P03" => format!("Postgres at {place} is starting, stopping or recovering: {message}"),
        _ if message.contains("statement pooling") => super::start::WRONG_MODE.to_owned(),
        _ => return None,
    })
}

/// Returns `true` if waiting may help: Postgres is not there yet, or is starting.
pub(super) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(why) => matches!(why.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
        sqlx::Error::Database(said) => matches!(said.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn is_lookup(error: &std::io::Error) -> bool {
    error.to_string().contains("lookup address")
}

/// Host and port, or the socket.
fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("the socket {}/.s.PGSQL.{}", folder.display(), options.get_port()),
        None if options.get_host().contains(':') => format!("[{}]:{}", options.get_host(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}
