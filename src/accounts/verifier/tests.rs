//! The outside verifier, tested with one of the test: a small server with pages of its own.
use std::collections::HashMap;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::model::sign;
use crate::accounts::Role;
use crate::accounts::sign_in::tests::{Browser, PASSWORD, Stored, TOTP_SECRET, code_now, outcome, store_account};
use crate::clock::Clock;
use crate::config::{Verifier, VerifierUse};
use crate::realtime::Relay;
use crate::testing::{Node, database};

const SECRET: &str = "a secret of the site and its verifier";

/// A verifier that believes everybody, unless the page is asked to fail.
async fn check(State(verifier): State<Verifier>, Query(query): Query<HashMap<String, String>>) -> Response {
    let signed = ["request", &query["id"], &query["purpose"], &query["return"], &query["time"]];
    if sign(&verifier, &signed) != query["signature"] {
        return StatusCode::FORBIDDEN.into_response();
    }
    let result = if query.contains_key("fail") { "failed" } else { "completed" };
    let expires = (query["time"].parse::<i64>().unwrap() + 300).to_string();
    let signature = sign(&verifier, &["answer", &query["id"], result, &expires]);
    let answer = format!("id={}&result={result}&expires={expires}&signature={signature}", query["id"]);
    Redirect::to(&format!("{}?{answer}", query["return"])).into_response()
}

/// Starts the verifier, and a node that asks it.
async fn node_with_verifier(uses: &[VerifierUse]) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/check", listener.local_addr().unwrap()).parse().unwrap();
    let verifier = Verifier { url, secret: SECRET.into(), uses: uses.to_vec() };
    let pages = Router::new().route("/check", get(check)).with_state(verifier.clone());
    let change = |config: &mut crate::config::Config| config.sign_in.verifier = Some(verifier);
    let node = Node::start(database().await, Relay::in_process(), Clock::default(), change).await;
    let stopping = node.app.tasks.stopping.clone();
    node.app.tasks.spawn("test.verifier", async move {
        axum::serve(listener, pages).with_graceful_shutdown(stopping.cancelled_owned()).await.unwrap();
    });
    node
}

/// Opens a page as a browser does. Returns the status and where it leads.
async fn open(url: &str) -> (u16, String) {
    let url = url::Url::parse(url).unwrap();
    let address: SocketAddr = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let target = &url[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
    (status, location.to_owned())
}

/// Returns what the verifier adds to the return address.
async fn answer_of(url: &str) -> String {
    let (status, location) = open(url).await;
    assert_eq!(status, 303, "{location}");
    location.split_once('?').unwrap().1.to_owned()
}

async fn states(node: &Node) -> Vec<(String, bool)> {
    let sql = "SELECT state, completed_at IS NOT NULL FROM verification ORDER BY requested_at, id";
    sqlx::query_as(sql).fetch_all(&node.app.db).await.unwrap()
}

#[tokio::test]
async fn a_check_by_the_verifier_is_a_step_of_the_sign_in_of_staff() {
    let node = node_with_verifier(&[VerifierUse::Staff]).await;
    store_account(&node, Stored { role: Role::Editor, totp: true, ..Stored::member("writer") }).await;
    store_account(&node, Stored::member("somebody")).await;
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.json()["done"], true, "members need none");
    let mut browser = Browser::default();
    browser.begin(&node, "writer", PASSWORD).await;
    let early = browser.post(&node, "/sign-in/verify", json!({})).await;
    assert_eq!(outcome(&early), (409, "wrong_step".to_owned()));
    assert_eq!(browser.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await.json()["next"], "verify");
    let asked = browser.post(&node, "/sign-in/verify", json!({})).await.json();
    let url = asked["url"].as_str().unwrap().to_owned();
    assert_eq!((&asked["done"], &asked["next"]), (&json!(false), &json!("verify")));
    assert_eq!(states(&node).await, [("requested".to_owned(), false)]);
    assert_eq!(open(&url.replace("purpose=sign_in", "purpose=age")).await.0, 403, "a changed request is refused");
    let answer = answer_of(&url).await;
    // Neither forged nor from somebody else's sign-in.
    for forged in [answer.replace("completed", "failed"), answer.replace("signature=", "signature=0"), "x".to_owned()] {
        assert_eq!(outcome(&browser.step(&node, "verify", &forged).await), (401, "wrong_credentials".to_owned()));
    }
    store_account(&node, Stored { role: Role::Editor, totp: true, ..Stored::member("other") }).await;
    let mut other = Browser::default();
    other.begin(&node, "other", PASSWORD).await;
    other.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await;
    assert_eq!(outcome(&other.step(&node, "verify", &answer).await), (401, "wrong_credentials".to_owned()));
    assert_eq!(browser.step(&node, "verify", &answer).await.json()["done"], true);
    assert_eq!(states(&node).await, [("completed".to_owned(), true)]);
    // Once more, in a later sign-in of the same account.
    node.app.clock.advance(std::time::Duration::from_secs(30));
    let mut again = Browser::default();
    again.begin(&node, "writer", PASSWORD).await;
    again.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await;
    assert_eq!(outcome(&again.step(&node, "verify", &answer).await), (401, "wrong_credentials".to_owned()), "a replay");
}

#[tokio::test]
async fn a_check_that_failed_or_is_too_late_gives_nothing() {
    let node = node_with_verifier(&[VerifierUse::Members]).await;
    store_account(&node, Stored::member("somebody")).await;
    let mut browser = Browser::default();
    assert_eq!(browser.begin(&node, "somebody", PASSWORD).await.json()["next"], "verify");
    let url = browser.post(&node, "/sign-in/verify", json!({})).await.json()["url"].as_str().unwrap().to_owned();
    let failed = answer_of(&format!("{url}&fail=1")).await;
    assert_eq!(browser.step(&node, "verify", &failed).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(states(&node).await, [("failed".to_owned(), true)]);
    let completed = answer_of(&url).await;
    assert_eq!(browser.step(&node, "verify", &completed).await.status, StatusCode::UNAUTHORIZED, "it has failed");
    let url = browser.post(&node, "/sign-in/verify", json!({})).await.json()["url"].as_str().unwrap().to_owned();
    let late = answer_of(&url).await;
    node.app.clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(browser.step(&node, "verify", &late).await.status, StatusCode::UNAUTHORIZED, "the answer has expired");
    let url = browser.post(&node, "/sign-in/verify", json!({})).await.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(browser.step(&node, "verify", &answer_of(&url).await).await.json()["done"], true);
}

#[tokio::test]
async fn a_new_member_passes_the_step_that_the_site_asks_of_members() {
    let node = node_with_verifier(&[VerifierUse::Members]).await;
    let mut browser = Browser::of(&node.newcomer("en").await);
    let made = browser.post(&node, "/sign-up", json!({"handle": "somebody", "password": PASSWORD})).await;
    assert_eq!((made.status, made.json()["next"].clone()), (StatusCode::CREATED, json!("verify")), "{}", made.text);
    assert_eq!(browser.signed_in(&node).await, None);
    let url = browser.post(&node, "/sign-in/verify", json!({})).await.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(browser.step(&node, "verify", &answer_of(&url).await).await.json()["done"], true);
    assert_eq!(browser.signed_in(&node).await.as_deref(), Some("somebody"));
}

#[tokio::test]
async fn an_age_is_verified_for_one_visitor() {
    let node = node_with_verifier(&[VerifierUse::Age]).await;
    let mut guest = Browser::of(&node.newcomer("en").await);
    let mut other = Browser::of(&node.newcomer("en").await);
    let shown = guest.ask(&node, Method::GET, "/me/age-check", None).await.json();
    assert_eq!(shown, json!({"available": true, "verified": false}));
    let url = guest.ask(&node, Method::POST, "/me/age-check", None).await.json()["url"].as_str().unwrap().to_owned();
    let code = json!({"code": answer_of(&url).await});
    assert_eq!(
        outcome(&other.post(&node, "/me/age-check/result", code.clone()).await),
        (401, "wrong_credentials".to_owned())
    );
    assert_eq!(guest.post(&node, "/me/age-check/result", code.clone()).await.json()["verified"], true);
    assert_eq!(outcome(&guest.post(&node, "/me/age-check/result", code).await), (401, "wrong_credentials".to_owned()));
    assert_eq!(guest.ask(&node, Method::GET, "/me/age-check", None).await.json()["verified"], true);
    assert_eq!(other.ask(&node, Method::GET, "/me/age-check", None).await.json()["verified"], false);
    let without = node_with_verifier(&[VerifierUse::Staff]).await;
    let mut guest = Browser::of(&without.newcomer("en").await);
    let refused = guest.ask(&without, Method::POST, "/me/age-check", None).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
}
