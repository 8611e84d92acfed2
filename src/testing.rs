//! Test support: one private Postgres for all tests, a database per test, and nodes with the real
//! router on a real listener.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tower::ServiceExt as _;

use crate::accounts::{self, Visitor};
use crate::app::App;
use crate::cli::ServeArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, private, private::PrivateError};
use crate::realtime::Relay;
use crate::{faults, http, router};

/// How long a test waits for something that must happen. Long, because the machine can be busy.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The server, with the template database that all test databases are copied from. Created once per
/// run.
static TEMPLATE: OnceCell<PgConnectOptions> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

async fn server() -> PgConnectOptions {
    let options = TEMPLATE.get_or_init(|| async {
        let options = private::StartOptions {
            data_dir: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-postgres")),
            fallback_base: std::env::temp_dir().join("maju-tests"),
            durable: false,
        };
        let mut opened = private::open(options.clone()).await;
        // The system has emptied its temporary folder.
        if matches!(opened, Err(PrivateError::DatabaseMissing { .. } | PrivateError::DatabaseElsewhere { .. })) {
            std::fs::remove_dir_all(&options.data_dir).unwrap();
            opened = private::open(options).await;
        }
        let postgres = opened.unwrap();
        let options = postgres.connect_options();
        std::mem::forget(postgres); // It stops with the process.
        let admin = db::pool(options.clone());
        let old: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'")
            .fetch_all(&admin)
            .await
            .unwrap();
        for name in old.iter().filter(|name| !is_of_running_process(name)) {
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let _ = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&admin).await;
        }
        let name = format!("test_{}_template", std::process::id());
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await.unwrap();
        let template = db::pool(options.clone().database(&name));
        db::migrate(&template).await.unwrap();
        faults::plant_in_schema(&template).await;
        template.close().await;
        admin.close().await;
        options
    });
    options.await.clone()
}

/// Returns `true` if a database is named `test_<pid>_…` and that process runs.
fn is_of_running_process(name: &str) -> bool {
    let pid = name.split('_').nth(1).unwrap_or_default();
    std::path::Path::new("/proc").join(pid).exists()
}

/// Creates a database for one test, with this version's schema.
pub(crate) async fn database() -> PgPool {
    let options = server().await;
    let (admin, run) = (db::pool(options.clone()), std::process::id());
    let name = format!("test_{run}_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {name} TEMPLATE test_{run}_template");
    // Postgres refuses to copy one template twice at the same time, so retry.
    for attempt in 0.. {
        match sqlx::query(sqlx::AssertSqlSafe(sql.clone())).execute(&admin).await {
            Ok(_) => break,
            Err(why) if attempt > 200 => panic!("{why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
    admin.close().await;
    db::pool(options.database(&name))
}

/// A node with its own listener. Dropping it stops its tasks.
pub(crate) struct Node {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    router: axum::Router,
    relay: Relay,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.app.tasks.draining.cancel();
        self.app.tasks.stopping.cancel();
    }
}

/// Starts a node on a new database, without rate limits.
pub(crate) async fn node() -> Node {
    Node::start(database().await, Relay::in_process(), Clock::default(), |_| {}).await
}

/// Starts a node on a new database, with rate limits.
pub(crate) async fn limited_node() -> Node {
    Node::start(database().await, Relay::in_process(), Clock::default(), |config| config.limits = true).await
}

impl Node {
    /// Starts a node without rate limits, with changed settings.
    pub(crate) async fn start(db: PgPool, relay: Relay, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mut config) = (listener.local_addr().unwrap(), Config::read(&ServeArgs::default()).unwrap());
        config.listen = address;
        config.site = crate::config::Site::parse(&format!("http://localhost:{}", address.port())).unwrap();
        config.limits = false;
        config.media_cache_bytes = 0;
        change(&mut config);
        let app = App::start(config, db, relay.clone(), clock).await.unwrap();
        let router = router::router(&app);
        http::serve(&app, listener, router.clone());
        Self { app, address, router, relay }
    }

    /// Starts a second node of the same service: same database, same relay, same clock.
    pub(crate) async fn beside(other: &Self) -> Self {
        let options = (*other.app.db.connect_options()).clone();
        Self::start(db::pool(options), other.relay.clone(), other.app.clock.clone(), |_| {}).await
    }

    /// Starts a second node without a relay to the first: only the database connects them.
    pub(crate) async fn apart(other: &Self) -> Self {
        let options = (*other.app.db.connect_options()).clone();
        Self::start(db::pool(options), Relay::in_process(), other.app.clock.clone(), |_| {}).await
    }

    /// Starts a node with a relay over Redis, on the database of `other` or on a new one.
    pub(crate) async fn over_redis(redis: &str, other: Option<&Self>) -> Self {
        let (db, clock) = match other {
            Some(other) => (db::pool((*other.app.db.connect_options()).clone()), other.app.clock.clone()),
            None => (database().await, Clock::default()),
        };
        let relay = Relay::over_redis(redis, db::service::id(&db).await.unwrap()).unwrap();
        Self::start(db, relay, clock, |_| {}).await
    }

    /// Returns the site's origin.
    pub(crate) fn origin(&self) -> String {
        self.app.config.site.url.clone()
    }

    /// Creates a visitor who has accepted the rules, for calls of verbs.
    pub(crate) async fn visitor(&self, locale: &str) -> Visitor {
        let who = self.guest(locale).await;
        self.visitor_of(&who).await
    }

    /// Returns a guest's visitor, for calls of verbs.
    pub(crate) async fn visitor_of(&self, guest: &Guest) -> Visitor {
        let id: crate::ids::VisitorId = sqlx::query_scalar("SELECT id FROM visitor WHERE public_id = $1::uuid")
            .bind(&guest.id)
            .fetch_one(&self.app.db)
            .await
            .unwrap();
        accounts::by_id(&self.app, id).await.unwrap()
    }

    /// Creates a browser's visitor who has accepted the rules.
    pub(crate) async fn guest(&self, locale: &str) -> Guest {
        let guest = self.newcomer(locale).await;
        let body = json!({"rules": accounts::RULES_VERSION, "adult": true});
        let answer = self.ask(Some(&guest), Method::PATCH, "/api/v1/me", Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        guest
    }

    /// Creates a browser's visitor who has not accepted the rules.
    pub(crate) async fn newcomer(&self, locale: &str) -> Guest {
        let request = Request::get("/api/v1/me").header(header::ACCEPT_LANGUAGE, locale);
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Guest { cookie, id: answer.json()["visitor"]["id"].as_str().unwrap().to_owned() }
    }

    /// Locks a table exclusively, until the returned connection is dropped.
    pub(crate) async fn lock(&self, table: &str) -> sqlx::PgConnection {
        let mut own = db::connect(&self.app.db, &[("idle_in_transaction_session_timeout", "0")]).await.unwrap();
        let sql = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut own).await.unwrap();
        own
    }

    /// Sends a GET request without a cookie.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(None, Method::GET, path, None).await
    }

    /// Sends a request as the site's own page does.
    pub(crate) async fn ask(&self, who: Option<&Guest>, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::ORIGIN, self.origin());
        if let Some(guest) = who {
            request = request.header(header::COOKIE, &guest.cookie);
        }
        let body = match body {
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    /// Sends any request through the whole router.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4000))));
        let host = format!("localhost:{}", self.address.port()).parse().unwrap();
        request.headers_mut().entry(header::HOST).or_insert(host);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 * 1024 * 1024).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, bytes: bytes.to_vec(), text }
    }

    /// Opens a socket for a guest, and sends no hello.
    pub(crate) async fn connect(&self, guest: &Guest) -> Socket {
        let request = self.upgrade(Some(&self.origin()), Some("maju.v1"), Some(guest));
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Socket { stream, next_id: 1, events: Vec::new(), answers: Vec::new() }
    }

    /// Opens a socket for a guest, and sends its hello.
    pub(crate) async fn socket(&self, guest: &Guest) -> Socket {
        let mut socket = self.connect(guest).await;
        socket.ok(json!({"type": "hello"})).await;
        socket
    }

    /// Returns an upgrade request with the given headers.
    pub(crate) fn upgrade(
        &self,
        origin: Option<&str>,
        protocol: Option<&str>,
        guest: Option<&Guest>,
    ) -> tungstenite::handshake::client::Request {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        let headers = request.headers_mut();
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        if let Some(protocol) = protocol {
            headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        if let Some(guest) = guest {
            headers.insert("cookie", guest.cookie.parse().unwrap());
        }
        request
    }
}

/// A talk, with the sockets of both people in its room.
pub(crate) struct Talk {
    pub(crate) a: Socket,
    pub(crate) b: Socket,
    pub(crate) session: String,
    pub(crate) room: String,
}

impl Node {
    /// Matches two guests, who enter the room. `a` sought first; the slots are random.
    pub(crate) async fn talk(&self, first: &Guest, second: &Guest) -> Talk {
        let (mut a, mut b) = (self.socket(first).await, self.socket(second).await);
        let seek = json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": false});
        a.ok(seek.clone()).await;
        b.ok(seek).await;
        let (found, other) = (a.event("found").await, b.event("found").await);
        assert_eq!(found["session"], other["session"]);
        let text = |name: &str| found[name].as_str().unwrap().to_owned();
        let (session, room) = (text("session"), text("room"));
        for socket in [&mut a, &mut b] {
            socket.ok(json!({"type": "join", "room": room, "after": 0})).await;
        }
        Talk { a, b, session, room }
    }
}

/// A real Redis (or Valkey) for one test, which can kill, hang and restart it.
pub(crate) struct Redis {
    pub(crate) url: String,
    port: u16,
    child: std::process::Child,
}

impl Redis {
    /// Starts a Redis on a free port, without persistence.
    pub(crate) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let redis = Self { url: format!("redis://127.0.0.1:{port}"), port, child: Self::launch(port) };
        redis.answers().await;
        redis
    }

    fn launch(port: u16) -> std::process::Child {
        let port = port.to_string();
        let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"];
        let started = ["redis-server", "valkey-server"].iter().find_map(|program| {
            std::process::Command::new(program).args(args).stdout(std::process::Stdio::null()).spawn().ok()
        });
        started.expect("tests of several nodes need redis-server or valkey-server: run `make needs`")
    }

    async fn answers(&self) {
        let port = self.port;
        eventually("Redis answers", || async move { TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Restarts it on the same port, empty.
    pub(crate) async fn again(&mut self) {
        self.child = Self::launch(self.port);
        self.answers().await;
    }

    /// Suspends it, or resumes it.
    pub(crate) fn hang(&self, hangs: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = if hangs { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser: its cookie, and the public id of its visitor.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) cookie: String,
    pub(crate) id: String,
}

/// An answer to a request.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
}

impl Answer {
    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {}", self.text))
    }
}

/// A client's socket. Events that arrive before an awaited answer are kept in `events`.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    pub(crate) events: Vec<Value>,
    answers: Vec<Value>,
}

impl Socket {
    /// Sends a frame with the next id, and returns the id.
    pub(crate) async fn say(&mut self, mut frame: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        frame["id"] = id.into();
        self.raw(&frame.to_string()).await;
        id
    }

    /// Sends any text.
    pub(crate) async fn raw(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends any message. Ignores a socket that has been closed.
    pub(crate) async fn throw(&mut self, message: Message) {
        let _ = self.stream.send(message).await;
    }

    /// Returns the next text frame, or the close code as an error.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(TEST_TIMEOUT, self.stream.next()).await.expect("no message came");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Returns the answer to a frame. Keeps events and other answers that arrive before it.
    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer["re"] == id) {
                return self.answers.remove(at);
            }
            self.receive(&format!("the answer to {id}")).await;
        }
    }

    async fn receive(&mut self, waiting_for: &str) {
        let frame = self.next().await.unwrap_or_else(|code| panic!("closed with {code}, waiting for {waiting_for}"));
        if frame.get("re").is_some() {
            self.answers.push(frame);
        } else {
            self.events.push(frame);
        }
    }

    /// Sends a frame and returns its `ok`.
    pub(crate) async fn ok(&mut self, frame: Value) -> Value {
        let id = self.say(frame).await;
        let answer = self.answer(id).await;
        assert!(answer.get("ok").is_some(), "{answer}");
        answer["ok"].clone()
    }

    /// Sends a frame and returns the code of its error.
    pub(crate) async fn refused(&mut self, frame: Value) -> String {
        let id = self.say(frame).await;
        let answer = self.answer(id).await;
        answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Returns the next event of a type, from those kept or still to come. Keeps the others.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["type"] == kind) {
                return self.events.remove(at);
            }
            self.receive(kind).await;
        }
    }

    /// Waits for the close code. Drops the frames before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// Sends a text to a room with a new id, and returns its `ok`.
    pub(crate) async fn text(&mut self, room: &str, text: &str) -> Value {
        let client_id = uuid::Uuid::new_v4();
        let payload = json!({"kind": "text", "text": text});
        self.ok(json!({"type": "send", "room": room, "client_id": client_id, "payload": payload})).await
    }

    /// Closes the socket in order.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.close(None).await;
        while let Some(Ok(_)) = self.stream.next().await {}
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let until = tokio::time::Instant::now() + TEST_TIMEOUT;
    while !holds().await {
        assert!(tokio::time::Instant::now() < until, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
