//! A Postgres that runs separately from the nodes, so that each node can be cut off from it.
//! `maju migrate` creates its database, and this program starts and restarts it.
//!
//! It has the programs and settings of a private Postgres: they are read from the command line that
//! Postgres recorded in `postmaster.opts` at its last start.
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sim::sys::{SIGINT, is_root, signal};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};

use crate::cluster::launch;

/// The roles with which the two nodes connect, so that Postgres can tell the nodes apart.
pub const ROLES: [&str; 2] = ["node1", "node2"];

/// A Postgres that this program starts, and restarts after it has ended.
pub struct Postgres {
    command: Vec<String>,
    database: PathBuf,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

/// Connects over the Unix socket, past the proxies of the nodes, as the role `maju`.
pub async fn connect(socket_folder: &Path, name: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    config.host_path(socket_folder).user("maju").dbname("maju").application_name(name);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Returns `true` if Postgres answers within a second over its Unix socket.
pub async fn answers(socket_folder: &Path) -> bool {
    let asked = async { connect(socket_folder, "chaos").await?.simple_query("SELECT 1").await };
    matches!(timeout(Duration::from_secs(1), asked).await, Ok(Ok(_)))
}

impl Postgres {
    /// Creates the database with `maju migrate`, starts Postgres on it and creates the nodes'
    /// roles.
    pub async fn start(bin: &Path, folder: &Path) -> Self {
        let (data, log) = (folder.join("data"), folder.join("migrate.log"));
        let mut command = Command::new(bin);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        crate::cluster::keep_profile(&mut command, folder);
        command.args(["migrate", "--log", "json", "--data-dir"]).arg(&data);
        let mut migrating = launch(&mut command, &log);
        let until = Instant::now() + Duration::from_secs(60);
        let done = loop {
            if let Ok(Some(status)) = migrating.try_wait() {
                break status.success();
            }
            assert!(Instant::now() < until, "maju migrate did not end: {}", log.display());
            sleep(Duration::from_millis(20)).await;
        };
        assert!(done, "maju migrate failed: {}", log.display());
        let database = data.join("pg");
        let noted = std::fs::read_to_string(database.join("postmaster.opts")).expect("a command line");
        let (program, arguments) =
            noted.trim().strip_suffix('"').and_then(|line| line.split_once(" \"")).expect("arguments");
        let command = std::iter::once(program).chain(arguments.split("\" \"")).map(str::to_owned).collect();
        let postgres = Self { command, database, log: folder.join("postgres.log"), child: Mutex::default() };
        postgres.restart_if_ended();
        let socket_folder = data.join("run");
        while !answers(&socket_folder).await {
            assert!(Instant::now() < until, "Postgres did not start: {}", postgres.log.display());
            postgres.restart_if_ended();
            sleep(Duration::from_millis(50)).await;
        }
        let inside = connect(&socket_folder, "chaos").await.expect("Postgres");
        for role in ROLES {
            inside.batch_execute(&format!("CREATE ROLE {role} SUPERUSER LOGIN")).await.expect("a role");
        }
        postgres
    }

    /// Starts Postgres unless it runs. It does not wait for the start: after `kill -9`, or on a
    /// full disk, several calls are needed.
    pub fn restart_if_ended(&self) {
        let mut child = self.child.lock();
        if child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return;
        }
        let Ok(found) = std::fs::metadata(&self.database) else { return };
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if is_root() {
            command.uid(found.uid()).gid(found.gid());
        }
        *child = Some(launch(&mut command, &self.log));
    }

    /// Stops Postgres with a fast shutdown (SIGINT), and kills it after ten seconds.
    pub async fn stop(&self) {
        let Some(mut child) = self.child.lock().take() else { return };
        signal(child.id() as i32, SIGINT);
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The statement that ends the Postgres sessions of the nodes.
pub const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = 'maju' AND application_name LIKE 'maju%'";

/// Occupies every connection that Postgres allows, those of the nodes too, until it is dropped.
pub struct ConnectionHog {
    task: tokio::task::JoinHandle<()>,
}

impl ConnectionHog {
    pub fn start(socket_folder: PathBuf) -> Self {
        let task = tokio::spawn(async move {
            let mut seats: Vec<Client> = Vec::new();
            loop {
                let taken = timeout(Duration::from_secs(1), connect(&socket_folder, "crowd")).await;
                let full = !matches!(taken, Ok(Ok(_)));
                seats.extend(taken.ok().and_then(Result::ok));
                if full {
                    // A node can have taken a connection first. Its session is ended, and the next
                    // attempt takes that connection.
                    if let Some(seat) = seats.last() {
                        let _ = seat.batch_execute(END_SESSIONS).await;
                    }
                    seats.retain(|seat| !seat.is_closed());
                    sleep(Duration::from_millis(20)).await;
                }
            }
        });
        Self { task }
    }
}

impl Drop for ConnectionHog {
    fn drop(&mut self) {
        self.task.abort();
    }
}
