//! Kicked and muted in one room: what is refused, what goes on, and how the sockets of both nodes
//! follow.
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::{place_id, post, public_room, receive, say, text};
use crate::moderation::{self, NewSanction};
use crate::realtime::Queue;
use crate::rooms::{Membership, Replay, Subscribed, join, kick, leave, membership, mute, subscribe};
use crate::testing::{Node, Redis, node};

fn sanction(visitor: i64, lasts: Option<Duration>) -> NewSanction<'static> {
    NewSanction { visitor, reason: "shouting", author: None, lasts }
}

#[tokio::test]
async fn a_kicked_visitor_is_out_on_every_node_and_stays_out_for_its_time() {
    let redis = Redis::start().await;
    let first = Node::over_redis(&redis.url, None).await;
    let near = Node::over_redis(&redis.url, Some(&first)).await;
    let apart = Node::apart(&first).await;
    let (owner, guest) = (first.guest("en").await, first.guest("ko").await);
    let (id, elsewhere) = (public_room(&first, &owner).await, public_room(&first, &owner).await);
    let (room, visitor) = (id.to_string(), first.visitor_of(&guest).await);
    let mut sockets = Vec::new();
    for node in [&first, &near, &apart] {
        let mut socket = node.socket(&guest).await;
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        sockets.push(socket);
    }
    let mut speaker = first.socket(&owner).await;
    speaker.ok(json!({"type": "join", "room": room})).await;
    speaker.text(&room, "before").await;
    for socket in &mut sockets {
        socket.event("message").await;
    }
    let inner = place_id(&apart, &room);
    let sanction = kick(&first.app, id, &sanction(visitor.id, Some(Duration::from_secs(3_600)))).await.unwrap();
    for socket in &mut sockets[..2] {
        let notice = socket.event("notice").await;
        assert_eq!((&notice["kind"], &notice["room"]), (&json!("revoked"), &json!(room)));
        assert_eq!(notice["reason"], "shouting");
        assert!(notice["at"].is_string());
    }
    // Without a relay the node finds it when it compares the heads.
    let topic = crate::realtime::Topic::Room(inner);
    let listens = |node: &Node| node.app.hub.is_subscribed(topic, visitor.id);
    crate::testing::eventually("the node that hears nothing sends it away", || async { !listens(&apart) }).await;
    speaker.text(&room, "after").await;
    let send =
        json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    for (node, socket) in [&first, &near, &apart].into_iter().zip(&mut sockets) {
        assert_eq!(socket.refused(send.clone()).await, "not_found");
        assert_eq!(socket.refused(json!({"type": "typing", "room": room})).await, "not_found");
        assert_eq!(socket.refused(json!({"type": "join", "room": room})).await, "forbidden");
        let log = node.ask(Some(&guest), Method::GET, &format!("/api/v1/rooms/{room}/log"), None).await;
        assert_eq!(log.status, StatusCode::NOT_FOUND);
        assert!(socket.events.iter().all(|event| event["payload"]["text"] != "after"), "{:?}", socket.events);
        // A kick is of one room.
        socket.ok(json!({"type": "join", "room": elsewhere})).await;
        socket.text(&elsewhere.to_string(), "here").await;
    }
    moderation::lift(&first.app, sanction, None).await.unwrap();
    assert_eq!(moderation::lift(&first.app, sanction, None).await.unwrap_err().code(), "not_found");
    sockets[2].ok(json!({"type": "join", "room": room})).await;
    sockets[2].text(&room, "back").await;
}

#[tokio::test]
async fn who_leaves_on_one_node_hears_no_more_on_another() {
    for joined in [true, false] {
        let first = node().await;
        let second = if joined { Node::beside(&first).await } else { Node::apart(&first).await };
        let (owner, guest) = (first.guest("en").await, first.guest("ko").await);
        let room = public_room(&first, &owner).await.to_string();
        let (mut here, mut there) = (first.socket(&guest).await, second.socket(&guest).await);
        for socket in [&mut here, &mut there] {
            socket.ok(json!({"type": "join", "room": room})).await;
            socket.ok(json!({"type": "ping"})).await; // by now it listens
        }
        let (id, visitor) = (place_id(&second, &room), second.visitor_of(&guest).await.id);
        here.ok(json!({"type": "leave", "room": room})).await;
        let topic = crate::realtime::Topic::Room(id);
        crate::testing::eventually("it listens no more", || async { !second.app.hub.is_subscribed(topic, visitor) })
            .await;
        assert_eq!(there.refused(json!({"type": "typing", "room": room})).await, "not_found");
    }
}

#[tokio::test]
async fn a_kick_ends_by_the_databases_clock_and_a_private_room_does_not_say_that_it_is_there() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let id = public_room(&node, &owner).await;
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
    say(&node, &who, id, "back").await.unwrap();
    let stranger = node.visitor("en").await;
    assert_eq!(kick(&node.app, id, &sanction(stranger.id, None)).await.unwrap_err().code(), "not_found");
    for reason in ["", "a\0b"] {
        let bad = NewSanction { reason, ..sanction(who.id, None) };
        assert_eq!(kick(&node.app, id, &bad).await.unwrap_err().code(), "bad_frame");
    }
}

#[tokio::test]
async fn who_is_muted_in_a_room_reads_on_and_a_repeat_gets_its_first_answer() {
    let node = node().await;
    let other = Node::beside(&node).await;
    let (owner, guest) = (node.guest("en").await, node.guest("en").await);
    let id = public_room(&node, &owner).await;
    let (room, who) = (id.to_string(), node.visitor_of(&guest).await);
    let mut socket = other.socket(&guest).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    let earlier = Uuid::new_v4();
    let first = receive(post(&other.app, &who, id, text(earlier, "x")).await.unwrap()).await.unwrap();
    let sanction = mute(&node.app, id, &sanction(who.id, Some(Duration::from_secs(60)))).await.unwrap();
    let id_said = socket.say(json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}})).await;
    let refused = socket.answer(id_said).await;
    assert_eq!(refused["error"]["code"], "muted");
    let wait = refused["error"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&wait), "{wait}");
    assert_eq!(socket.refused(json!({"type": "typing", "room": room})).await, "muted");
    let body = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let path = format!("/api/v1/rooms/{room}/messages");
    let rest = node.ask(Some(&guest), Method::POST, &path, Some(body)).await;
    assert_eq!((rest.status, rest.json()["code"].as_str()), (StatusCode::FORBIDDEN, Some("muted")));
    for node in [&node, &other] {
        let again = receive(post(&node.app, &who, id, text(earlier, "x")).await.unwrap()).await.unwrap();
        assert_eq!((again.seq, again.repeated), (first.seq, true));
    }
    say(&node, &node.visitor_of(&owner).await, id, "read this").await.unwrap();
    while socket.event("message").await["payload"]["text"] != "read this" {}
    moderation::lift(&node.app, sanction, None).await.unwrap();
    socket.text(&room, "again").await;
}

async fn replay_from(node: &Node, membership: &Membership, after: i64) -> Replay {
    match subscribe(&node.app, membership, Some(after)).await.unwrap() {
        Subscribed::Replay { replay, .. } => replay,
        Subscribed::Resync => panic!("more is missing than a replay sends"),
    }
}

#[tokio::test]
async fn a_replay_that_began_before_a_kick_brings_nothing_after_it() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let id = public_room(&node, &owner).await;
    let joined = join(&node.app, &who, id).await.unwrap();
    say(&node, &who, id, "x").await.unwrap();
    let mut replay = replay_from(&node, &joined, 0).await;
    let queue = std::sync::Arc::new(Queue::new(who.id));
    kick(&node.app, id, &sanction(who.id, None)).await.unwrap();
    let step = replay.step(&node.app, &queue).await;
    assert_eq!(step.err().unwrap().code(), "not_found");
    assert!(!node.app.hub.is_subscribed(crate::realtime::Topic::Room(joined.room.id), who.id));
    // Somebody else's leaving costs a replay one look, and no more.
    let (bob, cid) = (node.visitor("en").await, node.visitor("en").await);
    let bobs = join(&node.app, &bob, id).await.unwrap();
    join(&node.app, &cid, id).await.unwrap();
    let mut replay = replay_from(&node, &bobs, 1).await;
    leave(&node.app, &cid, id).await.unwrap();
    let queue = std::sync::Arc::new(Queue::new(bob.id));
    assert!(replay.step(&node.app, &queue).await.is_ok());
    assert!(membership(&node.app, &bob, id).await.is_ok());
}
