//! What every request passes on its way in and out.
use std::any::Any;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, sleep, timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;

use super::headers::{Headers, is_under};
use crate::config::Site;
use crate::db;
use crate::error::{Error, problem};
use crate::log_throttle::LogThrottle;

/// Names a request in its answer and in the log lines it causes.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The text of a refusal that was not ours, in bytes, that is passed on.
const DETAIL: usize = 1024;

/// How much and how long a request may be. WebSockets have their own limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a body.
    pub(super) body: usize,
    /// From the head to the last byte of the body.
    pub(super) arrival: Duration,
    /// From the last byte of the body to the answer; the upgrade of a socket too.
    pub(super) answer: Duration,
    /// How long a handler may wait for one thing (an answer of Postgres, its turn for a connection) without any progress.
    pub(super) wait: Duration,
    /// A body that is too large is read up to this many bytes and thrown away, so that its sender hears the answer.
    pub(super) scrap: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 64 * 1024,
            arrival: Duration::from_secs(15),
            answer: Duration::from_millis(4_500),
            wait: db::REQUEST_TIMEOUT,
            scrap: 2 * 1024 * 1024,
        }
    }
}

struct Door {
    headers: Headers,
    bounds: Bounds,
}

/// The layers of [`super::layers`].
pub(super) fn around(site: &Site, bounds: Bounds, router: Router) -> Router {
    let door = Arc::new(Door { headers: Headers::of(site), bounds });
    router.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(door, pass))
}

async fn pass(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = Uuid::new_v4();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    // At `info`, so that a warning's line tells its request; never the query or the body.
    let span =
        tracing::info_span!("http.request", http.method = %request.method(), http.route = route, request.id = %id);
    let answer = async {
        let response = door.answer(request, next).await;
        let response = if is_under(&path, "/api") { as_problem(response).await } else { response };
        let (status, ms) = (response.status().as_u16(), began.elapsed().as_millis());
        tracing::debug!(http.status = status, http.ms = ms, "request answered");
        response
    };
    let mut response = answer.instrument(span).await;
    door.headers.dress(&path, &mut response);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

impl Door {
    async fn answer(&self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        if matches!(parts.method, Method::TRACE | Method::CONNECT) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_frame", "This method is not served.");
        }
        if !self.headers.is_own_host(&parts) {
            return refuse(StatusCode::MISDIRECTED_REQUEST, "not_found", "This host is not served here.");
        }
        if parts.headers.contains_key(header::TRANSFER_ENCODING) {
            // Two parsers that disagree about where a request ends are how requests are smuggled. No browser sends one.
            return refuse(StatusCode::LENGTH_REQUIRED, "bad_frame", "A body needs a Content-Length.");
        }
        if parts.uri.path() == "/ws" {
            // Its body is not read: what follows the head belongs to the socket.
            return self.in_time(next.run(Request::from_parts(parts, body))).await;
        }
        let body = match timeout(self.bounds.arrival, self.collect(&parts.headers, body)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(refusal)) => return refusal,
            Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "bad_frame", "The body did not arrive in time."),
        };
        self.in_time(next.run(Request::from_parts(parts, Body::from(body)))).await
    }

    /// Runs a handler. One that waits for too long is dropped and answered `unavailable`, whatever it waits for: this bounds
    /// the session layer and every route, also where Postgres is stopped and keeps none of its own limits.
    async fn in_time(&self, handler: impl Future<Output = Response>) -> Response {
        let mut handler = pin!(handler);
        let mut in_all = pin!(sleep(self.bounds.answer));
        let mut without_progress = pin!(sleep(self.bounds.wait));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(response) = handler.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            if without_progress.is_elapsed() || in_all.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            // Something but the timers has woken the handler, and it waits for the next thing.
            without_progress.as_mut().reset(Instant::now() + self.bounds.wait);
            without_progress.as_mut().poll(cx).map(|()| None)
        });
        match answered.await {
            Some(response) => response,
            None => {
                // Before the handler is dropped: its connection is looked at when it goes back to the pool.
                db::record_failure();
                static SLOW: LogThrottle = LogThrottle::new(Duration::from_secs(10));
                if let Some(others) = SLOW.allow(std::time::Instant::now()) {
                    tracing::warn!(requests.others = others, "a request waited too long and was dropped");
                }
                Error::Unavailable.into_response()
            }
        }
    }

    /// Reads a whole body. Errors: the answer to one that is too large or breaks off.
    async fn collect(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let announced = body.size_hint().lower();
        if announced > self.bounds.body as u64 {
            // Who asked first (Expect: 100-continue) has not sent it and need not.
            if announced <= self.bounds.scrap as u64 && !headers.contains_key(header::EXPECT) {
                let _ = scrap(body).await;
            }
            return Err(self.too_long());
        }
        match Limited::new(body, self.bounds.body).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(why) if why.is::<LengthLimitError>() => Err(self.too_long()),
            Err(_) => Err(refuse(StatusCode::BAD_REQUEST, "bad_frame", "The body broke off.")),
        }
    }

    fn too_long(&self) -> Response {
        let why = format!("A body holds at most {} KiB.", self.bounds.body / 1024);
        problem(StatusCode::PAYLOAD_TOO_LARGE, "too_long", why, None, None)
    }
}

async fn scrap(mut body: Body) -> Result<(), axum::Error> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// A refusal before any handler; the connection ends with it, since its body may not have been read.
fn refuse(status: StatusCode, code: &'static str, why: &str) -> Response {
    let mut response = problem(status, code, why.to_owned(), None, None);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A panic is ours to find. What it says may quote a message, so it stays out of the log's fields.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Error::internal("a handler panicked").into_response()
}

/// Gives a refusal that is not ours (an extractor's, the router's) the shape of our own.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let said = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if status.as_u16() < 400 || said.starts_with("application/problem+json") {
        return response;
    }
    let is_text = said.starts_with("text/plain");
    let (parts, body) = response.into_parts();
    let text = match to_bytes(body, DETAIL).await {
        Ok(bytes) if is_text => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    let mut answer = match status {
        StatusCode::NOT_FOUND => Error::NotFound.into_response(),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let why = if text.is_empty() { "The request does not have the documented shape.".to_owned() } else { text };
            Error::bad_frame(why).into_response()
        }
        StatusCode::PAYLOAD_TOO_LARGE => problem(status, "too_long", "The body is too large.".to_owned(), None, None),
        StatusCode::SERVICE_UNAVAILABLE => Error::Unavailable.into_response(),
        _ if status.is_server_error() => Error::internal(format!("an answer of status {status}")).into_response(),
        _ => {
            let why = status.canonical_reason().unwrap_or("Refused").to_owned();
            problem(status, "bad_frame", why, None, None)
        }
    };
    if let Some(methods) = parts.headers.get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, methods.clone());
    }
    answer
}
