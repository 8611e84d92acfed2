//! Signed-in sessions over HTTP: their list, their end, and use without another effect.
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tower_sessions::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::model::{EndReason, SessionView};
use super::store::{self, Listed};
use super::{account_of, list_own_sessions};
use crate::accounts::{SessionKey, Visitor, signed_in};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Problem, Result};
use crate::http::{Json, Path};

/// Returns the routes `/sessions`, `/sign-out` and `/session/stay`.
pub(in crate::accounts) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, end_all))
        .routes(routes!(end_one))
        .routes(routes!(sign_out))
        .routes(routes!(stay))
}

/// A session of your account.
#[derive(Serialize, utoipa::ToSchema)]
struct ListedSession {
    id: Uuid,
    /// The browser and the system in a few words. Null if they are not known.
    device: Option<String>,
    /// Whether this is the session of the request.
    current: bool,
    signed_in_at: String,
    last_used_at: String,
    #[serde(flatten)]
    times: SessionView,
    /// Null while it is live.
    ended_at: Option<String>,
    /// Null while it is live.
    reason: Option<EndReason>,
}

/// The sessions of your account, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct SessionPage {
    items: Vec<ListedSession>,
    /// Always null: the list has one page.
    next: Option<String>,
}

impl ListedSession {
    fn new(listed: Listed, current: Option<Uuid>) -> Self {
        Self {
            id: listed.id,
            device: listed.device,
            current: Some(listed.id) == current,
            signed_in_at: format_timestamp(listed.signed_in_at),
            last_used_at: format_timestamp(listed.times.last_used_at()),
            times: listed.times.into(),
            ended_at: listed.ended_at.map(format_timestamp),
            reason: listed.reason,
        }
    }
}

/// Your sessions: the live one, and those that ended in the last day with the reason.
#[utoipa::path(get, path = "/sessions", responses((status = 200, body = SessionPage), (status = 401, body = Problem)))]
async fn list(State(app): State<App>, session: Session, who: Visitor) -> Result<Json<SessionPage>> {
    let current = signed_in(&session).await?.map(|signed_in| signed_in.public_id);
    let listed = list_own_sessions(&app, &who).await?.into_iter();
    Ok(Json(SessionPage { items: listed.map(|one| ListedSession::new(one, current)).collect(), next: None }))
}

/// Ends all your sessions at once, this one too.
#[utoipa::path(delete, path = "/sessions", responses((status = 204), (status = 401, body = Problem)))]
async fn end_all(State(app): State<App>, who: Visitor) -> Result<StatusCode> {
    end(&app, &who, EndReason::EndedByOwner).await
}

/// Ends one of your sessions at once. One that has ended before stays as it is.
#[utoipa::path(delete, path = "/sessions/{id}", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn end_one(State(app): State<App>, who: Visitor, Path(id): Path<Uuid>) -> Result<StatusCode> {
    let account = account_of(&who)?;
    match store::is_live(&app.db, account.id, id).await? {
        None => Err(Error::NotFound),
        Some(false) => Ok(StatusCode::NO_CONTENT),
        // There is one live session: the end of all is the end of this one.
        Some(true) => end(&app, &who, EndReason::EndedByOwner).await,
    }
}

/// Signs out. Does nothing for a guest.
#[utoipa::path(post, path = "/sign-out", responses((status = 204), (status = 401, body = Problem)))]
async fn sign_out(State(app): State<App>, who: Visitor) -> Result<StatusCode> {
    if who.account.is_none() {
        return Ok(StatusCode::NO_CONTENT);
    }
    end(&app, &who, EndReason::SignedOut).await
}

/// Stays signed in: counts as use and does nothing else.
#[utoipa::path(post, path = "/session/stay", responses((status = 200, body = SessionView), (status = 401, body = Problem)))]
async fn stay(State(app): State<App>, session: Session, who: Visitor) -> Result<Json<SessionView>> {
    account_of(&who)?;
    let SessionKey(session) = SessionKey::of(&session).ok_or(Error::SessionEnded)?;
    // Written at once, so that the answer holds on every node.
    store::write_uses(&app.db, &[session], &[0.0]).await?;
    let times = store::times(&app.db, &session).await?.ok_or(Error::SessionEnded)?;
    Ok(Json(times.into()))
}

async fn end(app: &App, who: &Visitor, reason: EndReason) -> Result<StatusCode> {
    super::end_own_sessions(app, who, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
