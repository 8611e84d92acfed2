//! Slow readers: sockets of a large room that do not read, or a trickle, beside others that do. The
//! others must not be affected, the server's memory must stay bounded, and each slow socket is
//! disconnected; then it comes back and does the same again.
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sim::sys::{self, now};

use crate::engine::{Engine, State, seconds_since};
use crate::phases::rounded;
use crate::processes::own_proportional_kib;

pub struct Options {
    pub readers: usize,
    pub slow: usize,
    /// Messages a second, written by the first reader.
    pub rate: f64,
    /// Seconds with the slow sockets. Before that come a quarter of it (ten at least) without them,
    /// and the same with all of them reading.
    pub seconds: f64,
    pub server: i32,
}

/// The close frame of a slow socket: code 4408 with its reason.
const TOO_SLOW: &[u8] = b"\x11\x38too slow";
/// Bytes a second that one of ten reads.
const TRICKLE: usize = 2048;
/// Slow sockets that connect in a second.
const AT_ONCE: usize = 200;

/// One socket that does not read, and the end of what it has read.
#[derive(Default)]
struct Slow {
    tail: Vec<u8>,
    ended: bool,
    told: bool,
}

/// Reads up to `most` bytes, looking for the close frame.
fn read_some(fd: i32, most: usize, slow: &mut Slow) {
    let mut left = most;
    let mut piece = [0_u8; 4_096];
    while left > 0 && !slow.ended {
        let wanted = left.min(piece.len());
        match sys::receive(fd, &mut piece[..wanted]) {
            Ok(count @ 1..) => {
                left -= count;
                slow.tail.extend_from_slice(&piece[..count]);
                slow.told |= memchr::memmem::find(&slow.tail, TOO_SLOW).is_some();
                let rest = slow.tail.len().saturating_sub(TOO_SLOW.len());
                slow.tail.drain(..rest);
            }
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => return,
            _ => slow.ended = true,
        }
    }
}

/// Returns how many sockets the server has.
fn server_sockets(pid: i32) -> usize {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Returns the kernel's buffers of all TCP sockets, in MiB.
fn kernel_mib() -> f64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = text.lines().find(|line| line.starts_with("TCP:")).and_then(|line| line.split(' ').next_back());
    pages.and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4.0 / 1024.0
}

/// What the server and the kernel hold, measured every half second by a thread of its own, because
/// measuring takes time.
#[derive(Default)]
struct Seen {
    sockets: AtomicUsize,
    most_kib: AtomicUsize,
    most_kernel_mib: AtomicUsize,
}

fn watch(pid: i32) -> &'static Seen {
    let seen: &'static Seen = Box::leak(Box::default());
    std::thread::spawn(move || {
        loop {
            seen.sockets.store(server_sockets(pid), Ordering::Relaxed);
            seen.most_kib.fetch_max(own_kib(pid) as usize, Ordering::Relaxed);
            seen.most_kernel_mib.fetch_max(kernel_mib() as usize, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    seen
}

/// Returns the server's own memory in KiB, without its child Postgres.
fn own_kib(pid: i32) -> f64 {
    own_proportional_kib(pid).unwrap_or_default()
}

/// Measures for a while, and calls `each` every second: the readers' delays, and the percentage of
/// the deliveries that arrived.
fn measure(engine: &mut Engine, options: &Options, seconds: f64, mut each: impl FnMut(&mut Engine)) -> Value {
    engine.reset();
    let began = now();
    let mut ticked = began;
    loop {
        let elapsed = seconds_since(began);
        if elapsed >= seconds {
            break;
        }
        while (engine.sent as f64) < elapsed * options.rate {
            engine.publish(0);
        }
        engine.poll(1);
        if now() - ticked >= 1_000_000_000 {
            ticked = now();
            each(engine);
        }
    }
    let due = engine.sent * (options.readers as u64 - 1);
    let until = now() + 3_000_000_000;
    while engine.deliveries < due && now() < until {
        engine.poll(2);
    }
    json!({
        "p50_ms": rounded(engine.histogram.quantile(0.5), 2),
        "p99_ms": rounded(engine.histogram.quantile(0.99), 2),
        "max_ms": rounded(engine.histogram.max() as f64 / 1e6, 1),
        "heard_pct": rounded(100.0 * engine.deliveries as f64 / due.max(1) as f64, 2),
    })
}

/// The slow sockets. Their numbers follow those of the readers.
struct SlowSockets {
    first: usize,
    sockets: Vec<Slow>,
    /// Which of them have stopped to read.
    stopped: Vec<bool>,
    opened: usize,
    began: u64,
    rounds: usize,
    longest_s: f64,
    told: usize,
}

impl SlowSockets {
    fn count(&self) -> usize {
        self.sockets.len()
    }

    /// Does what is due once a second: opens some, lets the joined ones stop reading, and lets one
    /// of ten read a trickle.
    fn tick(&mut self, engine: &mut Engine) {
        // They connect a few at a time: their not reading is measured, not their connecting.
        let opened = self.count().min(self.opened + AT_ONCE);
        for at in self.opened..opened {
            engine.connect(self.first + at, 0);
        }
        self.opened = opened;
        self.stop_reading(engine);
        for at in (0..self.count()).step_by(10).filter(|at| self.stopped[*at]) {
            read_some(engine.sockets[self.first + at].fd, TRICKLE, &mut self.sockets[at]);
        }
    }

    /// Lets the joined sockets stop reading. A small receive buffer makes that take effect soon.
    fn stop_reading(&mut self, engine: &mut Engine) {
        for at in 0..self.count().min(engine.sockets.len() - self.first) {
            let id = self.first + at;
            if engine.sockets[id].state == State::Ready && !self.stopped[at] {
                self.stopped[at] = true;
                sys::set_receive_buffer(engine.sockets[id].fd, 4_096);
                engine.ignore(id);
            }
        }
    }

    /// Returns `true` if all have stopped to read long enough ago, so that the server can be asked
    /// whether it has disconnected them.
    fn are_due(&self) -> bool {
        self.opened == self.count()
            && self.stopped.iter().all(|one| *one)
            && now() - self.began > 2_000_000_000 * (1 + self.count() as u64 / AT_ONCE as u64)
    }

    /// Ends a round in which the server has disconnected all of them.
    fn end_round(&mut self, engine: &mut Engine) {
        self.longest_s = self.longest_s.max(seconds_since(self.began));
        self.rounds += 1;
        for (at, slow) in self.sockets.iter_mut().enumerate() {
            let id = self.first + at;
            read_some(engine.sockets[id].fd, usize::MAX, slow);
            self.told += usize::from(slow.told);
            engine.close(id);
            engine.ready -= 1;
            *slow = Slow::default();
        }
        self.stopped.fill(false);
        (self.began, self.opened) = (now(), 0);
    }
}

pub fn run(engine: &mut Engine, options: &Options) {
    let Options { readers, slow: count, seconds, server, .. } = *options;
    engine.counted = readers;
    engine.open_all(readers, 4_000.0, &|_| 0);
    assert_eq!(engine.ready, readers, "{:?}", engine.first_error);
    let seen = watch(server);
    let (base_kib, base_sockets) = (own_kib(server), server_sockets(server));
    let calm = (seconds / 4.0).max(10.0);
    let few = measure(engine, options, calm, |_| ());
    // As many sockets as later, and all of them read: then the only difference is that some do not.
    for at in 0..count {
        engine.connect(readers + at, 0);
        while engine.ready + AT_ONCE < readers + at {
            engine.poll(1);
        }
    }
    while engine.ready < readers + count && engine.dead == 0 {
        engine.poll(1);
    }
    let all = measure(engine, options, calm, |_| ());

    let mut slow = SlowSockets {
        first: readers,
        sockets: (0..count).map(|_| Slow::default()).collect(),
        stopped: vec![false; count],
        opened: count,
        began: now(),
        rounds: 0,
        longest_s: 0.0,
        told: 0,
    };
    let some = measure(engine, options, seconds, |engine| {
        slow.tick(engine);
        if slow.are_due() && seen.sockets.load(Ordering::Relaxed) <= base_sockets + 2 {
            slow.end_round(engine);
        }
    });
    println!(
        "{}",
        json!({
            "scen": "slow",
            "readers": readers,
            "slow": count,
            "secs": seconds,
            "few": few,
            "all": all,
            "some": some,
            "rounds": slow.rounds,
            "let_go": slow.rounds * count,
            "told_4408": slow.told,
            "longest_round_s": rounded(slow.longest_s, 1),
            "pss_mib": rounded(base_kib / 1024.0, 1),
            "most_pss_mib": rounded(seen.most_kib.load(Ordering::Relaxed) as f64 / 1024.0, 1),
            "most_kernel_mib": seen.most_kernel_mib.load(Ordering::Relaxed),
            "dead": engine.dead,
            "first_error": engine.first_error.clone().unwrap_or_default(),
        })
    );
}
