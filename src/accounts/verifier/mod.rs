//! An outside verifier (a carrier, a bank) checks who somebody is: as a step of a sign-in, or for the
//! age.
//!
//! The browser carries a signed request to the verifier's page, and a signed answer back. An answer
//! counts once, for the sign-in or the visitor that asked.
mod model;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Visitor, require_session};
use crate::app::App;
use crate::config::{Verifier, VerifierUse};
use crate::error::{Error, Result};
use crate::http::{Bucket, Key, Prefix};
use model::{Outcome, Purpose};

pub(super) use routes::router;

/// Requests a check for a sign-in. Returns the verifier's page.
///
/// # Errors
/// `wrong_step` if the sign-in has ended or there is no verifier, `unavailable`.
pub(super) async fn request_for_sign_in(app: &App, sign_in: Uuid) -> Result<String> {
    let verifier = app.config.sign_in.verifier.as_ref().ok_or(Error::WrongStep)?;
    let id = store::request_for_sign_in(&app.db, sign_in).await?.ok_or(Error::WrongStep)?;
    Ok(url(app, verifier, id, Purpose::SignIn))
}

/// Records the verifier's answer for a sign-in, in the transaction of its step. Returns `true` if the
/// check was completed, and counts for the first time.
///
/// # Errors
/// `unavailable`.
pub(super) async fn take_completed(
    app: &App,
    tx: &mut PgConnection,
    sign_in: Uuid,
    answer: &SecretString,
) -> Result<bool> {
    let Some((id, outcome)) = read(app, answer) else { return Ok(false) };
    if outcome == Outcome::Failed {
        // Kept, though the transaction of a step that fails is rolled back.
        store::end_for_sign_in(&mut *app.db.acquire().await?, id, sign_in, outcome).await?;
        return Ok(false);
    }
    Ok(store::end_for_sign_in(tx, id, sign_in, outcome).await?)
}

/// Requests a check of a visitor's age. Returns the verifier's page.
///
/// # Errors
/// `not_found` if no verifier checks ages here, `session_ended`, `unavailable`.
pub async fn request_age_check(app: &App, who: &Visitor) -> Result<String> {
    let verifier = age_verifier(app)?;
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    let id = store::request_for_age(&mut tx, who.id).await?;
    tx.commit().await?;
    Ok(url(app, verifier, id, Purpose::Age))
}

/// Records the verifier's answer for a visitor's age.
///
/// # Errors
/// `not_found` if no verifier checks ages here, `wrong_credentials` if the answer is not for this
/// visitor, does not count for the first time, or the check failed; `rate_limited`,
/// `session_ended`, `unavailable`.
pub async fn complete_age_check(app: &App, who: &Visitor, prefix: Prefix, answer: &SecretString) -> Result<()> {
    age_verifier(app)?;
    app.limits.take(Bucket::Proofs, Key::Prefix(prefix))?;
    let (id, outcome) = read(app, answer).ok_or(Error::WrongCredentials)?;
    let mut tx = app.db.begin().await?;
    require_session(&mut tx, who).await?;
    let ended = store::end_for_age(&mut tx, id, who.id, outcome).await?;
    tx.commit().await?;
    if ended && outcome == Outcome::Completed { Ok(()) } else { Err(Error::WrongCredentials) }
}

/// Returns `true` if a verifier has confirmed the visitor's age.
///
/// # Errors
/// `unavailable`.
pub async fn is_age_verified(app: &App, who: &Visitor) -> Result<bool> {
    Ok(store::is_age_verified(&app.db, who.id).await?)
}

/// Returns `true` if a verifier checks ages here.
pub fn checks_age(app: &App) -> bool {
    app.config.sign_in.verifier_uses().contains(&VerifierUse::Age)
}

fn age_verifier(app: &App) -> Result<&Verifier> {
    app.config.sign_in.verifier.as_ref().filter(|_| checks_age(app)).ok_or(Error::NotFound)
}

fn url(app: &App, verifier: &Verifier, id: Uuid, purpose: Purpose) -> String {
    let back = format!("{}{}", app.config.site.url, purpose.return_path());
    model::request_url(verifier, id, purpose, &back, app.clock.now())
}

fn read(app: &App, answer: &SecretString) -> Option<(Uuid, Outcome)> {
    let verifier = app.config.sign_in.verifier.as_ref()?;
    model::read_answer(verifier, answer.expose_secret(), app.clock.now())
}
