//! Many sockets: idle, one to all, matched, cut off, or not reading.
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::figures::{Phase, median, spread};
use super::people::People;
use super::server::Other;
use super::{Setup, Turns, of, settings};
use crate::Result;

/// Sockets of the largest room in `storm`.
const BIG_ROOM: usize = 1_000;

/// Returns the memory of one process, its share of what it shares included, in KiB.
fn proportional_kib(id: u32) -> Result<f64> {
    let file = format!("/proc/{id}/smaps_rollup");
    let text = fs::read_to_string(&file).map_err(|why| format!("{file}: {why}"))?;
    let found = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().trim_end_matches(" kB").parse().ok());
    found.ok_or_else(|| format!("{file} names no Pss"))
}

impl Setup<'_> {
    /// Measures the memory of joined sockets that do nothing.
    pub fn idle(&self, count: usize) -> Result<()> {
        #[derive(Deserialize)]
        struct Idle {
            ready: f64,
            conn_s: f64,
        }
        // Of the server's own process: the load generator counts Postgres, a child of it, too.
        let before = proportional_kib(self.server.id())?;
        let over = AtomicBool::new(false);
        let (idle, most) = std::thread::scope(|scope| {
            let sampling = scope.spawn(|| {
                let mut most = before;
                while !over.load(Ordering::Relaxed) {
                    most = proportional_kib(self.server.id()).map_or(most, |now| most.max(now));
                    std::thread::sleep(Duration::from_millis(500));
                }
                most
            });
            let options = settings([("n", &count), ("settle", &4)]);
            let idle = self.bench.load_one::<Idle>("idle", &[&self.own(), &options]);
            over.store(true, Ordering::Relaxed);
            (idle, sampling.join())
        });
        let (Idle { ready, conn_s }, most) = (idle?, most.map_err(|_| "a thread panicked")?);
        println!(
            "idle joined sockets: {ready} of {count}, {:.2} KiB each (PSS); {conn_s} connects with hello and join a second",
            (most - before) / ready
        );
        Ok(())
    }

    /// Measures one message to many, Maju and the bare server in turn.
    pub fn fanout(&self) -> Result<()> {
        let bare = Other::start(self.bench, self.bench.program("axumws"), |port| {
            vec![format!("127.0.0.1:{port}"), "best".to_owned()]
        })?;
        let common =
            settings([("subs", &1_000), ("win", &8), ("secs", &2), ("reps", &1), ("frac", &"0.5"), ("fixed", &100)]);
        let theirs = settings([
            ("driver", &"hello"),
            ("addr", &format!("127.0.0.1:{}", bare.port)),
            ("pids", &bare.id()),
            ("label", &"axumws"),
        ]);
        let turns = Turns::measure(self.bench, "fanout", &[&self.own(), &common], &[&common, &theirs])?;
        let (own, bare) = (turns.own(), turns.bare());
        let rate = |phases: &[&Phase]| of(phases, "closed", |phase| phase.deliv_s);
        let cpu = |phases: &[&Phase]| of(phases, "closed", |phase| phase.cpu);
        println!(
            "fan-out 1 x 1,000, persisted, saturated: {} deliveries/s; axumws best {} (not persisted); ratio {}",
            rate(&own),
            rate(&bare),
            turns.ratio(rate)
        );
        println!("  {:.2} µs of CPU a delivery; axumws {:.2}; ratio {}", cpu(&own), cpu(&bare), turns.ratio(cpu));
        fixed_rate(&turns)
    }

    /// Measures matches end to end.
    pub fn matches(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Round {
            pairs_per_s: f64,
            p50_ms: f64,
            p99_ms: f64,
            two_in_each_room: bool,
        }
        for seekers in [400, 2_000] {
            let args = [self.people.file.display().to_string(), seekers.to_string(), "4".to_owned()];
            let rounds: Vec<Round> = self.bench.lines("match", &args)?;
            if rounds.iter().any(|round| !round.two_in_each_room) {
                return Err("match: a room without two people".to_owned());
            }
            let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
            println!(
                "match end to end, {seekers} seek at once: {} pairs/s, seek to told p50/p99 {}/{} ms",
                of(|round| round.pairs_per_s),
                of(|round| round.p50_ms),
                of(|round| round.p99_ms)
            );
        }
        Ok(())
    }

    /// Cuts all sockets at once, of as many people, and measures how they come back.
    pub fn storm(&self, count: usize) -> Result<()> {
        let people = People::make(self.bench, self.server, count, 1 + count.saturating_sub(BIG_ROOM) / 2)?;
        let options =
            settings([("arg", &people.file.display()), ("n", &count), ("big", &BIG_ROOM), ("pg", &self.postgres())]);
        let storm: Value = self.bench.load_one("storm", &[&self.own(), &options])?;
        let [wrong, dead, heard] = ["wrong", "dead", "heard_after_pct"].map(|name| number(&storm, name));
        if wrong > 0.0 || dead > 0.0 || heard < 100.0 {
            return Err(format!("storm: not everybody got what was missed: {storm}"));
        }
        let of = |name: &str| number(&storm, name);
        println!(
            "storm: {} of {count} sockets back with all they missed {} s after all were cut (p50/p99 {}/{} s), {} at a time: {}/{} ms from a socket's connect to the last entry it missed",
            of("back"),
            of("all_s"),
            of("p50_s"),
            of("p99_s"),
            of("at_once"),
            of("own_p50_ms"),
            of("own_p99_ms")
        );
        println!(
            "  {} entries in {} replays, {} % from memory; wrong {wrong}; dead {dead}; heard the next message: {heard} %",
            of("missed_entries"),
            of("replays"),
            of("from_memory_pct")
        );
        println!(
            "  {} transactions of Postgres and {} µs of CPU (with Postgres's) a socket",
            of("statements_each"),
            of("cpu_us_each")
        );
        Ok(())
    }

    /// Measures sockets that read, beside others that do not.
    pub fn slow(&self, seconds: u64) -> Result<()> {
        let options = settings([("readers", &200), ("slow", &1_000), ("rate", &50), ("secs", &seconds)]);
        let slow: Value = self.bench.load_one("slow", &[&self.own(), &options])?;
        let of = |name: &str| number(&slow, name);
        let delays = |phase: &str| {
            let [p50, p99, heard] = ["p50_ms", "p99_ms", "heard_pct"].map(|name| number(&slow[phase], name));
            format!("{p50}/{p99} ms, {heard} % heard")
        };
        let (readers, idle) = (of("readers"), of("slow"));
        println!(
            "slow readers: {idle} that do not read beside {readers} that do, {seconds} s: p50/p99 {}; when all {} read {}; the {readers} alone {}",
            delays("some"),
            readers + idle,
            delays("all"),
            delays("few")
        );
        println!(
            "  disconnected {} in {} rounds of {} s at most ({} read why: 4408); memory {} MiB before, {} MiB at most; the kernel's buffers {} MiB at most",
            of("let_go"),
            of("rounds"),
            of("longest_round_s"),
            of("told_4408"),
            of("pss_mib"),
            of("most_pss_mib"),
            of("most_kernel_mib")
        );
        Ok(())
    }
}

/// Prints what the last open phase of each turn showed: the one at a fixed rate.
fn fixed_rate(turns: &Turns) -> Result<()> {
    let last = |phases: &[Phase]| phases.iter().rfind(|phase| phase.mode == "open").cloned();
    let fixed: Option<Vec<[Phase; 2]>> = turns.0.iter().map(|[own, bare]| Some([last(own)?, last(bare)?])).collect();
    let fixed = fixed.ok_or("fanout measured no open phase")?;
    let own = |figure: fn(&Phase) -> f64| median(fixed.iter().map(|[own, _]| figure(own)));
    println!(
        "fan-out at {} deliveries/s: {} µs of CPU a delivery; axumws {}; ratio {}; p50/p99 {}/{} ms",
        own(|phase| phase.deliv_s),
        own(|phase| phase.cpu),
        median(fixed.iter().map(|[_, bare]| bare.cpu)),
        spread(fixed.iter().map(|[own, bare]| own.cpu / bare.cpu)),
        own(|phase| phase.p50_ms),
        own(|phase| phase.p99_ms)
    );
    Ok(())
}

/// Returns a number of an object. NaN if there is none.
fn number(object: &Value, name: &str) -> f64 {
    object[name].as_f64().unwrap_or(f64::NAN)
}
