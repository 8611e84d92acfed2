//! The steps of a sign-in: in every order, repeated, at the same time, too late.
use std::collections::HashSet;

use axum::http::{Method, StatusCode};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::json;
use tokio_tungstenite::connect_async;

use super::{
    Browser, PASSWORD, PIN, Stored, TOTP_SECRET, code_now, member, outcome, recovery_code, store_account, wrong_code,
};
use crate::accounts::sign_in::Step;
use crate::accounts::sign_in::model::{Factors, due};
use crate::accounts::sign_in::store;
use crate::accounts::{Role, complete_sign_in};
use crate::testing::{Node, node};

/// Returns every order of every subset of some steps.
fn orders_of_subsets(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Step>> = vec![Vec::new()];
    let mut at = 0;
    while at < all.len() {
        let longer: Vec<Vec<Step>> = steps
            .iter()
            .filter(|step| !all[at].contains(step))
            .map(|step| all[at].iter().copied().chain([*step]).collect())
            .collect();
        all.extend(longer);
        at += 1;
    }
    all
}

/// Does steps with their right proofs, in this order, and compares each answer with the model.
/// Returns `true` if the model says that they make a session.
async fn walk(node: &Node, new: Stored<'_>, steps: &[Step], as_guest: bool) -> bool {
    store_account(node, new).await;
    let mut browser = if as_guest { Browser::of(&node.newcomer("en").await) } else { Browser::default() };
    let mut factors = Factors { role: new.role, totp: new.totp, pin: new.pin };
    let (mut done, mut begun, mut signed_in) = (Vec::new(), false, false);
    let mut enrolled_secret = None;
    for step in steps {
        let required = factors.steps(&[]);
        let next = due(&required, &done);
        let expected = match step {
            Step::Password => true,
            Step::Recovery => begun && next == Some(Step::Totp),
            step => begun && next == Some(*step),
        };
        let answer = match step {
            Step::Password => browser.begin(node, new.handle, PASSWORD).await,
            Step::Totp => browser.step(node, "totp", &code_now(node, TOTP_SECRET)).await,
            Step::Recovery => browser.step(node, "recovery", &recovery_code(new.handle)).await,
            Step::Pin => browser.step(node, "pin", PIN).await,
            Step::Verify => browser.step(node, "verify", "id=x&result=completed&expires=9999999999&signature=x").await,
            Step::EnrollTotp => {
                let secret: &[u8] = enrolled_secret.as_deref().unwrap_or(TOTP_SECRET);
                browser.step(node, "enroll_totp", &code_now(node, secret)).await
            }
        };
        let what = format!("{:?} {} {steps:?} at {step:?}: {}", new.role, new.handle, answer.text);
        if !expected {
            assert_eq!(outcome(&answer), (409, "wrong_step".to_owned()), "{what}");
            continue;
        }
        assert_eq!(answer.status, StatusCode::OK, "{what}");
        if *step == Step::Password {
            done.clear();
        }
        done.push(*step);
        factors.totp |= *step == Step::EnrollTotp;
        let next = due(&factors.steps(&[]), &done);
        let body = answer.json();
        assert_eq!(body["done"], next.is_none(), "{what}");
        assert_eq!(body["next"].as_str(), next.map(Step::as_str), "{what}");
        assert_eq!(body["account"].is_object(), next.is_none(), "{what}");
        if let Some(secret) = body["secret"].as_str() {
            enrolled_secret = totp_rs::Secret::try_from_base32(secret).ok().map(|secret| secret.to_vec());
        }
        signed_in = next.is_none();
        begun = !signed_in;
    }
    check_session(node, &mut browser, new.handle, signed_in, steps).await;
    signed_in
}

/// Checks over REST, over a socket and at deep links whether the browser has a session.
async fn check_session(node: &Node, browser: &mut Browser, handle: &str, signed_in: bool, steps: &[Step]) {
    assert_eq!(browser.signed_in(node).await.as_deref(), signed_in.then_some(handle), "{steps:?}");
    for (method, path) in
        [(Method::POST, "/account/totp"), (Method::POST, "/account/delete/undo"), (Method::GET, "/account/export")]
    {
        let answer = browser.ask(node, method, path, None).await;
        assert_eq!(answer.status == StatusCode::UNAUTHORIZED, !signed_in, "{path} {steps:?}: {}", answer.text);
    }
    let request = node.upgrade(Some(&node.origin()), Some("maju.v1"), browser.guest().as_ref());
    let upgraded = connect_async(request).await;
    assert!(upgraded.is_ok() || !signed_in, "{steps:?}");
    let me = browser.ask(node, Method::GET, "/me", None).await.json();
    assert_eq!(me["visitor"]["account"]["handle"].as_str(), signed_in.then_some(handle), "{steps:?}");
}

#[tokio::test]
async fn no_order_or_subset_of_steps_makes_a_session() {
    let node = node().await;
    let member = Stored { totp: true, pin: true, ..Stored::member("") };
    let plain = Stored::member("");
    let new_staff = Stored { role: Role::Admin, pin: true, ..plain };
    let staff = Stored { role: Role::Editor, totp: true, pin: true, ..plain };
    use Step::{EnrollTotp, Password, Pin, Recovery, Totp, Verify};
    let mut walks = Vec::new();
    // The orders that make a session: those with the required steps in their order, whatever is
    // refused in between.
    for (kind, (new, steps, sessions)) in [
        (plain, &[Password, Totp, Pin][..], 11),
        (member, &[Password, Totp, Recovery, Pin], 8),
        (new_staff, &[Password, Pin, EnrollTotp, Totp], 5),
        (staff, &[Password, Totp, Recovery, Pin, Verify], 46),
    ]
    .into_iter()
    .enumerate()
    {
        let orders = orders_of_subsets(steps);
        walks.extend(orders.into_iter().enumerate().map(|(n, order)| (kind, n, new, order, sessions)));
    }
    assert_eq!(walks.len(), 16 + 65 + 65 + 326);
    let run = walks.iter().map(|(kind, n, new, order, _)| {
        let node = &node;
        async move {
            let handle = format!("kind{kind}-{n}");
            (*kind, walk(node, Stored { handle: &handle, ..*new }, order, n % 2 == 0).await)
        }
    });
    let made: Vec<(usize, bool)> = stream::iter(run).buffer_unordered(8).collect().await;
    for (kind, _, _, _, expected) in &walks {
        let sessions = made.iter().filter(|(of, signed_in)| of == kind && *signed_in).count();
        assert_eq!(sessions, *expected, "kind {kind}");
    }
}

#[tokio::test]
async fn every_step_gives_the_session_a_new_id() {
    let node = node().await;
    store_account(&node, Stored { totp: true, pin: true, ..Stored::member("somebody") }).await;
    let mut browser = Browser::of(&node.newcomer("en").await);
    let mut cookies = vec![browser.cookie.clone().unwrap()];
    let code = code_now(&node, TOTP_SECRET);
    assert_eq!(browser.begin(&node, "somebody", PASSWORD).await.status, StatusCode::OK);
    cookies.push(browser.cookie.clone().unwrap());
    for (step, code) in [("totp", code.as_str()), ("pin", PIN)] {
        assert_eq!(browser.step(&node, step, code).await.status, StatusCode::OK);
        cookies.push(browser.cookie.clone().unwrap());
    }
    assert_eq!(cookies.iter().collect::<HashSet<_>>().len(), 4, "a session id was kept");
    // None of the earlier ids is worth anything.
    for old in &cookies[..3] {
        let mut thief = Browser { cookie: Some(old.clone()) };
        assert_eq!(thief.signed_in(&node).await, None);
        assert_eq!(outcome(&thief.step(&node, "pin", PIN).await), (409, "wrong_step".to_owned()));
    }
    assert_eq!(browser.signed_in(&node).await.as_deref(), Some("somebody"));
}

#[tokio::test]
async fn of_many_requests_with_one_step_exactly_one_wins() {
    let node = node().await;
    store_account(&node, Stored { pin: true, ..Stored::member("somebody") }).await;
    let mut browser = Browser::default();
    assert_eq!(browser.begin(&node, "somebody", PASSWORD).await.json()["next"], "pin");
    let attempts = (0..20).map(|_| {
        let (mut tab, node) = (browser.clone(), &node);
        async move { (tab.step(node, "pin", PIN).await.status, tab.signed_in(node).await.is_some()) }
    });
    let outcomes = join_all(attempts).await;
    let won = outcomes.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    let sessions = outcomes.iter().filter(|(_, signed_in)| *signed_in).count();
    assert_eq!((won, sessions), (1, 1), "{outcomes:?}");
}

#[tokio::test]
async fn a_sign_in_without_all_its_steps_is_not_completed() {
    let node = node().await;
    let id = store_account(&node, Stored { totp: true, ..Stored::member("somebody") }).await;
    let candidate = store::candidate(&node.app.db, "somebody").await.unwrap().unwrap();
    let new = store::New { account: id, epoch: candidate.epoch, enroll_secret: None, leave: false, next: None };
    let key = store::insert(&mut node.app.db.acquire().await.unwrap(), &new).await.unwrap();
    let sessions = std::sync::Arc::new(crate::accounts::Sessions::new(node.app.db.clone()));
    let session = tower_sessions::Session::new(None, sessions, None);
    let refused = complete_sign_in(&node.app, &session, key, "a browser", &[0; 16]).await.unwrap_err();
    assert_eq!(refused.code(), "wrong_step");
}

#[tokio::test]
async fn a_sign_in_ends_after_ten_minutes_and_with_a_revocation() {
    let node = node().await;
    let id = store_account(&node, Stored { pin: true, ..Stored::member("somebody") }).await;
    let mut late = Browser::default();
    late.begin(&node, "somebody", PASSWORD).await;
    sqlx::query("UPDATE sign_in SET expires_at = now() - interval '1 second'").execute(&node.app.db).await.unwrap();
    assert_eq!(outcome(&late.step(&node, "pin", PIN).await), (409, "wrong_step".to_owned()));
    let mut revoked = Browser::default();
    revoked.begin(&node, "somebody", PASSWORD).await;
    sqlx::query("UPDATE account SET session_epoch = session_epoch + 1 WHERE id = $1")
        .bind(id.0)
        .execute(&node.app.db)
        .await
        .unwrap();
    assert_eq!(outcome(&revoked.step(&node, "pin", PIN).await), (409, "wrong_step".to_owned()));
    let lifetime: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM expires_at - created_at)::float8 FROM sign_in ORDER BY created_at DESC LIMIT 1",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    assert!((lifetime - 600.0).abs() < 1.0, "{lifetime}");
}

#[tokio::test]
async fn staff_are_led_to_add_a_second_factor_and_sign_in_with_it_from_then_on() {
    let node = node().await;
    store_account(&node, Stored { role: Role::Admin, ..Stored::member("boss") }).await;
    let mut browser = Browser::default();
    let begun = browser.begin(&node, "Boss ", PASSWORD).await.json();
    assert_eq!((&begun["done"], &begun["next"]), (&json!(false), &json!("enroll_totp")));
    let secret = begun["secret"].as_str().unwrap();
    assert!(begun["otpauth_url"].as_str().unwrap().contains(secret) && !secret.contains([' ', '=']), "{begun}");
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap().to_vec();
    let wrong = wrong_code(&node, &secret);
    assert_eq!(outcome(&browser.step(&node, "enroll_totp", &wrong).await), (401, "wrong_credentials".to_owned()));
    assert_eq!(outcome(&browser.step(&node, "totp", &wrong).await), (409, "wrong_step".to_owned()));
    let done = browser.step(&node, "enroll_totp", &code_now(&node, &secret)).await.json();
    assert_eq!((&done["done"], &done["account"]["role"]), (&json!(true), &json!("admin")));
    let codes: Vec<&str> =
        done["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes.len(), crate::accounts::limits::RECOVERY_CODES);
    // The code that enrolled it is used up.
    let mut again = Browser::default();
    assert_eq!(again.begin(&node, "boss", PASSWORD).await.json()["next"], "totp");
    let used = again.step(&node, "totp", &code_now(&node, &secret)).await;
    assert_eq!(outcome(&used), (401, "wrong_credentials".to_owned()));
    assert_eq!(again.step(&node, "recovery", codes[0]).await.json()["done"], true);
    assert_eq!(browser.signed_in(&node).await, None, "one login per account");
    let mut third = Browser::default();
    third.begin(&node, "boss", PASSWORD).await;
    let used = third.step(&node, "recovery", codes[0]).await;
    assert_eq!(outcome(&used), (401, "wrong_credentials".to_owned()), "a recovery code works once");
}

#[tokio::test]
async fn a_guest_in_a_talk_is_asked_before_it_ends() {
    let node = node().await;
    member(&node, "somebody").await;
    let (one, two) = (node.guest("en").await, node.guest("en").await);
    let mut talk = node.talk(&one, &two).await;
    let mut browser = Browser::of(&one);
    let refused = browser.begin(&node, "somebody", PASSWORD).await;
    assert_eq!(outcome(&refused), (409, "already_in_session".to_owned()));
    assert_eq!(browser.cookie.as_deref(), Some(one.cookie.as_str()), "nothing has changed");
    let body = json!({"handle": "somebody", "password": PASSWORD, "leave": true});
    assert_eq!(browser.post(&node, "/sign-in", body).await.json()["done"], true);
    let ended = talk.b.event("ended").await;
    assert_eq!(ended["reason"], "left");
    assert_eq!(browser.signed_in(&node).await.as_deref(), Some("somebody"));
}

#[tokio::test]
async fn signing_up_keeps_the_visitor_its_rooms_and_its_talk() {
    let node = node().await;
    let (one, two) = (node.guest("en").await, node.guest("en").await);
    let talk = node.talk(&one, &two).await;
    let mut browser = Browser::of(&one);
    browser.sign_up(&node, "newcomer").await;
    assert_ne!(browser.cookie.as_deref(), Some(one.cookie.as_str()));
    let me = browser.ask(&node, Method::GET, "/me", None).await.json();
    assert_eq!((&me["visitor"]["id"], &me["visitor"]["account"]["handle"]), (&json!(one.id), &json!("newcomer")));
    let messages = browser.ask(&node, Method::GET, &format!("/rooms/{}/messages", talk.room), None).await;
    assert_eq!(messages.status, StatusCode::OK, "{}", messages.text);
    let mut old = Browser::of(&one);
    let ended = old.ask(&node, Method::GET, "/rooms", None).await;
    assert_eq!(outcome(&ended), (401, "session_ended".to_owned()), "the guest's cookie has ended");
}

#[tokio::test]
async fn a_page_in_another_tab_does_not_end_a_sign_in() {
    let node = node().await;
    store_account(&node, Stored { pin: true, ..Stored::member("somebody") }).await;
    let mut browser = Browser::default();
    assert_eq!(browser.begin(&node, "somebody", PASSWORD).await.json()["next"], "pin");
    let me = browser.ask(&node, Method::GET, "/me", None).await.json();
    assert_eq!(me["visitor"]["account"], json!(null), "it is a guest so far");
    assert_eq!(browser.step(&node, "pin", PIN).await.json()["done"], true);
    assert_eq!(browser.signed_in(&node).await.as_deref(), Some("somebody"));
}

#[tokio::test]
async fn an_ended_cookie_signs_up_and_in_as_a_fresh_guest() {
    let node = node().await;
    let ended = Browser::of(&node.newcomer("en").await);
    sqlx::query("DELETE FROM session").execute(&node.app.db).await.unwrap();
    let mut new = ended.clone();
    new.sign_up(&node, "newcomer").await;
    assert_eq!(new.signed_in(&node).await.as_deref(), Some("newcomer"));
    let mut old = ended.clone();
    assert_eq!(old.begin(&node, "newcomer", PASSWORD).await.json()["done"], true);
    assert_eq!(old.signed_in(&node).await.as_deref(), Some("newcomer"));
    // Signed in already, to the same account and to another one.
    assert_eq!(outcome(&old.post(&node, "/sign-up", json!({"handle": "another", "password": PASSWORD})).await).0, 409);
    store_account(&node, Stored { pin: true, ..Stored::member("other") }).await;
    assert_eq!(old.begin(&node, "other", PASSWORD).await.json()["next"], "pin");
    assert_eq!(old.signed_in(&node).await, None);
    assert_eq!(old.step(&node, "pin", PIN).await.json()["done"], true);
    assert_eq!(old.signed_in(&node).await.as_deref(), Some("other"));
}

#[tokio::test]
async fn handles_and_passwords_of_a_sign_up_are_checked() {
    let node = node().await;
    member(&node, "taken").await;
    for (handle, password, status, code, field) in [
        ("ab", PASSWORD, 400, "bad_frame", "handle"),
        ("Big", PASSWORD, 400, "bad_frame", "handle"),
        ("admin-1", PASSWORD, 409, "conflict", "handle"),
        ("taken", PASSWORD, 409, "conflict", "handle"),
        ("free", "short", 400, "bad_frame", "password"),
        ("free", "password1", 400, "bad_frame", "password"),
        ("freedom-free", "freedom-free", 400, "bad_frame", "password"),
    ] {
        let body = json!({"handle": handle, "password": password});
        let answer = Browser::default().post(&node, "/sign-up", body).await;
        assert_eq!(outcome(&answer), (status, code.to_owned()), "{handle}: {}", answer.text);
        assert_eq!(answer.json()["field"], field);
    }
    let body = json!({"handle": "free", "password": PASSWORD, "email": "nonsense"});
    assert_eq!(Browser::default().post(&node, "/sign-up", body).await.json()["field"], "email");
    let same = (0..10).map(|_| {
        let node = &node;
        async move {
            let body = json!({"handle": "raced", "password": PASSWORD});
            Browser::default().post(node, "/sign-up", body).await.status
        }
    });
    let made = join_all(same).await.into_iter().filter(|status| *status == StatusCode::CREATED).count();
    assert_eq!(made, 1, "a handle belongs to one account");
}
