//! The web client inside the binary: its files and its page. It knows no noun.
mod files;
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
use crate::http::{Appearance, CachedBody, HTML, Theme};
use crate::locale::{Locale, Strings};

/// The start tag in the client's page that receives the visitor's language and theme.
const HTML_TAG: &str = r#"<html lang="ko" data-theme="auto">"#;

/// The element in the client's page that receives what a browser without JavaScript shows.
const NO_SCRIPT: &str = "<noscript></noscript>";

/// The colours of the browser's own bars in the client's page: for a light device, and for a dark
/// one.
const LIGHT_BARS: &str = r##"(prefers-color-scheme: light)" content="#fbf9f4""##;
const DARK_BARS: &str = r##"(prefers-color-scheme: dark)" content="#14130f""##;

/// Returns the routes of the client's files and its page.
pub fn router() -> Router<App> {
    let page = || get(page);
    files::router().route("/chat", page()).route("/chat/", page()).route("/chat/s/{id}", page())
}

/// Serves the client's page, in the visitor's language and theme from its first byte.
async fn page(request: HeaderMap) -> Response {
    static PAGES: LazyLock<Option<HashMap<Appearance, CachedBody>>> = LazyLock::new(|| {
        let source = files::page_source()?;
        let page = |appearance| CachedBody::new(with_appearance(&source, appearance), HTML).compressed();
        Some(Appearance::all().map(|appearance| (appearance, page(appearance))).collect())
    });
    let Some(page) = PAGES.as_ref().and_then(|pages| pages.get(&Appearance::of(&request))) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "This binary was built without its web client.\n").into_response();
    };
    page.respond(&request, "private, no-cache", "Cookie, Accept-Language")
}

#[derive(Template)]
#[template(path = "no_script.html")]
struct NoScript {
    own: &'static Strings,
    /// The reader's language first.
    languages: Vec<&'static Strings>,
}

impl NoScript {
    fn of(locale: Locale) -> Self {
        let languages = std::iter::once(locale).chain(locale.others()).map(Locale::strings).collect();
        Self { own: locale.strings(), languages }
    }
}

/// Returns the client's page with a language and a theme in its `html` tag, and with its texts for
/// browsers without JavaScript. A chosen theme also decides the colour of the browser's bars,
/// whatever the device prefers.
fn with_appearance(source: &str, appearance: Appearance) -> String {
    let tag = format!(r#"<html lang="{}" data-theme="{}">"#, appearance.locale.tag(), appearance.theme.name());
    let no_script = NoScript::of(appearance.locale).render();
    let no_script =
        no_script.inspect_err(|why| tracing::error!(error.cause = %why, "cannot render the page without JavaScript"));
    let no_script = format!("<noscript>{}</noscript>", no_script.unwrap_or_default());
    let page = source.replacen(HTML_TAG, &tag, 1).replacen(NO_SCRIPT, &no_script, 1);
    match appearance.theme {
        Theme::Auto => page,
        Theme::Light => page.replacen(DARK_BARS, &DARK_BARS.replace("#14130f", "#fbf9f4"), 1),
        Theme::Dark => page.replacen(LIGHT_BARS, &LIGHT_BARS.replace("#fbf9f4", "#14130f"), 1),
    }
}
