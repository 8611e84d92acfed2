//! Signed-in sessions, tested over the real router, real sockets and Postgres, on one node and on two.
mod ending;
mod matrix;
mod revoking;

use std::sync::Arc;

use tower_sessions::Session;
use tower_sessions::session::Id;
use uuid::Uuid;

use super::complete_sign_in;
use crate::accounts::Role;
use crate::accounts::sessions::Sessions;
use crate::error::Result;
use crate::testing::{Guest, Node};

/// Returns how often a race is tried: `few` times in `make test`, `many` times in `make drills`,
/// which sets `MAJU_LONG_TESTS`.
fn rounds(few: usize, many: usize) -> usize {
    if std::env::var_os("MAJU_LONG_TESTS").is_some() { many } else { few }
}

/// Makes an account for a new visitor who has accepted the rules, and signs it in.
pub(crate) async fn account(node: &Node, handle: &str, role: Role) -> Guest {
    let guest = node.guest("en").await;
    sqlx::query(
        "INSERT INTO account (visitor_id, handle, role) SELECT id, $2, $3 FROM visitor WHERE public_id = $1::uuid",
    )
    .bind(&guest.id)
    .bind(handle)
    .bind(role.as_str())
    .execute(&node.app.db)
    .await
    .unwrap();
    sign_in(node, handle).await.unwrap()
}

/// Begins a sign-in to an account whose steps are all done. Returns its key.
async fn begin_complete(node: &Node, handle: &str) -> Uuid {
    let key = Uuid::new_v4();
    sqlx::query(
        "INSERT INTO sign_in (key, account_id, epoch, done, expires_at)
         SELECT $1, id, session_epoch, ARRAY['password', 'enroll_totp'], now() + interval '10 minutes'
         FROM account WHERE handle = $2",
    )
    .bind(key)
    .bind(handle)
    .execute(&node.app.db)
    .await
    .unwrap();
    key
}

/// Completes a sign-in by its key, in a browser without a cookie.
async fn complete(node: &Node, key: Uuid) -> Result<Guest> {
    let session = Session::new(None, Arc::new(Sessions::new(node.app.db.clone())), None);
    let account = complete_sign_in(&node.app, &session, key, "Firefox, Linux", &[]).await?;
    let id: Uuid = sqlx::query_scalar(
        "SELECT v.public_id FROM visitor v JOIN account a ON a.visitor_id = v.id WHERE a.public_id = $1",
    )
    .bind(account.public_id)
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    let cookie = format!("{}={}", node.app.accounts.cookie_name, session.id().unwrap());
    Ok(Guest { cookie, id: id.to_string() })
}

/// Signs in to an account, in a browser without a cookie.
pub(crate) async fn sign_in(node: &Node, handle: &str) -> Result<Guest> {
    complete(node, begin_complete(node, handle).await).await
}

/// Returns the id of a browser's session.
fn id_of(browser: &Guest) -> Id {
    browser.cookie.split_once('=').unwrap().1.parse().unwrap()
}

/// Returns a browser's session, as a request of the browser loads it.
fn session_of(node: &Node, browser: &Guest) -> Session {
    Session::new(Some(id_of(browser)), Arc::new(Sessions::new(node.app.db.clone())), None)
}
