//! The choice of a language, for readers without JavaScript too.
use axum::Form;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use crate::accounts::next_path;
use crate::app::App;
use crate::locale::Locale;

/// How long the choice is kept, in seconds: a year.
const MAX_AGE_SECS: u32 = 31_536_000;

#[derive(Deserialize)]
pub(super) struct Choice {
    locale: Locale,
    #[serde(default)]
    back: String,
}

/// Stores the language in the cookie that the client reads too, and returns to the page. It needs no
/// session and changes nothing of one, so it has no form token; the origin is checked.
pub(super) async fn choose(State(app): State<App>, Form(choice): Form<Choice>) -> Response {
    let secure = if app.config.site.secure { "; Secure" } else { "" };
    let tag = choice.locale.tag();
    let cookie = format!("maju_locale={tag}; Path=/; Max-Age={MAX_AGE_SECS}; SameSite=Lax{secure}");
    let back = next_path(&choice.back).unwrap_or_else(|| format!("/{tag}"));
    ([(header::SET_COOKIE, cookie)], Redirect::to(&back)).into_response()
}
