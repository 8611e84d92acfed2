//! The proofs of a sign-in: what they cost, how often they work, and what wrong ones lead to.
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{
    Browser, PASSWORD, PIN, Stored, TOTP_SECRET, code_now, member, outcome, recovery_code, store_account, wrong_code,
};
use crate::accounts::limits::{FREE_FAILURES, MAX_WRONG_CODES};
use crate::accounts::passwords::{hash_now as hash_password, is_legacy as is_legacy_hash};
use crate::clock::Clock;
use crate::config::Config;
use crate::realtime::Relay;
use crate::testing::{Node, database, node};

fn hashes(node: &Node) -> (usize, usize) {
    let counts = &node.app.accounts.hashing.counts;
    (counts.verified.load(Ordering::SeqCst), counts.dummies.load(Ordering::SeqCst))
}

/// Tries a password from another address. Returns status, code and wait in milliseconds.
async fn try_from(node: &Node, address: &str, handle: &str, password: &str) -> (u16, String, Option<u64>) {
    let body = json!({"handle": handle, "password": password}).to_string();
    let mut request = Request::post("/api/v1/sign-in")
        .header(header::ORIGIN, node.origin())
        .header(header::HOST, format!("localhost:{}", node.address.port()))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::from(body))
        .unwrap();
    let peer: std::net::SocketAddr = format!("{address}:4000").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = crate::router::router(&node.app).oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    (status.as_u16(), code, body["retry_after_ms"].as_u64())
}

#[tokio::test]
async fn an_unknown_name_costs_one_hash_like_a_known_one() {
    let node = node().await;
    store_account(&node, Stored::member("somebody")).await;
    store_account(&node, Stored::member("sleeper")).await;
    sqlx::query("UPDATE account SET status = 'deactivated' WHERE handle = 'sleeper'")
        .execute(&node.app.db)
        .await
        .unwrap();
    store_account(&node, Stored::member("linked")).await;
    sqlx::query("UPDATE account SET password = NULL WHERE handle = 'linked'").execute(&node.app.db).await.unwrap();
    let mut answers = Vec::new();
    for (handle, dummies) in [
        ("somebody", 0),
        ("nobody", 1),
        ("sleeper", 1),
        ("linked", 1),
        ("NOT A HANDLE", 1),
        ("", 1),
        ("a\u{0}b", 1),
        ("김철수", 1),
    ] {
        let before = hashes(&node);
        let answer = Browser::default().begin(&node, handle, "another password").await;
        let after = hashes(&node);
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, dummies), "{handle:?}");
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{handle:?}");
        answers.push((answer.status, answer.text));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_one_time_code_works_once() {
    let node = node().await;
    store_account(&node, Stored { totp: true, ..Stored::member("somebody") }).await;
    let code = code_now(&node, TOTP_SECRET);
    // Sign-ins of their own, each with the password done.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut browser = Browser::default();
        assert_eq!(browser.begin(&node, "somebody", PASSWORD).await.json()["next"], "totp");
        waiting.push(browser);
    }
    let attempts = waiting.into_iter().map(|mut browser| {
        let (node, code) = (&node, &code);
        async move { outcome(&browser.step(node, "totp", code).await).0 }
    });
    let outcomes = join_all(attempts).await;
    let count = |status: u16| outcomes.iter().filter(|outcome| **outcome == status).count();
    // The others are wrong, or had to wait: an attempt counts as a failure until it is evaluated. On a
    // busy machine the one that used the code can end as unavailable.
    let (done, busy) = (count(200), count(503));
    assert!(done == 1 || done == 0 && busy > 0, "{outcomes:?}");
    assert_eq!(done + busy + count(401) + count(409) + count(429), outcomes.len(), "{outcomes:?}");
    sqlx::query("UPDATE sign_in_failure SET retry_at = now(), failures = 0").execute(&node.app.db).await.unwrap();
    // The code of the next half minute works, and the old one stays used.
    node.app.clock.advance(Duration::from_secs(30));
    let mut browser = Browser::default();
    browser.begin(&node, "somebody", PASSWORD).await;
    assert_eq!(outcome(&browser.step(&node, "totp", &code).await).0, 401);
    assert_eq!(browser.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await.json()["done"], true);
}

#[tokio::test]
async fn five_wrong_codes_end_a_sign_in() {
    let node = node().await;
    store_account(&node, Stored { totp: true, ..Stored::member("somebody") }).await;
    let mut browser = Browser::default();
    browser.begin(&node, "somebody", PASSWORD).await;
    let (wrong, mut seen) = (wrong_code(&node, TOTP_SECRET), Vec::new());
    for _ in 0..=MAX_WRONG_CODES {
        seen.push(outcome(&browser.step(&node, "totp", &wrong).await).1);
        // The wait is tested elsewhere.
        sqlx::query("UPDATE sign_in_failure SET retry_at = now()").execute(&node.app.db).await.unwrap();
    }
    assert!(seen[..5].iter().all(|code| code == "wrong_credentials") && seen[5] == "wrong_step", "{seen:?}");
    let right = browser.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await;
    assert_eq!(outcome(&right), (409, "wrong_step".to_owned()));
}

#[tokio::test]
async fn wrong_passwords_make_the_next_one_wait_longer() {
    let node = node().await;
    store_account(&node, Stored::member("somebody")).await;
    for handle in ["somebody", "nobody"] {
        let mut waits = Vec::new();
        for attempt in 1..=FREE_FAILURES + 8 {
            let (status, code, _) = try_from(&node, "192.0.2.1", handle, "guess").await;
            assert_eq!((status, code.as_str()), (401, "wrong_credentials"), "{handle} {attempt}");
            let verified = hashes(&node).0;
            let (status, code, wait) = try_from(&node, "192.0.2.1", handle, PASSWORD_OF_NOBODY).await;
            if attempt < FREE_FAILURES {
                // It was evaluated, and counts as a failure of its own: take it back.
                assert_eq!(status, 401);
                sqlx::query("UPDATE sign_in_failure SET failures = failures - 1, retry_at = now()")
                    .execute(&node.app.db)
                    .await
                    .unwrap();
                continue;
            }
            assert_eq!((status, code.as_str()), (429, "rate_limited"), "{handle} {attempt}");
            assert_eq!(hashes(&node).0, verified, "nothing is evaluated while one has to wait");
            waits.push(wait.unwrap().div_ceil(1_000));
            sqlx::query("UPDATE sign_in_failure SET retry_at = now()").execute(&node.app.db).await.unwrap();
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900, 900], "{handle}");
    }
    // The right password after the wait clears everything.
    let (status, ..) = try_from(&node, "192.0.2.1", "somebody", PASSWORD).await;
    assert_eq!(status, 200);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sign_in_failure").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(left, 1, "only the failures of the other name are left");
}

const PASSWORD_OF_NOBODY: &str = "the password of nobody";

#[tokio::test]
async fn many_guesses_at_the_same_time_are_counted_one_by_one() {
    let node = node().await;
    store_account(&node, Stored::member("somebody")).await;
    let guesses = (0..40).map(|_| try_from(&node, "192.0.2.1", "somebody", "guess"));
    let evaluated = join_all(guesses).await.into_iter().filter(|(status, ..)| *status == 401).count();
    assert_eq!(evaluated, FREE_FAILURES.unsigned_abs() as usize);
}

#[tokio::test]
async fn a_stranger_who_guesses_never_locks_the_owner_out() {
    let node = node().await;
    store_account(&node, Stored { totp: true, ..Stored::member("somebody") }).await;
    let mut owner = Browser::default();
    owner.begin(&node, "somebody", PASSWORD).await;
    for stranger in 0..5 {
        for _ in 0..10 {
            try_from(&node, &format!("198.51.{stranger}.7"), "somebody", "guess").await;
        }
    }
    assert_eq!(try_from(&node, "198.51.0.9", "somebody", PASSWORD).await.0, 429, "the stranger's network waits");
    // One sign-in that had begun, and a new one from another network.
    assert_eq!(owner.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await.json()["done"], true);
    assert_eq!(try_from(&node, "203.0.113.5", "somebody", PASSWORD).await.0, 200);
    assert_eq!(try_from(&node, "198.51.0.9", "another", PASSWORD).await.0, 401, "only this account has to wait");
}

#[tokio::test]
async fn hashes_of_the_earlier_system_work_until_their_date_and_are_replaced() {
    let node = node().await;
    for (handle, iterations) in [("old", 1_000_u32), ("older", 2_000)] {
        store_account(&node, Stored { pin: handle == "older", ..Stored::member(handle) }).await;
        let mut hash = [0; 32];
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>("their password".as_bytes(), b"salt", iterations, &mut hash);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
        sqlx::query("UPDATE account SET password = $2 WHERE handle = $1")
            .bind(handle)
            .bind(format!("pbkdf2_sha256${iterations}$salt${encoded}"))
            .execute(&node.app.db)
            .await
            .unwrap();
    }
    member(&node, "new").await;
    let stored = async |handle: &str| -> String {
        let asked = sqlx::query_scalar("SELECT password FROM account WHERE handle = $1").bind(handle);
        asked.fetch_one(&node.app.db).await.unwrap()
    };
    assert_eq!(Browser::default().begin(&node, "old", "not theirs").await.status, StatusCode::UNAUTHORIZED);
    assert!(is_legacy_hash(&stored("old").await), "a wrong password replaces nothing");
    assert_eq!(Browser::default().begin(&node, "old", "their password").await.json()["done"], true);
    assert_eq!(Browser::default().begin(&node, "older", "their password").await.json()["next"], "pin");
    for handle in ["old", "older", "new"] {
        assert!(stored(handle).await.starts_with("$argon2id$"), "{handle}");
    }
    assert_eq!(Browser::default().begin(&node, "old", "their password").await.json()["done"], true);
    assert_eq!(Browser::default().begin(&node, "new", PASSWORD).await.json()["done"], true);
}

#[tokio::test]
async fn after_their_date_hashes_of_the_earlier_system_match_nothing() {
    let today = node().await.app.clock.now().date();
    let limited = |config: &mut Config| config.sign_in.legacy_until = Some(today);
    let node = Node::start(database().await, Relay::in_process(), Clock::default(), limited).await;
    let mut hash = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>("their password".as_bytes(), b"salt", 1_000, &mut hash);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    store_account(&node, Stored::member("old")).await;
    sqlx::query("UPDATE account SET password = $1")
        .bind(format!("pbkdf2_sha256$1000$salt${encoded}"))
        .execute(&node.app.db)
        .await
        .unwrap();
    node.app.clock.advance(Duration::from_secs(86_400));
    let before = hashes(&node);
    let late = Browser::default().begin(&node, "old", "their password").await;
    assert_eq!(outcome(&late), (401, "wrong_credentials".to_owned()));
    let after = hashes(&node);
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "the answer takes as long");
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM account WHERE password LIKE 'pbkdf2%'")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_pin_and_a_recovery_code_are_proofs_of_their_own() {
    let node = node().await;
    store_account(&node, Stored { totp: true, pin: true, ..Stored::member("somebody") }).await;
    let mut browser = Browser::default();
    browser.begin(&node, "somebody", PASSWORD).await;
    let recovery = recovery_code("somebody");
    for (step, code, expected) in [
        ("recovery", "AAAA-AAAA-AAAA-AAAA", 401),
        ("pin", PIN, 409),
        ("recovery", recovery.as_str(), 200),
        ("recovery", recovery.as_str(), 409),
        ("pin", "000000", 401),
        ("pin", "", 401),
        ("pin", PIN, 200),
    ] {
        let answer = browser.step(&node, step, code).await;
        assert_eq!(answer.status.as_u16(), expected, "{step} {code}: {}", answer.text);
    }
    assert_eq!(browser.signed_in(&node).await.as_deref(), Some("somebody"));
    let mut nothing = Browser::default();
    nothing.begin(&node, "somebody", PASSWORD).await;
    let empty = nothing.post(&node, "/sign-in/totp", json!({})).await;
    assert_eq!((outcome(&empty), empty.json()["field"].clone()), ((400, "bad_frame".to_owned()), json!("code")));
    let unknown = nothing.ask(&node, Method::POST, "/sign-in/nonsense", Some(json!({"code": "1"}))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_queue_of_hashes_has_a_limit() {
    let node = node().await;
    let secret = SecretString::from("a password");
    let cores = std::thread::available_parallelism().unwrap().get();
    let total = cores + crate::accounts::limits::QUEUED_HASHES + 40;
    let all = join_all((0..total).map(|_| crate::accounts::passwords::hash(&node.app, &secret))).await;
    let refused = all.iter().filter(|hash| hash.as_ref().is_err_and(|why| why.code() == "unavailable")).count();
    assert!(refused > 0 && all.iter().filter(|hash| hash.is_ok()).count() >= cores, "{refused} of {total}");
    assert!(crate::accounts::passwords::hash(&node.app, &secret).await.is_ok(), "there is room again");
    assert!(hash_password(&secret).is_ok());
}
