//! Files that are removed while Postgres runs, and panics of the supervisor: Postgres comes back
//! with all acknowledged entries.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::supervisor::ControlMessage;
use super::super::{PrivatePostgres, lock, postmaster};
use super::{Folder, connect, pid_of, read_the_note, until, write_a_note};

/// Twice the ten seconds within which Postgres must be back, for busy machines.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Removes something and waits until the owner and a process that shares can use Postgres again.
async fn recovers_after(remove: impl Fn(&Path)) {
    let folder = Folder::new();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    let sharer = folder.open().await;
    let old = pid_of(&postgres);
    remove(&folder.data());
    let began = Instant::now();
    until("another Postgres is up", || postgres.is_owner() && pid_of(&postgres) != old).await;
    assert_eq!((read_the_note(&postgres).await.as_str(), read_the_note(&sharer).await.as_str()), ("kept", "kept"));
    assert!(began.elapsed() < RECOVERY_TIMEOUT, "{:?}", began.elapsed());
    assert!(!postmaster::runs_on(old, &folder.data().join("pg")));
    sharer.stop().await;
    postgres.stop().await;
}

#[tokio::test]
async fn a_socket_that_is_removed_comes_back() {
    recovers_after(|data| fs::remove_file(data.join("run/.s.PGSQL.5432")).unwrap()).await;
}

#[tokio::test]
async fn the_socket_folder_comes_back_after_it_was_removed() {
    recovers_after(|data| fs::remove_dir_all(data.join("run")).unwrap()).await;
}

#[tokio::test]
async fn a_postmaster_pid_that_is_removed_comes_back() {
    recovers_after(|data| fs::remove_file(data.join("pg/postmaster.pid")).unwrap()).await;
}

#[tokio::test]
async fn a_postgres_that_hangs_is_not_killed() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    let pid = pid_of(&postgres);
    postmaster::send(pid, Signal::STOP);
    tokio::time::sleep(Duration::from_secs(8)).await;
    postmaster::send(pid, Signal::CONT);
    assert_eq!(read_the_note(&postgres).await, "kept");
    assert_eq!(pid_of(&postgres), pid);
    postgres.stop().await;
}

#[tokio::test]
async fn an_owner_whose_lock_file_is_removed_stays_the_owner_and_restores_it() {
    let folder = Folder::new();
    let owner = folder.open().await;
    write_a_note(&owner).await;
    let (pid, file) = (pid_of(&owner), lock::path(&folder.data()));
    let mut connection = connect(&owner).await;
    fs::remove_file(&file).unwrap();
    let second = folder.open().await;
    assert!(!second.is_owner(), "two owners");
    until("the lock file is back", || lock::holder(&folder.data()) == Some(std::process::id().cast_signed())).await;
    // The same if it is replaced.
    fs::write(folder.data().join("other"), "").unwrap();
    fs::rename(folder.data().join("other"), &file).unwrap();
    let third = folder.open().await;
    assert!(!third.is_owner(), "two owners");
    until("the lock file is back", || lock::holder(&folder.data()) == Some(std::process::id().cast_signed())).await;
    assert_eq!(pid_of(&owner), pid);
    let said: String = sqlx::query_scalar("SELECT said FROM note").fetch_one(&mut connection).await.unwrap();
    assert_eq!(said, "kept", "on the connection from before");
    for one in [&third, &second, &owner] {
        one.stop().await;
    }
    assert_eq!(lock::holder(&folder.data()), None);
}

#[tokio::test]
async fn the_supervisor_is_restarted_after_a_panic() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    let old = pid_of(&postgres);
    postgres.inner.control.try_send(ControlMessage::Panic).ok().unwrap();
    until("another Postgres is up", || postgres.is_owner() && pid_of(&postgres) != old).await;
    assert!(!postmaster::runs_on(old, &folder.data().join("pg")));
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;
}

/// Moves something away while Postgres runs, and back. No empty database is created meanwhile.
async fn survives_the_absence_of(away: &Path, postgres: &PrivatePostgres) {
    let elsewhere = away.with_extension("away");
    fs::rename(away, &elsewhere).unwrap();
    until("it is noticed", || !postgres.is_up()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!postgres.is_up());
    assert!(!away.join("PG_VERSION").exists() && !away.join("pg").exists(), "an empty database was created");
    fs::rename(&elsewhere, away).unwrap();
    until("it is back", || postgres.is_up()).await;
    assert_eq!(read_the_note(postgres).await, "kept");
}

#[tokio::test]
async fn a_database_or_a_data_folder_that_is_moved_away_while_it_is_in_use_is_never_replaced() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    write_a_note(&postgres).await;
    survives_the_absence_of(&folder.data(), &postgres).await;
    survives_the_absence_of(&folder.data().join("pg"), &postgres).await;
    postgres.stop().await;
}
