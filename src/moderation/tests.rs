//! Bans and mutes that hold everywhere, tested over sockets, REST and the verbs, on one node and on
//! two.
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::limits::MAX_REASON_CHARS;
use super::{NewSanction, ban, lift, mute};
use crate::ids::VisitorId;
use crate::testing::{Guest, Node, Redis, Socket, eventually, node};

/// How soon every socket is closed after a ban, with a relay or without.
const MAX_CLOSE_DELAY: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3_600);

async fn sanction(node: &Node, guest: &Guest, lasts: Option<Duration>) -> NewSanction<'static> {
    NewSanction { visitor: node.visitor_of(guest).await.id, reason: "threats", author: None, lasts }
}

fn seek() -> Value {
    json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": false})
}

async fn receives_the_ban_and_is_closed(socket: &mut Socket) {
    let notice = socket.event("notice").await;
    assert_eq!((&notice["kind"], &notice["reason"]), (&json!("banned"), &json!("threats")));
    assert_eq!(socket.next().await, Err(4403), "the notice is the last frame");
}

/// Starts two nodes: in one process, over Redis, or over a Redis that is gone.
async fn two_nodes(way: &str) -> (Option<Redis>, Node, Node) {
    if way == "in process" {
        let first = node().await;
        let second = Node::beside(&first).await;
        return (None, first, second);
    }
    let mut redis = Redis::start().await;
    let first = Node::over_redis(&redis.url, None).await;
    let second = Node::over_redis(&redis.url, Some(&first)).await;
    if way == "redis is gone" {
        redis.kill();
    }
    (Some(redis), first, second)
}

#[tokio::test]
async fn a_ban_closes_every_socket_and_ends_the_talk_on_every_node() {
    for way in ["in process", "redis", "redis is gone"] {
        let (_redis, first, second) = two_nodes(way).await;
        let (one, two) = (first.guest("ko").await, second.guest("en").await);
        let mut talk = second.talk(&one, &two).await;
        let (mut near, mut far) = (first.socket(&one).await, second.socket(&one).await);
        let new = sanction(&first, &one, Some(HOUR)).await;
        let began = Instant::now();
        ban(&first.app, &new).await.unwrap();
        for socket in [&mut near, &mut far, &mut talk.a] {
            receives_the_ban_and_is_closed(socket).await;
        }
        assert_eq!(talk.b.event("ended").await["reason"], "moderator");
        eprintln!("{way}: everything had ended after {:?}", began.elapsed());
        assert!(began.elapsed() < MAX_CLOSE_DELAY, "{way}: {:?}", began.elapsed());
        let late = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
        assert_eq!(talk.b.refused(late).await, "closed");
    }
}

#[tokio::test]
async fn a_banned_visitor_is_refused_everywhere_until_the_ban_is_lifted() {
    let node = node().await;
    let apart = Node::apart(&node).await;
    let one = node.guest("ko").await;
    let body = json!({"title": "Mine", "kind": "public", "naming": "anonymous", "history": true});
    let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body.clone())).await.json();
    let path = format!("/api/v1/rooms/{}", room["id"].as_str().unwrap());
    let mut silent = apart.connect(&one).await; // upgraded, without a hello yet
    let id = ban(&node.app, &sanction(&node, &one, Some(HOUR)).await).await.unwrap();
    let hello = silent.say(json!({"type": "hello"})).await;
    let refused = silent.answer(hello).await;
    assert_eq!(refused["error"]["code"], "banned");
    assert!((1..=3_600_000).contains(&refused["error"]["retry_after_ms"].as_u64().unwrap()));
    receives_the_ban_and_is_closed(&mut silent).await;
    let message = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let name = json!({"name": "Somebody"});
    for node in [&node, &apart] {
        receives_the_ban_and_is_closed(&mut node.connect(&one).await).await;
        for (method, path, body) in [
            (Method::PATCH, "/api/v1/me".to_owned(), Some(name.clone())),
            (Method::POST, "/api/v1/rooms".to_owned(), Some(body.clone())),
            (Method::POST, format!("{path}/messages"), Some(message.clone())),
            (Method::GET, format!("{path}/messages"), None),
            (Method::GET, format!("{path}/log"), None),
            (Method::GET, path.clone(), None),
            (Method::GET, "/api/v1/rooms".to_owned(), None),
        ] {
            let answer = node.ask(Some(&one), method, &path, body).await;
            assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::FORBIDDEN, &json!("banned")), "{path}");
        }
        // The page still opens and knows its visitor. It shows the reason from the socket's close.
        assert_eq!(node.ask(Some(&one), Method::GET, "/", None).await.status, StatusCode::OK);
        let me = node.ask(Some(&one), Method::GET, "/api/v1/me", None).await.json();
        assert_eq!(me["visitor"]["id"], json!(one.id));
    }
    lift(&apart.app, id, None).await.unwrap();
    for node in [&node, &apart] {
        let mut socket = node.socket(&one).await;
        socket.text(room["id"].as_str().unwrap(), "back").await;
        assert_eq!(node.ask(Some(&one), Method::PATCH, "/api/v1/me", Some(name.clone())).await.status, StatusCode::OK);
    }
    assert_eq!(lift(&node.app, id, None).await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn a_ban_ends_by_the_databases_clock() {
    let node = node().await;
    let one = node.guest("ko").await;
    ban(&node.app, &sanction(&node, &one, Some(Duration::from_millis(600))).await).await.unwrap();
    assert_eq!(node.connect(&one).await.closed().await, 4403);
    node.app.clock.advance(HOUR); // a node's clock does not matter
    assert_eq!(node.connect(&one).await.closed().await, 4403);
    tokio::time::sleep(Duration::from_millis(700)).await;
    node.socket(&one).await;
}

#[tokio::test]
async fn a_banned_visitor_loses_the_ticket_and_is_not_paired() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("ko").await);
    let mut waiting = other.socket(&one).await;
    waiting.ok(seek()).await;
    ban(&node.app, &sanction(&node, &one, None).await).await.unwrap();
    let mut next = node.socket(&two).await;
    next.ok(seek()).await;
    receives_the_ban_and_is_closed(&mut waiting).await;
    eventually("the ticket is dropped", || async {
        let waits: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM random_ticket t JOIN visitor v ON v.id = t.visitor_id
             WHERE v.public_id = $1::uuid AND t.cancelled_at IS NULL",
        )
        .bind(&one.id)
        .fetch_one(&node.app.db)
        .await
        .unwrap();
        waits == 0
    })
    .await;
    let talks: i64 = sqlx::query_scalar("SELECT count(*) FROM random_session").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(talks, 0);
    let three = node.guest("ko").await;
    let mut third = node.socket(&three).await;
    third.ok(seek()).await;
    next.event("found").await; // the visitor who waits can still be paired with others
}

/// Seeks and bans at the same time, many times: either the ticket is written first and cancelled,
/// or it is never written.
#[tokio::test]
async fn no_ticket_survives_a_ban_at_the_same_time() {
    let node = node().await;
    let other = Node::apart(&node).await;
    for round in 0..20_u64 {
        let guest = node.guest("ko").await;
        let who = node.visitor_of(&guest).await;
        let new = sanction(&node, &guest, None).await;
        let seeking = async {
            tokio::time::sleep(Duration::from_micros(400 * (round % 7))).await;
            let wish = crate::matching::Seek::default();
            crate::matching::seek(&other.app, &who, wish).await.map(|_| ()).map_err(|why| why.code())
        };
        let (sought, banned) = tokio::join!(seeking, ban(&node.app, &new));
        banned.unwrap();
        assert!(matches!(sought, Ok(()) | Err("banned")), "{sought:?}");
        assert_eq!(
            crate::matching::seek(&other.app, &who, crate::matching::Seek::default()).await.unwrap_err().code(),
            "banned"
        );
    }
    eventually("no ticket waits and no talk is open", || async {
        let (tickets, talks): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM random_ticket WHERE cancelled_at IS NULL),
                    (SELECT count(*) FROM random_session WHERE ended_at IS NULL)",
        )
        .fetch_one(&node.app.db)
        .await
        .unwrap();
        (tickets, talks) == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn a_talk_is_ended_by_the_next_start_if_its_node_crashed_after_the_ban() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let _talk = node.talk(&one, &two).await;
    let visitor = node.visitor_of(&one).await.id;
    // The state after a node crashed right after its commit and no other node saw the ban: the next
    // start finds no newer revocation.
    sqlx::query(
        "INSERT INTO sanction (public_id, visitor_id, kind, reason) VALUES (gen_random_uuid(), $1, 'ban', 'x')",
    )
    .bind(visitor)
    .execute(&node.app.db)
    .await
    .unwrap();
    let next = Node::apart(&node).await;
    eventually("the talk is ended", || async {
        let reason: Option<String> =
            sqlx::query_scalar("SELECT reason FROM random_session").fetch_one(&next.app.db).await.unwrap();
        reason.as_deref() == Some("moderator")
    })
    .await;
}

#[tokio::test]
async fn a_visitor_who_is_muted_everywhere_can_read_but_not_write() {
    let node = node().await;
    let apart = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = apart.talk(&one, &two).await;
    talk.a.text(&talk.room, "before").await;
    let id = mute(&node.app, &sanction(&node, &one, Some(HOUR)).await).await.unwrap();
    let send = || json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let id_of_send = talk.a.say(send()).await;
    let refused = talk.a.answer(id_of_send).await;
    assert_eq!(refused["error"]["code"], "muted");
    assert!((1..=3_600_000).contains(&refused["error"]["retry_after_ms"].as_u64().unwrap()));
    assert_eq!(talk.a.refused(json!({"type": "typing", "room": talk.room})).await, "muted");
    talk.b.text(&talk.room, "still here?").await;
    while talk.a.event("message").await["payload"]["text"] != "still here?" {}
    talk.a.ok(json!({"type": "read", "room": talk.room, "seq": 2})).await;
    talk.a.ok(json!({"type": "leave", "room": talk.room})).await;
    assert_eq!(talk.a.refused(seek()).await, "muted");
    lift(&node.app, id, None).await.unwrap();
    talk.a.ok(seek()).await;
}

#[tokio::test]
async fn a_mute_without_an_end_has_no_retry_time() {
    let node = node().await;
    let one = node.guest("ko").await;
    let body = json!({"title": "Mine", "kind": "public", "naming": "anonymous", "history": true});
    let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    mute(&node.app, &sanction(&node, &one, None).await).await.unwrap();
    let message = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let path = format!("/api/v1/rooms/{}/messages", room["id"].as_str().unwrap());
    let answer = node.ask(Some(&one), Method::POST, &path, Some(message)).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::FORBIDDEN, &json!("muted")));
    assert!(answer.json().get("retry_after_ms").is_none());
}

#[tokio::test]
async fn the_visitor_and_the_reason_of_a_sanction_are_checked() {
    let node = node().await;
    let nobody = NewSanction { visitor: VisitorId(i64::MAX), reason: "x", author: None, lasts: None };
    assert_eq!(ban(&node.app, &nobody).await.unwrap_err().code(), "not_found");
    for reason in [String::new(), "x".repeat(MAX_REASON_CHARS + 1)] {
        let bad = NewSanction { reason: &reason, ..nobody };
        assert_eq!(ban(&node.app, &bad).await.unwrap_err().code(), "bad_frame");
    }
}
