//! What the owner of an account can do with it: proofs, address, deletion, a copy of all data.
mod deletion;
mod export;
mod links;
#[cfg(test)]
mod mail_tests;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tower_sessions::Session;

use super::sign_in::{prove_password, throttle};
use super::totp::{self, Enrolment};
use super::{Account, EndReason, Role, Visitor, passwords, pin, renew_own_session, require_session, revoke_sessions};
use crate::app::App;
use crate::audit::{self, Act, Actor};
use crate::error::{Error, Result};
use crate::http::Prefix;
use crate::ids::AccountId;
use crate::locale::Locale;
use crate::notify;

pub(super) use deletion::run;
pub use deletion::{delete_account, undo_deletion};
pub use export::export;
pub use links::{Reset, ask_for_reset, change_email, is_reset_link, reset_password, verify_email};
pub(super) use links::{check_email, send_verification};
pub(super) use routes::router;
pub(super) use store::{NewAccount, handle_is_free, insert};

/// An account as its owner sees it.
pub struct Profile {
    pub account: Account,
    pub email: Option<String>,
    pub email_verified: bool,
    /// An address that is not in use yet, because the link in its mail was not followed.
    pub pending_email: Option<String>,
    /// Whether one-time codes are in use.
    pub totp: bool,
    /// Whether the role needs one-time codes, so that they cannot be removed.
    pub totp_required: bool,
    /// Recovery codes that were not used yet.
    pub recovery_codes: i64,
    pub pin: bool,
    /// Whether there is a password.
    pub password: bool,
    pub password_set_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    /// When the account will be deleted. `None` unless its owner asked for it.
    pub delete_after: Option<OffsetDateTime>,
}

/// Returns the account of a visitor.
///
/// # Errors
/// `sign_in_needed` for a guest.
pub fn require_account(who: &Visitor) -> Result<&Account> {
    who.account.as_ref().ok_or(Error::SignInNeeded)
}

/// Returns the account of a visitor with all that its owner may see.
///
/// # Errors
/// `sign_in_needed`, `session_ended`, `unavailable`.
pub async fn profile(app: &App, who: &Visitor) -> Result<Profile> {
    let account = require_account(who)?;
    let details = store::details(&app.db, account.id).await?.ok_or(Error::SessionEnded)?;
    Ok(Profile {
        account: account.clone(),
        email: details.email,
        email_verified: details.email_verified,
        pending_email: details.pending_email,
        totp: details.totp,
        totp_required: needs_totp(account.role),
        recovery_codes: details.recovery_codes,
        pin: details.pin,
        password: details.password,
        password_set_at: details.password_set_at,
        created_at: details.created_at,
        delete_after: details.delete_after,
    })
}

/// Returns `true` if a role cannot do without one-time codes.
fn needs_totp(role: Role) -> bool {
    role.is_staff()
}

/// Replaces the password. All sessions end at once, and the caller's goes on under a new id.
///
/// # Errors
/// `sign_in_needed`, `wrong_credentials` for the present password, `bad_frame` or `too_long` with the
/// field `new`, `rate_limited` with the wait, `session_ended`, `unavailable`.
pub async fn change_password(
    app: &App,
    who: &Visitor,
    session: &Session,
    prefix: Prefix,
    current: &SecretString,
    new: &SecretString,
    locale: Locale,
) -> Result<()> {
    let account = require_account(who)?;
    prove_password(app, &account.handle, prefix, current).await?;
    let hash = passwords::accept(app, new, &account.handle, "new", locale).await?;
    // It owns what it uses, so that it can be sent to another thread.
    let (own, changed, id) = (who.clone(), account.clone(), account.id);
    let prefix_hash = app.accounts.prefix_hash(prefix);
    let change = async move |tx: &mut PgConnection| {
        require_session(tx, &own).await?;
        store::set_password(tx, id, &hash).await?;
        audit_own(tx, &changed, "account.password_changed", &prefix_hash).await
    };
    revoke_sessions(app, id, EndReason::PasswordChanged, change).await?;
    renew_own_session(app, session, account).await?;
    links::tell_owner(app, account.id, &account.handle, locale).await;
    Ok(())
}

/// Draws the secret of a second factor. It is in use once [`confirm_totp`] has seen a code of it; a
/// later call replaces it.
///
/// # Errors
/// `sign_in_needed`, `conflict` if one-time codes are in use, `session_ended`, `unavailable`.
pub async fn begin_totp(app: &App, who: &Visitor) -> Result<Enrolment> {
    let account = require_account(who)?;
    let secret = totp::new_secret();
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    if !store::set_pending_totp(&mut tx, account.id, &secret).await? {
        return Err(Error::Conflict("One-time codes are in use. Remove them before you set up new ones."));
    }
    tx.commit().await?;
    Ok(Enrolment::new(&secret, &account.handle))
}

/// Returns the second factor that [`begin_totp`] has drawn. `None` if there is none, or it is in use
/// already.
///
/// # Errors
/// `sign_in_needed`, `unavailable`.
pub async fn pending_totp(app: &App, who: &Visitor) -> Result<Option<Enrolment>> {
    let account = require_account(who)?;
    let secret = store::pending_totp(&app.db, account.id).await?;
    Ok(secret.map(|secret| Enrolment::new(&secret, &account.handle)))
}

/// Puts one-time codes into use, after the first code of their secret. Returns the recovery codes,
/// which are shown once.
///
/// # Errors
/// `sign_in_needed`, `conflict` if [`begin_totp`] was not called before, `wrong_credentials`,
/// `rate_limited` with the wait, `session_ended`, `unavailable`.
pub async fn confirm_totp(app: &App, who: &Visitor, prefix: Prefix, code: &SecretString) -> Result<Vec<SecretString>> {
    let account = require_account(who)?;
    let Some(secret) = store::pending_totp(&app.db, account.id).await? else {
        return Err(Error::Conflict("Set up one-time codes first."));
    };
    let reserved = throttle::reserve(app, &account.handle, prefix).await?;
    let step = totp::step_of(&secret, code, app.clock.now()).ok_or(Error::WrongCredentials)?;
    let codes = totp::new_recovery_codes();
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    if !enroll_in(&mut tx, account.id, &secret, step, &codes).await? {
        return Err(Error::Conflict("One-time codes are in use already."));
    }
    audit_own(&mut tx, account, "account.totp_added", &app.accounts.prefix_hash(prefix)).await?;
    tx.commit().await?;
    reserved.refund(app).await?;
    Ok(codes)
}

/// Puts one-time codes and recovery codes into use. Returns `false` if others are in use already.
pub(super) async fn enroll_in(
    tx: &mut PgConnection,
    account: AccountId,
    secret: &[u8],
    step: i64,
    codes: &[SecretString],
) -> Result<bool> {
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| totp::recovery_hash(account, code)).collect();
    Ok(store::confirm_totp(tx, account, secret, step).await?
        && store::replace_recovery_codes(tx, account, &hashes).await?)
}

/// Takes one-time codes out of use, and the recovery codes with them.
///
/// # Errors
/// `sign_in_needed`, `forbidden` for a role that needs them, `wrong_credentials` for the password,
/// `not_found` if none are in use, `rate_limited` with the wait, `session_ended`, `unavailable`.
pub async fn remove_totp(app: &App, who: &Visitor, prefix: Prefix, password: &SecretString) -> Result<()> {
    let account = require_account(who)?;
    if needs_totp(account.role) {
        return Err(Error::Forbidden("Staff need one-time codes. Ask an administrator for a new second factor."));
    }
    prove_password(app, &account.handle, prefix, password).await?;
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    if !store::remove_totp(&mut tx, account.id).await? {
        return Err(Error::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

/// Replaces all recovery codes. The new ones are shown once.
///
/// # Errors
/// `sign_in_needed`, `wrong_credentials` for the password, `conflict` without one-time codes,
/// `rate_limited` with the wait, `session_ended`, `unavailable`.
pub async fn new_recovery_codes(
    app: &App,
    who: &Visitor,
    prefix: Prefix,
    password: &SecretString,
) -> Result<Vec<SecretString>> {
    let account = require_account(who)?;
    prove_password(app, &account.handle, prefix, password).await?;
    let codes = totp::new_recovery_codes();
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| totp::recovery_hash(account.id, code)).collect();
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    if !store::replace_recovery_codes(&mut tx, account.id, &hashes).await? {
        return Err(Error::Conflict("Recovery codes stand in for one-time codes. Set those up first."));
    }
    audit_own(&mut tx, account, "account.recovery_codes_replaced", &app.accounts.prefix_hash(prefix)).await?;
    tx.commit().await?;
    Ok(codes)
}

/// Sets the PIN that sign-in asks for, or removes it (`None`).
///
/// # Errors
/// `sign_in_needed`, `bad_frame` with the field `pin`, `wrong_credentials` for the password,
/// `rate_limited` with the wait, `session_ended`, `unavailable`.
pub async fn set_pin(
    app: &App,
    who: &Visitor,
    prefix: Prefix,
    password: &SecretString,
    pin: Option<&SecretString>,
) -> Result<()> {
    let account = require_account(who)?;
    prove_password(app, &account.handle, prefix, password).await?;
    let hash = match pin {
        Some(pin) => Some(pin::accept(app, pin).await?),
        None => None,
    };
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    store::set_pin(&mut tx, account.id, hash.as_deref()).await?;
    audit_own(&mut tx, account, "account.pin_changed", &app.accounts.prefix_hash(prefix)).await?;
    tx.commit().await?;
    Ok(())
}

/// Adds what staff change of their own account to the audit log, as the last statement of the
/// transaction. What members do with theirs is not recorded.
async fn audit_own(tx: &mut PgConnection, account: &Account, action: &'static str, prefix_hash: &[u8]) -> Result<()> {
    if !account.role.is_staff() {
        return Ok(());
    }
    let act = Act {
        actor: Actor::Account { id: account.public_id, handle: &account.handle },
        action,
        subject: &account.handle,
        detail: json!({}),
        prefix_hash: Some(prefix_hash),
    };
    Ok(audit::record(tx, act).await?)
}

/// Returns `true` if mails can be sent, so that a forgotten password needs no administrator.
pub fn can_mail(app: &App) -> bool {
    notify::can_mail(app)
}
