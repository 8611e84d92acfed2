//! Routes of the pages: each page in each language, the files that crawlers and browsers request
//! beside them, and their contents as JSON.
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::arranged::ShownSection;
use super::model::Page;
use super::snapshot::Contents;
use super::stats::{self, SiteStat};
use super::{banners, live, sections};
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::http::{Appearance, CachedBody, Theme};
use crate::locale::Locale;

/// Caches revalidate on each request, and may serve their copy for a minute while they do.
const CACHE_REVALIDATE: &str = "public, max-age=0, stale-while-revalidate=60";
/// For addresses that answer in the reader's language: a choice counts at once.
const CACHE_PRIVATE: &str = "private, no-cache";
const CACHE_ONE_DAY: &str = "public, max-age=86400";
/// The request headers that decide the language of such an address, and its theme.
const VARY_LANGUAGE: &str = "Cookie, Accept-Language";

/// The icons of the manifest, which `npm run icons` in web/ draws from the mark.
const ICONS: [(&str, &[u8]); 4] = [
    ("/icon-192.png", include_bytes!("templates/icon-192.png")),
    ("/icon-512.png", include_bytes!("templates/icon-512.png")),
    ("/icon-maskable-192.png", include_bytes!("templates/icon-maskable-192.png")),
    ("/icon-maskable-512.png", include_bytes!("templates/icon-maskable-512.png")),
];

/// Returns the routes of the pages and of the files beside them.
pub fn router() -> Router<App> {
    let files = Router::new()
        .route("/robots.txt", get(robots))
        .route("/sitemap.xml", get(sitemap))
        .route("/favicon.svg", get(favicon))
        .route("/preview.png", get(preview))
        .route("/touch-icon.png", get(touch_icon))
        .route("/site.webmanifest", get(manifest))
        .route("/live", get(live::live));
    let files = ICONS.into_iter().fold(files, |router, (path, icon)| {
        router.route(path, get(move |request: HeaderMap| async move { cached_for_a_day(icon, "image/png", &request) }))
    });
    Page::ALL.into_iter().fold(files.route("/", get(neutral_landing)), with_page)
}

/// Adds a page at its address in each language, and the way there in the reader's language.
fn with_page(router: Router<App>, page: Page) -> Router<App> {
    let neutral = page.neutral_path();
    let router = if page == Page::Landing {
        router
    } else {
        router.route(&neutral, get(move |request: HeaderMap| async move { redirect(page, &request) }))
    };
    Locale::ALL.into_iter().fold(router, |router, locale| {
        let serve =
            move |State(app): State<App>, request: HeaderMap| async move { in_language(&app, page, locale, &request) };
        let path = page.path(locale);
        router.route(&format!("{path}/"), get(serve)).route(&path, get(serve))
    })
}

/// Serves a page at the address of a language. No cookie changes the language, so that caches and
/// crawlers see what people see.
fn in_language(app: &App, page: Page, locale: Locale, request: &HeaderMap) -> Result<Response> {
    let appearance = Appearance { locale, theme: Theme::of(request) };
    respond(app, page, appearance, request, (CACHE_REVALIDATE, "Cookie"))
}

/// Serves the landing page in the reader's language.
async fn neutral_landing(State(app): State<App>, request: HeaderMap) -> Result<Response> {
    respond(&app, Page::Landing, Appearance::of(&request), &request, (CACHE_PRIVATE, VARY_LANGUAGE))
}

fn respond(
    app: &App,
    page: Page,
    appearance: Appearance,
    request: &HeaderMap,
    (cache_control, vary): (&'static str, &'static str),
) -> Result<Response> {
    let snapshot = app.cms.current();
    let body = snapshot.page(page, appearance, &app.config)?;
    let mut response = body.respond(request, cache_control, vary);
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(appearance.locale.tag()));
    Ok(response)
}

/// Leads to a page in the reader's language.
fn redirect(page: Page, request: &HeaderMap) -> Response {
    let headers = [(header::CACHE_CONTROL, CACHE_PRIVATE), (header::VARY, VARY_LANGUAGE)];
    (headers, Redirect::to(&page.path(Locale::of(request)))).into_response()
}

async fn robots(State(app): State<App>, request: HeaderMap) -> Response {
    let site = &app.config.site.url;
    let rules = "User-agent: *\nDisallow: /chat\nDisallow: /api/\nDisallow: /ws\nDisallow: /live\nDisallow: /admin\nDisallow: /account\nDisallow: /signin\nDisallow: /signup\nDisallow: /reset\nDisallow: /verify-email\n";
    cached_for_a_day(format!("{rules}\nSitemap: {site}/sitemap.xml\n"), "text/plain; charset=utf-8", &request)
}

/// Lists each page in each language, with its alternates.
async fn sitemap(State(app): State<App>, request: HeaderMap) -> Response {
    let site = escape_xml(&app.config.site.url);
    let link = |tag: &str, path: &str| format!(r#"<xhtml:link rel="alternate" hreflang="{tag}" href="{site}{path}"/>"#);
    let mut pages = String::new();
    for page in Page::ALL {
        let links: String = page.alternates().iter().map(|(tag, path)| link(tag, path)).collect();
        pages.extend(Locale::ALL.map(|locale| format!("<url><loc>{site}{}</loc>{links}</url>\n", page.path(locale))));
    }
    let namespaces =
        r#"xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml""#;
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset {namespaces}>\n{pages}</urlset>\n");
    cached_for_a_day(body, "application/xml", &request)
}

/// Escapes a public URL for XML.
fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

async fn favicon(request: HeaderMap) -> Response {
    cached_for_a_day(include_str!("templates/mark.svg"), "image/svg+xml", &request)
}

/// Serves the picture of link previews: the first sentence, in both languages.
async fn preview(request: HeaderMap) -> Response {
    cached_for_a_day(include_bytes!("templates/preview.png").as_slice(), "image/png", &request)
}

/// Serves the icon for the home screens of devices that do not support SVG.
async fn touch_icon(request: HeaderMap) -> Response {
    cached_for_a_day(include_bytes!("templates/touch-icon.png").as_slice(), "image/png", &request)
}

async fn manifest(request: HeaderMap) -> Response {
    cached_for_a_day(include_str!("templates/site.webmanifest"), "application/manifest+json", &request)
}

fn cached_for_a_day(body: impl Into<Bytes>, media_type: &'static str, request: &HeaderMap) -> Response {
    CachedBody::new(body, media_type).respond(request, CACHE_ONE_DAY, "")
}

// REST

/// Returns the routes under `/api/v1/admin`, for editors.
pub fn admin_api() -> OpenApiRouter<App> {
    sections::router().merge(stats::router()).merge(banners::router())
}

/// Returns the routes under `/api/v1`.
pub fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(content)).routes(routes!(site_stats)).merge(banners::public_router())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ContentQuery {
    /// A language of the site, such as `ko`; the first one if it is left out.
    #[param(example = "ko")]
    locale: Option<String>,
    /// The page; the landing page if it is left out.
    #[param(inline)]
    page: Option<Page>,
}

/// A page as data.
#[derive(Serialize, ToSchema)]
struct Content<'a> {
    page: Page,
    locale: &'static str,
    /// The version of the site's content. It rises whenever something is published.
    version: i64,
    sections: &'a [ShownSection],
    stats: &'a [SiteStat],
    /// What people talk about now, the most popular first. Empty if they are few.
    topics: Vec<TopicNow>,
}

/// A topic that people talk about now.
#[derive(Serialize, ToSchema)]
struct TopicNow {
    #[schema(example = "music")]
    id: &'static str,
    name: &'static str,
    /// The people who chose it and are searching or in a talk now, at least 5.
    people: i64,
}

/// The sections in order of a page in one language, and the stats and topics of the landing page.
#[utoipa::path(get, path = "/content", tag = "site", params(ContentQuery), responses(
    (status = 200, body = inline(Content<'static>)),
    (status = 304, description = "The caller's copy is current."),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
async fn content(
    State(app): State<App>,
    request: HeaderMap,
    query: Result<Query<ContentQuery>, QueryRejection>,
) -> Result<Response> {
    let Query(query) = query.map_err(|error| Error::bad_frame(error.body_text()))?;
    let locale = match query.locale.as_deref() {
        None => Locale::default(),
        Some(tag) => Locale::of_tag(tag).ok_or_else(|| Error::bad_field("locale", unknown_locale()))?,
    };
    let snapshot = app.cms.current();
    let page = query.page.unwrap_or_default();
    let sections = snapshot.sections(page, locale);
    let topics = snapshot.contents().topics.iter();
    let topics =
        topics.map(|topic| TopicNow { id: topic.id(), name: topic.name(locale), people: topic.people }).collect();
    let version = snapshot.contents().version;
    let body = Content { page, locale: locale.tag(), version, sections, stats: &snapshot.contents().stats, topics };
    let json = serde_json::to_vec(&body).map_err(Error::internal)?;
    Ok(CachedBody::new(json, "application/json").respond(&request, CACHE_REVALIDATE, ""))
}

fn unknown_locale() -> String {
    format!("This language is not available. Use one of: {}.", Locale::ALL.map(Locale::tag).join(", "))
}

/// The stats, at most a few seconds old.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats<'a> {
    items: &'a [SiteStat],
    next: Option<String>,
    /// When the stats were read (RFC 3339), if they are stale. Null while they are fresh.
    as_of: Option<String>,
}

impl<'a> Stats<'a> {
    pub(super) fn of(contents: &'a Contents) -> Self {
        let as_of = contents.as_of.map(|at| at.format(&Rfc3339).unwrap_or_default());
        Self { items: &contents.stats, next: None, as_of }
    }
}

/// The stats of the landing page. A value that is not known is null.
#[utoipa::path(get, path = "/stats", tag = "site", responses((status = 200, body = inline(Stats<'static>))))]
async fn site_stats(State(app): State<App>) -> Result<Response> {
    let snapshot = app.cms.current();
    let body = axum::Json(Stats::of(snapshot.contents()));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
