//! Reports: who is reported, which evidence is stored, and that each thing is reported once.
use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::count;
use crate::testing::{Guest, Node, Socket, limited_node, node};

const REPORTS: &str = "SELECT count(*) FROM report";
const BLOCKS: &str = "SELECT count(*) FROM visitor_block";

fn report(room: &str, seqs: &[i64], block: bool) -> Value {
    json!({"type": "report", "room": room, "reason": "spam", "seqs": seqs, "block": block})
}

async fn open(node: &Node, owner: &Guest, history: bool) -> String {
    let body = json!({"title": "Public", "kind": "public", "naming": "anonymous", "history": history});
    let made = node.ask(Some(owner), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    made["id"].as_str().unwrap().to_owned()
}

async fn join(node: &Node, guest: &Guest, room: &str) -> Socket {
    let mut socket = node.socket(guest).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    socket
}

async fn error(socket: &mut Socket, frame: Value) -> (String, String) {
    let id = socket.say(frame).await;
    let error = socket.answer(id).await["error"].clone();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("field"))
}

#[tokio::test]
async fn a_report_in_a_room_needs_a_visible_entry_of_one_other_person() {
    let node = node().await;
    let (one, two, late) = (node.guest("ko").await, node.guest("en").await, node.guest("en").await);
    let room = open(&node, &one, false).await;
    let (mut a, mut b) = (join(&node, &one, &room).await, join(&node, &two, &room).await);
    a.text(&room, "one").await;
    b.text(&room, "two").await;
    let mut c = join(&node, &late, &room).await; // cannot see the earlier entries
    c.text(&room, "three").await;
    let nobody = ("bad_payload".to_owned(), "seqs".to_owned());
    for seqs in [vec![], vec![77], vec![i64::MAX], vec![0], vec![-1], vec![i64::MIN], vec![1, 2], vec![3], vec![1, 3]] {
        assert_eq!(error(&mut c, report(&room, &seqs, true)).await, nobody, "{seqs:?}");
    }
    assert_eq!(error(&mut b, report(&room, &[2], true)).await, nobody, "an own entry");
    assert_eq!(error(&mut b, report(&room, &[1, 3], true)).await, nobody, "entries of two authors");
    assert_eq!((count(&node, REPORTS).await, count(&node, BLOCKS).await), (0, 0));
    // It reports the author of the chosen entries. The reporter's own entry can be among them.
    b.ok(report(&room, &[2, 3], true)).await;
    let (reported, blocked): (Uuid, i64) = sqlx::query_as(
        "SELECT v.public_id, (SELECT count(*) FROM visitor_block WHERE v.id IN (low, high))
         FROM report r JOIN visitor v ON v.id = r.reported_id",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    assert_eq!((reported.to_string(), blocked), (late.id.clone(), 1));
    assert_eq!(count(&node, BLOCKS).await, 1);
    // Entries that the newcomer cannot read are not in the evidence of its report.
    a.text(&room, "four").await;
    c.ok(report(&room, &[1, 4], false)).await;
    let evidence: Value = sqlx::query_scalar("SELECT evidence FROM report ORDER BY id DESC LIMIT 1")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    let seqs: Vec<i64> = evidence.as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [3, 4]);
    assert_eq!(count(&node, BLOCKS).await, 1, "a block needs `block`");
}

#[tokio::test]
async fn a_report_is_stored_once_and_a_repeat_gets_the_first_answer() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = open(&node, &one, true).await;
    let (mut a, mut b) = (join(&node, &one, &room).await, join(&node, &two, &room).await);
    for words in ["one", "two", "three"] {
        a.text(&room, words).await;
    }
    let first = b.ok(report(&room, &[1, 2], false)).await;
    for seqs in [vec![1], vec![2], vec![2, 1]] {
        assert_eq!(b.ok(report(&room, &seqs, false)).await, first, "{seqs:?}");
    }
    assert_eq!(count(&node, REPORTS).await, 1);
    assert_ne!(b.ok(report(&room, &[2, 3], false)).await, first, "one of the entries was not reported before");
    assert_eq!(b.ok(report(&room, &[1], true)).await, first);
    assert_eq!((count(&node, REPORTS).await, count(&node, BLOCKS).await), (2, 1), "a repeat can still block");

    let mut talk = node.talk(&node.guest("ko").await, &node.guest("en").await).await;
    talk.b.text(&talk.room, "hey").await;
    let mine = talk.a.ok(report(&talk.room, &[], false)).await;
    for seqs in [vec![], vec![1], vec![77]] {
        assert_eq!(talk.a.ok(report(&talk.room, &seqs, false)).await, mine, "a talk is reported as a whole");
    }
    assert_ne!(talk.b.ok(report(&talk.room, &[], false)).await, mine, "the other side has its own report");
    assert_eq!(count(&node, REPORTS).await, 4);
}

#[tokio::test]
async fn reports_of_one_thing_at_the_same_time_are_one_report() {
    let node = node().await;
    let apart = Node::apart(&node).await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let room = open(&node, &one, true).await;
    let mut a = join(&node, &one, &room).await;
    a.text(&room, "one").await;
    a.text(&room, "two").await;
    let mut sockets = Vec::new();
    for n in 0..8 {
        sockets.push(join(if n % 2 == 0 { &node } else { &apart }, &two, &room).await);
    }
    let all = sockets.iter_mut().map(|socket| socket.ok(report(&room, &[2, 1], true)));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(count(&node, REPORTS).await, 1);
}

#[tokio::test]
async fn evidence_has_its_bound_and_the_chosen_entries_come_first() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let long = "😀".repeat(2_000);
    for _ in 0..60 {
        talk.b.text(&talk.room, &long).await;
    }
    talk.a.ok(report(&talk.room, &[2, 3], false)).await;
    let (evidence, bytes): (Value, i32) = sqlx::query_as("SELECT evidence, octet_length(evidence::text) FROM report")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    let seqs: Vec<i64> = evidence.as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()).collect();
    assert!(bytes <= 256 * 1024 + 1_024 && bytes > 200 * 1024, "{bytes}");
    assert_eq!(seqs[..2], [2, 3]);
    let chosen = |entry: &Value| entry["chosen"].as_bool().unwrap();
    let marked: Vec<bool> = evidence.as_array().unwrap().iter().map(chosen).collect();
    assert!(marked[..2] == [true, true] && !marked[2..].contains(&true), "{marked:?}");
    assert_eq!(seqs.last(), Some(&60));
    assert!(seqs[2..].windows(2).all(|pair| pair[1] == pair[0] + 1), "the newest: {seqs:?}");
    talk.b.event("ended").await;
    talk.b.ok(json!({"type": "ping"})).await;
}

#[tokio::test]
async fn a_note_needs_visible_text() {
    let node = limited_node().await;
    let mut talk = node.talk(&node.guest("ko").await, &node.guest("en").await).await;
    let with = |note: &str| {
        let mut frame = report(&talk.room, &[], false);
        frame["note"] = json!(note);
        frame
    };
    for note in ["\u{200b}", "\u{3164}", "a\u{202e}b", "a\u{0}"] {
        assert_eq!(error(&mut talk.a, with(note)).await, ("bad_frame".to_owned(), "note".to_owned()));
    }
    assert_eq!(error(&mut talk.a, with(&"x".repeat(1_001))).await, ("too_long".to_owned(), "note".to_owned()));
    talk.a.ok(with(" \n ")).await;
    let note: Option<String> = sqlx::query_scalar("SELECT note FROM report").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(note, None);
}
