//! The gateway: the WebSocket. It turns frames into calls of the nouns and carries what they
//! publish. It holds no rule of a noun.
mod backlog;
mod close_reason;
mod codec;
mod connection;
mod dispatch;
mod frames;
#[cfg(test)]
mod generated;
mod handshake;
mod heartbeat;
pub mod limits;
mod receiving;
mod refused_frames;
mod registration;
mod replays;
mod requests;
mod stream;
#[cfg(test)]
mod tests;
mod writing;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_sessions::Session;

use crate::accounts::SessionKey;
use crate::app::App;
use crate::error::{Error, problem};
use crate::faults::{self, Fault};
use crate::http::{Bucket, ClientIp, Key};
use crate::ids::VisitorId;
use crate::locale::header_list;
use crate::{accounts, moderation};

/// The WebSocket subprotocol: the version of the wire (docs/WIRE.md).
const PROTOCOL: &str = "maju.v1";

/// `GET /ws`: upgrades the connection to a socket. Checks, in this order, the origin (403), the
/// subprotocol (400), the limit of new sockets (429), the visitor's cookie (401) and the handshake.
/// A banned visitor is upgraded, gets a notice and is closed with 4403, because a page cannot read
/// the status of an upgrade that failed.
pub async fn upgrade(State(app): State<App>, address: ClientIp, session: Session, mut request: Request) -> Response {
    let headers = request.headers();
    let own = |value: &str| faults::on(Fault::OriginNotChecked) || app.config.site.is_own_origin(value);
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|value| value.to_str().unwrap_or_default());
    if !matches!((origins.next(), origins.next()), (Some(origin), None) if own(origin)) {
        return Error::Forbidden("Open the socket from a page of this site.").into_response();
    }
    if !offers_protocol(headers) {
        let why = format!("The header 'Sec-WebSocket-Protocol: {PROTOCOL}' is missing.");
        return problem(StatusCode::BAD_REQUEST, "bad_frame", why, None, None);
    }
    let prefix = address.prefix();
    if let Err(why) = app.limits.take(Bucket::Sockets, Key::Prefix(prefix)) {
        return why.into_response();
    }
    let mut who = accounts::authenticate(&app, &session, prefix).await;
    if faults::on(Fault::CookieNotChecked) {
        who = accounts::by_id(&app, VisitorId(1)).await;
    }
    let who = match who {
        Ok(who) => who,
        Err(why) => return why.into_response(),
    };
    let session = SessionKey::of(&session);
    let handshake = match handshake::Handshake::read(&mut request) {
        Ok(handshake) => handshake,
        Err(answer) => return *answer,
    };
    // A stopping node upgrades too: the socket can ask the client to reconnect, while a refusal
    // would look like an error.
    let banned = who.ban.as_ref().map(moderation::ban_disconnect);
    let (answer, upgraded) = handshake.accept();
    let socket = app.clone();
    app.tasks.spawn(
        "gateway.socket",
        app.tasks.track(async move {
            match (upgraded.await, banned) {
                // Boxed, so that the state of the upgrade is not kept for the life of the socket.
                (Ok(upgraded), None) => Box::pin(connection::run(socket, who, (prefix, session), upgraded)).await,
                (Ok(upgraded), Some(why)) => Box::pin(connection::turn_away(upgraded, why)).await,
                (Err(why), _) => tracing::debug!(error.cause = %why, "socket upgrade failed"),
            }
        }),
    );
    answer
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    header_list(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|name| name == PROTOCOL)
}
