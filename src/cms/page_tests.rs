//! Tests of the addresses of pages and of the pages about the site, through the complete router.
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::model::{self, HelpLine, Page, PageSection};
use super::page;
use super::tests::{get, node, text};
use crate::accounts::RULES_VERSION;
use crate::config::Contact;
use crate::http::Appearance;
use crate::locale::Locale;
use crate::testing::{Answer, eventually};

/// Returns the values of all `Vary` headers, joined.
fn vary(answer: &Answer) -> String {
    let lines: Vec<&str> = answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    lines.join(", ")
}

/// The headers of readers, and the language that each reads.
const READERS: [(&[(&str, &str)], Locale); 6] = [
    (&[], Locale::Ko),
    (&[("accept-language", "fr")], Locale::Ko),
    (&[("accept-language", "en-GB,en;q=0.9,ko;q=0.5")], Locale::En),
    (&[("accept-language", "en"), ("cookie", "maju_locale=ko")], Locale::Ko),
    (&[("accept-language", "ko"), ("cookie", "a=b; maju_locale=en")], Locale::En),
    (&[("accept-language", "en"), ("cookie", "maju_locale=xx")], Locale::En),
];

#[tokio::test]
async fn the_address_without_a_language_answers_in_the_readers() {
    let node = node().await;
    let site = node.app.config.site.url.clone();
    for (headers, locale) in READERS {
        let page = get(&node, "/", headers).await;
        let tag = locale.tag();
        assert_eq!((page.status, text(&page, "content-language")), (StatusCode::OK, tag), "{headers:?}");
        assert!(page.text.contains(&format!(r#"<html lang="{tag}""#)), "{headers:?}");
        assert!(page.text.contains(&format!(r#"<link rel="canonical" href="{site}/{tag}">"#)), "{headers:?}");
        assert!(vary(&page).starts_with("Cookie, Accept-Language"), "{}", vary(&page));
        assert_eq!(text(&page, "cache-control"), "private, no-cache");
        for (path, target) in [("/rules", "rules"), ("/contact", "contact")] {
            let answer = get(&node, path, headers).await;
            assert_eq!(
                (answer.status, text(&answer, "location")),
                (StatusCode::SEE_OTHER, &*format!("/{tag}/{target}"))
            );
            assert_eq!(
                (vary(&answer), text(&answer, "cache-control")),
                ("Cookie, Accept-Language".to_owned(), "private, no-cache")
            );
        }
    }
}

#[tokio::test]
async fn every_page_names_its_address_in_every_language() {
    let node = node().await;
    let site = node.app.config.site.url.clone();
    let sitemap = node.get("/sitemap.xml").await.text;
    for page in Page::ALL {
        let alternates: Vec<(&str, String)> = Locale::ALL
            .map(|locale| (locale.tag(), page.path(locale)))
            .into_iter()
            .chain([("x-default", page.neutral_path())])
            .collect();
        for locale in Locale::ALL {
            let path = page.path(locale);
            // Nothing but the address decides the language.
            let answer = get(&node, &path, &[("cookie", "maju_locale=xx"), ("accept-language", "fr")]).await;
            assert_eq!((answer.status, text(&answer, "content-language")), (StatusCode::OK, locale.tag()), "{path}");
            let html = &answer.text;
            assert!(html.contains(&format!(r#"<link rel="canonical" href="{site}{path}">"#)), "{path}");
            assert_eq!(html.matches("rel=\"alternate\"").count(), alternates.len(), "{path}");
            for (tag, other) in &alternates {
                assert!(html.contains(&format!(r#"<link rel="alternate" hreflang="{tag}" href="{site}{other}">"#)));
                let link = format!(r#"<xhtml:link rel="alternate" hreflang="{tag}" href="{site}{other}"/>"#);
                assert!(sitemap.contains(&link), "{link}");
            }
            assert!(sitemap.contains(&format!("<loc>{site}{path}</loc>")), "{path}");
            for other in locale.others() {
                let link = format!(r#"<a href="{}" hreflang="{1}" lang="{1}">"#, page.path(other), other.tag());
                assert!(html.contains(&link), "{path} links the same page in {}", other.tag());
            }
            for about in Page::ABOUT {
                assert!(html.contains(&format!(r#"href="{}""#, about.path(locale))), "{path} links {}", about.name());
            }
            assert_eq!(get(&node, &format!("{path}/"), &[]).await.status, StatusCode::OK);
        }
    }
    assert_eq!(sitemap.matches("<url>").count(), Page::ALL.len() * Locale::ALL.len());
}

#[tokio::test]
async fn the_pages_about_the_site_are_complete_without_a_script() {
    let node = node().await;
    for page in Page::ABOUT {
        for locale in Locale::ALL {
            let html = node.get(&page.path(locale)).await.text;
            assert_eq!(html.matches("<h1").count(), 1);
            assert!(html.contains(r#"aria-current="page""#) && html.contains(r#"<meta name="description""#));
            let sections = model::built_in(page, locale);
            assert!(sections.len() >= 4, "{} in {locale:?}", page.name());
            for section in &sections {
                let (title, text) = match section {
                    PageSection::Markdown(prose) => (&prose.title, &prose.text),
                    PageSection::Contact(operator) => (&operator.title, &operator.text),
                    PageSection::Intro(intro) => (&intro.title, &intro.lead),
                    other => panic!("{other:?}"),
                };
                assert!(html.contains(&format!(">{title}</h")), "{title}");
                if let PageSection::Markdown(prose) = section {
                    let link = |line: &HelpLine| format!(r#"<a href="tel:{0}">{0}</a>"#, line.number);
                    assert!(prose.lines.iter().all(|line| html.contains(&link(line))), "{title}");
                }
                // Empty lines separate paragraphs, and lines that begin with "- " are a list.
                for block in text.split("\n\n").filter(|block| !block.is_empty()) {
                    let items: Option<Vec<&str>> = block.lines().map(|line| line.strip_prefix("- ")).collect();
                    match items {
                        Some(items) => {
                            assert!(items.iter().all(|item| html.contains(&format!("<li>{item}</li>"))), "{items:?}");
                        }
                        None => assert!(html.contains(&format!(">{block}</p>")), "{block}"),
                    }
                }
            }
            let path = format!("/api/v1/content?locale={}&page={}", locale.tag(), page.name());
            let content = node.get(&path).await.json();
            let stored: Vec<PageSection> = serde_json::from_value(content["sections"].clone()).unwrap();
            assert_eq!((stored, &content["page"]), (sections, &json!(page.name())), "the migration inserts them");
        }
    }
}

#[tokio::test]
async fn the_operators_address_is_shown_or_said_to_be_missing() {
    let without = node().await;
    let page = without.get("/en/contact").await.text;
    assert!(page.contains("hasn’t given an address yet") && !page.contains("mailto:"));

    let mut config = without.app.config.clone();
    config.contact = Some(Contact::parse("hello@example.org").unwrap());
    for page in [Page::Contact, Page::Privacy, Page::Terms] {
        for appearance in Appearance::all() {
            let html = page::render(&without.app.cms.current(), page, appearance, &config).unwrap();
            assert!(html.contains(r#"href="mailto:hello@example.org">hello@example.org</a>"#), "{}", page.name());
            assert!(!html.contains("MAJU_CONTACT") && !html.contains("아직 연락처를 적지"), "{}", page.name());
        }
    }
}

#[tokio::test]
async fn an_editor_changes_a_page_about_the_site_and_its_text_is_escaped() {
    let node = node().await;
    let change = r#"UPDATE section_version SET content = '{"title": "a < b", "text": "one <b>\n\n- two & three\n- four"}'
        WHERE section_id = (SELECT id FROM page_section WHERE page = 'terms' AND locale = 'en' AND position = 20)"#;
    sqlx::raw_sql(change).execute(&node.app.db).await.unwrap();
    super::refresh_now(&node.app);
    eventually("the change is shown", async || node.get("/en/terms").await.text.contains("four")).await;
    let html = node.get("/en/terms").await.text;
    let shown = |escaped: &[&str]| escaped.iter().any(|text| html.contains(text));
    assert!(!html.contains("one <b>") && shown(&["<p>one &lt;b&gt;</p>", "<p>one &#60;b&#62;</p>"]), "{html}");
    assert!(shown(&["<li>two &amp; three</li>", "<li>two &#38; three</li>"]) && html.contains("<li>four</li>"));
    assert!(!node.get("/ko/terms").await.text.contains("four"));
}

#[tokio::test]
async fn the_database_takes_any_language_and_only_known_pages() {
    let node = node().await;
    let db = &node.app.db;
    let insert = |page: &str, locale: &str| {
        let sql = format!(
            "INSERT INTO page_section (page, locale, kind, position, draft) VALUES ('{page}', '{locale}', 'markdown', 5, '{{}}')"
        );
        async move { sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(db).await }
    };
    for locale in ["ja", "zh-Hant-TW", "es-419"] {
        insert("rules", locale).await.unwrap();
    }
    for (page, locale) in [("rules", ""), ("rules", "Korean language"), ("rules", "ko_KR"), ("nowhere", "ko")] {
        assert!(insert(page, locale).await.is_err(), "{page} {locale}");
    }
    // Rows in a language without strings are nobody's, and disturb nobody.
    super::refresh_now(&node.app);
    assert_eq!(node.get("/ko/rules").await.status, StatusCode::OK);
    assert_eq!(node.get("/ja/rules").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_manifest_lists_icons_of_the_size_it_says() {
    let node = node().await;
    let manifest = node.get("/site.webmanifest").await.json();
    let mut found = Vec::new();
    for icon in manifest["icons"].as_array().unwrap() {
        let (path, sizes) = (icon["src"].as_str().unwrap(), icon["sizes"].as_str().unwrap());
        let file = node.get(path).await;
        assert_eq!(
            (file.status, text(&file, "content-type")),
            (StatusCode::OK, icon["type"].as_str().unwrap()),
            "{path}"
        );
        if sizes != "any" {
            // The header of a PNG has its width and height after 16 bytes.
            let number = |at: usize| u32::from_be_bytes(file.bytes[at..at + 4].try_into().unwrap());
            assert_eq!(format!("{}x{}", number(16), number(20)), sizes, "{path}");
            found.push((sizes, icon["purpose"].as_str().unwrap_or("any")));
        }
    }
    assert_eq!(found, [("192x192", "any"), ("512x512", "any"), ("192x192", "maskable"), ("512x512", "maskable")]);
    let head = node.get("/ko").await.text;
    assert!(head.contains(r#"<link rel="manifest" href="/site.webmanifest">"#));
}

#[tokio::test]
async fn a_page_names_the_colour_of_the_bars_for_its_theme() {
    let node = node().await;
    for (cookie, light, dark) in [("a=b", 1, 1), ("maju_theme=light", 1, 0), ("maju_theme=dark", 0, 1)] {
        let html = get(&node, "/ko/privacy", &[("cookie", cookie)]).await.text;
        let metas: Vec<&str> = html.lines().filter(|line| line.contains("theme-color")).collect();
        let count = |colour: &str| metas.iter().map(|line| line.matches(colour).count()).sum::<usize>();
        assert_eq!((count("#fbf9f4"), count("#14130f")), (light, dark), "{cookie}");
    }
}

#[test]
fn the_pages_about_the_site_have_the_same_shape_in_every_language() {
    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
            Value::Array(items) => items.iter().map(shape).collect(),
            // Where a text has a list, the others have one with as many items.
            Value::String(text) if text.contains("\n- ") || text.starts_with("- ") => {
                json!(text.lines().map(|line| line.starts_with("- ")).collect::<Vec<_>>())
            }
            other => Value::Bool(!other.is_null()),
        }
    }
    for page in Page::ABOUT {
        let shapes = Locale::ALL.map(|locale| shape(&serde_json::to_value(model::built_in(page, locale)).unwrap()));
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{}", page.name());
    }
}

#[test]
fn the_rules_page_is_the_edition_that_visitors_accept() {
    for locale in Locale::ALL {
        let sections = model::built_in(Page::Rules, locale);
        let Some(PageSection::Intro(intro)) = sections.first() else { panic!("{locale:?}") };
        assert!(intro.note.contains(RULES_VERSION), "{locale:?}: {}", intro.note);
    }
}

#[tokio::test]
async fn not_found_is_a_page_for_people_and_a_problem_for_programs() {
    let node = node().await;
    let page = get(&node, "/nowhere", &[("accept-language", "ko-KR,ko;q=0.9")]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains(r#"<html lang="ko""#) && page.text.contains("여기에는 아무도 없어요"));
    assert_eq!(text(&page, "cache-control"), "no-store");
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for path in ["/ko/nowhere", "/admin/nowhere", "/assets/nowhere.js", "/chat/nowhere", "/fr"] {
        let page = get(&node, path, &[("accept", browser), ("accept-language", "en")]).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.text.contains(r#"<html lang="en""#) && page.text.contains("Nobody is here"), "{path}");
    }
    let answer = get(&node, "/admin/nowhere", &[("accept", "application/json")]).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (StatusCode::NOT_FOUND, json!("not_found")));
    for path in ["/api", "/api/nowhere", "/api/v1/nowhere", "/ws/nowhere"] {
        let answer = get(&node, path, &[("accept", browser)]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(text(&answer, "content-type"), "application/problem+json", "{path}");
        assert_eq!(answer.json()["code"], "not_found", "{path}");
    }
    for path in ["/assets/nowhere.js", "/assets/../index.html", "/index.html", "/.vite/manifest.json"] {
        let answer = node.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.text.contains("id=\"app\""), "{path}");
    }
}
