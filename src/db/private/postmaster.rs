//! Finds the Postgres that runs on a database, by the files in its folder, and stops one without an
//! owner.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::error::PrivateError;
use super::paths::SOCKET_NAME;

/// How long a Postgres without an owner has to end after each of SIGINT, SIGQUIT and SIGKILL.
const ORPHAN_SIGNAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two checks of a process that is starting or ending.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The contents of `postmaster.pid`, as far as they have been written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    /// The socket's folder (line 5).
    pub(super) socket_folder: Option<PathBuf>,
    /// Whether Postgres accepts connections (line 8).
    pub(super) ready: bool,
}

/// Reads `postmaster.pid` in a database's folder. `None` if it is missing or not valid.
pub(super) fn read(database: &Path) -> Option<Postmaster> {
    parse(&fs::read_to_string(database.join("postmaster.pid")).ok()?)
}

pub(super) fn parse(text: &str) -> Option<Postmaster> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pid = lines.first()?.parse().ok().filter(|pid| *pid > 0)?;
    let socket_folder = lines.get(4).filter(|line| !line.is_empty()).map(PathBuf::from);
    Some(Postmaster { pid, socket_folder, ready: lines.get(7) == Some(&"ready") })
}

/// Returns the major version that wrote a database, from `PG_VERSION`. `None` if there is no such
/// file, or no number in it.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub(super) fn major(database: &Path) -> io::Result<Option<u32>> {
    match fs::read_to_string(database.join("PG_VERSION")) {
        Ok(text) => Ok(text.trim().split('.').next().and_then(|major| major.parse().ok())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns `true` if a process is a Postgres of this database. The process id alone proves nothing,
/// because the kernel reuses ids.
pub(super) fn runs_on(pid: i32, database: &Path) -> bool {
    let (program, folder, arguments) = inspect(pid);
    let named = |argument: &str| Path::new(argument) == database;
    let after_d = arguments.windows(2).any(|pair| pair[0] == "-D" && named(&pair[1]));
    program.contains("postgres") && (folder.is_some_and(|folder| folder == database) || after_d)
}

/// Returns the name, folder and arguments of a process. Empty if it has ended.
#[cfg(target_os = "linux")]
fn inspect(pid: i32) -> (String, Option<PathBuf>, Vec<String>) {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let folder = fs::read_link(process.join("cwd")).ok(); // Postgres changes to the database's folder.
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let arguments = arguments.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    (name, folder, arguments)
}

#[cfg(not(target_os = "linux"))]
fn inspect(pid: i32) -> (String, Option<PathBuf>, Vec<String>) {
    let mut ps = super::environment::command(Path::new("ps"));
    let Ok(answer) = ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output() else {
        return (String::new(), None, Vec::new());
    };
    let line = String::from_utf8_lossy(&answer.stdout).into_owned();
    // `ps` does not separate the arguments. Those of the private Postgres are `<program> -D
    // <folder> -c …`.
    let (program, rest) = line.split_once(" -D ").unwrap_or((line.as_str(), ""));
    let folder = rest.split(" -c ").next().unwrap_or_default().trim().to_owned();
    (program.to_owned(), None, vec!["-D".to_owned(), folder])
}

/// Returns `true` if there is a process with this id.
fn exists(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Prepares a start: stops a Postgres that still runs on the database, and removes files that would
/// prevent the start.
///
/// Only for the holder of the lock, since a Postgres that runs then has no owner.
///
/// # Errors
/// Returns an error if the Postgres cannot be stopped or a file cannot be removed.
pub(super) fn evict(database: &Path, socket_folder: &Path) -> Result<(), PrivateError> {
    if let Some(found) = read(database) {
        if runs_on(found.pid, database) {
            stop_orphan(found.pid, database)?;
        } else if exists(found.pid) {
            // Postgres would mistake that process for an earlier Postgres and refuse to start.
            tracing::info!(pid = found.pid, "private Postgres: removed a postmaster.pid that names another program");
            remove(&database.join("postmaster.pid"))?;
        }
    }
    remove(&socket_folder.join(SOCKET_NAME))?;
    remove(&socket_folder.join(format!("{SOCKET_NAME}.lock")))
}

fn stop_orphan(pid: i32, database: &Path) -> Result<(), PrivateError> {
    tracing::info!(pid, "private Postgres: an earlier one without an owner still runs, stopping it");
    for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
        if !runs_on(pid, database) {
            return Ok(());
        }
        send(pid, signal);
        let until = Instant::now() + ORPHAN_SIGNAL_TIMEOUT;
        while Instant::now() < until {
            if !runs_on(pid, database) {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
    }
    Err(PrivateError::Orphan { pid, folder: database.to_owned() })
}

/// Sends a signal to a process. Does nothing if the process has ended.
pub(super) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = pid.as_raw_pid(), ?signal, %error, "private Postgres: cannot send a signal");
    }
}

fn remove(file: &Path) -> Result<(), PrivateError> {
    match fs::remove_file(file) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
            Err(PrivateError::at(file, "removing the files of an earlier Postgres", problem))
        }
        _ => Ok(()),
    }
}
