//! Bodies that caches may keep: each with its tag, and compressed once for all who take it so.
use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::locale::{listed, weighted};

/// The media type of pages.
pub const HTML: &str = "text/html; charset=utf-8";

/// A body with its tag: what a cache may keep, and ask for again with `If-None-Match`.
#[derive(Clone, Debug)]
pub struct Tagged {
    plain: Variant,
    /// The same, compressed: in the order in which they are sent to those who take several alike.
    packed: Vec<Packed>,
    kind: &'static str,
}

#[derive(Clone, Debug)]
struct Variant {
    body: Bytes,
    tag: HeaderValue,
}

#[derive(Clone, Debug)]
struct Packed {
    coding: Coding,
    variant: Variant,
}

/// A way to compress, the smallest result first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Compresses a body. The levels take some milliseconds for a page: higher ones gain little on texts this short.
    fn compress(self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let settings = brotli::enc::BrotliEncoderParams { quality: 6, ..Default::default() };
                let mut packed = Vec::new();
                brotli::BrotliCompress(&mut &*body, &mut packed, &settings)?;
                Ok(packed)
            }
            Self::Zstd => zstd::bulk::compress(body, 12),
            Self::Gzip => {
                let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::new(7));
                packed.write_all(body)?;
                packed.finish()
            }
        }
    }
}

impl Tagged {
    /// A body of a media type, tagged by its hash.
    pub fn new(body: impl Into<Bytes>, kind: &'static str) -> Self {
        Self { plain: Variant::of(body.into()), packed: Vec::new(), kind }
    }

    /// The same body with a compressed copy of it. Another coding is another representation, so it has its own tag
    /// (RFC 9110 section 8.8.3.3).
    pub fn packed(mut self, coding: Coding, body: impl Into<Bytes>) -> Self {
        self.packed.push(Packed { coding, variant: Variant::of(body.into()) });
        self.packed.sort_by_key(|packed| packed.coding);
        self
    }

    /// The same body with copies in every coding that it has none of yet and that makes it smaller. Once for all who ask: never for
    /// a body that holds a secret beside something its reader chose (BREACH).
    pub fn compressed(mut self) -> Self {
        for coding in Coding::ALL {
            if self.packed.iter().any(|packed| packed.coding == coding) {
                continue;
            }
            match coding.compress(&self.plain.body) {
                Ok(body) if body.len() < self.plain.body.len() => self = self.packed(coding, body),
                _ => {}
            }
        }
        self
    }

    /// The answer to a request: the body as the caller takes it, or 304 when the caller's copy is this one.
    /// `vary` names the headers that chose this body, besides `Accept-Encoding`.
    pub fn answer(&self, asked: &HeaderMap, caching: &'static str, vary: &'static str) -> Response {
        let packed = self.chosen(asked);
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
            fixed.insert(header::CONTENT_ENCODING, HeaderValue::from_static(packed.coding.name()));
        }
        (fixed, variant.body.clone()).into_response()
    }

    /// The same body under a status of its own, which no cache keeps.
    pub fn answer_as(&self, status: StatusCode, asked: &HeaderMap, vary: &'static str) -> Response {
        let mut codings = HeaderMap::new();
        for line in asked.get_all(header::ACCEPT_ENCODING) {
            codings.append(header::ACCEPT_ENCODING, line.clone());
        }
        let mut answer = self.answer(&codings, "no-store", vary);
        answer.headers_mut().remove(header::ETAG);
        *answer.status_mut() = status;
        answer
    }

    /// The copy that a caller would rather have, by its weights (RFC 9110 section 12.5.3); the smaller of equals. None: the
    /// plain body, for those who name no coding of ours or would rather have it plain.
    fn chosen(&self, asked: &HeaderMap) -> Option<&Packed> {
        let named: Vec<(&str, f32)> = listed(asked, &header::ACCEPT_ENCODING).flat_map(weighted).collect();
        let said =
            |name: &str| named.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
        let plain = said("identity").unwrap_or(0.0);
        let mut best: Option<(&Packed, f32)> = None;
        for packed in &self.packed {
            let weight = said(packed.coding.name()).or_else(|| said("*")).unwrap_or(0.0);
            if weight > 0.0 && weight >= plain && best.is_none_or(|(_, most)| weight > most) {
                best = Some((packed, weight));
            }
        }
        best.map(|(packed, _)| packed)
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
