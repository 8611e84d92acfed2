//! A real PgBouncer. Its session mode with default settings works, with Maju's session settings;
//! the other modes are refused by name.
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;
use crate::db::start_checks::check;
use crate::db::{connect, pool, session};
use crate::realtime::Relay;
use crate::testing::{self, Node};

/// A PgBouncer in front of the tests' Postgres.
struct Pooler {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler {
    /// Starts one with its default settings and those of a test. `None`, with a message, if it is
    /// not installed.
    async fn start(database: &PgPool, settings: &str) -> Option<Self> {
        let programs =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
        let Some(program) = programs.iter().find(|program| std::path::Path::new(program).exists()) else {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "SKIPPED: a pooler: pgbouncer is not installed, run `make needs`").unwrap();
            return None;
        };
        let options = database.connect_options();
        let socket = options.get_socket().unwrap().clone();
        let folder = tempfile::Builder::new().prefix("maju-pooler-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let ini = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\n{settings}\n",
            socket.display(),
            options.get_port(),
            options.get_username()
        );
        std::fs::write(&ini, text).unwrap();
        std::fs::set_permissions(&ini, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mut command = Command::new(program);
        command.arg(&ini).stdout(Stdio::null()).stderr(Stdio::null());
        // Only its owner can use the socket, and PgBouncer does not run as root.
        let owner = std::fs::metadata(&socket).unwrap();
        if rustix::process::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let pooler = Self { child: command.spawn().unwrap(), port, _folder: folder };
        testing::eventually("the pooler listens", || async { TcpStream::connect(("127.0.0.1", port)).await.is_ok() })
            .await;
        Some(pooler)
    }

    /// Returns the pool of a node that connects to the pooler.
    fn pool(&self, database: &PgPool) -> PgPool {
        let options = database.connect_options();
        let through = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        pool(through.username(options.get_username()).database(options.get_database().unwrap()))
    }
}

/// Returns the settings in docs/OPERATIONS.md.
fn documented() -> &'static str {
    let (_, rest) = include_str!("../../../docs/OPERATIONS.md").split_once("```ini\n[pgbouncer]\n").unwrap();
    rest.split_once("```").unwrap().0
}

#[tokio::test]
async fn a_pooler_in_session_mode_keeps_the_session_settings() {
    let database = testing::database().await;
    let Some(pooler) = Pooler::start(&database, documented()).await else { return };
    let through = pooler.pool(&database);
    check(&through, true, Some(8)).await.unwrap();
    let wanted = session::settings(&[]);
    let values: Vec<&str> = wanted.iter().map(|(_, value)| *value).collect();
    // Several at once, and a second time with server processes that have been used before.
    for _ in 0..2 {
        let mut held = Vec::new();
        for _ in 0..5 {
            let mut connection = through.acquire().await.unwrap();
            assert_eq!(session::read(&mut connection, &wanted).await.unwrap(), values);
            held.push(connection);
        }
    }
    let own = [("idle_in_transaction_session_timeout", "3s"), ("application_name", "maju matcher")];
    let mut matcher = connect(&through, &own).await.unwrap();
    assert_eq!(session::read(&mut matcher, &own).await.unwrap(), ["3s", "maju matcher"]);
    // A transaction that hangs is ended, as it is without a pooler, so a frozen node does not block
    // others.
    sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(1)").execute(&mut matcher).await.unwrap();
    let free = || async {
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(1)").fetch_one(&database).await.unwrap();
        taken
    };
    assert!(!free().await);
    testing::eventually("the lock of the hanging transaction is free", free).await;
}

#[tokio::test]
async fn people_are_matched_and_talk_through_a_pooler() {
    let database = testing::database().await;
    let Some(pooler) = Pooler::start(&database, "pool_mode = session\ndefault_pool_size = 40").await else { return };
    let node = Node::start(pooler.pool(&database), Relay::in_process(), Clock::default(), |_| {}).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    assert_eq!(talk.a.text(&talk.room, "through").await["seq"], 1);
    assert_eq!(talk.b.event("message").await["payload"]["text"], "through");
}

#[tokio::test]
async fn a_pooler_in_another_mode_is_refused_by_name() {
    for settings in [
        "pool_mode = transaction",
        "pool_mode = transaction\ndefault_pool_size = 1",
        "pool_mode = transaction\nmin_pool_size = 5\nserver_round_robin = 1",
        "pool_mode = transaction\nignore_startup_parameters = extra_float_digits, options",
        "pool_mode = statement",
    ] {
        let database = testing::database().await;
        let Some(pooler) = Pooler::start(&database, settings).await else { return };
        let refused = check(&pooler.pool(&database), true, Some(8)).await.unwrap_err();
        assert!(refused.contains("session mode") && refused.contains("pool_mode"), "{settings}: {refused}");
    }
}

#[tokio::test]
async fn a_pooler_with_too_few_connections_is_refused_with_their_number() {
    let database = testing::database().await;
    let settings = "pool_mode = session\ndefault_pool_size = 4\nquery_wait_timeout = 1";
    let Some(pooler) = Pooler::start(&database, settings).await else { return };
    let refused = check(&pooler.pool(&database), true, Some(8)).await.unwrap_err();
    for part in ["could not open 10 connections", "opens 24", "default_pool_size"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}
