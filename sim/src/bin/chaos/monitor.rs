//! The monitor: probes and memory of the nodes, and how soon they recover when Postgres does.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::context::Context;
use crate::postgres;

/// How often a node is probed.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// How long `/livez` can take.
const LIVEZ_DEADLINE: Duration = Duration::from_secs(2);
/// How long `/readyz` can take to report the loss of Postgres: two seconds, and the time of the
/// probe.
pub const UNREADY_DEADLINE: Duration = Duration::from_millis(2_500);
/// How long a node can take to its first acknowledgement after Postgres is back.
const ACK_DEADLINE: Duration = Duration::from_secs(5);
/// How long Postgres's own crash recovery can take.
const POSTGRES_RECOVERY_DEADLINE: Duration = Duration::from_secs(60);
/// How much a node's memory can grow after its first seconds, in KiB.
const MAX_GROWTH_KIB: u64 = 200 * 1024;

/// What was observed of the nodes.
#[derive(Default)]
pub struct Monitor {
    /// When `/readyz` answered 503, by node.
    unready: [Mutex<Vec<Instant>>; 2],
    /// The most that a node's memory grew in its lifetime, in KiB.
    growth: AtomicUsize,
    /// How many faults of Postgres have begun or ended.
    postgres_fault_changes: AtomicUsize,
}

impl Monitor {
    /// Returns how long after `since` the node first reported that it is not ready.
    pub fn first_unready(&self, node: usize, since: Instant) -> Option<Duration> {
        let all = self.unready[node].lock();
        all.iter().find(|at| **at >= since).map(|at| *at - since)
    }

    /// Returns the most that a node grew, in KiB.
    pub fn growth(&self) -> usize {
        self.growth.load(Ordering::Relaxed)
    }

    /// Records that a fault of Postgres begins or ends.
    pub fn postgres_fault_changed(&self) {
        self.postgres_fault_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many have begun or ended. The number is odd while one lasts.
    pub fn postgres_fault_changes(&self) -> usize {
        self.postgres_fault_changes.load(Ordering::Relaxed)
    }
}

/// Returns the resident memory of a process in KiB.
pub fn memory(pid: i32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// Returns its maximum in KiB, since the start or [`forget_peak`].
pub fn peak(pid: i32) -> Option<u64> {
    status(pid, "VmHWM:")
}

/// Starts a new maximum with the present value.
pub fn forget_peak(pid: i32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn status(pid: i32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Probes a node without end.
pub async fn run(shared: Arc<Context>, node: usize) {
    // The process, when it was first seen, and its memory some seconds later.
    let mut first: Option<(i32, Instant, Option<u64>)> = None;
    loop {
        sleep(PROBE_INTERVAL).await;
        let began = Instant::now();
        let live = async { (shared.cluster.probe(node, "/livez").await, began.elapsed()) };
        let ((live, took), ready) = tokio::join!(live, shared.cluster.probe(node, "/readyz"));
        if ready == Some(503) {
            shared.monitor.unready[node].lock().push(Instant::now());
        }
        if shared.cluster.is_undisturbed(node, began) {
            shared.history.record("/livez", took);
            if live != Some(200) || took > LIVEZ_DEADLINE {
                let what = format!("node {}: /livez answered {live:?} after {} ms", node + 1, took.as_millis());
                shared.history.problem("probe", what);
            }
            if ready.is_none() {
                shared.history.problem("probe", format!("node {}: /readyz had no answer for 3 s", node + 1));
            }
        }
        let Some(pid) = shared.cluster.pid(node) else { continue };
        let Some(now) = memory(pid) else { continue };
        let seen = first.get_or_insert((pid, began, None));
        if seen.0 != pid {
            *seen = (pid, began, None);
        }
        if seen.1.elapsed() > Duration::from_secs(5) {
            let growth = now.saturating_sub(*seen.2.get_or_insert(now));
            let most = shared.monitor.growth.fetch_max(growth as usize, Ordering::Relaxed);
            if growth > MAX_GROWTH_KIB && most as u64 <= MAX_GROWTH_KIB {
                shared.history.problem("memory", format!("node {} has grown by {} MiB", node + 1, growth / 1024));
            }
        }
    }
}

/// Reports nodes that did not say in time that they are not ready. Called while Postgres is away,
/// since `since`. A node that has acknowledged something later still had Postgres until then: on a
/// full disk a session continues until its page is full.
pub fn judge_unready(shared: &Context, nodes: &[usize], since: Instant) {
    for node in nodes {
        let since = shared.history.last_ack(*node).map_or(since, |ack| ack.max(since));
        if since.elapsed() < UNREADY_DEADLINE || !shared.cluster.is_undisturbed(*node, since) {
            shared.history.count("/readyz not judged");
            continue;
        }
        match shared.monitor.first_unready(*node, since) {
            Some(after) if after <= UNREADY_DEADLINE => shared.history.record("/readyz 503", after),
            found => {
                let what = format!("node {}: /readyz answered 503 after {found:?} without Postgres", node + 1);
                shared.history.problem("probe", what);
            }
        }
    }
}

/// Waits until Postgres answers, and then for the first acknowledgement of each node, which has
/// five seconds.
pub async fn recovered(shared: &Context, nodes: &[usize]) {
    let began = Instant::now();
    while !postgres::answers(&shared.cluster.socket_folder()).await {
        if began.elapsed() > POSTGRES_RECOVERY_DEADLINE {
            return shared
                .history
                .problem("recovery", format!("Postgres is not back after {POSTGRES_RECOVERY_DEADLINE:?}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    let back = Instant::now();
    shared.history.record("Postgres's own return", back - began);
    for node in nodes {
        loop {
            if let Some(ack) = shared.history.last_ack(*node).filter(|ack| *ack > back) {
                break shared.history.record("first ack after it", ack - back);
            }
            if !shared.cluster.is_undisturbed(*node, began) {
                break shared.history.count("recoveries not measured");
            }
            if back.elapsed() > ACK_DEADLINE {
                let what =
                    format!("node {} has acknowledged nothing {ACK_DEADLINE:?} after Postgres's return", node + 1);
                break shared.history.problem("recovery", what);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
