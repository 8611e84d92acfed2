//! Why Postgres cannot be reached: a sentence for the operator, with host and port and without a
//! password.
use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// Describes why a connection could not be opened. `waited` is how long it was attempted.
pub(super) fn describe(error: &sqlx::Error, options: &PgConnectOptions, waited: Duration) -> String {
    let server = server(options);
    match error {
        sqlx::Error::Io(why) => match why.kind() {
            ErrorKind::ConnectionRefused => {
                format!("connection refused at {server}: no Postgres listens there")
            }
            ErrorKind::NotFound => format!("there is no Postgres at {server}: the socket does not exist"),
            ErrorKind::PermissionDenied => format!("this user is not allowed to connect to {server}: {why}"),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                format!("{server} closed the connection ({why}): it is not a Postgres, or it requires or forbids TLS")
            }
            _ if is_lookup_failure(why) => format!("the host {} is not known ({why})", options.get_host()),
            _ => format!("cannot reach Postgres at {server}: {why}"),
        },
        sqlx::Error::Tls(why) => {
            format!(
                "TLS with Postgres at {server} failed: {why}. To change the TLS mode, set the parameter sslmode in the URL"
            )
        }
        sqlx::Error::Protocol(why) => format!("the server at {server} is not a Postgres that Maju supports: {why}"),
        sqlx::Error::PoolTimedOut => format!("Postgres at {server} did not answer within {} s", waited.as_secs()),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            describe_refusal(&code, error.message(), options)
                .unwrap_or_else(|| format!("Postgres at {server} refused the connection: {} ({code})", error.message()))
        }
        other => format!("cannot reach Postgres at {server}: {other}"),
    }
}

/// Describes common refusals, and what to do about them. `None` for all others.
fn describe_refusal(code: &str, message: &str, options: &PgConnectOptions) -> Option<String> {
    let (server, user) = (server(options), options.get_username());
    let database = options.get_database().unwrap_or(user);
    Some(match code {
        "28P01" => format!("wrong password, or no such role. Postgres at {server} reports: {message}"),
        "28000" => format!("Postgres at {server} refused the role {user}: {message}"),
        "3D000" => format!(
            "the database {database} does not exist on Postgres at {server}: create it with \
             CREATE DATABASE \"{database}\" ENCODING 'UTF8' TEMPLATE template0"
        ),
        "42501" => {
            format!("the role {user} is not allowed to use the database {database} on Postgres at {server}: {message}")
        }
        "53300" => format!("too many connections. Postgres at {server} reports: {message}"),
        "57P03" => format!("Postgres at {server} is starting, stopping or recovering: {message}"),
        _ if message.contains("statement pooling") => super::start_checks::WRONG_POOLER_MODE.to_owned(),
        _ => return None,
    })
}

/// Returns `true` if a retry can help: Postgres does not run yet, is starting, or has too many
/// connections.
pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(why) => matches!(why.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn is_lookup_failure(error: &std::io::Error) -> bool {
    error.to_string().contains("lookup address")
}

/// Returns host and port, or the socket.
fn server(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("the socket {}/.s.PGSQL.{}", folder.display(), options.get_port()),
        None if options.get_host().contains(':') => format!("[{}]:{}", options.get_host(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}
