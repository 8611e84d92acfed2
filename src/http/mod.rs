//! The HTTP layer: the accept loop, client addresses, rate limits, security headers, cached bodies.
mod accept;
mod appearance;
pub mod assets;
mod body;
mod cached_body;
mod client_ip;
mod connection_limit;
mod headers;
pub mod limits;
mod middleware;
mod openapi;
mod origin;
mod rate_limit;
mod socket;
#[cfg(test)]
mod tests;
mod traffic;

pub use appearance::{Appearance, Theme, wants_page};
pub use body::{Json, Path, Query, deserialize_integer};
pub use cached_body::{CachedBody, Encoding, HTML};
pub use client_ip::{ClientIp, Prefix};
pub use openapi::with_shared_errors;
pub use origin::{require_own_form, require_same_origin};
pub use rate_limit::{Bucket, Key, RateLimiter, limit_requests};
pub use socket::Socket;
pub use traffic::Traffic;

use std::sync::Arc;

use axum::Router;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::app::App;

/// An extension of responses that are meant to last, such as server-sent events. The accept loop
/// does not limit their time; its sender ends it, also when the node drains, and closes the
/// connection with it.
#[derive(Clone, Copy, Debug)]
pub struct LongResponse;

/// Starts to serve a router on a listener. Never fails.
///
/// New connections are accepted until the node drains; requests in progress are finished until the
/// node stops. Once the node drains, each connection is closed after its current request.
///
/// A connection is closed when it takes longer than [`limits::FIRST_BYTE_TIMEOUT`],
/// [`limits::HEAD_TIMEOUT`] or [`limits::IDLE_TIMEOUT`].
///
/// At most [`limits::MAX_CONNECTIONS`] are open (fewer if the process may open fewer files). At
/// most [`limits::MAX_CONNECTIONS_PER_PREFIX`] of them come from one address prefix and have sent
/// a request; trusted proxies are exempt, and upgraded sockets count. Above these limits, the
/// answer is 503 with `Retry-After`, or the connection is closed.
///
/// Connections that have not sent a complete request head do not use up these places. Above
/// [`limits::MAX_PENDING_PER_ADDRESS`] or [`limits::MAX_PENDING_PER_PREFIX`], or when the node has
/// no place left, the oldest of them is closed.
///
/// Every request carries `ConnectInfo<SocketAddr>`.
pub fn serve(app: &App, listener: TcpListener, router: Router) {
    let server = accept::Server {
        tasks: app.tasks.clone(),
        router,
        connection_limit: connection_limit::ConnectionLimit::new(&app.config),
        listener: Arc::new(Mutex::new(Some(Arc::new(listener)))),
        timeouts: socket::Timeouts::default(),
    };
    let tasks = app.tasks.clone();
    // A stop waits for the requests in progress here, as it does for sockets.
    app.tasks.spawn_essential("http.server", move || tasks.track(server.clone().run()));
}

/// Wraps a finished router in the middleware that every route needs.
///
/// Responses carry the security headers and `x-request-id`. These are refused before any handler
/// runs: 421 for a host that is not the site's (unless the site is a loopback one; the probes
/// answer to any host), 405 for TRACE and CONNECT, 411 for a body without a length.
///
/// Outside `/ws`, a body above [`limits::MAX_BODY_BYTES`] is 413, and one that takes longer than
/// [`limits::BODY_TIMEOUT`] is 408. A handler that waits without progress for
/// `db::REQUEST_TIMEOUT`, or takes longer than [`limits::REQUEST_DEADLINE`], is 503; so is the
/// upgrade of a socket. A panic in a handler is a 500 of that request alone. Under `/api`, every
/// error is `application/problem+json`, no matter which layer caused it.
///
/// `uploads` are the paths of uploads: the handler of a POST there reads the body itself, once it
/// knows who sends it. The body can be `multipart/form-data`, and the limits are
/// [`limits::MAX_UPLOAD_BODY_BYTES`], [`limits::UPLOAD_DEADLINE`] and
/// [`limits::UPLOAD_STALL_TIMEOUT`].
pub fn wrap(app: &App, uploads: &'static [&'static str], router: Router) -> Router {
    let limits = middleware::RequestLimits { uploads, ..middleware::RequestLimits::default() };
    middleware::wrap(&app.config.site, limits, app.metrics.clone(), app.traffic.clone(), router)
}
