//! Turns: when the lanes of a node write.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a lane waits for its turn. Half of the lanes write at a time: fewer and larger batches cost a seventh less CPU a message at
/// 4,000 a second. The price and the figures: docs/decisions/0009-writer-shards-take-turns.md. One that is stuck with a lock is overtaken after this.
const TURN: Duration = Duration::from_millis(20);
/// How soon after a batch the next one begins where other nodes may write to the same Postgres: each node's commits come on top of
/// the others', and Postgres is what they all share. A quarter less CPU a message at 4,000 a second on two nodes,
/// for three milliseconds. What comes after a pause does not wait.
const PACE: Duration = Duration::from_millis(2);

/// Who commits when: a node's batches take turns.
#[derive(Clone)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// When a batch last began.
    began: Arc<Mutex<Instant>>,
}

impl Turns {
    /// So many at a time.
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), began: Arc::new(Mutex::new(Instant::now() - PACE)) }
    }

    /// Waits for a turn, or for as long as that is worth waiting for.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(TURN, self.free.clone().acquire_owned()).await.ok().and_then(Result::ok)
    }

    /// Waits until a batch may begin.
    pub(super) async fn pace(&self) {
        let due = *self.began.lock() + PACE;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        *self.began.lock() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::{PACE, Turns};

    #[tokio::test(start_paused = true)]
    async fn batches_keep_their_pace_and_the_first_after_a_pause_does_not_wait() {
        let (turns, start) = (Turns::new(1), Instant::now());
        for batch in 0..4 {
            turns.pace().await;
            assert_eq!(start.elapsed(), batch * PACE);
        }
        advance(2 * PACE).await;
        let rested = Instant::now();
        turns.clone().pace().await;
        assert_eq!(rested.elapsed(), std::time::Duration::ZERO);
    }
}
