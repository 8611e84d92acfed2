//! Who may call which route: every route of the API's description for every kind of person. A route
//! without a rule fails the test.
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::account;
use crate::accounts::{RULES_VERSION, Role};
use crate::moderation::{self, NewSanction};
use crate::rooms;
use crate::testing::{Guest, Node, node};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Person {
    Guest,
    Signed(Role),
    /// A member of no room.
    Foreign,
    Banned,
    /// Signed in, until the session was revoked.
    Expired,
}

const PEOPLE: [Person; 8] = [
    Person::Guest,
    Person::Signed(Role::Member),
    Person::Signed(Role::Moderator),
    Person::Signed(Role::Editor),
    Person::Signed(Role::Admin),
    Person::Foreign,
    Person::Banned,
    Person::Expired,
];

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Everybody, with or without a visitor.
    Site,
    /// Everybody; who has no live session becomes a guest.
    Me,
    /// Every visitor who is not banned.
    Visitor,
    /// Who is in the room of the path.
    Room,
    /// Who is signed in.
    Account,
    /// Staff of any role.
    Staff,
    /// Staff of a role, and administrators.
    Role(Role),
}

/// Returns the rule of a route, and a body that it accepts.
fn rule(route: &str) -> Option<(Rule, Option<Value>)> {
    let message = json!({"client_id": Uuid::new_v4(), "payload": {"kind": "text", "text": "x"}});
    let room = json!({"title": "x", "kind": "public", "naming": "anonymous", "history": true});
    Some(match route {
        "GET /api/v1/me" => (Rule::Me, None),
        "PATCH /api/v1/me" => (Rule::Visitor, Some(json!({"rules": RULES_VERSION, "adult": true}))),
        "GET /api/v1/rooms" => (Rule::Visitor, None),
        "POST /api/v1/rooms" => (Rule::Visitor, Some(room)),
        "GET /api/v1/rooms/{room}" | "GET /api/v1/rooms/{room}/messages" | "GET /api/v1/rooms/{room}/log" => {
            (Rule::Room, None)
        }
        "POST /api/v1/rooms/{room}/messages" => (Rule::Room, Some(message)),
        "GET /api/v1/topics"
        | "GET /api/v1/topics/together"
        | "GET /api/v1/waits"
        | "GET /api/v1/content"
        | "GET /api/v1/stats" => (Rule::Site, None),
        "GET /api/v1/banners" => (Rule::Site, None),
        "GET /api/v1/me/blocks" | "DELETE /api/v1/me/blocks/{id}" | "POST /api/v1/sign-out" => (Rule::Visitor, None),
        "GET /api/v1/sessions"
        | "DELETE /api/v1/sessions"
        | "DELETE /api/v1/sessions/{id}"
        | "POST /api/v1/session/stay" => (Rule::Account, None),
        route if route.contains(" /api/v1/admin/") => return rule_of_back_office(route),
        _ => return rule_of_sign_in(route),
    })
}

/// As [`rule`], for the back-office.
fn rule_of_back_office(route: &str) -> Option<(Rule, Option<Value>)> {
    Some(match route {
        "GET /api/v1/admin/samples" => (Rule::Staff, None),
        "GET /api/v1/admin/people"
        | "GET /api/v1/admin/people/{id}"
        | "DELETE /api/v1/admin/people/{id}/sessions"
        | "GET /api/v1/admin/sessions"
        | "DELETE /api/v1/admin/sessions/{id}" => (Rule::Role(Role::Moderator), None),
        "POST /api/v1/admin/people/{id}/role" => (Rule::Role(Role::Admin), Some(json!({"role": "editor"}))),
        "POST /api/v1/admin/people/{id}/reset" => (Rule::Role(Role::Admin), Some(json!({"second_factor": false}))),
        "GET /api/v1/admin/audit" => (Rule::Role(Role::Admin), None),
        route if route.contains(" /api/v1/admin/media") => {
            let alt = json!({"alt": {"ko": "가", "en": "a"}});
            (Rule::Role(Role::Editor), route.starts_with("PATCH").then_some(alt))
        }
        _ => return rule_of_editing(route),
    })
}

/// As [`rule`], for what editors change.
fn rule_of_editing(route: &str) -> Option<(Rule, Option<Value>)> {
    let section = json!({"page": "rules", "kind": "markdown", "locale": "ko"});
    let banner = json!({"text": {"ko": "x"}, "tone": "info", "places": ["chat"]});
    let path = route.split_once("/api/v1/admin").map_or("", |(_, path)| path);
    let body = match (route.split(' ').next().unwrap_or_default(), path) {
        ("GET" | "DELETE", "/sections" | "/sections/{id}" | "/sections/{id}/versions" | "/sections/{id}/schedule") => {
            None
        }
        ("POST", "/sections") => Some(section),
        ("POST", "/sections/order") => Some(json!({"locale": "ko", "ids": []})),
        ("POST" | "PATCH", "/sections/{id}" | "/sections/{id}/publish" | "/sections/{id}/restore") => {
            Some(json!({"version": 1}))
        }
        ("POST", "/sections/{id}/unpublish" | "/sections/{id}/undelete") => Some(json!({})),
        ("GET", "/stats" | "/stats/{key}/history" | "/banners") => None,
        ("POST", "/stats") => Some(json!({"key": "online", "label": {"ko": "x"}})),
        ("PATCH", "/stats/{key}") => Some(json!({"visible": true})),
        ("DELETE", "/stats/{key}" | "/banners/{id}") => None,
        ("POST", "/banners") | ("PUT", "/banners/{id}") => Some(banner),
        _ => return None,
    };
    Some((Rule::Role(Role::Editor), body))
}

/// As [`rule`], for sign-in and what an owner changes.
fn rule_of_sign_in(route: &str) -> Option<(Rule, Option<Value>)> {
    let password = || Some(json!({"password": "not this one"}));
    let token = || Some(json!({"token": "nobody's"}));
    Some(match route {
        "POST /api/v1/sign-up" => {
            (Rule::Site, Some(json!({"handle": "taken-once", "password": "correct horse battery"})))
        }
        "POST /api/v1/sign-in" => (Rule::Site, Some(json!({"handle": "nobody", "password": "not this one"}))),
        "POST /api/v1/sign-in/{step}" => (Rule::Site, Some(json!({"code": "123456"}))),
        "POST /api/v1/account/email/verify" => (Rule::Site, token()),
        "POST /api/v1/account/reset" => (Rule::Site, Some(json!({"email": "somebody@example.org"}))),
        "POST /api/v1/account/reset/confirm" => {
            (Rule::Site, Some(json!({"token": "nobody's", "password": "correct horse battery"})))
        }
        "GET /api/v1/account"
        | "GET /api/v1/account/export"
        | "POST /api/v1/account/totp"
        | "POST /api/v1/account/delete/undo" => (Rule::Account, None),
        "POST /api/v1/account/password" => {
            (Rule::Account, Some(json!({"current": "not this one", "new": "correct horse battery"})))
        }
        "POST /api/v1/account/totp/confirm" => (Rule::Account, Some(json!({"code": "123456"}))),
        "DELETE /api/v1/account/totp"
        | "DELETE /api/v1/account/pin"
        | "POST /api/v1/account/recovery-codes"
        | "POST /api/v1/account/delete" => (Rule::Account, password()),
        "POST /api/v1/account/pin" => (Rule::Account, Some(json!({"pin": "402917", "password": "not this one"}))),
        "POST /api/v1/account/email" => {
            (Rule::Account, Some(json!({"email": "a@example.org", "password": "not this one"})))
        }
        "GET /api/v1/me/age-check" | "POST /api/v1/me/age-check" => (Rule::Visitor, None),
        "POST /api/v1/me/age-check/result" => (Rule::Visitor, Some(json!({"code": "x"}))),
        _ => return None,
    })
}

/// The codes with which a route refuses what the test sends to those who may call it: none of the
/// proofs is right.
fn own_codes(route: &str) -> &'static [&'static str] {
    match route {
        "POST /api/v1/sign-up" => &["conflict"],
        "POST /api/v1/sign-in/{step}" => &["wrong_step"],
        "POST /api/v1/account/delete/undo" => &["not_found"],
        "DELETE /api/v1/sessions/{id}" | "DELETE /api/v1/me/blocks/{id}" => &["not_found"],
        // No image has the id, and the form of an upload is missing.
        "POST /api/v1/admin/media" => &["bad_frame"],
        route if route.contains(" /api/v1/admin/media/") => &["not_found"],
        "DELETE /api/v1/account/totp" => &["wrong_credentials", "forbidden"],
        "POST /api/v1/account/totp/confirm" | "POST /api/v1/admin/stats" => &["conflict"],
        "POST /api/v1/admin/sections/order" => &["bad_frame"],
        route if route.contains("/admin/") && route.contains("{id}") => &["not_found"],
        route if route.contains("/admin/stats/{key}") => &["not_found"],
        route if route.contains("/age-check") => &["not_found"],
        route if route.contains("/account/") || route.contains("/sign-in") => &["wrong_credentials", "rate_limited"],
        _ => &[],
    }
}

/// Creates a person, and a private room that the person is in, unless it is a foreign one.
async fn person(node: &Node, kind: Person, nth: usize) -> (Guest, Uuid) {
    let handle = format!("person-{nth}");
    let browser = match kind {
        Person::Guest => node.guest("en").await,
        Person::Signed(role) => account(node, &handle, role).await,
        Person::Foreign | Person::Banned | Person::Expired => account(node, &handle, Role::Member).await,
    };
    let owner = if kind == Person::Foreign { node.guest("en").await } else { browser.clone() };
    let body = json!({"title": "Room", "kind": "private", "naming": "anonymous", "history": true});
    let room = node.ask(Some(&owner), Method::POST, "/api/v1/rooms", Some(body)).await.json();
    let who = node.visitor_of(&browser).await;
    match kind {
        Person::Banned => {
            let new = NewSanction { visitor: who.id, reason: "a test", author: None, lasts: None };
            moderation::ban(&node.app, &new).await.unwrap();
        }
        Person::Expired => {
            let out = node.ask(Some(&browser), Method::POST, "/api/v1/sign-out", None).await;
            assert_eq!(out.status, StatusCode::NO_CONTENT);
        }
        Person::Guest | Person::Signed(_) | Person::Foreign => {}
    }
    (browser, room["id"].as_str().unwrap().parse().unwrap())
}

/// Returns the status and code with which a person must be refused. `None` if the person may call.
fn refusal(rule: Rule, who: Person) -> Option<(u16, &'static str)> {
    match (rule, who) {
        (Rule::Site | Rule::Me, _) => None,
        // Whoever has no session of staff learns no more than that one is needed.
        (Rule::Staff | Rule::Role(_), Person::Expired | Person::Guest) => Some((401, "sign_in_needed")),
        (_, Person::Expired) => Some((401, "session_ended")),
        (_, Person::Banned) => Some((403, "banned")),
        (Rule::Account, Person::Guest) => Some((401, "sign_in_needed")),
        (Rule::Room, Person::Foreign) => Some((404, "not_found")),
        (Rule::Staff | Rule::Role(_), Person::Foreign | Person::Signed(Role::Member)) => Some((404, "not_found")),
        (Rule::Role(needed), Person::Signed(own)) if own != needed && own != Role::Admin => Some((404, "not_found")),
        (Rule::Visitor | Rule::Room | Rule::Account | Rule::Staff | Rule::Role(_), _) => None,
    }
}

#[tokio::test]
async fn every_route_has_a_rule_and_keeps_it_for_everybody() {
    let node = node().await;
    let described = node.get("/api/openapi.json").await.json();
    let (mut wrong, mut nth) = (Vec::new(), 0);
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let route = format!("{method} {path}");
            let Some((rule, body)) = rule(&route) else {
                wrong.push(format!("{route} has no rule: say in `rule` who may call it"));
                continue;
            };
            for kind in PEOPLE {
                nth += 1;
                let (browser, room) = person(&node, kind, nth).await;
                let path = path.replace("{room}", &room.to_string()).replace("{id}", &Uuid::new_v4().to_string());
                let path = path.replace("{step}", "totp").replace("/together", "/together?interests=film");
                let path = path.replace("{key}", "talks_today").replace("/banners", "/banners?place=chat");
                let path = if path.contains("/admin/") { path.replace("?place=chat", "") } else { path };
                let answer = node.ask(Some(&browser), method.clone(), &path, body.clone()).await;
                let status = answer.status.as_u16();
                let is_right = match refusal(rule, kind) {
                    Some((wanted, code)) => status == wanted && answer.json()["code"] == code,
                    None => {
                        answer.status.is_success()
                            || answer.json()["code"].as_str().is_some_and(|code| own_codes(&route).contains(&code))
                    }
                };
                if !is_right {
                    wrong.push(format!("{route} ({rule:?}) for {kind:?}: {status} {}", answer.text));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_member_of_another_room_learns_nothing_of_this_one() {
    let node = node().await;
    let (foreign, room) = person(&node, Person::Foreign, 1).await;
    let who = node.visitor_of(&foreign).await;
    assert_eq!(rooms::membership(&node.app, &who, room).await.err().unwrap().code(), "not_found");
    let list = node.ask(Some(&foreign), Method::GET, "/api/v1/rooms", None).await.json();
    assert_eq!(list["items"], json!([]));
}
