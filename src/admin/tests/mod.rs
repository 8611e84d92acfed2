//! The back-office: who sees which page, what its pages show, and what its acts leave behind.
mod images;

use std::collections::BTreeSet;
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use time::Duration;

use super::health::{Found, Level, level};
use super::{health, measure, settings};
use crate::accounts::{Role, account, sign_in};
use crate::audit;
use crate::cli::ServeArgs;
use crate::config::Config;
use crate::locale::{ACTIONS, Locale, Told};
use crate::samples::{self, Combine, Part, Step};
use crate::testing::{Answer, Guest, Node, node};

/// Opens a page as a browser of somebody does.
async fn open(node: &Node, who: &Guest, path: &str) -> Answer {
    let request = Request::get(path).header(header::COOKIE, &who.cookie).header(header::ACCEPT_LANGUAGE, "en");
    node.send(request.header(header::ACCEPT, "text/html").body(Body::empty()).unwrap()).await
}

/// Sends a form with the token of a page.
async fn submit(node: &Node, who: &Guest, page: &str, action: &str, fields: &str) -> Answer {
    let html = open(node, who, page).await.text;
    let token = html.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    send_form(node, who, action, &format!("token={token}&{fields}")).await
}

async fn send_form(node: &Node, who: &Guest, action: &str, body: &str) -> Answer {
    let request = Request::post(action)
        .header(header::COOKIE, &who.cookie)
        .header(header::ORIGIN, node.origin())
        .header(header::ACCEPT_LANGUAGE, "en")
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    node.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn actions(node: &Node) -> Vec<String> {
    sqlx::query_scalar("SELECT action FROM audit_log ORDER BY id").fetch_all(&node.app.db).await.unwrap()
}

#[tokio::test]
async fn a_guest_is_led_to_sign_in_and_back() {
    let node = node().await;
    let page = node.get("/admin").await;
    assert_eq!(page.status, 303);
    assert_eq!(page.headers["location"], "/signin?next=/admin");
}

#[tokio::test]
async fn each_role_sees_its_pages_and_no_others() {
    let node = node().await;
    let pages = ["/admin", "/admin/health", "/admin/people", "/admin/sessions", "/admin/audit", "/admin/settings"];
    for (role, seen) in [(Role::Member, 0), (Role::Editor, 2), (Role::Moderator, 4), (Role::Admin, 6)] {
        let who = account(&node, &format!("is-{}", role.as_str()), role).await;
        for (nth, path) in pages.into_iter().enumerate() {
            let page = open(&node, &who, path).await;
            let expected = if nth < seen { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(page.status, expected, "{path} for {role:?}");
            let in_menu = pages.iter().filter(|other| page.text.contains(&format!("<li><a href=\"{other}\"")));
            assert_eq!(in_menu.count(), if nth < seen { seen } else { 0 }, "{path} for {role:?}");
        }
    }
}

#[tokio::test]
async fn the_dashboard_shows_what_was_measured_and_says_where_nothing_was() {
    let node = node().await;
    let who = account(&node, "jin", Role::Editor).await;
    let empty = open(&node, &who, "/admin?range=15m&refresh=10").await;
    assert!(empty.text.contains("No values") && empty.text.contains("aria-current=\"true\">15 min"), "{}", empty.text);
    let now = Step::TenSeconds.start_of(node.app.clock.now());
    let part = |series, value| Part { series, combine: Combine::Replace, value, amount: 1 };
    for nth in 0..6 {
        let at = now - Duration::seconds(nth * 10);
        samples::record_parts(&node.app.db, at, &[part("people.online", 1_284.0), part("rooms.open", 87.0)])
            .await
            .unwrap();
        let week_ago = at - Duration::days(7);
        samples::record_parts(&node.app.db, week_ago, &[part("people.online", 1_072.0)]).await.unwrap();
    }
    let page = open(&node, &who, "/admin?range=1h").await.text;
    assert!(page.contains("1,284") && page.contains("212 more than at this time last week"), "{page}");
    assert!(page.contains("<figure class=\"chart\"") && page.contains("View as table"));
    assert!(!page.contains("style="), "no inline styles");
    node.app.clock.advance(std::time::Duration::from_secs(200));
    let stale = open(&node, &who, "/admin?range=1h").await.text;
    assert!(stale.contains("Stopped 3 minutes ago"), "{stale}");
    let api = node.ask(Some(&who), Method::GET, "/api/v1/admin/samples?series=rooms.open,none&range=1h", None).await;
    let read = api.json();
    assert_eq!((&read["step_s"], &read["items"][1]["points"]), (&json!(10), &json!([])));
    assert_eq!(read["items"][0]["points"][0][1], json!(87.0));
    for wrong in ["range=2h", "before=-1", &format!("series={}", vec!["x"; 21].join(","))] {
        let answer = node.ask(Some(&who), Method::GET, &format!("/api/v1/admin/samples?{wrong}"), None).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (400, json!("bad_frame")), "{wrong}");
    }
}

#[tokio::test]
async fn a_panel_that_cannot_be_read_says_so_and_the_page_stays() {
    let node = node().await;
    let who = account(&node, "jin", Role::Editor).await;
    let lock = node.lock("sample").await;
    let page = open(&node, &who, "/admin").await;
    drop(lock);
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("The values could not be read") && page.text.contains("Try again"));
}

#[tokio::test]
async fn a_node_measures_itself_and_the_leader_measures_for_all() {
    let node = node().await;
    crate::testing::eventually("this node leads", || async { crate::matching::leading_for(&node.app).is_some() }).await;
    let (one, two) = (node.guest("ko").await, node.guest("ko").await);
    measure::record(&node.app).await.unwrap();
    let mut talk = node.talk(&one, &two).await;
    talk.a.text(&talk.room, "hello").await;
    node.app.clock.advance(std::time::Duration::from_secs(10));
    measure::record(&node.app).await.unwrap();
    let since = node.app.clock.now() - Duration::minutes(1);
    let all = samples::latest(&node.app.db, &measure::series::ALL, since).await.unwrap();
    let value = |series: &str| all.iter().find(|(name, _)| name == series).map(|(_, point)| point.value);
    assert_eq!(value("matching.talks"), Some(1.0));
    assert!(value("messages.talks").unwrap() > 0.0 && value("writer.commit_p99").unwrap() > 0.0, "{all:?}");
    assert_eq!((value("messages.rooms"), value("http.errors")), (Some(0.0), Some(0.0)));
    assert!(value("http.requests").unwrap() > 0.0 && value("matching.wait_median").is_some());
}

#[tokio::test]
async fn a_moderator_finds_people_and_ends_their_sessions() {
    let node = node().await;
    let moderator = account(&node, "min", Role::Moderator).await;
    let member = account(&node, "hana", Role::Member).await;
    let admin = account(&node, "jin", Role::Admin).await;
    let guest = node.guest("en").await;
    let list = open(&node, &moderator, "/admin/people?q=HA").await.text;
    assert!(list.contains(&format!("/admin/people/{}", member.id)) && !list.contains(&admin.id), "{list}");
    for words in [guest.id.as_str(), &member.id] {
        assert!(open(&node, &moderator, &format!("/admin/people?q={words}")).await.text.contains(words));
    }
    let pages = node.ask(Some(&moderator), Method::GET, "/api/v1/admin/people?limit=2", None).await.json();
    let next = pages["next"].as_str().unwrap();
    let rest = format!("/api/v1/admin/people?limit=2&cursor={next}");
    let rest = node.ask(Some(&moderator), Method::GET, &rest, None).await.json();
    let handles = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["handle"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!([handles(&pages), handles(&rest)].concat(), ["hana", "jin", "min"]);
    assert!(!pages.to_string().contains('@'), "no mail address");
    let mut socket = node.socket(&member).await;
    let page = format!("/admin/people/{}", member.id);
    let confirm = format!("{page}/end-sessions");
    assert!(open(&node, &moderator, &confirm).await.text.contains("End the sessions?"));
    let refused = send_form(&node, &moderator, &confirm, "token=x").await;
    assert_ne!(refused.status, StatusCode::SEE_OTHER, "a form of another session");
    let done = submit(&node, &moderator, &confirm, &confirm, "").await;
    assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (StatusCode::SEE_OTHER, page.as_str()));
    assert!(open(&node, &moderator, &page).await.text.contains("The sessions of hana have ended."));
    loop {
        match socket.next().await {
            Ok(frame) if frame["kind"] == "revoked" => assert_eq!(frame["reason"], "ended_by_staff"),
            Ok(_) => {}
            Err(code) => break assert_eq!(code, 4401),
        }
    }
    // The sessions of staff are ended by administrators only.
    let confirm = format!("/admin/people/{}/end-sessions", admin.id);
    submit(&node, &moderator, &confirm, &confirm, "").await;
    assert_eq!(open(&node, &admin, "/admin/audit").await.status, StatusCode::OK);
    assert_eq!(open(&node, &moderator, &format!("/admin/people/{}/role?role=admin", member.id)).await.status, 404);
    assert_eq!(actions(&node).await.iter().filter(|action| *action == "account.sessions_ended").count(), 1);
}

#[tokio::test]
async fn an_admin_changes_roles_but_not_that_of_the_last_admin() {
    let node = node().await;
    let admin = account(&node, "jin", Role::Admin).await;
    let member = account(&node, "hana", Role::Member).await;
    let own = format!("/admin/people/{}/role", admin.id);
    submit(&node, &admin, &format!("{own}?role=editor"), &own, "role=editor").await;
    let page = open(&node, &admin, &format!("/admin/people/{}", admin.id)).await.text;
    assert!(page.contains("This is the last administrator"), "{page}");
    let role = format!("/admin/people/{}/role", member.id);
    let asked = open(&node, &admin, &format!("{role}?role=editor")).await.text;
    assert!(asked.contains("Member → Editor") && asked.contains("signed out"), "{asked}");
    submit(&node, &admin, &format!("{role}?role=editor"), &role, "role=editor").await;
    assert_eq!(open(&node, &member, "/admin").await.status, StatusCode::SEE_OTHER, "signed out");
    let member = sign_in(&node, "hana").await.unwrap();
    assert_eq!(open(&node, &member, "/admin").await.status, StatusCode::OK);
    // The page offers to take it back.
    let page = open(&node, &admin, &format!("/admin/people/{}", member.id)).await.text;
    assert!(page.contains("name=\"role\" value=\"member\""), "{page}");
    submit(&node, &admin, "/admin/people", &role, "role=member").await;
    let member = sign_in(&node, "hana").await.unwrap();
    assert_eq!(open(&node, &member, "/admin").await.status, StatusCode::NOT_FOUND);
    let changed = actions(&node).await.into_iter().filter(|action| action == "account.role_changed").count();
    assert_eq!(changed, 2);
}

#[tokio::test]
async fn a_reset_link_is_shown_once_and_sets_a_password() {
    let node = node().await;
    let admin = account(&node, "jin", Role::Admin).await;
    let member = account(&node, "hana", Role::Member).await;
    let path = format!("/admin/people/{}/reset", member.id);
    let shown = submit(&node, &admin, &path, &path, "second_factor=yes").await;
    assert_eq!((shown.status, shown.headers["cache-control"].to_str().unwrap()), (StatusCode::OK, "no-store"));
    let link = shown.text.split("data-text=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let token = link.strip_prefix(&format!("{}/reset/", node.origin())).unwrap();
    assert!(!open(&node, &admin, &format!("/admin/people/{}", member.id)).await.text.contains(token));
    let body = json!({"token": token, "password": "correct horse battery"});
    let set = node.ask(None, Method::POST, "/api/v1/account/reset/confirm", Some(body)).await;
    assert!(set.status.is_success(), "{}", set.text);
    let logged = open(&node, &admin, "/admin/audit?action=account.reset").await.text;
    assert!(logged.contains("jin reset the password of hana and removed the second factor."), "{logged}");
    assert!(!logged.contains(token));
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_ended_one_by_one() {
    let node = node().await;
    let admin = account(&node, "jin", Role::Admin).await;
    let member = account(&node, "hana", Role::Member).await;
    let page = node.ask(Some(&admin), Method::GET, "/api/v1/admin/sessions?limit=1", None).await.json();
    assert_eq!(page["items"][0]["handle"], "hana");
    let rest = format!("/api/v1/admin/sessions?limit=1&cursor={}", page["next"].as_str().unwrap());
    let rest = node.ask(Some(&admin), Method::GET, &rest, None).await.json();
    assert_eq!((&rest["items"][0]["handle"], &rest["next"]), (&json!("jin"), &Value::Null));
    let session = page["items"][0]["id"].as_str().unwrap();
    assert!(open(&node, &admin, "/admin/sessions").await.text.contains(&format!("data-session=\"{session}\"")));
    let path = format!("/api/v1/admin/sessions/{session}");
    assert_eq!(node.ask(Some(&admin), Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(node.ask(Some(&admin), Method::DELETE, &path, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(node.ask(Some(&member), Method::GET, "/api/v1/account", None).await.status, StatusCode::UNAUTHORIZED);
}

/// Adds an act of the system to the log.
async fn add_act(node: &Node, subject: &str) {
    let mut tx = node.app.db.begin().await.unwrap();
    let actor = audit::Actor::System;
    let act = audit::Act { actor, action: "server.updated", subject, detail: json!({"n": 1}), prefix_hash: None };
    audit::record(&mut tx, act).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_audit_log_is_filtered_paged_exported_and_checked() {
    let node = node().await;
    let admin = account(&node, "jin", Role::Admin).await;
    for nth in 0..60 {
        add_act(&node, &format!("=v{nth}")).await;
    }
    let first = open(&node, &admin, "/admin/audit?action=server").await.text;
    assert!(first.contains("version =v59") && !first.contains("version =v9.") && !first.contains("jin signed in"));
    let older = first.split("href=\"/admin/audit?action=server&#38;cursor=").nth(1).unwrap();
    let older = older.split('"').next().unwrap();
    let second = open(&node, &admin, &format!("/admin/audit?action=server&cursor={older}")).await.text;
    assert!(second.contains("version =v9.") && !second.contains("version =v59"));
    let by_actor = open(&node, &admin, "/admin/audit?actor=jin").await.text;
    assert!(by_actor.contains("jin signed in") && !by_actor.contains("=v59"));
    assert_eq!(open(&node, &admin, "/admin/audit?from=soon").await.status, StatusCode::BAD_REQUEST);
    let csv = open(&node, &admin, "/admin/audit.csv?action=server.updated").await;
    assert_eq!((csv.text.lines().count(), csv.text.contains("\"'=v59\"")), (61, true), "{}", csv.text);
    let lines = open(&node, &admin, "/admin/audit.jsonl?to=2001-01-01").await;
    assert_eq!(lines.text, "");
    let api = node.ask(Some(&admin), Method::GET, "/api/v1/admin/audit?action=account.signed_in", None).await.json();
    assert_eq!((&api["items"][0]["actor"], &api["next"]), (&json!("jin"), &Value::Null));
    assert_eq!(submit(&node, &admin, "/admin/audit", "/admin/audit/verify", "").await.status, StatusCode::SEE_OTHER);
    crate::testing::eventually("the chain is checked", || async {
        open(&node, &admin, "/admin/audit").await.text.contains("entries follow each other")
    })
    .await;
}

#[tokio::test]
async fn a_new_version_is_recorded_once() {
    let node = node().await;
    for version in ["1", "1", "2", "2", "1"] {
        audit::record_version(&node.app.db, version).await.unwrap();
    }
    let subjects: Vec<String> =
        sqlx::query_scalar("SELECT subject FROM audit_log ORDER BY id").fetch_all(&node.app.db).await.unwrap();
    assert_eq!(subjects, ["1", "2", "1"]);
}

#[test]
fn every_action_of_the_code_has_a_sentence_in_every_language() {
    let mut found = BTreeSet::new();
    collect_actions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() >= 12 && found.contains("account.role_changed"), "{found:?}");
    let known: BTreeSet<String> = ACTIONS.iter().map(|(action, ..)| (*action).to_owned()).collect();
    let missing: Vec<_> = found.difference(&known).collect();
    assert!(missing.is_empty(), "without a sentence in src/locale/admin/audit.rs: {missing:?}");
    for locale in Locale::ALL {
        let a = &locale.admin().audit;
        for (action, ..) in ACTIONS {
            let told = Told { actor: "jin", action, subject: "hana", detail: &json!({}) };
            let sentence = (a.sentence)(&told);
            assert!(!sentence.contains(action) && !(a.action_name)(action).is_empty(), "{sentence}");
        }
        let told = Told { actor: "jin", action: "room.painted", subject: "x", detail: &json!({}) };
        assert!((a.sentence)(&told).contains("room.painted"), "another version's act is told by its name");
    }
}

/// Collects the actions that the code records: the texts of a noun and a verb beside `action` or a
/// call that records.
fn collect_actions(folder: &Path, found: &mut BTreeSet<String>) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            collect_actions(&path, found);
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".rs")
            || name.ends_with("tests.rs")
            || path.components().any(|part| part.as_os_str() == "tests")
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for line in code.lines().filter(|line| {
            ["action", "ACTION", "record(", "audit", "revoke(", ".act("].iter().any(|word| line.contains(word))
        }) {
            for literal in line.split('"').skip(1).step_by(2) {
                let is_action = literal.split_once('.').is_some_and(|(noun, verb)| {
                    let is_word =
                        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                    is_word(noun)
                        && is_word(verb)
                        && !["rooms", "matching", "accounts", "admin", "audit", "cms"].contains(&noun)
                });
                if is_action || literal == "accounts.imported" {
                    found.insert(literal.to_owned());
                }
            }
        }
    }
}

#[tokio::test]
async fn health_tells_how_each_part_is() {
    let node = node().await;
    let who = account(&node, "jin", Role::Editor).await;
    health::check(node.app.clone()).await;
    let page = open(&node, &who, "/admin/health").await.text;
    for part in ["Postgres", "Storing messages", "Matching", "Disk", "there is one node", "set --smtp-url"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for (found, expected) in [
        (Found::Postgres(None), Level::Wrong),
        (Found::Relay(Some(Err(()))), Level::Wrong),
        (Found::Relay(None), Level::Off),
        (Found::Writer { can_write: false, waiting: 0, shards: 2 }, Level::Wrong),
        (Found::Writer { can_write: true, waiting: 4_000, shards: 2 }, Level::Warning),
        (Found::Matcher { leading: None, other: None, is_late: false }, Level::Wrong),
        (Found::Matcher { leading: None, other: Some("a".to_owned()), is_late: false }, Level::Good),
        (Found::Sweeper { is_late: true, is_here: true }, Level::Warning),
        (Found::Disk(Some((2, 100))), Level::Wrong),
        (Found::Disk(Some((9, 100))), Level::Warning),
        (Found::Disk(Some((50, 100))), Level::Good),
        (Found::Node(vec!["stopping".to_owned()]), Level::Wrong),
    ] {
        assert_eq!(level(&found), expected, "{found:?}");
    }
}

#[tokio::test]
async fn the_settings_page_names_the_nodes_that_are_alive() {
    let node = node().await;
    let admin = account(&node, "jin", Role::Admin).await;
    let address = node.app.config.listen.to_string();
    crate::testing::eventually("the node has written itself", || async {
        open(&node, &admin, "/admin/settings").await.text.contains(&address)
    })
    .await;
    let page = open(&node, &admin, "/admin/settings").await.text;
    assert!(page.contains(env!("CARGO_PKG_VERSION")) && page.contains("This node"), "{page}");
}

#[test]
fn every_setting_is_described_and_no_secret_is_shown() {
    let args = ServeArgs {
        database_url: Some("postgres://u:hush@db/maju".to_owned()),
        smtp_url: Some("smtps://me:hush@mail.example.org".to_owned()),
        mail_from: Some("no-reply@example.org".to_owned()),
        verifier_url: Some("https://verify.example.org".to_owned()),
        verifier_secret: Some("hush".repeat(10)),
        origins: [("database-url", "DATABASE_URL"), ("smtp-url", "maju.toml:3: smtp-url")]
            .map(|(name, origin)| (name.to_owned(), origin.to_owned()))
            .into(),
        ..ServeArgs::default()
    };
    let config = Config::read(&args).unwrap();
    for locale in Locale::ALL {
        let s = &locale.admin().settings;
        let rows = settings::rows(&config, s);
        assert_eq!(rows.len(), s.about.len());
        assert!(rows.iter().all(|row| !row.about.is_empty() && !row.value.contains("hush")));
        let find = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!(find("verifier-secret").value, s.is_set);
        assert_eq!(find("database-url").origin, format!("{} · DATABASE_URL", s.variable));
        assert!(find("smtp-url").origin.starts_with(s.file));
        assert!(find("time-zone").is_usual);
    }
}
