//! Lists: the items of a section, and the sections of a page.
use axum::http::StatusCode;

use super::{Browser, wait_for};
use crate::admin::sections::fields::KINDS;
use crate::testing::node;

#[tokio::test]
async fn an_item_is_added_moved_and_removed_without_a_script() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "자주 묻는 질문").await;
    let count = |editor: &Browser<'_>| {
        editor.fields(&path).keys().filter(|name| name.starts_with("ko.items.") && name.ends_with(".question")).count()
    };
    let before = count(&editor);
    editor.submit(&path, &[("do", "add:items"), ("ko.title", "새 제목")]).await;
    assert_eq!(count(&editor), before + 1, "one more, empty item");
    let last = format!("ko.items.{before}.question");
    editor
        .submit(
            &path,
            &[
                (&last, "새 질문"),
                (&last.replace("question", "answer"), "새 답"),
                ("do", &format!("up:items.{before}")),
            ],
        )
        .await;
    let fields = editor.fields(&path);
    assert_eq!(fields[&format!("ko.items.{}.question", before - 1)], "새 질문");
    assert_eq!(fields["ko.title"], "새 제목", "what else was written is saved");
    editor.submit(&path, &[("do", "remove:items.0")]).await;
    assert_eq!((count(&editor), editor.note().as_str()), (before, "지웠어요."));
    editor.undo().await;
    let back = editor.fields(&path);
    assert_eq!(back, fields_with_versions(&fields, &back), "all is as it was before");
}

/// Fields with the versions of others: each save raises them.
fn fields_with_versions(
    fields: &std::collections::BTreeMap<String, String>,
    versions: &std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    let newer = versions.iter().filter(|(name, _)| name.starts_with("version."));
    let mut fields = fields.clone();
    fields.extend(newer.map(|(name, value)| (name.clone(), value.clone())));
    fields
}

#[tokio::test]
async fn sections_move_and_hide_at_once_in_both_languages() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let before = editor.order("landing").await;
    let first = editor.html.split("data-group=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    editor.submit("/admin/pages/landing/order", &[("group", &first), ("move", "down")]).await;
    let note = editor.note();
    let after = editor.order("landing").await;
    assert_eq!((&after[0], &after[1], &after[2..]), (&before[1], &before[0], &before[2..]));
    assert_eq!(note, format!("‘{}’ 구역을 2번째 자리로 옮겼어요.", before[0]));
    let steps = editor.open_section("landing", "이용 방법").await;
    let group = steps.rsplit('/').next().unwrap().to_owned();
    editor.open("/admin/pages/landing").await;
    editor.submit("/admin/pages/landing/visible", &[("group", &group), ("visible", "false")]).await;
    for path in ["/ko", "/en"] {
        let since = std::time::Instant::now();
        while node.get(path).await.text.contains("id=\"how\"") {
            assert!(since.elapsed() < crate::testing::TEST_TIMEOUT, "{path} still shows it");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    editor.submit("/admin/pages/landing/visible", &[("group", &group), ("visible", "true")]).await;
    wait_for(&node, "/ko", "id=\"how\"").await;
}

#[tokio::test]
async fn a_deleted_section_comes_back_in_both_languages() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = editor.open_section("landing", "안전").await;
    let before = editor.order("landing").await.len();
    editor.open(&path).await.submit(&format!("{path}/delete"), &[]).await;
    assert_eq!(editor.note(), "‘안전’ 구역을 지웠어요.");
    assert_eq!(editor.order("landing").await.len(), before - 1);
    // The note was of one page: the list of deleted sections has them still.
    assert!(editor.html.contains("지운 구역 2"));
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM page_section WHERE deleted_at IS NOT NULL ORDER BY id")
        .fetch_all(&node.app.db)
        .await
        .unwrap();
    let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    editor.submit("/admin/pages/landing/restore", &[("ids", &ids)]).await;
    assert_eq!(editor.note(), "‘안전’ 구역을 되살렸어요.");
    assert_eq!(editor.order("landing").await.len(), before);
}

#[tokio::test]
async fn every_kind_can_be_added_filled_in_and_translated() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    for kind in &KINDS {
        editor.open("/admin/pages/landing/add").await;
        editor.submit("/admin/pages/landing/add", &[("kind", kind.name)]).await;
        assert_eq!(editor.status, StatusCode::OK, "{}: {}", kind.name, editor.html);
        let path = editor.path.clone();
        assert!(editor.html.contains("English 글이 아직 없어요"), "{}", kind.name);
        editor.submit(&path, &[("ko.title", "가나다"), ("do", "copy:ko:en:")]).await;
        assert_eq!(editor.status, StatusCode::OK, "{}: {}", kind.name, editor.html);
        assert_eq!(editor.fields(&path)["en.title"], "가나다", "{}", kind.name);
        let fields = editor.fields(&path);
        editor.submit(&path, &[]).await;
        assert_eq!(editor.fields(&path), fields, "{}: nothing changes by itself", kind.name);
    }
}
