//! Floods: what a room takes of one address prefix, and what passing frames may cost its members.
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{post, public_room, receive, text};
use crate::error::Error;
use crate::realtime::{Queue, Topic};
use crate::rooms::{Post, join};
use crate::testing::limited_node;

#[tokio::test]
async fn many_visitors_of_one_prefix_cannot_flood_a_room_and_others_go_on_writing() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let post_of = |words: String, prefix: u8| Post { prefix: vec![prefix; 16], ..text(Uuid::new_v4(), &words) };
    let mut crowd = Vec::new();
    for _ in 0..30 {
        let who = node.visitor("en").await;
        join(&node.app, &who, room).await.unwrap();
        crowd.push(who);
    }
    for (is_same, burst, rate) in [(true, 20, 1), (false, 120, 20)] {
        let began = Instant::now();
        let (mut written, mut refused) = (Vec::new(), 0);
        for n in 0..10 {
            for (at, who) in crowd.iter().enumerate() {
                let words = if is_same { " Buy  this".to_owned() } else { format!("{at} {n}") };
                match post(&node.app, who, room, post_of(words, 1)).await {
                    Ok(receipt) => written.push(receipt),
                    Err(Error::RateLimited { after }) => {
                        assert!(!after.is_zero());
                        refused += 1;
                    }
                    Err(why) => panic!("{why}"),
                }
            }
        }
        let most = burst + rate * (began.elapsed().as_secs() + 1);
        assert!(written.len() as u64 <= most && refused > 0, "{} of {most}", written.len());
        for receipt in written {
            receive(receipt).await.unwrap();
        }
        // Somebody at home, saying the same, goes on.
        receive(post(&node.app, &crowd[0], room, post_of("buy this".to_owned(), 2)).await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_over_rest_has_the_same_limits() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let mut refused = 0;
    for _ in 0..28 {
        let body = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "the same"}});
        let answer = node.ask(Some(&owner), Method::POST, &path, Some(body)).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.json()["retry_after_ms"].as_u64().unwrap() > 0);
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn typing_is_told_seldom_and_never_more_than_a_room_can_bear() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let queue = Arc::new(Queue::new(0));
    let mut crowd = Vec::new();
    let mut inner = 0;
    for _ in 0..30 {
        let who = node.visitor("en").await;
        inner = join(&node.app, &who, room).await.unwrap().room.id;
        crowd.push(who);
    }
    // 300 who listen: one typing costs as much as 300 messages to one of them.
    let listeners: Vec<_> = (0..300).map(|n| Arc::new(Queue::new(-n))).collect();
    for listener in listeners.iter().chain([&queue]) {
        node.app.hub.subscribe(Topic::Room(inner), listener);
    }
    let own = Arc::new(Queue::new(0));
    let began = Instant::now();
    for _ in 0..3 {
        for who in &crowd {
            crate::rooms::typing(&node.app, who, room, &own).await.unwrap();
        }
    }
    let mut frames = std::collections::VecDeque::new();
    queue.drain_into(&mut frames);
    let most = 10 + 4 * (began.elapsed().as_secs() + 1);
    assert!((1..=most).contains(&(frames.len() as u64)), "{} of {most}", frames.len());
}

#[tokio::test]
async fn each_member_types_now_and_then_and_the_last_read_is_told() {
    let node = limited_node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    for n in 0..20 {
        talk.a.text(&talk.room, &format!("{n}")).await;
    }
    let began = Instant::now();
    for seq in 1..=20 {
        talk.b.ok(json!({"type": "typing", "room": talk.room})).await;
        talk.b.ok(json!({"type": "read", "room": talk.room, "seq": seq})).await;
    }
    let mut told = Vec::new();
    while told.last() != Some(&20) {
        told.push(talk.a.event("read").await["seq"].as_i64().unwrap());
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(told.is_sorted() && told.len() <= 2 + seconds, "{told:?} in {seconds} s");
    let typed = talk.a.events.iter().filter(|event| event["type"] == "typing").count();
    assert!((1..=6 + seconds.div_ceil(2)).contains(&typed), "{typed} in {seconds} s");
}

#[tokio::test]
async fn every_verb_has_a_limit_below_that_of_all_frames() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let nil = Uuid::nil();
    let verbs = [
        json!({"type": "join", "room": nil}),
        json!({"type": "leave", "room": nil}),
        json!({"type": "send", "room": nil, "client_id": nil, "payload": {"kind": "text", "text": "x"}}),
        json!({"type": "typing", "room": room}),
        json!({"type": "read", "room": room, "seq": 0}),
        json!({"type": "seek", "interests": ["1", "2", "3", "4", "5", "6"], "languages": [], "translate": false}),
        json!({"type": "cancel"}),
        json!({"type": "next", "session": nil, "seek": false}),
        json!({"type": "report", "room": nil, "reason": "spam", "seqs": [], "block": false}),
        json!({"type": "block", "room": nil, "sender": nil}),
    ];
    for verb in verbs {
        let mut socket = node.socket(&node.guest("en").await).await;
        socket.ok(json!({"type": "join", "room": room})).await;
        // Two frames less than a visitor may send at once.
        let mut asked = Vec::new();
        for _ in 0..78 {
            asked.push(socket.say(verb.clone()).await);
        }
        let mut refused = 0;
        for id in asked {
            refused += usize::from(socket.answer(id).await["error"]["code"] == "rate_limited");
        }
        assert!(refused > 0, "{verb}");
    }
    let guest = node.guest("en").await;
    let mut answers = Vec::new();
    for _ in 0..60 {
        let mut socket = node.connect(&guest).await;
        let id = socket.say(json!({"type": "hello"})).await;
        answers.push(socket.answer(id).await["error"]["code"].clone());
        socket.close().await;
    }
    assert!(answers.contains(&json!("rate_limited")), "hello");
}
