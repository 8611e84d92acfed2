//! Why the private Postgres cannot be had. Each message is one line: what happened, and what to do.
use std::io;
use std::path::{Path, PathBuf};

/// Why the private Postgres cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// The data folder cannot be made, read or written.
    #[error("{} cannot be used ({problem}): make it writable for this user, or name another folder with --data-dir", folder.display())]
    Folder {
        /// The folder or file concerned.
        folder: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// The data folder's path is a file.
    #[error("{} is a file and not a folder: move it away, or name another folder with --data-dir", path.display())]
    NotAFolder {
        /// The path given.
        path: PathBuf,
    },
    /// The data folder's path has characters in it that `initdb` or the settings of Postgres cannot carry.
    #[error(
        "the path {} cannot hold a database (PostgreSQL's tools fail on \", $, `, \\, line breaks and what is not UTF-8): name another \
         folder with --data-dir",
        path.display().to_string().escape_debug()
    )]
    FolderName {
        /// The path given.
        path: PathBuf,
    },
    /// The disk is full (or the quota used up) while something is being written.
    #[error("no space left on the disk while {doing} in {}: free about 200 MB, or name another folder with --data-dir", folder.display())]
    DiskFull {
        /// Where it was being written.
        folder: PathBuf,
        /// What was being done.
        doing: &'static str,
    },
    /// There is too little shared memory, which fails with the words of a full disk.
    #[error(
        "no space left in {what} while {doing}: PostgreSQL keeps the memory there that its processes share. Enlarge it (in a container: \
         --shm-size=64m), or set DATABASE_URL to use a server instead"
    )]
    SharedMemory {
        /// `/dev/shm`, or the kernel's limits by name.
        what: &'static str,
        /// What was being done.
        doing: &'static str,
    },
    /// The mark in the data folder cannot be understood.
    #[error("{} says where the database is, and cannot be understood ({problem}): put back the file from a backup", file.display())]
    Mark {
        /// The mark.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The data folder was in use, and its database is not where it should be.
    #[error(
        "{} has had a database, and {} is missing or empty: put it back from a backup, or name another folder with --data-dir. To begin \
         anew with an empty database, empty the data folder first",
        data_dir.display(), expected.display()
    )]
    DatabaseMissing {
        /// The data folder.
        data_dir: PathBuf,
        /// Where the database should be.
        expected: PathBuf,
    },
    /// Likewise, and nothing says where it should be: root may have put it elsewhere before there were marks.
    #[error(
        "{} has had a database, which is not in it: put `pg` back from a backup, or from the folder below {} that was made for it. To \
         begin anew with an empty database, empty the data folder first",
        data_dir.display(), fallback_base.display()
    )]
    DatabaseElsewhere {
        /// The data folder.
        data_dir: PathBuf,
        /// Where root puts databases that cannot be in their data folders.
        fallback_base: PathBuf,
    },
    /// The database went away while it was in use.
    #[error("the database {} was removed or moved away while it was in use: put it back", folder.display())]
    DatabaseGone {
        /// The database's folder.
        folder: PathBuf,
    },
    /// A copy of a data folder whose database is elsewhere.
    #[error(
        "{} is a copy of {}, and the two have one database, in {}: start Maju on the original, or give the copy a database of its own by \
         copying {}/pg into it while Maju is stopped",
        copy.display(), original.display(), home.display(), home.display()
    )]
    Copied {
        /// The data folder at hand.
        copy: PathBuf,
        /// The one that it was copied from.
        original: PathBuf,
        /// Where the database is.
        home: PathBuf,
    },
    /// The database that the mark names is another data folder's.
    #[error(
        "the database in {}, which {} names, is that of another data folder ({}): put back its own from a backup",
        home.display(), file.display(), owner.display()
    )]
    OtherDatabase {
        /// Where the database is.
        home: PathBuf,
        /// The mark of the data folder at hand.
        file: PathBuf,
        /// The data folder that the database belongs to.
        owner: PathBuf,
    },
    /// There are two databases, and no telling which is meant.
    #[error("there are two databases, in {} and in {}: move the one away that you do not want", one.display(), other.display())]
    TwoDatabases {
        /// The one in the data folder.
        one: PathBuf,
        /// The one that the mark names.
        other: PathBuf,
    },
    /// Started as an ordinary user, where root started it before.
    #[error(
        "the database of {} is in {}, where it was put when Maju ran as root: start Maju as root, or copy {}/pg into the data folder and \
         make this user its owner",
        data_dir.display(), home.display(), home.display()
    )]
    OfRoot {
        /// The data folder.
        data_dir: PathBuf,
        /// Where the database is.
        home: PathBuf,
    },
    /// The data was written by another major version than the programs at hand.
    #[error(
        "{} was written by PostgreSQL {data} and the programs in {} are PostgreSQL {program}: set MAJU_PG_BIN to the programs of \
         PostgreSQL {data}, or move the folder away to begin anew",
        folder.display(), bin.display()
    )]
    OtherMajor {
        /// The database's folder.
        folder: PathBuf,
        /// The major version that wrote it.
        data: u32,
        /// The major version of the programs.
        program: u32,
        /// Where the programs are.
        bin: PathBuf,
    },
    /// The database's folder holds something else.
    #[error("{} is no PostgreSQL data folder (it has no PG_VERSION): move it away, or name another folder with --data-dir", folder.display())]
    NotADatabase {
        /// The folder concerned.
        folder: PathBuf,
    },
    /// No PostgreSQL of version 15 or newer on this machine.
    #[error(
        "no PostgreSQL to start ({tried}): install PostgreSQL 15 or newer, set MAJU_PG_BIN to its bin folder, or set DATABASE_URL to a server"
    )]
    NoPrograms {
        /// Where it was looked for and what was found there.
        tried: String,
    },
    /// `MAJU_PG_BIN` names a folder whose programs do not work.
    #[error("MAJU_PG_BIN names {}, which does not work ({problem}): name the folder of `postgres` and `initdb`, 15 or newer", bin.display())]
    NamedPrograms {
        /// The folder named.
        bin: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Started as root, and the unprivileged user of Postgres may not pass through the folders above the data.
    #[error("the user {user}, whom Postgres runs as, cannot reach {}: open the folders above it (chmod o+x), or name another with --data-dir", folder.display())]
    Closed {
        /// The folder that cannot be reached.
        folder: PathBuf,
        /// Name or number of the user.
        user: String,
    },
    /// Started as root without the right to become another user.
    #[error(
        "Postgres does not run as root and this process may not become the user {user} ({problem}): start Maju as an ordinary user"
    )]
    CannotSwitch {
        /// Name or number of the user.
        user: String,
        /// What the system said.
        problem: io::Error,
    },
    /// The short folder for the socket belongs to somebody else.
    #[error("{} belongs to somebody else and cannot hold the database's socket: remove it, or use a shorter --data-dir", folder.display())]
    SocketFolder {
        /// The folder concerned.
        folder: PathBuf,
    },
    /// `initdb` failed.
    #[error("a database could not be made in {}: {said} (set DATABASE_URL to use a server instead)", folder.display())]
    Init {
        /// The database's folder.
        folder: PathBuf,
        /// The line of `initdb` that says why.
        said: String,
    },
    /// Postgres did not start.
    #[error("Postgres did not start: {said} (the whole log is {})", log.display())]
    Start {
        /// The last lines of its log.
        said: String,
        /// The log.
        log: PathBuf,
    },
    /// Postgres was not ready in time.
    #[error("Postgres in {} was not ready after {minutes} minutes: look at its log, log/postgres.log in the data folder", folder.display())]
    Slow {
        /// The data folder.
        folder: PathBuf,
        /// How long was waited.
        minutes: u64,
    },
    /// An earlier Postgres of this folder does not end.
    #[error("an earlier Postgres (process {pid}) of {} does not end: end it with `kill -9 {pid}` and start again", folder.display())]
    Orphan {
        /// Its process id.
        pid: i32,
        /// The database's folder.
        folder: PathBuf,
    },
    /// Postgres runs and does not let us in.
    #[error("the private Postgres in {} refuses connections ({problem}): look at its log, log/postgres.log in the data folder", folder.display())]
    Refused {
        /// The data folder.
        folder: PathBuf,
        /// What the connection attempt said.
        problem: String,
    },
    /// The thread that looks after Postgres ended: a mistake of ours.
    #[error("the private Postgres was given up: the log says why")]
    GivenUp,
}

impl PrivateError {
    /// What PostgreSQL's own words say of a lack of space, if they do. The system says the same of disks and of shared memory.
    pub(super) fn full(said: &str, folder: &Path, doing: &'static str) -> Option<Self> {
        let mut lines = said.split(['\n', '|']);
        let line =
            lines.find(|line| line.contains("No space left on device") || line.contains("Disk quota exceeded"))?;
        // `could not resize shared memory segment "/PostgreSQL.1804289383" to 1048576 bytes`; the ones on the disk are
        // `"pg_dynshmem/mmap.…"`.
        Some(if line.contains("\"/PostgreSQL.") {
            Self::SharedMemory { what: "/dev/shm", doing }
        } else if line.contains("shared memory segment:") || line.contains("create semaphores:") {
            Self::SharedMemory { what: "the kernel's shared memory (kernel.shmall, kernel.shmmni, kernel.sem)", doing }
        } else {
            Self::DiskFull { folder: folder.to_owned(), doing }
        })
    }

    /// An error of the file system: a full disk has a message of its own.
    pub(super) fn at(folder: &Path, doing: &'static str, problem: io::Error) -> Self {
        let folder = folder.to_owned();
        match problem.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { folder, doing },
            _ => Self::Folder { folder, problem },
        }
    }
}
