//! Extractors whose rejections are the product's own errors.
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits;
use crate::error::Error;

/// A JSON body of a request or response. Rejects with `bad_frame`, or `too_long` above the body
/// limit.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Error))]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A query string. Rejects with `bad_frame`.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Error))]
pub struct Query<T>(pub T);

/// Parameters of the path. Rejects with `not_found`: a parameter that cannot be parsed names
/// nothing.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub struct Path<T>(pub T);

/// Deserializes an integer or null. `492.0` is an integer: JSON has one kind of number, and JSON
/// Schema counts it as an integer.
///
/// # Errors
/// The value is neither an integer nor null.
pub fn deserialize_integer<'de, D: Deserializer<'de>>(value: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Integer(i64),
        WithFraction(f64),
    }
    // Up to here, every integer is exact as a float.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    match Option::<Number>::deserialize(value)? {
        None => Ok(None),
        Some(Number::Integer(number)) => Ok(Some(number)),
        Some(Number::WithFraction(number)) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => {
            Ok(Some(number as i64))
        }
        Some(Number::WithFraction(_)) => Err(serde::de::Error::custom("a whole number was expected")),
    }
}

impl From<JsonRejection> for Error {
    fn from(why: JsonRejection) -> Self {
        if why.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            return Self::TooLarge { limit: limits::MAX_BODY_BYTES, field: None };
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "super::deserialize_integer")]
        seq: Option<i64>,
    }

    #[test]
    fn a_number_with_a_zero_fraction_is_an_integer() {
        let read = |json: &str| serde_json::from_str::<Body>(json).map(|body| body.seq).ok();
        assert_eq!(read("{}"), Some(None));
        assert_eq!(read(r#"{"seq":null}"#), Some(None));
        for (json, expected) in
            [("492", 492), ("492.0", 492), ("-3", -3), ("4.92e2", 492), ("9223372036854775807", i64::MAX)]
        {
            assert_eq!(read(&format!(r#"{{"seq":{json}}}"#)), Some(Some(expected)), "{json}");
        }
        for json in ["492.5", "1e300", "\"492\"", "true", "[]", "9223372036854775808"] {
            assert_eq!(read(&format!(r#"{{"seq":{json}}}"#)), None, "{json}");
        }
    }
}
