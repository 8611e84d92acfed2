//! Why a socket ends.
use std::borrow::Cow;

use super::codec::Violation;
use super::stream::ReadError;
use crate::realtime::CloseCode;

/// Why a socket ends.
pub(super) enum CloseReason {
    /// The connection is lost: nothing more can be sent.
    ConnectionLost,
    /// The client closed with this code. `None` if it gave no code.
    ByClient(Option<u16>),
    /// The server closes with this code and text.
    ByServer(CloseCode, Cow<'static, str>),
}

impl CloseReason {
    /// Creates the reason for a close by the server.
    pub(super) fn by_server(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::ByServer(code, reason.into())
    }
}

impl From<Violation> for CloseReason {
    fn from(violation: Violation) -> Self {
        Self::ByServer(violation.code(), violation.reason())
    }
}

impl From<ReadError> for CloseReason {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Disconnected => Self::ConnectionLost,
            ReadError::Violation(violation) => violation.into(),
        }
    }
}
