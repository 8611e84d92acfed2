//! Group commit: requests that arrive together are written in one transaction.
//!
//! A [`Writer`] is a task with a [`Queue`] and a [`WriterConnection`] of its own. While a batch
//! commits, the next one gathers in the queue. No timer adds latency: an idle writer commits at
//! once, a busy one in batches.
mod connection;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{is_retryable, is_unreachable};
use crate::faults::{self, Fault};
use crate::tasks::Tasks;

pub use connection::{Committed, Transaction, WriterConnection};
pub use queue::{QUEUE_CAPACITY, Queue, Sender, queue};

/// Largest number of requests in one batch.
pub const MAX_BATCH_ROWS: usize = 500;
/// How often a batch is repeated after a deadlock or a serialization failure.
const MAX_RETRIES: usize = 5;
/// How long a writer waits before it tries again when Postgres cannot be reached.
pub const RETRY_DELAY: Duration = Duration::from_millis(100);
/// A batch with less time left than this is not tried again on a new connection.
pub const MIN_TIME_LEFT: Duration = Duration::from_millis(200);

/// What a group-commit task does with the requests that it takes from its queue.
pub trait Writer: Send + 'static {
    type Request: Send + 'static;

    /// Commits requests and answers each of them, also on failure. It can take more of them from
    /// the queue, and put back those that do not fit.
    fn process(
        &mut self,
        queue: &mut Queue<Self::Request>,
        connection: &mut WriterConnection,
        requests: Vec<Self::Request>,
    ) -> impl Future<Output = ()> + Send;
}

/// Starts a writer. It ends when the node stops and its queue is empty.
pub fn spawn<W: Writer>(
    tasks: &Tasks,
    name: &'static str,
    queue: Queue<W::Request>,
    connection: WriterConnection,
    writer: W,
) {
    let stopping = tasks.stopping.clone();
    // Kept outside of the task: the queue and what the writer remembers survive a panic.
    let parts = Arc::new(Mutex::new((queue, connection, writer)));
    tasks.spawn_essential(name, move || {
        let (parts, stopping) = (parts.clone(), stopping.clone());
        async move {
            let (queue, connection, writer) = &mut *parts.lock().await;
            connection.discard(); // after a panic a transaction may be unfinished on it
            while let Some(requests) = queue.next(&stopping).await {
                writer.process(queue, connection, requests).await;
            }
            connection.close().await;
        }
    });
}

/// Returns the deadline of a batch: no request waits for others beyond its own time.
pub fn earliest(deadlines: impl Iterator<Item = Instant>) -> Instant {
    deadlines.min().unwrap_or_else(Instant::now)
}

/// What a writer does after a failed attempt to write a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was written, and the same transaction can succeed: try again at once.
    Repeat,
    /// Postgres cannot be reached, and it is not known whether it has committed: try again after
    /// [`RETRY_DELAY`], until the deadline.
    Reconnect,
    /// The same batch would fail again.
    GiveUp,
}

/// The attempts to write one batch.
#[derive(Default)]
pub struct Attempts {
    retries: usize,
}

impl Attempts {
    /// Judges a failed attempt.
    pub fn verdict(&mut self, why: &sqlx::Error) -> Verdict {
        if is_retryable(why) && !faults::on(Fault::SerializationNotRepeated) && self.repeat() {
            Verdict::Repeat
        } else if is_unreachable(why) {
            Verdict::Reconnect
        } else {
            Verdict::GiveUp
        }
    }

    /// Counts one more attempt. Returns `false` if there were too many.
    pub fn repeat(&mut self) -> bool {
        let is_allowed = self.retries < MAX_RETRIES;
        self.retries += usize::from(is_allowed);
        is_allowed
    }
}
