//! Creating, finding and listing rooms over REST.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::testing::{Guest, node};

#[tokio::test]
async fn rooms_are_created_listed_and_found() {
    let node = node().await;
    let (owner, other) = (node.guest("en").await, node.guest("en").await);
    let create = async |body: Value| node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    let base = json!({"title": "Film night", "topic": "산책", "kind": "public", "naming": "anonymous", "history": true, "language": "ko"});
    let created = create(base.clone()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let mut hidden = base.clone();
    hidden["kind"] = json!("private");
    hidden["title"] = json!("Hidden");
    let hidden = create(hidden).await.json();
    for (field, value, status) in [
        ("title", json!(""), 400),
        ("title", json!("x".repeat(81)), 422),
        ("title", json!("a\u{0}"), 400),
        ("topic", json!("x".repeat(201)), 422),
        ("kind", json!("talk"), 400),
        ("kind", json!("party"), 400),
        ("language", json!("no tag"), 400),
        ("extra", json!(1), 400),
    ] {
        let mut body = base.clone();
        body[field] = value.clone();
        assert_eq!(create(body).await.status.as_u16(), status, "{field} {value}");
    }
    let list = async |who: &Guest, query: &str| {
        node.ask(Some(who), Method::GET, &format!("/api/v1/rooms?{query}"), None).await.json()
    };
    let titles = |list: &Value| {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|room| room["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(titles(&list(&owner, "").await), ["Hidden", "Film night"], "the owner's private room is listed too");
    assert_eq!(titles(&list(&other, "").await), ["Film night"]);
    assert_eq!(titles(&list(&other, "q=FILM").await), ["Film night"]);
    assert!(titles(&list(&other, "q=%25").await).is_empty(), "a percent sign is not a wildcard");
    let slug = created.json()["slug"].as_str().unwrap().to_owned();
    let by_slug = node.ask(Some(&other), Method::GET, &format!("/api/v1/rooms/{slug}"), None).await;
    assert_eq!(by_slug.json()["id"], created.json()["id"]);
    let id = hidden["id"].as_str().unwrap();
    assert_eq!(
        node.ask(Some(&other), Method::GET, &format!("/api/v1/rooms/{id}"), None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn lists_continue_from_their_cursor() {
    let node = node().await;
    let owner = node.guest("en").await;
    for n in 0..7 {
        let body = json!({"title": format!("Room {n}"), "kind": "public", "naming": "named", "history": true});
        node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    }
    for sort in ["", "&sort=name"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/rooms?limit=3{sort}{cursor}");
            let page = node.ask(Some(&owner), Method::GET, &path, None).await.json();
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|room| room["title"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut distinct = seen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!((seen.len(), distinct.len()), (7, 7), "{sort} {seen:?}");
    }
}
