//! Data folders that are moved, copied or restored: their database is found, or refused by name, and never silently an empty one.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{Place, PrivateError, mark, owner};
use super::refusals::refusal;
use super::{Folder, NOBODY, Other, connect, read_the_note, skip, write_a_note};

/// A data folder under a home that is closed to Postgres's user. Only root puts the database elsewhere then.
fn under_a_closed_home(folder: &Folder, name: &str) -> Option<Place> {
    if !owner::is_root() {
        skip("only root starts Postgres as another user");
        return None;
    }
    let home = folder.dir.path().join("home");
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    Some(Place { data_dir: home.join(name), fallback_base: folder.fallback(), durable: false })
}

/// Makes a database with a note in it, and returns its home.
async fn with_a_note(folder: &Folder, place: &Place) -> PathBuf {
    let postgres = folder.open_at(place.clone()).await;
    write_a_note(&postgres).await;
    postgres.stop().await;
    mark::home_of(&place.data_dir).unwrap().unwrap().folder.unwrap_or_else(|| place.data_dir.clone())
}

async fn holds_the_note(folder: &Folder, place: &Place) {
    let postgres = folder.open_at(place.clone()).await;
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_data_folder_that_was_moved_keeps_its_database() {
    let folder = Folder::new();
    let Some(place) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &place).await;
    assert!(home.starts_with(folder.fallback().canonicalize().unwrap()));
    let moved = Place { data_dir: place.data_dir.with_file_name("moved"), ..place.clone() };
    fs::rename(&place.data_dir, &moved.data_dir).unwrap();
    holds_the_note(&folder, &moved).await;
    assert_eq!(mark::owner_of(&home).unwrap().unwrap().folder, Some(moved.data_dir.clone()));

    // A new data folder at the old path gets a database of its own.
    let postgres = folder.open_at(place.clone()).await;
    assert!(sqlx::query("SELECT said FROM note").fetch_one(&mut connect(&postgres).await).await.is_err());
    postgres.stop().await;
    holds_the_note(&folder, &moved).await;
}

#[tokio::test]
async fn a_copy_without_its_database_is_refused_and_with_it_is_independent() {
    let folder = Folder::new();
    let Some(place) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &place).await;
    let copied = Place { data_dir: folder.dir.path().join("copy"), ..place.clone() };
    copy(&place.data_dir, &copied.data_dir);
    let running = folder.open_at(place.clone()).await;
    let error = refusal(copied.clone()).await;
    assert!(
        matches!(&error, PrivateError::Copied { copy, original, .. }
        if *copy == copied.data_dir && *original == place.data_dir),
        "{error:?}"
    );
    assert_eq!(read_the_note(&running).await, "kept", "the original is left alone");
    running.stop().await;
    copy(&home.join("pg"), &copied.data_dir.join("pg"));
    let (one, other) = (folder.open_at(place.clone()).await, folder.open_at(copied.clone()).await);
    super::run(&other.connect_options(), "UPDATE note SET said = 'changed'").await;
    assert_eq!(read_the_note(&one).await, "kept");
    one.stop().await;
    other.stop().await;
    // Without the original, the folder that was copied is the one that was moved.
    let last = Place { data_dir: place.data_dir.with_file_name("last"), ..place.clone() };
    copy(&place.data_dir, &last.data_dir);
    fs::remove_dir_all(&place.data_dir).unwrap();
    holds_the_note(&folder, &last).await;
}

#[tokio::test]
async fn a_database_that_is_missing_is_not_replaced_by_an_empty_one() {
    let folder = Folder::new();
    with_a_note(&folder, &folder.place()).await;
    let database = folder.data().join("pg");
    let away = folder.dir.path().join("away");
    fs::rename(&database, &away).unwrap();
    let refused = |error| matches!(error, PrivateError::DatabaseMissing { expected, .. } if expected == database);
    assert!(refused(refusal(folder.place()).await));
    fs::create_dir(&database).unwrap();
    assert!(refused(refusal(folder.place()).await), "an empty folder is none");
    fs::remove_dir(&database).unwrap();
    // Without its mark, as before there were any, the log shows that there has been one.
    fs::remove_file(mark::path(&folder.data())).unwrap();
    let error = refusal(folder.place()).await;
    let named = matches!(error, PrivateError::DatabaseMissing { .. } | PrivateError::DatabaseElsewhere { .. });
    assert!(named, "{error:?}");
    assert!(!database.exists() && !folder.fallback().exists(), "nothing was made");
    fs::rename(&away, &database).unwrap();
    holds_the_note(&folder, &folder.place()).await;
}

#[tokio::test]
async fn a_database_elsewhere_that_is_missing_or_anothers_is_refused() {
    let folder = Folder::new();
    let Some(place) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &place).await;
    let away = home.with_extension("away");
    fs::rename(&home, &away).unwrap();
    assert!(matches!(refusal(place.clone()).await, PrivateError::DatabaseMissing { .. }));
    let other = under_a_closed_home(&folder, "other").unwrap();
    let others = with_a_note(&folder, &other).await;
    copy(&others, &home);
    assert!(matches!(refusal(place.clone()).await, PrivateError::OtherDatabase { .. }));
    fs::remove_dir_all(&home).unwrap();
    fs::rename(&away, &home).unwrap();
    holds_the_note(&folder, &place).await;
}

#[tokio::test]
async fn databases_from_before_there_were_marks_are_adopted() {
    let folder = Folder::new();
    with_a_note(&folder, &folder.place()).await;
    fs::remove_file(mark::path(&folder.data())).unwrap();
    holds_the_note(&folder, &folder.place()).await;
    assert!(mark::path(&folder.data()).exists());

    let Some(place) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &place).await;
    fs::remove_file(mark::path(&place.data_dir)).unwrap();
    fs::remove_file(home.join("data-folder")).unwrap();
    holds_the_note(&folder, &place).await;
    assert_eq!(mark::home_of(&place.data_dir).unwrap().unwrap().folder, Some(home));
}

#[tokio::test]
async fn an_ordinary_user_is_told_where_roots_database_is() {
    let folder = Folder::new();
    let Some(place) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &place).await;
    let opened = folder.data();
    fs::rename(&place.data_dir, &opened).unwrap();
    assert!(Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(&opened).status().unwrap().success());
    let said = Other::start(&opened, Some(NOBODY)).end();
    assert!(said.contains("start Maju as root") && said.contains(home.to_str().unwrap()), "{said}");
}
