//! Tests of rooms, over the verbs and the real router, on Postgres, with one node and with several.
mod batches;
mod coalescing;
mod deadlines;
mod delivery;
mod flood;
mod leaving;
mod listing;
mod retries;
mod revocation;
mod sanctions;
mod sizes;
mod stalled_writers;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Post, Posted, post_and_wait};
use crate::accounts::Visitor;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{RoomId, Seq};
use crate::testing::{Guest, Node, Socket};

/// Creates a public room that belongs to a guest. Returns its public id.
async fn create_public_room(node: &Node, owner: &Guest) -> Uuid {
    let body = json!({"title": "Public", "kind": "public", "naming": "anonymous", "history": true});
    let created = node.ask(Some(owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    created.json()["id"].as_str().unwrap().parse().unwrap()
}

/// Creates a public room on the first node, and joins it with a guest on each of the two nodes.
/// Returns the room's public id and the subscribed sockets.
async fn join_two_guests(node: &Node, other: &Node) -> (String, Socket, Socket) {
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = create_public_room(node, &one).await.to_string();
    let (mut a, mut b) = (node.socket(&one).await, other.socket(&two).await);
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        // The socket is subscribed when its answer has been written.
        socket.ok(json!({"type": "ping"})).await;
    }
    (room, a, b)
}

/// Returns a text entry to post.
fn text_post(client_id: Uuid, text: &str) -> Post {
    let Value::Object(payload) = json!({"kind": "text", "text": text}) else { unreachable!() };
    Post { client_id, payload, reply_to: None, prefix: vec![0; 16], requested_at: Instant::now() }
}

/// Returns the inner id of a room that has a subscriber on the node.
fn inner_id(node: &Node, room: &str) -> RoomId {
    let subscribed = node.app.rooms.delivery.subscribed_rooms(&node.app);
    subscribed.iter().find(|(_, id)| id.to_string() == room).expect("the room has a subscriber").0
}

/// Receives the answer to a post after its batch has committed.
type Receipt = oneshot::Receiver<Result<Posted>>;

/// Posts without waiting for the commit.
async fn submit(app: &App, who: &Visitor, room: Uuid, post: Post) -> Result<Receipt> {
    let (sender, receipt) = oneshot::channel();
    super::post(app, who, room, post, Box::new(|outcome| drop(sender.send(outcome)))).await?;
    Ok(receipt)
}

/// Waits for the commit of a post.
async fn committed(receipt: Receipt) -> Result<Posted> {
    receipt.await.map_err(|_| Error::Unavailable)?
}

/// Posts a text under a new client id and waits for its commit.
async fn post_text(node: &Node, who: &Visitor, room: Uuid, text: &str) -> Result<Seq> {
    Ok(post_and_wait(&node.app, who, room, text_post(Uuid::new_v4(), text)).await?.seq)
}
