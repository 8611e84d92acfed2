//! Kicks and mutes in one room: what is refused, what still works, and what happens to the sockets
//! on each node.
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::{committed, create_public_room, inner_id, post_text, submit, text_post};
use crate::ids::{Seq, VisitorId};
use crate::moderation::{self, NewSanction};
use crate::realtime::{Queue, Topic};
use crate::rooms::{Membership, Replay, Subscribed, join, kick, leave, membership, mute, post_and_wait, subscribe};
use crate::testing::{Node, Redis, eventually, node};

fn sanction(visitor: VisitorId, lasts: Option<Duration>) -> NewSanction<'static> {
    NewSanction { visitor, reason: "shouting", author: None, lasts }
}

#[tokio::test]
async fn a_kicked_visitor_is_removed_on_every_node_until_the_kick_is_lifted() {
    let redis = Redis::start().await;
    let first = Node::over_redis(&redis.url, None).await;
    let near = Node::over_redis(&redis.url, Some(&first)).await;
    let apart = Node::apart(&first).await;
    let (owner, guest) = (first.guest("en").await, first.guest("ko").await);
    let (id, other_room) = (create_public_room(&first, &owner).await, create_public_room(&first, &owner).await);
    let (room, visitor) = (id.to_string(), first.visitor_of(&guest).await);
    let mut sockets = Vec::new();
    for node in [&first, &near, &apart] {
        let mut socket = node.socket(&guest).await;
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        sockets.push(socket);
    }
    let mut sender = first.socket(&owner).await;
    sender.ok(json!({"type": "join", "room": room})).await;
    sender.text(&room, "before").await;
    for socket in &mut sockets {
        socket.event("message").await;
    }
    let inner = inner_id(&apart, &room);
    let sanction = kick(&first.app, id, &sanction(visitor.id, Some(Duration::from_secs(3_600)))).await.unwrap();
    for socket in &mut sockets[..2] {
        let notice = socket.event("notice").await;
        assert_eq!((&notice["kind"], &notice["room"]), (&json!("revoked"), &json!(room)));
        assert_eq!(notice["reason"], "shouting");
        assert!(notice["at"].is_string());
    }
    // A node without a relay finds the kick when it compares the heads.
    let is_subscribed = |node: &Node| node.app.hub.is_subscribed(Topic::Room(inner), visitor.id);
    eventually("the node without a relay unsubscribes the visitor", || async { !is_subscribed(&apart) }).await;
    sender.text(&room, "after").await;
    let send =
        json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    for (node, socket) in [&first, &near, &apart].into_iter().zip(&mut sockets) {
        assert_eq!(socket.refused(send.clone()).await, "not_found");
        assert_eq!(socket.refused(json!({"type": "typing", "room": room})).await, "not_found");
        assert_eq!(socket.refused(json!({"type": "join", "room": room})).await, "forbidden");
        let log = node.ask(Some(&guest), Method::GET, &format!("/api/v1/rooms/{room}/log"), None).await;
        assert_eq!(log.status, StatusCode::NOT_FOUND);
        assert!(socket.events.iter().all(|event| event["payload"]["text"] != "after"), "{:?}", socket.events);
        // A kick applies to one room only.
        socket.ok(json!({"type": "join", "room": other_room})).await;
        socket.text(&other_room.to_string(), "here").await;
    }
    moderation::lift(&first.app, sanction, None).await.unwrap();
    assert_eq!(moderation::lift(&first.app, sanction, None).await.unwrap_err().code(), "not_found");
    sockets[2].ok(json!({"type": "join", "room": room})).await;
    sockets[2].text(&room, "back").await;
}

#[tokio::test]
async fn a_kick_ends_by_the_databases_clock_and_does_not_reveal_a_private_room() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let id = create_public_room(&node, &owner).await;
    join(&node.app, &who, id).await.unwrap();
    kick(&node.app, id, &sanction(who.id, Some(Duration::from_millis(400)))).await.unwrap();
    assert_eq!(join(&node.app, &who, id).await.err().unwrap().code(), "forbidden");
    sqlx::query("UPDATE chat_room SET kind = 'private' WHERE public_id = $1")
        .bind(id)
        .execute(&node.app.db)
        .await
        .unwrap();
    assert_eq!(join(&node.app, &who, id).await.err().unwrap().code(), "not_found");
    sqlx::query("UPDATE chat_room SET kind = 'public' WHERE public_id = $1")
        .bind(id)
        .execute(&node.app.db)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    join(&node.app, &who, id).await.unwrap();
    post_text(&node, &who, id, "back").await.unwrap();
    let stranger = node.visitor("en").await;
    assert_eq!(kick(&node.app, id, &sanction(stranger.id, None)).await.unwrap_err().code(), "not_found");
    for reason in ["", "a\0b"] {
        let bad = NewSanction { reason, ..sanction(who.id, None) };
        assert_eq!(kick(&node.app, id, &bad).await.unwrap_err().code(), "bad_frame");
    }
}

#[tokio::test]
async fn a_muted_member_can_still_read_and_a_retry_gets_its_first_answer() {
    let node = node().await;
    let other = Node::beside(&node).await;
    let (owner, guest) = (node.guest("en").await, node.guest("en").await);
    let id = create_public_room(&node, &owner).await;
    let (room, who) = (id.to_string(), node.visitor_of(&guest).await);
    let mut socket = other.socket(&guest).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    let earlier = Uuid::new_v4();
    let first = post_and_wait(&other.app, &who, id, text_post(earlier, "x")).await.unwrap();
    let sanction = mute(&node.app, id, &sanction(who.id, Some(Duration::from_secs(60)))).await.unwrap();
    let send =
        json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let request = socket.say(send).await;
    let refused = socket.answer(request).await;
    assert_eq!(refused["error"]["code"], "muted");
    let wait_ms = refused["error"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(socket.refused(json!({"type": "typing", "room": room})).await, "muted");
    let body = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let path = format!("/api/v1/rooms/{room}/messages");
    let rest = node.ask(Some(&guest), Method::POST, &path, Some(body)).await;
    assert_eq!((rest.status, rest.json()["code"].as_str()), (StatusCode::FORBIDDEN, Some("muted")));
    for node in [&node, &other] {
        let receipt = submit(&node.app, &who, id, text_post(earlier, "x")).await.unwrap();
        let retry = committed(receipt).await.unwrap();
        assert_eq!((retry.seq, retry.repeated), (first.seq, true));
    }
    post_text(&node, &node.visitor_of(&owner).await, id, "read this").await.unwrap();
    while socket.event("message").await["payload"]["text"] != "read this" {}
    moderation::lift(&node.app, sanction, None).await.unwrap();
    socket.text(&room, "again").await;
}

async fn replay_from(node: &Node, membership: &Membership, after: Seq) -> Replay {
    match subscribe(&node.app, membership, Some(after)).await.unwrap() {
        Subscribed::Replay { replay, .. } => replay,
        Subscribed::Resync => panic!("more entries are missing than a replay sends"),
    }
}

#[tokio::test]
async fn a_replay_that_began_before_a_kick_sends_nothing_after_it() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let id = create_public_room(&node, &owner).await;
    let joined = join(&node.app, &who, id).await.unwrap();
    post_text(&node, &who, id, "x").await.unwrap();
    let mut replay = replay_from(&node, &joined, Seq(0)).await;
    let queue = Arc::new(Queue::new(who.id));
    kick(&node.app, id, &sanction(who.id, None)).await.unwrap();
    let step = replay.step(&node.app, &queue).await;
    assert_eq!(step.err().unwrap().code(), "not_found");
    assert!(!node.app.hub.is_subscribed(Topic::Room(joined.room.id), who.id));
    // If another member leaves, the replay checks its reader once and continues.
    let (bob, cid) = (node.visitor("en").await, node.visitor("en").await);
    let joined = join(&node.app, &bob, id).await.unwrap();
    join(&node.app, &cid, id).await.unwrap();
    let mut replay = replay_from(&node, &joined, Seq(1)).await;
    leave(&node.app, &cid, id).await.unwrap();
    let queue = Arc::new(Queue::new(bob.id));
    assert!(replay.step(&node.app, &queue).await.is_ok());
    assert!(membership(&node.app, &bob, id).await.is_ok());
}
