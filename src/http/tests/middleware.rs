//! Tests of the middleware: headers, hosts, sizes, time limits, panics.
use std::sync::Arc;
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
use crate::http::middleware::{RequestLimits, wrap};

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
    wrap(site, RequestLimits::default(), Arc::default(), Arc::default(), router)
}

/// Waits a thousand times, for 100 ms each.
async fn busy() {
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends a request. Host and content type are added.
async fn send(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "chat.example.org");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router(&public_site()).oneshot(request.body(body.into()).unwrap()).await.unwrap()
}

/// Returns the status and code of a response that has to be a problem.
async fn problem_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned())
}

/// Returns the headers of a response, one per line, without its id.
fn headers_of(response: &Response) -> String {
    let shown = response.headers().iter().filter(|(name, _)| *name != "x-request-id" && *name != "content-length");
    let mut lines: Vec<String> = shown.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn every_response_carries_the_security_headers() {
    let page = send("GET", "/", &[], "").await;
    assert_eq!(page.headers()["x-request-id"].len(), 36);
    assert_eq!(
        headers_of(&page),
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
        let response = send("GET", path, &[], "").await;
        assert_eq!(response.status(), status, "{path}");
        for name in ["content-security-policy", "x-frame-options", "referrer-policy", "x-request-id"] {
            assert!(response.headers().contains_key(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn a_loopback_site_has_no_hsts_and_allows_its_sockets() {
    let site = Site::parse("http://localhost:8080").unwrap();
    let request = Request::builder().uri("/").header("host", "whatever:1").body(Body::empty()).unwrap();
    let page = router(&site).oneshot(request).await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(!page.headers().contains_key(header::STRICT_TRANSPORT_SECURITY));
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("connect-src 'self' ws://localhost:8080 ws://127.0.0.1:8080;"), "{policy}");
}

#[tokio::test]
async fn only_the_api_docs_allow_inline_styles() {
    let style = |response: &Response| {
        response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("'unsafe-inline'")
    };
    assert!(style(&send("GET", "/api/docs/index.html", &[], "").await));
    for other in ["/", "/api/v1/kept", "/api/docsx", "/api/v1/api/docs"] {
        assert!(!style(&send("GET", other, &[], "").await), "{other}");
    }
}

#[tokio::test]
async fn api_responses_are_not_cached_unless_the_handler_says_so() {
    let cached = |response: Response| response.headers().get(header::CACHE_CONTROL).cloned();
    assert_eq!(cached(send("GET", "/api/v1/number/1", &[], "").await).unwrap(), "no-store");
    assert_eq!(cached(send("GET", "/api/v1/kept", &[], "").await).unwrap(), "max-age=5");
    assert_eq!(cached(send("GET", "/", &[], "").await), None);
}

#[tokio::test]
async fn only_the_sites_own_host_is_served() {
    for own in ["chat.example.org", "CHAT.example.org", "chat.example.org:443"] {
        assert_eq!(send("GET", "/", &[("host", own)], "").await.status(), 200, "{own}");
    }
    for foreign in ["evil.example", "chat.example.org.evil.example", "chat.example.org:80", "", "chat.example.org."] {
        let response = send("GET", "/", &[("host", foreign)], "").await;
        assert_eq!(problem_of(response).await, (421, "not_found".to_owned()), "{foreign}");
    }
    let twice = send("GET", "/", &[("host", "chat.example.org"), ("host", "evil.example")], "").await;
    assert_eq!(twice.status(), 421);
    let target = send("GET", "https://evil.example/", &[], "").await;
    assert_eq!(target.status(), 421, "the host of the request target counts as well");
    assert_eq!(send("GET", "/livez", &[("host", "10.0.0.7:8080")], "").await.status(), 200);
    assert_eq!(
        send("GET", "/", &[("host", "10.0.0.7:8080"), ("x-forwarded-host", "chat.example.org")], "").await.status(),
        421
    );
}

#[tokio::test]
async fn trace_and_connect_are_refused() {
    assert_eq!(problem_of(send("TRACE", "/", &[], "").await).await, (405, "bad_frame".to_owned()));
    assert_eq!(problem_of(send("CONNECT", "chat.example.org:443", &[], "").await).await.0, 405);
}

#[tokio::test]
async fn bodies_have_a_length_and_a_limit() {
    let exact = format!("[\"{}\"]", "x".repeat(64 * 1024 - 4));
    assert_eq!(send("POST", "/api/v1/names", &[], exact.clone()).await.status(), 200);
    let over = problem_of(send("POST", "/api/v1/names", &[], exact + " ").await).await;
    assert_eq!(over, (413, "too_long".to_owned()));
    let chunked = send("POST", "/api/v1/names", &[("transfer-encoding", "chunked")], "[]").await;
    assert_eq!(problem_of(chunked).await, (411, "bad_frame".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_request_or_upgrade_that_waits_too_long_is_answered_unavailable() {
    // One long wait, many short ones, and an upgrade that does not happen.
    for (path, limit) in [("/api/v1/slow", 2_000), ("/api/v1/busy", 4_500), ("/ws", 2_000)] {
        let began = tokio::time::Instant::now();
        let slow = send("GET", path, &[], "").await;
        let took = began.elapsed().as_millis();
        assert!((limit..limit + 100).contains(&took), "{path} took {took} ms");
        assert!(slow.headers().contains_key(header::RETRY_AFTER), "{path}");
        assert_eq!(problem_of(slow).await, (503, "unavailable".to_owned()), "{path}");
    }
    let never = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
    assert_eq!(problem_of(send("POST", "/api/v1/names", &[], never).await).await, (408, "bad_frame".to_owned()));
}

#[tokio::test]
async fn every_error_of_the_api_is_a_problem() {
    for (method, path, body, expected) in [
        ("GET", "/api/v1/nothing", "", (404, "not_found")),
        ("GET", "/api/v1/panic", "", (500, "internal")),
        ("GET", "/api/v1/number/x", "", (400, "bad_frame")),
        ("POST", "/api/v1/names", "{", (400, "bad_frame")),
        ("POST", "/api/v1/names", "{\"a\":1}", (400, "bad_frame")),
        ("DELETE", "/api/v1/names", "", (405, "bad_frame")),
    ] {
        let response = send(method, path, &[], body).await;
        if expected.0 == 405 {
            assert_eq!(response.headers()[header::ALLOW], "POST");
        }
        assert_eq!(problem_of(response).await, (expected.0, expected.1.to_owned()), "{method} {path}");
    }
    let page = send("GET", "/nothing", &[], "").await;
    assert!(page.status() == StatusCode::NOT_FOUND && !page.headers().contains_key(header::CONTENT_TYPE));
}
