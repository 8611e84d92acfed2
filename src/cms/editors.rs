//! Who calls the routes of editors, and what their bodies share.
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::sections::Editor;
use crate::accounts::{Role, Staff};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::ClientIp;

/// An editor or an admin, on a route of the API.
///
/// Rejects as [`Staff`] does: 401 for a guest, 404 for members and for other staff.
pub(super) struct Caller {
    staff: Staff,
    prefix_hash: Vec<u8>,
}

impl Caller {
    /// Returns the caller as the verbs take it.
    pub(super) fn editor(&self) -> Editor<'_> {
        Editor { who: &self.staff.visitor, prefix_hash: &self.prefix_hash }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let staff = Staff::from_request_parts(parts, app).await?.require(Role::Editor)?;
        let prefix = ClientIp::from_request_parts(parts, app).await?.prefix();
        Ok(Self { staff, prefix_hash: app.accounts.prefix_hash(prefix) })
    }
}

/// Parses a time of a request (RFC 3339).
///
/// # Errors
/// `bad_frame` with the field.
pub(super) fn timestamp(field: &'static str, text: &str) -> Result<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| Error::bad_field(field, "Write the time like 2026-12-01T09:00:00+09:00."))
}

/// Deserializes a field that can be left out or be null: `None` if it is left out.
///
/// # Errors
/// Those of the value.
pub(super) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(value).map(Some)
}
