//! A storm: every socket is cut at once, some rooms are written to meanwhile, and all come back with `hello {resume}`. Each
//! must get exactly what it missed, in order, once. What Postgres was asked is read from its own statistics.
use super::drivers::{Driver, Maju, wsf};
use super::{Eng, Hist, cpu, now};
use libc::close;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

pub struct Options {
    pub sockets: usize,
    /// How many of them follow one room; the others stand in pairs.
    pub big: usize,
    /// Entries written to the big room while all are away.
    pub missed_big: i64,
    /// Of a hundred pairs, how many are written to meanwhile.
    pub missed_pct: usize,
    /// Sockets that are being opened at a time.
    pub at_once: usize,
    /// Where Postgres is, as its clients say it.
    pub pg: String,
    pub pids: Vec<i32>,
}

/// What the sockets know of their rooms; shared with the driver, which reads their frames.
#[derive(Default)]
struct Seen {
    /// The last entry of each socket.
    last: Vec<i64>,
    /// What the answer to `hello` says: how many will be replayed. None until it came.
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
        let (room, after) = (&self.maju.rooms[room as usize], seen.last[id as usize]);
        let hello = format!(r#"{{"id":1,"type":"hello","resume":[{{"room":"{room}","after":{after}}}]}}"#);
        wsf(out, 1, hello.as_bytes());
        false
    }

    fn joining(&self, st: &mut u8, room: u32, id: u32, p: &[u8], out: &mut Vec<u8>) -> bool {
        let mut seen = self.seen.borrow_mut();
        let at = id as usize;
        if !seen.resuming {
            let joined = self.maju.joining(st, room, id, p, out);
            if joined {
                seen.last[at] = number(p, b"\"head\":").unwrap_or(0);
            }
            return joined;
        }
        if memchr::memmem::find(p, b"\"re\":1,").is_some() {
            match number(p, b"\"replayed\":") {
                Some(promised) => seen.promised[at] = Some(promised),
                None => seen.wrong.push(format!("{id}: {}", String::from_utf8_lossy(p))),
            }
        } else if let Some(seq) = number(p, b"\"seq\":") {
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

/// Writes entries over HTTP, as somebody whose socket is gone.
struct Poster {
    stream: TcpStream,
    maju: Maju,
    count: u64,
}

impl Poster {
    fn post(&mut self, room: usize, writer: usize) {
        self.count += 1;
        let (room, cookie) = (&self.maju.rooms[room], &self.maju.cookies[writer % self.maju.cookies.len()]);
        let body = format!(
            r#"{{"client_id":"{:08x}-0000-4000-8000-{:012x}","payload":{{"kind":"text","text":"while all were away"}}}}"#,
            self.maju.salt as u32, self.count
        );
        let head = format!(
            "POST /api/v1/rooms/{room}/messages HTTP/1.1\r\nHost: {}\r\nOrigin: {}\r\nCookie: {cookie}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.maju.origin.trim_start_matches("http://"),
            self.maju.origin,
            body.len()
        );
        self.stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece).unwrap();
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

/// Transactions, and lookups in the log's indexes, that Postgres has counted. A session reports what it did when it has been
/// idle for ten seconds at the latest, so that comes first.
fn asked(pg: &str) -> (i64, i64) {
    std::thread::sleep(Duration::from_secs(11));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(pg, tokio_postgres::NoTls).await.expect("Postgres");
        tokio::spawn(connection);
        let sql = "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
                          (SELECT (coalesce(idx_scan, 0) + seq_scan)::bigint FROM pg_stat_user_tables WHERE relname = 'message')";
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    })
}

fn wait_until(engine: &mut Eng, secs: u64, mut done: impl FnMut(&Eng) -> bool) {
    let began = now();
    while !done(engine) && now() - began < secs * 1_000_000_000 {
        engine.poll(2);
    }
}

/// One message to each room by its first socket; how many of the others heard theirs.
fn speak(engine: &mut Eng, rooms: usize, first: impl Fn(usize) -> usize, others: usize) -> u64 {
    engine.deliv = 0;
    for room in 0..rooms {
        engine.publish(first(room));
        if room % 64 == 0 {
            engine.poll(0);
        }
    }
    wait_until(engine, 20, |engine| engine.deliv >= others as u64);
    engine.deliv
}

pub fn run(engine: &mut Eng, file: &str, options: &Options) {
    let Options { sockets, big, .. } = *options;
    let seen = Rc::new(RefCell::new(Seen {
        last: vec![0; sockets],
        promised: vec![None; sockets],
        back_at: vec![0; sockets],
        ..Seen::default()
    }));
    engine.drv = Box::new(Resuming { maju: Maju::read(file), seen: seen.clone() });
    let room_of = move |socket: usize| if socket < big { 0 } else { 1 + (socket - big) / 2 };
    let first = move |room: usize| if room == 0 { 0 } else { big + (room - 1) * 2 };
    let rooms = 1 + (sockets - big) / 2;
    let others = big - 1 + rooms - 1;
    engine.open_all(sockets, 4000.0, &|socket| room_of(socket) as u32);
    assert_eq!(engine.ready, sockets, "{:?}", engine.first_err);
    assert_eq!(speak(engine, rooms, first, others), others as u64, "not all heard before the storm");
    // The writers' own echoes may still be under way; nothing else is.
    wait_until(engine, 1, |_| false);
    seen.borrow_mut().last.iter_mut().for_each(|last| *last += 1);
    let stood = seen.borrow().last.clone();

    let before = asked(&options.pg);
    let quiet = asked(&options.pg);
    for conn in &mut engine.conns {
        unsafe {
            close(conn.fd);
        }
        conn.phase = 9;
    }
    engine.ready = 0;
    let mut poster = Poster {
        stream: TcpStream::connect(std::net::SocketAddr::from(([127, 0, 0, 1], engine.addrs[0].1))).unwrap(),
        maju: Maju::read(file),
        count: 0,
    };
    let mut missed = vec![0; rooms];
    missed[0] = options.missed_big;
    (1..rooms).filter(|room| room % 100 < options.missed_pct).for_each(|room| missed[room] = 1 + room as i64 % 3);
    for room in 0..rooms {
        (0..missed[room]).for_each(|_| poster.post(room, first(room)));
    }
    let written = poster.count;

    seen.borrow_mut().resuming = true;
    let busy = cpu(&options.pids);
    let began = now();
    let mut opened = vec![0; sockets];
    let mut next = 0;
    while engine.ready + engine.dead < sockets && now() - began < 120_000_000_000 {
        while next < sockets && next - engine.ready - engine.dead < options.at_once {
            // Not room by room: people of all rooms come in any order. 7919 is prime to any count it does not divide.
            let socket = (next * 7919) % sockets;
            opened[socket] = now();
            engine.connect(socket, room_of(socket) as u32);
            next += 1;
        }
        engine.poll(1);
    }
    let busy = cpu(&options.pids) - busy;
    let (mut since_storm, mut own) = (Hist::new(), Hist::new());
    let (mut entries, mut replays) = (0, 0);
    {
        let mut seen = seen.borrow_mut();
        for socket in 0..sockets {
            let back = seen.back_at[socket];
            if back > 0 {
                since_storm.add(back - began);
                own.add(back - opened[socket]);
            }
            let due = missed[room_of(socket)];
            entries += due;
            replays += u64::from(due > 0);
            let last = seen.last[socket];
            if last != stood[socket] + due {
                seen.wrong.push(format!("{socket}: stood at {}, missed {due}, stands at {last}", stood[socket]));
            }
        }
    }
    let after = asked(&options.pg);
    let heard = speak(engine, rooms, first, others);
    let background = quiet.0 - before.0;
    // The quiet time was as long as the wait before the last look; the storm itself is short beside it.
    let statements = after.0 - quiet.0 - background - written as i64;
    let lookups = (after.1 - quiet.1 - (quiet.1 - before.1)).max(0);
    let seen = seen.borrow();
    for wrong in seen.wrong.iter().take(5) {
        eprintln!("{wrong}");
    }
    println!(
        r#"{{"scen":"storm","sockets":{sockets},"at_once":{},"back":{},"dead":{},"first_error":{:?},"wrong":{},"missed_entries":{entries},"replays":{replays},"p50_s":{:.2},"p99_s":{:.2},"all_s":{:.2},"own_p50_ms":{:.0},"own_p99_ms":{:.0},"own_max_ms":{:.0},"cpu_us_each":{:.0},"statements_each":{:.2},"log_lookups":{lookups},"from_memory_pct":{:.2},"heard_after_pct":{:.2}}}"#,
        options.at_once,
        engine.ready,
        engine.dead,
        engine.first_err.clone().unwrap_or_default(),
        seen.wrong.len(),
        since_storm.q(0.5) / 1e3,
        since_storm.q(0.99) / 1e3,
        since_storm.max as f64 / 1e9,
        own.q(0.5),
        own.q(0.99),
        own.max as f64 / 1e6,
        1e6 * busy / sockets as f64,
        statements as f64 / sockets as f64,
        100.0 * (1.0 - lookups as f64 / replays.max(1) as f64),
        100.0 * heard as f64 / others as f64
    );
}
