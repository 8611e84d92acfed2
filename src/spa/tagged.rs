//! Bodies that caches may keep: each with its tag, and compressed once for all who take it so.
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::locale::{listed, weighted};

/// The media type of pages.
pub const HTML: &str = "text/html; charset=utf-8";

/// A body with its tag: what a cache may keep, and ask for again with `If-None-Match`.
#[derive(Clone, Debug)]
pub struct Tagged {
    plain: Variant,
    /// The same, compressed.
    packed: Option<Packed>,
    kind: &'static str,
}

#[derive(Clone, Debug)]
struct Variant {
    body: Bytes,
    tag: HeaderValue,
}

#[derive(Clone, Debug)]
struct Packed {
    /// The name in `Accept-Encoding` and `Content-Encoding`.
    coding: &'static str,
    variant: Variant,
}

impl Tagged {
    /// A body of a media type, tagged by its hash.
    pub fn new(body: impl Into<Bytes>, kind: &'static str) -> Self {
        Self { plain: Variant::of(body.into()), packed: None, kind }
    }

    /// The same body with a compressed copy of it. Another coding is another representation, so it has its own tag
    /// (RFC 9110 section 8.8.3.3).
    pub fn packed(self, coding: &'static str, body: impl Into<Bytes>) -> Self {
        Self { packed: Some(Packed { coding, variant: Variant::of(body.into()) }), ..self }
    }

    /// The same body with a copy in zstd (RFC 8878), for what is made while the server runs.
    pub fn zstd(self) -> Self {
        // About a millisecond for a page; higher levels gain little on texts this short.
        const LEVEL: i32 = 12;
        match zstd::bulk::compress(&self.plain.body, LEVEL) {
            Ok(body) if body.len() < self.plain.body.len() => self.packed("zstd", body),
            _ => self,
        }
    }

    /// The answer to a request: the body as the caller takes it, or 304 when the caller's copy is this one.
    /// `vary` names the headers that chose this body, besides `Accept-Encoding`.
    pub fn answer(&self, asked: &HeaderMap, caching: &'static str, vary: &'static str) -> Response {
        let packed = self.packed.as_ref().filter(|packed| takes(asked, packed.coding));
        let variant = packed.map_or(&self.plain, |packed| &packed.variant);
        let mut fixed = HeaderMap::with_capacity(6);
        fixed.insert(header::ETAG, variant.tag.clone());
        fixed.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        let varies: [(HeaderName, &str); 2] = [(header::VARY, vary), (header::VARY, "Accept-Encoding")];
        for (name, value) in varies.into_iter().filter(|(_, value)| !value.is_empty()) {
            fixed.append(name, HeaderValue::from_static(value));
        }
        if variant.is_held_by(asked) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        fixed.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if let Some(packed) = packed {
            fixed.insert(header::CONTENT_ENCODING, HeaderValue::from_static(packed.coding));
        }
        (fixed, variant.body.clone()).into_response()
    }
}

impl Variant {
    fn of(body: Bytes) -> Self {
        let hash = Sha256::digest(&body);
        let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, tag }
    }

    /// Compares weakly, as RFC 9110 section 13.1.2 asks.
    fn is_held_by(&self, asked: &HeaderMap) -> bool {
        listed(asked, &header::IF_NONE_MATCH)
            .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held).as_bytes() == self.tag.as_bytes())
    }
}

/// Whether a caller takes a coding (RFC 9110 section 12.5.3). `*` is not read: who means brotli says so.
fn takes(asked: &HeaderMap, coding: &str) -> bool {
    listed(asked, &header::ACCEPT_ENCODING)
        .flat_map(weighted)
        .any(|(name, weight)| name.eq_ignore_ascii_case(coding) && weight > 0.0)
}
