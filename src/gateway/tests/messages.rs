//! Messages: acknowledged after the commit, idempotent, dense, in order, for members only.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::fence;
use crate::testing::node;

#[tokio::test]
async fn two_strangers_meet_in_a_and_b_and_talk() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    let seek = |interests: Value| json!({"type": "seek", "interests": interests, "languages": ["ko", "en"], "translate": false});
    let first = a.ok(seek(json!(["Film", "산책"]))).await;
    assert!(first["ticket"].is_string() && first["waiting"].as_i64().unwrap() >= 1);
    b.ok(seek(json!(["산책", "cooking"]))).await;
    let (to_a, to_b) = (a.event("found").await, b.event("found").await);
    assert_eq!((&to_a["session"], &to_a["room"]), (&to_b["session"], &to_b["room"]));
    let mut slots = [to_a["slot"].as_str().unwrap(), to_b["slot"].as_str().unwrap()];
    slots.sort_unstable();
    assert_eq!(slots, ["A", "B"]);
    assert_eq!((&to_a["shared"], &to_b["shared"]), (&json!(["산책"]), &json!(["산책"])));
    assert_eq!(to_a["partner"]["name"], to_b["you"]["name"]);
    assert_ne!(to_a["partner"]["name"], to_a["you"]["name"]);
    let room = to_a["room"].as_str().unwrap().to_owned();
    let joined = a.ok(json!({"type": "join", "room": room})).await;
    assert_eq!((&joined["head"], &joined["room"]["kind"]), (&json!(0), &json!("talk")));
    assert_eq!(joined["you"]["id"], to_a["you"]["id"]);
    b.ok(json!({"type": "join", "room": room, "after": 0})).await;

    let sent = a.text(&room, "안녕하세요").await;
    assert_eq!(sent["seq"], 1);
    b.text(&room, "Hello there").await;
    for socket in [&mut a, &mut b] {
        for (seq, text, slot) in [(1, "안녕하세요", &to_a["slot"]), (2, "Hello there", &to_b["slot"])] {
            let event = socket.event("message").await;
            assert_eq!((&event["seq"], &event["payload"]["text"]), (&json!(seq), &json!(text)));
            assert_eq!((&event["sender"]["slot"], &event["room"]), (slot, &json!(room)));
        }
    }
    a.ok(json!({"type": "typing", "room": room})).await;
    assert_eq!(b.event("typing").await["sender"]["slot"], to_a["slot"]);
    b.ok(json!({"type": "read", "room": room, "seq": 2})).await;
    let read = a.event("read").await;
    assert_eq!((&read["seq"], &read["member"]), (&json!(2), &to_b["you"]["id"]));
    assert_eq!(a.refused(seek(json!([]))).await, "already_in_session");
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_somebody_elses_id_is_a_conflict() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let id = Uuid::new_v4();
    let send = |text: &str| json!({"type": "send", "room": talk.room, "client_id": id, "payload": {"kind": "text", "text": text}});
    let first = talk.a.ok(send("once")).await;
    for _ in 0..3 {
        assert_eq!(talk.a.ok(send("once")).await, first);
    }
    assert_eq!(talk.b.refused(send("mine")).await, "conflict");
    // The same send ten times at once on two sockets of one visitor, and once over REST.
    let id = Uuid::new_v4();
    let again =
        json!({"type": "send", "room": talk.room, "client_id": id, "payload": {"kind": "text", "text": "many"}});
    let mut other = node.socket(&one).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push((talk.a.say(again.clone()).await, other.say(again.clone()).await));
    }
    let body = json!({"client_id": id, "payload": {"kind": "text", "text": "many"}});
    let path = format!("/api/v1/rooms/{}/messages", talk.room);
    let posted = node.ask(Some(&one), Method::POST, &path, Some(body.clone())).await;
    let mut answers = vec![posted.json()["seq"].clone()];
    for (mine, others) in ids {
        answers.push(talk.a.answer(mine).await["ok"]["seq"].clone());
        answers.push(other.answer(others).await["ok"]["seq"].clone());
    }
    assert!(answers.iter().all(|seq| *seq == json!(2)), "{answers:?}");
    let repeated = node.ask(Some(&one), Method::POST, &path, Some(body)).await;
    assert_eq!(repeated.status, StatusCode::OK);
    let fresh = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "new"}});
    assert_eq!(node.ask(Some(&one), Method::POST, &path, Some(fresh)).await.status, StatusCode::CREATED);
    // The other side got three entries, once each.
    for (seq, text) in [(1, "once"), (2, "many"), (3, "new")] {
        let event = talk.b.event("message").await;
        assert_eq!((&event["seq"], &event["payload"]["text"]), (&json!(seq), &json!(text)));
    }
}

#[tokio::test]
async fn many_writers_make_one_dense_log_that_everybody_sees_in_order() {
    let node = node().await;
    let owner = node.guest("en").await;
    let body = json!({"title": "All", "kind": "public", "naming": "named", "history": true});
    let made = node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let room = made.json()["id"].as_str().unwrap().to_owned();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let guest = node.guest("en").await;
        let mut socket = node.socket(&guest).await;
        socket.ok(json!({"type": "join", "room": room})).await;
        sockets.push(socket);
    }
    let each = 40;
    let mut asked = vec![Vec::new(); sockets.len()];
    for n in 0..each {
        for (who, socket) in sockets.iter_mut().enumerate() {
            let payload = json!({"kind": "text", "text": format!("{who} {n}")});
            let frame = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
            asked[who].push(socket.say(frame).await);
        }
    }
    let total = each * sockets.len();
    let mut numbers = Vec::new();
    for (who, socket) in sockets.iter_mut().enumerate() {
        let (mut seen, mut acked) = (Vec::new(), Vec::new());
        while seen.len() < total || acked.len() < each {
            let frame = socket.next().await.unwrap();
            if frame["type"] == "message" {
                seen.push(frame["seq"].as_u64().unwrap() as usize);
            } else if frame["re"].is_u64() {
                assert_eq!(
                    frame["re"].as_u64().unwrap(),
                    asked[who][acked.len()],
                    "answers come in the order of the sends"
                );
                acked.push(frame["ok"]["seq"].as_u64().unwrap() as usize);
            }
        }
        assert_eq!(seen, (1..=total).collect::<Vec<_>>());
        assert!(acked.is_sorted(), "one sender's messages keep their order");
        numbers.extend(acked);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
}

#[tokio::test]
async fn history_is_paged_for_members_only() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    for n in 1..=25 {
        talk.a.text(&talk.room, &format!("message {n}")).await;
    }
    let path = format!("/api/v1/rooms/{}", talk.room);
    let page = |query: &str| format!("{path}/messages?{query}");
    let seqs = |answer: &Value| {
        answer["items"].as_array().unwrap().iter().map(|item| item["seq"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let ask = async |path: String| node.ask(Some(&two), Method::GET, &path, None).await;
    assert_eq!(seqs(&ask(page("limit=10")).await.json()), (16..=25).collect::<Vec<_>>());
    assert_eq!(seqs(&ask(page("before=16&limit=10")).await.json()), (6..=15).collect::<Vec<_>>());
    assert_eq!(seqs(&ask(page("after=20&limit=100")).await.json()), (21..=25).collect::<Vec<_>>());
    assert_eq!(seqs(&ask(page("after=20&before=23")).await.json()), [21, 22], "both are exclusive");
    assert_eq!(seqs(&ask(format!("{path}/log?after=0&limit=3")).await.json()), [1, 2, 3]);
    assert_eq!(ask(page("limit=101")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask(page("limit=0")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask(page("after=1&before=3&x=1")).await.status, StatusCode::BAD_REQUEST);
    let items = ask(page("limit=1")).await.json();
    let (of_rest, of_socket) = (items["items"][0].clone(), talk.b.event("message").await);
    assert_eq!(
        of_rest.as_object().unwrap().keys().collect::<Vec<_>>(),
        of_socket.as_object().unwrap().keys().collect::<Vec<_>>()
    );
    assert_eq!(node.get(&page("")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nothing_is_written_after_the_end_and_the_log_stays_readable() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    talk.a.text(&talk.room, "bye").await;
    talk.a.ok(json!({"type": "leave", "room": talk.room})).await;
    let ended = talk.b.event("ended").await;
    assert_eq!((&ended["session"], &ended["reason"]), (&json!(talk.session), &json!("left")));
    let send = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "late"}});
    assert_eq!(talk.b.refused(send.clone()).await, "closed");
    assert_eq!(talk.a.refused(send).await, "closed");
    let path = format!("/api/v1/rooms/{}/messages", talk.room);
    for guest in [&one, &two] {
        let log = node.ask(Some(guest), Method::GET, &path, None).await.json();
        assert_eq!(log["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn sends_before_a_leave_are_written_before_it() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let owner = node.guest("en").await;
    let body = json!({"title": "All", "kind": "public", "naming": "named", "history": true});
    let public = node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    let public = public["id"].as_str().unwrap();
    for end in ["leave", "leave a public room", "next", "report", "block"] {
        let mut talk = node.talk(&one, &two).await;
        let room = if end == "leave a public room" { public } else { &talk.room };
        let other = talk.b.ok(json!({"type": "join", "room": talk.room})).await["you"]["id"].clone();
        talk.a.ok(json!({"type": "join", "room": room})).await;
        // The writers wait; requests that do not write entries could overtake them.
        let mut fence = node.app.db.acquire().await.unwrap();
        sqlx::query("SELECT pg_advisory_lock($1)").bind(fence::LOCK_KEY).execute(&mut *fence).await.unwrap();
        let payload = json!({"kind": "text", "text": "before I go"});
        let mut sent = Vec::new();
        for _ in 0..3 {
            let send = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
            sent.push(talk.a.say(send).await);
        }
        let ends = match end {
            "next" => json!({"type": "next", "session": talk.session, "seek": false}),
            "report" => json!({"type": "report", "room": room, "reason": "spam", "seqs": [], "block": false}),
            "block" => json!({"type": "block", "room": room, "sender": other}),
            _ => json!({"type": "leave", "room": room}),
        };
        let ended = talk.a.say(ends).await;
        let late = json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload});
        let late = talk.a.say(late).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(fence::LOCK_KEY).execute(&mut *fence).await.unwrap();
        for id in sent {
            let answer = talk.a.answer(id).await;
            assert!(answer["ok"]["seq"].is_u64(), "{end}: {answer}");
        }
        let answer = talk.a.answer(ended).await;
        assert!(answer.get("ok").is_some(), "{end}: {answer}");
        assert!(talk.a.answer(late).await.get("error").is_some(), "{end}");
        if end == "leave a public room" {
            talk.a.ok(json!({"type": "leave", "room": talk.room})).await;
        }
        sqlx::raw_sql("DELETE FROM visitor_block; UPDATE random_session SET ended_at = now() - interval '1 hour'")
            .execute(&node.app.db)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn people_cannot_be_followed_from_room_to_room() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut first = node.talk(&one, &two).await;
    let me = first.a.ok(json!({"type": "join", "room": first.room})).await["you"]["id"].clone();
    first.a.ok(json!({"type": "leave", "room": first.room})).await;
    let third = node.guest("ko").await;
    let mut second = node.talk(&one, &third).await;
    let again = second.a.ok(json!({"type": "join", "room": second.room})).await["you"]["id"].clone();
    assert!(me != again && me != json!(one.id) && again != json!(one.id));
}
