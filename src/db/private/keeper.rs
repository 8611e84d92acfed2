//! The thread that looks after the private Postgres: owns it or shares it, starts it again when it dies, takes over when its owner goes.
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::error::PrivateError;
use super::lock::{self, Lock};
use super::look::Look;
use super::mark;
use super::owner::{self, Home, SOCKET};
use super::postmaster::{self, GLANCE};
use super::programs::{self, Programs, Sources};
use super::server::{self, Plan, Server};
use super::{Place, archive};

/// How often the owner looks at its Postgres and a sharer at the lock. A start takes about 60 ms, so both are over well within a second.
const TICK: Duration = Duration::from_millis(100);
/// How often the owner looks at the socket of its Postgres and at its lock file.
const EACH: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to start again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A Postgres that lived this long did not die of its start.
const SETTLED: Duration = Duration::from_secs(30);
/// After `kill -9` of the postmaster its children hold the shared memory for moments; a start is refused until then.
const CHILDREN: Duration = Duration::from_secs(10);
/// Replaying the log after a crash takes seconds; more than this is a fault.
const START_LIMIT: Duration = Duration::from_secs(15 * 60);

/// What the thread is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not there yet, or not any more: being started again.
    #[default]
    Down,
    /// We hold the lock and our Postgres accepts connections.
    Own { pid: i32, version: String, database: PathBuf },
    /// Another process holds the lock; its Postgres accepted connections when we looked.
    Shared { database: PathBuf, version: String, holder: Option<i32> },
    /// The end: nothing runs on our behalf and the lock is free of us.
    Stopped,
}

/// What the thread is told. That all senders are gone means to stop.
pub(super) enum Order {
    Stop,
    /// To fail as a mistake of ours would.
    #[cfg(test)]
    Panic,
}

/// Answered once: the folder of the socket, or why there is none.
pub(super) type Opened = oneshot::Sender<Result<PathBuf, PrivateError>>;

/// The state of the thread.
pub(super) struct Keeper {
    place: Place,
    sources: Sources,
    orders: Receiver<Order>,
    phase: watch::Sender<Phase>,
    opened: Option<Opened>,
    /// Fixed at the first success: pools connect to it again and again.
    socket_folder: Option<PathBuf>,
    /// Whether the database has been there once, here or at its owner's.
    was_open: bool,
    since: Instant,
    /// How many times ten seconds of waiting for another's Postgres were reported.
    said: u64,
}

impl Keeper {
    pub(super) fn new(
        place: Place,
        sources: Sources,
        orders: Receiver<Order>,
        phase: watch::Sender<Phase>,
        opened: Opened,
    ) -> Self {
        Self {
            place,
            sources,
            orders,
            phase,
            opened: Some(opened),
            socket_folder: None,
            was_open: false,
            since: Instant::now(),
            said: 0,
        }
    }

    /// Runs until it is told to stop, or until the first attempt fails. Blocks: it is a thread's whole life, and Postgres dies with it.
    pub(super) fn run(mut self) {
        let mut pause = TICK;
        // A panic has stopped Postgres and released the lock on its way here (`Server` and `Lock` do so when they are dropped).
        while catch_unwind(AssertUnwindSafe(|| self.look_after())).is_err() {
            self.phase.send_replace(Phase::Down);
            tracing::error!("what looks after the private Postgres panicked; it is started again");
            if self.told_to_stop(pause) {
                break;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.phase.send_replace(Phase::Stopped);
    }

    fn look_after(&mut self) {
        let mut pause = TICK;
        loop {
            match self.turn() {
                Ok(true) => break,
                Ok(false) => pause = TICK,
                Err(problem) => {
                    self.phase.send_replace(Phase::Down);
                    if let Some(opened) = self.opened.take() {
                        opened.send(Err(problem)).ok(); // Nobody waits for it any more: fine.
                        break;
                    }
                    tracing::error!(%problem, "the private Postgres is down: trying again");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            if self.told_to_stop(pause) {
                break;
            }
        }
    }

    /// One look at the lock. True when the order to stop came.
    fn turn(&mut self) -> Result<bool, PrivateError> {
        if self.opened.is_some() {
            self.place.data_dir = owner::data_folder(&self.place.data_dir)?;
        }
        // Held until Postgres has stopped: it is dropped after `own` returns.
        match lock::take(&self.place.data_dir)? {
            Some(mut lock) => self.own(&mut lock),
            None => self.share().map(|()| false),
        }
    }

    /// We hold the lock: starts Postgres and stays with it. Returns when told to stop, with nothing running.
    fn own(&mut self, lock: &mut Lock) -> Result<bool, PrivateError> {
        let home = owner::settle(&self.place.data_dir, &self.place.fallback_base)?;
        if self.opened.is_some() && home.folder != self.place.data_dir {
            let (folder, elsewhere) = (self.place.data_dir.display(), home.folder.display());
            tracing::info!("the database of {folder} is in {elsewhere}: a backup needs both folders");
        }
        let programs = programs::find(&self.sources, &home.folder)?;
        let socket_folder = self.socket_folder(&home)?;
        let log = self.place.data_dir.join("log/postgres.log");
        let durable = self.place.durable;
        let plan = Plan { programs: &programs, home: &home, socket_folder: &socket_folder, log: &log, durable };
        let database = home.database();
        postmaster::evict(&database, &socket_folder)?;
        archive::keep_only(&programs.bin, &home.folder);
        if self.was_open && !owner::holds_database(&home.folder) {
            // A database that was there and is gone is never replaced by an empty one.
            return Err(PrivateError::DatabaseGone { folder: database });
        }
        server::init(&plan)?;
        mark::write(&self.place.data_dir, &home.folder)?;
        let mut pause = Duration::ZERO;
        loop {
            let Some(server) = self.bring_up(&plan)? else { return Ok(true) };
            self.announce_own(&server, &programs, &home, &socket_folder);
            let up = Instant::now();
            let look = Look::new(&socket_folder, &database, server.pid());
            if self.stay_with(server, look, lock) {
                return Ok(true);
            }
            pause = if up.elapsed() > SETTLED { Duration::ZERO } else { (pause * 2).min(LONGEST_PAUSE) };
            if self.told_to_stop(pause) {
                return Ok(true);
            }
            pause = pause.max(TICK);
            self.socket_folder(&home)?; // It may be what was removed.
            postmaster::evict(&database, &socket_folder)?;
        }
    }

    /// Starts Postgres and waits until it accepts connections; `None` when told to stop meanwhile.
    fn bring_up(&self, plan: &Plan<'_>) -> Result<Option<Server>, PrivateError> {
        let began = Instant::now();
        loop {
            match self.try_once(plan) {
                Err(PrivateError::Start { said, .. })
                    if said.contains("still in use") && began.elapsed() < CHILDREN =>
                {
                    if self.told_to_stop(TICK / 2) {
                        return Ok(None);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn try_once(&self, plan: &Plan<'_>) -> Result<Option<Server>, PrivateError> {
        let mut server = Server::start(plan)?;
        let began = Instant::now();
        let mut said = 0;
        while !server.ready()? {
            if self.told_to_stop(GLANCE) {
                server.stop();
                return Ok(None);
            }
            let waited = began.elapsed().as_secs() / 10;
            if waited > said {
                said = waited;
                tracing::info!("Postgres is replaying its log since {} s, as after a crash", waited * 10);
            }
            if began.elapsed() > START_LIMIT {
                server.stop();
                return Err(self.too_slow());
            }
        }
        Ok(Some(server))
    }

    /// Watches our Postgres and our lock. True when told to stop (it is stopped then), false when it ended or had to be stopped
    /// because nobody can reach it any more.
    fn stay_with(&self, mut server: Server, mut look: Look, lock: &mut Lock) -> bool {
        let mut looked = Instant::now();
        while !server.ended() {
            if self.told_to_stop(TICK) {
                server.stop();
                return true;
            }
            if looked.elapsed() < EACH {
                continue;
            }
            looked = Instant::now();
            lock.keep(&self.place.data_dir);
            if let Some(why) = look.lost() {
                self.phase.send_replace(Phase::Down);
                tracing::error!(pid = server.pid(), "Postgres runs and cannot be reached ({why}): starting it again");
                server.stop_soon();
                return false;
            }
        }
        self.phase.send_replace(Phase::Down);
        tracing::error!("Postgres ended by itself: starting it again");
        false
    }

    /// The folder of the socket, made when it is missing. It stays the same over restarts.
    fn socket_folder(&self, home: &Home) -> Result<PathBuf, PrivateError> {
        let folder = owner::socket_folder(home)?;
        Ok(self.socket_folder.as_ref().filter(|known| known.is_dir()).cloned().unwrap_or(folder))
    }

    /// Another process holds the lock: waits for its Postgres, and then only for the lock.
    fn share(&mut self) -> Result<(), PrivateError> {
        if matches!(*self.phase.borrow(), Phase::Shared { .. }) {
            return Ok(());
        }
        for database in owner::databases(&self.place.data_dir, &self.place.fallback_base) {
            let Some(folder) = running(&database) else { continue };
            let major = postmaster::major(&database).ok().flatten();
            let version = major.map_or_else(String::new, |major| major.to_string());
            let holder = lock::holder(&self.place.data_dir);
            tracing::info!(holder, "another Maju runs Postgres in this data folder: sharing it");
            self.announce(Phase::Shared { database, version, holder }, &folder);
            return Ok(());
        }
        self.wait_for_the_holder()
    }

    /// Between our start and the first answer of the holder's Postgres: says so each ten seconds, and gives up in the end.
    fn wait_for_the_holder(&mut self) -> Result<(), PrivateError> {
        let waited = self.since.elapsed();
        if self.opened.is_none() {
            return Ok(());
        }
        if waited > START_LIMIT {
            return Err(self.too_slow());
        }
        if waited.as_secs() / 10 > self.said {
            self.said = waited.as_secs() / 10;
            let holder = lock::holder(&self.place.data_dir);
            tracing::info!(
                holder,
                "waiting for the Postgres of another Maju in this data folder since {} s",
                self.said * 10
            );
        }
        Ok(())
    }

    fn announce_own(&mut self, server: &Server, programs: &Programs, home: &Home, socket_folder: &Path) {
        let phase = Phase::Own { pid: server.pid(), version: programs.version.clone(), database: home.database() };
        if self.opened.is_none() {
            tracing::info!(pid = server.pid(), "Postgres accepts connections again");
        }
        self.announce(phase, socket_folder);
    }

    fn announce(&mut self, phase: Phase, socket_folder: &Path) {
        self.phase.send_replace(phase);
        self.was_open = true;
        self.socket_folder = Some(socket_folder.to_owned());
        if let Some(opened) = self.opened.take() {
            opened.send(Ok(socket_folder.to_owned())).ok(); // Nobody waits any more: the next look at the orders says so.
        }
    }

    fn too_slow(&self) -> PrivateError {
        PrivateError::Slow { folder: self.place.data_dir.clone(), minutes: START_LIMIT.as_secs() / 60 }
    }

    /// Waits, and says whether the order to stop came meanwhile.
    fn told_to_stop(&self, wait: Duration) -> bool {
        match self.orders.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => true,
            #[cfg(test)]
            Ok(Order::Panic) => panic!("told to"),
        }
    }
}

/// The folder of the socket, when a Postgres on this database accepts connections there.
fn running(database: &Path) -> Option<PathBuf> {
    let found = postmaster::read(database).filter(|found| found.ready)?;
    let folder = found.socket_folder?;
    UnixStream::connect(folder.join(SOCKET)).ok().map(|_| folder)
}
