//! The dashboard: the start page of the back-office.
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::desk::{Area, Desk};
use crate::error::Result;
use crate::locale::AdminStrings;

#[derive(Template)]
#[template(path = "admin/dashboard.html")]
struct Dashboard {
    t: &'static AdminStrings,
}

pub(super) async fn page(desk: Desk) -> Result<Response> {
    let t = desk.t();
    desk.respond(StatusCode::OK, Area::Dashboard, &[], t.shell.dashboard, &Dashboard { t }).await
}
