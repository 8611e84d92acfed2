//! How a socket ends.
use std::borrow::Cow;

use super::codec::Violation;
use super::wire::Broken;
use crate::realtime::CloseCode;

/// Why a socket ends.
pub(super) enum End {
    /// The client is gone; nothing more can be said.
    Gone,
    /// The client closed.
    Closed(Option<u16>),
    Close(CloseCode, Cow<'static, str>),
}

impl End {
    /// An end with a reason that is always the same.
    pub(super) fn because(code: CloseCode, why: &'static str) -> Self {
        Self::Close(code, Cow::Borrowed(why))
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        let (code, why) = violation.close();
        Self::because(code, why)
    }
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Gone => Self::Gone,
            Broken::Violated(violation) => violation.into(),
        }
    }
}
