//! Tests of accounts from a shell: what each act changes, that it is recorded, and that sessions end.
use axum::http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{Access, Legacy, add, count_legacy, import, list, read_csv, read_django, reset, set_role};
use crate::accounts::first_admin::{first_admin, is_first_admin_link};
use crate::accounts::{Role, offer_first_admin};
use crate::audit::{self, Verdict};
use crate::db;
use crate::locale::Locale;
use crate::testing::{self, Node};

const PASSWORD: &str = "correct horse battery";

fn password(text: &str) -> Access {
    Access::Password(text.into())
}

/// The actions of the audit log with their subjects, oldest first.
async fn recorded(db: &PgPool) -> Vec<(String, String, String)> {
    assert!(matches!(audit::verify(db).await.unwrap(), Verdict::Whole { .. }));
    sqlx::query_as("SELECT actor_name, action, subject FROM audit_log ORDER BY id").fetch_all(db).await.unwrap()
}

async fn count(db: &PgPool, what: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {what}"))).fetch_one(db).await.unwrap()
}

async fn epoch(db: &PgPool, handle: &str) -> i64 {
    sqlx::query_scalar("SELECT session_epoch FROM account WHERE handle = $1").bind(handle).fetch_one(db).await.unwrap()
}

/// Signs in over REST. Returns the status and the answer.
async fn sign_in(node: &Node, handle: &str, password: &str) -> (StatusCode, Value) {
    let guest = node.newcomer("ko").await;
    let body = json!({"handle": handle, "password": password});
    let answer = node.ask(Some(&guest), Method::POST, "/api/v1/sign-in", Some(body)).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_account_from_a_shell_can_sign_in_and_is_recorded() {
    let node = testing::node().await;
    let db = &node.app.db;
    assert!(add(db, "admin", Role::Admin, password(PASSWORD)).await.unwrap().token.is_none(), "a reserved handle");
    let (status, answer) = sign_in(&node, "admin", PASSWORD).await;
    assert_eq!((status, &answer["next"]), (StatusCode::OK, &json!("enroll_totp")), "{answer}");
    let token = add(db, "jia", Role::Member, Access::Link).await.unwrap().token.unwrap();
    let (reset_status, answer) = set_by_link(&node, &token).await;
    assert!(reset_status.is_success(), "{answer}");
    assert_eq!(sign_in(&node, "jia", PASSWORD).await.1["done"], true);
    assert!(set_by_link(&node, &token).await.0.is_client_error(), "a link works once");

    for (handle, access, code, field) in [
        ("admin", password(PASSWORD), "conflict", "handle"),
        ("Admin", password(PASSWORD), "bad_frame", "handle"),
        ("sora", password("short"), "bad_frame", "password"),
        ("sora", password("password1"), "bad_frame", "password"),
    ] {
        let Err(refused) = add(db, handle, Role::Editor, access).await else { panic!("{handle}") };
        assert_eq!((refused.code(), refused.field()), (code, Some(field)), "{handle}");
    }
    let shell = |action: &str, subject: &str| ("(shell)".to_owned(), action.to_owned(), subject.to_owned());
    assert_eq!(recorded(db).await[..2], [shell("account.added", "admin"), shell("account.added", "jia")]);
    assert_eq!(count(db, "account").await, 2);
}

/// Sets a password by a link.
async fn set_by_link(node: &Node, token: &SecretString) -> (StatusCode, String) {
    let body = json!({"token": token.expose_secret(), "password": PASSWORD});
    let answer = node.ask(None, Method::POST, "/api/v1/account/reset/confirm", Some(body)).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn another_role_and_a_reset_end_the_sessions() {
    let node = testing::node().await;
    let db = &node.app.db;
    add(db, "min", Role::Member, password(PASSWORD)).await.unwrap();
    assert_eq!(sign_in(&node, "min", PASSWORD).await.1["done"], true);
    let before = epoch(db, "min").await;
    assert_eq!(set_role(db, "min", Role::Member).await.unwrap(), Role::Member);
    assert_eq!(epoch(db, "min").await, before, "the same role changes nothing");

    assert_eq!(set_role(db, "min", Role::Editor).await.unwrap(), Role::Member);
    assert_eq!(epoch(db, "min").await, before + 1);
    assert_eq!(count(db, "live_session WHERE account_id IS NOT NULL").await, 0);
    assert_eq!(count(db, "session WHERE end_reason = 'role_changed'").await, 1);

    sqlx::query("UPDATE account SET totp_secret = '\\x01', totp_confirmed_at = now(), pin = 'x'")
        .execute(db)
        .await
        .unwrap();
    sqlx::query("INSERT INTO recovery_code (account_id, hash) SELECT id, '\\x01' FROM account")
        .execute(db)
        .await
        .unwrap();
    reset(db, "min", password("another horse battery"), false).await.unwrap();
    assert_eq!(count(db, "account WHERE totp_confirmed_at IS NOT NULL AND pin IS NOT NULL").await, 1);
    let first = reset(db, "min", Access::Link, true).await.unwrap().token.unwrap();
    assert_eq!(count(db, "account WHERE coalesce(totp_secret::text, pin, password) IS NULL").await, 1);
    assert_eq!(count(db, "recovery_code").await, 0);
    reset(db, "min", Access::Link, false).await.unwrap();
    assert!(set_by_link(&node, &first).await.0.is_client_error(), "an earlier link does not work any more");
    assert_eq!(epoch(db, "min").await, before + 4);
    let fence: i64 = sqlx::query_scalar("SELECT version FROM fence").fetch_one(db).await.unwrap();
    assert!(fence >= before + 3, "writers are told: {fence}");

    for handle in ["sora", "Min", ""] {
        assert_eq!(set_role(db, handle, Role::Admin).await.unwrap_err().code(), "not_found");
        let Err(refused) = reset(db, handle, Access::Link, true).await else { panic!("{handle}") };
        assert_eq!(refused.code(), "not_found");
    }
    let actions: Vec<String> =
        recorded(db).await.into_iter().filter(|act| act.0 == "(shell)").map(|act| act.1).collect();
    let expected = ["account.added", "account.role_changed", "account.reset", "account.reset", "account.reset"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_role_is_changed_while_a_writer_holds_the_fence_for_a_moment() {
    let db = testing::database().await;
    add(&db, "min", Role::Member, Access::Link).await.unwrap();
    let mut writer = db::connect(&db, &[]).await.unwrap();
    let mut batch = sqlx::Connection::begin(&mut writer).await.unwrap();
    db::fence::lock_shared(&mut batch).await.unwrap();
    let changing = set_role(&db, "min", Role::Editor);
    let writing = async {
        tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        batch.commit().await.unwrap();
    };
    let (changed, ()) = tokio::join!(changing, writing);
    assert_eq!(changed.unwrap(), Role::Member);
    assert_eq!(epoch(&db, "min").await, 2, "the attempts that were given up left nothing");
    assert_eq!(recorded(&db).await.len(), 2);
}

#[tokio::test]
async fn the_staff_are_listed_and_the_passwords_of_the_earlier_system_are_counted() {
    let db = testing::database().await;
    for (handle, role) in [("jia", Role::Admin), ("min", Role::Editor), ("sora", Role::Member)] {
        add(&db, handle, role, Access::Link).await.unwrap();
    }
    sqlx::query("UPDATE account SET password = 'pbkdf2_sha256$1$a$b' WHERE handle <> 'min'")
        .execute(&db)
        .await
        .unwrap();
    sqlx::query("UPDATE account SET password = 'pbkdf2xsha256$1$a$b' WHERE handle = 'min'").execute(&db).await.unwrap();
    let (staff, members) = list(&db).await.unwrap();
    let handles: Vec<&str> = staff.iter().map(|member| member.handle.as_str()).collect();
    assert_eq!((handles, members), (vec!["jia", "min"], 1));
    let row = |role: &str, legacy, current| Legacy { role: role.to_owned(), legacy, current, without_password: 0 };
    assert_eq!(count_legacy(&db).await.unwrap(), [row("admin", 1, 0), row("editor", 0, 1), row("member", 1, 0)]);
}

/// The hash of Django for `correct horse`, with few iterations.
fn django_hash() -> String {
    let mut bytes = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(b"correct horse", b"seasalt", 1_000, &mut bytes);
    use base64::Engine as _;
    format!("pbkdf2_sha256$1000$seasalt${}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[tokio::test]
async fn imported_people_sign_in_with_their_old_passwords() {
    let node = testing::node().await;
    let db = &node.app.db;
    let text = json!([
        {"model": "auth.user", "pk": 1, "fields": {"username": "Min.Su", "password": django_hash(), "email": "min@example.org"}},
        {"model": "auth.user", "pk": 2, "fields": {"username": "jia", "password": "!x", "is_superuser": true}},
        {"model": "auth.user", "pk": 3, "fields": {"username": "sora", "password": django_hash(), "is_active": false}},
    ])
    .to_string();
    let mut plan = read_django(&text).unwrap();
    assert!(import(db, &mut plan, &text, true, |_| {}).await.unwrap().is_some());
    assert_eq!((count(db, "account").await, count(db, "audit_log").await), (0, 0), "a trial imports nothing");
    let imported = import(db, &mut plan, &text, false, |_| {}).await.unwrap().unwrap();
    let counts = [imported.accounts, imported.staff, imported.legacy, imported.without_password, imported.deactivated];
    assert_eq!(counts, [3, 1, 2, 1, 1]);
    assert_eq!(sign_in(&node, "min_su", "correct horse").await.1["done"], true);
    assert_eq!(sign_in(&node, "sora", "correct horse").await.0, StatusCode::UNAUTHORIZED, "is deactivated");
    assert_eq!(sign_in(&node, "jia", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(count(db, "account WHERE email = 'min@example.org' AND email_verified_at IS NULL").await, 1);
    let acts: Vec<String> = recorded(db).await.into_iter().map(|act| act.1).collect();
    assert_eq!(acts, ["account.added", "accounts.imported"]);

    let mut again = read_django(&text).unwrap();
    assert!(import(db, &mut again, &text, false, |_| {}).await.unwrap().is_none());
    assert_eq!(again.problems.len(), 3);
    assert!(again.problems[0].starts_with("entry 1 (pk 1): an account with the handle 'min_su' exists"));
}

#[tokio::test]
async fn one_bad_row_keeps_all_others_from_being_imported() {
    let db = testing::database().await;
    add(&db, "taken", Role::Member, Access::Link).await.unwrap();
    let rows: String = (0..2_500).map(|n| format!("user{n},,,\n")).collect();
    for (bad, line) in [("ab,,,\n", 2_502), ("taken,,,\n", 2_502), ("user7,,,\n", 2_502), ("fine,,md5$a$b,\n", 2_502)] {
        let text = format!("handle,email,password_hash,role\n{rows}{bad}");
        let mut plan = read_csv(&text).unwrap();
        assert!(import(&db, &mut plan, &text, false, |_| {}).await.unwrap().is_none(), "{bad}");
        assert_eq!(plan.problems.len(), 1);
        assert!(plan.problems[0].starts_with(&format!("line {line}: ")), "{:?}", plan.problems);
    }
    assert_eq!((count(&db, "account").await, count(&db, "visitor").await), (1, 1));

    // Somebody takes a handle after the check: the constraint decides.
    let text = format!("handle\n{}", "user1\nuser2\n");
    let mut plan = read_csv(&text).unwrap();
    let mut other = db.begin().await.unwrap();
    sqlx::query(
        "WITH made AS (INSERT INTO visitor (public_id, color, animal, locale) VALUES (gen_random_uuid(), 'pine', 'otter', 'ko') RETURNING id)
         INSERT INTO account (visitor_id, handle) SELECT id, 'user2' FROM made",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    let committing = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        other.commit().await.unwrap();
    };
    let (imported, ()) = tokio::join!(import(&db, &mut plan, &text, false, |_| {}), committing);
    assert_eq!(imported.unwrap_err().code(), "conflict");
    assert_eq!(count(&db, "account WHERE handle = 'user1'").await, 0);

    let text = format!("handle\n{}", rows.replace(",,,", ""));
    let mut written = Vec::new();
    sqlx::query("DELETE FROM account WHERE handle = 'user2'").execute(&db).await.unwrap();
    let imported = import(&db, &mut read_csv(&text).unwrap(), &text, false, |rows| written.push(rows)).await;
    assert_eq!((imported.unwrap().unwrap().accounts, written), (2_500, vec![1_000, 2_000, 2_500]));
    assert_eq!(count(&db, "account").await, 2_501);
}

#[tokio::test]
async fn the_first_administrator_is_made_once_whatever_number_of_nodes_and_links() {
    let node = testing::node().await;
    let beside = Node::beside(&node).await;
    let make = async |app: &crate::app::App, link: &str, handle: &str| {
        let token = link.split("token=").nth(1).unwrap().into();
        assert!(link.starts_with(&format!("{}/admin/setup?token=", app.config.site.url)));
        first_admin(app, &token, handle, &PASSWORD.into(), Locale::Ko, &[1]).await
    };
    let one = offer_first_admin(&node.app).await.unwrap().unwrap();
    let two = offer_first_admin(&beside.app).await.unwrap().unwrap();
    assert_ne!(one, two);
    assert_eq!(
        make(&node.app, &format!("{}/admin/setup?token=made-up", node.origin()), "min").await.unwrap_err().code(),
        "not_found"
    );
    assert_eq!(make(&node.app, &one, "Min").await.unwrap_err().field(), Some("handle"));
    let token: SecretString = one.split("token=").nth(1).unwrap().into();
    assert!(is_first_admin_link(&node.app, &token).await.unwrap(), "a mistake does not use it up");

    let (a, b) = tokio::join!(make(&node.app, &one, "min"), make(&beside.app, &two, "jia"));
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
    assert_eq!(a.err().or(b.err()).unwrap().code(), "not_found");
    assert_eq!(count(&node.app.db, "account WHERE role = 'admin'").await, 1);
    assert_eq!(recorded(&node.app.db).await.len(), 1);
    assert!(!is_first_admin_link(&node.app, &token).await.unwrap());
    assert!(offer_first_admin(&node.app).await.unwrap().is_none(), "no further start offers one");
}

#[tokio::test]
async fn a_link_to_the_first_administrator_expires_after_an_hour_and_is_worth_nothing_beside_one() {
    let node = testing::node().await;
    let link = offer_first_admin(&node.app).await.unwrap().unwrap();
    let token: SecretString = link.split("token=").nth(1).unwrap().into();
    let lifetime: f64 =
        sqlx::query_scalar("SELECT extract(epoch FROM expires_at - created_at)::double precision FROM account_link")
            .fetch_one(&node.app.db)
            .await
            .unwrap();
    assert_eq!(lifetime, 3_600.0);
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT token_hash FROM account_link").fetch_one(&node.app.db).await.unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains(token.expose_secret()));
    add(&node.app.db, "min", Role::Admin, password(PASSWORD)).await.unwrap();
    let refused = first_admin(&node.app, &token, "jia", &PASSWORD.into(), Locale::Ko, &[]).await.unwrap_err();
    assert_eq!(refused.code(), "not_found");
    sqlx::query("DELETE FROM account").execute(&node.app.db).await.unwrap();
    assert!(is_first_admin_link(&node.app, &token).await.unwrap());
    sqlx::query("UPDATE account_link SET expires_at = now()").execute(&node.app.db).await.unwrap();
    assert!(!is_first_admin_link(&node.app, &token).await.unwrap());
}
