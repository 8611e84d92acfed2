//! What a room promises, where it could break: at a commit that fails, between two nodes, under the
//! fence, after a leave.
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{join, post, public_room, receive, say, text};
use crate::db::{self, fence};
use crate::realtime::{Publication, Topic};
use crate::rooms::delivery;
use crate::testing::{Node, PATIENCE, Socket, eventually, node};

/// Lets the commit of an entry fail whose text is `poison`: the statement itself succeeds. With
/// SQLSTATE 40001 only the first commit fails, as when two transactions got in each other's way.
async fn fail_commits(node: &Node, condition: &str, sqlstate: &str) {
    let sql = format!(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {condition} THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '{sqlstate}'; END IF;
            RETURN NEW;
         END $$;
         CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&node.app.db).await.unwrap();
}

/// Two people in a public room of the first.
async fn pair_of(node: &Node, other: &Node) -> (String, Socket, Socket) {
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = public_room(node, &one).await.to_string();
    let (mut a, mut b) = (node.socket(&one).await, other.socket(&two).await);
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        socket.ok(json!({"type": "ping"})).await; // it listens from its answer's end on
    }
    (room, a, b)
}

#[tokio::test]
async fn an_entry_whose_commit_fails_is_neither_answered_nor_heard_and_fails_alone() {
    let node = node().await;
    let (room, mut a, mut b) = pair_of(&node, &node).await;
    fail_commits(&node, "NEW.payload ->> 'text' = 'poison'", "P0001").await;
    let mut asked = Vec::new();
    for words in ["one", "poison", "two"] {
        let payload = json!({"kind": "text", "text": words});
        asked.push(a.say(json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload})).await);
    }
    let mut answers = Vec::new();
    for id in asked {
        answers.push(a.answer(id).await);
    }
    assert_eq!((&answers[0]["ok"]["seq"], &answers[2]["ok"]["seq"]), (&json!(1), &json!(2)), "{answers:?}");
    assert_eq!(answers[1]["error"]["code"], "internal");
    for (seq, words) in [(1, "one"), (2, "two")] {
        let event = b.event("message").await;
        assert_eq!((&event["seq"], &event["payload"]["text"]), (&json!(seq), &json!(words)));
    }
    // What was answered is there for everybody, at once.
    let sent = a.text(&room, "three").await;
    let stored: i64 = sqlx::query_scalar("SELECT max(seq) FROM message").fetch_one(&node.app.db).await.unwrap();
    assert_eq!((sent["seq"].as_i64(), stored), (Some(3), 3));
}

#[tokio::test]
async fn a_batch_that_got_in_anothers_way_is_repeated() {
    let node = node().await;
    let (room, mut a, mut b) = pair_of(&node, &node).await;
    fail_commits(&node, "nextval('tries') = 1", "40001").await;
    assert_eq!(a.text(&room, "once").await["seq"], 1);
    assert_eq!(b.event("message").await["seq"], 1);
}

#[tokio::test]
async fn two_nodes_that_write_at_once_number_one_log() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    // Each goes on at its own pace, so that batches of the two nodes meet in every possible way.
    let each = [&node, &other, &node, &other].map(async |node| {
        let mut seqs = Vec::new();
        for _ in 0..50 {
            seqs.push(say(node, &who, room, "x").await.unwrap());
        }
        seqs
    });
    let mut seqs = futures_util::future::join_all(each).await.concat();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_head_is_locked_until_its_batch_is_committed() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    // An insert waits as long as this test holds a lock of its own.
    let sql = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                  PERFORM pg_advisory_xact_lock(7);
                  RETURN NEW;
               END $$;
               CREATE TRIGGER wait BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION wait();";
    sqlx::raw_sql(sql).execute(&node.app.db).await.unwrap();
    let mut holding = node.app.db.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(&mut *holding).await.unwrap();
    let id = Uuid::new_v4();
    let receipt = post(&node.app, &who, room, text(id, "x")).await.unwrap();
    let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&node.app.db).await.unwrap();
    eventually("the batch is being written", || async {
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                       WHERE datname = current_database() AND locktype = 'advisory' AND objid = 7 AND NOT granted";
        count(waiting).await == 1
    })
    .await;
    let free = "SELECT count(*) FROM (SELECT 1 FROM room_head FOR UPDATE SKIP LOCKED) AS free";
    assert_eq!(count(free).await, 0, "somebody else could number now");
    holding.rollback().await.unwrap();
    drop(receipt);
    eventually("it is written", || async {
        receive(post(&node.app, &who, room, text(id, "x")).await.unwrap()).await.is_ok_and(|posted| posted.seq == 1)
    })
    .await;
}

#[tokio::test]
async fn nothing_is_written_while_rights_are_taken_everywhere() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    let mut revoker = db::connect(&node.app.db, &[]).await.unwrap();
    let mut revocation = revoker.begin().await.unwrap();
    fence::revoke(&mut revocation, who.id, Duration::from_secs(2)).await.unwrap();
    let id = Uuid::new_v4();
    let early = receive(post(&node.app, &who, room, text(id, "x")).await.unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(500), early).await.is_err(), "written past the fence");
    revocation.commit().await.unwrap();
    eventually("it is written afterwards", || async {
        receive(post(&node.app, &who, room, text(id, "x")).await.unwrap()).await.is_ok_and(|posted| posted.seq == 1)
    })
    .await;
}

#[tokio::test]
async fn what_a_node_remembers_of_a_talk_does_not_outlive_it() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let mut elsewhere = other.socket(&two).await;
    elsewhere.text(&talk.room, "in time").await;
    talk.a.ok(json!({"type": "leave", "room": talk.room})).await;
    let payload = json!({"kind": "text", "text": "late"});
    let late = json!({"type": "send", "room": talk.room, "client_id": Uuid::new_v4(), "payload": payload});
    assert_eq!(elsewhere.refused(late).await, "closed");
}

#[tokio::test]
async fn who_left_hears_no_more_on_any_tab() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = public_room(&node, &one).await.to_string();
    let (mut stays, mut leaves, mut tab) = (node.socket(&one).await, node.socket(&two).await, node.socket(&two).await);
    for socket in [&mut stays, &mut leaves, &mut tab] {
        socket.ok(json!({"type": "join", "room": room})).await;
    }
    leaves.ok(json!({"type": "leave", "room": room})).await;
    stays.text(&room, "among us").await;
    stays.event("message").await;
    for socket in [&mut leaves, &mut tab] {
        socket.ok(json!({"type": "ping"})).await; // what was queued before has been heard by now
        assert!(socket.events.iter().all(|event| event["type"] != "message"), "{:?}", socket.events);
    }
}

#[tokio::test]
async fn a_room_without_history_shows_newcomers_what_comes_after_them() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let body = json!({"title": "Now", "kind": "public", "naming": "anonymous", "history": false});
    let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    let room = room["id"].as_str().unwrap().to_owned();
    let (mut a, mut b) = (node.socket(&one).await, node.socket(&two).await);
    a.ok(json!({"type": "join", "room": room, "after": 0})).await;
    a.text(&room, "before").await;
    b.ok(json!({"type": "join", "room": room, "after": 0})).await;
    a.text(&room, "after").await;
    assert_eq!(b.event("message").await["seq"], 2);
    for path in ["messages", "log?after=0"] {
        let page = node.ask(Some(&two), Method::GET, &format!("/api/v1/rooms/{room}/{path}"), None).await.json();
        let seqs: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_i64()).collect();
        assert_eq!(seqs, [Some(2)], "{path}");
    }
}

#[tokio::test]
async fn an_entry_that_comes_early_waits_for_the_one_before_it() {
    let node = node().await;
    let (room, _a, mut b) = pair_of(&node, &node).await;
    // As another node would say it, the second one first. Neither is in the log, so nothing but
    // these can be heard.
    let inner: i64 = sqlx::query_scalar("SELECT id FROM chat_room").fetch_one(&node.app.db).await.unwrap();
    for seq in [2, 1] {
        let frame = json!({"type": "message", "room": room, "seq": seq}).to_string().as_str().into();
        node.app.relay.publish(Publication { node: Uuid::new_v4(), topic: Topic::Room(inner), seq: Some(seq), frame });
    }
    for seq in [1, 2] {
        assert_eq!(b.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn entries_that_come_together_leave_no_hole() {
    let node = node().await;
    let (room, _a, mut b) = pair_of(&node, &node).await;
    let inner: i64 = sqlx::query_scalar("SELECT id FROM chat_room").fetch_one(&node.app.db).await.unwrap();
    let other = Uuid::new_v4();
    // A run of two batches, with one of a third node's between them; then that one.
    for seqs in [vec![1, 2, 4, 5], vec![3]] {
        let entry = |seq| {
            let frame = json!({"type": "message", "room": room, "seq": seq}).to_string().as_str().into();
            Publication { node: other, topic: Topic::Room(inner), seq: Some(seq), frame }
        };
        node.app.relay.publish_all(seqs.into_iter().map(entry).collect());
    }
    for seq in 1..=5 {
        assert_eq!(b.event("message").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_node_reads_nothing_of_a_room_that_nobody_listens_to_until_somebody_comes_back() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (room, mut a, mut b) = pair_of(&node, &other).await;
    b.text(&room, "1").await;
    assert_eq!(b.event("message").await["seq"], 1);
    let inner: i64 = sqlx::query_scalar("SELECT id FROM chat_room").fetch_one(&node.app.db).await.unwrap();
    let delivered = || other.app.rooms.delivery.delivered(inner);
    b.ok(json!({"type": "leave", "room": room})).await;
    for (upto, reads_back) in [(5, true), (205, false)] {
        let before = delivered();
        for n in before.unwrap() + 1..=upto {
            a.text(&room, &format!("{n}")).await;
        }
        delivery::reconcile(&other.app).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await; // longer than an entry that is due is waited for
        assert_eq!(delivered(), before);
        // Few are read into the memory, many are passed over; none is missing.
        b.ok(json!({"type": "join", "room": room, "after": 1})).await;
        for seq in 2..=upto {
            assert_eq!(b.event("message").await["seq"], seq);
        }
        assert_eq!(delivered(), Some(upto));
        assert_eq!(other.app.rooms.delivery.recent_len(inner) > 1, reads_back);
        b.ok(json!({"type": "leave", "room": room})).await;
    }
}

#[tokio::test]
async fn the_last_entry_before_a_silence_is_found_without_a_relay() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (room, mut a, mut b) = pair_of(&node, &other).await;
    assert_eq!(b.text(&room, "and then nothing more").await["seq"], 1);
    // Nothing else is written, so nothing but comparing the heads can bring it.
    assert_eq!(a.event("message").await["seq"], 1);
}

#[tokio::test]
async fn what_passes_is_heard_once_by_everybody_else_on_every_node() {
    let first = node().await;
    let second = Node::beside(&first).await;
    let (room, mut a, mut b) = pair_of(&first, &second).await;
    a.ok(json!({"type": "typing", "room": room})).await;
    let of_a = b.event("typing").await;
    b.ok(json!({"type": "typing", "room": room})).await;
    let of_b = a.event("typing").await;
    assert_ne!(of_a["sender"]["id"], of_b["sender"]["id"], "nobody hears himself");
    for socket in [&mut a, &mut b] {
        socket.ok(json!({"type": "ping"})).await;
        assert!(socket.events.iter().all(|event| event["type"] != "typing"), "{:?}", socket.events);
    }
    // How many are there is known on both.
    for socket in [&mut a, &mut b] {
        let counted = async { while socket.event("presence").await["online"] != 2 {} };
        tokio::time::timeout(PATIENCE, counted).await.expect("both are counted");
    }
}
