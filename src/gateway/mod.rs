//! The gateway: the WebSocket. It turns frames into verbs and carries what they publish; it holds no rule of a noun.
mod connection;
mod frames;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
mod verbs;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_sessions::Session;

use crate::accounts;
use crate::app::App;
use crate::error::{Error, problem};
use crate::http::{Bucket, ClientIp, Key};

/// The subprotocol: this version of the wire.
const PROTOCOL: &str = "maju.v1";
/// Bytes read ahead a socket, and bytes gathered before they are written (the library's defaults cost 128 KiB).
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 16 * 1024;
const WRITE_MOST: usize = 64 * 1024;
/// Bytes at which the library breaks off. Ours ([`connection::FRAME`]) is lower and says why in a close frame.
const HARD_LIMIT: usize = 256 * 1024;

/// `GET /ws`. Checked in this order: origin (403), subprotocol (400), the visitor's cookie (401).
pub async fn upgrade(
    State(app): State<App>,
    address: ClientIp,
    headers: HeaderMap,
    session: Session,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let own = |value: &str| app.config.site.is_own_origin(value);
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|value| value.to_str().unwrap_or_default());
    if !matches!((origins.next(), origins.next()), (Some(origin), None) if own(origin)) {
        return Error::Forbidden("This has to come from a page of this site.").into_response();
    }
    if !offers_protocol(&headers) {
        let why = format!("Name the subprotocol: Sec-WebSocket-Protocol: {PROTOCOL}");
        return problem(StatusCode::BAD_REQUEST, "bad_frame", why, None, None);
    }
    let prefix = address.prefix();
    if let Err(why) = app.limits.take(Bucket::Sockets, Key::Prefix(prefix)) {
        return why.into_response();
    }
    let who = match accounts::visitor(&app, &session).await {
        Ok(who) => who,
        Err(why) => return why.into_response(),
    };
    let socket = match socket {
        Ok(socket) => socket,
        Err(why) => {
            return problem(why.status(), "bad_frame", why.body_text(), None, None);
        }
    };
    // A node that stops upgrades too: the socket says when to come back, where a refusal would look like a fault.
    socket
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_MOST)
        .max_message_size(HARD_LIMIT)
        .max_frame_size(HARD_LIMIT)
        .on_failed_upgrade(|why| tracing::debug!(error.cause = %why, "a socket was not upgraded"))
        .on_upgrade(move |socket| {
            let tasks = app.tasks.clone();
            tasks.hold(connection::run(app, who, prefix, socket))
        })
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    listed.flat_map(|line| line.to_str().unwrap_or_default().split(',')).any(|name| name.trim() == PROTOCOL)
}
