//! What this service offers: `GET /me` tells a page, and a wish for something else has no effect.
use axum::http::Method;
use serde_json::json;

use crate::testing::node;

#[tokio::test]
async fn without_a_translator_a_wish_for_translation_is_ignored() {
    let node = node().await;
    let who = node.guest("ko").await;
    for method in [Method::GET, Method::PATCH] {
        let me = node.ask(Some(&who), method.clone(), "/api/v1/me", (method == Method::PATCH).then(|| json!({}))).await;
        assert_eq!(me.json()["features"], json!({"translation": false}), "{method}");
    }
    let mut socket = node.socket(&who).await;
    socket.ok(json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": true})).await;
    let stored: Vec<bool> =
        sqlx::query_scalar("SELECT translate FROM random_ticket").fetch_all(&node.app.db).await.unwrap();
    assert_eq!(stored, [false]);
    let described = node.get("/api/openapi.json").await.json();
    assert_eq!(described["components"]["schemas"]["Features"]["properties"]["translation"]["type"], "boolean");
}
