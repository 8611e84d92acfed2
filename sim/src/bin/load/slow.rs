//! Slow readers: sockets of a big room that do not read, or a trickle, beside others that do. The others must not notice,
//! the server's memory stays bounded, and each slow one is let go of; then it comes back and does the same again.
use super::{Eng, Hist, now};
use libc::*;
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub struct Options {
    pub readers: usize,
    pub slow: usize,
    /// Messages a second, written by the first reader.
    pub rate: f64,
    /// Seconds with the slow ones; before, a quarter of it, ten at least, without them, and then with all of them reading.
    pub secs: f64,
    pub server: i32,
}

/// What a slow socket is told when it is let go of: close code 4408 with its reason.
const TOO_SLOW: &[u8] = b"\x11\x38too slow";
/// Bytes a second that one of ten reads.
const TRICKLE: usize = 2048;
/// Slow ones that come in a second.
const AT_ONCE: usize = 200;

/// One socket that does not read; what it has read of its end.
#[derive(Default)]
struct Slow {
    tail: Vec<u8>,
    ended: bool,
    told: bool,
}

/// Reads up to `most` bytes, looking for the close.
fn sip(fd: c_int, most: usize, slow: &mut Slow) {
    let mut left = most;
    let mut piece = [0u8; 4096];
    while left > 0 && !slow.ended {
        let read = unsafe { recv(fd, piece.as_mut_ptr() as *mut c_void, left.min(piece.len()), MSG_DONTWAIT) };
        if read <= 0 {
            let waits = read < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock;
            slow.ended = !waits;
            return;
        }
        left -= read as usize;
        slow.tail.extend_from_slice(&piece[..read as usize]);
        slow.told |= memchr::memmem::find(&slow.tail, TOO_SLOW).is_some();
        let rest = slow.tail.len().saturating_sub(TOO_SLOW.len());
        slow.tail.drain(..rest);
    }
}

/// Sockets that the server holds.
fn held(pid: i32) -> usize {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    links
        .filter(|link| std::fs::read_link(link.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
        .count()
}

/// The kernel's buffers of all TCP sockets, in MiB.
fn kernel_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let pages = text.lines().find(|line| line.starts_with("TCP:")).and_then(|line| line.split(' ').next_back());
    pages.and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4.0 / 1024.0
}

/// What the server and the kernel hold, looked at every half second by a thread of its own: looking takes time.
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
            seen.sockets.store(held(pid), Ordering::Relaxed);
            seen.most_kib.fetch_max(pss_of(pid) as usize, Ordering::Relaxed);
            seen.most_kernel_mib.fetch_max(kernel_mib() as usize, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    seen
}

/// Sends at a rate for a while and calls `each` every second; answers the deliveries of a message sent, in percent.
fn speak(engine: &mut Eng, options: &Options, secs: f64, mut each: impl FnMut(&mut Eng)) -> f64 {
    (engine.hist, engine.deliv, engine.sent) = (Hist::new(), 0, 0);
    let began = now();
    let mut ticked = began;
    loop {
        let elapsed = (now() - began) as f64 / 1e9;
        if elapsed >= secs {
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
    while engine.deliv < due && now() < until {
        engine.poll(2);
    }
    100.0 * engine.deliv as f64 / due.max(1) as f64
}

/// Those who have joined stop reading; a small window makes it soon felt.
fn stop_reading(engine: &mut Eng, from: usize, still: &mut [bool]) {
    for at in 0..still.len().min(engine.conns.len() - from) {
        let conn = &engine.conns[from + at];
        if conn.phase == 3 && !still[at] {
            still[at] = true;
            let small: c_int = 4096;
            unsafe {
                setsockopt(
                    conn.fd,
                    SOL_SOCKET,
                    SO_RCVBUF,
                    &small as *const _ as *const c_void,
                    size_of::<c_int>() as u32,
                );
                epoll_ctl(engine.ep, EPOLL_CTL_DEL, conn.fd, std::ptr::null_mut());
            }
        }
    }
}

pub fn run(engine: &mut Eng, options: &Options) {
    let Options { readers, slow: count, secs, server, .. } = *options;
    engine.counted = readers;
    engine.open_all(readers, 4000.0, &|_| 0);
    assert_eq!(engine.ready, readers, "{:?}", engine.first_err);
    let seen = watch(server);
    let (base_pss, base_held) = (pss_of(server), held(server));
    let calm = (secs / 4.0).max(10.0);
    let few = phase(engine, options, calm, |_| ());
    // As many sockets as later, and all of them read: what differs then is that some do not.
    for at in 0..count {
        engine.connect(readers + at, 0);
        while engine.ready + AT_ONCE < readers + at {
            engine.poll(1);
        }
    }
    while engine.ready < readers + count && engine.dead == 0 {
        engine.poll(1);
    }
    let all = phase(engine, options, calm, |_| ());

    let mut still = vec![false; count];
    let mut slow: Vec<Slow> = (0..count).map(|_| Slow::default()).collect();
    let mut opened = count;
    let (mut let_go, mut told, mut rounds, mut since, mut longest) = (0, 0, 0, now(), 0.0f64);
    let some = phase(engine, options, secs, |engine| {
        // They come a few at a time: what is measured is their not reading, not their coming.
        for at in opened..count.min(opened + AT_ONCE) {
            engine.connect(readers + at, 0);
        }
        opened = count.min(opened + AT_ONCE);
        stop_reading(engine, readers, &mut still);
        (0..count)
            .step_by(10)
            .filter(|at| still[*at])
            .for_each(|at| sip(engine.conns[readers + at].fd, TRICKLE, &mut slow[at]));
        if opened == count
            && still.iter().all(|one| *one)
            && seen.sockets.load(Ordering::Relaxed) <= base_held + 2
            && (now() - since) > 2_000_000_000 * (1 + count as u64 / AT_ONCE as u64)
        {
            longest = longest.max((now() - since) as f64 / 1e9);
            rounds += 1;
            for (at, one) in slow.iter_mut().enumerate() {
                sip(engine.conns[readers + at].fd, usize::MAX, one);
                told += usize::from(one.told);
                unsafe {
                    close(engine.conns[readers + at].fd);
                }
                engine.conns[readers + at].phase = 9;
                engine.ready -= 1;
                *one = Slow::default();
            }
            let_go += count;
            still.fill(false);
            (since, opened) = (now(), 0);
        }
    });
    println!(
        r#"{{"scen":"slow","readers":{readers},"slow":{count},"secs":{secs},"few":{few},"all":{all},"some":{some},"rounds":{rounds},"let_go":{let_go},"told_4408":{told},"longest_round_s":{longest:.1},"pss_mib":{:.1},"most_pss_mib":{:.1},"most_kernel_mib":{},"dead":{},"first_error":{:?}}}"#,
        base_pss / 1024.0,
        seen.most_kib.load(Ordering::Relaxed) as f64 / 1024.0,
        seen.most_kernel_mib.load(Ordering::Relaxed),
        engine.dead,
        engine.first_err.clone().unwrap_or_default()
    );
}

/// A measured while: how long the readers waited for what was said, and how much of it they heard.
fn phase(engine: &mut Eng, options: &Options, secs: f64, each: impl FnMut(&mut Eng)) -> String {
    let heard = speak(engine, options, secs, each);
    format!(
        r#"{{"p50_ms":{:.2},"p99_ms":{:.2},"max_ms":{:.1},"heard_pct":{heard:.2}}}"#,
        engine.hist.q(0.5),
        engine.hist.q(0.99),
        engine.hist.max as f64 / 1e6
    )
}

/// The server's own memory, in KiB, without Postgres, a child of it.
fn pss_of(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .map(|line| line.split_whitespace().nth(1).unwrap_or("0").to_owned());
    line.and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
}
