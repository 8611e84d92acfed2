//! Programs that this one starts.
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::Result;

/// Runs a shell line when this program ends without calling [`Watchdog::dismiss`]: also when it is
/// killed or interrupted, because the pipe that the shell reads is closed then.
struct Watchdog(Option<Child>);

impl Watchdog {
    fn start(line: &str, args: &[&str]) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read -r _ || {{ {line}; }}"), "sh"]).args(args);
        // A group of its own: Ctrl-C is not for it.
        let child = command.stdin(Stdio::piped()).process_group(0).spawn();
        Ok(Self(Some(child.map_err(|why| format!("sh does not start: {why}"))?)))
    }

    fn dismiss(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.stdin.take().map(|mut pipe| pipe.write_all(b"done\n"));
            let _ = child.wait();
        }
    }
}

/// A child process in a process group of its own. It does not outlive this program.
pub struct Process {
    child: Child,
    watchdog: Watchdog,
    last_signal: Signal,
}

impl Process {
    /// Starts a program. `last_signal` ends it when this is dropped.
    pub fn start(command: &mut Command, last_signal: Signal) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().map_err(|why| format!("{name} does not start: {why}"))?;
        let (signal, group) = (last_signal.as_raw().to_string(), child.id().to_string());
        let watchdog = Watchdog::start("kill -s \"$1\" -- \"-$2\"", &[&signal, &group])?;
        Ok(Self { child, watchdog, last_signal })
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns how the program ended. `None` if it still runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal and waits for the end of the program.
    pub fn end(&mut self, signal: Signal) {
        if self.status().is_none() {
            let _ = pid(&self.child).map(|pid| kill_process(pid, signal));
            let _ = self.child.wait();
        }
    }

    /// Waits for the end of the program. `None` if it took longer than `limit`; then its whole
    /// process group is killed.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            if began.elapsed() > limit {
                let _ = pid(&self.child).map(|pid| kill_process_group(pid, Signal::KILL));
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(self.last_signal);
        self.watchdog.dismiss();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

/// A temporary folder that other users can reach. It does not outlive this program.
pub struct WorkFolder {
    folder: tempfile::TempDir,
    watchdog: Watchdog,
}

impl WorkFolder {
    /// Makes a folder whose name begins with `prefix`.
    pub fn new(prefix: &str) -> Result<Self> {
        let failed = |why: std::io::Error| format!("no temporary folder: {why}");
        let folder = tempfile::Builder::new().prefix(prefix).tempdir().map_err(failed)?;
        // Postgres runs as another user when this program is root's.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
        // A little later, when those who write into it have ended.
        let watchdog = Watchdog::start("sleep 1; rm -rf -- \"$1\"", &[&folder.path().to_string_lossy()])?;
        Ok(Self { folder, watchdog })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens its log for another program to write to.
    pub fn log(&self) -> Result<Stdio> {
        let file = fs::OpenOptions::new().create(true).append(true).open(self.path().join("log"));
        file.map(Stdio::from).map_err(|why| format!("no log: {why}"))
    }

    /// Returns what other programs wrote to its log.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default().trim().to_owned()
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        self.watchdog.dismiss();
    }
}

/// Returns a command that runs cargo in the repository.
///
/// The variables that `cargo run` set for this program are removed: build scripts that ask for
/// them would run again, and half of the dependencies would be compiled again.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(args).current_dir(crate::root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
        if own.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command of cargo to its end.
///
/// # Errors
/// `what` if it fails; cargo itself has shown why.
pub fn run_cargo(command: &mut Command, what: &str) -> Result<()> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(what.to_owned()),
        Err(why) => Err(format!("cargo does not start: {why}")),
    }
}

/// Returns the folder into which cargo builds.
pub fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), Into::into)
}
