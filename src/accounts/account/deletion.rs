//! Deletion of an account: its owner has two weeks to take it back.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{audit_own, require_account, store};
use crate::accounts::sign_in::{self, prove_password};
use crate::accounts::{EndReason, Role, Visitor, find_visitor, require_session, revoke_sessions};
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::http::Prefix;
use crate::ids::{AccountId, VisitorId};

/// How often accounts whose time is over are deleted, and what has expired with them.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
/// How long one sweep can take.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Accounts that one sweep deletes at most.
const MAX_SWEEP_ROWS: i64 = 500;

/// Marks the visitor's account to be deleted, and returns when. All its sessions end, the caller's
/// too: who wants it back signs in again and calls [`undo_deletion`].
///
/// # Errors
/// `sign_in_needed`, `wrong_credentials` for the password, `forbidden` for the last administrator,
/// `rate_limited` with the wait, `session_ended`, `unavailable`.
pub async fn delete_account(
    app: &App,
    who: &Visitor,
    prefix: Prefix,
    password: &SecretString,
) -> Result<OffsetDateTime> {
    let account = require_account(who)?;
    prove_password(app, &account.handle, prefix, password).await?;
    let marked = Arc::new(Mutex::new(None));
    // What a revocation runs owns what it uses, so that it can be sent to another thread.
    let (who, account, at) = (who.clone(), account.clone(), marked.clone());
    let (id, prefix_hash) = (account.id, app.accounts.prefix_hash(prefix));
    let change = async move |tx: &mut PgConnection| {
        require_session(tx, &who).await?;
        if account.role == Role::Admin && store::is_last_admin(tx, account.id).await? {
            return Err(Error::Forbidden("You are the last administrator. Make somebody else one first."));
        }
        let requested = store::request_deletion(tx, account.id).await?;
        *at.lock() = requested;
        audit_own(tx, &account, "account.deletion_requested", &prefix_hash).await
    };
    revoke_sessions(app, id, EndReason::Deleted, change).await?;
    let requested = *marked.lock();
    requested.ok_or(Error::SessionEnded)
}

/// Takes the deletion of the visitor's account back.
///
/// # Errors
/// `sign_in_needed`, `not_found` if none was asked for, `session_ended`, `unavailable`.
pub async fn undo_deletion(app: &App, who: &Visitor) -> Result<()> {
    let account = require_account(who)?;
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    if !store::undo_deletion(&mut tx, account.id).await? {
        return Err(Error::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

/// Starts the task that deletes accounts whose time is over, and what has expired.
pub(in crate::accounts) fn run(app: &App) {
    let node = app.clone();
    app.tasks.every("accounts.expired", SWEEP_INTERVAL, move || sweep(node.clone()));
}

async fn sweep(node: App) {
    let swept = db::with_timeout(SWEEP_TIMEOUT, async {
        sign_in::store::sweep(&node.db).await?;
        delete_due(&node).await
    });
    match swept.await {
        Ok(0) => {}
        Ok(deleted) => tracing::info!(accounts.deleted = deleted, "deleted accounts whose owners asked for it"),
        Err(why) => tracing::warn!(error.cause = %why, "expired rows of accounts were not deleted, retrying later"),
    }
}

/// Deletes the accounts whose time is over. Returns how many.
///
/// # Errors
/// `unavailable`.
pub(super) async fn delete_due(app: &App) -> Result<usize> {
    let mut deleted = 0;
    for (account, visitor) in store::due_deletions(&app.db, MAX_SWEEP_ROWS).await? {
        deleted += usize::from(delete(app, account, visitor).await?);
    }
    Ok(deleted)
}

/// Deletes one account for good.
async fn delete(app: &App, account: AccountId, visitor: VisitorId) -> Result<bool> {
    // First its sessions end on every node. Nobody can sign in any more.
    revoke_sessions(app, account, EndReason::Deleted, async |_: &mut PgConnection| Ok(())).await?;
    let Some(known) = find_visitor(app, visitor).await? else { return Ok(false) };
    let alias = known.alias.in_words(known.locale);
    let mut tx = app.db.begin().await?;
    let deleted = store::delete(&mut tx, account, visitor, &alias).await?;
    tx.commit().await?;
    Ok(deleted)
}
