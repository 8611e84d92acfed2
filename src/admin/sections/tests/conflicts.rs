//! Two editors at one section.
use axum::http::StatusCode;

use super::Browser;
use crate::testing::node;

#[tokio::test]
async fn the_second_editor_sees_both_texts_and_chooses() {
    let node = node().await;
    let mut haru = Browser::staff(&node, "haru", "editor").await;
    let mut jin = Browser::staff(&node, "jin", "editor").await;
    let path = haru.open_section("landing", "첫 문장").await;
    jin.open(&path).await;
    assert!(jin.html.contains("haru 님도 보고 있어요"), "{}", jin.html);
    jin.submit(&path, &[("ko.title", "진의 제목"), ("ko.lead", "진의 설명")]).await;

    haru.submit(&path, &[("ko.title", "하루의 제목"), ("ko.button", "하루의 단추"), ("en.title", "Haru’s title")])
        .await;
    assert_eq!(haru.status, StatusCode::CONFLICT);
    for text in ["진의", "하루의", "jin 님의 글"] {
        assert!(haru.html.contains(text), "{text}: {}", haru.html);
    }
    let resolve = format!("{path}/resolve");
    haru.submit(&resolve, &[("take", "chosen"), ("pick.ko.lead", "theirs")]).await;
    assert_eq!(haru.path, path);
    let fields = haru.fields(&path);
    assert_eq!(fields["ko.title"], "하루의 제목");
    assert_eq!(fields["ko.lead"], "진의 설명");
    assert_eq!(fields["ko.button"], "하루의 단추");
    assert_eq!(fields["en.title"], "Haru’s title", "the other language had no conflict");
}

#[tokio::test]
async fn a_third_save_during_the_choice_is_shown_again() {
    let node = node().await;
    let mut haru = Browser::staff(&node, "haru", "editor").await;
    let mut jin = Browser::staff(&node, "jin", "editor").await;
    let path = haru.open_section("landing", "마지막 권유").await;
    jin.open(&path).await.submit(&path, &[("en.title", "one")]).await;
    haru.submit(&path, &[("en.title", "mine")]).await;
    assert_eq!(haru.status, StatusCode::CONFLICT);
    jin.submit(&path, &[("en.title", "two")]).await;
    let resolve = format!("{path}/resolve");
    haru.submit(&resolve, &[("take", "mine")]).await;
    assert_eq!(haru.status, StatusCode::CONFLICT);
    assert!(haru.html.contains("two") && haru.html.contains("mine"));
    haru.submit(&resolve, &[("take", "theirs")]).await;
    assert_eq!((haru.status, haru.fields(&path)["en.title"].as_str()), (StatusCode::OK, "two"));
}

#[tokio::test]
async fn the_autosave_hides_no_change_of_somebody_else() {
    let node = node().await;
    let mut haru = Browser::staff(&node, "haru", "editor").await;
    let mut jin = Browser::staff(&node, "jin", "editor").await;
    let path = haru.open_section("landing", "첫 문장").await;
    jin.open(&path).await.submit(&path, &[("en.title", "Jin’s title")]).await;

    let mut fields = haru.fields(&path);
    fields.insert("ko.title".to_owned(), "하루의 제목".to_owned());
    let saved = haru.autosave(&path, &fields).await;
    assert_eq!(saved["state"], "saved", "{saved}");
    assert_eq!(saved["versions"], serde_json::json!({"ko": 2}), "the other language is not the one that is shown");
    assert!(saved["saved"].as_str().unwrap().starts_with("초안 저장됨 오"), "{saved}");
    fields.insert("version.ko".to_owned(), "2".to_owned());
    fields.insert("base.ko".to_owned(), saved["bases"]["ko"].as_str().unwrap().to_owned());
    fields.insert("en.title".to_owned(), "Haru’s title".to_owned());
    let conflict = haru.autosave(&path, &fields).await;
    assert_eq!(conflict["state"], "conflict", "{conflict}");
    assert!(conflict["conflict"].as_str().unwrap().starts_with("jin 님이 오"), "{conflict}");
    assert_eq!(jin.open(&path).await.fields(&path)["en.title"], "Jin’s title");
    fields.insert("ko.title".to_owned(), "가".repeat(200));
    let refused = haru.autosave(&path, &fields).await;
    assert!(refused["state"] == "refused" && refused["problems"]["ko-title"].is_string(), "{refused}");
}
