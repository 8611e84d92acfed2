//! What the pages refuse: forms of other sites and sessions, open redirects, caches.
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};

use super::PASSWORD;
use super::browser::{Browser, encode};
use crate::http::{Bucket, ClientIp, Key};
use crate::testing::{limited_node, node};

/// Every address that takes a form, with fields that would do something.
const FORMS: [(&str, &[(&str, &str)]); 24] = [
    ("/signin", &[("handle", "hana")]),
    ("/signin/leave", &[]),
    ("/signin/password", &[("password", PASSWORD)]),
    ("/signin/totp", &[("code", "123456")]),
    ("/signin/elsewhere", &[]),
    ("/signin/verify", &[]),
    ("/signup", &[("handle", "evil"), ("password", PASSWORD)]),
    ("/reset", &[("email", "a@b.kr")]),
    ("/reset/token", &[("password", PASSWORD)]),
    ("/verify-email/token", &[]),
    ("/sign-out", &[]),
    ("/account/name", &[("name", "evil")]),
    ("/account/email", &[("email", "evil@mail.example"), ("current", PASSWORD)]),
    ("/account/password", &[("password", "evil horse battery"), ("current", PASSWORD)]),
    ("/account/pin", &[("pin", "402917"), ("current", PASSWORD)]),
    ("/account/pin/remove", &[("current", PASSWORD)]),
    ("/account/totp", &[]),
    ("/account/totp/confirm", &[("code", "123456")]),
    ("/account/totp/remove", &[("current", PASSWORD)]),
    ("/account/recovery-codes", &[("current", PASSWORD)]),
    ("/account/sessions/end", &[]),
    ("/account/blocks/7b1f6c3e-0000-4000-8000-000000000000/remove", &[]),
    ("/account/delete", &[("word", "삭제"), ("current", PASSWORD)]),
    ("/account/delete/undo", &[]),
];

fn form(fields: &[(&str, &str)], token: Option<&str>) -> String {
    let token = token.map(|token| ("token", token));
    let all = fields.iter().copied().chain(token);
    encode(&all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>())
}

/// Returns everything about accounts that an act could change.
async fn everything(node: &crate::testing::Node) -> String {
    let row: (String, String) = sqlx::query_as(
        "SELECT (SELECT jsonb_agg(to_jsonb(a) ORDER BY id)::text FROM account a),
                (SELECT coalesce(jsonb_agg(to_jsonb(v) - 'last_used_at' ORDER BY id)::text, '') FROM visitor v
                 WHERE EXISTS (SELECT 1 FROM account a WHERE a.visitor_id = v.id))",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    format!("{} {}", row.0, row.1)
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_session() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    let mut other = Browser::new(&node, "ko");
    let foreign = other.open("/signin").await.fields("/signin")["token"].clone();
    let before = everything(&node).await;
    for (path, fields) in FORMS {
        for token in [None, Some(""), Some("x"), Some(foreign.as_str()), Some(&foreign[1..])] {
            let answer = one.send(Method::POST, path, Some(form(fields, token))).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} with {token:?}");
            assert!(answer.text.contains("오래된 페이지예요."), "{path}: {}", answer.text);
        }
    }
    assert_eq!(everything(&node).await, before);
    assert_eq!(one.signed_in().await.as_deref(), Some("hana"));
    // Each step has a token of its own.
    one.sign_out().await;
    let early = one.open("/signin").await.fields("/signin");
    one.sign_in("/signin", "hana", PASSWORD).await;
    assert_eq!(one.path, "/account");
    assert_eq!(one.post("/sign-out", &early).await.status, StatusCode::FORBIDDEN);
    // A form without a session does nothing either, and makes no visitor.
    let visitors = "SELECT count(*) FROM visitor";
    let count: i64 = sqlx::query_scalar(visitors).fetch_one(&node.app.db).await.unwrap();
    let mut nobody = Browser::new(&node, "ko");
    let answer = nobody.send(Method::POST, "/signin", Some(form(&[("handle", "hana")], Some(&foreign)))).await;
    assert_ne!(answer.headers.get(header::LOCATION).map(|to| to.to_str().unwrap()), Some("/signin/password"));
    assert_eq!(sqlx::query_scalar::<_, i64>(visitors).fetch_one(&node.app.db).await.unwrap(), count);
}

#[tokio::test]
async fn a_form_with_a_character_that_cannot_be_stored_is_refused() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    let token = one.sign_up("hana").await.fields("/sign-out")["token"].clone();
    let before = everything(&node).await;
    for (path, fields) in FORMS.into_iter().filter(|(_, fields)| !fields.is_empty()) {
        let filled: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, format!("{value}\0"))).collect();
        let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = one.send(Method::POST, path, Some(form(&filled, Some(&token)))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text.contains("바뀐 것은 없어요."), "{path}: {}", answer.text);
    }
    assert_eq!(everything(&node).await, before);
    // A sign-out whose session has ended leads to the account, and from there to sign-in and back.
    let mut nobody = Browser::new(&node, "ko");
    assert_eq!(nobody.open("/sign-out").await.path, "/signin?next=/account");
}

#[tokio::test]
async fn a_form_comes_from_a_page_of_this_site() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    let token = one.sign_up("hana").await.fields("/sign-out")["token"].clone();
    let before = everything(&node).await;
    let own = node.origin();
    let sent: [(&[(&str, &str)], u16); 8] = [
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[], 403),
        (&[("origin", own.as_str()), ("sec-fetch-site", "cross-site")], 403),
        (&[("origin", own.as_str()), ("sec-fetch-site", "same-site")], 403),
        (&[("origin", own.as_str()), ("content-type", "text/plain")], 415),
        (&[("origin", own.as_str()), ("content-type", "multipart/form-data; boundary=x")], 415),
        (&[("origin", own.as_str()), ("content-type", "application/json")], 415),
    ];
    for (path, fields) in FORMS.into_iter().chain([("/language", &[("locale", "en")][..])]) {
        for (headers, status) in sent {
            let mut request = Request::post(path).header(header::COOKIE, one.guest().cookie);
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = node.send(request.body(Body::from(form(fields, Some(&token)))).unwrap()).await;
            assert_eq!(answer.status.as_u16(), status, "{path} with {headers:?}");
            assert!(answer.headers.get(header::SET_COOKIE).is_none(), "{path} with {headers:?}");
        }
        let get = one.send(Method::GET, &format!("{path}?{}", form(fields, Some(&token))), None).await;
        assert_ne!(get.status.as_u16() / 100, 5, "{path}");
    }
    assert_eq!(everything(&node).await, before, "nothing changes by reading");
    assert_eq!(one.signed_in().await.as_deref(), Some("hana"));
    let large = format!("token={token}&name={}", "a".repeat(9_000));
    assert_eq!(one.send(Method::POST, "/account/name", Some(large)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_sign_in_returns_only_to_a_page_of_this_site() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    for (next, target) in [
        ("/account/name", "/account/name"),
        ("/chat?a=1", "/chat?a=1"),
        ("https://evil.example", "/account"),
        ("//evil.example", "/account"),
        ("/\\evil.example", "/account"),
        ("/%5cevil.example", "/account"),
        ("/\t/evil.example", "/account"),
        ("javascript:alert(1)", "/account"),
        ("/api/v1/sign-out", "/account"),
        ("account", "/account"),
    ] {
        one.open("/account").await.sign_out().await;
        one.open("/signin").await;
        // A changed hidden field leads no further than a changed link.
        one.submit("/signin", &[("handle", "hana"), ("next", next)]).await;
        one.submit("/signin/password", &[("password", PASSWORD)]).await;
        let expected = if next == "/%5cevil.example" { "/%5cevil.example" } else { target };
        assert_eq!(one.path, expected, "{next}");
        let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        one.open(&format!("/signin?next={query}")).await;
        assert_eq!(one.path, expected, "{next}");
    }
    let choice =
        BTreeMap::from([("locale", "en"), ("back", "//evil.example")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    let answer = one.send(Method::POST, "/language", Some(encode(&choice))).await;
    assert_eq!(answer.headers[header::LOCATION], "/en");
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_the_same_page() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await.sign_out().await;
    let mut pages = Vec::new();
    for handle in ["hana", "nobody-here", "@@@"] {
        let mut other = Browser::new(&node, "ko");
        other.sign_in("/signin", handle, "wrong horse battery").await;
        let token = other.fields("/signin/password")["token"].clone();
        let html = other.html.replace(&token, "").replace(handle, "");
        pages.push((other.status, other.path.clone(), html));
    }
    assert_eq!(pages[0], pages[1]);
    assert_eq!(pages[0], pages[2]);
}

#[tokio::test]
async fn after_too_many_wrong_passwords_the_page_tells_the_wait() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await.sign_out().await;
    one.sign_in("/signin", "hana", "wrong horse battery").await;
    for _ in 0..8 {
        if one.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        one.submit("/signin/password", &[("password", "wrong horse battery")]).await;
    }
    assert_eq!(one.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(one.html.contains("class=\"wait\" data-seconds=\""), "{}", one.html);
    assert!(one.html.contains("뒤에 다시 해 볼 수 있어요."));
}

#[tokio::test]
async fn a_failure_is_a_page_in_the_design_of_the_site() {
    let node = limited_node().await;
    let mut one = Browser::new(&node, "en");
    one.open("/signin").await;
    // The requests of a network count together, whatever they ask for.
    let prefix = ClientIp("127.0.0.1".parse().unwrap()).prefix();
    while node.app.limits.take(Bucket::PrefixRequests, Key::Prefix(prefix)).is_ok() {}
    assert_eq!(one.open("/signin").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(one.heading(), "That was too many requests.");
    assert!(one.html.contains("<html lang=\"en\"") && one.headers.contains_key(header::RETRY_AFTER));
}
