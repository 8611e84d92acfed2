//! The pages of the numbers over the real router and Postgres.
use axum::http::StatusCode;

use crate::admin::sections::tests::{Browser, wait_for};
use crate::testing::node;

#[tokio::test]
async fn a_number_is_set_by_hand_shown_and_taken_back() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let path = "/admin/numbers/talks_today";
    editor.open(path).await;
    editor.submit(path, &[("manual", "1,234"), ("label.ko", "오늘 만난 사람들"), ("round_to", "10")]).await;
    assert_eq!(editor.note(), "저장했어요. 첫 화면에 바로 보여요.");
    assert!(editor.html.contains("지금 값으로는 이렇게 보여요: 1,230 오늘 만난 사람들"), "{}", editor.html);
    wait_for(&node, "/ko", "오늘 만난 사람들").await;
    editor.undo().await;
    assert_eq!(editor.fields(path)["label.ko"], "오늘 시작한 대화");
    assert_eq!(editor.fields(path)["manual"], "");
}

#[tokio::test]
async fn two_editors_of_a_number_overwrite_nothing_unseen() {
    let node = node().await;
    let mut haru = Browser::staff(&node, "haru", "editor").await;
    let mut jin = Browser::staff(&node, "jin", "editor").await;
    let path = "/admin/numbers/online";
    haru.open(path).await;
    jin.open(path).await.submit(path, &[("label.ko", "진의 말")]).await;
    haru.submit(path, &[("label.ko", "하루의 말")]).await;
    assert_eq!(haru.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(haru.html.contains("그사이 jin 님이 바꿨어요") && haru.html.contains("<h1>진의 말"), "{}", haru.html);
    assert_eq!(haru.fields(path)["label.ko"], "하루의 말");
    haru.submit(path, &[]).await;
    assert_eq!((haru.status, haru.fields(path)["label.ko"].as_str()), (StatusCode::OK, "하루의 말"));
}

#[tokio::test]
async fn a_number_is_added_ordered_deleted_and_restored() {
    let node = node().await;
    let mut editor = Browser::staff(&node, "haru", "editor").await;
    let list = "/admin/numbers";
    editor.open(list).await;
    editor.submit(list, &[("key", "Odd Key"), ("label.ko", "문장")]).await;
    assert_eq!(editor.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(editor.fields(list)["label.ko"], "문장", "nothing entered is lost");
    editor.submit(list, &[("key", "poems"), ("manual", "7")]).await;
    assert_eq!(editor.path, "/admin/numbers/poems");
    editor.open(list).await.submit("/admin/numbers/order", &[("key", "poems"), ("move", "up")]).await;
    let order = |editor: &Browser<'_>| {
        let keys = editor.html.split("href=\"/admin/numbers/").skip(1).map(|rest| rest.split('"').next().unwrap());
        keys.map(str::to_owned).collect::<Vec<_>>()
    };
    let moved = order(&editor);
    assert_eq!(moved[moved.len() - 2], "poems");
    editor.open("/admin/numbers/poems").await.submit("/admin/numbers/poems/delete", &[]).await;
    assert!(!order(&editor).contains(&"poems".to_owned()));
    editor.undo().await;
    assert_eq!(order(&editor), moved);
}
