//! Who has a section's editor open. It is a hint and no lock: nobody waits for anybody.
use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::store;
use crate::accounts::{Form, Role};
use crate::admin::desk::Desk;
use crate::error::Result;

/// After this time without a sign of life, an editor is not shown any more. Open pages send one
/// each 15 s; a page without JavaScript is only seen when it is loaded.
const LEASE: Duration = Duration::from_secs(40);
/// The most names that are shown.
const MOST: i64 = 5;

/// Notes that the reader has a section open, and returns who else has.
///
/// # Errors
/// `unavailable`.
pub(super) async fn seen(desk: &Desk, group: Uuid) -> Result<Vec<String>> {
    let now = desk.app.clock.now();
    let handle = &desk.staff.account.handle;
    store::touch(&desk.app.db, group, handle, now, now - LEASE).await?;
    Ok(store::others(&desk.app.db, group, handle, now - LEASE, MOST).await?)
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// A sign of life of an open page. The answer is the sentence about the others.
pub(super) async fn beat(
    desk: Desk,
    Path((_, group)): Path<(String, Uuid)>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let others = seen(&desk, group).await?;
    let sentence = if others.is_empty() { String::new() } else { (desk.t().sections.also_here)(&others) };
    Ok(Json(json!({ "others": sentence })).into_response())
}
