//! Deletes a file beside the private Postgres: its socket, or the lock of the data folder.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::context::Context;
use crate::postgres::{self, END_SESSIONS};

/// How long the owner's Postgres is watched after the lock was deleted. Other nodes look at the
/// lock ten times a second.
pub const LOCK_WATCH_TIME: Duration = Duration::from_secs(2);
/// How long each node can take to acknowledge again after the socket was deleted: ten seconds for
/// the owner, and some for its start and the measurement.
const REPAIR_DEADLINE: Duration = Duration::from_secs(15);
/// Acknowledgements that were under way when the sessions ended have arrived by then.
const ACKS_UNDER_WAY: Duration = Duration::from_millis(500);
/// How long a fault waits for nodes that were killed or hung before.
const CALM_DEADLINE: Duration = Duration::from_secs(10);
/// How long the second node can take to start, or to be refused and start again when the lock is
/// back.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Waits until earlier faults of the nodes have no effect any more.
async fn calm(shared: &Context) {
    let began = Instant::now();
    while !(0..2).all(|node| shared.cluster.is_undisturbed(node, Instant::now())) && began.elapsed() < CALM_DEADLINE {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Deletes the socket and ends the nodes' sessions, so that they need it. Returns when the nodes
/// acknowledge again or are late.
pub async fn socket_gone(shared: &Context) {
    let (cluster, history) = (&shared.cluster, &shared.history);
    calm(shared).await;
    let Ok(inside) = postgres::connect(&cluster.socket_folder(), "chaos").await else {
        return history.count("sockets not deleted");
    };
    let _ = std::fs::remove_file(cluster.socket_folder().join(".s.PGSQL.5432"));
    let began = Instant::now();
    let _ = inside.batch_execute(END_SESSIONS).await;
    drop(inside);
    let since = Instant::now() + ACKS_UNDER_WAY;
    for node in 0..2 {
        loop {
            if history.last_ack(node).is_some_and(|ack| ack > since) {
                break history.record("first ack after the socket was deleted", began.elapsed());
            }
            if !cluster.is_undisturbed(node, began) {
                break history.count("lost sockets not measured");
            }
            if began.elapsed() > REPAIR_DEADLINE {
                let what = format!(
                    "node {} has acknowledged nothing {REPAIR_DEADLINE:?} after the socket was deleted",
                    node + 1
                );
                break history.problem("recovery", what);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Deletes the lock and restarts the node that does not own Postgres. The owner's Postgres must not
/// be touched.
pub async fn lock_gone(shared: &Arc<Context>) {
    let (cluster, history) = (&shared.cluster, &shared.history);
    calm(shared).await;
    let Some((owner, postmaster)) = cluster.owner() else {
        return history.count("locks not deleted");
    };
    let began = Instant::now();
    delete(&cluster.folder.join("data/lock"));
    cluster.kill_node(1 - owner);
    cluster.start_node(1 - owner);
    let joined = cluster.ready_within(1 - owner, START_DEADLINE).await;
    sleep(LOCK_WATCH_TIME.saturating_sub(began.elapsed())).await;
    // Only if nothing else was done to the owner meanwhile.
    if !cluster.is_undisturbed(owner, began) {
        return history.count("lost locks not measured");
    }
    if let Some(what) = judge(owner, (owner, postmaster), cluster.owner()) {
        history.problem("owner", what);
    }
    if joined {
        history.record("a second node's start after the lock was deleted", began.elapsed());
    } else {
        let what = format!("node {} is not ready {START_DEADLINE:?} after the lock was deleted", 2 - owner);
        history.problem("owner", what);
    }
}

fn delete(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// Returns what is wrong if another node or process runs Postgres after than before.
fn judge(owner: usize, before: (usize, i32), after: Option<(usize, i32)>) -> Option<String> {
    let (node, pid) = (owner + 1, before.1);
    match after {
        Some(after) if after == before => None,
        Some((other, now)) => {
            Some(format!("node {node}'s Postgres (process {pid}) was stopped: node {} runs {now} now", other + 1))
        }
        None => Some(format!("node {node}'s Postgres (process {pid}) was stopped, and none runs now")),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn a_postgres_that_changes_hands_or_ends_is_found() {
        assert_eq!(judge(0, (0, 77), Some((0, 77))), None);
        assert!(judge(0, (0, 77), Some((1, 78))).is_some(), "taken over");
        assert!(judge(0, (0, 77), Some((0, 78))).is_some(), "started again");
        assert!(judge(0, (0, 77), None).is_some(), "stopped");
    }
}
