//! The queue of a writer, which survives a panic of its task.
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::MAX_BATCH_ROWS;
use crate::error::{Error, Result};

/// Largest number of requests in a queue. Further ones are answered `unavailable`.
const QUEUE_CAPACITY: usize = 4_096;

/// Creates the queue of a writer.
pub fn queue<T>() -> (Sender<T>, Queue<T>) {
    let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
    (Sender(sender), Queue { receiver, waiting: Vec::new() })
}

/// The sending end of a queue.
pub struct Sender<T>(mpsc::Sender<T>);

impl<T> Sender<T> {
    /// Adds a request to the queue.
    ///
    /// # Errors
    /// `unavailable` if the queue is full.
    pub fn submit(&self, request: T) -> Result<()> {
        self.0.try_send(request).map_err(|_| Error::Unavailable)
    }

    /// Returns how many requests wait.
    pub fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }

    /// Adds a request, made with the channel for its answer, and returns the answer.
    ///
    /// # Errors
    /// Those of the answer; `unavailable` if the queue is full, or the request was lost in a panic.
    pub async fn ask<A>(&self, request: impl FnOnce(oneshot::Sender<Result<A>>) -> T) -> Result<A> {
        let (answer, outcome) = oneshot::channel();
        self.submit(request(answer))?;
        outcome.await.map_err(|_| Error::Unavailable)?
    }
}

/// The receiving end of a queue. All requests are taken in the order of arrival.
pub struct Queue<T> {
    receiver: mpsc::Receiver<T>,
    /// Requests that were taken out of the channel and are not in a batch. Older than those in the
    /// channel.
    waiting: Vec<T>,
}

impl<T> Queue<T> {
    /// Waits for requests and takes what there is, mostly at most [`MAX_BATCH_ROWS`]. Returns
    /// `None` once the node stops and no request is left.
    pub(super) async fn next(&mut self, stopping: &CancellationToken) -> Option<Vec<T>> {
        let mut batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() {
            tokio::select! {
                biased;
                // This comes first: queued requests are written before the task stops.
                _ = self.receiver.recv_many(&mut batch, MAX_BATCH_ROWS) => {}
                () = stopping.cancelled() => {}
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Fills a batch up with requests that have arrived, without waiting.
    pub fn take_more(&mut self, batch: &mut Vec<T>) {
        while batch.len() < MAX_BATCH_ROWS
            && let Ok(request) = self.receiver.try_recv()
        {
            batch.push(request);
        }
    }

    /// Waits until at least one more request has arrived, at most until `until`, and adds what
    /// there is to a batch.
    pub async fn wait_for_more(&mut self, batch: &mut Vec<T>, until: Instant) {
        let space = MAX_BATCH_ROWS.saturating_sub(batch.len());
        let _ = timeout_at(until, self.receiver.recv_many(batch, space)).await;
    }

    /// Puts back the end of a batch. It comes first in the next one.
    pub fn put_back(&mut self, mut rest: Vec<T>) {
        rest.append(&mut self.waiting);
        self.waiting = rest;
    }

    /// Returns the requests that wait, also those that have arrived in the meantime. A writer that
    /// is stuck in a batch answers those whose time is over, and removes them.
    pub fn waiting(&mut self) -> &mut Vec<T> {
        while self.waiting.len() < QUEUE_CAPACITY
            && let Ok(request) = self.receiver.try_recv()
        {
            self.waiting.push(request);
        }
        &mut self.waiting
    }
}
