//! A socket's outgoing queue: bounded in bytes, filled by anybody, drained by the socket's own task.
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Frame;

/// Queued bytes at which a socket counts as too slow (DESIGN.md 4).
const LIMIT: usize = 64 * 1024;

/// The queue is over its limit: its socket is closed as too slow, and the client resumes.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// Frames waiting for one socket. An empty queue holds no memory of its own.
pub struct Queue {
    owner: i64,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    overflowed: bool,
}

impl Queue {
    /// An empty queue of one socket; `owner` is whom the hub may stop listening all at once.
    pub fn new(owner: i64) -> Self {
        Self { owner, state: Mutex::default(), wake: Notify::new() }
    }

    /// Whose socket it is.
    pub fn owner(&self) -> i64 {
        self.owner
    }

    /// Adds a frame. An overflow is remembered and reported by the next [`Queue::take`].
    pub fn push(&self, frame: Frame) {
        let mut state = self.lock();
        if state.overflowed {
            return;
        }
        if state.bytes + frame.len() > LIMIT && !state.frames.is_empty() {
            // What was queued is of no use to a client that must resume.
            state.frames = VecDeque::new();
            state.bytes = 0;
            state.overflowed = true;
        } else {
            state.bytes += frame.len();
            state.frames.push_back(frame);
        }
        let first = state.frames.len() <= 1;
        drop(state);
        if first {
            self.wake.notify_one();
        }
    }

    /// Everything that is queued, without waiting.
    pub fn take(&self) -> Result<VecDeque<Frame>, Overflow> {
        let mut state = self.lock();
        if state.overflowed {
            return Err(Overflow);
        }
        state.bytes = 0;
        Ok(std::mem::take(&mut state.frames))
    }

    /// Waits until something is queued or the queue has overflowed.
    pub async fn ready(&self) {
        loop {
            let notified = self.wake.notified();
            {
                let state = self.lock();
                if state.overflowed || !state.frames.is_empty() {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Waits until the queue has overflowed.
    pub async fn overflowed(&self) {
        loop {
            let notified = self.wake.notified();
            if self.lock().overflowed {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Overflow, Queue};

    #[tokio::test]
    async fn frames_come_out_in_order() {
        let queue = Queue::new(1);
        queue.push("one".into());
        queue.push("two".into());
        queue.ready().await;
        let frames: Vec<_> = queue.take().unwrap().into_iter().collect();
        assert_eq!(frames, ["one", "two"]);
        assert!(queue.take().unwrap().is_empty());
    }

    #[tokio::test]
    async fn past_the_limit_the_queue_says_so_and_keeps_nothing() {
        let queue = Queue::new(1);
        let half = "x".repeat(LIMIT / 2);
        queue.push(half.as_str().into());
        queue.push(half.as_str().into());
        assert_eq!(queue.take().unwrap().len(), 2, "exactly the limit fits");
        for _ in 0..3 {
            queue.push(half.as_str().into());
        }
        queue.overflowed().await;
        assert_eq!(queue.take(), Err(Overflow));
        queue.push("late".into());
        assert_eq!(queue.take(), Err(Overflow), "an overflow is for ever");
    }
}
