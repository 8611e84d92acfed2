//! Tests of the audit log: what the table refuses, what the chain shows, two writers at once.
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::{Act, Actor, Flaw, PAGE_ROWS, Verdict, record, verify};
use crate::{db, testing};

async fn add(db: &PgPool, subject: &str, detail: Value) {
    let mut tx = db.begin().await.unwrap();
    let actor = Actor::Account { id: Uuid::from_u128(7), handle: "min" };
    let act = Act { actor, action: "account.role_changed", subject, detail, prefix_hash: Some(&[1, 2, 3]) };
    record(&mut tx, act).await.unwrap();
    tx.commit().await.unwrap();
}

/// Runs statements as an intruder does who owns the tables: without the triggers.
async fn tamper(db: &PgPool, sql: &str) {
    let sql = format!(
        "BEGIN; ALTER TABLE audit_log DISABLE TRIGGER ALL; {sql}; ALTER TABLE audit_log ENABLE TRIGGER ALL; COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap();
}

async fn five() -> PgPool {
    let db = testing::database().await;
    for n in 1..=5 {
        add(&db, &format!("user{n}"), json!({"from": "member", "to": "editor", "n": n, "x": 1.5, "말": "마주"})).await;
    }
    db
}

fn broken(entry: i64, flaw: Flaw) -> Verdict {
    Verdict::Broken { entry, flaw }
}

#[tokio::test]
async fn a_chain_is_whole_until_somebody_tampers_with_it() {
    let empty = testing::database().await;
    assert_eq!(verify(&empty).await.unwrap(), Verdict::Whole { entries: 0, head: "0".repeat(64) });
    for (sql, entry, flaw) in [
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE id = 3", 3, Flaw::Changed),
        ("UPDATE audit_log SET actor = gen_random_uuid() WHERE id = 3", 3, Flaw::Changed),
        ("UPDATE audit_log SET actor = NULL WHERE id = 3", 3, Flaw::Changed),
        ("UPDATE audit_log SET actor_name = 'other' WHERE id = 1", 1, Flaw::Changed),
        ("UPDATE audit_log SET action = 'account.added' WHERE id = 3", 3, Flaw::Changed),
        // The same bytes in a row, divided in another place.
        ("UPDATE audit_log SET action = action || 'u', subject = substr(subject, 2) WHERE id = 2", 2, Flaw::Changed),
        ("UPDATE audit_log SET subject = 'user4' WHERE id = 3", 3, Flaw::Changed),
        (r#"UPDATE audit_log SET detail = detail || '{"to": "admin"}' WHERE id = 5"#, 5, Flaw::Changed),
        (r#"UPDATE audit_log SET detail = detail || '{"x": 1.50}' WHERE id = 4"#, 4, Flaw::Changed),
        ("UPDATE audit_log SET prefix_hash = NULL WHERE id = 3", 3, Flaw::Changed),
        ("UPDATE audit_log SET prefix_hash = '' WHERE id = 3", 3, Flaw::Changed),
        ("UPDATE audit_log SET hash = sha256('x') WHERE id = 3", 3, Flaw::Changed),
        ("UPDATE audit_log SET hash = '' WHERE id = 3", 3, Flaw::Changed),
        ("DELETE FROM audit_log WHERE id = 3", 3, Flaw::Missing),
        ("DELETE FROM audit_log WHERE id = 1", 1, Flaw::Missing),
        ("DELETE FROM audit_log WHERE id = 5", 5, Flaw::Missing),
        ("TRUNCATE audit_log", 1, Flaw::Missing),
        (
            "DELETE FROM audit_log WHERE id = 3; UPDATE audit_log SET id = 3 WHERE id = 4; UPDATE audit_log SET id = 4 WHERE id = 5",
            3,
            Flaw::Changed,
        ),
        (
            "INSERT INTO audit_log SELECT 6, at, actor, actor_name, action, subject, detail, prefix_hash, hash FROM audit_log WHERE id = 5",
            6,
            Flaw::Changed,
        ),
        ("UPDATE audit_head SET id = 4, hash = (SELECT hash FROM audit_log WHERE id = 4)", 5, Flaw::Added),
        ("UPDATE audit_head SET hash = sha256('x')", 5, Flaw::OtherHead),
        ("UPDATE audit_head SET id = 6", 6, Flaw::Missing),
        ("DELETE FROM audit_head", 0, Flaw::NoHead),
    ] {
        let db = five().await;
        assert!(matches!(verify(&db).await.unwrap(), Verdict::Whole { entries: 5, .. }), "before {sql}");
        tamper(&db, sql).await;
        assert_eq!(verify(&db).await.unwrap(), broken(entry, flaw), "{sql}");
    }
}

#[tokio::test]
async fn the_log_refuses_everything_but_new_rows_even_from_the_owner_of_the_table() {
    let db = five().await;
    for sql in [
        "UPDATE audit_log SET subject = 'other' WHERE id = 1",
        "DELETE FROM audit_log WHERE id = 5",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log SELECT * FROM audit_log WHERE id = 1
         ON CONFLICT (id) DO UPDATE SET subject = 'other'",
    ] {
        let refused = sqlx::query(sql).execute(&db).await.unwrap_err().to_string();
        assert!(refused.contains("only added"), "{sql}: {refused}");
    }
    assert!(matches!(verify(&db).await.unwrap(), Verdict::Whole { entries: 5, .. }));
}

#[tokio::test]
async fn an_act_that_is_rolled_back_leaves_no_entry_and_no_gap() {
    let db = five().await;
    let mut tx = db.begin().await.unwrap();
    let act = Act { actor: Actor::Shell, action: "account.added", subject: "x", detail: json!({}), prefix_hash: None };
    record(&mut tx, act).await.unwrap();
    tx.rollback().await.unwrap();
    add(&db, "user6", json!({})).await;
    assert!(matches!(verify(&db).await.unwrap(), Verdict::Whole { entries: 6, .. }));
}

#[tokio::test]
async fn writers_at_the_same_time_keep_one_chain() {
    let db = testing::database().await;
    let other = db::pool((*db.connect_options()).clone());
    let write = |pool: PgPool, name: &'static str| async move {
        for n in 0..40 {
            add(&pool, &format!("{name}{n}"), json!({ "n": n })).await;
        }
    };
    tokio::join!(write(db.clone(), "a"), write(other.clone(), "b"), write(db.clone(), "c"));
    assert!(matches!(verify(&db).await.unwrap(), Verdict::Whole { entries: 120, .. }));
    let unordered: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT at < lag(at) OVER (ORDER BY id) AS back FROM audit_log) seen WHERE back",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert_eq!(unordered, 0, "the times are in the order of the entries");
}

#[tokio::test]
async fn a_log_of_several_pages_is_read_to_its_end() {
    let db = testing::database().await;
    let mut tx = db.begin().await.unwrap();
    let entries = PAGE_ROWS + 1;
    for n in 0..entries {
        let detail = json!({ "n": n });
        let act = Act { actor: Actor::System, action: "account.added", subject: "x", detail, prefix_hash: None };
        record(&mut tx, act).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(matches!(verify(&db).await.unwrap(), Verdict::Whole { entries: found, .. } if found == entries));
    tamper(&db, &format!("UPDATE audit_log SET subject = 'y' WHERE id = {entries}")).await;
    assert_eq!(verify(&db).await.unwrap(), broken(entries, Flaw::Changed));
}
