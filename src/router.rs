//! Every path the server answers: the page, the API, the socket, the probes. What nothing answers is a 404 of its kind.
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_request_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tower_http::compression::CompressionLayer;
use utoipa::{OpenApi, openapi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;
use crate::error::Error;
use crate::{accounts, cms, gateway, http, ready, rooms, spa};

#[derive(OpenApi)]
#[openapi(info(
    title = "Maju",
    description = "Anonymous one-to-one talks and rooms. Errors are problem+json with the codes of docs/WIRE.md."
))]
struct Api;

/// The limits that `GET /me` shows to the client. Each is set by another module.
const CLIENT_LIMITS: accounts::ClientLimits =
    accounts::ClientLimits { text: 2_000, interests: 5, evidence: 50, frame: 32 * 1_024, note: 1_000 };

/// The whole router of a node, layers and all.
pub fn router(app: &App) -> Router {
    let sessions = accounts::session_layer(app);
    let v1 = OpenApiRouter::new().merge(accounts::router(CLIENT_LIMITS)).merge(rooms::router()).merge(cms::api());
    let (api, described) = OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", v1).split_for_parts();
    let api = api.layer(from_fn_with_state(app.clone(), http::same_origin));
    let api = api.layer(from_fn_with_state(app.clone(), http::limited));
    let with_cookie =
        api.route("/ws", get(gateway::upgrade)).layer(sessions).layer(map_response(accounts::map_session_failure));
    let with_cookie = with_cookie.layer(map_request_with_state(app.clone(), accounts::keep_own_cookies));
    let router = Router::new()
        .merge(with_cookie)
        .merge(docs(http::with_refusals(described)))
        .route("/livez", get(|| async { probe(StatusCode::OK, "alive") }))
        .route("/readyz", get(readyz))
        .merge(cms::router())
        .merge(spa::router())
        .fallback(nothing)
        .with_state(app.clone());
    http::layers(app, router)
}

/// The API's description and the page that draws it. The same for everybody, so they may be compressed; answers of the API
/// itself are not, since they may hold a secret beside what a reader chose (BREACH).
fn docs(described: openapi::OpenApi) -> Router<App> {
    let pages: Router<App> = SwaggerUi::new("/api/docs").url("/api/openapi.json", described).into();
    pages.layer(CompressionLayer::new())
}

/// Whether the node takes work. Answered from what the node knows already: asking often costs nothing.
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

fn probe(status: StatusCode, says: &str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": says }))).into_response()
}

/// Unknown paths: programs get a problem, people a page. The client's page never answers for the API, the socket or staff.
async fn nothing(uri: Uri, asked: HeaderMap) -> Response {
    let for_programs = ["/api", "/ws", "/admin"]
        .iter()
        .any(|root| uri.path().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if for_programs { Error::NotFound.into_response() } else { spa::not_found_page(asked).await }
}
