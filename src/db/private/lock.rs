//! The lock on a data folder: who holds it owns the Postgres in it. The kernel lets go of it when the process ends, however it ends.
//!
//! Two things are locked: the folder itself, which nobody can remove while it is in use and which stays locked when it is moved, and
//! the file `lock` in it, which says who the owner is and does for file systems that lock no folders.
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::PrivateError;

/// The lock, held. Dropping it lets go.
pub(super) struct Lock {
    file: File,
    /// `None` where the file system locks no folders.
    _folder: Option<File>,
    /// Whether it was said that the file cannot be put back.
    said: bool,
}

/// Where the lock of a data folder is. The file holds the owner's process id as text, and nothing while nobody owns.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("lock")
}

/// Takes the lock, or says `None` when another holds it. Never waits.
pub(super) fn take(data_dir: &Path) -> Result<Option<Lock>, PrivateError> {
    let path = path(data_dir);
    let failed = |problem| PrivateError::at(&path, "locking the data folder", problem);
    let folder = match File::open(data_dir).map(|folder| (flock(&folder, EXCLUSIVE), folder)) {
        Ok((Ok(()), folder)) => Some(folder),
        Ok((Err(Errno::WOULDBLOCK), _)) => return Ok(None),
        // Not ours to list, or a file system that locks no folders.
        _ => None,
    };
    let Some(file) = lock_file(&path).map_err(failed)? else { return Ok(None) };
    Ok(Some(Lock { file, _folder: folder, said: false }))
}

const EXCLUSIVE: FlockOperation = FlockOperation::NonBlockingLockExclusive;

/// Locks the file and writes our process id into it; `None` when another holds it.
fn lock_file(path: &Path) -> std::io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    loop {
        let mut file = options.open(path)?;
        match flock(&file, EXCLUSIVE) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(problem) => return Err(problem.into()),
        }
        // It may have been removed or replaced since it was opened: then that lock keeps nobody out.
        if is_at(&file, path) {
            write_pid(&mut file)?;
            return Ok(Some(file));
        }
    }
}

/// Whether an open file is the one that has this path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::metadata(path)) else { return false };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

impl Lock {
    /// Puts the file back when it was removed or replaced, so that everybody finds who the owner is.
    pub(super) fn keep(&mut self, data_dir: &Path) {
        let path = path(data_dir);
        if is_at(&self.file, &path) {
            return;
        }
        match lock_file(&path) {
            Ok(Some(file)) => {
                self.file = file;
                self.said = false;
                tracing::warn!(file = %path.display(), "the lock file was removed while we run; it is put back");
            }
            outcome if !self.said => {
                self.said = true;
                let problem =
                    outcome.err().map_or_else(|| "another process has locked it".to_owned(), |why| why.to_string());
                tracing::error!(file = %path.display(), problem, "the lock file was removed while we run and cannot be put back");
            }
            _ => {}
        }
    }
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
