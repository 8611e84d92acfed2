//! Data folders that are moved, copied or restored. Their database is found or refused by name, and
//! never replaced by an empty one.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{PrivateError, StartOptions, marker, user};
use super::refusals::refusal;
use super::{Folder, NOBODY, Other, connect, read_the_note, skip, write_a_note};

/// Returns a data folder below a home folder that Postgres's user cannot enter. Only root puts the
/// database elsewhere then.
fn under_a_closed_home(folder: &Folder, name: &str) -> Option<StartOptions> {
    if !user::is_root() {
        skip("only root starts Postgres as another user");
        return None;
    }
    let home = folder.dir.path().join("home");
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    Some(StartOptions { data_dir: home.join(name), fallback_base: folder.fallback(), durable: false })
}

/// Creates a database with a note in it, and returns the folder that holds it.
async fn with_a_note(folder: &Folder, options: &StartOptions) -> PathBuf {
    let postgres = folder.open_at(options.clone()).await;
    write_a_note(&postgres).await;
    postgres.stop().await;
    marker::read_location(&options.data_dir).unwrap().unwrap().folder.unwrap_or_else(|| options.data_dir.clone())
}

async fn holds_the_note(folder: &Folder, options: &StartOptions) {
    let postgres = folder.open_at(options.clone()).await;
    assert_eq!(read_the_note(&postgres).await, "kept");
    postgres.stop().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_data_folder_that_was_moved_keeps_its_database() {
    let folder = Folder::new();
    let Some(options) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &options).await;
    assert!(home.starts_with(folder.fallback().canonicalize().unwrap()));
    let moved = StartOptions { data_dir: options.data_dir.with_file_name("moved"), ..options.clone() };
    fs::rename(&options.data_dir, &moved.data_dir).unwrap();
    holds_the_note(&folder, &moved).await;
    assert_eq!(marker::read_owner(&home).unwrap().unwrap().folder, Some(moved.data_dir.clone()));

    // A new data folder at the old path gets a database of its own.
    let postgres = folder.open_at(options.clone()).await;
    assert!(sqlx::query("SELECT said FROM note").fetch_one(&mut connect(&postgres).await).await.is_err());
    postgres.stop().await;
    holds_the_note(&folder, &moved).await;
}

#[tokio::test]
async fn a_copy_without_its_database_is_refused_and_one_with_it_is_independent() {
    let folder = Folder::new();
    let Some(options) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &options).await;
    let copied = StartOptions { data_dir: folder.dir.path().join("copy"), ..options.clone() };
    copy(&options.data_dir, &copied.data_dir);
    let running = folder.open_at(options.clone()).await;
    let error = refusal(copied.clone()).await;
    assert!(
        matches!(&error, PrivateError::Copied { copy, original, .. }
        if *copy == copied.data_dir && *original == options.data_dir),
        "{error:?}"
    );
    assert_eq!(read_the_note(&running).await, "kept", "the original is left alone");
    running.stop().await;
    copy(&home.join("pg"), &copied.data_dir.join("pg"));
    let (one, other) = (folder.open_at(options.clone()).await, folder.open_at(copied.clone()).await);
    super::run(&other.connect_options(), "UPDATE note SET said = 'changed'").await;
    assert_eq!(read_the_note(&one).await, "kept");
    one.stop().await;
    other.stop().await;
    // Without the original, a copy counts as a moved folder.
    let last = StartOptions { data_dir: options.data_dir.with_file_name("last"), ..options.clone() };
    copy(&options.data_dir, &last.data_dir);
    fs::remove_dir_all(&options.data_dir).unwrap();
    holds_the_note(&folder, &last).await;
}

#[tokio::test]
async fn a_database_that_is_missing_is_not_replaced_by_an_empty_one() {
    let folder = Folder::new();
    with_a_note(&folder, &folder.options()).await;
    let database = folder.data().join("pg");
    let away = folder.dir.path().join("away");
    fs::rename(&database, &away).unwrap();
    let refused = |error| matches!(error, PrivateError::DatabaseMissing { expected, .. } if expected == database);
    assert!(refused(refusal(folder.options()).await));
    fs::create_dir(&database).unwrap();
    assert!(refused(refusal(folder.options()).await), "an empty folder is no database");
    fs::remove_dir(&database).unwrap();
    // Without a marker, as before there were markers, the log shows that there was a database.
    fs::remove_file(marker::path(&folder.data())).unwrap();
    let error = refusal(folder.options()).await;
    let named = matches!(error, PrivateError::DatabaseMissing { .. } | PrivateError::DatabaseElsewhere { .. });
    assert!(named, "{error:?}");
    assert!(!database.exists() && !folder.fallback().exists(), "nothing was created");
    fs::rename(&away, &database).unwrap();
    holds_the_note(&folder, &folder.options()).await;
}

#[tokio::test]
async fn a_database_elsewhere_that_is_missing_or_of_another_folder_is_refused() {
    let folder = Folder::new();
    let Some(options) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &options).await;
    let away = home.with_extension("away");
    fs::rename(&home, &away).unwrap();
    assert!(matches!(refusal(options.clone()).await, PrivateError::DatabaseMissing { .. }));
    let other = under_a_closed_home(&folder, "other").unwrap();
    let others = with_a_note(&folder, &other).await;
    copy(&others, &home);
    assert!(matches!(refusal(options.clone()).await, PrivateError::OtherDatabase { .. }));
    fs::remove_dir_all(&home).unwrap();
    fs::rename(&away, &home).unwrap();
    holds_the_note(&folder, &options).await;
}

#[tokio::test]
async fn databases_without_markers_are_adopted() {
    let folder = Folder::new();
    with_a_note(&folder, &folder.options()).await;
    fs::remove_file(marker::path(&folder.data())).unwrap();
    holds_the_note(&folder, &folder.options()).await;
    assert!(marker::path(&folder.data()).exists());

    let Some(options) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &options).await;
    fs::remove_file(marker::path(&options.data_dir)).unwrap();
    fs::remove_file(home.join("data-folder")).unwrap();
    holds_the_note(&folder, &options).await;
    assert_eq!(marker::read_location(&options.data_dir).unwrap().unwrap().folder, Some(home));
}

#[tokio::test]
async fn an_ordinary_user_is_told_where_roots_database_is() {
    let folder = Folder::new();
    let Some(options) = under_a_closed_home(&folder, "data") else { return };
    let home = with_a_note(&folder, &options).await;
    let opened = folder.data();
    fs::rename(&options.data_dir, &opened).unwrap();
    assert!(Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(&opened).status().unwrap().success());
    let output = Other::start(&opened, Some(NOBODY)).end();
    assert!(output.contains("start Maju as root") && output.contains(home.to_str().unwrap()), "{output}");
}
