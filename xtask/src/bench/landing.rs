//! The landing page, beside a bare handler that returns the same bytes.
use std::fs;
use std::time::{Duration, Instant};

use super::figures::{median, spread};
use super::http::Client;
use super::server::{Other, Server};
use super::{Bench, TURNS};
use crate::Result;

/// The page that is read, as a browser asks for it.
const PATH: &str = "/ko";
const ENCODINGS: (&str, &str) = ("accept-encoding", "gzip, deflate, br, zstd");
/// Connections that are kept open, each with one request at a time.
const CONNECTIONS: usize = 16;
const TURN: Duration = Duration::from_secs(3);
/// Time before a turn in which nothing is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// `/proc/<pid>/stat` counts CPU in such parts of a second (`sysconf(_SC_CLK_TCK)` on Linux).
const TICKS_A_SECOND: f64 = 100.0;

/// Requests a second, and microseconds of the server's CPU for each.
struct Rate {
    requests_s: f64,
    cpu: f64,
}

/// What is asked of which server.
struct Target<'a> {
    port: u16,
    process: u32,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    status: u16,
}

impl Bench {
    /// Measures the landing page, whole and unchanged (304), each in turn with the bare handler.
    pub fn landing(&self, server: &Server) -> Result<()> {
        let failed = |why| format!("the landing page: {why}");
        let page = Client::connect(server.port).and_then(|mut client| client.request("GET", PATH, &[ENCODINGS], ""));
        let page = page.map_err(failed)?;
        let etag = page.all("etag").next().ok_or("the landing page has no ETag")?.to_owned();
        let file = self.work.path().join("page");
        fs::write(&file, &page.body).map_err(|why| format!("{}: {why}", file.display()))?;
        let bare = Other::start(self, self.program("axumpage"), |port| {
            vec![format!("127.0.0.1:{port}"), file.display().to_string()]
        })?;
        let unchanged = [ENCODINGS, ("if-none-match", &etag)];
        let own = |headers, status| Target { port: server.port, process: server.id(), path: PATH, headers, status };
        let theirs = Target { port: bare.port, process: bare.id(), path: "/", headers: &[ENCODINGS], status: 200 };
        let targets = [own(&[ENCODINGS], 200), own(&unchanged, 304), theirs];
        let mut turns: Vec<[Rate; 3]> = Vec::new();
        for _ in 0..TURNS {
            let [whole, unchanged, bare] = &targets;
            turns.push([whole.measure()?, unchanged.measure()?, bare.measure()?]);
        }
        let of = |nth: usize, figure: fn(&Rate) -> f64| median(turns.iter().map(|turn| figure(&turn[nth])));
        let ratio = |nth: usize, figure: fn(&Rate) -> f64| {
            spread(turns.iter().map(|turn| figure(&turn[nth]) / figure(&turn[2])))
        };
        println!(
            "landing page, {} bytes, {CONNECTIONS} connections; bare handler {:.0} requests/s",
            page.body.len(),
            of(2, |rate| rate.requests_s)
        );
        for (nth, name) in ["whole", "unchanged (304)"].into_iter().enumerate() {
            println!(
                "  {name}: {:.0} requests/s, ratio {}; {:.1} µs of CPU, ratio {}",
                of(nth, |rate| rate.requests_s),
                ratio(nth, |rate| rate.requests_s),
                of(nth, |rate| rate.cpu),
                ratio(nth, |rate| rate.cpu)
            );
        }
        Ok(())
    }
}

impl Target<'_> {
    /// Asks on all connections for the time of a turn.
    fn measure(&self) -> Result<Rate> {
        let started = Instant::now();
        let begin = started + WARM_UP;
        let end = begin + TURN;
        let (counts, used) = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| self.ask(begin, end))).collect();
            std::thread::sleep(begin.saturating_duration_since(Instant::now()));
            let before = cpu_seconds(self.process);
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            let after = cpu_seconds(self.process);
            let counts: Vec<Result<u32>> = asking
                .into_iter()
                .map(|one| one.join().unwrap_or_else(|_| Err("a reader panicked".to_owned())))
                .collect();
            (counts, after.and_then(|after| Ok(after - before?)))
        });
        let requests = f64::from(counts.into_iter().sum::<Result<u32>>()?);
        Ok(Rate { requests_s: requests / TURN.as_secs_f64(), cpu: used? * 1e6 / requests })
    }

    /// Asks on one connection, and returns how many answers came between the two instants.
    fn ask(&self, begin: Instant, end: Instant) -> Result<u32> {
        let failed = |why| format!("{}: {why}", self.path);
        let mut client = Client::connect(self.port).map_err(failed)?;
        let mut count = 0;
        loop {
            let answer = client.request("GET", self.path, self.headers, "").map_err(failed)?;
            if answer.status != self.status {
                return Err(format!("{} answered {}", self.path, answer.status));
            }
            let now = Instant::now();
            if now >= end {
                return Ok(count);
            }
            count += u32::from(now >= begin);
        }
    }
}

/// Returns the CPU time that a process has used, in seconds (proc_pid_stat(5), fields 14 and 15).
fn cpu_seconds(process: u32) -> Result<f64> {
    let file = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&file).map_err(|why| format!("{file}: {why}"))?;
    // The name, in parentheses, can have spaces.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks =
        fields.map(|field| field.parse::<f64>().map_err(|why| format!("{file}: {why}"))).sum::<Result<f64>>()?;
    Ok(ticks / TICKS_A_SECOND)
}
