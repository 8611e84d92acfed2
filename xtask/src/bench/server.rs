//! Servers to measure: Maju, and bare ones beside it.
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::{Bench, http};
use crate::Result;
use crate::process::{Process, WorkFolder};

/// A running Maju on a data folder that the servers of a run share.
pub struct Server {
    process: Process,
    /// Its origin.
    pub base: String,
    pub port: u16,
    /// The process of its Postgres.
    pub postmaster: u32,
    /// Where the socket of its Postgres is.
    pub socket_folder: PathBuf,
}

impl Server {
    /// Starts a server without rate limits and waits until it is ready.
    pub fn start(bench: &Bench, more: &[&str]) -> Result<Self> {
        let (port, data) = (free_port()?, bench.work.path().join("data"));
        let mut command = maju(&bench.program("maju"), port);
        command.arg("--data-dir").arg(&data).args(["--limits", "off"]).args(more);
        let mut process = launch(&mut command, &bench.work)?;
        while !http::is_ready(port) {
            still_running(&mut process, &bench.work)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        let file = data.join("pg/postmaster.pid");
        let text = fs::read_to_string(&file).map_err(|why| format!("{}: {why}", file.display()))?;
        let postmaster = text.lines().next().and_then(|line| line.trim().parse().ok());
        let postmaster = postmaster.ok_or("postmaster.pid names no process")?;
        Ok(Self {
            process,
            base: format!("http://127.0.0.1:{port}"),
            port,
            postmaster,
            socket_folder: data.join("run"),
        })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns its address and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A bare server, or Redis.
pub struct Other {
    process: Process,
    pub port: u16,
}

impl Other {
    /// Starts a program with the arguments for a port, and waits until it listens. Nodes would
    /// start without their Redis, and messages would cross late.
    pub fn start(bench: &Bench, program: impl Into<PathBuf>, args: impl Fn(u16) -> Vec<String>) -> Result<Self> {
        let port = free_port()?;
        let mut process = launch(Command::new(program.into()).args(args(port)), &bench.work)?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            still_running(&mut process, &bench.work)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { process, port })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Returns a command that starts Maju on a port, without settings of this program's environment.
pub fn maju(program: &std::path::Path, port: u16) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let word = name.to_string_lossy();
        if word.starts_with("MAJU_") || word == "DATABASE_URL" || word == "REDIS_URL" {
            command.env_remove(&name);
        }
    }
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
    command
}

/// Starts a program that logs into the work folder. It is asked to stop when it is dropped.
pub fn launch(command: &mut Command, work: &WorkFolder) -> Result<Process> {
    Process::start(command.stdin(Stdio::null()).stdout(work.log()?).stderr(work.log()?), Signal::TERM)
}

/// Checks that a program that is being waited for has not ended.
pub fn still_running(process: &mut Process, work: &WorkFolder) -> Result<()> {
    match process.status() {
        None => Ok(()),
        Some(status) => Err(format!("a server ended with {status}: {}", work.log_text())),
    }
}

/// Returns a port that nobody uses.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|why| format!("no free port: {why}"))
}
