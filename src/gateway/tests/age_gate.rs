//! The age gate: visitors have to accept the rules before they can reach strangers. Nothing else
//! needs it, and `not_found` is checked first.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::RULES_VERSION;
use crate::testing::{Node, node};

fn send(room: &Value) -> Value {
    json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}})
}

async fn unaccept(node: &Node, id: &str) {
    sqlx::query("UPDATE visitor SET rules_accepted = '1999' WHERE public_id = $1::uuid")
        .bind(id)
        .execute(&node.app.db)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_visitor_who_has_not_accepted_the_rules_reaches_no_stranger() {
    let node = node().await;
    let (owner, guest) = (node.guest("en").await, node.newcomer("ko").await);
    let made = |kind: &str| json!({"title": "Room", "kind": kind, "naming": "anonymous", "history": true});
    let make = async |kind: &str| node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(made(kind))).await.json();
    let (public, private) = (make("public").await["id"].clone(), make("private").await["id"].clone());
    let path = |room: &Value| format!("/api/v1/rooms/{}/messages", room.as_str().unwrap());
    let message = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});

    let mut socket = node.socket(&guest).await;
    let unknown = json!(Uuid::new_v4());
    for room in [&unknown, &private] {
        assert_eq!(socket.refused(json!({"type": "join", "room": room})).await, "not_found");
        assert_eq!(socket.refused(send(room)).await, "not_found");
        let answer = node.ask(Some(&guest), Method::POST, &path(room), Some(message.clone())).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(socket.refused(json!({"type": "join", "room": public})).await, "age_gate");
    assert_eq!(
        socket.refused(json!({"type": "seek", "interests": [], "languages": [], "translate": false})).await,
        "age_gate"
    );
    let answer = node.ask(Some(&guest), Method::POST, "/api/v1/rooms", Some(made("public"))).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::FORBIDDEN, &json!("age_gate")));
    // What never needs the age gate.
    for path in
        ["/api/v1/rooms".to_owned(), format!("/api/v1/rooms/{}", public.as_str().unwrap()), "/api/v1/me".to_owned()]
    {
        assert_eq!(node.ask(Some(&guest), Method::GET, &path, None).await.status, StatusCode::OK, "{path}");
    }
    let named = node.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(json!({"name": "Somebody"}))).await;
    assert_eq!(named.status, StatusCode::OK);

    // Accepted over REST, and effective on a socket that was opened before.
    let rules = json!({"rules": RULES_VERSION, "adult": true});
    assert_eq!(node.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(rules)).await.status, StatusCode::OK);
    socket.ok(json!({"type": "join", "room": public})).await;
    socket.ok(send(&public)).await;
}

#[tokio::test]
async fn a_member_with_outdated_rules_can_read_and_leave_but_not_write() {
    let node = node().await;
    let (owner, guest) = (node.guest("en").await, node.guest("ko").await);
    let body = json!({"title": "Room", "kind": "public", "naming": "anonymous", "history": true});
    let room = node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await.json()["id"].clone();
    let mut other = node.socket(&owner).await;
    other.ok(json!({"type": "join", "room": room})).await;
    let mut before = node.socket(&guest).await;
    before.ok(json!({"type": "join", "room": room})).await;
    other.text(room.as_str().unwrap(), "hello").await;
    unaccept(&node, &guest.id).await;

    let mut socket = node.connect(&guest).await;
    let hello = socket.ok(json!({"type": "hello", "resume": [{"room": room, "after": 0}]})).await;
    assert_eq!(hello["rooms"][0]["replayed"], 1);
    assert_eq!(socket.event("message").await["seq"], 1);
    assert_eq!(socket.refused(send(&room)).await, "age_gate");
    assert_eq!(socket.refused(json!({"type": "join", "room": room})).await, "age_gate");
    let path = format!("/api/v1/rooms/{}/messages", room.as_str().unwrap());
    let message = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let answer = node.ask(Some(&guest), Method::POST, &path, Some(message)).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::FORBIDDEN, &json!("age_gate")));
    assert_eq!(node.ask(Some(&guest), Method::GET, &path, None).await.status, StatusCode::OK);
    let report = json!({"type": "report", "room": room, "reason": "spam", "seqs": [1], "block": false});
    socket.ok(report).await;
    let sender = node.ask(Some(&guest), Method::GET, &path, None).await.json()["items"][0]["sender"]["id"].clone();
    socket.ok(json!({"type": "block", "room": room, "sender": sender})).await;
    socket.ok(json!({"type": "leave", "room": room})).await;
}
