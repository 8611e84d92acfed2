//! Checks of the age over HTTP. Those of a sign-in are steps of it (`sign_in/routes.rs`).
use axum::extract::State;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::{Visitor, secret};
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::{ClientIp, Json};

/// Returns the routes under `/me/age-check`.
pub(in crate::accounts) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, request)).routes(routes!(complete))
}

/// Whether your age was checked.
#[derive(Serialize, utoipa::ToSchema)]
struct AgeCheck {
    /// Whether an outside verifier checks ages here.
    available: bool,
    /// Whether it has confirmed yours.
    verified: bool,
}

/// A check that was requested.
#[derive(Serialize, utoipa::ToSchema)]
struct Requested {
    /// The verifier's page. It leads back to `/age-check` with its answer in the query.
    url: String,
}

/// The verifier's answer.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// The query that the verifier has added to the return address.
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Returns whether your age was checked.
#[utoipa::path(get, path = "/me/age-check", responses((status = 200, body = AgeCheck)))]
async fn show(State(app): State<App>, who: Visitor) -> Result<Json<AgeCheck>> {
    let verified = super::is_age_verified(&app, &who).await?;
    Ok(Json(AgeCheck { available: super::checks_age(&app), verified }))
}

/// Requests a check of your age by an outside verifier.
#[utoipa::path(post, path = "/me/age-check",
    responses((status = 200, body = Requested), (status = 404, body = Problem)))]
async fn request(State(app): State<App>, who: Visitor) -> Result<Json<Requested>> {
    Ok(Json(Requested { url: super::request_age_check(&app, &who).await? }))
}

/// Hands the verifier's answer in.
#[utoipa::path(post, path = "/me/age-check/result", request_body = Answer,
    responses((status = 200, body = AgeCheck), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn complete(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(Answer { code }): Json<Answer>,
) -> Result<Json<AgeCheck>> {
    super::complete_age_check(&app, &who, address.prefix(), &code).await?;
    Ok(Json(AgeCheck { available: true, verified: true }))
}
