//! Large rooms: entries that go out together, and are committed together, without a loss and
//! without holding up others.
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{place_id, post, public_room, receive, text};
use crate::realtime::{Queue, Topic};
use crate::rooms::{delivery, join};
use crate::testing::{Node, node};

/// So many listeners more, who read nothing: enough for entries to be held.
fn crowd(node: &Node, room: i64, count: i64) {
    for owner in 0..count {
        node.app.hub.subscribe(Topic::Room(room), &Arc::new(Queue::new(-owner)));
    }
}

#[tokio::test]
async fn a_large_room_that_is_written_to_in_haste_loses_and_doubles_nothing() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = public_room(&node, &one).await;
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": room})).await;
        socket.ok(json!({"type": "ping"})).await; // by now it listens
    }
    crowd(&node, place_id(&node, &room.to_string()), 500);
    for n in 0..60 {
        let send = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": format!("{n}")}});
        a.say(send).await;
        if n % 20 == 7 {
            // Comes in the middle of it: what it reads from the memory must not come again.
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
    let large = public_room(&node, &owner).await;
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": large})).await;
    socket.ok(json!({"type": "ping"})).await; // by now it listens
    let inner = place_id(&node, &large.to_string());
    crowd(&node, inner, 1_000);
    // A room of the same lane, however many there are.
    let small = loop {
        let room = public_room(&node, &owner).await;
        if (join(&node.app, &who, room).await.unwrap().room.id - inner) % 12 == 0 {
            break room;
        }
    };
    let send = async |room: Uuid| post(&node.app, &who, room, text(Uuid::new_v4(), "x")).await.unwrap();
    let (mut commits, mut overtaken) = (HashSet::new(), 0);
    for _ in 0..ROUNDS {
        // The first is handed over, the others have time until the room may be written to again.
        receive(send(large).await).await.unwrap();
        let mut receipts = Vec::new();
        for _ in 0..4 {
            receipts.push(receive(send(large).await));
            tokio::time::sleep(Duration::from_millis(1)).await; // the lane takes it up
        }
        for posted in join_all(receipts).await {
            commits.insert(posted.unwrap().at);
        }
        receive(send(large).await).await.unwrap();
        let (waiting, window) = (send(large).await, delivery::batch_window(&node.app, inner));
        receive(send(small).await).await.unwrap();
        overtaken += usize::from(window.is_some_and(|window| Instant::now() < window.until));
        receive(waiting).await.unwrap();
    }
    // Each on its own they are four a round.
    assert!(commits.len() < 3 * ROUNDS, "{} commits", commits.len());
    assert!(overtaken > 0, "what came for another room waited for the large one's pace each time");
}
