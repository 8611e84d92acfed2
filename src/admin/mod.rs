//! The back-office: pages for staff, as forms that work without JavaScript; scripts make them
//! quicker. It holds no rules of a noun: it reads and writes through their verbs.
mod api;
mod audit_api;
mod audit_export;
mod audit_log;
mod banners;
mod chart;
mod dashboard;
mod desk;
mod figures;
mod format;
mod health;
mod images;
mod measure;
mod note;
mod numbers;
mod panels;
mod people;
mod person_acts;
mod sections;
mod sessions;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::app::App;

pub use api::api;
pub use state::State;

/// Bytes of a form without files.
const MAX_FORM_BYTES: usize = 256 * 1024;

/// Starts the tasks: the measurements of the dashboard, and the checks of the health page.
pub fn run(app: &App) {
    measure::run(app);
    health::run(app);
}

/// Returns the routes of the pages. They need the session layer and the layers that turn errors into
/// pages.
pub fn pages() -> Router<App> {
    let people = Router::new()
        .route("/admin/people", get(people::list))
        .route("/admin/people/{id}", get(people::person))
        .route("/admin/people/{id}/end-sessions", get(person_acts::ask_end).post(person_acts::end))
        .route("/admin/people/{id}/role", get(person_acts::ask_role).post(person_acts::change_role))
        .route("/admin/people/{id}/reset", get(person_acts::ask_reset).post(person_acts::reset))
        .route("/admin/sessions", get(sessions::list))
        .route("/admin/sessions/{id}/end", get(person_acts::ask_end_session).post(person_acts::end_session));
    let service = Router::new()
        .route("/admin", get(dashboard::page))
        .route("/admin/health", get(health::page))
        .route("/admin/settings", get(settings::page))
        .route("/admin/audit", get(audit_log::list))
        .route("/admin/audit.csv", get(audit_export::csv))
        .route("/admin/audit.jsonl", get(audit_export::json_lines))
        .route("/admin/audit/verify", post(audit_log::verify));
    people
        .merge(service)
        .merge(sections::pages())
        .merge(numbers::pages())
        .merge(banners::pages())
        .merge(images::routes())
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}
