//! The gateway: the WebSocket. It turns frames into verbs and carries what they publish; it holds no rule of a noun.
mod codec;
mod connection;
mod dispatch;
mod end;
mod excess;
mod frames;
#[cfg(test)]
mod generated;
mod handshake;
mod held_up;
mod registration;
mod replays;
#[cfg(test)]
mod tests;
mod wire;
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
use crate::locale::header_list;
use crate::{accounts, moderation};

/// The subprotocol: this version of the wire.
const PROTOCOL: &str = "maju.v1";
/// `GET /ws`. Checked in this order: origin (403), subprotocol (400), the visitor's cookie (401). Whoever is banned is
/// upgraded, told so and closed with 4403: a page cannot read the status of an upgrade that failed.
pub async fn upgrade(State(app): State<App>, address: ClientIp, session: Session, mut request: Request) -> Response {
    let headers = request.headers();
    let own = |value: &str| faults::on(Fault::OriginNotChecked) || app.config.site.is_own_origin(value);
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|value| value.to_str().unwrap_or_default());
    if !matches!((origins.next(), origins.next()), (Some(origin), None) if own(origin)) {
        return Error::Forbidden("This has to come from a page of this site.").into_response();
    }
    if !offers_protocol(headers) {
        let why = format!("Name the subprotocol: Sec-WebSocket-Protocol: {PROTOCOL}");
        return problem(StatusCode::BAD_REQUEST, "bad_frame", why, None, None);
    }
    let prefix = address.prefix();
    if let Err(why) = app.limits.take(Bucket::Sockets, Key::Prefix(prefix)) {
        return why.into_response();
    }
    let mut who = accounts::visitor(&app, &session, prefix).await;
    if faults::on(Fault::CookieNotChecked) {
        who = accounts::by_id(&app, 1).await;
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
    // A node that stops upgrades too: the socket says when to come back, where a refusal would look like a fault.
    let banned = who.ban.as_ref().map(moderation::dismissal_of);
    let (answer, upgraded) = handshake.accept();
    let socket = app.clone();
    app.tasks.spawn(
        "gateway.socket",
        app.tasks.hold(async move {
            match (upgraded.await, banned) {
                // Boxed: what has led to the socket is not kept beside it for its life.
                (Ok(upgraded), None) => Box::pin(connection::run(socket, who, (prefix, session), upgraded)).await,
                (Ok(upgraded), Some(why)) => Box::pin(connection::turn_away(upgraded, why)).await,
                (Err(why), _) => tracing::debug!(error.cause = %why, "a socket was not upgraded"),
            }
        }),
    );
    answer
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    header_list(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|name| name == PROTOCOL)
}
