//! The opening handshake of RFC 6455: turns a request into a socket.
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

/// The GUID that a server appends to a client's key (RFC 6455, 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The supported version of the WebSocket protocol.
const WEBSOCKET_VERSION: &str = "13";

/// A valid request for a socket.
pub(super) struct Handshake {
    accept: HeaderValue,
    upgraded: OnUpgrade,
}

impl Handshake {
    /// Checks a request.
    ///
    /// # Errors
    /// Returns the response that names what is missing or wrong.
    pub(super) fn read(request: &mut Request) -> Result<Self, Box<Response>> {
        let headers = request.headers();
        let refused =
            |status, why: &'static str| Err(Box::new(problem(status, "bad_frame", why.to_owned(), None, None)));
        let bad = StatusCode::BAD_REQUEST;
        if request.method() != Method::GET {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "Open the socket with GET.");
        }
        if !has_token(headers, &header::CONNECTION, "upgrade") {
            return refused(bad, "The header 'Connection: upgrade' is missing.");
        }
        if !has_token(headers, &header::UPGRADE, "websocket") {
            return refused(bad, "The header 'Upgrade: websocket' is missing.");
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != WEBSOCKET_VERSION) {
            let mut answer =
                refused(StatusCode::UPGRADE_REQUIRED, "The header 'Sec-WebSocket-Version: 13' is missing.");
            if let Err(answer) = &mut answer {
                answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(WEBSOCKET_VERSION));
            }
            return answer;
        }
        let Some(accept) = headers.get(header::SEC_WEBSOCKET_KEY).and_then(accept) else {
            return refused(bad, "The header 'Sec-WebSocket-Key' has to hold 16 bytes in base64.");
        };
        match request.extensions_mut().remove::<OnUpgrade>() {
            Some(upgraded) => Ok(Self { accept, upgraded }),
            None => refused(StatusCode::UPGRADE_REQUIRED, "This connection cannot be upgraded to a socket."),
        }
    }

    /// Returns the response that upgrades the connection, and the connection itself.
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

/// Returns the value that accepts a client's key. `None` if the key is invalid.
fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    if BASE64_STANDARD.decode(key.as_bytes()).ok()?.len() != 16 {
        return None;
    }
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(ACCEPT_GUID).finalize();
    HeaderValue::try_from(BASE64_STANDARD.encode(hash)).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::accept;

    #[test]
    fn a_key_is_accepted_as_in_the_example_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for invalid in ["", "x", "dGhlIHNhbXBsZSBub25jZ", "dGhlIHNhbXBsZQ=="] {
            assert!(accept(&HeaderValue::from_static(invalid)).is_none(), "{invalid}");
        }
    }
}
