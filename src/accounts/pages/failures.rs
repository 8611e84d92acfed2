//! What went wrong, as a page in the site's design.
use askama::Template;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::PageHooks;
use super::page::{Frame, encode_next};
use crate::http::Appearance;
use crate::locale::PageStrings;

/// Bytes of an error that are read to find its code.
const MAX_PROBLEM_BYTES: usize = 16 * 1024;

/// Why a page cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The form is of an earlier session, or of an earlier step.
    Stale,
    /// The form comes from another site.
    Foreign,
    TooMany,
    Busy,
    Internal,
}

impl Failure {
    fn status(self) -> StatusCode {
        match self {
            Self::Stale | Self::Foreign => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn words(self, t: &PageStrings) -> (&'static str, &'static str) {
        match self {
            Self::Stale => (t.stale_heading, t.stale_text),
            Self::Foreign => (t.foreign_heading, t.foreign_text),
            Self::TooMany => (t.many_heading, t.busy_text),
            Self::Busy => (t.busy_heading, t.busy_text),
            Self::Internal => (t.failed_heading, t.failed_text),
        }
    }
}

#[derive(Template)]
#[template(path = "account/failure.html")]
struct FailurePage {
    t: &'static PageStrings,
    heading: &'static str,
    text: &'static str,
    wait: Option<String>,
    again: String,
    status: u16,
}

/// Returns the page for a failure. `again` is the path that opens the page anew.
pub(super) fn failure_page(appearance: Appearance, failure: Failure, again: &str, wait: Option<u64>) -> Response {
    failure_page_with_status(appearance, failure, failure.status(), again, wait)
}

fn failure_page_with_status(
    appearance: Appearance,
    failure: Failure,
    status: StatusCode,
    again: &str,
    wait: Option<u64>,
) -> Response {
    let t = appearance.locale.account_pages();
    let (heading, text) = failure.words(t);
    let page = FailurePage {
        t,
        heading,
        text,
        wait: wait.map(|seconds| t.wait.replace("{}", &(t.span)(seconds))),
        again: again.to_owned(),
        status: status.as_u16(),
    };
    let frame = Frame { appearance, path: again.to_owned(), signed_in: None };
    let mut response = match frame.respond(status, heading, &page) {
        Ok(response) => response,
        Err(why) => return why.into_response(),
    };
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The part of an error response that decides its page.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    retry_after_ms: Option<u64>,
}

/// Turns every error of the pages into a page, no matter which layer caused it, and keeps all of
/// them out of caches and of search engines.
///
/// A reader who has to sign in is led there and back; what does not exist is answered as everywhere
/// on the site.
pub async fn failures_as_pages(State(hooks): State<PageHooks>, request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path().to_owned();
    let whole = request.uri().path_and_query().map_or_else(|| path.clone(), ToString::to_string);
    let response = next.run(request).await;
    let mut response = if response.status().as_u16() >= 400 && !is_page(&response) {
        as_page(hooks, headers, response, if is_read { &whole } else { &path }).await
    } else {
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

fn is_page(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

async fn as_page(hooks: PageHooks, headers: HeaderMap, response: Response, path: &str) -> Response {
    let status = response.status();
    let body = to_bytes(response.into_body(), MAX_PROBLEM_BYTES).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let wait = problem.retry_after_ms.map(|ms| ms.div_ceil(1_000));
    let failure = match problem.code.as_str() {
        "sign_in_needed" | "session_ended" => {
            return Redirect::to(&format!("/signin?next={}", encode_next(path))).into_response();
        }
        "not_found" => return (hooks.not_found)(headers).await,
        "rate_limited" => Failure::TooMany,
        "unavailable" => Failure::Busy,
        "forbidden" => Failure::Foreign,
        _ if status == StatusCode::METHOD_NOT_ALLOWED => return (hooks.not_found)(headers).await,
        _ if status.is_client_error() => Failure::Stale,
        _ => Failure::Internal,
    };
    failure_page_with_status(Appearance::of(&headers), failure, status, path, wait)
}
