//! Refuses cross-site requests: a write has to come from a page of this site, with a JSON body, or
//! with that of a form where the pages have forms.
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::middleware::Upload;
use crate::app::App;
use crate::config::Site;
use crate::error::{Error, problem};
use crate::faults::{self, Fault};

/// The browser's statement of where a request comes from; scripts cannot set it (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request pass if it is a read, or a write from this site's own pages.
///
/// Otherwise answers `application/problem+json`: 403 `forbidden` for a write with a foreign or
/// missing origin, 415 `bad_frame` for a body that is compressed or not `application/json`.
pub async fn require_same_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    match check(&request, &app.config.site, BodyKind::Json) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets a request for a page pass if it is a read, or a form of this site's own pages.
///
/// Browsers send forms of any site with `application/x-www-form-urlencoded`, so the origin is what
/// protects these paths; the pages' form tokens are a second proof. The answers are those of
/// [`require_same_origin`].
pub async fn require_own_form(State(app): State<App>, request: Request, next: Next) -> Response {
    match check(&request, &app.config.site, BodyKind::Form) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The media type that the body of a write must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    Json,
    Form,
}

impl BodyKind {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Foreign,
    Compressed,
    OtherMediaType(BodyKind),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let media_type = |why: String| problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_frame", why, None, None);
        match self {
            Self::Foreign => Error::Forbidden("This request has to come from a page of this site.").into_response(),
            Self::Compressed => media_type("The body must not be compressed.".to_owned()),
            Self::OtherMediaType(kind) => media_type(format!("The body must be {}.", kind.media_type())),
        }
    }
}

/// Checks the rules of [`require_same_origin`], for bodies of a kind.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(request: &Request<Body>, site: &Site, kind: BodyKind) -> Result<(), Refusal> {
    let headers = request.headers();
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(Refusal::Compressed);
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    if !is_own(headers, site) && !faults::on(Fault::ForeignWriteAccepted) {
        return Err(Refusal::Foreign);
    }
    let is_upload = request.extensions().get::<Upload>().is_some() && has_media_type(headers, "multipart/form-data");
    if !request.body().is_end_stream() && !is_upload && !has_media_type(headers, kind.media_type()) {
        return Err(Refusal::OtherMediaType(kind));
    }
    Ok(())
}

/// Returns `true` if a write comes from this site. Browsers send `Origin` with every write. Where
/// it is missing, the browser has to state that the origins of page and request are the same.
fn is_own(headers: &HeaderMap, site: &Site) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    let is_stated = sites.peek().is_some();
    if !sites.all(|value| value == "same-origin" || value == "none") {
        return false;
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => origin.to_str().is_ok_and(|origin| site.is_own_origin(origin)),
        (None, _) => is_stated && headers.get_all(SEC_FETCH_SITE).iter().all(|value| value == "same-origin"),
        (Some(_), Some(_)) => false,
    }
}

fn has_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    media_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(wanted.as_bytes())
}
