//! A Postgres of our own in the data folder: started and stopped with us, shared between processes, taken over when its owner goes.
mod archive;
mod death;
mod environment;
mod error;
mod keeper;
mod lock;
mod look;
mod mark;
mod owner;
mod postmaster;
mod programs;
mod server;
mod sizes;
#[cfg(test)]
mod tests;

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
use keeper::{Keeper, Order, Phase};
use programs::Sources;

/// The database that is made for us.
const DATABASE: &str = "maju";

/// Where the private Postgres lives.
#[derive(Clone, Debug)]
pub struct Place {
    /// The data folder; made when it is missing. Holds `lock`, `log/postgres.log`, and usually `pg`, `run` and `pg-programs`.
    pub data_dir: PathBuf,
    /// For root, where Postgres's user cannot reach the data folder: `pg`, `run` and `pg-programs` go into a folder of their own below
    /// this one, named after the data folder's path. Usually `/var/lib/maju`.
    pub fallback_base: PathBuf,
    /// Whether a commit survives a loss of power. False makes tests faster and is for nothing else.
    pub durable: bool,
}

/// A handle to the private Postgres. When the last one is dropped, Postgres is stopped as by [`PrivatePostgres::stop`].
#[derive(Clone)]
pub struct PrivatePostgres {
    inner: Arc<Inner>,
}

struct Inner {
    orders: SyncSender<Order>,
    phase: watch::Receiver<Phase>,
    /// Empty until it was opened.
    socket_folder: OnceLock<PathBuf>,
}

/// Begins to bring the private Postgres up, or to join the one that another Maju runs in the same data folder, and returns at once,
/// so that it can be stopped in order before it is done. [`Starting::finish`] returns when the database `maju` exists and accepts
/// connections; it makes what is missing (the first time takes one to two seconds). `programs`: the setting `pg-bin`.
///
/// From then on a thread looks after it: starts it again when it dies (within a second) or cannot be reached any more (within ten), and
/// when another Maju owned it and goes, takes it over on the same socket, so that pools only have to connect again.
///
/// # Errors
///
/// Only when the system has no thread left.
pub fn start(place: Place, programs: Option<PathBuf>) -> Result<Starting, PrivateError> {
    start_with(place, Sources::of_a_user(programs))
}

/// Starts with what `MAJU_PG_BIN` names, if it names anything, and waits for it.
#[cfg(test)]
pub async fn open(place: Place) -> Result<PrivatePostgres, PrivateError> {
    open_with(place, Sources::real()).await
}

#[cfg(test)]
async fn open_with(place: Place, sources: Sources) -> Result<PrivatePostgres, PrivateError> {
    start_with(place, sources)?.finish().await
}

fn start_with(place: Place, sources: Sources) -> Result<Starting, PrivateError> {
    let folder = place.data_dir.clone();
    let (orders_in, orders) = sync_channel(1);
    let (opened, answer) = oneshot::channel();
    let (phase_of_keeper, phase) = watch::channel(Phase::default());
    let keeper = Keeper::new(place, sources, orders, phase_of_keeper, opened);
    // A thread and not a task: Postgres dies with the thread that started it, and tokio's threads come and go.
    thread::Builder::new()
        .name("private-postgres".to_owned())
        .spawn(move || keeper.run())
        .map_err(|problem| PrivateError::at(&folder, "starting a thread", problem))?;
    let inner = Inner { orders: orders_in, phase, socket_folder: OnceLock::new() };
    Ok(Starting { postgres: PrivatePostgres { inner: Arc::new(inner) }, answer, folder })
}

/// A private Postgres that is being started.
pub struct Starting {
    postgres: PrivatePostgres,
    answer: oneshot::Receiver<Result<PathBuf, PrivateError>>,
    folder: PathBuf,
}

impl Starting {
    /// A handle that may stop it already. It is of no other use before [`Starting::finish`] has returned.
    #[must_use]
    pub fn handle(&self) -> PrivatePostgres {
        self.postgres.clone()
    }

    /// Waits until it accepts connections and holds the database `maju`; what is missing is made (the first time takes one to two
    /// seconds).
    ///
    /// # Errors
    ///
    /// See [`PrivateError`]. Nothing is left running then.
    pub async fn finish(self) -> Result<PrivatePostgres, PrivateError> {
        let Self { postgres, answer, folder } = self;
        let socket_folder = answer.await.map_err(|_| PrivateError::GivenUp)??;
        postgres.inner.socket_folder.get_or_init(|| socket_folder);
        if let Err(error) = make_database(postgres.connect_options()).await {
            postgres.stop().await;
            return Err(PrivateError::Refused { folder, problem: error.to_string() });
        }
        Ok(postgres)
    }
}

impl PrivatePostgres {
    /// How to connect: over the Unix socket, as `maju`, to the database `maju`. Stays true over restarts and changes of owner.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        // Everything is said, so that no PG* variable of the environment speaks instead. PGOPTIONS alone cannot be overruled
        // here: see `without_pg_variables`.
        let socket_folder = self.inner.socket_folder.get().map_or_else(PathBuf::new, PathBuf::clone);
        PgConnectOptions::new_without_pgpass()
            .socket(socket_folder)
            .port(5432)
            .username(server::ROLE)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Whether this process runs Postgres, and not another one that we share it with. May become true at any time.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(*self.inner.phase.borrow(), Phase::Own { .. })
    }

    /// Whether Postgres accepted connections when it was last looked at, here or at its owner's.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(*self.inner.phase.borrow(), Phase::Own { .. } | Phase::Shared { .. })
    }

    /// One line for a person: version, folder, whose it is.
    #[must_use]
    pub fn describe(&self) -> String {
        match &*self.inner.phase.borrow() {
            Phase::Down => "PostgreSQL is being started".to_owned(),
            Phase::Stopped => "PostgreSQL is stopped".to_owned(),
            Phase::Own { pid, version, database } => {
                format!("PostgreSQL {version} in {}, our own (process {pid})", database.display())
            }
            Phase::Shared { database, version, holder } => {
                let holder = holder.map_or_else(|| "another Maju".to_owned(), |pid| format!("process {pid}"));
                format!("PostgreSQL {version} in {}, shared with {holder}", database.display())
            }
        }
    }

    /// The owner stops Postgres (fast and clean; by force after 15 seconds) and then lets go of the lock; one who shares it only stops
    /// watching. Returns when that is done. Doing it again does nothing.
    pub async fn stop(&self) {
        self.inner.orders.try_send(Order::Stop).ok(); // Full or closed: the order was given before.
        let mut phase = self.inner.phase.clone();
        phase.wait_for(|phase| *phase == Phase::Stopped).await.ok(); // The thread is gone: as good as stopped.
    }
}

/// Connects once, and makes the database when it is missing. A Postgres that changes hands at this moment is waited for.
async fn make_database(options: PgConnectOptions) -> Result<(), sqlx::Error> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(100);
    let mut tries = 0;
    loop {
        tries += 1;
        let outcome = match options.connect().await {
            Ok(connection) => connection.close().await,
            Err(error) if has_code(&error, &["3D000"]) => create(options.clone().database("postgres")).await,
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if tries >= TRIES => return Err(error),
            // Postgres starts or stops (57P0x), the socket is not there (io), another process makes the database at this moment.
            Err(error)
                if matches!(error, sqlx::Error::Io(_))
                    || has_code(&error, &["57P01", "57P02", "57P03", "42P04", "23505"]) => {}
            outcome => return outcome,
        }
        sleep(PAUSE).await;
    }
}

async fn create(options: PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::query("CREATE DATABASE maju").execute(&mut connection).await?;
    connection.close().await
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| codes.contains(&code.as_ref()))
}
