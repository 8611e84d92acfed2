//! The handshake of RFC 6455: from a request to a socket.
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest as _, Sha1};

use super::PROTOCOL;
use crate::error::problem;
use crate::locale::header_list;

/// What a server adds to a client's key (RFC 6455, 1.3).
const SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The version of the protocol that is spoken.
const VERSION: &str = "13";

/// A request that asks for a socket as it should.
pub(super) struct Handshake {
    accept: HeaderValue,
    upgraded: OnUpgrade,
}

impl Handshake {
    /// Reads a request. Errors: the answer that says what is missing.
    pub(super) fn read(request: &mut Request) -> Result<Self, Box<Response>> {
        let headers = request.headers();
        let refused =
            |status, why: &'static str| Err(Box::new(problem(status, "bad_frame", why.to_owned(), None, None)));
        let bad = StatusCode::BAD_REQUEST;
        if request.method() != Method::GET {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "A socket is asked for with GET.");
        }
        if !has_token(headers, &header::CONNECTION, "upgrade") {
            return refused(bad, "A socket is asked for with 'Connection: upgrade'.");
        }
        if !has_token(headers, &header::UPGRADE, "websocket") {
            return refused(bad, "A socket is asked for with 'Upgrade: websocket'.");
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            let mut answer =
                refused(StatusCode::UPGRADE_REQUIRED, "A socket is asked for with 'Sec-WebSocket-Version: 13'.");
            if let Err(answer) = &mut answer {
                answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            return answer;
        }
        let Some(accept) = headers.get(header::SEC_WEBSOCKET_KEY).and_then(accept) else {
            return refused(bad, "A socket is asked for with a 'Sec-WebSocket-Key' of 16 bytes in base64.");
        };
        match request.extensions_mut().remove::<OnUpgrade>() {
            Some(upgraded) => Ok(Self { accept, upgraded }),
            None => refused(StatusCode::UPGRADE_REQUIRED, "This connection cannot become a socket."),
        }
    }

    /// The answer that makes the connection a socket, and the connection behind it.
    pub(super) fn accept(self) -> (Response, OnUpgrade) {
        let headers = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
            (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL)),
        ];
        ((StatusCode::SWITCHING_PROTOCOLS, headers).into_response(), self.upgraded)
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    header_list(headers, name).any(|word| word.eq_ignore_ascii_case(token))
}

/// What a server says to a key; None for one that is no key.
fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    if BASE64_STANDARD.decode(key.as_bytes()).ok()?.len() != 16 {
        return None;
    }
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(SALT).finalize();
    HeaderValue::try_from(BASE64_STANDARD.encode(hash)).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::accept;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for none in ["", "x", "dGhlIHNhbXBsZSBub25jZ", "dGhlIHNhbXBsZQ=="] {
            assert!(accept(&HeaderValue::from_static(none)).is_none(), "{none}");
        }
    }
}
