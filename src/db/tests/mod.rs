//! Connections and start checks, with a real Postgres and databases of every kind.
mod pooler;
mod start_checks;

use super::{connect, pool, session};
use crate::testing;

#[tokio::test]
async fn a_connection_outside_the_pool_is_as_durable_as_the_server() {
    let pool = testing::database().await;
    let mut connection = connect(&pool, &[("statement_timeout", "5s")]).await.unwrap();
    let ours: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pg_settings WHERE source IN ('client', 'session')
         AND name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'commit_delay')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(ours.is_empty(), "{ours:?}");
}

#[tokio::test]
async fn a_connection_outside_the_pool_has_its_own_application_name() {
    let pool = testing::database().await;
    let mut own = connect(&pool, &[("application_name", "maju matcher")]).await.unwrap();
    let name = session::read(&mut own, &[("application_name", "")]).await.unwrap();
    assert_eq!(name, ["maju matcher"], "shown in pg_stat_activity");
}

#[tokio::test]
async fn every_session_has_its_settings_whatever_the_database_and_the_role_set() {
    let admin = testing::database().await;
    let name = admin.connect_options().get_database().unwrap().to_owned();
    for odd in [
        "statement_timeout = 0",
        "idle_in_transaction_session_timeout = 0",
        "idle_session_timeout = '1s'",
        "lock_timeout = 0",
        "default_transaction_isolation = serializable",
        "TimeZone = 'Asia/Seoul'",
        "client_encoding = LATIN1",
        "standard_conforming_strings = off",
    ] {
        let sql = format!("ALTER DATABASE {name} SET {odd}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&admin).await.unwrap();
    }
    let pool = pool((*admin.connect_options()).clone());
    let settings = session::settings(&[]);
    let expected: Vec<&str> = settings.iter().map(|(_, value)| *value).collect();
    let pooled = session::read(&mut pool.acquire().await.unwrap(), &settings).await.unwrap();
    assert_eq!(pooled, expected);
    let own = [("lock_timeout", "1700ms"), ("statement_timeout", "1min"), ("tcp_user_timeout", "5s")];
    let mut connection = connect(&pool, &own).await.unwrap();
    let settings = session::settings(&own[..2]);
    let expected: Vec<&str> = settings.iter().map(|(_, value)| *value).collect();
    assert_eq!(session::read(&mut connection, &settings).await.unwrap(), expected);
    assert!(expected.contains(&"1700ms") && expected.contains(&"2s"), "{expected:?}");
}
