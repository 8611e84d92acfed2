//! Delivery: the entries of a room reach each member once and in order, on one node and on several.
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{create_public_room, join_two_guests};
use crate::ids::{RoomId, Seq};
use crate::realtime::{Content, Entry, Publication, Topic};
use crate::rooms::{delivery, join};
use crate::testing::{Node, TEST_TIMEOUT, node};

/// Returns the inner id of the only room.
async fn only_room(node: &Node) -> RoomId {
    sqlx::query_scalar("SELECT id FROM chat_room").fetch_one(&node.app.db).await.unwrap()
}

#[tokio::test]
async fn two_nodes_deliver_one_log_in_order_with_and_without_a_relay() {
    for has_relay in [true, false] {
        let first = node().await;
        let second = if has_relay { Node::beside(&first).await } else { Node::apart(&first).await };
        let (one, two) = (first.guest("ko").await, first.guest("en").await);
        let room = create_public_room(&first, &one).await.to_string();
        let (mut a, mut b) = (first.socket(&one).await, second.socket(&two).await);
        for socket in [&mut a, &mut b] {
            socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        }
        for n in 0..30 {
            let sender = if n % 2 == 0 { &mut a } else { &mut b };
            sender.text(&room, &format!("{n}")).await;
        }
        // Without a relay, an entry that the node itself wrote is early. The node then reads the
        // missing entries before it.
        for socket in [&mut a, &mut b] {
            for seq in 1..=30 {
                let event = socket.event("message").await;
                assert_eq!(event["seq"], seq, "relay: {has_relay}");
            }
        }
    }
}

#[tokio::test]
async fn an_entry_that_comes_early_waits_for_the_one_before_it() {
    let node = node().await;
    let (room, _a, mut b) = join_two_guests(&node, &node).await;
    // Published as if by another node, the second entry first. Neither is in the log, so the socket
    // can get them only from the relay.
    let inner = only_room(&node).await;
    for seq in [2, 1] {
        let frame = json!({"type": "message", "room": room, "seq": seq}).to_string().as_str().into();
        node.app.relay.publish(vec![Publication {
            node: Uuid::new_v4(),
            topic: Topic::Room(inner),
            content: Content::Entry(Entry { seq: Seq(seq), frame }),
        }]);
    }
    for seq in [1, 2] {
        assert_eq!(b.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn entries_published_together_leave_no_gap() {
    let node = node().await;
    let (room, _a, mut b) = join_two_guests(&node, &node).await;
    let inner = only_room(&node).await;
    let other = Uuid::new_v4();
    // Two batches in one publication, with an entry of a third node missing between them. Then that
    // entry.
    for seqs in [vec![1, 2, 4, 5], vec![3]] {
        let entry = |seq| {
            let frame = json!({"type": "message", "room": room, "seq": seq}).to_string().as_str().into();
            Publication {
                node: other,
                topic: Topic::Room(inner),
                content: Content::Entry(Entry { seq: Seq(seq), frame }),
            }
        };
        node.app.relay.publish(seqs.into_iter().map(entry).collect());
    }
    for seq in 1..=5 {
        assert_eq!(b.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn the_feed_stops_waiting_for_a_gap_that_it_skips() {
    let node = node().await;
    let owner = node.guest("en").await;
    let id = create_public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    let room = join(&node.app, &who, id).await.unwrap().room;
    assert_eq!(delivery::open(&node.app, &room).await.unwrap(), Seq::ZERO);
    delivery::deliver(&node.app, room.id, &mut vec![Entry { seq: Seq(200), frame: "x".into() }]);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(delivery::overdue(&node.app), [room.id], "the entries before the early one are overdue");
    sqlx::query("UPDATE room_head SET seq = 300 WHERE room_id = $1").bind(room.id).execute(&node.app.db).await.unwrap();
    assert_eq!(
        delivery::open(&node.app, &room).await.unwrap(),
        Seq(300),
        "without subscribers the feed skips to the head"
    );
    assert!(delivery::overdue(&node.app).is_empty(), "no skipped entry is overdue");
}

#[tokio::test]
async fn the_last_entry_before_a_silence_is_found_without_a_relay() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (room, mut a, mut b) = join_two_guests(&node, &other).await;
    assert_eq!(b.text(&room, "the last one").await["seq"], 1);
    // No later entry is written, so only the comparison of the heads can find this one.
    assert_eq!(a.event("message").await["seq"], 1);
}

#[tokio::test]
async fn a_node_reads_no_entries_of_a_room_without_subscribers_until_one_returns() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (room, mut a, mut b) = join_two_guests(&node, &other).await;
    b.text(&room, "1").await;
    assert_eq!(b.event("message").await["seq"], 1);
    let inner = only_room(&node).await;
    let delivered = || other.app.rooms.delivery.delivered(inner);
    b.ok(json!({"type": "leave", "room": room})).await;
    for (head, is_read_into_memory) in [(5, true), (205, false)] {
        let before = delivered();
        for n in before.unwrap().0 + 1..=head {
            a.text(&room, &format!("{n}")).await;
        }
        delivery::reconcile(&other.app).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await; // longer than a node waits for a missing entry
        assert_eq!(delivered(), before);
        // A few missing entries are read into memory, many are skipped. The member gets all of them.
        b.ok(json!({"type": "join", "room": room, "after": 1})).await;
        for seq in 2..=head {
            assert_eq!(b.event("message").await["seq"], seq);
        }
        assert_eq!(delivered(), Some(Seq(head)));
        assert_eq!(other.app.rooms.delivery.recent_len(inner) > 1, is_read_into_memory);
        b.ok(json!({"type": "leave", "room": room})).await;
    }
}

#[tokio::test]
async fn a_client_that_is_ahead_of_a_node_gets_no_entry_twice() {
    let node = node().await;
    let behind = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = create_public_room(&node, &one).await.to_string();
    let (mut a, mut subscriber) = (node.socket(&one).await, behind.socket(&two).await);
    for socket in [&mut a, &mut subscriber] {
        socket.ok(json!({"type": "join", "room": room})).await;
    }
    for n in 1..=5 {
        a.text(&room, &format!("{n}")).await;
    }
    // The other node has not compared the heads yet: its feed is at 0, and the client has seen 5.
    let mut moved = behind.connect(&one).await;
    let answer = moved.ok(json!({"type": "hello", "resume": [{"room": room, "after": 5}]})).await;
    assert_eq!(answer["rooms"][0], json!({"room": room, "head": 5, "replayed": 0}));
    a.text(&room, "6").await;
    assert_eq!(moved.event("message").await["seq"], 6, "the entries up to 5 are not sent again");
}

#[tokio::test]
async fn a_room_without_history_shows_new_members_only_later_entries() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let body = json!({"title": "Now", "kind": "public", "naming": "anonymous", "history": false});
    let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    let room = room["id"].as_str().unwrap().to_owned();
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    a.ok(json!({"type": "join", "room": room, "after": 0})).await;
    a.text(&room, "before").await;
    b.ok(json!({"type": "join", "room": room, "after": 0})).await;
    a.text(&room, "after").await;
    assert_eq!(b.event("message").await["seq"], 2);
    for path in ["messages", "log?after=0"] {
        let page = node.ask(Some(&two), Method::GET, &format!("/api/v1/rooms/{room}/{path}"), None).await.json();
        let seqs: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_i64()).collect();
        assert_eq!(seqs, [Some(2)], "{path}");
    }
}

#[tokio::test]
async fn ephemeral_frames_reach_every_other_member_once_on_every_node() {
    let first = node().await;
    let second = Node::beside(&first).await;
    let (room, mut a, mut b) = join_two_guests(&first, &second).await;
    a.ok(json!({"type": "typing", "room": room})).await;
    let of_a = b.event("typing").await;
    b.ok(json!({"type": "typing", "room": room})).await;
    let of_b = a.event("typing").await;
    assert_ne!(of_a["sender"]["id"], of_b["sender"]["id"], "each member gets only the other's typing");
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "ping"})).await;
        assert!(socket.events.iter().all(|event| event["type"] != "typing"), "{:?}", socket.events);
    }
    // Both nodes count the people on both.
    for socket in [&mut a, &mut b] {
        let counted = async { while socket.event("presence").await["online"] != 2 {} };
        tokio::time::timeout(TEST_TIMEOUT, counted).await.expect("both members are counted");
    }
}
