//! Whole walks through the pages: sign-up, sign-in with every step, and what an owner changes.
use axum::http::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::browser::{Browser, attribute, text_of};
use super::{OTHER_PASSWORD, PASSWORD, make_staff, totp_code};
use crate::testing::{Node, node};

/// Returns the secret on a page that adds a second factor.
fn secret_on(browser: &Browser<'_>) -> String {
    let tag = browser.html.split("id=\"secret\"").nth(1).unwrap().split('>').next().unwrap();
    attribute(tag, "data-text").unwrap()
}

/// Returns the recovery codes on a page.
fn codes_on(browser: &Browser<'_>) -> Vec<String> {
    let list = browser.html.split("class=\"codes\"").nth(1).unwrap().split("</ol>").next().unwrap();
    list.split("<li>").skip(1).map(|item| text_of(item.split("</li>").next().unwrap())).collect()
}

#[tokio::test]
async fn a_guest_signs_up_signs_out_and_signs_in_again() {
    let node = node().await;
    for (language, note, out) in [
        ("ko", "계정을 만들었어요. 대화와 방은 그대로예요.", "로그아웃했어요."),
        ("en", "Your account is ready. Your chats and rooms are still here.", "You’re signed out."),
    ] {
        let mut one = Browser::new(&node, language);
        one.open("/signup").await;
        let before =
            node.ask(Some(&one.guest()), Method::GET, "/api/v1/me", None).await.json()["visitor"]["id"].clone();
        let cookie = one.guest().cookie;
        let handle = format!("hana-{language}");
        // The form is shown again with what was entered, except the password.
        one.submit("/signup", &[("handle", "No"), ("password", "")]).await;
        assert_eq!((one.status, one.problems().len()), (StatusCode::UNPROCESSABLE_ENTITY, 1));
        one.submit("/signup", &[("handle", "no"), ("password", PASSWORD)]).await;
        assert_eq!(one.fields("/signup")["handle"], "no");
        assert_eq!(one.fields("/signup")["password"], "");
        assert_eq!(one.problems().len(), 1);
        one.submit("/signup", &[("handle", &format!(" {}", handle.to_uppercase())), ("password", PASSWORD)]).await;
        assert_eq!((one.path.as_str(), one.note().as_str()), ("/account", note), "{:?}", one.problems());
        assert!(one.open("/account").await.note().is_empty(), "a note is shown once");
        assert_eq!(one.signed_in().await.as_deref(), Some(handle.as_str()));
        let after = node.ask(Some(&one.guest()), Method::GET, "/api/v1/me", None).await.json();
        assert_eq!(after["visitor"]["id"], before, "the visitor stays the same");
        assert_ne!(one.guest().cookie, cookie, "under a new session id");
        one.sign_out().await;
        assert_eq!((one.path.as_str(), one.note().as_str()), ("/signin", out));
        assert_eq!(one.signed_in().await, None);
        one.sign_in("/signin?next=/account/password", &handle, PASSWORD).await;
        assert_eq!(one.path, "/account/password");
        assert_eq!(one.open("/signin?next=/account/name").await.path, "/account/name", "signed in already");
    }
}

#[tokio::test]
async fn going_back_keeps_the_handle_and_a_wrong_password_is_said_beside_the_field() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await.sign_out().await;
    one.open("/signin?next=/account/name").await;
    one.submit("/signin", &[("handle", "")]).await;
    assert_eq!(one.problems(), ["아이디를 적어 주세요."]);
    assert!(one.html.contains(r#"aria-describedby="handle-hint handle-error" aria-invalid="true""#), "{}", one.html);
    one.submit("/signin", &[("handle", "hana")]).await;
    one.submit("/signin/password", &[("password", "wrong horse battery")]).await;
    assert_eq!((one.path.as_str(), one.status), ("/signin/password", StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(one.problems(), ["아이디나 비밀번호가 맞지 않아요."]);
    assert!(one.html.contains(r##"<a href="#password">"##) && one.html.contains(r#"id="password-error""#));
    assert!(!one.html.contains("wrong horse battery"), "no page holds a password");
    one.open("/signin").await;
    let fields = one.fields("/signin");
    assert_eq!((fields["handle"].as_str(), fields["next"].as_str()), ("hana", "/account/name"));
    one.submit("/signin", &[]).await.submit("/signin/password", &[("password", PASSWORD)]).await;
    assert_eq!(one.path, "/account/name");
}

#[tokio::test]
async fn a_second_factor_is_added_asked_for_and_replaced_by_a_recovery_code() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    one.submit("/account/totp", &[]).await;
    assert_eq!(one.path, "/account/totp");
    let secret = secret_on(&one);
    assert!(one.html.contains("<svg") && one.html.contains(&format!("secret={secret}")), "the QR code and the link");
    one.submit("/account/totp/confirm", &[("code", "000000")]).await;
    assert_eq!((one.problems().len(), secret_on(&one)), (1, secret.clone()), "the secret stays");
    let code = totp_code(&node, &secret, 0);
    one.submit("/account/totp/confirm", &[("code", &format!("{} {}", &code[..3], &code[3..]))]).await;
    let codes = codes_on(&one);
    assert_eq!((codes.len(), one.heading().as_str()), (10, "복구 코드를 보관해 주세요"));
    assert!(one.html.contains("href=\"data:text/plain;charset=utf-8;base64,"), "the file is in the page");
    one.open("/account").await;
    assert_eq!(one.note(), "2단계 인증을 켰어요.");
    assert!(!one.html.contains(&codes[0]) && one.html.contains("10개 중 10개"), "codes are shown once");
    assert_eq!(one.open("/account/totp").await.path, "/account", "the secret is not shown again");
    one.sign_out().await;

    one.sign_in("/signin?next=/account/name", "hana", PASSWORD).await;
    assert_eq!((one.path.as_str(), one.signed_in().await), ("/signin/totp", None));
    assert!(one.html.contains("aria-label=\"3단계 중 3단계\""));
    one.submit("/signin/totp", &[("code", &code)]).await;
    assert_eq!(one.problems(), ["코드가 맞지 않아요. 지금 보이는 코드를 적어 주세요."], "a code works once");
    one.submit("/signin/totp", &[("code", &totp_code(&node, &secret, 1))]).await;
    assert_eq!(one.path, "/account/name");
    one.sign_out().await;

    one.sign_in("/signin", "hana", PASSWORD).await.open("/signin/recovery").await;
    one.submit("/signin/recovery", &[("code", &codes[3])]).await;
    assert_eq!(one.path, "/account", "{:?}", one.problems());
    assert!(one.html.contains("10개 중 9개"));
    one.sign_out().await;
    one.sign_in("/signin", "hana", PASSWORD).await.open("/signin/recovery").await;
    one.submit("/signin/recovery", &[("code", &codes[3])]).await;
    assert_eq!(one.problems(), ["복구 코드가 맞지 않거나 이미 쓴 코드예요."]);
    one.submit("/signin/recovery", &[("code", &codes[4].to_lowercase())]).await;
    assert_eq!(one.path, "/account", "{:?}", one.problems());

    one.open("/account/recovery-codes").await;
    one.submit("/account/recovery-codes", &[("current", "wrong horse battery")]).await;
    assert_eq!(one.problems(), ["비밀번호가 맞지 않아요."]);
    one.submit("/account/recovery-codes", &[("current", PASSWORD)]).await;
    assert_ne!(codes_on(&one), codes);
    one.open("/account/totp/remove").await.submit("/account/totp/remove", &[("current", PASSWORD)]).await;
    assert_eq!((one.path.as_str(), one.note().as_str()), ("/account", "2단계 인증을 껐어요."));
}

#[tokio::test]
async fn a_step_out_of_turn_leads_to_the_one_that_is_due_and_an_expired_sign_in_to_the_first() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    for (path, fields) in [
        ("/account/pin", [("pin", "123456"), ("current", PASSWORD)]),
        ("/account/pin", [("pin", "402917"), ("current", PASSWORD)]),
    ] {
        one.open(path).await.submit(path, &fields).await;
    }
    assert_eq!(one.note(), "PIN을 정했어요.", "{:?}", one.problems());
    one.sign_out().await;
    for path in ["/signin/password", "/signin/pin", "/signin/totp", "/signin/elsewhere", "/signin/talk"] {
        assert_eq!(one.open(path).await.path, "/signin", "{path} before the sign-in");
    }
    one.sign_in("/signin", "hana", PASSWORD).await;
    for path in ["/signin/totp", "/signin/recovery", "/signin/enroll", "/signin/verify", "/signin/elsewhere"] {
        assert_eq!(one.open(path).await.path, "/signin/pin", "{path} is not due");
    }
    assert_eq!(one.open("/signin/nothing").await.status, StatusCode::NOT_FOUND);
    assert_eq!(one.open("/account").await.path, "/signin?next=/account");
    one.open("/signin/pin").await;
    sqlx::query("UPDATE sign_in SET expires_at = now()").execute(&node.app.db).await.unwrap();
    one.submit("/signin/pin", &[("code", "402917")]).await;
    assert_eq!(
        (one.path.as_str(), one.note().as_str()),
        ("/signin", "로그인 단계가 끝났어요. 시간이 지났거나 여러 번 맞지 않았어요. 처음부터 다시 해 주세요.")
    );
    one.sign_in("/signin", "hana", PASSWORD).await.submit("/signin/pin", &[("code", "402917")]).await;
    assert_eq!(one.path, "/account");
    one.open("/account/pin/remove").await.submit("/account/pin/remove", &[("current", PASSWORD)]).await;
    assert_eq!(one.note(), "PIN을 지웠어요.");
}

#[tokio::test]
async fn a_sign_in_asks_before_it_ends_the_session_on_another_device() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    let mut phone = Browser::on_a_phone(&node, "ko");
    phone.sign_in("/signin", "hana", PASSWORD).await;
    assert_eq!((phone.path.as_str(), phone.heading().as_str()), ("/signin/elsewhere", "다른 기기에 로그인되어 있어요"));
    assert!(phone.html.contains("<dd>Firefox, Windows</dd>") && phone.html.contains("방금"), "{}", phone.html);
    assert_eq!((phone.signed_in().await, one.signed_in().await.is_some()), (None, true));
    phone.submit("/signin/elsewhere", &[]).await;
    assert_eq!(phone.path, "/account");
    assert_eq!(one.signed_in().await, None);
    // The old page is told why, once, and goes on as a guest.
    one.open("/account").await;
    assert_eq!(one.path, "/signin?next=/account");
    assert!(one.note().starts_with("다른 기기에서 로그인해서"), "{}", one.note());
    assert!(phone.open("/account").await.html.contains("다른 기기에서 로그인했기 때문이에요."), "{}", phone.html);
    phone.submit("/account/sessions/end", &[]).await;
    assert_eq!((phone.path.as_str(), phone.signed_in().await), ("/signin", None));
}

#[tokio::test]
async fn a_session_that_has_expired_leads_to_sign_in_and_back() {
    let node = node().await;
    let mut one = Browser::new(&node, "en");
    one.sign_up("hana").await;
    sqlx::query("UPDATE session SET idle_until = now() - interval '1 second'").execute(&node.app.db).await.unwrap();
    one.open("/account/email").await;
    assert_eq!(one.path, "/signin?next=/account/email");
    assert_eq!(one.note(), "Your session ended. Sign in again.");
    one.submit("/signin", &[("handle", "hana")]).await.submit("/signin/password", &[("password", PASSWORD)]).await;
    assert_eq!(one.path, "/account/email");
}

#[tokio::test]
async fn the_guests_open_talk_is_left_only_with_consent() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await.sign_out().await;
    let (guest, other) = (node.guest("ko").await, node.guest("ko").await);
    let mut talk = node.talk(&guest, &other).await;
    let (name, value) = guest.cookie.split_once('=').unwrap();
    one.cookies.insert(name.to_owned(), value.to_owned());
    one.sign_in("/signin", "hana", PASSWORD).await;
    assert_eq!((one.path.as_str(), one.heading().as_str()), ("/signin/talk", "열린 대화가 있어요"));
    one.submit("/signin/leave", &[]).await;
    assert_eq!(one.path, "/signin/password");
    one.submit("/signin/password", &[("password", PASSWORD)]).await;
    assert_eq!(one.path, "/account");
    assert_eq!(talk.b.event("ended").await["reason"], "left");
}

#[tokio::test]
async fn the_owner_changes_the_name_the_address_and_the_password() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    one.open("/account/name").await.submit("/account/name", &[("name", "하나")]).await;
    assert_eq!(one.note(), "이름을 저장했어요.");
    assert!(one.html.contains("하나"));
    one.open("/account/name").await.submit("/account/name", &[("name", &"가".repeat(25))]).await;
    assert_eq!(one.problems().len(), 1);
    one.submit("/account/name", &[("name", " ")]).await;
    assert!(!one.html.contains("하나"));

    one.open("/account/email").await.submit("/account/email", &[("email", "no"), ("current", PASSWORD)]).await;
    assert_eq!(one.problems(), ["메일 주소가 맞는지 확인해 주세요."]);
    one.submit("/account/email", &[("email", "hana@mail.example"), ("current", PASSWORD)]).await;
    assert_eq!(one.note(), "메일 주소를 저장했어요.");
    assert!(one.html.contains("ha••••@mail.example") && !one.html.contains("hana@mail.example"));

    one.open("/account/password").await;
    let fields = [("current", "wrong horse battery"), ("password", OTHER_PASSWORD)];
    one.submit("/account/password", &fields).await;
    assert_eq!(one.problems(), ["비밀번호가 맞지 않아요."]);
    one.submit("/account/password", &[("current", PASSWORD), ("password", "password1")]).await;
    assert_eq!((one.problems().len(), one.problems()[0].contains("비밀번호예요")), (1, true), "{:?}", one.problems());
    let cookie = one.guest().cookie;
    one.submit("/account/password", &[("current", PASSWORD), ("password", OTHER_PASSWORD)]).await;
    assert_eq!(one.note(), "비밀번호를 바꿨어요. 다른 기기는 모두 로그아웃했어요.");
    assert_ne!(one.guest().cookie, cookie, "the session goes on under a new id");
    assert_eq!(one.signed_in().await.as_deref(), Some("hana"));
}

/// Stores a link as a mail has it, and returns its token.
async fn link(node: &Node, purpose: &str, handle: &str, email: Option<&str>) -> String {
    let token = format!("token-of-{purpose}-{handle}-0123456789012345678901");
    sqlx::query(
        "INSERT INTO account_link (token_hash, purpose, account_id, email, expires_at)
         SELECT $1, $2, id, $4, now() + interval '1 hour' FROM account WHERE handle = $3",
    )
    .bind(Sha256::digest(&token).to_vec())
    .bind(purpose)
    .bind(handle)
    .bind(email)
    .execute(&node.app.db)
    .await
    .unwrap();
    token
}

#[tokio::test]
async fn links_in_mails_work_once_and_opening_them_changes_nothing() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    let token = link(&node, "verify_email", "hana", Some("hana@mail.example")).await;
    let path = format!("/verify-email/{token}");
    one.open(&path).await.open(&path).await;
    assert_eq!(one.heading(), "메일 주소를 확인할게요");
    one.submit(&path, &[]).await;
    assert_eq!((one.path.as_str(), one.note().as_str()), ("/account", "메일 주소를 확인했어요."));
    one.open(&path).await.submit(&path, &[]).await;
    assert_eq!(one.problems(), ["이 링크는 이미 썼거나 시간이 지났어요. 새로 받아 주세요."]);

    let mut other = Browser::on_a_phone(&node, "ko");
    let path = format!("/reset/{}", link(&node, "reset_password", "hana", Some("hana@mail.example")).await);
    other.open(&path).await.open(&path).await.submit(&path, &[("password", "12345678")]).await;
    assert_eq!(other.problems().len(), 1, "a password that is refused does not use the link up");
    other.submit(&path, &[("password", OTHER_PASSWORD)]).await;
    assert_eq!(other.note(), "비밀번호를 바꿨어요. 새 비밀번호로 로그인해 주세요.");
    assert_eq!(one.signed_in().await, None, "every session ends");
    other.sign_in("/signin", "hana", OTHER_PASSWORD).await;
    assert_eq!(other.path, "/account");
    other.open(&path).await;
    assert_eq!(other.problems(), ["이 링크는 이미 썼거나 시간이 지났어요. 새로 받아 주세요."]);
    assert_eq!(
        other.open("/reset").await.html.matches("<form method=\"post\" action=\"/reset\"").count(),
        0,
        "no mail"
    );
    assert!(other.html.contains("/ko/contact"));
}

#[tokio::test]
async fn an_account_is_deleted_by_its_word_and_the_deletion_undone() {
    let node = node().await;
    for (language, word) in [("ko", "삭제"), ("en", "delete")] {
        let mut one = Browser::new(&node, language);
        let handle = format!("hana-{language}");
        one.sign_up(&handle).await;
        one.submit("/account/delete", &[("word", "no"), ("current", PASSWORD)]).await;
        assert_eq!((one.problems().len(), one.signed_in().await.is_some()), (1, true));
        one.submit("/account/delete", &[("word", word), ("current", "wrong horse battery")]).await;
        assert_eq!((one.problems().len(), one.signed_in().await.is_some()), (1, true));
        one.submit("/account/delete", &[("word", word), ("current", PASSWORD)]).await;
        assert_eq!((one.path.as_str(), one.signed_in().await), ("/signin", None));
        assert!(one.note().contains("14"), "{}", one.note());
        one.sign_in("/signin", &handle, PASSWORD).await;
        assert!(one.html.contains(if language == "ko" { "14일 뒤에" } else { "in 14 days" }), "{}", one.html);
        one.submit("/account/delete/undo", &[]).await;
        assert!(!one.html.contains("undo-bar") && !one.note().is_empty());
    }
}

#[tokio::test]
async fn blocked_people_are_listed_as_they_were_seen_and_can_be_unblocked() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    assert!(one.html.contains("차단한 사람이 없어요."));
    let rules = json!({"rules": crate::accounts::RULES_VERSION, "adult": true});
    node.ask(Some(&one.guest()), Method::PATCH, "/api/v1/me", Some(rules)).await;
    let (me, other) = (one.guest(), node.guest("ko").await);
    let mut talk = node.talk(&me, &other).await;
    let sent = json!({"type": "send", "room": talk.room, "client_id": uuid::Uuid::new_v4(), "payload": {"kind": "text", "text": "hi"}});
    talk.b.ok(sent).await;
    let sender = talk.a.event("message").await["sender"].clone();
    talk.a.ok(json!({"type": "block", "room": talk.room, "sender": sender["id"]})).await;
    one.open("/account").await;
    assert!(one.html.contains(sender["name"].as_str().unwrap()), "{sender} {}", one.html);
    let action = one.html.split("action=\"/account/blocks/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    one.submit(&format!("/account/blocks/{action}"), &[]).await;
    assert_eq!(one.note(), "차단을 풀었어요.");
    assert!(one.html.contains("차단한 사람이 없어요."));
}

#[tokio::test]
async fn staff_add_a_second_factor_at_their_first_sign_in() {
    let node = node().await;
    let mut one = Browser::new(&node, "en");
    one.sign_up("hana").await;
    make_staff(&node, "hana", "editor").await;
    one.sign_in("/signin?next=/admin", "hana", PASSWORD).await;
    assert_eq!((one.path.as_str(), one.signed_in().await), ("/signin/enroll", None));
    let secret = secret_on(&one);
    one.submit("/signin/enroll", &[("code", "")]).await;
    assert_eq!(one.problems(), ["Enter the code."]);
    one.submit("/signin/enroll", &[("code", &totp_code(&node, &secret, 0))]).await;
    assert_eq!(codes_on(&one).len(), 10, "{:?}", one.problems());
    assert!(one.html.contains(r#"href="/admin""#));
    assert_eq!(one.open("/admin").await.heading(), "Dashboard");
    one.open("/account").await;
    assert_eq!(one.open("/account/totp/remove").await.path, "/account", "the role needs it");
}
