//! Revocation: nothing is written after the commit that ended a session, over REST or the socket,
//! whatever a node has in memory.
use std::time::Duration;

use axum::http::Method;
use rand::RngExt as _;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio_tungstenite::tungstenite;
use uuid::Uuid;

use super::{account, rounds, session_of, sign_in};
use crate::accounts::{self, EndReason, Role, Visitor, renew_own_session, require_session, revoke_sessions, signed_in};
use crate::error::Result;
use crate::ids::VisitorId;
use crate::matching::{self, NewReport, Seek};
use crate::moderation::{self, NewSanction, ReportReason};
use crate::realtime::Queue;
use crate::rooms;
use crate::testing::{Answer, Guest, Node, node};

/// A way to end a session, or the right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revocation {
    Password,
    Role,
    Deactivation,
    SignOut,
    SignInElsewhere,
    Ban,
}

impl Revocation {
    const ALL: [Self; 6] =
        [Self::Password, Self::Role, Self::Deactivation, Self::SignOut, Self::SignInElsewhere, Self::Ban];

    /// Revokes, and returns after the commit.
    async fn apply(self, node: &Node, browser: &Guest, who: &Visitor) {
        let account = who.account.as_ref().unwrap();
        let change = |reason, sql: &'static str| {
            revoke_sessions(&node.app, account.id, reason, async move |tx: &mut PgConnection| {
                sqlx::query(sql).bind(account.id).execute(tx).await?;
                Ok(())
            })
        };
        match self {
            Self::Password => {
                let sql = "UPDATE account SET password = 'x', password_set_at = now() WHERE id = $1";
                change(EndReason::PasswordChanged, sql).await.unwrap();
            }
            Self::Role => {
                change(EndReason::RoleChanged, "UPDATE account SET role = 'editor' WHERE id = $1").await.unwrap()
            }
            Self::Deactivation => {
                let sql = "UPDATE account SET status = 'deactivated', deactivated_at = now() WHERE id = $1";
                change(EndReason::Deactivated, sql).await.unwrap();
            }
            Self::SignOut => {
                let answer = node.ask(Some(browser), Method::POST, "/api/v1/sign-out", None).await;
                assert_eq!(answer.status, 204, "{}", answer.text);
            }
            Self::SignInElsewhere => drop(sign_in(node, &account.handle).await.unwrap()),
            Self::Ban => {
                let new = NewSanction { visitor: who.id, reason: "a test", author: None, lasts: None };
                moderation::ban(&node.app, &new).await.unwrap();
            }
        }
    }

    /// Returns the error code that the session's writes get afterwards.
    fn code(self) -> &'static str {
        if self == Self::Ban { "banned" } else { "session_ended" }
    }
}

async fn public_room(node: &Node, owner: &Guest) -> Uuid {
    let body = json!({"title": "Room", "kind": "public", "naming": "anonymous", "history": true});
    let room = node.ask(Some(owner), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    room["id"].as_str().unwrap().parse().unwrap()
}

fn code<T>(outcome: Result<T>) -> String {
    outcome.err().map_or_else(|| "ok".to_owned(), |why| why.code().to_owned())
}

/// The writes that nobody may make with a session that was revoked: every verb that a frame or a route
/// calls, called with the visitor as a node knew it before.
#[tokio::test]
async fn a_visitor_of_an_ended_session_writes_nothing() {
    let here = node().await;
    let there = Node::apart(&here).await;
    let owner = here.guest("en").await;
    let (room, other_room) = (public_room(&here, &owner).await, public_room(&here, &owner).await);
    for (nth, revocation) in Revocation::ALL.into_iter().enumerate() {
        let browser = account(&here, &format!("hana{nth}"), Role::Member).await;
        let who = here.visitor_of(&browser).await;
        rooms::join(&there.app, &who, room).await.unwrap();
        let membership = rooms::membership(&there.app, &who, room).await.unwrap();
        let other: Uuid = sqlx::query_scalar("SELECT public_id FROM membership WHERE room_id = $1 AND role = 'owner'")
            .bind(membership.room.id)
            .fetch_one(&here.app.db)
            .await
            .unwrap();
        revocation.apply(&here, &browser, &who).await;
        let app = &there.app;
        let queue = std::sync::Arc::new(Queue::new(who.id));
        let mut tx = app.db.begin().await.unwrap();
        assert_eq!(code(require_session(&mut tx, &who).await), revocation.code(), "{revocation:?}");
        drop(tx);
        assert_eq!(code(matching::seek(app, &who, Seek::default()).await), revocation.code(), "{revocation:?}");
        assert_eq!(code(accounts::reload(app, &who).await), revocation.code(), "{revocation:?}");
        let message = || rooms::Post {
            client_id: Uuid::new_v4(),
            payload: serde_json::from_value(json!({"kind": "text", "text": "late"})).unwrap(),
            reply_to: None,
            prefix: Vec::new(),
            requested_at: tokio::time::Instant::now(),
        };
        assert_eq!(code(rooms::post_and_wait(app, &who, room, message()).await), revocation.code(), "{revocation:?}");
        assert_eq!(code(rooms::join(app, &who, other_room).await), revocation.code(), "{revocation:?}");
        if revocation == Revocation::Ban {
            continue; // the rest takes rights away from nobody but the visitor
        }
        assert_eq!(code(matching::cancel(app, &who).await), "session_ended", "{revocation:?}");
        let report = NewReport { room, reason: ReportReason::Spam, seqs: Vec::new(), note: None, block: true };
        assert_eq!(code(matching::report(app, &who, report).await), "session_ended", "{revocation:?}");
        assert_eq!(code(matching::block(app, &who, room, other).await), "session_ended", "{revocation:?}");
        assert_eq!(code(matching::unblock(app, &who, room, other).await), "session_ended", "{revocation:?}");
        assert_eq!(code(rooms::typing(app, &who, room, &queue).await), "session_ended", "{revocation:?}");
        assert_eq!(code(rooms::read(app, &who, room, crate::ids::Seq(0), &queue).await), "session_ended");
        // The membership is still there, and the session must not end it.
        assert_eq!(code(rooms::leave(app, &who, room).await), "session_ended", "{revocation:?}");
        let left: bool =
            sqlx::query_scalar("SELECT left_at IS NOT NULL FROM membership WHERE room_id = $1 AND visitor_id = $2")
                .bind(membership.room.id)
                .bind(who.id)
                .fetch_one(&here.app.db)
                .await
                .unwrap();
        assert!(!left, "{revocation:?}");
    }
}

#[tokio::test]
async fn a_revoked_session_ends_no_talk() {
    let node = node().await;
    let other = Node::apart(&node).await;
    let (hana, guest) = (account(&node, "hana", Role::Member).await, node.guest("ko").await);
    let who = node.visitor_of(&hana).await;
    let mut talk = node.talk(&hana, &guest).await;
    let session: Uuid = talk.session.parse().unwrap();
    let membership = rooms::membership(&other.app, &who, talk.room.parse().unwrap()).await.unwrap();
    Revocation::SignInElsewhere.apply(&node, &hana, &who).await;
    assert_eq!(code(matching::next(&other.app, &who, session, false).await), "session_ended");
    assert_eq!(code(matching::leave(&other.app, &who, &membership).await), "session_ended");
    talk.b.text(&talk.room, "still here?").await; // the talk is open
    assert_eq!(talk.a.closed().await, 4409);
}

/// What a visitor has written, however it was sent.
async fn count_writes(node: &Node, visitor: VisitorId) -> (i64, i64, Option<String>) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM message WHERE sender_id = $1), (SELECT count(*) FROM chat_room WHERE owner_id = $1),
                (SELECT name FROM visitor WHERE id = $1)",
    )
    .bind(visitor)
    .fetch_one(&node.app.db)
    .await
    .unwrap()
}

/// Repeats a request until it was refused several times. Asserts the code of each refusal.
async fn repeat_until_refused<F: Future<Output = Answer>>(wanted: &str, mut ask: impl FnMut(usize) -> F) {
    let mut refused = 0;
    for turn in 0..5_000 {
        let answer = ask(turn).await;
        if answer.status.is_success() {
            continue;
        }
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        assert!(code == wanted || code == "unavailable", "{code}");
        refused += usize::from(code == wanted);
        if refused == 3 {
            return;
        }
    }
    panic!("never refused with {wanted}");
}

/// A member writes over a socket and REST on one node, as fast as it can, while another node revokes.
async fn writes_end_with_the_session(here: &Node, there: &Node, rounds: usize) {
    let owner = here.guest("en").await;
    let room = public_room(here, &owner).await;
    for round in 0..rounds {
        for revocation in Revocation::ALL {
            let browser = account(here, &format!("r{round}-{revocation:?}").to_lowercase(), Role::Member).await;
            let who = here.visitor_of(&browser).await;
            rooms::join(&here.app, &who, room).await.unwrap();
            let mut socket = there.socket(&browser).await;
            socket.ok(json!({"type": "join", "room": room})).await;
            let wanted = revocation.code();
            let message = || json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
            let sending = async {
                for id in 100..100_000 {
                    let mut frame = message();
                    (frame["id"], frame["type"], frame["room"]) = (id.into(), "send".into(), room.to_string().into());
                    socket.throw(tungstenite::Message::text(frame.to_string())).await;
                    if let Err(code) = socket.next().await {
                        return assert!([4401, 4403, 4409].contains(&code), "{code}");
                    }
                }
            };
            let path = format!("/api/v1/rooms/{room}/messages");
            let ask = |method, path: String, body: Value| {
                let browser = browser.clone();
                async move { there.ask(Some(&browser), method, &path, Some(body)).await }
            };
            let posting = repeat_until_refused(wanted, |_| ask(Method::POST, path.clone(), message()));
            let naming = repeat_until_refused(wanted, |turn| {
                ask(Method::PATCH, "/api/v1/me".to_owned(), json!({"name": format!("n{turn}")}))
            });
            let making = repeat_until_refused(wanted, |_| {
                let body = json!({"title": "x", "kind": "private", "naming": "anonymous", "history": true});
                ask(Method::POST, "/api/v1/rooms".to_owned(), body)
            });
            let revoking = async {
                let pause = rand::rng().random_range(0..60_000);
                tokio::time::sleep(Duration::from_micros(pause)).await;
                revocation.apply(here, &browser, &who).await;
                count_writes(here, who.id).await
            };
            let ((), (), (), (), at_commit) = tokio::join!(sending, posting, naming, making, revoking);
            assert_eq!(count_writes(here, who.id).await, at_commit, "round {round}: {revocation:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_accepted_after_a_revocation_without_a_relay() {
    let here = node().await;
    let there = Node::apart(&here).await;
    writes_end_with_the_session(&here, &there, rounds(5, 200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_accepted_after_a_revocation_on_two_nodes() {
    let here = node().await;
    let there = Node::beside(&here).await;
    writes_end_with_the_session(&here, &there, rounds(5, 200)).await;
}

#[tokio::test]
async fn a_change_that_fails_ends_no_session() {
    let node = node().await;
    let hana = account(&node, "hana", Role::Member).await;
    let who = node.visitor_of(&hana).await;
    let refuse = async |_: &mut PgConnection| Err(crate::error::Error::WrongCredentials);
    let outcome = revoke_sessions(&node.app, who.account.as_ref().unwrap().id, EndReason::PasswordChanged, refuse);
    assert_eq!(code(outcome.await), "wrong_credentials");
    assert_eq!(node.ask(Some(&hana), Method::GET, "/api/v1/sessions", None).await.status, 200);
    let unknown =
        revoke_sessions(&node.app, crate::ids::AccountId(0), EndReason::Deleted, async |_: &mut PgConnection| Ok(()));
    assert_eq!(code(unknown.await), "not_found");
}

#[tokio::test]
async fn a_session_goes_on_after_the_revocation_it_asked_for_and_not_after_another() {
    let node = node().await;
    for other in [None, Some(EndReason::RoleChanged)] {
        let browser = account(&node, if other.is_some() { "two" } else { "one" }, Role::Member).await;
        let session = session_of(&node, &browser);
        let before = signed_in(&session).await.unwrap().unwrap();
        let account = node.visitor_of(&browser).await.account.unwrap();
        for reason in [Some(EndReason::PasswordChanged), other].into_iter().flatten() {
            revoke_sessions(&node.app, account.id, reason, async |_: &mut PgConnection| Ok(())).await.unwrap();
        }
        let renewed = renew_own_session(&node.app, &session, &account).await;
        let rooms = |cookie: String| {
            let guest = Guest { cookie, id: browser.id.clone() };
            let node = &node;
            async move { node.ask(Some(&guest), Method::GET, "/api/v1/sessions", None).await }
        };
        assert_eq!(rooms(browser.cookie.clone()).await.status, 401, "the old id has ended");
        let name = browser.cookie.split_once('=').unwrap().0;
        let answer = rooms(format!("{name}={}", session.id().unwrap())).await;
        if other.is_some() {
            assert_eq!((code(renewed), answer.status.as_u16()), ("session_ended".to_owned(), 401));
            continue;
        }
        assert_eq!((code(renewed), answer.status.as_u16()), ("ok".to_owned(), 200));
        let (list, after) = (answer.json()["items"].clone(), signed_in(&session).await.unwrap().unwrap());
        assert_eq!(list.as_array().unwrap().len(), 1, "it is the same session: {list}");
        assert_eq!(
            (list[0]["id"].as_str().unwrap().parse(), after.public_id),
            (Ok(before.public_id), before.public_id)
        );
        assert_eq!((after.ends_at, after.epoch), (before.ends_at, before.epoch + 1), "its end does not move");
    }
}
