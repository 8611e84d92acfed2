//! The web client inside the binary: its files, its page, and what every HTML page of the site shares. Knows no noun.
mod files;
mod look;
mod tagged;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::locale::Locale;

pub use files::{Entry, asset};
pub use look::{Look, Theme};
pub use tagged::{Coding, HTML, Tagged};

/// The place in the client's page that carries the visitor's language and theme.
const PAGE_MARK: &str = r#"<html lang="ko" data-theme="auto">"#;

/// The client's files and its page.
pub fn router() -> Router<App> {
    let page = || get(page);
    files::router().route("/chat", page()).route("/chat/", page()).route("/chat/s/{id}", page())
}

/// The client's page, in the visitor's language and theme from its first byte.
async fn page(asked: HeaderMap) -> Response {
    static PAGES: LazyLock<Option<HashMap<Look, Tagged>>> = LazyLock::new(|| {
        let source = files::page()?;
        Some(looks().map(|look| (look, Tagged::new(dressed(&source, look), HTML).compressed())).collect())
    });
    let Some(page) = PAGES.as_ref().and_then(|pages| pages.get(&Look::of(&asked))) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "This binary was built without its web client.\n").into_response();
    };
    page.answer(&asked, "private, no-cache", "Cookie, Accept-Language")
}

/// Every language and theme.
fn looks() -> impl Iterator<Item = Look> {
    Locale::ALL.into_iter().flat_map(|locale| Theme::ALL.map(|theme| Look { locale, theme }))
}

fn dressed(source: &str, look: Look) -> String {
    let mark = format!(r#"<html lang="{}" data-theme="{}">"#, look.locale.tag(), look.theme.name());
    source.replacen(PAGE_MARK, &mark, 1)
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFound {
    look: Look,
    entry: Option<&'static Entry>,
}

/// 404 as a page in the look of the site, for addresses that a person may have typed.
pub async fn not_found_page(asked: HeaderMap) -> Response {
    static PAGES: LazyLock<HashMap<Look, Tagged>> = LazyLock::new(|| {
        let made = looks().filter_map(|look| {
            let page = NotFound { look, entry: asset("src/landing/main.ts") }.render();
            page.inspect_err(|why| tracing::error!(error.cause = %why, "a page cannot be made"))
                .ok()
                .map(|html| (look, html))
        });
        made.map(|(look, html)| (look, Tagged::new(html, HTML).compressed())).collect()
    });
    match PAGES.get(&Look::of(&asked)) {
        Some(page) => page.answer_as(StatusCode::NOT_FOUND, &asked, "Cookie, Accept-Language"),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
