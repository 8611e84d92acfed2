//! Links in mails: to confirm an address, and to choose a new password. Each works once, and only a
//! hash of its token is stored.
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;

use super::{audit_own, require_account, store};
use crate::accounts::limits::{MAX_EMAIL_CHARS, RESET_LINK_LIFETIME, VERIFY_LINK_LIFETIME};
use crate::accounts::sign_in::prove_password;
use crate::accounts::{EndReason, Visitor, passwords, require_session, revoke_sessions, tokens};
use crate::app::App;
use crate::db;
use crate::error::{Error, Result};
use crate::http::{Bucket, Key, Prefix};
use crate::ids::AccountId;
use crate::locale::Locale;
use crate::notify;

const VERIFY_EMAIL: &str = "verify_email";
const RESET_PASSWORD: &str = "reset_password";

/// How a forgotten password can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// If the address is known, a mail with a link is on its way.
    ByMail,
    /// This site sends no mails: an administrator has to do it.
    ByAdministrator,
}

/// Checks a mail address roughly. Only a mail that arrives proves one.
///
/// # Errors
/// `bad_frame` or `too_long`, with the field `email`.
pub(in crate::accounts) fn check_email(email: &str) -> Result<()> {
    if email.chars().count() > MAX_EMAIL_CHARS {
        return Err(Error::TooLong { limit: MAX_EMAIL_CHARS, field: Some("email") });
    }
    let is_plain = email.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | ',' | ';'));
    let is_address = email.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.')
    });
    if is_plain && is_address {
        return Ok(());
    }
    Err(Error::bad_field("email", "This is not a mail address."))
}

/// Sends the link that confirms an address. Does nothing where mails are not set up.
///
/// # Errors
/// `unavailable`.
pub(in crate::accounts) async fn send_verification(
    app: &App,
    account: AccountId,
    email: &str,
    locale: Locale,
) -> Result<()> {
    if !notify::can_mail(app) {
        return Ok(());
    }
    let token = tokens::new();
    let hash = tokens::hash(&token);
    store::insert_link(&app.db, &hash, VERIFY_EMAIL, account, Some(email), VERIFY_LINK_LIFETIME).await?;
    let words = &locale.strings().accounts;
    let link = format!("{}/verify-email/{}", app.config.site.url, token.expose_secret());
    notify::mail(app, email, words.verify_subject, &(words.verify_mail)(&link))
}

/// Stores another address, or removes it (`None`). An address that is verified stays in use until the
/// link in the mail to the new one is followed.
///
/// # Errors
/// `sign_in_needed`, `bad_frame` or `too_long` with the field `email`, `wrong_credentials` for the
/// password, `rate_limited`, `session_ended`, `unavailable`.
pub async fn change_email(
    app: &App,
    who: &Visitor,
    prefix: Prefix,
    password: &SecretString,
    email: Option<&str>,
    locale: Locale,
) -> Result<()> {
    let account = require_account(who)?;
    let email = email.map(str::trim).filter(|email| !email.is_empty());
    email.map_or(Ok(()), check_email)?;
    app.limits.take(Bucket::Mails, Key::Prefix(prefix))?;
    prove_password(app, &account.handle, prefix, password).await?;
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    store::set_email(&mut tx, account.id, email).await?;
    audit_own(&mut tx, account, "account.email_changed", &app.accounts.prefix_hash(prefix)).await?;
    tx.commit().await?;
    match email {
        Some(email) => send_verification(app, account.id, email, locale).await,
        None => Ok(()),
    }
}

/// Makes the address of a link the verified one of its account.
///
/// # Errors
/// `wrong_credentials` if the link was used or has expired, `conflict` with the field `email` if the
/// address belongs to another account, `rate_limited`, `unavailable`.
pub async fn verify_email(app: &App, prefix: Prefix, token: &SecretString, locale: Locale) -> Result<()> {
    app.limits.take(Bucket::Proofs, Key::Prefix(prefix))?;
    let mut tx = app.db.begin().await?;
    let link = store::use_link(&mut tx, &tokens::hash(token), VERIFY_EMAIL).await?.ok_or(Error::WrongCredentials)?;
    let email = link.email.ok_or(Error::WrongCredentials)?;
    let before = match store::verify_email(&mut tx, link.account, &email).await {
        Err(why) if db::constraint(&why) == Some("account_verified_email") => {
            return Err(Error::Taken { field: "email", why: "This address belongs to another account." });
        }
        other => other?,
    };
    tx.commit().await?;
    if let Some(before) = before {
        let words = &locale.strings().accounts;
        let text = (words.address_changed_mail)(&link.handle);
        log_unsent(notify::mail(app, &before, words.address_changed_subject, &text));
    }
    Ok(())
}

/// Sends a link to a new password to an address, if it is a verified one of an account. The answer
/// and its time are the same if it is not: nothing is looked up before it.
///
/// # Errors
/// `bad_frame` or `too_long` with the field `email`, `rate_limited`.
pub fn ask_for_reset(app: &App, prefix: Prefix, email: &str, locale: Locale) -> Result<Reset> {
    let email = email.trim().to_owned();
    check_email(&email)?;
    app.limits.take(Bucket::Mails, Key::Prefix(prefix))?;
    if !notify::can_mail(app) {
        return Ok(Reset::ByAdministrator);
    }
    let node = app.clone();
    app.tasks.spawn("accounts.reset", async move {
        if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, send_reset(&node, &email, locale)).await {
            tracing::warn!(error.cause = %why, "a mail with a link to a new password was not sent");
        }
    });
    Ok(Reset::ByMail)
}

async fn send_reset(app: &App, email: &str, locale: Locale) -> Result<()> {
    let Some((account, _)) = store::of_email(&app.db, email).await? else { return Ok(()) };
    let token = tokens::new();
    let hash = tokens::hash(&token);
    store::insert_link(&app.db, &hash, RESET_PASSWORD, account, Some(email), RESET_LINK_LIFETIME).await?;
    let words = &locale.strings().accounts;
    let link = format!("{}/reset/{}", app.config.site.url, token.expose_secret());
    notify::mail(app, email, words.reset_subject, &(words.reset_mail)(&link))
}

/// Returns `true` if a link to a new password can still be used.
///
/// # Errors
/// `unavailable`.
pub async fn is_reset_link(app: &App, token: &SecretString) -> Result<bool> {
    Ok(store::find_link(&app.db, &tokens::hash(token), RESET_PASSWORD).await?.is_some())
}

/// Sets a new password by a link. All sessions of the account end. It does not sign in, and a second
/// factor stays.
///
/// # Errors
/// `wrong_credentials` if the link was used or has expired, `bad_frame` or `too_long` with the field
/// `password`, `rate_limited`, `unavailable`.
pub async fn reset_password(
    app: &App,
    prefix: Prefix,
    token: &SecretString,
    password: &SecretString,
    locale: Locale,
) -> Result<()> {
    app.limits.take(Bucket::Proofs, Key::Prefix(prefix))?;
    let hash = tokens::hash(token);
    // Found first: a password that is refused does not use the link up.
    let link = store::find_link(&app.db, &hash, RESET_PASSWORD).await?.ok_or(Error::WrongCredentials)?;
    let password = passwords::accept(app, password, &link.handle, "password", locale).await?;
    // It owns what it uses, so that it can be sent to another thread.
    let change = async move |tx: &mut PgConnection| {
        let used = store::use_link(tx, &hash, RESET_PASSWORD).await?.ok_or(Error::WrongCredentials)?;
        store::set_password(tx, used.account, &password).await?;
        Ok(())
    };
    revoke_sessions(app, link.account, EndReason::PasswordChanged, change).await?;
    tell_owner(app, link.account, &link.handle, locale).await;
    Ok(())
}

/// Tells the verified address of an account that the password was changed.
pub(super) async fn tell_owner(app: &App, account: AccountId, handle: &str, locale: Locale) {
    if !notify::can_mail(app) {
        return;
    }
    let words = &locale.strings().accounts;
    match store::details(&app.db, account).await {
        Ok(Some(store::Details { email: Some(email), email_verified: true, .. })) => {
            let text = (words.password_changed_mail)(handle);
            log_unsent(notify::mail(app, &email, words.password_changed_subject, &text));
        }
        Ok(_) => {}
        Err(why) => tracing::warn!(error.cause = %why, "the owner was not told of a new password"),
    }
}

fn log_unsent(outcome: Result<()>) {
    if let Err(why) = outcome {
        tracing::warn!(error.cause = %why, "a mail about an account was not sent");
    }
}

#[cfg(test)]
mod tests {
    use super::check_email;

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for good in ["a@b.kr", "some.body+tag@mail.example.org", "사람@한국.kr", "a@b@c.kr"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in [
            "",
            "a",
            "@b.kr",
            "a@",
            "a@b",
            "a@.kr",
            "a@b.",
            "a b@c.kr",
            "a@b.kr\r\nBcc: x@y.kr",
            "<a@b.kr>",
            "a@b.kr,c@d.kr",
            "a\0@b.kr",
            long.as_str(),
        ] {
            assert_eq!(check_email(bad).unwrap_err().field(), Some("email"), "{bad:?}");
        }
    }
}
