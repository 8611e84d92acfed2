//! Banners over HTTP: their editing, and what a place of the client shows.
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Banner, BannerChange, Place, Tone};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::cms::editors::{Caller, timestamp};
use crate::error::{Error, Problem, Result};
use crate::http::{CachedBody, Json, Path, Query};

/// Returns the routes `/admin/banners`.
pub(in crate::cms) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(change, delete))
}

/// Returns the route `/banners`.
pub(in crate::cms) fn public_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(shown))
}

/// A banner with its settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct BannerView {
    id: i64,
    /// By language tag.
    text: BTreeMap<String, String>,
    tone: Tone,
    places: Vec<Place>,
    starts_at: String,
    /// Null if it stays until somebody ends it.
    ends_at: Option<String>,
    version: i64,
    updated_by: String,
    updated_at: String,
}

impl From<Banner> for BannerView {
    fn from(banner: Banner) -> Self {
        let Banner { id, text, tone, places, starts_at, ends_at, version, updated_by, updated_at } = banner;
        let (starts_at, ends_at) = (format_timestamp(starts_at), ends_at.map(format_timestamp));
        Self {
            id,
            text,
            tone,
            places,
            starts_at,
            ends_at,
            version,
            updated_by,
            updated_at: format_timestamp(updated_at),
        }
    }
}

/// The banners, those that started last first.
#[derive(Serialize, ToSchema)]
struct BannerPage {
    items: Vec<BannerView>,
    /// Always null: the list has one page.
    next: Option<String>,
}

/// The banners, those that started last first. For editors.
#[utoipa::path(get, path = "/admin/banners", tag = "editing",
    responses((status = 200, body = BannerPage), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn list(State(app): State<App>, _caller: Caller) -> Result<Json<BannerPage>> {
    let items = super::banners(&app).await?.into_iter().map(BannerView::from).collect();
    Ok(Json(BannerPage { items, next: None }))
}

/// A banner to be saved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SaveBanner {
    /// The version that the change was made to; any if it is left out.
    version: Option<i64>,
    /// By language tag; the site's first language is needed.
    text: BTreeMap<String, String>,
    tone: Tone,
    places: Vec<Place>,
    /// A time (RFC 3339); now, or as before, if it is left out.
    starts_at: Option<String>,
    /// A time (RFC 3339); no end if it is left out.
    ends_at: Option<String>,
}

impl SaveBanner {
    fn change(self) -> Result<BannerChange> {
        let time = |field, text: Option<String>| text.map(|text| timestamp(field, &text)).transpose();
        let (starts_at, ends_at) = (time("starts_at", self.starts_at)?, time("ends_at", self.ends_at)?);
        Ok(BannerChange { text: self.text, tone: self.tone, places: self.places, starts_at, ends_at })
    }
}

/// Adds a banner. For editors.
#[utoipa::path(post, path = "/admin/banners", tag = "editing", request_body = SaveBanner,
    responses((status = 201, body = BannerView), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    Json(banner): Json<SaveBanner>,
) -> Result<(StatusCode, Json<BannerView>)> {
    let saved = super::save_banner(&app, caller.editor(), None, None, banner.change()?).await?;
    Ok((StatusCode::CREATED, Json(saved.into())))
}

/// Replaces a banner. For editors.
#[utoipa::path(put, path = "/admin/banners/{id}", tag = "editing", params(("id" = i64, Path)),
    request_body = SaveBanner,
    responses((status = 200, body = BannerView), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(banner): Json<SaveBanner>,
) -> Result<Json<BannerView>> {
    let version = banner.version;
    Ok(Json(super::save_banner(&app, caller.editor(), Some(id), version, banner.change()?).await?.into()))
}

/// Deletes a banner. For editors.
#[utoipa::path(delete, path = "/admin/banners/{id}", tag = "editing", params(("id" = i64, Path)),
    responses((status = 204), (status = 401, body = Problem)))]
async fn delete(State(app): State<App>, caller: Caller, Path(id): Path<i64>) -> Result<StatusCode> {
    super::delete_banner(&app, caller.editor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PlaceQuery {
    #[param(inline)]
    place: Place,
}

/// A banner as readers see it.
#[derive(Serialize, ToSchema)]
struct ShownBanner<'a> {
    /// What identifies this text: another one has another key.
    #[schema(example = "3-1")]
    key: String,
    /// By language tag.
    text: &'a BTreeMap<String, String>,
    tone: Tone,
    /// Null if there is no end yet.
    ends_at: Option<String>,
}

/// The banners of a place.
#[derive(Serialize, ToSchema)]
struct ShownBanners<'a> {
    items: Vec<ShownBanner<'a>>,
    next: Option<String>,
}

/// The banners that a place shows now, at most a few seconds old.
#[utoipa::path(get, path = "/banners", tag = "site", params(PlaceQuery), responses(
    (status = 200, body = inline(ShownBanners<'static>)),
    (status = 304, description = "The caller's copy is current."),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
async fn shown(
    State(app): State<App>,
    request: HeaderMap,
    Query(PlaceQuery { place }): Query<PlaceQuery>,
) -> Result<Response> {
    let snapshot = app.cms.current();
    let banners = snapshot.contents().banners.iter().filter(|banner| banner.places.contains(&place));
    let items = banners.map(|banner| ShownBanner {
        key: banner.key(),
        text: &banner.text,
        tone: banner.tone,
        ends_at: banner.ends_at.map(format_timestamp),
    });
    let body = ShownBanners { items: items.collect(), next: None };
    let json = serde_json::to_vec(&body).map_err(Error::internal)?;
    Ok(CachedBody::new(json, "application/json").respond(&request, "public, max-age=5", ""))
}
