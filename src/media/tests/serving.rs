//! Images as visitors get them: on each node, from the disk or from Postgres.
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use uuid::Uuid;

use super::{jpeg, photo, upload};
use crate::accounts::{Role, account};
use crate::clock::Clock;
use crate::db;
use crate::realtime::Relay;
use crate::testing::{Node, database, node};

/// A node with a cache in a folder of its own.
async fn cached_node() -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let node = Node::start(database().await, Relay::in_process(), Clock::default(), move |config| {
        (config.data_dir, config.media_cache_bytes) = (path, 1024 * 1024);
    })
    .await;
    (node, folder)
}

/// Uploads a photo and returns its id.
async fn photo_on(node: &Node) -> Uuid {
    let editor = account(node, "jin", Role::Editor).await;
    let answer = upload(node, &editor, &jpeg(&photo(1_200, 900))).await;
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

/// Makes every read of pieces fail, unlike the question whether an image exists.
async fn hide_pieces(node: &Node, hidden: bool) {
    let sql = if hidden {
        "ALTER TABLE media_piece RENAME TO media_piece_hidden"
    } else {
        "ALTER TABLE media_piece_hidden RENAME TO media_piece"
    };
    sqlx::query(sql).execute(&node.app.db).await.unwrap();
}

fn cached_file(folder: &tempfile::TempDir, id: Uuid, size: &str) -> PathBuf {
    folder.path().join(format!("cache/media/{id}-{size}"))
}

#[tokio::test]
async fn an_image_has_headers_for_caches_and_is_never_anything_else() {
    let node = node().await;
    let id = photo_on(&node).await;
    let answer = node.get(&format!("/media/{id}/480")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "image/webp");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(answer.headers[header::CONTENT_DISPOSITION], "inline");
    assert!(!answer.headers.contains_key(header::SET_COOKIE));
    let etag = answer.headers[header::ETAG].clone();
    let again = async |tag: &str| {
        let request = Request::get(format!("/media/{id}/480")).header(header::IF_NONE_MATCH, tag);
        node.send(request.body(Body::empty()).unwrap()).await
    };
    let current = again(&format!("\"other\", {}", etag.to_str().unwrap())).await;
    assert_eq!(
        (current.status, current.bytes.len(), &current.headers[header::ETAG]),
        (StatusCode::NOT_MODIFIED, 0, &etag)
    );
    assert_eq!(again("\"other\"").await.status, StatusCode::OK);
    assert_eq!(node.get(&format!("/media/{id}/social")).await.headers[header::CONTENT_TYPE], "image/jpeg");
    for path in [format!("/media/{id}/481"), format!("/media/{}/480", Uuid::new_v4()), "/media/x/480".to_owned()] {
        assert_eq!(node.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn any_node_serves_any_image_and_then_from_its_own_disk() {
    let (node, folder) = cached_node().await;
    let id = photo_on(&node).await;
    let path = format!("/media/{id}/960");
    let first = node.get(&path).await;
    assert_eq!(fs::read(cached_file(&folder, id, "960")).unwrap(), first.bytes);
    let other = Node::apart(&node).await;
    assert_eq!(other.get(&path).await.bytes, first.bytes);
    hide_pieces(&node, true).await;
    assert_eq!(node.get(&path).await.bytes, first.bytes, "from the disk");
    assert_eq!(other.get(&path).await.status, StatusCode::INTERNAL_SERVER_ERROR, "it has no cache");
    // A broken file is noticed, and read again once that is possible.
    fs::write(cached_file(&folder, id, "960"), b"broken").unwrap();
    assert_eq!(node.get(&path).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    hide_pieces(&node, false).await;
    assert_eq!(node.get(&path).await.bytes, first.bytes);
    assert_eq!(fs::read(cached_file(&folder, id, "960")).unwrap(), first.bytes);
}

#[tokio::test]
async fn the_cache_survives_a_restart_and_a_folder_that_cannot_be_written_is_no_harm() {
    let (node, folder) = cached_node().await;
    let id = photo_on(&node).await;
    let path = format!("/media/{id}/480");
    let bytes = node.get(&path).await.bytes;
    let data_dir = folder.path().to_owned();
    let options = (*node.app.db.connect_options()).clone();
    let restarted = Node::start(db::pool(options.clone()), Relay::in_process(), Clock::default(), move |config| {
        (config.data_dir, config.media_cache_bytes) = (data_dir, 1024 * 1024);
    })
    .await;
    hide_pieces(&node, true).await;
    assert_eq!(restarted.get(&path).await.bytes, bytes);
    hide_pieces(&node, false).await;
    let nowhere = Node::start(db::pool(options), Relay::in_process(), Clock::default(), |config| {
        (config.data_dir, config.media_cache_bytes) = ("/dev/null/data".into(), 1024 * 1024);
    })
    .await;
    assert_eq!(nowhere.get(&path).await.bytes, bytes);
    assert_eq!(nowhere.get(&path).await.bytes, bytes);
}

#[tokio::test]
async fn all_who_ask_for_a_missing_image_at_once_wait_for_one_read() {
    let (node, _folder) = cached_node().await;
    let id = photo_on(&node).await;
    let path = format!("/media/{id}/1600");
    // The first request waits at the lock, so all others arrive meanwhile.
    let lock = node.lock("media_piece").await;
    let all = futures_util::future::join_all((0..20).map(|_| node.get(&path)));
    let release = async {
        let waiting = async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                       AND wait_event_type = 'Lock' AND query LIKE '%media_piece%'";
            sqlx::query_scalar::<_, i64>(sql).fetch_one(&node.app.db).await.unwrap()
        };
        while waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let reads = waiting().await;
        drop(lock);
        reads
    };
    let (answers, reads) = tokio::join!(all, release);
    assert_eq!(reads, 1);
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK && answer.bytes == answers[0].bytes));
}

#[tokio::test]
async fn an_image_that_was_deleted_long_ago_is_gone() {
    let node = node().await;
    let id = photo_on(&node).await;
    let delete = "UPDATE media_image SET deleted_at = now() - $1 * interval '1 day'";
    for (days, kept) in [(29, 1), (31, 0)] {
        sqlx::query(delete).bind(days).execute(&node.app.db).await.unwrap();
        crate::media::sweep(node.app.clone()).await;
        let count =
            "SELECT (SELECT count(*) FROM media_image WHERE public_id = $1), (SELECT count(*) FROM media_piece)";
        let (images, pieces): (i64, i64) = sqlx::query_as(count).bind(id).fetch_one(&node.app.db).await.unwrap();
        assert_eq!((images, pieces > 0), (kept, kept > 0), "{days} days");
    }
}
