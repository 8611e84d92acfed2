//! A socket's outgoing queue: bounded in bytes, filled by anybody, drained by the socket's own task.
use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{CloseCode, Frame};
use crate::faults::{self, Fault};

/// Queued bytes at which a socket lags (DESIGN.md 4).
const LIMIT: usize = 64 * 1024;
/// Frames of the visitor's own that a lagging socket still keeps: they are in no log.
const KEPT: usize = 64;

/// What a frame is to the socket that may have to do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Entries of a room's log up to `seq`, one or more in one piece: what is dropped can be read again.
    Entry { room: i64, seq: i64 },
    /// Typing, presence, reading: nobody misses it.
    Ephemeral,
    /// Meant for the visitor and in no log: kept, whatever else is dropped.
    Reliable,
    /// The answer to a frame of this socket. There are never more of them than the socket lets be in flight.
    Answer,
}

/// Frames waiting for one socket. An empty queue holds no memory of its own.
pub struct Queue {
    owner: i64,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<(Priority, Bytes)>,
    bytes: usize,
    lagging: bool,
    dismissed: Option<Disconnect>,
}

/// Why a socket is to end: the last frame it writes, then the close.
#[derive(Clone, Debug)]
pub struct Disconnect {
    pub last: Frame,
    pub code: CloseCode,
    pub reason: &'static str,
}

impl State {
    fn add(&mut self, weight: Priority, frame: Bytes) {
        if !self.lagging && self.bytes + frame.len() > LIMIT && !self.frames.is_empty() {
            self.lagging = !faults::on(Fault::LagForgotten);
            self.frames.retain(|(weight, _)| matches!(weight, Priority::Reliable | Priority::Answer));
        }
        let keep = weight == Priority::Answer || (weight == Priority::Reliable && self.frames.len() < KEPT);
        if !self.lagging || keep {
            self.bytes += frame.len();
            self.frames.push_back((weight, frame));
        }
    }
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
    pub fn push(&self, weight: Priority, frame: Bytes) {
        self.push_all(std::iter::once((weight, frame)));
    }

    /// Adds frames that belong together: their socket wakes once.
    pub fn push_all(&self, frames: impl IntoIterator<Item = (Priority, Bytes)>) {
        let mut state = self.lock();
        let was_idle = state.frames.is_empty() && !state.lagging;
        for (weight, frame) in frames {
            state.add(weight, frame);
        }
        let wakes = was_idle && (state.lagging || !state.frames.is_empty());
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Ends the socket: it writes what is queued and the last frame, and closes. The first dismissal stands.
    pub fn dismiss(&self, why: &Disconnect) {
        self.lock().dismissed.get_or_insert_with(|| why.clone());
        self.wake.notify_one();
    }

    /// Whether, and how, the socket is to end.
    pub fn dismissed(&self) -> Option<Disconnect> {
        self.lock().dismissed.clone()
    }

    /// Everything that is queued, without waiting. `into` is empty, and its room is used by what is queued next. True: the
    /// queue lags, entries were dropped, and the socket has to read them again; it calls [`Queue::caught_up`] before it does.
    pub fn take_into(&self, into: &mut VecDeque<(Priority, Bytes)>) -> bool {
        let mut state = self.lock();
        std::mem::swap(&mut state.frames, into);
        state.bytes = 0;
        state.lagging
    }

    /// The answers that are queued, without waiting; all else stays.
    pub fn take_answers(&self) -> Vec<Bytes> {
        let mut state = self.lock();
        if !state.frames.iter().any(|(weight, _)| *weight == Priority::Answer) {
            return Vec::new();
        }
        let (answers, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.frames).into_iter().partition(|(weight, _)| *weight == Priority::Answer);
        state.frames = rest;
        state.bytes = state.frames.iter().map(|(_, frame)| frame.len()).sum();
        answers.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Drops the entries of one room: the socket does not listen to it any more, and reads them again.
    pub fn forget(&self, room: i64) {
        let mut state = self.lock();
        state.frames.retain(|(weight, _)| !matches!(weight, Priority::Entry { room: of, .. } if *of == room));
        state.bytes = state.frames.iter().map(|(_, frame)| frame.len()).sum();
    }

    /// The socket listens to no room any more and reads again what was dropped: from here on entries are queued.
    pub fn caught_up(&self) {
        self.lock().lagging = false;
    }

    /// Waits until something is queued, the queue lags, or the socket is to end.
    pub async fn ready(&self) {
        loop {
            let notified = self.wake.notified();
            {
                let state = self.lock();
                if state.lagging || !state.frames.is_empty() || state.dismissed.is_some() {
                    return;
                }
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::{CloseCode, Disconnect, KEPT, LIMIT, Priority, Queue};

    fn entry(seq: i64) -> Priority {
        Priority::Entry { room: 7, seq }
    }

    fn take(queue: &Queue) -> (Vec<String>, bool) {
        let mut taken = VecDeque::new();
        let lagging = queue.take_into(&mut taken);
        (taken.into_iter().map(|(_, frame)| String::from_utf8(frame.to_vec()).unwrap()).collect(), lagging)
    }

    #[tokio::test]
    async fn frames_come_out_in_order() {
        let queue = Queue::new(1);
        queue.push(entry(4), "four".into());
        queue.push_all([(Priority::Ephemeral, "typing".into()), (entry(5), "five".into())]);
        queue.ready().await;
        assert_eq!(take(&queue), (vec!["four".into(), "typing".into(), "five".into()], false));
        assert!(take(&queue).0.is_empty());
    }

    #[tokio::test]
    async fn answers_can_be_taken_before_the_rest() {
        let queue = Queue::new(1);
        queue.push_all([(entry(4), "four".into()), (Priority::Answer, "ok".into()), (entry(5), "five".into())]);
        assert_eq!(queue.take_answers(), ["ok"]);
        assert!(queue.take_answers().is_empty());
        queue.ready().await;
        assert_eq!(take(&queue), (vec!["four".into(), "five".into()], false));
    }

    #[test]
    fn what_is_read_again_can_be_forgotten() {
        let queue = Queue::new(1);
        queue.push_all([(entry(4), "four".into()), (Priority::Answer, "ok".into())]);
        queue.push_all([(Priority::Entry { room: 8, seq: 1 }, "other".into()), (entry(5), "five".into())]);
        queue.forget(7);
        assert_eq!(take(&queue).0, ["ok", "other"]);
    }

    #[tokio::test]
    async fn past_the_limit_only_what_cannot_be_read_again_is_kept() {
        let queue = Queue::new(1);
        let half = Bytes::from("x".repeat(LIMIT / 2));
        queue.push(entry(1), half.clone());
        queue.push(entry(2), half.clone());
        let (frames, lagging) = take(&queue);
        assert_eq!((frames.len(), lagging), (2, false), "exactly the limit fits");
        queue.push(entry(3), half.clone());
        queue.push(Priority::Reliable, "found".into());
        queue.push(entry(4), half.clone());
        queue.push(entry(5), "late".into());
        queue.push(Priority::Answer, "ok".into());
        queue.ready().await;
        assert_eq!(take(&queue), (vec!["found".into(), "ok".into()], true));
        queue.push(entry(6), "still late".into());
        assert_eq!(take(&queue), (vec![], true), "until the socket says so");
        queue.caught_up();
        queue.push(entry(7), "new".into());
        assert_eq!(take(&queue), (vec!["new".into()], false));
    }

    #[tokio::test]
    async fn a_socket_wakes_when_its_queue_begins_to_lag() {
        let queue = Queue::new(1);
        queue.push(entry(1), "x".repeat(LIMIT).into());
        let mut taken = VecDeque::new();
        queue.take_into(&mut taken);
        queue.push_all((2..4).map(|seq| (entry(seq), "x".repeat(LIMIT).into())));
        queue.ready().await;
        assert!(take(&queue).1);
    }

    #[tokio::test]
    async fn a_dismissal_wakes_and_the_first_one_stands() {
        let queue = Queue::new(1);
        assert!(queue.dismissed().is_none());
        for (last, code) in [("banned", CloseCode::Banned), ("later", CloseCode::SessionEnded)] {
            queue.dismiss(&Disconnect { last: last.into(), code, reason: "" });
        }
        queue.ready().await;
        let dismissed = queue.dismissed().unwrap();
        assert_eq!((&*dismissed.last, dismissed.code), ("banned", CloseCode::Banned));
    }

    #[test]
    fn what_is_kept_has_its_bound_too() {
        let queue = Queue::new(1);
        queue.push(entry(1), "x".into());
        queue.push(entry(2), "x".repeat(LIMIT).into());
        for _ in 0..3 * KEPT {
            queue.push(Priority::Reliable, "x".into());
        }
        assert_eq!(take(&queue).0.len(), KEPT);
    }
}
