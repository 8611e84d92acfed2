//! Signing up: a guest becomes the owner of an account, and keeps the rooms and talks.
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tower_sessions::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sign_in::{Caller, Progress, State as SignInState, Step, begin_after_sign_up, guest_of, store::New};
use super::{AccountView, Locale, account, create_visitor, device_name, handle, passwords, secret, signed_in};
use crate::app::App;
use crate::db;
use crate::error::{Error, Problem, Result};
use crate::http::{Bucket, ClientIp, Json, Key};

/// A new account.
pub struct SignUp {
    pub handle: String,
    pub password: SecretString,
    pub email: Option<String>,
}

/// Makes an account for the session's visitor and signs the session in. The visitor keeps its id,
/// its rooms and its talk; the session gets a new id. A session that has ended, or none, begins as a
/// fresh guest.
///
/// With mail set up, a link to confirm the address is sent.
///
/// # Errors
/// `bad_frame`, `too_long` or `conflict` with the field `handle`, `password` or `email`; `conflict` if
/// the session is signed in already, `banned`, `rate_limited`, `unavailable`.
pub async fn sign_up(app: &App, session: &Session, caller: &Caller, new: SignUp, locale: Locale) -> Result<Progress> {
    app.limits.take(Bucket::SignUps, Key::Prefix(caller.prefix))?;
    handle::check_choice(&new.handle)?;
    let email = new.email.as_deref().map(str::trim).filter(|email| !email.is_empty());
    email.map_or(Ok(()), account::check_email)?;
    if signed_in(session).await?.is_some() {
        return Err(Error::Conflict("You have an account. Sign out to make another one."));
    }
    // Before the slow hash; the constraint decides in the end.
    if !account::handle_is_free(&app.db, &new.handle).await? {
        return Err(taken());
    }
    let hash = passwords::accept(app, &new.password, &new.handle, "password", locale).await?;
    let visitor = match guest_of(app, session).await? {
        Some(guest) => guest.require_not_banned()?,
        None => create_visitor(app, session, locale).await?,
    };
    let account = account::NewAccount { visitor: visitor.id, handle: &new.handle, password: &hash, email };
    let (id, epoch) = match account::insert(&app.db, &account).await {
        Err(why) if db::constraint(&why) == Some("account_handle_key") => return Err(taken()),
        Err(why) if db::constraint(&why) == Some("account_visitor_key") => {
            return Err(Error::Conflict("You have an account. Sign in to it."));
        }
        other => other?,
    };
    let begun = New { account: id, epoch, enroll_secret: None, leave: false, next: None };
    let progress = begin_after_sign_up(app, session, caller, &begun).await?;
    if let Some(email) = email
        && let Err(why) = account::send_verification(app, id, email, locale).await
    {
        // The account is there; another mail can be asked for.
        tracing::warn!(error.cause = %why, "a mail to confirm an address was not sent");
    }
    Ok(progress)
}

fn taken() -> Error {
    Error::Taken { field: "handle", why: "This handle is taken. Choose another one." }
}

/// Returns the route `/sign-up`.
pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(make))
}

/// A new account.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignUp {
    /// 3 to 32 of a-z, 0-9, `_` and `-`.
    #[schema(min_length = 3, max_length = 32, pattern = "^[a-z0-9_-]{3,32}$")]
    handle: String,
    /// 8 to 128 characters, not easy to guess.
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    email: Option<String>,
}

/// The new account.
#[derive(Serialize, utoipa::ToSchema)]
struct SignedUp {
    /// The account that you are signed in to. Absent if the site asks for another step first.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountView>,
    /// The step that this site asks for (`POST /sign-in/{step}`).
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Step>,
}

/// Makes an account. You are signed in, and keep your rooms and your talk.
#[utoipa::path(post, path = "/sign-up", tag = "site", request_body = NewSignUp, responses((status = 201, body = SignedUp),
    (status = 403, body = Problem), (status = 409, body = Problem)))]
async fn make(
    State(app): State<App>,
    address: ClientIp,
    session: Session,
    headers: HeaderMap,
    Json(NewSignUp { handle, password, email }): Json<NewSignUp>,
) -> Result<(StatusCode, Json<SignedUp>)> {
    let caller = Caller { prefix: address.prefix(), device: device_name(&headers), asks_elsewhere: false };
    let new = SignUp { handle, password, email };
    let (account, next) = match sign_up(&app, &session, &caller, new, Locale::of(&headers)).await?.state {
        SignInState::Done(account) => (Some(account.into()), None),
        SignInState::Due(due) => (None, due.step),
        // Nobody was signed in to it before.
        SignInState::Elsewhere => (None, None),
    };
    Ok((StatusCode::CREATED, Json(SignedUp { account, next })))
}
