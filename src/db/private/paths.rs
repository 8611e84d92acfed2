//! Where the private Postgres keeps its files: in the data folder, or in a fallback folder that
//! Postgres's user can enter.
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use super::environment;
use super::error::PrivateError;
use super::marker::{self, Marker};
use super::user::{self, User, can_enter, is_root};

/// The database's folder inside the [`PostgresDir`].
const DATABASE: &str = "pg";
/// The longest path of a Unix socket. An address has 108 bytes on Linux, 104 elsewhere, with a
/// closing zero.
const MAX_SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// How many data folders can have had one path after another.
const MAX_FALLBACK_DIRS: u32 = 1_000;
/// The socket's file name for port 5432.
pub(super) const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// The folder that holds `pg`, `run` and `pg-programs`: the data folder, or a fallback folder if
/// Postgres's user cannot enter the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostgresDir {
    pub(super) folder: PathBuf,
    /// `None` if this process is not root: Postgres then runs as the same user.
    pub(super) user: Option<User>,
}

impl PostgresDir {
    /// Returns the folder of the database.
    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Returns the folder in which a new database is created. It is renamed once it is complete.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.folder.join("pg.new")
    }

    /// Returns a command that runs as Postgres's user, with none of this process's environment and
    /// not in its folder.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = environment::command(program);
        command.stdout(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Creates a folder that only Postgres's user (and root) can enter.
    pub(super) fn private_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.chown(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
    }

    /// Makes Postgres's user the owner of a file or folder. Does nothing if Postgres runs as this
    /// user.
    fn chown(&self, path: &Path) -> io::Result<()> {
        match &self.user {
            Some(user) => std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        }
    }

    /// Does the same for a folder and everything in it, for a database that root has copied here.
    pub(super) fn chown_all(&self, folder: &Path) -> io::Result<()> {
        for item in fs::read_dir(folder)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                self.chown_all(&item.path())?;
            } else {
                self.chown(&item.path())?;
            }
        }
        self.chown(folder)
    }
}

/// Creates the data folder if it is missing, and returns its real path.
///
/// If root creates it, its mode is 0711: Postgres's user can pass through and not list it. If
/// another user creates it, its mode is 0700.
pub(super) fn prepare_data_dir(data_dir: &Path) -> Result<PathBuf, PrivateError> {
    if data_dir.exists() && !data_dir.is_dir() {
        return Err(PrivateError::NotAFolder { path: data_dir.to_owned() });
    }
    let data_dir = create_dir_all(data_dir, is_root())
        .and_then(|()| fs::canonicalize(data_dir))
        .map_err(|problem| PrivateError::at(data_dir, "creating the data folder", problem))?;
    // initdb runs `postgres` through a shell, with its path in double quotes.
    let harmless = |name: &str| !name.contains(['"', '$', '`', '\\']) && !name.contains(char::is_control);
    if data_dir.to_str().is_some_and(harmless) {
        Ok(data_dir)
    } else {
        Err(PrivateError::FolderName { path: data_dir })
    }
}

/// Finds the folder of a data folder's Postgres files, and creates a fallback folder below
/// `fallback_base` if it is needed.
///
/// The choice is stable: an existing database is never replaced by a new, empty one because a
/// folder's mode changed, or because it was moved or copied.
///
/// # Errors
/// Returns an error if the choice is ambiguous, or if the database is not where it should be.
pub(super) fn locate(data_dir: &Path, fallback_base: &Path) -> Result<PostgresDir, PrivateError> {
    let here = has_database(data_dir);
    match marker::read_location(data_dir)? {
        // Root put it elsewhere, and this process is not root. A database here was put here since.
        Some(Marker { folder: Some(postgres_dir), .. }) if !is_root() && !here => Err(if has_database(&postgres_dir) {
            PrivateError::OfRoot { data_dir: data_dir.to_owned(), postgres_dir }
        } else {
            missing(data_dir, postgres_dir.join(DATABASE))
        }),
        Some(Marker { id, folder: Some(postgres_dir) }) if is_root() => {
            match check_marked(data_dir, &postgres_dir, id)? {
                MarkedDatabase::Own if here => {
                    Err(PrivateError::TwoDatabases { one: data_dir.join(DATABASE), other: postgres_dir.join(DATABASE) })
                }
                MarkedDatabase::Own => at(&postgres_dir),
                // The copy, or the folder that lost its database, has been given one of its own.
                MarkedDatabase::OfOriginal(_) | MarkedDatabase::Missing if here => at(data_dir),
                MarkedDatabase::OfOriginal(original) => {
                    Err(PrivateError::Copied { copy: data_dir.to_owned(), original, postgres_dir })
                }
                MarkedDatabase::Missing => Err(missing(data_dir, postgres_dir.join(DATABASE))),
            }
        }
        Some(Marker { folder: None, .. }) if !here => Err(missing(data_dir, data_dir.join(DATABASE))),
        None if !here => locate_unmarked(data_dir, fallback_base),
        _ => at(data_dir),
    }
}

/// What is at the place that a data folder's marker names.
enum MarkedDatabase {
    /// The data folder's own database. The data folder can have been moved since.
    Own,
    /// The database of the data folder that this one is a copy of.
    OfOriginal(PathBuf),
    /// No database.
    Missing,
}

fn check_marked(data_dir: &Path, postgres_dir: &Path, id: Uuid) -> Result<MarkedDatabase, PrivateError> {
    if !has_database(postgres_dir) {
        return Ok(MarkedDatabase::Missing);
    }
    let Some(owner) = marker::read_owner(postgres_dir)? else { return Ok(MarkedDatabase::Own) };
    let folder = owner.folder.unwrap_or_default();
    if owner.id != id {
        let (postgres_dir, file) = (postgres_dir.to_owned(), marker::path(data_dir));
        return Err(PrivateError::OtherDatabase { postgres_dir, file, owner: folder });
    }
    let is_same = |one: &Path, other: &Path| {
        let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) else { return false };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    if folder == data_dir || is_same(&folder, data_dir) {
        return Ok(MarkedDatabase::Own);
    }
    // A marker that cannot be read proves that the original folder still exists.
    let original = marker::read_location(&folder);
    if original.is_err() || original.is_ok_and(|marker| marker.is_some_and(|marker| marker.id == id)) {
        return Ok(MarkedDatabase::OfOriginal(folder));
    }
    tracing::warn!(
        "the data folder was moved from {} to {}: its database stays in {}",
        folder.display(),
        data_dir.display(),
        postgres_dir.display()
    );
    Ok(MarkedDatabase::Own)
}

/// Locates the Postgres files of a data folder that has neither a marker nor a database: a database
/// made before there were markers, or a new one.
fn locate_unmarked(data_dir: &Path, fallback_base: &Path) -> Result<PostgresDir, PrivateError> {
    let mut new = None;
    for fallback in fallback_dirs(data_dir, fallback_base).filter(|_| is_root()) {
        if !has_database(&fallback) {
            new = Some(fallback);
            break;
        }
        // The database of a data folder that was moved away from this path is skipped.
        if marker::read_owner(&fallback)?.is_none_or(|owner| owner.folder.as_deref() == Some(data_dir)) {
            return at_fallback(&fallback);
        }
    }
    // A log shows that Postgres has run here.
    if fs::metadata(data_dir.join("log/postgres.log")).is_ok_and(|found| found.len() > 0) {
        return Err(match new {
            Some(_) => PrivateError::DatabaseElsewhere {
                data_dir: data_dir.to_owned(),
                fallback_base: fallback_base.to_owned(),
            },
            None => missing(data_dir, data_dir.join(DATABASE)),
        });
    }
    match new {
        Some(fallback) if !can_enter(data_dir, &user::choose(&data_dir.join(DATABASE), data_dir))? => {
            at_fallback(&fallback)
        }
        _ => at(data_dir),
    }
}

/// Returns a fallback folder by its real path. Creates it if it is missing.
fn at_fallback(fallback: &Path) -> Result<PostgresDir, PrivateError> {
    create_dir_all(fallback, true)
        .and_then(|()| fs::canonicalize(fallback))
        .map_err(|problem| PrivateError::at(fallback, "creating the database's folder", problem))
        .and_then(|fallback| at(&fallback))
}

fn missing(data_dir: &Path, expected: PathBuf) -> PrivateError {
    PrivateError::DatabaseMissing { data_dir: data_dir.to_owned(), expected }
}

/// Returns a folder, with the user that Postgres runs as there.
fn at(folder: &Path) -> Result<PostgresDir, PrivateError> {
    let folder = folder.to_owned();
    if !is_root() {
        return Ok(PostgresDir { folder, user: None });
    }
    let user = user::choose(&folder.join(DATABASE), &folder);
    if can_enter(&folder, &user)? {
        Ok(PostgresDir { folder, user: Some(user) })
    } else {
        Err(PrivateError::Closed { folder, user: user.name })
    }
}

/// Returns `true` if a folder has a database in it, or something that cannot be read.
pub(super) fn has_database(postgres_dir: &Path) -> bool {
    match fs::read_dir(postgres_dir.join(DATABASE)) {
        Ok(mut items) => items.next().is_some(),
        Err(problem) => !matches!(problem.kind(), io::ErrorKind::NotFound),
    }
}

/// Returns where a data folder's database can be, without creating anything. For processes that
/// share it.
pub(super) fn candidate_databases(data_dir: &Path, fallback_base: &Path) -> Vec<PathBuf> {
    let folders = match marker::read_location(data_dir).ok().flatten() {
        Some(marker) => vec![marker.folder.unwrap_or_else(|| data_dir.to_owned())],
        None => [data_dir.to_owned()].into_iter().chain(fallback_dirs(data_dir, fallback_base).take(1)).collect(),
    };
    folders.into_iter().map(|folder| folder.join(DATABASE)).collect()
}

/// Returns the fallback folders for a data folder: the first one, and others in case it belongs to
/// a data folder that had this path before.
fn fallback_dirs(data_dir: &Path, fallback_base: &Path) -> impl Iterator<Item = PathBuf> {
    let first = fallback_base.join(short_hash(data_dir.as_os_str()));
    let further = first.clone();
    let more = (2..MAX_FALLBACK_DIRS).map(move |nth| further.with_extension(nth.to_string()));
    std::iter::once(first).chain(more)
}

/// Returns the socket's folder, created if it is missing: `run` in the Postgres folder, or a short
/// path below `/tmp` if the socket's path would be too long for the kernel.
///
/// # Errors
/// Returns an error if the folder cannot be created, or belongs to another user.
pub(super) fn socket_folder(postgres_dir: &PostgresDir) -> Result<PathBuf, PrivateError> {
    let run = postgres_dir.folder.join("run");
    if run.join(SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
        postgres_dir
            .private_folder(&run)
            .map_err(|problem| PrivateError::at(&run, "creating the socket's folder", problem))?;
        return Ok(run);
    }
    // Not the folder that TMPDIR names: it can be long as well, and another Maju that uses this
    // data folder can have another one.
    let short = Path::new("/tmp").join(format!("maju-{}", short_hash(postgres_dir.folder.as_os_str())));
    let failed = |problem| PrivateError::at(&short, "creating the socket's folder", problem);
    match fs::DirBuilder::new().mode(0o700).create(&short) {
        Ok(()) => postgres_dir.chown(&short).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // Every user can create folders in /tmp, so a folder of another user is not used.
    let found = fs::symlink_metadata(&short).map_err(failed)?;
    let wanted = postgres_dir.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    let is_own = found.uid() == wanted || found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !is_own || found.mode() & 0o077 != 0 {
        return Err(PrivateError::SocketFolder { folder: short });
    }
    postgres_dir.chown(&short).map_err(failed)?;
    Ok(short)
}

/// Creates a folder and the missing ones above it. With `for_others`, other users can pass through
/// them and not list them (0711); otherwise they are closed (0700).
fn create_dir_all(folder: &Path, for_others: bool) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        create_dir_all(parent, for_others)?;
    }
    let mode = if for_others { 0o711 } else { 0o700 };
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    // Set separately, because the umask can remove needed permissions.
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

/// Returns the first ten hexadecimal digits of an FNV-1a hash, for the name of a folder. Not for
/// security. It must never change, so the hasher of std does not fit.
pub(super) fn short_hash(text: &OsStr) -> String {
    let hash = text
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")[..10].to_owned()
}
