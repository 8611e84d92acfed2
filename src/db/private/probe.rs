//! Checks whether a running Postgres can be reached: its socket and its `postmaster.pid` can be
//! removed while it runs.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};

use super::paths::SOCKET_NAME;
use super::postmaster;

/// Failed checks in a row after which Postgres counts as lost. A file that is being replaced does
/// not reach it.
const MAX_FAILED_PROBES: u32 = 3;
/// Time between two connections while all files are in place. For each, Postgres forks a process.
const CONNECT_INTERVAL: Duration = Duration::from_secs(5);

/// The files of a Postgres that has accepted connections, and the result of the latest checks.
pub(super) struct Probe {
    socket: PathBuf,
    /// The device and inode of the socket's file. They change if it is replaced.
    known: Option<(u64, u64)>,
    database: PathBuf,
    pid: i32,
    failed: u32,
    connected: Instant,
}

impl Probe {
    /// Returns a probe for a Postgres that accepts connections.
    pub(super) fn new(socket_folder: &Path, database: &Path, pid: i32) -> Self {
        let socket = socket_folder.join(SOCKET_NAME);
        let known = identity(&socket);
        Self { socket, known, database: database.to_owned(), pid, failed: 0, connected: Instant::now() }
    }

    /// Returns why Postgres can no longer be reached. `None` until three checks in a row have
    /// failed. Meant to be called once a second.
    ///
    /// A Postgres that is busy, recovering or suspended is not lost: the kernel accepts connections
    /// for it, or reports that too many wait.
    pub(super) fn failure(&mut self) -> Option<&'static str> {
        let Some(why) = self.problem() else {
            self.failed = 0;
            return None;
        };
        self.failed += 1;
        (self.failed >= MAX_FAILED_PROBES).then_some(why)
    }

    fn problem(&mut self) -> Option<&'static str> {
        match identity(&self.socket) {
            None => return Some("its socket is missing"),
            found if found != self.known => return Some("its socket was replaced by another file"),
            _ => {}
        }
        // Postgres itself checks this each minute, and then ends without a checkpoint.
        if postmaster::read(&self.database).is_none_or(|found| found.pid != self.pid) {
            return Some("its postmaster.pid is missing or names another process");
        }
        if self.failed == 0 && self.connected.elapsed() < CONNECT_INTERVAL {
            return None;
        }
        self.connected = Instant::now();
        refuses(&self.socket).then_some("its socket refuses connections")
    }
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(file).ok().map(|found| (found.dev(), found.ino()))
}

/// Returns `true` if a connection is refused. Does not block: if the kernel's queue of waiting
/// connections is full, a blocking connection would wait.
fn refuses(path: &Path) -> bool {
    let Ok(address) = SocketAddrUnix::new(path) else { return false };
    let outcome = socket(AddressFamily::UNIX, SocketType::STREAM, None)
        .and_then(|socket| rustix::io::ioctl_fionbio(&socket, true).map(|()| socket))
        .and_then(|socket| connect(&socket, &address));
    matches!(outcome, Err(Errno::CONNREFUSED | Errno::NOENT))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::super::paths::SOCKET_NAME;
    use super::{MAX_FAILED_PROBES, Probe};

    /// Returns a folder with the files of a Postgres, and a listener that never accepts.
    fn fixture() -> (tempfile::TempDir, UnixListener, Probe) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET_NAME)).unwrap();
        fs::write(folder.path().join("postmaster.pid"), "42\n").unwrap();
        let probe = Probe::new(folder.path(), folder.path(), 42);
        (folder, listener, probe)
    }

    fn checks(probe: &mut Probe) -> Vec<bool> {
        (0..=MAX_FAILED_PROBES).map(|_| probe.failure().is_some()).collect()
    }

    #[test]
    fn a_postgres_that_is_only_busy_or_suspended_is_not_lost() {
        let (_folder, _listener, mut probe) = fixture();
        for _ in 0..5_000 {
            probe.connected -= super::CONNECT_INTERVAL; // more connections than fit into the kernel's queue
            assert_eq!(probe.failure(), None);
        }
    }

    #[test]
    fn a_socket_that_is_missing_replaced_or_refusing_is_reported_by_the_third_check() {
        let third = [false, false, true, true];
        let (folder, _listener, mut probe) = fixture();
        fs::remove_file(folder.path().join(SOCKET_NAME)).unwrap();
        assert_eq!(checks(&mut probe), third);

        let (folder, listener, mut probe) = fixture();
        let other = UnixListener::bind(folder.path().join("other")).unwrap();
        fs::rename(folder.path().join("other"), folder.path().join(SOCKET_NAME)).unwrap();
        assert_eq!(checks(&mut probe), third);
        drop((listener, other));

        let (_folder, listener, mut probe) = fixture();
        drop(listener); // the file stays
        probe.connected -= super::CONNECT_INTERVAL;
        assert_eq!(checks(&mut probe), third);

        let (folder, _listener, mut probe) = fixture();
        fs::remove_file(folder.path().join("postmaster.pid")).unwrap();
        assert_eq!(checks(&mut probe), third);
        fs::write(folder.path().join("postmaster.pid"), "42\n").unwrap();
        assert_eq!(checks(&mut probe), [false; 4], "and the count is reset when it is back");
    }
}
