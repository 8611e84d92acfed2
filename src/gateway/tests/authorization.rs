//! Who may send which frame: every frame for every kind of person. A new frame does not compile
//! without a rule.
use axum::http::Method;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::wire::documented;
use crate::accounts::{self, EndReason, Role};
use crate::gateway::frames::{self, ClientFrame};
use crate::moderation::{self, NewSanction};
use crate::testing::{Guest, Node, Socket, node};

/// Who may send a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Everybody who has a socket. It changes nothing.
    Socket,
    /// Every visitor.
    Visitor,
    /// Who is in the room, or in the talk.
    Room,
    /// Who is in the room. It is not stored, and ends within a second.
    Ephemeral,
}

fn rule(frame: &ClientFrame) -> Rule {
    match frame {
        ClientFrame::Hello { .. } | ClientFrame::Ping {} => Rule::Socket,
        ClientFrame::Seek { .. } | ClientFrame::Cancel {} => Rule::Visitor,
        ClientFrame::Join { .. }
        | ClientFrame::Leave { .. }
        | ClientFrame::Send { .. }
        | ClientFrame::Next { .. }
        | ClientFrame::Report { .. }
        | ClientFrame::Block { .. } => Rule::Room,
        ClientFrame::Typing { .. } | ClientFrame::Read { .. } => Rule::Ephemeral,
    }
}

/// Returns every kind of frame with its rule, from the examples of docs/WIRE.md, for one room. `leave`
/// comes last.
fn all_frames(room: Uuid) -> Vec<(Value, Rule)> {
    let (examples, _) = documented();
    let mut all = Vec::new();
    for text in examples {
        let rule = rule(&frames::parse(&text).unwrap().frame.unwrap());
        let mut frame: Value = serde_json::from_str(&text).unwrap();
        let fields = frame.as_object_mut().unwrap();
        fields.remove("id");
        for (name, value) in [("room", json!(room)), ("client_id", json!(Uuid::new_v4())), ("seq", json!(0))] {
            if fields.contains_key(name) {
                fields.insert(name.to_owned(), value);
            }
        }
        fields.remove("reply_to");
        fields.remove("after");
        all.push((frame, rule));
    }
    all.sort_by_key(|(frame, _)| frame["type"] == "leave");
    all.retain(|(frame, _)| frame["type"] != "hello");
    all
}

async fn private_room(node: &Node, owner: &Guest) -> Uuid {
    let body = json!({"title": "Room", "kind": "private", "naming": "anonymous", "history": true});
    let room = node.ask(Some(owner), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    room["id"].as_str().unwrap().parse().unwrap()
}

/// Sends a frame. Returns `ok`, the code of its error, or the code with which the socket was closed.
async fn outcome(socket: &mut Socket, id: u64, frame: &Value) -> String {
    let mut frame = frame.clone();
    frame["id"] = id.into();
    socket.throw(Message::text(frame.to_string())).await;
    loop {
        match socket.next().await {
            Ok(answer) if answer["re"] == id => {
                return answer["error"]["code"].as_str().unwrap_or("ok").to_owned();
            }
            Ok(_) => {}
            Err(code) => return code.to_string(),
        }
    }
}

#[tokio::test]
async fn every_frame_has_a_rule_and_keeps_it_for_everybody_with_a_session() {
    let node = node().await;
    let guest = node.guest("en").await;
    let mut people = vec![("guest".to_owned(), guest)];
    for role in Role::ALL {
        people.push((role.as_str().to_owned(), accounts::account(&node, role.as_str(), role).await));
    }
    let stranger = accounts::account(&node, "stranger", Role::Member).await;
    for (name, browser) in people {
        let room = private_room(&node, &browser).await;
        let (mut own, mut foreign) = (node.socket(&browser).await, node.socket(&stranger).await);
        for (nth, (frame, _)) in (100..).zip(all_frames(room)) {
            let code = outcome(&mut own, nth, &frame).await;
            // The talk and the member of the examples do not exist, and nothing is there to report.
            let may_fail = ["next", "report", "block"].iter().any(|kind| frame["type"] == *kind);
            assert!(
                code == "ok" || (may_fail && ["not_found", "bad_payload"].contains(&&*code)),
                "{name}: {frame} {code}"
            );
        }
        // After the others: two who seek at a time would meet.
        for (nth, (frame, rule)) in (100..).zip(all_frames(room)) {
            let code = outcome(&mut foreign, nth, &frame).await;
            let wanted = if matches!(rule, Rule::Room | Rule::Ephemeral) { "not_found" } else { "ok" };
            assert_eq!(code, wanted, "stranger: {frame}");
        }
    }
}

#[tokio::test]
async fn no_frame_of_a_banned_or_revoked_visitor_is_carried_out() {
    let here = node().await;
    let there = Node::apart(&here).await;
    let kinds = all_frames(Uuid::nil()).len();
    for nth in 0..kinds {
        for banned in [false, true] {
            let browser = accounts::account(&here, &format!("p{nth}-{banned}"), Role::Member).await;
            let who = here.visitor_of(&browser).await;
            let room = private_room(&here, &browser).await;
            let (frame, rule) = all_frames(room)[nth].clone();
            let mut socket = there.socket(&browser).await;
            socket.ok(json!({"type": "join", "room": room})).await;
            if banned {
                let new = NewSanction { visitor: who.id, reason: "a test", author: None, lasts: None };
                moderation::ban(&here.app, &new).await.unwrap();
            } else {
                let change = async |_: &mut PgConnection| Ok(());
                let account = who.account.as_ref().unwrap().id;
                accounts::revoke_sessions(&here.app, account, EndReason::RoleChanged, change).await.unwrap();
            }
            let code = outcome(&mut socket, 100, &frame).await;
            let mut refusals = if banned { vec!["banned", "4403"] } else { vec!["session_ended", "4401"] };
            // What changes nothing may be answered until the socket is closed; leaving takes nothing
            // from anybody.
            let is_harmless = matches!(rule, Rule::Socket | Rule::Ephemeral);
            if is_harmless || (banned && ["cancel", "leave"].iter().any(|kind| frame["type"] == *kind)) {
                refusals.push("ok");
            }
            if frame["type"] == "next" {
                refusals.push("not_found"); // the talk of the example does not exist
            }
            assert!(refusals.contains(&&*code), "{frame} {banned}: {code}");
            let upgrade = there.upgrade(Some(&there.origin()), Some("maju.v1"), Some(&browser));
            match tokio_tungstenite::connect_async(upgrade).await {
                Ok(_) => assert!(banned, "a banned visitor is upgraded, told and closed"),
                Err(why) => assert!(!banned && why.to_string().contains("401"), "{why}"),
            }
        }
    }
}
