//! The lock on a data folder. The process that holds it owns the Postgres in the folder. The kernel
//! releases the lock when the process ends, however it ends.
//!
//! Two things are locked. The folder itself cannot be removed while it is in use, and stays locked
//! if it is moved. The file `lock` in it names the owner, and is enough on file systems that cannot
//! lock folders.
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::PrivateError;

/// A held lock. Dropping it releases it.
pub(super) struct Lock {
    file: File,
    /// `None` if the file system cannot lock folders.
    _folder: Option<File>,
    /// Whether it has been logged that the file cannot be restored.
    logged: bool,
}

/// Returns the path of a data folder's lock file. It holds the owner's process id as text, and is
/// empty while there is no owner.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("lock")
}

/// Takes the lock without waiting. `None` if another process holds it.
///
/// # Errors
/// Returns an error if the lock file cannot be created or locked.
pub(super) fn take(data_dir: &Path) -> Result<Option<Lock>, PrivateError> {
    let path = path(data_dir);
    let failed = |problem| PrivateError::at(&path, "locking the data folder", problem);
    let folder = match File::open(data_dir).map(|folder| (flock(&folder, EXCLUSIVE), folder)) {
        Ok((Ok(()), folder)) => Some(folder),
        Ok((Err(Errno::WOULDBLOCK), _)) => return Ok(None),
        // This user cannot read the folder, or the file system cannot lock folders.
        _ => None,
    };
    let Some(file) = lock_file(&path).map_err(failed)? else { return Ok(None) };
    Ok(Some(Lock { file, _folder: folder, logged: false }))
}

const EXCLUSIVE: FlockOperation = FlockOperation::NonBlockingLockExclusive;

/// Locks the file and writes the id of this process into it. `None` if another process holds it.
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
        // The file can have been removed or replaced since it was opened. The lock would then
        // exclude no other process.
        if is_at(&file, path) {
            write_pid(&mut file)?;
            return Ok(Some(file));
        }
    }
}

/// Returns `true` if an open file is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::metadata(path)) else { return false };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

impl Lock {
    /// Restores the lock file if it was removed or replaced, so that other processes find the
    /// owner.
    pub(super) fn restore_file(&mut self, data_dir: &Path) {
        let path = path(data_dir);
        if is_at(&self.file, &path) {
            return;
        }
        match lock_file(&path) {
            Ok(Some(file)) => {
                self.file = file;
                self.logged = false;
                tracing::warn!(file = %path.display(), "private Postgres: the lock file was removed while Maju runs, and has been restored");
            }
            outcome if !self.logged => {
                self.logged = true;
                let problem =
                    outcome.err().map_or_else(|| "another process has locked it".to_owned(), |why| why.to_string());
                tracing::error!(file = %path.display(), problem, "private Postgres: the lock file was removed while Maju runs, and cannot be restored");
            }
            _ => {}
        }
    }
}

/// Returns the id of the process that holds the lock. `None` if the file does not name one.
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
        // Closing the file releases the lock. A process id that stays in it only misleads a reader.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the lock file still names this process");
        }
    }
}
