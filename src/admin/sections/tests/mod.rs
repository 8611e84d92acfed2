//! The editor over the real router and Postgres, by a browser without JavaScript.
mod browser;
mod conflicts;
mod lists;

use std::time::Duration;

use axum::http::{Method, StatusCode};

pub(in crate::admin) use self::browser::Browser;
use crate::testing::{Node, TEST_TIMEOUT, node};

/// Waits until visitors see a text on a page.
pub(in crate::admin) async fn wait_for(node: &Node, path: &str, text: &str) {
    let since = std::time::Instant::now();
    while !node.get(path).await.text.contains(text) {
        assert!(since.elapsed() < TEST_TIMEOUT, "{path} never shows {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_editor_writes_in_both_languages_and_publishes_with_a_note() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "첫 문장").await;
    editor
        .submit(&path, &[("ko.title", "처음 만난 사람과\r\n천천히 이야기해요."), ("en.lead", "No name needed. Ever.")])
        .await;
    assert_eq!((editor.status, editor.path.as_str()), (StatusCode::OK, path.as_str()));
    assert_eq!(editor.fields(&path)["ko.title"], "처음 만난 사람과\n천천히 이야기해요.");
    assert!(!node.get("/ko").await.text.contains("천천히"), "a draft is not published");

    editor.open(&format!("{path}/publish")).await;
    assert!(editor.html.contains("<ins>천천히"), "the page shows what changes: {}", editor.html);
    editor.submit(&format!("{path}/publish"), &[("note", "더 부드럽게")]).await;
    assert_eq!(editor.note(), "게시했어요. 열려 있는 화면에도 곧 보여요.");
    assert!(editor.html.contains("더 부드럽게"), "the note is in the history");
    wait_for(&node, "/ko", "천천히").await;
    wait_for(&node, "/en", "No name needed. Ever.").await;
    editor.open(&format!("{path}/publish")).await;
    assert!(editor.html.matches("게시할 것이 없어요").count() == 2, "nothing is left to publish");
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_stays_in_the_form() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "첫 문장").await;
    let long = "가".repeat(121);
    editor.submit(&path, &[("ko.title", &long), ("en.title", "Kept")]).await;
    assert_eq!(editor.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(editor.html.contains("href=\"#ko-title\"") && editor.html.contains("120자까지"), "{}", editor.html);
    let fields = editor.fields(&path);
    assert_eq!((fields["ko.title"].as_str(), fields["en.title"].as_str()), (long.as_str(), "Kept"));
    editor.submit(&path, &[("ko.title", "짧은 제목")]).await;
    assert_eq!(editor.status, StatusCode::OK);
    assert_eq!(editor.fields(&path)["en.title"], "Kept");
}

#[tokio::test]
async fn a_time_without_a_script_is_in_the_sites_zone_and_can_be_canceled() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "첫 문장").await;
    editor.submit(&path, &[("ko.lead", "나중에 보일 글")]).await;
    let publish = format!("{path}/publish");
    editor.open(&publish).await;
    assert!(editor.html.contains("서울 시각이에요."));
    let later = [("when", "later"), ("date", "2001-01-01"), ("time", "09:00"), ("note", "미리")];
    editor.submit(&publish, &later).await;
    assert_eq!(editor.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(editor.fields(&publish)["note"], "미리", "nothing entered is lost");
    let day = (node.app.clock.now() + time::Duration::days(3)).date().to_string();
    editor.submit(&publish, &[("when", "later"), ("date", &day), ("time", "09:00")]).await;
    assert_eq!(editor.path, path);
    assert!(editor.note().contains("오전 9:00"), "{}", editor.note());
    let at: String = sqlx::query_scalar(
        "SELECT to_char(publish_at AT TIME ZONE 'Asia/Seoul', 'YYYY-MM-DD HH24:MI') FROM page_section WHERE publish_at IS NOT NULL",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    assert_eq!(at, format!("{day} 09:00"));
    assert!(editor.html.contains("예약됨"));
    editor.submit(&format!("{path}/cancel"), &[]).await;
    assert_eq!(editor.note(), "예약을 취소했어요.");
    assert!(!editor.html.contains("예약됨"));
}

#[tokio::test]
async fn an_empty_field_is_named_and_nothing_is_published() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "이용 방법").await;
    editor.submit(&path, &[("ko.steps.1.title", "")]).await;
    let publish = format!("{path}/publish");
    editor.open(&publish).await.submit(&publish, &[]).await;
    assert_eq!(editor.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(editor.html.contains("한국어 · 단계 2 · 제목"), "{}", editor.html);
}

#[tokio::test]
async fn an_earlier_text_comes_back_as_the_draft_and_that_can_be_undone() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("rules", "머리글").await;
    let first = editor.fields(&path)["ko.title"].clone();
    editor.submit(&path, &[("ko.title", "새 규칙")]).await;
    assert!(editor.html.contains("<ins>"), "the editor compares the draft with what is published: {}", editor.html);
    editor.submit(&format!("{path}/restore"), &[]).await;
    assert_eq!(editor.fields(&path)["ko.title"], first);
    editor.undo().await;
    assert_eq!(editor.fields(&path)["ko.title"], "새 규칙");
}

#[tokio::test]
async fn a_preview_shows_drafts_to_whoever_has_its_address_for_a_day() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "첫 문장").await;
    editor.submit(&path, &[("ko.title", "아직 아무도 못 본 글")]).await;
    let share = editor.html.split("id=\"share-link\" readonly value=\"").nth(1).unwrap().split('"').next().unwrap();
    let share = share.strip_prefix(&node.app.config.site.url).unwrap().to_owned();
    assert!(editor.headers["content-security-policy"].to_str().unwrap().contains("frame-src 'self'"));

    let mut guest = Browser::new(&node);
    guest.open(&share).await;
    assert_eq!(guest.status, StatusCode::OK);
    assert!(guest.html.contains("아직 아무도") && guest.html.contains("초안 미리보기"));
    assert_eq!(guest.headers["x-frame-options"], "SAMEORIGIN");
    assert_eq!(guest.headers["x-robots-tag"], "noindex");
    assert!(guest.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'self'"));
    assert!(!node.get("/ko").await.text.contains("아직 아무도"));
    let landing = node.get("/ko").await;
    assert_eq!(landing.headers["x-frame-options"], "DENY", "no other page can be framed");

    guest.open(&share.replace("landing", "terms")).await;
    assert_eq!(guest.status, StatusCode::GONE, "the token is of one page");
    node.app.clock.advance(Duration::from_secs(24 * 3_600));
    guest.open(&share).await;
    assert_eq!(guest.status, StatusCode::GONE);
    assert!(!guest.html.contains("아직 아무도"));
}

#[tokio::test]
async fn only_editors_and_administrators_edit() {
    let node = node().await;
    let group: uuid::Uuid = sqlx::query_scalar("SELECT group_id FROM page_section WHERE page = 'landing' LIMIT 1")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    let pages = ["/admin/pages/landing".to_owned(), format!("/admin/pages/landing/{group}")];
    let people = [("ara", "member", 404), ("bom", "moderator", 404), ("dal", "editor", 200), ("eun", "admin", 200)];
    for (handle, role, status) in people {
        let mut person = Browser::staff(&node, handle, role).await;
        for page in &pages {
            assert_eq!(person.open(page).await.status.as_u16(), status, "{role} {page}");
        }
        if status == 200 {
            // A form without its token does nothing.
            let mut fields = person.fields(&pages[1]);
            fields.remove("token");
            fields.insert("ko.title".to_owned(), "foreign".to_owned());
            assert_eq!(person.post(&pages[1], &fields).await.status, StatusCode::FORBIDDEN);
        }
    }
    let mut guest = Browser::new(&node);
    let answer = guest.send(Method::GET, &pages[0], None, "text/html").await;
    assert_eq!(answer.headers["location"], "/signin?next=/admin/pages/landing");
    let drafts: i64 = sqlx::query_scalar("SELECT count(*) FROM page_section WHERE version > 1")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    assert_eq!(drafts, 0);
}
