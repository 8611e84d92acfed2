//! Coalescing in large rooms: entries are delivered together and committed together, none is lost,
//! and other rooms do not wait for them.
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{committed, create_public_room, inner_id, submit, text_post};
use crate::ids::{RoomId, VisitorId};
use crate::realtime::{Queue, Topic};
use crate::rooms::{delivery, join};
use crate::testing::{Node, node};

/// Subscribes sockets that read nothing to a room, so that the room counts as large and its entries
/// are coalesced.
fn subscribe_idle_sockets(node: &Node, room: RoomId, count: i64) {
    for owner in 0..count {
        node.app.hub.subscribe(Topic::Room(room), &Arc::new(Queue::new(VisitorId(-owner))));
    }
}

#[tokio::test]
async fn a_busy_large_room_loses_and_repeats_no_entry() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = create_public_room(&node, &one).await;
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": room})).await;
        socket.ok(json!({"type": "ping"})).await; // the socket is subscribed by now
    }
    subscribe_idle_sockets(&node, inner_id(&node, &room.to_string()), 500);
    for n in 0..60 {
        let send = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": format!("{n}")}});
        a.say(send).await;
        if n % 20 == 7 {
            // A socket that joins while entries are held must not get them twice: once from memory
            // and once with the held ones.
            let mut late = node.socket(&two).await;
            late.ok(json!({"type": "join", "room": room, "after": 0})).await;
            a.text(&room.to_string(), "next").await;
            for seq in 1.. {
                let message = late.event("message").await;
                assert_eq!(message["seq"], seq);
                if message["payload"]["text"] == "next" && seq > n {
                    break;
                }
            }
        }
    }
    for seq in 1..=63 {
        assert_eq!(b.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn entries_of_a_large_room_share_commits_and_hold_up_no_other_room() {
    const ROUNDS: usize = 20;
    let node = node().await;
    let owner = node.guest("ko").await;
    let who = node.visitor_of(&owner).await;
    let large = create_public_room(&node, &owner).await;
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": large})).await;
    socket.ok(json!({"type": "ping"})).await; // the socket is subscribed by now
    let inner = inner_id(&node, &large.to_string());
    subscribe_idle_sockets(&node, inner, 1_000);
    // A room of the same writer shard, whether the node has two, three or four shards.
    let small = loop {
        let room = create_public_room(&node, &owner).await;
        if (join(&node.app, &who, room).await.unwrap().room.id.0 - inner.0) % 12 == 0 {
            break room;
        }
    };
    let send = async |room: Uuid| submit(&node.app, &who, room, text_post(Uuid::new_v4(), "x")).await.unwrap();
    let (mut commits, mut overtaken) = (HashSet::new(), 0);
    for _ in 0..ROUNDS {
        // The first entry is delivered at once. The others can wait until the sockets may be written
        // to again.
        committed(send(large).await).await.unwrap();
        let mut receipts = Vec::new();
        for _ in 0..4 {
            receipts.push(committed(send(large).await));
            tokio::time::sleep(Duration::from_millis(1)).await; // the shard takes it from its queue
        }
        for posted in join_all(receipts).await {
            commits.insert(posted.unwrap().at);
        }
        committed(send(large).await).await.unwrap();
        let (waiting, window) = (send(large).await, delivery::batch_window(&node.app, inner));
        committed(send(small).await).await.unwrap();
        overtaken += usize::from(window.is_some_and(|window| Instant::now() < window.until));
        committed(waiting).await.unwrap();
    }
    // Without coalescing there would be four commits a round.
    assert!(commits.len() < 3 * ROUNDS, "{} commits", commits.len());
    assert!(overtaken > 0, "each entry of the other room waited for the batch window of the large room");
}
