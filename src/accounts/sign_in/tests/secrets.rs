//! Secrets do not get into logs, whatever is done with them.
use std::io;
use std::sync::Arc;

use axum::http::Method;
use parking_lot::Mutex;
use serde_json::json;

use super::{Browser, Stored, TOTP_SECRET, code_now, store_account};
use crate::testing::node;

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
async fn no_secret_gets_into_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    // Everything that our own code can say, and what the session layer and sqlx say at `debug`.
    let filter = tracing_subscriber::EnvFilter::new("trace,sqlx=debug,hyper=info,tokio=info");
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone());
    let _listening = tracing::subscriber::set_default(log.finish());
    let node = node().await;
    let mut browser = Browser::default();
    let body = json!({"handle": "canary", "password": "canary-password-one", "email": "canary-mail@example.org"});
    assert_eq!(browser.post(&node, "/sign-up", body).await.status, 201);
    let enrolment = browser.ask(&node, Method::POST, "/account/totp", None).await.json();
    let secret = enrolment["secret"].as_str().unwrap().to_owned();
    let bytes = totp_rs::Secret::try_from_base32(&secret).unwrap().to_vec();
    let code = code_now(&node, &bytes);
    let codes = browser.post(&node, "/account/totp/confirm", json!({"code": code})).await.json();
    let recovery = codes["recovery_codes"][0].as_str().unwrap().to_owned();
    let pin = json!({"pin": "930184", "password": "canary-password-one"});
    assert_eq!(browser.post(&node, "/account/pin", pin).await.status, 204);
    let change = json!({"current": "canary-password-one", "new": "canary-password-two"});
    assert_eq!(browser.post(&node, "/account/password", change).await.status, 204);
    let cookie = browser.cookie.clone().unwrap();
    for wrong in [
        json!({"handle": "canary", "password": "canary-password-wrong"}),
        json!({"handle": "canary", "password": 93018477}),
        json!({"handle": "canary", "password": "canary-password-odd", "more": 1}),
    ] {
        Browser::default().post(&node, "/sign-in", wrong).await;
    }
    Browser::default().post(&node, "/sign-up", json!({"handle": "canary", "password": "canary-pw"})).await;
    Browser::default().post(&node, "/account/email/verify", json!({"token": "canary-token"})).await;
    let reset = json!({"token": "canary-token", "password": "canary-password-three"});
    Browser::default().post(&node, "/account/reset/confirm", reset).await;
    let mut again = Browser::default();
    again.begin(&node, "canary", "canary-password-two").await;
    again.step(&node, "recovery", &recovery).await;
    again.step(&node, "pin", "930184").await;
    store_account(&node, Stored { totp: true, ..Stored::member("other") }).await;
    again.step(&node, "totp", &code_now(&node, TOTP_SECRET)).await;
    let logged = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert!(logged.len() > 1_000, "the log was collected: {logged}");
    let cookie_value = cookie.split('=').nth(1).unwrap();
    for canary in ["canary-p", "canary-t", "canary-mail", "930184", &secret, &recovery, &code, cookie_value] {
        let line = logged.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {line:?}");
    }
}
