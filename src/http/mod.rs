//! HTTP's edge: the accept loop with its time limits, who is asking, rate limits, headers, cross-site checks.
mod accept;
mod body;
mod client_ip;
mod described;
mod door;
mod gate;
mod headers;
mod limits;
mod origin;
mod socket;
#[cfg(test)]
mod tests;

pub use body::{Json, Path, Query, whole};
pub use client_ip::{ClientIp, Prefix};
pub use described::with_refusals;
pub use limits::{Bucket, Key, Limits, limited};
pub use origin::same_origin;
pub use socket::Socket;

use std::sync::Arc;

use axum::Router;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::app::App;

/// Starts to serve a router on a listener, until the node drains, and what is in hand until it stops. Never fails.
///
/// A connection that says nothing for 10 s, or takes 10 s over a request's head, is closed; one that idles for 60 s too.
/// At most 18,000 connections are open (fewer where the process may hold fewer files), and 512 from one address prefix
/// that is no trusted proxy's have sent a request; upgraded sockets count. Past that: 503 with `Retry-After`, or a closed
/// connection. Those that have not sent a whole head yet take no such place: past 64 from one address, 256 from one prefix,
/// or where there is no room left, the oldest of them is closed.
/// Every request carries `ConnectInfo<SocketAddr>`. Once the node drains, each connection ends after the request in hand.
pub fn serve(app: &App, listener: TcpListener, router: Router) {
    let server = accept::Server {
        tasks: app.tasks.clone(),
        router,
        gate: gate::Gate::new(&app.config),
        listener: Arc::new(Mutex::new(Some(Arc::new(listener)))),
        timeouts: socket::Timeouts::default(),
    };
    let tasks = app.tasks.clone();
    // A stop waits for what is in hand here, as it does for sockets.
    app.tasks.spawn_essential("http.server", move || tasks.track(server.clone().run()));
}

/// Puts the layers that every route needs around a finished router.
///
/// Answers carry the security headers and `x-request-id`. Refused before any handler: 421 for a host that is not the
/// site's (unless the site is a loopback one; the probes answer to any), 405 for TRACE and CONNECT, 411 for a body
/// without a length. Outside `/ws`, a body of more than 64 KiB is 413 and one that takes 15 s is 408. A handler that waits
/// for 2 s without progress, or takes 4.5 s in all, is 503; so is the upgrade of a socket. A handler's panic is a 500 of that request alone. Under `/api`, every error is
/// `application/problem+json`, whatever said it.
pub fn layers(app: &App, router: Router) -> Router {
    door::around(&app.config.site, door::Bounds::default(), router)
}
