//! Measured phases of `pairs` and `fanout`, and what they print.
use serde_json::json;
use sim::sys::now;

use crate::engine::{Engine, State, seconds_since};
use crate::processes::cpu_seconds;

/// A saturated fan-out without a delivery for so long has lost messages. Nanoseconds.
const FANOUT_STALL_NS: u64 = 400_000_000;
/// How often pairs are searched for lost messages, and after how long a message counts as lost.
const SWEEP_NS: u64 = 1_000_000_000;
const LOST_AFTER_NS: u64 = 4_000_000_000;
/// How long a phase waits for its last deliveries, at most and without any.
const DRAIN_NS: u64 = 5_000_000_000;
const DRAIN_SILENCE_NS: u64 = 700_000_000;

/// Who is measured.
pub struct Target {
    /// Roots of the server's process trees.
    pub pids: Vec<i32>,
    /// Roots of the process trees that are counted beside it.
    pub back: Vec<i32>,
    pub label: String,
    pub scenario: String,
}

/// Who sends to whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Socket 0 sends to all others.
    Fanout,
    /// Sockets 2n and 2n + 1 send to each other.
    Pairs,
}

/// How fast messages are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// So many are kept in flight: in pairs one of each socket.
    Closed(u64),
    /// So many a second, however long they take.
    Open(f64),
}

/// The sockets of a scenario.
pub struct Scenario<'a> {
    pub engine: &'a mut Engine,
    pub target: &'a Target,
    pub shape: Shape,
    pub sockets: usize,
}

/// What the closed loop has noticed.
#[derive(Default)]
struct Losses {
    stalls: u64,
    lost: u64,
}

impl Scenario<'_> {
    /// Returns how many deliveries a message has.
    fn deliveries_each(&self) -> u64 {
        if self.shape == Shape::Fanout { self.sockets as u64 - 1 } else { 1 }
    }

    /// Measures a phase and prints it if `print`. Returns the messages a second that were
    /// delivered.
    pub fn measure(&mut self, seconds: f64, pace: Pace, print: bool) -> f64 {
        self.engine.reset();
        self.engine.collect = self.shape == Shape::Pairs && matches!(pace, Pace::Closed(_));
        let own = [i32::try_from(std::process::id()).unwrap_or_default()];
        let spent = |target: &Target| [cpu_seconds(&target.pids), cpu_seconds(&target.back), cpu_seconds(&own)];
        let before = spent(self.target);
        let began = now();
        let losses = self.send(seconds, pace, began);
        let elapsed = seconds_since(began);
        let in_time = self.engine.deliveries;
        let after = spent(self.target);
        self.drain();
        if print {
            let [server, back, generator] = [0, 1, 2].map(|at| after[at] - before[at]);
            self.report(pace, elapsed, in_time, [server, back, generator], losses.stalls);
        }
        in_time as f64 / elapsed / self.deliveries_each() as f64
    }

    fn send(&mut self, seconds: f64, pace: Pace, began: u64) -> Losses {
        let end = began + (seconds * 1e9) as u64;
        match (pace, self.shape) {
            (Pace::Open(rate), _) => self.send_open(rate, began, end),
            (Pace::Closed(window), Shape::Fanout) => self.send_fanout(window, began, end),
            (Pace::Closed(_), Shape::Pairs) => self.send_pairs(began, end),
        }
    }

    fn send_open(&mut self, rate: f64, began: u64, end: u64) -> Losses {
        let mut next = 0_usize;
        while now() < end {
            let due = (seconds_since(began) * rate) as u64;
            // `publish` counts nothing for a dead socket: a turn of all sockets is enough.
            for _ in 0..self.sockets {
                if self.engine.sent >= due {
                    break;
                }
                let sender = if self.shape == Shape::Fanout { 0 } else { next.wrapping_mul(7_919) % self.sockets };
                next += 1;
                self.engine.publish(sender);
            }
            self.engine.poll(1);
        }
        Losses::default()
    }

    fn send_fanout(&mut self, window: u64, began: u64, end: u64) -> Losses {
        let (each, mut losses) = (self.deliveries_each(), Losses::default());
        let (mut delivered, mut changed_at) = (0, began);
        loop {
            let time = now();
            if time >= end {
                return losses;
            }
            while self.engine.sent - losses.lost < window + self.engine.deliveries / each
                && self.engine.sockets[0].state == State::Ready
            {
                self.engine.publish(0);
            }
            if self.engine.deliveries != delivered {
                (delivered, changed_at) = (self.engine.deliveries, time);
            } else if time - changed_at > FANOUT_STALL_NS {
                losses.stalls += 1;
                losses.lost = self.engine.sent.saturating_sub(self.engine.deliveries / each);
                changed_at = time;
            }
            self.engine.poll(5);
        }
    }

    fn send_pairs(&mut self, began: u64, end: u64) -> Losses {
        let mut losses = Losses::default();
        (0..self.sockets).for_each(|sender| self.engine.publish(sender));
        let mut swept_at = began;
        loop {
            let time = now();
            if time >= end {
                return losses;
            }
            self.engine.poll(5);
            let mut senders = std::mem::take(&mut self.engine.delivered_senders);
            for sender in senders.drain(..) {
                self.engine.publish(sender as usize);
            }
            self.engine.delivered_senders = senders;
            if time - swept_at > SWEEP_NS {
                swept_at = time;
                for sender in 0..self.sockets {
                    let socket = &self.engine.sockets[sender];
                    if socket.state == State::Ready && time.saturating_sub(socket.sent_at) > LOST_AFTER_NS {
                        losses.stalls += 1;
                        self.engine.publish(sender);
                    }
                }
            }
        }
    }

    /// Waits for the last deliveries.
    fn drain(&mut self) {
        let due = self.engine.sent * self.deliveries_each();
        let began = now();
        let (mut delivered, mut changed_at) = (self.engine.deliveries, began);
        self.engine.collect = false;
        while self.engine.deliveries < due && now() - began < DRAIN_NS && now() - changed_at < DRAIN_SILENCE_NS {
            self.engine.poll(5);
            if self.engine.deliveries != delivered {
                (delivered, changed_at) = (self.engine.deliveries, now());
            }
        }
    }

    fn report(&self, pace: Pace, elapsed: f64, in_time: u64, [server, back, generator]: [f64; 3], stalls: u64) {
        let (engine, target) = (&*self.engine, self.target);
        if engine.dead > 0 {
            let (label, scenario) = (&target.label, &target.scenario);
            eprintln!("{label} {scenario}: {} dead, first: {:?}", engine.dead, engine.first_error);
        }
        let per_million = |seconds: f64| if in_time > 0 { seconds / (in_time as f64 / 1e6) } else { -1.0 };
        let due = (engine.sent * self.deliveries_each()).max(1);
        println!(
            "{}",
            json!({
                "label": target.label,
                "scen": target.scenario,
                "mode": if matches!(pace, Pace::Closed(_)) { "closed" } else { "open" },
                "sent_s": rounded(engine.sent as f64 / elapsed, 0),
                "deliv_s": rounded(in_time as f64 / elapsed, 0),
                "p50_ms": rounded(engine.histogram.quantile(0.5), 2),
                "p99_ms": rounded(engine.histogram.quantile(0.99), 2),
                "max_ms": rounded(engine.histogram.max() as f64 / 1e6, 1),
                "cpu_s_per_M": rounded(per_million(server), 2),
                "back_cpu_s_per_M": rounded(per_million(back), 2),
                "srv_cores": rounded(server / elapsed, 2),
                "lg_cores": rounded(generator / elapsed, 2),
                "got_pct": rounded(100.0 * engine.deliveries as f64 / due as f64, 2),
                "stalls": stalls,
                "dead": engine.dead,
                "echo": engine.echoes > 0,
            })
        );
    }
}

/// Returns a number with so many decimals.
pub fn rounded(number: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (number * factor).round() / factor
}
