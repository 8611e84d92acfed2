//! Forms: what they send, and the token that proves that a page of the same session sent it.
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use sqlx::PgPool;
use tower_sessions::Session;
use tower_sessions::session::Id;

use super::failures::{Failure, failure_page};
use crate::app::App;
use crate::db;
use crate::error::Error;
use crate::faults::{self, Fault};
use crate::http::Appearance;

/// Returns the key of the form tokens. All nodes share it.
///
/// # Errors
/// Those of the database.
pub async fn form_key(db: &PgPool) -> Result<[u8; 32], sqlx::Error> {
    db::secret::shared(db, "form").await
}

fn mac(app: &App, session: &Id) -> Option<Hmac<Sha256>> {
    // HMAC takes a key of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(&app.accounts.form_key).ok()?;
    mac.update(&session.0.to_le_bytes());
    Some(mac)
}

/// Returns the token of the forms of the request's session.
///
/// # Errors
/// `unavailable` if the session has no id yet.
pub fn form_token(app: &App, session: &Session) -> Result<String, Error> {
    session.id().map(|id| token(app, &id)).ok_or(Error::Unavailable)
}

/// Returns `true` if a token belongs to the request's session: for bodies that are not read with
/// [`Form`], such as files.
pub fn is_form_token(app: &App, session: &Session, token: &str) -> bool {
    session.id().is_some_and(|id| is_token(app, &id, token)) || faults::on(Fault::FormTokenIgnored)
}

/// Returns the token of a session's forms. It ends with the session's id, which changes at each step
/// of a sign-in.
pub(super) fn token(app: &App, session: &Id) -> String {
    let Some(mac) = mac(app, session) else { return String::new() };
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_token(app: &App, session: &Id, token: &str) -> bool {
    let bytes: Option<Vec<u8>> = (token.len() == 64 && token.is_ascii())
        .then(|| (0..32).map(|at| u8::from_str_radix(&token[2 * at..2 * at + 2], 16).ok()).collect())
        .flatten();
    match (mac(app, session), bytes) {
        (Some(mac), Some(bytes)) => mac.verify_slice(&bytes).is_ok(),
        _ => false,
    }
}

/// The fields of a form whose token belongs to the request's session. Rejects with a page.
pub struct Form<T>(pub T);

#[derive(Deserialize)]
struct Signed<T> {
    #[serde(default)]
    token: String,
    #[serde(flatten)]
    fields: T,
}

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let appearance = Appearance::of(request.headers());
        let again = request.uri().path().to_owned();
        let session = request.extensions().get::<Session>().cloned();
        let request = without_nul(request, appearance, &again).await?;
        let form = axum::Form::<Signed<T>>::from_request(request, app).await;
        let axum::Form(Signed { token, fields }) = form.map_err(IntoResponse::into_response)?;
        if session.is_some_and(|session| is_form_token(app, &session, &token)) {
            return Ok(Self(fields));
        }
        Err(failure_page(appearance, Failure::Stale, &again, None))
    }
}

/// Reads a form's body, and refuses one with the character U+0000: neither Postgres nor a session's
/// data can hold it, and no keyboard types it.
async fn without_nul(request: Request, appearance: Appearance, again: &str) -> Result<Request, Response> {
    if request.method().is_safe() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), &()).await;
    let bytes = bytes.map_err(IntoResponse::into_response)?;
    if bytes.contains(&0) || bytes.windows(3).any(|part| part == b"%00") {
        return Err(failure_page(appearance, Failure::Stale, again, None));
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}
