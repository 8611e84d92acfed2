//! Sign-in, tested over the real router and Postgres.
mod proofs;
mod secrets;
mod steps;

use axum::http::{HeaderMap, Method, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};
use uuid::Uuid;

use crate::accounts::Role;
use crate::accounts::passwords::hash_now as hash_password;
use crate::accounts::totp::recovery_hash;
use crate::ids::AccountId;
use crate::testing::{Answer, Guest, Node};

/// The password of every account here.
pub(in crate::accounts) const PASSWORD: &str = "correct horse battery";
pub(in crate::accounts) const PIN: &str = "402917";
/// The secret of every second factor here, 20 bytes.
pub(in crate::accounts) const TOTP_SECRET: &[u8; 20] = b"12345678901234567890";

/// A browser that keeps its cookie.
#[derive(Clone, Default)]
pub(in crate::accounts) struct Browser {
    pub(in crate::accounts) cookie: Option<String>,
}

impl Browser {
    /// A browser with the cookie of a guest.
    pub(in crate::accounts) fn of(guest: &Guest) -> Self {
        Self { cookie: Some(guest.cookie.clone()) }
    }

    pub(in crate::accounts) fn guest(&self) -> Option<Guest> {
        self.cookie.clone().map(|cookie| Guest { cookie, id: String::new() })
    }

    /// Sends a request as a page does, and keeps the cookie of the answer.
    pub(in crate::accounts) async fn ask(
        &mut self,
        node: &Node,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let answer = node.ask(self.guest().as_ref(), method, &format!("/api/v1{path}"), body).await;
        self.keep(&answer.headers);
        answer
    }

    pub(in crate::accounts) async fn post(&mut self, node: &Node, path: &str, body: Value) -> Answer {
        self.ask(node, Method::POST, path, Some(body)).await
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            let is_removed = cookie.ends_with('=');
            self.cookie = (!is_removed).then_some(cookie);
        }
    }

    /// Begins a sign-in.
    pub(in crate::accounts) async fn begin(&mut self, node: &Node, handle: &str, password: &str) -> Answer {
        self.post(node, "/sign-in", json!({"handle": handle, "password": password})).await
    }

    /// Proves a step.
    pub(in crate::accounts) async fn step(&mut self, node: &Node, step: &str, code: &str) -> Answer {
        self.post(node, &format!("/sign-in/{step}"), json!({"code": code})).await
    }

    /// Returns the handle that the browser is signed in with. `None` if it is not.
    pub(in crate::accounts) async fn signed_in(&mut self, node: &Node) -> Option<String> {
        let answer = self.ask(node, Method::GET, "/account", None).await;
        match answer.status {
            StatusCode::OK => Some(answer.json()["account"]["handle"].as_str().unwrap().to_owned()),
            StatusCode::UNAUTHORIZED => None,
            other => panic!("{other}: {}", answer.text),
        }
    }

    /// Signs up, as a guest or without a cookie.
    pub(in crate::accounts) async fn sign_up(&mut self, node: &Node, handle: &str) {
        let answer = self.post(node, "/sign-up", json!({"handle": handle, "password": PASSWORD})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
}

/// Signs a new member up.
pub(in crate::accounts) async fn member(node: &Node, handle: &str) -> Browser {
    let mut browser = Browser::default();
    browser.sign_up(node, handle).await;
    browser
}

/// Status and code of an answer: `(200, "")` if it is no error.
pub(in crate::accounts) fn outcome(answer: &Answer) -> (u16, String) {
    let code =
        if answer.status.is_success() { String::new() } else { answer.json()["code"].as_str().unwrap().to_owned() };
    (answer.status.as_u16(), code)
}

/// An account about to be stored.
#[derive(Clone, Copy)]
pub(in crate::accounts) struct Stored<'a> {
    pub(in crate::accounts) handle: &'a str,
    pub(in crate::accounts) role: Role,
    pub(in crate::accounts) totp: bool,
    pub(in crate::accounts) pin: bool,
}

impl<'a> Stored<'a> {
    pub(in crate::accounts) fn member(handle: &'a str) -> Self {
        Self { handle, role: Role::Member, totp: false, pin: false }
    }
}

/// Stores an account with [`PASSWORD`], and with [`PIN`], [`TOTP_SECRET`] and one recovery code if it
/// has those. Returns its id.
pub(in crate::accounts) async fn store_account(node: &Node, new: Stored<'_>) -> AccountId {
    let hash = |text: &str| hash_password(&SecretString::from(text)).unwrap();
    let id: i64 = sqlx::query_scalar(
        "WITH visitor AS (INSERT INTO visitor (public_id, color, animal, locale) VALUES ($1, 'pine', 'otter', 'en')
                          RETURNING id)
         INSERT INTO account (visitor_id, handle, role, password, totp_secret, totp_confirmed_at, pin)
         SELECT id, $2, $3, $4, $5, CASE WHEN $5::bytea IS NULL THEN NULL ELSE now() END, $6 FROM visitor RETURNING id",
    )
    .bind(Uuid::new_v4())
    .bind(new.handle)
    .bind(new.role.as_str())
    .bind(hash(PASSWORD))
    .bind(new.totp.then_some(&TOTP_SECRET[..]))
    .bind(new.pin.then(|| hash(PIN)))
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    if new.totp {
        let code = SecretString::from(recovery_code(new.handle));
        sqlx::query("INSERT INTO recovery_code (account_id, hash) VALUES ($1, $2)")
            .bind(id)
            .bind(recovery_hash(AccountId(id), &code))
            .execute(&node.app.db)
            .await
            .unwrap();
    }
    AccountId(id)
}

/// The recovery code of a stored account.
pub(in crate::accounts) fn recovery_code(handle: &str) -> String {
    format!("{handle}-RECOVERY")
}

/// Returns the code that an app shows now.
pub(in crate::accounts) fn code_now(node: &Node, secret: &[u8]) -> String {
    let totp = Builder::new().with_secret(Secret::from(secret)).build().unwrap();
    totp.generate(node.app.clock.now().unix_timestamp().unsigned_abs()).to_string()
}

/// Returns a code that no app shows around now.
pub(in crate::accounts) fn wrong_code(node: &Node, secret: &[u8]) -> String {
    let is_wrong =
        |code: &String| crate::accounts::totp::step_of(secret, &code.as_str().into(), node.app.clock.now()).is_none();
    (0..10).map(|digit| digit.to_string().repeat(6)).find(is_wrong).unwrap()
}
