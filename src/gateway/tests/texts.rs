//! Texts that other people read: they are visible, and every script works.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Socket, node};
use crate::text::tests::{INVISIBLE, JOINED};

async fn error(socket: &mut Socket, frame: Value) -> (String, String) {
    let id = socket.say(frame).await;
    let error = socket.answer(id).await["error"].clone();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("field"))
}

fn seek(interest: &str) -> Value {
    json!({"type": "seek", "interests": [interest], "languages": [], "translate": false})
}

#[tokio::test]
async fn an_invisible_text_is_refused_everywhere() {
    let node = node().await;
    let who = node.guest("en").await;
    let room = json!({"title": "x", "topic": "y", "kind": "public", "naming": "named", "history": true});
    let id = node.ask(Some(&who), Method::POST, "/api/v1/rooms", Some(room.clone())).await.json()["id"].clone();
    let mut socket = node.socket(&who).await;
    socket.ok(json!({"type": "join", "room": id})).await;
    let refused = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    for text in INVISIBLE {
        let shown = text.escape_unicode();
        let payload = json!({"kind": "text", "text": text});
        let send = json!({"type": "send", "room": id, "client_id": Uuid::new_v4(), "payload": payload});
        assert_eq!(error(&mut socket, send).await, refused("bad_payload", "payload.text"), "{shown}");
        assert_eq!(error(&mut socket, seek(text)).await, refused("bad_frame", "interests"), "{shown}");
        let path = format!("/api/v1/rooms/{}/messages", id.as_str().unwrap());
        let mut asked = vec![
            (Method::POST, path, json!({"client_id": Uuid::new_v4(), "payload": payload}), "payload.text"),
            (Method::PATCH, "/api/v1/me".to_owned(), json!({"name": text}), "name"),
        ];
        for field in ["title", "topic"] {
            let mut body = room.clone();
            body[field] = json!(text);
            asked.push((Method::POST, "/api/v1/rooms".to_owned(), body, field));
        }
        for (method, path, body, field) in asked {
            let answer = node.ask(Some(&who), method, &path, Some(body)).await;
            assert!(answer.status.is_client_error(), "{field} {shown}: {}", answer.text);
            assert_eq!(answer.json()["field"], field, "{shown}");
            if field == "payload.text" {
                assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (422, &json!("bad_payload")), "{shown}");
            }
        }
    }
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(written, 0);
}

#[tokio::test]
async fn joiners_are_accepted_where_scripts_and_emoji_need_them() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    for text in JOINED {
        let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
        a.ok(seek(text)).await;
        a.ok(json!({"type": "cancel"})).await;
        let named = node.ask(Some(&two), Method::PATCH, "/api/v1/me", Some(json!({"name": text}))).await;
        assert_eq!((named.status, &named.json()["visitor"]["name"]), (StatusCode::OK, &json!(text)));
        let body = json!({"title": text, "topic": text, "kind": "public", "naming": "named", "history": true});
        let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body)).await.json();
        assert_eq!((&room["title"], &room["topic"]), (&json!(text), &json!(text)));
        b.ok(json!({"type": "join", "room": room["id"]})).await;
        b.text(room["id"].as_str().unwrap(), text).await;
        assert_eq!(b.event("message").await["payload"]["text"], text);
    }
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    a.ok(seek("می‌خواهم")).await;
    b.ok(seek("می‌خواهم")).await;
    assert_eq!(a.event("found").await["shared"], json!(["می‌خواهم"]));
}
