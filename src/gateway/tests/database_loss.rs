//! Postgres hangs, or stops and comes back: every request is answered in time, and everything works
//! afterwards.
use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::db::{self, private};
use crate::realtime::Relay;
use crate::testing::{Answer, Guest, Node, TEST_TIMEOUT, eventually};

/// The time within which every request is answered.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(5);
/// The time that a busy machine gets in addition.
const SLACK: Duration = Duration::from_secs(3);

/// A private Postgres for one test, which the test can stop.
struct Postgres {
    own: private::PrivatePostgres,
    folder: tempfile::TempDir,
}

impl Postgres {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("maju-loss-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let place = private::StartOptions {
            data_dir: folder.path().join("data"),
            fallback_base: folder.path().join("fallback"),
            durable: true, // commits survive when its processes are killed
        };
        Self { own: private::open(place).await.unwrap(), folder }
    }

    async fn node(&self) -> Node {
        let pool = db::pool(self.own.connect_options());
        db::migrate(&pool).await.unwrap();
        Node::start(pool, Relay::in_process(), Clock::default(), |_| {}).await
    }

    /// Returns the process id of the postmaster.
    fn postmaster(&self) -> i32 {
        let line = self.own.describe();
        let pid = line.rsplit_once("is process ").and_then(|(_, rest)| rest.strip_suffix(')'));
        pid.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    }

    /// Sends a signal to all its processes, to the postmaster first, because it could start more.
    fn signal(&self, signal: Signal) {
        let postmaster = self.postmaster();
        let send = |pid: i32| {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal); // the process may have ended
        };
        send(postmaster);
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse::<i32>() else { continue };
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
            if parent == Some(postmaster) {
                send(pid);
            }
        }
    }

    async fn end(self) {
        self.own.stop().await;
        self.folder.close().unwrap();
    }
}

/// Returns every method and path of the API's description with the room's id filled in, and whether
/// it takes a body.
async fn routes(node: &Node, room: &str) -> Vec<(Method, String, bool)> {
    let described = node.get("/api/openapi.json").await.json();
    let mut routes = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let mut path = path.replace("{room}", room).replace("{step}", "totp");
            while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                path.replace_range(from..=to, room);
            }
            // The answer to a request without it would be another one.
            if path == "/api/v1/topics/together" {
                path.push_str("?interests=tea");
            }
            if path == "/api/v1/banners" {
                path.push_str("?place=chat");
            }
            let method = method.to_uppercase().parse().unwrap();
            routes.push((method, path, route.get("requestBody").is_some()));
        }
    }
    routes
}

async fn room_of(node: &Node, guest: &Guest) -> Value {
    let body = json!({"title": "Public", "kind": "public", "naming": "anonymous", "history": true});
    node.ask(Some(guest), Method::POST, "/api/v1/rooms", Some(body)).await.json()
}

/// Returns a body that a route without a visitor accepts. Others ask Postgres for the visitor first.
fn body_of(path: &str) -> Value {
    let (password, token) = ("correct horse battery", "nobody's");
    match path.trim_start_matches("/api/v1") {
        "/sign-up" | "/sign-in" => json!({"handle": "somebody", "password": password}),
        "/sign-in/totp" => json!({"code": "123456"}),
        "/account/email/verify" => json!({"token": token}),
        "/account/reset/confirm" => json!({"token": token, "password": password}),
        "/account/reset" => json!({"email": "somebody@example.org"}),
        _ => json!({}),
    }
}

/// The beginnings of the paths that are answered from memory.
const FROM_MEMORY: [&str; 4] = ["/api/v1/banners?place=chat", "/api/v1/content", "/api/v1/stats", "/api/v1/topics"];

/// Checks the answer to a request while Postgres hangs.
fn expect_no_database(method: &Method, path: &str, has_cookie: bool, answer: &Answer) {
    let from_memory = FROM_MEMORY.iter().any(|start| path.starts_with(start));
    let without_cookie = !has_cookie && (*method != Method::GET || path != "/api/v1/me");
    match answer.status {
        StatusCode::OK => assert!(from_memory, "{method} {path}: {}", answer.text),
        // The answer to all addresses is the same, and nothing is looked up before it.
        StatusCode::ACCEPTED => assert_eq!(path, "/api/v1/account/reset"),
        // Without a cookie no sign-in has begun.
        StatusCode::CONFLICT => assert!(!has_cookie && path == "/api/v1/sign-in/totp"),
        StatusCode::UNAUTHORIZED => assert!(without_cookie, "{method} {path}: {}", answer.text),
        status => {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {}", answer.text);
            assert_eq!(answer.json()["code"], "unavailable", "{method} {path}: {}", answer.text);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
        }
    }
}

#[tokio::test]
async fn while_postgres_hangs_every_route_and_the_upgrade_answer_unavailable_in_time() {
    let postgres = Postgres::start().await;
    let node = postgres.node().await;
    let guest = node.guest("en").await;
    let room = room_of(&node, &guest).await;
    let routes = routes(&node, room["id"].as_str().unwrap()).await;
    assert!(routes.len() >= 9, "{routes:?}");
    let mut socket = node.socket(&guest).await;
    assert_eq!(node.get("/readyz").await.status, 200);

    postgres.signal(Signal::STOP);
    let began = Instant::now();
    let asking = routes.iter().flat_map(|route| [(route, Some(&guest)), (route, None)]).map(|(route, who)| {
        let (node, (method, path, has_body)) = (&node, route);
        async move {
            let body = has_body.then(|| body_of(path));
            let answer = node.ask(who, method.clone(), path, body).await;
            let took = began.elapsed();
            assert!(took < MAX_ANSWER_TIME + SLACK, "{method} {path} took {took:?}");
            expect_no_database(method, path, who.is_some(), &answer);
        }
    });
    let upgrading = async {
        let request = node.upgrade(Some(&node.origin()), Some("maju.v1"), Some(&guest));
        let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = tokio_tungstenite::connect_async(request).await
        else {
            panic!("upgraded without Postgres");
        };
        assert_eq!(answer.status(), 503);
        assert!(began.elapsed() < MAX_ANSWER_TIME + SLACK, "{:?}", began.elapsed());
    };
    let sending = async {
        for frame in [json!({"type": "cancel"}), json!({"type": "join", "room": room["id"]})] {
            let sent = Instant::now();
            assert_eq!(socket.refused(frame.clone()).await, "unavailable", "{frame}");
            assert!(sent.elapsed() < MAX_ANSWER_TIME + SLACK, "{frame} took {:?}", sent.elapsed());
        }
    };
    let probing = async {
        while node.get("/readyz").await.status == 200 {
            assert!(began.elapsed() < Duration::from_secs(2) + SLACK, "still ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(node.get("/livez").await.status, 200);
    };
    tokio::join!(join_all(asking), upgrading, sending, probing);
    postgres.signal(Signal::CONT);

    eventually("a request is answered", || async { asked_ok(&node, &guest).await }).await;
    let answers = join_all((0..40).map(|_| asked_ok(&node, &guest))).await;
    assert!(answers.iter().all(|ok| *ok), "{answers:?}");
    node.socket(&guest).await.close().await;
    let pool = &node.app.db;
    eventually("every connection is back in the pool, and ready again", || async {
        let all_back = pool.num_idle() == usize::try_from(pool.size()).unwrap();
        all_back && pool.size() <= db::MAX_POOL_CONNECTIONS && node.get("/readyz").await.status == 200
    })
    .await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maju'";
    let open: i64 = sqlx::query_scalar(open).fetch_one(pool).await.unwrap();
    assert!(open <= i64::from(db::MAX_POOL_CONNECTIONS), "{open} connections are open");
    drop((socket, node));
    postgres.end().await;
}

async fn asked_ok(node: &Node, guest: &Guest) -> bool {
    node.ask(Some(guest), Method::GET, "/api/v1/rooms", None).await.status == StatusCode::OK
}

#[tokio::test]
async fn once_postgres_is_back_no_request_meets_a_dead_connection() {
    let postgres = Postgres::start().await;
    let node = postgres.node().await;
    let guest = node.guest("en").await;
    let held = join_all((0..db::MAX_POOL_CONNECTIONS).map(|_| node.app.db.acquire())).await;
    drop(held);
    let until = Instant::now() + TEST_TIMEOUT;
    let first = postgres.postmaster();
    kill_process(Pid::from_raw(first).unwrap(), Signal::QUIT).unwrap();
    // No request is made meanwhile: the pool has no failure to learn from.
    loop {
        assert!(Instant::now() < until, "Postgres did not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let is_new = postgres.own.is_owner() && postgres.postmaster() != first;
        if is_new && db::connect(&node.app.db, &[]).await.is_ok() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for nth in 0..60 {
        let answer = node.ask(Some(&guest), Method::GET, "/api/v1/rooms", None).await;
        assert_eq!(answer.status, StatusCode::OK, "request {nth}: {}", answer.text);
    }
    drop(node);
    postgres.end().await;
}

#[tokio::test]
async fn a_readiness_check_runs_no_query() {
    let node = crate::testing::node().await;
    // A query would wait for a connection.
    let _held = join_all((0..db::MAX_POOL_CONNECTIONS).map(|_| node.app.db.acquire())).await;
    let began = Instant::now();
    for _ in 0..200 {
        let answer = node.get("/readyz").await;
        assert!([200, 503].contains(&answer.status.as_u16()), "{}", answer.text);
    }
    assert!(began.elapsed() < TEST_TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_node_with_a_read_only_database_is_not_ready_and_gives_the_reason() {
    let node = crate::testing::node().await;
    assert_eq!(node.get("/readyz").await.status, 200);
    let set = async |to: &str| {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {to}', current_database()); END $$"
        );
        let mut own = db::connect(&node.app.db, &[("default_transaction_read_only", "off")]).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut own).await.unwrap();
        // The setting applies to new sessions.
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(others).execute(&mut own).await.unwrap();
    };
    set("on").await;
    eventually("it is not ready", || async { node.get("/readyz").await.status == 503 }).await;
    eventually("it gives the reason", || async {
        node.get("/readyz").await.json()["reasons"]
            .as_array()
            .is_some_and(|why| why.contains(&json!("the database cannot write")))
    })
    .await;
    set("off").await;
    eventually("it is ready again", || async { node.get("/readyz").await.status == 200 }).await;
}

#[tokio::test]
async fn many_dropped_requests_return_every_connection_to_the_pool() {
    let node = crate::testing::node().await;
    let guest = node.guest("en").await;
    for _ in 0..5 {
        let requests = (0..50).map(|_| async {
            let mut asking = std::pin::pin!(asked_ok(&node, &guest));
            // Polled some times, and then dropped.
            let mut polls = rand::random_range(1..40);
            poll_fn(|cx| {
                polls -= 1;
                let done = asking.as_mut().poll(cx).is_ready();
                if done || polls == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        });
        join_all(requests).await;
    }
    eventually("every connection is back in the pool", || async {
        node.app.db.num_idle() == usize::try_from(node.app.db.size()).unwrap()
    })
    .await;
    assert!(asked_ok(&node, &guest).await);
}
