//! Whose Postgres it is and where it lives: it refuses to run as root, so root starts it as another user, and that user must be able to
//! reach the folder.
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use uuid::Uuid;

use super::environment;
use super::error::PrivateError;
use super::mark::{self, Mark};

/// The database's folder inside the home.
const DATABASE: &str = "pg";
/// What a Unix socket's address holds on Linux (108 bytes with the closing zero; other systems have 104).
const LONGEST_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Data folders that had one path after another, at most.
const MOST_STAND_INS: u32 = 1_000;
/// The socket's file name for port 5432.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

/// The user to run Postgres as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
}

/// The folder that holds `pg`, `run` and `pg-programs`: the data folder, or a stand-in where Postgres's user cannot reach that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) folder: PathBuf,
    /// Nobody when we are not root: Postgres then runs as we do.
    pub(super) user: Option<User>,
}

impl Home {
    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// A new database is made here, and moved to its place when it is whole.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.folder.join("pg.new")
    }

    /// A command that runs as Postgres's user, far from our folder and our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = environment::command(program);
        command.stdout(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Makes a folder that only Postgres's user (and root) may enter.
    pub(super) fn private_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.give(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
    }

    /// Makes Postgres's user the owner of a file or folder.
    fn give(&self, path: &Path) -> io::Result<()> {
        match &self.user {
            Some(user) => std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        }
    }

    /// The same for a folder and all that is in it: a database that root copied here.
    pub(super) fn give_all(&self, folder: &Path) -> io::Result<()> {
        for item in fs::read_dir(folder)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                self.give_all(&item.path())?;
            } else {
                self.give(&item.path())?;
            }
        }
        self.give(folder)
    }
}

/// Makes the data folder when it is missing and returns its real path.
///
/// Made by root it is closed to listing and open to passing through (0711), for Postgres's user; made by anybody else it is closed (0700).
pub(super) fn data_folder(data_dir: &Path) -> Result<PathBuf, PrivateError> {
    if data_dir.exists() && !data_dir.is_dir() {
        return Err(PrivateError::NotAFolder { path: data_dir.to_owned() });
    }
    let data_dir = make_passable(data_dir, is_root())
        .and_then(|()| fs::canonicalize(data_dir))
        .map_err(|problem| PrivateError::at(data_dir, "making the data folder", problem))?;
    // initdb runs `postgres` through a shell, by its path in double quotes.
    let harmless = |name: &str| !name.contains(['"', '$', '`', '\\']) && !name.contains(char::is_control);
    if data_dir.to_str().is_some_and(harmless) {
        Ok(data_dir)
    } else {
        Err(PrivateError::FolderName { path: data_dir })
    }
}

/// Finds the home of a data folder's database, and makes the stand-in below `fallback_base` when it is needed.
///
/// The choice is stable: a database that exists is never left behind for a new, empty one because a folder was opened, closed, moved
/// or copied. What is ambiguous is refused.
pub(super) fn settle(data_dir: &Path, fallback_base: &Path) -> Result<Home, PrivateError> {
    let here = holds_database(data_dir);
    match mark::home_of(data_dir)? {
        // Root put it elsewhere, and we are not root. What is here was put here since.
        Some(Mark { folder: Some(home), .. }) if !is_root() && !here => Err(if holds_database(&home) {
            PrivateError::OfRoot { data_dir: data_dir.to_owned(), home }
        } else {
            missing(data_dir, home.join(DATABASE))
        }),
        Some(Mark { id, folder: Some(home) }) if is_root() => match marked(data_dir, &home, id)? {
            Marked::Ours if here => {
                Err(PrivateError::TwoDatabases { one: data_dir.join(DATABASE), other: home.join(DATABASE) })
            }
            Marked::Ours => at(&home),
            // It was given a database of its own.
            Marked::Copied(_) | Marked::Gone if here => at(data_dir),
            Marked::Copied(original) => Err(PrivateError::Copied { copy: data_dir.to_owned(), original, home }),
            Marked::Gone => Err(missing(data_dir, home.join(DATABASE))),
        },
        Some(Mark { folder: None, .. }) if !here => Err(missing(data_dir, data_dir.join(DATABASE))),
        None if !here => unmarked(data_dir, fallback_base),
        _ => at(data_dir),
    }
}

/// What is found where the mark of a data folder says that its database is.
enum Marked {
    /// Its database. The folder may have been moved since.
    Ours,
    /// The database of the folder that this one was copied from.
    Copied(PathBuf),
    /// Nothing.
    Gone,
}

fn marked(data_dir: &Path, home: &Path, id: Uuid) -> Result<Marked, PrivateError> {
    if !holds_database(home) {
        return Ok(Marked::Gone);
    }
    let Some(owner) = mark::owner_of(home)? else { return Ok(Marked::Ours) };
    let folder = owner.folder.unwrap_or_default();
    if owner.id != id {
        let (home, file) = (home.to_owned(), mark::path(data_dir));
        return Err(PrivateError::OtherDatabase { home, file, owner: folder });
    }
    let is_same = |one: &Path, other: &Path| {
        let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) else { return false };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    if folder == data_dir || is_same(&folder, data_dir) {
        return Ok(Marked::Ours);
    }
    // A mark that cannot be read is that of a folder which is there.
    let original = mark::home_of(&folder);
    if original.is_err() || original.is_ok_and(|mark| mark.is_some_and(|mark| mark.id == id)) {
        return Ok(Marked::Copied(folder));
    }
    tracing::warn!(
        "the data folder was moved from {} to {}: its database stays in {}",
        folder.display(),
        data_dir.display(),
        home.display()
    );
    Ok(Marked::Ours)
}

/// The home of a data folder that has neither a mark nor a database: a database from before there were marks, or a new one.
fn unmarked(data_dir: &Path, fallback_base: &Path) -> Result<Home, PrivateError> {
    let mut new = None;
    for stand_in in stand_ins(data_dir, fallback_base).filter(|_| is_root()) {
        if !holds_database(&stand_in) {
            new = Some(stand_in);
            break;
        }
        // Another's is passed over: it was moved away from this path.
        if mark::owner_of(&stand_in)?.is_none_or(|owner| owner.folder.as_deref() == Some(data_dir)) {
            return at_stand_in(&stand_in);
        }
    }
    // Postgres has run here.
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
        Some(stand_in) if !reachable(data_dir, &user_for(data_dir))? => at_stand_in(&stand_in),
        _ => at(data_dir),
    }
}

/// A stand-in as the home, made when it is missing, by its real path.
fn at_stand_in(stand_in: &Path) -> Result<Home, PrivateError> {
    make_passable(stand_in, true)
        .and_then(|()| fs::canonicalize(stand_in))
        .map_err(|problem| PrivateError::at(stand_in, "making the database's folder", problem))
        .and_then(|stand_in| at(&stand_in))
}

fn missing(data_dir: &Path, expected: PathBuf) -> PrivateError {
    PrivateError::DatabaseMissing { data_dir: data_dir.to_owned(), expected }
}

/// A folder as the home, with the user that Postgres runs as there.
fn at(folder: &Path) -> Result<Home, PrivateError> {
    let folder = folder.to_owned();
    if !is_root() {
        return Ok(Home { folder, user: None });
    }
    let user = user_for(&folder);
    if reachable(&folder, &user)? {
        Ok(Home { folder, user: Some(user) })
    } else {
        Err(PrivateError::Closed { folder, user: user.name })
    }
}

/// Whether a folder has a database in it, or something that cannot be looked into.
pub(super) fn holds_database(home: &Path) -> bool {
    match fs::read_dir(home.join(DATABASE)) {
        Ok(mut items) => items.next().is_some(),
        Err(problem) => !matches!(problem.kind(), io::ErrorKind::NotFound),
    }
}

/// Where a data folder's database may be, without making anything: for one who shares it.
pub(super) fn databases(data_dir: &Path, fallback_base: &Path) -> Vec<PathBuf> {
    let marked = mark::home_of(data_dir).ok().flatten();
    let homes = match marked {
        Some(mark) => vec![mark.folder.unwrap_or_else(|| data_dir.to_owned())],
        None => [data_dir.to_owned()].into_iter().chain(stand_ins(data_dir, fallback_base).take(1)).collect(),
    };
    homes.into_iter().map(|home| home.join(DATABASE)).collect()
}

/// The folders that a data folder's database may get when it cannot be in the data folder: the first, and others in case that one is
/// taken by a folder that had this path before.
fn stand_ins(data_dir: &Path, fallback_base: &Path) -> impl Iterator<Item = PathBuf> {
    let first = fallback_base.join(short_hash(data_dir.as_os_str()));
    let further = first.clone();
    let more = (2..MOST_STAND_INS).map(move |nth| further.with_extension(nth.to_string()));
    std::iter::once(first).chain(more)
}

/// The folder of the socket: `run` in the home, or a short one when the socket's path would be too long for the kernel.
pub(super) fn socket_folder(home: &Home) -> Result<PathBuf, PrivateError> {
    let run = home.folder.join("run");
    if run.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET_PATH {
        home.private_folder(&run).map_err(|problem| PrivateError::at(&run, "making the socket's folder", problem))?;
        return Ok(run);
    }
    // Not the folder that TMPDIR names: it may be long as well, and another Maju of this data folder may have another.
    let short = Path::new("/tmp").join(format!("maju-{}", short_hash(home.folder.as_os_str())));
    let failed = |problem| PrivateError::at(&short, "making the socket's folder", problem);
    match fs::DirBuilder::new().mode(0o700).create(&short) {
        Ok(()) => home.give(&short).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // Anybody may make folders there: one that is not ours is not used.
    let found = fs::symlink_metadata(&short).map_err(failed)?;
    let wanted = home.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    let ours = found.uid() == wanted || found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
        return Err(PrivateError::SocketFolder { folder: short });
    }
    home.give(&short).map_err(failed)?;
    Ok(short)
}

/// Whether we are root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// For root: the user whom the database in this folder belongs to, else the folder, else `postgres`, else 65534 (nobody).
fn user_for(folder: &Path) -> User {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = |path: &Path| fs::metadata(path).ok().filter(|found| found.uid() != 0);
    if let Some(found) = owner(&folder.join(DATABASE)) {
        return User { uid: found.uid(), gid: found.gid(), name: found.uid().to_string() };
    }
    owner(folder)
        // initdb refuses a user without a name.
        .and_then(|found| account(&accounts, |_, uid| uid == found.uid()))
        .or_else(|| account(&accounts, |name, _| name == "postgres"))
        .unwrap_or_else(|| User { uid: 65534, gid: 65534, name: "65534".to_owned() })
}

/// The first line of /etc/passwd that fits.
pub(super) fn account(accounts: &str, fits: impl Fn(&str, u32) -> bool) -> Option<User> {
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, uid, gid) = (fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (uid != 0 && fits(name, uid)).then(|| User { uid, gid, name: (*name).to_owned() })
    })
}

/// Asks the kernel whether a user may enter a folder, by entering it: modes alone do not tell (access lists, network disks).
fn reachable(folder: &Path, user: &User) -> Result<bool, PrivateError> {
    let mut command = environment::command(Path::new("/bin/sh"));
    command.args(["-c", ":"]).current_dir(folder).uid(user.uid).gid(user.gid);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(_) => Ok(true),
        Err(problem) if Errno::from_io_error(&problem) == Some(Errno::PERM) => {
            Err(PrivateError::CannotSwitch { user: user.name.clone(), problem })
        }
        Err(problem) if problem.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(problem) => Err(PrivateError::at(folder, "looking at the data folder", problem)),
    }
}

/// Makes a folder and those above it. Made for root, others may pass through and not list; else the last one is closed.
fn make_passable(folder: &Path, for_others: bool) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        make_passable(parent, for_others)?;
    }
    let mode = if for_others { 0o711 } else { 0o700 };
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    // Set apart from making it: the umask may take away what is needed.
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

/// FNV-1a, the first ten hexadecimal digits: names a folder, protects nothing. Must stay the same for ever, unlike std's hasher.
pub(super) fn short_hash(text: &OsStr) -> String {
    let hash = text
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")[..10].to_owned()
}
