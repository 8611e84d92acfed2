//! The watch: probes and memory of the nodes, and how soon they come back when Postgres does.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::context::Context;
use crate::postgres;

/// How often a node is asked.
const EVERY: Duration = Duration::from_millis(200);
/// Longest time that `/livez` may take.
const LIVE: Duration = Duration::from_secs(2);
/// Longest time from the loss of Postgres to a `/readyz` that says so: two seconds, and our own asking.
pub const UNREADY: Duration = Duration::from_millis(2_500);
/// Longest time from Postgres's return to the first ack of a node.
const RECOVERY: Duration = Duration::from_secs(5);
/// Postgres's own crash recovery may take this long.
const RETURN: Duration = Duration::from_secs(60);
/// What a node's memory may grow by in KiB, after its first seconds.
const GROWTH: u64 = 200 * 1024;

/// What was seen of the nodes.
#[derive(Default)]
pub struct Watch {
    /// When `/readyz` said 503, by node.
    unready: [Mutex<Vec<Instant>>; 2],
    /// The most that a node's memory grew by in its life, in KiB.
    growth: AtomicUsize,
    /// Changes with every beginning and end of a fault of Postgres's.
    turns: AtomicUsize,
}

impl Watch {
    /// How long after `since` the node first said that it is not ready.
    pub fn first_unready(&self, node: usize, since: Instant) -> Option<Duration> {
        let all = self.unready[node].lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|at| **at >= since).map(|at| *at - since)
    }

    /// In KiB.
    pub fn growth(&self) -> usize {
        self.growth.load(Ordering::Relaxed)
    }

    /// A fault of Postgres's begins or ends.
    pub fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have begun or ended; odd while one lasts.
    pub fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }
}

/// Resident memory of a process in KiB.
pub fn memory(pid: i32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// The most it was in KiB, since the start or [`forget_peak`].
pub fn peak(pid: i32) -> Option<u64> {
    status(pid, "VmHWM:")
}

/// The peak begins anew with what there is now.
pub fn forget_peak(pid: i32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn status(pid: i32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Asks a node its probes, for ever.
pub async fn run(shared: Arc<Context>, node: usize) {
    // The process, when it was first seen, and its memory once it was some seconds old.
    let mut first: Option<(i32, Instant, Option<u64>)> = None;
    loop {
        sleep(EVERY).await;
        let began = Instant::now();
        let live = async { (shared.world.probe(node, "/livez").await, began.elapsed()) };
        let ((live, took), ready) = tokio::join!(live, shared.world.probe(node, "/readyz"));
        if ready == Some(503) {
            shared.watch.unready[node].lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
        if shared.world.is_calm(node, began) {
            shared.history.measured("/livez", took);
            if live != Some(200) || took > LIVE {
                let what = format!("node {}: /livez said {live:?} after {} ms", node + 1, took.as_millis());
                shared.history.problem("probe", what);
            }
            if ready.is_none() {
                shared.history.problem("probe", format!("node {}: /readyz had no answer for 3 s", node + 1));
            }
        }
        let Some(pid) = shared.world.pid(node) else { continue };
        let Some(now) = memory(pid) else { continue };
        let seen = first.get_or_insert((pid, began, None));
        if seen.0 != pid {
            *seen = (pid, began, None);
        }
        if seen.1.elapsed() > Duration::from_secs(5) {
            let growth = now.saturating_sub(*seen.2.get_or_insert(now));
            let most = shared.watch.growth.fetch_max(growth as usize, Ordering::Relaxed);
            if growth > GROWTH && most as u64 <= GROWTH {
                shared.history.problem("memory", format!("node {} has grown by {} MiB", node + 1, growth / 1024));
            }
        }
    }
}

/// Judges whether nodes said in time that they are not ready. Called while Postgres is still away, `since` then. A node that
/// has acknowledged something later was not without it until then: on a full disk a session goes on until its page is full.
pub fn judge_unready(shared: &Context, nodes: &[usize], since: Instant) {
    for node in nodes {
        let since = shared.history.last_ack(*node).map_or(since, |ack| ack.max(since));
        if since.elapsed() < UNREADY || !shared.world.is_calm(*node, since) {
            shared.history.count("/readyz not judged");
            continue;
        }
        match shared.watch.first_unready(*node, since) {
            Some(after) if after <= UNREADY => shared.history.measured("/readyz 503", after),
            said => {
                let what = format!("node {}: /readyz said 503 after {said:?} without Postgres", node + 1);
                shared.history.problem("probe", what);
            }
        }
    }
}

/// Waits until Postgres answers, and then for the first ack of each node, which has five seconds.
pub async fn recovered(shared: &Context, nodes: &[usize]) {
    let began = Instant::now();
    while !postgres::answers(&shared.world.socket_folder()).await {
        if began.elapsed() > RETURN {
            return shared.history.problem("recovery", format!("Postgres is not back after {RETURN:?}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    let back = Instant::now();
    shared.history.measured("Postgres's own return", back - began);
    for node in nodes {
        loop {
            if let Some(ack) = shared.history.last_ack(*node).filter(|ack| *ack > back) {
                break shared.history.measured("first ack after it", ack - back);
            }
            if !shared.world.is_calm(*node, began) {
                break shared.history.count("recoveries not measured");
            }
            if back.elapsed() > RECOVERY {
                let what = format!("node {} has acknowledged nothing {RECOVERY:?} after Postgres's return", node + 1);
                break shared.history.problem("recovery", what);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
