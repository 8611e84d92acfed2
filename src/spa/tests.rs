//! Tests of the client's files and page.
use std::io::Read as _;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};

use crate::http::{Appearance, Theme, assets};
use crate::locale::Locale;
use crate::testing;

/// Set if the binary was built for work on the server alone, without its client.
const NO_CLIENT: bool = option_env!("MAJU_SKIP_WEB").is_some();

#[test]
fn the_page_gets_its_language_and_theme() {
    let appearance = Appearance { locale: Locale::En, theme: Theme::Dark };
    assert_eq!(
        super::with_appearance("<html lang=\"ko\" data-theme=\"auto\">x", appearance),
        "<html lang=\"en\" data-theme=\"dark\">x"
    );
}

#[test]
fn a_chosen_theme_decides_the_colour_of_the_bars() {
    let without_client = || format!(r#"<meta media="{}" /><meta media="{}" />"#, super::LIGHT_BARS, super::DARK_BARS);
    let source = super::files::page_source();
    assert_eq!(source.is_none(), NO_CLIENT);
    let source = source.unwrap_or_else(without_client);
    let colours = |theme| {
        let page = super::with_appearance(&source, Appearance { locale: Locale::Ko, theme });
        [page.matches("content=\"#fbf9f4\"").count(), page.matches("content=\"#14130f\"").count()]
    };
    assert_eq!(Theme::ALL.map(colours), [[1, 1], [2, 0], [0, 2]]);
}

/// Decompresses a body.
fn decompressed(coding: &str, body: &[u8]) -> Vec<u8> {
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
async fn every_page_and_file_is_sent_in_an_encoding_that_the_client_accepts() {
    let node = testing::node().await;
    let mut paths = vec!["/", "/ko", "/en/privacy", "/nothing/here"];
    if !NO_CLIENT {
        paths.extend(["/chat", "/chat/s/1", &assets::entry("src/landing/main.ts").unwrap().script]);
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
        assert!(plain.bytes.len() > 500, "{path}: {} bytes are too few to test", plain.bytes.len());
        let mut tags = vec![plain.headers.get(header::ETAG).cloned()];
        for coding in ["br", "gzip", "zstd"] {
            let compressed = ask("GET", &[(header::ACCEPT_ENCODING, coding)]).await;
            assert_eq!(compressed.headers[header::CONTENT_ENCODING], coding, "{path}");
            assert!(
                compressed.bytes.len() * 10 < plain.bytes.len() * 9,
                "{path} {coding}: {} bytes",
                compressed.bytes.len()
            );
            assert!(decompressed(coding, &compressed.bytes) == plain.bytes, "{path} {coding}");
            let varies: Vec<_> =
                compressed.headers.get_all(header::VARY).iter().map(|line| line.to_str().unwrap()).collect();
            assert!(varies.join(",").to_lowercase().contains("accept-encoding"), "{path} {varies:?}");
            let head = ask("HEAD", &[(header::ACCEPT_ENCODING, coding)]).await;
            assert_eq!((head.status, head.bytes.len()), (compressed.status, 0), "{path}");
            assert_eq!(
                head.headers.get(header::CONTENT_ENCODING),
                compressed.headers.get(header::CONTENT_ENCODING),
                "{path}"
            );
            if let Some(tag) = compressed.headers.get(header::ETAG) {
                let held = [(header::ACCEPT_ENCODING, coding), (header::IF_NONE_MATCH, tag.to_str().unwrap())];
                let same = ask("GET", &held).await;
                assert_eq!((same.status, same.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
                assert!(!tags.contains(&Some(tag.clone())), "{path}: each coding has its own tag");
                tags.push(Some(tag.clone()));
            }
        }
    }
    let guest = node.newcomer("en").await;
    let request = Request::get("/api/v1/me")
        .header(header::COOKIE, &guest.cookie)
        .header(header::ACCEPT_ENCODING, "gzip, br, zstd");
    let me = node.send(request.body(Body::empty()).unwrap()).await;
    assert!(!me.headers.contains_key(header::CONTENT_ENCODING), "responses with private data stay plain");
}

#[tokio::test]
async fn files_are_sent_in_brotli_and_cached_forever() {
    if NO_CLIENT {
        return;
    }
    let node = testing::node().await;
    let entry = assets::entry("src/landing/main.ts").expect("the build has a landing entry");
    assert!(!entry.stylesheets.is_empty());
    let html = node.get("/en").await.text;
    for file in entry.stylesheets.iter().chain([&entry.script]) {
        assert!(html.contains(&format!("\"{file}\"")), "{file}");
        let plain = node.get(file).await;
        assert_eq!(
            (plain.status, &plain.headers[header::CACHE_CONTROL]),
            (StatusCode::OK, &HeaderValue::from_static("public, max-age=31536000, immutable"))
        );
        let request = Request::get(file).header(header::ACCEPT_ENCODING, "gzip, br");
        let compressed = node.send(request.body(Body::empty()).unwrap()).await;
        if plain.bytes.len() > 1024 {
            assert_eq!(compressed.headers[header::CONTENT_ENCODING], "br", "{file}");
            assert!(compressed.bytes.len() < plain.bytes.len());
        }
        let request = Request::get(file).header(header::IF_NONE_MATCH, &plain.headers[header::ETAG]);
        assert_eq!(node.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn the_clients_page_is_in_the_readers_language_from_its_first_byte() {
    if NO_CLIENT {
        return;
    }
    let node = testing::node().await;
    for path in ["/chat", "/chat/", "/chat/s/1"] {
        let request =
            Request::get(path).header(header::ACCEPT_LANGUAGE, "en").header(header::COOKIE, "maju_theme=light");
        let page = node.send(request.body(Body::empty()).unwrap()).await;
        assert!(page.text.contains(r#"<html lang="en" data-theme="light">"#), "{path}");
        let without_script = page.text.split("<noscript>").last().unwrap().split("</noscript>").next().unwrap();
        for part in ["<h1>Chatting needs JavaScript.</h1>", "<h2>대화하려면 자바스크립트가 필요해요.</h2>"]
        {
            assert!(without_script.contains(part), "{path}: {without_script}");
        }
        for link in ["/en", "/en/rules", "/en/privacy", "/en/contact", "/ko", "/chat"] {
            assert!(without_script.contains(&format!("href=\"{link}\"")), "{path}: {link}");
        }
        assert_eq!(page.headers[header::CACHE_CONTROL], "private, no-cache");
        assert!(!page.headers.contains_key(header::SET_COOKIE));
    }
}
