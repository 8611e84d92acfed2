//! docs/WIRE.md against the real thing: every example a client sends is read, every example a server sends has the shape of a real one.
use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::Visitor;
use crate::gateway::frames;
use crate::moderation::{self, NewSanction};
use crate::rooms;
use crate::testing::{Socket, node};

/// Fields that are there only sometimes.
const SOMETIMES: [&str; 9] =
    ["reply_to", "until", "seeking", "median_wait_ms", "ticket", "field", "retry_after_ms", "partner_until", "lang"];

/// The examples of the document: frames of clients, and what servers say by what it answers or is.
pub(super) fn documented() -> (Vec<String>, BTreeMap<String, Value>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/WIRE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut asked, mut said) = (Vec::new(), BTreeMap::new());
    let mut last = (0, String::new());
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix("→ ") {
            let value: Value = serde_json::from_str(frame).unwrap_or_else(|why| panic!("{why}: {frame}"));
            last = (value["id"].as_u64().unwrap(), value["type"].as_str().unwrap().to_owned());
            asked.push(frame.to_owned());
        } else if let Some(frame) = line.strip_prefix("← ") {
            let value: Value = serde_json::from_str(frame).unwrap_or_else(|why| panic!("{why}: {frame}"));
            if value.get("re").is_some() {
                assert_eq!(value["re"], last.0, "an answer stands under its question: {frame}");
            }
            said.insert(name(&value, &last.1), value);
        }
    }
    (asked, said)
}

fn name(frame: &Value, asked: &str) -> String {
    match frame["type"].as_str() {
        Some("partner") => format!("partner {}", frame["state"].as_str().unwrap()),
        Some("notice") => format!("notice {}", frame["kind"].as_str().unwrap()),
        Some(kind) => kind.to_owned(),
        None if frame.get("error").is_some() => "error".to_owned(),
        None => format!("answer to {asked}"),
    }
}

/// What two frames differ in: keys, and kinds of values; null is any kind.
fn differ(at: &str, one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        (Value::Object(a), Value::Object(b)) => {
            let mut found = Vec::new();
            for key in a.keys().chain(b.keys()) {
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => found.extend(differ(&format!("{at}.{key}"), x, y)),
                    _ if SOMETIMES.contains(&key.as_str()) => {}
                    (here, _) => {
                        found.push(format!("{at}.{key} is only {}", if here.is_some() { "documented" } else { "real" }))
                    }
                }
            }
            found
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(x), Some(y)) => differ(&format!("{at}[]"), x, y),
            _ => Vec::new(),
        },
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => Vec::new(),
        _ => vec![format!("{at}: {one} and {other}")],
    }
}

#[test]
fn every_documented_frame_of_a_client_is_read() {
    let (asked, _) = documented();
    let mut kinds: Vec<String> = Vec::new();
    for text in asked {
        let read = frames::read(&text).unwrap_or_else(|| panic!("no id: {text}"));
        assert!(read.frame.is_ok(), "{text}: {}", read.frame.unwrap_err());
        kinds.push(serde_json::from_str::<Value>(&text).unwrap()["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    kinds.dedup();
    let all = ["block", "cancel", "hello", "join", "leave", "next", "ping", "read", "report", "seek", "send", "typing"];
    assert_eq!(kinds, all, "an example a frame");
}

/// Sends a frame and keeps its answer under its name.
async fn ask(socket: &mut Socket, kept: &mut BTreeMap<String, Value>, frame: Value) -> Value {
    let id = socket.say(frame.clone()).await;
    let answer = socket.answer(id).await;
    kept.insert(name(&answer, frame["type"].as_str().unwrap()), answer.clone());
    answer
}

async fn hear(socket: &mut Socket, kept: &mut BTreeMap<String, Value>, kind: &str) -> Value {
    let event = socket.event(kind).await;
    kept.insert(name(&event, ""), event.clone());
    event
}

/// A walk through everything a server can say, and what it said.
async fn walked() -> BTreeMap<String, Value> {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut kept = BTreeMap::new();
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    let seek = json!({"type": "seek", "interests": ["film"], "languages": ["ko"], "translate": false});
    ask(&mut a, &mut kept, seek.clone()).await;
    ask(&mut a, &mut kept, json!({"type": "cancel"})).await;
    a.ok(seek.clone()).await;
    b.ok(seek).await;
    let found = hear(&mut a, &mut kept, "found").await;
    b.event("found").await;
    let (room, session) = (found["room"].clone(), found["session"].clone());
    ask(&mut a, &mut kept, json!({"type": "join", "room": room})).await;
    let partner = b.ok(json!({"type": "join", "room": room, "after": 0})).await["you"]["id"].clone();
    let send =
        json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    ask(&mut a, &mut kept, send).await;
    hear(&mut b, &mut kept, "message").await;
    ask(&mut a, &mut kept, json!({"type": "typing", "room": room})).await;
    hear(&mut b, &mut kept, "typing").await;
    ask(&mut a, &mut kept, json!({"type": "read", "room": room, "seq": 1})).await;
    hear(&mut b, &mut kept, "read").await;
    ask(&mut a, &mut kept, json!({"type": "ping"})).await;
    ask(&mut a, &mut kept, json!({"type": "join", "room": Uuid::new_v4()})).await;
    b.close().await;
    hear(&mut a, &mut kept, "partner").await;
    let mut b = node.connect(&two).await;
    ask(&mut b, &mut kept, json!({"type": "hello", "resume": [{"room": room, "after": 0}]})).await;
    hear(&mut a, &mut kept, "partner").await;
    ask(&mut b, &mut kept, json!({"type": "report", "room": room, "reason": "spam", "seqs": [1], "block": false}))
        .await;
    hear(&mut a, &mut kept, "ended").await;
    ask(&mut a, &mut kept, json!({"type": "block", "room": room, "sender": partner})).await;
    ask(&mut a, &mut kept, json!({"type": "next", "session": session, "seek": true})).await;
    ask(&mut a, &mut kept, json!({"type": "leave", "room": room})).await;
    let body = json!({"title": "Room", "kind": "public", "naming": "named", "history": true});
    let public = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    a.ok(json!({"type": "join", "room": public["id"]})).await;
    hear(&mut a, &mut kept, "presence").await;
    let sanction = |who: &Visitor| NewSanction {
        visitor: who.id,
        reason: "threats",
        author: None,
        lasts: Some(std::time::Duration::from_secs(3_600)),
    };
    let room = public["id"].as_str().unwrap().parse().unwrap();
    rooms::kick(&node.app, room, &sanction(&node.visitor_of(&one).await)).await.unwrap();
    hear(&mut a, &mut kept, "notice").await;
    moderation::ban(&node.app, &sanction(&node.visitor_of(&two).await)).await.unwrap();
    hear(&mut b, &mut kept, "notice").await;
    node.app.tasks.draining.cancel();
    hear(&mut a, &mut kept, "notice").await;
    kept
}

#[tokio::test]
async fn every_documented_frame_of_a_server_has_the_shape_of_a_real_one() {
    let (_, mut said) = documented();
    // A replay of more than 500 that grows while it runs is told by an event of its own: its shape is the type's.
    let resync = crate::rooms::RoomEvent::Resync { room: Uuid::nil(), head: 1 };
    let mut real = walked().await;
    real.insert("resync".to_owned(), serde_json::from_str(&resync.encode()).unwrap());
    let mut wrong = Vec::new();
    for (name, frame) in &real {
        match said.remove(name) {
            Some(example) => wrong.extend(differ(name, &example, frame)),
            None => wrong.push(format!("{name} is not documented: {frame}")),
        }
    }
    wrong.extend(said.keys().map(|name| format!("{name} was never said")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
