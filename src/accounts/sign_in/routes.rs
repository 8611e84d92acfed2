//! Sign-in over HTTP: `POST /sign-in` and `POST /sign-in/{step}`.
use axum::Extension;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tower_sessions::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Attempt, Caller, Progress, State, Step};
use crate::accounts::{AccountView, TalkHooks, device_name, secret};
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::{ClientIp, Json, Path};

/// Returns the routes under `/sign-in`.
pub(in crate::accounts) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(proceed))
}

/// The first step.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    handle: String,
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Leave an open talk at the end.
    #[serde(default)]
    leave: bool,
}

/// A further step.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    /// What the step asks for. The step `verify` can do without: the answer then has the `url` of the
    /// verifier, and its `code` is what the verifier adds to the return address.
    #[serde(default, deserialize_with = "secret::optional")]
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
    /// Leave an open talk at the end.
    #[serde(default)]
    leave: bool,
}

/// How far the sign-in is.
#[derive(Serialize, utoipa::ToSchema)]
struct Answer {
    /// Whether you are signed in.
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountView>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Step>,
    /// For `enroll_totp`: the secret of the second factor to add, in base 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// For `enroll_totp`: the same for an authenticator app.
    #[serde(skip_serializing_if = "Option::is_none")]
    otpauth_url: Option<String>,
    /// For `verify`: the verifier's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// After `enroll_totp`: codes that stand in for one-time codes. They are shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_codes: Option<Vec<String>>,
}

impl From<Progress> for Answer {
    fn from(progress: Progress) -> Self {
        let Progress { state, recovery_codes, .. } = progress;
        let shown = |text: &SecretString| text.expose_secret().to_owned();
        let codes: Vec<String> = recovery_codes.iter().map(shown).collect();
        let (account, due) = match state {
            State::Done(account) => (Some(AccountView::from(account)), None),
            State::Due(due) => (None, Some(due)),
            // Only for callers who ask.
            State::Elsewhere => (None, None),
        };
        let enrolment = due.as_ref().and_then(|due| due.enrolment.as_ref());
        Self {
            done: account.is_some(),
            account,
            next: due.as_ref().and_then(|due| due.step),
            secret: enrolment.map(|enrolment| shown(&enrolment.secret)),
            otpauth_url: enrolment.map(|enrolment| shown(&enrolment.url)),
            url: due.as_ref().and_then(|due| due.verify_url.clone()),
            recovery_codes: (!codes.is_empty()).then_some(codes),
        }
    }
}

/// Begins a sign-in with the handle and the password.
///
/// Ends the account's session on another device at the end. In an open talk the answer is
/// `already_in_session`, unless `leave` is true.
#[utoipa::path(post, path = "/sign-in", tag = "site", request_body = SignIn, responses((status = 200, body = Answer),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem)))]
async fn begin(
    Shared(app): Shared<App>,
    Extension(talks): Extension<TalkHooks>,
    address: ClientIp,
    session: Session,
    headers: HeaderMap,
    Json(SignIn { handle, password, leave }): Json<SignIn>,
) -> Result<Json<Answer>> {
    let attempt = Attempt { handle, password, leave, next: None };
    let progress = super::begin_sign_in(&app, &session, talks, &caller(address, &headers), attempt).await?;
    Ok(Json(progress.into()))
}

/// Proves the next step of the sign-in.
#[utoipa::path(post, path = "/sign-in/{step}", tag = "site", request_body = Code, params(("step" = Step, Path)),
    responses((status = 200, body = Answer), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 409, body = Problem)))]
async fn proceed(
    Shared(app): Shared<App>,
    Extension(talks): Extension<TalkHooks>,
    address: ClientIp,
    session: Session,
    headers: HeaderMap,
    Path(step): Path<Step>,
    Json(Code { code, leave }): Json<Code>,
) -> Result<Json<Answer>> {
    let caller = caller(address, &headers);
    let progress = super::continue_sign_in(&app, &session, talks, &caller, step, code.as_ref(), leave).await?;
    Ok(Json(progress.into()))
}

fn caller(address: ClientIp, headers: &HeaderMap) -> Caller {
    Caller { prefix: address.prefix(), device: device_name(headers), asks_elsewhere: false }
}
