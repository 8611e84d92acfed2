//! Start, sharing, crash and takeover.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgid, getpgrp};
use sqlx::ConnectOptions as _;

use super::super::programs::Sources;
use super::super::server::{self, Server, ServerConfig};
use super::super::{StartOptions, join, lock, open, paths, postmaster, programs};
use super::{Folder, Other, connect, pid_of, read_the_note, run, until, write_a_note};

#[tokio::test]
async fn the_first_start_makes_a_database_and_the_next_finds_it() {
    let folder = Folder::new();
    let began = Instant::now();
    let postgres = open(folder.options()).await.unwrap(); // With nothing unpacked, as at a user's first start.
    eprintln!("first start: {:?}", began.elapsed());
    assert!(postgres.is_owner());
    assert!(postgres.describe().contains("owned by this process"), "{}", postgres.describe());
    assert_eq!(lock::holder(&folder.data()), Some(std::process::id().cast_signed()));
    write_a_note(&postgres).await;
    let pid = pid_of(&postgres);
    // In a terminal Ctrl-C reaches the whole process group of Maju. Postgres is in another group.
    assert_ne!(getpgid(Pid::from_raw(pid)).unwrap(), getpgrp());
    let began = Instant::now();
    postgres.stop().await;
    postgres.stop().await; // The second call does nothing.
    eprintln!("stop: {:?}", began.elapsed());
    assert!(!postgres.is_owner());
    assert!(!postmaster::runs_on(pid, &folder.data().join("pg")));
    assert_eq!(lock::holder(&folder.data()), None);

    let began = Instant::now();
    let postgres = open(folder.options()).await.unwrap();
    eprintln!("next start: {:?}", began.elapsed());
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;
}

#[tokio::test]
async fn the_option_durable_sets_the_settings_of_postgres() {
    for (durable, expected) in [(true, "on on on"), (false, "off off off")] {
        let folder = Folder::new();
        let mut options = folder.options();
        options.durable = durable;
        let postgres = folder.open_at(options).await;
        let found: String = sqlx::query_scalar(
            "SELECT concat_ws(' ', current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'))",
        )
        .fetch_one(&mut connect(&postgres).await)
        .await
        .unwrap();
        assert_eq!(found, expected);
        postgres.stop().await;
    }
}

#[tokio::test]
async fn a_dropped_database_is_created_again() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    run(&postgres.connect_options().database("postgres"), "DROP DATABASE maju").await;
    postgres.stop().await;
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    postgres.stop().await;
}

#[tokio::test]
async fn a_killed_postmaster_is_started_again() {
    let folder = Folder::new();
    let postgres = folder.open_at(StartOptions { durable: true, ..folder.options() }).await;
    write_a_note(&postgres).await;
    let killed = pid_of(&postgres);
    postmaster::send(killed, Signal::KILL);
    let began = Instant::now();
    until("postmaster killed, another one up", || postgres.is_owner() && pid_of(&postgres) != killed).await;
    assert_eq!(read_the_note(&postgres).await, "kept");
    assert!(began.elapsed() < Duration::from_secs(10));
    postgres.stop().await;
}

#[tokio::test]
async fn dropping_the_handle_stops_postgres() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    let (pid, database) = (pid_of(&postgres), folder.data().join("pg"));
    drop(postgres);
    until("handle dropped, Postgres gone", || !postmaster::runs_on(pid, &database)).await;
}

#[tokio::test]
async fn of_several_processes_that_share_exactly_one_takes_over() {
    let folder = Folder::new();
    let first = folder.open().await;
    write_a_note(&first).await;
    let others = [folder.open().await, folder.open().await, folder.open().await];
    for other in &others {
        assert!(!other.is_owner());
        assert!(other.describe().contains("shared with process"), "{}", other.describe());
        assert_eq!(read_the_note(other).await, "kept");
    }
    others[0].stop().await; // One that only shares can leave,
    assert_eq!(read_the_note(&others[1]).await, "kept");
    first.stop().await;
    until("owner stopped, taken over", || others.iter().any(super::PrivatePostgres::is_owner)).await;
    for other in &others {
        assert_eq!(read_the_note(other).await, "kept");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let owners: Vec<bool> = others.iter().map(super::PrivatePostgres::is_owner).collect();
    assert!(owners == [false, true, false] || owners == [false, false, true], "{owners:?}"); // and it does not come back.
    for other in &others {
        other.stop().await;
    }
}

#[tokio::test]
async fn a_command_that_shares_postgres_never_takes_it_over() {
    let folder = Folder::new();
    let owner = folder.open().await;
    write_a_note(&owner).await;
    let command = join(folder.options(), None).unwrap().finish().await.unwrap();
    assert!(!command.is_owner());
    assert_eq!(read_the_note(&command).await, "kept");
    owner.stop().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!command.is_owner() && command.connect_options().connect().await.is_err());
    let next = folder.open().await;
    assert!(next.is_owner(), "the folder is free for a server");
    command.stop().await;
    assert_eq!(read_the_note(&next).await, "kept", "a command that ends stops nobody's Postgres");
    next.stop().await;
}

#[tokio::test]
async fn when_the_owner_is_killed_another_takes_over() {
    let folder = Folder::new();
    let owner = Other::start(&folder.data(), None);
    let owner_pid = owner.pid();
    until("the owner holds the lock", || lock::holder(&folder.data()) == Some(owner_pid)).await;
    let postgres = folder.open().await;
    assert!(!postgres.is_owner());
    write_a_note(&postgres).await;
    let database = folder.data().join("pg");
    let old = postmaster::read(&database).unwrap().pid;
    owner.kill();
    until("owner killed, its Postgres gone", || !postmaster::runs_on(old, &database)).await;
    until("and another in its place", || postgres.is_owner()).await;
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;
}

#[tokio::test]
async fn a_start_that_is_killed_midway_succeeds_the_next_time() {
    let folder = Folder::new();
    let (data, programs) = (folder.data(), folder.data().join("pg-programs"));
    for moment in ["programs partly unpacked", "database partly created"] {
        let other = Other::start(&data, None);
        let path = if moment.starts_with("programs") { programs.clone() } else { data.join("pg.new/base") };
        // Without an archive in the binary there is nothing to unpack.
        until(moment, || path.exists() || data.join("pg").exists()).await;
        other.kill();
    }
    let postgres = open(folder.options()).await.unwrap();
    write_a_note(&postgres).await;
    assert!(!data.join("pg.new").exists());
    if let Ok(items) = fs::read_dir(programs) {
        assert_eq!(items.count(), 1, "incomplete programs are removed");
    }
    postgres.stop().await;
}

/// Starts a Postgres without an owner: the lock is free. It runs as long as its thread, until the
/// sender is dropped.
fn orphan(folder: &Folder) -> (i32, SyncSender<()>) {
    let options = folder.options();
    let ((pid_out, pid), (stay, until_then)) = (sync_channel(1), sync_channel::<()>(1));
    std::thread::spawn(move || {
        let postgres_dir = paths::locate(&options.data_dir, &options.fallback_base).unwrap();
        let programs = programs::find(&Sources::from_environment(), &postgres_dir.folder).unwrap();
        let socket_folder = paths::socket_folder(&postgres_dir).unwrap();
        let log = options.data_dir.join("log/postgres.log");
        let config = ServerConfig {
            programs: &programs,
            postgres_dir: &postgres_dir,
            socket_folder: &socket_folder,
            log: &log,
            durable: false,
        };
        let mut server = Server::start(&config).unwrap();
        while !server.is_ready().unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
        pid_out.send(server.pid()).unwrap();
        while !server.has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
        until_then.recv().ok();
    });
    (pid.recv().unwrap(), stay)
}

#[tokio::test]
async fn an_orphan_is_stopped() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    postgres.stop().await;
    let (pid, _stay) = orphan(&folder);
    let database = paths::locate(&folder.data(), &folder.fallback()).unwrap().database();
    assert!(postmaster::runs_on(pid, &database));
    let began = Instant::now();
    let postgres = folder.open().await;
    eprintln!("orphan stopped, another one up: {:?}", began.elapsed());
    assert!(!postmaster::runs_on(pid, &database));
    assert_ne!(pid_of(&postgres), pid);
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;
}

#[tokio::test]
async fn a_process_that_has_the_id_of_an_old_postgres_is_not_stopped() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    postgres.stop().await;
    // Even one that runs in the same folder: it is not a Postgres.
    let database = folder.data().join("pg");
    let mut bystander = Command::new("sleep").arg("60").current_dir(&database).spawn().unwrap();
    let stale = |file: &Path| {
        fs::write(file, format!("{}\n{}\n1\n5432\n/\n\n1 1\nready\n", bystander.id(), database.display()))
    };
    stale(&database.join("postmaster.pid")).unwrap();
    stale(&folder.data().join("run/.s.PGSQL.5432.lock")).unwrap();
    let postgres = folder.open().await;
    assert_eq!(read_the_note(&postgres).await, "kept");
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander was killed");
    postgres.stop().await;
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_long_log_is_emptied() {
    let folder = Folder::new();
    folder.open().await.stop().await;
    let log = folder.data().join("log/postgres.log");
    fs::write(&log, vec![b'x'; 11 << 20]).unwrap();
    folder.open().await.stop().await;
    assert!(fs::metadata(&log).unwrap().len() < 1 << 20);
}

#[tokio::test]
async fn an_incomplete_database_is_created_again() {
    let folder = Folder::new();
    fs::create_dir_all(folder.data().join("pg.new/base")).unwrap();
    fs::create_dir_all(folder.data().join("pg")).unwrap(); // Empty, so nothing is lost.
    paths::locate(&folder.data(), &folder.fallback()).unwrap();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    postgres.stop().await;
}

#[test]
fn an_existing_database_is_not_created_again() {
    let folder = Folder::new();
    fs::create_dir_all(folder.data().join("pg")).unwrap();
    fs::write(folder.data().join("pg/PG_VERSION"), "18\n").unwrap();
    let postgres_dir = paths::locate(&folder.data(), &folder.fallback()).unwrap();
    let programs = programs::Programs { bin: "/nowhere".into(), major: 18, version: "18.4".into() };
    let socket_folder = paths::socket_folder(&postgres_dir).unwrap();
    let log = folder.data().join("log");
    let config = ServerConfig {
        programs: &programs,
        postgres_dir: &postgres_dir,
        socket_folder: &socket_folder,
        log: &log,
        durable: false,
    };
    server::init(&config).unwrap();
}
