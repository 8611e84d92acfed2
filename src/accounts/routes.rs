//! Accounts over HTTP: `GET /me` makes the visitor, `PATCH /me` changes it.
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Serialize;
use tower_sessions::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Change, RULES, VisitorView};
use super::{Locale, Visitor, store};
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::http::{Bucket, ClientIp, Json, Key};

/// `GET` and `PATCH /me`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(me, change_me))
}

/// The visitor of the request's cookie. Rejects with `session_ended` (401) when there is none, `banned` (403), `rate_limited` (429).
impl FromRequestParts<App> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let session = parts.extensions.get::<Session>().cloned().ok_or(Error::SessionEnded)?;
        let address = ClientIp::from_request_parts(parts, app).await?;
        super::visitor(app, &session, address.prefix()).await?.admitted()
    }
}

/// Who you are here.
#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    visitor: VisitorView,
    rules: Rules,
    limits: Limits,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Rules {
    current: &'static str,
    accepted: Option<String>,
}

/// Limits a page needs to know: characters, entries and bytes.
#[derive(Serialize, utoipa::ToSchema)]
struct Limits {
    text: usize,
    interests: usize,
    evidence: usize,
    frame: usize,
    note: usize,
}

impl From<Visitor> for Me {
    fn from(visitor: Visitor) -> Self {
        Self {
            rules: Rules { current: RULES, accepted: visitor.rules_accepted.clone() },
            limits: Limits { text: 2_000, interests: 5, evidence: 50, frame: 32 * 1_024, note: 1_000 },
            visitor: visitor.into(),
        }
    }
}

/// Who you are here; the first call makes you. Answered to whoever is banned, too.
#[utoipa::path(get, path = "/me", responses((status = 200, body = Me), (status = 429, body = Problem)))]
async fn me(State(app): State<App>, address: ClientIp, session: Session, headers: HeaderMap) -> Result<Json<Me>> {
    let known = match super::visitor(&app, &session, address.prefix()).await {
        Err(Error::SessionEnded) => None,
        other => Some(other?),
    };
    let visitor = match known {
        Some(visitor) => {
            super::touch(&app, visitor.id);
            visitor
        }
        None => {
            app.limits.take(Bucket::Visitors, Key::Prefix(address.prefix()))?;
            super::visitor_or_new(&app, &session, Locale::of(&headers)).await?
        }
    };
    Ok(Json(visitor.into()))
}

/// Changes your name, language, settings, or records the age gate and the rules.
#[utoipa::path(patch, path = "/me", request_body = Change,
    responses((status = 200, body = Me), (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn change_me(State(app): State<App>, who: Visitor, Json(change): Json<Change>) -> Result<Json<Me>> {
    let change = change.checked()?;
    store::change(&app.db, who.id, &change).await?;
    let visitor = super::find(&app, who.id).await?.ok_or(Error::SessionEnded)?;
    Ok(Json(visitor.into()))
}
