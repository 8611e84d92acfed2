//! Coming back: what was missed comes in order, before anything newer; past the limit the client is told to page.
use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Node, Socket, node};

async fn hello(node: &Node, guest: &crate::testing::Guest, room: &str, after: i64) -> (Socket, Value) {
    let mut socket = node.connect(guest).await;
    let answer = socket.ok(json!({"type": "hello", "resume": [{"room": room, "after": after}]})).await;
    (socket, answer)
}

#[tokio::test]
async fn what_was_missed_comes_in_order_before_anything_newer() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    talk.b.close().await;
    for n in 1..=220 {
        talk.a.say(json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": format!("{n}")}})).await;
    }
    for _ in 1..=220 {
        talk.a.event("message").await;
    }
    // Newer ones are written while the replay runs.
    let (mut back, answer) = hello(&node, &two, &talk.room, 15).await;
    let mut ids = Vec::new();
    for n in 221..=260 {
        ids.push(talk.a.say(json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": format!("{n}")}})).await);
    }
    assert_eq!(answer["session"]["session"], talk.session.as_str());
    let room = &answer["rooms"][0];
    assert_eq!(room["room"], talk.room.as_str());
    assert_eq!(room["replayed"].as_i64().unwrap(), room["head"].as_i64().unwrap() - 15);
    for seq in 16..=260 {
        let event = back.event("message").await;
        assert_eq!((&event["seq"], &event["payload"]["text"]), (&json!(seq), &json!(seq.to_string())));
    }
    let mut again = node.socket(&two).await;
    again.ok(json!({"type": "join", "room": talk.room, "after": 255})).await;
    for seq in 256..=260 {
        assert_eq!(again.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn past_the_limit_the_client_pages_and_loses_nothing() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    talk.b.close().await;
    for n in 1..=520 {
        talk.a.say(json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": format!("{n}")}})).await;
        if n % 50 == 0 {
            talk.a.event("message").await; // keeps the events from piling up unread
        }
    }
    crate::testing::eventually("all are committed", || async {
        let path = format!("/api/v1/rooms/{}/log?after=519", talk.room);
        node.ask(Some(&one), Method::GET, &path, None).await.json()["items"]
            .as_array()
            .is_some_and(|items| items.len() == 1)
    })
    .await;
    let (mut back, answer) = hello(&node, &two, &talk.room, 0).await;
    assert_eq!(answer["rooms"][0], json!({"room": talk.room, "resync": true, "head": 520}));
    let mut after = 0;
    while after < 520 {
        let path = format!("/api/v1/rooms/{}/log?after={after}&limit=100", talk.room);
        let page = node.ask(Some(&two), Method::GET, &path, None).await.json();
        for item in page["items"].as_array().unwrap() {
            after += 1;
            assert_eq!(item["seq"], after);
        }
    }
    // Newer ones come by the socket.
    talk.a.text(&talk.room, "new").await;
    assert_eq!(back.event("message").await["seq"], 521);
}

#[tokio::test]
async fn every_tab_of_a_visitor_hears_everything() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let mut tab = node.connect(&one).await;
    let answer = tab.ok(json!({"type": "hello"})).await;
    assert_eq!(answer["session"]["room"], talk.room.as_str());
    assert_eq!(answer["session"]["state"], "open");
    tab.ok(json!({"type": "join", "room": talk.room, "after": 0})).await;
    talk.b.text(&talk.room, "to both").await;
    for socket in [&mut talk.a, &mut tab] {
        assert_eq!(socket.event("message").await["payload"]["text"], "to both");
    }
    talk.b.ok(json!({"type": "next", "session": talk.session, "seek": false})).await;
    for socket in [&mut talk.a, &mut tab] {
        assert_eq!(socket.event("ended").await["reason"], "next");
    }
}
