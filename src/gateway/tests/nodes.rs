//! Two nodes of one service over a real Redis: any node serves any visitor, and no message depends
//! on Redis.
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::realtime::{Content, Publication, RelayEvent, Topic, TopicKind};
use crate::testing::{Guest, Node, Redis, Socket, TEST_TIMEOUT};

/// Two nodes, and two visitors in one public room, each on a different node.
struct World {
    redis: Redis,
    first: Node,
    second: Node,
    a: Socket,
    b: Socket,
    room: String,
    guests: [Guest; 2],
}

async fn world() -> World {
    world_over(Redis::start().await).await
}

async fn world_over(redis: Redis) -> World {
    let first = Node::over_redis(&redis.url, None).await;
    let second = Node::over_redis(&redis.url, Some(&first)).await;
    let guests = [first.guest("ko").await, second.guest("en").await];
    let body = json!({"title": "Across", "kind": "public", "naming": "anonymous", "history": true});
    let room = first.ask(Some(&guests[0]), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    let room = room["id"].as_str().unwrap().to_owned();
    let (mut a, mut b) = (first.socket(&guests[0]).await, second.socket(&guests[1]).await);
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
    }
    World { redis, first, second, a, b, room, guests }
}

impl World {
    /// Waits until an ephemeral frame reaches the other node. It is in no log, so the relay carried
    /// it.
    async fn wait_until_connected(&mut self) {
        let until = Instant::now() + crate::testing::TEST_TIMEOUT;
        loop {
            self.a.ok(json!({"type": "typing", "room": self.room})).await;
            self.b.ok(json!({"type": "ping"})).await;
            if let Some(at) = self.b.events.iter().position(|event| event["type"] == "typing") {
                self.b.events.remove(at);
                return;
            }
            assert!(Instant::now() < until, "the nodes never reached each other");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends `count` messages in turn and checks that both sides get all of them, from the number
    /// `next` on. Returns the number after the last.
    async fn talk(&mut self, next: i64, count: i64) -> i64 {
        for n in 0..count {
            let from = if n % 2 == 0 { &mut self.a } else { &mut self.b };
            let sent = from.text(&self.room, &format!("{}", next + n)).await;
            assert_eq!(sent["seq"], next + n);
        }
        for socket in [&mut self.a, &mut self.b] {
            for seq in next..next + count {
                assert_eq!(socket.event("message").await["seq"], seq);
            }
        }
        next + count
    }
}

#[tokio::test]
async fn any_node_serves_any_visitor() {
    let mut world = world().await;
    world.wait_until_connected().await;
    world.talk(1, 40).await;
    // Both are counted, and each side is told of the other.
    for socket in [&mut world.a, &mut world.b] {
        while socket.event("presence").await["online"] != 2 {}
    }
    let joined = world.b.ok(json!({"type": "join", "room": world.room})).await;
    assert_eq!(joined["members_online"], 2);
    // Two visitors on different nodes are matched, talk and end the talk.
    let (mut c, mut d) = (world.second.socket(&world.guests[0]).await, world.first.socket(&world.guests[1]).await);
    let seek = json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": false});
    c.ok(seek.clone()).await;
    d.ok(seek).await;
    let (mine, theirs) = (c.event("found").await, d.event("found").await);
    assert_eq!(mine["session"], theirs["session"]);
    let room = mine["room"].as_str().unwrap().to_owned();
    for socket in [&mut c, &mut d] {
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
    }
    c.text(&room, "across").await;
    assert_eq!(d.event("message").await["payload"]["text"], "across");
    c.ok(json!({"type": "next", "session": mine["session"], "seek": false})).await;
    assert_eq!(d.event("ended").await["reason"], "next");
}

#[tokio::test]
async fn two_services_on_one_redis_get_nothing_of_each_other() {
    let redis = Redis::start().await;
    // Each has its own database: the rooms and visitors of both have the same inner ids.
    let services = [Node::over_redis(&redis.url, None).await, Node::over_redis(&redis.url, None).await];
    let mut rooms = Vec::new();
    for node in &services {
        // A second node of each service proves that the relay works.
        let beside = Node::over_redis(&redis.url, Some(node)).await;
        let guests = [node.guest("ko").await, beside.guest("en").await];
        let body = json!({"title": "One", "kind": "public", "naming": "anonymous", "history": true});
        let room = node.ask(Some(&guests[0]), Method::POST, "/api/v1/rooms", Some(body)).await.json();
        let room = room["id"].as_str().unwrap().to_owned();
        let (mut a, mut b) = (node.socket(&guests[0]).await, beside.socket(&guests[1]).await);
        for socket in [&mut a, &mut b] {
            socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        }
        rooms.push((room, a, b, beside));
    }
    for round in 1..=10 {
        for (room, a, b, _) in &mut rooms {
            let text = format!("of {room}");
            assert_eq!(a.text(room, &text).await["seq"], round);
            for socket in [a, b] {
                let received = socket.event("message").await;
                assert_eq!((&received["payload"]["text"], &received["seq"]), (&json!(text), &json!(round)));
            }
        }
    }
    for (room, a, b, _) in &mut rooms {
        for socket in [a, b] {
            socket.ok(json!({"type": "ping"})).await;
            let foreign: Vec<_> = socket.events.iter().filter(|event| event["room"] != **room).collect();
            assert!(foreign.is_empty(), "{foreign:?}");
            assert!(!socket.events.iter().any(|event| event["type"] == "message"), "each entry is delivered once");
        }
    }
}

#[tokio::test]
async fn redis_can_be_killed_and_come_back_empty() {
    let mut world = world().await;
    world.wait_until_connected().await;
    let next = world.talk(1, 10).await;
    world.redis.kill();
    // Sends are acknowledged, and the other node reads from Postgres meanwhile.
    let next = world.talk(next, 10).await;
    world.redis.again().await;
    world.wait_until_connected().await;
    world.talk(next, 10).await;
}

#[tokio::test]
async fn redis_can_hang() {
    let mut world = world().await;
    world.wait_until_connected().await;
    world.redis.hang(true);
    let began = Instant::now();
    let next = world.talk(1, 6).await;
    assert!(began.elapsed() < Duration::from_secs(15), "sends and the other node do not wait for Redis");
    tokio::time::sleep(Duration::from_secs(4)).await; // longer than an unresponsive connection is kept
    let next = world.talk(next, 6).await;
    world.redis.hang(false);
    world.wait_until_connected().await;
    world.talk(next, 6).await;
    for node in [&world.first, &world.second] {
        assert_eq!(node.get("/readyz").await.status, 200);
    }
}

#[tokio::test]
async fn a_node_starts_without_redis_and_connects_to_it_later() {
    let mut redis = Redis::start().await;
    redis.kill();
    let first = Node::over_redis(&redis.url, None).await;
    let second = Node::over_redis(&redis.url, Some(&first)).await;
    let (one, two) = (first.guest("ko").await, first.guest("en").await);
    let seek = json!({"type": "seek", "interests": [], "languages": [], "translate": false});
    let (mut a, mut b) = (first.socket(&one).await, second.socket(&two).await);
    a.ok(seek.clone()).await;
    b.ok(seek.clone()).await;
    // Each node compares its tickets with the database every second.
    let (mine, theirs) = (a.event("found").await, b.event("found").await);
    assert_eq!(mine["session"], theirs["session"]);
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": mine["room"], "after": 0})).await;
    }
    // The end of a talk is found within seconds without the relay.
    a.ok(json!({"type": "leave", "room": mine["room"]})).await;
    assert_eq!(b.event("ended").await["reason"], "left");
    redis.again().await;
    let mut events = second.app.relay.events(TopicKind::Nodes);
    let connects = async {
        loop {
            let (node, topic) = (first.app.node, Topic::Nodes);
            let content = Content::Frame("over Redis".into());
            first.app.relay.publish(vec![Publication { node, topic, content }]);
            let event = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
            if let Ok(Some(RelayEvent::Published(published))) = event
                && published.iter().any(|one| matches!(&one.content, Content::Frame(frame) if **frame == *"over Redis"))
            {
                return;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, connects).await.expect("the nodes reach each other over Redis");
}

#[tokio::test]
async fn nodes_that_started_before_redis_reach_each_other_when_it_starts() {
    let mut redis = Redis::start().await;
    redis.kill();
    let mut world = world_over(redis).await;
    let next = world.talk(1, 4).await;
    world.redis.again().await;
    world.wait_until_connected().await;
    world.talk(next, 4).await;
}
