//! Accounts that are made and changed from a shell (`maju admin`): staff, and the people of an
//! earlier system. There is no node here: running ones find a revocation in Postgres.
mod django;
mod import;
mod model;
mod spreadsheet;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rand::RngExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use super::model::Role;
use super::{Alias, handle, passwords, tokens};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::config::Site;
use crate::db::{self, fence};
use crate::error::{Error, Result};
use crate::ids::{AccountId, VisitorId};
use crate::locale::Locale;

pub use import::{Imported, import, read_csv, read_django};
pub use model::Plan;
pub use store::{Legacy, StaffMember};
pub(super) use store::{insert, insert_first_admin_link, is_first_admin_link, use_first_admin_link};

/// How long one attempt to end sessions waits for the exclusive fence lock.
const FENCE_LOCK_TIMEOUT: Duration = Duration::from_millis(400);
/// The pause between two attempts, in milliseconds. The waiting writers commit in it.
const RETRY_PAUSE_MS: std::ops::Range<u64> = 50..150;
/// How long it is attempted before the caller gets the error.
const REVOKE_DEADLINE: Duration = Duration::from_secs(8);
/// How long a link to a password from a shell works: it has to reach its reader first.
pub const SHELL_LINK_HOURS: i32 = 24;

/// An account that is locked by the transaction.
pub(super) struct Target {
    id: AccountId,
    visitor: VisitorId,
    role: Role,
}

/// Stores the site's address when a server starts, for the links of a shell.
///
/// # Errors
/// `unavailable`.
pub async fn note_site(app: &App) -> Result<()> {
    Ok(store::set_public_url(&app.db, &app.config.site.url).await?)
}

/// Returns the address of the site for the links of a shell: the shell's own setting, or, if it has
/// only the default, the address of the server that ran last.
///
/// # Errors
/// `unavailable`.
pub async fn site_for_links(db: &PgPool, own: &Site) -> Result<String> {
    let stored = if own.loopback { store::public_url(db).await? } else { None };
    Ok(stored.unwrap_or_else(|| own.url.clone()))
}

/// How somebody gets into an account.
pub enum Access {
    /// With this password.
    Password(SecretString),
    /// With a password that a single-use link sets.
    Link,
}

/// The way into an account after [`add`] or [`reset`].
pub struct Granted {
    /// The secret part of the link. `None` if a password was set.
    pub token: Option<SecretString>,
}

/// Creates an account for staff, or for anybody, with a visitor of its own. Reserved handles are
/// allowed.
///
/// # Errors
/// `bad_frame` with the field `handle` or `password`, `too_long`, `conflict` if the handle is taken,
/// `unavailable`.
pub async fn add(db: &PgPool, handle: &str, role: Role, access: Access) -> Result<Granted> {
    handle::check_shape(handle)?;
    let password = hash(access, handle).await?;
    let mut tx = db.begin().await?;
    let alias = Alias::random(&mut rand::rng());
    let added = store::insert(&mut tx, handle, role, password.as_deref(), &alias, Locale::default()).await;
    let id = added.map_err(taken)?.id;
    let token = if password.is_none() { Some(new_link(&mut tx, id).await?) } else { None };
    record(&mut tx, "account.added", handle, json!({"role": role.as_str(), "by_link": token.is_some()})).await?;
    tx.commit().await?;
    Ok(Granted { token })
}

/// Gives an account another role, and ends its sessions. Returns the old role. Does nothing if it is
/// the same.
///
/// # Errors
/// `not_found`, `unavailable` (also if the fence lock is not free in time).
pub async fn set_role(db: &PgPool, handle: &str, role: Role) -> Result<Role> {
    let change = async |tx: &mut PgConnection, target: &Target| {
        store::set_role(tx, target.id, role).await?;
        Ok((target.role, json!({"from": target.role.as_str(), "to": role.as_str()})))
    };
    if store::role(db, handle).await?.ok_or(Error::NotFound)? == role {
        return Ok(role);
    }
    change_and_revoke(db, handle, "role_changed", "account.role_changed", change).await
}

/// Sets a new password, or takes the old one away and returns a link, and ends the sessions of the
/// account. Earlier links stop working. `second_factor` also removes the second factor, the
/// recovery codes and the PIN.
///
/// # Errors
/// `not_found`, `bad_frame` with the field `password`, `too_long`, `unavailable` (also if the fence
/// lock is not free in time).
pub async fn reset(db: &PgPool, handle: &str, access: Access, second_factor: bool) -> Result<Granted> {
    let password = hash(access, handle).await?;
    let change = async |tx: &mut PgConnection, target: &Target| {
        store::set_password(tx, target.id, password.as_deref()).await?;
        store::delete_reset_links(tx, target.id).await?;
        if second_factor {
            store::remove_factors(tx, target.id).await?;
        }
        let token = if password.is_none() { Some(new_link(tx, target.id).await?) } else { None };
        let detail = json!({"by_link": token.is_some(), "second_factor_removed": second_factor});
        Ok((Granted { token }, detail))
    };
    change_and_revoke(db, handle, "password_changed", "account.reset", change).await
}

/// Returns the staff, and how many members there are.
///
/// # Errors
/// `unavailable`.
pub async fn list(db: &PgPool) -> Result<(Vec<StaffMember>, i64)> {
    Ok((store::staff(db).await?, store::count_members(db).await?))
}

/// Counts the passwords of the earlier system, by role.
///
/// # Errors
/// `unavailable`.
pub async fn count_legacy(db: &PgPool) -> Result<Vec<Legacy>> {
    Ok(store::count_legacy(db).await?)
}

/// Changes an account and ends its sessions in one short transaction, as
/// [`crate::moderation`] imposes a ban. Retries while a writer holds the fence for too long.
async fn change_and_revoke<T>(
    db: &PgPool,
    handle: &str,
    reason: &'static str,
    action: &'static str,
    change: impl AsyncFn(&mut PgConnection, &Target) -> Result<(T, Value)>,
) -> Result<T> {
    let deadline = Instant::now() + REVOKE_DEADLINE;
    loop {
        let mut tx = db.begin().await?;
        let target = store::lock(&mut tx, handle).await?.ok_or(Error::NotFound)?;
        let (value, detail) = change(&mut tx, &target).await?;
        match fence::revoke(&mut tx, target.visitor, FENCE_LOCK_TIMEOUT).await {
            Ok(_) => {
                store::end_sessions(&mut tx, target.id, reason).await?;
                record(&mut tx, action, handle, detail).await?;
                tx.commit().await?;
                return Ok(value);
            }
            Err(why) if fence::is_lock_timeout(&why) && Instant::now() < deadline => drop(tx),
            Err(why) => return Err(why.into()),
        }
        let ms = rand::rng().random_range(RETRY_PAUSE_MS);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

async fn record(tx: &mut PgConnection, action: &'static str, handle: &str, detail: Value) -> Result<()> {
    let act = Act { actor: Actor::Shell, action, subject: handle, detail, prefix_hash: None };
    Ok(audit::record(tx, act).await?)
}

/// Checks a new password and returns its hash. `None` for a link.
async fn hash(access: Access, handle: &str) -> Result<Option<String>> {
    let Access::Password(password) = access else { return Ok(None) };
    let handle = handle.to_owned();
    let work = move || {
        let locale = Locale::En;
        passwords::check(&password, &handle).map_err(|flaw| Error::bad_field("password", flaw.in_words(locale)))?;
        passwords::hash_now(&password)
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?.map(Some)
}

/// Stores a link that sets a password, and returns its secret part.
async fn new_link(tx: &mut PgConnection, account: AccountId) -> Result<SecretString> {
    let token = tokens::new();
    store::insert_reset_link(tx, &tokens::hash(&token), account, SHELL_LINK_HOURS).await?;
    Ok(token)
}

fn taken(why: sqlx::Error) -> Error {
    match db::constraint(&why) {
        Some("account_handle_key") => Error::Taken { field: "handle", why: "An account with this handle exists." },
        _ => why.into(),
    }
}

/// Returns the role of an account, in a transaction. `None` if there is no such account.
pub(super) async fn role_of(tx: &mut PgConnection, id: AccountId) -> Result<Option<Role>, sqlx::Error> {
    store::role_of(tx, id).await
}

/// Changes the role of an account, in a transaction that ends its sessions.
pub(super) async fn change_role(tx: &mut PgConnection, id: AccountId, role: Role) -> Result<(), sqlx::Error> {
    store::set_role(tx, id, role).await
}

/// Takes the password of an account away and stores the hash of a link that sets another one, in a
/// transaction that ends its sessions. `second_factor` also removes the second factor, the recovery
/// codes and the PIN.
pub(super) async fn replace_by_link(
    tx: &mut PgConnection,
    id: AccountId,
    link: &[u8],
    second_factor: bool,
) -> Result<(), sqlx::Error> {
    store::set_password(tx, id, None).await?;
    store::delete_reset_links(tx, id).await?;
    if second_factor {
        store::remove_factors(tx, id).await?;
    }
    store::insert_reset_link(tx, link, id, SHELL_LINK_HOURS).await
}
