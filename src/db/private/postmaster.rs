//! What the files of a database say about the Postgres that runs on it, and stopping one that nobody owns.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::error::PrivateError;
use super::owner::SOCKET;

/// How long an orphan has after SIGINT, then after SIGQUIT, then after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a process is looked at while we wait for it.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// `postmaster.pid`, as far as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    /// The folder of the socket (line 5).
    pub(super) socket_folder: Option<PathBuf>,
    /// Whether it accepts connections (line 8).
    pub(super) ready: bool,
}

/// Reads `postmaster.pid` in a database's folder.
pub(super) fn read(database: &Path) -> Option<Postmaster> {
    parse(&fs::read_to_string(database.join("postmaster.pid")).ok()?)
}

pub(super) fn parse(text: &str) -> Option<Postmaster> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pid = lines.first()?.parse().ok().filter(|pid| *pid > 0)?;
    let socket_folder = lines.get(4).filter(|line| !line.is_empty()).map(PathBuf::from);
    Some(Postmaster { pid, socket_folder, ready: lines.get(7) == Some(&"ready") })
}

/// The major version that wrote the database, from `PG_VERSION`; `None` when there is none or it is no number.
pub(super) fn major(database: &Path) -> io::Result<Option<u32>> {
    match fs::read_to_string(database.join("PG_VERSION")) {
        Ok(text) => Ok(text.trim().split('.').next().and_then(|major| major.parse().ok())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a process is a Postgres of this very folder. A number alone proves nothing: the kernel gives it away again.
pub(super) fn is_of(pid: i32, database: &Path) -> bool {
    let (program, folder, arguments) = look_at(pid);
    let named = |argument: &str| Path::new(argument) == database;
    let after_d = arguments.windows(2).any(|pair| pair[0] == "-D" && named(&pair[1]));
    program.contains("postgres") && (folder.is_some_and(|folder| folder == database) || after_d)
}

/// Name, folder and arguments of a process; empty when it is gone.
#[cfg(target_os = "linux")]
fn look_at(pid: i32) -> (String, Option<PathBuf>, Vec<String>) {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let folder = fs::read_link(process.join("cwd")).ok(); // Postgres makes the database's folder its own.
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let arguments = arguments.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    (name, folder, arguments)
}

#[cfg(not(target_os = "linux"))]
fn look_at(pid: i32) -> (String, Option<PathBuf>, Vec<String>) {
    let mut ps = super::environment::command(Path::new("ps"));
    let Ok(answer) = ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output() else {
        return (String::new(), None, Vec::new());
    };
    let line = String::from_utf8_lossy(&answer.stdout).into_owned();
    // `ps` does not say where an argument ends: ours are `<program> -D <folder> -c …`.
    let (program, rest) = line.split_once(" -D ").unwrap_or((line.as_str(), ""));
    let folder = rest.split(" -c ").next().unwrap_or_default().trim().to_owned();
    (program.to_owned(), None, vec!["-D".to_owned(), folder])
}

/// Whether some process has this number.
fn exists(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Clears the way for a Postgres of our own: stops one that still runs on the database, and removes files that would keep ours from
/// starting. Only for the holder of the lock: then whatever runs there belongs to nobody.
pub(super) fn evict(database: &Path, socket_folder: &Path) -> Result<(), PrivateError> {
    if let Some(found) = read(database) {
        if is_of(found.pid, database) {
            stop_orphan(found.pid, database)?;
        } else if exists(found.pid) {
            // Postgres would take that process for an earlier Postgres and refuse to start.
            tracing::info!(pid = found.pid, "postmaster.pid names a process that is no Postgres of ours: removed");
            remove(&database.join("postmaster.pid"))?;
        }
    }
    remove(&socket_folder.join(SOCKET))?;
    remove(&socket_folder.join(format!("{SOCKET}.lock")))
}

fn stop_orphan(pid: i32, database: &Path) -> Result<(), PrivateError> {
    tracing::info!(pid, "an earlier Postgres still runs here and nobody owns it: stopping it");
    for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
        if !is_of(pid, database) {
            return Ok(());
        }
        send(pid, signal);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if !is_of(pid, database) {
                return Ok(());
            }
            sleep(GLANCE);
        }
    }
    Err(PrivateError::Orphan { pid, folder: database.to_owned() })
}

/// Sends a signal; a process that is gone already is what was wanted.
pub(super) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = pid.as_raw_pid(), ?signal, %error, "cannot send a signal to Postgres");
    }
}

fn remove(file: &Path) -> Result<(), PrivateError> {
    match fs::remove_file(file) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
            Err(PrivateError::at(file, "removing what an earlier Postgres left", problem))
        }
        _ => Ok(()),
    }
}
