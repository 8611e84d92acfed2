//! How signed-in sessions end: by time, by their owner, by a sign-in elsewhere.
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use futures_util::future::join;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::{account, begin_complete, complete, id_of, rounds, session_of, sign_in};
use crate::accounts::live_sessions::{store, uses};
use crate::accounts::{Role, SessionKey};
use crate::testing::{Answer, Guest, Node, Redis, Socket, eventually, node};

/// How soon a socket is closed after the end of its session, on every node with a relay.
const MAX_CLOSE_DELAY: Duration = Duration::from_secs(1);
/// The same without a relay.
const MAX_CLOSE_DELAY_APART: Duration = Duration::from_secs(5);

/// Moves the times of the only live session: its last use and its beginning are this long ago.
async fn move_back(node: &Node, used_ago: Duration, begun_ago: Duration) {
    let moved = sqlx::query(
        "UPDATE session SET idle_until = clock_timestamp() + interval '30 minutes' - make_interval(secs => $1),
            ends_at = clock_timestamp() + interval '12 hours' - make_interval(secs => $2)
         WHERE id_hash IN (SELECT id_hash FROM live_session WHERE account_id IS NOT NULL)",
    )
    .bind(used_ago.as_secs_f64())
    .bind(begun_ago.as_secs_f64())
    .execute(&node.app.db)
    .await
    .unwrap();
    assert_eq!(moved.rows_affected(), 1);
}

/// Returns how long ago the only session of the database was last used, in seconds.
async fn used_ago(node: &Node) -> f64 {
    sqlx::query_scalar(
        "SELECT extract(epoch FROM clock_timestamp() + interval '30 minutes' - idle_until)::float8
         FROM session WHERE account_id IS NOT NULL AND ended_at IS NULL",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap()
}

async fn get(node: &Node, who: &Guest, path: &str) -> Answer {
    node.ask(Some(who), Method::GET, path, None).await
}

/// Returns the status and the code of an answer: the empty text if it is no error.
fn outcome(answer: &Answer) -> (u16, String) {
    let code = if answer.text.is_empty() { json!(null) } else { answer.json()["code"].clone() };
    (answer.status.as_u16(), code.as_str().unwrap_or_default().to_owned())
}

fn ended() -> (u16, String) {
    (401, "session_ended".to_owned())
}

fn time_of(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

/// Waits for the notice and the close of a session that ended.
async fn is_closed(socket: &mut Socket, kind: &str, reason: Option<&str>, code: u16) -> Value {
    let notice = socket.event("notice").await;
    assert_eq!((&notice["kind"], notice["reason"].as_str()), (&json!(kind), reason), "{notice}");
    assert_eq!(socket.next().await, Err(code), "the notice is the last frame");
    notice
}

#[tokio::test]
async fn an_owner_lists_and_ends_sessions() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    let other = account(&node, "other", Role::Member).await;
    let me = get(&node, &hana, "/api/v1/me").await.json();
    assert_eq!(me["visitor"]["account"]["handle"], "hana");
    assert_eq!(me["session"], me["visitor"]["session"]);
    let left = time_of(&me["session"]["idle_until"]) - node.app.clock.now();
    assert!((1_790..=1_801).contains(&left.whole_seconds()), "{me}");
    let left = time_of(&me["session"]["ends_at"]) - node.app.clock.now();
    assert!((43_190..=43_201).contains(&left.whole_seconds()), "{me}");

    let list = get(&node, &hana, "/api/v1/sessions").await.json();
    let session = &list["items"][0];
    assert_eq!((list["items"].as_array().unwrap().len(), &list["next"]), (1, &json!(null)));
    assert_eq!((&session["device"], &session["current"]), (&json!("Firefox, Linux"), &json!(true)));
    assert_eq!((&session["ended_at"], &session["reason"]), (&json!(null), &json!(null)));
    let path = format!("/api/v1/sessions/{}", session["id"].as_str().unwrap());
    let delete = |who: &Guest, path: &str| {
        let (node, who, path) = (&node, who.clone(), path.to_owned());
        async move { outcome(&node.ask(Some(&who), Method::DELETE, &path, None).await) }
    };
    assert_eq!(delete(&other, &path).await, (404, "not_found".to_owned()), "of somebody else");
    assert_eq!(delete(&hana, &format!("/api/v1/sessions/{}", Uuid::new_v4())).await.0, 404);
    assert_eq!(delete(&hana, &path).await, (204, String::new()));
    assert_eq!(outcome(&get(&node, &hana, "/api/v1/sessions").await), ended());

    let again = sign_in(&node, "hana").await.unwrap();
    assert_eq!(delete(&again, &path).await.0, 204, "it has ended before");
    let list = get(&node, &again, "/api/v1/sessions").await.json();
    let reasons: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, [&json!(null), &json!("ended_by_owner")]);
    assert_eq!(delete(&again, "/api/v1/sessions").await.0, 204);
    let third = sign_in(&node, "hana").await.unwrap();
    let out = node.ask(Some(&third), Method::POST, "/api/v1/sign-out", None).await;
    assert_eq!(outcome(&out), (204, String::new()));
    assert_eq!(outcome(&get(&node, &third, "/api/v1/rooms").await), ended());

    let guest = node.guest("en").await;
    let needed = (401, "sign_in_needed".to_owned());
    assert_eq!(outcome(&get(&node, &guest, "/api/v1/sessions").await), needed);
    assert_eq!(delete(&guest, "/api/v1/sessions").await, needed);
    assert_eq!(outcome(&node.ask(Some(&guest), Method::POST, "/api/v1/session/stay", None).await), needed);
    assert_eq!(get(&node, &guest, "/api/v1/me").await.json()["session"], json!(null));
    assert_eq!(node.ask(Some(&guest), Method::POST, "/api/v1/sign-out", None).await.status, 204);
    assert_eq!(get(&node, &guest, "/api/v1/me").await.json()["visitor"]["id"], json!(guest.id));
}

#[tokio::test]
async fn the_cookie_of_an_ended_session_becomes_a_fresh_guest_under_a_new_id() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    node.ask(Some(&hana), Method::POST, "/api/v1/sign-out", None).await;
    let body = json!({"locale": "ko"});
    assert_eq!(outcome(&node.ask(Some(&hana), Method::PATCH, "/api/v1/me", Some(body)).await), ended());
    let refused = tokio_tungstenite::connect_async(node.upgrade(Some(&node.origin()), Some("maju.v1"), Some(&hana)));
    assert!(refused.await.unwrap_err().to_string().contains("401"));
    let fresh = get(&node, &hana, "/api/v1/me").await;
    let cookie = fresh.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_ne!(cookie, hana.cookie);
    assert_eq!((&fresh.json()["visitor"]["account"], &fresh.json()["session"]), (&json!(null), &json!(null)));
    assert_ne!(fresh.json()["visitor"]["id"], json!(hana.id));
    assert_eq!(outcome(&get(&node, &hana, "/api/v1/rooms").await), ended(), "the old id stays ended");
}

#[tokio::test]
async fn a_session_ends_after_30_minutes_without_use_and_after_12_hours_on_every_node() {
    const SECOND: Duration = Duration::from_secs(1);
    let idle = Duration::from_secs(30 * 60);
    let life = Duration::from_secs(12 * 3_600);
    let here = node().await;
    let there = Node::apart(&here).await;
    let _ = account(&here, "hana", Role::Member).await;
    for (used_ago, begun_ago, lives) in [
        (idle - SECOND, idle, true),
        (idle + SECOND, idle, false),
        (Duration::ZERO, life - SECOND, true),
        (Duration::ZERO, life + SECOND, false),
    ] {
        let hana = sign_in(&here, "hana").await.unwrap();
        let mut sockets = [here.socket(&hana).await, there.socket(&hana).await];
        here.app.clock.advance(Duration::from_secs(3_600)); // a node's clock does not matter
        let moved_at = Instant::now();
        move_back(&here, used_ago, begun_ago).await;
        for node in [&here, &there] {
            let answer = outcome(&get(node, &hana, "/api/v1/rooms").await);
            // The machine may have been too busy to ask within the second that is left.
            if !lives || moved_at.elapsed() < SECOND {
                assert_eq!(answer, if lives { (200, String::new()) } else { ended() }, "{used_ago:?} {begun_ago:?}");
            }
        }
        for socket in &mut sockets {
            if lives {
                assert_eq!(socket.event("notice").await["kind"], "session_expiring");
            }
            is_closed(socket, "revoked", Some("expired"), 4401).await;
        }
        let limit = MAX_CLOSE_DELAY + if lives { SECOND } else { Duration::ZERO };
        assert!(moved_at.elapsed() < limit + Duration::from_millis(500), "{:?}", moved_at.elapsed());
        assert_eq!(outcome(&get(&there, &hana, "/api/v1/rooms").await), ended());
    }
}

#[tokio::test]
async fn use_moves_the_end_on_within_a_second() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    let mut socket = node.socket(&hana).await;
    let minute = Duration::from_secs(60);
    let body = json!({"locale": "ko"});
    for way in ["write", "frame", "page", "stay"] {
        move_back(&node, 10 * minute, 60 * minute).await;
        let before: OffsetDateTime = ends_at(&node).await;
        let began = Instant::now();
        match way {
            "write" => {
                let answer = node.ask(Some(&hana), Method::PATCH, "/api/v1/me", Some(body.clone())).await.json();
                let left = time_of(&answer["session"]["idle_until"]) - node.app.clock.now();
                assert!(left.whole_seconds() > 1_790, "{answer}");
            }
            "frame" => drop(socket.ok(json!({"type": "cancel"})).await),
            "page" => uses::record_use_of(&node.app, key_of(&hana)),
            _ => {
                let answer = node.ask(Some(&hana), Method::POST, "/api/v1/session/stay", None).await;
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
                let left = time_of(&answer.json()["idle_until"]) - node.app.clock.now();
                assert!(left.whole_seconds() > 1_790, "{}", answer.text);
                assert!(used_ago(&node).await < 5.0, "at once");
            }
        }
        eventually(way, || async { used_ago(&node).await < began.elapsed().as_secs_f64() + 0.5 }).await;
        assert_eq!(ends_at(&node).await, before, "{way}");
    }
}

async fn ends_at(node: &Node) -> OffsetDateTime {
    sqlx::query_scalar("SELECT ends_at FROM live_session WHERE account_id IS NOT NULL")
        .fetch_one(&node.app.db)
        .await
        .unwrap()
}

/// Returns the key of a browser's session.
fn key_of(guest: &Guest) -> SessionKey {
    SessionKey(crate::accounts::sessions::hash_id(&id_of(guest)))
}

#[tokio::test]
async fn pings_and_reads_do_not_keep_a_session_alive() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    let ago = Duration::from_secs(600);
    tokio::time::sleep(Duration::from_millis(1_200)).await; // what is recorded so far is written
    move_back(&node, ago, ago).await;
    let mut socket = node.socket(&hana).await;
    socket.ok(json!({"type": "ping"})).await;
    socket.throw(Message::Ping("x".into())).await;
    socket.throw(Message::Pong("x".into())).await;
    for path in ["/api/v1/me", "/api/v1/rooms", "/api/v1/sessions", "/ko"] {
        assert_eq!(get(&node, &hana, path).await.status, StatusCode::OK, "{path}");
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(used_ago(&node).await > 600.0, "{}", used_ago(&node).await);
}

#[tokio::test]
async fn a_late_use_never_revives_a_session() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    uses::write(&node.app).await;
    move_back(&node, Duration::from_secs(30 * 60 + 1), Duration::from_secs(2_000)).await;
    uses::record_use_of(&node.app, key_of(&hana));
    uses::write(&node.app).await;
    assert_eq!(outcome(&get(&node, &hana, "/api/v1/rooms").await), ended());
    // A use before the end counts, however late it is written.
    for (used_ago, counts) in [(2.0, true), (0.2, false)] {
        let hana = sign_in(&node, "hana").await.unwrap();
        move_back(&node, Duration::from_secs(30 * 60 + 1), Duration::from_secs(2_000)).await;
        let SessionKey(session) = key_of(&hana);
        store::write_uses(&node.app.db, &[session], &[used_ago]).await.unwrap();
        let answer = outcome(&get(&node, &hana, "/api/v1/rooms").await);
        assert_eq!(answer, if counts { (200, String::new()) } else { ended() }, "{used_ago} s ago");
    }
    // Signed out: no use and no save of the session's data brings it back.
    let hana = sign_in(&node, "hana").await.unwrap();
    let late = session_of(&node, &hana);
    assert!(crate::accounts::session_visitor(&late).await.unwrap().is_some());
    assert_eq!(node.ask(Some(&hana), Method::POST, "/api/v1/sign-out", None).await.status, 204);
    uses::record_use_of(&node.app, key_of(&hana));
    uses::write(&node.app).await;
    late.insert("late", 1).await.unwrap();
    late.save().await.unwrap();
    assert_eq!(outcome(&get(&node, &hana, "/api/v1/rooms").await), ended());
    let stay = node.ask(Some(&hana), Method::POST, "/api/v1/session/stay", None).await;
    assert_eq!(outcome(&stay), ended());
}

#[tokio::test]
async fn a_socket_is_told_two_minutes_before_the_end_and_again_after_use() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    let mut socket = node.socket(&hana).await;
    let near = Duration::from_secs(29 * 60);
    for _ in 0..2 {
        move_back(&node, near, near).await;
        let notice = socket.event("notice").await;
        assert_eq!(notice["kind"], "session_expiring");
        let left = time_of(&notice["at"]) - node.app.clock.now();
        assert!((50..=61).contains(&left.whole_seconds()), "{notice}");
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        socket.ok(json!({"type": "cancel"})).await;
        assert!(socket.events.is_empty(), "told once: {:?}", socket.events);
        eventually("the use is written", || async { used_ago(&node).await < 60.0 }).await;
    }
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
async fn a_sign_in_elsewhere_ends_the_earlier_session_on_every_node() {
    for way in ["in process", "redis", "redis is gone"] {
        let (_redis, first, second) = two_nodes(way).await;
        let old = account(&first, "hana", Role::Member).await;
        let (mut near, mut far) = (first.socket(&old).await, second.socket(&old).await);
        let new = sign_in(&first, "hana").await.unwrap();
        let began = Instant::now();
        for socket in [&mut near, &mut far] {
            let notice = is_closed(socket, "signed_in_elsewhere", None, 4409).await;
            assert_eq!(notice["device"], "Firefox, Linux", "{way}: the other device is named");
            let ago = first.app.clock.now() - time_of(&notice["at"]);
            assert!(ago.whole_seconds().abs() <= 10, "{way}: {notice}");
        }
        eprintln!("{way}: closed after {:?}", began.elapsed());
        let limit = if way == "redis is gone" { MAX_CLOSE_DELAY_APART } else { MAX_CLOSE_DELAY };
        assert!(began.elapsed() < limit, "{way}: {:?}", began.elapsed());
        for node in [&first, &second] {
            assert_eq!(outcome(&get(node, &old, "/api/v1/rooms").await), ended(), "{way}");
            assert_eq!(get(node, &new, "/api/v1/me").await.json()["visitor"]["id"], json!(old.id), "{way}");
            node.socket(&new).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sign_ins_at_the_same_instant_exactly_one_session_survives() {
    let here = node().await;
    let there = Node::apart(&here).await;
    let _ = account(&here, "hana", Role::Member).await;
    for round in 0..rounds(200, 1_000) {
        let (one, two) = (begin_complete(&here, "hana").await, begin_complete(&there, "hana").await);
        let (one, two) = join(complete(&here, one), complete(&there, two)).await;
        let mut live = 0;
        for done in [&one, &two] {
            match done {
                Ok(browser) => live += usize::from(get(&there, browser, "/api/v1/rooms").await.status == 200),
                Err(why) => assert_eq!(why.code(), "wrong_step", "round {round}"),
            }
        }
        assert_eq!(live, 1, "round {round}");
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM live_session WHERE account_id IS NOT NULL")
            .fetch_one(&here.app.db)
            .await
            .unwrap();
        assert_eq!(rows, 1, "round {round}");
    }
}
