//! Every route of the server: the pages, the API, the socket, the probes, and the fallback.
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_request_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Json, Router};
use serde_json::json;
use tower_http::compression::CompressionLayer;
use utoipa::{OpenApi, openapi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;
use crate::error::{Error, Result};
use crate::{accounts, admin, cms, gateway, http, matching, media, moderation, ready, rooms, spa};

#[derive(OpenApi)]
#[openapi(info(
    title = "Maju",
    description = "Anonymous one-to-one talks and rooms. Errors are problem+json with the codes of docs/WIRE.md."
))]
struct Api;

/// The limits that `GET /me` shows to the client.
const CLIENT_LIMITS: accounts::ClientLimits = accounts::ClientLimits {
    text: rooms::limits::MAX_MESSAGE_CHARS,
    interests: matching::limits::MAX_INTERESTS,
    evidence: matching::limits::MAX_REPORT_ENTRIES,
    frame: gateway::limits::MAX_FRAME_BYTES,
    note: matching::limits::MAX_REPORT_NOTE_CHARS,
};

/// The features that `GET /me` shows to the client.
const FEATURES: accounts::Features = accounts::Features { translation: matching::TRANSLATES };

/// What sign-in calls about a guest's open talk.
const TALKS: accounts::TalkHooks = accounts::TalkHooks {
    is_open: |app, who| Box::pin(matching::has_open_talk(app, who)),
    leave: |app, who| Box::pin(matching::leave_open_talk(app, who)),
};

/// What the pages of accounts show of other nouns.
const PAGES: accounts::PageHooks = accounts::PageHooks {
    not_found: |request| Box::pin(cms::not_found_page(request)),
    blocked: |app, who| Box::pin(blocked_people(app, who)),
    unblock: |app, who, block| Box::pin(moderation::unblock_listed(app, who, block)),
};

/// What media asks about other nouns.
const MEDIA: media::UseHooks = media::UseHooks { uses: |app, image| Box::pin(image_uses(app, image)) };

/// The paths whose bodies are files.
const UPLOADS: &[&str] = &["/admin/images", "/api/v1/admin/media"];

async fn image_uses(app: &App, image: uuid::Uuid) -> Result<Vec<media::ImageUse>> {
    let places = cms::image_places(app, image).await?;
    Ok(places.into_iter().map(|place| media::ImageUse { place }).collect())
}

async fn blocked_people(app: &App, who: &accounts::Visitor) -> Result<Vec<accounts::BlockedPerson>> {
    let blocked = moderation::blocked_by(app, who.id).await?.into_iter();
    let person = |blocked: moderation::Blocked| accounts::BlockedPerson {
        id: blocked.id,
        name: blocked.name.filter(|_| blocked.animal.is_none()),
        alias: blocked.color.zip(blocked.animal).map(|(color, animal)| accounts::Alias { color, animal }),
        at: blocked.at,
    };
    Ok(blocked.map(person).collect())
}

/// Returns the pages of accounts and of the back-office with their layers. Errors of every layer become pages.
fn account_pages(app: &App) -> Router<App> {
    accounts::pages()
        .merge(admin::pages())
        .layer(Extension(TALKS))
        .layer(Extension(PAGES))
        .layer(Extension(MEDIA))
        .layer(from_fn_with_state(app.clone(), http::require_own_form))
        .layer(from_fn_with_state(app.clone(), http::limit_requests))
        .layer(accounts::session_layer(app))
        .layer(map_response(accounts::map_session_failure))
        .layer(map_request_with_state(app.clone(), accounts::keep_own_cookies))
        .layer(from_fn_with_state(PAGES, accounts::failures_as_pages))
}

/// Answers every path below `/api/v1/admin` that has no route: 401 `sign_in_needed` without a
/// session, `not_found` for everybody else.
async fn unknown_admin_route(_staff: accounts::Staff) -> Response {
    Error::NotFound.into_response()
}

/// Returns the complete router of a node with all its layers.
pub fn router(app: &App) -> Router {
    let sessions = accounts::session_layer(app);
    let v1 = OpenApiRouter::new()
        .merge(accounts::router(CLIENT_LIMITS, FEATURES, TALKS))
        .merge(rooms::router())
        .merge(matching::router())
        .merge(moderation::router())
        .merge(media::api(MEDIA))
        .merge(cms::api())
        .merge(cms::admin_api())
        .merge(admin::api());
    let (api, description) = OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", v1).split_for_parts();
    let api = api.route("/api/v1/admin/{*path}", any(unknown_admin_route));
    let api = api.layer(from_fn_with_state(app.clone(), http::require_same_origin));
    let api = api.layer(from_fn_with_state(app.clone(), http::limit_requests));
    let with_cookie =
        api.route("/ws", get(gateway::upgrade)).layer(sessions).layer(map_response(accounts::map_session_failure));
    let with_cookie = with_cookie.layer(map_request_with_state(app.clone(), accounts::keep_own_cookies));
    let router = Router::new()
        .merge(with_cookie)
        .merge(account_pages(app))
        .merge(docs(http::with_shared_errors(description)))
        .route("/livez", get(|| async { probe(StatusCode::OK, "alive") }))
        .route("/readyz", get(readyz))
        .merge(media::router().layer(from_fn_with_state(app.clone(), http::limit_requests)))
        .merge(cms::router())
        .merge(spa::router())
        .fallback(not_found)
        .with_state(app.clone());
    http::wrap(app, UPLOADS, router)
}

/// Returns the routes of the API's description and the page that shows it.
///
/// They are the same for everybody, so they are compressed. Responses of the API itself are not,
/// because they can hold a secret beside text that the reader chose (BREACH).
fn docs(description: openapi::OpenApi) -> Router<App> {
    let pages: Router<App> = SwaggerUi::new("/api/docs").url("/api/openapi.json", description).into();
    pages.layer(CompressionLayer::new())
}

/// Answers whether the node accepts work. The state is known already, so frequent probes cost
/// nothing.
async fn readyz(State(app): State<App>) -> Response {
    let reasons = ready::reasons(&app);
    match reasons.first() {
        None => probe(StatusCode::OK, "ready"),
        Some(first) => {
            let body = Json(json!({ "status": first, "reasons": reasons }));
            (StatusCode::SERVICE_UNAVAILABLE, [(header::CACHE_CONTROL, "no-store")], body).into_response()
        }
    }
}

fn probe(status: StatusCode, text: &str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": text }))).into_response()
}

/// Answers unknown paths: programs receive a problem, people receive a page.
async fn not_found(uri: Uri, request: HeaderMap) -> Response {
    let for_programs = ["/api", "/ws"]
        .iter()
        .any(|root| uri.path().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if !for_programs && http::wants_page(&request) {
        cms::not_found_page(request).await
    } else {
        Error::NotFound.into_response()
    }
}
