//! The editor of the pages: the list of sections, their forms, previews, publishing and history.
mod conflict;
mod diff;
mod editor;
mod fields;
mod form;
mod group;
mod history;
mod list;
mod presence;
mod preview;
mod publish;
mod save;
mod store;
#[cfg(test)]
pub(super) mod tests;
mod times;
mod values;

use axum::Router;
use axum::extract::Path;
use axum::response::Redirect;
use axum::routing::{get, post};

use crate::app::App;

pub(super) use times::{Zone, instant};

/// Returns the routes of the editor and of the previews.
pub(super) fn pages() -> Router<App> {
    Router::new()
        .route("/admin/pages", get(|| async { Redirect::to("/admin/pages/landing") }))
        .route("/admin/pages/{page}", get(list::page))
        .route("/admin/pages/{page}/order", get(back_to_page).post(list::order))
        .route("/admin/pages/{page}/visible", get(back_to_page).post(list::set_visible))
        .route("/admin/pages/{page}/add", get(list::kinds).post(list::add))
        .route("/admin/pages/{page}/restore", get(back_to_page).post(list::restore_deleted))
        .route("/admin/pages/{page}/{group}", get(editor::page).post(save::save))
        .route("/admin/pages/{page}/{group}/resolve", get(back_to_editor).post(conflict::resolve))
        .route("/admin/pages/{page}/{group}/here", post(presence::beat))
        .route("/admin/pages/{page}/{group}/publish", get(publish::page).post(publish::publish))
        .route("/admin/pages/{page}/{group}/unpublish", get(publish::unpublish_page).post(publish::unpublish))
        .route("/admin/pages/{page}/{group}/cancel", get(back_to_editor).post(publish::cancel))
        .route("/admin/pages/{page}/{group}/restore", get(back_to_editor).post(history::restore))
        .route("/admin/pages/{page}/{group}/delete", get(back_to_editor).post(list::delete))
        .route("/preview/{token}", get(preview::page))
}

/// Redirects a reader who opens the address of an action, for example after a sign-in, to its page.
async fn back_to_page(Path(page): Path<String>) -> Redirect {
    Redirect::to(&format!("/admin/pages/{page}"))
}

async fn back_to_editor(Path((page, group)): Path<(String, String)>) -> Redirect {
    Redirect::to(&format!("/admin/pages/{page}/{group}"))
}
