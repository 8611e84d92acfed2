//! Bodies that caches may store: each with its `ETag`, and compressed once for all clients.
use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::locale::{header_list, with_weights};

/// The media type of pages.
pub const HTML: &str = "text/html; charset=utf-8";

/// A body with its `ETag`, which a cache may store and revalidate with `If-None-Match`.
#[derive(Clone, Debug)]
pub struct CachedBody {
    plain: Variant,
    /// Compressed copies, in the order of preference for clients that accept several equally.
    encoded: Vec<Encoded>,
    media_type: &'static str,
}

#[derive(Clone, Debug)]
struct Variant {
    body: Bytes,
    etag: HeaderValue,
}

#[derive(Clone, Debug)]
struct Encoded {
    encoding: Encoding,
    variant: Variant,
}

/// A content coding. The one with the smallest result comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Returns the name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Compresses a body. The levels take some milliseconds for a page; higher levels gain little
    /// on texts this short.
    fn compress(self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let settings = brotli::enc::BrotliEncoderParams { quality: 6, ..Default::default() };
                let mut compressed = Vec::new();
                brotli::BrotliCompress(&mut &*body, &mut compressed, &settings)?;
                Ok(compressed)
            }
            Self::Zstd => zstd::bulk::compress(body, 12),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(7));
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }
}

impl CachedBody {
    /// Creates a body of a media type. Its `ETag` is a hash of its bytes.
    pub fn new(body: impl Into<Bytes>, media_type: &'static str) -> Self {
        Self { plain: Variant::of(body.into()), encoded: Vec::new(), media_type }
    }

    /// Adds a compressed copy. Another coding is another representation, so it has its own `ETag`
    /// (RFC 9110 section 8.8.3.3).
    pub fn with_encoding(mut self, encoding: Encoding, body: impl Into<Bytes>) -> Self {
        self.encoded.push(Encoded { encoding, variant: Variant::of(body.into()) });
        self.encoded.sort_by_key(|encoded| encoded.encoding);
        self
    }

    /// Adds a copy in every coding that is missing and makes the body smaller.
    ///
    /// The copies are made once for all clients. Never use this for a body that holds a secret
    /// beside text that its reader chose (BREACH).
    pub fn compressed(mut self) -> Self {
        for encoding in Encoding::ALL {
            if self.encoded.iter().any(|encoded| encoded.encoding == encoding) {
                continue;
            }
            match encoding.compress(&self.plain.body) {
                Ok(body) if body.len() < self.plain.body.len() => self = self.with_encoding(encoding, body),
                _ => {}
            }
        }
        self
    }

    /// Returns the response to a request: the body in the coding that the client prefers, or 304
    /// if the client's copy is current.
    ///
    /// `vary` names the request headers that selected this body, besides `Accept-Encoding`.
    pub fn respond(&self, request: &HeaderMap, cache_control: &'static str, vary: &'static str) -> Response {
        let encoded = self.preferred(request);
        let variant = encoded.map_or(&self.plain, |encoded| &encoded.variant);
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::ETAG, variant.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        let varies: [(HeaderName, &str); 2] = [(header::VARY, vary), (header::VARY, "Accept-Encoding")];
        for (name, value) in varies.into_iter().filter(|(_, value)| !value.is_empty()) {
            headers.append(name, HeaderValue::from_static(value));
        }
        if variant.is_current_for(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if let Some(encoded) = encoded {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoded.encoding.name()));
        }
        (headers, variant.body.clone()).into_response()
    }

    /// Returns a response with this body and another status than 200, which no cache stores.
    pub fn respond_with_status(&self, status: StatusCode, request: &HeaderMap, vary: &'static str) -> Response {
        // Only `Accept-Encoding` counts: an error is never answered 304.
        let mut accepted = HeaderMap::new();
        for line in request.get_all(header::ACCEPT_ENCODING) {
            accepted.append(header::ACCEPT_ENCODING, line.clone());
        }
        let mut response = self.respond(&accepted, "no-store", vary);
        response.headers_mut().remove(header::ETAG);
        *response.status_mut() = status;
        response
    }

    /// Returns the copy that the client prefers by its weights (RFC 9110 section 12.5.3), the
    /// smaller of equals.
    ///
    /// `None` if the client accepts none of our codings, or prefers the plain body.
    fn preferred(&self, request: &HeaderMap) -> Option<&Encoded> {
        let accepted: Vec<(&str, f32)> =
            header_list(request, &header::ACCEPT_ENCODING).flat_map(with_weights).collect();
        let weight_of = |name: &str| {
            accepted.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight)
        };
        let plain = weight_of("identity").unwrap_or(0.0);
        let mut best: Option<(&Encoded, f32)> = None;
        for encoded in &self.encoded {
            let weight = weight_of(encoded.encoding.name()).or_else(|| weight_of("*")).unwrap_or(0.0);
            if weight > 0.0 && weight >= plain && best.is_none_or(|(_, highest)| weight > highest) {
                best = Some((encoded, weight));
            }
        }
        best.map(|(encoded, _)| encoded)
    }
}

impl Variant {
    fn of(body: Bytes) -> Self {
        let hash = Sha256::digest(&body);
        let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, etag }
    }

    /// Returns `true` if `If-None-Match` names this variant. The comparison is weak, as RFC 9110
    /// section 13.1.2 asks.
    fn is_current_for(&self, request: &HeaderMap) -> bool {
        header_list(request, &header::IF_NONE_MATCH)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.etag.as_bytes())
    }
}
