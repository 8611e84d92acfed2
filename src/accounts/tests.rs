//! Accounts, tested over the real router and Postgres.
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use tower_sessions::Session;
use tower_sessions::session::Id;

use super::limits::UNUSED_VISITOR_LIFETIME;
use super::sessions::Sessions;
use super::{MAX_SWEEP_ROWS, session_visitor, store};
use crate::http::{Bucket, ClientIp, Key};
use crate::telemetry;
use crate::testing::{Answer, TEST_TIMEOUT, limited_node, node};

#[tokio::test]
async fn the_first_me_creates_a_visitor_and_the_cookie_keeps_it() {
    let node = node().await;
    let first = node.get("/api/v1/me").await;
    let cookie = first.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for wanted in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.contains(wanted), "{cookie}");
    }
    // A loopback site uses plain http: no `Secure`, no `__Host-`.
    assert!(!cookie.contains("Secure") && !cookie.starts_with("__Host-"), "{cookie}");
    let me = first.json();
    assert_eq!(me["rules"]["accepted"], serde_json::Value::Null);
    assert_eq!(me["visitor"]["account"], serde_json::Value::Null);
    let guest = node.newcomer("ko").await;
    let again = node.ask(Some(&guest), Method::GET, "/api/v1/me", None).await;
    assert_eq!(again.json()["visitor"]["id"], guest.id.as_str());
    assert_eq!(again.json()["visitor"]["locale"], "ko");
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id_hash FROM session").fetch_all(&node.app.db).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32), "only hashes are stored");
}

#[tokio::test]
async fn cookies_of_others_on_the_same_host_may_hold_anything() {
    let node = node().await;
    let guest = node.newcomer("en").await;
    for others in ["theirs=한글".as_bytes(), b"caf\xe9=\xff", b"maju_theme=\xe9", b"=; ;;; x"] {
        for first in [true, false] {
            let own = format!("{}; maju_theme=dark; maju_locale=ko", guest.cookie);
            let parts = if first { [others, own.as_bytes()] } else { [own.as_bytes(), others] };
            let cookie = HeaderValue::from_bytes(&parts.join(&b"; "[..])).unwrap();
            let ask =
                |path: &str| node.send(Request::get(path).header(header::COOKIE, &cookie).body(Body::empty()).unwrap());
            let me = ask("/api/v1/me").await;
            assert_eq!(me.json()["visitor"]["id"], guest.id.as_str(), "{cookie:?}");
            assert!(!me.headers.contains_key(header::SET_COOKIE), "{cookie:?}");
            assert!(ask("/").await.text.contains(r#"data-theme="dark""#), "{cookie:?}");
            let nothing = ask("/nothing").await;
            assert!(nothing.text.contains(r#"lang="ko""#), "{cookie:?}");
        }
    }
}

#[tokio::test]
async fn a_cookie_without_a_session_is_refused_and_me_creates_a_new_guest() {
    let node = node().await;
    let guest = node.newcomer("en").await;
    sqlx::query("DELETE FROM session").execute(&node.app.db).await.unwrap();
    let rooms = node.ask(Some(&guest), Method::GET, "/api/v1/rooms", None).await;
    assert_eq!((rooms.status, rooms.json()["code"].clone()), (StatusCode::UNAUTHORIZED, json!("session_ended")));
    let fresh = node.ask(Some(&guest), Method::GET, "/api/v1/me", None).await;
    assert_eq!(fresh.status, StatusCode::OK);
    assert_ne!(fresh.json()["visitor"]["id"], guest.id.as_str());
    assert!(fresh.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn writes_come_from_the_sites_own_pages() {
    let node = node().await;
    let guest = node.newcomer("en").await;
    let patch = |origin: Option<&str>, kind: &str| {
        let mut request =
            Request::patch("/api/v1/me").header(header::COOKIE, &guest.cookie).header(header::CONTENT_TYPE, kind);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        node.send(request.body(Body::from(r#"{"locale":"ko"}"#)).unwrap())
    };
    let own = node.origin();
    assert_eq!(patch(None, "application/json").await.status, StatusCode::FORBIDDEN);
    assert_eq!(patch(Some("https://evil.example"), "application/json").await.status, StatusCode::FORBIDDEN);
    assert_eq!(patch(Some(&own), "text/plain").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let done = patch(Some(&own), "application/json").await;
    assert_eq!((done.status, done.json()["visitor"]["locale"].clone()), (StatusCode::OK, json!("ko")));
}

#[tokio::test]
async fn changes_are_stored_and_invalid_ones_are_refused_with_their_code() {
    let node = node().await;
    let guest = node.newcomer("en").await;
    let change = async |body| node.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(body)).await;
    let named = change(json!({"name": "마주", "settings": {"sound": false}})).await.json();
    assert_eq!((&named["visitor"]["name"], &named["visitor"]["animal"]), (&json!("마주"), &json!(null)));
    let back = change(json!({"name": null})).await.json();
    assert_eq!(back["visitor"]["settings"], json!({"sound": false}), "a field that is absent stays as it is");
    assert!(back["visitor"]["animal"].is_string());
    for (body, status, code) in [
        (json!({"name": "\u{202e}x"}), 400, "bad_frame"),
        (json!({"name": "x".repeat(25)}), 422, "too_long"),
        (json!({"role": "admin"}), 400, "bad_frame"),
        (json!({"rules": "old", "adult": true}), 409, "conflict"),
        (json!({"rules": crate::accounts::RULES_VERSION, "adult": false}), 400, "bad_frame"),
        (json!([]), 400, "bad_frame"),
    ] {
        let refused = change(body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str().unwrap()), (status, code), "{body}");
    }
}

#[tokio::test]
async fn inactive_visitors_are_deleted_and_those_with_a_talk_are_not() {
    let node = node().await;
    let (idle, one, two) = (node.newcomer("en").await, node.guest("ko").await, node.guest("en").await);
    let _talk = node.talk(&one, &two).await;
    sqlx::query("UPDATE visitor SET last_used_at = now() - interval '2 days'").execute(&node.app.db).await.unwrap();
    assert_eq!(store::sweep(&node.app.db, UNUSED_VISITOR_LIFETIME, MAX_SWEEP_ROWS).await.unwrap(), 1);
    let gone = node.ask(Some(&idle), Method::GET, "/api/v1/rooms", None).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    assert_eq!(node.ask(Some(&one), Method::GET, "/api/v1/rooms", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_late_save_never_revives_a_session() {
    let node = node().await;
    let new = store::SessionRow { visitor: None, data: json!({}), idle_timeout: time::Duration::minutes(1) };
    assert!(!store::save_session(&node.app.db, &[7; 32], &new).await.unwrap());
    assert!(store::load_sessions(&node.app.db, vec![[7; 32]], time::Duration::days(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_address_cannot_create_unlimited_visitors() {
    let node = limited_node().await;
    let until = Instant::now() + TEST_TIMEOUT;
    // Many at a time: one after the other, a busy machine would be slower than the limit.
    let refused = loop {
        let answers = join_all((0..25).map(|_| node.get("/api/v1/me"))).await;
        if let Some(refused) = answers.into_iter().find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS) {
            break refused;
        }
        assert!(Instant::now() < until, "the limit holds");
    };
    assert_eq!(refused.json()["code"], "rate_limited");
    assert!(refused.headers.contains_key(header::RETRY_AFTER) && !refused.headers.contains_key(header::SET_COOKIE));
}

/// Sends many requests at a time until one is refused with 429. One after the other, a busy machine
/// would be slower than the limit.
async fn request_until_limited<F: Future<Output = Answer>>(what: &str, mut ask: impl FnMut() -> F) -> Answer {
    let until = Instant::now() + TEST_TIMEOUT;
    loop {
        let answers = join_all((0..100).map(|_| ask())).await;
        if let Some(refused) = answers.into_iter().find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS) {
            assert_eq!(refused.json()["code"], "rate_limited", "{what}");
            assert!(refused.headers.contains_key(header::RETRY_AFTER), "{what}");
            return refused;
        }
        assert!(Instant::now() < until, "nothing limits {what}");
    }
}

#[tokio::test]
async fn every_rest_route_has_a_limit() {
    let node = limited_node().await;
    let described = node.get("/api/openapi.json").await.json();
    let mut routes = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let of_the_site = route["tags"].as_array().is_some_and(|tags| tags.contains(&json!("site")));
            let body = route.get("requestBody").map(|_| json!({}));
            let method: Method = method.to_uppercase().parse().unwrap();
            routes.push((of_the_site, path.replace("{room}", "0b9f2c1e-7d53-4d0a-8a54-1f3f4f7c2b11"), method, body));
        }
    }
    // Routes of the site are limited by the address prefix alone. They come last: at its limit, the
    // prefix cannot create visitors for the other routes.
    routes.sort_by_key(|(of_the_site, ..)| *of_the_site);
    assert!(routes.len() >= 9, "{routes:?}");
    for (of_the_site, path, method, body) in routes {
        let what = format!("{method} {path}");
        if !of_the_site {
            // A node of its own: after some routes the limit of the prefix would be met first.
            let node = limited_node().await;
            let guest = node.newcomer("en").await;
            request_until_limited(&what, || node.ask(Some(&guest), method.clone(), &path, body.clone())).await;
            continue;
        }
        let prefix = ClientIp(std::net::Ipv4Addr::LOCALHOST.into()).prefix();
        let until = Instant::now() + TEST_TIMEOUT;
        loop {
            // A token comes back every five milliseconds, so the request can still get one.
            while node.app.limits.take(Bucket::PrefixRequests, Key::Prefix(prefix)).is_ok() {}
            let answers = join_all((0..20).map(|_| node.get(&path))).await;
            if answers.iter().any(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS) {
                break;
            }
            assert!(Instant::now() < until, "nothing limits {what}");
        }
    }
}

#[tokio::test]
async fn made_up_cookies_are_limited_and_those_of_the_same_network_are_not() {
    let node = limited_node().await;
    let guest = node.newcomer("en").await;
    let rooms = |cookie: String| {
        let request = Request::get("/api/v1/rooms").header(header::COOKIE, cookie);
        node.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(rooms(guest.cookie.clone()).await.status, StatusCode::OK);
    let name = guest.cookie.split('=').next().unwrap();
    request_until_limited("made-up cookies", || rooms(format!("{name}={}", Id::default()))).await;
    let known = rooms(guest.cookie.clone()).await;
    assert_eq!(known.status, StatusCode::OK, "a known visitor is not limited: {}", known.text);
}

#[tokio::test]
async fn who_is_over_the_limit_costs_no_query() {
    let node = limited_node().await;
    let guest = node.newcomer("en").await;
    let me = || node.ask(Some(&guest), Method::GET, "/api/v1/me", None);
    request_until_limited("GET /me", me).await;
    // With every connection taken, only a request without a query is answered at once.
    let _held = join_all((0..crate::db::MAX_POOL_CONNECTIONS).map(|_| node.app.db.acquire())).await;
    let began = Instant::now();
    let refused = join_all((0..300).map(|_| me())).await;
    let refused = refused.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!(refused >= 100 && began.elapsed() < TEST_TIMEOUT, "{refused} refused in {:?}", began.elapsed());
}

/// Collects the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_unreachable_postgres_is_logged_once_and_not_for_every_cookie() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log =
        tracing_subscriber::fmt().with_env_filter(telemetry::default_filter()).with_writer(move || writer.clone());
    let _listening = tracing::subscriber::set_default(log.finish());
    let nowhere =
        PgPoolOptions::new().acquire_timeout(Duration::from_millis(20)).connect_lazy("postgres://127.0.0.1:1/x");
    let store = Arc::new(Sessions::new(nowhere.unwrap()));
    for _ in 0..20 {
        let session = Session::new(Some(Id::default()), store.clone(), None);
        assert_eq!(session_visitor(&session).await.unwrap_err().code(), "unavailable");
    }
    let logged = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert!(!logged.contains("ERROR"), "{logged}");
    // Another test of this process can have logged it before.
    assert!(logged.lines().count() <= 1 && logged.lines().all(|line| line.contains("cannot be reached")), "{logged}");
}
