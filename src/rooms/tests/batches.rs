//! Batches: what is acknowledged is committed, one bad entry does not harm the others, and two
//! nodes number one log.
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{committed, create_public_room, join_two_guests, post_text, submit, text_post};
use crate::ids::Seq;
use crate::rooms::{Post, join};
use crate::testing::{Node, eventually, node};

/// Installs a trigger that makes the commit of an entry fail, with this SQLSTATE, if the condition
/// holds. The insert itself succeeds. A condition can count the attempts with the sequence
/// `attempts`.
async fn fail_commits(node: &Node, condition: &str, sqlstate: &str) {
    let sql = format!(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {condition} THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '{sqlstate}'; END IF;
            RETURN NEW;
         END $$;
         CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&node.app.db).await.unwrap();
}

#[tokio::test]
async fn an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone() {
    let node = node().await;
    let (room, mut a, mut b) = join_two_guests(&node, &node).await;
    fail_commits(&node, "NEW.payload ->> 'text' = 'poison'", "P0001").await;
    let mut requests = Vec::new();
    for text in ["one", "poison", "two"] {
        let payload = json!({"kind": "text", "text": text});
        requests
            .push(a.say(json!({"type": "send", "room": room, "client_id": Uuid::new_v4(), "payload": payload})).await);
    }
    let mut answers = Vec::new();
    for id in requests {
        answers.push(a.answer(id).await);
    }
    assert_eq!((&answers[0]["ok"]["seq"], &answers[2]["ok"]["seq"]), (&json!(1), &json!(2)), "{answers:?}");
    assert_eq!(answers[1]["error"]["code"], "internal");
    for (seq, text) in [(1, "one"), (2, "two")] {
        let event = b.event("message").await;
        assert_eq!((&event["seq"], &event["payload"]["text"]), (&json!(seq), &json!(text)));
    }
    // An acknowledged entry is visible to every reader at once.
    let sent = a.text(&room, "three").await;
    let stored: i64 = sqlx::query_scalar("SELECT max(seq) FROM message").fetch_one(&node.app.db).await.unwrap();
    assert_eq!((sent["seq"].as_i64(), stored), (Some(3), 3));
}

#[tokio::test]
async fn an_entry_that_cannot_be_stored_fails_alone() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    let Value::Object(payload) = json!({"kind": "text", "text": "x"}) else { unreachable!() };
    let bad = Post {
        client_id: Uuid::new_v4(),
        payload,
        reply_to: Some(Seq(99)),
        prefix: Vec::new(),
        requested_at: Instant::now(),
    };
    let before = submit(&node.app, &who, room, text_post(Uuid::new_v4(), "a")).await.unwrap();
    let bad = submit(&node.app, &who, room, bad).await.unwrap();
    let after = submit(&node.app, &who, room, text_post(Uuid::new_v4(), "b")).await.unwrap();
    assert_eq!(committed(before).await.unwrap().seq, Seq(1));
    assert_eq!(committed(bad).await.unwrap_err().code(), "bad_frame");
    assert_eq!(committed(after).await.unwrap().seq, Seq(2), "the refused entry leaves no gap");
}

#[tokio::test]
async fn a_batch_that_fails_to_serialize_is_retried() {
    let node = node().await;
    let (room, mut a, mut b) = join_two_guests(&node, &node).await;
    fail_commits(&node, "nextval('attempts') = 1", "40001").await;
    assert_eq!(a.text(&room, "once").await["seq"], 1);
    assert_eq!(b.event("message").await["seq"], 1);
}

#[tokio::test]
async fn two_nodes_that_write_at_once_number_one_log_without_gaps() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    // Four independent writers, so that the batches of the two nodes meet in every possible order.
    let writers = [&node, &other, &node, &other].map(async |node| {
        let mut seqs = Vec::new();
        for _ in 0..50 {
            seqs.push(post_text(node, &who, room, "x").await.unwrap());
        }
        seqs
    });
    let mut seqs = futures_util::future::join_all(writers).await.concat();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).map(Seq).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_head_is_locked_until_its_batch_is_committed() {
    let node = node().await;
    let owner = node.guest("en").await;
    let room = create_public_room(&node, &owner).await;
    let who = node.visitor("en").await;
    join(&node.app, &who, room).await.unwrap();
    // The trigger makes an insert wait while this test holds an advisory lock.
    let sql = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                  PERFORM pg_advisory_xact_lock(7);
                  RETURN NEW;
               END $$;
               CREATE TRIGGER wait BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION wait();";
    sqlx::raw_sql(sql).execute(&node.app.db).await.unwrap();
    let mut lock = node.app.db.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(&mut *lock).await.unwrap();
    let id = Uuid::new_v4();
    let receipt = submit(&node.app, &who, room, text_post(id, "x")).await.unwrap();
    let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&node.app.db).await.unwrap();
    eventually("the batch waits in its insert", || async {
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                       WHERE datname = current_database() AND locktype = 'advisory' AND objid = 7 AND NOT granted";
        count(waiting).await == 1
    })
    .await;
    let unlocked = "SELECT count(*) FROM (SELECT 1 FROM room_head FOR UPDATE SKIP LOCKED) AS unlocked";
    assert_eq!(count(unlocked).await, 0, "another writer could number entries now");
    lock.rollback().await.unwrap();
    drop(receipt);
    eventually("the entry is written", || async {
        let retry = submit(&node.app, &who, room, text_post(id, "x")).await.unwrap();
        committed(retry).await.is_ok_and(|posted| posted.seq == Seq(1))
    })
    .await;
}
