//! The files that the build made of `web/`, embedded in the binary, and which of them a page links.
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use axum::body::Bytes;
use rust_embed::RustEmbed;
use serde::Deserialize;

/// The built client. Always read from the binary, in debug builds too: a request never reads a
/// file system.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/web"]
struct Bundle;

/// Returns the names of all files, such as `assets/chat-1a2b.js`.
pub fn names() -> impl Iterator<Item = Cow<'static, str>> {
    Bundle::iter()
}

/// Returns the contents of a file. `None` if the bundle has no file of that name.
pub fn contents(name: &str) -> Option<Bytes> {
    Some(match Bundle::get(name)?.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    })
}

/// What a page links for one entry of the build: its script and every stylesheet it needs, as
/// paths.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub script: String,
    pub stylesheets: Vec<String>,
}

/// Returns the built files of an entry, named by its source (`src/landing/main.ts`).
///
/// `None` if this binary was built without its client.
pub fn entry(source: &str) -> Option<&'static Entry> {
    static ENTRIES: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
        let manifest = Bundle::get(".vite/manifest.json").map(|file| file.data);
        manifest.map(|json| parse_manifest(&json)).unwrap_or_default()
    });
    ENTRIES.get(source)
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

/// Returns the entries of a Vite manifest. A manifest that cannot be parsed has none: pages then
/// have no styles, and a test fails.
pub(super) fn parse_manifest(manifest: &[u8]) -> HashMap<String, Entry> {
    let chunks: HashMap<String, Chunk> = serde_json::from_slice(manifest).unwrap_or_default();
    let entries = chunks.iter().filter(|(_, chunk)| chunk.is_entry);
    let parsed = entries.map(|(name, chunk)| {
        let mut stylesheets = Vec::new();
        collect_stylesheets(&chunks, name, &mut BTreeSet::new(), &mut stylesheets);
        (name.clone(), Entry { script: format!("/{}", chunk.file), stylesheets })
    });
    parsed.collect()
}

/// Collects the stylesheets of a chunk, those of its imports first: the order in which the build
/// wants them applied.
fn collect_stylesheets<'a>(
    chunks: &'a HashMap<String, Chunk>,
    name: &'a str,
    seen: &mut BTreeSet<&'a str>,
    stylesheets: &mut Vec<String>,
) {
    let Some(chunk) = chunks.get(name).filter(|_| seen.insert(name)) else { return };
    for import in &chunk.imports {
        collect_stylesheets(chunks, import, seen, stylesheets);
    }
    stylesheets.extend(chunk.css.iter().map(|file| format!("/{file}")));
}
