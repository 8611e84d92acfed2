//! Retries: an entry that is sent again under the same client id gets the first answer.
use serde_json::json;
use uuid::Uuid;

use super::{committed, create_public_room, submit, text_post};
use crate::ids::Seq;
use crate::rooms::{join, post_and_wait};
use crate::testing::{Node, node};

#[tokio::test]
async fn a_retry_on_a_node_that_never_saw_the_entry_is_answered_from_the_database() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let (ann, bob) = (node.visitor("en").await, node.visitor("ko").await);
    for who in [&ann, &bob] {
        join(&node.app, who, room).await.unwrap();
    }
    let id = Uuid::new_v4();
    let first = post_and_wait(&node.app, &ann, room, text_post(id, "x")).await.unwrap();
    // One batch on a node that never saw the entry: the retry, the same client id from another
    // sender, and a new entry.
    let retry = submit(&other.app, &ann, room, text_post(id, "x")).await.unwrap();
    let foreign = submit(&other.app, &bob, room, text_post(id, "y")).await.unwrap();
    let new = submit(&other.app, &bob, room, text_post(Uuid::new_v4(), "z")).await.unwrap();
    let retry = committed(retry).await.unwrap();
    assert_eq!((retry.seq, retry.at, retry.repeated), (first.seq, first.at, true));
    assert_eq!(committed(foreign).await.unwrap_err().code(), "conflict");
    assert_eq!(committed(new).await.unwrap().seq, Seq(2));
}

#[tokio::test]
async fn a_retry_after_the_end_of_a_talk_gets_the_first_answer_on_any_node() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let send = |id: Uuid| json!({"type": "send", "room": talk.room, "client_id": id, "payload": {"kind": "text", "text": "x"}});
    let (written, late) = (send(Uuid::new_v4()), send(Uuid::new_v4()));
    let first = talk.a.ok(written.clone()).await;
    talk.b.ok(json!({"type": "leave", "room": talk.room})).await;
    assert_eq!(talk.a.ok(written.clone()).await, first);
    let mut same_sender = other.socket(&one).await;
    assert_eq!(same_sender.ok(written.clone()).await, first, "answered from the log, not from memory");
    assert_eq!(same_sender.refused(late).await, "closed");
    let mut partner = other.socket(&two).await;
    assert_eq!(partner.refused(written.clone()).await, "conflict", "another sender's client id, from memory");
    let third = Node::apart(&node).await;
    let mut partner = third.socket(&two).await;
    assert_eq!(partner.refused(written).await, "conflict", "another sender's client id, from the log");
}
