//! The back-office: pages for staff, as forms that work without JavaScript; scripts make them
//! quicker. It holds no rules of a noun: it reads and writes through their verbs.
mod banners;
mod dashboard;
mod desk;
mod note;
mod numbers;
mod sections;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

use crate::app::App;

/// Bytes of a form without files.
const MAX_FORM_BYTES: usize = 256 * 1024;

/// Returns the routes of the pages. They need the session layer and the layers that turn errors
/// into pages.
pub fn pages() -> Router<App> {
    Router::new()
        .route("/admin", get(dashboard::page))
        .merge(sections::pages())
        .merge(numbers::pages())
        .merge(banners::pages())
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}
