//! Tests of the landing page's facts, through the complete router: topics, the lost connection of
//! the showcase, what is stored, who runs the site.
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::model::{self, Page, PageSection, ScreenRow, Side};
use super::page;
use super::snapshot::{Contents, Snapshot};
use crate::accounts::limits::SESSION_IDLE_TIMEOUT;
use crate::http::{Appearance, Theme};
use crate::locale::Locale;
use crate::testing::{self, Node, eventually};

async fn node() -> Node {
    let node = testing::node().await;
    eventually("the first sections are read", async || !node.app.cms.current().contents().sections.is_empty()).await;
    node
}

/// Returns the HTML of a section by its anchor. Empty if the page lacks it.
fn section<'a>(html: &'a str, anchor: &str) -> &'a str {
    let section = html.split("<section").find(|part| part.contains(&format!(" id=\"{anchor}\"")));
    section.and_then(|part| part.split("</section>").next()).unwrap_or_default()
}

#[tokio::test]
async fn the_page_names_its_operator_or_its_host_and_links_the_contact_page() {
    let node = node().await;
    for (locale, unnamed) in [(Locale::Ko, "localhost 운영자"), (Locale::En, "The operator of localhost")] {
        let appearance = Appearance { locale, theme: Theme::Auto };
        let mut config = node.app.config.clone();
        config.site = crate::config::Site::parse("http://localhost").unwrap();
        for (name, shown) in [(None, unnamed), (Some("<둘 운영팀>"), "&#60;둘 운영팀&#62;")] {
            config.operator = name.map(str::to_owned);
            let html = page::render(&node.app.cms.current(), Page::Landing, appearance, &config).unwrap();
            let operator = section(&html, "operator");
            assert!(operator.contains(&format!("<dd><bdi>{shown}</bdi></dd>")), "{operator}");
            assert!(operator.contains(&format!(r#"href="/{}/contact""#, locale.tag())), "{operator}");
        }
    }
}

#[tokio::test]
async fn popular_topics_are_on_the_page_in_its_language_and_few_are_not() {
    let node = node().await;
    for path in ["/ko", "/en"] {
        assert_eq!(section(&node.get(path).await.text, "topics"), "", "{path} without people");
    }
    let mut people = Vec::new();
    for at in 0..6_u8 {
        // Nobody else speaks the language, so nobody is matched.
        let language = format!("x{}", char::from(b'a' + at));
        let guest = node.guest("ko").await;
        let mut socket = node.socket(&guest).await;
        let interests = if at == 0 { json!(["영화", "재즈"]) } else { json!(["Movies"]) };
        socket.ok(json!({"type": "seek", "interests": interests, "languages": [language], "translate": false})).await;
        people.push(socket);
    }
    node.app.clock.advance(Duration::from_secs(3));
    super::refresh_now(&node.app);
    eventually("the page names the topic", async || !section(&node.get("/ko").await.text, "topics").is_empty()).await;
    for (path, row) in [("/ko", "<li><span>영화</span><b>6<small>명</small>"), ("/en", "<li><span>Films</span><b>6")]
    {
        let html = node.get(path).await.text;
        assert!(section(&html, "topics").contains(row), "{path}: {}", section(&html, "topics"));
        assert!(!section(&html, "topics").contains("재즈"), "one person is too few");
    }
}

#[test]
fn the_lost_connection_is_between_two_messages_of_the_showcase() {
    for locale in Locale::ALL {
        let sections = model::built_in(Page::Landing, locale);
        let Some(show) = sections.iter().find_map(|section| match section {
            PageSection::Showcase(show) => Some(show),
            _ => None,
        }) else {
            panic!("{locale:?} has no showcase");
        };
        let [(you, _, own), (they, _, others)] = show.screens();
        assert_eq!((you, they), (Side::You, Side::They));
        // It follows a message that both have, and precedes one that the reader wrote meanwhile.
        let (ScreenRow::Cut(mine), ScreenRow::Cut(theirs)) = (&own[2], &others[2]) else {
            panic!("{own:?} {others:?}")
        };
        assert_ne!(mine, theirs, "{locale:?}");
        assert!(matches!((&own[3], &others[3]), (ScreenRow::Own(_), ScreenRow::Theirs(_))), "{locale:?}");
        assert_eq!((own.len(), others.len()), (5, 5), "{locale:?}");
    }
}

#[test]
fn the_page_says_how_long_data_is_stored() {
    let days = SESSION_IDLE_TIMEOUT.whole_days();
    for (locale, day, hour) in
        [(Locale::Ko, format!("{days}일"), "24시간"), (Locale::En, format!("{days} days"), "24 hours")]
    {
        let sections = model::built_in(Page::Landing, locale);
        let Some(PageSection::Storage(storage)) =
            sections.iter().find(|section| matches!(section, PageSection::Storage(_)))
        else {
            panic!("{locale:?} says nothing about storage");
        };
        let how_long: Vec<&str> = storage.items.iter().map(|item| &*item.how_long).collect();
        assert_eq!(how_long[..2], [hour, &*day]);
        assert!(storage.items[1].text.contains(&day), "{locale:?}");
    }
}

#[test]
fn a_page_without_stats_and_topics_has_all_other_sections() {
    let snapshot = Snapshot::of(Contents { as_of: Some(OffsetDateTime::UNIX_EPOCH), ..Contents::default() });
    for locale in Locale::ALL {
        let kinds: Vec<&str> =
            snapshot.sections(Page::Landing, locale).iter().map(|shown| shown.section.anchor()).collect();
        let expected = ["start", "now", "topics", "how", "talk", "safety", "storage", "faq", "operator", "seat"];
        assert_eq!(kinds, expected, "{locale:?}");
    }
}

#[tokio::test]
async fn talks_are_counted_once_by_hour_and_language_and_stay_counted() {
    let node = node().await;
    let (one, two) = (node.guest("ko").await, node.guest("ko").await);
    let _talk = node.talk(&one, &two).await;
    let counted = async || -> Vec<(String, i64)> {
        sqlx::query_as("SELECT language, sum(talks)::bigint FROM talk_hour GROUP BY 1 ORDER BY 1")
            .fetch_all(&node.app.db)
            .await
            .unwrap()
    };
    let expected = [(String::new(), 1), ("ko".to_owned(), 1)];
    for _ in 0..2 {
        super::insights::count(node.app.clone()).await;
        assert_eq!(counted().await, expected, "counting again changes nothing");
    }
    sqlx::query("UPDATE random_session SET languages = '{}'").execute(&node.app.db).await.unwrap();
    super::insights::count(node.app.clone()).await;
    assert_eq!(counted().await, expected, "a talk that is gone stays counted");
    assert!(!node.get("/ko").await.text.contains("id=\"insights\""));
}
