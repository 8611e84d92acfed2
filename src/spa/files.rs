//! Serves the files that the build made of `web/`.
use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::http::{CachedBody, Encoding, assets};

/// The client's page. It is never served as a file, because it has a language and a theme.
const PAGE: &str = "index.html";

/// For files below `assets/`, whose names carry a hash of their contents.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";
/// For the other files, which may change with the next version.
const CACHE_ONE_HOUR: &str = "public, max-age=3600";

/// Returns the routes of every public file. Other paths below `assets/` are unknown, as any others.
pub(super) fn router() -> Router<App> {
    FILES.keys().fold(Router::new(), |router, path| router.route(path, get(serve)))
}

/// Returns the source of the client's page. `None` if this binary was built without its client.
pub(super) fn page_source() -> Option<String> {
    Some(String::from_utf8_lossy(&assets::contents(PAGE)?).into_owned())
}

async fn serve(request: Request) -> Response {
    let Some(file) = FILES.get(request.uri().path()) else { return StatusCode::NOT_FOUND.into_response() };
    file.body.respond(request.headers(), file.cache_control, "")
}

struct File {
    body: CachedBody,
    cache_control: &'static str,
}

/// Every public file by its exact path: another spelling of a path is not found.
static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    let names = assets::names().filter(|name| is_public(name));
    names.filter_map(|name| Some((format!("/{name}"), load(&name)?))).collect()
});

fn is_public(name: &str) -> bool {
    name != PAGE && !name.ends_with(".br") && (name.starts_with("assets/") || !name.contains('/'))
}

/// Loads a file with the brotli copy that the build put beside it where that is smaller, and
/// compresses it in the other codings.
fn load(name: &str) -> Option<File> {
    let cache_control = if name.starts_with("assets/") { CACHE_FOREVER } else { CACHE_ONE_HOUR };
    let media_type = media_type(name);
    let plain = CachedBody::new(assets::contents(name)?, media_type);
    let body = match assets::contents(&format!("{name}.br")) {
        Some(brotli) => plain.with_encoding(Encoding::Brotli, brotli),
        None => plain,
    };
    // The formats of pictures and fonts are compressed already.
    let is_compressed = media_type.starts_with("image/png")
        || media_type.starts_with("font/")
        || media_type == "application/octet-stream";
    Some(File { body: if is_compressed { body } else { body.compressed() }, cache_control })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
