//! A socket's outgoing queue. It is limited in bytes, any task can fill it, and the socket's own
//! task drains it.
use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::limits::{MAX_QUEUED_BYTES, MAX_RELIABLE_FRAMES};
use super::{CloseCode, Frame};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};

/// What happens to a queued frame when its socket lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// One or more entries of a room's log up to `seq`. They are dropped and read again later.
    Entry { room: RoomId, seq: Seq },
    /// Typing, presence and read markers. They are dropped.
    Ephemeral,
    /// A frame for the visitor that is in no log. It is kept, up to [`MAX_RELIABLE_FRAMES`].
    Reliable,
    /// The answer to a frame of this socket. It is kept; the socket limits how many are in flight.
    Answer,
}

/// Frames that wait for one socket. An empty queue holds no memory of its own.
pub struct Queue {
    owner: VisitorId,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<(Priority, Bytes)>,
    bytes: usize,
    lagging: bool,
    disconnect: Option<Disconnect>,
}

/// A request to disconnect a socket: the last frame it writes, then the close.
#[derive(Clone, Debug)]
pub struct Disconnect {
    /// Written after everything that is queued.
    pub last: Frame,
    pub code: CloseCode,
    pub reason: &'static str,
}

/// Whether a drained queue held everything that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// Nothing was dropped.
    Complete,
    /// Entries were dropped, and more are dropped until [`Queue::clear_lag`]. The socket has to
    /// read them again.
    Lagging,
}

impl State {
    fn add(&mut self, priority: Priority, frame: Bytes) {
        if !self.lagging && self.bytes + frame.len() > MAX_QUEUED_BYTES && !self.frames.is_empty() {
            self.lagging = !faults::on(Fault::LagForgotten);
            self.frames.retain(|(priority, _)| matches!(priority, Priority::Reliable | Priority::Answer));
        }
        let keep =
            priority == Priority::Answer || (priority == Priority::Reliable && self.frames.len() < MAX_RELIABLE_FRAMES);
        if !self.lagging || keep {
            self.bytes += frame.len();
            self.frames.push_back((priority, frame));
        }
    }
}

impl Queue {
    /// Creates the empty queue of a socket that belongs to the visitor `owner`.
    pub fn new(owner: VisitorId) -> Self {
        Self { owner, state: Mutex::default(), wake: Notify::new() }
    }

    /// Returns the visitor whose socket it is.
    pub fn owner(&self) -> VisitorId {
        self.owner
    }

    /// Adds a frame. Above [`MAX_QUEUED_BYTES`] the queue lags: it drops what can be read again,
    /// until the socket calls [`Queue::clear_lag`].
    pub fn push(&self, priority: Priority, frame: Bytes) {
        self.push_many(std::iter::once((priority, frame)));
    }

    /// Adds several frames as [`Queue::push`] does, and wakes the socket once.
    pub fn push_many(&self, frames: impl IntoIterator<Item = (Priority, Bytes)>) {
        let mut state = self.lock();
        let was_idle = state.frames.is_empty() && !state.lagging;
        for (priority, frame) in frames {
            state.add(priority, frame);
        }
        let wakes = was_idle && (state.lagging || !state.frames.is_empty());
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Requests that the socket write what is queued and the last frame, and then close. The first
    /// request counts; later ones are ignored.
    pub fn disconnect(&self, why: &Disconnect) {
        self.lock().disconnect.get_or_insert_with(|| why.clone());
        self.wake.notify_one();
    }

    /// Returns the disconnect that was requested. `None` if the socket stays open.
    pub fn requested_disconnect(&self) -> Option<Disconnect> {
        self.lock().disconnect.clone()
    }

    /// Moves everything that is queued into `into`, without waiting. `into` has to be empty; the
    /// queue takes over its capacity. If the queue is lagging, call [`Queue::clear_lag`] before
    /// reading entries again.
    pub fn drain_into(&self, into: &mut VecDeque<(Priority, Bytes)>) -> QueueState {
        let mut state = self.lock();
        std::mem::swap(&mut state.frames, into);
        state.bytes = 0;
        if state.lagging { QueueState::Lagging } else { QueueState::Complete }
    }

    /// Takes the queued answers, without waiting. All other frames stay.
    pub fn take_answers(&self) -> Vec<Bytes> {
        let mut state = self.lock();
        if !state.frames.iter().any(|(priority, _)| *priority == Priority::Answer) {
            return Vec::new();
        }
        let (answers, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.frames).into_iter().partition(|(priority, _)| *priority == Priority::Answer);
        state.frames = rest;
        state.bytes = state.frames.iter().map(|(_, frame)| frame.len()).sum();
        answers.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Drops the queued entries of one room. Call it after the socket has unsubscribed from the
    /// room and before it reads the entries again.
    pub fn drop_entries(&self, room: RoomId) {
        let mut state = self.lock();
        state.frames.retain(|(priority, _)| !matches!(priority, Priority::Entry { room: of, .. } if *of == room));
        state.bytes = state.frames.iter().map(|(_, frame)| frame.len()).sum();
    }

    /// Ends the lag: entries are queued again from now on. Call it after the socket has
    /// unsubscribed from all rooms and before it reads again what was dropped.
    pub fn clear_lag(&self) {
        self.lock().lagging = false;
    }

    /// Waits until something is queued, the queue lags, or a disconnect is requested.
    pub async fn ready(&self) {
        loop {
            let notified = self.wake.notified();
            {
                let state = self.lock();
                if state.lagging || !state.frames.is_empty() || state.disconnect.is_some() {
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

    use super::{
        CloseCode, Disconnect, MAX_QUEUED_BYTES, MAX_RELIABLE_FRAMES, Priority, Queue, QueueState, RoomId, Seq,
        VisitorId,
    };

    fn entry(seq: i64) -> Priority {
        Priority::Entry { room: RoomId(7), seq: Seq(seq) }
    }

    fn drain(queue: &Queue) -> (Vec<String>, QueueState) {
        let mut drained = VecDeque::new();
        let state = queue.drain_into(&mut drained);
        (drained.into_iter().map(|(_, frame)| String::from_utf8(frame.to_vec()).unwrap()).collect(), state)
    }

    #[tokio::test]
    async fn frames_come_out_in_order() {
        let queue = Queue::new(VisitorId(1));
        queue.push(entry(4), "four".into());
        queue.push_many([(Priority::Ephemeral, "typing".into()), (entry(5), "five".into())]);
        queue.ready().await;
        assert_eq!(drain(&queue), (vec!["four".into(), "typing".into(), "five".into()], QueueState::Complete));
        assert!(drain(&queue).0.is_empty());
    }

    #[tokio::test]
    async fn answers_can_be_taken_before_the_rest() {
        let queue = Queue::new(VisitorId(1));
        queue.push_many([(entry(4), "four".into()), (Priority::Answer, "ok".into()), (entry(5), "five".into())]);
        assert_eq!(queue.take_answers(), ["ok"]);
        assert!(queue.take_answers().is_empty());
        queue.ready().await;
        assert_eq!(drain(&queue), (vec!["four".into(), "five".into()], QueueState::Complete));
    }

    #[test]
    fn the_entries_of_one_room_can_be_dropped() {
        let queue = Queue::new(VisitorId(1));
        queue.push_many([(entry(4), "four".into()), (Priority::Answer, "ok".into())]);
        queue
            .push_many([(Priority::Entry { room: RoomId(8), seq: Seq(1) }, "other".into()), (entry(5), "five".into())]);
        queue.drop_entries(RoomId(7));
        assert_eq!(drain(&queue).0, ["ok", "other"]);
    }

    #[tokio::test]
    async fn above_the_limit_only_what_cannot_be_read_again_is_kept() {
        let queue = Queue::new(VisitorId(1));
        let half = Bytes::from("x".repeat(MAX_QUEUED_BYTES / 2));
        queue.push(entry(1), half.clone());
        queue.push(entry(2), half.clone());
        let (frames, state) = drain(&queue);
        assert_eq!((frames.len(), state), (2, QueueState::Complete), "exactly the limit fits");
        queue.push(entry(3), half.clone());
        queue.push(Priority::Reliable, "found".into());
        queue.push(entry(4), half.clone());
        queue.push(entry(5), "late".into());
        queue.push(Priority::Answer, "ok".into());
        queue.ready().await;
        assert_eq!(drain(&queue), (vec!["found".into(), "ok".into()], QueueState::Lagging));
        queue.push(entry(6), "still late".into());
        assert_eq!(drain(&queue), (vec![], QueueState::Lagging), "until the socket clears the lag");
        queue.clear_lag();
        queue.push(entry(7), "new".into());
        assert_eq!(drain(&queue), (vec!["new".into()], QueueState::Complete));
    }

    #[tokio::test]
    async fn a_socket_wakes_when_its_queue_begins_to_lag() {
        let queue = Queue::new(VisitorId(1));
        queue.push(entry(1), "x".repeat(MAX_QUEUED_BYTES).into());
        let mut drained = VecDeque::new();
        queue.drain_into(&mut drained);
        queue.push_many((2..4).map(|seq| (entry(seq), "x".repeat(MAX_QUEUED_BYTES).into())));
        queue.ready().await;
        assert_eq!(drain(&queue).1, QueueState::Lagging);
    }

    #[tokio::test]
    async fn a_disconnect_wakes_the_socket_and_the_first_request_counts() {
        let queue = Queue::new(VisitorId(1));
        assert!(queue.requested_disconnect().is_none());
        for (last, code) in [("banned", CloseCode::Banned), ("later", CloseCode::SessionEnded)] {
            queue.disconnect(&Disconnect { last: last.into(), code, reason: "" });
        }
        queue.ready().await;
        let requested = queue.requested_disconnect().unwrap();
        assert_eq!((&*requested.last, requested.code), ("banned", CloseCode::Banned));
    }

    #[test]
    fn reliable_frames_have_a_limit_too() {
        let queue = Queue::new(VisitorId(1));
        queue.push(entry(1), "x".into());
        queue.push(entry(2), "x".repeat(MAX_QUEUED_BYTES).into());
        for _ in 0..3 * MAX_RELIABLE_FRAMES {
            queue.push(Priority::Reliable, "x".into());
        }
        assert_eq!(drain(&queue).0.len(), MAX_RELIABLE_FRAMES);
    }
}
