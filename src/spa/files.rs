//! The files that the build made of `web/`, and which of them a page links.
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use serde::Deserialize;

use super::{Coding, Tagged};
use crate::app::App;

/// What the build made of `web/`. Always from the binary, in debug builds too: a request never reads a file system.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/web"]
struct Bundle;

/// The client's page: never served as a file, because it has a language and a theme.
const PAGE: &str = "index.html";

/// Names below `assets/` carry a hash of their contents; the other files may change with the next version.
const LASTING: &str = "public, max-age=31536000, immutable";
const PASSING: &str = "public, max-age=3600";

/// Routes to every file that may be asked for.
pub(super) fn router() -> Router<App> {
    let beside = FILES.keys().filter(|address| !address.starts_with("/assets/"));
    let router = Router::new().route("/assets/{*path}", get(serve));
    beside.fold(router, |router, address| router.route(address, get(serve)))
}

/// The source of the client's page. None when this binary has no client.
pub(super) fn page() -> Option<String> {
    Some(String::from_utf8_lossy(&Bundle::get(PAGE)?.data).into_owned())
}

async fn serve(request: Request) -> Response {
    let Some(file) = FILES.get(request.uri().path()) else {
        let never = [(header::CACHE_CONTROL, "no-store")];
        return (StatusCode::NOT_FOUND, never, "There is no such file.\n").into_response();
    };
    file.body.answer(request.headers(), file.caching, "")
}

/// What a page links for one entry of the build: its script and every stylesheet it needs, as addresses.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub file: String,
    pub css: Vec<String>,
}

/// The built files of an entry, named by its source (`src/landing/main.ts`). None when this binary has no client.
pub fn asset(entry: &str) -> Option<&'static Entry> {
    static ENTRIES: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
        let manifest = Bundle::get(".vite/manifest.json").map(|file| file.data);
        manifest.map(|json| entries(&json)).unwrap_or_default()
    });
    ENTRIES.get(entry)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    file: String,
    #[serde(default)]
    is_entry: bool,
    #[serde(default)]
    css: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
}

/// Reads a Vite manifest. What cannot be read has no entries: pages then go without their styles and a test fails.
pub(super) fn entries(manifest: &[u8]) -> HashMap<String, Entry> {
    let chunks: HashMap<String, Chunk> = serde_json::from_slice(manifest).unwrap_or_default();
    let named = chunks.iter().filter(|(_, chunk)| chunk.is_entry);
    let read = named.map(|(name, chunk)| {
        let mut css = Vec::new();
        styles(&chunks, name, &mut BTreeSet::new(), &mut css);
        (name.clone(), Entry { file: format!("/{}", chunk.file), css })
    });
    read.collect()
}

/// The stylesheets of a chunk, those of what it imports first: the order in which the build means them to apply.
fn styles<'a>(chunks: &'a HashMap<String, Chunk>, name: &'a str, seen: &mut BTreeSet<&'a str>, css: &mut Vec<String>) {
    let Some(chunk) = chunks.get(name).filter(|_| seen.insert(name)) else { return };
    for import in &chunk.imports {
        styles(chunks, import, seen, css);
    }
    css.extend(chunk.css.iter().map(|file| format!("/{file}")));
}

struct File {
    body: Tagged,
    caching: &'static str,
}

/// Every file that may be asked for, by its exact address: another spelling of it is another address, and not there.
static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    let names = Bundle::iter().filter(|name| is_public(name));
    names.filter_map(|name| Some((format!("/{name}"), file(&name)?))).collect()
});

fn is_public(name: &str) -> bool {
    name != PAGE && !name.ends_with(".br") && (name.starts_with("assets/") || !name.contains('/'))
}

/// A file, with the brotli copy that the build left beside it where it found that worth it, and the other codings made now.
fn file(name: &str) -> Option<File> {
    let caching = if name.starts_with("assets/") { LASTING } else { PASSING };
    let kind = media_type(name);
    let plain = Tagged::new(contents(Bundle::get(name)?.data), kind);
    let body = match Bundle::get(&format!("{name}.br")) {
        Some(packed) => plain.packed(Coding::Brotli, contents(packed.data)),
        None => plain,
    };
    // Pictures and fonts are compressed as they are.
    let is_packed = kind.starts_with("image/png") || kind.starts_with("font/") || kind == "application/octet-stream";
    Some(File { body: if is_packed { body } else { body.compressed() }, caching })
}

fn contents(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
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
