//! Cheap single-threaded epoll load generator for real-time messaging servers (Linux only).
//! usage: load <idle|fanout|pairs|storm|slow> key=value ...      (one JSON line per measured phase on stdout)
//!   driver= addr=host:port[,host:port...] row=sockets in a row on one address arg= label= pids=1,2 back=3,4 (CPU/PSS of these process trees)
//!   idle:   n= rate=      fanout: subs= win= secs= reps= frac=      pairs: rooms= secs= reps= rate= open=0 (closed loop only)
//!        load page [--bin target/debug/maju] [--address-space 2g] ...: what a page of the largest entries costs (page.rs)
//!   storm: n= big= missed= missed_pct= at_once= pg=      slow: readers= slow= rate= secs=
mod drivers;
mod page;
mod slow;
mod storm;
use drivers::*;
use libc::*;
use std::collections::HashMap;
use std::mem::{size_of, zeroed};

fn now() -> u64 {
    unsafe {
        let mut t: timespec = zeroed();
        clock_gettime(CLOCK_MONOTONIC, &mut t);
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }
}

struct Hist {
    c: Vec<u64>,
    n: u64,
    max: u64,
}
impl Hist {
    fn new() -> Self {
        Hist { c: vec![0; 64 + 58 * 32], n: 0, max: 0 }
    }
    fn add(&mut self, v: u64) {
        let i = if v < 64 {
            v as usize
        } else {
            let e = 63 - v.leading_zeros() as usize;
            64 + (e - 6) * 32 + ((v >> (e - 5)) & 31) as usize
        };
        self.c[i] += 1;
        self.n += 1;
        self.max = self.max.max(v);
    }
    fn q(&self, q: f64) -> f64 {
        let want = (self.n as f64 * q).ceil() as u64;
        let mut s = 0;
        for (i, c) in self.c.iter().enumerate() {
            s += c;
            if s >= want && s > 0 {
                let v = if i < 64 {
                    i as u64
                } else {
                    let e = (i - 64) / 32 + 6;
                    (32 + ((i - 64) % 32) as u64) << (e - 5)
                };
                return v as f64 / 1e6;
            }
        }
        0.0
    }
}

struct Conn {
    fd: c_int,
    room: u32,
    st: u8,
    phase: u8,
    rest: Vec<u8>,
    out: Vec<u8>,
    sent_at: u64,
}
// phase: 0 connecting, 1 awaiting upgrade, 2 joining, 3 ready, 9 dead

struct Eng {
    ep: c_int,
    conns: Vec<Conn>,
    drv: Box<dyn Driver>,
    addrs: Vec<(u32, u16)>,
    row: usize,
    rbuf: Vec<u8>,
    evs: Vec<epoll_event>,
    ready: usize,
    dead: usize,
    hist: Hist,
    deliv: u64,
    echo: u64,
    done_senders: Vec<u32>,
    tmp: Vec<u8>,
    collect: bool,
    sent: u64,
    /// Sockets from this one on hear without being counted.
    counted: usize,
    first_err: Option<String>,
}

fn parse_addr(s: &str) -> (u32, u16) {
    let (h, p) = s.split_once(':').unwrap();
    let o: Vec<u8> = h.split('.').map(|x| x.parse().unwrap()).collect();
    assert_eq!(o[0], 127, "loopback only");
    (u32::from_ne_bytes([o[0], o[1], o[2], o[3]]), p.parse().unwrap())
}

impl Eng {
    fn addr(&self, id: usize) -> (u32, u16) {
        // As a balancer spreads people when no row is said: of two addresses, half of the pairs have one each.
        let row = id.checked_div(self.row).unwrap_or(if id.is_multiple_of(2) { id / 2 } else { id / 4 });
        self.addrs[row % self.addrs.len()]
    }
    fn connect(&mut self, id: usize, room: u32) {
        unsafe {
            let fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
            let one: c_int = 1;
            setsockopt(fd, IPPROTO_IP, 24 /*IP_BIND_ADDRESS_NO_PORT*/, &one as *const _ as *const c_void, 4);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one as *const _ as *const c_void, 4);
            let lg = linger { l_onoff: 1, l_linger: 0 };
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg as *const _ as *const c_void, size_of::<linger>() as u32);
            let mut sa: sockaddr_in = zeroed();
            sa.sin_family = AF_INET as u16;
            sa.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 1, 1 + (id % 16) as u8]);
            bind(fd, &sa as *const _ as *const sockaddr, size_of::<sockaddr_in>() as u32);
            let (ip, port) = self.addr(id);
            sa.sin_addr.s_addr = ip;
            sa.sin_port = port.to_be();
            let r = connect(fd, &sa as *const _ as *const sockaddr, size_of::<sockaddr_in>() as u32);
            if r < 0 && *__errno_location() != EINPROGRESS {
                panic!("connect: {}", std::io::Error::last_os_error());
            }
            let c = Conn { fd, room, st: 0, phase: 0, rest: Vec::new(), out: Vec::new(), sent_at: 0 };
            if id < self.conns.len() {
                self.conns[id] = c
            } else {
                self.conns.push(c)
            }
            let mut ev = epoll_event { events: (EPOLLIN | EPOLLOUT) as u32, u64: id as u64 };
            epoll_ctl(self.ep, EPOLL_CTL_ADD, fd, &mut ev);
        }
    }
    fn kill(&mut self, id: usize, why: &str) {
        let c = &mut self.conns[id];
        if c.phase == 9 {
            return;
        }
        if c.phase == 3 {
            self.ready -= 1
        }
        unsafe {
            close(c.fd);
        }
        if self.first_err.is_none() {
            self.first_err = Some(format!("conn {id} phase {}: {why}", c.phase))
        }
        c.phase = 9;
        self.dead += 1;
    }
    fn flush(&mut self, id: usize) {
        let ep = self.ep;
        let c = &mut self.conns[id];
        let mut off = 0;
        while off < c.out.len() {
            let r = unsafe { send(c.fd, c.out[off..].as_ptr() as *const c_void, c.out.len() - off, MSG_NOSIGNAL) };
            if r <= 0 {
                break;
            }
            off += r as usize;
        }
        if off == c.out.len() {
            c.out.clear();
            if c.out.capacity() > 512 {
                c.out = Vec::new()
            }
        } else {
            c.out.drain(..off);
            let mut ev = epoll_event { events: (EPOLLIN | EPOLLOUT) as u32, u64: id as u64 };
            unsafe {
                epoll_ctl(ep, EPOLL_CTL_MOD, c.fd, &mut ev);
            }
        }
    }
    fn publish(&mut self, id: usize) {
        let t = now();
        let mut body = [b'x'; 100];
        body[0] = b'@';
        body[1] = b'T';
        const H: &[u8; 16] = b"0123456789abcdef";
        for k in 0..16 {
            body[2 + k] = H[((t >> (60 - 4 * k)) & 15) as usize]
        }
        for k in 0..8 {
            body[18 + k] = H[((id as u64 >> (28 - 4 * k)) & 15) as usize]
        }
        let c = &mut self.conns[id];
        if c.phase != 3 {
            return;
        }
        c.sent_at = t;
        let empty = c.out.is_empty();
        let room = c.room;
        let mut o = std::mem::take(&mut c.out);
        self.drv.publish(room, id as u32, &body, &mut o);
        self.conns[id].out = o;
        self.sent += 1;
        if empty {
            self.flush(id)
        }
    }
    /// every delivery marker inside one data payload
    fn scan(&mut self, id: usize, p: &[u8], t: u64) -> bool {
        let mut off = 0;
        let mut hit = false;
        while let Some(k) = memchr::memmem::find(&p[off..], b"@T") {
            let s = off + k + 2;
            if s + 24 > p.len() {
                break;
            }
            let mut ts = 0u64;
            let mut from = 0u32;
            let hx = |b: u8| (if b > b'9' { b - b'a' + 10 } else { b - b'0' }) as u64;
            for b in &p[s..s + 16] {
                ts = ts << 4 | hx(*b)
            }
            for b in &p[s + 16..s + 24] {
                from = from << 4 | hx(*b) as u32
            }
            hit = true;
            if id >= self.counted {
            } else if from as usize == id {
                self.echo += 1
            } else {
                self.deliv += 1;
                self.hist.add(t.saturating_sub(ts));
                if self.collect {
                    self.done_senders.push(from)
                }
            }
            off = s + 24;
        }
        hit
    }
    /// returns bytes consumed
    fn parse(&mut self, id: usize, b: &[u8], t: u64) -> usize {
        let mut off = 0;
        let mut o = std::mem::take(&mut self.tmp);
        o.clear();
        loop {
            let d = &b[off..];
            let ph = self.conns[id].phase;
            let room = self.conns[id].room;
            if ph == 9 {
                off = b.len();
                break;
            }
            if ph == 1 {
                match memchr::memmem::find(d, b"\r\n\r\n") {
                    None => break,
                    Some(k) => {
                        if !d.starts_with(b"HTTP/1.1 101") {
                            let m = String::from_utf8_lossy(&d[..d.len().min(200)]).to_string();
                            self.kill(id, &m);
                            off = b.len();
                            break;
                        }
                        off += k + 4;
                        self.conns[id].phase = 2;
                        if self.drv.open(room, id as u32, &mut o) {
                            self.conns[id].phase = 3;
                            self.ready += 1
                        }
                        continue;
                    }
                }
            }
            let (op, s, e) = if self.drv.ws() {
                if d.len() < 2 {
                    break;
                }
                let op = d[0] & 15;
                let l = d[1] as usize & 127;
                let (h, l) = match l {
                    126 => {
                        if d.len() < 4 {
                            break;
                        }
                        (4, u16::from_be_bytes([d[2], d[3]]) as usize)
                    }
                    127 => {
                        if d.len() < 10 {
                            break;
                        }
                        (10, u64::from_be_bytes(d[2..10].try_into().unwrap()) as usize)
                    }
                    l => (2, l),
                };
                if d.len() < h + l {
                    break;
                }
                (op, h, h + l)
            } else {
                match memchr::memchr(b'\n', d) {
                    None => break,
                    Some(k) => (1, 0, k + 1),
                }
            };
            let p = &d[s..e];
            match op {
                8 => {
                    let m = String::from_utf8_lossy(&p[..p.len().min(120)]).to_string();
                    self.kill(id, &format!("close {m}"));
                    off = b.len();
                    break;
                }
                9 => wsf(&mut o, 10, p),
                10 => {}
                _ => {
                    if ph == 2 {
                        let mut st = self.conns[id].st;
                        if self.drv.joining(&mut st, room, id as u32, p, &mut o) {
                            self.conns[id].phase = 3;
                            self.ready += 1
                        }
                        self.conns[id].st = st;
                    } else if !self.scan(id, p, t) {
                        self.drv.other(p, &mut o)
                    }
                }
            }
            off += e;
        }
        if !o.is_empty() && self.conns[id].phase != 9 {
            let empty = self.conns[id].out.is_empty();
            self.conns[id].out.extend_from_slice(&o);
            if empty {
                self.flush(id)
            }
        }
        self.tmp = o;
        off
    }
    fn readable(&mut self, id: usize) {
        let mut buf = std::mem::take(&mut self.rbuf);
        let fd = self.conns[id].fd;
        let r = unsafe { recv(fd, buf.as_mut_ptr() as *mut c_void, buf.len(), 0) };
        if r == 0 {
            self.kill(id, "eof")
        } else if r < 0 {
            let e = std::io::Error::last_os_error();
            if e.kind() != std::io::ErrorKind::WouldBlock {
                self.kill(id, &e.to_string())
            }
        } else {
            let t = now();
            let r = r as usize;
            let mut rest = std::mem::take(&mut self.conns[id].rest);
            if rest.is_empty() {
                let used = self.parse(id, &buf[..r], t);
                if used < r {
                    rest.extend_from_slice(&buf[used..r])
                }
            } else {
                rest.extend_from_slice(&buf[..r]);
                let used = self.parse(id, &rest, t);
                rest.drain(..used);
                if rest.is_empty() {
                    rest = Vec::new()
                }
            }
            self.conns[id].rest = rest;
        }
        self.rbuf = buf;
    }
    fn poll(&mut self, ms: c_int) {
        let n = unsafe { epoll_wait(self.ep, self.evs.as_mut_ptr(), self.evs.len() as c_int, ms) };
        for k in 0..n.max(0) as usize {
            let ev = self.evs[k];
            let id = ev.u64 as usize;
            let e = ev.events as c_int;
            if self.conns[id].phase == 9 {
                continue;
            }
            if self.conns[id].phase == 0 {
                if e & (EPOLLERR | EPOLLHUP) != 0 {
                    self.kill(id, "connect failed");
                    continue;
                }
                let mut ev = epoll_event { events: EPOLLIN as u32, u64: id as u64 };
                unsafe {
                    epoll_ctl(self.ep, EPOLL_CTL_MOD, self.conns[id].fd, &mut ev);
                }
                let room = self.conns[id].room;
                let mut o = Vec::new();
                if self.drv.ws() {
                    let a = self.addr(id);
                    o.extend_from_slice(format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n", self.drv.path(room, id as u32), a.1, self.drv.headers(id as u32)).as_bytes());
                    self.conns[id].phase = 1;
                } else {
                    self.conns[id].phase = 2;
                    self.drv.open(room, id as u32, &mut o);
                }
                self.conns[id].out = o;
                self.flush(id);
                continue;
            }
            if e & EPOLLOUT != 0 {
                let mut ev = epoll_event { events: EPOLLIN as u32, u64: id as u64 };
                unsafe {
                    epoll_ctl(self.ep, EPOLL_CTL_MOD, self.conns[id].fd, &mut ev);
                }
                self.flush(id);
            }
            if e & (EPOLLIN | EPOLLERR | EPOLLHUP) != 0 {
                self.readable(id)
            }
        }
    }
    /// open n connections, at most `rate`/s and 128 unfinished at once
    fn open_all(&mut self, n: usize, rate: f64, room_of: &dyn Fn(usize) -> u32) -> f64 {
        let t0 = now();
        let mut i = 0;
        let mut last = (0usize, now());
        while self.ready + self.dead < n {
            let due = ((now() - t0) as f64 / 1e9 * rate) as usize + 1;
            while i < n && i < due && i - self.ready - self.dead < 128 {
                let r = room_of(i);
                self.connect(i, r);
                i += 1;
            }
            self.poll(1);
            if self.ready + self.dead != last.0 {
                last = (self.ready + self.dead, now())
            }
            if now() - last.1 > 15_000_000_000 {
                eprintln!("stuck at {} ready {} dead of {n}: {:?}", self.ready, self.dead, self.first_err);
                break;
            }
        }
        (now() - t0) as f64 / 1e9
    }
}

// ---- process trees -------------------------------------------------------------------------
fn tree(roots: &[i32]) -> Vec<i32> {
    let mut kids: HashMap<i32, Vec<i32>> = HashMap::new();
    for d in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(p) = d.file_name().to_string_lossy().parse::<i32>() {
            if let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/stat")) {
                if let Some(k) = s.rfind(')') {
                    let pp: i32 = s[k + 2..].split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
                    kids.entry(pp).or_default().push(p);
                }
            }
        }
    }
    let mut v = roots.to_vec();
    let mut i = 0;
    while i < v.len() {
        if let Some(k) = kids.get(&v[i]) {
            v.extend(k.clone())
        }
        i += 1;
    }
    v
}
/// Seconds of CPU of process trees, with those of their children that have ended: Postgres's come and go.
fn cpu(roots: &[i32]) -> f64 {
    tree(roots)
        .iter()
        .map(|p| {
            std::fs::read_to_string(format!("/proc/{p}/stat"))
                .ok()
                .map(|s| {
                    let f: Vec<&str> = s[s.rfind(')').unwrap() + 2..].split(' ').collect();
                    f[11..=14].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
                })
                .unwrap_or(0.0)
        })
        .sum()
}
fn pss(roots: &[i32]) -> f64 {
    tree(roots)
        .iter()
        .map(|p| {
            std::fs::read_to_string(format!("/proc/{p}/smaps_rollup"))
                .ok()
                .and_then(|s| {
                    s.lines()
                        .find(|l| l.starts_with("Pss:"))
                        .map(|l| l.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap())
                })
                .unwrap_or(0.0)
        })
        .sum()
}

struct Ctx {
    pids: Vec<i32>,
    back: Vec<i32>,
    label: String,
    scen: String,
    echo_per: bool,
}

/// One measured phase.  closed: Some(window) keeps that many messages in flight; else open loop at `rate` msg/s.
fn phase(e: &mut Eng, cx: &Ctx, fan: bool, n: usize, secs: f64, win: Option<u64>, rate: f64, print: bool) -> f64 {
    let per = if fan { (n - 1) as u64 } else { 1 };
    e.hist = Hist::new();
    e.deliv = 0;
    e.echo = 0;
    e.sent = 0;
    e.done_senders.clear();
    e.collect = !fan && win.is_some();
    let me = [std::process::id() as i32];
    let (c0, b0, l0) = (cpu(&cx.pids), cpu(&cx.back), cpu(&me));
    let t0 = now();
    let end = t0 + (secs * 1e9) as u64;
    let mut next = 0usize;
    let mut last_prog = (0u64, t0);
    let mut stalls = 0;
    let mut lost = 0u64;
    if !fan && win.is_some() {
        for i in 0..n {
            e.publish(i)
        }
    }
    let mut last_sweep = t0;
    loop {
        let t = now();
        if t >= end {
            break;
        }
        if let Some(w) = win {
            if fan {
                while e.sent - lost < w + e.deliv / per {
                    e.publish(0)
                }
                if e.deliv != last_prog.0 {
                    last_prog = (e.deliv, t)
                } else if t - last_prog.1 > 400_000_000 {
                    stalls += 1;
                    lost = e.sent.saturating_sub(e.deliv / per);
                    last_prog.1 = t;
                }
                e.poll(5);
            } else {
                e.poll(5);
                let mut d = std::mem::take(&mut e.done_senders);
                for s in d.drain(..) {
                    e.publish(s as usize)
                }
                e.done_senders = d;
                if t - last_sweep > 1_000_000_000 {
                    last_sweep = t;
                    for i in 0..n {
                        if e.conns[i].phase == 3 && t.saturating_sub(e.conns[i].sent_at) > 4_000_000_000 {
                            stalls += 1;
                            e.publish(i)
                        }
                    }
                }
            }
        } else {
            let due = ((t - t0) as f64 / 1e9 * rate) as u64;
            while e.sent < due {
                if fan {
                    e.publish(0)
                } else {
                    e.publish((next * 7919) % n);
                    next += 1
                }
                if next > 1 << 40 {
                    break;
                }
            }
            e.poll(1);
        }
    }
    let el = (now() - t0) as f64 / 1e9;
    let in_time = e.deliv;
    let (c1, b1, l1) = (cpu(&cx.pids), cpu(&cx.back), cpu(&me));
    // drain
    let want = e.sent * per;
    let td = now();
    let mut lp = (e.deliv, td);
    e.collect = false;
    while e.deliv < want && now() - td < 5_000_000_000 && now() - lp.1 < 700_000_000 {
        e.poll(5);
        if e.deliv != lp.0 {
            lp = (e.deliv, now())
        }
    }
    let per_m = |x: f64| if in_time > 0 { x / (in_time as f64 / 1e6) } else { -1.0 };
    if print {
        if e.dead > 0 {
            eprintln!("{} {}: {} dead, first: {:?}", cx.label, cx.scen, e.dead, e.first_err)
        }
        println!(
            "{{\"label\":\"{}\",\"scen\":\"{}\",\"mode\":\"{}\",\"sent_s\":{:.0},\"deliv_s\":{:.0},\"p50_ms\":{:.2},\"p99_ms\":{:.2},\"max_ms\":{:.1},\"cpu_s_per_M\":{:.2},\"back_cpu_s_per_M\":{:.2},\"srv_cores\":{:.2},\"lg_cores\":{:.2},\"got_pct\":{:.2},\"stalls\":{},\"dead\":{},\"echo\":{}}}",
            cx.label,
            cx.scen,
            if win.is_some() { "closed" } else { "open" },
            e.sent as f64 / el,
            in_time as f64 / el,
            e.hist.q(0.5),
            e.hist.q(0.99),
            e.hist.max as f64 / 1e6,
            per_m(c1 - c0),
            per_m(b1 - b0),
            (c1 - c0) / el,
            (l1 - l0) / el,
            100.0 * e.deliv as f64 / want.max(1) as f64,
            stalls,
            e.dead,
            cx.echo_per && e.echo > 0
        );
    }
    in_time as f64 / el / per as f64
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let scen = a.get(1).cloned().unwrap_or_default();
    if scen == "page" {
        return page::run(&a[2..]);
    }
    let kv: HashMap<&str, &str> = a[2..].iter().filter_map(|s| s.split_once('=')).collect();
    let g = |k: &str, d: &str| kv.get(k).copied().unwrap_or(d).to_string();
    let gi = |k: &str, d: f64| kv.get(k).map(|v| v.parse::<f64>().unwrap()).unwrap_or(d);
    let list =
        |k: &str| g(k, "").split(',').filter(|s| !s.is_empty()).map(|s| s.parse::<i32>().unwrap()).collect::<Vec<_>>();
    let cx = Ctx {
        pids: list("pids"),
        back: list("back"),
        label: g("label", &g("driver", "?")),
        scen: scen.clone(),
        echo_per: true,
    };
    let mut e = Eng {
        ep: unsafe { epoll_create1(0) },
        conns: Vec::new(),
        drv: make(&g("driver", "plain"), &g("arg", "")),
        addrs: g("addr", "127.0.0.1:9000").split(',').map(parse_addr).collect(),
        row: gi("row", 1.0) as usize,
        rbuf: vec![0; 256 << 10],
        evs: vec![epoll_event { events: 0, u64: 0 }; 1024],
        ready: 0,
        dead: 0,
        hist: Hist::new(),
        deliv: 0,
        echo: 0,
        done_senders: Vec::new(),
        tmp: Vec::new(),
        collect: false,
        sent: 0,
        counted: usize::MAX,
        first_err: None,
    };
    let secs = gi("secs", 4.0);
    let reps = gi("reps", 3.0) as usize;
    match scen.as_str() {
        "idle" => {
            let n = gi("n", 2000.0) as usize;
            let me = [std::process::id() as i32];
            let (m0, b0, s0, c0) = (pss(&cx.pids), pss(&cx.back), pss(&me), cpu(&cx.pids));
            let t = e.open_all(n, gi("rate", 1e9), &|i| i as u32);
            let c1 = cpu(&cx.pids);
            let t1 = now();
            while now() - t1 < (gi("settle", 3.0) * 1e9) as u64 {
                e.poll(50);
            }
            let (m1, b1, s1) = (pss(&cx.pids), pss(&cx.back), pss(&me));
            println!(
                "{{\"label\":\"{}\",\"scen\":\"idle\",\"n\":{},\"ready\":{},\"dead\":{},\"conn_s\":{:.0},\"base_mib\":{:.1},\"kib_per_conn\":{:.2},\"back_kib_per_conn\":{:.2},\"lg_kib_per_conn\":{:.2},\"cpu_ms_per_conn\":{:.3},\"err\":{:?}}}",
                cx.label,
                n,
                e.ready,
                e.dead,
                e.ready as f64 / t,
                m0 / 1024.0,
                (m1 - m0) / e.ready.max(1) as f64,
                (b1 - b0) / e.ready.max(1) as f64,
                (s1 - s0) / e.ready.max(1) as f64,
                1000.0 * (c1 - c0) / e.ready.max(1) as f64,
                e.first_err.clone().unwrap_or_default()
            );
        }
        "fanout" => {
            let n = gi("subs", 1000.0) as usize;
            e.open_all(n, gi("rate", 1e9), &|_| 0);
            if e.ready < n {
                eprintln!("{} ready {} of {n}: {:?}", cx.label, e.ready, e.first_err)
            }
            let win = gi("win", 8.0) as u64;
            phase(&mut e, &cx, true, n, 1.0, Some(win), 0.0, false);
            let mut r: Vec<f64> = (0..reps).map(|_| phase(&mut e, &cx, true, n, secs, Some(win), 0.0, true)).collect();
            r.sort_by(|a, b| a.total_cmp(b));
            for f in g("frac", "0.5,0.8").split(',') {
                let f: f64 = f.parse().unwrap();
                phase(&mut e, &cx, true, n, secs, None, f * r[r.len() / 2], true);
            }
            if kv.contains_key("fixed") {
                for f in g("fixed", "").split(',') {
                    phase(&mut e, &cx, true, n, secs, None, f.parse().unwrap(), true);
                }
            }
        }
        "pairs" => {
            let rooms = gi("rooms", 2000.0) as usize;
            let n = rooms * 2;
            e.open_all(n, gi("rate", 1e9), &|i| (i / 2) as u32 + 1);
            if e.ready < n {
                eprintln!("{} ready {} of {n}: {:?}", cx.label, e.ready, e.first_err)
            }
            phase(&mut e, &cx, false, n, 1.0, Some(1), 0.0, false);
            let mut r: Vec<f64> = (0..reps).map(|_| phase(&mut e, &cx, false, n, secs, Some(1), 0.0, true)).collect();
            r.sort_by(|a, b| a.total_cmp(b));
            let m = r[r.len() / 2];
            if gi("open", 1.0) > 0.0 {
                phase(&mut e, &cx, false, n, secs, None, (n as f64).min(0.5 * m), true);
                phase(&mut e, &cx, false, n, secs, None, 0.7 * m, true);
            }
            if kv.contains_key("fixed") {
                for f in g("fixed", "").split(',') {
                    phase(&mut e, &cx, false, n, secs, None, f.parse().unwrap(), true);
                }
            }
        }
        "storm" => storm::run(
            &mut e,
            &g("arg", ""),
            &storm::Options {
                sockets: gi("n", 10_000.0) as usize,
                big: gi("big", 1_000.0) as usize,
                missed_big: gi("missed", 20.0) as i64,
                missed_pct: gi("missed_pct", 20.0) as usize,
                at_once: gi("at_once", 1_000.0) as usize,
                pg: g("pg", ""),
                pids: cx.pids.clone(),
            },
        ),
        "slow" => slow::run(
            &mut e,
            &slow::Options {
                readers: gi("readers", 200.0) as usize,
                slow: gi("slow", 1_000.0) as usize,
                rate: gi("rate", 50.0),
                secs,
                server: cx.pids[0],
            },
        ),
        _ => panic!("scenario?"),
    }
}
