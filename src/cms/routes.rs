//! HTTP of the landing page: the page in two languages, what crawlers and browsers ask beside it, and the same as JSON.
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{PageSection, SiteStat};
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::locale::Locale;
use crate::spa::{Look, Tagged, Theme};

/// Asked for again each time, answered from a cache for a minute while that happens.
const REVALIDATED: &str = "public, max-age=0, stale-while-revalidate=60";
const DAILY: &str = "public, max-age=86400";

/// The pages, and the files that belong to them.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(english))
        .route("/ko", get(korean))
        .route("/ko/", get(korean))
        .route("/robots.txt", get(robots))
        .route("/sitemap.xml", get(sitemap))
        .route("/favicon.svg", get(favicon))
        .route("/preview.png", get(preview))
        .route("/touch-icon.png", get(touch_icon))
        .route("/site.webmanifest", get(manifest))
}

async fn english(State(app): State<App>, asked: HeaderMap) -> Result<Response> {
    landing(&app, Locale::En, &asked)
}

async fn korean(State(app): State<App>, asked: HeaderMap) -> Result<Response> {
    landing(&app, Locale::Ko, &asked)
}

/// An address has one language: nobody is sent elsewhere by a cookie, so that caches and crawlers see what people see.
fn landing(app: &App, locale: Locale, asked: &HeaderMap) -> Result<Response> {
    let look = Look { locale, theme: Theme::of(asked) };
    let snapshot = app.cms.current();
    let page = snapshot.page(look, &app.config.site.url)?;
    let mut response = page.answer(asked, REVALIDATED, "Cookie");
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(locale.tag()));
    Ok(response)
}

async fn robots(State(app): State<App>, asked: HeaderMap) -> Response {
    let site = &app.config.site.url;
    let rules = "User-agent: *\nDisallow: /chat\nDisallow: /api/\nDisallow: /ws\nDisallow: /admin\n";
    daily(format!("{rules}\nSitemap: {site}/sitemap.xml\n"), "text/plain; charset=utf-8", &asked)
}

async fn sitemap(State(app): State<App>, asked: HeaderMap) -> Response {
    let site = escaped(&app.config.site.url);
    let links: String = [("en", "/"), ("ko", "/ko"), ("x-default", "/")]
        .iter()
        .map(|(tag, path)| format!(r#"<xhtml:link rel="alternate" hreflang="{tag}" href="{site}{path}"/>"#))
        .collect();
    let pages: String =
        ["/", "/ko"].iter().map(|path| format!("<url><loc>{site}{path}</loc>{links}</url>\n")).collect();
    let spaces = r#"xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml""#;
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset {spaces}>\n{pages}</urlset>\n");
    daily(body, "application/xml", &asked)
}

/// A public address inside XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

async fn favicon(asked: HeaderMap) -> Response {
    daily(include_str!("templates/mark.svg"), "image/svg+xml", &asked)
}

/// The picture that a shared link shows: the first sentence, in both languages.
async fn preview(asked: HeaderMap) -> Response {
    daily(include_bytes!("templates/preview.png").as_slice(), "image/png", &asked)
}

/// The mark for the home screens of devices that take no SVG.
async fn touch_icon(asked: HeaderMap) -> Response {
    daily(include_bytes!("templates/touch-icon.png").as_slice(), "image/png", &asked)
}

async fn manifest(asked: HeaderMap) -> Response {
    daily(include_str!("templates/site.webmanifest"), "application/manifest+json", &asked)
}

fn daily(body: impl Into<Bytes>, kind: &'static str, asked: &HeaderMap) -> Response {
    Tagged::new(body, kind).answer(asked, DAILY, "")
}

// REST -------------------------------------------------------------------------------------------------------------------

/// What of this noun is under `/api/v1`.
pub fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(content)).routes(routes!(stats))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// `ko` or `en`; English when it is left out.
    #[param(example = "ko")]
    locale: Option<String>,
}

/// The landing page as data.
#[derive(Serialize, ToSchema)]
struct Content<'a> {
    locale: &'static str,
    sections: &'a [PageSection],
    stats: &'a [SiteStat],
}

/// The sections in order and the numbers of the landing page in one language.
#[utoipa::path(get, path = "/content", tag = "site", params(Wanted), responses(
    (status = 200, body = inline(Content<'static>)),
    (status = 304, description = "The caller's copy is current."),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
async fn content(
    State(app): State<App>,
    asked: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response> {
    let Query(wanted) = wanted.map_err(|error| Error::bad_frame(error.body_text()))?;
    let locale = match wanted.locale.as_deref() {
        None => Locale::En,
        Some(tag) => Locale::of_tag(tag).ok_or_else(|| Error::bad_field("locale", "ko or en."))?,
    };
    let snapshot = app.cms.current();
    let sections = snapshot.sections(locale);
    let body = Content { locale: locale.tag(), sections, stats: &snapshot.contents().stats };
    let json = serde_json::to_vec(&body).map_err(Error::internal)?;
    Ok(Tagged::new(json, "application/json").answer(&asked, REVALIDATED, ""))
}

/// The numbers, at most a few seconds old.
#[derive(Serialize, ToSchema)]
struct Stats<'a> {
    items: &'a [SiteStat],
    next: Option<String>,
    /// When the numbers were read (RFC 3339), once they are more than a minute old; null while they are fresh.
    as_of: Option<String>,
}

/// The named numbers of the landing page. A value that is not known is null.
#[utoipa::path(get, path = "/stats", tag = "site", responses((status = 200, body = inline(Stats<'static>))))]
async fn stats(State(app): State<App>) -> Result<Response> {
    let snapshot = app.cms.current();
    let contents = snapshot.contents();
    let as_of = contents.as_of.map(|at| at.format(&Rfc3339)).transpose().map_err(Error::internal)?;
    let body = axum::Json(Stats { items: &contents.stats, next: None, as_of });
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
