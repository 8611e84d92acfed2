//! The server and the commands as processes: readers of its log, environment variables, signals. The test program
//! runs as the server.
mod shell;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::accounts;

/// The variable that makes the test program run as the server.
const ROLE: &str = "MAJU_TEST_SERVER";
/// The variable that makes the test program run as a command: its words as JSON.
const WORDS: &str = "MAJU_TEST_COMMAND";
/// Longer than any step takes on a busy machine. A first start unpacks programs and creates a
/// database.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// The program of [`Process`]. Does nothing when it runs as an ordinary test.
#[test]
fn runs_as_a_server() {
    if std::env::var_os(ROLE).is_some() {
        let outcome = crate::run_server(&crate::cli::from_environment());
        std::process::exit(i32::from(crate::report(outcome) != ExitCode::SUCCESS));
    }
}

/// The program of a command. Does nothing when it runs as an ordinary test.
#[test]
fn runs_as_a_command() {
    if let Ok(words) = std::env::var(WORDS) {
        let words: Vec<String> = serde_json::from_str(&words).unwrap();
        let ended = crate::run(&crate::cli::of_words(&words));
        std::process::exit(i32::from(ended != ExitCode::SUCCESS));
    }
}

/// A server process with its own data folder. Killed on drop.
struct Process {
    child: Child,
    port: u16,
    /// Always there, except while the process is dropped.
    folder: Option<tempfile::TempDir>,
}

/// Creates a folder that Postgres's user can pass through.
fn new_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("maju-process-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Returns the process of the Postgres in a data folder. `None` if there is none.
fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("pg/postmaster.pid")).ok()?;
    Pid::from_raw(text.lines().next()?.parse().ok()?)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a server. `prefix` is a command that starts the program it is given.
    fn start(prefix: &[&str], stderr: Stdio, settings: &[(&str, &str)]) -> Self {
        Self::start_in(new_folder(), prefix, stderr, settings)
    }

    /// Starts a server with the data folder of an earlier one.
    fn start_in(folder: tempfile::TempDir, prefix: &[&str], stderr: Stdio, settings: &[(&str, &str)]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = std::env::current_exe().unwrap();
        let mut command = match prefix {
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            [] => Command::new(program),
        };
        command.args(["--exact", "process_tests::runs_as_a_server", "--nocapture"]);
        command.env(ROLE, "1").env("MAJU_DATA_DIR", folder.path().join("data"));
        command.env("MAJU_LISTEN", format!("127.0.0.1:{port}")).envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        Self { child: command.spawn().unwrap(), port, folder: Some(folder) }
    }

    fn data(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("data")
    }

    /// Stops the server in order and returns its folder.
    async fn stop(mut self) -> tempfile::TempDir {
        self.signal(Signal::TERM);
        assert_eq!(self.end().await.code(), Some(0));
        self.folder.take().unwrap()
    }

    fn postmaster(&self) -> Option<Pid> {
        postmaster(&self.data())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process has ended.
    async fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < STEP_TIMEOUT, "the server does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server accepts work.
    async fn ready(&mut self) {
        let began = Instant::now();
        while self.ask("GET", "/readyz", "", None).await.0 != 200 {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server has ended");
            assert!(began.elapsed() < STEP_TIMEOUT, "the server is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a request on a new connection. Returns the status, 0 if no server listens, and the
    /// whole answer.
    async fn ask(&self, method: &str, path: &str, cookie: &str, body: Option<Value>) -> (u16, String) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { return (0, String::new()) };
        let (body, port) = (body.map_or_else(String::new, |body| body.to_string()), self.port);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\norigin: http://localhost:{port}\r\ncookie: {cookie}\r\n\
             connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = Vec::new();
        if stream.write_all(head.as_bytes()).await.is_ok() {
            let _ = tokio::time::timeout(STEP_TIMEOUT, stream.read_to_end(&mut answer)).await.expect("no answer");
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default(), answer)
    }

    /// Opens a socket for a new visitor who has accepted the rules, and sends its hello.
    async fn socket(&self) -> Socket {
        let (status, answer) = self.ask("GET", "/api/v1/me", "", None).await;
        assert_eq!(status, 200, "{answer}");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let accepts = json!({"rules": accounts::RULES_VERSION, "adult": true});
        let (status, answer) = self.ask("PATCH", "/api/v1/me", cookie, Some(accepts)).await;
        assert_eq!(status, 200, "{answer}");
        let mut request = format!("ws://127.0.0.1:{}/ws", self.port).into_client_request().unwrap();
        request.headers_mut().insert("origin", format!("http://localhost:{}", self.port).parse().unwrap());
        request.headers_mut().insert("sec-websocket-protocol", "maju.v1".parse().unwrap());
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut socket = Socket { stream, last: 0 };
        socket.ok(json!({"type": "hello"})).await;
        socket
    }

    /// Matches two new visitors, who talk: checks matching, the log and its delivery.
    async fn two_meet_and_talk(&self) {
        let (mut a, mut b) = (self.socket().await, self.socket().await);
        let seek = json!({"type": "seek", "interests": [], "languages": ["ko"], "translate": false});
        a.say(seek.clone()).await;
        b.say(seek).await;
        let found = a.until(|frame| frame["type"] == "found").await;
        b.until(|frame| frame["type"] == "found").await;
        for socket in [&mut a, &mut b] {
            socket.ok(json!({"type": "join", "room": found["room"], "after": 0})).await;
        }
        let payload = json!({"kind": "text", "text": "hello"});
        let send =
            json!({"type": "send", "room": found["room"], "client_id": uuid::Uuid::new_v4(), "payload": payload});
        a.ok(send).await;
        b.until(|frame| frame["type"] == "message").await;
    }

    /// Kills Postgres, and waits until another one is in use.
    async fn survives_the_loss_of_postgres(&mut self) {
        let old = self.postmaster().unwrap();
        kill_process(old, Signal::KILL).unwrap();
        let began = Instant::now();
        while self.postmaster().is_none_or(|now| now == old) {
            assert!(began.elapsed() < STEP_TIMEOUT, "Postgres is not restarted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await; // The answer of `/readyz` is at most this old.
        self.ready().await;
    }
}

/// A client's socket.
struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last: u64,
}

impl Socket {
    async fn say(&mut self, mut frame: Value) -> u64 {
        self.last += 1;
        frame["id"] = self.last.into();
        self.stream.send(Message::text(frame.to_string())).await.unwrap();
        self.last
    }

    async fn ok(&mut self, frame: Value) -> Value {
        let id = self.say(frame).await;
        let answer = self.until(|frame| frame["re"] == id).await;
        assert!(answer.get("ok").is_some(), "{answer}");
        answer
    }

    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = tokio::time::timeout(STEP_TIMEOUT, self.stream.next()).await.expect("no message came");
            if let Message::Text(text) = message.expect("closed").unwrap() {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if wanted(&frame) {
                    return frame;
                }
            }
        }
    }
}

#[tokio::test]
async fn the_server_keeps_working_without_a_reader_of_its_log() {
    let mut server = Process::start(&[], Stdio::piped(), &[]);
    server.ready().await;
    drop(server.child.stderr.take());
    server.two_meet_and_talk().await;
    server.survives_the_loss_of_postgres().await;
    server.two_meet_and_talk().await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_slow_reader_of_the_log_does_not_block_the_server() {
    let mut server = Process::start(&[], Stdio::piped(), &[("MAJU_LOG_FILTER", "trace")]);
    server.ready().await;
    // More than fits into the pipe.
    for _ in 0..300 {
        assert_eq!(server.ask("GET", "/livez", "", None).await.0, 200);
    }
    server.two_meet_and_talk().await;
    server.survives_the_loss_of_postgres().await;
    server.two_meet_and_talk().await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_start_that_fails_reports_why_and_needs_no_reader() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = [("MAJU_LISTEN", taken.local_addr().unwrap().to_string())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut server = Process::start(&[], Stdio::piped(), &settings);
    drop(server.child.stderr.take());
    assert_eq!(server.end().await.code(), Some(1));

    let mut server = Process::start(&[], Stdio::piped(), &settings);
    let mut output = String::new();
    std::io::Read::read_to_string(&mut server.child.stderr.take().unwrap(), &mut output).unwrap();
    assert!(output.contains("maju: cannot listen on"), "{output}");
    assert_eq!(server.end().await.code(), Some(1));
}

#[tokio::test]
async fn a_closed_terminal_does_not_stop_the_server_and_sigquit_stops_it_in_order() {
    let mut server = Process::start(&[], Stdio::null(), &[]);
    let harmless = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::PIPE, Signal::XFSZ];
    wait_for_start(&server).await;
    harmless.iter().for_each(|signal| server.signal(*signal)); // While it starts,
    server.ready().await;
    let postgres = server.postmaster().unwrap();
    harmless.iter().for_each(|signal| server.signal(*signal)); // and while it is ready.
    server.two_meet_and_talk().await;
    assert_eq!(server.postmaster(), Some(postgres));
    server.signal(Signal::QUIT);
    assert_eq!(server.end().await.code(), Some(0));
    assert!(!server.data().join("pg/postmaster.pid").exists(), "Postgres was stopped in order");
}

/// Waits until a server is starting its Postgres.
async fn wait_for_start(server: &Process) {
    let began = Instant::now();
    while !server.data().join("lock").exists() {
        assert!(began.elapsed() < STEP_TIMEOUT, "the server does not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stop_during_the_start_is_orderly() {
    let mut server = Process::start(&[], Stdio::null(), &[]);
    wait_for_start(&server).await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await.code(), Some(0));
    assert!(!server.data().join("pg/postmaster.pid").exists(), "Postgres was stopped in order");
}

#[tokio::test]
async fn variables_of_other_postgres_servers_do_not_reach_the_private_one() {
    let settings = [
        ("PGOPTIONS", "-c search_path=other -c nonsense=1"),
        ("PGHOST", "db.example.org"),
        ("PGPORT", "1"),
        ("PGUSER", "somebody"),
        ("PGDATABASE", "other"),
        ("PGSSLMODE", "verify-full"),
        ("PGPASSFILE", "/nowhere"),
        ("PGDATA", "/nowhere"),
        ("PGTZ", "Asia/Seoul"),
        ("LC_ALL", "xx_YY"),
        ("LANG", "xx_YY"),
        ("TZ", "Nowhere/Else"),
    ];
    let mut server = Process::start(&[], Stdio::null(), &settings);
    server.ready().await;
    server.two_meet_and_talk().await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_server_works_with_little_shared_memory() {
    let mount = "mount -t tmpfs -o size=64k maju-test /dev/shm && exec \"$0\" \"$@\"";
    let prefix = ["unshare", "--mount", "sh", "-c", mount];
    let attempt = Command::new(prefix[0]).args(&prefix[1..]).arg("true").output();
    if !attempt.as_ref().is_ok_and(|answer| answer.status.success()) {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("SKIPPED: a private mount is not possible here ({attempt:?})\n").as_bytes(),
        );
        return;
    }
    assert!(Path::new("/dev/shm").is_dir());
    let mut server = Process::start(&prefix, Stdio::null(), &[]);
    server.ready().await;
    server.two_meet_and_talk().await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await.code(), Some(0));
}
