//! Bad input: each kind is refused with its code, and other sockets go on.
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};
use uuid::Uuid;

use crate::testing::{Node, Socket, TEST_TIMEOUT, limited_node, node};

async fn status(request: tungstenite::handshake::client::Request) -> u16 {
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => 101,
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn an_upgrade_is_checked_in_order() {
    let node = node().await;
    let guest = node.guest("en").await;
    let own = node.origin();
    let other_name = own.replace("localhost", "127.0.0.1");
    for (origin, protocol, cookie, expected) in [
        (Some("https://evil.example"), None, false, 403),
        (None, None, false, 403),
        (None, Some("maju.v1"), true, 403),
        (Some("null"), Some("maju.v1"), true, 403),
        (Some(own.as_str()), None, false, 400),
        (Some(own.as_str()), Some("maju.v2"), true, 400),
        (Some(own.as_str()), Some("maju.v1"), false, 401),
        (Some(own.as_str()), Some("maju.v1"), true, 101),
        (Some(other_name.as_str()), Some("maju.v0, maju.v1"), true, 101),
    ] {
        let request = node.upgrade(origin, protocol, cookie.then_some(&guest));
        assert_eq!(status(request).await, expected, "{origin:?} {protocol:?} {cookie}");
    }
    // A plain request gets a problem document, never the page.
    let plain = node.ask(Some(&guest), Method::GET, "/ws", None).await;
    assert_eq!(plain.status, StatusCode::BAD_REQUEST);
    assert_eq!(plain.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let node = node().await;
    let guest = node.guest("en").await;
    let mut socket = node.connect(&guest).await;
    assert_eq!(socket.refused(json!({"type": "ping"})).await, "bad_frame");
    let hello = socket.ok(json!({"type": "hello"})).await;
    assert_eq!(hello["visitor"]["id"], guest.id.as_str());
    assert_eq!((&hello["session"], &hello["seeking"], &hello["rooms"]), (&Value::Null, &Value::Null, &json!([])));
    assert_eq!(hello["heartbeat_ms"], 25_000);
    assert_eq!(socket.refused(json!({"type": "hello"})).await, "bad_frame");
    assert!(socket.ok(json!({"type": "ping"})).await["server_time"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn the_third_frame_without_an_id_closes() {
    let node = node().await;
    let guest = node.guest("en").await;
    let mut bystander = node.socket(&guest).await;
    for nonsense in ["no json", r#"{"type":"ping"}"#, "\u{0}"] {
        let mut socket = node.socket(&guest).await;
        for _ in 0..3 {
            socket.raw(nonsense).await;
        }
        for _ in 0..3 {
            let answer = socket.next().await.unwrap();
            assert_eq!((&answer["re"], &answer["error"]["code"]), (&Value::Null, &json!("bad_frame")));
        }
        assert_eq!(socket.closed().await, 4400);
    }
    let mut socket = node.socket(&guest).await;
    for _ in 0..3 {
        socket.throw(Message::binary(vec![0, 159, 146, 150])).await;
    }
    assert_eq!(socket.closed().await, 4400);
    bystander.ok(json!({"type": "ping"})).await;
}

#[tokio::test]
async fn a_frame_above_32_kib_closes_1009_and_one_below_does_not() {
    let node = node().await;
    let guest = node.guest("en").await;
    let frame = |bytes: usize| {
        let shell = r#"{"id":9,"type":"ping","x":""}"#.len();
        format!(r#"{{"id":9,"type":"ping","x":"{}"}}"#, "x".repeat(bytes - shell))
    };
    let mut socket = node.socket(&guest).await;
    socket.raw(&frame(32 * 1024)).await;
    assert_eq!(socket.answer(9).await["error"]["code"], "bad_frame");
    for bytes in [32 * 1024 + 1, 33 * 1024, 200 * 1024, 400 * 1024] {
        let mut socket = node.socket(&guest).await;
        socket.throw(Message::text(frame(bytes))).await;
        assert_eq!(socket.closed().await, 1009, "{bytes}");
    }
    let mut socket = node.socket(&guest).await;
    socket.throw(Message::binary(vec![b'x'; 33 * 1024])).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn a_text_of_full_length_fits_a_frame_however_it_is_encoded() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let jamo = "\u{1112}\u{1161}\u{11ab}"; // U+D55C after NFC
    for (text, as_delivered) in
        [("\\ud83d\\ude00".repeat(2_000), "😀".repeat(2_000)), (jamo.repeat(2_000), "한".repeat(2_000))]
    {
        let (room, client_id) = (&talk.room, Uuid::new_v4());
        let frame = format!(
            r#"{{"id":99,"type":"send","room":"{room}","client_id":"{client_id}","payload":{{"kind":"text","text":"{text}"}}}}"#
        );
        talk.a.raw(&frame).await;
        assert!(talk.a.answer(99).await["ok"]["seq"].is_u64(), "{} bytes", frame.len());
        assert_eq!(talk.b.event("message").await["payload"]["text"], as_delivered.as_str());
    }
}

#[tokio::test]
async fn frames_and_payloads_out_of_bounds_get_their_code() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let send =
        |payload: Value| json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload});
    let text = |text: String| send(json!({"kind": "text", "text": text}));
    for (frame, code) in [
        (json!({"type": "nothing"}), "bad_frame"),
        (json!({"type": "ping", "more": 1}), "bad_frame"),
        (json!({"type": "join", "room": 5}), "bad_frame"),
        (json!({"type": "join", "room": "x"}), "bad_frame"),
        (send(json!("text")), "bad_frame"),
        (send(json!({"kind": "system", "text": "x"})), "bad_payload"),
        (send(json!({"text": "x"})), "bad_payload"),
        (text(String::new()), "bad_payload"),
        (text("가".repeat(2_001)), "too_long"),
        (text("bell \u{7}".into()), "bad_payload"),
        (text("nul \u{0}".into()), "bad_payload"),
        (text("\u{202e}evil".into()), "bad_payload"),
        (text("iso \u{2067}late".into()), "bad_payload"),
        (json!({"type": "read", "room": talk.room, "seq": 99}), "bad_frame"),
        (json!({"type": "read", "room": talk.room, "seq": -1}), "bad_frame"),
        (
            json!({"type": "seek", "interests": ["1", "2", "3", "4", "5", "6"], "languages": [], "translate": false}),
            "bad_frame",
        ),
        (json!({"type": "seek", "interests": [], "languages": ["no tag"], "translate": false}), "bad_frame"),
        (json!({"type": "report", "room": talk.room, "reason": "boring", "seqs": [], "block": false}), "bad_frame"),
        (
            json!({"type": "report", "room": talk.room, "reason": "spam", "seqs": vec![1; 51], "block": false}),
            "bad_frame",
        ),
    ] {
        assert_eq!(talk.a.refused(frame.clone()).await, code, "{frame}");
    }
    let fits = talk.a.ok(text("가".repeat(2_000))).await;
    assert_eq!(fits["seq"], 1, "nothing that was refused is stored");
    assert_eq!(talk.b.event("message").await["seq"], 1);
}

/// Sends a frame and returns the error it is answered with.
async fn answer(socket: &mut Socket, frame: Value) -> Value {
    let id = socket.say(frame).await;
    socket.answer(id).await["error"].clone()
}

#[tokio::test]
async fn somebody_elses_room_looks_like_an_unknown_one() {
    let node = node().await;
    let (one, two, stranger) = (node.guest("ko").await, node.guest("en").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    talk.a.text(&talk.room, "secret").await;
    let (foreign, unknown) = (talk.room.clone(), Uuid::new_v4().to_string());
    let mut socket = node.socket(&stranger).await;
    let payload = json!({"kind": "text", "text": "x"});
    let frames = |room: &str| {
        [
            json!({"type": "join", "room": room}),
            json!({"type": "leave", "room": room}),
            json!({"type": "send", "room": room, "client_id": Uuid::nil(), "payload": payload}),
            json!({"type": "typing", "room": room}),
            json!({"type": "read", "room": room, "seq": 1}),
            json!({"type": "report", "room": room, "reason": "spam", "seqs": [1], "block": true}),
            json!({"type": "block", "room": room, "sender": Uuid::nil()}),
        ]
    };
    for (theirs, none) in frames(&foreign).into_iter().zip(frames(&unknown)) {
        let (theirs, none) = (answer(&mut socket, theirs).await, answer(&mut socket, none).await);
        assert_eq!(theirs, none);
        assert_eq!(theirs["code"], "not_found");
    }
    let session = json!({"type": "next", "session": talk.session, "seek": false});
    assert_eq!(answer(&mut socket, session).await["code"], "not_found");
    let mut again = node.connect(&stranger).await;
    let resume = [json!({"room": foreign, "after": 0}), json!({"room": unknown, "after": 0})];
    let rooms = again.ok(json!({"type": "hello", "resume": resume})).await["rooms"].clone();
    assert_eq!(rooms[0]["head"], rooms[1]["head"]);
    assert!(rooms[0]["resync"] == true && rooms[1]["resync"] == true);
    for path in ["messages", "log", ""] {
        let get = |room: &str| {
            let path = format!("/api/v1/rooms/{room}/{path}");
            path.trim_end_matches('/').to_owned()
        };
        let theirs = node.ask(Some(&stranger), Method::GET, &get(&foreign), None).await;
        let none = node.ask(Some(&stranger), Method::GET, &get(&unknown), None).await;
        assert_eq!((theirs.status, theirs.text), (none.status, none.text), "{path}");
        assert_eq!(none.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(talk.b.event("message").await["payload"]["text"], "secret");
}

#[tokio::test]
async fn a_flood_is_refused_with_the_time_to_wait_and_others_go_on() {
    let node = limited_node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut bystander = node.socket(&two).await;
    let mut socket = node.socket(&one).await;
    let mut last = 0;
    for _ in 0..300 {
        last = socket.say(json!({"type": "ping"})).await;
    }
    let (mut refused, mut wait) = (0, 0);
    for id in last - 299..=last {
        let answer = socket.answer(id).await;
        if answer["error"]["code"] == "rate_limited" {
            refused += 1;
            wait = answer["error"]["retry_after_ms"].as_u64().unwrap();
        }
    }
    assert!(refused > 0 && refused < 300, "{refused}");
    assert!(wait > 0);
    bystander.ok(json!({"type": "ping"})).await;
    tokio::time::sleep(std::time::Duration::from_millis(wait + 50)).await;
    socket.ok(json!({"type": "ping"})).await;
}

/// Sends the same message until the socket is closed, this far apart, and returns the close code.
async fn sent_without_end(socket: &mut Socket, message: Message, apart: Duration) -> u16 {
    let until = tokio::time::Instant::now() + TEST_TIMEOUT;
    loop {
        assert!(tokio::time::Instant::now() < until, "it was never closed");
        socket.throw(message.clone()).await;
        if let Ok(Err(code)) = tokio::time::timeout(apart, socket.next()).await {
            return code;
        }
    }
}

#[tokio::test]
async fn endless_frames_of_any_kind_above_the_limit_close_4400() {
    let node = limited_node().await;
    let mut bystander = node.socket(&node.guest("ko").await).await;
    for (message, apart) in [
        (Message::Pong("p".into()), Duration::from_millis(1)),
        (Message::Ping("p".into()), Duration::from_millis(1)),
        (Message::text(r#"{"id":5,"type":"ping"}"#), Duration::from_millis(1)),
        // Five times the rate limit: the burst lasts longer, and then the socket is closed too.
        (Message::Pong("p".into()), Duration::from_millis(5)),
    ] {
        let mut socket = node.socket(&node.guest("ko").await).await;
        assert_eq!(sent_without_end(&mut socket, message.clone(), apart).await, 4400, "{message:?}");
        bystander.ok(json!({"type": "ping"})).await;
    }
    // More at once than any client needs, and nothing after it.
    let guest = node.guest("ko").await;
    let mut socket = node.socket(&guest).await;
    for _ in 0..1_000 {
        socket.throw(Message::Pong("p".into())).await;
    }
    assert_eq!(socket.closed().await, 4400);
    // A new socket of the same visitor gets no new allowance.
    let mut socket = node.connect(&guest).await;
    for _ in 0..500 {
        socket.throw(Message::Pong("p".into())).await;
    }
    assert_eq!(socket.closed().await, 4400);
}

#[tokio::test]
async fn a_client_that_slows_down_when_it_is_refused_stays_connected() {
    let node = limited_node().await;
    let mut socket = node.socket(&node.guest("ko").await).await;
    for _ in 0..3 {
        let mut last = 0;
        for _ in 0..200 {
            last = socket.say(json!({"type": "ping"})).await;
        }
        socket.answer(last).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    socket.ok(json!({"type": "ping"})).await;
}

async fn hello_late(node: &Node) -> u16 {
    let guest = node.newcomer("en").await;
    node.connect(&guest).await.closed().await
}

#[tokio::test]
async fn a_socket_that_never_sends_hello_is_closed() {
    // Real time: the limit is 10 s, and the answer must be the documented code.
    assert_eq!(hello_late(&node().await).await, 4400);
}

#[tokio::test]
async fn the_age_gate_blocks_the_first_seek() {
    let node = node().await;
    let guest = node.newcomer("ko").await;
    let mut socket = node.socket(&guest).await;
    let seek = json!({"type": "seek", "interests": [], "languages": [], "translate": false});
    assert_eq!(socket.refused(seek.clone()).await, "age_gate");
    let rules = json!({"rules": crate::accounts::RULES_VERSION, "adult": true});
    let accepted = node.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(rules)).await;
    assert_eq!(accepted.json()["rules"]["accepted"], crate::accounts::RULES_VERSION);
    // It takes effect on the same socket.
    assert!(socket.ok(seek).await["ticket"].is_string());
    assert!(socket.ok(json!({"type": "cancel"})).await.as_object().unwrap().is_empty());
}
