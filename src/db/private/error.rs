//! Why the private Postgres cannot run. Each message is one line: what happened, and what to do.
use std::io;
use std::path::{Path, PathBuf};

use crate::db::limits::MIN_POSTGRES_MAJOR;

/// The reason why the private Postgres cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// The data folder cannot be created, read or written.
    #[error("{} cannot be used ({problem}): make it writable for this user, or name another folder with --data-dir", folder.display())]
    Folder {
        /// The folder or file.
        folder: PathBuf,
        /// The error of the system.
        problem: io::Error,
    },
    /// The data folder's path is that of a file.
    #[error("{} is a file and not a folder: move it away, or name another folder with --data-dir", path.display())]
    NotAFolder {
        /// The given path.
        path: PathBuf,
    },
    /// The data folder's path has characters that `initdb` or the settings of Postgres cannot
    /// contain.
    #[error(
        "the path {} cannot hold a database, because PostgreSQL's programs do not accept \", $, `, \\, line breaks or bytes that are \
         not UTF-8: name another folder with --data-dir",
        path.display().to_string().escape_debug()
    )]
    FolderName {
        /// The given path.
        path: PathBuf,
    },
    /// The disk is full, or the quota is used up.
    #[error("no space left on the disk while {doing} in {}: free about 200 MB, or name another folder with --data-dir", folder.display())]
    DiskFull {
        /// The folder on that disk.
        folder: PathBuf,
        /// The action that failed.
        doing: &'static str,
    },
    /// There is too little shared memory. The system reports it like a full disk.
    #[error(
        "no space left in {what} while {doing}: PostgreSQL's processes share memory there. Enlarge it (for a container: \
         --shm-size=64m), or set DATABASE_URL to use a Postgres server instead"
    )]
    SharedMemory {
        /// `/dev/shm`, or the names of the kernel's limits.
        what: &'static str,
        /// The action that failed.
        doing: &'static str,
    },
    /// The marker file of the data folder cannot be read.
    #[error("{}, which says where the database is, cannot be read ({problem}): restore the file from a backup", file.display())]
    Marker {
        /// The marker file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The data folder has been in use, and its database is not where it should be.
    #[error(
        "the database of {} is missing: {} is missing or empty. Restore it from a backup, or name another folder with --data-dir. To \
         start with a new, empty database, empty the data folder first",
        data_dir.display(), expected.display()
    )]
    DatabaseMissing {
        /// The data folder.
        data_dir: PathBuf,
        /// Where the database should be.
        expected: PathBuf,
    },
    /// The same without a marker file: before there were markers, root can have put it elsewhere.
    #[error(
        "the database of {} is missing: restore its folder `pg` from a backup, or from the folder below {} that was made for it. To \
         start with a new, empty database, empty the data folder first",
        data_dir.display(), fallback_base.display()
    )]
    DatabaseElsewhere {
        /// The data folder.
        data_dir: PathBuf,
        /// The parent of the fallback folders.
        fallback_base: PathBuf,
    },
    /// The database was removed while it was in use.
    #[error("the database {} was removed or moved while it was in use: put it back", folder.display())]
    DatabaseGone {
        /// The database's folder.
        folder: PathBuf,
    },
    /// The data folder is a copy of one whose database is elsewhere.
    #[error(
        "{} is a copy of {}, and the database of both is in {}: start Maju on the original, or stop Maju and copy {}/pg into the copy, \
         which then has a database of its own",
        copy.display(), original.display(), postgres_dir.display(), postgres_dir.display()
    )]
    Copied {
        /// The data folder in use.
        copy: PathBuf,
        /// The data folder that it was copied from.
        original: PathBuf,
        /// The folder that holds the database.
        postgres_dir: PathBuf,
    },
    /// The database that the marker file names belongs to another data folder.
    #[error(
        "the database in {}, which {} names, belongs to another data folder ({}): restore the right one from a backup",
        postgres_dir.display(), file.display(), owner.display()
    )]
    OtherDatabase {
        /// The folder that holds the database.
        postgres_dir: PathBuf,
        /// The marker file of the data folder in use.
        file: PathBuf,
        /// The data folder that the database belongs to.
        owner: PathBuf,
    },
    /// There are two databases for one data folder.
    #[error("there are two databases, in {} and in {}: move the one away that you do not want to use", one.display(), other.display())]
    TwoDatabases {
        /// The database in the data folder.
        one: PathBuf,
        /// The database that the marker file names.
        other: PathBuf,
    },
    /// Root has started Maju here before, and now an ordinary user does.
    #[error(
        "the database of {} is in {}, because Maju was first started as root: start Maju as root, or copy {}/pg into the data folder \
         and make this user its owner",
        data_dir.display(), postgres_dir.display(), postgres_dir.display()
    )]
    OfRoot {
        /// The data folder.
        data_dir: PathBuf,
        /// The folder that holds the database.
        postgres_dir: PathBuf,
    },
    /// Another major version of PostgreSQL has written the database.
    #[error(
        "the database {} was written by PostgreSQL {data}, and the programs in {} are PostgreSQL {program}: set MAJU_PG_BIN to the \
         programs of PostgreSQL {data}, or move the folder away to start with a new, empty database",
        folder.display(), bin.display()
    )]
    OtherMajor {
        /// The database's folder.
        folder: PathBuf,
        /// The major version that wrote it.
        data: u32,
        /// The major version of the programs.
        program: u32,
        /// The folder of the programs.
        bin: PathBuf,
    },
    /// The folder of the database holds something else.
    #[error("{} is not a PostgreSQL database (it has no PG_VERSION): move it away, or name another folder with --data-dir", folder.display())]
    NotADatabase {
        /// The folder.
        folder: PathBuf,
    },
    /// This machine has no PostgreSQL of a supported version.
    #[error(
        "no PostgreSQL programs found ({tried}): install PostgreSQL {min} or newer, set MAJU_PG_BIN to its bin folder, or set \
         DATABASE_URL to use a Postgres server",
        min = MIN_POSTGRES_MAJOR
    )]
    NoPrograms {
        /// The places that were searched, and what was found there.
        tried: String,
    },
    /// `MAJU_PG_BIN` names a folder whose programs do not work.
    #[error(
        "the programs in {}, which MAJU_PG_BIN names, do not work ({problem}): name the folder of `postgres` and `initdb`, version \
         {min} or newer",
        bin.display(),
        min = MIN_POSTGRES_MAJOR
    )]
    NamedPrograms {
        /// The named folder.
        bin: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Root starts Maju, and Postgres's user cannot enter the folders above the data.
    #[error(
        "Postgres runs as the user {user}, who cannot enter {}: allow it for the folders above it (chmod o+x), or name another folder \
         with --data-dir",
        folder.display()
    )]
    Closed {
        /// The folder that the user cannot enter.
        folder: PathBuf,
        /// The name or number of the user.
        user: String,
    },
    /// Root starts Maju without the right to become another user.
    #[error(
        "Postgres does not run as root, and this process is not allowed to become the user {user} ({problem}): start Maju as an \
         ordinary user"
    )]
    CannotSwitch {
        /// The name or number of the user.
        user: String,
        /// The error of the system.
        problem: io::Error,
    },
    /// The short folder for the socket belongs to another user.
    #[error(
        "{} belongs to another user, so the database's socket cannot be there: remove the folder, or use a shorter --data-dir",
        folder.display()
    )]
    SocketFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// `initdb` failed.
    #[error("cannot create a database in {}: {reason} (to use a Postgres server instead, set DATABASE_URL)", folder.display())]
    Init {
        /// The database's folder.
        folder: PathBuf,
        /// The line of `initdb` that names the reason.
        reason: String,
    },
    /// Postgres did not start.
    #[error("Postgres did not start: {log_end} (the whole log is {})", log.display())]
    Start {
        /// The last lines of its log.
        log_end: String,
        /// The log file.
        log: PathBuf,
    },
    /// Postgres was not ready in time.
    #[error("Postgres in {} was not ready after {minutes} minutes: see its log, log/postgres.log in the data folder", folder.display())]
    Slow {
        /// The data folder.
        folder: PathBuf,
        /// How long it was waited for.
        minutes: u64,
    },
    /// An earlier Postgres of this folder cannot be stopped.
    #[error("an earlier Postgres (process {pid}) of {} cannot be stopped: end it with `kill -9 {pid}` and start again", folder.display())]
    Orphan {
        /// Its process id.
        pid: i32,
        /// The database's folder.
        folder: PathBuf,
    },
    /// Postgres runs and refuses connections.
    #[error("the private Postgres in {} refuses connections ({problem}): see its log, log/postgres.log in the data folder", folder.display())]
    Refused {
        /// The data folder.
        folder: PathBuf,
        /// The error of the connection attempt.
        problem: String,
    },
    /// The supervisor's thread has ended: a bug in Maju.
    #[error("the private Postgres is no longer supervised: the log says why")]
    GivenUp,
}

impl PrivateError {
    /// Returns the error for a lack of space, if PostgreSQL's message reports one. The system uses
    /// one message for disks and for shared memory.
    pub(super) fn full(message: &str, folder: &Path, doing: &'static str) -> Option<Self> {
        let mut lines = message.split(['\n', '|']);
        let line =
            lines.find(|line| line.contains("No space left on device") || line.contains("Disk quota exceeded"))?;
        // `could not resize shared memory segment "/PostgreSQL.1804289383" to 1048576 bytes`;
        // segments on the disk are `"pg_dynshmem/mmap.…"`.
        Some(if line.contains("\"/PostgreSQL.") {
            Self::SharedMemory { what: "/dev/shm", doing }
        } else if line.contains("shared memory segment:") || line.contains("create semaphores:") {
            Self::SharedMemory { what: "the kernel's shared memory (kernel.shmall, kernel.shmmni, kernel.sem)", doing }
        } else {
            Self::DiskFull { folder: folder.to_owned(), doing }
        })
    }

    /// Returns the error for a failed file operation. A full disk has a message of its own.
    pub(super) fn at(folder: &Path, doing: &'static str, problem: io::Error) -> Self {
        let folder = folder.to_owned();
        match problem.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { folder, doing },
            _ => Self::Folder { folder, problem },
        }
    }
}
