//! What every request passes: headers, hosts, sizes, times, panics.
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Json, Path, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get, post};
use tower::ServiceExt;

use super::public_site;
use crate::config::Site;
use crate::http::door::{Bounds, around};

fn router(site: &Site) -> Router {
    let router = Router::new()
        .route("/", get(|| async { "page" }))
        .route("/ws", any(|| async { tokio::time::sleep(Duration::from_secs(3_600)).await }))
        .route("/livez", get(|| async { "ok" }))
        .route("/api/docs/{file}", get(|| async { "docs" }))
        .route("/api/v1/kept", get(|| async { ([(header::CACHE_CONTROL, "max-age=5")], "kept") }))
        .route("/api/v1/number/{n}", get(|Path(n): Path<u32>| async move { n.to_string() }))
        .route("/api/v1/names", post(|Json(names): Json<Vec<String>>| async move { names.len().to_string() }))
        .route("/api/v1/panic", get(|| async { panic!("boom") as Response }))
        .route("/api/v1/busy", get(busy))
        .route("/api/v1/slow", get(|| async { tokio::time::sleep(Duration::from_secs(3_600)).await }));
    around(site, Bounds::default(), router)
}

/// Waits for a thousand things, each for a tenth of a second.
async fn busy() {
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Method, path, headers, body; host and type are added.
async fn asked(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "chat.example.org");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router(&public_site()).oneshot(request.body(body.into()).unwrap()).await.unwrap()
}

/// The status and code of an answer that must be a problem.
async fn refused(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned())
}

/// The headers of an answer, one a line, without its id.
fn dressed(response: &Response) -> String {
    let shown = response.headers().iter().filter(|(name, _)| *name != "x-request-id" && *name != "content-length");
    let mut lines: Vec<String> = shown.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let page = asked("GET", "/", &[], "").await;
    assert_eq!(page.headers()["x-request-id"].len(), 36);
    assert_eq!(
        dressed(&page),
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' wss://chat.example.org; font-src 'self'; manifest-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types \
         svelte-trusted-html\n\
         content-type: text/plain; charset=utf-8\n\
         cross-origin-opener-policy: same-origin\n\
         cross-origin-resource-policy: same-origin\n\
         permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()\n\
         referrer-policy: same-origin\n\
         strict-transport-security: max-age=31536000\n\
         x-content-type-options: nosniff\n\
         x-frame-options: DENY\n"
    );
    for (path, status) in [("/nothing", 404), ("/api/v1/nothing", 404), ("/api/v1/panic", 500), ("/livez", 200)] {
        let answer = asked("GET", path, &[], "").await;
        assert_eq!(answer.status(), status, "{path}");
        for name in ["content-security-policy", "x-frame-options", "referrer-policy", "x-request-id"] {
            assert!(answer.headers().contains_key(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn a_loopback_site_promises_no_tls_and_names_its_sockets() {
    let site = Site::parse("http://localhost:8080").unwrap();
    let request = Request::builder().uri("/").header("host", "whatever:1").body(Body::empty()).unwrap();
    let page = router(&site).oneshot(request).await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(!page.headers().contains_key(header::STRICT_TRANSPORT_SECURITY));
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("connect-src 'self' ws://localhost:8080 ws://127.0.0.1:8080;"), "{policy}");
}

#[tokio::test]
async fn only_the_docs_may_style_inline() {
    let style = |response: &Response| {
        response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("'unsafe-inline'")
    };
    assert!(style(&asked("GET", "/api/docs/index.html", &[], "").await));
    for other in ["/", "/api/v1/kept", "/api/docsx", "/api/v1/api/docs"] {
        assert!(!style(&asked("GET", other, &[], "").await), "{other}");
    }
}

#[tokio::test]
async fn the_api_is_not_cached_unless_it_says_so() {
    let cached = |response: Response| response.headers().get(header::CACHE_CONTROL).cloned();
    assert_eq!(cached(asked("GET", "/api/v1/number/1", &[], "").await).unwrap(), "no-store");
    assert_eq!(cached(asked("GET", "/api/v1/kept", &[], "").await).unwrap(), "max-age=5");
    assert_eq!(cached(asked("GET", "/", &[], "").await), None);
}

#[tokio::test]
async fn only_the_sites_own_host_is_served() {
    for own in ["chat.example.org", "CHAT.example.org", "chat.example.org:443"] {
        assert_eq!(asked("GET", "/", &[("host", own)], "").await.status(), 200, "{own}");
    }
    for foreign in ["evil.example", "chat.example.org.evil.example", "chat.example.org:80", "", "chat.example.org."] {
        let answer = asked("GET", "/", &[("host", foreign)], "").await;
        assert_eq!(refused(answer).await, (421, "not_found".to_owned()), "{foreign}");
    }
    let twice = asked("GET", "/", &[("host", "chat.example.org"), ("host", "evil.example")], "").await;
    assert_eq!(twice.status(), 421);
    let target = asked("GET", "https://evil.example/", &[], "").await;
    assert_eq!(target.status(), 421, "the target's host counts too");
    assert_eq!(asked("GET", "/livez", &[("host", "10.0.0.7:8080")], "").await.status(), 200);
    assert_eq!(
        asked("GET", "/", &[("host", "10.0.0.7:8080"), ("x-forwarded-host", "chat.example.org")], "").await.status(),
        421
    );
}

#[tokio::test]
async fn trace_and_connect_are_refused() {
    assert_eq!(refused(asked("TRACE", "/", &[], "").await).await, (405, "bad_frame".to_owned()));
    assert_eq!(refused(asked("CONNECT", "chat.example.org:443", &[], "").await).await.0, 405);
}

#[tokio::test]
async fn bodies_have_a_size() {
    let exact = format!("[\"{}\"]", "x".repeat(64 * 1024 - 4));
    assert_eq!(asked("POST", "/api/v1/names", &[], exact.clone()).await.status(), 200);
    let over = refused(asked("POST", "/api/v1/names", &[], exact + " ").await).await;
    assert_eq!(over, (413, "too_long".to_owned()));
    let chunked = asked("POST", "/api/v1/names", &[("transfer-encoding", "chunked")], "[]").await;
    assert_eq!(refused(chunked).await, (411, "bad_frame".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_too_long_is_answered_unavailable_the_upgrade_too() {
    // One long wait; many short ones; a socket that is not upgraded.
    for (path, limit) in [("/api/v1/slow", 2_000), ("/api/v1/busy", 4_500), ("/ws", 2_000)] {
        let began = tokio::time::Instant::now();
        let slow = asked("GET", path, &[], "").await;
        let took = began.elapsed().as_millis();
        assert!((limit..limit + 100).contains(&took), "{path} took {took} ms");
        assert!(slow.headers().contains_key(header::RETRY_AFTER), "{path}");
        assert_eq!(refused(slow).await, (503, "unavailable".to_owned()), "{path}");
    }
    let never = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
    assert_eq!(refused(asked("POST", "/api/v1/names", &[], never).await).await, (408, "bad_frame".to_owned()));
}

#[tokio::test]
async fn errors_of_the_api_are_problems_whoever_found_them() {
    for (method, path, body, expected) in [
        ("GET", "/api/v1/nothing", "", (404, "not_found")),
        ("GET", "/api/v1/panic", "", (500, "internal")),
        ("GET", "/api/v1/number/x", "", (400, "bad_frame")),
        ("POST", "/api/v1/names", "{", (400, "bad_frame")),
        ("POST", "/api/v1/names", "{\"a\":1}", (400, "bad_frame")),
        ("DELETE", "/api/v1/names", "", (405, "bad_frame")),
    ] {
        let answer = asked(method, path, &[], body).await;
        if expected.0 == 405 {
            assert_eq!(answer.headers()[header::ALLOW], "POST");
        }
        assert_eq!(refused(answer).await, (expected.0, expected.1.to_owned()), "{method} {path}");
    }
    let page = asked("GET", "/nothing", &[], "").await;
    assert!(page.status() == StatusCode::NOT_FOUND && !page.headers().contains_key(header::CONTENT_TYPE));
}
