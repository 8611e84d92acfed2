//! Unit tests of the small parts.
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::PrivateError;
use super::super::paths::short_hash;
use super::super::postmaster::{Postmaster, parse, runs_on};
use super::super::programs::{parse_version, versions_in};
use super::super::user::account;
use super::super::{archive, lock};
use super::{Folder, skip};

#[test]
fn versions_are_parsed() {
    assert_eq!(parse_version("postgres (PostgreSQL) 18.4\n"), Some((18, "18.4".into())));
    assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some((15, "15.18".into())));
    assert_eq!(parse_version("postgres (PostgreSQL) 19devel"), Some((19, "19devel".into())));
    for nonsense in ["", "postgres", "postgres (PostgreSQL) ", "postgres (PostgreSQL) devel"] {
        assert_eq!(parse_version(nonsense), None, "{nonsense:?}");
    }
}

#[test]
fn the_newest_version_on_the_system_comes_first() {
    let folder = Folder::new();
    for name in ["9.6", "14", "15", "17", "16", "common"] {
        fs::create_dir_all(folder.dir.path().join(name)).unwrap();
    }
    let found = versions_in(folder.dir.path(), "");
    let wanted: Vec<PathBuf> = ["17", "16", "15"].map(|name| folder.dir.path().join(name).join("bin")).into();
    assert_eq!(found, wanted);
    assert!(versions_in(Path::new("/nowhere"), "").is_empty());
}

#[test]
fn an_incomplete_pid_file_is_parsed_as_far_as_it_goes() {
    let whole = "42\n/data/pg\n1700000000\n5432\n/data/run\n\n  123 456\nready   \n";
    assert_eq!(parse(whole), Some(Postmaster { pid: 42, socket_folder: Some("/data/run".into()), ready: true }));
    assert_eq!(parse("42\n/data/pg\n"), Some(Postmaster { pid: 42, socket_folder: None, ready: false }));
    let starting = whole.replace("ready   ", "starting");
    assert!(parse(&starting).is_some_and(|found| !found.ready));
    for nonsense in ["", "\n", "x\n", "-5\n", "0\n", "99999999999999\n"] {
        assert_eq!(parse(nonsense), None, "{nonsense:?}");
    }
}

#[test]
fn this_process_is_not_taken_for_a_postgres() {
    assert!(!runs_on(std::process::id().cast_signed(), &std::env::current_dir().unwrap()));
}

#[test]
fn an_account_is_found_and_never_root() {
    let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\npostgres:x:101:104::/var/lib/postgresql:/bin/sh\n";
    let found = account(accounts, |name, _| name == "postgres").unwrap();
    assert_eq!((found.uid, found.gid), (101, 104));
    assert!(account(accounts, |name, _| name == "root").is_none());
    assert!(account(accounts, |_, uid| uid == 7).is_none());
}

#[test]
fn the_name_of_a_fallback_folder_never_changes() {
    // With another value, Maju would not find the data in existing fallback folders.
    assert_eq!(short_hash(OsStr::new("/home/ana/maju/data")), "fc124359d0");
    assert_ne!(short_hash(OsStr::new("/a")), short_hash(OsStr::new("/b")));
}

#[test]
fn only_one_process_holds_the_lock() {
    let folder = Folder::new();
    let held = lock::take(folder.dir.path()).unwrap().unwrap();
    assert!(lock::take(folder.dir.path()).unwrap().is_none());
    assert_eq!(lock::holder(folder.dir.path()), Some(std::process::id().cast_signed()));
    drop(held);
    assert_eq!(lock::holder(folder.dir.path()), None);
    assert!(lock::take(folder.dir.path()).unwrap().is_some());
}

#[test]
fn two_processes_can_unpack_at_once() {
    if archive::OURS.bytes.is_empty() {
        skip("this binary has no programs to unpack");
        return;
    }
    let folder = Folder::new();
    let home = folder.dir.path();
    let unpack = || archive::unpack(archive::OURS, home).unwrap();
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(unpack), scope.spawn(unpack));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one, two);
    assert!(one.join("postgres").exists());
    fs::write(one.join("postgres"), "").unwrap(); // As after a power failure.
    assert!(fs::metadata(unpack().join("postgres")).unwrap().len() > 1 << 20);
    fs::create_dir(home.join("pg-programs/17.1-older")).unwrap();
    archive::remove_other_versions(&one, home);
    let left: Vec<PathBuf> = fs::read_dir(home.join("pg-programs")).unwrap().map(|item| item.unwrap().path()).collect();
    assert_eq!(left, [one.parent().unwrap()]);
}

#[test]
fn a_lack_of_shared_memory_is_distinguished_from_a_full_disk() {
    let full =
        |said: &str| PrivateError::full(said, Path::new("/data/pg"), "starting Postgres").map(|why| why.to_string());
    // PostgreSQL's own messages when /dev/shm, the kernel's limits or the disk are used up.
    for (said, names) in [
        (
            "FATAL:  could not resize shared memory segment \"/PostgreSQL.3180846\" to 1048576 bytes: No space left on device",
            "/dev/shm",
        ),
        ("x | FATAL:  could not create shared memory segment: No space left on device | y", "kernel.shmmni"),
        ("FATAL:  could not create semaphores: No space left on device", "kernel.sem"),
        (
            "ERROR:  could not resize shared memory segment \"pg_dynshmem/mmap.12\" to 64 bytes: No space left on device",
            "on the disk",
        ),
        ("PANIC:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device", "on the disk"),
        ("initdb: error: could not create directory \"base\": Disk quota exceeded", "on the disk"),
    ] {
        let why = full(said).unwrap();
        assert!(why.contains(names), "{said}: {why}");
    }
    assert_eq!(full("FATAL:  the database system is starting up"), None);
}
