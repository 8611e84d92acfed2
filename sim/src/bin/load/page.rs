//! The cost of one page of the largest entries: bytes stored and served, and the server's memory
//! before and after.
//!
//! usage: load page [--bin target/debug/maju] [--address-space 2g] [--entries 100] [--parallel 2]
//! [--keep]
//!
//! Starts the server with a data folder of its own and posts entries of two kinds, each to a room
//! of its own: numbers that grow when they are stored (64 KB of `1e308`), and the largest payload
//! of that kind that the server accepts. Prints one `name: value` a line. `--address-space` limits
//! the server to that much (`prlimit --as`).
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sim::sys::{SIGTERM, end_with_this_program, signal};

/// Numbers in the payload of 64 KB.
const NUMBERS: usize = 10_700;
/// How long the server can take to start, and to answer.
const START_DEADLINE: Duration = Duration::from_secs(60);
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);

struct Args {
    bin: PathBuf,
    address_space: Option<u64>,
    entries: usize,
    parallel: usize,
    keep: bool,
}

fn args(words: &[String]) -> Result<Args, String> {
    let (bin, mut words) = (PathBuf::from("target/debug/maju"), words.iter());
    let mut args = Args { bin, address_space: None, entries: 100, parallel: 2, keep: false };
    while let Some(name) = words.next() {
        if name == "--keep" {
            args.keep = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        match &**name {
            "--bin" => args.bin = value.into(),
            "--address-space" => args.address_space = Some(bytes(value).ok_or_else(|| format!("{name}: {value}"))?),
            "--entries" => args.entries = value.parse().map_err(|why| format!("{name}: {why}"))?,
            "--parallel" => args.parallel = value.parse().map_err(|why| format!("{name}: {why}"))?,
            _ => return Err(format!("{name} is not known")),
        }
    }
    args.bin = args.bin.canonicalize().map_err(|why| format!("--bin {}: {why}", args.bin.display()))?;
    Ok(args)
}

/// Returns a number of bytes, given with or without k, m or g.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G']);
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The server with its folder and a visitor. It is stopped when this is dropped.
struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
    cookie: String,
    keep: bool,
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Server {
    fn start(args: &Args) -> Self {
        let folder = std::env::temp_dir().join(format!("maju-page-{}", std::process::id()));
        for folder in [&folder, &folder.join("data")] {
            std::fs::create_dir_all(folder).expect("the folder can be made");
            // Postgres may run as another user.
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("the folder can be made");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
        let mut command = match args.address_space {
            Some(most) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--as={most}")).arg(&args.bin);
                command
            }
            None => Command::new(&args.bin),
        };
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["serve", "--limits", "off", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]);
        command.arg(folder.join("data")).current_dir(&folder).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        end_with_this_program(&mut command);
        let child = command.spawn().expect("the server");
        Self { child, folder, port, cookie: String::new(), keep: args.keep }
    }

    /// Waits until it is ready, and makes a visitor who has accepted the rules.
    fn enter(&mut self) {
        let until = Instant::now() + START_DEADLINE;
        while self.ask("GET", "/readyz", None).is_none_or(|answer| answer.status != 200) {
            assert!(Instant::now() < until, "the server is not ready: {}", self.folder.join("log").display());
            std::thread::sleep(Duration::from_millis(50));
        }
        let me = self.ask("GET", "/api/v1/me", None).expect("a visitor");
        let cookie = me.head.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| *name == "set-cookie"));
        self.cookie = cookie.and_then(|(_, value)| value.split(';').next()).expect("a cookie").to_owned();
        let accept = json!({"rules": me.json()["rules"]["current"], "adult": true});
        self.ask("PATCH", "/api/v1/me", Some(&accept)).expect("an answer");
    }

    fn room(&self) -> String {
        let room = json!({"title": "page", "kind": "public", "naming": "anonymous", "history": true});
        let made = self.ask("POST", "/api/v1/rooms", Some(&room)).expect("a room").json();
        made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    fn post(&self, room: &str, client_id: &str, payload: &str) -> Option<Answer> {
        let body = format!(r#"{{"client_id":"{client_id}","payload":{payload}}}"#);
        self.ask_text("POST", &format!("/api/v1/rooms/{room}/messages"), &body)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        self.ask_text(method, path, &body.map(Value::to_string).unwrap_or_default())
    }

    fn ask_text(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        let mut body_read = Vec::new();
        let (status, head, _) = ask(self.port, &self.cookie, method, path, body, |bytes| body_read.extend(bytes))?;
        Some(Answer { status, head, body: body_read })
    }

    /// Reads a page and throws it away. Returns its size, and the status or what went wrong.
    fn page(port: u16, cookie: &str, room: &str, limit: usize) -> (usize, String) {
        let mut size = 0;
        let path = format!("/api/v1/rooms/{room}/messages?limit={limit}");
        let outcome = match ask(port, cookie, "GET", &path, "", |bytes| size += bytes.len()) {
            Some((status, _, true)) => status.to_string(),
            Some((status, _, false)) => format!("{status}, cut off"),
            None => "no answer".to_owned(),
        };
        (size, outcome)
    }

    /// Returns the resident memory in KiB: now, and the maximum since the last call.
    fn memory(&self) -> (u64, u64) {
        let process = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
        };
        let _ = std::fs::write(format!("{process}/clear_refs"), "5");
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// Returns how it ended. `None` if it runs.
    fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Returns the size of a room's payloads in Postgres: bytes as text, and bytes as stored.
    fn stored(&self, room: &str) -> Option<(i64, i64)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let mut config = tokio_postgres::Config::new();
            config.host_path(self.folder.join("data/run")).user("maju").dbname("maju");
            let (db, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            let sums = "SELECT coalesce(sum(octet_length(payload::text)), 0)::bigint,
                    coalesce(sum(pg_column_size(payload)), 0)::bigint
                FROM message m JOIN chat_room r ON r.id = m.room_id WHERE r.public_id = $1::text::uuid";
            let row = db.query_one(sums, &[&room]).await.ok()?;
            Some((row.get(0), row.get(1)))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        signal(self.child.id() as i32, SIGTERM);
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.keep {
            println!("folder: {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Sends a request. Returns the status, the head, and `true` if the whole body came; `take`
/// receives its bytes.
fn ask(
    port: u16,
    cookie: &str,
    method: &str,
    path: &str,
    body: &str,
    mut take: impl FnMut(&[u8]),
) -> Option<(u16, String, bool)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE)).ok()?;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\norigin: http://localhost:{port}\r\nconnection: close\r\n"
    );
    if !cookie.is_empty() {
        request += &format!("cookie: {cookie}\r\n");
    }
    if !body.is_empty() {
        request += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).ok()?;
    let (mut head, mut one) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).ok()?;
        head.extend(one);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let (mut piece, mut got) = (vec![0; 256 * 1024], 0);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        take(&piece[..count]);
        got += count;
    }
    Some((status, head, length.is_none_or(|length| length == got)))
}

/// Returns a payload as the finder of the problem sent it: 6 bytes a number.
fn payload(numbers: usize) -> String {
    format!(r#"{{"kind":"text","text":"hi","x":[{}]}}"#, vec!["1e308"; numbers].join(","))
}

/// Returns a client id for a number.
fn id(of: usize) -> String {
    format!("00000000-0000-4000-8000-{of:012x}")
}

/// Returns the most numbers that are accepted.
fn largest(server: &Server) -> usize {
    let room = server.room();
    let (mut least, mut most) = (0, NUMBERS + 1);
    while most - least > 1 {
        let middle = least.midpoint(most);
        let accepted = server.post(&room, &id(middle), &payload(middle)).is_some_and(|answer| answer.status == 201);
        *(if accepted { &mut least } else { &mut most }) = middle;
    }
    least
}

/// Fills a room and reads its page, alone and in parallel. Returns `false` if the server is gone.
fn measure(server: &mut Server, args: &Args, name: &str, numbers: usize) -> bool {
    let (room, payload) = (server.room(), payload(numbers));
    let print = |what: &str, value: &dyn std::fmt::Display| println!("{name}.{what}: {value}");
    print("numbers", &numbers);
    print("payload_sent_bytes", &payload.len());
    for entry in 0..args.entries {
        // Each kind has ids of its own.
        let client_id = id((numbers + 1) * 1_000_000 + entry);
        match server.post(&room, &client_id, &payload) {
            Some(answer) if answer.status == 201 => {}
            Some(answer) => {
                print("refused_status", &answer.status);
                print("refused_code", &answer.json()["code"].as_str().unwrap_or_default());
                return true;
            }
            None => {
                print("server", &server.ended().unwrap_or_else(|| "does not answer".to_owned()));
                return false;
            }
        }
    }
    print("entries", &args.entries);
    if let Some((text, column)) = server.stored(&room) {
        print("stored_text_bytes", &text);
        print("stored_column_bytes", &column);
    }
    for readers in [1, args.parallel] {
        let (before, _) = server.memory();
        let (port, cookie, limit) = (server.port, server.cookie.clone(), args.entries.min(100));
        let reading: Vec<_> = (0..readers)
            .map(|_| {
                let (cookie, room) = (cookie.clone(), room.clone());
                std::thread::spawn(move || Server::page(port, &cookie, &room, limit))
            })
            .collect();
        let read: Vec<(usize, String)> = reading.into_iter().filter_map(|one| one.join().ok()).collect();
        let statuses: Vec<&str> = read.iter().map(|(_, outcome)| &**outcome).collect();
        let (after, peak) = server.memory();
        print(&format!("readers_{readers}.served_bytes"), &read.iter().map(|one| one.0).max().unwrap_or_default());
        print(&format!("readers_{readers}.statuses"), &statuses.join(" "));
        print(&format!("readers_{readers}.rss_before_kib"), &before);
        print(&format!("readers_{readers}.rss_after_kib"), &after);
        print(&format!("readers_{readers}.rss_peak_kib"), &peak);
        std::thread::sleep(Duration::from_millis(200));
        if let Some(how) = server.ended() {
            print("server", &how);
            return false;
        }
    }
    true
}

fn measure_all(args: &Args) {
    let mut server = Server::start(args);
    server.enter();
    println!("rss_start_kib: {}", server.memory().0);
    if measure(&mut server, args, "e1", NUMBERS) {
        let numbers = largest(&server);
        if numbers > 0 && numbers < NUMBERS {
            measure(&mut server, args, "largest", numbers);
        }
    }
    println!("server: {}", server.ended().map_or_else(|| "runs".to_owned(), |how| format!("ended with {how}")));
    if server.keep {
        log_to_stderr(&server.folder.join("log"));
    }
}

fn log_to_stderr(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().take(10).for_each(|line| eprintln!("{line}"));
}

/// Runs with the arguments after `page`.
///
/// # Errors
/// If an argument is wrong.
pub fn run(words: &[String]) -> Result<(), String> {
    measure_all(&args(words)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_with_and_without_their_unit() {
        assert_eq!(
            [bytes("2g"), bytes("512M"), bytes("64k"), bytes("7")].map(Option::unwrap),
            [2 << 30, 512 << 20, 64 << 10, 7]
        );
        assert_eq!([bytes("g"), bytes("2gg"), bytes("2t"), bytes("")], [None; 4]);
    }
}
