//! Tests of the landing page through the complete router, on a real database.
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::formatted_stat::FormattedStat;
use super::model::{self, Page, PageSection};
use super::stats::{Label, SiteStat, Unit, live_counts};
use crate::locale::Locale;
use crate::testing::{self, Answer, Node, eventually};

/// Starts a node and waits until it has read what the migrations wrote.
pub(super) async fn node() -> Node {
    let node = testing::node().await;
    eventually("the first sections are read", async || !node.app.cms.current().contents().sections.is_empty()).await;
    node
}

/// Changes the database, and waits until the page at a path shows the change.
async fn change(node: &Node, sql: &'static str, path: &str, holds: impl Fn(&str) -> bool) -> Answer {
    sqlx::raw_sql(sql).execute(&node.app.db).await.unwrap();
    eventually(sql, async || {
        super::refresh_now(&node.app); // on a busy machine the next one is far away
        holds(&node.get(path).await.text)
    })
    .await;
    node.get(path).await
}

pub(super) async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    node.send(request.body(Body::empty()).unwrap()).await
}

pub(super) fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn both_pages_are_complete_without_a_script() {
    let node = node().await;
    let site = node.app.config.site.url.clone();
    for (path, locale, expected) in [
        (
            "/en",
            Locale::En,
            [
                "Chat with<br> someone you’ve<br> never met.",
                "Do I need an account?",
                "What we can’t do",
                "Skip to content",
            ],
        ),
        (
            "/ko",
            Locale::Ko,
            ["처음 만난 사람과<br> 이야기해 보세요.", "가입해야 하나요?", "마주가 할 수 없는 일", "본문으로 건너뛰기"],
        ),
    ] {
        let page = node.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(text(&page, "content-type"), "text/html; charset=utf-8");
        assert_eq!(text(&page, "content-language"), locale.tag());
        let html = &page.text;
        for text in expected {
            assert!(html.contains(text), "{path} lacks {text}");
        }
        let head = [
            format!(r#"<html lang="{}" data-theme="auto">"#, locale.tag()),
            format!(r#"<link rel="canonical" href="{site}{path}">"#),
            format!(r#"<link rel="alternate" hreflang="en" href="{site}/en">"#),
            format!(r#"<link rel="alternate" hreflang="ko" href="{site}/ko">"#),
            format!(r#"<link rel="alternate" hreflang="x-default" href="{site}/">"#),
            format!(r#"<meta property="og:url" content="{site}{path}">"#),
            r#"<meta name="description" content=""#.to_owned(),
            r#"<meta property="og:title" content=""#.to_owned(),
        ];
        for part in head {
            assert!(html.contains(&part), "{path} lacks {part}");
        }
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert!(html.contains(r#"href="/chat""#), "{path} links the client");
        assert!(html.contains("<details") && html.contains("<fieldset"), "{path}");
        let other = Locale::other(locale);
        assert!(
            html.contains(&format!(r#"hreflang="{0}" lang="{0}">"#, other.tag())),
            "{path} links the other language"
        );
    }
}

/// Calls `visit` with every text of a value that people read. `art` names a drawing.
fn each_text(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, visit)),
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| *name != "art").for_each(|(_, item)| each_text(item, visit));
        }
        _ => {}
    }
}

#[test]
fn the_first_sections_use_one_word_for_one_thing() {
    let mut read = 0;
    for locale in Locale::ALL {
        for section in model::built_in(Page::Landing, locale) {
            let section = serde_json::to_value(section).unwrap();
            each_text(&section["content"], &mut |text| {
                read += 1;
                let lower = text.to_lowercase();
                // "글" alone is a message. "글로", "글자" and "글쓰기" are other words.
                let is_retired = |word: &str| {
                    matches!(word, "talk" | "talks" | "talked" | "talking")
                        || word.strip_prefix('글').is_some_and(|rest| !rest.starts_with(['로', '자', '쓰']))
                };
                let retired = lower.split(|c: char| !c.is_alphanumeric()).find(|word| is_retired(word));
                assert_eq!(retired, None, "{text}");
            });
        }
    }
    assert!(read > 100, "{read} texts were read");
}

#[tokio::test]
async fn pages_hold_nothing_that_their_content_policy_refuses() {
    let node = node().await;
    for path in ["/", "/ko", "/en", "/ko/privacy", "/en/contact", "/nowhere"] {
        let page = node.get(path).await;
        assert!(text(&page, "content-security-policy").contains("script-src 'self'; style-src 'self';"));
        let html = page.text.to_lowercase();
        assert!(!html.contains(" style=") && !html.contains("<style"), "{path} has a style of its own");
        for script in html.split("<script").skip(1) {
            let tag = script.split('>').next().unwrap();
            assert!(
                tag.contains("src=\"/assets/") || tag.contains("application/ld+json"),
                "{path} has a script of its own"
            );
        }
        assert!(!html.contains(" onclick=") && !html.contains("javascript:"), "{path}");
    }
}

#[tokio::test]
async fn reading_pages_sets_no_cookie() {
    let node = node().await;
    let paths = [
        "/",
        "/ko",
        "/ko/",
        "/en",
        "/rules",
        "/ko/rules",
        "/nowhere",
        "/robots.txt",
        "/sitemap.xml",
        "/favicon.svg",
        "/site.webmanifest",
        "/preview.png",
        "/touch-icon.png",
        "/chat",
        "/api/v1/content",
        "/api/v1/stats",
    ];
    for path in paths {
        assert_eq!(text(&node.get(path).await, "set-cookie"), "", "{path}");
    }
}

#[tokio::test]
async fn a_chosen_theme_is_in_the_first_byte_and_the_path_decides_the_language() {
    let node = node().await;
    let dark = get(&node, "/en", &[("cookie", "maju_theme=dark; maju_locale=ko"), ("accept-language", "ko")]).await;
    assert!(dark.text.contains(r#"<html lang="en" data-theme="dark">"#));
    assert!(dark.text.contains(r#"value="dark" autocomplete="off" checked>"#));
    let odd = get(&node, "/ko", &[("cookie", "maju_theme=\"><script>")]).await;
    assert!(odd.text.contains(r#"<html lang="ko" data-theme="auto">"#));
}

#[tokio::test]
async fn text_of_an_editor_is_escaped() {
    let node = node().await;
    let page = change(
        &node,
        r#"INSERT INTO page_section (locale, kind, position, draft, published_version) VALUES ('en', 'markdown', 990, '{}', 1);
           INSERT INTO section_version (section_id, version, kind, by, content) SELECT id, 1, 'published', 'x',
               '{"title": "<script>alert(1)</script>", "text": "a & b\n\n<img src=x onerror=alert(2)>"}'
               FROM page_section WHERE position = 990;
           UPDATE section_version v SET content = jsonb_set(content, '{items,0,answer}', '"</script><script>alert(3)</script>"')
               FROM page_section s WHERE s.id = v.section_id AND locale = 'en' AND s.kind = 'faq';
           UPDATE section_version v SET content = jsonb_set(content, '{lead}', '"\" onload=\"alert(4)"')
               FROM page_section s WHERE s.id = v.section_id AND locale = 'en' AND s.kind = 'hero'"#,
        "/en",
        |html| html.contains("alert(2)"),
    )
    .await;
    let html = &page.text;
    assert!(!html.contains("<script>") && !html.contains("<img") && !html.contains(r#"" onload="#), "{html}");
    assert!(html.contains("alert(1)") && html.contains("alert(3)") && html.contains("alert(4)"));
    let facts = html.split(r#"<script type="application/ld+json">"#).nth(1).unwrap().split("</script>").next().unwrap();
    let facts: Value = serde_json::from_str(facts).unwrap();
    let answer = &facts["@graph"][1]["mainEntity"][0]["acceptedAnswer"]["text"];
    assert_eq!(answer, "</script><script>alert(3)</script>");
}

#[tokio::test]
async fn an_invalid_section_is_left_out_and_an_empty_page_shows_the_built_in_sections() {
    let node = node().await;
    let page = change(
        &node,
        r#"UPDATE section_version v SET content = '{"title": 7}' FROM page_section s
               WHERE s.id = v.section_id AND locale = 'en' AND s.kind IN ('faq', 'hero');
           UPDATE site_stat SET label = '"odd"' WHERE key = 'online'"#,
        "/en",
        |html| !html.contains("id=\"faq\""),
    )
    .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("id=\"safety\"") && !page.text.contains("href=\"#faq\""));
    assert!(node.get("/ko").await.text.contains("id=\"faq\""), "the other language has its own");
    let page = change(
        &node,
        "UPDATE page_section SET visible = false WHERE locale = 'en' AND page = 'landing'",
        "/en",
        |html| html.contains("id=\"faq\""),
    )
    .await;
    assert!(page.text.contains("id=\"start\""), "the built-in sections");
}

#[tokio::test]
async fn a_stat_that_is_zero_or_unknown_is_not_shown() {
    let node = node().await;
    let shows = |html: &str, key: &str| html.contains(&format!("data-stat=\"{key}\""));
    for path in ["/en", "/ko"] {
        assert!(!node.get(path).await.text.contains("id=\"now\""), "there are no stats to show");
    }
    let stats = node.get("/api/v1/stats").await.json();
    assert_eq!(stats["items"].as_array().unwrap().len(), 3);
    assert!(stats["items"].as_array().unwrap().iter().all(|stat| stat["value"].is_null()), "{stats}");

    let page = change(
        &node,
        "UPDATE site_stat SET manual = 0 WHERE key = 'talks_today'; UPDATE site_stat SET manual = 12345 WHERE key = 'median_wait'",
        "/ko",
        |html| html.contains("id=\"now\""),
    )
    .await;
    assert!(shows(&page.text, "median_wait") && !shows(&page.text, "talks_today") && !shows(&page.text, "online"));
    assert!(page.text.contains("<span>206</span><small>분</small>"));

    // A reader without a socket is not counted. A visitor with two tabs on two nodes is counted
    // once.
    for _ in 0..3 {
        node.newcomer("ko").await;
    }
    let guest = node.newcomer("ko").await;
    let other = testing::Node::apart(&node).await;
    let (_tab, _again) = (node.socket(&guest).await, other.socket(&guest).await);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(node.socket(&node.newcomer("en").await).await);
    }
    eventually("four people are counted", async || online(&node).await == Some(4)).await;
    super::refresh_now(&node.app);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!shows(&node.get("/ko").await.text, "online"), "fewer than five people are not shown");
    assert_eq!(node.get("/api/v1/stats").await.json()["items"][0]["value"], Value::Null);
    sockets.push(node.socket(&node.newcomer("ko").await).await);
    let page = change(&node, "SELECT 1", "/ko", |html| shows(html, "online")).await;
    assert!(page.text.contains("<dt>지금 함께 있어요</dt><dd><span>5</span><small>명</small></dd>"), "{}", page.text);
    let stats = node.get("/api/v1/stats").await;
    assert_eq!(
        stats.json()["items"][0],
        json!({"key": "online", "label": {"ko": "지금 함께 있어요", "en": "here now"}, "value": 5, "unit": "count"})
    );
    assert_eq!(text(&stats, "cache-control"), "no-store");
    // A socket that closes is not counted any more.
    sockets.pop();
    change(&node, "SELECT 1", "/ko", |html| !shows(html, "online")).await;
}

#[tokio::test]
async fn stale_stats_show_when_they_were_read() {
    let node = node().await;
    change(&node, "UPDATE site_stat SET manual = 5 WHERE key = 'online'", "/", |html| html.contains("id=\"now\""))
        .await;
    assert!(!node.get("/").await.text.contains("<time"));
    sqlx::raw_sql("ALTER TABLE site_stat RENAME TO site_stat_gone").execute(&node.app.db).await.unwrap();
    node.app.clock.advance(super::limits::STATS_STALE_AFTER + Duration::from_secs(1));
    super::refresh_now(&node.app);
    eventually("the stats are stale", async || node.get("/").await.text.contains("<time")).await;
    let page = node.get("/ko").await;
    assert!(page.text.contains(" UTC 기준</time>") && page.text.contains("<span>5</span>"));
    assert!(node.get("/api/v1/stats").await.json()["as_of"].is_string());
    change(&node, "ALTER TABLE site_stat_gone RENAME TO site_stat", "/", |html| !html.contains("<time")).await;
}

/// Returns the number of visitors with a socket, however few they are.
async fn online(node: &Node) -> Option<i64> {
    let mut db = node.app.db.acquire().await.unwrap();
    live_counts(&mut db, node.app.clock.now(), "UTC").await.unwrap().online
}

/// Inserts one talk, begun at $1 by two visitors who had waited for $2 and 3 seconds.
const TALK: &str = "WITH people AS (
            INSERT INTO visitor (public_id, color, animal, locale, last_used_at)
            SELECT gen_random_uuid(), 'pine', 'otter', 'ko', $1::timestamptz - interval '1 day' FROM generate_series(1, 2) RETURNING id
        ), room AS (
            INSERT INTO chat_room (public_id, kind, naming) VALUES (gen_random_uuid(), 'talk', 'anonymous') RETURNING id
        )
        INSERT INTO random_session (public_id, room_id, a, b, shared, languages, a_seek, b_seek, a_since, b_since, a_ticket, b_ticket, created_at)
        SELECT gen_random_uuid(), room.id, (SELECT min(id) FROM people), (SELECT max(id) FROM people), '{}', '{ko}', '{}', '{}',
            $1::timestamptz - $2 * interval '1 second', $1::timestamptz - interval '3 seconds', gen_random_uuid(), gen_random_uuid(), $1
        FROM room";

#[tokio::test]
async fn talks_of_today_begin_at_midnight_in_the_sites_time_zone() {
    let db = testing::database().await;
    let mut conn = db.acquire().await.unwrap();
    // 08:30 and 09:30 in Seoul, before and after midnight UTC; one hour later it is 10:30 there.
    for at in [datetime!(2026-11-28 23:30 UTC), datetime!(2026-11-29 00:30 UTC)] {
        sqlx::query(TALK).bind(at).bind(3.0).execute(&mut *conn).await.unwrap();
    }
    let now = datetime!(2026-11-29 01:30 UTC);
    for (zone, expected) in [("Asia/Seoul", 2), ("UTC", 1), ("America/New_York", 2), ("Pacific/Kiritimati", 2)] {
        assert_eq!(live_counts(&mut conn, now, zone).await.unwrap().talks_today, Some(expected), "{zone}");
    }
    let midnight = datetime!(2026-11-29 15:00 UTC);
    for (now, expected) in [(midnight - time::Duration::seconds(1), 2), (midnight, 0)] {
        assert_eq!(live_counts(&mut conn, now, "Asia/Seoul").await.unwrap().talks_today, Some(expected), "{now}");
    }
}

#[tokio::test]
async fn a_median_needs_five_talks_and_each_counts_for_two() {
    let db = testing::database().await;
    let mut conn = db.acquire().await.unwrap();
    let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    for wait in [2.5, 8.0, 9.0, 10.0] {
        sqlx::query(TALK).bind(now).bind(wait).execute(&mut *conn).await.unwrap();
    }
    let live = live_counts(&mut conn, now, "UTC").await.unwrap();
    assert_eq!((live.online, live.talks_today, live.median_wait), (Some(0), Some(4), None));
    sqlx::query(TALK).bind(now).bind(11.0).execute(&mut *conn).await.unwrap();
    let live = live_counts(&mut conn, now, "UTC").await.unwrap();
    assert_eq!((live.talks_today, live.median_wait), (Some(5), Some(3)), "between 2.5, five times 3, and 8 to 11");
    let later = now + time::Duration::hours(25);
    assert_eq!(live_counts(&mut conn, later, "UTC").await.unwrap().talks_today, Some(0));
}

#[tokio::test]
async fn a_current_copy_is_not_sent_again() {
    let node = node().await;
    let first = node.get("/ko").await;
    assert_eq!(text(&first, "cache-control"), "public, max-age=0, stale-while-revalidate=60");
    let tag = text(&first, "etag").to_owned();
    for held in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = get(&node, "/ko", &[("if-none-match", &held)]).await;
        assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{held}");
        assert_eq!(text(&again, "etag"), tag);
    }
    let compressed = get(&node, "/ko", &[("accept-encoding", "gzip, deflate, br;q=0.9, zstd")]).await;
    assert_eq!(text(&compressed, "content-encoding"), "zstd");
    assert!(compressed.bytes.len() * 3 < first.bytes.len(), "{} of {}", compressed.bytes.len(), first.bytes.len());
    assert_eq!(zstd::bulk::decompress(&compressed.bytes, 1 << 20).unwrap(), first.bytes);
    assert_ne!(text(&compressed, "etag"), tag, "another coding is another representation");
    assert_eq!(text(&get(&node, "/ko", &[("accept-encoding", "br, zstd;q=0")]).await, "content-encoding"), "br");
    let varies: Vec<_> = compressed.headers.get_all(header::VARY).iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(varies, ["Cookie", "Accept-Encoding"]);
    let set = "UPDATE site_stat SET manual = 77 WHERE key = 'online'";
    change(&node, set, "/ko", |html| html.contains("<span>77</span>")).await;
    assert_eq!(get(&node, "/ko", &[("if-none-match", &tag)]).await.status, StatusCode::OK);
    let content = node.get("/api/v1/content?locale=ko").await;
    let again = get(&node, "/api/v1/content?locale=ko", &[("if-none-match", text(&content, "etag"))]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn crawlers_and_browsers_find_the_files_they_request() {
    let node = node().await;
    let site = &node.app.config.site.url;
    for (path, media_type, expected) in [
        ("/robots.txt", "text/plain; charset=utf-8", format!("Sitemap: {site}/sitemap.xml")),
        ("/sitemap.xml", "application/xml", format!("<loc>{site}/ko</loc>")),
        ("/favicon.svg", "image/svg+xml", "<svg".to_owned()),
        ("/site.webmanifest", "application/manifest+json", "\"start_url\"".to_owned()),
        ("/preview.png", "image/png", "PNG".to_owned()),
        ("/touch-icon.png", "image/png", "PNG".to_owned()),
        ("/icon-192.png", "image/png", "PNG".to_owned()),
        ("/icon-maskable-512.png", "image/png", "PNG".to_owned()),
    ] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, text(&answer, "content-type")), (StatusCode::OK, media_type), "{path}");
        assert!(answer.text.contains(&expected), "{path}: {}", answer.text);
        let again = get(&node, path, &[("if-none-match", text(&answer, "etag"))]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
    }
}

#[tokio::test]
async fn the_page_is_available_as_json() {
    let node = node().await;
    for locale in Locale::ALL {
        let content = node.get(&format!("/api/v1/content?locale={}", locale.tag())).await.json();
        let sections: Vec<PageSection> = serde_json::from_value(content["sections"].clone()).unwrap();
        assert_eq!(sections, model::built_in(Page::Landing, locale), "the migrations insert the built-in sections");
        assert_eq!(content["locale"], locale.tag());
    }
    assert_eq!(node.get("/api/v1/content").await.json()["locale"], "ko");
    for path in ["/api/v1/content?locale=fr", "/api/v1/content?page=nowhere", "/api/v1/content?lang=ko"] {
        let answer = node.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::BAD_REQUEST, json!("bad_frame")),
            "{path}"
        );
    }
}

#[test]
fn both_languages_have_sections_of_the_same_shape() {
    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
            Value::Array(items) => items.iter().map(shape).collect(),
            other => Value::Bool(!other.is_null()),
        }
    }
    let [ko, en] = Locale::ALL.map(|locale| {
        let sections = model::built_in(Page::Landing, locale);
        assert!(sections.len() >= 7, "{locale:?}");
        // The words after numbers differ by language: English has none.
        let alike = sections.iter().filter(|section| !matches!(section, PageSection::Stats(_)));
        shape(&serde_json::to_value(alike.collect::<Vec<_>>()).unwrap())
    });
    assert_eq!(ko, en);
}

#[test]
fn stats_are_formatted_by_language_and_unit() {
    let format = |value, unit, locale| {
        let stat = SiteStat { key: "n".to_owned(), label: Label::default(), value, unit, hide_when_stale: false };
        FormattedStat::of(&stat, &[("n".to_owned(), "명".to_owned())].into(), locale)
            .map(|formatted| formatted.digits + " " + &formatted.counter)
    };
    for (value, unit, locale, expected) in [
        (Some(7), Unit::Count, Locale::Ko, Some("7 명")),
        (Some(999), Unit::Count, Locale::Ko, Some("999 명")),
        (Some(1_000), Unit::Count, Locale::Ko, Some("1,000 명")),
        (Some(12_345_678), Unit::Count, Locale::Ko, Some("12,345,678 명")),
        (Some(99), Unit::Seconds, Locale::Ko, Some("99 초")),
        (Some(100), Unit::Seconds, Locale::Ko, Some("2 분")),
        (Some(149), Unit::Seconds, Locale::En, Some("2 min")),
        (Some(6), Unit::Seconds, Locale::En, Some("6 sec")),
        (Some(0), Unit::Count, Locale::En, None),
        (Some(-1), Unit::Count, Locale::En, None),
        (None, Unit::Seconds, Locale::En, None),
    ] {
        assert_eq!(format(value, unit, locale).as_deref(), expected, "{value:?}");
    }
}

#[tokio::test]
async fn visitors_in_a_silent_talk_are_counted_until_they_leave() {
    let node = testing::node().await;
    let (one, two) = (node.guest("ko").await, node.guest("en").await);
    let talk = node.talk(&one, &two).await;
    // Nobody wrote for ten minutes.
    sqlx::query("UPDATE visitor SET last_used_at = now() - interval '10 minutes'").execute(&node.app.db).await.unwrap();
    eventually("both are counted", async || online(&node).await == Some(2)).await;
    talk.a.close().await;
    talk.b.close().await;
    eventually("nobody is", async || online(&node).await == Some(0)).await;
}
