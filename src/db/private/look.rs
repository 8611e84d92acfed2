//! Looks whether a Postgres that runs can be reached: its socket and its `postmaster.pid` may be removed under it.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};

use super::owner::SOCKET;
use super::postmaster;

/// Failed looks in a row after which it counts as lost: a file that is being replaced is not missed.
const LOOKS: u32 = 3;
/// How often it is connected to while all files are in their places. Each connection is a process that Postgres forks.
const CONNECT: Duration = Duration::from_secs(5);

/// What is known of a Postgres that accepted connections.
pub(super) struct Look {
    socket: PathBuf,
    /// Device and inode of the socket's file, which change when another takes its name.
    known: Option<(u64, u64)>,
    database: PathBuf,
    pid: i32,
    failed: u32,
    connected: Instant,
}

impl Look {
    /// The first look at a Postgres that is ready.
    pub(super) fn new(socket_folder: &Path, database: &Path, pid: i32) -> Self {
        let socket = socket_folder.join(SOCKET);
        let known = identity(&socket);
        Self { socket, known, database: database.to_owned(), pid, failed: 0, connected: Instant::now() }
    }

    /// Why nobody can reach it any more, once three looks in a row have found the same; meant to be called each second.
    ///
    /// One that is busy, recovering or suspended is not lost: the kernel accepts connections for it, or says that too many wait.
    pub(super) fn lost(&mut self) -> Option<&'static str> {
        let Some(why) = self.problem() else {
            self.failed = 0;
            return None;
        };
        self.failed += 1;
        (self.failed >= LOOKS).then_some(why)
    }

    fn problem(&mut self) -> Option<&'static str> {
        match identity(&self.socket) {
            None => return Some("its socket is gone"),
            found if found != self.known => return Some("another file has its socket's name"),
            _ => {}
        }
        // Postgres itself looks each minute, and then leaves without writing its checkpoint.
        if postmaster::read(&self.database).is_none_or(|found| found.pid != self.pid) {
            return Some("its postmaster.pid is gone or names another");
        }
        if self.failed == 0 && self.connected.elapsed() < CONNECT {
            return None;
        }
        self.connected = Instant::now();
        refuses(&self.socket).then_some("its socket refuses connections")
    }
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(file).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether a connection is refused. Never waits: with as many waiting as the kernel takes, this one would.
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

    use super::super::owner::SOCKET;
    use super::{LOOKS, Look};

    /// A folder with the files of a Postgres that has this process's number and never accepts.
    fn fixture() -> (tempfile::TempDir, UnixListener, Look) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        fs::write(folder.path().join("postmaster.pid"), "42\n").unwrap();
        let look = Look::new(folder.path(), folder.path(), 42);
        (folder, listener, look)
    }

    fn looks(look: &mut Look) -> Vec<bool> {
        (0..=LOOKS).map(|_| look.lost().is_some()).collect()
    }

    #[test]
    fn a_postgres_that_is_only_busy_or_suspended_is_not_lost() {
        let (_folder, _listener, mut look) = fixture();
        for _ in 0..5_000 {
            look.connected -= super::CONNECT; // more connections than the kernel lets wait
            assert_eq!(look.lost(), None);
        }
    }

    #[test]
    fn a_socket_that_is_gone_replaced_or_refuses_is_noticed_at_the_third_look() {
        let late = [false, false, true, true];
        let (folder, _listener, mut look) = fixture();
        fs::remove_file(folder.path().join(SOCKET)).unwrap();
        assert_eq!(looks(&mut look), late);

        let (folder, listener, mut look) = fixture();
        let other = UnixListener::bind(folder.path().join("other")).unwrap();
        fs::rename(folder.path().join("other"), folder.path().join(SOCKET)).unwrap();
        assert_eq!(looks(&mut look), late);
        drop((listener, other));

        let (_folder, listener, mut look) = fixture();
        drop(listener); // the file stays
        look.connected -= super::CONNECT;
        assert_eq!(looks(&mut look), late);

        let (folder, _listener, mut look) = fixture();
        fs::remove_file(folder.path().join("postmaster.pid")).unwrap();
        assert_eq!(looks(&mut look), late);
        fs::write(folder.path().join("postmaster.pid"), "42\n").unwrap();
        assert_eq!(looks(&mut look), [false; 4], "and it is forgotten when it is back");
    }
}
