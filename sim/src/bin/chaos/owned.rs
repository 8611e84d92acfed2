//! What becomes of the private Postgres when somebody deletes a file beside it: its socket, or the lock of the data folder.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::context::Context;
use crate::postgres::{self, SEND_AWAY};

/// How long the owner's Postgres is watched after the lock was deleted: sharers look at the lock ten times a second.
pub const WATCHED: Duration = Duration::from_secs(2);
/// Longest time from the loss of the socket to acknowledgements by each node: ten seconds for the owner, and some for the start and us.
const REPAIRED: Duration = Duration::from_secs(15);
/// Acknowledgements that were on their way when the sessions ended have come by then.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);
/// How long a fault waits for nodes that were killed or hung before.
const CALM: Duration = Duration::from_secs(10);
/// How long the second node may take to start, or to be refused and to start again once the lock is back.
const JOINED: Duration = Duration::from_secs(30);

/// Waits until what was done to the nodes before says nothing of them any more.
async fn calm(shared: &Context) {
    let began = Instant::now();
    while !(0..2).all(|node| shared.world.is_calm(node, Instant::now())) && began.elapsed() < CALM {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Deletes the socket and ends the nodes' sessions, so that they need it. Answers which nodes it hurt, once they go on or are late.
pub async fn socket_gone(shared: &Context) {
    let (world, history) = (&shared.world, &shared.history);
    calm(shared).await;
    let Ok(inside) = postgres::connect(&world.socket_folder(), "chaos").await else {
        return history.count("sockets not deleted");
    };
    let _ = std::fs::remove_file(world.socket_folder().join(".s.PGSQL.5432"));
    let began = Instant::now();
    let _ = inside.batch_execute(SEND_AWAY).await;
    drop(inside);
    let since = Instant::now() + ON_THEIR_WAY;
    for node in 0..2 {
        loop {
            if history.last_ack(node).is_some_and(|ack| ack > since) {
                break history.measured("first ack after the socket was deleted", began.elapsed());
            }
            if !world.is_calm(node, began) {
                break history.count("lost sockets not measured");
            }
            if began.elapsed() > REPAIRED {
                let what =
                    format!("node {} has acknowledged nothing {REPAIRED:?} after the socket was deleted", node + 1);
                break history.problem("recovery", what);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Deletes the lock, and starts the node that does not own Postgres anew: the owner's Postgres is left alone.
pub async fn lock_gone(shared: &Arc<Context>) {
    let (world, history) = (&shared.world, &shared.history);
    calm(shared).await;
    let Some((owner, postmaster)) = world.owner() else {
        return history.count("locks not deleted");
    };
    let began = Instant::now();
    delete(&world.folder.join("data/lock"));
    world.kill_node(1 - owner);
    world.start_node(1 - owner);
    let joined = world.ready_within(1 - owner, JOINED).await;
    sleep(WATCHED.saturating_sub(began.elapsed())).await;
    // Only when nothing else was done to the owner meanwhile.
    if !world.is_calm(owner, began) {
        return history.count("lost locks not measured");
    }
    if let Some(what) = judge(owner, (owner, postmaster), world.owner()) {
        history.problem("owner", what);
    }
    if joined {
        history.measured("a second node's start after the lock was deleted", began.elapsed());
    } else {
        let what = format!("node {} is not ready {JOINED:?} after the lock was deleted", 2 - owner);
        history.problem("owner", what);
    }
}

fn delete(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// What is wrong with who owns which postmaster, before and after. The same of both: nothing.
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
