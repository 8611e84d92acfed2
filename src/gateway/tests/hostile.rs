//! Hostile values in paths, queries, bodies and frames: no answer is `internal`, and none is 5xx.
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::wire::documented;
use crate::testing::{Guest, Node, node};

/// Values for paths and queries.
const IN_ADDRESSES: [&str; 24] = [
    "%00",
    "a%00b",
    "%",
    "%zz",
    "%ff%fe",
    "%E0%80%80",
    "%ED%A0%80",
    "%2e%2e%2f%2e%2e%2fetc",
    "'%22%3b--",
    "%25%5c_",
    "%F0%9F%98%80",
    "%E2%80%AE",
    "-1",
    "0",
    "1.5",
    "1e400",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "340282366920938463463374607431768211456",
    "00000000-0000-0000-0000-000000000000",
    "null",
    "%5B%5D",
    "",
];

/// Returns values for JSON fields.
fn in_json() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(""),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("\u{7f}\u{9f}\u{202e}\u{fffe}"),
        json!("x".repeat(5_000)),
        json!("00000000-0000-0000-0000-000000000000"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(-0.0),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!([]),
        json!(["\u{0}"]),
        json!([i64::MAX, i64::MIN, 0]),
        json!(vec!["\u{0}"; 60]),
        json!({}),
        json!({"\u{0}": "\u{0}"}),
        json!({"kind": "text", "text": "x", "\u{0}": 1}),
        json!({"kind": "text", "text": "x", "x": {"y": ["\u{0}"]}}),
        json!({"kind": "text", "text": "\u{0}"}),
        json!({"kind": "text", "text": "x", "x": vec![1e308; 12]}),
        deep,
    ]
}

/// Returns a value that a schema of the description allows.
fn sample(api: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return sample(api, &api.pointer(name.trim_start_matches('#')).unwrap().clone());
    }
    if let Some(first) = schema["enum"].get(0).or(schema["oneOf"].get(0)).or(schema["allOf"].get(0)) {
        return if first.is_object() { sample(api, first) } else { first.clone() };
    }
    let kind = schema["type"].as_str().or(schema["type"].get(0).and_then(Value::as_str));
    match kind {
        Some("string") if schema["format"] == "uuid" => json!(Uuid::new_v4()),
        Some("string") => json!("x"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ => match schema["properties"].as_object() {
            Some(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), sample(api, field))).collect::<Map<_, _>>().into()
            }
            None => json!({"kind": "text", "text": "x"}),
        },
    }
}

fn properties(api: &Value, schema: &Value) -> Vec<String> {
    match schema["$ref"].as_str() {
        Some(name) => properties(api, &api.pointer(name.trim_start_matches('#')).unwrap().clone()),
        None => schema["properties"].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default(),
    }
}

struct Walk<'a> {
    node: &'a Node,
    who: &'a Guest,
    asked: usize,
    wrong: Vec<String>,
}

impl Walk<'_> {
    async fn ask(&mut self, method: &Method, address: &str, body: Option<String>) {
        let request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::ORIGIN, self.node.origin())
            .header(header::COOKIE, &self.who.cookie);
        let request = match &body {
            Some(_) => request.header(header::CONTENT_TYPE, "application/json"),
            None => request,
        };
        let Ok(request) = request.body(Body::from(body.clone().unwrap_or_default())) else { return }; // no client can send it
        let answer = self.node.send(request).await;
        self.asked += 1;
        if answer.status.is_server_error() {
            let body: String = body.unwrap_or_default().chars().take(200).collect();
            self.wrong.push(format!("{method} {address} {body}: {}", answer.status));
        }
    }
}

#[tokio::test]
async fn no_request_is_answered_5xx_whatever_it_holds() {
    let node = node().await;
    let who = node.guest("en").await;
    let body = json!({"title": "Room", "kind": "public", "naming": "named", "history": true});
    let room = node.ask(Some(&who), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    let room = room["id"].as_str().unwrap();
    let api = node.get("/api/openapi.json").await.json();
    let mut walk = Walk { node: &node, who: &who, asked: 0, wrong: Vec::new() };
    for (path, operations) in api["paths"].as_object().unwrap() {
        let parts: Vec<&str> = path.split('/').collect();
        let with = |value: &str| {
            let filled = parts.iter().map(|part| if part.starts_with('{') { value } else { *part });
            filled.collect::<Vec<_>>().join("/")
        };
        for (method, operation) in operations.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let good = (!schema.is_null()).then(|| sample(&api, schema));
            let text = |body: &Option<Value>| body.as_ref().map(Value::to_string);
            for value in IN_ADDRESSES {
                walk.ask(&method, &with(value), text(&good)).await;
                walk.ask(&method, &format!("{}?{value}", with(room)), text(&good)).await;
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    if parameter["in"] == "query" {
                        let name = parameter["name"].as_str().unwrap();
                        walk.ask(&method, &format!("{}?{name}={value}", with(room)), text(&good)).await;
                    }
                }
            }
            for field in properties(&api, schema) {
                for value in in_json() {
                    let mut body = good.clone().unwrap();
                    body[field.as_str()] = value;
                    walk.ask(&method, &with(room), Some(body.to_string())).await;
                }
            }
            if good.is_some() {
                for body in ["", "\u{0}", "[", "\"\\ud800\"", "{\"a\":1e400}", "null", "{}"] {
                    walk.ask(&method, &with(room), Some(body.to_owned())).await;
                }
            }
        }
    }
    for path in ["/", "/ko", "/ws", "/livez", "/assets", "/api", "/api/v1", "/chat"] {
        if node.get(path).await.status == StatusCode::SERVICE_UNAVAILABLE {
            continue; // a build without the web client
        }
        for value in IN_ADDRESSES {
            for address in [format!("{path}/{value}"), format!("{path}?{value}"), format!("{path}?next={value}")] {
                walk.ask(&Method::GET, &address, None).await;
            }
        }
    }
    let name = who.cookie.split('=').next().unwrap();
    for value in ["%00", "", "\"", "AAAAAAAAAAAAAAAAAAAAAA", &"x".repeat(4_000)] {
        let cookie = format!("{name}={value}");
        let stranger = Guest { cookie, id: String::new() };
        let mut strange = Walk { node: &node, who: &stranger, asked: 0, wrong: Vec::new() };
        strange.ask(&Method::GET, "/api/v1/me", None).await;
        walk.wrong.extend(strange.wrong);
    }
    assert!(walk.wrong.is_empty(), "{} of {}:\n{}", walk.wrong.len(), walk.asked, walk.wrong.join("\n"));
    assert!(walk.asked > 500, "{}", walk.asked);
}

#[tokio::test]
async fn a_room_with_an_impossible_name_is_not_found() {
    let node = node().await;
    let who = node.guest("en").await;
    for name in ["%00", "a%00b", "%ff", "%F0%9F%98%80", "a%20b", "..%2f", &"a".repeat(101)] {
        for rest in ["", "/messages", "/log"] {
            let answer = node.ask(Some(&who), Method::GET, &format!("/api/v1/rooms/{name}{rest}"), None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}{rest}");
        }
    }
    for words in ["%00", "a%00", "a%0bx"] {
        let answer = node.ask(Some(&who), Method::GET, &format!("/api/v1/rooms?q={words}"), None).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::BAD_REQUEST, &json!("q")), "{words}");
    }
    let long = format!("/api/v1/rooms?q={}", "x".repeat(101));
    assert_eq!(node.ask(Some(&who), Method::GET, &long, None).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn no_frame_is_answered_internal_whatever_it_holds() {
    let node = node().await;
    let who = node.guest("en").await;
    let body = json!({"title": "Room", "kind": "public", "naming": "named", "history": true});
    let room = node.ask(Some(&who), Method::POST, "/api/v1/rooms", Some(body)).await.json()["id"].clone();
    let mut socket = node.socket(&who).await;
    let (mut sent, mut wrong) = (0, Vec::new());
    for example in documented().0 {
        let mut frame: Map<String, Value> = serde_json::from_str(&example).unwrap();
        frame.remove("id");
        if frame.contains_key("room") {
            frame.insert("room".to_owned(), room.clone());
        }
        for field in frame.keys().filter(|name| *name != "type").cloned().collect::<Vec<_>>() {
            socket.ok(json!({"type": "join", "room": room})).await;
            socket.events.clear();
            for value in in_json() {
                let mut frame = frame.clone();
                frame.insert(field.clone(), value);
                let frame = Value::Object(frame);
                let id = socket.say(frame.clone()).await;
                sent += 1;
                if socket.answer(id).await["error"]["code"] == "internal" {
                    wrong.push(frame.to_string());
                }
            }
        }
    }
    // Hello needs a new socket each time: it can be sent once.
    for value in in_json() {
        for resume in [value.clone(), json!([{"room": room, "after": value}]), json!([{"room": value, "after": 0}])] {
            let mut fresh = node.connect(&who).await;
            let id = fresh.say(json!({"type": "hello", "resume": resume})).await;
            sent += 1;
            if fresh.answer(id).await["error"]["code"] == "internal" {
                wrong.push(format!("hello {resume}"));
            }
            fresh.close().await;
        }
    }
    assert!(wrong.is_empty(), "{} of {sent}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(sent > 300, "{sent}");
}
