//! The API of editors.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TEXTS, jpeg, photo, send_form, transparent_png, upload};
use crate::accounts::{Role, account};
use crate::media::limits::MAX_UPLOAD_BYTES;
use crate::testing::{Guest, Node, node};

const PATH: &str = "/api/v1/admin/media";

async fn ask(node: &Node, who: &Guest, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let answer = node.ask(Some(who), method, path, body).await;
    (answer.status.as_u16(), serde_json::from_slice(&answer.bytes).unwrap_or_default())
}

#[tokio::test]
async fn an_editor_uploads_describes_deletes_and_restores_an_image() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let answer = upload(&node, &editor, &jpeg(&photo(1_000, 600))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let image = answer.json();
    assert_eq!((&image["width"], &image["height"]), (&json!(1_000), &json!(600)));
    assert_eq!(image["alt"]["ko"], "마주 앉은 두 사람");
    let names: Vec<&str> =
        image["variants"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["480", "960", "1600", "thumb", "social"]);
    let url = image["variants"][0]["url"].as_str().unwrap();
    assert_eq!(node.get(url).await.bytes.len() as u64, image["variants"][0]["bytes"].as_u64().unwrap());

    let own = format!("{PATH}/{}", image["id"].as_str().unwrap());
    let alt = json!({"alt": {"ko": "새 글", "en": "Other words"}});
    assert_eq!(ask(&node, &editor, Method::PATCH, &own, Some(alt)).await.1["alt"]["en"], "Other words");
    let search = |q: &'static str| ask(&node, &editor, Method::GET, q, None);
    assert_eq!(search("/api/v1/admin/media?q=OTHER").await.1["total"], 1);
    assert_eq!(search("/api/v1/admin/media?q=nothing%25_").await.1["total"], 0);

    assert_eq!(ask(&node, &editor, Method::DELETE, &own, None).await.0, 204);
    assert_eq!(ask(&node, &editor, Method::DELETE, &own, None).await.0, 404);
    assert_eq!(node.get(url).await.status, StatusCode::NOT_FOUND);
    assert_eq!(search("/api/v1/admin/media").await.1["total"], 0);
    assert_eq!(search("/api/v1/admin/media?deleted=true").await.1["items"][0]["id"], image["id"]);
    assert_eq!(ask(&node, &editor, Method::POST, &format!("{own}/restore"), None).await.0, 204);
    assert_eq!(node.get(url).await.status, StatusCode::OK);
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_log WHERE actor_name = 'jin' AND action LIKE 'media.%' ORDER BY id",
    )
    .fetch_all(&node.app.db)
    .await
    .unwrap();
    assert_eq!(actions, ["media.uploaded", "media.described", "media.deleted", "media.restored"]);
}

#[tokio::test]
async fn the_same_picture_is_stored_once() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let file = jpeg(&photo(500, 500));
    let (first, second) = tokio::join!(upload(&node, &editor, &file), upload(&node, &editor, &file));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM media_image").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(stored, 1);
    let own = format!("{PATH}/{}", first.json()["id"].as_str().unwrap());
    assert_eq!(ask(&node, &editor, Method::DELETE, &own, None).await.0, 204);
    assert_eq!(upload(&node, &editor, &file).await.json()["deleted_at"], Value::Null, "an upload restores it");
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_has_a_code_and_a_field() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let file = jpeg(&photo(50, 50));
    let send = async |fields: &[(&str, &str)], file: Option<&[u8]>| {
        let answer = send_form(&node, Some(&editor), PATH, fields, file).await;
        let problem = answer.json();
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        (answer.status.as_u16(), text("code"), text("field"))
    };
    let is = |status: u16, code: &str, field: &str| (status, code.to_owned(), field.to_owned());
    assert_eq!(send(&TEXTS, None).await, is(422, "bad_payload", "file"));
    assert_eq!(send(&TEXTS, Some(b"")).await, is(422, "bad_payload", "file"));
    assert_eq!(send(&TEXTS, Some(b"GIF89a")).await, is(415, "bad_payload", "file"));
    assert_eq!(send(&TEXTS, Some(&file[..300])).await, is(422, "bad_payload", "file"));
    assert_eq!(send(&TEXTS[..1], Some(&file)).await, is(422, "bad_payload", "alt_en"));
    let long = "x".repeat(301);
    assert_eq!(send(&[TEXTS[0], ("alt_en", &long)], Some(&file)).await, is(422, "too_long", "alt_en"));
    assert_eq!(send(&TEXTS, Some(&vec![0; MAX_UPLOAD_BYTES + 1])).await, is(413, "too_long", "file"));
    let many: Vec<(&str, &str)> = std::iter::repeat_n(TEXTS[0], 40).collect();
    assert_eq!(send(&many, Some(&file)).await, is(400, "bad_frame", ""));
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM media_image").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(kept, 0);
    let json = node.ask(Some(&editor), Method::POST, PATH, Some(json!({"file": "x"}))).await;
    assert_eq!(json.status, StatusCode::BAD_REQUEST, "{}", json.text);
}

#[tokio::test]
async fn only_editors_upload() {
    let node = node().await;
    let file = jpeg(&photo(50, 50));
    let nobody = send_form(&node, None, PATH, &TEXTS, Some(&file)).await;
    assert_eq!((nobody.status.as_u16(), nobody.json()["code"].as_str()), (401, Some("sign_in_needed")));
    for (handle, role, status) in [
        ("a-member", Role::Member, 404),
        ("a-moderator", Role::Moderator, 404),
        ("an-editor", Role::Editor, 201),
        ("an-admin", Role::Admin, 201),
    ] {
        let who = account(&node, handle, role).await;
        assert_eq!(upload(&node, &who, &file).await.status.as_u16(), status, "{handle}");
    }
}

#[tokio::test]
async fn an_image_that_is_shown_is_not_deleted() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let image = upload(&node, &editor, &transparent_png(90, 60)).await.json();
    let id = image["id"].as_str().unwrap();
    sqlx::query(
        "UPDATE page_section SET draft = draft || jsonb_build_object('image', '/media/' || $1 || '/960')
         WHERE kind = 'hero' AND locale = 'ko'",
    )
    .bind(id)
    .execute(&node.app.db)
    .await
    .unwrap();
    let own = format!("{PATH}/{id}");
    assert_eq!(ask(&node, &editor, Method::GET, &own, None).await.1["uses"], json!([{"place": "landing, hero (ko)"}]));
    let (status, problem) = ask(&node, &editor, Method::DELETE, &own, None).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("conflict")));
    assert_eq!(node.get(&format!("/media/{id}/480")).await.status, StatusCode::OK);
}
