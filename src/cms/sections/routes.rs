//! Sections over HTTP, for editors.
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::model::{Change, NewSection, SectionVersion, SectionView, VersionKind};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::cms::editors::{Caller, timestamp};
use crate::cms::kind::Kind;
use crate::cms::model::Page;
use crate::error::{Error, Problem, Result};
use crate::http::{Json, Path, Query};
use crate::ids::SectionId;
use crate::locale::Locale;

/// Returns the routes `/admin/sections`.
pub(in crate::cms) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(order))
        .routes(routes!(read, change, delete))
        .routes(routes!(publish))
        .routes(routes!(unpublish))
        .routes(routes!(cancel_schedule))
        .routes(routes!(versions))
        .routes(routes!(restore))
        .routes(routes!(undelete))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SectionsQuery {
    /// A language of the site; all if it is left out.
    #[param(inline)]
    locale: Option<Locale>,
    /// A page; all if it is left out.
    #[param(inline)]
    page: Option<Page>,
    /// Whether to list the deleted sections that can be restored.
    deleted: Option<bool>,
}

/// Sections with their drafts, in order.
#[derive(Serialize, ToSchema)]
struct SectionPage {
    items: Vec<SectionView>,
    /// Always null: the list has one page.
    next: Option<String>,
}

/// The sections of the pages with their drafts, in order. For editors.
#[utoipa::path(get, path = "/admin/sections", tag = "editing", params(SectionsQuery),
    responses((status = 200, body = SectionPage), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn list(
    State(app): State<App>,
    _caller: Caller,
    Query(query): Query<SectionsQuery>,
) -> Result<Json<SectionPage>> {
    let found = if query.deleted.unwrap_or(false) {
        let deleted = super::deleted_sections(&app, query.page).await?.into_iter();
        deleted.filter(|section| query.locale.is_none_or(|locale| section.locale == locale)).collect()
    } else {
        super::sections(&app, query.page, query.locale).await?
    };
    Ok(Json(SectionPage { items: found.iter().map(super::Section::view).collect(), next: None }))
}

/// A section to be added as a draft.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddSection {
    page: Page,
    kind: Kind,
    locale: Locale,
    /// The group whose translation it is; a group of its own if it is left out.
    group: Option<Uuid>,
    /// The content of its kind; an empty one if it is left out.
    #[schema(value_type = Option<Object>)]
    content: Option<Value>,
    /// It is put before the first section with this position or a later one; at the end if it is
    /// left out.
    position: Option<i32>,
}

/// Adds a section as a draft. For editors.
#[utoipa::path(post, path = "/admin/sections", tag = "editing", request_body = AddSection,
    responses((status = 201, body = SectionView), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    Json(AddSection { page, kind, locale, group, content, position }): Json<AddSection>,
) -> Result<(StatusCode, Json<SectionView>)> {
    let new = NewSection { page, kind, locale, group, content, position };
    let section = super::add_section(&app, caller.editor(), new).await?;
    Ok((StatusCode::CREATED, Json(section.view())))
}

/// The order of the sections of a page in a language.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrderSections {
    /// The page; the one of the first section if it is left out.
    page: Option<Page>,
    locale: Locale,
    /// All sections of that page and language, each once.
    ids: Vec<i64>,
}

/// Puts the sections of a page in a language in order. It takes effect at once. For editors.
#[utoipa::path(post, path = "/admin/sections/order", tag = "editing", request_body = OrderSections,
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn order(
    State(app): State<App>,
    caller: Caller,
    Json(OrderSections { page, locale, ids }): Json<OrderSections>,
) -> Result<StatusCode> {
    let ids: Vec<SectionId> = ids.into_iter().map(SectionId).collect();
    let page = match (page, ids.first()) {
        (Some(page), _) => page,
        (None, Some(first)) => super::section(&app, *first).await?.page,
        (None, None) => return Err(Error::bad_field("ids", "Name the sections in their new order.")),
    };
    super::order_sections(&app, caller.editor(), page, locale, &ids).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A section with its draft. For editors.
#[utoipa::path(get, path = "/admin/sections/{id}", tag = "editing", params(("id" = i64, Path)),
    responses((status = 200, body = SectionView), (status = 401, body = Problem)))]
async fn read(State(app): State<App>, _caller: Caller, Path(id): Path<i64>) -> Result<Json<SectionView>> {
    Ok(Json(super::section(&app, SectionId(id)).await?.view()))
}

/// A change to a section. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeSection {
    /// The version that the change was made to.
    version: i64,
    /// The new draft.
    #[schema(value_type = Option<Object>)]
    content: Option<Value>,
    /// It takes effect at once.
    visible: Option<bool>,
}

/// Saves the draft of a section. An old `version` is 409 `conflict` with the section as it is now in
/// `current`. For editors.
#[utoipa::path(patch, path = "/admin/sections/{id}", tag = "editing", params(("id" = i64, Path)),
    request_body = ChangeSection,
    responses((status = 200, body = SectionView), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(ChangeSection { version, content, visible }): Json<ChangeSection>,
) -> Result<Json<SectionView>> {
    let change = Change { content, visible };
    Ok(Json(super::save_section(&app, caller.editor(), SectionId(id), version, change).await?.view()))
}

/// Deletes a section. It can be restored for 30 days. For editors.
#[utoipa::path(delete, path = "/admin/sections/{id}", tag = "editing", params(("id" = i64, Path)),
    responses((status = 204), (status = 401, body = Problem)))]
async fn delete(State(app): State<App>, caller: Caller, Path(id): Path<i64>) -> Result<StatusCode> {
    super::delete_section(&app, caller.editor(), SectionId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What to publish, and when.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PublishSection {
    /// The newest version.
    version: i64,
    note: Option<String>,
    /// A time (RFC 3339); now if it is left out or past.
    at: Option<String>,
    /// Whether everybody has to accept the rules again: only on the page `rules`, and without `at`.
    #[serde(default)]
    accept_again: bool,
}

/// Publishes the draft of a section, now or later. For editors.
#[utoipa::path(post, path = "/admin/sections/{id}/publish", tag = "editing", params(("id" = i64, Path)),
    request_body = PublishSection,
    responses((status = 200, body = SectionView), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn publish(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(PublishSection { version, note, at, accept_again }): Json<PublishSection>,
) -> Result<Json<SectionView>> {
    let at = at.as_deref().map(|at| timestamp("at", at)).transpose()?;
    let (id, note) = (SectionId(id), note.as_deref());
    let section = match (accept_again, at) {
        (true, Some(_)) => {
            return Err(Error::bad_field("accept_again", "This cannot be scheduled. PublishSection it now."));
        }
        (true, None) => super::publish_rules(&app, caller.editor(), id, version, note).await?,
        (false, at) => super::publish_section(&app, caller.editor(), id, version, note, at).await?,
    };
    Ok(Json(section.view()))
}

/// When to take a section back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UnpublishSection {
    /// A time (RFC 3339); now if it is left out or past.
    at: Option<String>,
}

/// Takes a section back from visitors, now or later. Its draft stays. For editors.
#[utoipa::path(post, path = "/admin/sections/{id}/unpublish", tag = "editing", params(("id" = i64, Path)),
    request_body = UnpublishSection,
    responses((status = 200, body = SectionView), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn unpublish(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(UnpublishSection { at }): Json<UnpublishSection>,
) -> Result<Json<SectionView>> {
    let at = at.as_deref().map(|at| timestamp("at", at)).transpose()?;
    Ok(Json(super::unpublish_section(&app, caller.editor(), SectionId(id), at).await?.view()))
}

/// Ends the schedules of a section. For editors.
#[utoipa::path(delete, path = "/admin/sections/{id}/schedule", tag = "editing", params(("id" = i64, Path)),
    responses((status = 200, body = SectionView), (status = 401, body = Problem)))]
async fn cancel_schedule(State(app): State<App>, caller: Caller, Path(id): Path<i64>) -> Result<Json<SectionView>> {
    Ok(Json(super::cancel_schedule(&app, caller.editor(), SectionId(id)).await?.view()))
}

/// An entry of a section's history.
#[derive(Serialize, ToSchema)]
struct SectionVersionView {
    version: i64,
    kind: VersionKind,
    #[schema(value_type = Object)]
    content: Value,
    note: Option<String>,
    /// The handle of who published or saved it.
    by: String,
    at: String,
}

impl From<SectionVersion> for SectionVersionView {
    fn from(version: SectionVersion) -> Self {
        let SectionVersion { version, kind, content, note, by, at } = version;
        Self { version, kind, content: content.content(), note, by, at: format_timestamp(at) }
    }
}

/// The history of a section, newest first.
#[derive(Serialize, ToSchema)]
struct SectionVersions {
    items: Vec<SectionVersionView>,
    /// Always null: the list has one page.
    next: Option<String>,
}

/// The history of a section, newest first: the draft, each publish, and drafts that a restore
/// replaced. For editors.
#[utoipa::path(get, path = "/admin/sections/{id}/versions", tag = "editing", params(("id" = i64, Path)),
    responses((status = 200, body = SectionVersions), (status = 401, body = Problem)))]
async fn versions(State(app): State<App>, _caller: Caller, Path(id): Path<i64>) -> Result<Json<SectionVersions>> {
    let versions = super::section_versions(&app, SectionId(id)).await?;
    Ok(Json(SectionVersions { items: versions.into_iter().map(SectionVersionView::from).collect(), next: None }))
}

/// Which version becomes the draft.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreVersion {
    version: i64,
}

/// Makes an earlier version the draft. For editors.
#[utoipa::path(post, path = "/admin/sections/{id}/restore", tag = "editing", params(("id" = i64, Path)),
    request_body = RestoreVersion, responses((status = 200, body = SectionView), (status = 401, body = Problem)))]
async fn restore(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(RestoreVersion { version }): Json<RestoreVersion>,
) -> Result<Json<SectionView>> {
    Ok(Json(super::restore_section(&app, caller.editor(), SectionId(id), version).await?.view()))
}

/// Brings a deleted section back. For editors.
#[utoipa::path(post, path = "/admin/sections/{id}/undelete", tag = "editing", params(("id" = i64, Path)),
    responses((status = 200, body = SectionView), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn undelete(State(app): State<App>, caller: Caller, Path(id): Path<i64>) -> Result<Json<SectionView>> {
    Ok(Json(super::restore_deleted(&app, caller.editor(), SectionId(id)).await?.view()))
}
