//! The middleware that every request passes: host and method checks, size and time limits, headers.
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

use super::headers::{ResponseHeaders, is_under};
use super::limits;
use super::traffic::Traffic;
use crate::config::Site;
use crate::db;
use crate::error::{Error, problem};
use crate::log_throttle::LogThrottle;
use crate::metrics::Metrics;

/// Identifies a request in its response and in its log lines.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of another layer's error text that are passed on.
const MAX_DETAIL_BYTES: usize = 1024;
/// Bytes of a body that is too large which are read and discarded.
const MAX_DISCARDED_BYTES: usize = 2 * 1024 * 1024;

/// How large a request can be, and how long it can take. WebSockets have their own limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLimits {
    /// Bytes of a body.
    pub(super) body_bytes: usize,
    /// From the end of the head to the last byte of the body.
    pub(super) body_timeout: Duration,
    /// From the last byte of the body to the response, or to the upgrade of a socket.
    pub(super) deadline: Duration,
    /// How long a handler can wait for one thing (a result from Postgres, a connection of the pool)
    /// without progress.
    pub(super) wait: Duration,
    /// A body that is too large is read and discarded up to this many bytes, so that its sender
    /// receives the response.
    pub(super) discarded_bytes: usize,
    /// The paths whose bodies are read by their handlers.
    pub(super) uploads: &'static [&'static str],
}

/// Marks a request whose body is an upload, for [`super::origin`].
#[derive(Clone, Copy)]
pub(super) struct Upload;

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes: limits::MAX_BODY_BYTES,
            body_timeout: limits::BODY_TIMEOUT,
            deadline: limits::REQUEST_DEADLINE,
            wait: db::REQUEST_TIMEOUT,
            discarded_bytes: MAX_DISCARDED_BYTES,
            uploads: &[],
        }
    }
}

struct Middleware {
    headers: ResponseHeaders,
    limits: RequestLimits,
    metrics: Arc<Metrics>,
    traffic: Arc<Traffic>,
}

/// Adds the layers of [`super::wrap`].
pub(super) fn wrap(
    site: &Site,
    limits: RequestLimits,
    metrics: Arc<Metrics>,
    traffic: Arc<Traffic>,
    router: Router,
) -> Router {
    let middleware = Arc::new(Middleware { headers: ResponseHeaders::of(site), limits, metrics, traffic });
    router.layer(CatchPanicLayer::custom(handle_panic)).layer(from_fn_with_state(middleware, handle))
}

async fn handle(State(middleware): State<Arc<Middleware>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = Uuid::new_v4();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    // At `info`, so that warnings carry their request. Never log the query or the body.
    let span =
        tracing::info_span!("http.request", http.method = %request.method(), http.route = route, request.id = %id);
    let method = request.method().clone();
    let responding = async {
        let response = middleware.respond(request, next).await;
        let response = if is_under(&path, "/api") { into_problem(response).await } else { response };
        let took = began.elapsed();
        middleware.metrics.http.record(&route, &method, response.status(), took);
        tracing::debug!(http.status = response.status().as_u16(), http.ms = took.as_millis(), "request answered");
        response
    };
    let mut response = responding.instrument(span).await;
    middleware.traffic.count(response.status());
    middleware.headers.add_to(&path, &mut response);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

impl Middleware {
    async fn respond(&self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        if matches!(parts.method, Method::TRACE | Method::CONNECT) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_frame", "This method is not supported.");
        }
        if !self.headers.is_own_host(&parts) {
            return refuse(StatusCode::MISDIRECTED_REQUEST, "not_found", "This server does not serve this host.");
        }
        if parts.headers.contains_key(header::TRANSFER_ENCODING) {
            // Requests are smuggled where two parsers disagree about a request's end. No browser
            // sends a chunked request.
            return refuse(StatusCode::LENGTH_REQUIRED, "bad_frame", "A body needs a Content-Length header.");
        }
        if parts.uri.path() == "/ws" {
            // Its body is not read: the bytes after the head belong to the socket.
            return self.run_in_time(next.run(Request::from_parts(parts, body))).await;
        }
        let is_upload_path = self.limits.uploads.contains(&parts.uri.path());
        if parts.method == Method::POST && is_upload_path {
            return self.run_upload(Request::from_parts(parts, body), next).await;
        }
        let body = match timeout(self.limits.body_timeout, self.read_body(&parts.headers, body)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(refusal)) => return refusal,
            Err(_) => {
                let why = "The body did not arrive in time. Nothing was changed; send the request again.";
                return refuse(StatusCode::REQUEST_TIMEOUT, "bad_frame", why);
            }
        };
        let mut request = Request::from_parts(parts, Body::from(body));
        if is_upload_path {
            // A file with another method is refused for the method, and not for the file.
            request.extensions_mut().insert(Upload);
        }
        self.run_in_time(next.run(request)).await
    }

    /// Runs the handler of an upload, which reads the body itself: a large body of somebody who may
    /// not upload takes no memory.
    async fn run_upload(&self, request: Request, next: Next) -> Response {
        if request.body().size_hint().lower() > limits::MAX_UPLOAD_BODY_BYTES as u64 {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_long", "This file is too large. Nothing was changed.");
        }
        let mut request = request.map(|body| Body::new(Limited::new(body, limits::MAX_UPLOAD_BODY_BYTES)));
        request.extensions_mut().insert(Upload);
        run_within(limits::UPLOAD_DEADLINE, limits::UPLOAD_STALL_TIMEOUT, next.run(request)).await
    }

    /// Runs a handler. A handler that waits too long, for whatever reason, is dropped and answered
    /// `unavailable`.
    ///
    /// This limits the session layer and every route, even while Postgres is stopped and enforces
    /// none of its own time limits.
    async fn run_in_time(&self, handler: impl Future<Output = Response>) -> Response {
        run_within(self.limits.deadline, self.limits.wait, handler).await
    }

    /// Reads a complete body.
    ///
    /// # Errors
    /// The response to a body that is too large or incomplete.
    async fn read_body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let announced = body.size_hint().lower();
        if announced > self.limits.body_bytes as u64 {
            // A client that asks first (`Expect: 100-continue`) has not sent the body.
            if announced <= self.limits.discarded_bytes as u64 && !headers.contains_key(header::EXPECT) {
                let _ = discard(body).await;
            }
            return Err(self.too_long());
        }
        match Limited::new(body, self.limits.body_bytes).collect().await {
            Ok(complete) => Ok(complete.to_bytes()),
            Err(why) if why.is::<LengthLimitError>() => Err(self.too_long()),
            Err(_) => {
                let why = "The body is incomplete. Nothing was changed; send the request again.";
                Err(refuse(StatusCode::BAD_REQUEST, "bad_frame", why))
            }
        }
    }

    fn too_long(&self) -> Response {
        let why = format!("A body can have at most {} KiB. Nothing was changed.", self.limits.body_bytes / 1024);
        problem(StatusCode::PAYLOAD_TOO_LARGE, "too_long", why, None, None)
    }
}

/// Runs a handler within a deadline, and within the longest `wait` for one thing.
async fn run_within(deadline: Duration, wait: Duration, handler: impl Future<Output = Response>) -> Response {
    let mut handler = pin!(handler);
    let mut deadline = pin!(sleep(deadline));
    let mut without_progress = pin!(sleep(wait));
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(response) = handler.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        if without_progress.is_elapsed() || deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        // The handler was woken by something other than the timers, and waits for the next
        // thing now.
        without_progress.as_mut().reset(Instant::now() + wait);
        without_progress.as_mut().poll(cx).map(|()| None)
    });
    match outcome.await {
        Some(response) => response,
        None => {
            // Before the handler is dropped: its connection is tested when it returns to the
            // pool.
            db::record_failure();
            static THROTTLE: LogThrottle = LogThrottle::new(Duration::from_secs(10));
            if let Some(suppressed) = THROTTLE.allow(std::time::Instant::now()) {
                tracing::warn!(requests.others = suppressed, "a request waited too long and was dropped");
            }
            Error::Unavailable.into_response()
        }
    }
}

/// Reads a body to its end and discards it.
async fn discard(mut body: Body) -> Result<(), axum::Error> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// Returns a refusal before any handler. It closes the connection, because the request's body may
/// not have been read.
fn refuse(status: StatusCode, code: &'static str, why: &str) -> Response {
    let mut response = problem(status, code, why.to_owned(), None, None);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Answers a panic as `internal`. The panic's text can quote a message, so it is not logged.
fn handle_panic(_: Box<dyn Any + Send>) -> Response {
    Error::internal("a handler panicked").into_response()
}

/// Gives an error of another layer (an extractor's, the router's) the shape of our own.
async fn into_problem(response: Response) -> Response {
    let status = response.status();
    let media_type =
        response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if status.as_u16() < 400 || media_type.starts_with("application/problem+json") {
        return response;
    }
    let is_text = media_type.starts_with("text/plain");
    let (parts, body) = response.into_parts();
    let text = match to_bytes(body, MAX_DETAIL_BYTES).await {
        Ok(bytes) if is_text => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    let mut response = match status {
        StatusCode::NOT_FOUND => Error::NotFound.into_response(),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let why = if text.is_empty() { "The request does not have the documented shape.".to_owned() } else { text };
            Error::bad_frame(why).into_response()
        }
        StatusCode::PAYLOAD_TOO_LARGE => problem(status, "too_long", "The body is too large.".to_owned(), None, None),
        StatusCode::SERVICE_UNAVAILABLE => Error::Unavailable.into_response(),
        _ if status.is_server_error() => Error::internal(format!("a response with status {status}")).into_response(),
        _ => {
            let why = status.canonical_reason().unwrap_or("Refused").to_owned();
            problem(status, "bad_frame", why, None, None)
        }
    };
    if let Some(methods) = parts.headers.get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, methods.clone());
    }
    response
}
