//! Every path the server answers: the page, the API, the socket, the probes. What nothing answers is a 404 of its kind.
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;
use crate::error::Error;
use crate::{accounts, cms, gateway, http, rooms, spa};

/// How long the database may take to say that it is there.
const READY: Duration = Duration::from_millis(1_200);

#[derive(OpenApi)]
#[openapi(info(
    title = "Maju",
    description = "Anonymous one-to-one talks and rooms. Errors are problem+json with the codes of docs/WIRE.md."
))]
struct Api;

/// The whole router of a node, layers and all.
pub fn router(app: &App) -> Router {
    let sessions = accounts::session_layer(app);
    let v1 = OpenApiRouter::new().merge(accounts::router()).merge(rooms::router()).merge(cms::api());
    let (api, described) = OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", v1).split_for_parts();
    let api = api.layer(from_fn_with_state(app.clone(), http::same_origin));
    let with_cookie = api.route("/ws", get(gateway::upgrade)).layer(sessions).layer(map_response(accounts::unsaved));
    let router = Router::new()
        .merge(with_cookie)
        .merge(SwaggerUi::new("/api/docs").url("/api/openapi.json", described))
        .route("/livez", get(|| async { probe(StatusCode::OK, "alive") }))
        .route("/readyz", get(ready))
        .merge(cms::router())
        .merge(spa::router())
        .fallback(nothing)
        .with_state(app.clone());
    http::layers(app, router)
}

/// Whether the node takes work: it is not stopping, and the database answers and takes what is written.
async fn ready(State(app): State<App>) -> Response {
    if app.is_stopping() {
        return probe(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    let asked = tokio::time::timeout(READY, crate::db::answers(&app.db)).await;
    match asked {
        Ok(true) if crate::rooms::can_write(&app) => probe(StatusCode::OK, "ready"),
        Ok(true) => probe(StatusCode::SERVICE_UNAVAILABLE, "the database cannot write"),
        _ => probe(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

fn probe(status: StatusCode, says: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": says }))).into_response()
}

/// Unknown paths: programs get a problem, people a page. The client's page never answers for the API, the socket or staff.
async fn nothing(uri: Uri, asked: HeaderMap) -> Response {
    let for_programs = ["/api", "/ws", "/admin"]
        .iter()
        .any(|root| uri.path().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if for_programs { Error::NotFound.into_response() } else { spa::not_found_page(asked).await }
}
