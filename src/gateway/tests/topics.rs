//! Topics on the real socket: two languages meet, each side reads its own words, and people are
//! counted.
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::testing::{Node, Socket, node};

fn seek(interests: &[&str]) -> Value {
    json!({"type": "seek", "interests": interests, "languages": ["ko", "en"], "translate": false})
}

/// Opens a socket of a new visitor.
async fn newcomer(node: &Node) -> Socket {
    let guest = node.guest("ko").await;
    node.socket(&guest).await
}

/// Opens a socket of a new visitor who seeks a partner that speaks a language of their own, and so
/// finds nobody.
async fn waiting(node: &Node, interests: &[&str], at: usize) -> Socket {
    let mut socket = newcomer(node).await;
    let language = format!("x{}", char::from(b'a' + u8::try_from(at).unwrap()));
    socket.ok(json!({"type": "seek", "interests": interests, "languages": [language], "translate": false})).await;
    socket
}

/// Reads a path after the counts of before have become old.
async fn fresh(node: &Node, path: &str) -> Value {
    node.app.clock.advance(Duration::from_secs(3));
    let answer = node.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

/// Returns what a list says about a topic.
fn topic<'a>(list: &'a Value, id: &str) -> &'a Value {
    list["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap()
}

/// The path of a count of several interests.
fn together(interests: &str) -> String {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("interests", interests).finish();
    format!("/api/v1/topics/together?{query}")
}

#[tokio::test]
async fn a_korean_and_an_english_topic_meet_and_each_side_reads_its_own_word() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    a.ok(seek(&["음악", "비 오는 날", "뜨개 바늘"])).await;
    b.ok(seek(&["뜨개바늘", "Chess", "MUSIC"])).await;
    let (to_a, to_b) = (a.event("found").await, b.event("found").await);
    assert_eq!(to_a["session"], to_b["session"]);
    assert_eq!((&to_a["shared"], &to_b["shared"]), (&json!(["음악", "뜨개 바늘"]), &json!(["뜨개바늘", "MUSIC"])));
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": to_a["room"]})).await;
    }
    // A socket that comes back reads the same words.
    for (guest, found) in [(&one, &to_a), (&two, &to_b)] {
        let hello = node.connect(guest).await.ok(json!({"type": "hello"})).await;
        assert_eq!((&hello["session"]["session"], &hello["session"]["shared"]), (&found["session"], &found["shared"]));
    }
    // The next search goes by the same topics, and the words stay.
    a.ok(json!({"type": "next", "session": to_a["session"], "seek": true})).await;
    let mut third = newcomer(&node).await;
    third.ok(seek(&["songs"])).await;
    assert_eq!(a.event("found").await["shared"], json!(["음악"]));
    assert_eq!(third.event("found").await["shared"], json!(["songs"]));
}

#[tokio::test]
async fn a_ticket_of_an_earlier_version_without_topics_is_matched() {
    let node = node().await;
    let mut a = waiting(&node, &["음악"], 0).await;
    sqlx::query("UPDATE random_ticket SET topics = '{}', languages = '{}'").execute(&node.app.db).await.unwrap();
    let mut b = newcomer(&node).await;
    b.ok(seek(&["Music"])).await;
    assert_eq!(a.event("found").await["shared"], json!(["음악"]));
    assert_eq!(b.event("found").await["shared"], json!(["Music"]));
}

#[tokio::test]
async fn people_who_wait_or_talk_are_counted_from_five() {
    let node = node().await;
    let empty = fresh(&node, "/api/v1/topics?locale=ko").await;
    assert_eq!(
        topic(&empty, "music"),
        &json!({"id": "music", "name": "음악", "also": ["Music", "노래", "songs"], "waiting": null})
    );
    assert_eq!((empty["items"].as_array().unwrap().len(), &empty["next"]), (40, &Value::Null));
    let mut sockets = Vec::new();
    for (at, interests) in
        [["음악", "비 오는 날"], ["Music", "rainy days"], ["songs", "Jazz"], ["음악", "비오는날"]].iter().enumerate()
    {
        sockets.push(waiting(&node, interests, at).await);
    }
    assert_eq!(topic(&fresh(&node, "/api/v1/topics").await, "music")["waiting"], Value::Null, "four are not shown");
    assert_eq!(fresh(&node, "/api/v1/content?locale=ko").await["topics"], json!([]));
    // Two who talk count too.
    let (mut a, mut b) = (newcomer(&node).await, newcomer(&node).await);
    a.ok(seek(&["MUSIC", "rain"])).await;
    b.ok(seek(&["음악", "영화"])).await;
    for socket in [&mut a, &mut b] {
        let room = socket.event("found").await["room"].clone();
        socket.ok(json!({"type": "join", "room": room})).await;
    }
    for (tag, name) in [("ko", "음악"), ("en", "Music")] {
        let list = fresh(&node, &format!("/api/v1/topics?locale={tag}")).await;
        assert_eq!((&topic(&list, "music")["name"], &topic(&list, "music")["waiting"]), (&json!(name), &json!(6)));
        assert_eq!(topic(&list, "rain")["waiting"], Value::Null);
    }
    crate::testing::eventually("the landing page's contents name the topic", || async {
        let content = fresh(&node, "/api/v1/content?locale=ko").await;
        content["topics"] == json!([{"id": "music", "name": "음악", "people": 6}])
    })
    .await;
    sockets.push(waiting(&node, &["비 오는 날", "노래"], 4).await);
    assert_eq!(fresh(&node, &together("음악,rainy days")).await, json!({"waiting": 5}));
    assert_eq!(fresh(&node, &together("음악, RAIN ,영화")).await, json!({"waiting": null}));
    // Who stops is not counted.
    sockets[0].ok(json!({"type": "cancel"})).await;
    assert_eq!(fresh(&node, &together("비 오는 날,music")).await, json!({"waiting": null}));
}

#[tokio::test]
async fn counts_are_read_once_and_an_unchanged_list_is_not_sent_again() {
    let node = node().await;
    let first = node.get("/api/v1/topics?locale=ko").await;
    let tag = first.headers[header::ETAG].clone();
    assert_eq!(first.headers[header::CACHE_CONTROL], "no-cache");
    let again = Request::get("/api/v1/topics?locale=ko").header(header::IF_NONE_MATCH, tag);
    assert_eq!(node.send(again.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_MODIFIED);
    // Without the database the names are still there, and the counts are not shown for long.
    let _locked = node.lock("random_session").await;
    node.app.clock.advance(Duration::from_secs(120));
    let list = node.get("/api/v1/topics?locale=ko").await;
    assert_eq!((list.status, topic(&list.json(), "film")["name"].clone()), (StatusCode::OK, json!("영화")));
}

#[tokio::test]
async fn what_cannot_be_asked_about_topics_is_refused() {
    let node = node().await;
    for (path, field) in [
        ("/api/v1/topics?locale=fr".to_owned(), Some("locale")),
        ("/api/v1/topics?language=ko".to_owned(), None),
        (together(""), Some("interests")),
        (together("음악,"), Some("interests")),
        (together("1,2,3,4,5,6"), Some("interests")),
        (together(&"가".repeat(31)), Some("interests")),
        (together("a\u{200b}b"), Some("interests")),
        ("/api/v1/topics/together".to_owned(), None),
    ] {
        let answer = node.get(&path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::BAD_REQUEST, &json!("bad_frame")), "{path}");
        assert_eq!(answer.json()["field"].as_str(), field, "{path}");
    }
}
