//! What the owner of an account does, tested over the real router and Postgres.
use std::collections::HashSet;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::deletion::delete_due;
use super::store;
use crate::accounts::sign_in::tests::{
    Browser, PASSWORD, PIN, Stored, TOTP_SECRET, code_now, member, outcome, store_account, wrong_code,
};
use crate::accounts::{Role, sign_in};
use crate::testing::{Node, node};

const NEW_PASSWORD: &str = "another horse battery";

#[tokio::test]
async fn guests_are_asked_to_sign_in() {
    let node = node().await;
    let mut guest = Browser::of(&node.newcomer("en").await);
    for (method, path, body) in [
        (Method::GET, "/account", None),
        (Method::POST, "/account/password", Some(json!({"current": PASSWORD, "new": NEW_PASSWORD}))),
        (Method::POST, "/account/totp", None),
        (Method::POST, "/account/totp/confirm", Some(json!({"code": "123456"}))),
        (Method::DELETE, "/account/totp", Some(json!({"password": PASSWORD}))),
        (Method::POST, "/account/recovery-codes", Some(json!({"password": PASSWORD}))),
        (Method::POST, "/account/pin", Some(json!({"pin": PIN, "password": PASSWORD}))),
        (Method::DELETE, "/account/pin", Some(json!({"password": PASSWORD}))),
        (Method::POST, "/account/email", Some(json!({"email": "a@b.kr", "password": PASSWORD}))),
        (Method::POST, "/account/delete", Some(json!({"password": PASSWORD}))),
        (Method::POST, "/account/delete/undo", None),
        (Method::GET, "/account/export", None),
    ] {
        let answer = guest.ask(&node, method.clone(), path, body.clone()).await;
        assert_eq!(outcome(&answer), (401, "sign_in_needed".to_owned()), "{method} {path}");
        let answer = Browser::default().ask(&node, method.clone(), path, body).await;
        assert_eq!(outcome(&answer), (401, "session_ended".to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_keeps_ones_own() {
    let node = node().await;
    let mut own = member(&node, "somebody").await;
    let wrong = json!({"current": "not this one", "new": NEW_PASSWORD});
    assert_eq!(outcome(&own.post(&node, "/account/password", wrong).await), (401, "wrong_credentials".to_owned()));
    let weak = own.post(&node, "/account/password", json!({"current": PASSWORD, "new": "somebody1"})).await;
    assert_eq!((outcome(&weak), weak.json()["field"].clone()), ((400, "bad_frame".to_owned()), json!("new")));
    let before = own.cookie.clone();
    let changed = own.post(&node, "/account/password", json!({"current": PASSWORD, "new": NEW_PASSWORD})).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.text);
    assert_ne!(own.cookie, before, "the session has a new id");
    assert_eq!(own.signed_in(&node).await.as_deref(), Some("somebody"));
    assert_eq!(Browser { cookie: before }.signed_in(&node).await, None);
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(Browser::default().begin(&node, "somebody", NEW_PASSWORD).await.json()["done"], true);
}

#[tokio::test]
async fn one_time_codes_are_set_up_used_and_removed() {
    let node = node().await;
    let mut own = member(&node, "somebody").await;
    let early = own.post(&node, "/account/totp/confirm", json!({"code": "123456"})).await;
    assert_eq!(outcome(&early), (409, "conflict".to_owned()));
    let first = own.ask(&node, Method::POST, "/account/totp", None).await.json();
    let second = own.ask(&node, Method::POST, "/account/totp", None).await.json();
    assert_ne!(first["secret"], second["secret"]);
    let secret = |of: &Value| totp_rs::Secret::try_from_base32(of["secret"].as_str().unwrap()).unwrap().to_vec();
    let wrong = wrong_code(&node, &secret(&second));
    let refused = own.post(&node, "/account/totp/confirm", json!({"code": wrong})).await;
    assert_eq!(outcome(&refused), (401, "wrong_credentials".to_owned()));
    let code = code_now(&node, &secret(&second));
    let confirmed = own.post(&node, "/account/totp/confirm", json!({"code": code})).await.json();
    let codes: HashSet<&str> =
        confirmed["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes.len(), 10);
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT hash FROM recovery_code").fetch_all(&node.app.db).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32), "only hashes are stored");
    let again = own.ask(&node, Method::POST, "/account/totp", None).await;
    assert_eq!(outcome(&again), (409, "conflict".to_owned()));
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.json()["next"], "totp");
    let renewed = own.post(&node, "/account/recovery-codes", json!({"password": PASSWORD})).await.json();
    assert!(renewed["recovery_codes"].as_array().unwrap().iter().all(|code| !codes.contains(code.as_str().unwrap())));
    let mut old_code = Browser::default();
    old_code.begin(&node, "somebody", PASSWORD).await;
    assert_eq!(old_code.step(&node, "recovery", codes.iter().next().unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let removed = own.ask(&node, Method::DELETE, "/account/totp", Some(json!({"password": "wrong"}))).await;
    assert_eq!(outcome(&removed), (401, "wrong_credentials".to_owned()));
    let removed = own.ask(&node, Method::DELETE, "/account/totp", Some(json!({"password": PASSWORD}))).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let account = own.ask(&node, Method::GET, "/account", None).await.json();
    assert_eq!((&account["totp"], &account["recovery_codes"]), (&json!(false), &json!(0)));
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.json()["done"], true);
}

#[tokio::test]
async fn staff_cannot_do_without_a_second_factor() {
    let node = node().await;
    store_account(&node, Stored { role: Role::Editor, totp: true, ..Stored::member("writer") }).await;
    let mut own = Browser::default();
    own.begin(&node, "writer", PASSWORD).await;
    assert_eq!(own.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await.json()["done"], true);
    let refused = own.ask(&node, Method::DELETE, "/account/totp", Some(json!({"password": PASSWORD}))).await;
    assert_eq!(outcome(&refused), (403, "forbidden".to_owned()));
    assert_eq!(own.ask(&node, Method::GET, "/account", None).await.json()["totp_required"], true);
}

#[tokio::test]
async fn a_pin_is_asked_for_from_the_next_sign_in_on() {
    let node = node().await;
    let mut own = member(&node, "somebody").await;
    for (pin, password, expected) in [("12345", PASSWORD, 400), (PIN, "wrong", 401), (PIN, PASSWORD, 204)] {
        let answer = own.post(&node, "/account/pin", json!({"pin": pin, "password": password})).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text);
    }
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.json()["next"], "pin");
    let removed = own.ask(&node, Method::DELETE, "/account/pin", Some(json!({"password": PASSWORD}))).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.json()["done"], true);
}

#[tokio::test]
async fn a_repeated_password_is_throttled_like_a_sign_in() {
    let node = node().await;
    let mut own = member(&node, "somebody").await;
    let mut codes = Vec::new();
    for _ in 0..7 {
        codes.push(outcome(&own.post(&node, "/account/delete", json!({"password": "guess"})).await).0);
    }
    assert_eq!(codes, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(own.signed_in(&node).await.as_deref(), Some("somebody"), "the session goes on");
}

/// Returns the body of a finished export.
async fn exported(own: &mut Browser, node: &Node) -> Value {
    let answer = own.ask(node, Method::GET, "/account/export", None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let name = answer.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"maju-"), "{name}");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    answer.json()
}

#[tokio::test]
async fn an_export_has_everything_of_its_owner_and_nothing_of_others() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    talk.a.text(&talk.room, "mine in the talk").await;
    talk.b.text(&talk.room, "theirs in the talk").await;
    let title = json!({"title": "A room \"with\" quotes", "kind": "public", "naming": "anonymous", "history": true});
    let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(title)).await.json();
    let room = room["id"].as_str().unwrap().to_owned();
    talk.a.ok(json!({"type": "join", "room": room})).await;
    for n in 0..25 {
        talk.a.text(&room, &format!("mine {n}")).await;
    }
    let report =
        json!({"type": "report", "room": talk.room, "reason": "spam", "seqs": [], "note": "a note", "block": true});
    talk.a.ok(report).await;
    let mut own = Browser::of(&one);
    own.sign_up(&node, "somebody").await;
    let all = exported(&mut own, &node).await;
    let lengths: Vec<usize> = ["sessions", "rooms", "blocks", "reports", "messages"]
        .iter()
        .map(|list| all[list].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [1, 2, 1, 1, 26], "{all}");
    assert_eq!((&all["account"]["handle"], &all["visitor"]["id"]), (&json!("somebody"), &json!(one.id)));
    assert_eq!(all["reports"][0]["note"], "a note");
    let text = all.to_string();
    assert!(text.contains("mine in the talk") && text.contains("mine 24") && !text.contains("theirs"), "{text}");
    for secret in [PASSWORD, "argon2", &two.id] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn an_export_ends_with_the_session() {
    let node = node().await;
    let own = member(&node, "somebody").await;
    let who = node.ask(own.guest().as_ref(), Method::GET, "/api/v1/me", None).await.json();
    let guest = crate::testing::Guest {
        cookie: own.cookie.clone().unwrap(),
        id: who["visitor"]["id"].as_str().unwrap().to_owned(),
    };
    let visitor = node.visitor_of(&guest).await;
    let body = super::export(&node.app, &visitor).await.unwrap();
    sqlx::query("UPDATE account SET session_epoch = session_epoch + 1").execute(&node.app.db).await.unwrap();
    assert!(axum::body::to_bytes(body, 1 << 20).await.is_err(), "what is missing cannot be overlooked");
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_for_two_weeks_and_is_for_good_after_them() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("en").await);
    let title = json!({"title": "A room", "kind": "public", "naming": "named", "history": true});
    let room = node.ask(Some(&one), Method::POST, "/api/v1/rooms", Some(title)).await.json();
    let room = room["id"].as_str().unwrap().to_owned();
    let mut own = Browser::of(&one);
    own.sign_up(&node, "leaver").await;
    let named = own.ask(&node, Method::PATCH, "/me", Some(json!({"name": "Real Name", "settings": {"a": 1}}))).await;
    assert_eq!(named.status, StatusCode::OK);
    let mut socket = node.socket(&own.guest().unwrap()).await;
    socket.ok(json!({"type": "join", "room": room})).await;
    socket.text(&room, "what I said").await;
    assert_eq!(own.post(&node, "/account/delete", json!({"password": "wrong"})).await.status.as_u16(), 401);
    let asked = own.post(&node, "/account/delete", json!({"password": PASSWORD})).await;
    assert!(asked.json()["delete_after"].is_string(), "{}", asked.text);
    assert_eq!(own.signed_in(&node).await, None, "all sessions end");
    assert_eq!(delete_due(&node.app).await.unwrap(), 0, "it is not time yet");
    let mut back = Browser::default();
    assert_eq!(back.begin(&node, "leaver", PASSWORD).await.json()["done"], true);
    assert!(back.ask(&node, Method::GET, "/account", None).await.json()["delete_after"].is_string());
    assert_eq!(back.ask(&node, Method::POST, "/account/delete/undo", None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(back.ask(&node, Method::POST, "/account/delete/undo", None).await.status, StatusCode::NOT_FOUND);
    back.post(&node, "/account/delete", json!({"password": PASSWORD})).await;
    sqlx::query("UPDATE account SET delete_after = now() - interval '1 second'").execute(&node.app.db).await.unwrap();
    let late = Browser::default().begin(&node, "leaver", PASSWORD).await;
    assert_eq!(outcome(&late), (401, "wrong_credentials".to_owned()), "nobody signs in any more");
    assert_eq!(delete_due(&node.app).await.unwrap(), 1);
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM visitor WHERE name IS NOT NULL)
              + (SELECT count(*) FROM membership WHERE name = 'Real Name' OR left_at IS NULL)",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    assert_eq!(left, 0, "nothing that the person has entered is left");
    let mut reader = node.socket(&two).await;
    reader.ok(json!({"type": "join", "room": room, "after": 0})).await;
    let message = reader.event("message").await;
    assert_eq!(message["payload"]["text"], "what I said", "messages stay");
    assert_ne!(message["sender"]["name"], "Real Name");
    member(&node, "leaver").await; // the handle is free again
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let node = node().await;
    store_account(&node, Stored { role: Role::Admin, totp: true, ..Stored::member("boss") }).await;
    let mut own = Browser::default();
    own.begin(&node, "boss", PASSWORD).await;
    own.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await;
    let refused = own.post(&node, "/account/delete", json!({"password": PASSWORD})).await;
    assert_eq!(outcome(&refused), (403, "forbidden".to_owned()));
    store_account(&node, Stored { role: Role::Admin, totp: true, ..Stored::member("other") }).await;
    let asked = own.post(&node, "/account/delete", json!({"password": PASSWORD})).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
}

#[tokio::test]
async fn what_has_expired_is_deleted() {
    let node = node().await;
    store_account(&node, Stored { pin: true, ..Stored::member("somebody") }).await;
    Browser::default().begin(&node, "somebody", PASSWORD).await;
    Browser::default().begin(&node, "nobody", "guess").await;
    let rows = async || -> i64 {
        let count = "SELECT (SELECT count(*) FROM sign_in) + (SELECT count(*) FROM sign_in_failure)";
        sqlx::query_scalar(count).fetch_one(&node.app.db).await.unwrap()
    };
    let before = rows().await;
    sign_in::store::sweep(&node.app.db).await.unwrap();
    assert_eq!(rows().await, before, "what is still needed stays");
    sqlx::query("UPDATE sign_in SET expires_at = now() - interval '1 second'").execute(&node.app.db).await.unwrap();
    sqlx::query(
        "UPDATE sign_in_failure SET failed_at = now() - interval '25 hours', retry_at = now() - interval '1 hour'",
    )
    .execute(&node.app.db)
    .await
    .unwrap();
    sign_in::store::sweep(&node.app.db).await.unwrap();
    assert_eq!(rows().await, 0);
}

#[tokio::test]
async fn without_mail_a_reset_needs_an_administrator_whoever_asks() {
    let node = node().await;
    let mut own = Browser::default();
    let body = json!({"handle": "somebody", "password": PASSWORD, "email": "known@example.org"});
    assert_eq!(own.post(&node, "/sign-up", body).await.status, StatusCode::CREATED);
    sqlx::query("UPDATE account SET email_verified_at = now()").execute(&node.app.db).await.unwrap();
    for email in ["known@example.org", "unknown@example.org"] {
        let answer = Browser::default().post(&node, "/account/reset", json!({"email": email})).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({"by": "administrator"})));
    }
    let links: i64 = sqlx::query_scalar("SELECT count(*) FROM account_link").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(links, 0);
    assert!(store::of_email(&node.app.db, "KNOWN@example.org").await.unwrap().is_some());
}
