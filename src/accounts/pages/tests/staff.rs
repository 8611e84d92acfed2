//! Who sees the back-office.
use axum::http::{Method, StatusCode};
use serde_json::json;

use super::browser::Browser;
use super::{PASSWORD, make_staff, totp_code};
use crate::accounts::offer_first_admin;
use crate::testing::node;

#[tokio::test]
async fn only_staff_see_that_there_is_a_back_office() {
    let node = node().await;
    let mut guest = Browser::new(&node, "ko");
    assert_eq!(guest.open("/admin").await.path, "/signin?next=/admin");
    assert_eq!(guest.open("/admin/setup?token=x").await.status, StatusCode::NOT_FOUND);
    let unknown = guest.send(Method::GET, "/admin/nowhere", None).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "before sign-in");
    let mut member = Browser::new(&node, "ko");
    member.sign_up("hana").await;
    for path in ["/admin", "/admin/nowhere", "/nowhere"] {
        let answer = member.send(Method::GET, path, None).await;
        assert_eq!((answer.status, &answer.bytes), (StatusCode::NOT_FOUND, &unknown.bytes), "{path}");
    }
    let api = |who: Option<crate::testing::Guest>| {
        let node = &node;
        async move {
            let answer = node.ask(who.as_ref(), Method::GET, "/api/v1/admin/nowhere", None).await;
            (answer.status.as_u16(), answer.json()["code"].as_str().unwrap().to_owned())
        }
    };
    assert_eq!(api(None).await, (401, "sign_in_needed".to_owned()));
    assert_eq!(api(Some(guest.guest())).await, (401, "sign_in_needed".to_owned()));
    assert_eq!(api(Some(member.guest())).await, (404, "not_found".to_owned()));
    for role in ["moderator", "editor", "admin"] {
        make_staff(&node, "hana", role).await;
        let mut staff = Browser::new(&node, "ko");
        sqlx::query("UPDATE account SET totp_secret = NULL, totp_confirmed_at = NULL")
            .execute(&node.app.db)
            .await
            .unwrap();
        sqlx::query("DELETE FROM session WHERE account_id IS NOT NULL").execute(&node.app.db).await.unwrap();
        staff.sign_in("/signin", "hana", PASSWORD).await;
        assert_eq!(staff.open("/admin").await.path, "/signin?next=/admin", "a step is missing");
        staff.open("/signin/enroll").await;
        let secret = staff.html.split("data-text=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        staff.submit("/signin/enroll", &[("code", &totp_code(&node, &secret, 0))]).await;
        assert_eq!(
            (staff.open("/admin").await.status, staff.heading().as_str()),
            (StatusCode::OK, "대시보드"),
            "{role}"
        );
        assert_eq!(staff.open("/admin/nowhere").await.status, StatusCode::NOT_FOUND);
        assert_eq!(api(Some(staff.guest())).await, (404, "not_found".to_owned()), "no such route");
    }
}

#[tokio::test]
async fn the_link_of_the_log_makes_one_administrator() {
    let node = node().await;
    let link = offer_first_admin(&node.app).await.unwrap().unwrap();
    let path = link.strip_prefix(&node.app.config.site.url).unwrap().to_owned();
    let mut one = Browser::new(&node, "ko");
    one.open(&path).await;
    assert_eq!((one.status, one.heading().as_str()), (StatusCode::OK, "첫 관리자를 만들어요"));
    one.submit("/admin/setup", &[("handle", "jin"), ("password", "12345678")]).await;
    assert_eq!(one.problems().len(), 1);
    one.submit("/admin/setup", &[("handle", "jin"), ("password", PASSWORD)]).await;
    assert_eq!(
        (one.path.as_str(), one.note().as_str()),
        ("/signin?next=/admin", "관리자 계정을 만들었어요. 로그인해 주세요.")
    );
    assert_eq!(one.open(&path).await.status, StatusCode::NOT_FOUND, "it works once");
    one.sign_in("/signin?next=/admin", "jin", PASSWORD).await;
    assert_eq!(one.path, "/signin/enroll");
    let audited: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_log").fetch_one(&node.app.db).await.unwrap();
    assert!(audited >= 1, "{}", json!(audited));
}
