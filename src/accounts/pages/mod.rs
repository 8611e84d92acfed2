//! The pages of sign-in and account: forms that work without JavaScript.
//!
//! Every action is a POST with a form token and answers with 303. What it did is said by the next
//! page. A form that is refused is shown again, with what was entered except secrets.
mod changes;
mod failures;
mod form;
mod language;
mod note;
mod overview;
mod page;
mod problems;
mod reader;
mod reset;
mod sign_in;
mod sign_in_end;
mod sign_up;
mod staff;
mod store;
#[cfg(test)]
mod tests;
mod times;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use uuid::Uuid;

use super::limits::MAX_FORM_BYTES;
use super::{Alias, Visitor};
use crate::app::App;
use crate::error::Result;

pub use failures::failures_as_pages;
pub use form::{Form, form_key, form_token, is_form_token};
pub use staff::Staff;

/// What the pages show of nouns that accounts do not know. The router hands it in.
#[derive(Clone, Copy)]
pub struct PageHooks {
    /// The page for an address that does not exist. A page that a member must not know of is
    /// answered with the same.
    pub not_found: fn(HeaderMap) -> BoxFuture<'static, Response>,
    /// The people whom a visitor blocked.
    pub blocked: for<'a> fn(&'a App, &'a Visitor) -> BoxFuture<'a, Result<Vec<BlockedPerson>>>,
    /// Takes a block back. `not_found` if the visitor made no such block.
    pub unblock: for<'a> fn(&'a App, &'a Visitor, Uuid) -> BoxFuture<'a, Result<()>>,
}

/// Somebody whom the owner of an account blocked.
pub struct BlockedPerson {
    /// The id of the block.
    pub id: Uuid,
    /// How the person was seen then. `None` if that is not known any more.
    pub alias: Option<Alias>,
    /// The name that the person had chosen.
    pub name: Option<String>,
    pub at: OffsetDateTime,
}

/// Returns the routes of the pages. They need the session layer, an [`axum::Extension`] with
/// [`PageHooks`] and one with [`super::TalkHooks`].
pub fn pages() -> Router<App> {
    let sign_in = Router::new()
        .route("/signin", get(sign_in::handle).post(sign_in::choose_handle))
        .route("/signin/talk", get(sign_in::open_talk))
        .route("/signin/leave", post(sign_in::leave_talk))
        .route("/signin/password", get(sign_in::password).post(sign_in::prove_password))
        .route("/signin/elsewhere", get(sign_in_end::elsewhere).post(sign_in_end::use_here))
        .route("/signin/verify", get(sign_in_end::verify).post(sign_in_end::go_to_verifier))
        .route("/signin/{step}", get(sign_in::code).post(sign_in::prove_code))
        .route("/signup", get(sign_up::page).post(sign_up::create))
        .route("/reset", get(reset::page).post(reset::ask))
        .route("/reset/{token}", get(reset::link).post(reset::choose_password))
        .route("/verify-email/{token}", get(reset::email_link).post(reset::confirm_email))
        .route("/sign-out", get(back_to("/account")).post(overview::sign_out))
        .route("/language", post(language::choose));
    let account = Router::new()
        .route("/account", get(overview::page))
        .route("/account/name", get(changes::name).post(changes::change_name))
        .route("/account/email", get(changes::email).post(changes::change_email))
        .route("/account/password", get(changes::password).post(changes::change_password))
        .route("/account/pin", get(changes::pin).post(changes::set_pin))
        .route("/account/pin/remove", get(changes::pin_removal).post(changes::remove_pin))
        .route("/account/totp", get(changes::totp).post(changes::begin_totp))
        .route("/account/totp/confirm", get(back_to("/account/totp")).post(changes::confirm_totp))
        .route("/account/totp/remove", get(changes::totp_removal).post(changes::remove_totp))
        .route("/account/recovery-codes", get(changes::recovery_codes).post(changes::renew_recovery_codes))
        .route("/account/sessions/end", get(back_to("/account")).post(overview::end_sessions))
        .route("/account/blocks/{id}/remove", get(back_to("/account")).post(overview::unblock))
        .route("/account/delete", get(back_to("/account")).post(overview::delete))
        .route("/account/delete/undo", get(back_to("/account")).post(overview::undo_deletion));
    let setup = Router::new().route("/admin/setup", get(staff::setup).post(staff::create_first_admin));
    sign_in.merge(account).merge(setup).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Answers a reader who opens the address of an action, for example after a sign-in: redirects to
/// the page with its form.
fn back_to(path: &'static str) -> impl Fn() -> std::future::Ready<Response> + Clone {
    move || std::future::ready(Redirect::to(path).into_response())
}
