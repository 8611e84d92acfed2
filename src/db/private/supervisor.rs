//! The thread that supervises the private Postgres: owns or shares it, restarts it when it ends,
//! and takes it over when its owner ends.
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::error::PrivateError;
use super::lock::{self, Lock};
use super::paths::{self, PostgresDir, SOCKET_NAME};
use super::postmaster::{self, POLL_INTERVAL};
use super::probe::Probe;
use super::programs::{self, Programs, Sources};
use super::server::{self, Server, ServerConfig};
use super::{StartOptions, archive, marker};

/// Time between two checks: of its Postgres by the owner, of the lock by those who share it. A
/// start takes about 60 ms, so a restart or a takeover needs well under a second.
const SUPERVISOR_INTERVAL: Duration = Duration::from_millis(100);
/// Time between the owner's checks of the socket and of the lock file.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest delay before the next attempt to start.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(5);
/// A Postgres that ran this long did not end because of its start.
const STABLE_UPTIME: Duration = Duration::from_secs(30);
/// How long a start is retried while the shared memory is still in use: after `kill -9` of the
/// postmaster its child processes hold it for a moment.
const MEMORY_RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a start can take. Replaying the log after a crash takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Time between two log lines while waiting.
const WAIT_REPORT_SECS: u64 = 10;

/// The state of the private Postgres, as the thread last saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// Postgres does not run yet, or is being restarted.
    #[default]
    Down,
    /// This process holds the lock and its Postgres accepts connections.
    Owned { pid: i32, version: String, database: PathBuf },
    /// Another process holds the lock; its Postgres accepted connections at the last check.
    Shared { database: PathBuf, version: String, holder: Option<i32> },
    /// The thread has ended: this process runs no Postgres and does not hold the lock.
    Stopped,
}

/// A message to the thread. It also stops when all senders are gone.
pub(super) enum ControlMessage {
    Stop,
    /// Panics, as a bug would.
    #[cfg(test)]
    Panic,
}

/// Receives one answer: the socket's folder, or why the start failed.
pub(super) type Opened = oneshot::Sender<Result<PathBuf, PrivateError>>;

/// How a step of the supervisor ended.
#[derive(PartialEq, Eq)]
enum Step {
    /// A stop was requested, and nothing runs any more.
    Stopped,
    /// The step is to be repeated.
    Again,
}

/// The state of the thread.
pub(super) struct Supervisor {
    options: StartOptions,
    sources: Sources,
    /// Whether this process starts Postgres again after the other one that ran it.
    takes_over: bool,
    control: Receiver<ControlMessage>,
    status: watch::Sender<Status>,
    opened: Option<Opened>,
    /// Fixed at the first success: pools reconnect to the same socket.
    socket_folder: Option<PathBuf>,
    /// Whether the database has been open once, here or at its owner's.
    was_open: bool,
    started_at: Instant,
    /// How long the wait for another's Postgres was when it was last logged, in seconds.
    reported_wait_secs: u64,
}

impl Supervisor {
    pub(super) fn new(
        options: StartOptions,
        sources: Sources,
        takes_over: bool,
        control: Receiver<ControlMessage>,
        status: watch::Sender<Status>,
        opened: Opened,
    ) -> Self {
        Self {
            options,
            sources,
            takes_over,
            control,
            status,
            opened: Some(opened),
            socket_folder: None,
            was_open: false,
            started_at: Instant::now(),
            reported_wait_secs: 0,
        }
    }

    /// Runs until a stop is requested or the first attempt fails. Blocks its thread, with which
    /// Postgres ends.
    pub(super) fn run(mut self) {
        let mut delay = SUPERVISOR_INTERVAL;
        // A panic drops `Server` and `Lock` on its way here, which stops Postgres and releases the
        // lock.
        while catch_unwind(AssertUnwindSafe(|| self.supervise())).is_err() {
            self.status.send_replace(Status::Down);
            tracing::error!("private Postgres: the supervisor panicked, restarting it");
            if self.stop_requested(delay) {
                break;
            }
            delay = (delay * 2).min(MAX_RESTART_DELAY);
        }
        self.status.send_replace(Status::Stopped);
    }

    fn supervise(&mut self) {
        let mut delay = SUPERVISOR_INTERVAL;
        loop {
            match self.own_or_share() {
                Ok(Step::Stopped) => break,
                Ok(Step::Again) => delay = SUPERVISOR_INTERVAL,
                Err(problem) => {
                    self.status.send_replace(Status::Down);
                    if let Some(opened) = self.opened.take() {
                        opened.send(Err(problem)).ok(); // Fails if nobody waits for it any more.
                        break;
                    }
                    tracing::error!(%problem, "private Postgres: not running, retrying");
                    delay = (delay * 2).min(MAX_RESTART_DELAY);
                }
            }
            if self.stop_requested(delay) {
                break;
            }
        }
    }

    /// Tries to take the lock: owns Postgres if it gets it, shares it otherwise.
    fn own_or_share(&mut self) -> Result<Step, PrivateError> {
        if !self.takes_over && matches!(*self.status.borrow(), Status::Shared { .. }) {
            return Ok(Step::Again);
        }
        if self.opened.is_some() {
            self.options.data_dir = paths::prepare_data_dir(&self.options.data_dir)?;
        }
        // Held until Postgres has stopped: it is dropped after `own` returns.
        match lock::take(&self.options.data_dir)? {
            Some(mut lock) => self.own(&mut lock),
            None => self.share().map(|()| Step::Again),
        }
    }

    /// Starts Postgres and supervises it while this process holds the lock. Returns once nothing
    /// runs.
    fn own(&mut self, lock: &mut Lock) -> Result<Step, PrivateError> {
        let postgres_dir = paths::locate(&self.options.data_dir, &self.options.fallback_base)?;
        if self.opened.is_some() && postgres_dir.folder != self.options.data_dir {
            let (folder, elsewhere) = (self.options.data_dir.display(), postgres_dir.folder.display());
            tracing::info!("the database of {folder} is in {elsewhere}: back up both folders");
        }
        let programs = programs::find(&self.sources, &postgres_dir.folder)?;
        let socket_folder = self.socket_folder(&postgres_dir)?;
        let log = self.options.data_dir.join("log/postgres.log");
        let durable = self.options.durable;
        let config = ServerConfig {
            programs: &programs,
            postgres_dir: &postgres_dir,
            socket_folder: &socket_folder,
            log: &log,
            durable,
        };
        let database = postgres_dir.database();
        postmaster::evict(&database, &socket_folder)?;
        archive::remove_other_versions(&programs.bin, &postgres_dir.folder);
        if self.was_open && !paths::has_database(&postgres_dir.folder) {
            // A database that has disappeared is never replaced by an empty one.
            return Err(PrivateError::DatabaseGone { folder: database });
        }
        server::init(&config)?;
        marker::write(&self.options.data_dir, &postgres_dir.folder)?;
        let mut delay = Duration::ZERO;
        loop {
            let Some(server) = self.start_server(&config)? else { return Ok(Step::Stopped) };
            self.announce_own(&server, &programs, &postgres_dir, &socket_folder);
            let up = Instant::now();
            let probe = Probe::new(&socket_folder, &database, server.pid());
            if self.watch(server, probe, lock) == Step::Stopped {
                return Ok(Step::Stopped);
            }
            delay = if up.elapsed() > STABLE_UPTIME { Duration::ZERO } else { (delay * 2).min(MAX_RESTART_DELAY) };
            if self.stop_requested(delay) {
                return Ok(Step::Stopped);
            }
            delay = delay.max(SUPERVISOR_INTERVAL);
            self.socket_folder(&postgres_dir)?; // Creates it again if it was removed.
            postmaster::evict(&database, &socket_folder)?;
        }
    }

    /// Starts Postgres and waits until it accepts connections. `None` if a stop was requested
    /// meanwhile.
    fn start_server(&self, config: &ServerConfig<'_>) -> Result<Option<Server>, PrivateError> {
        let began = Instant::now();
        loop {
            match self.try_once(config) {
                Err(PrivateError::Start { log_end, .. })
                    if log_end.contains("still in use") && began.elapsed() < MEMORY_RELEASE_TIMEOUT =>
                {
                    if self.stop_requested(SUPERVISOR_INTERVAL / 2) {
                        return Ok(None);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn try_once(&self, config: &ServerConfig<'_>) -> Result<Option<Server>, PrivateError> {
        let mut server = Server::start(config)?;
        let began = Instant::now();
        let mut reported_secs = 0;
        while !server.is_ready()? {
            if self.stop_requested(POLL_INTERVAL) {
                server.stop();
                return Ok(None);
            }
            let waited_secs = began.elapsed().as_secs();
            if waited_secs >= reported_secs + WAIT_REPORT_SECS {
                reported_secs = waited_secs;
                tracing::info!("private Postgres: replaying its log for {waited_secs} s, as after a crash");
            }
            if began.elapsed() > START_TIMEOUT {
                server.stop();
                return Err(self.start_timed_out());
            }
        }
        Ok(Some(server))
    }

    /// Watches Postgres and the lock until a stop is requested, Postgres ends, or it can no longer
    /// be reached. Postgres has ended when this returns.
    fn watch(&self, mut server: Server, mut probe: Probe, lock: &mut Lock) -> Step {
        let mut looked = Instant::now();
        while !server.has_ended() {
            if self.stop_requested(SUPERVISOR_INTERVAL) {
                server.stop();
                return Step::Stopped;
            }
            if looked.elapsed() < PROBE_INTERVAL {
                continue;
            }
            looked = Instant::now();
            lock.restore_file(&self.options.data_dir);
            if let Some(why) = probe.failure() {
                self.status.send_replace(Status::Down);
                tracing::error!(pid = server.pid(), "private Postgres: cannot be reached ({why}), restarting it");
                server.stop_quickly();
                return Step::Again;
            }
        }
        self.status.send_replace(Status::Down);
        tracing::error!("private Postgres: ended unexpectedly, restarting it");
        Step::Again
    }

    /// Returns the socket's folder, which is created if it is missing. Restarts do not change it.
    fn socket_folder(&self, postgres_dir: &PostgresDir) -> Result<PathBuf, PrivateError> {
        let folder = paths::socket_folder(postgres_dir)?;
        Ok(self.socket_folder.as_ref().filter(|known| known.is_dir()).cloned().unwrap_or(folder))
    }

    /// Waits for the Postgres of the process that holds the lock; once it is found, only for the
    /// lock.
    fn share(&mut self) -> Result<(), PrivateError> {
        if matches!(*self.status.borrow(), Status::Shared { .. }) {
            return Ok(());
        }
        for database in paths::candidate_databases(&self.options.data_dir, &self.options.fallback_base) {
            let Some(folder) = running(&database) else { continue };
            let major = postmaster::major(&database).ok().flatten();
            let version = major.map_or_else(String::new, |major| major.to_string());
            let holder = lock::holder(&self.options.data_dir);
            tracing::info!(holder, "private Postgres: sharing the one that another Maju runs in this data folder");
            self.announce(Status::Shared { database, version, holder }, &folder);
            return Ok(());
        }
        self.wait_for_the_holder()
    }

    /// Logs every ten seconds that the other process's Postgres does not accept connections yet,
    /// and fails after [`START_TIMEOUT`].
    fn wait_for_the_holder(&mut self) -> Result<(), PrivateError> {
        let waited = self.started_at.elapsed();
        if self.opened.is_none() {
            return Ok(());
        }
        if waited > START_TIMEOUT {
            return Err(self.start_timed_out());
        }
        if waited.as_secs() >= self.reported_wait_secs + WAIT_REPORT_SECS {
            self.reported_wait_secs = waited.as_secs();
            let holder = lock::holder(&self.options.data_dir);
            tracing::info!(
                holder,
                "private Postgres: waiting for {} s for the one of another Maju in this data folder",
                self.reported_wait_secs
            );
        }
        Ok(())
    }

    fn announce_own(&mut self, server: &Server, programs: &Programs, postgres_dir: &PostgresDir, socket_folder: &Path) {
        let status =
            Status::Owned { pid: server.pid(), version: programs.version.clone(), database: postgres_dir.database() };
        if self.opened.is_none() {
            tracing::info!(pid = server.pid(), "private Postgres: accepts connections again");
        }
        self.announce(status, socket_folder);
    }

    fn announce(&mut self, status: Status, socket_folder: &Path) {
        self.status.send_replace(status);
        self.was_open = true;
        self.socket_folder = Some(socket_folder.to_owned());
        if let Some(opened) = self.opened.take() {
            opened.send(Ok(socket_folder.to_owned())).ok(); // Fails if nobody waits; a stop follows then.
        }
    }

    fn start_timed_out(&self) -> PrivateError {
        PrivateError::Slow { folder: self.options.data_dir.clone(), minutes: START_TIMEOUT.as_secs() / 60 }
    }

    /// Waits at most `wait`. Returns `true` if a stop was requested meanwhile.
    fn stop_requested(&self, wait: Duration) -> bool {
        match self.control.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(ControlMessage::Stop) | Err(RecvTimeoutError::Disconnected) => true,
            #[cfg(test)]
            Ok(ControlMessage::Panic) => panic!("requested by a test"),
        }
    }
}

/// Returns the socket's folder if a Postgres on this database accepts connections there.
fn running(database: &Path) -> Option<PathBuf> {
    let found = postmaster::read(database).filter(|found| found.ready)?;
    let folder = found.socket_folder?;
    UnixStream::connect(folder.join(SOCKET_NAME)).ok().map(|_| folder)
}
