//! Accounts over HTTP: `GET /me` creates the visitor, `PATCH /me` changes it.
use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Serialize;
use tower_sessions::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::live_sessions::{self, SessionView};
use super::model::{Change, VisitorView};
use super::{Locale, TalkHooks, Visitor, account, sign_in, sign_up, verifier};
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::http::{Bucket, ClientIp, Json, Key};

/// Returns the routes of visitors and accounts. The answers of `/me` contain `limits` and
/// `features`, and sign-in calls `talks`.
pub fn router(limits: ClientLimits, features: Features, talks: TalkHooks) -> OpenApiRouter<App> {
    let me = OpenApiRouter::new().routes(routes!(me, change_me)).layer(Extension(limits)).layer(Extension(features));
    let sign_in = sign_in::router().layer(Extension(talks));
    me.merge(live_sessions::router())
        .merge(sign_in)
        .merge(sign_up::router())
        .merge(account::router())
        .merge(verifier::router())
}

/// Extracts the visitor of the request's cookie. Rejects with `session_ended` (401) if there is
/// none, `banned` (403) or `rate_limited` (429).
impl FromRequestParts<App> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let session = parts.extensions.get::<Session>().cloned().ok_or(Error::SessionEnded)?;
        let address = ClientIp::from_request_parts(parts, app).await?;
        let who = super::authenticate(app, &session, address.prefix()).await?.require_not_banned()?;
        // Reads are no use: a page in the background polls.
        if who.account.is_some() && !parts.method.is_safe() {
            live_sessions::record_use(app, &session);
        }
        Ok(who)
    }
}

/// Who you are here.
#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    visitor: VisitorView,
    /// When the session ends. Null for a guest.
    session: Option<SessionView>,
    rules: Rules,
    limits: ClientLimits,
    features: Features,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Rules {
    current: String,
    accepted: Option<String>,
}

/// The limits that a page needs to know, in characters, entries and bytes. Other modules set them.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
#[schema(as = Limits)]
pub struct ClientLimits {
    /// Characters of a message.
    pub text: usize,
    /// Interests of a seek.
    pub interests: usize,
    /// Entries that a report can choose.
    pub evidence: usize,
    /// Bytes of a frame from the client.
    pub frame: usize,
    /// Characters of a report's note.
    pub note: usize,
}

/// What this service offers. A page hides what is `false`. Other modules set them.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct Features {
    /// Whether a translator is configured. If not, `translate` of a `seek` is ignored.
    pub translation: bool,
}

impl Me {
    fn new(visitor: Visitor, limits: ClientLimits, features: Features) -> Self {
        let rules = Rules { current: visitor.rules.current().to_string(), accepted: visitor.rules_accepted.clone() };
        Self { session: visitor.session.map(SessionView::from), visitor: visitor.into(), rules, limits, features }
    }
}

/// Returns who you are here; the first call creates you. A banned visitor gets the answer, too.
#[utoipa::path(get, path = "/me", responses((status = 200, body = Me), (status = 429, body = Problem)))]
async fn me(
    State(app): State<App>,
    Extension(limits): Extension<ClientLimits>,
    Extension(features): Extension<Features>,
    address: ClientIp,
    session: Session,
    headers: HeaderMap,
) -> Result<Json<Me>> {
    let known = match super::authenticate(&app, &session, address.prefix()).await {
        Err(Error::SessionEnded) => None,
        other => Some(other?),
    };
    let visitor = match known {
        Some(visitor) => {
            super::record_activity(&app, visitor.id);
            visitor
        }
        None => {
            app.limits.take(Bucket::Visitors, Key::Prefix(address.prefix()))?;
            super::create_visitor(&app, &session, Locale::of(&headers)).await?
        }
    };
    Ok(Json(Me::new(visitor, limits, features)))
}

/// Changes your name, language or settings, or records the age gate and the rules.
#[utoipa::path(patch, path = "/me", request_body = Change,
    responses((status = 200, body = Me), (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn change_me(
    State(app): State<App>,
    Extension(limits): Extension<ClientLimits>,
    Extension(features): Extension<Features>,
    who: Visitor,
    Json(change): Json<Change>,
) -> Result<Json<Me>> {
    let visitor = super::change_visitor(&app, &who, change).await?;
    let session = visitor.session.map(|times| times.used(app.clock.now()));
    Ok(Json(Me::new(Visitor { session, ..visitor }, limits, features)))
}
