//! Images: the list with the form of an upload, and the page of one image.
use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{DefaultBodyLimit, Extension, Multipart};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::desk::{Area, Desk};
use super::note::{Note, Undo};
use crate::accounts::{Form, Role, is_form_token};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::{Bucket, Key, Path, Query};
use crate::locale::{AdminStrings, ImageStrings, Locale};
use crate::media::{
    self, AltText, Author, Deletion, Format, Image, ImagePage, OwnerKind, Refusal, Size, Upload, UploadError, UseHooks,
    Variant, alt_field, limits,
};

/// Returns the routes of the pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/images", get(list).post(upload).layer(DefaultBodyLimit::disable()))
        .route("/admin/images/social", post(choose_social))
        .route("/admin/images/{id}", get(show))
        .route("/admin/images/{id}/alt", post(describe))
        .route("/admin/images/{id}/delete", post(delete))
        .route("/admin/images/{id}/restore", post(restore))
}

/// Which part of the list is shown.
#[derive(Clone, Default, Deserialize)]
struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    page: Option<i64>,
}

impl ListQuery {
    /// Returns the address of another page of the same list.
    fn path(&self, page: i64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.q.is_empty() {
            query.append_pair("q", &self.q);
        }
        if self.deleted {
            query.append_pair("deleted", "true");
        }
        format!("/admin/images?{}", query.append_pair("page", &page.to_string()).finish())
    }
}

/// What is wrong with a form. The field is the id of its control.
struct Problem {
    field: &'static str,
    text: &'static str,
    status: StatusCode,
}

impl Problem {
    fn of(refusal: Refusal, t: &ImageStrings) -> Self {
        let (field, text) = match refusal {
            Refusal::FileMissing => ("file", t.file_missing),
            Refusal::TooLarge => ("file", t.too_large),
            Refusal::OtherFormat => ("file", t.other_format),
            Refusal::TooManyPixels => ("file", t.too_many_pixels),
            Refusal::Broken => ("file", t.broken),
            Refusal::AltMissing(locale) => (alt_field(locale), t.alt_missing),
            Refusal::AltTooLong(locale) => (alt_field(locale), t.alt_too_long),
            Refusal::BadForm => ("file", t.bad_form),
        };
        Self { field, text, status: Error::from(refusal).status() }
    }
}

/// A text field of a form in one language.
struct AltInput {
    name: &'static str,
    label: &'static str,
    tag: &'static str,
    value: String,
    problem: Option<&'static str>,
}

/// Returns the fields for the texts in all languages.
fn alt_inputs(t: &ImageStrings, value: impl Fn(Locale) -> String, problem: Option<&Problem>) -> Vec<AltInput> {
    let input = |locale| {
        let name = alt_field(locale);
        let label = match locale {
            Locale::Ko => t.alt_ko,
            Locale::En => t.alt_en,
        };
        let problem = problem.filter(|problem| problem.field == name).map(|problem| problem.text);
        AltInput { name, label, tag: locale.tag(), value: value(locale), problem }
    };
    Locale::ALL.into_iter().map(input).collect()
}

#[derive(Template)]
#[template(path = "admin/images.html")]
struct ImagesPage<'a> {
    t: &'static AdminStrings,
    locale: Locale,
    token: &'a str,
    problem: Option<Problem>,
    alts: Vec<AltInput>,
    query: ListQuery,
    found: ImagePage,
    social: Option<Uuid>,
    max_file_bytes: usize,
}

impl ImagesPage<'_> {
    fn file_problem(&self) -> Option<&'static str> {
        self.problem.as_ref().filter(|problem| problem.field == "file").map(|problem| problem.text)
    }

    fn alt<'a>(&self, image: &'a Image) -> &'a str {
        image.alt.get(self.locale)
    }

    fn is_social(&self, image: &Image) -> bool {
        self.social == Some(image.id)
    }

    fn page_of(&self) -> String {
        let text = self.t.images.page_of.replacen("{}", &self.found.page.to_string(), 1);
        text.replacen("{}", &self.found.pages.to_string(), 1)
    }

    fn total(&self) -> String {
        self.t.images.total.replace("{}", &self.found.total.to_string())
    }

    fn empty(&self) -> &'static str {
        match (self.query.q.is_empty(), self.query.deleted) {
            (false, _) => self.t.images.none_found,
            (true, true) => self.t.images.none_deleted,
            (true, false) => self.t.images.none,
        }
    }
}

async fn list(desk: Desk, Query(query): Query<ListQuery>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    respond_list(&desk, query, &BTreeMap::new(), None).await
}

async fn respond_list(
    desk: &Desk,
    query: ListQuery,
    fields: &BTreeMap<String, String>,
    problem: Option<Problem>,
) -> Result<Response> {
    let t = desk.t();
    let found = media::list(&desk.app, &query.q, query.deleted, query.page.unwrap_or(1)).await?;
    let typed = |locale| fields.get(alt_field(locale)).cloned().unwrap_or_default();
    let page = ImagesPage {
        t,
        locale: desk.appearance.locale,
        token: desk.token(),
        alts: alt_inputs(&t.images, typed, problem.as_ref()),
        query,
        found,
        social: media::social_image(&desk.app).await?,
        max_file_bytes: limits::MAX_UPLOAD_BYTES,
        problem,
    };
    let status = page.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    desk.respond(status, Area::Images, &[], t.shell.images, &page).await
}

/// Stores an upload. A script is answered with JSON instead of a page.
async fn upload(desk: Desk, headers: HeaderMap, form: Multipart) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let is_own = |fields: &BTreeMap<String, String>| {
        fields.get("token").is_some_and(|token| is_form_token(&desk.app, &desk.session, token))
    };
    let (fields, form) = Upload::read(form, is_own).await;
    if !is_own(&fields) {
        return Err(Error::bad_frame("the form has no token of this session"));
    }
    let for_script = headers.get(header::ACCEPT).is_some_and(|accepted| accepted == "application/json");
    let problem = match stored(&desk, &fields, form).await {
        Ok(image) => {
            Note::said(desk.t().images.note_uploaded).leave(&desk.session).await?;
            let path = format!("/admin/images/{}", image.id);
            return Ok(if for_script {
                Json(json!({ "path": path })).into_response()
            } else {
                Redirect::to(&path).into_response()
            });
        }
        Err(UploadError::Refused(refusal)) => Problem::of(refusal, &desk.t().images),
        Err(UploadError::Failed(Error::RateLimited { .. })) => {
            Problem { field: "file", text: desk.t().images.too_often, status: StatusCode::TOO_MANY_REQUESTS }
        }
        Err(UploadError::Failed(why)) => return Err(why),
    };
    if for_script {
        // Of the type of a page, so that it stays as it is on its way out.
        let body = Json(json!({ "field": problem.field, "text": problem.text }));
        return Ok(body.into_response());
    }
    respond_list(&desk, ListQuery::default(), &fields, Some(problem)).await
}

async fn stored(
    desk: &Desk,
    fields: &BTreeMap<String, String>,
    form: Result<Upload, Refusal>,
) -> Result<Image, UploadError> {
    let alt = AltText::checked(|locale| fields.get(alt_field(locale)).map(String::as_str));
    let (form, alt) = (form?, alt?);
    desk.app.limits.take(Bucket::Uploads, Key::Visitor(desk.staff.visitor.id))?;
    media::store(&desk.app, author(desk), OwnerKind::Site, &alt, form.file).await
}

fn author(desk: &Desk) -> Author<'_> {
    Author { visitor: &desk.staff.visitor, prefix_hash: &desk.prefix_hash }
}

#[derive(Template)]
#[template(path = "admin/image.html")]
struct ShownImage<'a> {
    t: &'static AdminStrings,
    locale: Locale,
    token: &'a str,
    image: Image,
    problem: Option<Problem>,
    alts: Vec<AltInput>,
    uses: Vec<String>,
    is_social: bool,
}

impl ShownImage<'_> {
    fn alt(&self) -> &str {
        self.image.alt.get(self.locale)
    }

    fn size_name(&self, variant: &Variant) -> String {
        match variant.size {
            Size::Thumb => self.t.images.size_thumb.to_owned(),
            Size::Social => self.t.images.size_social.to_owned(),
            other => self.t.images.size_width.replace("{}", other.name()),
        }
    }

    fn format_name(&self, variant: &Variant) -> &'static str {
        match variant.format {
            Format::WebP => "WebP",
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
        }
    }

    fn kilobytes(&self, variant: &Variant) -> String {
        format!("{:.1} KB", f64::from(variant.bytes) / 1_000.0)
    }

    /// Returns the last day on which the image can be restored. Empty if it is not deleted.
    fn restorable_until(&self) -> String {
        let until = self.image.deleted_at.map(|at| (at + limits::DELETED_IMAGE_KEPT).date().to_string());
        until.map(|day| self.t.images.restore_until.replace("{}", &day)).unwrap_or_default()
    }
}

async fn show(desk: Desk, Extension(hooks): Extension<UseHooks>, Path(id): Path<Uuid>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    respond_image(&desk, hooks, id, None).await
}

/// Shows an image. `typed` are the texts of a form that was refused.
async fn respond_image(
    desk: &Desk,
    hooks: UseHooks,
    id: Uuid,
    typed: Option<(&BTreeMap<String, String>, Problem)>,
) -> Result<Response> {
    let (t, locale) = (desk.t(), desk.appearance.locale);
    let image = media::find(&desk.app, id).await?;
    let uses = media::uses(&desk.app, hooks, id).await?;
    let (fields, problem) = typed.unzip();
    let alt = |locale| match fields {
        Some(fields) => fields.get(alt_field(locale)).cloned().unwrap_or_default(),
        None => image.alt.get(locale).to_owned(),
    };
    let is_social = uses.iter().any(|used| used.place == "social");
    let place =
        |used: media::ImageUse| if used.place == "social" { t.images.use_social.to_owned() } else { used.place };
    let page = ShownImage {
        t,
        locale,
        token: desk.token(),
        alts: alt_inputs(&t.images, alt, problem.as_ref()),
        uses: uses.into_iter().map(place).collect(),
        is_social,
        problem,
        image,
    };
    let status = page.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let crumbs = [("/admin/images".to_owned(), t.shell.images.to_owned())];
    let title = page.image.alt.get(locale).to_owned();
    desk.respond(status, Area::Images, &crumbs, &title, &page).await
}

async fn describe(
    desk: Desk,
    Extension(hooks): Extension<UseHooks>,
    Path(id): Path<Uuid>,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    match AltText::checked(|locale| fields.get(alt_field(locale)).map(String::as_str)) {
        Ok(alt) => {
            let before = media::find(&desk.app, id).await?.alt;
            media::set_alt(&desk.app, author(&desk), id, &alt).await?;
            let earlier = |locale| (alt_field(locale).to_owned(), before.get(locale).to_owned());
            let undo = Undo {
                path: format!("/admin/images/{id}/alt"),
                fields: Locale::ALL.into_iter().map(earlier).collect(),
            };
            let undo = (before != alt).then_some(undo);
            Note { text: desk.t().images.note_described.to_owned(), undo }.leave(&desk.session).await?;
            Ok(Redirect::to(&format!("/admin/images/{id}")).into_response())
        }
        Err(refusal) => {
            let problem = Problem::of(refusal, &desk.t().images);
            respond_image(&desk, hooks, id, Some((&fields, problem))).await
        }
    }
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Nothing {}

async fn delete(
    desk: Desk,
    Extension(hooks): Extension<UseHooks>,
    Path(id): Path<Uuid>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let t = &desk.t().images;
    match media::delete(&desk.app, author(&desk), hooks, id).await? {
        Deletion::Deleted => {
            let undo = Undo { path: format!("/admin/images/{id}/restore"), fields: Vec::new() };
            Note { text: t.note_deleted.to_owned(), undo: Some(undo) }.leave(&desk.session).await?;
            Ok(Redirect::to("/admin/images").into_response())
        }
        Deletion::InUse(_) => {
            Note::said(t.note_in_use).leave(&desk.session).await?;
            Ok(Redirect::to(&format!("/admin/images/{id}")).into_response())
        }
    }
}

async fn restore(desk: Desk, Path(id): Path<Uuid>, Form(Nothing {}): Form<Nothing>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    media::restore(&desk.app, author(&desk), id).await?;
    Note::said(desk.t().images.note_restored).leave(&desk.session).await?;
    Ok(Redirect::to(&format!("/admin/images/{id}")).into_response())
}

/// Which image the social cards have. Empty for the one that is built in.
#[derive(Deserialize)]
struct SocialChoice {
    #[serde(default)]
    image: String,
    /// The page to return to.
    #[serde(default)]
    shown: String,
}

async fn choose_social(desk: Desk, Form(SocialChoice { image, shown }): Form<SocialChoice>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let t = &desk.t().images;
    let parsed =
        |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| Error::NotFound) };
    let (image, shown): (Option<Uuid>, Option<Uuid>) = (parsed(&image)?, parsed(&shown)?);
    let before = media::set_social_image(&desk.app, author(&desk), image).await?;
    let id_text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let fields = vec![("image".to_owned(), id_text(before)), ("shown".to_owned(), id_text(shown.or(image)))];
    let undo = Undo { path: "/admin/images/social".to_owned(), fields };
    let text = if image.is_some() { t.note_social } else { t.note_social_cleared };
    Note { text: text.to_owned(), undo: (before != image).then_some(undo) }.leave(&desk.session).await?;
    let back = shown.or(image).map_or_else(|| "/admin/images".to_owned(), |id| format!("/admin/images/{id}"));
    Ok(Redirect::to(&back).into_response())
}
