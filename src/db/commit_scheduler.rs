//! The commit scheduler: which of a node's writers may commit now.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a writer waits for its turn. Half of the writers commit at a time: fewer and larger
/// batches cost a seventh less CPU for each message at 4,000 a second
/// (docs/decisions/0009-writer-shards-take-turns.md). After this time a writer goes on without a
/// turn, so that one that waits for a lock cannot hold up the others.
const MAX_TURN_WAIT: Duration = Duration::from_millis(20);
/// The shortest time between two batches of a node where other nodes may write to the same
/// Postgres: each node's commits come on top of the others', and Postgres is what they all share.
/// It saves a quarter of the CPU for each message at 4,000 a second on two nodes, for three
/// milliseconds. A batch after a pause does not wait.
const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(2);

/// The turns of a node's writers. Clones share them.
#[derive(Clone)]
pub struct CommitScheduler {
    turns: Arc<Semaphore>,
    last_batch_at: Arc<Mutex<Instant>>,
}

impl CommitScheduler {
    /// Creates a scheduler that lets `turns` writers commit at a time.
    pub fn new(turns: usize) -> Self {
        let last_batch_at = Arc::new(Mutex::new(Instant::now() - MIN_BATCH_INTERVAL));
        Self { turns: Arc::new(Semaphore::new(turns)), last_batch_at }
    }

    /// Waits for a turn. Returns `None` if it took too long: the writer then commits without one.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(MAX_TURN_WAIT, self.turns.clone().acquire_owned()).await.ok().and_then(Result::ok)
    }

    /// Waits until the next batch may begin, [`MIN_BATCH_INTERVAL`] after the last one.
    pub async fn wait_for_interval(&self) {
        let due = *self.last_batch_at.lock() + MIN_BATCH_INTERVAL;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        *self.last_batch_at.lock() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::{CommitScheduler, MIN_BATCH_INTERVAL};

    #[tokio::test(start_paused = true)]
    async fn batches_keep_their_interval_and_the_first_after_a_pause_does_not_wait() {
        let (scheduler, start) = (CommitScheduler::new(1), Instant::now());
        for batch in 0..4 {
            scheduler.wait_for_interval().await;
            assert_eq!(start.elapsed(), batch * MIN_BATCH_INTERVAL);
        }
        advance(2 * MIN_BATCH_INTERVAL).await;
        let rested = Instant::now();
        scheduler.clone().wait_for_interval().await;
        assert_eq!(rested.elapsed(), std::time::Duration::ZERO);
    }
}
