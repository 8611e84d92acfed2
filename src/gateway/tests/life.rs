//! The life of a socket: it leaves nothing behind, slow clients are disconnected, and a stopping
//! node asks clients to reconnect later.
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::ids::VisitorId;
use crate::testing::{eventually, node};

#[tokio::test]
async fn sockets_leave_nothing_behind() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    // One of each kind first, so that tasks that are started once are counted.
    let talk = node.talk(&one, &two).await;
    talk.a.close().await;
    talk.b.close().await;
    let app = &node.app;
    let id = crate::accounts::by_id(app, VisitorId(1)).await.unwrap().id;
    eventually("the first sockets are gone", || async {
        app.hub.subscriber_count(crate::realtime::Topic::Visitor(id)) == 0
    })
    .await;
    let before = settled(app).await;
    for round in 0..30 {
        let mut socket = node.connect(&one).await;
        match round % 4 {
            0 => {
                socket.ok(json!({"type": "hello"})).await;
                socket.ok(json!({"type": "ping"})).await;
            }
            1 => {
                for _ in 0..3 {
                    socket.raw("nonsense").await;
                }
                socket.closed().await;
            }
            2 => {
                socket.ok(json!({"type": "hello"})).await;
                socket.throw(Message::text("x".repeat(33 * 1024))).await;
                socket.closed().await;
            }
            // Dropped without a close.
            _ => drop(socket),
        }
    }
    eventually("every task of a socket has ended", || async { app.tasks.running() <= before }).await;
    assert_eq!(app.hub.subscriber_count(crate::realtime::Topic::Visitor(id)), 0);
}

/// Returns the number of tasks when it does not fall any more.
async fn settled(app: &crate::app::App) -> usize {
    let mut last = usize::MAX;
    loop {
        let now = app.tasks.running();
        if now >= last {
            return last;
        }
        last = now;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn a_socket_that_does_not_read_is_closed_and_others_go_on() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let text = "x".repeat(1_900);
    let mut tab = node.socket(&one).await;
    tab.ok(json!({"type": "join", "room": talk.room})).await;
    // `a` reads nothing. More is written to it than the sockets' buffers can hold, and less than
    // the kernel would take.
    let mut seqs = Vec::new();
    for _ in 0..600 {
        let payload = json!({"kind": "text", "text": text});
        let frame = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload});
        seqs.push(talk.b.ok(frame).await["seq"].as_u64().unwrap());
        talk.b.event("message").await;
        tab.event("message").await;
    }
    assert_eq!(seqs, (1..=600).collect::<Vec<u64>>());
    // Real time: a write can take 10 s.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let code = talk.a.closed().await;
    assert!(code == 4408 || code == 1006, "{code}"); // a peer that reads too late may find the connection gone
}

#[tokio::test]
async fn a_stopping_node_answers_what_it_has_and_asks_clients_to_reconnect() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let mut asked = Vec::new();
    for n in 0..20 {
        let payload = json!({"kind": "text", "text": format!("{n}")});
        asked.push(
            talk.a
                .say(json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload}))
                .await,
        );
    }
    talk.a.ok(json!({"type": "ping"})).await; // all of them have been read
    node.app.tasks.draining.cancel();
    for id in asked {
        let answer = talk.a.answer(id).await;
        assert!(answer["ok"]["seq"].is_u64(), "{answer}");
    }
    assert_eq!(talk.a.event("notice").await["kind"], "restart");
    assert_eq!(talk.a.closed().await, 1012);
    assert_eq!(talk.b.closed().await, 1012);
    assert!(node.app.tasks.wait_for_tracked(crate::testing::TEST_TIMEOUT).await);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(stored, 20, "what was read was written");
}

#[tokio::test]
async fn a_stopping_node_waits_for_entries_that_are_being_written() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    // Another transaction locks the room's head, so that the commit has to wait.
    let mut holding = node.app.db.begin().await.unwrap();
    sqlx::query("SELECT seq FROM room_head FOR UPDATE").fetch_all(&mut *holding).await.unwrap();
    let payload = json!({"kind": "text", "text": "x"});
    let send = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload});
    let asked = talk.a.say(send).await;
    talk.a.ok(json!({"type": "ping"})).await;
    node.app.tasks.draining.cancel();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    holding.rollback().await.unwrap();
    assert!(talk.a.answer(asked).await.get("re").is_some());
    assert_eq!(talk.a.closed().await, 1012);
}

#[tokio::test]
async fn the_close_reason_holds_the_delay() {
    let node = node().await;
    let guest = node.guest("en").await;
    let request = node.upgrade(Some(&node.origin()), Some("maju.v1"), Some(&guest));
    let (mut stream, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "maju.v1");
    futures_util::SinkExt::send(&mut stream, Message::text(r#"{"id":1,"type":"hello"}"#)).await.unwrap();
    futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap();
    node.app.tasks.draining.cancel();
    let reason = loop {
        if let Message::Close(Some(frame)) = futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap() {
            break frame.reason.to_string();
        }
    };
    let delay = serde_json::from_str::<Value>(&reason).unwrap()["delay_ms"].as_u64().unwrap();
    assert!((200..=2_000).contains(&delay), "{delay}");
    assert_eq!(node.get("/readyz").await.status, 503);
    assert_eq!(node.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_socket_ends_with_its_session_on_every_node() {
    let node = node().await;
    // The nodes share only the database, not a relay.
    let other = crate::testing::Node::apart(&node).await;
    let mut stays = node.socket(&node.guest("ko").await).await;
    for end in [
        "DELETE FROM session WHERE visitor_id = $1",
        "UPDATE session SET expires_at = now() WHERE visitor_id = $1",
        "DELETE FROM visitor WHERE id = $1",
    ] {
        let guest = node.guest("ko").await;
        let id = node.visitor_of(&guest).await.id;
        // One that has sent hello, one that has not, one on the other node.
        let mut sockets = [node.socket(&guest).await, node.connect(&guest).await, other.socket(&guest).await];
        sqlx::query(end).bind(id).execute(&node.app.db).await.unwrap();
        let ended = tokio::time::Instant::now();
        for socket in &mut sockets {
            assert_eq!(socket.next().await.unwrap()["kind"], "revoked", "{end}");
            assert_eq!(socket.closed().await, 4401, "{end}");
        }
        assert!(ended.elapsed() < Duration::from_secs(5), "{end}: {:?}", ended.elapsed());
    }
    stays.ok(json!({"type": "ping"})).await;
}

async fn is_waited_for(node: &crate::testing::Node) -> bool {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM visitor %'";
    sqlx::query_scalar::<_, i64>(waiting).fetch_one(&node.app.db).await.unwrap() > 0
}

#[tokio::test]
async fn a_stop_waits_for_running_requests() {
    let node = node().await;
    let guest = node.guest("en").await;
    let lock = node.lock("visitor").await;
    // Over a real connection, because requests to the router itself do not pass the listener.
    let mut stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
    let (host, cookie) = (node.address, &guest.cookie);
    let request = format!("GET /api/v1/me HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually("the request is running", || is_waited_for(&node)).await;
    node.app.tasks.draining.cancel();
    assert!(!node.app.tasks.wait_for_tracked(Duration::from_millis(400)).await, "a request is still running");
    drop(lock);
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200") && response.contains("connection: close"), "{response}");
    assert!(node.app.tasks.wait_for_tracked(crate::testing::TEST_TIMEOUT).await);
}

#[tokio::test]
async fn a_socket_opened_during_a_stop_is_asked_to_reconnect_later() {
    let node = node().await;
    let guest = node.guest("en").await;
    let lock = node.lock("visitor").await;
    let request = node.upgrade(Some(&node.origin()), Some("maju.v1"), Some(&guest));
    let stopping = async {
        eventually("the upgrade is running", || is_waited_for(&node)).await;
        node.app.tasks.draining.cancel();
        drop(lock);
    };
    let (opened, ()) = tokio::join!(tokio_tungstenite::connect_async(request), stopping);
    let (mut stream, _) = opened.expect("an upgrade, not a 503 that a person would see");
    let code = loop {
        match futures_util::StreamExt::next(&mut stream).await {
            Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    };
    assert_eq!(code, 1012);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_request_behind_it() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let lock = node.lock("random_session").await;
    let payload = json!({"kind": "text", "text": "before I go"});
    let send = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload});
    let sent = talk.a.say(send).await;
    let left = talk.a.say(json!({"type": "leave", "room": talk.room})).await;
    let first = loop {
        let frame = talk.a.next().await.unwrap();
        if frame.get("re").is_some() {
            break frame;
        }
    };
    assert_eq!(first["re"], sent, "{first}");
    assert!(first["ok"]["seq"].is_u64(), "{first}");
    assert_eq!(talk.a.answer(left).await["error"]["code"], "unavailable");
    drop(lock);
}

#[tokio::test]
async fn a_hello_that_failed_can_be_sent_again() {
    let node = node().await;
    let guest = node.guest("en").await;
    let mut socket = node.connect(&guest).await;
    let resume = vec![json!({"room": Uuid::nil(), "after": 0}); 51];
    assert_eq!(socket.refused(json!({"type": "hello", "resume": resume})).await, "bad_frame");
    // A table is missing for a moment: an error of the server, and no reason to lose the socket.
    for sql in ["ALTER TABLE random_session RENAME TO away", "ALTER TABLE away RENAME TO random_session"] {
        sqlx::query(sql).execute(&node.app.db).await.unwrap();
        if sql.ends_with("away") {
            assert_eq!(socket.refused(json!({"type": "hello"})).await, "internal");
            assert_eq!(socket.refused(json!({"type": "ping"})).await, "bad_frame", "not before a hello has succeeded");
        }
    }
    assert_eq!(socket.ok(json!({"type": "hello"})).await["visitor"]["id"], guest.id.as_str());
    assert_eq!(socket.refused(json!({"type": "hello"})).await, "bad_frame");
    socket.close().await;
    let app = &node.app;
    let id = crate::accounts::by_id(app, VisitorId(1)).await.unwrap().id;
    eventually("the socket is gone", || async { app.hub.subscriber_count(crate::realtime::Topic::Visitor(id)) == 0 })
        .await;
}

#[tokio::test]
async fn a_node_whose_postgres_is_full_is_not_ready_until_something_commits() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("ko").await);
    let mut talk = node.talk(&one, &two).await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100';
                END $$;
                CREATE TRIGGER full_disk BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION full_disk();";
    sqlx::raw_sql(full).execute(&node.app.db).await.unwrap();
    let send = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    assert_eq!(talk.a.refused(send.clone()).await, "unavailable");
    assert_eq!(node.get("/readyz").await.status, 503);
    assert_eq!(node.get("/livez").await.status, 200);
    sqlx::raw_sql("DROP TRIGGER full_disk ON message").execute(&node.app.db).await.unwrap();
    assert_eq!(talk.a.ok(send).await["seq"], 1);
    assert_eq!(node.get("/readyz").await.status, 200);
}
