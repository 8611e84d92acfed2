//! Deadlines: each send is answered in time while a lookup or a batch waits for Postgres.
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{committed, create_public_room, post_text, submit, text_post};
use crate::accounts::Visitor;
use crate::ids::Seq;
use crate::rooms::{Post, join, post_and_wait};
use crate::testing::{Node, node};

#[tokio::test]
async fn sends_queued_behind_a_stalled_batch_are_answered_in_time() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let who = node.visitor_of(&owner).await;
    let before = Uuid::new_v4();
    post_and_wait(&node.app, &who, room, text_post(before, "before")).await.unwrap();
    let lock = node.lock("room_head").await;
    let mut waiting = Vec::new();
    for n in 0..3 {
        let began = Instant::now();
        let receipt = submit(&node.app, &who, room, text_post(Uuid::new_v4(), &format!("{n}"))).await.unwrap();
        waiting.push(async move { (committed(receipt).await, began.elapsed()) });
        // The first entry is in a batch, the others wait in the queue of their shard.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (outcome, took) in futures_util::future::join_all(waiting).await {
        assert_eq!(outcome.unwrap_err().code(), "unavailable");
        assert!(took < Duration::from_secs(3), "the promise is two seconds, the answer took {took:?}");
    }
    drop(lock);
    let (retry, later) = (text_post(before, "before"), text_post(Uuid::new_v4(), "later"));
    assert_eq!(post_and_wait(&node.app, &who, room, retry).await.unwrap().seq, Seq(1));
    assert_eq!(post_and_wait(&node.app, &who, room, later).await.unwrap().seq, Seq(2));
}

#[tokio::test]
async fn sends_queued_behind_a_stalled_lookup_are_answered_in_time() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    // Another member leaves, so the memberships of the room must be looked up again.
    let other = node.guest("en").await;
    let mut leaver = node.socket(&other).await;
    leaver.ok(json!({"type": "join", "room": room})).await;
    leaver.ok(json!({"type": "leave", "room": room})).await;
    let lock = node.lock("membership").await;
    let mut requests = Vec::new();
    for text in ["one", "two", "three"] {
        let payload = json!({"kind": "text", "text": text});
        let frame = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
        requests.push((socket.say(frame).await, Instant::now()));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    for (id, sent_at) in requests {
        assert_eq!(socket.answer(id).await["error"]["code"], "unavailable");
        assert!(sent_at.elapsed() < Duration::from_secs(2), "{:?}", sent_at.elapsed());
    }
    drop(lock);
    socket.text(&room.to_string(), "four").await;
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_lookup_of_the_next_send() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    socket.text(&room.to_string(), "fills the cache").await;
    let _locks = (node.lock("message").await, node.lock("membership").await);
    let mut requests = Vec::new();
    for text in ["one", "two"] {
        let payload = json!({"kind": "text", "text": text});
        let frame = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
        if !requests.is_empty() {
            // The membership for the second is looked up while the first waits for its commit.
            tokio::time::sleep(Duration::from_secs(1)).await;
            node.app.rooms.membership.cache.remove_room(room);
        }
        requests.push((socket.say(frame).await, Instant::now()));
    }
    for (id, sent_at) in requests {
        assert_eq!(socket.answer(id).await["error"]["code"], "unavailable");
        assert!(sent_at.elapsed() < Duration::from_millis(2_200), "{:?}", sent_at.elapsed());
    }
}

/// Posts two entries to one shard. The second spent time on its socket, so it has less time left
/// than the first. Asserts that the second is answered first.
async fn assert_answered_at_its_own_deadline(node: &Node, who: &Visitor, room: Uuid) {
    let first = submit(&node.app, who, room, text_post(Uuid::new_v4(), "one")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let delayed =
        Post { requested_at: Instant::now() - Duration::from_millis(1_200), ..text_post(Uuid::new_v4(), "two") };
    let second = submit(&node.app, who, room, delayed).await.unwrap();
    let mut first = Box::pin(committed(first));
    tokio::select! {
        biased;
        early = &mut first => panic!("{early:?} came first"),
        late = committed(second) => assert_eq!(late.unwrap_err().code(), "unavailable"),
    }
    assert_eq!(first.await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn a_send_behind_a_stalled_batch_is_answered_at_its_own_deadline() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let room = create_public_room(&node, &owner).await;
    join(&node.app, &who, room).await.unwrap();
    post_text(&node, &who, room, "fills the cache").await.unwrap();
    let _lock = node.lock("message").await;
    assert_answered_at_its_own_deadline(&node, &who, room).await;
}

#[tokio::test]
async fn a_send_behind_a_batch_that_cannot_connect_is_answered_at_its_own_deadline() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let room = create_public_room(&node, &owner).await;
    join(&node.app, &who, room).await.unwrap();
    post_text(&node, &who, room, "fills the cache").await.unwrap();
    let mut own = crate::db::connect(&node.app.db, &[]).await.unwrap();
    let nowhere = (*node.app.db.connect_options()).clone().host("127.0.0.1").port(1);
    node.app.db.set_connect_options(nowhere);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'maju writer'";
    sqlx::raw_sql(end).execute(&mut own).await.unwrap();
    assert_answered_at_its_own_deadline(&node, &who, room).await;
}
