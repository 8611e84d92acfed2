//! A storm: every socket is cut at once, some rooms are written to meanwhile, and all sockets
//! reconnect with `hello {resume}`. Each must get exactly what it missed, in order, once.
//! Postgres's own statistics show what it was asked.
use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use sim::sys::now;

use crate::drivers::{Driver, Maju, TEXT, write_frame};
use crate::engine::Engine;
use crate::histogram::Histogram;
use crate::phases::rounded;
use crate::processes::cpu_seconds;

pub struct Options {
    pub sockets: usize,
    /// How many of them join one room. The others are in pairs.
    pub big: usize,
    /// Entries written to the large room while all are away.
    pub missed_big: i64,
    /// The percentage of the pairs that are written to meanwhile.
    pub missed_pct: usize,
    /// Sockets that are being opened at once.
    pub at_once: usize,
    /// Postgres, as tokio-postgres reads it.
    pub postgres: String,
    pub pids: Vec<i32>,
}

/// What the sockets have received of their rooms. Shared with the driver, which reads their frames.
#[derive(Default)]
struct Seen {
    /// The last entry of each socket.
    last: Vec<i64>,
    /// How many entries will be replayed, from the answer to `hello`. `None` until it comes.
    promised: Vec<Option<i64>>,
    back_at: Vec<u64>,
    resuming: bool,
    wrong: Vec<String>,
}

struct Resuming {
    maju: Maju,
    seen: Rc<RefCell<Seen>>,
}

fn number(text: &[u8], name: &[u8]) -> Option<i64> {
    let at = memchr::memmem::find(text, name)? + name.len();
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[at..at + digits]).ok()?.parse().ok()
}

impl Driver for Resuming {
    fn path(&self, room: u32, id: u32) -> String {
        self.maju.path(room, id)
    }

    fn headers(&self, id: u32) -> String {
        self.maju.headers(id)
    }

    fn open(&self, room: u32, id: u32, out: &mut Vec<u8>) -> bool {
        let seen = self.seen.borrow();
        if !seen.resuming {
            return self.maju.open(room, id, out);
        }
        let (room, after) = (&self.maju.people.rooms[room as usize], seen.last[id as usize]);
        let hello = format!(r#"{{"id":1,"type":"hello","resume":[{{"room":"{room}","after":{after}}}]}}"#);
        write_frame(out, TEXT, hello.as_bytes());
        false
    }

    fn joining(&self, step: &mut u8, room: u32, id: u32, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let mut seen = self.seen.borrow_mut();
        let at = id as usize;
        if !seen.resuming {
            let joined = self.maju.joining(step, room, id, payload, out);
            if joined {
                seen.last[at] = number(payload, b"\"head\":").unwrap_or(0);
            }
            return joined;
        }
        if memchr::memmem::find(payload, b"\"re\":1,").is_some() {
            match number(payload, b"\"replayed\":") {
                Some(promised) => seen.promised[at] = Some(promised),
                None => seen.wrong.push(format!("{id}: {}", String::from_utf8_lossy(payload))),
            }
        } else if let Some(seq) = number(payload, b"\"seq\":") {
            if seq != seen.last[at] + 1 {
                let after = seen.last[at];
                seen.wrong.push(format!("{id}: {seq} after {after}"));
            }
            seen.last[at] = seq;
            if let Some(promised) = seen.promised[at].as_mut() {
                *promised -= 1;
            }
        }
        let whole = seen.promised[at] == Some(0);
        if whole {
            seen.back_at[at] = now();
        }
        whole
    }

    fn publish(&self, room: u32, id: u32, body: &[u8], out: &mut Vec<u8>) {
        self.maju.publish(room, id, body, out);
    }
}

/// Writes entries over HTTP for visitors whose sockets are gone.
struct Poster {
    stream: TcpStream,
    maju: Maju,
    count: u64,
}

impl Poster {
    fn post(&mut self, room: usize, writer: usize) {
        self.count += 1;
        let (room, cookie) =
            (&self.maju.people.rooms[room], &self.maju.people.cookies[writer % self.maju.people.cookies.len()]);
        let body = format!(
            r#"{{"client_id":"{:08x}-0000-4000-8000-{:012x}","payload":{{"kind":"text","text":"while all were away"}}}}"#,
            self.maju.salt as u32, self.count
        );
        let head = format!(
            "POST /api/v1/rooms/{room}/messages HTTP/1.1\r\nHost: {}\r\nOrigin: {}\r\nCookie: {cookie}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.maju.people.origin.trim_start_matches("http://"),
            self.maju.people.origin,
            body.len()
        );
        self.stream.write_all(format!("{head}{body}").as_bytes()).expect("the server takes a request");
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece).expect("the server answers");
            assert!(read > 0, "the server closed");
            answer.extend_from_slice(&piece[..read]);
            let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else { continue };
            let length = number(&answer, b"content-length: ").expect("a length") as usize;
            if answer.len() >= end + 4 + length {
                break;
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// Returns how many transactions, and lookups in the log's indexes, Postgres has counted. A session
/// reports its own when it has been idle for ten seconds at the latest, so this waits first.
fn postgres_work(postgres: &str) -> (i64, i64) {
    std::thread::sleep(Duration::from_secs(11));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(postgres, tokio_postgres::NoTls).await.expect("Postgres takes a connection");
        tokio::spawn(connection);
        let sql = "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
                          (SELECT (coalesce(idx_scan, 0) + seq_scan)::bigint FROM pg_stat_user_tables WHERE relname = 'message')";
        let row = client.query_one(sql, &[]).await.expect("Postgres has counted");
        (row.get(0), row.get(1))
    })
}

fn wait_until(engine: &mut Engine, seconds: u64, mut done: impl FnMut(&Engine) -> bool) {
    let began = now();
    while !done(engine) && now() - began < seconds * 1_000_000_000 {
        engine.poll(2);
    }
}

/// Which sockets are in which room: the first ones all in room 0, the others in pairs.
#[derive(Clone, Copy)]
struct Layout {
    sockets: usize,
    big: usize,
}

impl Layout {
    fn rooms(self) -> usize {
        1 + (self.sockets - self.big) / 2
    }

    fn room_of(self, socket: usize) -> usize {
        if socket < self.big { 0 } else { 1 + (socket - self.big) / 2 }
    }

    fn first(self, room: usize) -> usize {
        if room == 0 { 0 } else { self.big + (room - 1) * 2 }
    }

    /// Returns how many sockets are not the first of their room.
    fn others(self) -> usize {
        self.big - 1 + self.rooms() - 1
    }

    /// Sends one message to each room from its first socket. Returns how many of the others
    /// received theirs.
    fn publish_to_all(self, engine: &mut Engine) -> u64 {
        engine.deliveries = 0;
        for room in 0..self.rooms() {
            engine.publish(self.first(room));
            if room % 64 == 0 {
                engine.poll(0);
            }
        }
        wait_until(engine, 20, |engine| engine.deliveries >= self.others() as u64);
        engine.deliveries
    }
}

/// When the sockets were opened again, and what that cost.
struct Return {
    began: u64,
    opened: Vec<u64>,
    cpu_s: f64,
}

/// Opens all sockets again.
fn reconnect(engine: &mut Engine, layout: Layout, options: &Options) -> Return {
    let busy = cpu_seconds(&options.pids);
    let began = now();
    let mut opened = vec![0; layout.sockets];
    let mut next = 0;
    while engine.ready + engine.dead < layout.sockets && now() - began < 120_000_000_000 {
        while next < layout.sockets && next - engine.ready - engine.dead < options.at_once {
            // Not room by room: visitors of all rooms reconnect in any order. 7919 is prime to
            // every count that it does not divide.
            let socket = (next * 7_919) % layout.sockets;
            opened[socket] = now();
            engine.connect(socket, layout.room_of(socket) as u32);
            next += 1;
        }
        engine.poll(1);
    }
    Return { began, opened, cpu_s: cpu_seconds(&options.pids) - busy }
}

/// Writes to rooms whose sockets are all gone. Returns how many entries each room has missed.
fn write_meanwhile(layout: Layout, options: &Options, poster: &mut Poster) -> Vec<i64> {
    let mut missed = vec![0; layout.rooms()];
    missed[0] = options.missed_big;
    (1..missed.len())
        .filter(|room| room % 100 < options.missed_pct)
        .for_each(|room| missed[room] = 1 + room as i64 % 3);
    for (room, count) in missed.iter().enumerate() {
        (0..*count).for_each(|_| poster.post(room, layout.first(room)));
    }
    missed
}

/// What the sockets missed and how long they took to get it.
struct Replays {
    since_storm: Histogram,
    own: Histogram,
    entries: i64,
    replays: u64,
}

/// Compares what the sockets received with what they missed.
fn judge(seen: &mut Seen, layout: Layout, before: &[i64], missed: &[i64], back: &Return) -> Replays {
    let mut result = Replays { since_storm: Histogram::new(), own: Histogram::new(), entries: 0, replays: 0 };
    for socket in 0..layout.sockets {
        let back_at = seen.back_at[socket];
        if back_at > 0 {
            result.since_storm.add(back_at - back.began);
            result.own.add(back_at - back.opened[socket]);
        }
        let due = missed[layout.room_of(socket)];
        result.entries += due;
        result.replays += u64::from(due > 0);
        let last = seen.last[socket];
        if last != before[socket] + due {
            seen.wrong.push(format!("{socket}: was at {}, missed {due}, is at {last}", before[socket]));
        }
    }
    result
}

pub fn run(engine: &mut Engine, file: &str, options: &Options) {
    let layout = Layout { sockets: options.sockets, big: options.big };
    let Layout { sockets, .. } = layout;
    let seen = Rc::new(RefCell::new(Seen {
        last: vec![0; sockets],
        promised: vec![None; sockets],
        back_at: vec![0; sockets],
        ..Seen::default()
    }));
    engine.driver = Box::new(Resuming { maju: Maju::read(file), seen: seen.clone() });
    engine.open_all(sockets, 4_000.0, &|socket| layout.room_of(socket) as u32);
    assert_eq!(engine.ready, sockets, "{:?}", engine.first_error);
    assert_eq!(layout.publish_to_all(engine), layout.others() as u64, "not all received a message before the storm");
    // The writers' own echoes may still be under way; nothing else is.
    wait_until(engine, 1, |_| false);
    seen.borrow_mut().last.iter_mut().for_each(|last| *last += 1);
    let position = seen.borrow().last.clone();

    let before = postgres_work(&options.postgres);
    let quiet = postgres_work(&options.postgres);
    (0..engine.sockets.len()).for_each(|id| engine.close(id));
    engine.ready = 0;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], engine.addresses[0].1));
    let stream = TcpStream::connect(address).expect("the server takes a connection");
    let mut poster = Poster { stream, maju: Maju::read(file), count: 0 };
    let missed = write_meanwhile(layout, options, &mut poster);

    seen.borrow_mut().resuming = true;
    let back = reconnect(engine, layout, options);
    let replays = judge(&mut seen.borrow_mut(), layout, &position, &missed, &back);
    let after = postgres_work(&options.postgres);
    let heard = layout.publish_to_all(engine);
    let background = quiet.0 - before.0;
    // The quiet time was as long as the wait before the last reading; the storm itself is short
    // beside it.
    let statements = after.0 - quiet.0 - background - poster.count as i64;
    let lookups = (after.1 - quiet.1 - (quiet.1 - before.1)).max(0);
    report(engine, options, &seen.borrow(), &replays, &back, [statements, lookups], heard);
}

fn report(
    engine: &Engine,
    options: &Options,
    seen: &Seen,
    replays: &Replays,
    back: &Return,
    [statements, lookups]: [i64; 2],
    heard: u64,
) {
    let (sockets, others) = (options.sockets as f64, Layout { sockets: options.sockets, big: options.big }.others());
    for wrong in seen.wrong.iter().take(5) {
        eprintln!("{wrong}");
    }
    let Replays { since_storm, own, .. } = replays;
    println!(
        "{}",
        json!({
            "scen": "storm",
            "sockets": options.sockets,
            "at_once": options.at_once,
            "back": engine.ready,
            "dead": engine.dead,
            "first_error": engine.first_error.clone().unwrap_or_default(),
            "wrong": seen.wrong.len(),
            "missed_entries": replays.entries,
            "replays": replays.replays,
            "p50_s": rounded(since_storm.quantile(0.5) / 1e3, 2),
            "p99_s": rounded(since_storm.quantile(0.99) / 1e3, 2),
            "all_s": rounded(since_storm.max() as f64 / 1e9, 2),
            "own_p50_ms": rounded(own.quantile(0.5), 0),
            "own_p99_ms": rounded(own.quantile(0.99), 0),
            "own_max_ms": rounded(own.max() as f64 / 1e6, 0),
            "cpu_us_each": rounded(1e6 * back.cpu_s / sockets, 0),
            "statements_each": rounded(statements as f64 / sockets, 2),
            "log_lookups": lookups,
            "from_memory_pct": rounded(100.0 * (1.0 - lookups as f64 / replays.replays.max(1) as f64), 2),
            "heard_after_pct": rounded(100.0 * heard as f64 / others as f64, 2),
        })
    );
}
