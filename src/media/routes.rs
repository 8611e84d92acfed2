//! Images over HTTP: their addresses, and the API of editors.
use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, Multipart, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::limits::MAX_IMAGE_SEARCH_CHARS;
use super::model::{AltText, Author, Image, ImageUse, OwnerKind, Size, alt_field};
use super::{Deletion, Upload, UseHooks, serving};
use crate::accounts::{Role, Staff};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Error, Problem, Result};
use crate::http::{Bucket, ClientIp, Json, Key, Path, Query};
use crate::locale::Locale;

/// The bytes of an address never change.
const CACHE_FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Returns the route of the images themselves.
pub fn router() -> Router<App> {
    Router::new().route("/media/{id}/{size}", get(serve))
}

/// Returns the routes `/admin/media` of the API.
pub fn api(hooks: UseHooks) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(upload))
        .routes(routes!(find, describe, delete))
        .routes(routes!(restore))
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(hooks))
}

async fn serve(State(app): State<App>, Path((id, size)): Path<(Uuid, String)>, request: HeaderMap) -> Result<Response> {
    let size = Size::parse(&size).ok_or(Error::NotFound)?;
    let stored = serving::find(&app, id, size).await?;
    let hash: String = stored.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hash}\"");
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE_FOR_GOOD));
    headers.insert(header::ETAG, HeaderValue::try_from(&etag).map_err(Error::internal)?);
    if is_current(&request, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(stored.format.media_type()));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    Ok((headers, serving::read(&app, id, size, &stored).await?).into_response())
}

/// Returns `true` if the client's copy has this tag (RFC 9110 section 13.1.2).
fn is_current(request: &HeaderMap, etag: &str) -> bool {
    let lines = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// An editor, or an administrator, with the keyed hash of the address prefix. Rejects others before
/// a body is read, as [`Staff::require`] does.
struct Editor {
    staff: Staff,
    prefix_hash: Vec<u8>,
}

impl FromRequestParts<App> for Editor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let staff = Staff::from_request_parts(parts, app).await?.require(Role::Editor)?;
        let address = ClientIp::from_request_parts(parts, app).await?;
        Ok(Self { staff, prefix_hash: app.accounts.prefix_hash(address.prefix()) })
    }
}

impl Editor {
    fn author(&self) -> Author<'_> {
        Author { visitor: &self.staff.visitor, prefix_hash: &self.prefix_hash }
    }
}

/// One size of an image.
#[derive(Serialize, ToSchema)]
struct ListedVariant {
    /// `480`, `960`, `1600`, `thumb` or `social`.
    name: &'static str,
    url: String,
    width: u32,
    height: u32,
    media_type: &'static str,
    bytes: u32,
}

/// The texts of an image for people who do not see it.
#[derive(Serialize, Deserialize, ToSchema)]
struct AltTexts {
    ko: String,
    en: String,
}

impl AltTexts {
    fn checked(&self) -> Result<AltText> {
        let text = |locale| match locale {
            Locale::Ko => Some(self.ko.as_str()),
            Locale::En => Some(self.en.as_str()),
        };
        Ok(AltText::checked(text)?)
    }
}

/// An image of the site.
#[derive(Serialize, ToSchema)]
struct ListedImage {
    id: Uuid,
    /// In pixels, of the upload.
    width: u32,
    height: u32,
    alt: AltTexts,
    created_at: String,
    /// Null unless it was deleted.
    deleted_at: Option<String>,
    variants: Vec<ListedVariant>,
}

impl ListedImage {
    fn of(image: &Image) -> Self {
        let variants = image.variants.iter().map(|variant| ListedVariant {
            name: variant.size.name(),
            url: image.path(variant.size),
            width: variant.width,
            height: variant.height,
            media_type: variant.format.media_type(),
            bytes: variant.bytes,
        });
        let alt = |locale| image.alt.get(locale).to_owned();
        Self {
            id: image.id,
            width: image.width,
            height: image.height,
            alt: AltTexts { ko: alt(Locale::Ko), en: alt(Locale::En) },
            created_at: format_timestamp(image.created_at),
            deleted_at: image.deleted_at.map(format_timestamp),
            variants: variants.collect(),
        }
    }
}

/// Images, the newest first.
#[derive(Serialize, ToSchema)]
struct ImageList {
    items: Vec<ListedImage>,
    page: i64,
    pages: i64,
    total: i64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ImageQuery {
    /// Text of a description.
    #[param(max_length = 100)]
    #[serde(default)]
    q: String,
    /// `true` for deleted images.
    #[serde(default)]
    deleted: bool,
    /// From 1.
    #[param(minimum = 1)]
    #[serde(default, deserialize_with = "crate::http::deserialize_integer")]
    page: Option<i64>,
}

/// The images of the site.
#[utoipa::path(get, path = "/admin/media", params(ImageQuery), responses((status = 200, body = ImageList)))]
async fn list(State(app): State<App>, _editor: Editor, Query(query): Query<ImageQuery>) -> Result<Json<ImageList>> {
    if query.q.chars().count() > MAX_IMAGE_SEARCH_CHARS {
        return Err(Error::TooLong { limit: MAX_IMAGE_SEARCH_CHARS, field: Some("q") });
    }
    let found = super::list(&app, &query.q, query.deleted, query.page.unwrap_or(1)).await?;
    let items = found.images.iter().map(ListedImage::of).collect();
    Ok(Json(ImageList { items, page: found.page, pages: found.pages, total: found.total }))
}

/// The form of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the form")]
struct UploadForm {
    /// The text for people who do not see the image, in Korean.
    alt_ko: String,
    /// The same in English.
    alt_en: String,
    /// A JPEG, PNG or WebP image. The last field of the form.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Stores an image. The same picture is stored once: a second upload answers with the first image.
#[utoipa::path(post, path = "/admin/media", request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = ListedImage),
        (status = 413, body = Problem, description = "`too_long`: the file is larger than 12 MiB."),
        (status = 415, body = Problem, description = "`bad_payload`: the file is no JPEG, PNG or WebP image."),
        (status = 422, body = Problem, description = "`bad_payload`: too many pixels, a damaged file, a text is missing.")
    ))]
async fn upload(State(app): State<App>, editor: Editor, form: Multipart) -> Result<(StatusCode, Json<ListedImage>)> {
    app.limits.take(Bucket::Uploads, Key::Visitor(editor.staff.visitor.id))?;
    let (_, form) = Upload::read(form, |_| true).await;
    let form = form?;
    let alt = AltText::checked(|locale| form.fields.get(alt_field(locale)).map(String::as_str))?;
    let image = super::store(&app, editor.author(), OwnerKind::Site, &alt, form.file).await?;
    Ok((StatusCode::CREATED, Json(ListedImage::of(&image))))
}

/// An image with the places that show it.
#[derive(Serialize, ToSchema)]
struct ImageDetail {
    #[serde(flatten)]
    image: ListedImage,
    uses: Vec<ImageUse>,
}

/// One image, also a deleted one.
#[utoipa::path(get, path = "/admin/media/{id}", params(("id" = Uuid, Path)), responses((status = 200, body = ImageDetail)))]
async fn find(
    State(app): State<App>,
    Extension(hooks): Extension<UseHooks>,
    _editor: Editor,
    Path(id): Path<Uuid>,
) -> Result<Json<ImageDetail>> {
    let image = super::find(&app, id).await?;
    let uses = super::uses(&app, hooks, id).await?;
    Ok(Json(ImageDetail { image: ListedImage::of(&image), uses }))
}

/// What is changed in an image.
#[derive(Deserialize, ToSchema)]
struct ImageChange {
    alt: AltTexts,
}

/// Changes the texts of an image.
#[utoipa::path(patch, path = "/admin/media/{id}", params(("id" = Uuid, Path)), request_body = ImageChange,
    responses((status = 200, body = ListedImage)))]
async fn describe(
    State(app): State<App>,
    editor: Editor,
    Path(id): Path<Uuid>,
    Json(change): Json<ImageChange>,
) -> Result<Json<ListedImage>> {
    super::set_alt(&app, editor.author(), id, &change.alt.checked()?).await?;
    Ok(Json(ListedImage::of(&super::find(&app, id).await?)))
}

/// Deletes an image that no page shows. It can be restored for 30 days.
#[utoipa::path(delete, path = "/admin/media/{id}", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 409, body = Problem, description = "`conflict`: a page shows the image.")))]
async fn delete(
    State(app): State<App>,
    Extension(hooks): Extension<UseHooks>,
    editor: Editor,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    match super::delete(&app, editor.author(), hooks, id).await? {
        Deletion::Deleted => Ok(StatusCode::NO_CONTENT),
        Deletion::InUse(_) => Err(Error::Conflict("A page shows this image. Take it out there first.")),
    }
}

/// Restores a deleted image.
#[utoipa::path(post, path = "/admin/media/{id}/restore", params(("id" = Uuid, Path)), responses((status = 204)))]
async fn restore(State(app): State<App>, editor: Editor, Path(id): Path<Uuid>) -> Result<StatusCode> {
    super::restore(&app, editor.author(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
