//! Rooms over the verbs, the real router and Postgres, on one node and on two.
mod revocation;
mod flood;
mod stalled_writers;
mod leaving;
mod coalescing;
mod delivery;
mod sanctions;
mod sizes;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Post, Posted, join, leave, membership};
use crate::accounts::Visitor;
use crate::app::App;
use crate::error::{Error, Result};
use crate::realtime::Entry;
use crate::testing::{Guest, Node, node};

/// A public room of a guest's.
async fn public_room(node: &Node, owner: &Guest) -> Uuid {
    let body = json!({"title": "Public", "kind": "public", "naming": "anonymous", "history": true});
    let made = node.ask(Some(owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.json()["id"].as_str().unwrap().parse().unwrap()
}

fn text(client_id: Uuid, text: &str) -> Post {
    let Value::Object(payload) = json!({"kind": "text", "text": text}) else { unreachable!() };
    Post { client_id, payload, reply_to: None, prefix: vec![0; 16], requested_at: Instant::now() }
}

/// The inner id of a room that is in use.
fn place_id(node: &Node, room: &str) -> i64 {
    let known = node.app.rooms.delivery.subscribed_rooms(&node.app);
    known.iter().find(|(_, id)| id.to_string() == room).expect("somebody listens").0
}

/// The answer to a post, once its batch has committed.
type Receipt = oneshot::Receiver<Result<Posted>>;

/// Posts without waiting for the commit.
async fn post(app: &App, who: &Visitor, room: Uuid, new: Post) -> Result<Receipt> {
    let (sender, receipt) = oneshot::channel();
    super::post(app, who, room, new, Box::new(|outcome| drop(sender.send(outcome)))).await?;
    Ok(receipt)
}

async fn receive(receipt: Receipt) -> Result<Posted> {
    receipt.await.map_err(|_| Error::Unavailable)?
}

/// Posts and waits for the commit.
async fn say(node: &Node, who: &Visitor, room: Uuid, words: &str) -> Result<i64> {
    Ok(receive(post(&node.app, who, room, text(Uuid::new_v4(), words)).await?).await?.seq)
}

#[tokio::test]
async fn rooms_are_made_listed_and_found() {
    let node = node().await;
    let (owner, other) = (node.guest("en").await, node.guest("en").await);
    let make = async |body: Value| node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    let base = json!({"title": "Film night", "topic": "산책", "kind": "public", "naming": "anonymous", "history": true, "language": "ko"});
    let made = make(base.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let mut hidden = base.clone();
    hidden["kind"] = json!("private");
    hidden["title"] = json!("Hidden");
    let hidden = make(hidden).await.json();
    for (field, value, status) in [
        ("title", json!(""), 400),
        ("title", json!("x".repeat(81)), 422),
        ("title", json!("a\u{0}"), 400),
        ("topic", json!("x".repeat(201)), 422),
        ("kind", json!("talk"), 400),
        ("kind", json!("party"), 400),
        ("language", json!("no tag"), 400),
        ("extra", json!(1), 400),
    ] {
        let mut body = base.clone();
        body[field] = value.clone();
        assert_eq!(make(body).await.status.as_u16(), status, "{field} {value}");
    }
    let list = async |who: &Guest, query: &str| {
        node.ask(Some(who), Method::GET, &format!("/api/v1/rooms?{query}"), None).await.json()
    };
    let titles = |list: &Value| {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|room| room["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(titles(&list(&owner, "").await), ["Hidden", "Film night"], "mine too");
    assert_eq!(titles(&list(&other, "").await), ["Film night"]);
    assert_eq!(titles(&list(&other, "q=FILM").await), ["Film night"]);
    assert!(titles(&list(&other, "q=%25").await).is_empty(), "a sign is a sign, not a pattern");
    let slug = made.json()["slug"].as_str().unwrap().to_owned();
    let by_slug = node.ask(Some(&other), Method::GET, &format!("/api/v1/rooms/{slug}"), None).await;
    assert_eq!(by_slug.json()["id"], made.json()["id"]);
    let id = hidden["id"].as_str().unwrap();
    assert_eq!(
        node.ask(Some(&other), Method::GET, &format!("/api/v1/rooms/{id}"), None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn lists_go_on_from_their_cursor() {
    let node = node().await;
    let owner = node.guest("en").await;
    for n in 0..7 {
        let body = json!({"title": format!("Room {n}"), "kind": "public", "naming": "named", "history": true});
        node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    }
    for sort in ["", "&sort=name"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/rooms?limit=3{sort}{cursor}");
            let page = node.ask(Some(&owner), Method::GET, &path, None).await.json();
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|room| room["title"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!((seen.len(), once.len()), (7, 7), "{sort} {seen:?}");
    }
}

#[tokio::test]
async fn a_repeat_that_no_memory_holds_is_answered_by_the_database() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let (ann, bob) = (node.visitor("en").await, node.visitor("ko").await);
    for who in [&ann, &bob] {
        join(&node.app, who, room).await.unwrap();
    }
    let id = Uuid::new_v4();
    let first = receive(post(&node.app, &ann, room, text(id, "x")).await.unwrap()).await.unwrap();
    // In one batch on a node that has never seen it: the repeat, somebody else's claim, and a fresh
    // entry.
    let repeat = post(&other.app, &ann, room, text(id, "x")).await.unwrap();
    let theft = post(&other.app, &bob, room, text(id, "y")).await.unwrap();
    let fresh = post(&other.app, &bob, room, text(Uuid::new_v4(), "z")).await.unwrap();
    let repeat = receive(repeat).await.unwrap();
    assert_eq!((repeat.seq, repeat.at, repeat.repeated), (first.seq, first.at, true));
    assert_eq!(receive(theft).await.unwrap_err().code(), "conflict");
    assert_eq!(receive(fresh).await.unwrap().seq, 2);
}

#[tokio::test]
async fn a_repeat_after_the_end_gets_the_first_answer_on_any_node() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let send = |id: Uuid| json!({"type": "send", "room": talk.room, "client_id": id, "payload": {"kind": "text", "text": "x"}});
    let (written, late) = (send(Uuid::new_v4()), send(Uuid::new_v4()));
    let first = talk.a.ok(written.clone()).await;
    talk.b.ok(json!({"type": "leave", "room": talk.room})).await;
    assert_eq!(talk.a.ok(written.clone()).await, first);
    let mut elsewhere = other.socket(&one).await;
    assert_eq!(elsewhere.ok(written.clone()).await, first, "from the log, not from memory");
    assert_eq!(elsewhere.refused(late).await, "closed");
    let mut partner = other.socket(&two).await;
    assert_eq!(partner.refused(written.clone()).await, "conflict", "somebody else's id, from memory");
    let third = Node::apart(&node).await;
    let mut partner = third.socket(&two).await;
    assert_eq!(partner.refused(written).await, "conflict", "and from the log");
}

#[tokio::test]
async fn a_client_that_is_ahead_of_a_node_is_not_sent_back() {
    let node = node().await;
    let behind = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = public_room(&node, &one).await.to_string();
    let (mut a, mut listener) = (node.socket(&one).await, behind.socket(&two).await);
    for socket in [&mut a, &mut listener] {
        socket.ok(json!({"type": "join", "room": room})).await;
    }
    for n in 1..=5 {
        a.text(&room, &format!("{n}")).await;
    }
    // The other node has not looked yet: its feed stands at 0, and the client has seen 5.
    let mut moved = behind.connect(&one).await;
    let answer = moved.ok(json!({"type": "hello", "resume": [{"room": room, "after": 5}]})).await;
    assert_eq!(answer["rooms"][0], json!({"room": room, "head": 5, "replayed": 0}));
    a.text(&room, "6").await;
    assert_eq!(moved.event("message").await["seq"], 6, "and nothing again");
}

#[tokio::test]
async fn nothing_is_written_after_the_commit_that_took_the_right() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    for round in 0..10 {
        let who = Arc::new(node.visitor("en").await);
        let standing = join(&node.app, &who, room).await.unwrap();
        // The other node believes its memory; the first one takes the place away meanwhile.
        say(&other, &who, room, "warm").await.unwrap();
        let (app, writer) = (other.app.clone(), who.clone());
        let flood = async {
            let mut receipts = Vec::new();
            for n in 0..200 {
                if let Ok(receipt) = post(&app, &writer, room, text(Uuid::new_v4(), &format!("{round} {n}"))).await {
                    receipts.push(receipt);
                }
                if n % 20 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            let mut last = 0;
            for receipt in receipts {
                match receive(receipt).await {
                    Ok(posted) => last = last.max(posted.seq),
                    Err(why) => assert_eq!(why.code(), "not_found"),
                }
            }
            last
        };
        let leaving = async {
            tokio::time::sleep(std::time::Duration::from_millis(2 * round)).await;
            leave(&node.app, &who, standing.room.public_id).await.unwrap();
            // What stands in the log when the leave has been committed is all there will ever be of
            // this visitor.
            written(&node, who.id).await
        };
        let (_, at_commit) = tokio::join!(flood, leaving);
        assert_eq!(written(&node, who.id).await, at_commit, "round {round}");
        assert_eq!(membership(&other.app, &who, room).await.err().unwrap().code(), "not_found");
    }
}

async fn written(node: &Node, visitor: i64) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM message WHERE sender_id = $1")
        .bind(visitor)
        .fetch_one(&node.app.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn two_nodes_deliver_one_log_in_order_with_and_without_a_relay() {
    for joined in [true, false] {
        let first = node().await;
        let second = if joined { Node::beside(&first).await } else { Node::apart(&first).await };
        let (one, two) = (first.guest("ko").await, first.guest("en").await);
        let room = public_room(&first, &one).await.to_string();
        let (mut a, mut b) = (first.socket(&one).await, second.socket(&two).await);
        for socket in [&mut a, &mut b] {
            socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        }
        for n in 0..30 {
            let from = if n % 2 == 0 { &mut a } else { &mut b };
            from.text(&room, &format!("{n}")).await;
        }
        // Without a relay an entry of one's own comes early and makes the node read what is missing
        // before it.
        for socket in [&mut a, &mut b] {
            for seq in 1..=30 {
                let event = socket.event("message").await;
                assert_eq!(event["seq"], seq, "relay: {joined}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_stored_fails_alone() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    let Value::Object(bad) = json!({"kind": "text", "text": "x"}) else { unreachable!() };
    let bad = Post {
        client_id: Uuid::new_v4(),
        payload: bad,
        reply_to: Some(99),
        prefix: Vec::new(),
        requested_at: Instant::now(),
    };
    let before = post(&node.app, &who, room, text(Uuid::new_v4(), "a")).await.unwrap();
    let wrong = post(&node.app, &who, room, bad).await.unwrap();
    let after = post(&node.app, &who, room, text(Uuid::new_v4(), "b")).await.unwrap();
    assert_eq!(receive(before).await.unwrap().seq, 1);
    assert_eq!(receive(wrong).await.unwrap_err().code(), "bad_frame");
    assert_eq!(receive(after).await.unwrap().seq, 2, "no hole where the refused one stood");
}

#[tokio::test]
async fn rooms_out_of_use_are_forgotten_by_the_feed() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await.to_string();
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    assert_eq!(node.app.rooms.in_use(), 1);
    socket.ok(json!({"type": "leave", "room": room})).await;
    assert_eq!(node.app.hub.listeners(crate::realtime::Topic::Room(1)), 0);
}

#[tokio::test]
async fn a_send_that_queues_behind_a_hanging_batch_is_answered_as_soon() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let who = crate::accounts::by_id(&node.app, 1).await.unwrap();
    let before = Uuid::new_v4();
    receive(post(&node.app, &who, room, text(before, "before")).await.unwrap()).await.unwrap();
    let lock = node.lock("room_head").await;
    let mut waiting = Vec::new();
    for n in 0..3 {
        let began = Instant::now();
        let receipt = post(&node.app, &who, room, text(Uuid::new_v4(), &format!("{n}"))).await.unwrap();
        waiting.push(async move { (receive(receipt).await, began.elapsed()) });
        // The first is in hand, the others wait for its lane.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    for (outcome, took) in futures_util::future::join_all(waiting).await {
        assert_eq!(outcome.unwrap_err().code(), "unavailable");
        assert!(took < std::time::Duration::from_secs(3), "two seconds are promised, {took:?} were taken");
    }
    drop(lock);
    let (again, later) = (text(before, "before"), text(Uuid::new_v4(), "later"));
    assert_eq!(receive(post(&node.app, &who, room, again).await.unwrap()).await.unwrap().seq, 1);
    assert_eq!(receive(post(&node.app, &who, room, later).await.unwrap()).await.unwrap().seq, 2);
}

#[tokio::test]
async fn what_came_early_and_is_passed_over_is_not_waited_for() {
    let node = node().await;
    let owner = node.guest("en").await;
    let id = public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    let room = join(&node.app, &who, id).await.unwrap().room;
    assert_eq!(super::delivery::open(&node.app, &room).await.unwrap(), 0);
    super::delivery::deliver(&node.app, room.id, &mut vec![Entry { seq: 200, frame: "x".into() }]);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(super::delivery::overdue(&node.app), [room.id], "what was lost before it has been waited for");
    sqlx::query("UPDATE room_head SET seq = 300 WHERE room_id = $1").bind(room.id).execute(&node.app.db).await.unwrap();
    assert_eq!(super::delivery::open(&node.app, &room).await.unwrap(), 300, "nobody listens: the feed goes on at the head");
    assert!(super::delivery::overdue(&node.app).is_empty(), "and asks no more for what it has passed over");
}

#[tokio::test]
async fn sends_that_queue_behind_a_lookup_that_hangs_are_answered_as_soon() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    // Somebody leaves: the room's places are looked up again.
    let other = node.guest("en").await;
    let mut leaver = node.socket(&other).await;
    leaver.ok(json!({"type": "join", "room": room})).await;
    leaver.ok(json!({"type": "leave", "room": room})).await;
    let lock = node.lock("membership").await;
    let mut asked = Vec::new();
    for words in ["one", "two", "three"] {
        let payload = json!({"kind": "text", "text": words});
        let frame = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
        asked.push((socket.say(frame).await, Instant::now()));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    for (id, since) in asked {
        assert_eq!(socket.answer(id).await["error"]["code"], "unavailable");
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    }
    drop(lock);
    socket.text(&room.to_string(), "four").await;
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_lookup_of_the_next_send() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let mut socket = node.socket(&owner).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    socket.text(&room.to_string(), "known").await;
    let _locks = (node.lock("message").await, node.lock("membership").await);
    let mut asked = Vec::new();
    for words in ["one", "two"] {
        let payload = json!({"kind": "text", "text": words});
        let frame = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
        if !asked.is_empty() {
            // The second is looked up while the first waits for its commit.
            tokio::time::sleep(Duration::from_secs(1)).await;
            node.app.rooms.membership.cache.remove_room(room);
        }
        asked.push((socket.say(frame).await, Instant::now()));
    }
    for (id, since) in asked {
        assert_eq!(socket.answer(id).await["error"]["code"], "unavailable");
        assert!(since.elapsed() < Duration::from_millis(2_200), "{:?}", since.elapsed());
    }
}

/// A send, and one behind it in the same lane that was held up on its socket: the second has less
/// time left, and is answered first.
async fn is_shed_in_time(node: &Node, who: &Visitor, room: Uuid) {
    let first = post(&node.app, who, room, text(Uuid::new_v4(), "one")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let behind = Post { requested_at: Instant::now() - Duration::from_millis(1_200), ..text(Uuid::new_v4(), "two") };
    let second = post(&node.app, who, room, behind).await.unwrap();
    let mut first = Box::pin(receive(first));
    tokio::select! {
        biased;
        early = &mut first => panic!("{early:?} came first"),
        late = receive(second) => assert_eq!(late.unwrap_err().code(), "unavailable"),
    }
    assert_eq!(first.await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn a_send_behind_a_batch_that_hangs_is_answered_when_its_own_time_is_over() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let room = public_room(&node, &owner).await;
    join(&node.app, &who, room).await.unwrap();
    say(&node, &who, room, "known").await.unwrap();
    let _lock = node.lock("message").await;
    is_shed_in_time(&node, &who, room).await;
}

#[tokio::test]
async fn a_send_behind_a_batch_that_cannot_connect_is_answered_when_its_own_time_is_over() {
    let node = node().await;
    let (owner, who) = (node.guest("en").await, node.visitor("en").await);
    let room = public_room(&node, &owner).await;
    join(&node.app, &who, room).await.unwrap();
    say(&node, &who, room, "known").await.unwrap();
    let mut own = crate::db::connect(&node.app.db, &[]).await.unwrap();
    let nowhere = (*node.app.db.connect_options()).clone().host("127.0.0.1").port(1);
    node.app.db.set_connect_options(nowhere);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'maju writer'";
    sqlx::raw_sql(end).execute(&mut own).await.unwrap();
    is_shed_in_time(&node, &who, room).await;
}
