//! Replays: writes the entries that a socket has missed, one query at a time.
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::close_reason::CloseReason;
use super::connection::Connection;
use super::limits::REQUEST_TIMEOUT;
use super::writing::while_writing_answers;
use crate::error::{Error, Result};
use crate::realtime::{CloseCode, Frame, Topic};
use crate::rooms::{self, Replay, RoomEvent, Step};

/// A room whose entries are still to be replayed. The socket is not subscribed to it yet.
pub(super) struct PendingReplay {
    room: Uuid,
    /// `None` until the membership is looked up again. The replay then starts after the last entry
    /// that was delivered.
    replay: Option<Replay>,
}

/// What one step of a pending replay has found.
enum Progress {
    /// The membership still exists: the replay starts here.
    Started(Replay),
    Step(Replay, Step),
}

impl Connection {
    /// Returns `true` if a replay is not finished.
    pub(super) fn has_pending_replays(&self) -> bool {
        !self.pending_replays.is_empty()
    }

    /// Adds replays. A new replay of a room replaces the pending one.
    pub(super) fn enqueue_replays(&mut self, replays: Vec<(Uuid, Replay)>) {
        for (room, replay) in replays {
            self.pending_replays.retain(|pending| pending.room != room);
            if let Some(subscription) = self.subscriptions.get_mut(&room) {
                subscription.delivered = Some(replay.reached());
            }
            self.pending_replays.push_back(PendingReplay { room, replay: Some(replay) });
        }
    }

    /// Unsubscribes from a room and replays it from the last entry that was delivered.
    pub(super) fn restart_replay(&mut self, room: Uuid) {
        let Some(subscription) = self.subscriptions.get(&room) else { return };
        let id = subscription.membership.room.id;
        self.app.hub.unsubscribe(Topic::Room(id), &self.queue);
        self.queue.drop_entries(id);
        self.pending_replays.retain(|pending| pending.room != room);
        self.pending_replays.push_back(PendingReplay { room, replay: None });
    }

    /// Replays every room, because the queue has dropped entries.
    pub(super) fn restart_all_replays(&mut self) {
        for room in self.subscriptions.keys().copied().collect::<Vec<_>>() {
            self.restart_replay(room);
        }
        self.queue.clear_lag();
    }

    /// Writes the next page of the first pending replay, or subscribes to its room if nothing is
    /// missing. Waits at most [`REQUEST_TIMEOUT`]; answers are written meanwhile.
    ///
    /// # Errors
    /// [`CloseReason`] if the socket ends, also because the entries could not be read.
    pub(super) async fn advance_replay(&mut self) -> Result<(), CloseReason> {
        let Some(PendingReplay { room, replay }) = self.pending_replays.pop_front() else { return Ok(()) };
        let delivered = self.subscriptions.get(&room).and_then(|subscription| subscription.delivered);
        // `None` if the visitor has left, or if no replay of the room has ever started.
        let Some(delivered) = delivered else { return Ok(()) };
        let began = Instant::now();
        let (app, queue, who) = (self.app.clone(), self.queue.clone(), self.who.clone());
        let advancing = async {
            let Some(mut replay) = replay else {
                let membership = rooms::membership(&app, &who, room).await?;
                return Ok(Progress::Started(rooms::replay_after(&membership, delivered)));
            };
            let step = replay.step(&app, &queue).await?;
            Ok(Progress::Step(replay, step))
        };
        let advancing = timeout(REQUEST_TIMEOUT, advancing);
        let (written, progress) = while_writing_answers(&queue, self.stream.as_mut(), advancing).await;
        self.record_wait(written, began, began);
        match progress?.unwrap_or(Err(Error::Unavailable)) {
            Ok(Progress::Started(replay)) => {
                self.pending_replays.push_front(PendingReplay { room, replay: Some(replay) });
            }
            Ok(Progress::Step(replay, step)) => return self.write_step(room, replay, step).await,
            Err(Error::NotFound) => {
                // The membership was lost meanwhile. The socket may still be subscribed to the room
                // if the room was joined a second time.
                if let Some(lost) = self.subscriptions.remove(&room) {
                    rooms::unsubscribe(&self.app, &lost.membership.room, &self.queue);
                }
            }
            Err(why) => {
                // The client resumes on a new socket, so that it never has a gap in the room.
                why.log();
                return Err(CloseReason::by_server(CloseCode::Busy, "busy"));
            }
        }
        Ok(())
    }

    /// Writes what a step of a replay has found.
    async fn write_step(&mut self, room: Uuid, replay: Replay, step: Step) -> Result<(), CloseReason> {
        if let Some(subscription) = self.subscriptions.get_mut(&room) {
            subscription.delivered = Some(if let Step::Resync { head } = &step { *head } else { replay.reached() });
        }
        match step {
            Step::Page(frames) => {
                self.pending_replays.push_front(PendingReplay { room, replay: Some(replay) });
                self.write(frames.into_iter().map(Frame::into_wire)).await
            }
            Step::Subscribed => Ok(()),
            Step::Resync { head } => self.send(RoomEvent::Resync { room, head }.encode()).await,
        }
    }
}
