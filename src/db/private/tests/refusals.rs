//! Starts that are refused, each with one clear line, and unusual conditions under which a start
//! succeeds.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::archive::Archive;
use super::super::programs::Sources;
use super::super::{PrivateError, StartOptions, open, open_with, user};
use super::{Folder, NOBODY, Other, read_the_note, skip, write_a_note};

const NOTHING: Archive = Archive { bytes: &[], version: "", hash: "" };

/// Returns the error of an `open`, which must be one line.
pub(super) async fn refusal(options: StartOptions) -> PrivateError {
    refusal_with(options, Sources::from_environment()).await
}

async fn refusal_with(options: StartOptions, sources: Sources) -> PrivateError {
    let Err(error) = open_with(options, sources).await else { panic!("not refused") };
    let line = error.to_string();
    eprintln!("{line}");
    assert!(!line.contains('\n') && line.len() < 1200, "{line:?}");
    error
}

#[tokio::test]
async fn a_database_of_another_major_version() {
    let folder = Folder::new();
    folder.open().await.stop().await;
    fs::write(folder.data().join("pg/PG_VERSION"), "14\n").unwrap();
    let error = refusal(folder.options()).await;
    assert!(matches!(error, PrivateError::OtherMajor { data: 14, .. }), "{error:?}");
}

#[tokio::test]
async fn a_folder_that_is_something_else() {
    let folder = Folder::new();
    fs::write(folder.data(), "a file").unwrap();
    assert!(matches!(refusal(folder.options()).await, PrivateError::NotAFolder { .. }));

    let folder = Folder::new();
    fs::create_dir_all(folder.data().join("pg")).unwrap();
    fs::write(folder.data().join("pg/letter.txt"), "precious").unwrap();
    assert!(matches!(refusal(folder.options()).await, PrivateError::NotADatabase { .. }));
    assert!(folder.data().join("pg/letter.txt").exists());
}

#[tokio::test]
async fn a_folder_without_rights() {
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    fs::set_permissions(folder.data(), fs::Permissions::from_mode(0o555)).unwrap();
    if user::is_root() {
        let output = Other::start(&folder.data(), Some(NOBODY)).end();
        assert!(output.contains("refused:") && output.contains("make it writable"), "{output}");
        return;
    }
    assert!(matches!(refusal(folder.options()).await, PrivateError::Folder { .. }));
    fs::set_permissions(folder.data(), fs::Permissions::from_mode(0o000)).unwrap();
    assert!(matches!(refusal(folder.options()).await, PrivateError::Folder { .. }));
    let mut below = folder.options();
    below.data_dir = folder.data().join("deeper");
    assert!(matches!(refusal(below).await, PrivateError::Folder { .. }));
    fs::set_permissions(folder.data(), fs::Permissions::from_mode(0o755)).unwrap();
    // A database that cannot be read is not mistaken for something else.
    let database = folder.data().join("pg");
    fs::create_dir(&database).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(matches!(refusal(folder.options()).await, PrivateError::Folder { folder, .. } if folder == database));
    fs::set_permissions(&database, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn no_programs() {
    let folder = Folder::new();
    let sources = Sources { named: None, archive: NOTHING, system: false };
    assert!(matches!(refusal_with(folder.options(), sources).await, PrivateError::NoPrograms { .. }));
    let sources = Sources { named: Some(folder.dir.path().to_owned()), archive: NOTHING, system: true };
    assert!(matches!(refusal_with(folder.options(), sources).await, PrivateError::NamedPrograms { .. }));
}

/// Creates programs that print their version and fail at everything else.
fn failing_programs(folder: &Path, version: &str) -> Sources {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'x (PostgreSQL) {version}'; exit; fi\n\
         echo 'initdb: error: the moon is in the wrong options' >&2\necho 'initdb: removing contents' >&2\nexit 1\n"
    );
    for program in ["initdb", "postgres"] {
        fs::write(bin.join(program), &script).unwrap();
        fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    Sources { named: Some(bin), archive: NOTHING, system: false }
}

#[tokio::test]
async fn an_initdb_that_fails_is_quoted() {
    let folder = Folder::new();
    let error = refusal_with(folder.options(), failing_programs(folder.dir.path(), "18.4")).await;
    assert!(error.to_string().contains("the moon is in the wrong options"), "{error}");
    assert!(!folder.data().join("pg.new").exists());

    let folder = Folder::new();
    let error = refusal_with(folder.options(), failing_programs(folder.dir.path(), "14.9")).await;
    assert!(error.to_string().contains("older than 15"), "{error}");
}

#[tokio::test]
async fn a_postgres_that_does_not_start_is_quoted() {
    let folder = Folder::new();
    folder.open().await.stop().await;
    let settings = folder.data().join("pg/postgresql.conf");
    fs::write(&settings, format!("{}\nnonsense = 1\n", fs::read_to_string(&settings).unwrap())).unwrap();
    let error = refusal(folder.options()).await;
    assert!(error.to_string().contains("unrecognized configuration parameter \"nonsense\""), "{error}");
}

/// A small disk, unmounted on drop. Only root can mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(folder: &Folder, megabytes: u32) -> Option<Self> {
        let disk = folder.dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let size = format!("size={megabytes}m,mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "maju-test"]).arg(&disk).output();
        let done = mounted.as_ref().is_ok_and(|answer| answer.status.success());
        if !done {
            skip(&format!("a small disk cannot be mounted here ({mounted:?})"));
        }
        done.then_some(Self(disk))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a process can still be ending.
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk() {
    for megabytes in [8, 85] {
        let folder = Folder::new();
        let Some(disk) = SmallDisk::new(&folder, megabytes) else { return };
        let options = StartOptions { data_dir: disk.0.join("data"), fallback_base: folder.fallback(), durable: true };
        let error = refusal(options).await;
        assert!(matches!(error, PrivateError::DiskFull { .. }), "{megabytes} MB: {error:?}");
    }
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let folder = Folder::new();
    let long = folder.dir.path().join("a, 'long' path/".repeat(8)).join("data");
    let options = StartOptions { data_dir: long, fallback_base: folder.fallback(), durable: false };
    let postgres = folder.open_at(options.clone()).await;
    write_a_note(&postgres).await;
    let sharer = folder.open_at(options.clone()).await;
    assert_eq!(read_the_note(&sharer).await, "kept");
    let short = sharer.inner.socket_folder.get().unwrap().clone();
    assert!(short.starts_with("/tmp") && fs::metadata(&short).unwrap().mode() & 0o777 == 0o700, "{}", short.display());
    postgres.stop().await;
    assert_eq!(read_the_note(&sharer).await, "kept"); // Taken over on the same socket.
    sharer.stop().await;

    // A folder of that name that belongs to another user is not used.
    fs::set_permissions(&short, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(refusal(options.clone()).await, PrivateError::SocketFolder { .. }));
    if user::is_root() {
        fs::set_permissions(&short, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&short, Some(12345), Some(12345)).unwrap();
        assert!(matches!(refusal(options).await, PrivateError::SocketFolder { .. }));
    }
    fs::remove_dir_all(short).unwrap();
}

#[tokio::test]
async fn a_path_with_strange_characters() {
    let folder = Folder::new();
    let options = |name: &std::ffi::OsStr| StartOptions { data_dir: folder.dir.path().join(name), ..folder.options() };
    let postgres = open(options("마주, it's; a (b) & #c %d *".as_ref())).await.unwrap();
    write_a_note(&postgres).await;
    postgres.stop().await;
    for name in ["a\"b", "a$b", "a`b", "a\\b", "a\nb"] {
        assert!(matches!(refusal(options(name.as_ref())).await, PrivateError::FolderName { .. }));
    }
    let not_utf8 = std::os::unix::ffi::OsStrExt::from_bytes(b"a\xffb");
    assert!(matches!(refusal(options(not_utf8)).await, PrivateError::FolderName { .. }));
}

#[tokio::test]
async fn below_a_closed_home_folder_the_database_is_put_elsewhere() {
    if !user::is_root() {
        skip("only root starts Postgres as another user");
        return;
    }
    let folder = Folder::new();
    let home = folder.dir.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let options = StartOptions { data_dir: home.join("data"), fallback_base: folder.fallback(), durable: false };
    let postgres = open(options.clone()).await.unwrap();
    write_a_note(&postgres).await;
    assert!(postgres.describe().contains(folder.fallback().to_str().unwrap()), "{}", postgres.describe());
    assert!(home.join("data/lock").exists() && !home.join("data/pg").exists());
    let sharer = open(options.clone()).await.unwrap();
    assert!(!sharer.is_owner());
    assert_eq!(read_the_note(&sharer).await, "kept");
    sharer.stop().await;
    postgres.stop().await;

    // If the home folder is opened, the database stays where it is.
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let postgres = open(options.clone()).await.unwrap();
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;

    // Two databases are ambiguous.
    fs::create_dir(home.join("data/pg")).unwrap();
    fs::write(home.join("data/pg/PG_VERSION"), "18\n").unwrap();
    assert!(matches!(refusal(options).await, PrivateError::TwoDatabases { .. }));

    // If a home folder is closed while a database is in it, no new, empty one is created.
    fs::create_dir_all(home.join("other/pg")).unwrap();
    fs::write(home.join("other/pg/PG_VERSION"), "18\n").unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let options = StartOptions { data_dir: home.join("other"), fallback_base: folder.fallback(), durable: false };
    assert!(matches!(refusal(options).await, PrivateError::Closed { .. }));
}

#[tokio::test]
async fn root_runs_postgres_as_the_owner_of_the_folder() {
    if !user::is_root() {
        skip("only root starts Postgres as another user");
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    std::os::unix::fs::chown(folder.data(), Some(NOBODY), Some(NOBODY)).unwrap();
    let other = Other::start(&folder.data(), Some(NOBODY));
    super::until("an ordinary user has a database", || folder.data().join("pg").exists()).await;
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    assert_eq!(other.end(), *"");
    assert_eq!(read_the_note(&postgres).await, "kept");
    super::until("root took over", || postgres.is_owner()).await;
    assert_eq!(fs::metadata(folder.data().join("pg")).unwrap().uid(), NOBODY);
    postgres.stop().await;
}
