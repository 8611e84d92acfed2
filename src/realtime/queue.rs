//! A socket's outgoing queue: bounded in bytes, filled by anybody, drained by the socket's own task.
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Frame;

/// Queued bytes at which a socket lags (DESIGN.md 4).
const LIMIT: usize = 64 * 1024;
/// Frames of the visitor's own that a lagging socket still keeps: they are in no log.
const KEPT: usize = 64;

/// What a frame is to the socket that may have to do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// An entry of a room's log: one that is dropped can be read again.
    Entry { room: i64, seq: i64 },
    /// Typing, presence, reading: nobody misses it.
    Passing,
    /// Meant for the visitor and in no log: kept, whatever else is dropped.
    Kept,
    /// The answer to a frame of this socket. There are never more of them than the socket lets be in flight.
    Answer,
}

/// What was queued.
#[derive(Debug, Default)]
pub struct Taken {
    pub frames: VecDeque<Frame>,
    /// The last entry of each room among them.
    pub reached: Vec<(i64, i64)>,
    /// How many of them are answers.
    pub answers: usize,
    /// Entries were dropped since: the socket has to read them again, and calls [`Queue::caught_up`] before it does.
    pub lagging: bool,
}

/// Frames waiting for one socket. An empty queue holds no memory of its own.
pub struct Queue {
    owner: i64,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<(Weight, Frame)>,
    bytes: usize,
    lagging: bool,
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

    /// Adds a frame. Past the limit the queue lags: it drops what can be read again, and goes on doing so until the
    /// socket has caught up.
    pub fn push(&self, weight: Weight, frame: Frame) {
        let mut state = self.lock();
        if !state.lagging && state.bytes + frame.len() > LIMIT && !state.frames.is_empty() {
            state.lagging = true;
            state.frames.retain(|(weight, _)| matches!(weight, Weight::Kept | Weight::Answer));
        }
        let keep = weight == Weight::Answer || (weight == Weight::Kept && state.frames.len() < KEPT);
        if state.lagging && !keep {
            drop(state);
            self.wake.notify_one();
            return;
        }
        state.bytes += frame.len();
        state.frames.push_back((weight, frame));
        let first = state.frames.len() == 1;
        drop(state);
        if first {
            self.wake.notify_one();
        }
    }

    /// Everything that is queued, without waiting.
    pub fn take(&self) -> Taken {
        let mut state = self.lock();
        let frames = std::mem::take(&mut state.frames);
        state.bytes = 0;
        let lagging = state.lagging;
        drop(state);
        let mut taken =
            Taken { frames: VecDeque::with_capacity(frames.len()), reached: Vec::new(), answers: 0, lagging };
        for (weight, frame) in frames {
            match weight {
                Weight::Entry { room, seq } => match taken.reached.iter_mut().find(|(known, _)| *known == room) {
                    Some(reached) => reached.1 = seq,
                    None => taken.reached.push((room, seq)),
                },
                Weight::Answer => taken.answers += 1,
                Weight::Passing | Weight::Kept => {}
            }
            taken.frames.push_back(frame);
        }
        taken
    }

    /// The socket listens to no room any more and reads again what was dropped: from here on entries are queued.
    pub fn caught_up(&self) {
        self.lock().lagging = false;
    }

    /// Waits until something is queued or the queue lags.
    pub async fn ready(&self) {
        loop {
            let notified = self.wake.notified();
            {
                let state = self.lock();
                if state.lagging || !state.frames.is_empty() {
                    return;
                }
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
    use super::{KEPT, LIMIT, Queue, Weight};

    fn entry(seq: i64) -> Weight {
        Weight::Entry { room: 7, seq }
    }

    #[tokio::test]
    async fn frames_come_out_in_order_with_what_was_reached() {
        let queue = Queue::new(1);
        queue.push(entry(4), "four".into());
        queue.push(Weight::Passing, "typing".into());
        queue.push(entry(5), "five".into());
        queue.push(Weight::Entry { room: 8, seq: 1 }, "other".into());
        queue.ready().await;
        let taken = queue.take();
        assert_eq!(taken.frames, ["four", "typing", "five", "other"]);
        assert_eq!((taken.reached, taken.lagging), (vec![(7, 5), (8, 1)], false));
        assert!(queue.take().frames.is_empty());
    }

    #[tokio::test]
    async fn past_the_limit_only_what_cannot_be_read_again_is_kept() {
        let queue = Queue::new(1);
        let half = "x".repeat(LIMIT / 2);
        queue.push(entry(1), half.as_str().into());
        queue.push(entry(2), half.as_str().into());
        let taken = queue.take();
        assert_eq!((taken.frames.len(), taken.lagging), (2, false), "exactly the limit fits");
        queue.push(entry(3), half.as_str().into());
        queue.push(Weight::Kept, "found".into());
        queue.push(entry(4), half.as_str().into());
        queue.push(entry(5), "late".into());
        queue.push(Weight::Kept, "ended".into());
        queue.ready().await;
        let taken = queue.take();
        assert_eq!(
            (taken.frames, taken.reached, taken.lagging),
            (["found", "ended"].map(Into::into).into(), vec![], true)
        );
        queue.push(entry(6), "still late".into());
        assert!(queue.take().lagging, "until the socket says so");
        queue.caught_up();
        queue.push(entry(7), "new".into());
        let taken = queue.take();
        assert_eq!((taken.reached, taken.lagging), (vec![(7, 7)], false));
    }

    #[test]
    fn what_is_kept_has_its_bound_too() {
        let queue = Queue::new(1);
        queue.push(entry(1), "x".into());
        queue.push(entry(2), "x".repeat(LIMIT).as_str().into());
        for _ in 0..3 * KEPT {
            queue.push(Weight::Kept, "x".into());
        }
        assert_eq!(queue.take().frames.len(), KEPT);
    }
}
