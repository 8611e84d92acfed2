//! The routes of editors, as a script uses them.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Person;
use crate::accounts::{Role, account};
use crate::clock::format_timestamp;
use crate::testing::{Answer, Node, eventually, node};

struct Script<'a> {
    node: &'a Node,
    person: Person,
}

impl Script<'_> {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.node.ask(Some(&self.person.browser), method, &format!("/api/v1/admin{path}"), body).await
    }

    /// Sends a request that must succeed, and returns its answer.
    async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, Some(body)).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    /// Sends a request that must be refused, and returns its problem.
    async fn refused(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let answer = self.ask(method, path, Some(body)).await;
        (answer.status.as_u16(), answer.json())
    }
}

#[tokio::test]
async fn a_script_writes_publishes_and_restores_a_section_in_both_languages() {
    let node = node().await;
    let script = Script { node: &node, person: Person::new(&node, "jin").await };
    let listed = script.ask(Method::GET, "/sections?page=terms&locale=ko", None).await.json();
    let first = &listed["items"][0];
    assert_eq!((&first["kind"], &first["state"], &first["version"]), (&json!("intro"), &json!("published"), &json!(1)));
    let new =
        json!({"page": "terms", "kind": "markdown", "locale": "ko", "content": {"title": "새 글", "text": "하나"}});
    let added = script.ok(Method::POST, "/sections", new).await;
    assert_eq!(
        (&added["state"], &added["published_version"], &added["saved_by"]),
        (&json!("draft"), &json!(null), &json!("jin"))
    );
    let path = format!("/sections/{}", added["id"]);
    script.ok(Method::POST, &format!("{path}/publish"), json!({"version": 1, "note": "처음"})).await;
    // Its translation is missing: the first language stands in, and says so.
    eventually("it is shown in both", async || {
        let (ko, en) = (node.get("/ko/terms").await.text, node.get("/en/terms").await.text);
        ko.contains("<section class=\"row\"><h2>새 글</h2>")
            && en.contains("<section class=\"row\" lang=\"ko\"><h2>새 글</h2>")
    })
    .await;
    let translation = json!({"page": "terms", "kind": "markdown", "locale": "en", "group": added["group"], "content": {"title": "New", "text": "one"}});
    let english = script.ok(Method::POST, "/sections", translation.clone()).await;
    assert_eq!(script.refused(Method::POST, "/sections", translation).await.0, 409);
    script.ok(Method::POST, &format!("/sections/{}/publish", english["id"]), json!({"version": 1})).await;
    eventually("the translation is shown", async || {
        let html = node.get("/en/terms").await.text;
        html.contains(">New</h2>") && !html.contains("새 글")
    })
    .await;

    let saved =
        script.ok(Method::PATCH, &path, json!({"version": 1, "content": {"title": "새 글", "text": "둘"}})).await;
    assert_eq!(
        (&saved["state"], &saved["version"], &saved["published_version"]),
        (&json!("changed"), &json!(2), &json!(1))
    );
    let (status, problem) =
        script.refused(Method::PATCH, &path, json!({"version": 1, "content": {"title": "a", "text": "b"}})).await;
    assert_eq!((status, &problem["code"], &problem["current"]), (409, &json!("conflict"), &saved));
    let (status, problem) = script.refused(Method::PATCH, &path, json!({"version": 2, "content": {"title": 7}})).await;
    assert_eq!((status, &problem["code"], &problem["field"]), (422, &json!("bad_payload"), &json!("content")));
    assert!(problem["detail"].as_str().unwrap().starts_with("content.title: "), "{problem}");
    let (_, problem) =
        script.refused(Method::POST, &format!("{path}/publish"), json!({"version": 2, "at": "tomorrow"})).await;
    assert_eq!((&problem["code"], &problem["field"]), (&json!("bad_frame"), &json!("at")));

    let restored = script.ok(Method::POST, &format!("{path}/restore"), json!({"version": 1})).await;
    assert_eq!(
        (&restored["version"], &restored["state"], &restored["content"]["text"]),
        (&json!(3), &json!("published"), &json!("하나"))
    );
    let versions = script.ask(Method::GET, &format!("{path}/versions"), None).await.json();
    let kinds: Vec<(i64, &str)> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["version"].as_i64().unwrap(), one["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [(3, "draft"), (2, "kept"), (1, "published")]);

    let at = crate::clock::format_timestamp(node.app.clock.now() + std::time::Duration::from_secs(600));
    let scheduled = script.ok(Method::POST, &format!("{path}/publish"), json!({"version": 3, "at": at})).await;
    assert_eq!((&scheduled["state"], &scheduled["publish_at"]), (&json!("scheduled"), &json!(at)));
    let cancelled = script.ask(Method::DELETE, &format!("{path}/schedule"), None).await.json();
    assert_eq!((&cancelled["state"], &cancelled["publish_at"]), (&json!("published"), &json!(null)));
    assert_eq!(script.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(script.ask(Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
    let deleted = script.ask(Method::GET, "/sections?deleted=true&page=terms", None).await.json();
    assert_eq!(deleted["items"][0]["id"], added["id"]);
    script.ok(Method::POST, &format!("{path}/undelete"), json!({})).await;
    assert_eq!(script.ask(Method::GET, &path, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_script_sets_numbers_and_banners() {
    let node = node().await;
    let script = Script { node: &node, person: Person::new(&node, "jin").await };
    let set = script.ok(Method::PATCH, "/stats/online", json!({"manual": 1234, "round_to": 100})).await;
    assert_eq!((&set["manual"], &set["version"]), (&json!(1234), &json!(2)));
    let added = script
        .ok(
            Method::POST,
            "/stats",
            json!({"key": "founders", "label": {"ko": "만든 사람", "en": "founders"}, "manual": 4}),
        )
        .await;
    assert_eq!(added["visible"], json!(false));
    script.ok(Method::PATCH, "/stats/founders", json!({"visible": true, "position": 5})).await;
    eventually("both are shown in order", async || {
        let html = node.get("/en").await.text;
        html.find(">founders<")
            .is_some_and(|first| html.find("<span>1,200</span>").is_some_and(|second| first < second))
    })
    .await;
    let (status, problem) = script.refused(Method::PATCH, "/stats/online", json!({"manual": 1, "version": 1})).await;
    assert_eq!((status, &problem["current"]["manual"]), (409, &json!(1234)));
    crate::cms::stats::record_now(&node.app).await;
    // Over a short range the values are not averaged.
    let from = format_timestamp(node.app.clock.now() - time::Duration::minutes(1));
    let history = script.ask(Method::GET, &format!("/stats/online/history?from={from}"), None).await.json();
    assert_eq!(history["items"].as_array().unwrap().last().unwrap()["value"], json!(1234.0));
    assert_eq!(script.ask(Method::GET, "/stats/nothing/history", None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(script.ask(Method::DELETE, "/stats/founders", None).await.status, StatusCode::NO_CONTENT);

    let banner = json!({"text": {"ko": "오늘 밤 점검해요 <b>", "en": "Maintenance tonight"}, "tone": "warn", "places": ["landing", "lobby"]});
    let saved = script.ok(Method::POST, "/banners", banner.clone()).await;
    eventually("it is shown", async || {
        let (ko, en) = (node.get("/ko").await.text, node.get("/en/rules").await.text);
        ko.contains("banner-warn")
            && !ko.contains("점검해요 <b>")
            && en.contains(">Maintenance tonight</p>")
            && !en.contains(">founders<")
    })
    .await;
    let lobby = node.get("/api/v1/banners?place=lobby").await.json();
    assert_eq!(
        (&lobby["items"][0]["tone"], &lobby["items"][0]["key"]),
        (&json!("warn"), &json!(format!("{}-1", saved["id"])))
    );
    assert_eq!(node.get("/api/v1/banners?place=chat").await.json()["items"], json!([]));
    let mut ended = banner;
    ended["starts_at"] = json!("2026-01-01T00:00:00Z");
    ended["ends_at"] = json!("2026-01-02T00:00:00Z");
    let path = format!("/banners/{}", saved["id"]);
    assert_eq!(script.ok(Method::PUT, &path, ended.clone()).await["version"], json!(2));
    ended["ends_at"] = json!("2025-01-02T00:00:00Z");
    assert_eq!(script.refused(Method::PUT, &path, ended).await.1["field"], json!("ends_at"));
    eventually("it has ended", async || !node.get("/ko").await.text.contains("banner-warn")).await;
    assert_eq!(script.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(script.ask(Method::DELETE, &path, None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_editors_and_admins_edit() {
    let node = node().await;
    let mut nth = 0;
    for (role, status) in [(Role::Member, 404), (Role::Moderator, 404), (Role::Editor, 200), (Role::Admin, 200)] {
        nth += 1;
        let browser = account(&node, &format!("person-{nth}"), role).await;
        for path in ["/api/v1/admin/sections", "/api/v1/admin/stats", "/api/v1/admin/banners"] {
            assert_eq!(
                node.ask(Some(&browser), Method::GET, path, None).await.status.as_u16(),
                status,
                "{role:?} {path}"
            );
            assert_eq!(node.get(path).await.status, 401, "{path}");
        }
    }
}

#[tokio::test]
async fn rules_that_are_to_be_accepted_again_are_asked_for_on_every_node() {
    let node = node().await;
    let apart = Node::apart(&node).await;
    let script = Script { node: &node, person: Person::new(&node, "jin").await };
    let guest = node.guest("ko").await;
    let mut socket = node.socket(&guest).await;
    let rules = async |on: &Node| on.ask(Some(&guest), Method::GET, "/api/v1/me", None).await.json()["rules"].clone();
    let before = rules(&node).await;
    assert_eq!(before["current"], before["accepted"]);
    let section = script.ask(Method::GET, "/sections?page=rules&locale=ko", None).await.json()["items"][1].clone();
    let path = format!("/sections/{}/publish", section["id"]);
    let terms = script.ask(Method::GET, "/sections?page=terms&locale=ko", None).await.json()["items"][1]["id"].clone();
    let wrong = format!("/sections/{terms}/publish");
    let (_, problem) = script.refused(Method::POST, &wrong, json!({"version": 1, "accept_again": true})).await;
    assert_eq!(problem["field"], "accept_again");
    script.ok(Method::POST, &path, json!({"version": 1, "accept_again": true})).await;
    for on in [&node, &apart] {
        eventually("the node asks for them", async || rules(on).await["current"] != before["current"]).await;
    }
    // A socket that was open asks for them too.
    let seek = json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": false});
    assert_eq!(socket.refused(seek.clone()).await, "age_gate");
    let old = json!({"rules": before["current"], "adult": true});
    assert_eq!(node.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(old)).await.status, StatusCode::CONFLICT);
    let new = json!({"rules": rules(&node).await["current"], "adult": true});
    assert_eq!(node.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(new)).await.status, StatusCode::OK);
    socket.ok(seek).await;
}
