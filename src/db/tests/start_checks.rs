//! What a start refuses by name: databases, roles and servers that do not fit or do not exist.
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::db::private::{self, StartOptions};
use crate::db::start_checks::check;
use crate::db::{connect_with_timeout, connection_error, pool};
use crate::testing;

/// Runs SQL statements.
async fn run(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

fn name_of(pool: &PgPool) -> String {
    pool.connect_options().get_database().unwrap().to_owned()
}

/// Returns the error of a start with these options.
async fn refusal(options: PgConnectOptions) -> String {
    check(&pool(options), true, None).await.unwrap_err()
}

/// Checks that an error has these parts and is one line.
fn assert_names(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    assert!(!error.contains('\n') && !error.contains("timed out"), "{error}");
}

#[tokio::test]
async fn a_time_zone_that_postgres_does_not_know_is_refused_by_its_setting() {
    let pool = testing::database().await;
    crate::db::check_time_zone(&pool, "Asia/Seoul").await.unwrap();
    let refusal = crate::db::check_time_zone(&pool, "Asia/Soul").await.unwrap_err();
    assert!(refusal.contains("--time-zone") && refusal.contains("Asia/Soul"), "{refusal}");
}

#[tokio::test]
async fn a_database_that_can_lose_commits_is_refused_unless_the_risk_is_accepted() {
    let pool = testing::database().await; // The tests' server is fast: all three settings are off.
    let refusal = check(&pool, false, None).await.unwrap_err();
    assert!(refusal.contains("fsync = off") && refusal.contains("--unsafe-database"), "{refusal}");
    check(&pool, true, None).await.unwrap();
}

#[tokio::test]
async fn only_a_database_in_utf8_is_accepted() {
    let admin = testing::database().await;
    for (encoding, fits) in [("EUC_KR", false), ("SQL_ASCII", false), ("LATIN1", false), ("UTF8", true)] {
        let name = format!("{}_{}", name_of(&admin), encoding.to_lowercase());
        run(
            &admin,
            format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"),
        )
        .await;
        let made = pool((*admin.connect_options()).clone().database(&name));
        match check(&made, true, None).await {
            Ok(()) => assert!(fits, "{encoding} is accepted"),
            Err(why) if fits => panic!("{why}"),
            Err(why) => assert_names(&why, &[encoding, &name, "UTF8", "CREATE DATABASE"]),
        }
        made.close().await;
        run(&admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

#[tokio::test]
async fn a_database_with_an_unsupported_setting_is_refused_by_its_name() {
    for (setting, parts) in [
        ("default_transaction_read_only = on", ["default_transaction_read_only", "ALTER DATABASE"]),
        ("session_replication_role = replica", ["session_replication_role", "RESET"]),
        ("search_path = nowhere", ["search_path (nowhere)", "CREATE SCHEMA"]),
    ] {
        let database = testing::database().await;
        let name = name_of(&database);
        run(&database, format!("ALTER DATABASE {name} SET {setting}")).await;
        assert_names(&refusal((*database.connect_options()).clone()).await, &parts);
    }
}

/// Creates a role with attributes, and returns its name and the options to connect as it. Roles
/// outlive a test's database, so the name is unique.
async fn role(database: &PgPool, attributes: &str) -> (String, PgConnectOptions) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_role_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    run(database, format!("CREATE ROLE {name} {attributes}")).await;
    let options = (*database.connect_options()).clone().username(&name);
    (name, options)
}

#[tokio::test]
async fn a_role_without_needed_rights_is_refused_with_the_statement_that_grants_them() {
    let database = testing::database().await;
    let (name, options) = role(&database, "LOGIN").await;
    assert_names(
        &refusal(options.clone()).await,
        &["is not allowed to create tables", &format!("GRANT CREATE ON SCHEMA \"public\" TO \"{name}\"")],
    );
    run(&database, format!("GRANT CREATE ON SCHEMA public TO {name}")).await;
    check(&pool(options.clone()), true, None).await.unwrap();
    run(&database, format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", name_of(&database))).await;
    assert_names(&refusal(options).await, &[&name, "is not allowed to use the database", &name_of(&database)]);
    run(&database, format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
}

#[tokio::test]
async fn a_role_or_a_database_that_allows_too_few_connections_is_refused() {
    let database = testing::database().await;
    let name = name_of(&database);
    let (role, options) = role(&database, "LOGIN CONNECTION LIMIT 5").await;
    run(&database, format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
    let starts = |own| {
        let pool = pool(options.clone());
        async move { check(&pool, true, own).await }
    };
    let refused = starts(Some(7)).await.unwrap_err();
    assert_names(
        &refused,
        &[&format!("the role {role} allows 5 connections"), "fewer than 9", "opens 23", "CONNECTION LIMIT"],
    );
    starts(None).await.unwrap();
    run(&database, format!("ALTER ROLE {role} CONNECTION LIMIT 20")).await;
    starts(Some(7)).await.unwrap();
    run(&database, format!("ALTER ROLE {role} CONNECTION LIMIT -1; ALTER DATABASE {name} CONNECTION LIMIT 6")).await;
    assert_names(
        &starts(Some(7)).await.unwrap_err(),
        &[&format!("the database {name} allows 6 connections"), "ALTER DATABASE"],
    );
    run(&database, format!("ALTER DATABASE {name} CONNECTION LIMIT -1; ALTER ROLE {role} CONNECTION LIMIT 1")).await;
    // A command that starts no node needs two connections too.
    assert_names(&starts(None).await.unwrap_err(), &["too many connections"]);
    run(&database, format!("ALTER ROLE {role} CONNECTION LIMIT 40")).await;
    assert_names(&starts(Some(60)).await.unwrap_err(), &["40 connections", "fewer than 62"]);
    run(&database, format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_unreachable_database_is_named_with_its_address_and_without_a_password() {
    let database = testing::database().await;
    let there = (*database.connect_options()).clone();
    let missing = format!("{}_missing", name_of(&database));
    assert_names(&refusal(there.clone().database(&missing)).await, &["does not exist", &missing, "CREATE DATABASE"]);
    assert_names(&refusal(there.clone().username("test_nobody")).await, &["test_nobody", "does not exist"]);
    assert_names(&refusal(there.clone().ssl_mode(PgSslMode::Require)).await, &["TLS", "sslmode"]);
    let (asleep, options) = role(&database, "NOLOGIN").await;
    assert_names(&refusal(options).await, &[&asleep, "not permitted to log in"]);
    run(&database, format!("DROP ROLE {asleep}")).await;

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let elsewhere = PgConnectOptions::new_without_pgpass().host("127.0.0.1").username("u").password("hush");
    let began = Instant::now();
    let refused = refusal(elsewhere.clone().port(free)).await;
    assert_names(&refused, &["connection refused", &format!("127.0.0.1:{free}")]);
    assert!(!refused.contains("hush") && began.elapsed() < testing::TEST_TIMEOUT, "{refused}");
    assert_names(&refusal(elsewhere.clone().host("nowhere.invalid")).await, &["nowhere.invalid", "not known"]);
    assert_names(&refusal(elsewhere.clone().socket("/nowhere")).await, &["/nowhere/.s.PGSQL.5432"]);
}

#[tokio::test]
async fn a_wrong_password_is_named() {
    let folder = tempfile::Builder::new().prefix("maju-password-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let options =
        StartOptions { data_dir: data.clone(), fallback_base: folder.path().join("fallback"), durable: false };
    let postgres = private::open(options).await.unwrap();
    let admin = pool(postgres.connect_options());
    run(&admin, "CREATE ROLE guest LOGIN PASSWORD 'right'; GRANT CREATE ON SCHEMA public TO guest").await;
    let rules = data.join("pg/pg_hba.conf");
    std::fs::write(&rules, "local all guest scram-sha-256\nlocal all all trust\n").unwrap();
    run(&admin, "SELECT pg_reload_conf()").await;
    let guest = postgres.connect_options().username("guest");
    testing::eventually("the new rules are in force", || async {
        check(&pool(guest.clone().password("wrong")), true, None).await.is_err()
    })
    .await;
    let refused = refusal(guest.clone().password("wrong")).await;
    let accepted = check(&pool(guest.password("right")), true, None).await;
    admin.close().await;
    postgres.stop().await;
    assert_names(&refused, &["wrong password", "guest"]);
    accepted.unwrap();
}

#[tokio::test]
async fn another_server_at_the_port_is_not_mistaken_for_postgres() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("u");
    let answering = async {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"-ERR unknown command\r\n").await.unwrap();
        }
    };
    tokio::select! {
        refused = refusal(options.clone()) => assert_names(&refused, &["not a Postgres", &format!("127.0.0.1:{port}")]),
        () = answering => {}
    }
    // A server that accepts connections and sends nothing.
    let limit = Duration::from_millis(200);
    let silent = connect_with_timeout(&pool(options.clone()), &[], limit).await.unwrap_err();
    let error = connection_error::describe(&silent, &options, Duration::from_secs(3));
    assert_names(&error, &[&format!("127.0.0.1:{port}"), "did not answer within 3 s"]);
}
