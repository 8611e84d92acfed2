//! The one error of the product: a stable code for the socket and REST, a sentence for a person, and what to do about it.
use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong for a caller. Each has a stable [`Error::code`]; [`Error::Internal`] is logged where it is answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{why}")]
    BadFrame { why: Cow<'static, str>, field: Option<&'static str> },
    #[error("{why}")]
    BadPayload { why: Cow<'static, str>, field: Option<&'static str> },
    #[error("At most {limit} characters.")]
    TooLong { limit: usize, field: Option<&'static str> },
    #[error("At most {limit} bytes as it is stored.")]
    TooLarge { limit: usize, field: Option<&'static str> },
    #[error("There is nothing here, or it is not yours.")]
    NotFound,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("Too many at once. Wait a moment and try again.")]
    RateLimited { after: Duration },
    #[error("This has ended. What was written stays readable.")]
    Closed,
    #[error("{0}")]
    Conflict(&'static str),
    #[error("You are in a talk already. Go back to it, or end it first.")]
    AlreadyInSession,
    #[error("Confirm your age and the rules first.")]
    AgeGate,
    #[error("A moderator has taken your right to write for now.")]
    Muted { after: Option<Duration> },
    #[error("You can't chat here: a moderator has banned you.")]
    Banned { after: Option<Duration> },
    #[error("Your session has ended. Load the page again for a new one.")]
    SessionEnded,
    #[error("We can't do this right now. Nothing was lost; try again in a moment.")]
    Unavailable,
    #[error("Something went wrong on our side. Nothing was lost; try again.")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A frame or request that does not have the documented shape.
    pub fn bad_frame(why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadFrame { why: why.into(), field: None }
    }

    /// A field of a frame or request that is out of its bounds.
    pub fn bad_field(field: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadFrame { why: why.into(), field: Some(field) }
    }

    /// A payload that is refused; it is never changed silently.
    pub fn bad_payload(field: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadPayload { why: why.into(), field: Some(field) }
    }

    /// A failure that is ours to find: logged in full, answered as `internal`.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// The stable code of docs/WIRE.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadFrame { .. } => "bad_frame",
            Self::BadPayload { .. } => "bad_payload",
            Self::TooLong { .. } | Self::TooLarge { .. } => "too_long",
            Self::NotFound => "not_found",
            Self::Forbidden(_) => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::Closed => "closed",
            Self::Conflict(_) => "conflict",
            Self::AlreadyInSession => "already_in_session",
            Self::AgeGate => "age_gate",
            Self::Muted { .. } => "muted",
            Self::Banned { .. } => "banned",
            Self::SessionEnded => "session_ended",
            Self::Unavailable => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// The field of the request that was refused, if it was one field.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadFrame { field, .. }
            | Self::BadPayload { field, .. }
            | Self::TooLong { field, .. }
            | Self::TooLarge { field, .. } => *field,
            _ => None,
        }
    }

    /// How long to wait before trying again, in milliseconds, when waiting helps.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::RateLimited { after } | Self::Muted { after: Some(after) } | Self::Banned { after: Some(after) } => {
                Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1))
            }
            Self::Unavailable => Some(1_000),
            _ => None,
        }
    }

    /// The HTTP status of the same refusal.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadFrame { .. } => StatusCode::BAD_REQUEST,
            Self::BadPayload { .. } | Self::TooLong { .. } | Self::TooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden(_) | Self::AgeGate | Self::Muted { .. } | Self::Banned { .. } => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Closed | Self::Conflict(_) | Self::AlreadyInSession => StatusCode::CONFLICT,
            Self::SessionEnded => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs what is ours to find. Called once, where the error is answered.
    pub fn log(&self) {
        if let Self::Internal(cause) = self {
            tracing::error!(error.cause = %cause, "request failed");
        }
    }
}

impl From<sqlx::Error> for Error {
    /// A database that cannot be reached is `unavailable`; anything else it says is ours.
    fn from(error: sqlx::Error) -> Self {
        if crate::db::is_unreachable(&error) {
            crate::db::log_unreachable(&error);
            return Self::Unavailable;
        }
        Self::internal(error)
    }
}

/// `application/problem+json` (RFC 9457) with the socket's codes.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable name of the kind of problem: `about:blank#<code>`.
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
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        problem(self.status(), self.code(), self.to_string(), self.field(), self.retry_after_ms())
    }
}

/// An answer in `application/problem+json`, for errors of the transport that are no [`Error`] (403 for an origin, 405, …).
pub fn problem(
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<&'static str>,
    retry_after_ms: Option<u64>,
) -> Response {
    let body = Problem {
        kind: format!("about:blank#{code}"),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        code,
        detail,
        field,
        retry_after_ms,
    };
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(ms) = retry_after_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
    }
    response
}
