//! Request parts whose refusals are the product's own errors.
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::Error;

/// A JSON body, in and out. Refused as `bad_frame`, or `too_long` past the body limit.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Error))]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A query string. Refused as `bad_frame`.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Error))]
pub struct Query<T>(pub T);

/// Parameters of the path. One that cannot be read names nothing: `not_found`.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub struct Path<T>(pub T);

impl From<JsonRejection> for Error {
    fn from(why: JsonRejection) -> Self {
        if why.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            return Self::TooLarge { limit: 64 * 1_024, field: None };
        }
        Self::bad_frame(why.body_text())
    }
}

impl From<QueryRejection> for Error {
    fn from(why: QueryRejection) -> Self {
        Self::bad_frame(why.body_text())
    }
}

impl From<PathRejection> for Error {
    fn from(_: PathRejection) -> Self {
        Self::NotFound
    }
}
