//! The lock on a data folder: who holds it owns the Postgres in it. The kernel lets go of it when the process ends, however it ends.
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::PrivateError;

/// The lock, held. Dropping it lets go.
pub(super) struct Lock {
    file: File,
}

/// Where the lock of a data folder is. The file holds the owner's process id as text, and nothing while nobody owns.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("lock")
}

/// Takes the lock, or says `None` when another holds it. Never waits. The file stays for ever: deleting it would let two hold "the" lock.
pub(super) fn take(data_dir: &Path) -> Result<Option<Lock>, PrivateError> {
    let path = path(data_dir);
    let failed = |problem| PrivateError::at(&path, "locking the data folder", problem);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let mut file = options.open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(problem) => return Err(failed(problem.into())),
    }
    write_pid(&mut file).map_err(failed)?;
    Ok(Some(Lock { file }))
}

/// The process that holds the lock, as far as the file tells.
pub(super) fn holder(data_dir: &Path) -> Option<i32> {
    let mut text = String::new();
    File::open(path(data_dir)).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Best effort: a name left behind misleads a reader, and harms nobody. Closing the file releases the lock.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the lock file keeps our process id");
        }
    }
}
