//! Signed-in sessions: begun by a completed sign-in, kept by use, and ended at once on every node.
//!
//! An account has one live session at most. Its epoch decides which one: it rises in a transaction
//! that holds the fence exclusively, so nothing is written with an older epoch after the commit.
mod model;
mod routes;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod uses;

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::time::Instant;
use tower_sessions::Session;
use uuid::Uuid;

use super::sign_in::take_complete;
use super::{Account, SIGNED_IN_KEY, SessionKey, VISITOR_KEY, Visitor, require_session, session_error, signed_in};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::db::fence;
use crate::error::{Error, Result};
use crate::ids::{AccountId, SessionEpoch, VisitorId};
use crate::realtime::{Disconnect, NodeEvent, Topic};

pub(super) use model::Ended;
pub use model::{EndReason, SessionTimes, SessionView, device_name};
pub(super) use routes::router;
pub(super) use store::{Listed, end_reasons, endings};
pub(super) use uses::{Uses, run, write as write_uses};
pub use uses::{record_use, record_use_of};

/// How long one attempt waits for the exclusive fence lock. Writers that arrive meanwhile queue
/// behind it, so it is short.
const FENCE_LOCK_TIMEOUT: Duration = Duration::from_millis(400);
/// The pause between two attempts, in milliseconds. The waiting writers commit in it.
const RETRY_PAUSE_MS: std::ops::Range<u64> = 50..150;
/// How long a revocation is attempted before the caller gets the error. A writer that hangs loses
/// the fence after 2 s.
const REVOCATION_DEADLINE: Duration = Duration::from_secs(8);

/// Makes a session one of an account, by the key of a sign-in whose steps are all done. The
/// session's id changes, and the account's earlier session ends on every node. Returns the account.
///
/// If this fails, nobody is signed in. `device` is the name of the browser and the system
/// ([`device_name`]).
///
/// # Errors
/// `wrong_step` if a step is missing, the sign-in has ended, or the account was revoked since it
/// began; `unavailable`.
pub async fn complete_sign_in(
    app: &App,
    session: &Session,
    key: Uuid,
    device: &str,
    prefix_hash: &[u8],
) -> Result<Account> {
    let (account, visitor) = store::account_of_sign_in(&app.db, key).await?.ok_or(Error::WrongStep)?;
    // First a row that names the account's visitor and is not live, under an id that nobody knew.
    session.remove_value(SIGNED_IN_KEY).await.map_err(session_error)?;
    session.cycle_id().await.map_err(session_error)?;
    session.insert(VISITOR_KEY, visitor.0).await.map_err(session_error)?;
    session.save().await.map_err(session_error)?;
    let SessionKey(row) = SessionKey::of(session).ok_or(Error::SessionEnded)?;
    let device = model::stored_device(device);
    let mut tx = lock_fence(app, visitor).await?;
    take_complete(app, &mut tx, key).await?;
    store::end_all(&mut tx, account, EndReason::SignedInElsewhere).await?.ok_or(Error::WrongStep)?;
    let account = store::begin(&mut tx, &row, account, device.as_deref()).await?.ok_or(Error::SessionEnded)?;
    if account.role.is_staff() {
        record_sign_in(&mut tx, &account, device.as_deref(), prefix_hash).await?;
    }
    tx.commit().await?;
    app.accounts.sign_ins.fetch_add(1, Ordering::Relaxed);
    announce(app, EndReason::SignedInElsewhere);
    Ok(account)
}

/// Ends all sessions of an account on every node. `change` runs in the revoking transaction, with
/// the fence held exclusively: a new password, another role. All writers wait for it, so it is only
/// its statements. If it fails, nothing is changed.
///
/// # Errors
/// `not_found` if there is no such account, `unavailable`, and the errors of `change`.
pub async fn revoke_sessions(
    app: &App,
    account: AccountId,
    reason: EndReason,
    change: impl AsyncFnOnce(&mut PgConnection) -> Result<()>,
) -> Result<()> {
    let visitor = store::visitor_of(&app.db, account).await?.ok_or(Error::NotFound)?;
    let mut tx = lock_fence(app, visitor).await?;
    change(&mut tx).await?;
    store::end_all(&mut tx, account, reason).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    announce(app, reason);
    Ok(())
}

/// Returns the sessions of the visitor's account, the newest first: the live one, and those that
/// ended in the last day.
///
/// # Errors
/// `sign_in_needed` for a guest, `unavailable`.
pub(super) async fn list_own_sessions(app: &App, who: &Visitor) -> Result<Vec<Listed>> {
    Ok(store::list(&app.db, account_of(who)?.id).await?)
}

/// Ends the sessions of the visitor's account, the visitor's own too, unless another request has done
/// it before.
///
/// # Errors
/// `sign_in_needed` for a guest, `session_ended`, `unavailable`.
pub(super) async fn end_own_sessions(app: &App, who: &Visitor, reason: EndReason) -> Result<()> {
    let account = account_of(who)?;
    // It owns what it uses, so that it can be sent to another thread.
    let own = who.clone();
    let change = async move |tx: &mut PgConnection| require_session(tx, &own).await;
    revoke_sessions(app, account.id, reason, change).await
}

/// Returns the account of a visitor.
fn account_of(who: &Visitor) -> Result<&Account> {
    who.account.as_ref().ok_or(Error::SignInNeeded)
}

/// Lets the caller's session go on under a new id, after one revocation of its account that the
/// caller asked for, such as a new password. Its end does not move.
///
/// # Errors
/// `session_ended` if the account was revoked again since, or the session was no signed-in one;
/// `unavailable`.
pub async fn renew_own_session(app: &App, session: &Session, account: &Account) -> Result<()> {
    let old = signed_in(session).await?.ok_or(Error::SessionEnded)?;
    if old.account != account.id.0 || SessionEpoch(old.epoch) != account.epoch {
        return Err(Error::SessionEnded);
    }
    session.remove_value(SIGNED_IN_KEY).await.map_err(session_error)?;
    session.cycle_id().await.map_err(session_error)?;
    session.save().await.map_err(session_error)?;
    let SessionKey(row) = SessionKey::of(session).ok_or(Error::SessionEnded)?;
    let mut tx = app.db.begin().await?;
    let renewed = store::renew(&mut tx, old.public_id, account.epoch, &row).await?;
    let Some((epoch, times)) = renewed else { return Err(Error::SessionEnded) };
    tx.commit().await?;
    let renewed =
        super::store::SignedIn { epoch: epoch.0, idle_until: times.idle_until, ends_at: times.ends_at, ..old };
    session.insert(SIGNED_IN_KEY, renewed).await.map_err(session_error)
}

/// Returns the last frame and the close code for the sockets of a session that has ended.
///
/// # Errors
/// `unavailable`.
pub async fn find_session_disconnect(app: &App, session: SessionKey) -> Result<Disconnect> {
    let SessionKey(hash) = session;
    let reasons = store::end_reasons(&app.db, &[hash]).await?;
    Ok(Ended::disconnect(reasons.get(&hash)))
}

/// Begins a transaction that revokes rights of a visitor, with the fence held exclusively. Retries
/// while a writer holds the fence for too long.
///
/// The fence comes before every row, as in all transactions that write, so nobody waits in a circle.
async fn lock_fence(app: &App, visitor: VisitorId) -> Result<Transaction<'static, Postgres>> {
    let deadline = Instant::now() + REVOCATION_DEADLINE;
    loop {
        let mut tx = app.db.begin().await?;
        match fence::revoke(&mut tx, visitor, FENCE_LOCK_TIMEOUT).await {
            Ok(_) => return Ok(tx),
            Err(why) if fence::is_lock_timeout(&why) && Instant::now() < deadline => drop(tx),
            Err(why) => return Err(why.into()),
        }
        let ms = rand::rng().random_range(RETRY_PAUSE_MS);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Adds the sign-in of a member of the staff to the audit log.
async fn record_sign_in(
    tx: &mut PgConnection,
    account: &Account,
    device: Option<&str>,
    prefix_hash: &[u8],
) -> Result<(), sqlx::Error> {
    let act = Act {
        actor: Actor::Account { id: account.public_id, handle: &account.handle },
        action: "account.signed_in",
        subject: &account.handle,
        detail: json!({ "role": account.role.as_str(), "device": device }),
        prefix_hash: Some(prefix_hash),
    };
    audit::record(tx, act).await
}

/// Tells this node and the others that sessions have ended. What is lost is found by a regular
/// check of all sockets.
fn announce(app: &App, reason: EndReason) {
    tracing::info!(session.reason = reason.as_str(), "sessions revoked");
    app.accounts.open_sockets.wake();
    app.hub.send_event(Topic::Nodes, NodeEvent::RightsRevoked);
}
