//! The user that Postgres runs as. Postgres refuses to run as root, so root starts it as another
//! user, and that user must be able to enter the folder.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use rustix::io::Errno;

use super::environment;
use super::error::PrivateError;

/// The number of the user `nobody`.
const NOBODY: u32 = 65_534;

/// The user to run Postgres as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
}

/// Returns `true` if this process runs as root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Chooses the user for root to run Postgres as: the owner of the database, else of its folder,
/// else `postgres`, else nobody. Never root.
pub(super) fn choose(database: &Path, folder: &Path) -> User {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = |path: &Path| fs::metadata(path).ok().filter(|found| found.uid() != 0);
    if let Some(found) = owner(database) {
        return User { uid: found.uid(), gid: found.gid(), name: found.uid().to_string() };
    }
    owner(folder)
        // initdb refuses a user without a name.
        .and_then(|found| account(&accounts, |_, uid| uid == found.uid()))
        .or_else(|| account(&accounts, |name, _| name == "postgres"))
        .unwrap_or_else(|| User { uid: NOBODY, gid: NOBODY, name: NOBODY.to_string() })
}

/// Returns the first account of an `/etc/passwd` that fits. `None` if no account but root's does.
pub(super) fn account(accounts: &str, fits: impl Fn(&str, u32) -> bool) -> Option<User> {
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, uid, gid) = (fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (uid != 0 && fits(name, uid)).then(|| User { uid, gid, name: (*name).to_owned() })
    })
}

/// Returns `true` if a user can enter a folder. The kernel decides, by trying it: the file modes
/// alone do not tell (access control lists, network disks).
///
/// # Errors
/// Returns an error if this process is not allowed to become the user, or the attempt fails
/// otherwise.
pub(super) fn can_enter(folder: &Path, user: &User) -> Result<bool, PrivateError> {
    let mut command = environment::command(Path::new("/bin/sh"));
    command.args(["-c", ":"]).current_dir(folder).uid(user.uid).gid(user.gid);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(_) => Ok(true),
        Err(problem) if Errno::from_io_error(&problem) == Some(Errno::PERM) => {
            Err(PrivateError::CannotSwitch { user: user.name.clone(), problem })
        }
        Err(problem) if problem.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(problem) => Err(PrivateError::at(folder, "checking the data folder", problem)),
    }
}
