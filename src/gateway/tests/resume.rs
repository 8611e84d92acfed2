//! Reconnecting: missed entries come in order, before newer ones. Above the limit the client is
//! told to page through the log.
use std::time::Duration;

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db;
use crate::testing::{Guest, Node, Socket, node};

async fn hello(node: &Node, guest: &Guest, room: &str, after: i64) -> (Socket, Value) {
    let mut socket = node.connect(guest).await;
    let answer = socket.ok(json!({"type": "hello", "resume": [{"room": room, "after": after}]})).await;
    (socket, answer)
}

#[tokio::test]
async fn missed_entries_come_in_order_before_newer_ones() {
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
    // Newer entries are written while the replay runs.
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
async fn above_the_replay_limit_the_client_pages_and_loses_nothing() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    talk.b.close().await;
    for n in 1..=520 {
        talk.a.say(json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": format!("{n}")}})).await;
        if n % 50 == 0 {
            talk.a.event("message").await; // so that unread events do not pile up
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
    // Newer entries come over the socket.
    talk.a.text(&talk.room, "new").await;
    assert_eq!(back.event("message").await["seq"], 521);
}

#[tokio::test]
async fn every_tab_of_a_visitor_gets_everything() {
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

/// Returns a socket and two rooms. Of the first, more entries are missing than a node keeps in
/// memory; of the second, none.
async fn long_away(node: &Node, guest: &Guest) -> (Socket, String, String) {
    let mut rooms = Vec::new();
    for title in ["Long", "Short"] {
        let body = json!({"title": title, "kind": "public", "naming": "anonymous", "history": true});
        let room = node.ask(Some(guest), Method::POST, "/api/v1/rooms", Some(body)).await.json();
        rooms.push(room["id"].as_str().unwrap().to_owned());
    }
    let (short, long) = (rooms.pop().unwrap(), rooms.pop().unwrap());
    let mut socket = node.socket(guest).await;
    socket.ok(json!({"type": "join", "room": long})).await;
    for n in 1..=320 {
        socket.say(text(&long, &n.to_string())).await;
        if n % 40 == 0 {
            while socket.event("message").await["seq"] != n {}
        }
    }
    socket.ok(json!({"type": "join", "room": short})).await;
    socket.text(&short, "known").await;
    socket.event("message").await;
    (socket, long, short)
}

fn text(room: &str, text: &str) -> Value {
    json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": text}})
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_replay() {
    let node = node().await;
    let guest = node.guest("en").await;
    let (mut socket, long, short) = long_away(&node, &guest).await;
    let lock = node.lock("message").await;
    let (sent, since) = (socket.say(text(&short, "now")).await, Instant::now());
    tokio::time::sleep(Duration::from_millis(600)).await;
    socket.ok(json!({"type": "join", "room": long, "after": 0})).await;
    assert_eq!(socket.answer(sent).await["error"]["code"], "unavailable");
    assert!(since.elapsed() < Duration::from_millis(2_200), "{:?}", since.elapsed());
    drop(lock);
    for seq in 1..=320 {
        assert_eq!(socket.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_request_during_a_replay_waits_for_at_most_one_page() {
    let node = node().await;
    let guest = node.guest("en").await;
    let (mut socket, long, short) = long_away(&node, &guest).await;
    // Every connection has prepared the query: one that prepares it now would wait for two locks.
    let first = node.lock("message").await;
    let path = format!("/api/v1/rooms/{long}/log?after=0");
    let reading = join_all((0..4 * db::MAX_POOL_CONNECTIONS).map(|_| node.ask(Some(&guest), Method::GET, &path, None)));
    tokio::join!(reading, async { drop((tokio::time::sleep(Duration::from_millis(500)).await, first)) });
    let first = node.lock("message").await;
    socket.ok(json!({"type": "join", "room": long, "after": 0})).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = node.lock("message"); // granted after the first page is read
    let sending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let sent = (socket.say(text(&short, "now")).await, Instant::now());
        tokio::time::sleep(Duration::from_millis(600)).await;
        drop(first);
        sent
    };
    let (second, (sent, since)) = tokio::join!(second, sending);
    assert_eq!(socket.answer(sent).await["error"]["code"], "unavailable");
    assert!(since.elapsed() < Duration::from_millis(2_200), "{:?}", since.elapsed());
    drop(second);
    for seq in 1..=320 {
        assert_eq!(socket.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_room_stays_subscribed_when_joining_it_again_fails() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("ko").await);
    let mut talk = node.talk(&one, &two).await;
    talk.a.text(&talk.room, "first").await;
    assert_eq!(talk.b.event("message").await["seq"], 1);
    let lock = node.lock("message").await;
    // The client has seen more than the node has: the node reads from Postgres.
    assert_eq!(talk.b.refused(json!({"type": "join", "room": talk.room, "after": 40})).await, "unavailable");
    drop(lock);
    talk.a.text(&talk.room, "second").await;
    assert_eq!(talk.b.event("message").await["seq"], 2);
}

#[tokio::test]
async fn entries_queued_before_a_leave_come_once_after_joining_again() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("ko").await);
    let (mut writer, _, room) = long_away(&node, &one).await;
    let mut socket = node.socket(&two).await;
    socket.ok(json!({"type": "join", "room": room, "after": 1})).await;
    // The leave waits, and entries are queued after it.
    let lock = node.lock("membership").await;
    let leave = socket.say(json!({"type": "leave", "room": room})).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for n in 2..=4 {
        writer.text(&room, &n.to_string()).await;
    }
    drop(lock);
    assert!(socket.answer(leave).await.get("ok").is_some());
    socket.ok(json!({"type": "join", "room": room, "after": 1})).await;
    writer.text(&room, "5").await;
    for seq in 2..=5 {
        assert_eq!(socket.event("message").await["seq"], seq);
    }
    assert!(socket.events.iter().all(|event| event["type"] != "message"), "{:?}", socket.events);
}
