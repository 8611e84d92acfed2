//! Links in mails, tested with a real SMTP server on loopback.
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::accounts::sign_in::tests::{Browser, PASSWORD, Stored, outcome, store_account};
use crate::clock::Clock;
use crate::notify::smtp_server::SmtpServer;
use crate::realtime::Relay;
use crate::testing::{Node, database};

const NEW_PASSWORD: &str = "another horse battery";

/// Starts a node that sends its mails to a server of the test.
async fn node_with_mail() -> (Node, SmtpServer) {
    let server = SmtpServer::start();
    let change = |config: &mut crate::config::Config| {
        config.smtp_url = Some(server.url());
        config.mail_from = Some("Maju <no-reply@chat.example.org>".to_owned());
    };
    (Node::start(database().await, Relay::in_process(), Clock::default(), change).await, server.clone())
}

/// Waits for this many mails, and returns address, subject and text of the last one.
async fn mail(server: &SmtpServer, count: usize) -> (String, String, String) {
    let mails = server.wait_for(count).await;
    let last = mails.last().unwrap();
    (last.to.clone(), last.header("Subject"), last.text())
}

/// Returns the token of the link in a mail.
fn token(text: &str, page: &str) -> String {
    let link = text.split_whitespace().find(|word| word.contains(page)).unwrap_or_else(|| panic!("{text}"));
    link.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_address_is_confirmed_by_its_link_once() {
    let (node, server) = node_with_mail().await;
    let mut own = Browser::default();
    let body = json!({"handle": "somebody", "password": PASSWORD, "email": "one@example.org"});
    assert_eq!(own.post(&node, "/sign-up", body).await.status, StatusCode::CREATED);
    let (to, _, text) = mail(&server, 1).await;
    assert_eq!(to, "one@example.org");
    let first = token(&text, "/verify-email/");
    let shown = own.ask(&node, Method::GET, "/account", None).await.json();
    assert_eq!((&shown["email"], &shown["email_verified"]), (&json!("one@example.org"), &json!(false)));
    // It works in any browser, without a session, and once.
    for expected in [204, 401] {
        let answer = Browser::default().post(&node, "/account/email/verify", json!({"token": first})).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text);
    }
    assert_eq!(own.ask(&node, Method::GET, "/account", None).await.json()["email_verified"], true);
    // Another address: the old one stays until the new one is confirmed, and is told then.
    let change = json!({"email": "two@example.org", "password": PASSWORD});
    assert_eq!(own.post(&node, "/account/email", change).await.status, StatusCode::NO_CONTENT);
    let (to, _, text) = mail(&server, 2).await;
    assert_eq!(to, "two@example.org");
    let shown = own.ask(&node, Method::GET, "/account", None).await.json();
    assert_eq!((&shown["email"], &shown["pending_email"]), (&json!("one@example.org"), &json!("two@example.org")));
    let second = json!({"token": token(&text, "/verify-email/")});
    assert_eq!(own.post(&node, "/account/email/verify", second).await.status, StatusCode::NO_CONTENT);
    assert_eq!(mail(&server, 3).await.0, "one@example.org", "the owner of the old address is told");
    let shown = own.ask(&node, Method::GET, "/account", None).await.json();
    assert_eq!((&shown["email"], &shown["pending_email"]), (&json!("two@example.org"), &json!(null)));
}

#[tokio::test]
async fn an_address_belongs_to_the_account_that_confirmed_it() {
    let (node, server) = node_with_mail().await;
    let mut tokens = Vec::new();
    for (n, handle) in ["first", "second"].into_iter().enumerate() {
        let body = json!({"handle": handle, "password": PASSWORD, "email": "shared@example.org"});
        assert_eq!(Browser::default().post(&node, "/sign-up", body).await.status, StatusCode::CREATED);
        tokens.push(token(&mail(&server, n + 1).await.2, "/verify-email/"));
    }
    let confirm =
        async |token: &String| Browser::default().post(&node, "/account/email/verify", json!({"token": token})).await;
    assert_eq!(confirm(&tokens[1]).await.status, StatusCode::NO_CONTENT);
    let late = confirm(&tokens[0]).await;
    assert_eq!((outcome(&late), late.json()["field"].clone()), ((409, "conflict".to_owned()), json!("email")));
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_a_link_that_works_once() {
    let (node, server) = node_with_mail().await;
    store_account(&node, Stored { pin: true, ..Stored::member("somebody") }).await;
    sqlx::query("UPDATE account SET email = 'known@example.org', email_verified_at = now()")
        .execute(&node.app.db)
        .await
        .unwrap();
    let ask = async |email: &str| {
        let answer = Browser::default().post(&node, "/account/reset", json!({"email": email})).await;
        (answer.status, answer.text)
    };
    let unknown = ask("unknown@example.org").await;
    let known = ask("Known@example.org").await;
    assert_eq!(unknown, known, "the answer tells nothing");
    let (to, _, text) = mail(&server, 1).await;
    assert_eq!(to.to_lowercase(), "known@example.org");
    let token = token(&text, "/reset/");
    let confirm = async |password: &str| {
        let body = json!({"token": token, "password": password});
        Browser::default().post(&node, "/account/reset/confirm", body).await
    };
    assert_eq!(confirm("short").await.json()["field"], "password", "a refused password does not use it up");
    let mut signed_in = Browser::default();
    signed_in.begin(&node, "somebody", PASSWORD).await;
    signed_in.step(&node, "pin", crate::accounts::sign_in::tests::PIN).await;
    assert_eq!(confirm(NEW_PASSWORD).await.status, StatusCode::NO_CONTENT);
    assert_eq!(signed_in.signed_in(&node).await, None, "all sessions end");
    assert_eq!(outcome(&confirm(NEW_PASSWORD).await), (401, "wrong_credentials".to_owned()));
    assert_eq!(mail(&server, 2).await.0.to_lowercase(), "known@example.org", "the owner is told");
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    let next = Browser::default().begin(&node, "somebody", NEW_PASSWORD).await.json();
    assert_eq!(next["next"], "pin", "a second proof stays");
}

#[tokio::test]
async fn a_link_that_is_too_old_does_nothing() {
    let (node, server) = node_with_mail().await;
    store_account(&node, Stored::member("somebody")).await;
    sqlx::query("UPDATE account SET email = 'known@example.org', email_verified_at = now()")
        .execute(&node.app.db)
        .await
        .unwrap();
    Browser::default().post(&node, "/account/reset", json!({"email": "known@example.org"})).await;
    let token = token(&mail(&server, 1).await.2, "/reset/");
    let lifetime: f64 =
        sqlx::query_scalar("SELECT extract(epoch FROM expires_at - created_at)::float8 FROM account_link")
            .fetch_one(&node.app.db)
            .await
            .unwrap();
    assert!((lifetime - 3_600.0).abs() < 1.0, "{lifetime}");
    sqlx::query("UPDATE account_link SET expires_at = now() - interval '1 second'")
        .execute(&node.app.db)
        .await
        .unwrap();
    let body = json!({"token": token, "password": NEW_PASSWORD});
    let late = Browser::default().post(&node, "/account/reset/confirm", body).await;
    assert_eq!(outcome(&late), (401, "wrong_credentials".to_owned()));
    assert_eq!(Browser::default().begin(&node, "somebody", PASSWORD).await.json()["done"], true);
}
