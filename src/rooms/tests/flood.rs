//! Floods: how much a room accepts from one address prefix, how often ephemeral frames are
//! published, and the rate limit of every verb.
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{committed, create_public_room, submit, text_post};
use crate::error::Error;
use crate::ids::{RoomId, VisitorId};
use crate::realtime::{Queue, Topic};
use crate::rooms::{Post, join};
use crate::testing::limited_node;

#[tokio::test]
async fn many_visitors_of_one_prefix_cannot_flood_a_room_and_others_can_still_write() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let post_from = |text: String, prefix: u8| Post { prefix: vec![prefix; 16], ..text_post(Uuid::new_v4(), &text) };
    let mut visitors = Vec::new();
    for _ in 0..30 {
        let who = node.visitor("en").await;
        join(&node.app, &who, room).await.unwrap();
        visitors.push(who);
    }
    for (is_same_text, burst, rate) in [(true, 20, 1), (false, 120, 20)] {
        let began = Instant::now();
        let (mut accepted, mut refused) = (Vec::new(), 0);
        for n in 0..10 {
            for (index, who) in visitors.iter().enumerate() {
                let text = if is_same_text { " Buy  this".to_owned() } else { format!("{index} {n}") };
                match submit(&node.app, who, room, post_from(text, 1)).await {
                    Ok(receipt) => accepted.push(receipt),
                    Err(Error::RateLimited { after }) => {
                        assert!(!after.is_zero());
                        refused += 1;
                    }
                    Err(why) => panic!("{why}"),
                }
            }
        }
        let most = burst + rate * (began.elapsed().as_secs() + 1);
        assert!(accepted.len() as u64 <= most && refused > 0, "{} of {most}", accepted.len());
        for receipt in accepted {
            committed(receipt).await.unwrap();
        }
        // The same text from another address prefix is accepted.
        let elsewhere = submit(&node.app, &visitors[0], room, post_from("buy this".to_owned(), 2)).await.unwrap();
        committed(elsewhere).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_over_rest_has_the_same_limits() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
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
async fn typing_in_a_large_room_stays_within_its_delivery_budget() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let queue = Arc::new(Queue::new(VisitorId(0)));
    let mut visitors = Vec::new();
    let mut inner = RoomId(0);
    for _ in 0..30 {
        let who = node.visitor("en").await;
        inner = join(&node.app, &who, room).await.unwrap().room.id;
        visitors.push(who);
    }
    // With 300 subscribers, one typing frame costs 300 deliveries.
    let subscribers: Vec<_> = (0..300).map(|n| Arc::new(Queue::new(VisitorId(-n)))).collect();
    for subscriber in subscribers.iter().chain([&queue]) {
        node.app.hub.subscribe(Topic::Room(inner), subscriber);
    }
    let own = Arc::new(Queue::new(VisitorId(0)));
    let began = Instant::now();
    for _ in 0..3 {
        for who in &visitors {
            crate::rooms::typing(&node.app, who, room, &own).await.unwrap();
        }
    }
    let mut frames = std::collections::VecDeque::new();
    queue.drain_into(&mut frames);
    let most = 10 + 4 * (began.elapsed().as_secs() + 1);
    assert!((1..=most).contains(&(frames.len() as u64)), "{} of {most}", frames.len());
}

#[tokio::test]
async fn typing_and_read_markers_are_throttled_and_the_last_marker_is_published() {
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
    let mut published = Vec::new();
    while published.last() != Some(&20) {
        published.push(talk.a.event("read").await["seq"].as_i64().unwrap());
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(published.is_sorted() && published.len() <= 2 + seconds, "{published:?} in {seconds} s");
    let typing = talk.a.events.iter().filter(|event| event["type"] == "typing").count();
    assert!((1..=6 + seconds.div_ceil(2)).contains(&typing), "{typing} in {seconds} s");
}

#[tokio::test]
async fn every_verb_has_a_limit_below_that_of_all_frames() {
    let node = limited_node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
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
        // Two frames less than the burst that a visitor has for all frames.
        let mut requests = Vec::new();
        for _ in 0..78 {
            requests.push(socket.say(verb.clone()).await);
        }
        let mut refused = 0;
        for id in requests {
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
