//! Tests of content negotiation and conditional requests.
use axum::body::to_bytes;
use axum::http::{HeaderMap, StatusCode, header};

use super::headers;
use crate::http::{CachedBody, Encoding};

#[tokio::test]
async fn a_body_is_sent_in_the_encoding_that_the_client_prefers() {
    let cached = CachedBody::new("plain", "text/plain")
        .with_encoding(Encoding::Gzip, "gz")
        .with_encoding(Encoding::Brotli, "packed");
    let respond = async |request: &HeaderMap| {
        let response = cached.respond(request, "no-cache", "");
        let tag = response.headers()[header::ETAG].clone();
        (response.status(), tag, to_bytes(response.into_body(), 100).await.unwrap())
    };
    let (_, plain, body) = respond(&HeaderMap::new()).await;
    assert_eq!(body, "plain");
    let accepts = |list| headers(&[(header::ACCEPT_ENCODING, list)]);
    for list in ["br", "gzip, BR", "gzip,br", "*", "gzip;q=0.5, *", "gzip;q=0.1, br;q=0.2", "identity;q=0.5, br"] {
        assert_eq!(respond(&accepts(list)).await.2, "packed", "{list}");
    }
    for list in ["gzip", "gzip, br;q=0.1", "br;q=0, *", "deflate, gzip;q=0.001, zstd"] {
        assert_eq!(respond(&accepts(list)).await.2, "gz", "{list}");
    }
    for list in ["br;q=0", "brotli", "zstd", "", "identity", "identity, br;q=0.5", "*;q=0"] {
        assert_eq!(respond(&accepts(list)).await.2, "plain", "{list}");
    }
    let mut held = accepts("br");
    held.insert(header::IF_NONE_MATCH, plain);
    assert_eq!(respond(&held).await.0, StatusCode::OK, "the plain copy is not the compressed one");
    let small = CachedBody::new("x", "text/plain").compressed().respond(&accepts("zstd"), "no-cache", "");
    assert!(!small.headers().contains_key(header::CONTENT_ENCODING), "a body that does not become smaller stays plain");
}
