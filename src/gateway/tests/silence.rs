//! Clients of a talk that fall silent while their connection stays open, as behind a lost network.
//! The two sides are on two nodes.
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::gateway::limits::{TALK_HEARTBEAT_INTERVAL, TALK_SILENCE_TIMEOUT};
use crate::testing::{Guest, Node, Socket, node};

/// Two visitors in a talk, each on its own node.
struct World {
    nodes: [Node; 2],
    guests: [Guest; 2],
    a: Socket,
    b: Socket,
    room: String,
}

async fn world() -> World {
    let first = node().await;
    let second = Node::beside(&first).await;
    let guests = [first.guest("ko").await, first.guest("en").await];
    let (mut a, mut b) = (first.socket(&guests[0]).await, second.socket(&guests[1]).await);
    let seek = json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": false});
    for socket in [&mut a, &mut b] {
        socket.ok(seek.clone()).await;
    }
    let room = a.event("found").await["room"].as_str().unwrap().to_owned();
    b.event("found").await;
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
    }
    World { nodes: [first, second], guests, a, b, room }
}

impl World {
    /// Waits while nothing is read from `a`, so that its pings are not answered. Returns when `b`
    /// learns that `a` is away.
    async fn a_falls_silent(&mut self) {
        let began = Instant::now();
        let away = timeout(TALK_SILENCE_TIMEOUT * 2, self.b.event("partner")).await.expect("the silence is noticed");
        let after = began.elapsed();
        assert_eq!((&away["state"], away["until"].is_string()), (&json!("away"), true));
        let at_once = TALK_SILENCE_TIMEOUT + Duration::from_secs(3);
        assert!(TALK_SILENCE_TIMEOUT - Duration::from_secs(1) < after && after < at_once, "{after:?}");
    }
}

#[tokio::test]
async fn a_silent_side_is_away_and_comes_back_with_its_next_frame() {
    let mut world = world().await;
    world.a_falls_silent().await;
    world.b.text(&world.room, "are you there?").await;
    // The same socket: everything that was written meanwhile is in it.
    let frame = json!({"type": "typing", "room": world.room});
    world.a.ok(frame).await;
    assert_eq!(world.b.event("partner").await["state"], "back");
    assert_eq!(world.a.event("message").await["payload"]["text"], "are you there?");
    assert!(world.a.events.is_empty(), "{:?}", world.a.events);
    // A client that only answers pings is there.
    let until = Instant::now() + TALK_SILENCE_TIMEOUT + TALK_HEARTBEAT_INTERVAL;
    while Instant::now() < until {
        let _ = timeout(Duration::from_millis(500), world.a.next()).await;
    }
    world.b.ok(json!({"type": "ping"})).await;
    world.b.events.retain(|event| event["type"] == "partner");
    assert!(world.b.events.is_empty(), "{:?}", world.b.events);
}

#[tokio::test]
async fn a_talk_with_a_silent_side_ends_as_lost_for_both() {
    let mut world = world().await;
    world.a_falls_silent().await;
    world.nodes[0].app.clock.advance(Duration::from_secs(30));
    assert_eq!(world.b.event("ended").await["reason"], "lost");
    assert!(world.b.events.iter().all(|event| event["type"] != "partner"), "nobody left: {:?}", world.b.events);
    // The silent side learns it when it is there again: on its socket, or with a new one.
    assert_eq!(world.a.event("ended").await["reason"], "lost");
    world.a.ok(json!({"type": "ping"})).await;
    let hello = json!({"type": "hello", "resume": [{"room": world.room, "after": 0}]});
    for guest in &world.guests {
        let mut again = world.nodes[1].connect(guest).await;
        let answer = again.ok(hello.clone()).await;
        assert_eq!((&answer["session"], &answer["rooms"][0]["ended"]), (&json!(null), &json!("lost")), "{answer}");
    }
}

#[tokio::test]
async fn a_side_learns_with_its_hello_how_the_talk_ended_and_not_who_blocked() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let hello = |room: &str| json!({"type": "hello", "resume": [{"room": room, "after": 0}]});
    let mut talk = node.talk(&one, &two).await;
    talk.b.close().await;
    let mut open = node.connect(&two).await;
    assert_eq!(open.ok(hello(&talk.room)).await["rooms"][0].get("ended"), None);
    let me = open.ok(json!({"type": "join", "room": talk.room})).await["you"]["id"].clone();
    talk.a.ok(json!({"type": "block", "room": talk.room, "sender": me})).await;
    for (guest, expected) in [(&one, "block"), (&two, "left")] {
        let mut again = node.connect(guest).await;
        assert_eq!(again.ok(hello(&talk.room)).await["rooms"][0]["ended"], expected);
    }
    // The block can be taken back over the socket.
    let undo = json!({"type": "block", "room": talk.room, "sender": me, "on": false});
    talk.a.ok(undo.clone()).await;
    talk.a.ok(undo).await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM visitor_block").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn blocks_are_listed_to_who_made_them_and_taken_back_by_nobody_else() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let them = talk.b.ok(json!({"type": "join", "room": talk.room})).await["you"].clone();
    talk.a.ok(json!({"type": "block", "room": talk.room, "sender": them["id"]})).await;
    let blocks =
        async |guest| node.ask(Some(guest), Method::GET, "/api/v1/me/blocks", None).await.json()["items"].clone();
    let listed = blocks(&one).await;
    assert_eq!((listed.as_array().unwrap().len(), &blocks(&two).await), (1, &json!([])));
    assert!(listed[0]["name"].is_string() && listed[0]["animal"].is_string(), "{listed}");
    assert_ne!(listed[0]["id"], them["id"], "no id tells who somebody is in a room");
    let path = format!("/api/v1/me/blocks/{}", listed[0]["id"].as_str().unwrap());
    for (guest, status) in [(&two, 404), (&one, 204), (&one, 404)] {
        assert_eq!(node.ask(Some(guest), Method::DELETE, &path, None).await.status.as_u16(), status);
    }
    assert_eq!(blocks(&one).await, json!([]));
}
