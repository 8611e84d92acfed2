//! A private Postgres in the data folder: started and stopped with Maju, shared between the
//! processes that use the folder, and taken over when its owner ends.
mod archive;
mod environment;
mod error;
mod lock;
mod marker;
mod parent_death;
mod paths;
mod postmaster;
mod probe;
mod programs;
mod server;
mod sizing;
mod supervisor;
#[cfg(test)]
mod tests;
mod user;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

pub use environment::without_pg_variables;
pub use error::PrivateError;
use programs::Sources;
use supervisor::{ControlMessage, Status, Supervisor};

/// The name of the database.
const DATABASE: &str = "maju";

/// Where the private Postgres keeps its files, and how safely it writes them.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The data folder, created if it is missing. Holds `lock`, `log/postgres.log`, and usually
    /// `pg`, `run` and `pg-programs`.
    pub data_dir: PathBuf,
    /// The parent of fallback folders, usually `/var/lib/maju`. If Maju runs as root and Postgres's
    /// user cannot enter the data folder, then `pg`, `run` and `pg-programs` are kept in a folder
    /// below this one. Its name is derived from the data folder's path.
    pub fallback_base: PathBuf,
    /// Whether a commit survives a power failure. `false` is for tests only, which it makes faster.
    pub durable: bool,
}

/// A handle to the private Postgres. Dropping the last one stops Postgres as
/// [`PrivatePostgres::stop`] does.
#[derive(Clone)]
pub struct PrivatePostgres {
    inner: Arc<Inner>,
}

struct Inner {
    control: SyncSender<ControlMessage>,
    status: watch::Receiver<Status>,
    /// Empty until Postgres has been opened.
    socket_folder: OnceLock<PathBuf>,
}

/// Starts the private Postgres, or joins the one that another Maju runs in the same data folder.
///
/// Returns at once, so that the start can be interrupted; [`Starting::finish`] waits for the
/// result. `programs` is the setting `pg-bin`.
///
/// From then on a thread supervises Postgres. It restarts Postgres within a second if it ends, and
/// within ten seconds if it can no longer be reached. If another Maju owned Postgres and ends, this
/// one takes it over on the same socket: pools only have to reconnect.
///
/// # Errors
/// Returns an error if the thread cannot be started.
pub fn start(options: StartOptions, programs: Option<PathBuf>) -> Result<Starting, PrivateError> {
    start_with(options, Sources::for_user(programs), true)
}

/// As [`start`], for a command that ends soon: if another Maju runs Postgres and ends, this one does
/// not take it over.
///
/// # Errors
/// As [`start`].
pub fn join(options: StartOptions, programs: Option<PathBuf>) -> Result<Starting, PrivateError> {
    start_with(options, Sources::for_user(programs), false)
}

/// Starts Postgres with the programs of `MAJU_PG_BIN`, if it is set, and waits until it is ready.
#[cfg(test)]
pub async fn open(options: StartOptions) -> Result<PrivatePostgres, PrivateError> {
    open_with(options, Sources::from_environment()).await
}

#[cfg(test)]
async fn open_with(options: StartOptions, sources: Sources) -> Result<PrivatePostgres, PrivateError> {
    start_with(options, sources, true)?.finish().await
}

fn start_with(options: StartOptions, sources: Sources, takes_over: bool) -> Result<Starting, PrivateError> {
    let folder = options.data_dir.clone();
    let (control_sender, control) = sync_channel(1);
    let (opened, answer) = oneshot::channel();
    let (status_sender, status) = watch::channel(Status::default());
    let supervisor = Supervisor::new(options, sources, takes_over, control, status_sender, opened);
    // A thread and not a task: the kernel ends Postgres together with the thread that started it,
    // and tokio's threads come and go.
    thread::Builder::new()
        .name("private-postgres".to_owned())
        .spawn(move || supervisor.run())
        .map_err(|problem| PrivateError::at(&folder, "starting a thread", problem))?;
    let inner = Inner { control: control_sender, status, socket_folder: OnceLock::new() };
    Ok(Starting { postgres: PrivatePostgres { inner: Arc::new(inner) }, answer, folder })
}

/// A private Postgres that is starting.
pub struct Starting {
    postgres: PrivatePostgres,
    answer: oneshot::Receiver<Result<PathBuf, PrivateError>>,
    folder: PathBuf,
}

impl Starting {
    /// Returns a handle with which the start can be stopped. It is of no other use before
    /// [`Starting::finish`] has returned.
    #[must_use]
    pub fn handle(&self) -> PrivatePostgres {
        self.postgres.clone()
    }

    /// Waits until Postgres accepts connections and has the database `maju`. Creates what is
    /// missing; the first start takes one to two seconds.
    ///
    /// # Errors
    /// Returns a [`PrivateError`]. Nothing is left running then.
    pub async fn finish(self) -> Result<PrivatePostgres, PrivateError> {
        let Self { postgres, answer, folder } = self;
        let socket_folder = answer.await.map_err(|_| PrivateError::GivenUp)??;
        postgres.inner.socket_folder.get_or_init(|| socket_folder);
        if let Err(error) = ensure_database(postgres.connect_options()).await {
            postgres.stop().await;
            return Err(PrivateError::Refused { folder, problem: error.to_string() });
        }
        Ok(postgres)
    }
}

/// Returns `true` if a data folder has a database, here or in another folder that its marker names.
#[must_use]
pub fn exists(data_dir: &std::path::Path) -> bool {
    marker::path(data_dir).exists() || paths::has_database(data_dir)
}

impl PrivatePostgres {
    /// Returns how to connect: over the Unix socket, as `maju`, to the database `maju`. Restarts
    /// and changes of owner do not change it.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        // Everything is set, so that no PG* variable of the environment is used. PGOPTIONS alone
        // cannot be overridden here: see `without_pg_variables`.
        let socket_folder = self.inner.socket_folder.get().map_or_else(PathBuf::new, PathBuf::clone);
        PgConnectOptions::new_without_pgpass()
            .socket(socket_folder)
            .port(5432)
            .username(server::ROLE)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Returns `true` if this process runs Postgres, and `false` if it shares the Postgres of
    /// another process. Can change to `true` at any time.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(*self.inner.status.borrow(), Status::Owned { .. })
    }

    /// Returns `true` if Postgres accepted connections at the last check, also if another process owns it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(*self.inner.status.borrow(), Status::Owned { .. } | Status::Shared { .. })
    }

    /// Returns one line for a person: version, folder and owner.
    #[must_use]
    pub fn describe(&self) -> String {
        match &*self.inner.status.borrow() {
            Status::Down => "PostgreSQL is starting".to_owned(),
            Status::Stopped => "PostgreSQL is stopped".to_owned(),
            Status::Owned { pid, version, database } => {
                format!(
                    "PostgreSQL {version} in {}, owned by this process (Postgres is process {pid})",
                    database.display()
                )
            }
            Status::Shared { database, version, holder } => {
                let holder = holder.map_or_else(|| "another Maju".to_owned(), |pid| format!("process {pid}"));
                format!("PostgreSQL {version} in {}, shared with {holder}", database.display())
            }
        }
    }

    /// Stops Postgres if this process owns it, and then releases the lock; otherwise only stops
    /// watching it. Returns when that is done.
    ///
    /// The shutdown is fast and clean, and forced after 15 seconds. A second call does nothing.
    pub async fn stop(&self) {
        // Fails if a stop has been requested before.
        self.inner.control.try_send(ControlMessage::Stop).ok();
        let mut status = self.inner.status.clone();
        // Fails if the thread has ended, which is as good as stopped.
        status.wait_for(|status| *status == Status::Stopped).await.ok();
    }
}

/// Connects once, and creates the database if it is missing. Retries while another process takes
/// Postgres over.
async fn ensure_database(options: PgConnectOptions) -> Result<(), sqlx::Error> {
    const MAX_ATTEMPTS: u32 = 100;
    const RETRY_DELAY: Duration = Duration::from_millis(100);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let outcome = match options.connect().await {
            Ok(connection) => connection.close().await,
            Err(error) if has_code(&error, &["3D000"]) => create_database(options.clone().database("postgres")).await,
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if attempts >= MAX_ATTEMPTS => return Err(error),
            // Postgres is starting or stopping (57P0x), the socket does not exist (io), or another
            // process is creating the database (42P04, 23505).
            Err(error)
                if matches!(error, sqlx::Error::Io(_))
                    || has_code(&error, &["57P01", "57P02", "57P03", "42P04", "23505"]) => {}
            outcome => return outcome,
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn create_database(options: PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::query("CREATE DATABASE maju").execute(&mut connection).await?;
    connection.close().await
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| codes.contains(&code.as_ref()))
}
