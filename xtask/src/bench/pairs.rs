//! Persisted messages between two people: beside a bare server, and while others leave.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde::Deserialize;

use super::figures::{Phase, least, median, spread};
use super::people::People;
use super::server::Other;
use super::{REPEATS, ROOMS, Settings, Setup, Turns, of, settings};
use crate::Result;
use crate::process::Process;

/// Others who leave a second, for so many seconds, in turns of both orders.
const LEAVES_A_SECOND: u32 = 1_000;
const LEAVE_SECONDS: u32 = 24;
const LEAVE_TURNS: usize = 6;

/// CPU a message of a server and of what is counted beside it.
fn total_cpu(phases: &[&Phase]) -> f64 {
    of(phases, "closed", |phase| phase.cpu) + of(phases, "closed", |phase| phase.back_cpu)
}

fn rate(phases: &[&Phase]) -> f64 {
    of(phases, "closed", |phase| phase.sent_s)
}

/// Returns the median and 99th percentile of the delay in a mode.
fn closed_delay(phases: &[&Phase]) -> String {
    format!("{}/{} ms", of(phases, "closed", |phase| phase.p50_ms), of(phases, "closed", |phase| phase.p99_ms))
}

fn delay(phases: &[&Phase]) -> String {
    let median_of = |figure: fn(&Phase) -> f64| median(phases.iter().map(|phase| figure(phase)));
    format!("{}/{} ms", median_of(|phase| phase.p50_ms), median_of(|phase| phase.p99_ms))
}

/// The open phases after another phase of a mode. The first open phase of a run is at a fixed rate;
/// the second is at seven tenths of the saturated rate, where sockets do not wait for each other
/// and fewer messages share a write: Maju does not always keep up with that.
fn open_after<'a>(phases: &[&'a Phase], mode: &str) -> Vec<&'a Phase> {
    let pairs = phases.windows(2).filter(|pair| pair[1].mode == "open" && pair[0].mode == mode);
    pairs.map(|pair| pair[1]).collect()
}

impl Setup<'_> {
    /// Measures messages in pairs, Maju and the bare server in turn.
    pub fn pairs(&self) -> Result<()> {
        let postgres = self.postgres();
        let bare = Other::start(self.bench, self.bench.program("axumpg"), |port| {
            vec![format!("127.0.0.1:{port}"), postgres.clone(), "4".to_owned(), "500".to_owned()]
        })?;
        let common = settings([("rooms", &ROOMS), ("secs", &3), ("reps", &1)]);
        let theirs = settings([
            ("driver", &"hello"),
            ("addr", &format!("127.0.0.1:{}", bare.port)),
            ("pids", &bare.id()),
            // Maju counts its own Postgres, a child of it; that of the bare server is counted
            // beside.
            ("back", &self.server.postmaster),
            ("label", &"axumpg"),
        ]);
        let turns = Turns::measure(self.bench, "pairs", &[&self.own(), &common], &[&common, &theirs])?;
        let (own, bare) = (turns.own(), turns.bare());
        println!(
            "persisted pairs, {ROOMS} rooms: {} acked msg/s; axumpg {}; ratio {}",
            rate(&own),
            rate(&bare),
            turns.ratio(rate)
        );
        println!(
            "  server and Postgres: {:.1} µs of CPU a message; axumpg {:.1}; ratio {}",
            total_cpu(&own),
            total_cpu(&bare),
            turns.ratio(total_cpu)
        );
        println!("  saturated p50/p99: {}; axumpg {}", closed_delay(&own), closed_delay(&bare));
        let (fixed, pressed) = (open_after(&own, "closed"), open_after(&own, "open"));
        let calm = own.iter().filter(|phase| !pressed.iter().any(|one| std::ptr::eq(*one, **phase)));
        println!(
            "  delivered: {} % at least; dead sockets {}",
            least(calm.map(|phase| phase.got_pct)),
            own.iter().map(|phase| phase.dead).sum::<f64>()
        );
        let tail = |phases: &[&Phase]| {
            let (rate, got) = (phases.iter().map(|phase| phase.sent_s), phases.iter().map(|phase| phase.got_pct));
            format!("{} a second: {}, {} % within the measurement", median(rate), delay(phases), median(got))
        };
        println!(
            "  pressed with seven tenths, all at their own time: {}; axumpg {}",
            tail(&pressed),
            tail(&open_after(&bare, "open"))
        );
        println!(
            "  at {} a second p50/p99: {}; axumpg {}",
            median(fixed.iter().map(|phase| phase.sent_s)),
            delay(&fixed),
            delay(&open_after(&bare, "closed"))
        );
        Ok(())
    }

    /// Measures messages while other visitors leave other rooms.
    pub fn leaves(&self) -> Result<()> {
        let leavers = People::make(self.bench, self.server, 64, 500)?;
        let common = settings([("rooms", &ROOMS), ("secs", &3), ("reps", &REPEATS), ("open", &0)]);
        let (mut calm, mut busy, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 0..LEAVE_TURNS {
            // One first, then the other: a machine that slows down meanwhile favours neither.
            for leaving in if turn % 2 == 0 { [false, true] } else { [true, false] } {
                if leaving {
                    let (phases, leaves) = self.beside_leaves(&leavers, &common)?;
                    busy.push(phases);
                    left.push(leaves);
                } else {
                    calm.push(self.bench.load::<Phase>("pairs", &[&self.own(), &common])?);
                }
            }
        }
        let rates = |turns: &[Vec<Phase>]| -> Vec<f64> {
            turns.iter().map(|turn| rate(&turn.iter().collect::<Vec<_>>())).collect()
        };
        let (calm_rates, busy_rates) = (rates(&calm), rates(&busy));
        println!(
            "persisted pairs, {ROOMS} rooms: {} acked msg/s; {} while {} others a second leave other rooms; ratio {}",
            median(calm_rates.iter().copied()),
            median(busy_rates.iter().copied()),
            median(left.iter().map(|one| one.leaves_s)),
            spread(busy_rates.iter().zip(&calm_rates).map(|(busy, calm)| busy / calm))
        );
        let delays: Vec<String> = left.iter().map(|one| format!("{:.1}/{:.1} ms", one.p50_ms, one.p99_ms)).collect();
        println!("  leave p50/p99: {}; failed {}", delays.join(", "), left.iter().map(|one| one.failed).sum::<f64>());
        let cpu = |turns: &[Vec<Phase>]| of(&turns.iter().flatten().collect::<Vec<_>>(), "closed", |phase| phase.cpu);
        println!(
            "  server and Postgres: {:.1} µs of CPU a message; {:.1} with the leaving counted in",
            cpu(&calm),
            cpu(&busy)
        );
        Ok(())
    }

    /// Measures messages while `leaves` runs.
    fn beside_leaves(&self, leavers: &People, common: &Settings) -> Result<(Vec<Phase>, Leaves)> {
        let mut command = Command::new(self.bench.program("leaves"));
        command.arg(&leavers.file).arg(self.postgres());
        command.args([LEAVES_A_SECOND.to_string(), LEAVE_SECONDS.to_string()]);
        let mut leaving = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), Signal::KILL)?;
        let output = leaving.child().stdout.take().ok_or("leaves has no output")?;
        let mut lines = BufReader::new(output).lines().map_while(std::result::Result::ok);
        if lines.next().as_deref() != Some("ready") {
            return Err("leaves did not become ready".to_owned());
        }
        let phases = self.bench.load("pairs", &[&self.own(), common])?;
        if leaving.status().is_some() {
            return Err("the leaving ended before the load: its figures are of less".to_owned());
        }
        let last = lines.last().ok_or("leaves printed no figures")?;
        Ok((phases, serde_json::from_str(&last).map_err(|why| format!("leaves printed {last}: {why}"))?))
    }
}

/// What `leaves` measured.
#[derive(Deserialize)]
struct Leaves {
    leaves_s: f64,
    failed: f64,
    p50_ms: f64,
    p99_ms: f64,
}
