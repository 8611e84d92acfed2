//! The error type of the product: a stable code for the socket and REST, and a text for people.
use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A result whose error is [`Error`] unless stated otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong for a caller. Each variant has a stable [`Error::code`].
///
/// The texts are for people: what happened, what was kept, and what to do. [`Error::Internal`] is
/// logged where it is answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A frame or request that does not have the documented shape.
    #[error("{why}")]
    BadFrame { why: Cow<'static, str>, field: Option<&'static str> },
    /// A payload that is refused.
    #[error("{why}")]
    BadPayload { why: Cow<'static, str>, field: Option<&'static str> },
    /// A text with too many characters.
    #[error("This is longer than {limit} characters and was not saved. Shorten it and try again.")]
    TooLong { limit: usize, field: Option<&'static str> },
    /// A text with too many characters inside of a field. `path` names it, such as
    /// `content.steps[2].title`.
    #[error("{path}: this is longer than {limit} characters and was not saved. Shorten it and try again.")]
    TooLongAt { limit: usize, field: &'static str, path: String },
    /// A value with too many bytes as it is stored.
    #[error("This takes more than {limit} bytes and was not saved. Shorten it and try again.")]
    TooLarge { limit: usize, field: Option<&'static str> },
    /// A body with too many bytes.
    #[error("This is larger than {} MiB and was not saved. Make it smaller and try again.", limit / (1024 * 1024))]
    BodyTooLarge { limit: usize },
    /// A file in a format that is not accepted.
    #[error("{0}")]
    UnsupportedMedia(&'static str),
    /// Something that does not exist, or that the caller must not know of.
    #[error("This does not exist, or you do not have access to it.")]
    NotFound,
    /// An action that the caller is not allowed to do.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A rate limit. `after` is the time until the next attempt can succeed.
    #[error("Too many requests. This one was not carried out; wait a moment and try again.")]
    RateLimited { after: Duration },
    /// A write to a room or talk that has ended.
    #[error("This conversation has ended. Its messages stay readable.")]
    Closed,
    /// A contradiction to something that is stored already.
    #[error("{0}")]
    Conflict(&'static str),
    /// A contradiction to something that is stored already, in one field of the request.
    #[error("{why}")]
    Taken { field: &'static str, why: &'static str },
    /// A change of something that somebody else has changed since. `current` is how it is now, as
    /// the API shows it.
    #[error("Somebody else has saved this since. Nothing was overwritten: compare both versions, then save again.")]
    Outdated { current: Box<serde_json::Value> },
    /// An action that needs an account, by a guest.
    #[error("Sign in first.")]
    SignInNeeded,
    /// A proof that is wrong: a password, a code, a link. It never says which part of it.
    #[error("That did not match. Check what you entered and try again.")]
    WrongCredentials,
    /// A step of a sign-in that is not due, or of one that has ended.
    #[error("This step is not due, or the sign-in has expired. Begin it again.")]
    WrongStep,
    /// A seek or a sign-in by a visitor who is in a talk.
    #[error("You are already in a talk. Return to it, or end it first.")]
    AlreadyInSession,
    /// An action before the age and the rules are confirmed.
    #[error("Confirm your age and accept the rules first.")]
    AgeGate,
    /// A write by a visitor who is muted. `None` if there is no end.
    #[error("A moderator has muted you. You can read, but not write for now.")]
    Muted { after: Option<Duration> },
    /// An action by a visitor who is banned. `None` if there is no end.
    #[error("A moderator has banned you. You cannot chat here.")]
    Banned { after: Option<Duration> },
    /// A cookie without a session.
    #[error("Your session has ended. Reload the page to start a new one.")]
    SessionEnded,
    /// A failure that passes, such as an unreachable database.
    #[error("This cannot be done right now. Nothing was lost; try again in a moment.")]
    Unavailable,
    /// A failure of the server.
    #[error("The server failed. Nothing was lost; try again.")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Creates the error for a frame or request that does not have the documented shape.
    pub fn bad_frame(why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadFrame { why: why.into(), field: None }
    }

    /// Creates the error for a field of a frame or request that is invalid.
    pub fn bad_field(field: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadFrame { why: why.into(), field: Some(field) }
    }

    /// Creates the error for a field of a payload. Payloads are refused, never changed silently.
    pub fn bad_payload(field: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadPayload { why: why.into(), field: Some(field) }
    }

    /// Creates the error for a failure of the server: logged in full, answered as `internal`.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// Returns the stable code of docs/WIRE.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadFrame { .. } => "bad_frame",
            Self::BadPayload { .. } | Self::UnsupportedMedia(_) => "bad_payload",
            Self::TooLong { .. } | Self::TooLongAt { .. } | Self::TooLarge { .. } | Self::BodyTooLarge { .. } => {
                "too_long"
            }
            Self::NotFound => "not_found",
            Self::Forbidden(_) => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::Closed => "closed",
            Self::Conflict(_) | Self::Taken { .. } | Self::Outdated { .. } => "conflict",
            Self::SignInNeeded => "sign_in_needed",
            Self::WrongCredentials => "wrong_credentials",
            Self::WrongStep => "wrong_step",
            Self::AlreadyInSession => "already_in_session",
            Self::AgeGate => "age_gate",
            Self::Muted { .. } => "muted",
            Self::Banned { .. } => "banned",
            Self::SessionEnded => "session_ended",
            Self::Unavailable => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// Returns the field of the request that was refused. `None` if it was not one field.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadFrame { field, .. }
            | Self::BadPayload { field, .. }
            | Self::TooLong { field, .. }
            | Self::TooLarge { field, .. } => *field,
            Self::Taken { field, .. } | Self::TooLongAt { field, .. } => Some(field),
            Self::BodyTooLarge { .. } | Self::UnsupportedMedia(_) => Some("file"),
            _ => None,
        }
    }

    /// Returns the time to wait before a retry, in milliseconds. `None` if waiting does not help.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::RateLimited { after } | Self::Muted { after: Some(after) } | Self::Banned { after: Some(after) } => {
                Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1))
            }
            Self::Unavailable => Some(1_000),
            _ => None,
        }
    }

    /// Returns the HTTP status of the same error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadFrame { .. } => StatusCode::BAD_REQUEST,
            Self::BadPayload { .. } | Self::TooLong { .. } | Self::TooLongAt { .. } | Self::TooLarge { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden(_) | Self::AgeGate | Self::Muted { .. } | Self::Banned { .. } => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Closed
            | Self::Conflict(_)
            | Self::Taken { .. }
            | Self::Outdated { .. }
            | Self::AlreadyInSession
            | Self::WrongStep => StatusCode::CONFLICT,
            Self::SessionEnded | Self::SignInNeeded | Self::WrongCredentials => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs an [`Error::Internal`]. Call it once, where the error is answered.
    pub fn log(&self) {
        if let Self::Internal(cause) = self {
            tracing::error!(error.cause = %cause, "request failed");
        }
    }
}

impl From<sqlx::Error> for Error {
    /// Maps a database that cannot be reached to `unavailable`, and other failures to `internal`.
    fn from(error: sqlx::Error) -> Self {
        if crate::db::is_unreachable(&error) {
            crate::db::log_unreachable(&error);
            return Self::Unavailable;
        }
        Self::internal(error)
    }
}

/// The body of an error response: `application/problem+json` (RFC 9457) with the socket's codes.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable name of the error: `about:blank#<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// One of the error codes of docs/WIRE.md.
    pub code: &'static str,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How the thing is now that somebody else has changed since, of a `conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub current: Option<Box<serde_json::Value>>,
}

impl Problem {
    /// Creates the body of an error response with a status.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: String,
        field: Option<&'static str>,
        retry_after_ms: Option<u64>,
    ) -> Self {
        Self {
            kind: format!("about:blank#{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code,
            detail,
            field,
            retry_after_ms,
            current: None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(mut self) -> Response {
        self.log();
        let (text, field, retry_after_ms) = (self.to_string(), self.field(), self.retry_after_ms());
        let mut body = Problem::new(self.status(), self.code(), text, field, retry_after_ms);
        if let Self::Outdated { current } = &mut self {
            body.current = Some(std::mem::take(current));
        }
        respond(body, self.status())
    }
}

/// Returns a response in `application/problem+json`, for errors of the transport that have no
/// [`Error`] (405, 411, 415, …).
pub fn problem(
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<&'static str>,
    retry_after_ms: Option<u64>,
) -> Response {
    respond(Problem::new(status, code, detail, field, retry_after_ms), status)
}

fn respond(body: Problem, status: StatusCode) -> Response {
    let retry_after_ms = body.retry_after_ms;
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(ms) = retry_after_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
    }
    response
}
