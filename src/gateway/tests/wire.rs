//! docs/WIRE.md is checked: every example of a client is parsed, and every example of a server has
//! the shape of a real frame.
use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::{self, Visitor};
use crate::gateway::frames;
use crate::ids::Seq;
use crate::moderation::{self, NewSanction};
use crate::rooms;
use crate::testing::{Socket, node};

/// Fields that are optional.
const OPTIONAL: [&str; 10] = [
    "reply_to",
    "until",
    "seeking",
    "median_wait_ms",
    "ticket",
    "field",
    "retry_after_ms",
    "partner_until",
    "lang",
    "ended",
];

/// Returns the examples of the document: frames of clients, and frames of servers by their
/// [`name`].
pub(super) fn documented() -> (Vec<String>, BTreeMap<String, Value>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/WIRE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut sent, mut received) = (Vec::new(), BTreeMap::new());
    let mut last = (0, String::new());
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix("→ ") {
            let value: Value = serde_json::from_str(frame).unwrap_or_else(|why| panic!("{why}: {frame}"));
            last = (value["id"].as_u64().unwrap(), value["type"].as_str().unwrap().to_owned());
            sent.push(frame.to_owned());
        } else if let Some(frame) = line.strip_prefix("← ") {
            let value: Value = serde_json::from_str(frame).unwrap_or_else(|why| panic!("{why}: {frame}"));
            if value.get("re").is_some() {
                assert_eq!(value["re"], last.0, "an answer follows its request: {frame}");
            }
            received.insert(name(&value, &last.1), value);
        }
    }
    (sent, received)
}

/// Names a frame of a server by its type, or by the request that it answers.
fn name(frame: &Value, request: &str) -> String {
    match frame["type"].as_str() {
        Some("partner") => format!("partner {}", frame["state"].as_str().unwrap()),
        Some("notice") => format!("notice {}", frame["kind"].as_str().unwrap()),
        Some(kind) => kind.to_owned(),
        None if frame.get("error").is_some() => "error".to_owned(),
        None => format!("answer to {request}"),
    }
}

/// Returns the differences between two frames: their keys and the types of their values. Null
/// matches any type.
fn differences(at: &str, one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        (Value::Object(a), Value::Object(b)) => {
            let mut found = Vec::new();
            for key in a.keys().chain(b.keys()) {
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => found.extend(differences(&format!("{at}.{key}"), x, y)),
                    _ if OPTIONAL.contains(&key.as_str()) => {}
                    (here, _) => {
                        found.push(format!("{at}.{key} is only {}", if here.is_some() { "documented" } else { "real" }))
                    }
                }
            }
            found
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(x), Some(y)) => differences(&format!("{at}[]"), x, y),
            _ => Vec::new(),
        },
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => Vec::new(),
        _ => vec![format!("{at}: {one} and {other}")],
    }
}

#[test]
fn every_documented_frame_of_a_client_is_parsed() {
    let (sent, _) = documented();
    let mut kinds: Vec<String> = Vec::new();
    for text in sent {
        let parsed = frames::parse(&text).unwrap_or_else(|| panic!("no id: {text}"));
        assert!(parsed.frame.is_ok(), "{text}: {}", parsed.frame.unwrap_err());
        kinds.push(serde_json::from_str::<Value>(&text).unwrap()["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    kinds.dedup();
    let all = ["block", "cancel", "hello", "join", "leave", "next", "ping", "read", "report", "seek", "send", "typing"];
    assert_eq!(kinds, all, "each frame has an example");
}

/// Sends a frame and keeps the answer under its name.
async fn ask(socket: &mut Socket, kept: &mut BTreeMap<String, Value>, frame: Value) -> Value {
    let id = socket.say(frame.clone()).await;
    let answer = socket.answer(id).await;
    kept.insert(name(&answer, frame["type"].as_str().unwrap()), answer.clone());
    answer
}

/// Waits for an event and keeps it under its name.
async fn receive(socket: &mut Socket, kept: &mut BTreeMap<String, Value>, kind: &str) -> Value {
    let event = socket.event(kind).await;
    kept.insert(name(&event, ""), event.clone());
    event
}

/// Makes the server send every frame it has, and returns them by name.
async fn all_frames() -> BTreeMap<String, Value> {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut kept = BTreeMap::new();
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    let seek = json!({"type": "seek", "interests": ["film"], "languages": ["ko"], "translate": false});
    ask(&mut a, &mut kept, seek.clone()).await;
    ask(&mut a, &mut kept, json!({"type": "cancel"})).await;
    a.ok(seek.clone()).await;
    b.ok(seek).await;
    let found = receive(&mut a, &mut kept, "found").await;
    b.event("found").await;
    let (room, session) = (found["room"].clone(), found["session"].clone());
    ask(&mut a, &mut kept, json!({"type": "join", "room": room})).await;
    let partner = b.ok(json!({"type": "join", "room": room, "after": 0})).await["you"]["id"].clone();
    let send =
        json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    ask(&mut a, &mut kept, send).await;
    receive(&mut b, &mut kept, "message").await;
    ask(&mut a, &mut kept, json!({"type": "typing", "room": room})).await;
    receive(&mut b, &mut kept, "typing").await;
    ask(&mut a, &mut kept, json!({"type": "read", "room": room, "seq": 1})).await;
    receive(&mut b, &mut kept, "read").await;
    ask(&mut a, &mut kept, json!({"type": "ping"})).await;
    ask(&mut a, &mut kept, json!({"type": "join", "room": Uuid::new_v4()})).await;
    b.close().await;
    receive(&mut a, &mut kept, "partner").await;
    let mut b = node.connect(&two).await;
    ask(&mut b, &mut kept, json!({"type": "hello", "resume": [{"room": room, "after": 0}]})).await;
    receive(&mut a, &mut kept, "partner").await;
    ask(&mut b, &mut kept, json!({"type": "report", "room": room, "reason": "spam", "seqs": [1], "block": false}))
        .await;
    receive(&mut a, &mut kept, "ended").await;
    ask(&mut a, &mut kept, json!({"type": "block", "room": room, "sender": partner})).await;
    ask(&mut a, &mut kept, json!({"type": "next", "session": session, "seek": true})).await;
    ask(&mut a, &mut kept, json!({"type": "leave", "room": room})).await;
    let body = json!({"title": "Room", "kind": "public", "naming": "named", "history": true});
    let public = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    a.ok(json!({"type": "join", "room": public["id"]})).await;
    receive(&mut a, &mut kept, "presence").await;
    let sanction = |who: &Visitor| NewSanction {
        visitor: who.id,
        reason: "threats",
        author: None,
        lasts: Some(std::time::Duration::from_secs(3_600)),
    };
    let room = public["id"].as_str().unwrap().parse().unwrap();
    rooms::kick(&node.app, room, &sanction(&node.visitor_of(&one).await)).await.unwrap();
    receive(&mut a, &mut kept, "notice").await;
    moderation::ban(&node.app, &sanction(&node.visitor_of(&two).await)).await.unwrap();
    receive(&mut b, &mut kept, "notice").await;
    let hana = accounts::account(&node, "hana", accounts::Role::Member).await;
    let mut c = node.socket(&hana).await;
    let soon = "UPDATE session SET idle_until = now() + interval '1 minute' WHERE account_id IS NOT NULL";
    sqlx::query(soon).execute(&node.app.db).await.unwrap();
    receive(&mut c, &mut kept, "notice").await;
    accounts::sign_in(&node, "hana").await.unwrap();
    receive(&mut c, &mut kept, "notice").await;
    node.app.tasks.draining.cancel();
    receive(&mut a, &mut kept, "notice").await;
    kept
}

#[tokio::test]
async fn every_documented_frame_of_a_server_has_the_shape_of_a_real_one() {
    let (_, mut examples) = documented();
    // `resync` is sent if a replay grows above the limit while it runs. Its example is compared
    // with the type.
    let resync = crate::rooms::RoomEvent::Resync { room: Uuid::nil(), head: Seq(1) };
    let mut real = all_frames().await;
    real.insert("resync".to_owned(), serde_json::from_str(&resync.encode()).unwrap());
    let mut wrong = Vec::new();
    for (name, frame) in &real {
        match examples.remove(name) {
            Some(example) => wrong.extend(differences(name, &example, frame)),
            None => wrong.push(format!("{name} is not documented: {frame}")),
        }
    }
    wrong.extend(examples.keys().map(|name| format!("{name} was never sent")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
