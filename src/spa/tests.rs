//! The files and pages of the client, and what pages share.
use std::io::Read as _;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};

use super::{Coding, Look, Tagged, Theme, files};
use crate::locale::Locale;
use crate::testing;

/// Built for work on the server alone: there is no client to test.
const NO_CLIENT: bool = option_env!("MAJU_SKIP_WEB").is_some();

fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

#[test]
fn a_look_is_what_was_chosen() {
    let asked = headers(&[(header::COOKIE, "maju_theme=dark; maju_locale=ko"), (header::ACCEPT_LANGUAGE, "en")]);
    assert_eq!(Look::of(&asked), Look { locale: Locale::Ko, theme: Theme::Dark });
    let asked = headers(&[(header::COOKIE, "maju_theme=plaid"), (header::ACCEPT_LANGUAGE, "ko")]);
    assert_eq!(Look::of(&asked), Look { locale: Locale::Ko, theme: Theme::Auto });
    for (at, theme) in Theme::ALL.into_iter().enumerate() {
        assert_eq!(theme as usize, at);
    }
    assert_eq!(
        super::dressed("<html lang=\"ko\" data-theme=\"auto\">x", Look { locale: Locale::En, theme: Theme::Dark }),
        "<html lang=\"en\" data-theme=\"dark\">x"
    );
}

#[test]
fn a_page_links_the_styles_of_all_it_imports_each_once() {
    let manifest = br#"{
        "src/landing/main.ts": {"file": "assets/landing-1.js", "isEntry": true, "imports": ["_a.js", "_b.js"], "css": ["assets/landing-1.css"]},
        "_a.js": {"file": "assets/a-1.js", "imports": ["_b.js"], "css": ["assets/a-1.css"]},
        "_b.js": {"file": "assets/b-1.js", "imports": ["_a.js"], "css": ["assets/b-1.css"]}
    }"#;
    let entries = files::entries(manifest);
    assert_eq!(entries.len(), 1);
    let landing = &entries["src/landing/main.ts"];
    assert_eq!(landing.file, "/assets/landing-1.js");
    assert_eq!(landing.css, ["/assets/b-1.css", "/assets/a-1.css", "/assets/landing-1.css"]);
    assert!(files::entries(b"no manifest").is_empty());
}

#[tokio::test]
async fn a_body_is_sent_as_the_caller_takes_it() {
    let tagged = Tagged::new("plain", "text/plain").packed(Coding::Gzip, "gz").packed(Coding::Brotli, "packed");
    let answer = async |asked: &HeaderMap| {
        let response = tagged.answer(asked, "no-cache", "");
        let tag = response.headers()[header::ETAG].clone();
        (response.status(), tag, to_bytes(response.into_body(), 100).await.unwrap())
    };
    let (_, plain, body) = answer(&HeaderMap::new()).await;
    assert_eq!(body, "plain");
    let takes = |list| headers(&[(header::ACCEPT_ENCODING, list)]);
    for list in ["br", "gzip, BR", "gzip,br", "*", "gzip;q=0.5, *", "gzip;q=0.1, br;q=0.2", "identity;q=0.5, br"] {
        assert_eq!(answer(&takes(list)).await.2, "packed", "{list}");
    }
    for list in ["gzip", "gzip, br;q=0.1", "br;q=0, *", "deflate, gzip;q=0.001, zstd"] {
        assert_eq!(answer(&takes(list)).await.2, "gz", "{list}");
    }
    for list in ["br;q=0", "brotli", "zstd", "", "identity", "identity, br;q=0.5", "*;q=0"] {
        assert_eq!(answer(&takes(list)).await.2, "plain", "{list}");
    }
    let mut held = takes("br");
    held.insert(header::IF_NONE_MATCH, plain);
    assert_eq!(answer(&held).await.0, StatusCode::OK, "the plain copy is not the packed one");
    let small = Tagged::new("x", "text/plain").compressed().answer(&takes("zstd"), "no-cache", "");
    assert!(!small.headers().contains_key(header::CONTENT_ENCODING), "what does not shrink stays as it is");
}

/// What a compressed body is.
fn unpacked(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "br" => brotli::BrotliDecompress(&mut &*body, &mut plain).unwrap(),
        "gzip" => assert!(flate2::read::GzDecoder::new(body).read_to_end(&mut plain).is_ok()),
        "zstd" => plain = zstd::decode_all(body).unwrap(),
        other => panic!("{other}"),
    }
    plain
}

#[tokio::test]
async fn every_page_and_file_is_sent_compressed_to_those_who_take_it_so() {
    let node = testing::node().await;
    let mut paths = vec!["/", "/ko", "/nothing/here"];
    if !NO_CLIENT {
        paths.extend(["/chat", "/chat/s/1", &super::asset("src/landing/main.ts").unwrap().file]);
    }
    paths.extend(["/api/docs/swagger-ui.css", "/api/openapi.json"]);
    for path in paths {
        let ask = async |method: &str, headers: &[(header::HeaderName, &str)]| {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            node.send(request.body(Body::empty()).unwrap()).await
        };
        let plain = ask("GET", &[]).await;
        assert!(!plain.headers.contains_key(header::CONTENT_ENCODING), "{path}");
        assert!(plain.bytes.len() > 500, "{path}: {} bytes are no test", plain.bytes.len());
        let mut tags = vec![plain.headers.get(header::ETAG).cloned()];
        for coding in ["br", "gzip", "zstd"] {
            let packed = ask("GET", &[(header::ACCEPT_ENCODING, coding)]).await;
            assert_eq!(packed.headers[header::CONTENT_ENCODING], coding, "{path}");
            assert!(packed.bytes.len() * 10 < plain.bytes.len() * 9, "{path} {coding}: {} bytes", packed.bytes.len());
            assert!(unpacked(coding, &packed.bytes) == plain.bytes, "{path} {coding}");
            let varies: Vec<_> =
                packed.headers.get_all(header::VARY).iter().map(|line| line.to_str().unwrap()).collect();
            assert!(varies.join(",").to_lowercase().contains("accept-encoding"), "{path} {varies:?}");
            let head = ask("HEAD", &[(header::ACCEPT_ENCODING, coding)]).await;
            assert_eq!((head.status, head.bytes.len()), (packed.status, 0), "{path}");
            assert_eq!(
                head.headers.get(header::CONTENT_ENCODING),
                packed.headers.get(header::CONTENT_ENCODING),
                "{path}"
            );
            if let Some(tag) = packed.headers.get(header::ETAG) {
                let held = [(header::ACCEPT_ENCODING, coding), (header::IF_NONE_MATCH, tag.to_str().unwrap())];
                let same = ask("GET", &held).await;
                assert_eq!((same.status, same.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
                assert!(!tags.contains(&Some(tag.clone())), "{path}: a tag for each coding");
                tags.push(Some(tag.clone()));
            }
        }
    }
    let guest = node.newcomer("en").await;
    let request = Request::get("/api/v1/me")
        .header(header::COOKIE, &guest.cookie)
        .header(header::ACCEPT_ENCODING, "gzip, br, zstd");
    let me = node.send(request.body(Body::empty()).unwrap()).await;
    assert!(!me.headers.contains_key(header::CONTENT_ENCODING), "answers that hold somebody's own data stay plain");
}

#[tokio::test]
async fn files_are_sent_in_brotli_and_kept_for_good() {
    if NO_CLIENT {
        return;
    }
    let node = testing::node().await;
    let entry = super::asset("src/landing/main.ts").expect("the build has a landing entry");
    assert!(!entry.css.is_empty());
    let html = node.get("/").await.text;
    for file in entry.css.iter().chain([&entry.file]) {
        assert!(html.contains(&format!("\"{file}\"")), "{file}");
        let plain = node.get(file).await;
        assert_eq!(
            (plain.status, &plain.headers[header::CACHE_CONTROL]),
            (StatusCode::OK, &HeaderValue::from_static("public, max-age=31536000, immutable"))
        );
        let request = Request::get(file).header(header::ACCEPT_ENCODING, "gzip, br");
        let packed = node.send(request.body(Body::empty()).unwrap()).await;
        if plain.bytes.len() > 1024 {
            assert_eq!(packed.headers[header::CONTENT_ENCODING], "br", "{file}");
            assert!(packed.bytes.len() < plain.bytes.len());
        }
        let request = Request::get(file).header(header::IF_NONE_MATCH, &plain.headers[header::ETAG]);
        assert_eq!(node.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn the_clients_page_speaks_the_readers_language_from_its_first_byte() {
    if NO_CLIENT {
        return;
    }
    let node = testing::node().await;
    for path in ["/chat", "/chat/", "/chat/s/1"] {
        let request =
            Request::get(path).header(header::ACCEPT_LANGUAGE, "en").header(header::COOKIE, "maju_theme=light");
        let page = node.send(request.body(Body::empty()).unwrap()).await;
        assert!(page.text.contains(r#"<html lang="en" data-theme="light">"#), "{path}");
        assert_eq!(page.headers[header::CACHE_CONTROL], "private, no-cache");
        assert!(!page.headers.contains_key(header::SET_COOKIE));
    }
}
