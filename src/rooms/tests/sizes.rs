//! Sizes: payloads are limited in the form in which they are stored and served, and pages, replays
//! and each visitor's entries are limited in bytes.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::create_public_room;
use crate::http::{Bucket, Key};
use crate::testing::{Guest, Node, limited_node, node};

/// Largest body of a page of entries: the entries, and the JSON around them.
const MAX_PAGE_BODY_BYTES: usize = 256 * 1024 + 1_024;

/// Returns a `send` frame.
fn send(room: Uuid, payload: &Value) -> Value {
    json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload})
}

/// Posts a payload over REST.
async fn post_over_rest(node: &Node, who: &Guest, room: Uuid, payload: &Value) -> crate::testing::Answer {
    let body = json!({"client_id": Uuid::new_v4(), "payload": payload});
    node.ask(Some(who), Method::POST, &format!("/api/v1/rooms/{room}/messages"), Some(body)).await
}

/// Returns the largest payload that is accepted: 2,000 characters of four bytes, and 4 KiB of
/// fields that the server does not know.
fn largest() -> Value {
    json!({"kind": "text", "text": "😀".repeat(2_000), "x": "a".repeat(4_096 - 7)})
}

#[tokio::test]
async fn a_payload_that_is_too_large_as_stored_is_refused_over_the_socket_and_rest() {
    let node = node().await;
    let who = node.guest("en").await;
    let room = create_public_room(&node, &who).await;
    let mut socket = node.socket(&who).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    let numbers = |count: usize| json!({"kind": "text", "text": "hi", "x": vec![1e308; count]});
    let fields = |count: usize| {
        let mut payload = json!({"kind": "text", "text": "hi"});
        (0..count).for_each(|n| payload[format!("x{n}")] = json!(n));
        payload
    };
    for (payload, code, field) in [
        (numbers(2_000), "too_long", "payload"),
        (numbers(14), "too_long", "payload"), // 98 bytes as sent, 4,354 as stored
        (json!({"kind": "text", "text": "hi", "x": "a".repeat(15_000)}), "too_long", "payload"),
        (json!({"kind": "text", "text": "hi", "x": "\u{1}".repeat(700)}), "too_long", "payload"),
        (fields(33), "bad_payload", "payload"),
        (json!({"kind": "text", "text": "a".repeat(2_001)}), "too_long", "payload.text"),
    ] {
        let id = socket.say(send(room, &payload)).await;
        let error = socket.answer(id).await["error"].clone();
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!(field)));
        let answer = post_over_rest(&node, &who, room, &payload).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)));
        assert_eq!(answer.json()["field"], field);
    }
    // 64 KB of numbers, which would be stored and served as 3.3 MB.
    let answer = post_over_rest(&node, &who, room, &numbers(9_000)).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("too_long")));
    for payload in [largest(), numbers(13), fields(32)] {
        assert_eq!(post_over_rest(&node, &who, room, &payload).await.status, StatusCode::CREATED);
        let stored: i32 =
            sqlx::query_scalar("SELECT octet_length(payload::text) FROM message ORDER BY seq DESC LIMIT 1")
                .fetch_one(&node.app.db)
                .await
                .unwrap();
        assert!(stored <= 16 * 1024, "{stored}");
        let page = node.ask(Some(&who), Method::GET, &format!("/api/v1/rooms/{room}/messages?limit=1"), None).await;
        assert_eq!(page.json()["items"][0]["payload"], payload, "unknown fields are kept");
    }
}

#[tokio::test]
async fn a_page_is_limited_in_bytes_and_the_next_one_continues_without_a_gap() {
    let node = node().await;
    let who = node.guest("en").await;
    let room = create_public_room(&node, &who).await;
    for _ in 0..60 {
        assert_eq!(post_over_rest(&node, &who, room, &largest()).await.status, StatusCode::CREATED);
    }
    // An entry larger than a page, which can no longer be sent, has a page of its own.
    sqlx::query("UPDATE message SET payload = payload || jsonb_build_object('x', repeat('x', 400000)) WHERE seq = 31")
        .execute(&node.app.db)
        .await
        .unwrap();
    let read = async |query: String| {
        let page = node.ask(Some(&who), Method::GET, &format!("/api/v1/rooms/{room}/{query}"), None).await;
        let json = page.json();
        let seqs: Vec<i64> =
            json["items"].as_array().unwrap().iter().map(|item| item["seq"].as_i64().unwrap()).collect();
        assert!(page.bytes.len() <= MAX_PAGE_BODY_BYTES || seqs == [31], "{} bytes in {seqs:?}", page.bytes.len());
        assert!(!seqs.is_empty());
        (seqs, json["next"].as_str().map(str::to_owned))
    };
    for list in ["log", "messages"] {
        let (mut seen, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let (seqs, next) = read(format!("{list}?limit=100&after={after}")).await;
            seen.extend(seqs);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, (1..=60).collect::<Vec<_>>(), "{list}, forwards");
    }
    let (mut seen, mut query) = (Vec::new(), "messages?limit=100".to_owned());
    loop {
        let (mut seqs, next) = read(query).await;
        seqs.extend(seen);
        seen = seqs;
        match next {
            Some(next) => query = format!("messages?limit=100&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=60).collect::<Vec<_>>(), "messages, backwards");
}

#[tokio::test]
async fn a_replay_of_long_entries_is_complete_and_in_order_and_disconnects_nobody() {
    let node = node().await;
    let (who, reader) = (node.guest("en").await, node.guest("ko").await);
    let room = create_public_room(&node, &who).await;
    let mut early = node.socket(&reader).await;
    early.ok(json!({"type": "join", "room": room})).await;
    for seq in 1..=150 {
        assert_eq!(post_over_rest(&node, &who, room, &largest()).await.status, StatusCode::CREATED);
        // Thirty entries are more than the queue of a socket holds.
        if seq % 30 == 0 {
            for seq in seq - 29..=seq {
                assert_eq!(early.event("message").await["seq"], seq);
            }
        }
    }
    // Another node has none of the entries in memory.
    let apart = Node::apart(&node).await;
    let mut late = apart.socket(&reader).await;
    late.ok(json!({"type": "join", "room": room, "after": 0})).await;
    for seq in 1..=150 {
        assert_eq!(late.event("message").await["seq"], seq);
    }
    for socket in [&mut early, &mut late] {
        socket.ok(json!({"type": "ping"})).await;
    }
    // The node without a relay reads later entries of the first node in pages too.
    for _ in 0..30 {
        assert_eq!(post_over_rest(&node, &who, room, &largest()).await.status, StatusCode::CREATED);
    }
    for seq in 151..=180 {
        assert_eq!(late.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_visitor_has_a_quota_of_bytes_over_the_socket_and_rest() {
    let node = limited_node().await;
    let who = node.guest("en").await;
    let room = create_public_room(&node, &who).await;
    let mut socket = node.socket(&who).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    // Use the quota up, except for 10,000 bytes.
    let visitor = node.visitor_of(&who).await.id;
    node.app.limits.take_many(Bucket::StoredBytes, Key::Visitor(visitor), 1024 * 1024 - 10_000).unwrap();
    let id = socket.say(send(room, &largest())).await;
    let error = socket.answer(id).await["error"].clone();
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retry_after_ms"].as_u64().unwrap() > 100);
    let answer = post_over_rest(&node, &who, room, &largest()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited")));
    socket.text(&room.to_string(), "a short text fits").await;
    let other = node.guest("en").await;
    let other_room = create_public_room(&node, &other).await;
    assert_eq!(post_over_rest(&node, &other, other_room, &largest()).await.status, StatusCode::CREATED);
}
