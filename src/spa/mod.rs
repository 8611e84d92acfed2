//! The web client inside the binary: its files, its page, and what every HTML page of the site shares. Knows no noun.
mod files;
mod look;
mod tagged;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use askama::Template;
use askama_web::WebTemplate;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;

pub use files::{Entry, asset};
pub use look::{Look, Theme};
pub use tagged::{HTML, Tagged};

/// The place in the client's page that carries the visitor's language and theme.
const PAGE_MARK: &str = r#"<html lang="ko" data-theme="auto">"#;

/// The client's files and its page.
pub fn router() -> Router<App> {
    let page = || get(page);
    files::router().route("/chat", page()).route("/chat/", page()).route("/chat/s/{id}", page())
}

/// The client's page, in the visitor's language and theme from its first byte.
async fn page(asked: HeaderMap) -> Response {
    static SOURCE: LazyLock<Option<String>> = LazyLock::new(files::page);
    let Some(source) = &*SOURCE else {
        return (StatusCode::SERVICE_UNAVAILABLE, "This binary was built without its web client.\n").into_response();
    };
    let page = Tagged::new(dressed(source, Look::of(&asked)), HTML);
    page.answer(&asked, "private, no-cache", "Cookie, Accept-Language")
}

fn dressed(source: &str, look: Look) -> String {
    let mark = format!(r#"<html lang="{}" data-theme="{}">"#, look.locale.tag(), look.theme.name());
    source.replacen(PAGE_MARK, &mark, 1)
}

#[derive(Template, WebTemplate)]
#[template(path = "not_found.html")]
struct NotFound {
    look: Look,
    entry: Option<&'static Entry>,
}

/// 404 as a page in the look of the site, for addresses that a person may have typed.
pub async fn not_found_page(asked: HeaderMap) -> Response {
    let page = NotFound { look: Look::of(&asked), entry: asset("src/landing/main.ts") };
    let fixed = [(header::CACHE_CONTROL, "no-store"), (header::VARY, "Cookie, Accept-Language")];
    (StatusCode::NOT_FOUND, fixed, page).into_response()
}
